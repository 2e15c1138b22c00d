"""Convolutions, matrix products and pooling as ONNX."""

from __future__ import annotations

import numpy as np

from edgewise.dtype import DType, QParams
from edgewise.graph import Array, Node, TensorType, Value
from edgewise.ops import (
    Activation,
    AveragePool2D,
    Conv2D,
    DepthwiseConv2D,
    FullyConnected,
    MaxPool2D,
    TransposeConv,
    activation_range,
)

from .builder import Builder, is_quantized

LEAST = float(np.finfo(np.float32).min)


def convolution(b: Builder, node: Node) -> None:
    op = node.op
    assert isinstance(op, Conv2D | DepthwiseConv2D)
    x, w = node.inputs[:2]
    if isinstance(op, Conv2D):
        weights = parameter(b, x, w, (0, 3, 1, 2), 0)
        groups = x.type.shape[3] // w.type.shape[3]
    else:
        weights = parameter(b, x, w, (3, 0, 1, 2), 0)
        groups = x.type.shape[3]
    name, pads = padded(b, b.real(x, True), op.padding, 0.0)
    y = b.emit(
        "Conv",
        (name, weights, *bias(b, node)),
        pads=pads,
        strides=op.stride,
        dilations=op.dilation,
        group=groups,
    )
    b.define(node.outputs[0], clamped(b, y, op.activation, node.outputs[0].type), True)


def transposed_convolution(b: Builder, node: Node) -> None:
    op = node.op
    assert isinstance(op, TransposeConv)
    x, w = node.inputs[:2]
    _, height, width, _ = x.type.shape
    _, kh, kw, _ = w.type.shape
    (sh, sw), (top, bottom, left, right) = op.stride, op.padding
    smallest = ((height - 1) * sh + kh - top - bottom, (width - 1) * sw + kw - left - right)
    y = b.emit(
        "ConvTranspose",
        (b.real(x, True), parameter(b, x, w, (3, 0, 1, 2), 1), *bias(b, node)),
        pads=(top, left, bottom, right),
        strides=op.stride,
        output_padding=[n - m for n, m in zip(op.output_size, smallest, strict=True)],
    )
    b.define(node.outputs[0], clamped(b, y, op.activation, node.outputs[0].type), True)


def fully_connected(b: Builder, node: Node) -> None:
    op = node.op
    assert isinstance(op, FullyConnected)
    x, w = node.inputs[:2]
    (out,) = node.outputs
    channels, depth = w.type.shape
    rows = x.type.size // depth
    name = reshaped(b, b.raw(x), x.type.shape, (rows, depth))
    if w.is_constant:
        weights, is_transposed = parameter(b, x, w, (1, 0), 1), 0
    else:
        weights, is_transposed = b.real(w), 1
    y = b.emit("Gemm", (b.dequantized(name, x.type), weights, *bias(b, node)), transB=is_transposed)
    y = b.quantized(clamped(b, y, op.activation, out.type), out.type)
    b.define_raw(out, reshaped(b, y, (rows, channels), out.type.shape))


def pool(b: Builder, node: Node) -> None:
    op, (x,), (out,) = node.op, node.inputs, node.outputs
    assert isinstance(op, AveragePool2D | MaxPool2D)
    top, bottom, left, right = op.padding
    window = {"kernel_shape": op.filter, "strides": op.stride, "pads": (top, left, bottom, right)}
    if isinstance(op, MaxPool2D):
        name = b.raw(x, True)
        if x.type.dtype.is_float:
            name, window["pads"] = padded(b, name, op.padding, LEAST)
        y = b.emit("MaxPool", (name,), **window)
        if clamps(op.activation, out.type):
            b.define(out, clamped(b, b.dequantized(y, x.type), op.activation, out.type), True)
        else:
            b.define_raw(out, y, True)
        return
    if op.filter == x.type.shape[1:3] and not any(op.padding):
        y = b.emit("GlobalAveragePool", (b.real(x, True),))
    else:
        y = b.emit("AveragePool", (b.real(x, True),), **window)
    b.define(out, clamped(b, y, op.activation, out.type), True)


def padded(
    b: Builder, name: str, padding: tuple[int, int, int, int], value: float
) -> tuple[str, tuple[int, int, int, int]]:
    """A float image, padded by ``value`` where its consumer cannot, and what that is to pad."""
    top, bottom, left, right = padding
    if not b.symmetric or (top == bottom and left == right):
        return name, (top, left, bottom, right)
    pads = b.constant((0, 0, top, left, 0, 0, bottom, right), np.int64)
    return b.emit("Pad", (name, pads, b.constant(np.float32(value)))), (0, 0, 0, 0)


def parameter(b: Builder, x: Value, w: Value, perm: tuple[int, ...], axis: int) -> str:
    """The real numbers of constant weights after a transposition; ``axis`` has the channels.

    Where ``x`` is float, they are too.
    """
    assert w.data is not None
    if x.type.dtype.is_float:
        return b.constant(real_weights(w).transpose(perm))
    name = b.constant(w.data.transpose(perm))
    is_per_channel = w.type.quant is not None and w.type.quant.axis is not None
    return b.dequantized(name, w.type, axis if is_per_channel else None)


def real_weights(w: Value) -> Array:
    """Constant weights as float32, whatever their type."""
    assert w.data is not None
    if not is_quantized(w.type):
        return w.data
    assert w.type.quant is not None
    shape = [1] * w.data.ndim
    if w.type.quant.axis is not None:
        shape[w.type.quant.axis] = -1
    scales = np.array(w.type.quant.scale, np.float32).reshape(shape)
    zeros = np.array(w.type.quant.zero_point, np.int32).reshape(shape)
    return (w.data - zeros).astype(np.float32) * scales


def bias(b: Builder, node: Node) -> tuple[str, ...]:
    """The real numbers of a product's bias, if it has one; integers count steps of x times w."""
    if len(node.inputs) < 3:
        return ()
    x, w, value = node.inputs
    if value.type.dtype.is_float:
        return (b.raw(value),)
    assert x.type.quant is not None
    assert w.type.quant is not None
    scales = tuple(float(np.float32(x.type.quant.scale[0]) * s) for s in _float32s(w.type.quant))
    axis = 0 if len(scales) > 1 else None
    quant = QParams(scales, (0,) * len(scales), axis)
    return (b.dequantized(b.raw(value), TensorType(value.type.shape, DType.INT32, quant), axis),)


def _float32s(quant: QParams) -> Array:
    return np.array(quant.scale, np.float32)


def clamps(activation: Activation, out: TensorType) -> bool:
    """Whether an activation changes anything that the range of ``out`` does not."""
    if activation is Activation.NONE:
        return False
    return not is_quantized(out) or activation_range(out, activation) != out.dtype.range


def clamped(b: Builder, name: str, activation: Activation, out: TensorType) -> str:
    """Real numbers after a fused activation."""
    if not clamps(activation, out):
        return name
    if activation is Activation.RELU:
        return b.emit("Relu", (name,))
    low, high = activation.value
    return b.emit("Clip", (name, b.constant(np.float32(low)), b.constant(np.float32(high))))


def reshaped(b: Builder, name: str, before: tuple[int, ...], after: tuple[int, ...]) -> str:
    if before == after:
        return name
    return b.emit("Reshape", (name, b.constant(after, np.int64)))
