"""Which operators of floats between DEQUANTIZE and QUANTIZE have an operator of integers.

A rule gets the operator, its operands (quantized where they were dequantized) and the type of its
quantized result. It gives the operator of integers and its operands, or None where there is none
whose result lies within a step of the floats'; it may raise GraphError instead.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np

from ..dtype import DType, QParams
from ..graph import Array, TensorType, Value
from ..ops import (
    Activation,
    Add,
    AveragePool2D,
    BatchMatMul,
    Concatenation,
    Conv2D,
    DepthwiseConv2D,
    Dequantize,
    Elu,
    FullyConnected,
    Gelu,
    HardSwish,
    LeakyRelu,
    Logistic,
    Maximum,
    Mean,
    Minimum,
    Mul,
    Op,
    Quantize,
    Relu,
    Relu0To1,
    Relu6,
    ReluN1To1,
    ResizeBilinear,
    Softmax,
    Sub,
    Tanh,
    TransposeConv,
    Unary,
    accumulator_bound,
    requantization,
)
from ..ops.requant import INT32_MAX

Found: TypeAlias = "tuple[Op, tuple[Value, ...]] | None"
Rule: TypeAlias = "Callable[[Op, Sequence[Value], TensorType], Found]"

EIGHT_BIT = (DType.UINT8, DType.INT8)


def is_eight_bit(t: TensorType) -> bool:
    """Whether a tensor is uint8 or int8, quantized per tensor."""
    return t.dtype in EIGHT_BIT and t.quant is not None and t.quant.axis is None


def product(op: Op, operands: Sequence[Value], out: TensorType) -> Found:
    """Products: x of 8 bits, weights of 8 bits, one scale or one a channel, and a constant bias.

    A bias of floats becomes whole steps of x.scale * w.scale. What it loses must be no more than
    half a step of the output; and no sum may leave int32.
    """
    x, w, *extra = operands
    if not is_eight_bit(x.type) or w.type.dtype not in EIGHT_BIT or w.type.quant is None:
        return None
    requantization(x.type, w.type, out, _activation(op))
    if not extra:
        return op, (x, w)
    assert x.type.quant is not None
    assert out.quant is not None
    (bias,) = extra
    if bias.type.dtype.is_integer:
        return op, (x, w, bias)
    scale = x.type.quant.scale[0] * np.array(w.type.quant.scale, np.float64)
    if bias.data is None or not bias.type.dtype.is_float:
        return None
    real = bias.data.astype(np.float64)
    steps = np.rint(real / scale)
    if not np.all(np.abs(steps * scale - real) <= out.quant.scale[0] / 2):
        return None
    terms = op.macs([v.type for v in operands], [out]) // max(out.size, 1)
    room = INT32_MAX - accumulator_bound(x.type, w.type, terms)
    if not np.all(np.abs(steps) <= room):
        return None
    whole = _constant(steps.astype(np.int32), bias.name)
    return op, (x, w, whole)


def alike(op: Op, operands: Sequence[Value], out: TensorType) -> Found:
    """Operators whose integer rule takes any scales; constants of one element are quantized."""
    types = [v.type.dtype for v in operands if v.data is None]
    dtype = types[0] if types else out.dtype
    found = tuple(_as(v, dtype) for v in operands)
    if dtype is not out.dtype or not all(is_eight_bit(v.type) for v in found):
        return None
    match op:
        case Add() | Sub():
            op.fixed_point([v.type for v in found], [out])
        case Mul():
            op.requant([v.type for v in found], [out])
        case Mean():
            op.affine([found[0].type], [out])
        case Softmax():
            op.factor(out)
        case Concatenation():
            for v in found:
                op.table(v.type, out)
    return op, found


def function(op: Op, operands: Sequence[Value], out: TensorType) -> Found:
    """Functions of one element, where all 256 results lie within a step of the floats'."""
    (x,) = operands
    if not is_eight_bit(x.type) or x.type.dtype is not out.dtype or not isinstance(op, Unary):
        return None
    raw = np.arange(256, dtype=np.uint8).view(x.type.dtype.numpy)
    given = TensorType(raw.shape, x.type.dtype, x.type.quant)
    result = TensorType(raw.shape, out.dtype, out.quant)
    real = TensorType(raw.shape, DType.FLOAT32)
    with np.errstate(all="ignore"):
        (exact,) = Dequantize().reference([raw], [given], [real])
        (exact,) = op.reference([exact], [real], [real])
        (exact,) = Quantize(out.dtype).reference([exact], [real], [result])
        (whole,) = op.reference([raw], [given], [result])
    apart = np.abs(whole.astype(np.int32) - exact.astype(np.int32))
    return (op, (x,)) if apart.max() <= 1 else None


