"""Which operators of floats between DEQUANTIZE and QUANTIZE have an operator of integers.

A rule gets the operator, its operands (quantized where they were dequantized) and the type of its
quantized result. It gives the operator of integers and its operands, or None where there is none
whose result lies within a step of the floats'; it may raise GraphError instead.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TypeAlias

import numpy as np

from ..dtype import DType, QParams
from ..graph import TensorType, Value
from ..ops import (
    Abs,
    Activation,
    Add,
    ArgMax,
    ArgMin,
    AveragePool2D,
    BatchMatMul,
    Concatenation,
    Conv2D,
    DepthwiseConv2D,
    Dequantize,
    Div,
    Elu,
    Equal,
    Exp,
    FullyConnected,
    Gelu,
    Greater,
    GreaterEqual,
    HardSwish,
    L2Normalization,
    LeakyRelu,
    Less,
    LessEqual,
    Log,
    Logistic,
    LogSoftmax,
    Maximum,
    Mean,
    Minimum,
    Mul,
    Neg,
    NotEqual,
    Op,
    Pack,
    PRelu,
    Quantize,
    Relu,
    Relu0To1,
    Relu6,
    ReluN1To1,
    ResizeBilinear,
    Rsqrt,
    Select,
    Softmax,
    Sqrt,
    Square,
    SquaredDifference,
    Sub,
    Sum,
    Tanh,
    TransposeConv,
    Unary,
    accumulator_bound,
)
from ..ops.fixed_point import multiply_once_rounded
from ..ops.product import Product
from ..ops.requant import INT32_MAX
from ..ops.tables import raw_values

Found: TypeAlias = "tuple[Op, tuple[Value, ...]] | None"
Rule: TypeAlias = "Callable[[Op, Sequence[Value], TensorType], Found]"

EIGHT_BIT = (DType.UINT8, DType.INT8)
INTEGERS = (*EIGHT_BIT, DType.INT16)

WIDE_SUMS = 2**47 - 1
"""The greatest sum that the fixed-point multiplication of int64 takes."""

STEPS = {1: 1, 2: 4}
"""How many steps a function of 8 or 16 bits may lie from that of floats; those of 16 are
interpolated."""


def is_quantized(t: TensorType) -> bool:
    """Whether a tensor is uint8, int8, or int16 of zero point 0, quantized per tensor."""
    if t.dtype not in INTEGERS or t.quant is None or t.quant.axis is not None:
        return False
    return t.dtype is not DType.INT16 or t.quant.zero_point == (0,)


def product(op: Op, operands: Sequence[Value], out: TensorType) -> Found:
    """Products: weights of 8 bits, one scale or one a channel, and a constant bias.

    x is of 8 bits, or int16; only where it is may w be int16, computed ones of BATCH_MATMUL. A bias
    of floats becomes whole steps of x.scale * w.scale, int64 where x is int16. What it loses must
    be no more than half a step of the output; and no sum may leave int32, or 48 bits.
    """
    assert isinstance(op, Product)
    x, w, *extra = operands
    is_wide = x.type.dtype is DType.INT16
    if not is_quantized(x.type) or w.type.dtype not in (*EIGHT_BIT, x.type.dtype):
        return None
    if w.type.quant is None:
        return None
    found = [x, w]
    if extra or (is_wide and not op.wide_sums):
        given = extra[0] if extra else Value.constant("zeros", np.zeros(out.shape[-1], np.float32))
        bias = _bias(op, x.type, w.type, given, out)
        if bias is None:
            return None
        found.append(bias)
    op.requantization([v.type for v in found], out)
    is_once = is_wide and op.multiplication(is_wide=True) is multiply_once_rounded
    if is_once and not _leaves_room(found, out):
        return None
    return op, tuple(found)


def _leaves_room(operands: Sequence[Value], out: TensorType) -> bool:
    """Whether int64 holds the sums of all results, and twice as great ones, times 31 bits.

    What channels cannot sum up to does not count.
    """
    x, w, bias = operands
    if w.data is None or bias.data is None or x.type.quant is None or w.type.quant is None:
        return False
    assert out.quant is not None
    rows = np.abs(w.data.astype(np.float64)).reshape(len(w.data), -1).sum(1)
    most = rows * 2**15 + np.abs(bias.data.astype(np.float64))
    real = x.type.quant.scale[0] * np.array(w.type.quant.scale) / out.quant.scale[0]
    return bool(np.all(np.minimum(most, 2**16 / real) < 2**32))


def _bias(op: Op, x: TensorType, w: TensorType, bias: Value, out: TensorType) -> Value | None:
    """A constant bias as integers; one of integers is steps already."""
    if bias.data is None or x.quant is None or w.quant is None or out.quant is None:
        return None
    steps = bias.data.astype(np.float64)
    if bias.type.dtype.is_float:
        real, scale = steps, x.quant.scale[0] * np.array(w.quant.scale, np.float64)
        steps = np.rint(real / scale)
        if not np.all(np.abs(steps * scale - real) <= out.quant.scale[0] / 2):
            return None
    is_wide = x.dtype is DType.INT16
    dtype, greatest = (DType.INT64, WIDE_SUMS) if is_wide else (DType.INT32, INT32_MAX)
    terms = op.macs([x, w, bias.type], [out]) // max(out.size, 1)
    if not np.all(np.abs(steps) <= greatest - accumulator_bound(x, w, terms)):
        return None
    return Value.constant(bias.name, steps.astype(dtype.numpy))


def alike(op: Op, operands: Sequence[Value], out: TensorType) -> Found:
    """Operators whose integer rule takes any scales; constants of one element are quantized."""
    types = [v.type.dtype for v in operands if v.data is None]
    dtype = types[0] if types else out.dtype
    found = tuple(_as(v, dtype) for v in operands)
    if dtype is not out.dtype or not all(is_quantized(v.type) for v in found):
        return None
    is_wide = dtype is DType.INT16
    given = [v.type for v in found]
    match op:
        case Add() | Sub() if is_wide:
            op = replace(op, pot_scale_int16=False)
        case Add() | Sub():
            op.fixed_point(given, [out])
        case Mul():
            op.requant(given, [out])
        case Mean() | Sum():
            op.affine(given, [out])
        case Softmax() if is_wide:
            if out.quant != Q15:
                return None
        case Softmax():
            op.factor(out)
        case SquaredDifference() if is_wide:
            return None
        case Concatenation() if is_wide:
            return of_one_quantization(op, found, out)
        case Concatenation():
            for t in given:
                op.table(t, out)
    return op, found


Q15 = QParams.per_tensor(2.0**-15, 0)
"""What SOFTMAX of 16 bits gives."""


def of_one_quantization(op: Op, operands: Sequence[Value], out: TensorType) -> Found:
    """What chooses among elements of several tensors: all have the output's quantization.

    SELECT's first operand is a condition.
    """
    chosen = operands[1:] if isinstance(op, Select) else operands
    same = all((v.type.dtype, v.type.quant) == (out.dtype, out.quant) for v in chosen)
    return (op, tuple(operands)) if same and is_quantized(out) else None


def compared(op: Op, operands: Sequence[Value], out: TensorType) -> Found:
    """Comparisons and ARG_MAX: from integers of one dtype to what is not quantized."""
    found = tuple(_as(v, operands[0].type.dtype) for v in operands)
    same = all(v.type.dtype is found[0].type.dtype and is_quantized(v.type) for v in found)
    return (op, found) if same else None


def function(op: Op, operands: Sequence[Value], out: TensorType) -> Found:
    """Functions of one element, where all results lie within ``STEPS`` of the floats'."""
    (x,) = operands
    if not is_quantized(x.type) or x.type.dtype is not out.dtype or not isinstance(op, Unary):
        return None
    raw = raw_values(x.type).astype(x.type.dtype.numpy)
    given = TensorType(raw.shape, x.type.dtype, x.type.quant)
    result = TensorType(raw.shape, out.dtype, out.quant)
    real = TensorType(raw.shape, DType.FLOAT32)
    with np.errstate(all="ignore"):
        (exact,) = Dequantize().reference([raw], [given], [real])
        (exact,) = op.reference([exact], [real], [real])
        (exact,) = Quantize(out.dtype).reference([exact], [real], [result])
        (whole,) = op.reference([raw], [given], [result])
    apart = np.abs(whole.astype(np.int32) - exact.astype(np.int32))
    return (op, (x,)) if apart.max() <= STEPS[out.dtype.itemsize] else None


