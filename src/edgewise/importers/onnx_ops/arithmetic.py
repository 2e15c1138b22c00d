"""Functions of one element and of several tensors, broadcast."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import reduce

import numpy as np

from ... import ops
from ...dtype import DType
from ...graph import Value
from ...ops import Op
from ..onnx_call import Call, Row

Make = Callable[[], Op]

UNARY: dict[str, Make] = {
    "Abs": ops.Abs,
    "Acos": ops.Acos,
    "Acosh": ops.Acosh,
    "Asin": ops.Asin,
    "Asinh": ops.Asinh,
    "Atan": ops.Atan,
    "Atanh": ops.Atanh,
    "Ceil": ops.Ceil,
    "Cos": ops.Cos,
    "Cosh": ops.Cosh,
    "Erf": ops.Erf,
    "Exp": ops.Exp,
    "Floor": ops.Floor,
    "HardSwish": ops.HardSwish,
    "Log": ops.Log,
    "Mish": ops.Mish,
    "Neg": ops.Neg,
    "Not": ops.LogicalNot,
    "Round": ops.Round,
    "Sigmoid": ops.Logistic,
    "Sign": ops.Sign,
    "Sin": ops.Sin,
    "Sinh": ops.Sinh,
    "Softplus": ops.Softplus,
    "Sqrt": ops.Sqrt,
    "Tan": ops.Tan,
    "Tanh": ops.Tanh,
}
BINARY: dict[str, Make] = {
    "Add": ops.Add,
    "And": ops.LogicalAnd,
    "BitwiseAnd": lambda: ops.BitwiseAnd(),
    "BitwiseXor": ops.BitwiseXor,
    "Div": ops.Div,
    "Equal": ops.Equal,
    "Greater": ops.Greater,
    "GreaterOrEqual": ops.GreaterEqual,
    "Less": ops.Less,
    "LessOrEqual": ops.LessEqual,
    "Mul": ops.Mul,
    "Or": ops.LogicalOr,
    "Sub": ops.Sub,
    "Xor": ops.NotEqual,
}
VARIADIC: dict[str, Make] = {"Max": ops.Maximum, "Min": ops.Minimum, "Sum": ops.Add}
MOST = 4096
"""The most inputs of a variadic operator."""


def unary(make: Make) -> Callable[[Call], Value]:
    return lambda call: call.one(make(), call.value(0))


def binary(make: Make) -> Callable[[Call], Value]:
    return lambda call: call.one(make(), call.value(0), call.value(1))


def variadic(make: Make) -> Callable[[Call], Value]:
    return lambda call: reduce(lambda a, b: call.one(make(), a, b), call.values())


def mean(call: Call) -> Value:
    total = variadic(ops.Add)(call)
    return call.one(ops.Div(), total, call.number(len(call.inputs), total))


def where(call: Call, condition: Value, a: Value, b: Value) -> Value:
    return call.one(ops.Select(), condition, a, b)


def relu(call: Call) -> Value:
    x = call.value(0)
    if x.type.dtype.is_float:
        return call.one(ops.Relu(), x)
    return call.one(ops.Maximum(), x, call.number(0, x))


def leaky_relu(call: Call) -> Value:
    return call.one(ops.LeakyRelu(call.real("alpha", 0.01)), call.value(0))


def prelu(call: Call) -> Value:
    x, slope = call.value(0), call.value(1)
    if x.type.dtype.is_float:
        return call.one(ops.PRelu(), x, slope)
    below = call.one(ops.Less(), x, call.number(0, x))
    return where(call, below, call.one(ops.Mul(), x, slope), x)


def _exponential(call: Call, alpha: float, scale: float = 1.0, width: float = 1.0) -> Value:
    """scale * (x where x > 0, else alpha * (e ** (x / width) - 1))"""
    x = call.value(0)
    below = x if width == 1.0 else call.one(ops.Div(), x, call.number(width, x))
    y = call.one(ops.Elu(), below)
    if alpha != 1.0 or width != 1.0:
        y = call.one(ops.Mul(), y, call.number(alpha, x))
        y = where(call, call.one(ops.Greater(), x, call.number(0, x)), x, y)
    return y if scale == 1.0 else call.one(ops.Mul(), y, call.number(scale, x))


def elu(call: Call) -> Value:
    return _exponential(call, call.real("alpha", 1.0))


def selu(call: Call) -> Value:
    alpha, gamma = (
        call.real("alpha", 1.67326319217681884765625),
        call.real("gamma", 1.05070102214813232421875),
    )
    return _exponential(call, alpha, gamma)


def celu(call: Call) -> Value:
    alpha = call.real("alpha", 1.0)
    if alpha == 0:
        raise call.error("alpha is 0; x is divided by it")
    return _exponential(call, alpha, width=alpha)


def hard_sigmoid(call: Call) -> Value:
    x = call.value(0)
    scaled = call.one(ops.Mul(), x, call.number(call.real("alpha", 0.2), x))
    return call.one(
        ops.Add(ops.Activation.RELU_0_TO_1), scaled, call.number(call.real("beta", 0.5), x)
    )


def gelu(call: Call) -> Value:
    kind = call.text("approximate", "none")
    if kind not in ("none", "tanh"):
        raise call.error(f"approximate is {kind!r}; it is 'none' or 'tanh'")
    return call.one(ops.Gelu(kind == "tanh"), call.value(0))


def swish(call: Call) -> Value:
    """x * sigmoid(alpha * x)"""
    x, alpha = call.value(0), call.real("alpha", 1.0)
    scaled = x if alpha == 1.0 else call.one(ops.Mul(), x, call.number(alpha, x))
    return call.one(ops.Mul(), x, call.one(ops.Logistic(), scaled))


def swiglu(call: Call) -> Value:
    if call.shape(0) != call.shape(1):
        raise call.error(f"shapes {list(call.shape(0))} and {list(call.shape(1))}; they are equal")
    return call.one(ops.Mul(), swish(call), call.value(1))


def softsign(call: Call) -> Value:
    x = call.value(0)
    size = call.one(ops.Add(), call.one(ops.Abs(), x), call.number(1, x))
    return call.one(ops.Div(), x, size)


def thresholded_relu(call: Call) -> Value:
    x = call.value(0)
    above = call.one(ops.Greater(), x, call.number(call.real("alpha", 1.0), x))
    return where(call, above, x, call.number(0, x))


def shrink(call: Call) -> Value:
    x = call.value(0)
    edge, bias = call.real("lambd", 0.5), call.real("bias", 0.0)
    low = call.one(ops.Add(), x, call.number(bias, x))
    high = call.one(ops.Sub(), x, call.number(bias, x))
    above = call.one(ops.Greater(), x, call.number(edge, x))
    below = call.one(ops.Less(), x, call.number(-edge, x))
    return where(call, below, low, where(call, above, high, call.number(0, x)))


def clip(call: Call) -> Value:
    """x between two bounds; the upper one counts where they cross."""
    x = call.value(0)
    bounds: list[Value | None] = [call.optional(1), call.optional(2)]
    if call.opset < 11:
        given = [call.attributes.get(n, "FLOAT", math.nan) for n in ("min", "max")]
        bounds = [None if math.isnan(v) else call.number(v, x) for v in given]
    low, high = bounds
    if any(v is not None and v.type.size != 1 for v in bounds):
        raise call.error("a bound has no or several elements; it has 1")
    known = tuple(
        None if v is None or v.data is None else float(v.data.reshape(())) for v in bounds
    )
    if (
        x.type.dtype.is_float
        and (low is None or low.is_constant)
        and (high is None or high.is_constant)
    ):
        for op in (ops.Relu, ops.Relu6, ops.ReluN1To1, ops.Relu0To1):
            if op._activation.value == known:
                return call.one(op(), x)
    if low is not None:
        x = call.one(ops.Maximum(), low, x)
    return x if high is None else call.one(ops.Minimum(), high, x)


def reciprocal(call: Call) -> Value:
    x = call.value(0)
    return call.one(ops.Div(), call.number(1, x), x)


def power(call: Call) -> Value:
    """x ** y of x's dtype; operands of two dtypes meet in float64 unless both are floats."""
    x, y = call.value(0), call.value(1)
    dtype = x.type.dtype
    if y.data is not None and y.data.size == 1 and dtype.is_float:
        exponent, known = float(y.data.reshape(())), {2.0: ops.Square, 0.5: ops.Sqrt}
        if exponent in known and len(y.type.shape) <= len(x.type.shape):
            return call.one(known[exponent](), x)
    if y.type.dtype is dtype:
        return call.one(ops.Pow(), x, y)
    if dtype.is_float:
        return call.one(ops.Pow(), x, call.one(ops.Cast(dtype), y))
    wide = ops.Cast(DType.FLOAT64)
    return call.one(ops.Cast(dtype), call.one(ops.Pow(), call.one(wide, x), call.one(wide, y)))


