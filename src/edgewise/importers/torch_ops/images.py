"""Pooling, and what moves pixels between channels and images."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from ... import ops
from ...dtype import DType
from ...graph import Value
from .. import channels_first
from ..torch_call import Call, Reader
from .arithmetic import times

MOST_TAPS = 1024
"""The most taps of a window that is written out tap by tap."""


@dataclass(frozen=True)
class Windows:
    """Windows over the last dimensions of an input; pads as in `channels_first`."""

    taps: tuple[int, ...]
    stride: tuple[int, ...]
    dilation: tuple[int, ...]
    padding: tuple[int, ...]
    pads: tuple[int, ...]
    count: tuple[int, ...]


def windows(call: Call, rank: int) -> Windows:
    """The windows of a pool; with ceil_mode the last begins at the latest in the padding before.

    Pads after an input may be more than ``padding`` then.
    """
    taps = call.spread("kernel_size", rank)
    stride, dilation = call.spread("stride", rank, taps), call.spread("dilation", rank, (1,) * rank)
    padding, after, count = call.spread("padding", rank, (0,) * rank), [], []
    if min((*taps, *stride, *dilation)) < 1 or min(padding) < 0:
        raise call.error(f"windows {taps}, stride {stride}, dilation {dilation}; 1 or more")
    for n, k, s, d, p in zip(call.shape()[-rank:], taps, stride, dilation, padding, strict=True):
        width = d * (k - 1) + 1
        spare = n + 2 * p - width
        steps = -(-spare // s) if call.flag("ceil_mode") else spare // s
        if call.flag("ceil_mode") and steps * s >= n + p:
            steps -= 1
        if steps < 0:
            raise call.error(f"windows of {width} over {n} elements and {p} around; one fits")
        count.append(steps + 1)
        after.append(max(steps * s + width - n - p, 0))
    return Windows(taps, stride, dilation, padding, (*padding, *after), tuple(count))


def batched(call: Call, rank: int) -> tuple[Value, tuple[int, ...]]:
    """The input as [N, C, ...], and what is before its last dimensions."""
    x = call.value()
    before = x.type.shape[:-rank]
    if len(before) not in (1, 2):
        raise call.error(f"input {list(x.type.shape)}; it has {rank + 1} or {rank + 2} dimensions")
    shape = (1, *x.type.shape) if len(before) == 1 else x.type.shape
    return call.b.reshape(x, shape), before


def max_pool(rank: int) -> Reader:
    """Values, and where in its plane each was found."""

    def read(call: Call) -> list[Value | None]:
        w = windows(call, rank)
        x, before = batched(call, rank)
        if w.dilation == (1,) * rank and x.type.dtype is DType.FLOAT32:
            y = channels_first.max_pool(call.b, x, w.taps, w.stride, w.pads)
        else:
            parts = taps_of(call, x, w, _least(x.type.dtype))
            y = parts[0]
            for part in parts[1:]:
                y = call.one(ops.Maximum(), y, part)
        shape = (*before, *w.count)
        places = call.b.reshape(_places(call, x, w), shape) if 1 in call.wanted else None
        return [call.b.reshape(y, shape), places]

    return read


def first(read: Callable[[Call], Sequence[Value | None]]) -> Reader:
    def alone(call: Call) -> Value:
        found = read(call)[0]
        assert found is not None
        return found

    return alone


def _least(dtype: DType) -> float | int:
    return -math.inf if dtype.is_float else dtype.range[0]


def taps_of(call: Call, x: Value, w: Windows, outside: float | int) -> list[Value]:
    """For each tap of the windows its elements [N, C, *count]; ``outside`` is around x."""
    rank = len(w.taps)
    if math.prod(w.taps) > MOST_TAPS:
        raise call.unsupported(f"windows of {list(w.taps)} taps; at most {MOST_TAPS} in all")
    if any(w.pads):
        pairs = ((0, 0), (0, 0), *zip(w.pads[:rank], w.pads[rank:], strict=True))
        x = call.one(ops.Pad(pairs, outside), x)
    size, steps = (*x.type.shape[:2], *w.count), (1, 1, *w.stride)
    return [
        call.one(
            ops.StridedSlice(
                (0, 0, *(t * d for t, d in zip(tap, w.dilation, strict=True))), size, steps
            ),
            x,
        )
        for tap in product(*map(range, w.taps))
    ]


def _places(call: Call, x: Value, w: Windows) -> Value:
    """The index in its plane of each window's greatest element, the first of several."""
    size = x.type.shape[2:]
    steps = [math.prod(size[i + 1 :]) for i in range(len(size))]
    taps = call.one(ops.Pack(0), *taps_of(call, x, w, _least(x.type.dtype)))
    tap = call.one(ops.ArgMax(0, DType.INT64), taps)
    offsets = [
        sum(t * d * s for t, d, s in zip(at, w.dilation, steps, strict=True))
        for at in product(*map(range, w.taps))
    ]
    origin = np.zeros(w.count, np.int64)
    for i, (n, s, p, step) in enumerate(zip(w.count, w.stride, w.padding, steps, strict=True)):
        origin += ((np.arange(n) * s - p) * step).reshape(-1, *[1] * (len(size) - 1 - i))
    found = call.one(ops.Gather(0), call.b.constant(np.array(offsets, np.int64)), tap)
    return call.one(ops.Add(), found, call.b.constant(origin))


