"""Recurrent layers of floats that have no kernel become products and elementwise operators."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from ..dtype import DType
from ..graph import Array, Graph, Node, TensorType, Value
from ..ops import (
    Add,
    BidirectionalSequenceLstm,
    BidirectionalSequenceRnn,
    Concatenation,
    FullyConnected,
    Logistic,
    Lstm,
    LstmSettings,
    Maximum,
    Minimum,
    Mul,
    Nonlinearity,
    Op,
    Pack,
    Relu,
    Relu6,
    ReluN1To1,
    Reshape,
    Reverse,
    Rnn,
    Split,
    StridedSlice,
    Sub,
    Tanh,
    UnidirectionalSequenceLstm,
    UnidirectionalSequenceRnn,
)
from ..ops.recurrent import directed
from .rewrite import fresh_name

MAX_STEPS = 256
"""A longer sequence stays one operator."""

ACTIVATIONS: Mapping[Nonlinearity, type[Op] | None] = {
    Nonlinearity.NONE: None,
    Nonlinearity.RELU: Relu,
    Nonlinearity.RELU_N1_TO_1: ReluN1To1,
    Nonlinearity.RELU6: Relu6,
    Nonlinearity.TANH: Tanh,
}

LSTM = (UnidirectionalSequenceLstm, Lstm, BidirectionalSequenceLstm)
RNN = (UnidirectionalSequenceRnn, Rnn, BidirectionalSequenceRnn)
BOTH = (BidirectionalSequenceLstm, BidirectionalSequenceRnn)
ONE_STEP = (Lstm, Rnn)

Named = Mapping[str, Value]
States = tuple[Value, ...]


def unroll_recurrent(graph: Graph) -> Graph:
    """LSTM and RNN layers of float32 and constant weights, a time step after the other.

    The products of all inputs are one matrix product before the first step. Layer normalization,
    8-bit weights and more than ``MAX_STEPS`` steps are left alone. Plain LSTMs have a kernel for
    sequences, and become such. Results differ in rounding: a recurrent operator's reference
    keeps its sums in float64.

    Given:
        %y, %after = RNN(%x, @w, @r, @b, %before)
    Result:
        %s = FULLY_CONNECTED(%x, @w, @b)
        %t = FULLY_CONNECTED(%before, @r)
        %u = ADD(%s, %t)
        %after = TANH(%u)
        %y = RESHAPE(%after)
    """
    return _unroll(graph, lambda node: True, kernels=True)


def unroll_chosen(graph: Graph, chosen: Callable[[Node], bool]) -> Graph:
    """The layers of those that ``chosen`` tells as `unroll_recurrent`, plain LSTMs too."""
    return _unroll(graph, chosen, kernels=False)


def _unroll(graph: Graph, chosen: Callable[[Node], bool], kernels: bool) -> Graph:
    unrolled: list[Node] = []
    changed = False
    names = {v.name for v in graph.sources}
    names.update(v.name for node in graph.nodes for v in node.outputs)
    for node in graph.nodes:
        if _can_unroll(node, kernels) and chosen(node):
            unrolled += _Unrolled(node, names, kernels).nodes
            changed = True
        else:
            unrolled.append(node)
    return graph.with_nodes(unrolled) if changed else graph


def _can_unroll(node: Node, kernels: bool) -> bool:
    op = node.op
    if not isinstance(op, (*LSTM, *RNN)):
        return False
    named = op.by_name(node.inputs)
    weights = [
        v for name, v in named.items() if name not in ("input", "aux_input", *op.state_names)
    ]
    if any(v.data is None or v.type.dtype is not DType.FLOAT32 for v in weights):
        return False
    if named["input"].type.dtype is not DType.FLOAT32:
        return False
    if kernels and isinstance(op, LSTM) and _all_plain(op, named):
        return not isinstance(op, UnidirectionalSequenceLstm)
    steps = 1 if isinstance(op, ONE_STEP) else max(named["input"].type.shape[:2])
    return steps <= MAX_STEPS and not any("layer_norm" in name for name in named)


def _ways(op: Op) -> tuple[tuple[str, int], ...]:
    """What the names of each direction's operands begin with, and how it steps through time."""
    return (("fw_", 1), ("bw_", -1)) if isinstance(op, BOTH) else (("", 1),)


def _layers(op: Op, named: Named) -> list[dict[str, Value]]:
    """The operands of each direction, by the names that a layer of one has."""
    return [
        {name.removeprefix(way): v for name, v in named.items() if name.startswith(way)}
        for way, _ in _ways(op)
    ]


def _is_plain(settings: LstmSettings, layer: Named) -> bool:
    """Whether an LSTM has a kernel: four gates, tanh, and nothing that is optional."""
    more = ("cell_to_forget", "projection", "layer_norm", "aux_input")
    return (
        "input_to_input_weights" in layer
        and settings.activation is Nonlinearity.TANH
        and not any(name.startswith(more) or "layer_norm" in name for name in layer)
    )


