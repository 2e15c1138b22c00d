"""One spelling for what files spell in several ways."""

from __future__ import annotations

from dataclasses import replace

from ..graph import Graph, Node
from ..ops import (
    Concatenation,
    FullyConnected,
    Op,
    Pack,
    Reshape,
    Squeeze,
    StridedSlice,
    Transpose,
    Unpack,
)
from .rewrite import Sweep, fuse_origins, rewrite

RENAMING: tuple[type[Op], ...] = (Squeeze, Pack, Unpack, StridedSlice, Transpose)


def canonicalize(graph: Graph) -> Graph:
    """Spell every operator that only renames dimensions as RESHAPE, and read through it.

    These are SQUEEZE, PACK of one, UNPACK into one, STRIDED_SLICE of everything, and TRANSPOSE
    that moves only axes of size 1.

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

    FULLY_CONNECTED without ``keep_num_dims`` flattens its input itself.

    Given:
        %b = RESHAPE[shape=(1, 1024)](%a) : int8[1x1024]
        %c = FULLY_CONNECTED(%b, @w) : int8[1x10]
    Result:
        %c = FULLY_CONNECTED(%a, @w) : int8[1x10]
    """
    graph = rewrite(graph, (Concatenation,), _joins_nothing)
    graph = rewrite(graph, RENAMING, _renames_dimensions)
    return rewrite(graph, (FullyConnected,), _reads_flat)


def _joins_nothing(node: Node, sweep: Sweep) -> Node | None:
    inputs = tuple(v for v in node.inputs if 0 not in v.type.shape)
    return replace(node, inputs=inputs) if 0 < len(inputs) < len(node.inputs) else None


def _renames_dimensions(node: Node, sweep: Sweep) -> Node | None:
    if len(node.inputs) != 1 or len(node.outputs) != 1:
        return None
    shape, op = node.inputs[0].type.shape, node.op
    if isinstance(op, StridedSlice):
        steps = zip(op.size, shape, op.strides, strict=True)
        if not all(n == d and (s == 1 or n == 1) for n, d, s in steps):
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
