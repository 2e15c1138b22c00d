"""Reductions, searches, sums along an axis."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from ... import ops
from ...dtype import DType
from ...graph import Value
from ...ops import Op
from ..torch_call import Call, Reader
from .arithmetic import times


def reduction(op: Callable[[tuple[int, ...], bool], Op]) -> Reader:
    """Over ``dim``, over all dimensions where there is none."""

    def read(call: Call) -> Value:
        x = call.cast(call.value(), call.dtype)
        if not x.type.shape:
            return x
        return call.one(op(call.axes(), call.flag("keepdim")), x)

    return read


def extreme(reduce: Callable[..., Op], search: Callable[..., Op]) -> Reader:
    """Values, and where they are, along one dimension."""

    def read(call: Call) -> Sequence[Value]:
        x, axis, keep = call.value(), call.axis(), call.flag("keepdim")
        if not x.type.shape:
            return [x, call.scalar(0, DType.INT64)]
        y = call.one(reduce((axis,), keep), x)
        place = call.one(search(axis, DType.INT64), x)
        return [y, call.b.reshape(place, y.type.shape)]

    return read


def search(op: Callable[..., Op]) -> Reader:
    """Indices along ``dim``, or in the elements in a row where there is none."""

    def read(call: Call) -> Value:
        x = call.value()
        if call.get("dim") is None or not x.type.shape:
            flat = call.b.reshape(x, (x.type.size,))
            shape = (1,) * len(x.type.shape) if call.flag("keepdim") else ()
            return call.b.reshape(call.one(op(0, DType.INT64), flat), shape)
        axis, shape = call.axis(), x.type.shape
        y = call.one(op(axis, DType.INT64), x)
        return (
            call.b.reshape(y, (*shape[:axis], 1, *shape[axis + 1 :])) if call.flag("keepdim") else y
        )

    return read


def truth(op: Callable[[tuple[int, ...], bool], Op]) -> Reader:
    def read(call: Call) -> Value:
        x = call.cast(call.value(), DType.BOOL)
        return call.one(op(call.axes(), call.flag("keepdim")), x) if x.type.shape else x

    return read


def mean_and_variance(call: Call, x: Value, axes: tuple[int, ...], less: float) -> list[Value]:
    """Both with kept dimensions; the sum of squares is divided by their number less ``less``."""
    mean = call.one(ops.Mean(axes, True), x)
    squares = call.one(ops.Square(), call.one(ops.Sub(), x, mean))
    variance = call.one(ops.Mean(axes, True), squares)
    count = math.prod(x.type.shape[a] for a in axes)
    if less:
        ratio = count / (count - less) if count > less else math.nan
        variance = times(call, variance, ratio)
    return [mean, variance]


def correction(call: Call) -> float:
    """How many less than the elements a sum of squares is divided by; 1 where it is not said."""
    if "unbiased" in call.arguments:
        return float(call.flag("unbiased", True))
    return float(call.number("correction", 1))


def deviation(*, mean: bool, root: bool) -> Reader:
    """VAR and STD, and both with the mean."""

    def read(call: Call) -> Value | list[Value]:
        x, axes, keep = call.value(), call.axes(), call.flag("keepdim")
        average, variance = mean_and_variance(call, x, axes, correction(call))
        y = call.one(ops.Sqrt(), variance) if root else variance
        kept = [1 if i in axes else n for i, n in enumerate(x.type.shape)]
        shape = kept if keep else [n for i, n in enumerate(x.type.shape) if i not in axes]
        y = call.b.reshape(y, shape)
        return [y, call.b.reshape(average, shape)] if mean else y

    return read


def norm(call: Call) -> Value:
    """The 1, 2 or greatest norm over dimensions, or one of another order; 0 counts."""
    x, order = call.cast(call.value(), call.dtype), float(call.number("ord", 2))
    axes, keep = call.axes(), call.flag("keepdim")
    if order == 2:
        return call.one(ops.Sqrt(), call.one(ops.Sum(axes, keep), call.one(ops.Square(), x)))
    size = call.one(ops.Abs(), x)
    if math.isinf(order):
        op = ops.ReduceMax if order > 0 else ops.ReduceMin
        return call.one(op(axes, keep), size)
    if order == 0:
        size = call.one(ops.Sign(), size)
    if order in (0, 1):
        return call.one(ops.Sum(axes, keep), size)
    power = call.one(ops.Pow(), size, call.scalar(order, call.dtype))
    total = call.one(ops.Sum(axes, keep), power)
    return call.one(ops.Pow(), total, call.scalar(1 / order, call.dtype))


def cumsum(call: Call) -> Value:
    x = call.cast(call.value(), call.dtype)
    return call.one(ops.Cumsum(call.axis()), x) if x.type.shape else x


def largest(op: Callable[..., Op]) -> Reader:
    """The greatest or least of all elements."""

    def read(call: Call) -> Value:
        x = call.value()
        return call.one(op(tuple(range(len(x.type.shape)))), x) if x.type.shape else x

    return read


OPERATORS: dict[str, Reader] = {
    "all": truth(ops.ReduceAll),
    "amax": reduction(ops.ReduceMax),
    "amin": reduction(ops.ReduceMin),
    "any": truth(ops.ReduceAny),
    "argmax": search(ops.ArgMax),
    "argmin": search(ops.ArgMin),
    "cumsum": cumsum,
    "linalg_vector_norm": norm,
    "max.default": largest(ops.ReduceMax),
    "max.dim": extreme(ops.ReduceMax, ops.ArgMax),
    "mean": reduction(ops.Mean),
    "min.default": largest(ops.ReduceMin),
    "min.dim": extreme(ops.ReduceMin, ops.ArgMin),
    "prod": reduction(ops.ReduceProd),
    "std": deviation(mean=False, root=True),
    "std_mean": deviation(mean=True, root=True),
    "sum": reduction(ops.Sum),
    "var": deviation(mean=False, root=False),
    "var_mean": deviation(mean=True, root=False),
}
