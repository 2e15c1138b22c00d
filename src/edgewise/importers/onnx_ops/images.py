"""Pooling; rows of resizing."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from ... import ops
from ...dtype import DType
from ...graph import Value
from ...ops import Op
from .. import channels_first
from ..onnx_call import Call, Row
from .products import in_float32
from .resizing import read_resize, read_upsample
from .windows import Windows, resolved, rounded_up, windows

MOST_TAPS = 1024
"""The most taps of a window that is written out tap by tap."""


def max_pool(call: Call) -> list[Value]:
    x = call.value(0)
    w, pads = _pool_windows(call)
    if not (x.type.dtype.is_float or x.type.dtype.is_integer):
        raise call.error(f"input 0 is {x.type.dtype}; it must be of numbers")
    if call.wants(1):
        order = call.integer("storage_order", 0)
        op = ops.MaxPoolIndices(w.taps, w.stride, w.dilation, pads, bool(order))
        return list(call.b.add(op, [x]))
    is_known = x.type.dtype is DType.FLOAT32 or x.type.quant is not None
    if not is_known or w.extent != w.taps:
        least = -math.inf if x.type.dtype.is_float else x.type.dtype.range[0]
        return [over_taps(call, x, w, pads, ops.Maximum, least)]
    return [channels_first.max_pool(call.b, x, w.taps, w.stride, pads)]


def max_unpool(call: Call) -> Value:
    """Of the least size that the pool's input may have had; more zeros after it by input 2."""
    x, w = call.value(0), windows(call)
    dims = len(w.taps)
    size = [
        (n - 1) * s + k - before - after
        for n, s, k, before, after in zip(
            x.type.shape[2:], w.stride, w.taps, w.pads[:dims], w.pads[dims:], strict=True
        )
    ]
    found = (*x.type.shape[:2], *size)
    y = call.one(ops.MaxUnpool(found), x, call.value(1))
    wanted = call.integers(2) if call.has(2) else found
    if len(wanted) != len(found) or any(n < m for n, m in zip(wanted, found, strict=True)):
        raise call.error(f"output_shape {list(wanted)}; it is at least {list(found)}")
    pads = tuple((0, n - m) for n, m in zip(wanted, found, strict=True))
    return y if wanted == found else call.one(ops.Pad(pads), y)


def average_pool(call: Call) -> Value:
    """A mean of what lies in the input, and in the pads with count_include_pad."""
    x = call.value(0)
    w, pads = _pool_windows(call)
    counts = resolved(call, w) if call.flag("count_include_pad") else None
    if w.extent == w.taps:
        return channels_first.average_pool(call.b, x, w.taps, w.stride, pads, count_pads=counts)
    total = over_taps(call, x, w, pads, ops.Add, 0)
    return call.one(ops.Div(), total, call.b.constant(_counts(call.shape(0)[2:], w, pads, counts)))


def lp_pool(call: Call) -> Value:
    """The sum of |x| ** p over a window, to the power 1 / p."""
    x, p = call.value(0), call.integer("p", 2)
    w, pads = _pool_windows(call)
    total = over_taps(call, power_of_size(call, x, p), w, pads, ops.Add, 0)
    return root(call, total, p)


def power_of_size(call: Call, x: Value, p: int) -> Value:
    """|x| ** p"""
    if p < 1:
        raise call.error(f"p is {p}; it must be 1 or more")
    if p == 2:
        return call.one(ops.Square(), x)
    size = call.one(ops.Abs(), x)
    return size if p == 1 else call.one(ops.Pow(), size, call.number(p, x))


def root(call: Call, x: Value, p: int) -> Value:
    """x ** (1 / p)"""
    if p == 1:
        return x
    return call.one(ops.Sqrt(), x) if p == 2 else call.one(ops.Pow(), x, call.number(1 / p, x))


