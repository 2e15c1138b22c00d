"""Dimensions that a file leaves to the caller, where the written network takes all sizes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ..errors import EdgewiseError
from ..graph import Graph, Node, Value
from ..ops import Reshape
from ..passes import optimize
from .legalize import legalize, legalize_explicitly
from .tflite_call import Written
from .tflite_ops import write_operator

Simplify = Callable[[Graph], Graph]


def legal_with_open_shapes(graph: Graph, simplify: Simplify) -> Graph:
    """What ``simplify`` makes of a graph, legalized, with open dimensions where the proof holds.

    The graph is read again with every open dimension twice as large, and with one more where it
    takes that, and prepared. Where all have the same operators, options and constants, no size is
    written down anywhere, and the dimensions are open in the file; a RESHAPE to shapes that differ
    in one dimension leaves that one to be computed. Pads that are SAME of one size and not of
    another are written as PAD. Else the file has the shapes of the graph.
    """
    simple = simplify(graph)
    legal = optimize(simple, (legalize,))
    if not legal.open:
        return legal
    others = _larger(graph, simplify)
    for step in (legalize, legalize_explicitly):
        try:
            found = _of_any_size(*(optimize(g, (step,)) for g in (simple, *others)))
        except EdgewiseError:
            continue
        if found is not None:
            return found
    return replace(legal, open={})


def _larger(graph: Graph, simplify: Simplify) -> list[Graph]:
    """With open dimensions twice as large, then one more, as far as the graph takes them."""
    found: list[Graph] = []
    if not graph.can_be_resized:
        return found
    for more in (0, 1):
        shapes = {
            v.name: tuple(
                2 * n + more if free == -1 else n
                for n, free in zip(v.type.shape, graph.open[v.name], strict=True)
            )
            for v in graph.inputs
            if v.name in graph.open
        }
        try:
            found.append(simplify(graph.resized(shapes)))
        except EdgewiseError:
            break
    return found


def _of_any_size(graph: Graph, *others: Graph) -> Graph | None:
    """The graph with shapes left to be computed, where the others are the same then.

    Raises:
        UnsupportedError: one has an operator that a file cannot have.
    """
    results: Sequence[Node] | None = None
    for other in others:
        if len(graph.nodes) != len(other.nodes):
            return None
        nodes = list(map(_open, graph.nodes, other.nodes))
        same = map(_open, other.nodes, graph.nodes)
        if results is not None and [n.op for n in nodes] != [n.op for n in results]:
            return None
        if not all(map(_same, map(write_operator, nodes), map(write_operator, same))):
            return None
        results = nodes
    return None if results is None else graph.with_nodes(results)


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
