"""Reductions, cumulative sums, searches and softmax."""

from __future__ import annotations

import math

from ... import ops
from ...dtype import DType
from ...graph import Value
from ..channels_first import softmax
from ..ncnn_call import Call, Row
from .activations import affine

SUM, ASUM, SUMSQ, MEAN, MAX, MIN, PROD, L1, L2, LOGSUM, LOGSUMEXP = range(11)


def _reduction(call: Call) -> Value:
    kind, rank = call.integer(0), call.rank()
    if not SUM <= kind <= LOGSUMEXP:
        raise call.unsupported(f"operation {kind}")
    axes = tuple(range(1, rank + 1))
    if not call.flag(1, True):
        named = call.ints(3)
        if not call.flag(5) and named:
            raise call.unsupported("axes of an old version (parameter 5 is not 1)")
        axes = tuple(sorted({call.axis(a, rank) for a in named})) or axes
    y = _reduced(call, call.value(), kind, axes)
    y = affine(call, y, call.real(2, 1.0), 0)
    if call.flag(4):
        return y
    kept = [n for i, n in enumerate(call.dims()) if i + 1 not in axes]
    return call.shaped(y, kept or [1])


def _reduced(call: Call, x: Value, kind: int, axes: tuple[int, ...]) -> Value:
    """The reduction over axes, which stay as 1."""
    if kind in (MEAN, MAX, MIN, PROD):
        op = {MEAN: ops.Mean, MAX: ops.ReduceMax, MIN: ops.ReduceMin, PROD: ops.ReduceProd}[kind]
        return call.one(op(axes, True), x)
    if kind == LOGSUMEXP:
        top = call.one(ops.ReduceMax(axes, True), x)
        low = call.one(ops.Exp(), call.one(ops.Sub(), x, top))
        log = call.one(ops.Log(), call.one(ops.Sum(axes, True), low))
        return call.one(ops.Add(), log, top)
    if kind in (ASUM, L1):
        x = call.one(ops.Abs(), x)
    elif kind in (SUMSQ, L2):
        x = call.one(ops.Square(), x)
    total = call.one(ops.Sum(axes, True), x)
    if kind == L2:
        return call.one(ops.Sqrt(), total)
    return call.one(ops.Log(), total) if kind == LOGSUM else total


def _cumulative_sum(call: Call) -> Value:
    axis = call.axis(call.integer(0), call.rank())
    return call.one(ops.Cumsum(axis), call.value())


def _arg_max(call: Call) -> Value:
    """Positions in the whole blob, as floats; the values above them where they are asked for."""
    count, size = call.integer(1, 1), math.prod(call.dims())
    if not 1 <= count <= size:
        raise call.error(f"topk {count} of {size} elements")
    flat = call.shaped(call.value(), (size,))
    values, positions = call.b.add(ops.TopK(count), [flat])
    places = call.one(ops.Cast(DType.FLOAT32), positions)
    rows = [call.shaped(v, (1, count)) for v in (values, places)]
    if not call.flag(0):
        return rows[1]
    return call.one(ops.Concatenation(1), *rows)


def _softmax(call: Call) -> Value:
    return softmax(call.b, call.value(), call.axis(call.integer(0), call.rank()))


LAYERS: dict[str, Row] = {
    "ArgMax": Row(_arg_max),
    "CumulativeSum": Row(_cumulative_sum),
    "Reduction": Row(_reduction),
    "Softmax": Row(_softmax),
}