def square(op: Op, operands: Sequence[Value], out: TensorType) -> Found:
    """SQUARE, which TensorFlow Lite has of floats alone, as the product of x and x."""
    (x,) = operands
    return alike(Mul(), (x, x), out)


def negative(op: Op, operands: Sequence[Value], out: TensorType) -> Found:
    """NEG as a product by -1: TensorFlow Lite's of integers negates raw values."""
    (x,) = operands
    return alike(Mul(), (x, Value.constant("minus_one", np.array(-1, np.float32))), out)


def mean_of_windows(op: Op, operands: Sequence[Value], out: TensorType) -> Found:
    """AVERAGE_POOL_2D of one quantization; else MEAN, or a product by 1 / count.

    Windows that reach into padding have other counts: such pools of two quantizations stay.
    """
    (x,) = operands
    assert isinstance(op, AveragePool2D)
    if not is_quantized(x.type) or x.type.dtype is not out.dtype:
        return None
    if x.type.quant == out.quant:
        return op, (x,)
    if any(op.padding):
        return None
    if op.filter == x.type.shape[1:3] and op.activation is Activation.NONE:
        return alike(Mean((1, 2), True), [x], out)
    h, w = op.filter
    ones = np.ones((1, h, w, x.type.shape[3]), np.int8)
    weights = Value.constant("share", ones, QParams.per_tensor(1 / (h * w), 0))
    return product(DepthwiseConv2D(op.stride, activation=op.activation), [x, weights], out)


