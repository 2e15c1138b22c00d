"""Graphs as importers of NCHW formats make them: spatial operators between TRANSPOSEs."""

from __future__ import annotations

import numpy as np
from small_graphs import Net

from edgewise.dtype import DType, QParams
from edgewise.graph import Graph, Node, Value
from edgewise.ops import Conv2D, Op, Transpose


def to_last(rank: int = 4) -> tuple[int, ...]:
    return (0, *range(2, rank), 1)


def to_first(rank: int = 4) -> tuple[int, ...]:
    return (0, rank - 1, *range(1, rank - 1))


class Nchw(Net):
    """A `Net` of float32 values, NCHW but within operators."""

    def image(self, *shape: int, name: str = "x") -> Value:
        return self.input(*shape, dtype=DType.FLOAT32, quant=None, name=name)

    def weights(self, *shape: int) -> Value:
        return self.constant(*shape, dtype=DType.FLOAT32, quant=None)

    def turn(self, x: Value, perm: tuple[int, ...], name: str = "") -> Value:
        return self(Transpose(perm), x, quant=x.type.quant, name=name)

    def last(self, op: Op, x: Value, *more: Value, quant: QParams | None = None) -> Value:
        """An operator of channels-last data, between two TRANSPOSEs."""
        rank = len(x.type.shape)
        inside = self(op, self.turn(x, to_last(rank)), *more, quant=quant or x.type.quant)
        return self.turn(inside, to_first(len(inside.type.shape)))

    def conv(self, x: Value, channels: int, taps: int = 1, stride: int = 1) -> Value:
        w = self.weights(channels, taps, taps, x.type.shape[1])
        pad = (taps // 2,) * 4
        return self.last(Conv2D((stride, stride), padding=pad), x, w, self.weights(channels))

    def each(self, op: Op, *inputs: Value) -> Value:
        return self(op, *inputs, quant=inputs[0].type.quant)


def turns(graph: Graph) -> list[Node]:
    """The TRANSPOSEs of a graph."""
    return [node for node in graph.nodes if isinstance(node.op, Transpose)]


def moved(graph: Graph) -> int:
    """Bytes that the TRANSPOSEs of a graph move; those of axes of 1 move none."""
    total = 0
    for node in turns(graph):
        shape = node.inputs[0].type.shape
        assert isinstance(node.op, Transpose)
        order = [axis for axis in node.op.perm if shape[axis] != 1]
        total += node.inputs[0].type.nbytes * bool(np.any(np.diff(order) < 0))
    return total
