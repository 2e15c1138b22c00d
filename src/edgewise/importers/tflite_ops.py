"""Operators of .tflite files: one function each, in the table ``OPERATORS``.

A function takes a ``Call`` and gives the operator and its operands. Operands that only state
shapes, axes or paddings must be constants, and become attributes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from .. import ops
from ..errors import ModelError, UnsupportedError
from . import tflite_schema as schema
from .flatbuffer import FLOAT32, INT8
from .strided_slice import strided_slice
from .tflite_call import Built, Call


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


def add(call: Call) -> Built:
    activation = call.activation(schema.AddOptions.FUSED_ACTIVATION_FUNCTION)
    return ops.Add(activation), call.operands(0, 1)


def sub(call: Call) -> Built:
    activation = call.activation(schema.SubOptions.FUSED_ACTIVATION_FUNCTION)
    return ops.Sub(activation), call.operands(0, 1)


def mul(call: Call) -> Built:
    activation = call.activation(schema.MulOptions.FUSED_ACTIVATION_FUNCTION)
    return ops.Mul(activation), call.operands(0, 1)


def average_pool_2d(call: Call) -> Built:
    return _pool(call, ops.AveragePool2D), call.operands(0)


def max_pool_2d(call: Call) -> Built:
    return _pool(call, ops.MaxPool2D), call.operands(0)


def _pool(call: Call, op: Callable[..., ops.Op]) -> ops.Op:
    o = schema.Pool2DOptions
    _, height, width, _ = call.shape(0, rank=4)
    stride = (call.int32(o.STRIDE_H), call.int32(o.STRIDE_W))
    taps = (call.int32(o.FILTER_HEIGHT), call.int32(o.FILTER_WIDTH))
    return op(
        filter=taps,
        stride=stride,
        padding=call.padding(o.PADDING, (height, width), taps, stride),
        activation=call.activation(o.FUSED_ACTIVATION_FUNCTION),
    )


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


def pad(call: Call) -> Built:
    return ops.Pad(_paddings(call)), call.operands(0)


def padv2(call: Call) -> Built:
    value = call.scalar(2)
    return ops.Pad(_paddings(call), value), call.operands(0)


def _paddings(call: Call) -> tuple[tuple[int, int], ...]:
    flat = call.constant(1, count=2 * len(call.shape(0)))
    return tuple(zip(flat[::2], flat[1::2], strict=True))


def concatenation(call: Call) -> Built:
    o = schema.ConcatenationOptions
    axis = call.axis(call.int32(o.AXIS), len(call.shape(0)))
    op = ops.Concatenation(axis, call.activation(o.FUSED_ACTIVATION_FUNCTION))
    return op, call.operands(*range(len(call.inputs)))


def reshape(call: Call) -> Built:
    """The shape is the second operand or, in old files, an option; [0] there means a scalar."""
    if len(call.inputs) > 1:
        return ops.Reshape(call.constant(1)), call.operands(0)
    shape = call.options.numbers(schema.ReshapeOptions.NEW_SHAPE, "i")
    return ops.Reshape(() if shape == (0,) else shape), call.operands(0)


def squeeze(call: Call) -> Built:
    axes = call.options.numbers(schema.SqueezeOptions.SQUEEZE_DIMS, "i")
    return ops.Squeeze(call.axes(axes, len(call.shape(0)))), call.operands(0)


def transpose(call: Call) -> Built:
    rank = len(call.shape(0))
    perm = tuple(call.axis(a, rank) for a in call.constant(1, count=rank))
    return ops.Transpose(perm), call.operands(0)


def split(call: Call) -> Built:
    """Its operands are (axis, input)."""
    (axis,) = call.constant(0, count=1)
    count = call.int32(schema.SplitOptions.NUM_SPLITS)
    call.expect_outputs(count)
    return ops.Split(call.axis(axis, len(call.shape(1))), count), call.operands(1)


def pack(call: Call) -> Built:
    o = schema.PackOptions
    count = call.int32(o.VALUES_COUNT)
    if count != len(call.inputs):
        raise ModelError(f"{call.what}: {len(call.inputs)} inputs; its options say {count}")
    axis = call.axis(call.int32(o.AXIS), len(call.shape(0)) + 1)
    return ops.Pack(axis), call.operands(*range(count))


def unpack(call: Call) -> Built:
    o = schema.UnpackOptions
    shape = call.shape(0)
    axis = call.axis(call.int32(o.AXIS), len(shape))
    call.expect_outputs(shape[axis])
    call.expect_outputs(call.int32(o.NUM))
    return ops.Unpack(axis), call.operands(0)


def resize_bilinear(call: Call) -> Built:
    return _resize(call, ops.ResizeBilinear, schema.ResizeBilinearOptions), call.operands(0)


def resize_nearest_neighbor(call: Call) -> Built:
    o = schema.ResizeNearestNeighborOptions
    return _resize(call, ops.ResizeNearestNeighbor, o), call.operands(0)


def _resize(call: Call, op: Callable[..., ops.Op], o: Any) -> ops.Op:
    return op(
        size=call.constant(1, count=2),
        align_corners=call.options.flag(o.ALIGN_CORNERS),
        half_pixel_centers=call.options.flag(o.HALF_PIXEL_CENTERS),
    )


def quantize(call: Call) -> Built:
    return ops.Quantize(call.outputs[0].type.dtype), call.operands(0)


def leaky_relu(call: Call) -> Built:
    alpha = call.options.number(schema.LeakyReluOptions.ALPHA, FLOAT32)
    return ops.LeakyRelu(alpha), call.operands(0)


def plain(op: Callable[[], ops.Op]) -> Callable[[Call], Built]:
    """The reader of an operator of one operand and no options."""
    return lambda call: (op(), call.operands(0))


class Row(NamedTuple):
    """How an operator of the file is read.

    ``options`` is the tag of its options table, None where it has no option that matters;
    ``inputs`` the least and greatest number of its inputs.
    """

    name: str
    read: Callable[[Call], Built]
    inputs: tuple[int, int] = (1, 1)
    options: int | None = None


MANY = 4096
_B = schema.BuiltinOperator

OPERATORS: dict[int, Row] = {
    _B.ADD: Row("ADD", add, (2, 2), schema.AddOptions.TAG),
    _B.ARG_MAX: Row("ARG_MAX", arg_max, (2, 2), schema.ArgMaxOptions.TAG),
    _B.AVERAGE_POOL_2D: Row("AVERAGE_POOL_2D", average_pool_2d, (1, 1), schema.Pool2DOptions.TAG),
    _B.CONCATENATION: Row(
        "CONCATENATION", concatenation, (1, MANY), schema.ConcatenationOptions.TAG
    ),
    _B.CONV_2D: Row("CONV_2D", conv_2d, (2, 3), schema.Conv2DOptions.TAG),
    _B.DEPTHWISE_CONV_2D: Row(
        "DEPTHWISE_CONV_2D", depthwise_conv_2d, (2, 3), schema.DepthwiseConv2DOptions.TAG
    ),
    _B.DEQUANTIZE: Row("DEQUANTIZE", plain(ops.Dequantize)),
    _B.FULLY_CONNECTED: Row(
        "FULLY_CONNECTED", fully_connected, (2, 3), schema.FullyConnectedOptions.TAG
    ),
    _B.HARD_SWISH: Row("HARD_SWISH", plain(ops.HardSwish)),
    _B.LEAKY_RELU: Row("LEAKY_RELU", leaky_relu, (1, 1), schema.LeakyReluOptions.TAG),
    _B.LOGISTIC: Row("LOGISTIC", plain(ops.Logistic)),
    _B.MAX_POOL_2D: Row("MAX_POOL_2D", max_pool_2d, (1, 1), schema.Pool2DOptions.TAG),
    _B.MEAN: Row("MEAN", mean, (2, 2), schema.ReducerOptions.TAG),
    _B.MUL: Row("MUL", mul, (2, 2), schema.MulOptions.TAG),
    _B.PACK: Row("PACK", pack, (1, MANY), schema.PackOptions.TAG),
    _B.PAD: Row("PAD", pad, (2, 2)),
    _B.PADV2: Row("PADV2", padv2, (3, 3)),
    _B.QUANTIZE: Row("QUANTIZE", quantize),
    _B.RELU: Row("RELU", plain(ops.Relu)),
    _B.RELU6: Row("RELU6", plain(ops.Relu6)),
    _B.RELU_N1_TO_1: Row("RELU_N1_TO_1", plain(ops.ReluN1To1)),
    _B.RESHAPE: Row("RESHAPE", reshape, (1, 2), schema.ReshapeOptions.TAG),
    _B.RESIZE_BILINEAR: Row(
        "RESIZE_BILINEAR", resize_bilinear, (2, 2), schema.ResizeBilinearOptions.TAG
    ),
    _B.RESIZE_NEAREST_NEIGHBOR: Row(
        "RESIZE_NEAREST_NEIGHBOR",
        resize_nearest_neighbor,
        (2, 2),
        schema.ResizeNearestNeighborOptions.TAG,
    ),
    _B.SOFTMAX: Row("SOFTMAX", softmax, (1, 1), schema.SoftmaxOptions.TAG),
    _B.SPLIT: Row("SPLIT", split, (2, 2), schema.SplitOptions.TAG),
    _B.SQUEEZE: Row("SQUEEZE", squeeze, (1, 1), schema.SqueezeOptions.TAG),
    _B.STRIDED_SLICE: Row("STRIDED_SLICE", strided_slice, (4, 4), schema.StridedSliceOptions.TAG),
    _B.SUB: Row("SUB", sub, (2, 2), schema.SubOptions.TAG),
    _B.TANH: Row("TANH", plain(ops.Tanh)),
    _B.TRANSPOSE: Row("TRANSPOSE", transpose, (2, 2)),
    _B.TRANSPOSE_CONV: Row(
        "TRANSPOSE_CONV", transpose_conv, (3, 4), schema.TransposeConvOptions.TAG
    ),
    _B.UNPACK: Row("UNPACK", unpack, (1, 1), schema.UnpackOptions.TAG),
}
"""Every operator that is read, by its builtin code. A new one is one row, and its function."""
