"""Between real numbers and integers by scales and zero points, as ONNX's operators state them.

What QUANTIZE and DEQUANTIZE say becomes those: scales that are constants, one a tensor, or one a
channel of a constant. The rest (computed scales, blocks, types without kernels) is arithmetic.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ... import ops
from ...dtype import DType, QParams
from ...errors import GraphError
from ...graph import Array, TensorType, Value
from ...ops.requant import check_zero_points, float32s
from ..onnx_call import Call
from ..onnx_narrow import FLOATS, INTEGERS

NATIVE = (DType.UINT8, DType.INT8, DType.INT16)
"""Types that QUANTIZE and DEQUANTIZE know."""


class Affine(NamedTuple):
    """real = scale * (q - zero)

    Attributes:
        scale, zero: of one element, one an element of ``axis``, or one a block along it; without
            ``zero`` it is 0.
        block: elements along ``axis`` that share a scale; 0 where scales have one dimension.
    """

    scale: Value
    zero: Value | None
    axis: int = 0
    block: int = 0


def affine(call: Call, scale: int, rank: int, axis: int | None = None) -> Affine:
    """What the inputs ``scale`` and the next state of a tensor of ``rank`` dimensions.

    ``axis`` is that of scales of one dimension; None: it is an attribute, as is the block's size.
    """
    s, zero = call.value(scale), call.optional(scale + 1)
    for operand in (s, *([] if zero is None else [zero])):
        if not (operand.type.dtype.is_float or operand.type.dtype.is_integer):
            raise call.error(f"scale or zero point is {operand.type.dtype}; they are numbers")
    block = 0
    if axis is None:
        axis, block = call.integer("axis", 1), call.integer("block_size", 0)
    if zero is not None and zero.type.shape != s.type.shape and zero.type.size != s.type.size:
        raise call.error(
            f"scale {list(s.type.shape)}, zero point {list(zero.type.shape)}; they have one shape"
        )
    if s.type.size == 1 and not block:
        return Affine(s, zero)
    axis = call.axis(axis, rank)
    if block < 0 or len(s.type.shape) != (rank if block else 1):
        raise call.error(
            f"scale {list(s.type.shape)}, block_size {block}; scales have as many dimensions as "
            "the tensor where there are blocks, else one"
        )
    return Affine(s, zero, axis, block)


def dequantized(call: Call, x: Value, by: Affine, dtype: DType = DType.FLOAT32) -> Value:
    """The real numbers that integers stand for."""
    if not (x.type.dtype.is_float or x.type.dtype.is_integer):
        raise call.error(f"{x.type.dtype} is dequantized; it must be integers, or floats of 8 bits")
    b, quant = call.b, _parameters(call, by, x.type)
    if quant is not None and (quant.axis is None or x.is_constant):
        return b.dequantize(b.retype(x, quant), dtype)
    x = b.retype(x, None)
    scale = _real(call, _spread(call, by.scale, by, x.type.shape))
    zero = None if by.zero is None else _real(call, _spread(call, by.zero, by, x.type.shape))
    steps = _real(call, x)
    if x.data is not None and scale.data is not None and (zero is None or zero.data is not None):
        centred = x.data.astype(np.float64)
        if zero is not None and zero.data is not None:
            centred = centred - zero.data
        real = centred.astype(np.float32) * scale.data
        return b.constant(real.astype(dtype.numpy), x.name)
    if zero is not None:
        steps = call.one(ops.Sub(), steps, zero)
    return _cast(call, call.one(ops.Mul(), steps, scale), dtype)


def quantized(call: Call, x: Value, by: Affine, code: int, saturate: bool = True) -> Value:
    """Real numbers as a type by its number in TensorProto.DataType: clamp(rne(x / scale) + zero)"""
    if not (x.type.dtype.is_float or x.type.dtype.is_integer):
        raise call.error(f"{x.type.dtype} is quantized; it must be floats or int32")
    dtype = call.dtype(code)
    out = TensorType(x.type.shape, dtype)
    quant = _parameters(call, by, out) if dtype in NATIVE and code not in INTEGERS else None
    if x.data is not None and quant is not None:
        return call.b.constant(_steps(x.data, quant, dtype), x.name, quant)
    real = _real(call, x)
    if quant is not None and quant.axis is None:
        return call.b.one(ops.Quantize(dtype), [real], quant)
    scale = _real(call, _spread(call, by.scale, by, x.type.shape))
    steps = call.one(ops.Div(), real, scale)
    if code in FLOATS:
        return call.one(FLOATS[code].cast(saturate), steps)
    steps = call.one(ops.Round(), steps)
    if by.zero is not None:
        steps = call.one(ops.Add(), steps, _real(call, _spread(call, by.zero, by, x.type.shape)))
    return saturated(call, steps, code)


def saturated(call: Call, x: Value, code: int) -> Value:
    """Whole numbers of float32 as a type of integers, clamped to its range."""
    dtype = call.dtype(code)
    if not dtype.is_integer or dtype.itemsize > 2:
        raise call.error(f"to {dtype}; it must be of 16 bits or fewer")
    low, high = INTEGERS[code].range if code in INTEGERS else dtype.range
    x = call.one(ops.Maximum(), x, call.number(low, x))
    x = call.one(ops.Minimum(), x, call.number(high, x))
    return call.one(ops.Cast(dtype), x)


def _parameters(call: Call, by: Affine, t: TensorType) -> QParams | None:
    """As parameters of a type; None where they are computed, in blocks, or not for that type."""
    scale, zero = by.scale.data, None if by.zero is None else by.zero.data
    is_known = scale is not None and (by.zero is None or zero is not None)
    if not is_known or scale is None or by.block or t.dtype not in NATIVE:
        return None
    if by.zero is not None and by.zero.type.dtype is not t.dtype:
        return None
    scales = scale.astype(np.float64).ravel()
    zeros = np.zeros(len(scales), np.int64) if zero is None else zero.astype(np.int64).ravel()
    axis = None if len(scales) == 1 else by.axis
    if axis is not None and t.shape[axis] != len(scales):
        raise call.error(f"{len(scales)} scales; dimension {axis} has {t.shape[axis]} elements")
    try:
        quant = QParams(tuple(scales.tolist()), tuple(zeros.tolist()), axis)
        float32s(quant.scale, "scale")
        check_zero_points(TensorType(t.shape, t.dtype, quant), "zero point")
    except GraphError:
        return None
    return quant


def _steps(x: Array, quant: QParams, dtype: DType) -> Array:
    """A constant in steps of its scales."""
    shape = [-1 if axis == quant.axis else 1 for axis in range(x.ndim)]
    scale = np.array(quant.scale, np.float32).reshape(shape if quant.axis is not None else ())
    zero = np.array(quant.zero_point).reshape(scale.shape)
    with np.errstate(all="ignore"):
        steps = np.nan_to_num(np.rint(x.astype(np.float32) / scale) + zero)
    return np.asarray(np.clip(steps, *dtype.range).astype(dtype.numpy))


def _spread(call: Call, s: Value, by: Affine, shape: tuple[int, ...]) -> Value:
    """Scales or zero points in a shape that broadcasts to ``shape``."""
    b, size = call.b, s.type.size
    if size == 1 and not by.block:
        return b.reshape(s, ())
    if not by.block:
        if shape[by.axis] != size:
            raise call.error(f"{size} scales; dimension {by.axis} has {shape[by.axis]} elements")
        return b.reshape(s, [size if i == by.axis else 1 for i in range(len(shape))])
    blocks = -(-shape[by.axis] // by.block)
    wanted = (*shape[: by.axis], blocks, *shape[by.axis + 1 :])
    if s.type.shape != wanted:
        raise call.error(
            f"scale {list(s.type.shape)}; blocks of {by.block} along axis {by.axis} of "
            f"{list(shape)} take {list(wanted)}"
        )
    if s.data is not None:
        blocks_of = np.arange(shape[by.axis]) // by.block
        return b.constant(s.data.take(blocks_of, by.axis), s.name)
    outer, inner = wanted[: by.axis + 1], wanted[by.axis + 1 :]
    block = min(by.block, shape[by.axis])
    parts = b.reshape(s, (*outer, 1, *inner))
    parts = b.one(ops.BroadcastTo((*outer, block, *inner)), [parts])
    whole = b.reshape(parts, (*outer[:-1], blocks * block, *inner))
    return b.slice(whole, by.axis, 0, shape[by.axis])


def _real(call: Call, x: Value) -> Value:
    return _cast(call, x, DType.FLOAT32)


def _cast(call: Call, x: Value, dtype: DType) -> Value:
    if x.type.dtype is dtype:
        return x
    if x.data is not None:
        return call.b.constant(x.data.astype(dtype.numpy), x.name)
    return call.one(ops.Cast(dtype), x)


__all__ = ["Affine", "affine", "dequantized", "quantized", "saturated"]
