"""One spelling for what files spell in several ways."""

from __future__ import annotations

from dataclasses import replace

from ..graph import Graph, Node
from ..ops import (
    BroadcastTo,
    Concatenation,
    FullyConnected,
    Gather,
    Op,
    Pack,
    Reshape,
    Split,
    SplitV,
    Squeeze,
    StridedSlice,
    Transpose,
    Unpack,
)
from .rewrite import Sweep, fuse_origins, rewrite

RENAMING: tuple[type[Op], ...] = (
    BroadcastTo,
    Squeeze,
    Pack,
    Unpack,
    StridedSlice,
    Transpose,
)


def canonicalize(graph: Graph) -> Graph:
    """Spell every operator that only renames dimensions as RESHAPE, and read through it.

    These are SQUEEZE, PACK of one, UNPACK into one, STRIDED_SLICE of everything, BROADCAST_TO that
    repeats nothing, and TRANSPOSE that moves only axes of size 1. SPLIT_V into equal parts is a
    SPLIT.

    Given:
        %b = SQUEEZE[axes=(1, 2)](%a) : uint8[1x1000]
    Result:
        %b = RESHAPE[shape=(1, 1000)](%a) : uint8[1x1000]

    CONCATENATION leaves out what has no elements.

    Given:
        const @a : float32[0x40]
        %c = CONCATENATION[axis=0](@a, %b)
    Result:
        %c = CONCATENATION[axis=0](%b)

    GATHER of constant indices that are equally far apart is STRIDED_SLICE.

    Given:
        const @i : int32[]
        %b = GATHER[axis=1](%a, @i) : float32[1x40]
    Result:
        %b = STRIDED_SLICE[begin=(0, 7, 0), size=(1, 1, 40), shrink_axes=(1,)](%a) : float32[1x40]

    FULLY_CONNECTED without ``keep_num_dims`` flattens its input itself.

    Given:
        %b = RESHAPE[shape=(1, 1024)](%a) : int8[1x1024]
        %c = FULLY_CONNECTED(%b, @w) : int8[1x10]
    Result:
        %c = FULLY_CONNECTED(%a, @w) : int8[1x10]
    """
    graph = rewrite(graph, (Concatenation,), _joins_nothing)
    graph = rewrite(graph, (Gather,), _takes_a_slice)
    graph = rewrite(graph, (SplitV,), _splits_evenly)
    graph = rewrite(graph, RENAMING, _renames_dimensions)
    return rewrite(graph, (FullyConnected,), _reads_flat)


def _joins_nothing(node: Node, sweep: Sweep) -> Node | None:
    inputs = tuple(v for v in node.inputs if 0 not in v.type.shape)
    return replace(node, inputs=inputs) if 0 < len(inputs) < len(node.inputs) else None


def _takes_a_slice(node: Node, sweep: Sweep) -> Node | None:
    op, (x, indices) = node.op, node.inputs
    if not isinstance(op, Gather) or op.batch_dims or indices.data is None:
        return None
    taken = indices.data.ravel().tolist()
    step = taken[1] - taken[0] if len(taken) > 1 else 1
    if indices.data.ndim > 1 or not taken or not step:
        return None
    if taken != list(range(taken[0], taken[0] + step * len(taken), step)):
        return None
    begin, size, strides = [0] * len(x.type.shape), list(x.type.shape), [1] * len(x.type.shape)
    begin[op.axis], size[op.axis], strides[op.axis] = taken[0], len(taken), step
    shrunk = (op.axis,) if indices.data.ndim == 0 else ()
    slice_ = StridedSlice(tuple(begin), tuple(size), tuple(strides), shrunk)
    return replace(node, op=slice_, inputs=(x,))


def _splits_evenly(node: Node, sweep: Sweep) -> Node | None:
    assert isinstance(node.op, SplitV)
    if len(set(node.op.sizes)) != 1:
        return None
    return replace(node, op=Split(node.op.axis, len(node.op.sizes)))


def _renames_dimensions(node: Node, sweep: Sweep) -> Node | None:
    if len(node.inputs) != 1 or len(node.outputs) != 1:
        return None
    shape, op = node.inputs[0].type.shape, node.op
    if isinstance(op, StridedSlice):
        steps = zip(op.size, shape, op.strides, strict=True)
        if not all(n == d and (s == 1 or n == 1) for n, d, s in steps):
            return None
    if isinstance(op, BroadcastTo) and node.inputs[0].type.size != node.outputs[0].type.size:
        return None
    if isinstance(op, Transpose):
        moved = [axis for axis in op.perm if shape[axis] != 1]
        if moved != sorted(moved):
            return None
    return replace(node, op=Reshape(node.outputs[0].type.shape))


def _reads_flat(node: Node, sweep: Sweep) -> Node | None:
    before = sweep.producer(node.inputs[0])
    if not isinstance(node.op, FullyConnected) or node.op.keep_num_dims:
        return None
    if before is None or not isinstance(before.op, Reshape):
        return None
    (source,) = before.inputs
    if source.type.quant != node.inputs[0].type.quant:
        return None
    return replace(node, inputs=(source, *node.inputs[1:]), origin=fuse_origins(before, node))
