"""Pooling, resizing and sampling of images."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ... import ops
from ...graph import Value
from ..channels_first import (
    average_pool,
    max_pool,
    part,
    same_padding,
)
from ..ncnn_call import Call, Row
from ..resampling import MAX_SIZE, Axis, Rule, resize
from .activations import FLOAT_MAX
from .expressions import sizes
from .movement import joined

WIDTH = {"kernel": 1, "stride": 2, "before": 3, "after": 14, "size": 8}
HEIGHT = {"kernel": 11, "stride": 12, "before": 13, "after": 15, "size": 18}
DEPTH = {"kernel": 21, "stride": 22, "before": 23, "after": 16, "size": 28}

FULL, VALID, SAME_UPPER, SAME_LOWER = range(4)

MAX, AVERAGE = range(2)


def _pooling(call: Call, dimensions: int) -> Value:
    call.rank(0, dimensions + 1)
    kind = call.integer(0)
    if kind not in (MAX, AVERAGE):
        raise call.error(f"pooling_type {kind}; it is {MAX} or {AVERAGE}")
    axes = (WIDTH, HEIGHT, DEPTH)[:dimensions][::-1]
    if call.flag(4):
        reduced = tuple(range(2, dimensions + 2))
        return call.one(ops.ReduceMax(reduced) if kind == MAX else ops.Mean(reduced), call.value())
    if call.flag(7):
        wide = call.integer(8)
        return _adaptive(call, kind, [call.integer(a["size"], wide) for a in axes])
    taps = [call.integer(a["kernel"], call.integer(1)) for a in axes]
    stride = [call.integer(a["stride"], call.integer(2, 1)) for a in axes]
    if min((*taps, *stride)) < 1:
        raise call.error(f"window {taps} and stride {stride}; both are at least 1")
    before = [call.integer(a["before"], call.integer(3)) for a in axes]
    after = [call.integer(a["after"], p) for a, p in zip(axes, before, strict=True)]
    pads = _pads(call, taps, stride, before, after)
    x, counts = call.value(), call.flag(6) or call.integer(5) in (SAME_UPPER, SAME_LOWER)
    alone = any(p >= k for p, k in zip(pads, (*taps, *taps), strict=True))
    if alone and (kind == MAX or counts):
        pairs = zip(pads[:dimensions], pads[dimensions:], strict=True)
        value = -FLOAT_MAX if kind == MAX else 0.0
        x = call.one(ops.Pad(((0, 0), (0, 0), *pairs), value), x)
        pads = [0] * len(pads)
    if kind == MAX:
        return max_pool(call.b, x, taps, stride, pads)
    return average_pool(call.b, x, taps, stride, pads, count_pads=pads if counts else None)


def _pads(
    call: Call, taps: Sequence[int], stride: Sequence[int], before: list[int], after: list[int]
) -> list[int]:
    """Pads before each dimension, then after; those that fill up a last window are among them."""
    mode, size = call.integer(5), call.dims()[1:]
    if mode in (SAME_UPPER, SAME_LOWER):
        return same_padding(size, taps, stride, [1] * len(size), mode == SAME_LOWER)
    if mode not in (FULL, VALID):
        raise call.error(f"pad_mode {mode}; it is 0 to 3")
    if min((*before, *after)) < 0:
        raise call.error(f"pads {before} and {after}; they are not negative")
    if mode == FULL:
        after = [
            a + -(n + b + a - k) % s
            for n, k, s, b, a in zip(size, taps, stride, before, after, strict=True)
        ]
    return [*before, *after]


def _adaptive(call: Call, kind: int, sizes: Sequence[int]) -> Value:
    """Windows that divide the image as evenly as they can, along one dimension after another."""
    x, dims = call.value(), call.dims()[1:]
    made = [n if s == -233 else s for n, s in zip(dims, sizes, strict=True)]
    if min(made) < 1 or max(made) > 2**12:
        raise call.error(f"output {made}; each dimension is 1 to {2**12}")
    if all(n % s == 0 for n, s in zip(dims, made, strict=True)):
        taps = [n // s for n, s in zip(dims, made, strict=True)]
        if max(taps) == 1:
            return x
        pads = [0] * (2 * len(taps))
        pool = max_pool if kind == MAX else average_pool
        return pool(call.b, x, taps, taps, pads)
    for i, (n, s) in enumerate(zip(dims, made, strict=True)):
        if n == s:
            continue
        ranges = [(n * k // s, -(-n * (k + 1) // s)) for k in range(s)]
        x = _windows(call, x, i + 2, ranges, kind)
    return x


def _windows(
    call: Call, x: Value, axis: int, ranges: Sequence[tuple[int, int]], kind: int
) -> Value:
    """The greatest, or the mean, of each range of an axis."""
    op = ops.ReduceMax if kind == MAX else ops.Mean
    parts = []
    for begin, end in ranges:
        piece = part(call.b, x, axis, begin, end - begin)
        parts.append(call.one(op((axis,), True), piece))
    return joined(call, axis, parts)


RESIZES = {1: "nearest", 2: "linear", 3: "cubic"}


def _interp(call: Call) -> Value:
    rank, kind, corners = call.rank(0, 1, 2, 3), call.integer(0), call.flag(6)
    if kind not in RESIZES:
        raise call.unsupported(f"resize_type {kind}")
    channels, *size = call.dims()
    x, axes = call.value(), _targets(call, [*[1] * (2 - len(size)), *size])
    if rank == 1:
        wide = call.shaped(x, (channels, 1, 1))
        return call.one(ops.Tile((1, 1, *(a.after for a in axes))), wide)
    axes = axes[-len(size) :]
    coordinates = "align_corners" if corners else "half_pixel"
    if kind == 1:
        coordinates = "asymmetric"
    rule = Rule(RESIZES[kind], coordinates, "floor")
    whole = [Axis(n, n, 1.0) for n in x.type.shape[:2]]
    return resize(call.b, x, rule, [*whole, *axes])


def _targets(call: Call, size: Sequence[int]) -> list[Axis]:
    """What becomes of height and width."""
    stated = sizes(call, 9)
    if stated:
        wanted = [*[1] * (2 - len(stated)), *stated[1::-1]]
    elif len(call.blobs) == 2:
        other = call.dims(1)[1:]
        wanted = [*[1] * (2 - len(other)), *other][-2:]
    else:
        wanted = [call.integer(3), call.integer(4)]
    if all(wanted):
        axes = [Axis(n, w, w / n) for n, w in zip(size, wanted, strict=True)]
    else:
        scales = [call.real(1, 1.0), call.real(2, 1.0)]
        with np.errstate(over="ignore"):
            made = np.multiply(size, scales, dtype=np.float32).tolist()
        if not all(1 <= m < MAX_SIZE for m in made):
            raise call.error(f"scales {scales} of {list(size)}; sides are 1 to {MAX_SIZE}")
        axes = [Axis(n, int(m), s) for n, m, s in zip(size, made, scales, strict=True)]
    if not all(0 < a.after <= MAX_SIZE for a in axes):
        raise call.error(f"sides of {[a.after for a in axes]}; they are 1 to {MAX_SIZE}")
    return axes


def _pixel_shuffle(call: Call) -> Value:
    """[C * r * r, H, W] to [C, H * r, W * r]; the factors come first in channels of mode 1."""
    call.rank(0, 3)
    factor, (channels, height, width) = call.integer(0, 1), call.dims()
    if factor < 1 or channels % factor**2:
        raise call.error(f"{channels} channels, factor {factor}; its square must divide them")
    inner = channels // factor**2
    batch = call.raw().type.shape[0]
    parts = (factor, factor, inner) if call.flag(1) else (inner, factor, factor)
    x = call.b.reshape(call.value(), (batch, *parts, height, width))
    perm = (0, 3, 4, 1, 5, 2) if call.flag(1) else (0, 1, 4, 2, 5, 3)
    return call.shaped(call.b.transpose(x, perm), (inner, height * factor, width * factor))


def _reorg(call: Call) -> Value:
    """[C, H * s, W * s] to [C * s * s, H, W]; the factors come first in channels of mode 1."""
    call.rank(0, 3)
    step, (channels, height, width) = call.integer(0, 1), call.dims()
    if step < 1 or height % step or width % step:
        raise call.error(f"{height}x{width} pixels, stride {step}; it must divide them")
    batch = call.raw().type.shape[0]
    x = call.b.reshape(call.value(), (batch, channels, height // step, step, width // step, step))
    perm = (0, 3, 5, 1, 2, 4) if call.flag(1) else (0, 1, 3, 5, 2, 4)
    made = (channels * step * step, height // step, width // step)
    return call.shaped(call.b.transpose(x, perm), made)


def _shuffle_channel(call: Call) -> Value:
    call.rank(0, 3)
    groups, (channels, height, width) = call.integer(0, 1), call.dims()
    if groups < 1 or channels % groups:
        raise call.error(f"{channels} channels in {groups} groups, which must divide them")
    parts = (channels // groups, groups) if call.flag(1) else (groups, channels // groups)
    batch = call.raw().type.shape[0]
    x = call.b.reshape(call.value(), (batch, *parts, height, width))
    return call.shaped(call.b.transpose(x, (0, 2, 1, 3, 4)), (channels, height, width))


LAYERS: dict[str, Row] = {
    "Interp": Row(_interp, (1, 10)),
    "PixelShuffle": Row(_pixel_shuffle),
    "Pooling": Row(lambda call: _pooling(call, 2)),
    "Pooling1D": Row(lambda call: _pooling(call, 1)),
    "Pooling3D": Row(lambda call: _pooling(call, 3)),
    "Reorg": Row(_reorg),
    "ShuffleChannel": Row(_shuffle_channel),
}
