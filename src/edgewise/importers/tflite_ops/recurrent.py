"""Recurrent operators. Their variables are operands; the operators list them as states."""

from __future__ import annotations

from typing import Any

from ... import ops
from ...errors import UnsupportedError
from .. import tflite_schema as schema
from ..flatbuffer import FLOAT32, INT8
from ..tflite_call import Built, Call, Row


def lstm(call: Call) -> Built:
    o = schema.LSTMOptions
    operands, present = call.given(len(ops.Lstm.names))
    op = ops.Lstm(present, _settings(call, o), _intermediates(call))
    return op, operands


def unidirectional_sequence_lstm(call: Call) -> Built:
    o = schema.UnidirectionalSequenceLSTMOptions
    if call.options.flag(o.DIAGONAL_RECURRENT_TENSORS):
        raise UnsupportedError(f"{call.what}: diagonal recurrent weights are not supported")
    operands, present = call.given(len(ops.UnidirectionalSequenceLstm.names))
    op = ops.UnidirectionalSequenceLstm(
        present, _settings(call, o), call.options.flag(o.TIME_MAJOR), _intermediates(call)
    )
    return op, operands


def _settings(call: Call, o: Any) -> ops.LstmSettings:
    return ops.LstmSettings(
        activation=nonlinearity(call, o.FUSED_ACTIVATION_FUNCTION),
        cell_clip=call.options.number(o.CELL_CLIP, FLOAT32),
        proj_clip=call.options.number(o.PROJ_CLIP, FLOAT32),
        asymmetric=call.options.flag(o.ASYMMETRIC_QUANTIZE_INPUTS),
    )


def _intermediates(call: Call) -> tuple[Any, ...]:
    return tuple(t.quant for t in call.intermediates)


def nonlinearity(call: Call, field: int) -> ops.Nonlinearity:
    code = call.options.number(field, INT8)
    try:
        return ops.Nonlinearity(code)
    except ValueError:
        known = ", ".join(a.name for a in ops.Nonlinearity)
        raise UnsupportedError(f"{call.what}: activation {code}; supported are {known}") from None


_B = schema.BuiltinOperator

OPERATORS: dict[int, Row] = {
    _B.LSTM: Row("LSTM", lstm, (5, 24), schema.LSTMOptions.TAG),
    _B.UNIDIRECTIONAL_SEQUENCE_LSTM: Row(
        "UNIDIRECTIONAL_SEQUENCE_LSTM",
        unidirectional_sequence_lstm,
        (20, 24),
        schema.UnidirectionalSequenceLSTMOptions.TAG,
    ),
}
