"""Quantization, and operators of integers with scales.

QLinear operators are read as what they are to be equal to: DEQUANTIZE, the operator of real
numbers, QUANTIZE; the pass ``fuse_qdq`` makes the integer operator of the three.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from ... import ops
from ...dtype import DType
from ...graph import Value
from .. import channels_first
from ..onnx_call import Call, Row
from .products import product
from .quantization import Affine, affine, dequantized, quantized, saturated
from .windows import resolved, windows

UINT8, INT8 = 2, 3
"""Numbers of TensorProto.DataType."""

EXACT = 2**24
"""The greatest sum of which float32 holds every whole number below it."""

EIGHT_BIT = (DType.UINT8, DType.INT8)


def quantize_linear(call: Call) -> Value:
    x = call.value(0)
    by = affine(call, 1, len(x.type.shape))
    code = call.integer("output_dtype", 0) or (call.code(2) if call.has(2) else UINT8)
    return quantized(call, call.b.retype(x, None), by, code, call.flag("saturate", True))


def dequantize_linear(call: Call) -> Value:
    x = call.value(0)
    by = affine(call, 1, len(x.type.shape))
    code = call.integer("output_dtype", 0)
    return dequantized(call, x, by, call.dtype(code) if code else by.scale.type.dtype)


def dynamic_quantize_linear(call: Call) -> Sequence[Value]:
    """To uint8, by a scale and a zero point from the least and the greatest element."""
    x, b = call.value(0), call.b
    call.only(DType.FLOAT32)
    axes, zero = tuple(range(call.rank(0))), call.number(0.0, x)
    least = call.one(ops.Minimum(), call.one(ops.ReduceMin(axes), x), zero)
    greatest = call.one(ops.Maximum(), call.one(ops.ReduceMax(axes), x), zero)
    spread = call.one(ops.Sub(), greatest, least)
    scale = call.one(ops.Div(), spread, call.number(255.0, x))
    raw = call.one(ops.Div(), call.one(ops.Sub(), zero, least), scale)
    point = saturated(call, call.one(ops.Round(), raw), UINT8)
    q = quantized(call, x, Affine(scale, point), UINT8)
    return q, b.reshape(scale, ()), b.reshape(point, ())


def qlinear_conv(call: Call) -> Value:
    x, w = call.value(0), call.value(3)
    x_by, w_by = affine(call, 1, len(x.type.shape), 1), affine(call, 4, len(w.type.shape), 0)
    y_by = affine(call, 6, len(x.type.shape), 1)
    shape = windows(call, w.type.shape[2:])
    bias = None
    if call.has(8):
        bias = bias_of_steps(call, call.value(8), x_by.scale, w_by.scale)
    y = channels_first.conv(
        call.b,
        dequantized(call, x, x_by),
        dequantized(call, w, w_by),
        bias,
        stride=shape.stride,
        dilation=shape.dilation,
        pads=resolved(call, shape),
        groups=call.integer("group", 1),
    )
    return quantized(call, y, y_by, call.code(7) if call.has(7) else UINT8)


def bias_of_steps(call: Call, bias: Value, x_scale: Value, w_scale: Value) -> Value:
    """int32 bias[O] in steps of both scales, as real numbers."""
    if bias.type.dtype is not DType.INT32 or x_scale.type.size != 1:
        raise call.error(
            f"bias is {bias.type.dtype}, input 0 has {x_scale.type.size} scales; int32, and 1"
        )
    known = (bias.data, x_scale.data, w_scale.data)
    if all(data is not None for data in known):
        steps, *scales = (np.asarray(data, np.float64).ravel() for data in known)
        if len(scales[1]) not in (1, len(steps)):
            raise call.error(f"{len(scales[1])} scales of weights for {len(steps)} channels")
        return call.b.constant((steps * scales[0] * scales[1]).astype(np.float32), bias.name)
    scale = call.one(ops.Mul(), call.b.reshape(x_scale, ()), call.b.reshape(w_scale, (-1,)))
    return call.one(ops.Mul(), call.one(ops.Cast(DType.FLOAT32), bias), scale)


def qlinear_matmul(call: Call) -> Value:
    x, y = call.value(0), call.value(3)
    ranks = len(x.type.shape), len(y.type.shape)
    if min(ranks) < 2:
        raise call.unsupported(f"operands of rank {ranks[0]} and {ranks[1]}; 2 and more")
    a = dequantized(call, x, affine(call, 1, ranks[0], -2))
    b = dequantized(call, y, affine(call, 4, ranks[1], -1))
    return quantized(call, product(call, a, b), affine(call, 6, max(ranks), -2), call.code(7))


def matmul_integer(call: Call, zeros: int = 2) -> Value:
    """``zeros`` is the input that holds the zero point of the first operand."""
    x, y = call.value(0), call.value(1)
    if min(len(x.type.shape), len(y.type.shape)) < 2:
        raise call.unsupported("operands of fewer than 2 dimensions")
    a = _centred(call, x, zeros, -2)
    b = _centred(call, y, zeros + 1, -1)
    return _exact(call, a, b, 255, 255, y.type.shape[-2], lambda a, b: product(call, a, b))


def conv_integer(call: Call) -> Value:
    x, w = call.value(0), call.value(1)
    shape = windows(call, w.type.shape[2:])
    pads, groups = resolved(call, shape), call.integer("group", 1)

    def conv(x: Value, w: Value) -> Value:
        return channels_first.conv(
            call.b, x, w, stride=shape.stride, dilation=shape.dilation, pads=pads, groups=groups
        )

    terms = w.type.size // max(w.type.shape[0], 1)
    return _exact(call, _centred(call, x, 2, 1), _centred(call, w, 3, 0), 255, 255, terms, conv)


def _centred(call: Call, x: Value, zero: int, axis: int) -> Value:
    """8-bit integers less the zero point of input ``zero``, one or one an element of ``axis``."""
    if x.type.dtype not in EIGHT_BIT:
        raise call.error(f"operand is {x.type.dtype}; it must be uint8 or int8")
    one, point = call.b.constant(np.array(1, np.float32)), call.optional(zero)
    if point is not None and point.type.dtype not in EIGHT_BIT:
        raise call.error(f"zero point is {point.type.dtype}; it must be uint8 or int8")
    return dequantized(call, x, Affine(one, point, call.axis(axis, len(x.type.shape))))


def _exact(
    call: Call,
    x: Value,
    y: Value,
    most_x: int,
    most_y: int,
    terms: int,
    multiply: Callable[[Value, Value], Value],
) -> Value:
    """int32 sums of ``terms`` products of whole numbers of float32, of at most those magnitudes.

    Sums that float32 does not hold are split in sums of products of four bits.
    """
    to_int32 = ops.Cast(DType.INT32)
    if terms * most_x * most_y <= EXACT:
        return call.one(to_int32, multiply(x, y))
    if max(most_x, most_y) <= 16:
        raise call.unsupported(f"sums of {terms} products; at most {EXACT // 256}")
    is_x = most_x >= most_y
    whole = call.b.known(x if is_x else y)
    sixteenth = call.one(ops.Mul(), whole, call.number(1 / 16, whole))
    high = call.one(ops.Floor(), sixteenth)
    low = call.one(ops.Sub(), whole, call.one(ops.Mul(), high, call.number(16, whole)))
    sums = [
        _exact(call, part, y, 16, most_y, terms, multiply)
        if is_x
        else _exact(call, x, part, most_x, 16, terms, multiply)
        for part in (high, low)
    ]
    scaled = call.one(ops.Mul(), sums[0], call.number(16, sums[0]))
    return call.one(ops.Add(), scaled, sums[1])


OPERATORS: dict[str, Row] = {
    "ConvInteger": Row(conv_integer, (2, 4), quantized=True),
    "DequantizeLinear": Row(dequantize_linear, (2, 3), quantized=True),
    "DynamicQuantizeLinear": Row(dynamic_quantize_linear),
    "MatMulInteger": Row(matmul_integer, (2, 4), quantized=True),
    "QLinearConv": Row(qlinear_conv, (8, 9), quantized=True),
    "QLinearMatMul": Row(qlinear_matmul, (8, 8), quantized=True),
    "QuantizeLinear": Row(quantize_linear, (2, 3), quantized=True),
}
