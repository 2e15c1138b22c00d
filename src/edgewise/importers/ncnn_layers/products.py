"""Convolutions, transposed ones and inner products."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ... import ops
from ...dtype import QParams
from ...graph import Array, Value
from ..channels_first import conv, conv_transpose, same_padding
from ..ncnn_call import Call, Row
from .activations import fused
from .quantized import (
    activated,
    conv_scales,
    dequantized,
    inner_scales,
    integer_operands,
    quantized_input,
    real_weights,
    requantized,
)

UPPER, LOWER = -233, -234
"""Pads that are chosen as ONNX's SAME_UPPER and SAME_LOWER are."""

WIDTH = {"kernel": 1, "dilation": 2, "stride": 3, "before": 4, "after": 15}
HEIGHT = {"kernel": 11, "dilation": 12, "stride": 13, "before": 14, "after": 16}
DEPTH = {"kernel": 21, "dilation": 22, "stride": 23, "before": 24, "after": 17}
"""The parameters of each dimension."""


class Window:
    """The window of a convolution: sizes with one entry a dimension, outermost first."""

    def __init__(self, call: Call, dimensions: int) -> None:
        axes = (WIDTH, HEIGHT, DEPTH)[:dimensions][::-1]

        def sizes(name: str, default: int) -> list[int]:
            wide = call.integer(WIDTH[name], default)
            return [call.integer(axis[name], wide) for axis in axes]

        self.taps, self.dilation, self.stride = (
            sizes("kernel", 0),
            sizes("dilation", 1),
            sizes("stride", 1),
        )
        self.before = sizes("before", 0)
        self.after = [call.integer(a["after"], p) for a, p in zip(axes, self.before, strict=True)]
        if min((*self.taps, *self.stride, *self.dilation)) < 1:
            raise call.error(
                f"window {self.taps}, stride {self.stride}, dilation {self.dilation}; all are at "
                "least 1"
            )

    def chosen(self, pad: int) -> bool:
        """Whether all pads are ``pad``."""
        return {*self.before, *self.after} == {pad}

    def pads(self, call: Call, size: Sequence[int]) -> list[int]:
        """Pads before each dimension of an image of ``size``, then those after each."""
        for pad in (UPPER, LOWER):
            if self.chosen(pad):
                return same_padding(size, self.taps, self.stride, self.dilation, pad == LOWER)
        if min((*self.before, *self.after)) < 0:
            raise call.error(f"pads {self.before} and {self.after}; they are not negative")
        return [*self.before, *self.after]


