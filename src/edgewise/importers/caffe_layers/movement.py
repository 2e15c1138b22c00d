"""Layers that move elements: joined, cut, reordered, repeated, looked up."""

from __future__ import annotations

import itertools
import math

import numpy as np

from ... import ops
from ...dtype import DType
from ...graph import Value
from ..caffe_call import MANY, LayerCall, Results, Row
from ..channels_first import part
from ..limits import MAX_RANK


def concat(call: LayerCall) -> Value:
    """The bottoms along ``axis``, or its older name ``concat_dim``.

    Of constants, as priors are, at once.
    """
    p = call.p
    axis = call.axis(p.concat_dim if p.HasField("concat_dim") else p.axis)
    if len(call.bottoms) == 1:
        return call.x
    known = [v.data for v in call.bottoms if v.data is not None]
    others = {(*v.type.shape[:axis], *v.type.shape[axis + 1 :]) for v in call.bottoms}
    if len(known) == len(call.bottoms) and len(others) == 1:
        call.generate(sum(data.size for data in known))
        return call.b.constant(np.concatenate(known, axis), f"{call.layer.name}/joined")
    return call.one(ops.Concatenation(axis), *call.bottoms)


def slice_(call: LayerCall) -> Results:
    """Parts along ``axis`` (or ``slice_dim``) between the slice points; equal ones without."""
    p, tops = call.p, call.tops
    axis = call.axis(p.slice_dim if p.HasField("slice_dim") else p.axis)
    size, points = call.shape[axis], list(p.slice_point)
    if not points:
        if size % tops:
            raise call.error(f"{tops} tops of axis {axis}, whose size is {size}; they divide it")
        points = [i * size // tops for i in range(1, tops)]
    bounds = [0, *points, size]
    if len(bounds) != tops + 1 or any(a >= b for a, b in itertools.pairwise(bounds)):
        raise call.error(
            f"slice points {points} of axis {axis}, whose size is {size}, for {tops} tops; they "
            "ascend within it, one less than tops"
        )
    if tops == 1:
        return call.x
    return [part(call.b, call.x, axis, a, z - a) for a, z in itertools.pairwise(bounds)]


def crop(call: LayerCall) -> Value:
    """The first bottom cut to the second one's size from ``axis`` on."""
    axis, target = call.axis(call.p.axis), call.bottoms[1].type.shape
    offsets, count = list(call.p.offset), call.rank - axis
    if len(target) != call.rank or len(offsets) not in (0, 1, count):
        raise call.error(
            f"bottoms of {call.rank} and {len(target)} dimensions, {len(offsets)} offsets; the "
            f"first are equal, and there are no, one or {count} offsets"
        )
    begins = [0] * axis + (offsets if len(offsets) == count else (offsets or [0]) * count)
    sizes = [*call.shape[:axis], *target[axis:]]
    if any(o + n > whole for o, n, whole in zip(begins, sizes, call.shape, strict=True)):
        raise call.error(
            f"{sizes} elements from {begins} on of a bottom of {list(call.shape)}; they lie in it"
        )
    op = ops.StridedSlice(tuple(begins), tuple(sizes), (1,) * call.rank)
    return call.one(op, call.x)


def permute(call: LayerCall) -> Value:
    """The axes in ``order``; those it leaves out follow."""
    order = list(call.p.order)
    if len(set(order)) != len(order) or any(i >= call.rank for i in order):
        raise call.error(f"order {order} of {call.rank} dimensions; each is named once at most")
    return call.b.transpose(call.x, [*order, *(i for i in range(call.rank) if i not in order)])


def flatten(call: LayerCall) -> Value:
    """The dimensions from ``axis`` to ``end_axis`` as one."""
    first, last = call.axis(call.p.axis), call.axis(call.p.end_axis)
    if last < first:
        raise call.error(f"axis {first} to end_axis {last}; the first is not after the last")
    shape = call.shape
    size = math.prod(shape[first : last + 1])
    return call.b.reshape(call.x, (*shape[:first], size, *shape[last + 1 :]))


def reshape(call: LayerCall) -> Value:
    """``num_axes`` dimensions from ``axis`` on replaced; 0 keeps one, -1 takes what is left."""
    p, shape = call.p, call.shape
    start = call.axis(p.axis if p.axis >= 0 else p.axis + call.rank + 1, call.rank + 1)
    end = call.rank if p.num_axes == -1 else start + p.num_axes
    if not start <= end <= call.rank:
        raise call.error(f"axis {start}, num_axes {p.num_axes} of {call.rank} dimensions")
    new = list(p.shape.dim)
    for i, size in enumerate(new):
        if size == 0:
            if start + i >= end:
                raise call.error(f"shape {new}: dimension {i} is 0, but the bottom has no such one")
            new[i] = shape[start + i]
    whole = [*shape[:start], *new, *shape[end:]]
    if len(whole) > MAX_RANK:
        raise call.error(f"shape {new} makes {len(whole)} dimensions; at most {MAX_RANK}")
    rest = math.prod(size for size in whole if size != -1)
    if whole.count(-1) == 1 and rest > 0:
        whole[whole.index(-1)] = math.prod(shape) // rest
    if min(whole, default=1) < 0 or math.prod(whole) != math.prod(shape):
        raise call.error(
            f"shape {list(p.shape.dim)} of a bottom {list(shape)}; it has as many elements, and -1 "
            "stands once at most"
        )
    return call.b.reshape(call.x, whole)


def tile(call: LayerCall) -> Value:
    axis, tiles = call.axis(call.p.axis), call.p.tiles
    if tiles < 1:
        raise call.error(f"tiles {tiles}; at least 1")
    multiples = [1] * call.rank
    multiples[axis] = tiles
    return call.one(ops.Tile(tuple(multiples)), call.x)


def shuffle_channel(call: LayerCall) -> Value:
    """Channel c of group g becomes channel c * groups + g."""
    (n, channels, h, w), groups = call.image(), call.p.group
    if groups < 1 or channels % groups:
        raise call.error(f"{groups} groups of {channels} channels; they divide them")
    x = call.b.reshape(call.x, (n, groups, channels // groups, h, w))
    return call.b.reshape(call.b.transpose(x, (0, 2, 1, 3, 4)), (n, channels, h, w))


def embed(call: LayerCall) -> Value:
    """Rows of the weights, whose indices are the bottom's elements."""
    p = call.p
    table = call.weights(0, (p.input_dim, p.num_output))
    y = call.one(ops.Gather(), table, call.one(ops.Cast(DType.INT32), call.x))
    if not p.bias_term:
        return y
    return call.one(ops.Add(), y, call.weights(1, (p.num_output,), "bias"))


LAYERS: dict[str, Row] = {
    "Concat": Row(concat, "concat_param", (1, MANY)),
    "Crop": Row(crop, "crop_param", (2, 2)),
    "Embed": Row(embed, "embed_param"),
    "Flatten": Row(flatten, "flatten_param"),
    "Permute": Row(permute, "permute_param"),
    "Reshape": Row(reshape, "reshape_param"),
    "ShuffleChannel": Row(shuffle_channel, "shuffle_channel_param"),
    "Slice": Row(slice_, "slice_param", tops=MANY),
    "Tile": Row(tile, "tile_param"),
}
