"""Quantization in .tflite files: its parameters, and the rules operators demand of them."""

from __future__ import annotations

import struct
from collections.abc import Sequence

import numpy as np

from .. import ops
from ..dtype import DType, QParams
from ..errors import GraphError, ModelError, UnsupportedError
from ..graph import TensorType
from ..ops.product import Product
from . import tflite_schema as schema
from .flatbuffer import INT32, UINT8, Table

MAX_BIAS_ERROR = 0.02
"""How far a bias' scale may lie from input scale * weight scale, in steps of the output: LiteRT's
``GetQuantizedConvolutionMultipler`` demands it."""

MAX_PRODUCT = 2.0**127
LEAST_SCALE = 2.0**-126
EIGHT_BIT = (DType.UINT8, DType.INT8)
PRODUCTS = (ops.Conv2D, ops.DepthwiseConv2D, ops.TransposeConv, ops.FullyConnected)
CHECKED = (
    ops.AveragePool2D,
    ops.Binary,
    ops.LastAxis,
    ops.MaxPool2D,
    ops.Reduction,
    ops.Unary,
)
"""Operators whose results are quantized where their operands are."""

QUANTIZED = (*EIGHT_BIT, DType.INT16, DType.UINT16)


def read_quantization(
    tensor: Table, shape: tuple[int, ...], dtype: DType, what: str, computed: bool = False
) -> QParams | None:
    """The quantization of an 8 or 16-bit tensor; None for others, and where the file has no scale.

    An int32 bias has none in the graph: its scale is input scale * weight scale by definition, and
    ``check_bias`` compares the file's with that. A ``computed`` int32 tensor has its own.

    Raises:
        ModelError: for a scale that is not positive and finite, a zero point that ``dtype`` cannot
            hold, or other numbers of them than one, or one each along ``quantized_dimension``.
        UnsupportedError: for block-wise or custom quantization.
    """
    o = schema.QuantizationParameters
    if dtype not in QUANTIZED and not (computed and dtype is DType.INT32):
        return None
    table = tensor.table(schema.Tensor.QUANTIZATION, what)
    if table is None:
        return None
    if table.number(o.DETAILS_TYPE, UINT8) != 0:
        raise UnsupportedError(f"{what}: block-wise or custom quantization is not supported")
    scales = table.numbers(o.SCALE, "f")
    zeros = _zero_points(table)
    if not scales:
        return None
    if len(zeros) != len(scales):
        raise ModelError(f"{what}: {len(scales)} scales, {len(zeros)} zero points; must be equal")
    axis = table.number(o.QUANTIZED_DIMENSION, INT32)
    if shape and not 0 <= axis < len(shape):
        raise ModelError(f"{what}: quantized dimension {axis} of {len(shape)}")
    if len(scales) != 1 and (not shape or len(scales) != shape[axis]):
        raise ModelError(
            f"{what}: {len(scales)} scales for shape {list(shape)}; there must be 1, or one each "
            f"along dimension {axis}"
        )
    if not min(scales) >= LEAST_SCALE:
        raise ModelError(f"{what}: scale {min(scales)}; a scale is a positive, normal float32")
    low, high = dtype.range
    if any(zeros) and (min(zeros) < low or max(zeros) > high):
        raise ModelError(
            f"{what}: zero points {min(zeros)} to {max(zeros)}; {dtype} holds {low} to {high}"
        )
    try:
        return QParams(scales, zeros, axis if len(scales) > 1 else None)
    except GraphError as error:
        raise ModelError(f"{what}: {error}") from error


def check_arithmetic(
    op: ops.Op, inputs: Sequence[TensorType], outputs: Sequence[TensorType], what: str
) -> None:
    """Check that the integer rule of an operator exists for these quantizations.

    Raises:
        GraphError: from the operator's own rule.
        ModelError: when a product's scales do not fit each other.
    """
    out = outputs[0]
    if isinstance(op, CHECKED):
        ops.check_quantized_result(op, inputs, outputs)
    if isinstance(op, ops.Quantize):
        op.check_output(out)
    if isinstance(op, Product) and not inputs[0].dtype.is_float:
        _check_product(inputs, out, what)
    if out.dtype not in EIGHT_BIT:
        return
    match op:
        case ops.Add() | ops.Sub():
            op.fixed_point(inputs, outputs)
        case ops.Mul():
            op.requant(inputs, outputs)
        case ops.Mean() | ops.Sum():
            op.affine(inputs, outputs)
        case ops.Softmax():
            op.factor(out)
        case ops.Concatenation():
            for t in inputs:
                op.table(t, out)
        case ops.Unary() if not isinstance(op, ops.Quantize):
            op.table(inputs[0], out)


def _check_product(inputs: Sequence[TensorType], out: TensorType, what: str) -> None:
    x, w = inputs[0].quant, inputs[1].quant
    if x is None or w is None or out.quant is None or len(out.quant.scale) != 1:
        raise ModelError(f"{what}: its output is {out}; it must be quantized with one scale")
    out_scale = out.quant.scale[0]
    product = x.scale[0] * max(w.scale)
    bits = 31 if inputs[0].dtype is DType.INT16 else 63
    if not (product < MAX_PRODUCT and product / out_scale < 2.0**bits):
        raise ModelError(
            f"{what}: scales {x.scale[0]} and {max(w.scale)}, output {out_scale}; input * weights "
            f"is below 2**127, and that / output below 2**{bits}"
        )


def _zero_points(table: Table) -> tuple[int, ...]:
    """The zero points of a quantization table; most are all 0, which is seen without a loop."""
    start, count = table.vector(schema.QuantizationParameters.ZERO_POINT, 8)
    if table.data.count(0, start, start + 8 * count) == 8 * count:
        return (0,) * count
    return tuple(struct.unpack_from(f"<{count}q", table.data, start))


def check_bias(
    op: ops.Op,
    tensor: Table,
    types: Sequence[TensorType],
    out: TensorType,
    what: str,
) -> None:
    """Check the quantization that a file gives the bias of a quantized product, if it does.

    As in LiteRT, the scale of a convolution's is looked at for uint8 only; where it is not input
    scale * weight scale, it is ignored.

    Raises:
        ModelError: when a zero point is not 0, or a scale not input scale * weight scale.
    """
    o = schema.QuantizationParameters
    table = tensor.table(schema.Tensor.QUANTIZATION, what)
    x, w, bias = types
    channels = bias.shape[0]
    if table is None or x.quant is None or w.quant is None or out.quant is None:
        return
    start, count = table.vector(o.SCALE, 4)
    if count == 0:
        return
    if count not in (1, channels):
        raise ModelError(f"{what}: its bias has {count} scales; it has 1, or {channels}")
    zeros = _zero_points(table)
    if any(zeros):
        raise ModelError(f"{what}: its bias has zero points {zeros[:8]}; they must be 0")
    if x.dtype is not DType.UINT8 and not isinstance(op, ops.FullyConnected):
        return
    scales = np.frombuffer(table.data, "<f4", count, start)
    products = x.quant.scale[0] * np.array(w.quant.scale)
    if products.astype("<f4").tobytes() == scales.tobytes():
        return
    errors = np.abs(products - scales) / out.quant.scale[0]
    if not errors.max() <= MAX_BIAS_ERROR:
        worst = int(errors.argmax())
        raise ModelError(
            f"{what}: bias scale {scales[worst % count]} of channel {worst}; it must be "
            f"input scale * weight scale, {products[worst % len(products)]}"
        )
