"""Constants as integers: where a layer's weights are, and what steps represent them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ..dtype import DType, QParams
from ..errors import GraphError
from ..graph import Array, Node, TensorType, Value
from ..ops import BatchMatMul, Conv2D, DepthwiseConv2D, FullyConnected, Op, TransposeConv
from .precision import NOTHING, SCHEMES, Precision, Scheme, Weights, as_scale


class WeightOperand(NamedTuple):
    """Which operand of a layer is its weights, and their axis of output channels."""

    position: int
    axis: int | None


WEIGHTS: Mapping[type[Op], WeightOperand] = {
    BatchMatMul: WeightOperand(1, None),
    Conv2D: WeightOperand(1, 0),
    DepthwiseConv2D: WeightOperand(1, 3),
    FullyConnected: WeightOperand(1, 0),
    TransposeConv: WeightOperand(1, 0),
}

BIAS = 2
"""The operand of such layers that is the bias."""

BIAS_STEPS = 2.0**24
"""A bias is at most so many steps of its scale, so that sums have room left in int32."""

LEAST_WEIGHTS = 1024
"""Beside activations of floats, weights of fewer elements stay float32, as by TensorFlow Lite's
converter."""

FEW_TERMS = 32
"""Sums of fewer terms have weights of 8 bits where others have fewer: those of a depthwise
convolution, and of the first one of a picture. They are few, and much depends on them."""


def weights_of(node: Node) -> Value | None:
    """The constant that is a layer's weights; None where it has none."""
    found = WEIGHTS.get(type(node.op))
    if found is None or node.inputs[found.position].data is None:
        return None
    return node.inputs[found.position]


def bias_of(node: Node) -> Value | None:
    """The constant that is the bias of a layer with weights; None where it has none."""
    if weights_of(node) is None or len(node.inputs) <= BIAS or node.inputs[BIAS].data is None:
        return None
    return node.inputs[BIAS]


def with_bias(node: Node, bias: Array) -> Node:
    """A layer with another bias, float32 [channels]."""
    old = bias_of(node)
    name = f"{node.outputs[0].name}_bias" if old is None else old.name
    value = Value.constant(name, bias)
    return replace(node, inputs=(*node.inputs[:BIAS], value, *node.inputs[BIAS + 1 :]))


def scheme_of(node: Node, precision: Precision) -> Scheme:
    """How a layer of a precision computes and stores its weights."""
    scheme, weights = SCHEMES[precision], weights_of(node)
    if scheme.bits >= 8 or weights is None or (axis := WEIGHTS[type(node.op)].axis) is None:
        return scheme
    terms = weights.type.size // max(weights.type.shape[axis], 1)
    return replace(scheme, bits=8) if terms < FEW_TERMS else scheme


def channel_axis(node: Node, scheme: Scheme) -> int | None:
    """The axis along which a layer's weights have scales of their own."""
    return WEIGHTS[type(node.op)].axis if scheme.per_channel else None


def weight_parameters(node: Node, scheme: Scheme, x_scale: float | None = None) -> QParams:
    """The steps of a layer's weights, from their least and greatest values.

    Args:
        x_scale: that of integer activations; the bias has few steps of it times the weights' scale.
    """
    w = weights_of(node)
    assert w is not None
    assert w.data is not None
    axis, bias = channel_axis(node, scheme), bias_of(node)
    if bias is None or x_scale is None:
        return steps_of(w.data, axis, scheme)
    assert bias.data is not None
    least = np.abs(bias.data.astype(np.float64)) / (x_scale * BIAS_STEPS)
    return steps_of(w.data, axis, scheme, least if axis is not None else least.max())


def steps_of(
    data: Array,
    axis: int | None,
    scheme: Scheme,
    least_scale: npt.NDArray[np.float64] | float = 0.0,
) -> QParams:
    """The steps of a constant, from its least and greatest values along an axis, or of all.

    Raises:
        GraphError: it is empty, or has NaN or infinities.
    """
    if not data.size or not np.isfinite(data).all():
        raise GraphError("its weights are NaN or infinite" if data.size else "it has no weights")
    low, high = extremes(data, axis)
    least, greatest = scheme.weight_range
    if scheme.symmetric:
        scale, zero = np.maximum(-low, high) / greatest, np.zeros(len(low))
    else:
        scale = (high - low) / (greatest - least)
        zero = least - low / np.where(scale > 0, scale, 1)
    scale = np.maximum(scale, least_scale)
    scale = np.where(scale > NOTHING, scale, max(scale.max(), NOTHING))
    zeros = np.rint(zero).astype(int).tolist()
    bits = scheme.bits if scheme.bits < 8 else None
    return QParams(tuple(as_scale(s) for s in scale.tolist()), tuple(zeros), axis, bits)


def integer_bias(bias: Value, x: TensorType, w: TensorType) -> Value:
    """A bias in whole steps of x.scale * w.scale: int32, or int64 where x is int16."""
    assert bias.data is not None
    assert x.quant is not None
    assert w.quant is not None
    dtype = DType.INT64 if x.dtype is DType.INT16 else DType.INT32
    scale = x.quant.scale[0] * np.array(w.quant.scale, np.float64)
    data = np.rint(bias.data.astype(np.float64) / scale)
    return Value.constant("bias", data.astype(dtype.numpy))


def extremes(
    data: Array, axis: int | None
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """The least and greatest values along an axis, or of all, 0 among them."""
    rows = data.reshape(1, -1) if axis is None else np.moveaxis(data, axis, 0)
    rows = rows.reshape(rows.shape[0], -1).astype(np.float64)
    return np.minimum(rows.min(1), 0), np.maximum(rows.max(1), 0)


def along(values: tuple[float, ...], axis: int | None, rank: int) -> npt.NDArray[np.float64]:
    """Entries of `QParams` as an array that broadcasts against the tensor."""
    shape = [1] * rank
    if axis is not None:
        shape[axis] = len(values)
    return np.array(values, np.float64).reshape(shape)


def nearest(data: Array, quant: QParams, scheme: Scheme) -> Weights:
    """Each weight as the nearest step, ties to even."""
    assert scheme.weights is not None
    scale = along(quant.scale, quant.axis, data.ndim)
    zero = along(quant.zero_point, quant.axis, data.ndim)
    low, high = scheme.weight_range
    steps = np.clip(np.rint(data.astype(np.float64) / scale) + zero, low, high)
    return Weights(steps.astype(scheme.weights.numpy), quant)


def real(weights: Weights) -> npt.NDArray[np.float32]:
    """The numbers that integers stand for."""
    quant = weights.quant
    scale = along(quant.scale, quant.axis, weights.data.ndim)
    zero = along(quant.zero_point, quant.axis, weights.data.ndim)
    return ((weights.data.astype(np.float64) - zero) * scale).astype(np.float32)