def modulo(call: Call) -> Value:
    """The remainder with the sign of the divisor, or with fmod that of the dividend, as in C."""
    a, b = call.value(0), call.value(1)
    if not call.flag("fmod"):
        return call.one(ops.FloorMod(), a, b)
    zero = call.number(0, a)
    if a.type.dtype.is_float:
        sizes = [call.one(ops.Abs(), v) for v in (a, b)]
        return call.one(ops.Mul(), call.one(ops.Sign(), a), call.one(ops.FloorMod(), *sizes))
    rest = call.one(ops.FloorMod(), a, b)
    if a.type.dtype.range[0] == 0:
        return rest
    below = [call.one(ops.Less(), v, zero) for v in (a, b)]
    turned = call.one(
        ops.LogicalAnd(), call.one(ops.NotEqual(), *below), call.one(ops.NotEqual(), rest, zero)
    )
    return where(call, turned, call.one(ops.Sub(), rest, b), rest)


def is_nan(call: Call) -> Value:
    x = call.value(0)
    return call.one(ops.NotEqual(), x, x)


def is_inf(call: Call) -> Value:
    x = call.value(0)
    negative, positive = (call.flag(f"detect_{s}", True) for s in ("negative", "positive"))
    if negative and positive:
        return call.one(ops.Equal(), call.one(ops.Abs(), x), call.number(math.inf, x))
    if not negative and not positive:
        never = call.one(ops.Less(), x, call.number(-math.inf, x))
        return never
    return call.one(ops.Equal(), x, call.number(math.inf if positive else -math.inf, x))


