"""Operators of other formats as several of TensorFlow Lite's: functions, recurrent layers.

Given:
    %y = SOFTPLUS(%x)
Result:
    %a = ABS(%x)
    %b = NEG(%a)
    %c = EXP(%b)
    %d = ADD(%c, @one)
    %e = LOG(%d)
    %f = RELU(%x)
    %y = ADD(%e, %f)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from .. import ops
from ..dtype import DType
from ..graph import Array, Graph, Node, Value
from ..ops import Op
from ..ops import functions as f
from ..passes.rewrite import fresh_name
from ..passes.unroll_recurrent import MAX_STEPS, unroll_chosen

ERF = (0.254829592, -0.284496736, 1.421413741, -1.453152027, 1.061405429)
ERF_P = 0.3275911
"""Abramowitz and Stegun's 7.1.26: erf to 1.5e-7."""


class _Node:
    """The nodes that take one's place, in order."""

    def __init__(self, node: Node, names: set[str]) -> None:
        self.node, self.names = node, names
        self.nodes: list[Node] = []

    def __call__(self, op: Op, *operands: Value | float) -> Value:
        """The result of a new node; numbers are constants."""
        return self.all(op, *operands)[0]

    def all(self, op: Op, *operands: Value | float) -> tuple[Value, ...]:
        values = [v if isinstance(v, Value) else self.constant(v) for v in operands]
        types = op.infer([v.type for v in values])
        stem = f"{self.node.outputs[0].name}/{op.name.lower()}"
        outputs = tuple(Value(fresh_name(stem, self.names), t) for t in types)
        self.nodes.append(Node(op, tuple(values), outputs, self.node.origin))
        return outputs

    def constant(self, data: Array | float) -> Value:
        name = fresh_name(f"{self.node.outputs[0].name}/constant", self.names)
        return Value.constant(name, np.array(data, np.float32))

    def end(self, *results: Value) -> list[Node]:
        """The nodes, of which the last give the results the names of the node's outputs."""
        if len(results) == 1 and self.nodes[-1].outputs == results:
            self.nodes[-1] = replace(self.nodes[-1], outputs=self.node.outputs)
            return self.nodes
        for value, target in zip(results, self.node.outputs, strict=True):
            reshape = ops.Reshape(target.type.shape)
            self.nodes.append(Node(reshape, (value,), (target,), self.node.origin))
        return self.nodes


def _softplus(e: _Node, x: Value) -> Value:
    small = e(ops.Log(), e(ops.Add(), e(ops.Exp(), e(ops.Neg(), e(ops.Abs(), x))), 1.0))
    return e(ops.Add(), small, e(ops.Relu(), x))


def _mish(e: _Node, x: Value) -> Value:
    return e(ops.Mul(), x, e(ops.Tanh(), _softplus(e, x)))


def _erf(e: _Node, x: Value) -> Value:
    size = e(ops.Abs(), x)
    t = e(ops.Div(), 1.0, e(ops.Add(), e(ops.Mul(), size, ERF_P), 1.0))
    total = e(ops.Mul(), t, ERF[-1])
    for factor in ERF[-2::-1]:
        total = e(ops.Mul(), e(ops.Add(), total, factor), t)
    rest = e(ops.Mul(), total, e(ops.Exp(), e(ops.Neg(), e(ops.Square(), x))))
    return e(ops.Mul(), e(ops.Sign(), x), e(ops.Sub(), 1.0, rest))


def _of_exponentials(op: Op) -> Callable[[_Node, Value], Value]:
    """(e**x op e**-x) / 2"""

    def expand(e: _Node, x: Value) -> Value:
        both = e(op, e(ops.Exp(), x), e(ops.Exp(), e(ops.Neg(), x)))
        return e(ops.Mul(), both, 0.5)

    return expand


def _tan(e: _Node, x: Value) -> Value:
    return e(ops.Div(), e(ops.Sin(), x), e(ops.Cos(), x))


def _leg(e: _Node, x: Value) -> Value:
    """sqrt(1 - x * x), without cancellation."""
    return e(ops.Sqrt(), e(ops.Mul(), e(ops.Sub(), 1.0, x), e(ops.Add(), x, 1.0)))


def _acos(e: _Node, x: Value) -> Value:
    return e(ops.Atan2(), _leg(e, x), x)


def _asin(e: _Node, x: Value) -> Value:
    return e(ops.Atan2(), x, _leg(e, x))


def _atan(e: _Node, x: Value) -> Value:
    return e(ops.Atan2(), x, e.constant(np.ones(x.type.shape)))


