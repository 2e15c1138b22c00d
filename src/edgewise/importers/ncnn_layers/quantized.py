"""Layers of int8: scales, quantized weights and blobs.

ncnn's scales multiply real numbers; zero points are 0. A product whose result stays int8 (its
int8_scale_term is above 100) runs in integers. Others give real numbers, and are products of real
numbers that hold whole multiples of the scales, which differ from ncnn's in rounding alone.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ... import ops
from ...dtype import DType, QParams
from ...graph import Array, Value
from ..ncnn_call import Call, Row

STAYS = 100
"""Products of int8_scale_term above this give int8."""


class Scales(NamedTuple):
    """Of the weights, one an output channel; of the input; of the result, where it is int8."""

    weights: Array
    input: Array
    result: Array | None = None


def conv_scales(call: Call, term: int, outputs: int, groups: int, depthwise: bool) -> Scales | None:
    """The scales of a convolution, which follow its bias; None where it is of floats."""
    if not term:
        return None
    kinds = (1, 2, 101, 102) if depthwise else (term,)
    if term not in kinds:
        raise call.unsupported(f"int8_scale_term {term}")
    count = outputs if not depthwise else 1 if term % STAYS == 2 else groups
    found, given = call.floats(count), call.floats(1)
    result = call.floats(1) if term > STAYS else None
    return Scales(np.repeat(found, outputs // count), given, result)


def inner_scales(call: Call, term: int, outputs: int) -> Scales | None:
    """The scales of an inner product, likewise."""
    return Scales(call.floats(outputs), call.floats(1)) if term else None


def int8_weights(data: Array, scales: Array) -> Array:
    """Weights as int8, one scale for each of the first dimension."""
    if data.dtype == np.int8:
        return data
    each = scales.reshape(-1, *[1] * (data.ndim - 1))
    with np.errstate(all="ignore"):
        return rounded(data * each)


def rounded(x: Array) -> Array:
    """float32 to int8: halves away from 0, within -127 to 127."""
    whole = np.trunc(x + np.copysign(np.float32(0.5), x))
    return np.asarray(np.clip(np.nan_to_num(whole), -127, 127).astype(np.int8))


def real_weights(call: Call, data: Array, scales: Scales) -> Array:
    """What the int8 weights stand for."""
    each = np.array(call.scale(scales.weights, 0).scale, np.float32)
    whole = int8_weights(data, scales.weights).astype(np.float32)
    return np.asarray(whole * each.reshape(-1, *[1] * (data.ndim - 1)))


def quantized_input(call: Call, scales: Scales) -> Value:
    """The layer's input as int8."""
    x, quant = call.raw(), call.scale(scales.input)
    if x.type.quant == quant:
        return x
    return call.b.one(ops.Quantize(DType.INT8), [call.value()], quant)


def dequantized(call: Call, x: Value) -> Value:
    return call.one(ops.Dequantize(), x)


def requantized(call: Call, y: Value, scales: Scales) -> Value:
    """A real result as int8, where the layer's is."""
    if scales.result is None:
        return y
    return call.b.one(ops.Quantize(DType.INT8), [y], call.scale(scales.result))


class Operands(NamedTuple):
    """Of a product of integers: weights, bias, and the quantization of the result."""

    weights: Value
    bias: Value | None
    result: QParams


def integer_operands(
    call: Call, x: Value, data: Array, bias: Array | None, scales: Scales
) -> Operands | None:
    """What a product of int8 ``x`` takes, if its result is int8 and its bias fits."""
    if scales.result is None or call.integer(9) not in (0, 1):
        return None
    assert x.type.quant is not None
    quant = call.scale(scales.weights, 0)
    weights = call.b.constant(int8_weights(data, scales.weights), "weights", quant)
    result = call.scale(scales.result)
    if bias is None:
        return Operands(weights, None, result)
    (step,) = x.type.quant.scale
    steps = tuple(step * s for s in quant.scale)
    with np.errstate(all="ignore"):
        sums = np.rint(bias / np.array(steps))
    if not np.abs(sums).max() < 2**30:
        return None
    each = QParams(steps, (0,) * len(steps), 0)
    return Operands(weights, call.b.constant(sums.astype(np.int32), "bias", each), result)


def activated(call: Call, y: Value) -> Value:
    """An int8 result through the layer's activation, which `integer_operands` takes."""
    if call.integer(9) == 0:
        return y
    return call.b.one(ops.Relu(), [y], y.type.quant)


def _quantize(call: Call) -> Value:
    found = call.floats(call.integer(0, 1))
    if np.unique(found).size != 1:
        raise call.unsupported("scales that differ between channels")
    return call.b.one(ops.Quantize(DType.INT8), [call.value()], call.scale(found[:1]))


LAYERS: dict[str, Row] = {"Quantize": Row(_quantize)}
