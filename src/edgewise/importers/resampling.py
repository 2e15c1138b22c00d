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

Floats = npt.NDArray[np.float64]

MAX_SIZE = 2**16
"""The greatest size of a resized axis."""

GATHERED_TAPS = 4
"""More taps than this are a matrix product."""

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
        found = y * last / np.float32(max(axis.after - 1, 1))
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


__all__ = ["MAX_SIZE", "Axis", "Rule", "Taps", "positions", "resize", "taps"]
