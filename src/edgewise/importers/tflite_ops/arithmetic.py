"""Arithmetic: elementwise, reductions, conversions."""

from __future__ import annotations

from ... import ops
from .. import tflite_schema as schema
from ..flatbuffer import FLOAT32, INT8
from ..tflite_call import Built, Call, Row, plain


def add(call: Call) -> Built:
    activation = call.activation(schema.AddOptions.FUSED_ACTIVATION_FUNCTION)
    return ops.Add(activation), call.operands(0, 1)


def sub(call: Call) -> Built:
    activation = call.activation(schema.SubOptions.FUSED_ACTIVATION_FUNCTION)
    return ops.Sub(activation), call.operands(0, 1)


def mul(call: Call) -> Built:
    activation = call.activation(schema.MulOptions.FUSED_ACTIVATION_FUNCTION)
    return ops.Mul(activation), call.operands(0, 1)


def quantize(call: Call) -> Built:
    return ops.Quantize(call.outputs[0].type.dtype), call.operands(0)


def leaky_relu(call: Call) -> Built:
    alpha = call.options.number(schema.LeakyReluOptions.ALPHA, FLOAT32)
    return ops.LeakyRelu(alpha), call.operands(0)


def mean(call: Call) -> Built:
    axes = call.axes(call.constant(1), len(call.shape(0)))
    keep_dims = call.options.flag(schema.ReducerOptions.KEEP_DIMS)
    return ops.Mean(axes, keep_dims), call.operands(0)


def arg_max(call: Call) -> Built:
    (axis,) = call.constant(1, count=1)
    dtype = call.dtype(call.options.number(schema.ArgMaxOptions.OUTPUT_TYPE, INT8))
    return ops.ArgMax(call.axis(axis, len(call.shape(0))), dtype), call.operands(0)


def softmax(call: Call) -> Built:
    return ops.Softmax(call.options.number(schema.SoftmaxOptions.BETA, FLOAT32)), call.operands(0)


_B = schema.BuiltinOperator

OPERATORS: dict[int, Row] = {
    _B.ADD: Row("ADD", add, (2, 2), schema.AddOptions.TAG),
    _B.ARG_MAX: Row("ARG_MAX", arg_max, (2, 2), schema.ArgMaxOptions.TAG),
    _B.DEQUANTIZE: Row("DEQUANTIZE", plain(ops.Dequantize)),
    _B.HARD_SWISH: Row("HARD_SWISH", plain(ops.HardSwish)),
    _B.LEAKY_RELU: Row("LEAKY_RELU", leaky_relu, (1, 1), schema.LeakyReluOptions.TAG),
    _B.LOGISTIC: Row("LOGISTIC", plain(ops.Logistic)),
    _B.MEAN: Row("MEAN", mean, (2, 2), schema.ReducerOptions.TAG),
    _B.MUL: Row("MUL", mul, (2, 2), schema.MulOptions.TAG),
    _B.QUANTIZE: Row("QUANTIZE", quantize),
    _B.RELU: Row("RELU", plain(ops.Relu)),
    _B.RELU6: Row("RELU6", plain(ops.Relu6)),
    _B.RELU_N1_TO_1: Row("RELU_N1_TO_1", plain(ops.ReluN1To1)),
    _B.SOFTMAX: Row("SOFTMAX", softmax, (1, 1), schema.SoftmaxOptions.TAG),
    _B.SUB: Row("SUB", sub, (2, 2), schema.SubOptions.TAG),
    _B.TANH: Row("TANH", plain(ops.Tanh)),
}
