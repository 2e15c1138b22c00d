"""LSTM, GRU and RNN layers.

Plain ones become operators for sequences; others are written out, a time step after the other.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from ... import ops
from ...graph import Value
from ..channels_first import part
from ..onnx_call import Call, Row
from .products import in_float32, product

MAX_STEPS = 1024
"""The most time steps that are written out."""

MANY_STEPS = 256
"""With more steps than this a GRU without a kernel stays one operator."""

DIRECTIONS = {"forward": (1,), "reverse": (-1,), "bidirectional": (1, -1)}
DEFAULTS = {
    "LSTM": ("Sigmoid", "Tanh", "Tanh"),
    "GRU": ("Sigmoid", "Tanh"),
    "RNN": ("Tanh",),
}
PLAIN: Mapping[str, Callable[[], ops.Op]] = {
    "relu": ops.Relu,
    "sigmoid": ops.Logistic,
    "softplus": ops.Softplus,
    "tanh": ops.Tanh,
}
GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}

Function = Callable[[Value], Value]
States = tuple[Value, ...]
Step = Callable[[Value, States], States]


@dataclass
class Layer:
    """One direction of a node: weights [gates * H, ...], biases and states [B, H].

    ``states`` are h, and c of an LSTM. ``activations`` are its functions' names, alpha and beta.
    """

    call: Call
    way: int
    units: int
    w: Value
    r: Value
    wb: Value
    rb: Value
    states: States
    peepholes: Value | None
    activations: list[tuple[str, float | None, float | None]]

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(name for name, _, _ in self.activations)

    def gates(self, v: Value) -> Value:
        """[gates * H, ...] as [gates, H, ...]."""
        count = GATES[self.call.op_type]
        return self.call.b.reshape(v, (count, self.units, *v.type.shape[1:]))

    def gate(self, v: Value, i: int) -> Value:
        """The part of gate ``i`` along the first axis."""
        return part(self.call.b, v, 0, i * self.units, self.units)

    def columns(self, v: Value, i: int, count: int = 1) -> Value:
        """The part of ``count`` gates along the last axis."""
        return part(self.call.b, v, len(v.type.shape) - 1, i * self.units, count * self.units)

    def times(self, x: Value, weights: Value, bias: Value | None = None) -> Value:
        """x[..., K] times the transpose of weights[N, K], plus bias[N]."""
        return product(self.call, x, self.call.b.transpose(weights, (1, 0)), bias)

    def function(self, i: int) -> Function:
        """Activation ``i``, of what clip leaves; the state of a cell is not clipped."""
        name, alpha, beta = self.activations[i]
        call, limit = self.call, self.call.real("clip", 0.0) if i < 2 else 0.0

        def apply(x: Value) -> Value:
            if limit > 0:
                x = call.one(ops.Maximum(), call.number(-limit, x), x)
                x = call.one(ops.Minimum(), call.number(limit, x), x)
            return activation(call, name, x, alpha, beta)

        return apply


def activation(call: Call, name: str, x: Value, alpha: float | None, beta: float | None) -> Value:
    """A function of ONNX's recurrent layers, by its name in lower case."""

    def scaled(v: Value, factor: float) -> Value:
        return v if factor == 1.0 else call.one(ops.Mul(), v, call.number(factor, v))

    def moved(v: Value, by: float) -> Value:
        return v if by == 0.0 else call.one(ops.Add(), v, call.number(by, v))

    def positive(otherwise: Value) -> Value:
        above = call.one(ops.Greater(), x, call.number(0, x))
        return call.one(ops.Select(), above, x, otherwise)

    def number(given: float | None, default: float) -> float:
        return default if given is None else given

    if name in PLAIN:
        return call.one(PLAIN[name](), x)
    if name == "affine":
        return moved(scaled(x, number(alpha, 1.0)), number(beta, 0.0))
    if name == "leakyrelu":
        return call.one(ops.LeakyRelu(number(alpha, 0.01)), x)
    if name == "thresholdedrelu":
        above = call.one(ops.Greater(), x, call.number(number(alpha, 1.0), x))
        return call.one(ops.Select(), above, x, call.number(0, x))
    if name == "scaledtanh":
        return scaled(call.one(ops.Tanh(), scaled(x, number(beta, 1.0))), number(alpha, 1.0))
    if name == "hardsigmoid":
        line = scaled(x, number(alpha, 0.2))
        clamped = ops.Add(ops.Activation.RELU_0_TO_1)
        return call.one(clamped, line, call.number(number(beta, 0.5), x))
    if name == "elu":
        return positive(scaled(call.one(ops.Elu(), x), number(alpha, 1.0)))
    if name == "softsign":
        size = moved(call.one(ops.Abs(), x), 1.0)
        return call.one(ops.Div(), x, size)
    raise call.error(f"activation {name!r} is unknown")


