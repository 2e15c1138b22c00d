"""Softmax, and normalisation by batch, layer, group, instance."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ... import ops
from ...graph import Value
from ..channels_first import softmax as softmax_along
from ..torch_call import Call, Reader
from .arithmetic import plus
from .reductions import mean_and_variance


def softmax(*, log: bool) -> Reader:
    def read(call: Call) -> Value:
        x = call.cast(call.value(), call.dtype)
        if not x.type.shape:
            return call.scalar(0.0 if log else 1.0, call.dtype)
        return softmax_along(call.b, x, call.axis(), log=log)

    return read


def affine(call: Call, x: Value, weight: Value | None, bias: Value | None) -> Value:
    """x * weight + bias"""
    y = x if weight is None else call.one(ops.Mul(), x, weight)
    return y if bias is None else call.one(ops.Add(), y, bias)


def channel(call: Call, name: str, rank: int) -> Value | None:
    """A vector with an element a channel, along dimension 1 of ``rank``."""
    found = call.optional(name)
    if found is None:
        return None
    return call.b.reshape(call.b.known(found), (found.type.size, *[1] * (rank - 2)))


def batch_norm(call: Call) -> list[Value | None]:
    """(x - mean) / sqrt(variance + epsilon) * weight + bias, as MUL and ADD."""
    call.eval_only("training")
    x = call.value("input")
    rank = len(x.type.shape)
    mean, variance, weight, bias = (
        channel(call, name, rank) for name in ("running_mean", "running_var", "weight", "bias")
    )
    if mean is None or variance is None:
        raise call.unsupported("batch norm by the statistics of its input")
    epsilon = float(call.number("eps", 1e-5))
    if any(v is not None and v.data is None for v in (mean, variance, weight, bias)):
        centred = call.one(ops.Sub(), x, mean)
        inverse = call.one(ops.Rsqrt(), plus(call, variance, epsilon))
        return [affine(call, call.one(ops.Mul(), centred, inverse), weight, bias), None, None]
    arrays = (None if v is None else v.data for v in (mean, variance, weight, bias))
    m, v, w, o = (None if a is None else a.astype(np.float64) for a in arrays)
    assert m is not None
    assert v is not None
    factor = (1.0 if w is None else w) / np.sqrt(v + epsilon)
    offset = (0.0 if o is None else o) - m * factor
    kind = x.type.dtype.numpy
    scale, shift = (call.b.constant(np.asarray(a).astype(kind)) for a in (factor, offset))
    return [affine(call, x, scale, shift), None, None]


def batch_norm_alone(call: Call) -> Value:
    found = batch_norm(call)[0]
    assert found is not None
    return found


def normalized(call: Call, x: Value, axes: Sequence[int], epsilon: float) -> Value:
    """x with mean 0 and variance 1 over axes."""
    mean, variance = mean_and_variance(call, x, tuple(axes), 0)
    inverse = call.one(ops.Rsqrt(), plus(call, variance, epsilon))
    return call.one(ops.Mul(), call.one(ops.Sub(), x, mean), inverse)


def layer_norm(call: Call) -> Value:
    x = call.value("input")
    rank, last = len(x.type.shape), len(call.ints("normalized_shape"))
    y = normalized(call, x, range(rank - last, rank), float(call.number("eps", 1e-5)))
    return affine(call, y, call.optional("weight"), call.optional("bias"))


def native_layer_norm(call: Call) -> list[Value | None]:
    return [layer_norm(call), None, None]


EPSILON = float(np.finfo(np.float32).eps)
"""What RMS norm adds where nothing is said."""


def rms_norm(call: Call) -> Value:
    x = call.value("input")
    rank, last = len(x.type.shape), len(call.ints("normalized_shape"))
    axes = tuple(range(rank - last, rank))
    epsilon = float(call.number("eps", EPSILON))
    square = call.one(ops.Mean(axes, True), call.one(ops.Square(), x))
    y = call.one(ops.Mul(), x, call.one(ops.Rsqrt(), plus(call, square, epsilon)))
    return affine(call, y, call.optional("weight"), None)


def grouped(call: Call, x: Value, groups: int) -> Value:
    """x [N, C, ...] normalized within each of ``groups`` of its channels."""
    shape = x.type.shape
    if groups < 1 or len(shape) < 2 or shape[1] % groups:
        raise call.error(f"input {list(shape)} in {groups} groups; they divide dimension 1")
    rows = call.b.reshape(x, (shape[0], groups, math.prod(shape[1:]) // groups))
    y = normalized(call, rows, (2,), float(call.number("eps", 1e-5)))
    weight, bias = (channel(call, name, len(shape)) for name in ("weight", "bias"))
    return affine(call, call.b.reshape(y, shape), weight, bias)


def group_norm(call: Call) -> Value:
    return grouped(call, call.value("input"), call.integer("num_groups"))


def native_group_norm(call: Call) -> list[Value | None]:
    return [grouped(call, call.value("input"), call.integer("group")), None, None]


def instance_norm(call: Call) -> Value:
    if not call.flag("use_input_stats"):
        return batch_norm_alone(call)
    x = call.value("input")
    return grouped(call, x, x.type.shape[1])


OPERATORS: dict[str, Reader] = {
    "_log_softmax": softmax(log=True),
    "_native_batch_norm_legit_no_training": batch_norm,
    "_softmax": softmax(log=False),
    "batch_norm": batch_norm_alone,
    "group_norm": group_norm,
    "instance_norm": instance_norm,
    "layer_norm": layer_norm,
    "log_softmax": softmax(log=True),
    "native_group_norm": native_group_norm,
    "native_layer_norm": native_layer_norm,
    "rms_norm": rms_norm,
    "softmax": softmax(log=False),
}
