"""Scales and zero points of a network's activations."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Container, Iterable, Mapping, Sequence
from functools import reduce

from ..dtype import DType, QParams
from ..errors import GraphError
from ..exporters.requantize import FIXED, fixed_parameters
from ..graph import Array, Graph, Node, Value
from ..ops import (
    Add,
    AveragePool2D,
    Concatenation,
    Maximum,
    Minimum,
    Op,
    Pack,
    Pad,
    ResizeBilinear,
    Select,
    Sub,
)
from ..ops.compare import Comparison
from ..passes.fuse_qdq import MOVES
from .outputs import JOINS
from .precision import Range, Scheme, activation_parameters
from .state import State, layer_name
from .weights import WEIGHTS, weight_parameters, weights_of

SHARING: tuple[type[Op], ...] = (
    *MOVES,
    AveragePool2D,
    Comparison,
    Concatenation,
    Maximum,
    Minimum,
    Pack,
    ResizeBilinear,
    Select,
)
"""Operators whose operands and result have one scale and zero point."""

APART = 1.5
"""An operand of a join whose own range is this many times narrower than that of the whole keeps a
scale of its own where others read it.
"""

WIDEST = 1e8
"""The widest range of activations. What has a wider one holds infinities, or numbers that stand for
them, such as masks, beside which integers would tell no others apart."""


FINEST = 128.0
"""A layer's result has at most so many steps for one of what it sums up: more tell nothing, and
those of activations that are nearly always 0 would leave what kernels can scale by. XNNPACK takes
products with less than 256, LiteRT sums of int16 with less than 2**14."""


class Parameters:
    """Scales and zero points of a network's activations.

    Operands and results of `SHARING` have the same ones, but for operands of CONCATENATION and PACK
    that would lose by it (`APART`): these are quantized once more for the join.
    """

    def __init__(self, state: State) -> None:
        graph = state.graph
        values = [*graph.sources, *(v for n in graph.nodes for v in n.outputs)]
        padded = {n.outputs[0] for n in graph.nodes if isinstance(n.op, Pad)}
        self._root_of: dict[Value, Value] = {}
        self._members = {v: [v] for v in values}
        self._found = _known(values, state.ranges, padded)
        self._extremes = _known(values, state.extremes, padded)
        self._fixed: dict[tuple[Value, DType], QParams] = {}
        nodes = [n for n in graph.nodes if state.scheme(n).activations is not None]
        sharing = [n for n in nodes if shares_parameters(n)]
        joins = [n for n in sharing if isinstance(n.op, JOINS)]
        for node in sharing:
            if node not in joins:
                self._join(shared(node))
        for node in joins:
            first, *operands = shared(node)
            self._join([first, *(v for v in operands if not self._is_apart(v, node, graph))])
        for node in nodes:
            dtype = state.scheme(node).activations
            if type(node.op) in FIXED and dtype is not None:
                fixed, root = fixed_parameters(node.op, dtype), self._root(node.outputs[0])
                if root in self._found and holds(fixed, dtype, self._found[root]):
                    self._fixed.setdefault((root, dtype), fixed)
        self._least: dict[tuple[Value, Scheme], float] = {}
        for node in nodes * 2:  # again, since what shares a scale with what was read comes later
            scheme = state.scheme(node)
            with contextlib.suppress(GraphError):
                key = self._root(node.outputs[0]), scheme
                least = self._summed(node, state) / FINEST
                self._least[key] = max(self._least.get(key, 0.0), least)

    def of(self, value: Value, scheme: Scheme) -> QParams:
        """The parameters of a float value's integers.

        Raises:
            GraphError: its range is not known.
        """
        root = self._root(value)
        assert scheme.activations is not None
        if (fixed := self._fixed.get((root, scheme.activations))) is not None:
            return fixed
        if value.data is not None:
            found = range_of(value.data)
        elif scheme.centered and root in self._extremes:
            found = self._extremes[root]
        elif root in self._found:
            found = self._found[root]
        else:
            raise GraphError(f"the range of {value.name!r} is not known: it was not calibrated")
        if not found.width <= WIDEST:
            raise GraphError(f"{value.name!r} is {found.low:g} to {found.high:g}, too wide a range")
        return activation_parameters(scheme, found, self._least.get((root, scheme), 0.0))

    def _summed(self, node: Node, state: State) -> float:
        """The step of what a layer sums up before its result is rounded; 0 of others.

        Raises:
            GraphError: the range of an operand is not known, or its weights are no numbers.
        """
        scheme = state.scheme(node)
        if isinstance(node.op, Add | Sub):
            return max(self.of(v, scheme).scale[0] for v in node.inputs)
        if type(node.op) not in WEIGHTS:
            return 0.0
        x, y = node.inputs[0], node.inputs[WEIGHTS[type(node.op)].position]
        x_scale = self.of(x, scheme).scale[0]
        if weights_of(node) is None:
            return x_scale * self.of(y, scheme).scale[0]
        chosen = state.weights.get(layer_name(node))
        quant = weight_parameters(node, scheme, x_scale) if chosen is None else chosen.quant
        return x_scale * max(quant.scale)

    def _is_apart(self, operand: Value, join: Node, graph: Graph) -> bool:
        """Whether the parameters of a join are too coarse for others that read an operand of it."""
        root = self._root(operand)
        known = [self._found.get(self._root(v), Range(0.0, 0.0)) for v in shared(join)]
        whole, own = reduce(Range.union, known), self._found.get(root, Range(0.0, 0.0))
        if not 0.0 < APART * own.width < whole.width:
            return False
        members, users = self._members[root], graph.users()
        kept = {state.after for state in graph.states}
        readers = {n for v in members for n in users.get(v, ())} - {join}
        inside = {n for n in readers if shares_parameters(n) and n.outputs[0] in members}
        return bool(readers - inside or kept.union(graph.outputs).intersection(members))

    def _root(self, value: Value) -> Value:
        while value in self._root_of:
            value = self._root_of[value]
        return value

    def _join(self, values: Sequence[Value]) -> None:
        first, *others = dict.fromkeys(map(self._root, values))
        for other in others:
            self._root_of[other] = first
            self._members.setdefault(first, [first]).extend(self._members.pop(other, [other]))
            for ranges in (self._found, self._extremes):
                if other in ranges:
                    found = ranges.pop(other)
                    ranges[first] = ranges[first].union(found) if first in ranges else found


def _known(
    values: Iterable[Value], ranges: Mapping[str, Range], padded: Container[Value]
) -> dict[Value, Range]:
    """The ranges of values. That of what PAD fills with an infinity does not count: the least
    integer will do.
    """
    found = {v: ranges[v.name] for v in values if v.name in ranges}
    return {v: r for v, r in found.items() if v not in padded or all(map(math.isfinite, r))}


def shares_parameters(node: Node) -> bool:
    """Whether the integers of a layer's results have the parameters of its operands."""
    op = node.op
    if isinstance(op, AveragePool2D) and op.filter == node.inputs[0].type.shape[1:3]:
        return any(op.padding)
    return isinstance(op, SHARING) and bool(shared(node))


def shared(node: Node) -> list[Value]:
    """The computed floats of a layer, results first."""
    values = (*node.outputs, *node.inputs)
    return [v for v in values if v.type.dtype.is_float and not v.is_constant]


def range_of(data: Array) -> Range:
    """What a constant spans."""
    return Range(float(data.min(initial=0)), float(data.max(initial=0)))


def holds(quant: QParams, dtype: DType, found: Range) -> bool:
    """Whether integers of a type hold the numbers of a range, but for a step."""
    (scale,), (zero,) = quant.scale, quant.zero_point
    low, high = ((end - zero) * scale for end in dtype.range)
    return low - scale <= found.low and found.high <= high + scale
