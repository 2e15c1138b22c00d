"""DEQUANTIZE, an operator of floats, QUANTIZE: the operator of integers."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import NamedTuple

from ..errors import GraphError
from ..graph import Graph, Node, TensorType, Value
from ..ops import (
    BatchMatMul,
    BatchToSpaceNd,
    BroadcastTo,
    DepthToSpace,
    Dequantize,
    Gather,
    MaxPool2D,
    MirrorPad,
    Op,
    Pad,
    Quantize,
    ReduceMax,
    ReduceMin,
    Relu,
    Reshape,
    ResizeNearestNeighbor,
    Reverse,
    SpaceToBatchNd,
    SpaceToDepth,
    Split,
    SplitV,
    Squeeze,
    StridedSlice,
    Tile,
    Transpose,
    Unpack,
)
from .fuse_activation import ACTIVATIONS, CLAMPING
from .qdq_rules import FLOAT_RATHER, INTEGER, is_quantized
from .rewrite import Sweep, fresh_name, fuse_origins, rewrite

MOVES: tuple[type[Op], ...] = (
    BatchToSpaceNd,
    BroadcastTo,
    DepthToSpace,
    Gather,
    MaxPool2D,
    MirrorPad,
    Pad,
    ReduceMax,
    ReduceMin,
    Reshape,
    ResizeNearestNeighbor,
    Reverse,
    SpaceToBatchNd,
    SpaceToDepth,
    Split,
    SplitV,
    Squeeze,
    StridedSlice,
    Tile,
    Transpose,
    Unpack,
)
"""What gives elements of its first input, and zeros."""


def fuse_qdq(graph: Graph) -> Graph:
    """Compute with integers what a file computes with floats between DEQUANTIZE and QUANTIZE.

    Only in graphs whose ``metadata`` say ``quantization: qdq``: there such pairs state that the
    operator between them has quantized operands, as in ONNX files, and the result may differ from
    that of the floats by one step of the output. `qdq_rules` tells for each operator when. What
    only moves elements, or replaces them by 0, does so with integers, whether its result is
    quantized or not.

    Given:
        %b = DEQUANTIZE(%a), and %a : int8[1x8x8x16] {0.5 * (q - 3)}
        %w = DEQUANTIZE(@w), and @w : int8[8x3x3x16] {per-channel axis 0}
        %c = CONV_2D(%b, %w, @bias)
        %d = RELU(%c)
        %e = TRANSPOSE(%d)
        %f = QUANTIZE(%e) : int8[1x8x8x8] {0.1 * (q - -128)}
    Result:
        const @bias : int32[8]
        %d = CONV_2D[activation=RELU](%a, @w, @bias) : int8[1x8x8x8] {0.1 * (q - -128)}
        %f = TRANSPOSE(%d)
    """
    if graph.metadata.get("quantization") != "qdq":
        return graph
    computed = (v for node in graph.nodes for v in node.outputs)
    names = {v.name for v in (*graph.sources, *computed)}
    graph = rewrite(graph, (*MOVES, Relu), partial(_move, names=names))
    return rewrite(graph, (Quantize,), partial(_fuse, names=names))


def _move(node: Node, sweep: Sweep, names: set[str]) -> tuple[Value, ...] | None:
    """Move the integers that the first input dequantizes, then dequantize."""
    before = sweep.producer(node.inputs[0])
    if before is None or not isinstance(before.op, Dequantize):
        return None
    x, op = before.inputs[0], node.op
    if not is_quantized(x.type):
        return None
    if isinstance(op, Pad):
        if op.value:
            return None
        op = replace(op, value=None)
    parts = tuple(_value(v, x.type, names) for v in node.outputs)
    sweep.append(replace(node, op=op, inputs=(x, *node.inputs[1:]), outputs=parts))
    results = []
    for part, old in zip(parts, node.outputs, strict=True):
        result = Value(fresh_name(old.name, names), old.type)
        sweep.append(Node(before.op, (part,), (result,), before.origin))
        results.append(result)
    return tuple(results)


def _fuse(node: Node, sweep: Sweep, names: set[str]) -> Node | None:
    (x,), (y,) = node.inputs, node.outputs
    if not x.type.dtype.is_float or not is_quantized(y.type):
        return None
    way = _way(x, sweep, through_clamp=True) or _way(x, sweep, through_clamp=False)
    if way is None:
        return None
    core, clamp, moves = way
    x = core.outputs[0]
    found = _integer(core, clamp, y.type, sweep)
    if found is None:
        return None
    op, inputs = found
    done = [core] if clamp is None else [core, clamp]
    for move in moves:
        value = _value(x, y.type, names)
        sweep.append(Node(op, inputs, (value,), fuse_origins(*done)))
        op, inputs, x, done = move.op, (value,), move.outputs[0], [move]
        if isinstance(op, Pad):
            op = replace(op, value=None)
    return replace(node, op=op, inputs=inputs, origin=fuse_origins(*done, node))


class _Way(NamedTuple):
    """What computes floats: an operator, a clamp of its result, and moves, in order."""

    core: Node
    clamp: Node | None
    moves: tuple[Node, ...]


def _way(x: Value, sweep: Sweep, through_clamp: bool) -> _Way | None:
    """What computes ``x``, each read by the next alone; with a clamp if ``through_clamp``."""
    clamp: Node | None = None
    moves: list[Node] = []
    while (before := sweep.producer(x)) is not None and sweep.has_one_user(x):
        if _is_move(before):
            moves.append(before)
        elif through_clamp and clamp is None and isinstance(before.op, tuple(ACTIVATIONS)):
            clamp = before
        else:
            takes_clamp = isinstance(before.op, (*CLAMPING, BatchMatMul))
            is_whole = len(before.outputs) == 1 and (clamp is None or takes_clamp)
            return _Way(before, clamp, tuple(moves[::-1])) if is_whole else None
        x = before.inputs[0]
    if before is not None and isinstance(before.op, Dequantize) and clamp is None:
        return _Way(before, None, tuple(moves[::-1]))
    return None


def _is_move(node: Node) -> bool:
    """Whether QUANTIZE may stand before a node in place of after it."""
    if isinstance(node.op, Pad) and node.op.value:
        return False
    return isinstance(node.op, MOVES) and len(node.inputs) == len(node.outputs) == 1


def _integer(
    node: Node, clamp: Node | None, y: TensorType, sweep: Sweep
) -> tuple[Op, tuple[Value, ...]] | None:
    """The operator of integers for a ``node`` of floats, and its operands.

    The result has the dtype and quantization of ``y``.
    """
    rule = INTEGER.get(type(node.op))
    if rule is None or isinstance(node.op, FLOAT_RATHER[y.dtype.itemsize]):
        return None
    op: Op = node.op
    if clamp is not None:
        assert isinstance(op, (*CLAMPING, BatchMatMul))
        op = replace(op, activation=ACTIVATIONS[type(clamp.op)])
    out = TensorType(node.outputs[0].type.shape, y.dtype, y.quant)
    operands = [_source(v, sweep) for v in node.inputs]
    try:
        found = rule(op, operands, out)
        if found is None:
            return None
        (inferred,) = found[0].infer([v.type for v in found[1]])
    except GraphError:
        return None
    return found if (inferred.shape, inferred.dtype) == (out.shape, out.dtype) else None


def _source(value: Value, sweep: Sweep) -> Value:
    """The integers that ``value`` dequantizes, or ``value``."""
    before = sweep.producer(value)
    if before is None or not isinstance(before.op, Dequantize):
        return value
    return before.inputs[0]


def _value(like: Value, quantized: TensorType, names: set[str]) -> Value:
    name = fresh_name(f"{like.name}:{quantized.dtype}", names)
    return Value(name, TensorType(like.type.shape, quantized.dtype, quantized.quant))


__all__ = ["MOVES", "fuse_qdq"]
