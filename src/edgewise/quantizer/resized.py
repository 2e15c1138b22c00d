"""A quantized network for inputs of other shapes than it was calibrated with."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ..errors import InputError
from ..graph import Graph, Node, Shapes
from .convert import convert
from .state import State, float_network, layer_name
from .weights import weights_of


def resizable(quantized: Graph, graph: Graph, plain: Graph, state: State) -> Graph:
    """A quantized network that takes the shapes which the float one takes.

    For other shapes the float network is read again, and quantized by the choices that were made.

    Args:
        quantized: what `convert` made of ``state``.
        graph: the float network as it was loaded.
        plain: what `float_network` made of it, before the steps of a recipe.
    """
    if not graph.can_be_resized:
        return quantized

    def again(shapes: Shapes) -> Graph:
        other = _alike(float_network(graph.resized(shapes)), plain, state.graph)
        return convert(replace(state, graph=other)).graph.resized_by(again)

    return quantized.resized_by(again)


def _alike(other: Graph, plain: Graph, chosen: Graph) -> Graph:
    """``other``, of other shapes, with what steps changed between ``plain`` and ``chosen``.

    Raises:
        InputError: it is another network for those shapes.
    """
    names = [[layer_name(n) for n in g.nodes] for g in (other, plain, chosen)]
    if names.count(names[0]) < len(names):
        raise InputError(f"graph {plain.name!r}: it has other layers for such shapes")
    return other.with_nodes(list(map(_changed, other.nodes, plain.nodes, chosen.nodes)))


def _changed(other: Node, plain: Node, chosen: Node) -> Node:
    """A layer of other shapes with the weights and the activation that were chosen."""
    op: Any = other.op
    if chosen.op != plain.op:
        new: Any = chosen.op
        op = replace(op, activation=new.activation) if type(op) is type(new) else new
    inputs = other.inputs
    if weights_of(plain) is not None:
        types = [[v.type for v in n.inputs if v.is_constant] for n in (other, plain)]
        if type(other.op) is not type(plain.op) or types[0] != types[1]:
            raise InputError(f"layer {layer_name(plain)!r}: it is another for such shapes")
        pairs = zip(inputs, chosen.inputs, strict=True)
        inputs = tuple(ours if ours.is_constant else v for v, ours in pairs)
    return replace(other, op=op, inputs=inputs)
