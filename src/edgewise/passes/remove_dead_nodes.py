"""Nodes that the outputs do not depend on."""

from __future__ import annotations

from ..graph import Graph
from .rewrite import drop_dead


def remove_dead_nodes(graph: Graph) -> Graph:
    """Drop every node that no output of the graph depends on; unused inputs stay.

    Given:
        %a = RELU(%x)
        %b = TANH(%x)
        return %a
    Result:
        %a = RELU(%x)
        return %a
    """
    return drop_dead(graph)
