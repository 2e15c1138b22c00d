"""Functions of one element and of two tensors, comparisons, logic."""

from __future__ import annotations

import math
from collections.abc import Callable

from ... import ops
from ...dtype import DType
from ...graph import Value
from ...ops import Op
from ..torch_call import Call, Reader

UNARY: dict[str, Callable[[], Op]] = {
    "abs": ops.Abs,
    "ceil": ops.Ceil,
    "cos": ops.Cos,
    "exp": ops.Exp,
    "floor": ops.Floor,
    "log": ops.Log,
    "neg": ops.Neg,
    "round.default": ops.Round,
    "rsqrt": ops.Rsqrt,
    "sigmoid": ops.Logistic,
    "sign": ops.Sign,
    "sin": ops.Sin,
    "sqrt": ops.Sqrt,
    "square": ops.Square,
    "tanh": ops.Tanh,
}
"""Functions of one element; integers become the floats of the result first."""

BINARY: dict[str, Callable[[], Op]] = {
    "atan2": ops.Atan2,
    "maximum": ops.Maximum,
    "minimum": ops.Minimum,
    "mul": ops.Mul,
    "remainder": ops.FloorMod,
}
COMPARISONS: dict[str, Callable[[], Op]] = {
    "eq": ops.Equal,
    "ge": ops.GreaterEqual,
    "gt": ops.Greater,
    "le": ops.LessEqual,
    "lt": ops.Less,
    "ne": ops.NotEqual,
}
LOGIC: dict[str, Callable[[], Op]] = {
    "logical_and": ops.LogicalAnd,
    "logical_or": ops.LogicalOr,
    "logical_xor": ops.BitwiseXor,
}


def unary(op: Callable[[], Op]) -> Reader:
    def read(call: Call) -> Value:
        x = call.value()
        if x.type.dtype.is_integer and x.type.dtype is call.dtype and op in ROUNDING:
            return x
        return call.one(op(), call.cast(x, call.dtype))

    return read


ROUNDING = (ops.Ceil, ops.Floor, ops.Round)
"""Integers stay what they are."""


def binary(op: Callable[[], Op]) -> Reader:
    """Both operands as the result's element type; of bools, products are logic."""

    def read(call: Call) -> Value:
        if call.dtype is DType.BOOL:
            made: Op = ops.LogicalAnd() if op in (ops.Mul, ops.Minimum) else ops.LogicalOr()
        else:
            made = op()
        return call.one(made, call.operand("self", call.dtype), call.operand("other", call.dtype))

    return read


def scaled(op: Callable[[], Op]) -> Reader:
    """ADD and SUB, whose second operand is times alpha."""

    def read(call: Call) -> Value:
        a, b = (call.operand(name, call.dtype) for name in ("self", "other"))
        if call.dtype is DType.BOOL:
            return call.one(ops.LogicalOr(), a, b)
        alpha = call.number("alpha", 1)
        b = b if alpha == 1 else call.one(ops.Mul(), b, call.scalar(alpha, call.dtype))
        return call.one(op(), a, b)

    return read


def rsub(call: Call) -> Value:
    b = call.operand("self", call.dtype)
    alpha = call.number("alpha", 1)
    b = b if alpha == 1 else call.one(ops.Mul(), b, call.scalar(alpha, call.dtype))
    return call.one(ops.Sub(), call.operand("other", call.dtype), b)


def divide(call: Call) -> Value:
    a, b = (call.operand(name, call.dtype) for name in ("self", "other"))
    mode = call.get("rounding_mode")
    if mode == "floor":
        return call.one(ops.FloorDiv(), a, b)
    y = call.one(ops.Div(), a, b)
    return truncated(call, y) if mode == "trunc" and call.dtype.is_float else y


def floor_divide(call: Call) -> Value:
    return call.one(
        ops.FloorDiv(), call.operand("self", call.dtype), call.operand("other", call.dtype)
    )


