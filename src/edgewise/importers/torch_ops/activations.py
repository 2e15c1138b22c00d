"""Activations: RELU and its kin."""

from __future__ import annotations

import math

from ... import ops
from ...graph import Value
from ...ops import Op
from ..torch_call import Call, Reader
from .arithmetic import plus, times

CLAMPS: dict[tuple[float, float], Op] = {
    (0, 6): ops.Relu6(),
    (-1, 1): ops.ReluN1To1(),
    (0, 1): ops.Relu0To1(),
}
"""Clamps that have an operator of their own."""


def relu(call: Call) -> Value:
    x = call.value()
    if x.type.dtype.is_float:
        return call.one(ops.Relu(), x)
    return call.one(ops.Maximum(), x, call.scalar(0, x.type.dtype))


def hardtanh(call: Call) -> Value:
    x = call.value()
    bounds = (call.number("min_val", -1), call.number("max_val", 1))
    if bounds in CLAMPS and x.type.dtype.is_float:
        return call.one(CLAMPS[bounds], x)
    y = call.one(ops.Maximum(), x, call.scalar(bounds[0], x.type.dtype))
    return call.one(ops.Minimum(), y, call.scalar(bounds[1], x.type.dtype))


def relu6(call: Call) -> Value:
    return call.one(ops.Relu6(), call.value())


def hardswish(call: Call) -> Value:
    return call.one(ops.HardSwish(), call.value())


def hardsigmoid(call: Call) -> Value:
    return times(call, call.one(ops.Relu6(), plus(call, call.value(), 3.0)), 1 / 6)


def silu(call: Call) -> Value:
    x = call.value()
    return call.one(ops.Mul(), x, call.one(ops.Logistic(), x))


def gelu(call: Call) -> Value:
    return call.one(ops.Gelu(call.get("approximate") == "tanh"), call.value())


def leaky_relu(call: Call) -> Value:
    return call.one(ops.LeakyRelu(float(call.number("negative_slope", 0.01))), call.value())


def elu(call: Call) -> Value:
    """scale * x where x > 0, else scale * alpha * (exp(input_scale * x) - 1)."""
    x = call.value()
    alpha, scale, inner = (call.number(n, 1) for n in ("alpha", "scale", "input_scale"))
    if alpha == scale == inner == 1:
        return call.one(ops.Elu(), x)
    below = x if inner == 1 else times(call, x, inner)
    below = call.one(ops.Elu(), call.one(ops.Minimum(), below, call.scalar(0.0, x.type.dtype)))
    above = call.one(ops.Relu(), x)
    above = above if scale == 1 else times(call, above, scale)
    return call.one(ops.Add(), above, times(call, below, alpha * scale))


def softplus(call: Call) -> Value:
    """log(1 + exp(beta * x)) / beta, without overflow; x where beta * x is above a threshold."""
    beta, threshold = call.number("beta", 1), call.number("threshold", 20)
    x = call.value()
    wide = x if beta == 1 else times(call, x, beta)
    y = soft(call, wide)
    y = y if beta == 1 else times(call, y, 1 / beta)
    if threshold >= 20:  # float32 cannot tell the two apart there
        return y
    return call.one(
        ops.Select(), call.one(ops.Greater(), wide, call.scalar(threshold, x.type.dtype)), x, y
    )


def soft(call: Call, x: Value) -> Value:
    """log(1 + exp(x)) as max(x, 0) - log(logistic(|x|))."""
    small = call.one(ops.Log(), call.one(ops.Logistic(), call.one(ops.Abs(), x)))
    return call.one(ops.Sub(), call.one(ops.Relu(), x), small)


def mish(call: Call) -> Value:
    x = call.value()
    return call.one(ops.Mul(), x, call.one(ops.Tanh(), soft(call, x)))


def log_sigmoid(call: Call) -> Value:
    return call.one(ops.Neg(), soft(call, call.one(ops.Neg(), call.value())))


def prelu(call: Call) -> Value:
    """x where x >= 0, else weight * x; one weight, or one a channel."""
    x, weight = call.value(), call.value("weight")
    rank = len(x.type.shape)
    if len(weight.type.shape) != rank:
        weight = call.b.reshape(weight, [-1 if i == 1 else 1 for i in range(max(rank, 1))][:rank])
    return call.one(ops.PRelu(), x, weight)


def erf(call: Call) -> Value:
    """2 * Phi(sqrt(2) * x) - 1, with Phi of GELU."""
    x = call.value()
    wide = times(call, x, math.sqrt(2))
    safe = call.one(
        ops.Select(),
        call.one(ops.Equal(), wide, call.scalar(0.0, x.type.dtype)),
        call.scalar(1e-10, x.type.dtype),
        wide,
    )
    phi = call.one(ops.Div(), call.one(ops.Gelu(), safe), safe)
    return plus(call, times(call, phi, 2.0), -1.0)


def dropout(call: Call) -> Value:
    call.eval_only("train")
    return call.value("input")


OPERATORS: dict[str, Reader] = {
    "_prelu_kernel": prelu,
    "alpha_dropout": dropout,
    "dropout": dropout,
    "elu": elu,
    "erf": erf,
    "feature_alpha_dropout": dropout,
    "feature_dropout": dropout,
    "gelu": gelu,
    "hardsigmoid": hardsigmoid,
    "hardswish": hardswish,
    "hardtanh": hardtanh,
    "leaky_relu": leaky_relu,
    "log_sigmoid": log_sigmoid,
    "mish": mish,
    "native_dropout": dropout,
    "prelu": prelu,
    "relu": relu,
    "relu6": relu6,
    "silu": silu,
    "softplus": softplus,
}
