"""Spatial operators of formats whose images are NCHW: ONNX, Caffe, ncnn, PyTorch.

Each becomes TRANSPOSE to NHWC, the operator, TRANSPOSE back; ``passes/layout.py`` removes the
transposes of a whole graph. Data of one dimension, [N, C, W], is an image of height 1; volumes are
[N, C, D, H, W]. Sizes, strides, dilations and pads have one entry a spatial dimension, and pads
are those before each, then those after each, as in ONNX.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..errors import ModelError, UnsupportedError
from ..graph import Value
from ..ops import (
    Add,
    AveragePool2D,
    Concatenation,
    Conv2D,
    Conv3D,
    Conv3DTranspose,
    DepthwiseConv2D,
    LogSoftmax,
    MaxPool2D,
    Mul,
    Op,
    Pad,
    Reverse,
    Softmax,
    StridedSlice,
    TransposeConv,
)
from .builder import Builder

Ints = Sequence[int]


def to_last(rank: int) -> tuple[int, ...]:
    """The permutation from channels first to channels last."""
    return (0, *range(2, rank), 1)


def to_first(rank: int) -> tuple[int, ...]:
    """The permutation from channels last to channels first."""
    return (0, rank - 1, *range(1, rank - 1))


def channels_last(b: Builder, x: Value) -> Value:
    """``x`` [N, C, ...] as [N, ..., C]."""
    return b.transpose(x, to_last(len(x.type.shape)))


def channels_first(b: Builder, x: Value) -> Value:
    """``x`` [N, ..., C] as [N, C, ...]."""
    return b.transpose(x, to_first(len(x.type.shape)))


def same_padding(size: Ints, taps: Ints, stride: Ints, dilation: Ints, lower: bool) -> list[int]:
    """Pads for ceil(size / stride) windows; the odd pixel at the end, or at the start if ``lower``.

    This is ONNX's auto_pad SAME_UPPER and SAME_LOWER.
    """
    before, after = [], []
    for n, k, s, d in zip(size, taps, stride, dilation, strict=True):
        total = max((-(-n // s) - 1) * s + (k - 1) * d + 1 - n, 0)
        small, large = total // 2, total - total // 2
        before.append(large if lower else small)
        after.append(small if lower else large)
    return [*before, *after]


def conv(
    b: Builder,
    x: Value,
    w: Value,
    bias: Value | None = None,
    *,
    stride: Ints,
    dilation: Ints,
    pads: Ints,
    groups: int = 1,
    quant: Any = None,
) -> Value:
    """Convolution of x[N, C, ...] by w[O, C / groups, ...] of one, two or three dimensions.

    ``quant`` is the quantization of the result of integers.

    Raises:
        ModelError: ranks, channels or groups do not fit each other.
    """
    rank = len(x.type.shape)
    _check(b, x, w, stride, dilation, pads)
    channels, (outputs, depth) = x.type.shape[1], w.type.shape[:2]
    if groups < 1 or channels != depth * groups or outputs % groups:
        raise ModelError(
            f"{b.what}: {channels} input and {outputs} output channels in {groups} groups, weights "
            f"of depth {depth}; groups divide both, and depth is channels / groups"
        )
    extra = [] if bias is None else [bias]
    if rank == 3:
        return _in_two_dimensions(
            b,
            x,
            w,
            lambda x, w: conv(
                b,
                x,
                w,
                bias,
                stride=(1, *stride),
                dilation=(1, *dilation),
                pads=(0, pads[0], 0, pads[1]),
                groups=groups,
                quant=quant,
            ),
        )
    if rank == 5:
        if groups != 1:
            return _by_groups(
                b,
                x,
                w,
                bias,
                groups,
                lambda x, w: conv(b, x, w, stride=stride, dilation=dilation, pads=pads),
            )
        op: Op = Conv3D(_three(stride), _three(dilation), _both(pads))
        weights = b.transpose(w, (2, 3, 4, 1, 0))
    elif depth == 1 and groups > 1:
        op = DepthwiseConv2D(_two(stride), _two(dilation), _sides(pads))
        weights = b.transpose(w, (1, 2, 3, 0))
    else:
        op = Conv2D(_two(stride), _two(dilation), _sides(pads))
        weights = b.transpose(w, (0, 2, 3, 1))
    return channels_first(b, b.one(op, [channels_last(b, x), weights, *extra], quant))


def conv_transpose(
    b: Builder,
    x: Value,
    w: Value,
    bias: Value | None = None,
    *,
    stride: Ints,
    dilation: Ints,
    pads: Ints,
    output_size: Ints,
    groups: int = 1,
) -> Value:
    """Transposed convolution of x[N, C, ...] by w[C, O / groups, ...] to [N, O, *output_size].

    ``pads`` before each dimension are cut off its start; what lies at or after
    ``output_size`` is cut off, and what no input reaches is the bias.

    Raises:
        ModelError: ranks, channels or groups do not fit each other.
    """
    rank = len(x.type.shape)
    _check(b, x, w, stride, dilation, pads)
    channels, inputs = x.type.shape[1], w.type.shape[0]
    if groups < 1 or channels != inputs or channels % groups:
        raise ModelError(
            f"{b.what}: {channels} input channels in {groups} groups, weights for {inputs}; they "
            "are equal, and groups divide them"
        )
    if rank == 3:
        return _in_two_dimensions(
            b,
            x,
            w,
            lambda x, w: conv_transpose(
                b,
                x,
                w,
                bias,
                stride=(1, *stride),
                dilation=(1, *dilation),
                pads=(0, pads[0], 0, pads[1]),
                output_size=(1, *output_size),
                groups=groups,
            ),
        )
    if rank == 4 and (groups > 1 or tuple(stride) == (1, 1)):
        return _by_convolution(b, x, w, bias, stride, dilation, pads, output_size, groups)
    if groups > 1:
        return _by_groups(
            b,
            x,
            w,
            bias,
            groups,
            lambda x, w: conv_transpose(
                b,
                x,
                w,
                stride=stride,
                dilation=dilation,
                pads=pads,
                output_size=output_size,
            ),
        )
    w = dilated(b, w, dilation)
    size = x.type.shape[2:]
    taps = w.type.shape[2:]
    before = list(pads[: rank - 2])
    after, grown = [], []
    for n, k, s, p, o in zip(size, taps, stride, before, output_size, strict=True):
        whole = (n - 1) * s + k - p
        after.append(max(whole - o, 0))
        grown.append(max(o - whole, 0))
    made = [o - g for o, g in zip(output_size, grown, strict=True)]
    if min(made, default=1) < 0:
        raise ModelError(f"{b.what}: pads {list(pads)} leave no output")
    operands = [channels_last(b, x)]
    if rank == 5:
        op: Op = Conv3DTranspose(_three(stride), (1, 1, 1), _both([*before, *after]), _three(made))
        operands.append(b.transpose(w, (2, 3, 4, 1, 0)))
    else:
        op = TransposeConv(_two(stride), _sides([*before, *after]), _two(made))
        operands.append(b.transpose(w, (1, 2, 3, 0)))
    if bias is not None and not any(grown):
        operands.append(bias)
    y = channels_first(b, b.one(op, operands))
    if any(grown):
        y = b.one(Pad(((0, 0), (0, 0), *((0, g) for g in grown))), [y])
        if bias is not None:
            y = b.one(Add(), [y, b.reshape(bias, (-1, *[1] * (rank - 2)))])
    return y


def _by_convolution(
    b: Builder,
    x: Value,
    w: Value,
    bias: Value | None,
    stride: Ints,
    dilation: Ints,
    pads: Ints,
    output_size: Ints,
    groups: int,
) -> Value:
    """A transposed convolution of images as one of stride 1, over x with zeros between pixels."""
    image = channels_last(b, x)
    n, *size, channels = image.type.shape
    if any(s > 1 for s in stride):
        (h, v), (sh, sv) = size, stride
        gaps = ((0, 0), (0, 0), (0, sh - 1), (0, 0), (0, sv - 1), (0, 0))
        image = b.one(Pad(gaps), [b.reshape(image, (n, h, 1, v, 1, channels))])
        image = b.reshape(image, (n, h * sh, v * sv, channels))
        size = [(k - 1) * s + 1 if k else 0 for k, s in zip(size, stride, strict=True)]
    begin, kept, around = [0], [n], []
    for length, k, d, p, o in zip(
        size, w.type.shape[2:], dilation, pads[:2], output_size, strict=True
    ):
        before = (k - 1) * d - p
        after = o - length - before + (k - 1) * d
        begin.append(max(-before, 0))
        kept.append(length + min(before, 0) + min(after, 0))
        around += [max(before, 0), max(after, 0)]
    if min(kept) < 0:
        raise ModelError(f"{b.what}: pads {list(pads)} leave no input")
    cut = (*begin, 0), (*kept, channels)
    if cut[1] != image.type.shape or any(begin):
        image = b.one(StridedSlice(*cut, (1, 1, 1, 1)), [image])
    weights = _turned(b, w, groups)
    extra = [] if bias is None else [bias]
    padding = (around[0], around[1], around[2], around[3])
    is_depthwise = groups > 1 and weights.type.shape[3] == 1
    if is_depthwise:
        weights = b.transpose(weights, (3, 1, 2, 0))
    kind = DepthwiseConv2D if is_depthwise else Conv2D
    return channels_first(b, b.one(kind((1, 1), _two(dilation), padding), [image, weights, *extra]))


def _turned(b: Builder, w: Value, groups: int) -> Value:
    """Weights [C, O / groups, KH, KW] of a transposed convolution as [O, KH, KW, C / groups]."""
    source = b.quantized(w)
    if source is not None:
        return b.dequantize(_turned(b, source, groups), w.type.dtype)
    c, o, kh, kw = w.type.shape
    if w.data is not None:
        w = b.constant(np.ascontiguousarray(w.data[:, :, ::-1, ::-1]), w.name, w.type.quant)
    else:
        w = b.one(Reverse((2, 3)), [w])
    parts = b.transpose(b.reshape(w, (groups, c // groups, o, kh, kw)), (0, 2, 3, 4, 1))
    return b.reshape(parts, (groups * o, kh, kw, c // groups))


def dilated(b: Builder, w: Value, dilation: Ints) -> Value:
    """Weights [I, O, ...] with zeros between their taps; they must be constant for that.

    Raises:
        UnsupportedError: they are computed.
    """
    if all(d == 1 for d in dilation):
        return w
    w = b.known(w)
    if w.data is None:
        raise UnsupportedError(f"{b.what}: dilation {list(dilation)} of computed weights")
    taps = w.type.shape[2:]
    wide = [(k - 1) * d + 1 for k, d in zip(taps, dilation, strict=True)]
    if math.prod(wide) > 2**16:
        raise ModelError(f"{b.what}: windows of {wide} elements; at most {2**16}")
    data = np.zeros((*w.type.shape[:2], *wide), w.data.dtype)
    taps_of = (slice(None), slice(None), *(slice(None, None, d) for d in dilation))
    data[taps_of] = w.data
    return b.constant(data, w.name, w.type.quant)


def max_pool(b: Builder, x: Value, taps: Ints, stride: Ints, pads: Ints) -> Value:
    """Greatest value of each window of x[N, C, ...]; padding does not count."""
    return _pool(b, x, taps, stride, pads, MaxPool2D)


def average_pool(
    b: Builder, x: Value, taps: Ints, stride: Ints, pads: Ints, *, count_pads: Ints | None = None
) -> Value:
    """Mean of each window of float32 x[N, C, ...].

    ``count_pads`` are pads that count as zeros (ONNX's count_include_pad, Caffe's padding); a
    window is divided by how many of its elements lie in x or in them. None: they do not count.
    """
    y = _pool(b, x, taps, stride, pads, AveragePool2D)
    if count_pads is None or not any(count_pads):
        return y
    return b.one(Mul(), [y, b.constant(_share(x.type.shape[2:], taps, stride, pads, count_pads))])


def _share(size: Ints, taps: Ints, stride: Ints, pads: Ints, counted: Ints) -> Any:
    """Elements of each window inside of x by those in x or in pads that count: [1, 1, ...]."""
    rank = len(size)
    factors = []
    for i, (n, k, s) in enumerate(zip(size, taps, stride, strict=True)):
        starts = np.arange(-pads[i], n + pads[rank + i] - k + 1, s)
        inside = np.minimum(starts + k, n) - np.maximum(starts, 0)
        wide = np.minimum(starts + k, n + counted[rank + i]) - np.maximum(starts, -counted[i])
        shape = [1] * (rank + 2)
        shape[2 + i] = len(starts)
        factors.append((inside / wide).reshape(shape))
    share = factors[0]
    for factor in factors[1:]:
        share = share * factor
    return share.astype(np.float32)


def softmax(b: Builder, x: Value, axis: int, *, log: bool = False) -> Value:
    """Softmax, or its logarithm, along one axis."""
    rank = len(x.type.shape)
    perm = [*(i for i in range(rank) if i != axis), axis]
    y = b.one(LogSoftmax() if log else Softmax(), [b.transpose(x, perm)])
    return b.transpose(y, [perm.index(i) for i in range(rank)])


def _pool(
    b: Builder, x: Value, taps: Ints, stride: Ints, pads: Ints, kind: Callable[..., Op]
) -> Value:
    rank = len(x.type.shape)
    if rank not in (3, 4, 5) or not len(taps) == len(stride) == rank - 2 == len(pads) // 2:
        raise ModelError(
            f"{b.what}: input of rank {rank}, window {list(taps)}, stride {list(stride)}, pads "
            f"{list(pads)}; ranks are 3 to 5, with one window, stride and pair of pads a dimension"
        )
    if rank == 3:
        shape = x.type.shape
        wide = b.reshape(x, (*shape[:2], 1, shape[2]))
        y = _pool(b, wide, (1, *taps), (1, *stride), (0, pads[0], 0, pads[1]), kind)
        return b.reshape(y, (*shape[:2], y.type.shape[3]))
    if rank == 5:
        return _pool_volume(b, x, taps, stride, pads, kind)
    op = kind(_two(taps), _two(stride), _sides(pads))
    return channels_first(b, b.one(op, [channels_last(b, x)]))


def _pool_volume(
    b: Builder, x: Value, taps: Ints, stride: Ints, pads: Ints, kind: Callable[..., Op]
) -> Value:
    """Windows of height and width, then of depth: both kinds are the same in that order.

    A mean over windows at the border is one of means of as many elements.
    """
    n, c, d, h, w = x.type.shape
    planes = b.reshape(x, (n, c * d, h, w))
    y = _pool(b, planes, taps[1:], stride[1:], (pads[1], pads[2], pads[4], pads[5]), kind)
    h, w = y.type.shape[2:]
    columns = b.reshape(y, (n, c, d, h * w))
    y = _pool(b, columns, (taps[0], 1), (stride[0], 1), (pads[0], 0, pads[3], 0), kind)
    return b.reshape(y, (n, c, y.type.shape[2], h, w))


def _by_groups(
    b: Builder,
    x: Value,
    w: Value,
    bias: Value | None,
    groups: int,
    product: Callable[[Value, Value], Value],
) -> Value:
    """Products of slices of channels, joined, and the bias added."""
    depth, rows = x.type.shape[1] // groups, w.type.shape[0] // groups
    parts = [
        product(part(b, x, 1, g * depth, depth), part(b, w, 0, g * rows, rows))
        for g in range(groups)
    ]
    y = b.one(Concatenation(1), parts)
    if bias is None:
        return y
    return b.one(Add(), [y, b.reshape(bias, (-1, *[1] * (len(x.type.shape) - 2)))])


def part(b: Builder, x: Value, axis: int, begin: int, size: int) -> Value:
    """A slice of x along one axis."""
    return b.slice(x, axis, begin, size)


def _in_two_dimensions(
    b: Builder, x: Value, w: Value, product: Callable[[Value, Value], Value]
) -> Value:
    """A product of [N, C, W] as one of images of height 1."""
    (n, c, size), (o, i, taps) = x.type.shape, w.type.shape
    y = product(b.reshape(x, (n, c, 1, size)), b.reshape(w, (o, i, 1, taps)))
    return b.reshape(y, (*y.type.shape[:2], y.type.shape[3]))


def _check(b: Builder, x: Value, w: Value, stride: Ints, dilation: Ints, pads: Ints) -> None:
    rank = len(x.type.shape)
    if rank not in (3, 4, 5) or len(w.type.shape) != rank:
        raise ModelError(
            f"{b.what}: input of rank {rank}, weights of rank {len(w.type.shape)}; both are equal, "
            "and 3, 4 or 5"
        )
    if not len(stride) == len(dilation) == rank - 2 == len(pads) / 2:
        raise ModelError(
            f"{b.what}: strides {list(stride)}, dilations {list(dilation)}, pads {list(pads)} of "
            f"{rank - 2} dimensions; one stride and dilation and two pads a dimension"
        )
    if min((*stride, *dilation)) < 1:
        raise ModelError(
            f"{b.what}: strides {list(stride)}, dilations {list(dilation)}; they are at least 1"
        )


def _two(sizes: Ints) -> tuple[int, int]:
    return int(sizes[0]), int(sizes[1])


def _three(sizes: Ints) -> tuple[int, int, int]:
    return int(sizes[0]), int(sizes[1]), int(sizes[2])


def _sides(pads: Ints) -> tuple[int, int, int, int]:
    """(top, left, bottom, right) as (top, bottom, left, right)."""
    return int(pads[0]), int(pads[2]), int(pads[1]), int(pads[3])


def _both(pads: Ints) -> tuple[tuple[int, int], tuple[int, int], tuple[int, int]]:
    """Pads of a volume as (before, after) of each dimension."""
    front, top, left, back, bottom, right = map(int, pads)
    return (front, back), (top, bottom), (left, right)