def bitwise_or(call: Call) -> Value:
    a, b = call.value(0), call.value(1)
    return call.one(
        ops.BitwiseXor(), call.one(ops.BitwiseXor(), a, b), call.one(ops.BitwiseAnd(), a, b)
    )


def bitwise_not(call: Call) -> Value:
    x = call.value(0)
    if not x.type.dtype.is_integer:
        raise call.error(f"input 0 is {x.type.dtype}; it must be integers")
    ones = np.invert(np.zeros((), x.type.dtype.numpy))
    return call.one(ops.BitwiseXor(), x, call.b.constant(ones))


def bit_shift(call: Call) -> Value:
    """To the right by a negative number shifts everything out, as in the format's reference."""
    way = call.text("direction")
    if way not in ("LEFT", "RIGHT"):
        raise call.error(f"direction is {way!r}; it is 'LEFT' or 'RIGHT'")
    x, by = call.value(0), call.value(1)
    if way == "LEFT":
        return call.one(ops.ShiftLeft(), x, by)
    if by.type.dtype.is_integer and by.type.dtype.range[0] < 0:
        below = call.one(ops.Less(), by, call.number(0, by))
        by = where(call, below, call.number(8 * by.type.dtype.itemsize - 1, by), by)
    return call.one(ops.RightShift(), x, by)


def dropout(call: Call) -> list[Value]:
    """The input as it is, and a mask: of true, but before opset 12 of false in ONNX Runtime."""
    x = call.value(0)
    if call.opset >= 12 and call.has(2) and call.scalar(2):
        ratio = call.scalar(1) if call.has(1) else 0.5
        if ratio != 0:
            raise call.unsupported(f"training with ratio {ratio}; supported is inference")
    if not call.wants(1):
        return [x]
    dtype = x.type.dtype.numpy if call.opset < 10 else np.dtype(bool)
    kept = call.b.constant(np.array(call.opset >= 12, dtype))
    return [x, call.one(ops.BroadcastTo(x.type.shape), kept)]


OPERATORS: dict[str, Row] = {
    **{name: Row(unary(make)) for name, make in UNARY.items()},
    **{name: Row(binary(make), (2, 2)) for name, make in BINARY.items()},
    **{name: Row(variadic(make), (1, MOST)) for name, make in VARIADIC.items()},
    "BitShift": Row(bit_shift, (2, 2)),
    "BitwiseNot": Row(bitwise_not),
    "BitwiseOr": Row(bitwise_or, (2, 2)),
    "Celu": Row(celu),
    "Clip": Row(clip, (1, 3)),
    "Dropout": Row(dropout, (1, 3)),
    "Elu": Row(elu),
    "Gelu": Row(gelu),
    "HardSigmoid": Row(hard_sigmoid),
    "IsInf": Row(is_inf),
    "IsNaN": Row(is_nan),
    "LeakyRelu": Row(leaky_relu),
    "Mean": Row(mean, (1, MOST)),
    "Mod": Row(modulo, (2, 2)),
    "PRelu": Row(prelu, (2, 2)),
    "Pow": Row(power, (2, 2)),
    "Reciprocal": Row(reciprocal),
    "Relu": Row(relu),
    "Selu": Row(selu),
    "Shrink": Row(shrink),
    "Softsign": Row(softsign),
    "SwiGLU": Row(swiglu, (2, 2)),
    "Swish": Row(swish),
    "ThresholdedRelu": Row(thresholded_relu),
}
