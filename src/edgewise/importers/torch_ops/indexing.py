"""Operators that select, scatter, sort and choose."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ... import ops
from ...dtype import DType
from ...graph import Value
from ...ops import Computation
from ..torch_call import Call, Reader
from .movement import broadcast

COMPUTATIONS = {
    "add": Computation.ADD,
    "sum": Computation.ADD,
    "multiply": Computation.MULTIPLY,
    "prod": Computation.MULTIPLY,
    "amax": Computation.MAXIMUM,
    "amin": Computation.MINIMUM,
}


def embedding(call: Call) -> Value:
    return call.one(ops.Gather(0), call.value("weight"), places(call, call.value("indices")))


def index_select(call: Call) -> Value:
    x, index = call.value(), places(call, call.value("index"))
    if not index.type.shape:
        index = call.b.reshape(index, (1,))
    return call.one(ops.Gather(call.axis()), x, index)


def places(call: Call, index: Value, size: int | None = None) -> Value:
    """Indices as integers; with ``size``, those that count from the end as others."""
    if index.type.dtype not in (DType.INT32, DType.INT64):
        index = call.cast(index, DType.INT64)
    if size is None:
        return index
    if index.data is not None:
        found = np.where(index.data < 0, index.data + size, index.data)
        if found.size and (found.min() < 0 or found.max() >= size):
            raise call.error(f"indices of {found.min()} to {found.max()} into {size} elements")
        return call.b.constant(found.astype(index.data.dtype))
    below = call.one(ops.Less(), index, call.scalar(0, index.type.dtype))
    upper = call.one(ops.Add(), index, call.scalar(size, index.type.dtype))
    return call.one(ops.Select(), below, upper, index)


class Chosen:
    """What a list of indices, None for a whole dimension, names of ``self``.

    Attributes:
        perm: the dimensions that are indexed, then the others.
        place: where in the first ones, taken as one, the elements are.
        before: how many whole dimensions are before the indices' in the result.
    """

    def __init__(self, call: Call) -> None:
        self.call = call
        shape = call.shape()
        given = call.get("indices")
        if not isinstance(given, (list, tuple)) or len(given) > len(shape):
            raise call.error(f"indices {given} of {len(shape)} dimensions")
        axes: list[int] = []
        found: list[Value] = []
        axis = 0
        for index in given:
            if index is None:
                axis += 1
                continue
            for part in self._integers(index, axis):
                axes.append(axis)
                found.append(places(call, part, shape[axis]))
                axis += 1
        rest = [i for i in range(len(shape)) if i not in axes]
        together = axes == list(range(axes[0], axes[0] + len(axes))) if axes else True
        self.before = axes[0] if axes and together else 0
        self.perm = [*axes, *rest]
        self.sizes = [shape[a] for a in axes]
        self.rest = [shape[i] for i in rest]
        self.place = self._flat(found)

    def _integers(self, index: Value, axis: int) -> list[Value]:
        """An index of bools as the places of those that are true."""
        if index.type.dtype is not DType.BOOL:
            return [index]
        found = np.nonzero(self.call.known(index, "a mask"))
        return [self.call.b.constant(part) for part in found]

    def _flat(self, found: Sequence[Value]) -> Value:
        call, total = self.call, None
        for i, index in enumerate(found):
            step = math.prod(self.sizes[i + 1 :])
            wide = call.cast(index, DType.INT64)
            if step != 1:
                wide = call.one(ops.Mul(), wide, call.scalar(step, DType.INT64))
            total = wide if total is None else call.one(ops.Add(), total, wide)
        if total is None:
            raise call.error("indices: none is given")
        return total

    @property
    def rows(self) -> Value:
        """``self`` with the indexed dimensions as one in front."""
        moved = self.call.b.transpose(self.call.value(), self.perm)
        return self.call.b.reshape(moved, (math.prod(self.sizes), *self.rest))


def index(call: Call) -> Value:
    chosen = Chosen(call)
    y = call.one(ops.Gather(0), chosen.rows, chosen.place)
    count = len(chosen.place.type.shape)
    order = list(range(len(y.type.shape)))
    front = order[count : count + chosen.before]
    return call.b.transpose(y, [*front, *order[:count], *order[count + chosen.before :]])


def index_put(call: Call) -> Value:
    """``self`` with values in place of what the indices name, or added to it."""
    given, x = call.get("indices"), call.value()
    values = call.cast(call.value("values"), call.dtype)
    masks = [i for i in given if isinstance(i, Value) and i.type.dtype is DType.BOOL]
    if len(given) == len(masks) == 1 and masks[0].data is None and values.type.size == 1:
        mask = masks[0]
        wide = (*mask.type.shape, *[1] * (len(x.type.shape) - len(mask.type.shape)))
        value = call.b.reshape(values, ())
        new = call.one(ops.Add(), x, value) if call.flag("accumulate") else value
        return call.one(ops.Select(), call.b.reshape(mask, wide), new, x)
    chosen = Chosen(call)
    shape, rest = chosen.place.type.shape, chosen.rest
    count = len(shape)
    front, back = rest[: chosen.before], rest[chosen.before :]
    updates = broadcast(call, values, (*front, *shape, *back))
    order = list(range(len(updates.type.shape)))
    middle = order[chosen.before : chosen.before + count]
    updates = call.b.transpose(updates, [*middle, *(i for i in order if i not in middle)])
    size = math.prod(shape)
    how = Computation.ADD if call.flag("accumulate") else Computation.UPDATE
    y = scattered(
        call,
        chosen.rows,
        call.b.reshape(chosen.place, (size,)),
        call.b.reshape(updates, (size, *rest)),
        how,
    )
    moved = call.b.reshape(y, (*chosen.sizes, *rest))
    return call.b.transpose(moved, [chosen.perm.index(i) for i in range(len(chosen.perm))])


def scattered(call: Call, x: Value, place: Value, updates: Value, how: Computation) -> Value:
    """Rows of x combined with updates; those that are replaced at known places are gathered."""
    if how is Computation.UPDATE and place.data is not None:
        call.check_size(x.type.shape[:1])
        order = np.arange(x.type.shape[0], dtype=np.int64)
        order[place.data] = len(order) + np.arange(place.type.size)
        both = call.one(ops.Concatenation(0), x, updates)
        return call.one(ops.Gather(0), both, call.b.constant(order))
    return call.one(ops.ScatterRows(how), x, place, updates)


def elements(call: Call, axis: int, index: Value) -> Value:
    """Where in the elements of ``self`` those are that an index names along one dimension."""
    shape, wide = call.shape(), index.type.shape
    if len(wide) != len(shape):
        raise call.error(f"index {list(wide)} into {list(shape)}; ranks are equal")
    place = call.cast(index, DType.INT64)
    step = math.prod(shape[axis + 1 :])
    if step != 1:
        place = call.one(ops.Mul(), place, call.scalar(step, DType.INT64))
    for i, n in enumerate(wide):
        if i != axis and n > 1:
            call.check_size((n,))
            offset = np.arange(n, dtype=np.int64) * math.prod(shape[i + 1 :])
            offset = offset.reshape(-1, *[1] * (len(shape) - 1 - i))
            place = call.one(ops.Add(), place, call.b.constant(offset))
    return place


def gather(call: Call) -> Value:
    x, index = call.value(), call.value("index")
    if not x.type.shape:
        return broadcast(call, x, index.type.shape)
    flat = call.b.reshape(x, (x.type.size,))
    if not index.type.shape:
        return call.one(ops.Gather(0), flat, places(call, index))
    return call.one(ops.Gather(0), flat, elements(call, call.axis(), index))


def scatter(how: str | None) -> Reader:
    """``self`` with elements of src, or a value, where an index says; ``how`` if it is not told."""
    return lambda call: scatter_elements(call, how)


def scatter_elements(call: Call, how: str | None) -> Value:
    x, index = call.value(), call.value("index")
    shape, wide = x.type.shape, index.type.shape
    if not shape:
        raise call.unsupported("of a scalar")
    source = call.get("src", call.get("value"))
    if isinstance(source, Value):
        for axis, size in enumerate(wide):
            source = call.b.slice(source, axis, 0, size)
        source = call.cast(source, call.dtype)
    else:
        source = broadcast(call, call.scalar(source, call.dtype), wide)
    if not call.flag("include_self", True):
        raise call.unsupported("include_self=False")
    name = call.get("reduce", how)
    if name is not None and name not in COMPUTATIONS:
        raise call.unsupported(f"reduce={name!r}")
    computation = Computation.UPDATE if name is None else COMPUTATIONS[name]
    place = elements(call, call.axis(), index)
    x, place, source = (call.b.reshape(v, (v.type.size,)) for v in (x, place, source))
    return call.b.reshape(scattered(call, x, place, source, computation), shape)


def where(call: Call) -> Value:
    condition = call.cast(call.value("condition"), DType.BOOL)
    a, b = call.operand("self", call.dtype), call.operand("other", call.dtype)
    return call.one(ops.Select(), condition, a, b)


def masked_fill(call: Call) -> Value:
    x, mask = call.value(), call.cast(call.value("mask"), DType.BOOL)
    return call.one(ops.Select(), mask, call.operand("value", call.dtype), x)


def sort(call: Call) -> list[Value]:
    """Elements in order along a dimension, and where they were; of equal ones the first first."""
    if not call.shape():
        return [call.value(), call.scalar(0, DType.INT64)]
    axis = call.axis("dim", default=-1)
    return ordered(call, axis, call.shape()[axis], call.flag("descending"))


def top_k(call: Call) -> list[Value]:
    axis = call.axis("dim", default=-1)
    return ordered(call, axis, call.integer("k"), call.flag("largest", True))


def ordered(call: Call, axis: int, count: int, greatest: bool) -> list[Value]:
    """The greatest or least elements of a dimension."""
    rank = len(call.shape())
    perm = [*(i for i in range(rank) if i != axis), axis]
    back = [perm.index(i) for i in range(rank)]
    x = call.b.transpose(call.value(), perm)
    values, index = call.b.add(ops.TopK(count, DType.INT64), [x if greatest else flipped(call, x)])
    values = values if greatest else flipped(call, values)
    return [call.b.transpose(v, back) for v in (values, index)]


def flipped(call: Call, x: Value) -> Value:
    """Numbers in the opposite order; twice gives x."""
    dtype = x.type.dtype
    if dtype.is_float:
        return call.one(ops.Neg(), x)
    least, most = dtype.range
    return call.one(ops.Sub(), call.scalar(least + most, dtype), x)


def argsort(call: Call) -> Value:
    return sort(call)[1]


def one_hot(call: Call) -> Value:
    index, depth = call.value(), call.integer("num_classes")
    if depth < 1:
        raise call.unsupported("one_hot without num_classes, which depends on values")
    one, zero = (call.scalar(n, DType.INT64) for n in (1, 0))
    return call.one(ops.OneHot(len(index.type.shape), depth), index, one, zero)


OPERATORS: dict[str, Reader] = {
    "argsort": argsort,
    "embedding": embedding,
    "gather": gather,
    "index.Tensor": index,
    "index_put": index_put,
    "index_select": index_select,
    "masked_fill": masked_fill,
    "one_hot": one_hot,
    "scatter": scatter(None),
    "scatter_add": scatter("add"),
    "scatter_reduce": scatter(None),
    "sort": sort,
    "topk": top_k,
    "where.self": where,
    "where.ScalarSelf": where,
    "where.ScalarOther": where,
    "where.Scalar": where,
}