def _pool_windows(call: Call) -> tuple[Windows, tuple[int, ...]]:
    """The windows of a pool, and its pads with those that ceil_mode adds."""
    w = windows(call)
    pads, size = resolved(call, w), call.shape(0)[2:]
    if call.flag("ceil_mode"):
        pads = rounded_up(size, w, pads)
    dims = len(size)
    for i, (n, e) in enumerate(zip(size, w.extent, strict=True)):
        if max(pads[i], pads[dims + i]) >= e or n + pads[i] + pads[dims + i] < e:
            raise call.error(
                f"windows of {list(w.extent)} over {list(size)} with pads {list(pads)}; pads are "
                "smaller than a window, which fits"
            )
    return w, pads


def over_taps(
    call: Call,
    x: Value,
    w: Windows,
    pads: tuple[int, ...],
    combine: Callable[[], Op],
    outside: float,
) -> Value:
    """Elements of each window combined, tap by tap along one axis after the other."""
    dims = len(w.taps)
    if sum(w.taps) > MOST_TAPS:
        raise call.unsupported(f"windows of {list(w.taps)} taps; at most {MOST_TAPS} in all")
    if any(pads):
        pairs = ((0, 0), (0, 0), *((pads[i], pads[dims + i]) for i in range(dims)))
        value = outside if x.type.dtype.is_float else int(outside)
        x = call.one(ops.Pad(pairs, value), x)
    for axis in range(2, dims + 2):
        taps, stride, dilation = (v[axis - 2] for v in (w.taps, w.stride, w.dilation))
        shape = list(x.type.shape)
        count = (shape[axis] - (taps - 1) * dilation - 1) // stride + 1
        shape[axis] = count
        steps = tuple(stride if i == axis else 1 for i in range(dims + 2))
        parts = []
        for tap in range(taps):
            begin = tuple(tap * dilation if i == axis else 0 for i in range(dims + 2))
            parts.append(call.one(ops.StridedSlice(begin, tuple(shape), steps), x))
        x = parts[0]
        for part in parts[1:]:
            x = call.one(combine(), x, part)
    return x


def _counts(
    size: tuple[int, ...], w: Windows, pads: tuple[int, ...], counted: tuple[int, ...] | None
) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    """How many taps of each window lie in the input or in ``counted`` pads: [1, 1, ...]."""
    dims = len(size)
    counts = np.ones((1, 1, *[1] * dims))
    around = counted or (0,) * (2 * dims)
    for i, n in enumerate(size):
        last = n + pads[dims + i] - w.extent[i]
        starts = np.arange(-pads[i], last + 1, w.stride[i])
        places = starts[:, None] + np.arange(w.taps[i]) * w.dilation[i]
        inside = ((places >= -around[i]) & (places < n + around[dims + i])).sum(1)
        shape = [1] * (dims + 2)
        shape[2 + i] = len(starts)
        counts = counts * inside.reshape(shape)
    return counts.astype(np.float32)


def _spatial(call: Call) -> tuple[int, ...]:
    if call.rank(0) < 3:
        raise call.error(f"input 0 has rank {call.rank(0)}; it must be 3 or more")
    return tuple(range(2, call.rank(0)))


def global_average_pool(call: Call) -> Value:
    return call.one(ops.Mean(_spatial(call), True), call.value(0))


def global_max_pool(call: Call) -> Value:
    return call.one(ops.ReduceMax(_spatial(call), True), call.value(0))


def global_lp_pool(call: Call) -> Value:
    p = call.integer("p", 2)
    powers = power_of_size(call, call.value(0), p)
    return root(call, call.one(ops.Sum(_spatial(call), True), powers), p)


OPERATORS: dict[str, Row] = {
    "AveragePool": Row(in_float32(average_pool)),
    "GlobalAveragePool": Row(global_average_pool),
    "GlobalLpPool": Row(global_lp_pool),
    "GlobalMaxPool": Row(global_max_pool),
    "LpPool": Row(in_float32(lp_pool)),
    "MaxPool": Row(in_float32(max_pool), quantized=True),
    "MaxUnpool": Row(max_unpool, (2, 3)),
    "Resize": Row(read_resize, (1, 4)),
    "Upsample": Row(read_upsample, (1, 2)),
}
