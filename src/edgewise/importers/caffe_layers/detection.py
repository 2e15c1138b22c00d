"""Layers of SSD detectors: PriorBox, DetectionOutput."""

from __future__ import annotations

import math

import numpy as np

from ... import ops
from ...graph import Array, Value
from ..caffe_call import LayerCall, Row


def aspect_ratios(call: LayerCall) -> list[float]:
    """1, then each ratio that differs from those before, and its inverse with ``flip``."""
    found = [1.0]
    for ratio in call.p.aspect_ratio:
        if not 0 < ratio < math.inf:
            raise call.error(f"aspect_ratio {ratio:g}; it is positive")
        if all(abs(ratio - known) >= 1e-6 for known in found):
            found += [ratio, 1 / ratio] if call.p.flip else [ratio]
    return found


def prior_sizes(call: LayerCall) -> Array:
    """Width and height of every prior of a cell, in pixels: sizes are cut to whole pixels."""
    p, found = call.p, list[tuple[float, float]]()
    least, most = list(p.min_size), list(p.max_size)
    if (
        not least
        or len(most) not in (0, len(least))
        or not all(0 < s < 2**31 for s in least + most)
    ):
        raise call.error(
            f"min_size {least}, max_size {most}; positive, at least one, and as many or no max_size"
        )
    if any(low >= high for low, high in zip(least, most, strict=False)):
        raise call.error(f"min_size {least}, max_size {most}; each max_size is the greater one")
    ratios = [ratio for ratio in aspect_ratios(call) if abs(ratio - 1) >= 1e-6]
    for i, size in enumerate(map(int, least)):
        found.append((size, size))
        if most:
            side = math.sqrt(size * int(most[i]))
            found.append((side, side))
        found += [(size * math.sqrt(ratio), size / math.sqrt(ratio)) for ratio in ratios]
    return np.array(found, np.float32)


def both(call: LayerCall, whole: str, h: str, w: str) -> tuple[float, float] | None:
    """A size along height and width, where the layer gives one."""
    p = call.p
    if p.HasField(h) or p.HasField(w):
        if p.HasField(whole):
            raise call.error(f"{whole} beside {h} or {w}; a layer has either")
        found = getattr(p, h), getattr(p, w)
    elif p.HasField(whole):
        found = getattr(p, whole), getattr(p, whole)
    else:
        return None
    if not all(0 < size < math.inf for size in found):
        raise call.error(f"{whole} of {found[0]:g} and {found[1]:g}; they are positive")
    return found


def prior_box(call: LayerCall) -> Value:
    """Boxes [1, 2, H * W * priors * 4] around the cells of the first bottom, then variances.

    They are parts of the image, which is the second bottom.
    """
    p, (_, _, height, width) = call.p, call.image()
    sizes, target = prior_sizes(call), call.bottoms[1].type.shape
    image = both(call, "img_size", "img_h", "img_w") or target[2:]
    if len(image) != 2 or min(*image, height, width) < 1:
        raise call.error(
            f"cells {height}x{width} of an image {list(image)}; at least one pixel each"
        )
    variance = list(p.variance) or [0.1]
    if len(variance) not in (1, 4) or not all(0 < v < math.inf for v in variance):
        raise call.error(f"variance {variance}; 1 or 4 positive numbers")
    call.generate(2 * height * width * sizes.size * 2)
    steps = both(call, "step", "step_h", "step_w") or (image[0] / height, image[1] / width)
    with np.errstate(over="ignore"):
        y, x = (
            (np.arange(n, dtype=np.float32) + np.float32(p.offset)) * np.float32(step)
            for n, step in zip((height, width), steps, strict=True)
        )
    centers = np.stack(np.broadcast_arrays(x[None, :], y[:, None]), axis=-1)
    centers = centers[:, :, None].astype(np.float64)
    half, whole = sizes / 2.0, np.array([image[1], image[0]], np.float64)
    boxes = np.concatenate([(centers - half) / whole, (centers + half) / whole], axis=-1)
    if p.clip:
        boxes = boxes.clip(0, 1)
    with np.errstate(over="ignore"):
        flat = boxes.astype(np.float32).reshape(-1, 4)
        spread = np.broadcast_to(np.array(variance, np.float32), flat.shape)
    data = np.stack([flat, spread]).reshape(1, 2, -1)
    return call.b.constant(data, f"{call.layer.name}/priors")


def detection_output(call: LayerCall) -> ops.DetectionOutput:
    """The operator; how many boxes it gives only a call knows."""
    p, nms = call.p, call.p.nms_param
    has_threshold = p.HasField("confidence_threshold")
    return ops.DetectionOutput(
        classes=p.num_classes,
        share_location=p.share_location,
        background=p.background_label_id,
        code_type=p.code_type,
        variance_encoded=p.variance_encoded_in_target,
        confidence_threshold=p.confidence_threshold if has_threshold else -math.inf,
        nms_threshold=nms.nms_threshold,
        eta=nms.eta,
        top_k=nms.top_k if nms.HasField("top_k") else -1,
        keep_top_k=p.keep_top_k,
    )


LAYERS: dict[str, Row] = {
    "DetectionOutput": Row(detection_output, "detection_output_param", (3, 4)),
    "PriorBox": Row(prior_box, "prior_box_param", (2, 2)),
}