def _lstm_step(layer: Layer) -> Step:
    """Gates are input, output, forget, cell; with input_forget the forget gate is 1 - input."""
    call = layer.call
    gate, new, out = (layer.function(i) for i in range(3))
    coupled = call.flag("input_forget")

    def seen(v: Value, cell: Value, i: int) -> Value:
        """What a gate sees of the cell is added."""
        if layer.peepholes is None:
            return v
        weights = layer.gate(layer.peepholes, i)
        return call.one(ops.Add(), v, call.one(ops.Mul(), cell, weights))

    def step(given: Value, states: States) -> States:
        h, c = states
        total = call.one(ops.Add(), given, layer.times(h, layer.r, layer.rb))
        enter = gate(seen(layer.columns(total, 0), c, 0))
        if coupled:
            forget = call.one(ops.Sub(), call.number(1, enter), enter)
        else:
            forget = gate(seen(layer.columns(total, 2), c, 2))
        added = call.one(ops.Mul(), enter, new(layer.columns(total, 3)))
        c = call.one(ops.Add(), call.one(ops.Mul(), forget, c), added)
        leave = gate(seen(layer.columns(total, 1), c, 1))
        return call.one(ops.Mul(), leave, out(c)), c

    return step


def _gru_step(layer: Layer) -> Step:
    """Gates are update, reset, hidden."""
    call, before = layer.call, not layer.call.flag("linear_before_reset")
    gate, new = layer.function(0), layer.function(1)
    rest = [part(call.b, v, 0, 0, 2 * layer.units) for v in (layer.r, layer.rb)]

    def step(given: Value, states: States) -> States:
        (h,) = states
        own = layer.times(h, *rest) if before else layer.times(h, layer.r, layer.rb)
        total = call.one(ops.Add(), layer.columns(given, 0, 2), layer.columns(own, 0, 2))
        update, reset = gate(layer.columns(total, 0)), gate(layer.columns(total, 1))
        if before:
            kept = call.one(ops.Mul(), reset, h)
            kept = layer.times(kept, layer.gate(layer.r, 2), layer.gate(layer.rb, 2))
        else:
            kept = call.one(ops.Mul(), reset, layer.columns(own, 2))
        hidden = new(call.one(ops.Add(), layer.columns(given, 2), kept))
        change = call.one(ops.Mul(), update, call.one(ops.Sub(), h, hidden))
        return (call.one(ops.Add(), hidden, change),)

    return step


def _rnn_step(layer: Layer) -> Step:
    call, function = layer.call, layer.function(0)

    def step(given: Value, states: States) -> States:
        own = layer.times(states[0], layer.r, layer.rb)
        return (function(call.one(ops.Add(), given, own)),)

    return step


STEPS: dict[str, Callable[[Layer], Step]] = {
    "LSTM": _lstm_step,
    "GRU": _gru_step,
    "RNN": _rnn_step,
}


def recurrent(call: Call) -> list[Value]:
    """The sequence [T, D, B, H], the last h and c [D, B, H]; with layout B comes before T and D."""
    b, x, batch_first = call.b, call.value(0), call.integer("layout", 0) == 1
    if call.rank(0) != 3:
        raise call.error(f"input 0 has rank {call.rank(0)}; it must be 3")
    if batch_first:
        x = b.transpose(x, (1, 0, 2))
    layers = _layers(call, x)
    lengths = _lengths(call, *x.type.shape[:2])
    found = [_run(layer, x, lengths) for layer in layers]
    sequences = [b.reshape(y, _with_one(y, 1)) for y, _ in found]
    joined = sequences[0] if len(found) == 1 else call.one(ops.Concatenation(1), *sequences)
    results = [b.transpose(joined, (2, 0, 1, 3)) if batch_first else joined]
    for states in zip(*(after for _, after in found), strict=True):
        axis = 1 if batch_first else 0
        parts = [b.reshape(s, _with_one(s, axis)) for s in states]
        results.append(parts[0] if len(parts) == 1 else call.one(ops.Concatenation(axis), *parts))
    return results