def _acosh(e: _Node, x: Value) -> Value:
    root = e(ops.Sqrt(), e(ops.Mul(), e(ops.Sub(), x, 1.0), e(ops.Add(), x, 1.0)))
    return e(ops.Log(), e(ops.Add(), x, root))


def _asinh(e: _Node, x: Value) -> Value:
    size = e(ops.Abs(), x)
    root = e(ops.Sqrt(), e(ops.Add(), e(ops.Square(), x), 1.0))
    return e(ops.Mul(), e(ops.Sign(), x), e(ops.Log(), e(ops.Add(), size, root)))


def _atanh(e: _Node, x: Value) -> Value:
    ratio = e(ops.Div(), e(ops.Add(), x, 1.0), e(ops.Sub(), 1.0, x))
    return e(ops.Mul(), e(ops.Log(), ratio), 0.5)


FUNCTIONS: Mapping[type[Op], Callable[[_Node, Value], Value]] = {
    f.Acos: _acos,
    f.Acosh: _acosh,
    f.Asin: _asin,
    f.Asinh: _asinh,
    f.Atan: _atan,
    f.Atanh: _atanh,
    f.Cosh: _of_exponentials(ops.Add()),
    f.Erf: _erf,
    f.Mish: _mish,
    f.Sinh: _of_exponentials(ops.Sub()),
    f.Softplus: _softplus,
    f.Tan: _tan,
}
"""Functions of one float, as those that TensorFlow Lite has."""


def _function(node: Node, names: set[str]) -> list[Node] | None:
    if node.inputs[0].type.dtype is not DType.FLOAT32:
        return None
    e = _Node(node, names)
    return e.end(FUNCTIONS[type(node.op)](e, node.inputs[0]))


def _gru(node: Node, names: set[str]) -> list[Node] | None:
    """A GRU's steps; the products of all inputs are one matrix product before the first."""
    x, w, r, wb, rb, state = node.inputs
    data = [v.data for v in (w, r, wb, rb)]
    steps, units = x.type.shape[0], state.type.shape[1]
    if any(a is None for a in data) or not 0 < steps <= MAX_STEPS:
        return None
    assert isinstance(node.op, ops.Gru)
    e = _Node(node, names)
    weights, own, bias, own_bias = (np.asarray(a) for a in data)
    gates = [e.constant(a[:2].reshape(2 * units, *a.shape[2:])) for a in (own, own_bias)]
    new = [e.constant(a[2]) for a in (own, own_bias)]
    both = [e.constant(a.reshape(3 * units, *a.shape[2:])) for a in (own, own_bias)]
    whole = [e.constant(a.reshape(3 * units, *a.shape[2:])) for a in (weights, bias)]
    product = ops.FullyConnected(keep_num_dims=True)
    given = e.all(ops.Unpack(0), e(product, x, *whole))
    parts = ops.SplitV(1, (2 * units, units))
    outputs = []
    for step in given:
        of_gates, of_new = e.all(parts, step)
        if node.op.linear_before_reset:
            own_gates, own_new = e.all(parts, e(product, state, *both))
        else:
            own_gates = e(product, state, *gates)
        sums = e(ops.Logistic(), e(ops.Add(), of_gates, own_gates))
        update, reset = e.all(ops.Split(1, 2), sums)
        if node.op.linear_before_reset:
            own_new = e(ops.Mul(), reset, own_new)
        else:
            own_new = e(product, e(ops.Mul(), reset, state), *new)
        fresh = e(ops.Tanh(), e(ops.Add(), of_new, own_new))
        change = e(ops.Mul(), update, e(ops.Sub(), state, fresh))
        state = e(ops.Add(), fresh, change)
        outputs.append(state)
    return e.end(e(ops.Pack(0), *outputs), state)


EXPANSIONS: Mapping[type[Op], Callable[[Node, set[str]], list[Node] | None]] = {
    **dict.fromkeys(FUNCTIONS, _function),
    ops.Gru: _gru,
}


def expand(graph: Graph, own: Callable[[Node], bool]) -> Graph:
    """The graph without operators that TensorFlow Lite lacks, where several of its do the same.

    ``own`` tells which recurrent layers have states of their own; others are written step by step.
    """
    graph = unroll_chosen(graph, lambda node: not own(node))
    names = {v.name for v in graph.sources}
    names.update(v.name for node in graph.nodes for v in node.outputs)
    nodes: list[Node] = []
    for node in graph.nodes:
        rule = EXPANSIONS.get(type(node.op))
        nodes += (rule and rule(node, names)) or [node]
    return graph if nodes == list(graph.nodes) else graph.with_nodes(nodes)