def between_pixels(op: Op, operands: Sequence[Value], out: TensorType) -> Found:
    """Interpolation gives values of the input's quantization, which the output must have."""
    (x,) = operands
    same = (x.type.dtype, x.type.quant) == (out.dtype, out.quant)
    return (op, (x,)) if same and is_quantized(x.type) else None


def again(op: Op, operands: Sequence[Value], out: TensorType) -> Found:
    """QUANTIZE of what is dequantized: from integers to integers."""
    (x,) = operands
    return (Quantize(out.dtype), (x,)) if is_quantized(x.type) else None


def _as(value: Value, dtype: DType) -> Value:
    """A constant as ``dtype`` where that loses nothing; another value as it is."""
    data, quant = value.data, value.type.quant
    if data is None or value.type.dtype is dtype:
        return value
    if value.type.dtype.is_float and data.size == 1 and abs(float(data.item())) > 2.0**-100:
        return _exactly(value, float(data.item()), dtype)
    if value.type.dtype not in EIGHT_BIT or quant is None or quant.axis is not None:
        return value
    zero = quant.zero_point[0]
    step = -zero if dtype is DType.INT16 else dtype.range[0] - value.type.dtype.range[0]
    moved = (data.astype(np.int16) + step).astype(dtype.numpy)
    return Value.constant(value.name, moved, QParams(quant.scale, (zero + step,)))


def _exactly(value: Value, number: float, dtype: DType) -> Value:
    """A constant of one element as one step from its zero point, 0 where that can be."""
    sign = 1 if number > 0 else -1
    zero = 0 if dtype.range[0] < 0 else max(-sign, 0)
    data = np.full(value.type.shape, zero + sign, dtype.numpy)
    return Value.constant(value.name, data, QParams.per_tensor(abs(number), zero))


INTEGER: dict[type[Op], Rule] = {
    **dict.fromkeys((BatchMatMul, Conv2D, DepthwiseConv2D, FullyConnected, TransposeConv), product),
    **dict.fromkeys((Add, Concatenation, Maximum, Mean, Minimum, Mul, Softmax, Sub), alike),
    **dict.fromkeys((Div, L2Normalization, LogSoftmax, PRelu, SquaredDifference, Sum), alike),
    **dict.fromkeys((Abs, Elu, Exp, Gelu, HardSwish, LeakyRelu, Log, Logistic), function),
    **dict.fromkeys((Relu, Relu0To1, Relu6, ReluN1To1, Rsqrt, Sqrt, Tanh), function),
    **dict.fromkeys((ArgMax, ArgMin, Equal, Greater, GreaterEqual, Less), compared),
    **dict.fromkeys((LessEqual, NotEqual), compared),
    **dict.fromkeys((Pack, Select), of_one_quantization),
    AveragePool2D: mean_of_windows,
    Dequantize: again,
    Neg: negative,
    ResizeBilinear: between_pixels,
    Square: square,
}
"""The rule of each operator."""

FLOAT_RATHER: Mapping[int, tuple[type[Op], ...]] = {
    1: (L2Normalization, LogSoftmax),
    2: (Div, L2Normalization, LogSoftmax, PRelu, Softmax),
}
"""Operators, by bytes of an element, that compute with integers only where a caller asks for it:
they have no kernel of integers. SOFTMAX of 16 bits lies many steps from the floats besides."""
