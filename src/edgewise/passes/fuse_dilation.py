"""Convolutions of images in blocks into dilated ones."""

from __future__ import annotations

from dataclasses import replace

from ..graph import Graph, Node
from ..ops import BatchToSpaceNd, Conv2D, DepthwiseConv2D, SpaceToBatchNd
from ..ops.hybrid import is_hybrid
from .rewrite import Sweep, fuse_origins, rewrite


def fuse_dilation(graph: Graph) -> Graph:
    """Let a convolution reach over blocks that the operators around it take apart and join again.

    The convolution has stride 1. Its dilation becomes that times the block, its padding that times
    the block with what SPACE_TO_BATCH_ND pads and without what BATCH_TO_SPACE_ND crops, which must
    not be less than nothing. A hybrid convolution stays: it quantizes each block by itself.

    Given:
        %b = SPACE_TO_BATCH_ND[block=(2, 2), paddings=((2, 3), (2, 3))](%a)
        %c = CONV_2D(%b, @w, @bias)
        %d = BATCH_TO_SPACE_ND[block=(2, 2), crops=((0, 1), (0, 1))](%c)
    Result:
        %d = CONV_2D[padding=(2, 2, 2, 2), dilation=(2, 2)](%a, @w, @bias)
    """
    return rewrite(graph, (BatchToSpaceNd,), _fuse)


def _fuse(node: Node, sweep: Sweep) -> Node | None:
    join, conv = node.op, sweep.producer(node.inputs[0])
    if conv is None or not isinstance(conv.op, Conv2D | DepthwiseConv2D):
        return None
    split = sweep.producer(conv.inputs[0])
    if split is None or not isinstance(split.op, SpaceToBatchNd):
        return None
    assert isinstance(join, BatchToSpaceNd)
    (x,), (y,) = split.inputs, node.outputs
    if is_hybrid(x.type, conv.inputs[1].type):
        return None
    block = split.op.block
    kept = x.type.quant == conv.inputs[0].type.quant and node.inputs[0].type.quant == y.type.quant
    if not kept or block != join.block or len(block) != 2 or conv.op.stride != (1, 1):
        return None
    if not sweep.has_one_user(node.inputs[0]):
        return None
    sides = [side for pair in split.op.paddings for side in pair]
    crops = [side for pair in join.crops for side in pair]
    sizes = [b for b in block for _ in range(2)]
    padding = tuple(
        side + size * own - crop
        for side, size, own, crop in zip(sides, sizes, conv.op.padding, crops, strict=True)
    )
    if min(padding) < 0:
        return None
    op = replace(
        conv.op,
        padding=(padding[0], padding[1], padding[2], padding[3]),
        dilation=(conv.op.dilation[0] * block[0], conv.op.dilation[1] * block[1]),
    )
    inputs = (x, *conv.inputs[1:])
    return replace(node, op=op, inputs=inputs, origin=fuse_origins(split, conv, node))
