"""Tensors made of numbers, sizes, conversions of element types."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...dtype import DType
from ...errors import ModelError
from ...graph import Array, Value
from ...ops import LogicalAnd, Select
from ..torch_call import MAX_CONSTANT, Call, Number, Reader


def full(value: float | None) -> Reader:
    """Equal elements: ``value``, or the argument."""

    def read(call: Call) -> Value:
        number = call.number("fill_value") if value is None else value
        return call.filled(call.ints("size"), number, call.dtype)

    return read


def full_like(value: float | None) -> Reader:
    def read(call: Call) -> Value:
        number = call.number("fill_value") if value is None else value
        return call.filled(call.shape(), number, call.dtype)

    return read


def fill(call: Call) -> Value:
    return call.filled(call.shape(), call.number("value"), call.dtype)


def arange(call: Call) -> Value:
    start, end = call.number("start", 0), call.number("end")
    step = call.number("step", 1)
    if step == 0 or not abs((end - start) / step) <= MAX_CONSTANT:
        raise call.error(f"from {start} to {end} by {step}; at most {MAX_CONSTANT} elements")
    whole = all(isinstance(n, int) for n in (start, end, step))
    bounds: Any = (start, end, step)
    found = np.arange(*bounds, dtype=np.int64 if whole else np.float64)
    return call.b.constant(found.astype(call.dtype.numpy))


def scalar_tensor(call: Call) -> Value:
    return call.scalar(call.number("s"), call.dtype)


def eye(call: Call) -> Value:
    rows = call.integer("n")
    columns = call.integer("m", rows)
    call.check_size((rows, columns))
    return call.b.constant(np.eye(rows, columns, dtype=call.dtype.numpy))


def triangle(lower: bool) -> Reader:
    """Elements on one side of a diagonal; 0 on the other."""

    def read(call: Call) -> Value:
        x, diagonal = call.value(), call.integer("diagonal", 0)
        call.check_size(x.type.shape[-2:])
        ones = np.ones(x.type.shape[-2:], bool)
        kept = np.tril(ones, diagonal) if lower else np.triu(ones, diagonal)
        if x.type.dtype is DType.BOOL:
            return call.one(LogicalAnd(), x, call.b.constant(kept))
        if x.data is not None:
            return call.b.constant(np.where(kept, x.data, x.data.dtype.type(0)))
        return call.one(Select(), call.b.constant(kept), x, call.scalar(0, x.type.dtype))

    return read


def same(call: Call) -> Value:
    """What is one in another layout, or a copy."""
    return call.value("input" if "input" in call.arguments else "self")


def converted(call: Call) -> Value:
    return call.cast(call.value(), call.dtype)


def item(call: Call) -> Number:
    return call.number("self")


def size_of(call: Call) -> int:
    shape = call.shape()
    return shape[call.axis("dim", len(shape))]


def numel(call: Call) -> int:
    return call.value().type.size


def tensor(array: Array, name: str) -> Array:
    """A tensor of the module as an array of the graph's own.

    Raises:
        ModelError: it has more than 2**31 - 1 bytes.
    """
    if array.nbytes >= 2**31:
        raise ModelError(f"tensor {name!r}: {array.nbytes} bytes; a tensor has below {2**31}")
    return np.array(array, order="C")


OPERATORS: dict[str, Reader] = {
    "_local_scalar_dense": item,
    "_to_copy": converted,
    "alias": same,
    "arange": arange,
    "clone": same,
    "contiguous": same,
    "detach": same,
    "detach_": same,
    "empty.memory_format": full(0),
    "empty_like": full_like(0),
    "empty_permuted": full(0),
    "eye": eye,
    "fill.Scalar": fill,
    "full": full(None),
    "full_like": full_like(None),
    "item": item,
    "lift_fresh_copy": same,
    "lift_fresh": same,
    "new_empty": full(0),
    "new_full": full(None),
    "new_ones": full(1),
    "new_zeros": full(0),
    "ones": full(1),
    "ones_like": full_like(1),
    "scalar_tensor": scalar_tensor,
    "sym_numel": numel,
    "sym_size": size_of,
    "to": converted,
    "tril": triangle(True),
    "triu": triangle(False),
    "type_as": converted,
    "zeros": full(0),
    "zeros_like": full_like(0),
}
