"""Quantization in .tflite files: its parameters, and the rules operators demand of them."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from .. import ops
from ..dtype import DType, QParams
from ..errors import ModelError, UnsupportedError
from ..graph import TensorType
from . import tflite_schema as schema
from .flatbuffer import INT32, UINT8, Table

MAX_BIAS_ERROR = 0.02
"""How far a bias' scale may lie from input scale * weight scale, in steps of the output: LiteRT's
``GetQuantizedConvolutionMultipler`` demands it."""

MAX_RATIO = 2.0**64
EIGHT_BIT = (DType.UINT8, DType.INT8)


def read_quantization(
    tensor: Table, shape: tuple[int, ...], dtype: DType, what: str
) -> QParams | None:
    """The quantization of an integer tensor; None for others, and where the file has no scale.

    Raises:
        ModelError: for a scale that is not positive and finite, a zero point that ``dtype`` cannot
            hold, or other numbers of them than one, or one each along ``quantized_dimension``.
        UnsupportedError: for block-wise or custom quantization.
    """
    o = schema.QuantizationParameters
    if not dtype.is_integer:
        return None
    table = tensor.table(schema.Tensor.QUANTIZATION, what)
    if table is None:
        return None
    if table.number(o.DETAILS_TYPE, UINT8) != 0:
        raise UnsupportedError(f"{what}: block-wise or custom quantization is not supported")
    scales = table.array(o.SCALE, "<f4")
    zeros = table.array(o.ZERO_POINT, "<i8")
    if len(scales) == 0:
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
    least, greatest = float(scales.min()), float(scales.max())
    if not (least > 0 and greatest < math.inf):
        raise ModelError(f"{what}: scales {least} to {greatest}; they are positive and finite")
    if zeros.any():
        low, high = dtype.range
        least, greatest = int(zeros.min()), int(zeros.max())
        if least < low or greatest > high:
            raise ModelError(
                f"{what}: zero points {least} to {greatest}; {dtype} holds {low} to {high}"
            )
        points = tuple(zeros.tolist())
    else:
        points = (0,) * len(scales)
    return QParams(tuple(scales.tolist()), points, axis if len(scales) > 1 else None)


def check_arithmetic(
    op: ops.Op, inputs: Sequence[TensorType], outputs: Sequence[TensorType], what: str
) -> None:
    """Check that the integer rule of an operator exists for these quantizations.

    Raises:
        GraphError: from the operator's own rule.
        ModelError: when a product's scales do not fit each other.
    """
    out = outputs[0]
    if out.dtype not in EIGHT_BIT:
        return
    match op:
        case ops.Conv2D() | ops.DepthwiseConv2D() | ops.TransposeConv() | ops.FullyConnected():
            _check_product(inputs, out, what)
            ops.activation_range(out, op.activation)
        case ops.Add() | ops.Sub():
            op.fixed_point(inputs, outputs)
        case ops.Mul():
            op.requant(inputs, outputs)
        case ops.Mean():
            op.affine(inputs, outputs)
        case ops.Softmax():
            op.factor(out)
        case ops.AveragePool2D() | ops.MaxPool2D():
            ops.activation_range(out, op.activation)
        case ops.Concatenation():
            for t in inputs:
                op.table(t, out)
        case ops.Quantize() if inputs[0].dtype is DType.FLOAT32:
            ops.activation_range(out, ops.Activation.NONE)
        case ops.Unary():
            op.table(inputs[0], out)


def _check_product(inputs: Sequence[TensorType], out: TensorType, what: str) -> None:
    x, w = inputs[0].quant, inputs[1].quant
    if x is None or w is None or out.quant is None:
        raise ModelError(f"{what}: its output {out} has no scale; it must be quantized")
    out_scale = out.quant.scale[0]
    greatest = x.scale[0] * max(w.scale) / out_scale
    if not greatest < MAX_RATIO:
        raise ModelError(f"{what}: scale ratio {greatest}; input * weights / output < 2**64")
    bias = inputs[2].quant if len(inputs) == 3 else None
    if bias is None:
        return
    if any(bias.zero_point):
        raise ModelError(f"{what}: its bias has zero points {bias.zero_point}; they must be 0")
    scales = np.array(bias.scale)
    errors = np.abs(x.scale[0] * np.array(w.scale) - scales) / out_scale
    if not errors.max() <= MAX_BIAS_ERROR:
        worst = int(errors.argmax())
        raise ModelError(
            f"{what}: bias scale {bias.scale[worst % len(scales)]} of channel {worst}; it must be "
            "input scale * weight scale, "
            f"{x.scale[0] * w.scale[worst % len(w.scale)]}"
        )