def truncated(call: Call, x: Value) -> Value:
    """Floats cut toward zero."""
    below = call.one(ops.Less(), x, call.scalar(0.0, x.type.dtype))
    return call.one(ops.Select(), below, call.one(ops.Ceil(), x), call.one(ops.Floor(), x))


def trunc(call: Call) -> Value:
    x = call.value()
    return truncated(call, x) if x.type.dtype.is_float else x


def fmod(call: Call) -> Value:
    a, b = (call.operand(name, call.dtype) for name in ("self", "other"))
    y = call.one(ops.Div(), a, b)
    y = truncated(call, y) if call.dtype.is_float else y
    return call.one(ops.Sub(), a, call.one(ops.Mul(), y, b))


def reciprocal(call: Call) -> Value:
    return call.one(ops.Div(), call.scalar(1, call.dtype), call.cast(call.value(), call.dtype))


POWERS: dict[float, Callable[[], Op]] = {2: ops.Square, 0.5: ops.Sqrt, -0.5: ops.Rsqrt}


def power(call: Call) -> Value:
    exponent = call.get("exponent")
    a = call.operand("self", call.dtype)
    if not isinstance(exponent, Value) and exponent in POWERS:
        return call.one(POWERS[exponent](), a)
    if exponent == 3:
        return call.one(ops.Mul(), call.one(ops.Square(), a), a)
    return call.one(ops.Pow(), a, call.operand("exponent", call.dtype))


def base_two(call: Call) -> Value:
    return call.one(ops.Exp(), times(call, call.cast(call.value(), call.dtype), math.log(2)))


def logarithm(base: float) -> Reader:
    def read(call: Call) -> Value:
        y = call.one(ops.Log(), call.cast(call.value(), call.dtype))
        return times(call, y, 1 / math.log(base))

    return read


def log1p(call: Call) -> Value:
    x = call.cast(call.value(), call.dtype)
    return call.one(ops.Log(), plus(call, x, 1.0))


def expm1(call: Call) -> Value:
    x = call.cast(call.value(), call.dtype)
    high = plus(call, call.one(ops.Exp(), x), -1.0)
    above = call.one(ops.Greater(), x, call.scalar(0.0, call.dtype))
    return call.one(ops.Select(), above, high, call.one(ops.Elu(), x))


def tan(call: Call) -> Value:
    x = call.cast(call.value(), call.dtype)
    return call.one(ops.Div(), call.one(ops.Sin(), x), call.one(ops.Cos(), x))


def plus(call: Call, x: Value, value: float) -> Value:
    return call.one(ops.Add(), x, call.scalar(value, x.type.dtype))


def times(call: Call, x: Value, value: float) -> Value:
    return call.one(ops.Mul(), x, call.scalar(value, x.type.dtype))


def clamp(call: Call) -> Value:
    y = call.cast(call.value(), call.dtype)
    for name, op in (("min", ops.Maximum()), ("max", ops.Minimum())):
        if call.get(name) is not None:
            y = call.one(op, y, call.operand(name, call.dtype))
    return y


def one_sided(op: Callable[[], Op], name: str) -> Reader:
    def read(call: Call) -> Value:
        return call.one(op(), call.value(), call.operand(name, call.dtype))

    return read


def common(call: Call) -> DType:
    """The type in which two operands are compared."""
    a, b = call.get("self"), call.get("other")
    if not isinstance(b, Value):
        real = isinstance(b, float) and not a.type.dtype.is_float
        return DType.FLOAT32 if real else promoted(a.type.dtype, DType.INT32, b)
    if not isinstance(a, Value):
        return promoted(b.type.dtype, DType.INT32, a)
    scalars = [not v.type.shape for v in (a, b)]
    types = [v.type.dtype for v in (a, b)]
    if scalars[0] != scalars[1] and category(types[0]) == category(types[1]):
        return types[scalars[0]]
    return ranked(*types)