def _convolution(call: Call, dimensions: int, depthwise: bool = False) -> Value:
    window = Window(call, dimensions)
    groups = call.integer(7, 1) if depthwise else 1
    if dimensions == 2 and call.rank() == 1 and window.taps == [1, 1] and not call.flag(19):
        return _inner(call, call.integer(6), call.flag(5))
    call.rank(0, dimensions + 1)
    outputs, channels = call.integer(0), call.dims()[0]
    if groups < 1 or channels % groups or outputs < 1 or outputs % groups:
        raise call.error(
            f"{channels} input and {outputs} output channels in {groups} groups, which divide both"
        )
    shape = (outputs, channels // groups, *window.taps)
    if call.flag(19):
        w, bias = _computed(call, shape, call.flag(5))
        return fused(call, _placed(call, call.value(), w, bias, window, groups))
    check_size(call, call.integer(6), shape)
    data = call.load(*shape)
    bias_data = call.floats(outputs) if call.flag(5) else None
    scales = conv_scales(call, call.integer(8), outputs, groups, depthwise)
    if scales is None:
        w = call.b.constant(call.floating(data), "weights")
        return fused(call, _placed(call, call.value(), w, _bias(call, bias_data), window, groups))
    x = quantized_input(call, scales)
    fitting = integer_operands(call, x, data, bias_data, scales)
    if fitting is None or call.real(18):
        w = call.b.constant(real_weights(call, data, scales), "weights")
        bias = _bias(call, bias_data)
        y = fused(call, _placed(call, dequantized(call, x), w, bias, window, groups))
        return requantized(call, y, scales)
    y = _placed(call, x, fitting.weights, fitting.bias, window, groups, fitting.result)
    return activated(call, y)


def _placed(
    call: Call,
    x: Value,
    w: Value,
    bias: Value | None,
    window: Window,
    groups: int,
    quant: QParams | None = None,
) -> Value:
    """The convolution of ``x``, padded as the layer says."""
    pads, value, rank = window.pads(call, x.type.shape[2:]), call.real(18), len(window.taps)
    if value and any(pads):
        pairs = zip(pads[:rank], pads[rank:], strict=True)
        x = call.one(ops.Pad(((0, 0), (0, 0), *pairs), value), x)
        pads = [0] * len(pads)
    return conv(
        call.b,
        x,
        w,
        bias,
        stride=window.stride,
        dilation=window.dilation,
        pads=pads,
        groups=groups,
        quant=quant,
    )


def _bias(call: Call, data: Array | None) -> Value | None:
    return None if data is None else call.b.constant(data, "bias")


def _computed(call: Call, shape: Sequence[int], has_bias: bool) -> tuple[Value, Value | None]:
    """Weights and bias that are blobs, without their batch."""
    w = call.value(1)
    if w.type.shape[0] != 1 or math.prod(w.type.shape) != math.prod(shape):
        raise call.error(f"weights {list(w.type.shape)}; they must have the size of {list(shape)}")
    bias = None
    if has_bias:
        bias = call.b.reshape(call.shaped(call.value(2), (shape[0],)), (shape[0],))
    return call.b.reshape(w, shape), bias


def check_size(call: Call, found: int, shape: Sequence[int]) -> None:
    if found != math.prod(shape):
        raise call.error(
            f"{found} weights; {list(shape)} are {math.prod(shape)}, for the channels of its input"
        )


def _deconvolution(call: Call, dimensions: int, depthwise: bool = False) -> Value:
    window = Window(call, dimensions)
    groups = call.integer(7, 1) if depthwise else 1
    call.rank(0, dimensions + 1)
    outputs, (channels, *size) = call.integer(0), call.dims()
    if groups < 1 or channels % groups or outputs < 1 or outputs % groups:
        raise call.error(
            f"{channels} input and {outputs} output channels in {groups} groups, which divide both"
        )
    if call.flag(28):
        raise call.unsupported("weights that are computed")
    shape = (groups, outputs // groups, channels // groups, *window.taps)
    check_size(call, call.integer(6), shape)
    data = call.weights(*shape)
    w = call.b.constant(
        np.ascontiguousarray(data.swapaxes(1, 2)).reshape(
            channels, outputs // groups, *window.taps
        ),
        "weights",
    )
    bias = _bias(call, call.floats(outputs) if call.flag(5) else None)
    extra = _extra(call, dimensions)
    whole = [
        (n - 1) * s + (k - 1) * d + 1 + e
        for n, s, k, d, e in zip(
            size, window.stride, window.taps, window.dilation, extra, strict=True
        )
    ]
    before, target = _cut(call, window, whole, _wanted(call, dimensions))
    y = conv_transpose(
        call.b,
        call.value(),
        w,
        bias,
        stride=window.stride,
        dilation=window.dilation,
        pads=[*before, *[0] * dimensions],
        output_size=target,
        groups=groups,
    )
    return fused(call, y)


def _extra(call: Call, dimensions: int) -> list[int]:
    """What is added behind each dimension."""
    wide = call.integer(18)
    return [call.integer(key, wide) for key in (18, 19, 20)[:dimensions][::-1]]


def _wanted(call: Call, dimensions: int) -> list[int]:
    """The size of the output that the layer states; 0 for none."""
    keys = (25, 26, 27) if dimensions == 3 else (20, 21)[:dimensions]
    wide = call.integer(keys[0])
    return [call.integer(key, wide) for key in keys[::-1]]


def _cut(
    call: Call, window: Window, whole: Sequence[int], wanted: Sequence[int]
) -> tuple[list[int], list[int]]:
    """What is cut off before each dimension, and the size that is left."""
    for pad in (UPPER, LOWER):
        if window.chosen(pad) and min(wanted) > 0:
            cuts = [n - w for n, w in zip(whole, wanted, strict=True)]
            if min(cuts) < 0:
                raise call.error(f"output {list(wanted)}; it is made of {list(whole)} elements")
            before = [c // 2 if pad == UPPER else c - c // 2 for c in cuts]
            return before, list(wanted)
    before, after = (
        [0 if p in (UPPER, LOWER) else p for p in pads] for pads in (window.before, window.after)
    )
    left = [n - p - q for n, p, q in zip(whole, before, after, strict=True)]
    if min((*before, *after)) < 0 or min(left) < 1:
        raise call.error(f"pads {before} and {after} of {list(whole)} elements; some must be left")
    return before, left


def _inner_product(call: Call) -> Value:
    return _inner(call, call.integer(2), call.flag(1))


def _inner(call: Call, size: int, has_bias: bool) -> Value:
    """x[..., K] times rows of weights; an image is one row."""
    outputs, dims = call.integer(0), call.dims()
    if outputs < 1 or size < 1 or size % outputs:
        raise call.error(f"{size} weights of {outputs} outputs, which must divide them")
    depth = size // outputs
    rows = len(dims) == 2 and dims[1] == depth
    if not rows and math.prod(dims) != depth:
        raise call.error(f"input {list(dims)}, weights of depth {depth}; that must be its size")
    data = call.load(outputs, depth)
    bias_data = call.floats(outputs) if has_bias else None
    scales = inner_scales(call, call.integer(8), outputs)
    if scales is None:
        x, real = call.value(), call.floating(data)
    else:
        x = dequantized(call, quantized_input(call, scales))
        real = real_weights(call, data, scales)
    x = x if rows else call.shaped(x, (depth,))
    extra = [] if bias_data is None else [call.b.constant(bias_data, "bias")]
    op = ops.FullyConnected(keep_num_dims=True)
    return fused(call, call.one(op, x, call.b.constant(real, "weights"), *extra))


LAYERS: dict[str, Row] = {
    "Convolution": Row(lambda call: _convolution(call, 2), (1, 3)),
    "Convolution1D": Row(lambda call: _convolution(call, 1), (1, 3)),
    "Convolution3D": Row(lambda call: _convolution(call, 3)),
    "ConvolutionDepthWise": Row(lambda call: _convolution(call, 2, True), (1, 3)),
    "ConvolutionDepthWise1D": Row(lambda call: _convolution(call, 1, True), (1, 3)),
    "ConvolutionDepthWise3D": Row(lambda call: _convolution(call, 3, True)),
    "Deconvolution": Row(lambda call: _deconvolution(call, 2)),
    "Deconvolution1D": Row(lambda call: _deconvolution(call, 1)),
    "Deconvolution3D": Row(lambda call: _deconvolution(call, 3)),
    "DeconvolutionDepthWise": Row(lambda call: _deconvolution(call, 2, True)),
    "DeconvolutionDepthWise1D": Row(lambda call: _deconvolution(call, 1, True)),
    "DeconvolutionDepthWise3D": Row(lambda call: _deconvolution(call, 3, True)),
    "InnerProduct": Row(_inner_product),
}