def _all_plain(op: Op, named: Named) -> bool:
    assert isinstance(op, LSTM)
    return all(_is_plain(op.settings, layer) for layer in _layers(op, named))


class _Unrolled:
    """The nodes that take the place of a recurrent one; its outputs are theirs."""

    def __init__(self, node: Node, names: set[str], kernels: bool) -> None:
        self.node, self.names = node, names
        self.nodes: list[Node] = []
        op = node.op
        assert isinstance(op, (*LSTM, *RNN))
        self.time_major = isinstance(op, ONE_STEP) or op.time_major
        named = op.by_name(node.inputs)
        aux_weights = "aux_input_to_forget_weights" if isinstance(op, LSTM) else "aux_weights"
        sequences: list[Value] = []
        states: list[Value] = []
        for (prefix, direction), layer in zip(_ways(op), _layers(op, named), strict=True):
            x, aux = "input", None
            if isinstance(op, BOTH):
                types = {name: v.type for name, v in named.items()}
                x, aux = directed(op, types, prefix[:-1], aux_weights)
            may = kernels and aux is None
            if may and isinstance(op, LSTM) and _is_plain(op.settings, layer):
                sequence, after = self._by_kernel(op.settings, layer, named[x], direction)
                sequences.append(sequence)
                states += after
                continue
            cell = _lstm if isinstance(op, LSTM) else _rnn
            step = cell(self, op, layer, named[x], named[aux] if aux else None)
            before = [
                layer[name.removeprefix(prefix)]
                for name in op.state_names
                if name.startswith(prefix)
            ]
            outputs, after = self._run(step, before, direction)
            sequences.append(self._joined(outputs, direction))
            states += after
        count = len(node.outputs) - len(states)
        if count < len(sequences):
            axis = len(sequences[0].type.shape) - 1
            sequences = [self.emit(Concatenation(axis), *sequences)]
        for value, target in zip((*sequences, *states), node.outputs, strict=True):
            self._deliver(value, target)

    def emit(self, op: Op, *inputs: Value) -> Value:
        """The result of a new node."""
        (t,) = op.infer([v.type for v in inputs])
        return self._add(op, inputs, t)[0]

    def split(self, x: Value, count: int) -> list[Value]:
        """Equal parts of the last dimension."""
        op = Split(len(x.type.shape) - 1, count)
        (t, *_) = op.infer([x.type])
        return self._add(op, (x,), *[t] * count)

    def constant(self, data: Array) -> Value:
        data = np.ascontiguousarray(data, np.float32)
        data.setflags(write=False)
        name = fresh_name(f"{self.node.outputs[0].name}:constant", self.names)
        return Value(name, TensorType(data.shape, DType.FLOAT32), data)

    def activated(self, x: Value, activation: Nonlinearity) -> Value:
        function = ACTIVATIONS[activation]
        return x if function is None else self.emit(function(), x)

    def clipped(self, x: Value, bound: float) -> Value:
        if bound <= 0:
            return x
        low, high = (self.constant(np.array(b)) for b in (-bound, bound))
        return self.emit(Minimum(), self.emit(Maximum(), x, low), high)

    def reshaped(self, x: Value, *shape: int) -> Value:
        return x if x.type.shape == shape else self.emit(Reshape(shape), x)

    def products(self, x: Value, weights: Array, bias: Array | None = None) -> Value:
        """x[..., K] times the transpose of weights[N, K], plus bias[N]."""
        operands = [x, self.constant(weights)]
        if bias is not None:
            operands.append(self.constant(bias))
        return self.emit(FullyConnected(keep_num_dims=True), *operands)

    def steps(self, x: Value) -> list[Value]:
        """x[T, B, N] or x[B, T, N] as its T steps [B, N]; x[B, N] is one step."""
        shape = x.type.shape
        if len(shape) == 2:
            return [x]
        axis = 0 if self.time_major else 1
        size = [n if i != axis else 1 for i, n in enumerate(shape)]
        batch, width = shape[1 - axis], shape[2]
        parts = []
        for t in range(shape[axis]):
            begin = [0, 0, 0]
            begin[axis] = t
            op = StridedSlice(tuple(begin), tuple(size), (1, 1, 1))
            parts.append(self.reshaped(self.emit(op, x), batch, width))
        return parts

    def _by_kernel(
        self, settings: LstmSettings, layer: Named, x: Value, direction: int
    ) -> tuple[Value, list[Value]]:
        """The sequence and the states of an LSTM that has a kernel, which runs forward."""
        if len(x.type.shape) == 2:
            x = self.reshaped(x, 1, *x.type.shape)
        turn = Reverse((0 if self.time_major else 1,))
        x = x if direction > 0 else self.emit(turn, x)
        names = UnidirectionalSequenceLstm.names
        given = {**layer, "input": x}
        op = UnidirectionalSequenceLstm(
            tuple(name in given for name in names), settings, self.time_major
        )
        inputs = [given[name] for name in names if name in given]
        y, *states = self._add(op, inputs, *op.infer([v.type for v in inputs]))
        return (y if direction > 0 else self.emit(turn, y)), states

    def _run(
        self, step: _Step, before: Sequence[Value], direction: int
    ) -> tuple[list[Value], list[Value]]:
        """The outputs of all steps in order of their time, and the states after the last."""
        sums = step.sums[::direction]
        batch = sums[0].type.shape[0]
        states = tuple(self.reshaped(v, batch, v.type.size // batch) for v in before)
        outputs = []
        for x in sums:
            states = step.next(x, states)
            outputs.append(states[0])
        return outputs[::direction], list(states)

    def _joined(self, outputs: Sequence[Value], direction: int) -> Value:
        """The steps [B, N] as a sequence."""
        if isinstance(self.node.op, ONE_STEP):
            return outputs[0]
        return self.emit(Pack(0 if self.time_major else 1), *outputs)

    def _add(self, op: Op, inputs: Sequence[Value], *types: TensorType) -> list[Value]:
        stem = f"{self.node.outputs[0].name}:{op.name.lower()}"
        outputs = tuple(Value(fresh_name(stem, self.names), t) for t in types)
        self.nodes.append(Node(op, tuple(inputs), outputs, self.node.origin))
        return list(outputs)

    def _deliver(self, value: Value, target: Value) -> None:
        """Give ``value`` under the name of an output of the recurrent node."""
        op = Reshape(target.type.shape)
        self.nodes.append(Node(op, (value,), (target,), self.node.origin))


class _Step(NamedTuple):
    """A layer: what its inputs add to each step, and how a step changes the states."""

    sums: list[Value]
    next: Callable[[Value, States], States]


def _joined_sums(
    to: _Unrolled, x: Value, aux: Value | None, w: Array, v: Array | None, bias: Array
) -> list[Value]:
    """The products of all inputs, and the bias, step by step."""
    sums = to.products(x, w, bias)
    if aux is not None and v is not None:
        sums = to.emit(Add(), sums, to.products(aux, v))
    return to.steps(sums)


def _data(layer: Named, name: str) -> Array:
    data = layer[name].data
    assert data is not None
    return data


def _rnn(to: _Unrolled, op: Op, layer: Named, x: Value, aux: Value | None) -> _Step:
    assert isinstance(op, RNN)
    activation = op.activation
    v = _data(layer, "aux_weights") if aux is not None else None
    sums = _joined_sums(to, x, aux, _data(layer, "weights"), v, _data(layer, "bias"))

    def step(total: Value, states: States) -> States:
        own = to.products(states[0], _data(layer, "recurrent_weights"))
        return (to.activated(to.emit(Add(), total, own), activation),)

    return _Step(sums, step)


def _lstm(to: _Unrolled, op: Op, layer: Named, x: Value, aux: Value | None) -> _Step:
    assert isinstance(op, LSTM)
    settings: LstmSettings = op.settings
    cifg = "input_to_input_weights" not in layer
    gates = ("forget", "output", "cell") if cifg else ("forget", "output", "input", "cell")

    def joined(name: str) -> Array:
        return np.concatenate([_data(layer, name.format(gate)) for gate in gates])

    v = joined("aux_input_to_{}_weights") if aux is not None else None
    w, recurrent = joined("input_to_{}_weights"), joined("recurrent_to_{}_weights")
    sums = _joined_sums(to, x, aux, w, v, joined("{}_gate_bias"))
    peepholes = {
        gate: to.constant(_data(layer, f"cell_to_{gate}_weights"))
        for gate in gates
        if f"cell_to_{gate}_weights" in layer
    }

    def seen(gate: str, total: Value, cell: Value) -> Value:
        """What a gate sees of the cell is added to its sums."""
        if gate not in peepholes:
            return total
        return to.emit(Add(), total, to.emit(Mul(), cell, peepholes[gate]))

    def step(total: Value, states: States) -> States:
        output, cell = states
        total = to.emit(Add(), total, to.products(output, recurrent))
        parts = dict(zip(gates, to.split(total, len(gates)), strict=True))
        forget = to.emit(Logistic(), seen("forget", parts["forget"], cell))
        if cifg:
            keep = to.emit(Sub(), to.constant(np.ones(1)), forget)
        else:
            keep = to.emit(Logistic(), seen("input", parts["input"], cell))
        new = to.activated(parts["cell"], settings.activation)
        kept, added = to.emit(Mul(), forget, cell), to.emit(Mul(), keep, new)
        cell = to.clipped(to.emit(Add(), kept, added), settings.cell_clip)
        gate = to.emit(Logistic(), seen("output", parts["output"], cell))
        output = to.emit(Mul(), gate, to.activated(cell, settings.activation))
        if "projection_weights" in layer:
            bias = _data(layer, "projection_bias") if "projection_bias" in layer else None
            output = to.products(output, _data(layer, "projection_weights"), bias)
            output = to.clipped(output, settings.proj_clip)
        return output, cell

    return _Step(sums, step)
