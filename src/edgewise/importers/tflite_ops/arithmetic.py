"""Arithmetic: elementwise, reductions, normalisations, conversions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ... import ops
from ...errors import UnsupportedError
from ...ops import Activation, Op
from .. import tflite_schema as schema
from ..flatbuffer import FLOAT32, INT8, UINT8
from ..tflite_call import MANY, Built, Call, Row

UNARY: tuple[type[Op], ...] = (
    ops.Abs,
    ops.Ceil,
    ops.Cos,
    ops.Densify,
    ops.Dequantize,
    ops.Elu,
    ops.Exp,
    ops.Floor,
    ops.HardSwish,
    ops.Log,
    ops.LogSoftmax,
    ops.LogicalNot,
    ops.Logistic,
    ops.Neg,
    ops.Relu,
    ops.Relu0To1,
    ops.Relu6,
    ops.ReluN1To1,
    ops.Round,
    ops.Rsqrt,
    ops.Sign,
    ops.Sin,
    ops.Sqrt,
    ops.Square,
    ops.Tanh,
)
BINARY: tuple[type[Op], ...] = (
    ops.Atan2,
    ops.BitwiseXor,
    ops.Equal,
    ops.FloorDiv,
    ops.FloorMod,
    ops.Greater,
    ops.GreaterEqual,
    ops.Less,
    ops.LessEqual,
    ops.LogicalAnd,
    ops.LogicalOr,
    ops.Maximum,
    ops.Minimum,
    ops.NotEqual,
    ops.PRelu,
    ops.Pow,
    ops.RightShift,
    ops.SquaredDifference,
)
REDUCTIONS: tuple[type[ops.Reduction], ...] = (
    ops.Mean,
    ops.ReduceAll,
    ops.ReduceAny,
    ops.ReduceMax,
    ops.ReduceMin,
    ops.ReduceProd,
    ops.Sum,
)


def every_operand(op: Callable[[], Op]) -> Callable[[Call], Built]:
    """The reader of an operator without options that matter."""
    return lambda call: (op(), call.operands(*range(len(call.inputs))))


def add(call: Call) -> Built:
    return _sum(call, ops.Add, schema.AddOptions), call.operands(0, 1)


def sub(call: Call) -> Built:
    return _sum(call, ops.Sub, schema.SubOptions), call.operands(0, 1)


def _sum(call: Call, op: Callable[..., Op], o: Any) -> Op:
    activation = call.activation(o.FUSED_ACTIVATION_FUNCTION)
    return op(activation, bool(call.options.number(o.POT_SCALE_INT16, UINT8, 1)))


def mul(call: Call) -> Built:
    activation = call.activation(schema.MulOptions.FUSED_ACTIVATION_FUNCTION)
    return ops.Mul(activation), call.operands(0, 1)


def div(call: Call) -> Built:
    activation = call.activation(schema.DivOptions.FUSED_ACTIVATION_FUNCTION)
    return ops.Div(activation), call.operands(0, 1)


def select(call: Call) -> Built:
    """A condition of rank 1, or of one element, chooses rows of operands of a higher rank."""
    condition, shape = call.shape(0), call.shape(1)
    rows = len(condition) == 1 and len(shape) > 1 and condition == shape[:1]
    return ops.Select(rows), call.operands(0, 1, 2)


def gelu(call: Call) -> Built:
    return ops.Gelu(call.options.flag(schema.GeluOptions.APPROXIMATE)), call.operands(0)


def leaky_relu(call: Call) -> Built:
    alpha = call.options.number(schema.LeakyReluOptions.ALPHA, FLOAT32)
    return ops.LeakyRelu(alpha), call.operands(0)


def quantize(call: Call) -> Built:
    return ops.Quantize(call.outputs[0].type.dtype), call.operands(0)


def cast(call: Call) -> Built:
    return ops.Cast(call.outputs[0].type.dtype), call.operands(0)


def bitcast(call: Call) -> Built:
    return ops.Bitcast(call.outputs[0].type.dtype), call.operands(0)


def fake_quant(call: Call) -> Built:
    o = schema.FakeQuantOptions
    least, greatest = (call.options.number(field, FLOAT32) for field in (o.MIN, o.MAX))
    narrow = call.options.flag(o.NARROW_RANGE)
    return ops.FakeQuant(least, greatest, call.int32(o.NUM_BITS), narrow), call.operands(0)


def reduction(op: Callable[..., Op]) -> Callable[[Call], Built]:
    def read(call: Call) -> Built:
        axes = call.axes(call.constant(1), len(call.shape(0)))
        return op(axes, call.options.flag(schema.ReducerOptions.KEEP_DIMS)), call.operands(0)

    return read


def cumsum(call: Call) -> Built:
    o = schema.CumsumOptions
    (axis,) = call.constant(1, count=1)
    exclusive, reverse = call.options.flag(o.EXCLUSIVE), call.options.flag(o.REVERSE)
    return ops.Cumsum(call.axis(axis, len(call.shape(0))), exclusive, reverse), call.operands(0)


def arg(op: Callable[..., Op], output_type: int) -> Callable[[Call], Built]:
    def read(call: Call) -> Built:
        (axis,) = call.constant(1, count=1)
        dtype = call.dtype(call.options.number(output_type, INT8))
        return op(call.axis(axis, len(call.shape(0))), dtype), call.operands(0)

    return read


def softmax(call: Call) -> Built:
    return ops.Softmax(call.options.number(schema.SoftmaxOptions.BETA, FLOAT32)), call.operands(0)


def l2_normalization(call: Call) -> Built:
    activation = call.activation(schema.L2NormOptions.FUSED_ACTIVATION_FUNCTION)
    if activation is not Activation.NONE:
        raise UnsupportedError(f"{call.what}: fused activation {activation.name}; it has none")
    return ops.L2Normalization(), call.operands(0)


def local_response_normalization(call: Call) -> Built:
    o = schema.LocalResponseNormalizationOptions
    numbers = (call.options.number(field, FLOAT32) for field in (o.BIAS, o.ALPHA, o.BETA))
    return ops.LocalResponseNormalization(call.int32(o.RADIUS), *numbers), call.operands(0)


_B = schema.BuiltinOperator
_REDUCER = schema.ReducerOptions.TAG


def _code(op: Any) -> int:
    """The builtin code of an operator."""
    number: int = getattr(_B, op.name)
    return number


OPERATORS: dict[int, Row] = {
    **{_code(op): Row(op.name, every_operand(op)) for op in UNARY},
    **{_code(op): Row(op.name, every_operand(op), (2, 2)) for op in BINARY},
    **{_code(op): Row(op.name, reduction(op), (2, 2), _REDUCER) for op in REDUCTIONS},
    _B.ADD: Row("ADD", add, (2, 2), schema.AddOptions.TAG),
    _B.ADD_N: Row("ADD_N", every_operand(ops.AddN), (1, MANY)),
    _B.ARG_MAX: Row(
        "ARG_MAX",
        arg(ops.ArgMax, schema.ArgMaxOptions.OUTPUT_TYPE),
        (2, 2),
        schema.ArgMaxOptions.TAG,
    ),
    _B.ARG_MIN: Row(
        "ARG_MIN",
        arg(ops.ArgMin, schema.ArgMinOptions.OUTPUT_TYPE),
        (2, 2),
        schema.ArgMinOptions.TAG,
    ),
    _B.BITCAST: Row("BITCAST", bitcast),
    _B.CAST: Row("CAST", cast),
    _B.CUMSUM: Row("CUMSUM", cumsum, (2, 2), schema.CumsumOptions.TAG),
    _B.DIV: Row("DIV", div, (2, 2), schema.DivOptions.TAG),
    _B.FAKE_QUANT: Row("FAKE_QUANT", fake_quant, (1, 1), schema.FakeQuantOptions.TAG),
    _B.GELU: Row("GELU", gelu, (1, 1), schema.GeluOptions.TAG),
    _B.L2_NORMALIZATION: Row(
        "L2_NORMALIZATION", l2_normalization, (1, 1), schema.L2NormOptions.TAG
    ),
    _B.LEAKY_RELU: Row("LEAKY_RELU", leaky_relu, (1, 1), schema.LeakyReluOptions.TAG),
    _B.LOCAL_RESPONSE_NORMALIZATION: Row(
        "LOCAL_RESPONSE_NORMALIZATION",
        local_response_normalization,
        (1, 1),
        schema.LocalResponseNormalizationOptions.TAG,
    ),
    _B.MUL: Row("MUL", mul, (2, 2), schema.MulOptions.TAG),
    _B.QUANTIZE: Row("QUANTIZE", quantize),
    _B.SELECT: Row("SELECT", select, (3, 3)),
    _B.SELECT_V2: Row("SELECT_V2", every_operand(ops.Select), (3, 3)),
    _B.SOFTMAX: Row("SOFTMAX", softmax, (1, 1), schema.SoftmaxOptions.TAG),
    _B.SUB: Row("SUB", sub, (2, 2), schema.SubOptions.TAG),
}
