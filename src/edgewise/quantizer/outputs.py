"""Layers that join what the caller sees: each part keeps a scale of its own.

One scale for boxes in pixels and for scores below 1 leaves scores a few steps. Where only the
caller reads what is joined, as float32, the parts become floats before they are joined.
"""

from __future__ import annotations

from collections.abc import Iterator

from ..graph import Graph, Node, Value
from ..ops import Concatenation, Pack
from ..passes.fuse_qdq import MOVES

JOINS = (Concatenation, Pack)


def joins_of_outputs(graph: Graph) -> Iterator[Node]:
    """CONCATENATION and PACK whose results only the caller reads, and what moves these results."""
    users, kept = graph.users(), {state.after for state in graph.states}
    last: set[Node] = set()
    for node in reversed(graph.nodes):
        readers = [reader for v in node.outputs for reader in users.get(v, ())]
        is_read = kept.intersection(node.outputs) or not last.issuperset(readers)
        if isinstance(node.op, (*JOINS, *MOVES)) and not is_read:
            last.add(node)
    joined: set[Value] = set()
    for node in graph.nodes:
        if node in last and (isinstance(node.op, JOINS) or joined.intersection(node.inputs)):
            joined.update(node.outputs)
            yield node
