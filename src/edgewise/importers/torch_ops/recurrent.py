"""LSTM and GRU layers; those of RNN PyTorch decomposes."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from ... import ops
from ...graph import Value
from ..torch_call import Call, Reader

LSTM_GATES = ("input", "forget", "cell", "output")
GRU_GATES = 3
_NAMES = ops.UnidirectionalSequenceLstm.names

Layer = Callable[[Call, Value, Sequence[Value], bool, Sequence[Value]], Sequence[Value]]
"""One direction of x[T, N, I], of weights, with or without biases, of states [N, H]: the sequence
of outputs, and the states after it."""


def layers(call: Call, one: Layer, size: int, states: Sequence[Value]) -> list[Value]:
    """Layers of one or two directions, of ``size`` weights each: the sequence, and the states
    [layers, N, H] after it."""
    if call.number("dropout", 0.0):
        call.eval_only("train")
    b, x, params = call.b, call.value("input"), call.values("params")
    depth, sides = call.integer("num_layers"), 1 + call.flag("bidirectional")
    if len(params) != depth * sides * size or len(x.type.shape) != 3:
        raise call.error(f"{len(params)} weights of {depth} layers, input {x.type}")
    x = b.transpose(x, (1, 0, 2)) if call.flag("batch_first") else x
    ends: list[list[Value]] = [[] for _ in states]
    for layer in range(depth):
        parts = []
        for side in range(sides):
            i = layer * sides + side
            before = [_state(call, state, i) for state in states]
            given = x if side == 0 else call.one(ops.Reverse((0,)), x)
            own = params[i * size : (i + 1) * size]
            y, *after = one(call, given, own, call.flag("has_biases"), before)
            parts.append(y if side == 0 else call.one(ops.Reverse((0,)), y))
            for end, state in zip(ends, after, strict=True):
                end.append(state)
        x = parts[0] if sides == 1 else call.one(ops.Concatenation(2), *parts)
    y = b.transpose(x, (1, 0, 2)) if call.flag("batch_first") else x
    return [y, *(call.one(ops.Pack(0), *end) for end in ends)]


def _state(call: Call, states: Value, i: int) -> Value:
    """Number ``i`` of states [layers, N, H]."""
    part = call.b.slice(states, 0, i, 1)
    return call.b.reshape(part, part.type.shape[1:])


def lstm(call: Call) -> list[Value]:
    size = 2 + 2 * call.flag("has_biases")
    count = call.integer("num_layers") * (1 + call.flag("bidirectional"))
    has_projection = len(call.values("params")) == count * (size + 1)
    return layers(call, _lstm_layer, size + has_projection, call.values("hx"))


def _lstm_layer(
    call: Call, x: Value, params: Sequence[Value], biases: bool, states: Sequence[Value]
) -> Sequence[Value]:
    b = call.b
    cells = params[0].type.shape[0] // len(LSTM_GATES)
    operands = {"input": x}
    bias = call.filled((len(LSTM_GATES) * cells,), 0.0, x.type.dtype)
    if biases:
        bias = call.one(ops.Add(), params[2], params[3])
    for i, gate in enumerate(LSTM_GATES):
        for kind, w in zip(("input_to", "recurrent_to"), params, strict=False):
            operands[f"{kind}_{gate}_weights"] = b.slice(w, 0, i * cells, cells)
        operands[f"{gate}_gate_bias"] = b.slice(bias, 0, i * cells, cells)
    if len(params) > 2 + 2 * biases:
        operands["projection_weights"] = params[-1]
    operands["output_state"], operands["cell_state"] = states
    present = tuple(name in operands for name in _NAMES)
    op = ops.UnidirectionalSequenceLstm(present, time_major=True)
    return b.add(op, [operands[name] for name in _NAMES if name in operands])


def gru(call: Call) -> list[Value]:
    return layers(call, _gru_layer, 2 + 2 * call.flag("has_biases"), [call.value("hx")])


def _gru_layer(
    call: Call, x: Value, params: Sequence[Value], biases: bool, states: Sequence[Value]
) -> Sequence[Value]:
    """PyTorch's gates are reset, update, candidate; those of GRU update, reset, candidate."""
    b, units = call.b, params[1].type.shape[1]
    given = list(params)
    if not biases:
        given += [call.filled((GRU_GATES * units,), 0.0, x.type.dtype)] * 2
    operands = []
    for v in given:
        parts = b.reshape(v, (GRU_GATES, units, *v.type.shape[1:]))
        order = [b.slice(parts, 0, i, 1) for i in (1, 0, 2)]
        operands.append(joined(call, order))
    return b.add(ops.Gru(), [x, *operands, *states])


def joined(call: Call, parts: Sequence[Value]) -> Value:
    """Parts along the first dimension; of constants, at once."""
    arrays = [v.data for v in parts if v.data is not None]
    if len(arrays) == len(parts):
        return call.b.constant(np.concatenate(arrays), parts[0].name)
    return call.one(ops.Concatenation(0), *parts)


OPERATORS: dict[str, Reader] = {"gru.input": gru, "lstm.input": lstm}