def mean_of_windows(op: Op, operands: Sequence[Value], out: TensorType) -> Found:
    """AVERAGE_POOL_2D of one quantization; else MEAN, or a product by 1 / count.

    Windows that reach into padding have other counts: such pools of two quantizations stay.
    """
    (x,) = operands
    assert isinstance(op, AveragePool2D)
    if not is_eight_bit(x.type) or x.type.dtype is not out.dtype:
        return None
    if x.type.quant == out.quant:
        return op, (x,)
    if any(op.padding):
        return None
    if op.filter == x.type.shape[1:3] and op.activation is Activation.NONE:
        return alike(Mean((1, 2), True), [x], out)
    h, w = op.filter
    ones = np.ones((1, h, w, x.type.shape[3]), np.int8)
    weights = _constant(ones, "share", QParams.per_tensor(1 / (h * w), 0))
    return product(DepthwiseConv2D(op.stride, activation=op.activation), [x, weights], out)


def between_pixels(op: Op, operands: Sequence[Value], out: TensorType) -> Found:
    """Interpolation gives values of the input's quantization, which the output must have."""
    (x,) = operands
    same = (x.type.dtype, x.type.quant) == (out.dtype, out.quant)
    return (op, (x,)) if same and is_eight_bit(x.type) else None


def again(op: Op, operands: Sequence[Value], out: TensorType) -> Found:
    """QUANTIZE of what is dequantized: from integers to integers."""
    (x,) = operands
    return (Quantize(out.dtype), (x,)) if is_eight_bit(x.type) else None


def _activation(op: Op) -> Activation:
    return getattr(op, "activation", Activation.NONE)


def _as(value: Value, dtype: DType) -> Value:
    """A constant as ``dtype`` where that loses nothing; another value as it is."""
    data, quant = value.data, value.type.quant
    if data is None or value.type.dtype is dtype:
        return value
    if value.type.dtype.is_float and data.size == 1 and abs(float(data.item())) > 2.0**-100:
        return _exactly(value, float(data.item()), dtype)
    if value.type.dtype not in EIGHT_BIT or quant is None or quant.axis is not None:
        return value
    step = dtype.range[0] - value.type.dtype.range[0]
    moved = (data.astype(np.int16) + step).astype(dtype.numpy)
    return _constant(moved, value.name, QParams(quant.scale, (quant.zero_point[0] + step,)))


def _exactly(value: Value, number: float, dtype: DType) -> Value:
    """A constant of one element as one step from its zero point."""
    zero = 0 if number > 0 else 1
    data = np.full(value.type.shape, 1 - zero, dtype.numpy)
    return _constant(data, value.name, QParams.per_tensor(abs(number), zero))


def _constant(data: Array, name: str, quant: QParams | None = None) -> Value:
    data.setflags(write=False)
    return Value(name, TensorType(data.shape, DType.of(data), quant), data)


INTEGER: dict[type[Op], Rule] = {
    **dict.fromkeys((BatchMatMul, Conv2D, DepthwiseConv2D, FullyConnected, TransposeConv), product),
    **dict.fromkeys((Add, Concatenation, Maximum, Mean, Minimum, Mul, Softmax, Sub), alike),
    **dict.fromkeys((Elu, Gelu, HardSwish, LeakyRelu, Logistic, Tanh), function),
    **dict.fromkeys((Relu, Relu0To1, Relu6, ReluN1To1), function),
    AveragePool2D: mean_of_windows,
    Dequantize: again,
    ResizeBilinear: between_pixels,
}
"""The rule of each operator."""
