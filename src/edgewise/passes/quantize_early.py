"""Moves of floats that are quantized afterwards: of 8-bit elements instead."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np

from ..dtype import DType
from ..graph import Graph, Node, TensorType, Value
from ..ops import (
    BatchToSpaceNd,
    DepthToSpace,
    Dequantize,
    MirrorPad,
    Op,
    Quantize,
    Reshape,
    ResizeNearestNeighbor,
    Reverse,
    SpaceToDepth,
    Tile,
    Transpose,
)
from .rewrite import Sweep, fresh_name, rewrite

MOVES: tuple[type[Op], ...] = (
    BatchToSpaceNd,
    DepthToSpace,
    MirrorPad,
    Reshape,
    ResizeNearestNeighbor,
    Reverse,
    SpaceToDepth,
    Tile,
    Transpose,
)
"""What only moves or repeats the elements of its one input."""


def quantize_early(graph: Graph) -> Graph:
    """Quantize floats to 8 bits before what only moves them, not after; a quarter is moved then.

    The moved floats have no other reader, and are no more elements before the move than after it.
    Floats that were dequantized from what they are quantized to are not computed at all.

    Given:
        %b = DEQUANTIZE(%a), and %a : int8[1x8x8x16] {0.5 * (q - 3)}
        %c = MIRROR_PAD(%b)
        %d = QUANTIZE(%c) : int8[1x10x10x16] {0.5 * (q - 3)}
        %f = QUANTIZE(%e) : int8[1x8x8x16] {0.5 * (q - 3)}, and %e = TRANSPOSE(%x), floats
    Result:
        %d = MIRROR_PAD(%a)
        %y = QUANTIZE(%x) : int8[1x8x16x8] {0.5 * (q - 3)}
        %f = TRANSPOSE(%y)
    """
    computed = (v for node in graph.nodes for v in node.outputs)
    names = {v.name for v in (*graph.sources, *computed)}
    return rewrite(graph, (Quantize,), partial(_hoist, names=names))


def _hoist(node: Node, sweep: Sweep, names: set[str]) -> Node | tuple[Value, ...] | None:
    (x,), (y,) = node.inputs, node.outputs
    if x.type.dtype is not DType.FLOAT32 or y.type.dtype.itemsize != 1:
        return None
    moves: list[Node] = []
    while (before := sweep.producer(x)) is not None and isinstance(before.op, MOVES):
        single = len(before.inputs) == 1 and sweep.has_one_user(x)
        if not single or before.inputs[0].type.size > x.type.size:
            break
        moves.append(before)
        x = before.inputs[0]
    source = _undone(sweep.producer(x), y.type)
    if source is None:
        if not moves:
            return None
        source = _quantized(x, y.type, names)
        sweep.append(replace(node, inputs=(x,), outputs=(source,)))
    if not moves:
        return (source,)
    for move in moves[:0:-1]:
        moved = _quantized(move.outputs[0], y.type, names)
        sweep.append(replace(move, inputs=(source,), outputs=(moved,)))
        source = moved
    return replace(moves[0], inputs=(source,), outputs=(y,))


def _quantized(x: Value, like: TensorType, names: set[str]) -> Value:
    """A new value of the shape of ``x``, quantized as ``like``."""
    name = fresh_name(f"{x.name}:{like.dtype}", names)
    return Value(name, TensorType(x.type.shape, like.dtype, like.quant))


def _undone(before: Node | None, t: TensorType) -> Value | None:
    """What ``before`` dequantizes, where QUANTIZE to ``t`` gives every value of it back."""
    if before is None or not isinstance(before.op, Dequantize):
        return None
    (q,) = before.inputs
    if (q.type.dtype, q.type.quant) != (t.dtype, t.quant) or q.type.quant is None:
        return None
    if q.type.quant.axis is not None:
        return None
    low, high = t.dtype.range
    every = np.arange(low, high + 1).astype(t.dtype.numpy)
    bytes_, floats = (
        TensorType(every.shape, d, p) for d, p in ((t.dtype, t.quant), (before.op.dtype, None))
    )
    (real,) = before.op.reference([every], [bytes_], [floats])
    (back,) = Quantize(t.dtype).reference([real], [floats], [bytes_])
    return q if np.array_equal(back, every) else None
