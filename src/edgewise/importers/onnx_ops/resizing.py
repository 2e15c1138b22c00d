"""Resize and Upsample of every version."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ...graph import Value
from ..onnx_call import Call
from ..resampling import MAX_SIZE, NEAREST, Axis, Rule, resize

MODES = ("nearest", "linear", "cubic")
COORDINATES = (
    "align_corners",
    "asymmetric",
    "half_pixel",
    "half_pixel_symmetric",
    "pytorch_half_pixel",
    "tf_crop_and_resize",
)


def read_resize(call: Call) -> Value:
    """ONNX's Resize."""
    x, shape = call.value(0), call.shape(0)
    if call.opset < 11:
        rule = Rule(call.text("mode", "nearest"), "asymmetric", "simple")
        return resize(call.b, x, _checked(call, rule), _scaled(call, shape, _numbers(call, 1)))
    rule = Rule(
        call.text("mode", "nearest"),
        call.text("coordinate_transformation_mode", "half_pixel"),
        call.text("nearest_mode", "round_prefer_floor"),
        call.real("cubic_coeff_a", -0.75),
        call.flag("exclude_outside"),
        call.flag("antialias"),
        call.real("extrapolation_value", 0.0),
    )
    rank = len(shape)
    chosen = call.axes(call.ints("axes", range(rank)), rank)
    roi, scales = _numbers(call, 1), _numbers(call, 2)
    is_cropped = rule.coordinates == "tf_crop_and_resize"
    if is_cropped and len(roi) != 2 * len(chosen):
        raise call.error(f"roi has {len(roi)} elements; it has two for each of {list(chosen)}")
    sizes = _numbers(call, 3)
    if bool(scales) == bool(sizes) or len(scales or sizes) != len(chosen):
        raise call.error(
            f"{len(scales)} scales and {len(sizes)} sizes for axes {list(chosen)}; there is one "
            "of either for each"
        )
    spans = [(0.0, 1.0)] * rank
    if is_cropped:
        for i, axis in enumerate(chosen):
            spans[axis] = (roi[i], roi[i + len(chosen)])
    if scales:
        factors = [1.0] * rank
        for axis, scale in zip(chosen, scales, strict=True):
            factors[axis] = scale
        axes = _scaled(call, shape, factors, spans)
    else:
        axes = _sized(call, shape, dict(zip(chosen, map(int, sizes), strict=True)), spans)
    return resize(call.b, x, _checked(call, rule), axes)


def read_upsample(call: Call) -> Value:
    """ONNX's Upsample, which Resize replaced."""
    rule = _checked(call, Rule(call.text("mode", "nearest"), "asymmetric", "floor"))
    scales = call.reals("scales") if call.opset < 9 else _numbers(call, 1)
    return resize(call.b, call.value(0), rule, _scaled(call, call.shape(0), scales))


def _numbers(call: Call, i: int) -> tuple[float, ...]:
    """The elements of an input, none if it is left out."""
    return tuple(call.constant(i).ravel().tolist()) if call.has(i) else ()


def _checked(call: Call, rule: Rule) -> Rule:
    for what, found, known in (
        ("mode", rule.mode, MODES),
        ("coordinate_transformation_mode", rule.coordinates, COORDINATES),
        ("nearest_mode", rule.nearest, (*NEAREST, "simple")),
    ):
        if found not in known:
            raise call.error(f"{what} is {found!r}; it is one of {', '.join(known)}")
    return rule


def _scaled(
    call: Call,
    shape: Sequence[int],
    scales: Sequence[float],
    spans: Sequence[tuple[float, float]] | None = None,
) -> list[Axis]:
    """Axes that become ``scales`` times as long."""
    if len(scales) != len(shape):
        raise call.error(f"{len(scales)} scales for {len(shape)} axes; there is one an axis")
    bad = [s for s in scales if not 0 < s < MAX_SIZE]
    if bad:
        raise call.error(f"scale {bad[0]}; it lies between 0 and {MAX_SIZE}")
    spans = spans or [(0.0, 1.0)] * len(shape)
    return [
        Axis(n, math.floor(n * scale), scale, roi)
        for n, scale, roi in zip(shape, scales, spans, strict=True)
    ]


def _sized(
    call: Call, shape: Sequence[int], sizes: dict[int, int], spans: Sequence[tuple[float, float]]
) -> list[Axis]:
    policy = call.text("keep_aspect_ratio_policy", "stretch")
    if policy not in ("stretch", "not_larger", "not_smaller"):
        raise call.error(
            f"keep_aspect_ratio_policy is {policy!r}; it is stretch, not_larger or not_smaller"
        )
    if min(sizes.values(), default=0) < 0:
        raise call.error(f"sizes {list(sizes.values())}; none is negative")
    ratios = {i: n / shape[i] if shape[i] else 1.0 for i, n in sizes.items()}
    if policy != "stretch" and ratios:
        scale = (min if policy == "not_larger" else max)(ratios.values())
        ratios = dict.fromkeys(ratios, scale)
        sizes = {i: math.floor(scale * shape[i] + 0.5) for i in sizes}
    return [
        Axis(n, sizes.get(i, n), ratios.get(i, 1.0) or 1.0, spans[i]) for i, n in enumerate(shape)
    ]
