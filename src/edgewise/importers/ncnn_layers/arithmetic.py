"""Arithmetic of one and two blobs, of channels, and what is no arithmetic at all."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from ... import ops
from ...dtype import DType
from ...graph import Value
from ...ops import Op
from ..ncnn_call import Call, Row
from .activations import affine

Binary = Callable[[Call, Value, Value], Value]


def _two(op: Callable[[], Op]) -> Binary:
    return lambda call, a, b: call.one(op(), a, b)


def _swapped(function: Binary) -> Binary:
    return lambda call, a, b: function(call, b, a)


def _fmod(call: Call, a: Value, b: Value) -> Value:
    """The remainder with the sign of a: a - trunc(a / b) * b."""
    rest = call.one(ops.FloorMod(), call.one(ops.Abs(), a), call.one(ops.Abs(), b))
    return call.one(ops.Mul(), rest, call.one(ops.Sign(), a))


def _logaddexp(call: Call, a: Value, b: Value) -> Value:
    """log(exp(a) + exp(b)), as the greater one + log(1 + exp(-|a - b|))."""
    apart = call.one(ops.Abs(), call.one(ops.Sub(), a, b))
    rest = affine(call, call.one(ops.Exp(), call.one(ops.Neg(), apart)), 1, 1)
    return call.one(ops.Add(), call.one(ops.Maximum(), a, b), call.one(ops.Log(), rest))


def _floor_divide(call: Call, a: Value, b: Value) -> Value:
    return call.one(ops.Floor(), call.one(ops.Div(), a, b))


BINARY: tuple[Binary, ...] = (
    _two(ops.Add),
    _two(ops.Sub),
    _two(ops.Mul),
    _two(ops.Div),
    _two(ops.Maximum),
    _two(ops.Minimum),
    _two(ops.Pow),
    _swapped(_two(ops.Sub)),
    _swapped(_two(ops.Div)),
    _swapped(_two(ops.Pow)),
    _two(ops.Atan2),
    _swapped(_two(ops.Atan2)),
    _fmod,
    _swapped(_fmod),
    _logaddexp,
    _floor_divide,
    _swapped(_floor_divide),
)
"""BinaryOp's functions, by number."""


def broadcast(call: Call, a: Value, b: Value) -> tuple[Value, Value]:
    """Two blobs of as many dimensions, by ncnn's rule.

    The one of fewer gets more behind its own, as a value a channel has; a row whose size is not
    that of the other's first dimension is one along the last.
    """
    rank = max(len(v.type.shape) for v in (a, b)) - 1
    return _widened(call, a, b, rank), _widened(call, b, a, rank)


def _widened(call: Call, x: Value, other: Value, rank: int) -> Value:
    dims = x.type.shape[1:]
    more = (1,) * (rank - len(dims))
    if len(dims) == 1 and more and dims[0] != other.type.shape[1]:
        return call.shaped(x, (*more, *dims))
    return call.shaped(x, (*dims, *more))


def _binary(call: Call) -> Value:
    kind = call.integer(0)
    if not 0 <= kind < len(BINARY):
        raise call.unsupported(f"operation {kind}")
    if call.flag(1):
        return BINARY[kind](call, call.value(), call.number(call.real(2)))
    return BINARY[kind](call, *broadcast(call, call.value(0), call.value(1)))


Unary = Callable[[Call, Value], Value]


def _one(op: Callable[[], Op]) -> Unary:
    return lambda call, x: call.one(op(), x)


def _trunc(call: Call, x: Value) -> Value:
    return call.one(ops.Mul(), call.one(ops.Sign(), x), call.one(ops.Floor(), _abs(call, x)))


def _abs(call: Call, x: Value) -> Value:
    return call.one(ops.Abs(), x)


def _log1p(call: Call, x: Value) -> Value:
    return call.one(ops.Log(), affine(call, x, 1, 1))