def _with_one(x: Value, axis: int) -> tuple[int, ...]:
    return (*x.type.shape[:axis], 1, *x.type.shape[axis:])


def _layers(call: Call, x: Value) -> list[Layer]:
    b, kind, x_shape = call.b, call.op_type, x.type.shape
    direction = call.text("direction", "forward").lower()
    if direction not in DIRECTIONS:
        raise call.error(f"direction {direction!r}; it is one of {', '.join(DIRECTIONS)}")
    ways, gates = DIRECTIONS[direction], GATES[kind]
    count, batch = len(ways), x_shape[1]
    units = call.integer("hidden_size", call.shape(2)[-1] if call.rank(2) == 3 else 0)
    zeros = {3: (count, 2 * gates * units), 5: (count, batch, units), 6: (count, batch, units)}
    wanted = {
        1: (count, gates * units, x_shape[2]),
        2: (count, gates * units, units),
        **{i: shape for i, shape in zeros.items() if i < 6 or kind == "LSTM"},
        **({7: (count, 3 * units)} if kind == "LSTM" else {}),
    }
    if units < 1 or 0 in x_shape:
        raise call.error(f"input {list(x_shape)}, {units} units; none of these is 0")
    given: dict[int, Value | None] = {}
    for i, shape in wanted.items():
        v = call.value(i) if i < 3 else call.optional(i)
        if v is not None and i in (5, 6) and call.integer("layout", 0) == 1:
            v = b.transpose(v, (1, 0, 2)) if len(v.type.shape) == 3 else v
        if v is not None and v.type.shape != shape:
            raise call.error(f"input {i} has shape {list(v.type.shape)}; it must be {list(shape)}")
        if v is None and i in zeros:
            v = b.constant(np.zeros(shape, np.float32))
        given[i] = v
    functions = _activations(call, count)
    layers = []
    for d, way in enumerate(ways):

        def of(i: int, d: int = d) -> Value | None:
            v = given.get(i)
            return None if v is None else b.reshape(part(b, v, 0, d, 1), v.type.shape[1:])

        w, r, bias = of(1), of(2), of(3)
        assert w is not None
        assert r is not None
        assert bias is not None
        half = gates * units
        states = [s for i in (5, 6) if (s := of(i)) is not None]
        wb, rb = part(b, bias, 0, 0, half), part(b, bias, 0, half, half)
        layers.append(Layer(call, way, units, w, r, wb, rb, tuple(states), of(7), functions[d]))
    return layers


def _activations(call: Call, count: int) -> list[list[tuple[str, float | None, float | None]]]:
    """The functions of each direction; an alpha or beta belongs to each function that has one."""
    default = DEFAULTS[call.op_type]
    names = [n.lower() for n in call.texts("activations", default * count)]
    if len(names) != len(default) * count:
        raise call.error(
            f"{len(names)} activations; {count} directions of {call.op_type} have {len(default)} "
            "each"
        )
    alphas = list(call.reals("activation_alpha", ()))
    betas = list(call.reals("activation_beta", ()))
    found = []
    for name in names:
        alpha = alphas.pop(0) if name in WITH_ALPHA and alphas else None
        beta = betas.pop(0) if name in WITH_BETA and betas else None
        found.append((name, alpha, beta))
    size = len(default)
    return [found[d * size : (d + 1) * size] for d in range(count)]


WITH_ALPHA = frozenset(
    {"affine", "elu", "hardsigmoid", "leakyrelu", "scaledtanh", "thresholdedrelu"}
)
WITH_BETA = frozenset({"affine", "hardsigmoid", "scaledtanh"})


