"""The one mechanism that passes rewrite a graph with: a sweep over its nodes in order."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cached_property
from typing import TypeAlias

from ..graph import Graph, Node, Value
from ..ops import Op

Replacement: TypeAlias = "Node | tuple[Value, ...] | None"


class Sweep:
    """What a rule may ask about the graph while it is rewritten.

    ``producers`` and ``nodes`` hold the rewritten nodes so far; ``users`` counts as they stood
    before the sweep.
    """

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.nodes: list[Node] = []
        self.producers: dict[Value, Node] = {}
        self._positions: dict[Node, int] = {}

    def append(self, node: Node) -> None:
        """Add a node that is rewritten."""
        self._positions[node] = len(self.nodes)
        self.nodes.append(node)
        self.producers.update(dict.fromkeys(node.outputs, node))

    @cached_property
    def _results(self) -> frozenset[Value]:
        return frozenset(self.graph.results)

    @cached_property
    def users(self) -> dict[Value, list[Node]]:
        return self.graph.users()

    def producer(self, value: Value) -> Node | None:
        """The node that computes ``value``; None for graph inputs and constants."""
        return self.producers.get(value)

    def has_one_user(self, value: Value) -> bool:
        """One node reads ``value``, and it is no output of the graph."""
        return len(self.users.get(value, ())) == 1 and value not in self._results

    def position(self, value: Value) -> int:
        """Index of the node that computes ``value`` among the nodes so far; -1 for none."""
        node = self.producers.get(value)
        return -1 if node is None else self._positions[node]


Rule = Callable[[Node, Sweep], Replacement]


def rewrite(graph: Graph, ops: tuple[type[Op], ...], rule: Rule) -> Graph:
    """Offer every node whose operator is one of ``ops`` to ``rule``, in order.

    The rule sees the node with its inputs already rewritten, and gives
      - None: the node stays;
      - a Node with the same outputs: it takes the node's place;
      - a tuple of Values, one an output: they are read in place of the node's outputs.
    Nodes that nobody reads afterwards are dropped. The graph's inputs and results stay the same
    values: where a forwarded output is an output of the graph, the value read in its place is
    computed under its name instead, and where that cannot be the node stays.
    """
    if not any(isinstance(node.op, ops) for node in graph.nodes):
        return graph
    sweep = Sweep(graph)
    forwarded: dict[Value, Value] = {}
    renamed: dict[Value, Value] = {}
    changed = False
    for node in graph.nodes:
        if forwarded and any(value in forwarded for value in node.inputs):
            node = replace(node, inputs=tuple(forwarded.get(v, v) for v in node.inputs))
        replacement = rule(node, sweep) if isinstance(node.op, ops) else None
        if isinstance(replacement, Node):
            node, changed = replacement, True
        elif replacement is not None:
            names = _names(graph, node.outputs, replacement, sweep, renamed)
            if names is not None:
                forwarded.update(zip(node.outputs, replacement, strict=True))
                renamed.update(names)
                changed = True
                continue
        sweep.append(node)
    if not changed:
        return graph
    nodes = [_rename(node, renamed) for node in sweep.nodes] if renamed else sweep.nodes
    return drop_dead(graph.with_nodes(nodes))


def drop_dead(graph: Graph) -> Graph:
    """The graph without the nodes that its outputs do not depend on."""
    needed = set(graph.results)
    nodes: list[Node] = []
    for node in reversed(graph.nodes):
        if not needed.isdisjoint(node.outputs):
            nodes.append(node)
            needed.update(node.inputs)
    if len(nodes) == len(graph.nodes):
        return graph
    return graph.with_nodes(nodes[::-1])


def fuse_origins(*nodes: Node) -> str:
    """The origin of a node that does the work of all these."""
    return "+".join(dict.fromkeys(node.origin for node in nodes if node.origin))


def fresh_name(name: str, taken: set[str]) -> str:
    """``name``, or ``name`` with the first number that makes it new; it is added to ``taken``."""
    candidate, count = name, 1
    while candidate in taken:
        count += 1
        candidate = f"{name}.{count}"
    taken.add(candidate)
    return candidate


def _names(
    graph: Graph,
    outputs: tuple[Value, ...],
    replacement: tuple[Value, ...],
    sweep: Sweep,
    renamed: dict[Value, Value],
) -> dict[Value, Value] | None:
    """Which values to compute under an output's name; None where that cannot be."""
    names: dict[Value, Value] = {}
    for old, new in zip(outputs, replacement, strict=True):
        if old not in graph.results:
            continue
        taken = new in graph.results or new in renamed or new in names
        if taken or new not in sweep.producers or old.type != new.type:
            return None
        names[new] = old
    return names


def _rename(node: Node, names: dict[Value, Value]) -> Node:
    if not any(value in names for value in (*node.inputs, *node.outputs)):
        return node
    return replace(
        node,
        inputs=tuple(names.get(v, v) for v in node.inputs),
        outputs=tuple(names.get(v, v) for v in node.outputs),
    )