UNARY: tuple[Unary, ...] = (
    _one(ops.Abs),
    _one(ops.Neg),
    _one(ops.Floor),
    _one(ops.Ceil),
    _one(ops.Square),
    _one(ops.Sqrt),
    _one(ops.Rsqrt),
    _one(ops.Exp),
    _one(ops.Log),
    _one(ops.Sin),
    _one(ops.Cos),
    _one(ops.Tan),
    _one(ops.Asin),
    _one(ops.Acos),
    _one(ops.Atan),
    lambda call, x: call.one(ops.Div(), call.number(1), x),
    _one(ops.Tanh),
    lambda call, x: affine(call, call.one(ops.Log(), x), 1 / math.log(10), 0),
    _one(ops.Round),
    _trunc,
    _one(ops.Sign),
    lambda call, x: affine(call, call.one(ops.Exp(), x), 1, -1),
    _one(ops.Sinh),
    _one(ops.Asinh),
    _one(ops.Cosh),
    _one(ops.Acosh),
    _one(ops.Atanh),
    _log1p,
)
"""UnaryOp's functions, by number."""


def _unary(call: Call) -> Value:
    kind = call.integer(0)
    if not 0 <= kind < len(UNARY):
        raise call.unsupported(f"operation {kind}")
    return UNARY[kind](call, call.value())


def _eltwise(call: Call) -> Value:
    kind, blobs, factors = call.integer(0), call.values(), call.reals(1)
    if not 0 <= kind <= 3:
        raise call.unsupported(f"operation {kind}")
    if kind == 1 and factors:
        if len(factors) != len(blobs):
            raise call.error(f"{len(factors)} coefficients of {len(blobs)} inputs")
        blobs = [affine(call, x, f, 0) for x, f in zip(blobs, factors, strict=True)]
    op = (ops.Mul, ops.Add, ops.Maximum, ops.Minimum)[kind]
    result = blobs[0]
    for blob in blobs[1:]:
        result = call.one(op(), result, blob)
    return result


def _batch_norm(call: Call) -> Value:
    count, eps, rank = call.integer(0), call.real(1), call.rank()
    slope, mean, variance, bias = (call.floats(count).astype(np.float64) for _ in range(4))
    with np.errstate(all="ignore"):
        scale = slope / np.sqrt(variance + eps)
        shift = bias - mean * scale
    scaled = call.one(ops.Mul(), call.value(), call.along_first(scale, rank))
    return call.one(ops.Add(), scaled, call.along_first(shift, rank))


def _bias(call: Call) -> Value:
    """Of each channel; of a blob of fewer dimensions than an image ncnn takes the first alone."""
    data, rank = call.floats(call.integer(0)), call.rank()
    return call.one(ops.Add(), call.value(), call.along_first(data if rank > 2 else data[:1], rank))


def _scale(call: Call) -> Value:
    count, rank = call.integer(0), call.rank()
    if count == -233:
        factors = call.shaped(call.value(1), (*call.dims(1), *[1] * (rank - call.rank(1))))
        scaled, count = call.one(ops.Mul(), call.value(), factors), call.dims(1)[0]
    else:
        scaled = call.one(ops.Mul(), call.value(), call.vector(count, rank))
    return call.one(ops.Add(), scaled, call.vector(count, rank)) if call.flag(1) else scaled


def _cast(call: Call) -> Value:
    source, target = call.integer(0), call.integer(1)
    if not {source, target} <= {0, 1, 2}:
        raise call.unsupported(f"from element type {source} to {target}; float32 and float16 are")
    if target != 2:
        return call.value()
    half = call.one(ops.Cast(DType.FLOAT16), call.value())
    return call.one(ops.Cast(), half)


def _memory_data(call: Call) -> Value:
    dims = call.extents()
    data = call.floats(*dims) if call.integer(21, 1) == 1 else call.weights(*dims)
    return call.b.constant(data[None], call.layer.name)


def _split(call: Call) -> list[Value]:
    return [call.raw()] * len(call.layer.outputs)


def _noop(call: Call) -> list[Value]:
    return list(call.blobs)


MANY = 2**16

LAYERS: dict[str, Row] = {
    "BatchNorm": Row(_batch_norm),
    "Bias": Row(_bias),
    "BinaryOp": Row(_binary, (1, 2)),
    "Cast": Row(_cast),
    "DeepCopy": Row(_noop),
    "Dropout": Row(lambda call: affine(call, call.value(), call.real(0, 1.0), 0)),
    "Eltwise": Row(_eltwise, (1, MANY)),
    "MemoryData": Row(_memory_data, (0, 0)),
    "Noop": Row(_noop, (0, MANY)),
    "Packing": Row(_noop),
    "Scale": Row(_scale, (1, 2)),
    "Split": Row(_split),
    "UnaryOp": Row(_unary),
}
