"""Layers of one element at a time, of several bottoms, and of whole axes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from ... import ops
from ...dtype import DType
from ...graph import Value
from ...ops import Op
from ..caffe_call import MANY, LayerCall, Results, Row
from ..channels_first import softmax as softmax_along

UNARY: dict[str, Callable[[], Op]] = {
    "AbsVal": ops.Abs,
    "ReLU6": ops.Relu6,
    "Sigmoid": ops.Logistic,
    "TanH": ops.Tanh,
}


def unary(op: Callable[[], Op]) -> Callable[[LayerCall], Value]:
    return lambda call: call.one(op(), call.x)


def relu(call: LayerCall) -> Value:
    slope = call.p.negative_slope
    return call.one(ops.LeakyRelu(slope) if slope else ops.Relu(), call.x)


def prelu(call: LayerCall) -> Value:
    """max(x, 0) + slope * min(x, 0), a slope a channel, or one for all."""
    channels = call.shape[call.axis(1)]
    if call.p.channel_shared:
        slope = call.weights(0, (1,), "slope")
    else:
        slope = along(call, call.weights(0, (channels,), "slope"), 1)
    return call.one(ops.PRelu(), call.x, slope)


def elu(call: LayerCall) -> Value:
    """x where x > 0, else alpha * (e ** x - 1)."""
    if call.p.alpha == 1:
        return call.one(ops.Elu(), call.x)
    below = call.one(ops.Elu(), call.one(ops.Minimum(), call.x, call.number(0)))
    scaled = call.one(ops.Mul(), below, call.number(call.p.alpha))
    return call.one(ops.Add(), call.one(ops.Relu(), call.x), scaled)


def linear(call: LayerCall, x: Value, scale: float, shift: float) -> Value:
    """scale * x + shift."""
    if scale != 1:
        x = call.one(ops.Mul(), x, call.number(scale))
    return x if shift == 0 else call.one(ops.Add(), x, call.number(shift))


def power(call: LayerCall) -> Value:
    """(shift + scale * x) ** power."""
    x = linear(call, call.x, call.p.scale, call.p.shift)
    known: dict[float, Op] = {2.0: ops.Square(), 0.5: ops.Sqrt(), -0.5: ops.Rsqrt()}
    exponent = call.p.power
    if exponent == 1:
        return x
    if exponent in known:
        return call.one(known[exponent], x)
    return call.one(ops.Pow(), x, call.number(exponent))


def base_of(call: LayerCall) -> float:
    """The natural logarithm of ``base``; 1 for -1, which stands for e."""
    base = call.p.base
    if base != -1 and not 0 < base < math.inf:
        raise call.error(f"base {base:g}; it is positive, or -1 for e")
    return 1.0 if base == -1 else math.log(base)


def exp(call: LayerCall) -> Value:
    """base ** (shift + scale * x)."""
    factor = base_of(call)
    x = linear(call, call.x, factor * call.p.scale, factor * call.p.shift)
    return call.one(ops.Exp(), x)


def log(call: LayerCall) -> Value:
    """The logarithm of shift + scale * x to ``base``."""
    factor = base_of(call)
    if factor == 0:
        raise call.error("base 1; there is no logarithm to it")
    y = call.one(ops.Log(), linear(call, call.x, call.p.scale, call.p.shift))
    return linear(call, y, 1 / factor, 0)


def bnll(call: LayerCall) -> Value:
    """log(1 + e ** x)."""
    below = call.one(ops.Exp(), call.one(ops.Neg(), call.one(ops.Abs(), call.x)))
    rest = call.one(ops.Log(), linear(call, below, 1, 1))
    return call.one(ops.Add(), call.one(ops.Relu(), call.x), rest)


def swish(call: LayerCall) -> Value:
    """x / (1 + e ** (-beta * x))."""
    gate = call.one(ops.Logistic(), linear(call, call.x, call.p.beta, 0))
    return call.one(ops.Mul(), call.x, gate)


def threshold(call: LayerCall) -> Value:
    """1 where x > threshold, else 0."""
    above = call.one(ops.Greater(), call.x, call.number(call.p.threshold))
    return call.one(ops.Cast(DType.FLOAT32), above)


def clip(call: LayerCall) -> Value:
    y = call.one(ops.Maximum(), call.x, call.number(call.p.min))
    return call.one(ops.Minimum(), y, call.number(call.p.max))


ELTWISE: Sequence[Callable[[], Op]] = (ops.Mul, ops.Add, ops.Maximum)
"""By the number of the operation: PROD, SUM, MAX."""


def eltwise(call: LayerCall) -> Value:
    values, coefficients = list(call.bottoms), list(call.p.coeff)
    for v in values:
        if v.type.shape != call.shape:
            raise call.error(
                f"bottoms of shapes {list(call.shape)} and {list(v.type.shape)}; they are equal"
            )
    op = ELTWISE[call.p.operation]
    if coefficients:
        if op is not ops.Add or len(coefficients) != len(values):
            raise call.error(
                f"{len(coefficients)} coefficients for {len(values)} bottoms; SUM has one each, "
                "other operations have none"
            )
        values = [linear(call, v, c, 0) for v, c in zip(values, coefficients, strict=True)]
    y = values[0]
    for v in values[1:]:
        y = call.one(op(), y, v)
    return y


def along(call: LayerCall, factor: Value, axis: int) -> Value:
    """``factor``, whose dimensions are those of the bottom from ``axis`` on, to broadcast to it."""
    rest = call.rank - axis - len(factor.type.shape)
    return call.b.reshape(factor, (*factor.type.shape, *[1] * rest))


def operand(call: LayerCall) -> tuple[Value, int]:
    """The second operand of Scale or Bias, a bottom or a blob, and the axis where it begins."""
    if len(call.bottoms) == 2:
        shape = call.bottoms[1].type.shape
        axis, count = call.axis(call.p.axis) if shape else 0, len(shape)
    else:
        axis, count = call.axis(call.p.axis), call.p.num_axes
        count = call.rank - axis if count == -1 else count
        shape = call.shape[axis : axis + max(count, 0)]
    if count < 0 or call.shape[axis : axis + count] != shape or len(shape) != count:
        raise call.error(
            f"a factor of shape {list(shape)} at axis {axis} of {list(call.shape)}; its dimensions "
            "are those of the bottom"
        )
    if len(call.bottoms) == 2:
        return call.bottoms[1], axis
    return call.weights(0, shape, call.layer.type.lower()), axis


def scale(call: LayerCall) -> Value:
    factor, axis = operand(call)
    y = call.one(ops.Mul(), call.x, along(call, factor, axis))
    if not call.p.bias_term:
        return y
    bias = call.weights(2 - len(call.bottoms), factor.type.shape, "bias")
    return call.one(ops.Add(), y, along(call, bias, axis))


def bias(call: LayerCall) -> Value:
    term, axis = operand(call)
    return call.one(ops.Add(), call.x, along(call, term, axis))


def moments(call: LayerCall, axes: Sequence[int]) -> tuple[Value, Value]:
    """x less its mean over ``axes``, and the variance over them, whose dimensions stay as 1."""
    mean = ops.Mean(tuple(axes), keep_dims=True)
    centered = call.one(ops.Sub(), call.x, call.one(mean, call.x))
    return centered, call.one(mean, call.one(ops.Square(), centered))


def batch_norm(call: LayerCall) -> Value:
    """(x - mean) / sqrt(variance + eps), by the statistics of the weights or of the batch."""
    channels = call.shape[call.axis(1)]
    if not call.p.use_global_stats:
        centered, variance = moments(call, [i for i in range(call.rank) if i != 1])
        deviation = call.one(ops.Rsqrt(), linear(call, variance, 1, call.p.eps))
        return call.one(ops.Mul(), centered, deviation)
    mean, spread, total = (call.blob(i).astype(np.float64).reshape(-1) for i in range(3))
    if not mean.size == spread.size == channels or total.size != 1:
        raise call.error(
            f"blobs of {mean.size}, {spread.size} and {total.size} elements; for {channels} "
            f"channels they have {channels}, {channels} and 1"
        )
    with np.errstate(all="ignore"):
        share = 0.0 if total[0] == 0 else 1.0 / total[0]
        inverse = 1.0 / np.sqrt(spread * share + call.p.eps)
        scale, offset = (a.astype(np.float32) for a in (inverse, -mean * share * inverse))
    factor = along(call, call.b.constant(scale, f"{call.layer.name}/scale"), 1)
    shift = along(call, call.b.constant(offset, f"{call.layer.name}/offset"), 1)
    return call.one(ops.Add(), call.one(ops.Mul(), call.x, factor), shift)


def mvn(call: LayerCall) -> Value:
    """(x - mean) / (sqrt(variance) + eps) over the image, of a channel or of all."""
    call.image()
    centered, variance = moments(call, (1, 2, 3) if call.p.across_channels else (2, 3))
    if not call.p.normalize_variance:
        return centered
    deviation = linear(call, call.one(ops.Sqrt(), variance), 1, call.p.eps)
    return call.one(ops.Div(), centered, deviation)


def normalize(call: LayerCall) -> Value:
    """x / sqrt(sum(x ** 2) + eps) over channels, or the whole image, times a scale (SSD)."""
    _, channels, _, _ = call.image()
    axes = (1, 2, 3) if call.p.across_spatial else (1,)
    squares = call.one(ops.Sum(axes, keep_dims=True), call.one(ops.Square(), call.x))
    inverse = call.one(ops.Rsqrt(), linear(call, squares, 1, call.p.eps))
    y = call.one(ops.Mul(), call.x, inverse)
    count = 1 if call.p.channel_shared else channels
    return call.one(ops.Mul(), y, along(call, call.weights(0, (count,), "scale"), 1))


def softmax(call: LayerCall) -> Value:
    return softmax_along(call.b, call.x, call.axis(call.p.axis))


def reduction(call: LayerCall) -> Value:
    """SUM, ASUM, SUMSQ or MEAN over all axes from ``axis`` on, times ``coeff``."""
    axes = tuple(range(call.axis(call.p.axis), call.rank))
    prepare: dict[int, Op] = {2: ops.Abs(), 3: ops.Square()}
    operation, x = call.p.operation, call.x
    if operation in prepare:
        x = call.one(prepare[operation], x)
    y = call.one(ops.Mean(axes) if operation == 4 else ops.Sum(axes), x)
    return linear(call, y, call.p.coeff, 0)


def arg_max(call: LayerCall) -> Value:
    """Indices of the ``top_k`` greatest, as floats; the last where several are equal.

    Without ``axis``: [N, 1, top_k] over all that follows the first axis, or [N, 2, top_k] with
    the values after the indices. With it and ``out_max_val``: the values.
    """
    has_axis, p = call.p.HasField("axis"), call.p
    axis = call.axis(p.axis) if has_axis else 1
    x = call.x if has_axis else call.b.reshape(call.x, (call.shape[0], math.prod(call.shape[1:])))
    size, rank = x.type.shape[axis], len(x.type.shape)
    if not 1 <= p.top_k <= size:
        raise call.error(f"top_k {p.top_k}; it is 1 to {size}, the size of axis {axis}")
    perm = [*(i for i in range(rank) if i != axis), axis]
    last = call.one(ops.Reverse((rank - 1,)), call.b.transpose(x, perm))
    values, backwards = call.b.add(ops.TopK(p.top_k), [last])
    places = linear(call, call.one(ops.Cast(DType.FLOAT32), backwards), -1, size - 1)
    back = [perm.index(i) for i in range(rank)]
    if has_axis:
        return call.b.transpose(values if p.out_max_val else places, back)
    parts = [places, values] if p.out_max_val else [places]
    rows = [call.b.reshape(part, (call.shape[0], 1, p.top_k)) for part in parts]
    return call.one(ops.Concatenation(1), *rows) if len(rows) > 1 else rows[0]


def same(call: LayerCall) -> Results:
    """The bottom, for every top."""
    return [call.x] * call.tops


LAYERS: dict[str, Row] = {
    **{name: Row(unary(op)) for name, op in UNARY.items()},
    "ArgMax": Row(arg_max, "argmax_param"),
    "BNLL": Row(bnll),
    "BatchNorm": Row(batch_norm, "batch_norm_param"),
    "Bias": Row(bias, "bias_param", (1, 2)),
    "Clip": Row(clip, "clip_param"),
    "Dropout": Row(same),
    "ELU": Row(elu, "elu_param"),
    "Eltwise": Row(eltwise, "eltwise_param", (2, MANY)),
    "Exp": Row(exp, "exp_param"),
    "Log": Row(log, "log_param"),
    "MVN": Row(mvn, "mvn_param"),
    "Normalize": Row(normalize, "norm_param"),
    "PReLU": Row(prelu, "prelu_param"),
    "Power": Row(power, "power_param"),
    "ReLU": Row(relu, "relu_param"),
    "Reduction": Row(reduction, "reduction_param"),
    "Scale": Row(scale, "scale_param", (1, 2)),
    "Softmax": Row(softmax, "softmax_param"),
    "Split": Row(same, tops=MANY),
    "Swish": Row(swish, "swish_param"),
    "Threshold": Row(threshold, "threshold_param"),
}
