"""Priors of detectors."""

from __future__ import annotations

import math

import numpy as np

from ...graph import Array, Value
from ..ncnn_call import Call, Row

GIVEN = -233
"""A size or step that the blobs give."""

MOST = 2**22
"""The most numbers of the priors of one layer."""


def _prior_box(call: Call) -> Value:
    """Boxes around the cells of the first blob, as parts of the image, which is the second one.

    [2, priors * 4]: boxes, then variances; without an image and max_sizes as MXNet has them,
    [priors * 4].
    """
    call.rank(0, 3)
    height, width = call.dims()[1:]
    low, high, ratios = (call.reals(key) for key in range(3))
    if not low or min((*low, *high, *ratios)) <= 0 or len(high) not in (0, len(low)):
        raise call.error(
            f"min_sizes {list(low)}, max_sizes {list(high)}, aspect_ratios {list(ratios)}; all are "
            "positive, and there are as many max_sizes as min_sizes, or none"
        )
    image = call.integer(9), call.integer(10)
    plain = len(call.blobs) == 1 and image == (GIVEN, GIVEN) and not high
    sizes = _mxnet_sizes(low, ratios, height / width) if plain else _sizes(call, low, high, ratios)
    if 8 * height * width * len(sizes) > MOST:
        raise call.unsupported(f"{len(sizes)} priors for each of {height}x{width} cells")
    whole = (1, 1) if plain else _image(call, image)
    steps = [
        size / cells if step == GIVEN else step
        for size, cells, step in zip(
            whole, (width, height), (call.real(11, GIVEN), call.real(12, GIVEN)), strict=True
        )
    ]
    x, y = (
        (np.arange(cells) + call.real(13)) * step
        for cells, step in zip((width, height), steps, strict=True)
    )
    centres = np.stack(np.broadcast_arrays(x[None], y[:, None]), axis=-1)[:, :, None]
    boxes = np.concatenate([centres - sizes / 2, centres + sizes / 2], -1) / (*whole, *whole)
    flat = (boxes.clip(0, 1) if call.flag(8) else boxes).reshape(1, -1)
    with np.errstate(over="ignore"):
        flat = flat.astype(np.float32)
    if plain:
        return call.b.constant(flat, call.layer.name)
    spread = [call.real(key, 0.1 if key < 5 else 0.2) for key in range(3, 7)]
    rows = np.concatenate([flat, np.resize(np.array(spread, np.float32), flat.shape)])
    return call.b.constant(rows[None], call.layer.name)


def _image(call: Call, stated: tuple[int, int]) -> tuple[int, int]:
    """Width and height of the image."""
    width, height = stated
    if GIVEN in stated:
        call.rank(1, 3)
        found = call.dims(1)
        width, height = (
            (found[2] if width == GIVEN else width),
            (found[1] if height == GIVEN else height),
        )
    if min(width, height) < 1:
        raise call.error(f"an image of {width}x{height} pixels; at least 1x1")
    return width, height


def _sizes(
    call: Call, low: tuple[float, ...], high: tuple[float, ...], ratios: tuple[float, ...]
) -> Array:
    """Width and height of every prior of a cell, in pixels."""
    found = []
    for i, size in enumerate(low):
        found.append((size, size))
        if high:
            found.append((math.sqrt(size * high[i]),) * 2)
        for ratio in ratios:
            wide, tall = size * math.sqrt(ratio), size / math.sqrt(ratio)
            found += [(wide, tall), (tall, wide)] if call.flag(7, True) else [(wide, tall)]
    return np.array(found)


def _mxnet_sizes(low: tuple[float, ...], ratios: tuple[float, ...], aspect: float) -> Array:
    """Likewise, as parts of the image: every size, then every other ratio of the first size."""
    roots = [math.sqrt(ratio) for ratio in ratios[1:]]
    found = [(size * aspect, size) for size in low]
    return np.array([*found, *((low[0] * aspect * root, low[0] / root) for root in roots)])


LAYERS: dict[str, Row] = {"PriorBox": Row(_prior_box, (1, 2))}
