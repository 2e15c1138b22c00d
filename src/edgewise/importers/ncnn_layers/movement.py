"""Layers that move elements: joining, cutting, padding, permuting."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np

from ... import ops
from ...graph import Array, Value
from ..channels_first import part
from ..ncnn_call import EXTENTS, Call, Row
from .arithmetic import MANY
from .expressions import sizes

REST = -233
"""What is left, as the size of a slice; a dimension that is dropped, as one of a shape."""


def joined(call: Call, axis: int, parts: Sequence[Value]) -> Value:
    return parts[0] if len(parts) == 1 else call.one(ops.Concatenation(axis), *parts)


def taken(call: Call, x: Value, axis: int, positions: Array) -> Value:
    """The elements of an axis at these positions."""
    if np.array_equal(positions, np.arange(x.type.shape[axis])):
        return x
    return call.one(ops.Gather(axis), x, call.b.constant(positions.astype(np.int32)))


def _concat(call: Call) -> Value:
    return joined(call, call.axis(call.integer(0), call.rank()), call.values())


def _slice(call: Call) -> list[Value]:
    axis = call.axis(call.integer(1), call.rank())
    size, count = call.raw().type.shape[axis], len(call.layer.outputs)
    edges = [0]
    if call.has(2):
        ends = [e + size if e < 0 else e for e in call.ints(2)]
        edges += [*ends[: count - 1], size]
    else:
        for i, wanted in enumerate(call.ints(0)[:count]):
            rest = (size - edges[-1]) // (count - i)
            edges.append(edges[-1] + (rest if wanted == REST else wanted))
    if len(edges) != count + 1 or edges != sorted(edges) or edges[-1] > size:
        raise call.error(f"slices at {edges} of {size} elements for {count} outputs")
    return [part(call.b, call.value(), axis, a, b - a) for a, b in itertools.pairwise(edges)]


OFFSETS = {1: (0,), 2: (1, 0), 3: (2, 1, 0), 4: (2, 13, 1, 0)}
LENGTHS = {1: (3,), 2: (4, 3), 3: (5, 4, 3), 4: (5, 14, 4, 3)}
BEHIND = {1: (6,), 2: (7, 6), 3: (8, 7, 6), 4: (8, 15, 7, 6)}
"""Crop's parameters of so many dimensions."""


def _crop(call: Call) -> Value:
    dims, rank = call.dims(), call.rank()
    starts, ends, axes = (sizes(call, key + 10) or call.ints(key) for key in (9, 10, 11))
    if starts or ends:
        axes = axes or tuple(range(len(starts)))
        if not len(starts) == len(ends) == len(axes):
            raise call.error(f"{len(starts)} starts, {len(ends)} ends, {len(axes)} axes")
        begin, size = [0] * rank, list(dims)
        for start, end, axis in zip(starts, ends, axes, strict=True):
            a = call.axis(axis, rank) - 1
            n = dims[a]
            begin[a] = start if start >= 0 else max(n + start, 0)
            last = n if end == REST else end if end > 0 else n + end
            size[a] = min(n, last) - begin[a]
    else:
        begin = [call.integer(k) for k in OFFSETS[rank]]
        size = _lengths(call, begin)
    for n, b, s in zip(dims, begin, size, strict=True):
        if b < 0 or s < 1 or b + s > n:
            raise call.error(f"{s} elements from {b} of {n}; at least 1, and within them")
    x = call.value()
    for i, (n, b, s) in enumerate(zip(dims, begin, size, strict=True)):
        if s != n:
            x = part(call.b, x, i + 1, b, s)
    return x


def _lengths(call: Call, begin: Sequence[int]) -> list[int]:
    dims, rank = call.dims(), call.rank()
    if len(call.blobs) == 2:
        other = call.dims(1)
        kept = [*dims[: rank - len(other)], *other] if len(other) < rank else other[-rank:]
        return [*kept]
    found = []
    for n, b, length, behind in zip(dims, begin, LENGTHS[rank], BEHIND[rank], strict=True):
        left = n - b - call.integer(behind)
        wanted = call.integer(length)
        found.append(left if wanted == REST else min(wanted, left))
    return found


CONSTANT, REPLICATE, REFLECT = range(3)


def _padding(call: Call) -> Value:
    rank, kind = call.rank(), call.integer(4)
    call.refuse(6, "values of each channel")
    top, bottom, left, right = (call.integer(key) for key in range(4))
    front, behind = call.integer(7), call.integer(8)
    pairs = [(front, behind), (top, bottom), (left, right)][-min(rank, 3) :]
    if rank == 4:
        pairs = [(0, 0), *pairs]
    if any(n < 0 for pair in pairs for n in pair):
        raise call.error(f"pads {pairs}; they are not negative")
    x, around = call.value(), ((0, 0), *pairs)
    if kind == CONSTANT:
        return call.one(ops.Pad(around, call.real(5)), x)
    if kind == REFLECT:
        return call.one(ops.MirrorPad(around), x)
    if kind != REPLICATE:
        raise call.error(f"type {kind}; it is 0 to 2")
    for axis, (before, after) in enumerate(around):
        n = x.type.shape[axis]
        if n + before + after > 2**16:
            raise call.error(f"pads {pairs}; dimensions stay within {2**16}")
        x = taken(call, x, axis, np.clip(np.arange(-before, n + after), 0, n - 1))
    return x


