"""Convolutions and matrix products."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ... import ops
from ...dtype import DType, QParams
from ...errors import UnsupportedError
from ...graph import Node, Value
from ...ops.hybrid import RowQuantization, is_hybrid
from ..tflite_call import TYPES, Row, Written, activation, by_sides, ints, required_padding


def conv_2d(op: ops.Conv2D, node: Node) -> Written:
    fields = {**_convolution(op, node), **_sums(node)}
    return Written(op.name, _operands(node), "Conv2DOptions", fields)


def depthwise_conv_2d(op: ops.DepthwiseConv2D, node: Node) -> Written:
    x, w = node.input_types[:2]
    fields = {**_convolution(op, node), "DepthMultiplier": w.shape[3] // x.shape[3]}
    return Written(op.name, _operands(node), "DepthwiseConv2DOptions", fields)


def _convolution(op: Any, node: Node) -> Mapping[str, int]:
    _, height, width, _ = node.input_types[0].shape
    spans = _spans(node.input_types[1].shape[1:3], op.dilation)
    return {
        "Padding": required_padding(by_sides(op.padding), (height, width), spans, op.stride),
        "StrideH": op.stride[0],
        "StrideW": op.stride[1],
        "DilationHFactor": op.dilation[0],
        "DilationWFactor": op.dilation[1],
        "FusedActivationFunction": activation(op.activation),
    }


def transpose_conv(op: ops.TransposeConv, node: Node) -> Written:
    """Its operands in the file are (output shape, weights, input, bias)."""
    x, w, *bias = _operands(node)
    pads, taps = by_sides(op.padding), w.type.shape[1:3]
    fields = {
        "Padding": required_padding(pads, op.output_size, taps, op.stride),
        "StrideH": op.stride[0],
        "StrideW": op.stride[1],
        "FusedActivationFunction": activation(op.activation),
        **_sums(node),
    }
    shape = ints(*node.outputs[0].type.shape)
    return Written(op.name, (shape, w, x, *bias), "TransposeConvOptions", fields)


def conv_3d(op: ops.Conv3D, node: Node) -> Written:
    size = node.input_types[0].shape[1:4]
    return Written(op.name, node.inputs, "Conv3DOptions", _volume(op, node, size))


def conv_3d_transpose(op: ops.Conv3DTranspose, node: Node) -> Written:
    """Its operands in the file are (output shape, weights, input, bias)."""
    x, w, *bias = node.inputs
    shape = ints(*node.outputs[0].type.shape)
    fields = _volume(op, node, op.output_size)
    return Written(op.name, (shape, w, x, *bias), "Conv3DOptions", fields)


def _volume(op: Any, node: Node, size: Sequence[int]) -> dict[str, int]:
    spans = _spans(node.input_types[1].shape[:3], op.dilation)
    fields = {
        "Padding": required_padding(op.padding, size, spans, op.stride),
        "FusedActivationFunction": activation(op.activation),
    }
    for axis, stride, dilation in zip("DHW", op.stride, op.dilation, strict=True):
        fields |= {f"Stride{axis}": stride, f"Dilation{axis}Factor": dilation}
    return fields


def _spans(taps: Sequence[int], dilation: Sequence[int]) -> tuple[int, ...]:
    return tuple((k - 1) * d + 1 for k, d in zip(taps, dilation, strict=True))


def fully_connected(op: ops.FullyConnected, node: Node) -> Written:
    if op.rows is not RowQuantization.QD8:
        raise UnsupportedError("rows that are quantized as those of recurrent layers")
    fields = {
        "FusedActivationFunction": activation(op.activation),
        "KeepNumDims": op.keep_num_dims,
        "AsymmetricQuantizeInputs": _is_hybrid(node),
        **_sums(node),
    }
    return Written(op.name, _operands(node), "FullyConnectedOptions", fields)


def batch_matmul(op: ops.BatchMatMul, node: Node) -> Written:
    fields = {
        "AdjX": op.adj_x,
        "AdjY": op.adj_y,
        "AsymmetricQuantizeInputs": _is_hybrid(node),
    }
    return Written(op.name, node.inputs, "BatchMatMulOptions", fields)


def _sums(node: Node) -> dict[str, int]:
    """The type of a bias of int32 where sums of int16 would be int64."""
    types = [t.dtype for t in node.input_types]
    if types[0] is DType.INT16 and types[2:] == [DType.INT32]:
        return {"QuantizedBiasType": TYPES[DType.INT32]}
    return {}


def _is_hybrid(node: Node) -> bool:
    return is_hybrid(*node.input_types[:2])


def _operands(node: Node) -> tuple[Value, ...]:
    """The node's operands, a constant bias of integers with the scale that x and w give it."""
    if len(node.inputs) < 3:
        return node.inputs
    x, w, bias = node.inputs
    if not bias.is_constant or x.type.quant is None or w.type.quant is None:
        return node.inputs
    if bias.type.dtype not in (DType.INT32, DType.INT64):
        return node.inputs
    scales = np.float32(x.type.quant.scale[0]) * np.array(w.type.quant.scale, np.float32)
    axis = 0 if len(scales) > 1 else None
    quant = QParams(tuple(map(float, scales)), (0,) * len(scales), axis)
    return x, w, Value(bias.name, replace(bias.type, quant=quant), bias.data)


ROWS: dict[type[ops.Op], Row] = {
    ops.BatchMatMul: batch_matmul,
    ops.Conv2D: conv_2d,
    ops.Conv3D: conv_3d,
    ops.Conv3DTranspose: conv_3d_transpose,
    ops.DepthwiseConv2D: depthwise_conv_2d,
    ops.FullyConnected: fully_connected,
    ops.TransposeConv: transpose_conv,
}
