"""LSTM layers; those of GRU and RNN PyTorch decomposes."""

from __future__ import annotations

from ... import ops
from ...graph import Value
from ..torch_call import Call, Reader

GATES = 4
_NAMES = ops.UnidirectionalSequenceLstm.names


def lstm(call: Call) -> list[Value]:
    """Layers of one or two directions: the sequence, and the last hidden and cell states."""
    call.eval_only("train") if call.number("dropout", 0.0) else None
    b, x = call.b, call.value("input")
    hidden, cell = call.values("hx")
    layers, sides = call.integer("num_layers"), 1 + call.flag("bidirectional")
    params, biases = call.values("params"), call.flag("has_biases")
    size = 2 + 2 * biases
    size += len(params) == layers * sides * (size + 1)
    if len(params) != layers * sides * size or len(x.type.shape) != 3:
        raise call.error(f"{len(params)} weights of {layers} layers, input {x.type}")
    x = b.transpose(x, (1, 0, 2)) if call.flag("batch_first") else x
    ends: list[list[Value]] = [[], []]
    for layer in range(layers):
        parts = []
        for side in range(sides):
            i = layer * sides + side
            states = [_state(call, state, i) for state in (hidden, cell)]
            given = x if side == 0 else call.one(ops.Reverse((0,)), x)
            y, *last = _layer(call, given, params[i * size : (i + 1) * size], biases, states)
            parts.append(y if side == 0 else call.one(ops.Reverse((0,)), y))
            for end, state in zip(ends, last, strict=True):
                end.append(state)
        x = parts[0] if sides == 1 else call.one(ops.Concatenation(2), *parts)
    y = b.transpose(x, (1, 0, 2)) if call.flag("batch_first") else x
    return [y, *(call.one(ops.Pack(0), *end) for end in ends)]


def _state(call: Call, states: Value, i: int) -> Value:
    """Number ``i`` of states [layers, N, H]."""
    part = call.b.slice(states, 0, i, 1)
    return call.b.reshape(part, part.type.shape[1:])


def _layer(
    call: Call, x: Value, params: list[Value], biases: bool, states: list[Value]
) -> tuple[Value, ...]:
    """One direction of x[T, N, I]; the gates of weights are input, forget, cell, output."""
    b = call.b
    cells = params[0].type.shape[0] // GATES
    operands = {"input": x}
    for kind, w in zip(("input_to", "recurrent_to"), params, strict=False):
        for i, gate in enumerate(("input", "forget", "cell", "output")):
            operands[f"{kind}_{gate}_weights"] = b.slice(w, 0, i * cells, cells)
    bias = call.filled((GATES * cells,), 0.0, x.type.dtype)
    if biases:
        bias = call.one(ops.Add(), params[2], params[3])
    for i, gate in enumerate(("input", "forget", "cell", "output")):
        operands[f"{gate}_gate_bias"] = b.slice(bias, 0, i * cells, cells)
    if len(params) > 2 + 2 * biases:
        operands["projection_weights"] = params[-1]
    operands["output_state"], operands["cell_state"] = states
    present = tuple(name in operands for name in _NAMES)
    op = ops.UnidirectionalSequenceLstm(present, time_major=True)
    return b.add(op, [operands[name] for name in _NAMES if name in operands])


OPERATORS: dict[str, Reader] = {"lstm.input": lstm}
