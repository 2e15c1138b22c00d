"""Functions of one element, and those that layers of products fuse."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from ... import ops
from ...dtype import DType
from ...graph import Value
from ...ops import Op
from ..ncnn_call import Call, Row

FLOAT_MAX = 3.4028234663852886e38

FUSED = ("none", "ReLU", "LeakyReLU", "Clip", "Sigmoid", "Mish", "HardSwish")
"""Activations that layers of products fuse, by number."""


def fused(call: Call, x: Value, key: int = 9) -> Value:
    """``x`` through the activation of a layer's parameters ``key`` and ``key`` + 1."""
    kind, given = call.integer(key), call.reals(key + 1)
    if not 0 <= kind < len(FUSED):
        raise call.unsupported(f"activation {kind}")
    needed = {2: 1, 3: 2, 6: 2}.get(kind, 0)
    if len(given) < needed:
        raise call.error(f"activation {FUSED[kind]} has {needed} parameters; {len(given)} given")
    return _FUSED[kind](call, x, given)


def clipped(call: Call, x: Value, low: float, high: float) -> Value:
    """``x`` within bounds; such beyond every float are none."""
    if low == 0 and high == 6:
        return call.one(ops.Relu6(), x)
    if low == 0 and high == 1:
        return call.one(ops.Relu0To1(), x)
    if low == 0 and high >= FLOAT_MAX:
        return call.one(ops.Relu(), x)
    if low > -FLOAT_MAX:
        x = call.one(ops.Maximum(), x, call.number(low))
    if high < FLOAT_MAX:
        x = call.one(ops.Minimum(), x, call.number(high))
    return x


def leaky(call: Call, x: Value, slope: float) -> Value:
    return call.one(ops.LeakyRelu(slope) if slope else ops.Relu(), x)


def affine(call: Call, x: Value, scale: float, shift: float) -> Value:
    """x * scale + shift"""
    if scale != 1:
        x = call.one(ops.Mul(), x, call.number(scale))
    return call.one(ops.Add(), x, call.number(shift)) if shift else x


def swish(call: Call, x: Value) -> Value:
    return call.one(ops.Mul(), x, call.one(ops.Logistic(), x))


def hard_sigmoid(call: Call, x: Value, alpha: float, beta: float) -> Value:
    return clipped(call, affine(call, x, alpha, beta), 0, 1)


def hard_swish(call: Call, x: Value, alpha: float, beta: float) -> Value:
    if abs(alpha - 1 / 6) < 1e-6 and beta == 0.5:
        return call.one(ops.HardSwish(), x)
    return call.one(ops.Mul(), x, hard_sigmoid(call, x, alpha, beta))


def elu(call: Call, x: Value, alpha: float, scale: float = 1.0, reach: float = 1.0) -> Value:
    """scale * (x where x > 0, else alpha * (exp(x / reach) - 1))"""
    if alpha == scale == reach == 1:
        return call.one(ops.Elu(), x)
    below = call.one(ops.Minimum(), x, call.number(0))
    below = affine(call, call.one(ops.Elu(), affine(call, below, 1 / reach, 0)), alpha * scale, 0)
    return call.one(ops.Add(), affine(call, call.one(ops.Relu(), x), scale, 0), below)


_FUSED: tuple[Callable[[Call, Value, Sequence[float]], Value], ...] = (
    lambda call, x, given: x,
    lambda call, x, given: call.one(ops.Relu(), x),
    lambda call, x, given: leaky(call, x, given[0]),
    lambda call, x, given: clipped(call, x, given[0], given[1]),
    lambda call, x, given: call.one(ops.Logistic(), x),
    lambda call, x, given: call.one(ops.Mish(), x),
    lambda call, x, given: hard_swish(call, x, given[0], given[1]),
)


def _celu(call: Call) -> Value:
    alpha = call.real(0, 1.0)
    if alpha == 0:
        raise call.error("alpha is 0; it divides")
    return elu(call, call.value(), alpha, reach=alpha)


def _selu(call: Call) -> Value:
    return elu(call, call.value(), call.real(0, 1.67326324), call.real(1, 1.050700987))


def _exp(call: Call) -> Value:
    inner = affine(call, call.value(), call.real(1, 1.0), call.real(2))
    return call.one(ops.Exp(), affine(call, inner, _log_of_base(call), 0))


def _log(call: Call) -> Value:
    inner = affine(call, call.value(), call.real(1, 1.0), call.real(2))
    return affine(call, call.one(ops.Log(), inner), 1 / _log_of_base(call), 0)


def _log_of_base(call: Call) -> float:
    base = call.real(0, -1.0)
    if base == -1:
        return 1.0
    if base <= 0 or base == 1:
        raise call.error(f"base {base}; it is positive and not 1, or -1 for e")
    return math.log(base)


def _power(call: Call) -> Value:
    inner = affine(call, call.value(), call.real(1, 1.0), call.real(2))
    power = call.real(0, 1.0)
    return inner if power == 1 else call.one(ops.Pow(), inner, call.number(power))


def _prelu(call: Call) -> Value:
    return call.one(ops.PRelu(), call.value(), call.vector(call.integer(0), call.rank()))


def _threshold(call: Call) -> Value:
    above = call.one(ops.Greater(), call.value(), call.number(call.real(0)))
    return call.one(ops.Cast(DType.FLOAT32), above)


def _shrink(call: Call) -> Value:
    x, bias, reach = call.value(), call.real(0), call.real(1, 0.5)
    above = call.one(ops.Greater(), x, call.number(reach))
    below = call.one(ops.Less(), x, call.number(-reach))
    high = call.one(ops.Select(), above, affine(call, x, 1, -bias), call.number(0))
    return call.one(ops.Select(), below, affine(call, x, 1, bias), high)


def _simple(op: type[Op]) -> Row:
    return Row(lambda call: call.one(op(), call.value()))


LAYERS: dict[str, Row] = {
    "AbsVal": _simple(ops.Abs),
    "BNLL": _simple(ops.Softplus),
    "CELU": Row(_celu),
    "Clip": Row(
        lambda call: clipped(call, call.value(), call.real(0, -FLOAT_MAX), call.real(1, FLOAT_MAX))
    ),
    "ELU": Row(lambda call: elu(call, call.value(), call.real(0, 0.1))),
    "Erf": _simple(ops.Erf),
    "Exp": Row(_exp),
    "GELU": Row(lambda call: call.one(ops.Gelu(call.flag(0)), call.value())),
    "HardSigmoid": Row(
        lambda call: hard_sigmoid(call, call.value(), call.real(0, 0.2), call.real(1, 0.5))
    ),
    "HardSwish": Row(
        lambda call: hard_swish(call, call.value(), call.real(0, 0.2), call.real(1, 0.5))
    ),
    "Log": Row(_log),
    "Mish": _simple(ops.Mish),
    "PReLU": Row(_prelu),
    "Power": Row(_power),
    "ReLU": Row(lambda call: leaky(call, call.value(), call.real(0))),
    "SELU": Row(_selu),
    "Shrink": Row(_shrink),
    "Sigmoid": _simple(ops.Logistic),
    "Softplus": _simple(ops.Softplus),
    "Swish": Row(lambda call: swish(call, call.value())),
    "TanH": _simple(ops.Tanh),
    "Threshold": Row(_threshold),
}
