"""Dimensions that a file leaves to the caller, where the written network takes all sizes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from ..errors import EdgewiseError
from ..graph import Graph, Node, Value
from ..ops import Reshape
from .tflite_call import Written
from .tflite_ops import write_operator

Prepare = Callable[[Graph], Graph]


def with_open_shapes(graph: Graph, prepare: Prepare) -> Graph:
    """What ``prepare`` makes of a graph, with open dimensions where the proof below holds.

    The graph is read again with every open dimension twice as large, and prepared. Where both
    have the same operators, options and constants, no size is written down anywhere, and the
    dimensions are open in the file; a RESHAPE to shapes that differ in one dimension leaves
    that one to be computed. Else the file has the shapes of the graph.
    """
    prepared = prepare(graph)
    if not prepared.open:
        return prepared
    fixed = replace(prepared, open={})
    if not graph.can_be_resized:
        return fixed
    doubled = {
        v.name: tuple(
            2 * n if free == -1 else n
            for n, free in zip(v.type.shape, graph.open[v.name], strict=True)
        )
        for v in graph.inputs
        if v.name in graph.open
    }
    try:
        other = prepare(graph.resized(doubled))
    except EdgewiseError:
        return fixed
    if len(prepared.nodes) != len(other.nodes):
        return fixed
    nodes = list(map(_open, prepared.nodes, other.nodes))
    others = map(_open, other.nodes, prepared.nodes)
    try:
        same = all(map(_same, map(write_operator, nodes), map(write_operator, others)))
    except EdgewiseError:
        return fixed
    return prepared.with_nodes(nodes) if same else fixed


def _open(node: Node, other: Node) -> Node:
    """A RESHAPE whose shape differs from another's in one dimension, which is -1 instead."""
    if not isinstance(node.op, Reshape) or node.op == other.op:
        return node
    a, b = node.outputs[0].type.shape, other.outputs[0].type.shape
    differing = [i for i, (m, n) in enumerate(zip(a, b, strict=False)) if m != n]
    if len(a) != len(b) or len(differing) != 1:
        return node
    return replace(node, op=Reshape((*a[: differing[0]], -1, *a[differing[0] + 1 :])))


def _same(a: Written, b: Written) -> bool:
    return (
        (a.builtin, a.options, a.custom) == (b.builtin, b.options, b.custom)
        and _same_fields(a.fields, b.fields)
        and len(a.inputs) == len(b.inputs)
        and all(map(_same_operand, a.inputs, b.inputs))
    )


def _same_fields(a: Mapping[str, Any], b: Mapping[str, Any]) -> bool:
    """Graphs inside are different ones."""
    if any(isinstance(v, Graph) for v in a.values()):
        return False
    return a.keys() == b.keys() and all(np.array_equal(a[key], b[key]) for key in a)


def _same_operand(a: Value | None, b: Value | None) -> bool:
    if a is None or b is None or a.data is None or b.data is None:
        return (a is None) == (b is None) and (a and a.is_constant) == (b and b.is_constant)
    return a.type == b.type and np.array_equal(a.data, b.data)
