"""Softmax and its kin, normalisation by batch, layer, group, channel."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ... import ops
from ...graph import Value
from ..channels_first import softmax as softmax_along
from ..onnx_call import Call, Row


def softmax(call: Call) -> Value:
    """Along one axis; before opset 13 over all axes from one on."""
    x, rank, log = call.value(0), call.rank(0), call.op_type == "LogSoftmax"
    if call.opset >= 13:
        return softmax_along(call.b, x, call.axis(call.integer("axis", -1), rank), log=log)
    axis, shape = _flat_axis(call), x.type.shape
    if axis == rank - 1:
        return softmax_along(call.b, x, axis, log=log)
    matrix = (math.prod(shape[:axis]), math.prod(shape[axis:]))
    return call.b.reshape(softmax_along(call.b, call.b.reshape(x, matrix), 1, log=log), shape)


def _flat_axis(call: Call) -> int:
    return call.axis(call.integer("axis", 1), call.rank(0))


def batch_normalization(call: Call) -> Value | list[Value]:
    """MUL and ADD, of constants where scale, bias, mean and variance are."""
    x, given = call.value(0), call.values(1)
    if call.opset >= 14 and call.flag("training_mode"):
        return _trained(call, x)
    if call.opset < 9 and not call.flag("spatial", True):
        raise call.unsupported("spatial is 0; supported is a mean and variance for each channel")
    channels = x.type.shape[1] if len(x.type.shape) > 1 else 1
    for i, v in enumerate(given, 1):
        if v.type.shape != (channels,):
            raise call.error(f"input {i} has shape {list(v.type.shape)}; it must be [{channels}]")
    shape = (channels, *[1] * (len(x.type.shape) - 2))
    epsilon, dtype = call.real("epsilon", 1e-5), x.type.dtype
    known = [v.data for v in given if v.data is not None]
    if len(known) == 4 and dtype.is_float:
        scale, bias, mean, variance = (array.astype(np.float64) for array in known)
        with np.errstate(all="ignore"):
            factor = scale / np.sqrt(variance + epsilon)
            offset = bias - mean * factor
        factors = [call.b.constant(a.astype(dtype.numpy).reshape(shape)) for a in (factor, offset)]
        return call.one(ops.Add(), call.one(ops.Mul(), x, factors[0]), factors[1])
    scale_, bias_, mean_, variance_ = (call.b.reshape(v, shape) for v in given)
    y = _over_deviation(call, call.one(ops.Sub(), x, mean_), variance_, epsilon)
    return call.one(ops.Add(), call.one(ops.Mul(), y, scale_), bias_)


def _trained(call: Call, x: Value) -> list[Value]:
    """By the mean and variance of the batch, and those of before and of the batch mixed."""
    shape = (-1, *[1] * (len(x.type.shape) - 2))
    axes = (0, *range(2, len(x.type.shape)))
    mean = call.one(ops.Mean(axes, True), x)
    centred = call.one(ops.Sub(), x, mean)
    variance = call.one(ops.Mean(axes, True), call.one(ops.Square(), centred))
    y = _over_deviation(call, centred, variance, call.real("epsilon", 1e-5))
    scale, bias = (call.b.reshape(v, _whole(v, shape)) for v in (call.value(1), call.value(2)))
    momentum, results = call.real("momentum", 0.9), [_scaled(call, y, scale, bias)]
    for i, now in ((3, mean), (4, variance)):
        before, new = call.value(i), call.b.reshape(now, (now.type.size,))
        kept = call.one(ops.Mul(), before, call.number(momentum, before))
        added = call.one(ops.Mul(), new, call.number(1 - momentum, new))
        results.append(call.one(ops.Add(), kept, added))
    return results


def _over_deviation(call: Call, x: Value, variance: Value, epsilon: float) -> Value:
    return call.one(ops.Mul(), x, _inverse_deviation(call, variance, epsilon))


def _inverse_deviation(call: Call, variance: Value, epsilon: float) -> Value:
    """1 / sqrt(variance + epsilon)"""
    moved = call.one(ops.Add(), variance, call.number(epsilon, variance))
    return call.one(ops.Rsqrt(), moved)


def _normalized(
    call: Call, x: Value, axes: Sequence[int], epsilon: float
) -> tuple[Value, Value, Value]:
    """x of mean 0 and variance 1 over axes, the mean, and 1 / sqrt(variance + epsilon)."""
    mean = call.one(ops.Mean(tuple(axes), True), x)
    centred = call.one(ops.Sub(), x, mean)
    variance = call.one(ops.Mean(tuple(axes), True), call.one(ops.Square(), centred))
    inverse = _inverse_deviation(call, variance, epsilon)
    return call.one(ops.Mul(), centred, inverse), mean, inverse


def _scaled(call: Call, y: Value, scale: Value, bias: Value | None) -> Value:
    y = call.one(ops.Mul(), y, scale)
    return y if bias is None else call.one(ops.Add(), y, bias)


def instance_normalization(call: Call) -> Value:
    rank = call.rank(0)
    if rank < 3:
        raise call.error(f"input 0 has rank {rank}; it must be 3 or more")
    shape = (-1, *[1] * (rank - 2))
    scale, bias = (call.b.reshape(call.value(i), _whole(call.value(i), shape)) for i in (1, 2))
    epsilon = call.real("epsilon", 1e-5)
    y, _, _ = _normalized(call, call.value(0), range(2, rank), epsilon)
    return _scaled(call, y, scale, bias)


def _whole(x: Value, shape: Sequence[int]) -> tuple[int, ...]:
    """``shape`` with the size of x in place of -1."""
    return tuple(x.type.size if n < 0 else n for n in shape)


def layer_normalization(call: Call) -> list[Value]:
    x, rank = call.value(0), call.rank(0)
    axis = call.axis(call.integer("axis", -1), rank)
    y, mean, inverse = _normalized(call, x, range(axis, rank), call.real("epsilon", 1e-5))
    return [_scaled(call, y, call.value(1), call.optional(2)), mean, inverse]


def rms_normalization(call: Call) -> Value:
    x, rank = call.value(0), call.rank(0)
    axes = tuple(range(call.axis(call.integer("axis", -1), rank), rank))
    square = call.one(ops.Mean(axes, True), call.one(ops.Square(), x))
    y = _over_deviation(call, x, square, call.real("epsilon", 1e-5))
    return _scaled(call, y, call.value(1), None)


def group_normalization(call: Call) -> Value:
    """Before opset 21 a scale and a bias are those of a group, else of a channel."""
    x, groups = call.value(0), call.integer("num_groups")
    shape, channels = x.type.shape, x.type.shape[1] if call.rank(0) > 1 else 0
    if groups < 1 or channels % groups or not channels:
        raise call.error(f"{channels} channels in {groups} groups; groups divide channels")
    grouped = call.b.reshape(x, (shape[0], groups, channels // groups, *shape[2:]))
    axes = range(2, len(shape) + 1)
    y, _, _ = _normalized(call, grouped, axes, call.real("epsilon", 1e-5))
    scale, bias = (_per_channel(call, call.value(i), groups, len(shape)) for i in (1, 2))
    return call.b.reshape(_scaled(call, y, scale, bias), shape)


def _per_channel(call: Call, v: Value, groups: int, rank: int) -> Value:
    size = v.type.size
    if call.opset < 21 and size != groups:
        raise call.error(f"{size} scales or biases for {groups} groups; there is one a group")
    if size % groups:
        raise call.error(f"{size} scales or biases; there is one a channel")
    return call.b.reshape(v, (groups, size // groups, *[1] * (rank - 2)))


def mean_variance_normalization(call: Call) -> Value:
    """(x - mean) / (deviation + 1e-9)"""
    x, rank = call.value(0), call.rank(0)
    axes = call.axes(call.ints("axes", (0, 2, 3)), rank)
    mean = call.one(ops.Mean(axes, True), x)
    centred = call.one(ops.Sub(), x, mean)
    variance = call.one(ops.Mean(axes, True), call.one(ops.Square(), centred))
    deviation = call.one(ops.Sqrt(), variance)
    size = call.one(ops.Add(), deviation, call.number(1e-9, x))
    return call.one(ops.Div(), centred, size)


def lp_normalization(call: Call) -> Value:
    """x over the norm along an axis; 0 where that is 0."""
    x, p = call.value(0), call.integer("p", 2)
    axes = (call.axis(call.integer("axis", -1), call.rank(0)),)
    if p == 1:
        norm = call.one(ops.Sum(axes, True), call.one(ops.Abs(), x))
    elif p == 2:
        norm = call.one(ops.Sqrt(), call.one(ops.Sum(axes, True), call.one(ops.Square(), x)))
    else:
        raise call.error(f"p is {p}; it is 1 or 2")
    zero = call.one(ops.Equal(), norm, call.number(0, x))
    return call.one(ops.Div(), x, call.one(ops.Select(), zero, call.number(1, x), norm))


def lrn(call: Call) -> Value:
    """x / (bias + alpha / size * sum of squares of the channels around) ** beta"""
    x, b, size = call.value(0), call.b, call.integer("size")
    shape = x.type.shape
    if len(shape) < 3 or size < 1:
        raise call.error(f"input {list(shape)}, size {size}; rank is 3 or more, size 1 or more")
    alpha, beta = call.real("alpha", 1e-4), call.real("beta", 0.75)
    bias = call.real("bias", 1.0)
    planes = b.reshape(x, (*shape[:2], shape[2], math.prod(shape[3:])))
    if size % 2:
        op = ops.LocalResponseNormalization(size // 2, bias, alpha / size, beta)
        y = b.transpose(call.one(op, b.transpose(planes, (0, 2, 3, 1))), (0, 3, 1, 2))
        return b.reshape(y, shape)
    size = min(size, 2 * shape[1] + 2)
    before = (size - 1) // 2
    squares = b.reshape(call.one(ops.Square(), x), (shape[0], shape[1], math.prod(shape[2:]), 1))
    pads = ((0, 0), (before, size - 1 - before), (0, 0), (0, 0))
    mean = call.one(ops.AveragePool2D((size, 1)), call.one(ops.Pad(pads), squares))
    mean = call.one(ops.Mul(), mean, call.number(alpha * size / call.integer("size"), x))
    power = call.one(
        ops.Pow(), call.one(ops.Add(), mean, call.number(bias, x)), call.number(-beta, x)
    )
    return call.one(ops.Mul(), x, b.reshape(power, shape))


OPERATORS: dict[str, Row] = {
    "BatchNormalization": Row(batch_normalization, (5, 5)),
    "GroupNormalization": Row(group_normalization, (3, 3)),
    "InstanceNormalization": Row(instance_normalization, (3, 3)),
    "LRN": Row(lrn),
    "LayerNormalization": Row(layer_normalization, (2, 3)),
    "LogSoftmax": Row(softmax),
    "LpNormalization": Row(lp_normalization),
    "MeanVarianceNormalization": Row(mean_variance_normalization),
    "RMSNormalization": Row(rms_normalization, (2, 2)),
    "Softmax": Row(softmax),
}
