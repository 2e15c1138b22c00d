"""Recurrent operators. Their variables are operands; the operators list them as states."""

from __future__ import annotations

from typing import Any

from ... import ops
from ...errors import UnsupportedError
from .. import tflite_schema as schema
from ..flatbuffer import FLOAT32, INT8, UINT8
from ..tflite_call import Built, Call, Row


def lstm(call: Call) -> Built:
    o = schema.LSTMOptions
    if call.options.number(o.KERNEL_TYPE, INT8) == BASIC:
        settings = _settings(call, o)
        if settings != ops.LstmSettings(asymmetric=settings.asymmetric):
            raise UnsupportedError(f"{call.what}: {settings}; its kernel knows TANH and no clips")
        return ops.BasicLstm(), [call.value(i) for i in range(5)]
    operands, present = call.given(len(ops.Lstm.names))
    return ops.Lstm(present, _settings(call, o), _intermediates(call)), operands


def unidirectional_sequence_lstm(call: Call) -> Built:
    o = schema.UnidirectionalSequenceLSTMOptions
    if call.options.flag(o.DIAGONAL_RECURRENT_TENSORS):
        raise UnsupportedError(f"{call.what}: diagonal recurrent weights are not supported")
    operands, present = call.given(len(ops.UnidirectionalSequenceLstm.names))
    op = ops.UnidirectionalSequenceLstm(
        present, _settings(call, o), call.options.flag(o.TIME_MAJOR), _intermediates(call)
    )
    return op, operands


def bidirectional_sequence_lstm(call: Call) -> Built:
    o = schema.BidirectionalSequenceLSTMOptions
    operands, present = call.given(len(ops.BidirectionalSequenceLstm.names))
    op = ops.BidirectionalSequenceLstm(
        present,
        _settings(call, o),
        bool(call.options.number(o.TIME_MAJOR, UINT8, 1)),
        call.options.flag(o.MERGE_OUTPUTS),
    )
    return op, operands


def rnn(call: Call) -> Built:
    o = schema.RNNOptions
    operands, present = call.given(len(ops.Rnn.names))
    op = ops.Rnn(
        present,
        nonlinearity(call, o.FUSED_ACTIVATION_FUNCTION),
        call.options.flag(o.ASYMMETRIC_QUANTIZE_INPUTS),
    )
    return op, operands


def unidirectional_sequence_rnn(call: Call) -> Built:
    o = schema.SequenceRNNOptions
    operands, present = call.given(len(ops.UnidirectionalSequenceRnn.names))
    op = ops.UnidirectionalSequenceRnn(
        present,
        nonlinearity(call, o.FUSED_ACTIVATION_FUNCTION),
        call.options.flag(o.TIME_MAJOR),
        call.options.flag(o.ASYMMETRIC_QUANTIZE_INPUTS),
    )
    return op, operands


def bidirectional_sequence_rnn(call: Call) -> Built:
    o = schema.BidirectionalSequenceRNNOptions
    operands, present = call.given(len(ops.BidirectionalSequenceRnn.names))
    op = ops.BidirectionalSequenceRnn(
        present,
        nonlinearity(call, o.FUSED_ACTIVATION_FUNCTION),
        call.options.flag(o.TIME_MAJOR),
        call.options.flag(o.MERGE_OUTPUTS),
        call.options.flag(o.ASYMMETRIC_QUANTIZE_INPUTS),
    )
    return op, operands


def svdf(call: Call) -> Built:
    o = schema.SVDFOptions
    operands, present = call.given(len(ops.Svdf.names))
    op = ops.Svdf(
        present,
        call.int32(o.RANK),
        nonlinearity(call, o.FUSED_ACTIVATION_FUNCTION),
        call.options.flag(o.ASYMMETRIC_QUANTIZE_INPUTS),
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


BASIC = 1
"""The LSTM kernel whose gates are one matrix product, in the schema's LSTMKernelType."""

_B = schema.BuiltinOperator

OPERATORS: dict[int, Row] = {
    _B.BIDIRECTIONAL_SEQUENCE_LSTM: Row(
        "BIDIRECTIONAL_SEQUENCE_LSTM",
        bidirectional_sequence_lstm,
        (39, 48),
        schema.BidirectionalSequenceLSTMOptions.TAG,
    ),
    _B.BIDIRECTIONAL_SEQUENCE_RNN: Row(
        "BIDIRECTIONAL_SEQUENCE_RNN",
        bidirectional_sequence_rnn,
        (9, 12),
        schema.BidirectionalSequenceRNNOptions.TAG,
    ),
    _B.LSTM: Row("LSTM", lstm, (5, 24), schema.LSTMOptions.TAG),
    _B.RNN: Row("RNN", rnn, (5, 5), schema.RNNOptions.TAG),
    _B.SVDF: Row("SVDF", svdf, (5, 5), schema.SVDFOptions.TAG),
    _B.UNIDIRECTIONAL_SEQUENCE_LSTM: Row(
        "UNIDIRECTIONAL_SEQUENCE_LSTM",
        unidirectional_sequence_lstm,
        (20, 24),
        schema.UnidirectionalSequenceLSTMOptions.TAG,
    ),
    _B.UNIDIRECTIONAL_SEQUENCE_RNN: Row(
        "UNIDIRECTIONAL_SEQUENCE_RNN",
        unidirectional_sequence_rnn,
        (5, 5),
        schema.SequenceRNNOptions.TAG,
    ),
}
