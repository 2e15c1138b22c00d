"""Which networks count as quantized, and which as float."""

from __future__ import annotations

from edgewise.graph import Graph

KINDS = ("quantized", "float")


def is_quantized(graph: Graph) -> bool:
    """Whether all multiplications are of integers; a float network may have any weights."""
    return all(not n.input_types[0].dtype.is_float for n in graph.nodes if n.macs)


def kind_of(graph: Graph) -> str:
    return "quantized" if is_quantized(graph) else "float"
