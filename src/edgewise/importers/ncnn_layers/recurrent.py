"""LSTM, GRU and RNN layers over blobs [T, I]."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ... import ops
from ...graph import Array, Value
from ..channels_first import part
from ..ncnn_call import Call, Row
from .movement import joined

FORWARD, REVERSE, BOTH = range(3)

States = list[Value]


@dataclass
class Direction:
    """The weights of one direction: input[gates * H, I], bias[rows, H], hidden[gates * H, O].

    ``projection`` is [O, H], where outputs are not the hidden units.
    """

    units: int
    input: Array
    bias: Array
    hidden: Array
    projection: Array | None = None


Layer = Callable[[Call, Direction, Value, States], "tuple[Value, States]"]


def _layer(call: Call, gates: int, biases: int, states: int, run: Layer) -> list[Value]:
    """The sequence of outputs, then the states after it where the layer gives them."""
    call.rank(0, 2)
    call.refuse(8, "weights of int8")
    outputs, size, way = call.integer(0), call.integer(1), call.integer(2)
    units = call.integer(3, outputs) if states == 2 else outputs
    if way not in (FORWARD, REVERSE, BOTH):
        raise call.error(f"direction {way}; it is 0 to 2")
    count, depth = 2 if way == BOTH else 1, call.dims()[1]
    if outputs < 1 or units < 1 or size != count * gates * units * depth:
        raise call.error(
            f"{size} weights of {units} units in {count} directions for rows of {depth}"
        )
    shape = (count, gates * units)
    weights = (
        call.weights(*shape, depth),
        call.weights(count, biases, units),
        call.weights(*shape, outputs),
        call.weights(count, outputs, units) if units != outputs else [None] * count,
    )
    sizes = [outputs, units][:states]
    results, after = [], []
    for i, own in enumerate(zip(*weights, strict=True)):
        before = _before(call, i, sizes)
        backwards = way == REVERSE or i == 1
        x = call.value()
        x = call.one(ops.Reverse((1,)), x) if backwards else x
        y, last = run(call, Direction(units, *own), x, before)
        results.append(call.one(ops.Reverse((1,)), y) if backwards else y)
        after.append(last)
    found = [joined(call, 2, results)]
    if len(call.layer.outputs) > 1:
        for each in zip(*after, strict=True):
            rows = [call.shaped(v, (1, v.type.shape[-1])) for v in each]
            found.append(joined(call, 1, rows))
    return found


def _before(call: Call, direction: int, sizes: list[int]) -> States:
    """The states before the first step [N, size], zeros where no blob gives them."""
    batch = call.raw().type.shape[0]
    if len(call.blobs) == 1:
        return [call.b.constant(np.zeros((batch, n), np.float32), "state") for n in sizes]
    if len(call.blobs) != len(sizes) + 1:
        raise call.error(f"{len(call.blobs)} inputs; it takes 1 or {len(sizes) + 1}")
    found = []
    for i, n in enumerate(sizes):
        state = call.value(i + 1)
        if state.type.shape[-1] != n or call.rank(i + 1, 2) != 2:
            raise call.error(f"state {list(state.type.shape[1:])}; rows have {n} elements")
        row = part(call.b, state, 1, direction, 1)
        found.append(call.b.reshape(row, (batch, n)))
    return found


def _constants(call: Call, *arrays: Array) -> list[Value]:
    return [call.b.constant(np.ascontiguousarray(a), "weights") for a in arrays]


def _lstm(call: Call, own: Direction, x: Value, states: States) -> tuple[Value, States]:
    """ncnn's gates are input, forget, output, cell; the operator's have the last two exchanged."""
    order = (0, 1, 3, 2)
    shaped = [a.reshape(4, own.units, -1) for a in (own.input, own.hidden)]
    operands = [x]
    for weights in shaped:
        operands += _constants(call, *(weights[i] for i in order))
    operands += _constants(call, *(own.bias[i] for i in order))
    present = [True] * 9 + [False] * 3 + [True] * 4 + [own.projection is not None, False]
    if own.projection is not None:
        operands += _constants(call, own.projection)
    settings = ops.LstmSettings(ops.Nonlinearity.TANH)
    op = ops.UnidirectionalSequenceLstm((*present, True, True), settings)
    y, hidden, cell = call.b.add(op, [*operands, *states])
    return y, [hidden, cell]


def _gru(call: Call, own: Direction, x: Value, states: States) -> tuple[Value, States]:
    """ncnn's gates are reset, update, new; its biases those sums, then the new gate's own."""
    order, units = (1, 0, 2), own.units
    w, r = (np.stack([a.reshape(3, units, -1)[i] for i in order]) for a in (own.input, own.hidden))
    given = np.stack([own.bias[i] for i in order])
    kept = np.stack([np.zeros_like(own.bias[0])] * 2 + [own.bias[3]])
    operands = _constants(call, w, r, given, kept)
    steps = call.b.transpose(x, (1, 0, 2))
    y, hidden = call.b.add(ops.Gru(True), [steps, *operands, *states])
    return call.b.transpose(y, (1, 0, 2)), [hidden]


def _rnn(call: Call, own: Direction, x: Value, states: States) -> tuple[Value, States]:
    operands = _constants(call, own.input, own.hidden, own.bias[0])
    op = ops.UnidirectionalSequenceRnn(activation=ops.Nonlinearity.TANH)
    y, hidden = call.b.add(op, [x, *operands, *states])
    return y, [hidden]


LAYERS: dict[str, Row] = {
    "GRU": Row(lambda call: _layer(call, 3, 4, 1, _gru), (1, 2)),
    "LSTM": Row(lambda call: _layer(call, 4, 4, 2, _lstm), (1, 3)),
    "RNN": Row(lambda call: _layer(call, 1, 1, 1, _rnn), (1, 2)),
}
