"""Slices of parted channels become slices by steps."""

from __future__ import annotations

from dataclasses import replace

from ..graph import Graph, Node
from ..ops import Reshape, StridedSlice
from .rewrite import Sweep, fuse_origins, rewrite


def fuse_slice(graph: Graph) -> Graph:
    """Take every so many channels where they are, not of a tensor in which they are parted.

    So nothing is copied where a CONCATENATION joins what is taken.

    Given:
        %b = RESHAPE[shape=(8, 8, 24, 2)](%a) : float32[1x8x8x48]
        %c = STRIDED_SLICE[begin=(0, 0, 0, 1), size=(8, 8, 24, 1), shrink_axes=(3,)](%b)
        %d = RESHAPE[shape=(1, 8, 8, 24)](%c)
    Result:
        %d = STRIDED_SLICE[begin=(0, 0, 0, 1), size=(1, 8, 8, 24), strides=(1, 1, 1, 2)](%a)
    """
    return rewrite(graph, (Reshape,), _fuse)


def _fuse(node: Node, sweep: Sweep) -> Node | None:
    cut = sweep.producer(node.inputs[0])
    if cut is None or not isinstance(cut.op, StridedSlice):
        return None
    parting = sweep.producer(cut.inputs[0])
    if parting is None or not isinstance(parting.op, Reshape):
        return None
    x, y, parted = parting.inputs[0], node.outputs[0], cut.input_types[0].shape
    op, step = cut.op, parted[-1] if parted else 0
    if not step or not x.type.shape or x.type.shape[-1] % step or x.type.quant != y.type.quant:
        return None
    if (*x.type.shape[:-1], x.type.shape[-1] // step) != y.type.shape:
        return None
    if op.size != (*parted[:-1], 1) or any(stride != 1 for stride in op.strides[:-1]):
        return None
    strides = (*[1] * (len(y.type.shape) - 1), step)
    begin = (*[0] * (len(y.type.shape) - 1), op.begin[-1])
    taken = StridedSlice(begin, y.type.shape, strides)
    origin = fuse_origins(parting, cut, node)
    return replace(node, op=taken, inputs=(x,), origin=origin)