def average_pool(rank: int) -> Reader:
    def read(call: Call) -> Value:
        w = windows(call, rank)
        x, before = batched(call, rank)
        divisor = call.get("divisor_override")
        counted = call.flag("count_include_pad", True)
        pads = w.pads
        if divisor is not None and any(pads):
            pairs = ((0, 0), (0, 0), *zip(pads[:rank], pads[rank:], strict=True))
            x, pads = call.one(ops.Pad(pairs), x), (0,) * 2 * rank
        y = channels_first.average_pool(
            call.b,
            x,
            w.taps,
            w.stride,
            pads,
            count_pads=(*w.padding, *w.padding) if counted and divisor is None else None,
        )
        if divisor is not None:
            y = times(call, y, math.prod(w.taps) / call.integer("divisor_override"))
        return call.b.reshape(y, (*before, *w.count))

    return read


def adaptive_average_pool(rank: int) -> Reader:
    """Means of windows that share the input out evenly; they may overlap."""

    def read(call: Call) -> Value:
        size = call.spread("output_size", rank)
        x, before = batched(call, rank)
        spatial = x.type.shape[2:]
        if 0 in spatial or min(size) < 1:
            raise call.unsupported(f"of {list(spatial)} to {list(size)}")
        if set(size) == {1}:
            y = call.one(ops.Mean(tuple(range(2, rank + 2)), True), x)
        elif all(n % m == 0 for n, m in zip(spatial, size, strict=True)):
            taps = [n // m for n, m in zip(spatial, size, strict=True)]
            y = channels_first.average_pool(call.b, x, taps, taps, (0,) * 2 * rank)
        else:
            y = x
            for i, m in enumerate(size):
                y = _shared_mean(call, y, i + 2, m)
        return call.b.reshape(y, (*before, *size))

    return read


def shares(before: int, after: int) -> list[tuple[int, int]]:
    """(begin, end) of each of ``after`` windows over ``before`` elements."""
    return [(i * before // after, -(-(i + 1) * before // after)) for i in range(after)]


def _shared_mean(call: Call, x: Value, axis: int, size: int) -> Value:
    """Means along one axis, as a product with the shares of its elements."""
    shape = x.type.shape
    call.check_size((size, shape[axis]))
    weights = np.zeros((size, shape[axis]), np.float32)
    for i, (begin, end) in enumerate(shares(shape[axis], size)):
        weights[i, begin:end] = 1 / (end - begin)
    perm = [*(i for i in range(len(shape)) if i != axis), axis]
    y = call.one(
        ops.FullyConnected(keep_num_dims=True),
        call.b.transpose(x, perm),
        call.b.constant(weights),
    )
    return call.b.transpose(y, [perm.index(i) for i in range(len(shape))])


def adaptive_max_pool(rank: int) -> Reader:
    def read(call: Call) -> list[Value | None]:
        size = call.spread("output_size", rank)
        y, before = batched(call, rank)
        if min((*y.type.shape, *size)) < 1 or sum(size) > MOST_TAPS:
            raise call.unsupported(f"of {list(y.type.shape)} to {list(size)}")
        for i, m in enumerate(size):
            axis, parts = i + 2, []
            for begin, end in shares(y.type.shape[axis], m):
                part = call.b.slice(y, axis, begin, end - begin)
                parts.append(call.one(ops.ReduceMax((axis,), True), part))
            y = call.one(ops.Concatenation(axis), *parts)
        return [call.b.reshape(y, (*before, *size)), None]

    return read


def max_unpool(call: Call) -> Value:
    """x put where the indices in each plane say, 0 elsewhere."""
    x, indices, size = call.value(), call.value("indices"), call.ints("output_size")
    rank = len(size)
    planes, area = x.type.shape[:-rank], math.prod(size)
    call.check_size((*planes, *size))
    count = math.prod(planes)
    starts = np.arange(count, dtype=np.int64).reshape((*planes, *[1] * rank)) * area
    places = call.one(ops.Add(), indices, call.b.constant(starts))
    zeros = call.filled((count * area,), 0, x.type.dtype)
    flat = (call.b.reshape(v, (x.type.size,)) for v in (places, x))
    y = call.one(ops.ScatterRows(ops.Computation.UPDATE), zeros, *flat)
    return call.b.reshape(y, (*planes, *size))


def pixel_shuffle(call: Call) -> Value:
    """Channels [C * r * r, H, W] as an image [C, H * r, W * r]."""
    r = call.integer("upscale_factor")
    *before, c, h, w = call.shape()
    if r < 1 or c % (r * r):
        raise call.error(f"{c} channels by {r}; they divide by its square")
    return moved(
        call, (c // (r * r), r, r, h, w), (0, 3, 1, 4, 2), (*before, c // (r * r), h * r, w * r)
    )


def pixel_unshuffle(call: Call) -> Value:
    r = call.integer("downscale_factor")
    *before, c, h, w = call.shape()
    if r < 1 or h % r or w % r:
        raise call.error(f"an image of {h}x{w} by {r}; it divides both")
    return moved(
        call, (c, h // r, r, w // r, r), (0, 2, 4, 1, 3), (*before, c * r * r, h // r, w // r)
    )


def channel_shuffle(call: Call) -> Value:
    groups = call.integer("groups")
    n, c, *rest = call.shape()
    if groups < 1 or c % groups:
        raise call.error(f"{c} channels in {groups} groups; they divide")
    return moved(
        call, (groups, c // groups, math.prod(rest)), (1, 0, 2), (n, c, *rest), leading=(n,)
    )


def moved(
    call: Call,
    shape: Sequence[int],
    perm: Sequence[int],
    result: Sequence[int],
    leading: Sequence[int] | None = None,
) -> Value:
    """The input as [leading, shape], transposed, as ``result``."""
    first = math.prod(result[:-3]) if leading is None else leading[0]
    wide = call.b.reshape(call.value(), (first, *shape))
    return call.b.reshape(call.b.transpose(wide, (0, *(p + 1 for p in perm))), tuple(result))


def unfold_image(call: Call) -> Value:
    """im2col: the elements of each window of x [N, C, H, W] as a column [N, C * KH * KW, L]."""
    w = windows(call, 2)
    x, _ = batched(call, 2)
    n, c = x.type.shape[:2]
    columns = call.one(ops.Pack(2), *taps_of(call, x, w, 0))
    shape = (n, c * math.prod(w.taps), math.prod(w.count))
    return call.b.reshape(columns, shape if len(call.shape()) == 4 else shape[1:])


def pools(name: str, read: Callable[[int], Reader], ranks: Sequence[int]) -> dict[str, Reader]:
    return {f"{name}{rank}d": read(rank) for rank in ranks}


def _max_of(rank: int) -> Reader:
    return first(max_pool(rank))  # type: ignore[arg-type]


OPERATORS: dict[str, Reader] = {
    **pools("max_pool", _max_of, (1, 2, 3)),
    **pools("avg_pool", average_pool, (1, 2, 3)),
    **pools("adaptive_avg_pool", adaptive_average_pool, (1, 2, 3)),
    **pools("_adaptive_avg_pool", adaptive_average_pool, (2, 3)),
    **pools("adaptive_max_pool", adaptive_max_pool, (1, 2, 3)),
    "channel_shuffle": channel_shuffle,
    "im2col": unfold_image,
    "max_pool1d_with_indices": max_pool(1),
    "max_pool2d_with_indices": max_pool(2),
    "max_pool3d_with_indices": max_pool(3),
    "max_unpool2d": max_unpool,
    "max_unpool3d": max_unpool,
    "pixel_shuffle": pixel_shuffle,
    "pixel_unshuffle": pixel_unshuffle,
}
