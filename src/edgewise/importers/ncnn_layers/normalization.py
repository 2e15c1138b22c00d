"""Normalisations by moments and sums of squares."""

from __future__ import annotations

import math

from ... import ops
from ...graph import Value
from ..channels_first import average_pool, channels_first, channels_last
from ..ncnn_call import Call, Row
from .activations import affine


def normalized(call: Call, x: Value, axes: tuple[int, ...], eps: float, centre: bool) -> Value:
    """x, less its mean where ``centre``, divided by the root of its mean square plus eps."""
    if centre:
        x = call.one(ops.Sub(), x, call.one(ops.Mean(axes, True), x))
    square = call.one(ops.Mean(axes, True), call.one(ops.Square(), x))
    return call.one(ops.Mul(), x, call.one(ops.Rsqrt(), affine(call, square, 1, eps)))


def _layer_norm(call: Call) -> Value:
    return _of_rows(call, centre=True)


def _rms_norm(call: Call) -> Value:
    return _of_rows(call, centre=False)


def _of_rows(call: Call, centre: bool) -> Value:
    """Over the last dimension, or the last two of an image whose size the weights have."""
    size, dims, rank = call.integer(0), call.dims(), call.rank()
    inner = 1
    if rank >= 3 and size != dims[-1]:
        inner = 2
    if call.flag(2, True) and size != math.prod(dims[-inner:]):
        raise call.error(f"affine_size {size}; rows are of {dims[-1]}")
    y = normalized(
        call, call.value(), tuple(range(rank + 1 - inner, rank + 1)), call.real(1, 0.001), centre
    )
    if not call.flag(2, True):
        return y
    shape = dims[-inner:]
    y = call.one(ops.Mul(), y, call.b.constant(call.floats(*shape)))
    return call.one(ops.Add(), y, call.b.constant(call.floats(*shape))) if centre else y


def _group_norm(call: Call) -> Value:
    groups, channels, dims = call.integer(0, 1), call.integer(1), call.dims()
    if groups < 1 or channels != dims[0] or channels % groups:
        raise call.error(f"{channels} channels in {groups} groups; the input has {dims[0]}")
    x = call.shaped(call.value(), (groups, math.prod(dims) // groups))
    y = call.shaped(normalized(call, x, (2,), call.real(2, 0.001), True), dims)
    return _affine(call, y, channels) if call.flag(3, True) else y


def _instance_norm(call: Call) -> Value:
    rank = call.rank(0, 3)
    y = normalized(call, call.value(), tuple(range(2, rank + 1)), call.real(1, 0.001), True)
    return _affine(call, y, call.integer(0)) if call.flag(2, True) else y


def _affine(call: Call, x: Value, channels: int) -> Value:
    rank = len(x.type.shape) - 1
    scaled = call.one(ops.Mul(), x, call.vector(channels, rank))
    return call.one(ops.Add(), scaled, call.vector(channels, rank))


def _mvn(call: Call) -> Value:
    call.rank(0, 3)
    axes = (1, 2, 3) if call.flag(1) else (2, 3)
    x = call.value()
    x = call.one(ops.Sub(), x, call.one(ops.Mean(axes, True), x))
    if not call.flag(0):
        return x
    square = call.one(ops.Mean(axes, True), call.one(ops.Square(), x))
    deviation = affine(call, call.one(ops.Sqrt(), square), 1, call.real(2, 0.0001))
    return call.one(ops.Div(), x, deviation)


CAFFE, PYTORCH, TENSORFLOW = range(3)


def _normalize(call: Call) -> Value:
    """Divided by the root of the sum of squares of the blob, of channels, or of positions."""
    call.rank(0, 3)
    eps, mode, count = call.real(2, 0.0001), call.integer(9), call.integer(3)
    spatial, across = call.flag(0), call.flag(4, True)
    if not (spatial or across):
        raise call.error("neither across_spatial nor across_channel; one must be")
    axes = (*((1,) if across else ()), *((2, 3) if spatial else ()))
    x = call.value()
    total = call.one(ops.Sum(axes, True), call.one(ops.Square(), x))
    if mode == CAFFE:
        norm = call.one(ops.Sqrt(), affine(call, total, 1, eps))
    elif mode == PYTORCH:
        norm = call.one(ops.Maximum(), call.one(ops.Sqrt(), total), call.number(eps))
    elif mode == TENSORFLOW:
        norm = call.one(ops.Sqrt(), call.one(ops.Maximum(), total, call.number(eps)))
    else:
        raise call.unsupported(f"eps_mode {mode}")
    y = call.one(ops.Div(), x, norm)
    return call.one(ops.Mul(), y, call.vector(count, 3))


ACROSS, WITHIN = range(2)


def _lrn(call: Call) -> Value:
    call.rank(0, 3)
    region, size = call.integer(0), call.integer(1, 5)
    alpha, beta, bias = call.real(2, 1.0), call.real(3, 0.75), call.real(4, 1.0)
    if size < 1 or size % 2 == 0 or size > 2**12:
        raise call.error(f"local_size {size}; it is odd, and 1 to {2**12}")
    x = call.value()
    if region == ACROSS:
        op = ops.LocalResponseNormalization(size // 2, bias, alpha / size, beta)
        return channels_first(call.b, call.one(op, channels_last(call.b, x)))
    if region != WITHIN:
        raise call.error(f"region_type {region}; it is 0 or 1")
    pads = [size // 2] * 4
    square = call.one(ops.Square(), x)
    mean = average_pool(call.b, square, [size] * 2, [1, 1], pads, count_pads=pads)
    base = affine(call, mean, alpha, bias)
    return call.one(ops.Mul(), x, call.one(ops.Pow(), base, call.number(-beta)))


LAYERS: dict[str, Row] = {
    "GroupNorm": Row(_group_norm),
    "InstanceNorm": Row(_instance_norm),
    "LRN": Row(_lrn),
    "LayerNorm": Row(_layer_norm),
    "MVN": Row(_mvn),
    "Normalize": Row(_normalize),
    "RMSNorm": Row(_rms_norm),
}
