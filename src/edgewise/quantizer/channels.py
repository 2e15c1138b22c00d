"""Values whose channels can be scaled without changing what the network computes.

A product's output channel times s, and every weight that reads that channel divided by s, leave the
network as it was, if what stands between gives s times the result for s times the operand: RELU,
pools, sums of values that are scaled alike.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..graph import Graph, Node, Value
from ..ops import (
    Activation,
    Add,
    AveragePool2D,
    Conv2D,
    DepthwiseConv2D,
    LeakyRelu,
    MaxPool2D,
    Mean,
    Op,
    Pad,
    PRelu,
    Relu,
    Relu6,
    ResizeBilinear,
    ResizeNearestNeighbor,
    Sub,
)
from .columns import is_matrix

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Link:
    """Values that are scaled alike, channel by channel.

    Attributes:
        values: of the float network, each [..., channels].
        sources: the products that compute some of them.
        sinks: the products that read some of them.
        ceilings: the nodes that clamp at 6, which scaled channels must not reach otherwise.
    """

    values: tuple[Value, ...]
    sources: tuple[Node, ...]
    sinks: tuple[Node, ...]
    ceilings: tuple[Node, ...]

    @property
    def channels(self) -> int:
        return int(self.values[0].type.shape[-1])


def links(graph: Graph) -> list[Link]:
    """Every link of a network, in order of its first value."""
    ends = {*graph.sources, *graph.results}
    users, producers = graph.users(), graph.producers()
    group: dict[Value, set[Value]] = {}
    for node in graph.nodes:
        for v in node.outputs:
            group.setdefault(v, {v})
        if not carries(node):
            continue
        for v in carried(node):
            both = group.setdefault(v, {v}) | group[node.outputs[0]]
            group.update(dict.fromkeys(both, both))
    order = {v: i for i, v in enumerate(group)}
    found = []
    for values in dict.fromkeys(map(frozenset[Value], group.values())):
        ordered = tuple(sorted(values, key=order.__getitem__))
        made = [producers.get(v) for v in ordered]
        read = [(n, v) for v in ordered for n in users.get(v, ())]
        nodes = list(dict.fromkeys(n for n in made if n is not None))
        sources = tuple(n for n in nodes if not carries(n))
        sinks = tuple(dict.fromkeys(n for n, _ in read if not carries(n)))
        whole = not any(v in ends for v in ordered) and None not in made
        whole = whole and len({v.type.shape[-1:] for v in ordered}) == 1
        whole = whole and all(v.type.size for v in ordered)
        whole = whole and all(is_source(n) for n in sources)
        whole = whole and all(is_sink(n, v) for n, v in read if not carries(n))
        if whole and sources and sinks:
            high = tuple(n for n in nodes if has_ceiling(n))
            found.append(Link(ordered, sources, sinks, high))
    return found


def has_ceiling(node: Node) -> bool:
    return isinstance(node.op, Relu6) or activation(node.op) is Activation.RELU6


def activation(op: Op) -> Activation:
    return getattr(op, "activation", Activation.NONE)


CEILING = 6.0
"""Where RELU6 clamps."""

HOMOGENEOUS = (Activation.NONE, Activation.RELU, Activation.RELU6)
"""Clamps that scaled channels keep, given a ceiling that they do not reach."""


def is_source(node: Node) -> bool:
    return is_matrix(node) and activation(node.op) in HOMOGENEOUS


def is_sink(node: Node, value: Value) -> bool:
    """Whether a product reads ``value`` as its first operand alone, each channel in its weights."""
    if not is_matrix(node) or node.inputs.count(value) != 1:
        return False
    channels, w = value.type.shape[-1], node.inputs[1].type.shape
    if isinstance(node.op, Conv2D):
        return w[3] == channels
    return isinstance(node.op, DepthwiseConv2D) or w[-1] % channels == 0


def carries(node: Node) -> bool:
    """Whether scaled channels of a node's operands give results that are scaled alike."""
    rule = CARRIERS.get(type(node.op))
    x, y = node.inputs[0].type.shape, node.outputs[0].type.shape
    return rule is not None and x[-1:] == y[-1:] and x != () and rule(node)


def carried(node: Node) -> tuple[Value, ...]:
    """The operands of such a node that have channels to scale."""
    return node.inputs if isinstance(node.op, Add | Sub) else node.inputs[:1]


def _always(node: Node) -> bool:
    return True


def _without_clamp(node: Node) -> bool:
    return activation(node.op) in HOMOGENEOUS


def _of_alike(node: Node) -> bool:
    shapes = {v.type.shape for v in node.inputs}
    return len(shapes) == 1 and not any(v.is_constant for v in node.inputs) and _without_clamp(node)


def _of_pixels(node: Node) -> bool:
    rank = len(node.inputs[0].type.shape)
    assert isinstance(node.op, Mean)
    return rank - 1 not in [axis % rank for axis in node.op.axes]


def _with_zeros(node: Node) -> bool:
    assert isinstance(node.op, Pad)
    return not node.op.value and node.op.paddings[-1] == (0, 0)


def _by_channel(node: Node) -> bool:
    return node.inputs[1].is_constant


CARRIERS: Mapping[type[Op], Callable[[Node], bool]] = {
    Add: _of_alike,
    AveragePool2D: _without_clamp,
    LeakyRelu: _always,
    MaxPool2D: _without_clamp,
    Mean: _of_pixels,
    Pad: _with_zeros,
    PRelu: _by_channel,
    Relu: _always,
    Relu6: _always,
    ResizeBilinear: _always,
    ResizeNearestNeighbor: _always,
    Sub: _of_alike,
}
"""The operators that carry scaled channels, and what of their attributes must hold."""


def by_input(op: Op, weights: Floats, channels: int) -> Floats:
    """The weights of a product as [rows, taps, channels] of its input.

    A depthwise convolution has a row for each multiple of the channels.
    """
    if isinstance(op, DepthwiseConv2D):
        taps = weights.reshape(-1, channels, weights.shape[3] // channels)
        return np.transpose(taps, (2, 0, 1))
    return weights.reshape(len(weights), -1, channels)


def by_output(op: Op, weights: Floats) -> Floats:
    """The weights of a product as [channels of its output, terms]."""
    if isinstance(op, DepthwiseConv2D):
        return np.transpose(weights.reshape(-1, weights.shape[3]))
    return weights.reshape(len(weights), -1)


def scaled_outputs(op: Op, weights: Floats, scale: Floats) -> Floats:
    """The weights of a product whose output channels are multiplied by ``scale``."""
    if isinstance(op, DepthwiseConv2D):
        return weights * scale
    return weights * scale.reshape(-1, *[1] * (weights.ndim - 1))


def scaled_inputs(op: Op, weights: Floats, scale: Floats) -> Floats:
    """The weights of a product whose input channels are multiplied by ``scale``."""
    if isinstance(op, DepthwiseConv2D):
        return weights / np.repeat(scale, weights.shape[3] // len(scale))
    by_channel = weights.reshape(*weights.shape[:-1], -1, len(scale)) / scale
    return by_channel.reshape(weights.shape)
