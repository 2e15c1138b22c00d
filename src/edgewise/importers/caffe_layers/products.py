"""Convolutions and matrix products."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ... import ops
from ...graph import Value
from ..caffe_call import LayerCall, Row
from ..channels_first import conv, conv_transpose


def sizes(call: LayerCall, name: str, default: int | None, count: int) -> list[int]:
    """A size along each spatial dimension: ``name_h`` and ``name_w``, or ``name`` repeated."""
    p, short = call.p, name.removesuffix("_size")
    if f"{short}_h" in p.DESCRIPTOR.fields_by_name and (
        p.HasField(f"{short}_h") or p.HasField(f"{short}_w")
    ):
        if count != 2 or len(getattr(p, name)):
            raise call.error(
                f"{short}_h and {short}_w, beside {len(getattr(p, name))} {name}, of {count} "
                "spatial dimensions; they stand alone, for 2 dimensions"
            )
        return [getattr(p, f"{short}_{side}") for side in "hw"]
    given = list(getattr(p, name))
    if not given and default is not None:
        given = [default]
    if len(given) not in (1, count):
        raise call.error(f"{len(given)} {name} for {count} spatial dimensions; 1, or one each")
    return given * count if len(given) == 1 else given


def window(call: LayerCall) -> tuple[list[int], list[int], list[int], list[int]]:
    """Kernel, stride, dilation and pad along each spatial dimension."""
    axis = call.axis(call.p.axis)
    if axis != 1 or call.rank < 3:
        raise call.unsupported(
            f"axis {axis} of a bottom of {call.rank} dimensions; supported is 1 of 3 to 5"
        )
    count = call.rank - 2
    kernel = sizes(call, "kernel_size", None, count)
    stride = sizes(call, "stride", 1, count)
    dilation = sizes(call, "dilation", 1, count)
    if min(*kernel, *stride, *dilation) < 1:
        raise call.error(f"kernel {kernel}, stride {stride}, dilation {dilation}; at least 1")
    return kernel, stride, dilation, sizes(call, "pad", 0, count)


def groups_of(call: LayerCall, channels: int, outputs: int) -> int:
    groups: int = call.p.group
    if groups < 1 or outputs < 1 or channels % groups or outputs % groups:
        raise call.error(
            f"{channels} input and {outputs} output channels in {groups} groups; they divide both, "
            "and num_output is at least 1"
        )
    return groups


def bias_of(call: LayerCall, count: int) -> Value | None:
    return call.weights(1, (count,), "bias") if call.p.bias_term else None


def convolve(call: LayerCall, groups: int) -> Value:
    kernel, stride, dilation, pad = window(call)
    channels, outputs = call.shape[1], call.p.num_output
    w = call.weights(0, (outputs, channels // groups, *kernel))
    return conv(
        call.b,
        call.x,
        w,
        bias_of(call, outputs),
        stride=stride,
        dilation=dilation,
        pads=[*pad, *pad],
        groups=groups,
    )


def convolution(call: LayerCall) -> Value:
    call.axis(1)
    return convolve(call, groups_of(call, call.shape[1], call.p.num_output))


def depthwise(call: LayerCall) -> Value:
    """A convolution of as many groups as channels, whatever ``group`` says."""
    channels = call.shape[call.axis(1)]
    if channels < 1 or call.p.num_output % channels:
        raise call.error(f"num_output {call.p.num_output}; {channels} channels divide it")
    return convolve(call, channels)


def deconvolution(call: LayerCall) -> Value:
    kernel, stride, dilation, pad = window(call)
    channels, outputs = call.shape[1], call.p.num_output
    groups = groups_of(call, channels, outputs)
    whole = zip(call.shape[2:], kernel, stride, dilation, pad, strict=True)
    size = [(n - 1) * s + (k - 1) * d + 1 - 2 * p for n, k, s, d, p in whole]
    if min(size) < 1:
        raise call.error(f"pad {pad} leaves an output of {size}")
    if max(dilation) > 1:
        wide = math.prod((k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True))
        call.generate(channels * (outputs // groups) * wide)
    return conv_transpose(
        call.b,
        call.x,
        call.weights(0, (channels, outputs // groups, *kernel)),
        bias_of(call, outputs),
        stride=stride,
        dilation=dilation,
        pads=[*pad, *pad],
        output_size=size,
        groups=groups,
    )


def inner_product(call: LayerCall) -> Value:
    """The dimensions from ``axis`` on, flattened, times the weights."""
    axis, outputs = call.axis(call.p.axis), call.p.num_output
    outer: Sequence[int] = call.shape[:axis]
    depth = math.prod(call.shape[axis:])
    if outputs < 1:
        raise call.error("num_output 0; at least 1")
    if call.p.transpose:
        w = call.b.transpose(call.weights(0, (depth, outputs)), (1, 0))
    else:
        w = call.weights(0, (outputs, depth))
    operands = [call.b.reshape(call.x, (math.prod(outer), depth)), w]
    bias = bias_of(call, outputs)
    y = call.one(ops.FullyConnected(), *operands, *([] if bias is None else [bias]))
    return call.b.reshape(y, (*outer, outputs))


LAYERS: dict[str, Row] = {
    "Convolution": Row(convolution, "convolution_param"),
    "ConvolutionDepthwise": Row(depthwise, "convolution_param"),
    "Deconvolution": Row(deconvolution, "convolution_param"),
    "DepthwiseConvolution": Row(depthwise, "convolution_param"),
    "InnerProduct": Row(inner_product, "inner_product_param"),
}
