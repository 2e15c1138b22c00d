"""Recurrent layers of float activations become products and elementwise operators."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from ..dtype import DType, QParams
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
from ..ops.hybrid import RowQuantization
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

    The products of all inputs are one matrix product before the first step. Layer normalization and
    more than ``MAX_STEPS`` steps are left alone. Plain LSTMs of float32 weights have a kernel for
    sequences, and become such. Weights of int8 make hybrid products, which quantize rows as the
    layer does. Results differ in rounding: a recurrent operator's reference keeps its sums in
    float64.

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
    is_hybrid = any(_is_int8(v) for v in weights)
    real = (v.type.dtype is DType.FLOAT32 or (_is_int8(v) and kernels) for v in weights)
    if any(v.data is None for v in weights) or not all(real):
        return False
    if named["input"].type.dtype is not DType.FLOAT32:
        return False
    if kernels and not is_hybrid and isinstance(op, LSTM) and _all_plain(op, named):
        return not isinstance(op, UnidirectionalSequenceLstm)
    steps = 1 if isinstance(op, ONE_STEP) else max(named["input"].type.shape[:2])
    return steps <= MAX_STEPS and not any("layer_norm" in name for name in named)


def _is_int8(value: Value) -> bool:
    """Whether a value is int8 with one scale and zero point 0."""
    quant = value.type.quant
    return value.type.dtype is DType.INT8 and quant is not None and quant.zero_point == (0,)


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
        and not _is_int8(layer["input_to_forget_weights"])
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
        asymmetric = op.settings.asymmetric if isinstance(op, LSTM) else op.asymmetric
        kinds = RowQuantization
        self.rows = kinds.ASYMMETRIC if asymmetric else kinds.SYMMETRIC
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

    def constant(self, data: Array, quant: QParams | None = None) -> Value:
        data = np.ascontiguousarray(data, np.float32 if quant is None else np.int8)
        name = fresh_name(f"{self.node.outputs[0].name}:constant", self.names)
        return Value.constant(name, data, quant)

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

    def weights(self, *parts: Value) -> Value:
        """Matrices [N, K] one below the other; of int8, rows have the scales of their parts."""
        data = np.concatenate([_array(v) for v in parts])
        if not _is_int8(parts[0]):
            return self.constant(data)
        scales = [s for v in parts if v.type.quant for s in v.type.quant.scale * v.type.shape[0]]
        return self.constant(data, QParams(tuple(scales), (0,) * len(scales), 0))

    def products(self, x: Value, weights: Value, bias: Array | None = None) -> Value:
        """x[..., K] times the transpose of weights[N, K], plus bias[N]."""
        operands = [x, weights]
        if bias is not None:
            operands.append(self.constant(bias))
        rows = self.rows if weights.type.dtype is DType.INT8 else RowQuantization.QD8
        return self.emit(FullyConnected(keep_num_dims=True, rows=rows), *operands)

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
    to: _Unrolled, x: Value, aux: Value | None, w: Value, v: Value | None, bias: Array
) -> list[Value]:
    """The products of all inputs, and the bias, step by step."""
    sums = to.products(x, w, bias)
    if aux is not None and v is not None:
        sums = to.emit(Add(), sums, to.products(aux, v))
    return to.steps(sums)


def _array(value: Value) -> Array:
    assert value.data is not None
    return value.data


def _real(value: Value) -> Array:
    """The numbers that a constant of floats or of int8 stands for."""
    scale = value.type.quant.scale[0] if value.type.quant is not None else 1.0
    return np.asarray(_array(value) * np.float32(scale))


def _rnn(to: _Unrolled, op: Op, layer: Named, x: Value, aux: Value | None) -> _Step:
    assert isinstance(op, RNN)
    activation = op.activation
    v = to.weights(layer["aux_weights"]) if aux is not None else None
    sums = _joined_sums(to, x, aux, to.weights(layer["weights"]), v, _array(layer["bias"]))
    recurrent = to.weights(layer["recurrent_weights"])

    def step(total: Value, states: States) -> States:
        own = to.products(states[0], recurrent)
        return (to.activated(to.emit(Add(), total, own), activation),)

    return _Step(sums, step)


def _lstm(to: _Unrolled, op: Op, layer: Named, x: Value, aux: Value | None) -> _Step:
    assert isinstance(op, LSTM)
    settings: LstmSettings = op.settings
    cifg = "input_to_input_weights" not in layer
    gates = ("forget", "output", "cell") if cifg else ("forget", "output", "input", "cell")

    def joined(name: str) -> Value:
        return to.weights(*(layer[name.format(gate)] for gate in gates))

    v = joined("aux_input_to_{}_weights") if aux is not None else None
    w, recurrent = joined("input_to_{}_weights"), joined("recurrent_to_{}_weights")
    biases = np.concatenate([_array(layer[f"{gate}_gate_bias"]) for gate in gates])
    sums = _joined_sums(to, x, aux, w, v, biases)
    projection = None
    if "projection_weights" in layer:
        projection = to.weights(layer["projection_weights"])
    peepholes = {
        gate: to.constant(_real(layer[f"cell_to_{gate}_weights"]))
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
        if projection is not None:
            bias = _array(layer["projection_bias"]) if "projection_bias" in layer else None
            output = to.products(output, projection, bias)
            output = to.clipped(output, settings.proj_clip)
        return output, cell

    return _Step(sums, step)