def _permute(call: Call) -> Value:
    """Orders are numbered as permutations of width, height and so on, the innermost first.

    ncnn names an order by its dimensions from the innermost on. Those of 4 dimensions are the
    permutations of (w, h, d, c) in the order of c, d, h, w.
    """
    order, rank = call.integer(0), call.rank()
    found = _orders(rank)
    if not 0 <= order < len(found):
        raise call.error(f"order {order}; it is 0 to {len(found) - 1}")
    return call.b.transpose(call.value(), (0, *(i + 1 for i in found[order])))


def _orders(rank: int) -> list[tuple[int, ...]]:
    """ncnn's orders as permutations of axes counted from the outermost."""
    if rank == 1:
        return [(0,)] * 6
    names = {
        2: "wh hw wh wh wh hw",
        3: "whc hwc wch cwh hcw chw",
        4: "whdc hwdc wdhc dwhc hdwc dhwc whcd hwcd wchd cwhd hcwd chwd "
        "wdch dwch wcdh cwdh dcwh cdwh hdcw dhcw hcdw chdw dchw cdhw",
    }[rank].split()
    outer = {2: "hw", 3: "chw", 4: "cdhw"}[rank]
    return [tuple(outer.index(c) for c in reversed(name)) for name in names]


def _stated(call: Call) -> list[int]:
    """The dimensions that Reshape states, outermost first."""
    found = sizes(call, 6)
    if found:
        return found[::-1]
    given = [call.integer(key, REST) for key in (0, 1, 2)]
    rank = 4 if call.integer(11, REST) != REST else 3 - sum(n == REST for n in given)
    return [call.integer(key, REST) for key in EXTENTS.get(rank, ())]


def _reshape(call: Call) -> Value:
    for key in (12, 13):
        if call.integer(key, 233) != 233:
            raise call.unsupported(f"a batch that is moved (parameter {key})")
    dims = call.dims()
    made = _stated(call)
    rank = len(made)
    if not 1 <= rank <= 4:
        raise call.error(f"{rank} dimensions are given; they are 1 to 4")
    own = dict(zip(EXTENTS[len(dims)], dims, strict=True))
    made = [own.get(key, 1) if n == 0 else n for key, n in zip(EXTENTS[rank], made, strict=True)]
    if made.count(-1) == 1:
        rest = math.prod(n for n in made if n != -1)
        made[made.index(-1)] = math.prod(dims) // rest if rest > 0 else 0
    if min(made) < 1:
        raise call.error(f"dimensions {made}; they are positive, and one of them may be -1")
    if call.flag(3):
        raise call.unsupported("permute (parameter 3)")
    return call.shaped(call.raw(), made)


def _flatten(call: Call) -> Value:
    return call.shaped(call.raw(), (math.prod(call.dims()),))


def _squeeze(call: Call) -> Value:
    rank = call.rank()
    gone = {call.axis(a, rank) - 1 for a in call.ints(3)}
    if not call.ints(3):
        gone = {i for i, key in enumerate(EXTENTS[rank]) if call.flag(key)}
    kept = [n for i, n in enumerate(call.dims()) if not (i in gone and n == 1)]
    return call.shaped(call.raw(), kept or [1])


def _expand_dims(call: Call) -> Value:
    dims, axes = list(call.dims()), call.ints(3)
    if not axes and any(call.flag(key) for key in (0, 1, 11, 2)):
        raise call.unsupported("dimensions that are no axes (parameters 0, 1, 11 and 2)")
    rank = len(dims) + len(axes)
    places = sorted(call.axis(a, rank) - 1 for a in axes)
    if rank > 4 or len(set(places)) != len(places):
        raise call.error(f"{rank} dimensions, new ones {places}; there are 4 at most, each once")
    for place in places:
        dims.insert(place, 1)
    return call.shaped(call.raw(), dims)


def _tile(call: Call) -> Value:
    rank, repeats = call.rank(), call.ints(2)
    if repeats:
        missing = max(len(repeats) - rank, 0)
        if rank + missing > 4:
            raise call.error(f"{len(repeats)} repeats; at most 4")
        x = call.shaped(call.value(), (*[1] * missing, *call.dims()))
        counts = (1, *[1] * (rank - len(repeats)), *repeats)
    else:
        axis = call.axis(call.integer(0), rank)
        x, counts = (
            call.value(),
            tuple(call.integer(1, 1) if i == axis else 1 for i in range(rank + 1)),
        )
    if min(counts) < 1:
        raise call.error(f"repeats {list(counts[1:])}; they are positive")
    return call.one(ops.Tile(counts), x)


def _flip(call: Call) -> Value:
    rank = call.rank()
    axes = {call.axis(a, rank) for a in call.ints(0)}
    return call.one(ops.Reverse(tuple(sorted(axes))), call.value()) if axes else call.value()


LAYERS: dict[str, Row] = {
    "Concat": Row(_concat, (1, MANY)),
    "Crop": Row(_crop, (1, 10)),
    "ExpandDims": Row(_expand_dims),
    "Flatten": Row(_flatten),
    "Flip": Row(_flip),
    "Padding": Row(_padding),
    "Permute": Row(_permute),
    "Reshape": Row(_reshape, (1, 10)),
    "Slice": Row(_slice),
    "Squeeze": Row(_squeeze),
    "Tile": Row(_tile),
}
