"""Resizing as ONNX's Resize defines it: tables of taps and weights along each axis.

Where RESIZE_BILINEAR or RESIZE_NEAREST_NEIGHBOR give the same, they are used, for they have
kernels; else elements are gathered and summed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..dtype import DType
from ..errors import ModelError, UnsupportedError
from ..graph import Value
from ..ops import (
    Add,
    Cast,
    FullyConnected,
    Gather,
    Mul,
    ResizeBilinear,
    ResizeNearestNeighbor,
    Select,
)
from .builder import Builder
from .channels_first import channels_last, to_first, to_last
from .onnx_call import Call

Floats = npt.NDArray[np.float64]

MAX_SIZE = 2**16
"""The greatest size of a resized axis."""

GATHERED_TAPS = 4
"""More taps than this are a matrix product."""

MODES = ("nearest", "linear", "cubic")
COORDINATES = (
    "align_corners",
    "asymmetric",
    "half_pixel",
    "half_pixel_symmetric",
    "pytorch_half_pixel",
    "tf_crop_and_resize",
)
NEAREST: Mapping[str, Callable[[Floats], Floats]] = {
    "ceil": np.ceil,
    "floor": np.floor,
    "round_prefer_ceil": lambda x: np.floor(x + 0.5),
    "round_prefer_floor": lambda x: np.ceil(x - 0.5),
}


@dataclass(frozen=True)
class Rule:
    """How a tensor is resized; the names are ONNX's.

    ``nearest`` "simple" is that of opset 10: down, or up where an axis becomes shorter.
    """

    mode: str = "nearest"
    coordinates: str = "half_pixel"
    nearest: str = "round_prefer_floor"
    cubic: float = -0.75
    exclude_outside: bool = False
    antialias: bool = False
    extrapolation: float = 0.0


@dataclass(frozen=True)
class Axis:
    """From ``before`` elements to ``after``, ``scale`` times as many; ``roi`` is (begin, end)."""

    before: int
    after: int
    scale: float
    roi: tuple[float, float] = (0.0, 1.0)


@dataclass(frozen=True)
class Taps:
    """Each position's elements int32[after, n] and their weights; which positions lie outside."""

    index: npt.NDArray[np.int32]
    weight: Floats
    outside: npt.NDArray[np.bool_]

    @property
    def is_choice(self) -> bool:
        """Whether each position is one element as it is."""
        return int(self.index.shape[1]) == 1

    def is_identity(self, before: int) -> bool:
        """Whether the elements stay, each in its place."""
        own = np.arange(before)
        if not self.is_choice or bool(self.outside.any()):
            return False
        return bool(np.array_equal(self.index[:, 0], own))

    @property
    def place(self) -> Floats:
        """The mean position that is read."""
        return np.asarray((self.index * self.weight).sum(1))


def positions(rule: Rule, axis: Axis) -> Floats:
    """The place in the input, [after], of each position of the output.

    In float32, as runtimes compute it: places halfway between pixels depend on that.
    """
    y, before, half = np.arange(axis.after, dtype=np.float32), axis.before, np.float32(0.5)
    scale, begin, end = (np.float32(v) for v in (axis.scale, *axis.roi))
    whole, last = scale * np.float32(before), np.float32(before - 1)
    found, kind = (y + half) / scale - half, rule.coordinates
    if kind == "asymmetric":
        found = y / scale
    elif kind == "align_corners":
        found = np.zeros_like(y) if whole == 1 else y * last / (whole - 1)
    elif kind == "tf_crop_and_resize" and whole == 1:
        found = np.full_like(y, (begin + end) * last * half)
    elif kind == "tf_crop_and_resize":
        found = begin * last + y * (end - begin) * last / (whole - 1)
    elif kind == "pytorch_half_pixel" and axis.after == 1:
        found = np.zeros_like(y)
    elif kind == "half_pixel_symmetric":
        found = np.float32(before / 2 * (1 - axis.after / whole)) + found
    return np.asarray(found, np.float64)


def taps(b: Builder, rule: Rule, axis: Axis) -> Taps:
    """What each position of the output is made of."""
    x, last = positions(rule, axis), axis.before - 1
    outside = np.zeros(axis.after, bool)
    if rule.coordinates == "tf_crop_and_resize":
        outside = (x < 0) | (x > last)
    if rule.mode == "nearest":
        simple = "ceil" if axis.scale < 1 else "floor"
        near = NEAREST[simple if rule.nearest == "simple" else rule.nearest](x)
        index = np.clip(near, 0, last).astype(np.int32)[:, None]
        return Taps(index, np.ones((axis.after, 1)), outside)
    base = np.ceil(x) - 1
    scale = min(axis.scale, 1.0) if rule.antialias else 1.0
    half = -math.floor(-(1 if rule.mode == "linear" else 2) / scale)
    b.afford(2 * half * axis.after)
    steps = np.arange(1 - half, half + 1)
    distance = np.abs(steps - (x - base)[:, None]) * scale
    weight = _linear(distance) if rule.mode == "linear" else _cubic(distance, rule.cubic)
    index = (base[:, None] + steps).astype(np.int64)
    if rule.exclude_outside:
        weight = np.where((index < 0) | (index > last), 0.0, weight)
    if rule.exclude_outside or rule.antialias:
        weight = weight / weight.sum(1, keepdims=True)
    return _merged(np.clip(index, 0, last).astype(np.int32), weight, outside)


def _linear(distance: Floats) -> Floats:
    return np.asarray(np.clip(1 - distance, 0, 1))


