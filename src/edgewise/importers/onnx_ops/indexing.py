"""Operators that select, scatter, sort and count."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from ... import ops
from ...dtype import DType
from ...graph import Array, Value
from ...ops import Computation
from ..onnx_call import Call, Row
from .conversions import as_dtype
from .movement import MAX_INDICES, broadcast, sliced

COMPUTATIONS = {
    "none": Computation.UPDATE,
    "add": Computation.ADD,
    "mul": Computation.MULTIPLY,
    "max": Computation.MAXIMUM,
    "min": Computation.MINIMUM,
}


def gather(call: Call) -> Value:
    shape = call.shape(0)
    axis = call.axis(call.integer("axis", 0), len(shape))
    indices = counted(call, call.value(1), [shape[axis]])
    return call.one(ops.Gather(axis), call.value(0), indices)


def counted(call: Call, indices: Value, sizes: Sequence[int]) -> Value:
    """Indices that count from the end where they are negative, as others.

    ``sizes`` are of the axes: one, or one for each entry of the last axis of ``indices``.
    """
    dtype = indices.type.dtype
    if dtype not in (DType.INT32, DType.INT64):
        raise call.error(f"indices are {dtype}; they must be int32 or int64")
    extent = np.array(sizes[0] if len(sizes) == 1 else sizes, dtype.numpy)
    found = indices.data
    if found is None:
        negative = call.one(ops.Less(), indices, call.number(0, indices))
        upper = call.one(ops.Add(), indices, call.b.constant(extent))
        return call.one(ops.Select(), negative, upper, indices)
    if found.size and np.any((found < -extent) | (found >= extent)):
        raise call.error(f"indices of {found.min()} to {found.max()} into {list(sizes)}")
    return (
        call.b.constant(np.where(found < 0, found + extent, found))
        if np.any(found < 0)
        else (indices)
    )


def gather_elements(call: Call) -> Value:
    x, shape = call.value(0), call.shape(0)
    axis = call.axis(call.integer("axis", 0), len(shape))
    place = places(call, shape, axis, call.value(1))
    return call.one(ops.Gather(0), call.b.reshape(x, (x.type.size,)), place)


def places(call: Call, shape: Sequence[int], axis: int, indices: Value) -> Value:
    """Where elements of a tensor of ``shape`` lie: those that ``indices`` name along ``axis``,
    and whose place along the other axes is that of the index."""
    if len(indices.type.shape) != len(shape):
        raise call.error(f"indices of rank {len(indices.type.shape)}, data of {len(shape)}; equal")
    for i, (n, most) in enumerate(zip(indices.type.shape, shape, strict=True)):
        if i != axis and n > most:
            raise call.error(f"indices {list(indices.type.shape)} into {list(shape)}; not more")
    steps = strides(shape)
    place = as_dtype(call, counted(call, indices, [shape[axis]]), DType.INT64)
    place = scaled(call, place, np.array(steps[axis], np.int64))
    others = [0 if i == axis else step for i, step in enumerate(steps)]
    return offset(call, place, indices.type.shape, others)


def scaled(call: Call, places: Value, factor: Array) -> Value:
    """Places times a factor; of known ones, at once."""
    if places.data is not None:
        return call.b.constant(places.data * factor)
    return call.one(ops.Mul(), places, call.b.constant(factor))


def offset(call: Call, places: Value, shape: Sequence[int], steps: Sequence[int]) -> Value:
    """Places with the steps of each axis of ``shape`` added, to which they broadcast."""
    for i, (n, step) in enumerate(zip(shape, steps, strict=True)):
        if step and n > 1:
            along = ramp(call, n, step).reshape(-1, *[1] * (len(shape) - 1 - i))
            if places.data is not None and math.prod(shape) <= MAX_INDICES:
                places = call.b.constant(places.data + along)
            else:
                places = call.one(ops.Add(), places, call.b.constant(along))
    return places


def strides(shape: Sequence[int]) -> list[int]:
    """How many elements further the next one along each axis is."""
    return [math.prod(shape[i + 1 :]) for i in range(len(shape))]


def ramp(call: Call, count: int, step: int) -> Array:
    """0, step, 2 * step, ..."""
    if count > MAX_INDICES:
        raise call.unsupported(f"an axis of {count} elements; at most {MAX_INDICES}")
    return np.arange(count, dtype=np.int64) * step


def gather_nd(call: Call) -> Value:
    """Rows of data that vectors of indices name, those of each batch in its part of data."""
    x, batch = call.value(0), call.integer("batch_dims", 0)
    rank, shape = call.rank(1), call.shape(0)
    if not 0 <= batch < min(len(shape), rank):
        raise call.error(f"batch_dims {batch}; it is below the ranks {len(shape)} and {rank}")
    if shape[:batch] != call.shape(1)[:batch]:
        raise call.error(f"batches {list(shape[:batch])}, {list(call.shape(1)[:batch])}; equal")
    last = call.shape(1)[-1]
    row = rows(call, call.value(1), shape[batch:])
    steps = strides(shape[: batch + last])[:batch]
    row = offset(call, row, call.shape(1)[:-1], [*steps, *[0] * (rank - 1 - batch)])
    rest = shape[batch + last :]
    flat = call.b.reshape(x, (math.prod(shape[: batch + last]), *rest))
    return call.one(ops.Gather(0), flat, row)


def rows(call: Call, indices: Value, shape: Sequence[int]) -> Value:
    """Vectors of indices [..., K] into the first K axes of ``shape``, as places [...] there."""
    if not indices.type.shape or not 1 <= indices.type.shape[-1] <= len(shape):
        raise call.error(
            f"indices {list(indices.type.shape)} into {list(shape)}; its last axis is 1 to the rank"
        )
    count = indices.type.shape[-1]
    found = as_dtype(call, counted(call, indices, shape[:count]), DType.INT64)
    if count == 1:
        return call.b.reshape(found, found.type.shape[:-1])
    each = scaled(call, found, np.array(strides(shape[:count]), np.int64))
    if each.data is not None:
        return call.b.constant(each.data.sum(axis=-1))
    return call.one(ops.Sum((len(found.type.shape) - 1,)), each)


def scatter_elements(call: Call) -> Value:
    x, updates = call.value(0), call.value(2)
    shape = call.shape(0)
    if updates.type.shape != call.shape(1):
        raise call.error(
            f"updates {list(updates.type.shape)}, indices {list(call.shape(1))}; equal"
        )
    axis = call.axis(call.integer("axis", 0), len(shape))
    place = places(call, shape, axis, call.value(1))
    count = place.type.size
    return scattered(
        call,
        call.b.reshape(x, (x.type.size,)),
        call.b.reshape(place, (count,)),
        call.b.reshape(updates, (count,)),
    )


def scatter_nd(call: Call) -> Value:
    x, indices, updates = (call.value(i) for i in range(3))
    shape, before = call.shape(0), indices.type.shape[:-1]
    place = rows(call, indices, shape)
    last = indices.type.shape[-1]
    if updates.type.shape != (*before, *shape[last:]):
        raise call.error(
            f"updates {list(updates.type.shape)}; they must be {[*before, *shape[last:]]}"
        )
    count = place.type.size
    return scattered(
        call,
        call.b.reshape(x, (math.prod(shape[:last]), *shape[last:])),
        call.b.reshape(place, (count,)),
        call.b.reshape(updates, (count, *shape[last:])),
    )


def scattered(call: Call, x: Value, place: Value, updates: Value) -> Value:
    """``x`` in its own shape, with ``updates`` combined into the rows that ``place`` names.

    Rows that are replaced at known places are gathered from both.
    """
    name = call.text("reduction", "none")
    if name not in COMPUTATIONS:
        raise call.error(f"reduction {name!r}; it is {', '.join(COMPUTATIONS)}")
    if updates.type.dtype is not x.type.dtype:
        raise call.error(f"updates of {updates.type.dtype} into {x.type.dtype}; one dtype")
    if name == "none" and place.data is not None and x.type.shape[0] <= MAX_INDICES:
        chosen = np.arange(x.type.shape[0], dtype=np.int64)
        chosen[place.data] = len(chosen) + np.arange(place.type.size)
        both = call.one(ops.Concatenation(0), x, updates)
        y = call.one(ops.Gather(0), both, call.b.constant(chosen))
    else:
        y = call.one(ops.ScatterRows(COMPUTATIONS[name]), x, place, updates)
    return call.b.reshape(y, call.shape(0))


def tensor_scatter(call: Call) -> Value:
    """The past with an update written along an axis, for each batch from an index of its own."""
    x, update = call.value(0), call.value(1)
    shape, wide = call.shape(0), call.shape(1)
    axis = call.axis(call.integer("axis", -2), len(shape))
    mode = call.text("mode", "linear")
    if mode not in ("linear", "circular") or axis == 0:
        raise call.error(f"mode {mode!r} along axis {axis}; linear or circular, and not axis 0")
    if (
        len(wide) != len(shape)
        or any(a != b for i, (a, b) in enumerate(zip(shape, wide, strict=True)) if i != axis)
        or wide[axis] > shape[axis]
    ):
        raise call.error(f"update {list(wide)} into {list(shape)}; equal but along axis {axis}")
    start: Value = call.b.constant(np.zeros(shape[0], np.int64))
    if call.has(2):
        start = as_dtype(call, call.value(2), DType.INT64)
    if start.type.shape != shape[:1]:
        raise call.error(f"write_indices {list(start.type.shape)}; they must be {[shape[0]]}")
    rank = len(shape)
    column = call.b.reshape(start, (shape[0], *[1] * (rank - 1)))
    along = ramp(call, wide[axis], 1).reshape(-1, *[1] * (rank - 1 - axis))
    index = call.one(ops.Add(), column, call.b.constant(along))
    if mode == "circular":
        index = call.one(ops.FloorMod(), index, call.number(shape[axis], index))
    steps = strides(shape)
    place = scaled(call, index, np.array(steps[axis], np.int64))
    place = offset(call, place, wide, [0 if i == axis else n for i, n in enumerate(steps)])
    flat = [call.b.reshape(v, (v.type.size,)) for v in (x, broadcast(call, place, wide), update)]
    y = call.one(ops.ScatterRows(Computation.UPDATE), *flat)
    return call.b.reshape(y, shape)


def top_k(call: Call) -> list[Value]:
    """The greatest or smallest elements of an axis; of equal ones the first comes first."""
    x, shape = call.value(0), call.shape(0)
    axis = call.axis(call.integer("axis", -1), len(shape))
    k = call.integer("k") if call.opset < 10 else call.whole(1)
    if not 0 <= k <= shape[axis]:
        raise call.error(f"k {k}; it is 0 to {shape[axis]}, the axis's size")
    perm = [*(i for i in range(len(shape)) if i != axis), axis]
    back = [perm.index(i) for i in range(len(shape))]
    x = call.b.transpose(x, perm)
    largest = call.flag("largest", True)
    values, indices = call.b.add(ops.TopK(k, DType.INT64), [x if largest else flipped(call, x)])
    if not largest:
        values = flipped(call, values)
    return [call.b.transpose(values, back), call.b.transpose(indices, back)]


def flipped(call: Call, x: Value) -> Value:
    """Numbers in the opposite order; twice gives x."""
    if x.type.dtype.is_float:
        return call.one(ops.Neg(), x)
    return (
        call.one(ops.Sub(), call.number(x.type.dtype.range[1], x), x)
        if (x.type.dtype.range[0] == 0)
        else call.one(ops.Sub(), call.number(-1, x), x)
    )


def arg_extreme(op: Callable[..., ops.Op]) -> Callable[[Call], Value]:
    def read(call: Call) -> Value:
        x, shape = call.value(0), call.shape(0)
        axis = call.axis(call.integer("axis", 0), len(shape))
        last = call.flag("select_last_index")
        if last:
            x = call.one(ops.Reverse((axis,)), x)
        y = call.one(op(axis, DType.INT64), x)
        if last:
            y = call.one(ops.Sub(), call.number(shape[axis] - 1, y), y)
        if not call.flag("keepdims", True):
            return y
        return call.b.reshape(y, (*shape[:axis], 1, *shape[axis + 1 :]))

    return read


def unique(call: Call) -> list[Value]:
    axis = None
    if "axis" in call.attributes:
        axis = call.axis(call.integer("axis"), call.rank(0))
    return list(call.b.add(ops.UniqueSlices(axis, call.flag("sorted", True)), [call.value(0)]))


def non_zero(call: Call) -> Value:
    return call.b.transpose(call.one(ops.Where(), call.value(0)), (1, 0))


def where(call: Call) -> Value:
    return call.one(ops.Select(), *call.values())


def one_hot(call: Call) -> Value:
    """``values`` are off and on; a negative index counts from the end."""
    indices, values = call.value(0), call.value(2)
    depth = call.whole(1)
    if depth < 1 or values.type.shape != (2,):
        raise call.error(f"depth {depth}, values {list(values.type.shape)}; at least 1, and [2]")
    axis = call.axis(call.integer("axis", -1), call.rank(0) + 1)
    indices = as_dtype(call, indices, DType.INT64)
    negative = call.one(ops.Less(), indices, call.number(0, indices))
    upper = call.one(ops.Add(), indices, call.number(depth, indices))
    indices = call.one(ops.Select(), negative, upper, indices)
    off, on = (sliced(call, values, [i], [1], [1]) for i in range(2))
    return call.one(ops.OneHot(axis, depth), indices, on, off)


def non_max_suppression(call: Call) -> Value:
    """Without a greatest number of boxes there are none."""
    most = call.whole(2) if call.has(2) else 0
    op = ops.NonMaxSuppression(
        max(most, 0),
        float(call.scalar(3)) if call.has(3) else 0.0,
        float(call.scalar(4)) if call.has(4) else None,
        call.flag("center_point_box"),
    )
    return call.one(op, call.value(0), call.value(1))


OPERATORS: dict[str, Row] = {
    "ArgMax": Row(arg_extreme(ops.ArgMax)),
    "ArgMin": Row(arg_extreme(ops.ArgMin)),
    "Gather": Row(gather, (2, 2)),
    "GatherElements": Row(gather_elements, (2, 2)),
    "GatherND": Row(gather_nd, (2, 2)),
    "NonMaxSuppression": Row(non_max_suppression, (2, 5)),
    "NonZero": Row(non_zero),
    "OneHot": Row(one_hot, (3, 3)),
    "Scatter": Row(scatter_elements, (3, 3)),
    "ScatterElements": Row(scatter_elements, (3, 3)),
    "ScatterND": Row(scatter_nd, (3, 3)),
    "TensorScatter": Row(tensor_scatter, (2, 3)),
    "TopK": Row(top_k, (1, 2)),
    "Unique": Row(unique),
    "Where": Row(where, (3, 3)),
}