def _lengths(call: Call, steps: int, batch: int) -> Value | None:
    """sequence_lens, unless all are as long as the input."""
    if not call.has(4):
        return None
    lengths = call.value(4)
    if lengths.type.shape != (batch,) or not lengths.type.dtype.is_integer:
        raise call.error(f"sequence_lens is {lengths.type}; it must be int32 [{batch}]")
    if lengths.data is not None and (lengths.data == steps).all():
        return None
    return lengths


def _run(layer: Layer, x: Value, lengths: Value | None) -> tuple[Value, States]:
    """The sequence [T, B, H] of one direction, and the states after its last step."""
    b, way = layer.call.b, layer.way
    plain = None if lengths is not None else _by_operator(layer, x.type.shape[0])
    if plain is None:
        return _written_out(layer, x, lengths)
    turn = ops.Reverse((0,))
    y, *states = plain(x if way > 0 else b.one(turn, [x]))
    return (y if way > 0 else b.one(turn, [y])), tuple(states)


def _by_operator(layer: Layer, steps: int) -> Callable[[Value], tuple[Value, ...]] | None:
    """The operator of a plain layer; None where writing it out is faster or it has none."""
    call, b, kind = layer.call, layer.call.b, layer.call.op_type
    default = tuple(n.lower() for n in DEFAULTS[kind])
    if call.real("clip", 0.0) > 0 or layer.names != default:
        return None
    if kind == "GRU":
        op = ops.Gru(call.flag("linear_before_reset"))
        if not op.linear_before_reset and steps <= MANY_STEPS:
            return None
        weights = [layer.gates(v) for v in (layer.w, layer.r, layer.wb, layer.rb)]
        return lambda x: b.add(op, [x, *weights, *layer.states])
    known = (layer.w, layer.r, layer.wb, layer.rb)
    if kind != "LSTM" or layer.peepholes is not None or call.flag("input_forget"):
        return None
    if not all(v.is_constant for v in known):
        return None
    return lambda x: _sequence_lstm(layer, x)


def _sequence_lstm(layer: Layer, x: Value) -> tuple[Value, ...]:
    """UNIDIRECTIONAL_SEQUENCE_LSTM, whose gates are input, forget, cell, output."""
    b, order = layer.call.b, (0, 2, 3, 1)
    bias = layer.call.one(ops.Add(), layer.wb, layer.rb)
    operands = [
        x,
        *(layer.gate(layer.w, i) for i in order),
        *(layer.gate(layer.r, i) for i in order),
        *(layer.gate(bias, i) for i in order),
        *layer.states,
    ]
    present = (True,) * 9 + (False,) * 3 + (True,) * 4 + (False,) * 2 + (True,) * 2
    return b.add(ops.UnidirectionalSequenceLstm(present, time_major=True), operands)


def _written_out(layer: Layer, x: Value, lengths: Value | None) -> tuple[Value, States]:
    call, b = layer.call, layer.call.b
    steps, batch, _ = x.type.shape
    if steps > MAX_STEPS:
        raise call.unsupported(
            f"{steps} time steps of a layer that is not plain; at most {MAX_STEPS}"
        )
    step, states = STEPS[call.op_type](layer), layer.states
    sums = layer.times(x, layer.w, layer.wb)
    column = None if lengths is None else b.reshape(lengths, (batch, 1))
    outputs: list[Value] = []
    for t in range(steps)[:: layer.way]:
        given = b.reshape(part(b, sums, 0, t, 1), sums.type.shape[1:])
        after = step(given, states)
        output = after[0]
        if column is not None:
            inside = call.one(ops.Greater(), column, call.number(t, column))
            after = tuple(
                call.one(ops.Select(), inside, new, old)
                for new, old in zip(after, states, strict=True)
            )
            output = call.one(ops.Select(), inside, output, call.number(0, output))
        states = after
        outputs.append(output)
    return call.one(ops.Pack(0), *outputs[:: layer.way]), states


OPERATORS: dict[str, Row] = {
    "GRU": Row(in_float32(recurrent), (3, 6)),
    "LSTM": Row(in_float32(recurrent), (3, 8)),
    "RNN": Row(in_float32(recurrent), (3, 6)),
}
