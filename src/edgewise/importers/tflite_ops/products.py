"""Convolutions and matrix products."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ... import ops
from ...errors import UnsupportedError
from .. import tflite_schema as schema
from ..flatbuffer import INT8
from ..tflite_call import Built, Call, Row


def conv_2d(call: Call) -> Built:
    o = schema.Conv2DOptions
    return _convolution(call, ops.Conv2D, o), call.operands(0, 1, optional=2)


def depthwise_conv_2d(call: Call) -> Built:
    o = schema.DepthwiseConv2DOptions
    return _convolution(call, ops.DepthwiseConv2D, o), call.operands(0, 1, optional=2)


def _convolution(call: Call, op: Callable[..., ops.Op], o: Any) -> ops.Op:
    _, height, width, _ = call.shape(0, rank=4)
    _, kh, kw, _ = call.shape(1, rank=4)
    stride = (call.int32(o.STRIDE_H), call.int32(o.STRIDE_W))
    dilation = (call.int32(o.DILATION_H_FACTOR, 1), call.int32(o.DILATION_W_FACTOR, 1))
    taps = ((kh - 1) * dilation[0] + 1, (kw - 1) * dilation[1] + 1)
    return op(
        stride=stride,
        dilation=dilation,
        padding=call.padding(o.PADDING, (height, width), taps, stride),
        activation=call.activation(o.FUSED_ACTIVATION_FUNCTION),
    )


def transpose_conv(call: Call) -> Built:
    """Its operands are (output shape, weights, input, bias)."""
    o = schema.TransposeConvOptions
    shape = call.constant(0, count=4)
    _, kh, kw, _ = call.shape(1, rank=4)
    size = (shape[1], shape[2])
    stride = (call.int32(o.STRIDE_H), call.int32(o.STRIDE_W))
    op = ops.TransposeConv(
        stride=stride,
        padding=call.padding(o.PADDING, size, (kh, kw), stride),
        output_size=size,
        activation=call.activation(o.FUSED_ACTIVATION_FUNCTION),
    )
    return op, call.operands(2, 1, optional=3)


def conv_3d(call: Call) -> Built:
    taps = call.shape(1, rank=5)[:3]
    op = ops.Conv3D(**_volume(call, call.shape(0, rank=5)[1:4], taps))
    return op, call.operands(0, 1, optional=2)


def conv_3d_transpose(call: Call) -> Built:
    """Its operands are (output shape, weights, input, bias)."""
    _, depth, height, width, _ = call.constant(0, count=5)
    size = (depth, height, width)
    taps = call.shape(1, rank=5)[:3]
    op = ops.Conv3DTranspose(**_volume(call, size, taps), output_size=size)
    return op, call.operands(2, 1, optional=3)


def _volume(call: Call, size: tuple[int, ...], taps: tuple[int, ...]) -> dict[str, Any]:
    """Attributes of a convolution of volumes of ``size``."""
    o = schema.Conv3DOptions
    stride = tuple(call.int32(field) for field in (o.STRIDE_D, o.STRIDE_H, o.STRIDE_W))
    dilations = (o.DILATION_D_FACTOR, o.DILATION_H_FACTOR, o.DILATION_W_FACTOR)
    dilation = tuple(call.int32(field, 1) for field in dilations)
    spans = tuple((k - 1) * d + 1 for k, d in zip(taps, dilation, strict=True))
    depth = call.padding(o.PADDING, (size[0], 1), (spans[0], 1), (stride[0], 1))
    image = call.padding(
        o.PADDING, (size[1], size[2]), (spans[1], spans[2]), (stride[1], stride[2])
    )
    return {
        "stride": stride,
        "dilation": dilation,
        "padding": (depth[:2], image[:2], image[2:]),
        "activation": call.activation(o.FUSED_ACTIVATION_FUNCTION),
    }


def batch_matmul(call: Call) -> Built:
    o = schema.BatchMatMulOptions
    op = ops.BatchMatMul(call.options.flag(o.ADJ_X), call.options.flag(o.ADJ_Y))
    return op, call.operands(0, 1)


def fully_connected(call: Call) -> Built:
    o = schema.FullyConnectedOptions
    layout = call.options.number(o.WEIGHTS_FORMAT, INT8)
    if layout != 0:
        raise UnsupportedError(f"{call.what}: weights format {layout}; only 0, the plain one")
    op = ops.FullyConnected(
        activation=call.activation(o.FUSED_ACTIVATION_FUNCTION),
        keep_num_dims=call.options.flag(o.KEEP_NUM_DIMS),
    )
    return op, call.operands(0, 1, optional=2)


_B = schema.BuiltinOperator

OPERATORS: dict[int, Row] = {
    _B.BATCH_MATMUL: Row("BATCH_MATMUL", batch_matmul, (2, 2), schema.BatchMatMulOptions.TAG),
    _B.CONV_2D: Row("CONV_2D", conv_2d, (2, 3), schema.Conv2DOptions.TAG),
    _B.CONV_3D: Row("CONV_3D", conv_3d, (2, 3), schema.Conv3DOptions.TAG),
    _B.CONV_3D_TRANSPOSE: Row(
        "CONV_3D_TRANSPOSE", conv_3d_transpose, (3, 4), schema.Conv3DOptions.TAG
    ),
    _B.DEPTHWISE_CONV_2D: Row(
        "DEPTHWISE_CONV_2D", depthwise_conv_2d, (2, 3), schema.DepthwiseConv2DOptions.TAG
    ),
    _B.FULLY_CONNECTED: Row(
        "FULLY_CONNECTED", fully_connected, (2, 3), schema.FullyConnectedOptions.TAG
    ),
    _B.TRANSPOSE_CONV: Row(
        "TRANSPOSE_CONV", transpose_conv, (3, 4), schema.TransposeConvOptions.TAG
    ),
}
