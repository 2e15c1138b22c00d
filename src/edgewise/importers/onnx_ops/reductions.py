"""Reductions along axes, cumulative sums."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from ... import ops
from ...dtype import DType
from ...graph import Value
from ..onnx_call import Call, Row

Compose = Callable[[Call, Value, Callable[[type[ops.Reduction], Value], Value]], Value]
"""Builds a reduction from the call, its input, and a function that reduces by a class."""


def _plain(kind: type[ops.Reduction], of_bools: type[ops.Reduction] | None = None) -> Compose:
    def compose(call: Call, x: Value, over: Callable[..., Value]) -> Value:
        return over(of_bools if of_bools and x.type.dtype is DType.BOOL else kind, x)

    return compose


def _l1(call: Call, x: Value, over: Callable[..., Value]) -> Value:
    return over(ops.Sum, call.one(ops.Abs(), x))


def _l2(call: Call, x: Value, over: Callable[..., Value]) -> Value:
    return call.one(ops.Sqrt(), over(ops.Sum, call.one(ops.Square(), x)))


def _log_sum(call: Call, x: Value, over: Callable[..., Value]) -> Value:
    return call.one(ops.Log(), over(ops.Sum, x))


def _log_sum_exp(call: Call, x: Value, over: Callable[..., Value]) -> Value:
    """The greatest value is taken out, so that nothing overflows."""
    if not x.type.dtype.is_float:
        raise call.error(f"input 0 is {x.type.dtype}; it must be of numbers")
    axes, keep = _axes(call, x), call.flag("keepdims", True)
    limit = float(np.finfo(x.type.dtype.value).max)
    greatest = call.one(ops.ReduceMax(axes, True), x)
    greatest = call.one(ops.Minimum(), call.number(limit, x), greatest)
    greatest = call.one(ops.Maximum(), call.number(-limit, x), greatest)
    total = over(ops.Sum, call.one(ops.Exp(), call.one(ops.Sub(), x, greatest)))
    if not keep:
        greatest = call.b.reshape(greatest, total.type.shape)
    return call.one(ops.Add(), call.one(ops.Log(), total), greatest)


def _sum_square(call: Call, x: Value, over: Callable[..., Value]) -> Value:
    return over(ops.Sum, call.one(ops.Square(), x))


def _axes(call: Call, x: Value) -> tuple[int, ...]:
    """The axes of a reduction; all of them where none is named."""
    rank = len(x.type.shape)
    as_input = call.opset >= (13 if call.op_type == "ReduceSum" else 18)
    given = (call.integers(1) if call.has(1) else ()) if as_input else call.ints("axes", ())
    return call.axes(given, rank) or tuple(range(rank))


def reduction(compose: Compose, through_floats: bool = False) -> Callable[[Call], Value]:
    """A reader; ``through_floats``: of integers in float64, cut at the end."""

    def read(call: Call) -> Value:
        x = call.value(0)
        dtype = x.type.dtype
        if call.flag("noop_with_empty_axes") and not (call.has(1) and call.shape(1) != (0,)):
            return _unreduced(call, compose, x)
        axes, keep = _axes(call, x), call.flag("keepdims", True)
        is_cast = through_floats and dtype.is_integer
        if is_cast:
            x = call.one(ops.Cast(DType.FLOAT64), x)
        y = compose(call, x, lambda kind, x: call.one(kind(axes, keep), x))
        return call.one(ops.Cast(dtype), y) if is_cast else y

    return read


def _unreduced(call: Call, compose: Compose, x: Value) -> Value:
    """The function of each element by itself."""
    return x if compose in IDENTITIES else compose(call, x, lambda kind, x: x)


PLAIN: dict[str, Compose] = {
    "ReduceMax": _plain(ops.ReduceMax, ops.ReduceAny),
    "ReduceMean": _plain(ops.Mean),
    "ReduceMin": _plain(ops.ReduceMin, ops.ReduceAll),
    "ReduceProd": _plain(ops.ReduceProd),
    "ReduceSum": _plain(ops.Sum),
}
IDENTITIES = frozenset({*PLAIN.values(), _log_sum_exp})
COMPOSED: dict[str, Compose] = {
    "ReduceL1": _l1,
    "ReduceL2": _l2,
    "ReduceLogSum": _log_sum,
    "ReduceLogSumExp": _log_sum_exp,
    "ReduceSumSquare": _sum_square,
}


def cumulative(make: Callable[[int, bool, bool], ops.Op]) -> Callable[[Call], Value]:
    def read(call: Call) -> Value:
        axis = call.axis(call.whole(1), call.rank(0))
        return call.one(make(axis, call.flag("exclusive"), call.flag("reverse")), call.value(0))

    return read


def hardmax(call: Call) -> Value:
    """1 at the first greatest element of each row, else 0; before opset 13 of a matrix."""
    x, rank = call.value(0), call.rank(0)
    if call.opset < 13:
        axis = call.axis(call.integer("axis", 1), rank)
        shape = x.type.shape
        matrix = (math.prod(shape[:axis]), math.prod(shape[axis:]))
        return call.b.reshape(_hardest(call, call.b.reshape(x, matrix), 1), shape)
    return _hardest(call, x, call.axis(call.integer("axis", -1), rank))


def _hardest(call: Call, x: Value, axis: int) -> Value:
    at = call.one(ops.ArgMax(axis, DType.INT32), x)
    return call.one(ops.OneHot(axis, x.type.shape[axis]), at, call.number(1, x), call.number(0, x))


OPERATORS: dict[str, Row] = {
    **{name: Row(reduction(compose), (1, 2)) for name, compose in PLAIN.items()},
    **{name: Row(reduction(compose, True), (1, 2)) for name, compose in COMPOSED.items()},
    "CumProd": Row(cumulative(ops.Cumprod), (2, 2)),
    "CumSum": Row(cumulative(ops.Cumsum), (2, 2)),
    "Hardmax": Row(hardmax),
}