def category(dtype: DType) -> tuple[bool, bool]:
    """Bools, integers and floats are three; a scalar counts where its category is the higher."""
    return dtype is DType.BOOL, dtype.is_float


def promoted(dtype: DType, instead: DType, number: object) -> DType:
    """The type of a tensor compared with a number; bools compare as integers with all but bools."""
    return instead if dtype is DType.BOOL and not isinstance(number, bool) else dtype


RANKS = ("bool", "uint8", "int8", "int16", "int32", "int64", "float16", "float32", "float64")


def ranked(a: DType, b: DType) -> DType:
    if {a, b} == {DType.UINT8, DType.INT8}:
        return DType.INT16
    return max(a, b, key=lambda d: RANKS.index(d.value) if d.value in RANKS else len(RANKS))


def compared(op: Callable[[], Op]) -> Reader:
    def read(call: Call) -> Value:
        dtype = common(call)
        if dtype is DType.BOOL and op not in (ops.Equal, ops.NotEqual):
            dtype = DType.INT32
        return call.one(op(), call.operand("self", dtype), call.operand("other", dtype))

    return read


def logic(op: Callable[[], Op]) -> Reader:
    def read(call: Call) -> Value:
        return call.one(op(), call.operand("self", DType.BOOL), call.operand("other", DType.BOOL))

    return read


def bits(of_bools: Callable[[], Op], of_integers: Callable[[], Op] | None) -> Reader:
    def read(call: Call) -> Value:
        op = of_bools if call.dtype is DType.BOOL else of_integers
        if op is None:
            raise call.unsupported(f"bits of {call.dtype}")
        return call.one(op(), call.operand("self", call.dtype), call.operand("other", call.dtype))

    return read


def logical_not(call: Call) -> Value:
    return call.one(ops.LogicalNot(), call.cast(call.value(), DType.BOOL))


def bitwise_not(call: Call) -> Value:
    x = call.value()
    if x.type.dtype is DType.BOOL:
        return call.one(ops.LogicalNot(), x)
    ones = x.type.dtype.range[1] if x.type.dtype.range[0] == 0 else -1
    return call.one(ops.BitwiseXor(), x, call.scalar(ones, x.type.dtype))


def is_nan(call: Call) -> Value:
    x = call.value()
    return call.one(ops.NotEqual(), x, x)


def is_infinite(call: Call) -> Value:
    x = call.value()
    if not x.type.dtype.is_float:
        return call.one(ops.NotEqual(), x, x)
    return call.one(ops.Equal(), call.one(ops.Abs(), x), call.scalar(math.inf, x.type.dtype))


OPERATORS: dict[str, Reader] = {
    **{name: unary(op) for name, op in UNARY.items()},
    **{name: binary(op) for name, op in BINARY.items()},
    **{name: compared(op) for name, op in COMPARISONS.items()},
    **{name: logic(op) for name, op in LOGIC.items()},
    "add": scaled(ops.Add),
    "bitwise_and": bits(ops.LogicalAnd, lambda: ops.BitwiseAnd()),
    "bitwise_not": bitwise_not,
    "bitwise_or": bits(ops.LogicalOr, None),
    "bitwise_xor": bits(ops.BitwiseXor, ops.BitwiseXor),
    "clamp": clamp,
    "clamp_max": one_sided(ops.Minimum, "max"),
    "clamp_min": one_sided(ops.Maximum, "min"),
    "div": divide,
    "exp2": base_two,
    "expm1": expm1,
    "floor_divide": floor_divide,
    "fmod": fmod,
    "isinf": is_infinite,
    "isnan": is_nan,
    "log10": logarithm(10),
    "log1p": log1p,
    "log2": logarithm(2),
    "logical_not": logical_not,
    "pow": power,
    "reciprocal": reciprocal,
    "rsub": rsub,
    "sub": scaled(ops.Sub),
    "tan": tan,
    "trunc": trunc,
}
