"""Elementwise operators that follow each other into one."""

from __future__ import annotations

from dataclasses import replace

from ..dtype import DType
from ..graph import Graph, Node, TensorType, Value
from ..ops import Atan2, Binary, Chain, Dequantize, Fused, Op, Quantize, Stage, Unary
from ..ops.checks import Kind, kind_of
from .rewrite import Sweep, fuse_origins, rewrite

CHAINED: tuple[type[Op], ...] = (Binary, Unary)
APART: tuple[type[Op], ...] = (Atan2, Dequantize, Fused, Quantize)
"""What is not chained: operators that no program of elementwise functions has."""

MAX_STAGES = 8
MAX_INPUTS = 6
KINDS = (Kind.FLOAT, Kind.INTEGER, Kind.BOOL)
WIDE = (DType.FLOAT16, DType.FLOAT64)


def fuse_elementwise(graph: Graph) -> Graph:
    """Run elementwise operators, each the only reader of the one before, in one pass over memory.

    Their results are not quantized and have one shape; other operands broadcast to it. A chain has
    at most MAX_STAGES operators and MAX_INPUTS inputs.

    Given:
        %c = MUL(%a, %b) : float32[1x8x8x16]
        %d = ADD(%r, %c) : float32[1x8x8x16]
        %e = TANH(%d) : float32[1x8x8x16]
    Result:
        %e = MUL + ADD@1 + TANH(%a, %b, %r) : float32[1x8x8x16]
    """
    return rewrite(graph, CHAINED, _fuse)


def _fuse(node: Node, sweep: Sweep) -> Node | None:
    if not _is_chained(node):
        return None
    candidates = [v for v in dict.fromkeys(node.inputs) if _can_precede(v, node, sweep)]
    if not candidates:
        return None
    previous = max(candidates, key=sweep.position)
    head = sweep.producers[previous]
    operand = node.inputs.index(previous)
    rest = node.inputs[:operand] + node.inputs[operand + 1 :]
    stage = Stage(node.op, previous.type, operand)
    if isinstance(head.op, Chain):
        op = Chain(head.op.head, (*head.op.tail, stage))
    else:
        op = Chain(head.op, (stage,))
    inputs = (*head.inputs, *rest)
    if len(op.tail) >= MAX_STAGES or len(dict.fromkeys(inputs)) > MAX_INPUTS:
        return None
    return replace(node, op=op, inputs=inputs, origin=fuse_origins(head, node))


def _is_chained(node: Node) -> bool:
    if isinstance(node.op, Chain):
        return True
    types = (*node.input_types, *node.output_types)
    known = isinstance(node.op, CHAINED) and not isinstance(node.op, APART)
    return known and all(map(_is_plain, types))


def _is_plain(t: TensorType) -> bool:
    return kind_of(t) in KINDS and t.dtype not in WIDE


def _can_precede(value: Value, node: Node, sweep: Sweep) -> bool:
    head = sweep.producer(value)
    return (
        head is not None
        and _is_chained(head)
        and value.type.shape == node.outputs[0].type.shape
        and node.inputs.count(value) == 1
        and sweep.has_one_user(value)
    )
