"""PAD into the padding of a convolution."""

from __future__ import annotations

from dataclasses import replace

from ..graph import Graph, Node
from ..ops import Conv2D, DepthwiseConv2D, Pad
from .rewrite import Sweep, fuse_origins, rewrite


def fuse_pad(graph: Graph) -> Graph:
    """Let a convolution pad its input itself, where a PAD of H and W with zeros comes before.

    The PAD holds real zeros (the zero point) and keeps the quantization, and the padding of each
    side stays smaller than the window, so that no window lies in padding alone. Pooling is not
    fused: its own padding is left out of the maximum or the mean, while PAD's elements count.

    Given:
        %b = PAD[paddings=((0, 0), (0, 1), (0, 1), (0, 0))](%a)
        %c = CONV_2D[stride=(2, 2)](%b, @w, @bias)
    Result:
        %c = CONV_2D[stride=(2, 2), padding=(0, 1, 0, 1)](%a, @w, @bias)
    """
    return rewrite(graph, (Conv2D, DepthwiseConv2D), _fuse)


def _fuse(node: Node, sweep: Sweep) -> Node | None:
    pad = sweep.producer(node.inputs[0])
    if pad is None or not isinstance(pad.op, Pad):
        return None
    assert isinstance(node.op, (Conv2D, DepthwiseConv2D))
    (x,), (padded,) = pad.inputs, pad.outputs
    zero = 0 if x.type.quant is None else x.type.quant.zero_point[0]
    if x.type.quant != padded.type.quant or pad.op.fill(x.type) != zero:
        return None
    batch, rows, columns, channels = pad.op.paddings
    if any((*batch, *channels)):
        return None
    top, bottom, left, right = (
        a + b for a, b in zip((*rows, *columns), node.op.padding, strict=True)
    )
    height, width = (
        (taps - 1) * step + 1
        for taps, step in zip(node.inputs[1].type.shape[1:3], node.op.dilation, strict=True)
    )
    if max(top, bottom) >= height or max(left, right) >= width:
        return None
    return replace(
        node,
        op=replace(node.op, padding=(top, bottom, left, right)),
        inputs=(x, *node.inputs[1:]),
        origin=fuse_origins(pad, node),
    )
