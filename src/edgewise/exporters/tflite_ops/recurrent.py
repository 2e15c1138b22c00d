"""Recurrent operators. Their variables are operands; new values of variables are no outputs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ... import ops
from ...dtype import DType, QParams
from ...graph import Node, TensorType, Value
from ..tflite_call import Row, Written

BASIC = 1
"""The LSTM kernel whose gates are one matrix product, in the schema's LSTMKernelType."""


def basic_lstm(op: ops.BasicLstm, node: Node) -> Written:
    fields = {"FusedActivationFunction": ops.Nonlinearity.TANH.value, "KernelType": BASIC}
    return Written(op.name, node.inputs, "LSTMOptions", fields)


def lstm(op: ops.Lstm, node: Node) -> Written:
    return _layer(op, node, "LSTMOptions", _settings(op.settings), op.intermediates)


def unidirectional_sequence_lstm(op: ops.UnidirectionalSequenceLstm, node: Node) -> Written:
    fields = {**_settings(op.settings), "TimeMajor": op.time_major}
    return _layer(op, node, "UnidirectionalSequenceLSTMOptions", fields, op.intermediates)


def bidirectional_sequence_lstm(op: ops.BidirectionalSequenceLstm, node: Node) -> Written:
    fields = {
        **_settings(op.settings),
        "TimeMajor": op.time_major,
        "MergeOutputs": op.merge_outputs,
    }
    return _layer(op, node, "BidirectionalSequenceLSTMOptions", fields)


def _settings(settings: ops.LstmSettings) -> dict[str, Any]:
    return {
        "FusedActivationFunction": settings.activation.value,
        "CellClip": settings.cell_clip,
        "ProjClip": settings.proj_clip,
        "AsymmetricQuantizeInputs": settings.asymmetric,
    }


def rnn(op: Any, node: Node) -> Written:
    options = "RNNOptions" if isinstance(op, ops.Rnn) else "SequenceRNNOptions"
    if isinstance(op, ops.BidirectionalSequenceRnn):
        options = "BidirectionalSequenceRNNOptions"
    fields = {
        "FusedActivationFunction": op.activation.value,
        "AsymmetricQuantizeInputs": op.asymmetric,
    }
    if not isinstance(op, ops.Rnn):
        fields["TimeMajor"] = op.time_major
    if isinstance(op, ops.BidirectionalSequenceRnn):
        fields["MergeOutputs"] = op.merge_outputs
    return _layer(op, node, options, fields)


def svdf(op: ops.Svdf, node: Node) -> Written:
    fields = {
        "Rank": op.rank,
        "FusedActivationFunction": op.activation.value,
        "AsymmetricQuantizeInputs": op.asymmetric,
    }
    return _layer(op, node, "SVDFOptions", fields)


def _layer(
    op: ops.Recurrent,
    node: Node,
    options: str,
    fields: dict[str, Any],
    intermediates: Sequence[QParams | None] = (),
) -> Written:
    given = iter(node.inputs)
    inputs: list[Value | None] = [next(given) if there else None for there in op.present]
    last = len(intermediates) - 1
    types = [_intermediate(quant, i == last) for i, quant in enumerate(intermediates)]
    outputs = len(node.outputs) - len(op.state_operands)
    return Written(op.name, inputs, options, fields, intermediates=types, outputs=outputs)


def _intermediate(quant: QParams | None, is_last: bool) -> TensorType:
    """The type of a tensor without elements; the product of output gate and cell is the last."""
    if quant is None:
        return TensorType((0,), DType.FLOAT32)
    return TensorType((0,), DType.INT8 if is_last else DType.INT16, quant)


ROWS: dict[type[ops.Op], Row] = {
    ops.BasicLstm: basic_lstm,
    ops.BidirectionalSequenceLstm: bidirectional_sequence_lstm,
    ops.BidirectionalSequenceRnn: rnn,
    ops.Lstm: lstm,
    ops.Rnn: rnn,
    ops.Svdf: svdf,
    ops.UnidirectionalSequenceLstm: unidirectional_sequence_lstm,
    ops.UnidirectionalSequenceRnn: rnn,
}
