"""How integer sums become 8 bits: XNNPACK's rule, or TensorFlow Lite's fixed point."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

from ..graph import Graph, Node
from ..ops import Fused, Op, Rounding


def requantize(graph: Graph, rounding: Rounding) -> Graph:
    """The graph whose integer products and sums are all requantized by one rule.

    ``FLOAT`` is the default; ``FIXED_POINT`` and ``FIXED_POINT_SINGLE`` give what TensorFlow Lite's
    reference kernels and CMSIS-NN give. Results differ by a step here and there. It is in no
    pipeline, and goes before one.

    Given:
        %b = CONV_2D(%a, @w) : int8[1x8x8x16] {0.02 * (q - 0)}
    Result, for FIXED_POINT:
        %b = CONV_2D[rounding=FIXED_POINT](%a, @w) : int8[1x8x8x16] {0.02 * (q - 0)}
    """

    def with_rounding(node: Node) -> Node:
        is_integer = node.inputs and node.inputs[0].type.quant is not None
        if not is_integer or rounding_of(node.op) in (None, rounding):
            return node
        head: Any = node.op.head if isinstance(node.op, Fused) else node.op
        op = replace(head, rounding=rounding)
        return replace(node, op=replace(node.op, head=op) if isinstance(node.op, Fused) else op)

    return graph.with_nodes([with_rounding(node) for node in graph.nodes])


def rounding_of(op: Op) -> Rounding | None:
    """The rule by which an operator, or the heavy one of a fused one, requantizes."""
    if isinstance(op, Fused):
        return rounding_of(op.head)
    chosen = next((getattr(op, f.name) for f in fields(op) if f.name == "rounding"), None)
    return chosen if isinstance(chosen, Rounding) else None