def _cubic(d: Floats, a: float) -> Floats:
    """Keys' kernel."""
    near = ((a + 2) * d - (a + 3)) * d * d + 1
    far = ((a * d - 5 * a) * d + 8 * a) * d - 4 * a
    return np.where(d <= 1, near, np.where(d < 2, far, 0.0))


def _merged(index: npt.NDArray[np.int32], weight: Floats, outside: npt.NDArray[np.bool_]) -> Taps:
    """One tap a position, where all weight is on one element."""
    chosen = index[np.arange(len(index)), np.abs(weight).argmax(1)][:, None]
    alone = np.where(index == chosen, weight, 0.0).sum(1)
    rest = np.abs(np.where(index == chosen, 0.0, weight)).max(1, initial=0.0)
    if (np.abs(alone - 1) < 1e-9).all() and (rest < 1e-9).all():
        return Taps(chosen, np.ones((len(index), 1)), outside)
    return Taps(index, weight, outside)


def resize(b: Builder, x: Value, rule: Rule, axes: Sequence[Axis]) -> Value:
    """``x`` with each of its axes resized.

    Raises:
        ModelError: an axis without elements grows.
        UnsupportedError: an axis becomes too long.
    """
    shape, target = x.type.shape, tuple(a.after for a in axes)
    if max(target, default=0) > MAX_SIZE:
        raise UnsupportedError(f"{b.what}: to {list(target)}; an axis has at most {MAX_SIZE}")
    if any(a.before == 0 < a.after for a in axes):
        raise ModelError(f"{b.what}: {list(shape)} to {list(target)}; there is nothing to read")
    if 0 in target:
        return b.constant(np.zeros(target, x.type.dtype.numpy))
    tables = [taps(b, rule, a) for a in axes]
    dtype = x.type.dtype
    if dtype is not DType.FLOAT32 and not all(t.is_choice for t in tables):
        x = b.one(Cast(DType.FLOAT32), [x])
    rank = len(axes)
    is_spatial = rank > 2 and all(t.is_identity(n) for t, n in zip(tables[:2], shape, strict=False))
    order = to_last(rank) if is_spatial else tuple(range(rank))
    y = channels_last(b, x) if is_spatial else x
    ordered = [tables[i] for i in order]
    known = _by_kernel(ordered, y) if is_spatial and rank == 4 else None
    if known is not None:
        y = b.one(known, [y])
    else:
        for i, table in enumerate(ordered):
            y = y if table.is_identity(y.type.shape[i]) else _along(b, y, i, table)
    for i, table in enumerate(ordered):
        if table.outside.any():
            where = b.constant(table.outside.reshape(-1, *[1] * (rank - 1 - i)))
            value = b.constant(np.array(rule.extrapolation, y.type.dtype.numpy))
            y = b.one(Select(), [where, value, y])
    y = b.transpose(y, to_first(rank)) if is_spatial else y
    return y if y.type.dtype is dtype else b.one(Cast(dtype), [y])


def _by_kernel(tables: Sequence[Taps], x: Value) -> ResizeBilinear | ResizeNearestNeighbor | None:
    """The operator of images [N, H, W, C] that reads the same places."""
    (_, height, width, _), (_, rows, columns, _) = x.type.shape, tables
    size = len(rows.index), len(columns.index)
    sides = ((rows, height, size[0]), (columns, width, size[1]))
    if rows.is_choice and columns.is_choice:
        for align, half in ((False, False), (False, True), (True, False), (True, True)):
            near = ResizeNearestNeighbor(size, align, half)
            if all(np.array_equal(near.indices(n, m), t.index[:, 0]) for t, n, m in sides):
                return near
        return None
    if any(t.index.shape[1] > 2 for t, _, _ in sides):
        return None
    for align, half in ((False, False), (False, True), (True, False)):
        linear = ResizeBilinear(size, align, half)
        if all(_same_places(linear, t, n, m) for t, n, m in sides):
            return linear
    return None


def _same_places(op: ResizeBilinear, table: Taps, before: int, after: int) -> bool:
    first, second, weight = op.taps(before, after)
    place = first + (second - first) * weight.astype(np.float64)
    return bool(np.abs(place - table.place).max() <= 1e-6 * before)


def _along(b: Builder, x: Value, axis: int, table: Taps) -> Value:
    """Elements along one axis, gathered and summed."""
    rank, count = len(x.type.shape), table.index.shape[1]
    if count > GATHERED_TAPS:
        return _product(b, x, axis, table)
    total: Value | None = None
    for i in range(count):
        y = b.one(Gather(axis), [x, b.constant(np.ascontiguousarray(table.index[:, i]))])
        if count > 1:
            weight = table.weight[:, i].astype(np.float32)
            y = b.one(Mul(), [y, b.constant(weight.reshape(-1, *[1] * (rank - 1 - axis)))])
        total = y if total is None else b.one(Add(), [total, y])
    assert total is not None
    return total


def _product(b: Builder, x: Value, axis: int, table: Taps) -> Value:
    rank, before, after = len(x.type.shape), x.type.shape[axis], len(table.index)
    b.afford(before * after)
    weights = np.zeros((after, before))
    np.add.at(weights, (np.arange(after)[:, None], table.index), table.weight)
    perm = [*(i for i in range(rank) if i != axis), axis]
    y = b.one(
        FullyConnected(keep_num_dims=True),
        [b.transpose(x, perm), b.constant(weights.astype(np.float32))],
    )
    return b.transpose(y, [perm.index(i) for i in range(rank)])


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


__all__ = ["Axis", "Rule", "Taps", "positions", "read_resize", "read_upsample", "resize", "taps"]
