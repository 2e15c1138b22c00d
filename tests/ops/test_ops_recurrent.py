"""Recurrent operators, imported from files and run over several calls, give LiteRT's results."""

from __future__ import annotations

import numpy as np
import pytest

from edgewise import ops
from edgewise.dtype import DType, QParams
from edgewise.errors import GraphError
from edgewise.graph import TensorType, verify
from edgewise.importers import load
from edgewise.ops.fixed_functions import inverse_square_root, logistic, tanh
from recurrent_files import CASES, calls_of, run_calls
from tflite_builder import run_litert_calls


@pytest.mark.parametrize("name", CASES)
def test_as_litert(name: str) -> None:
    case = CASES[name]
    graph = load(case.model)
    verify(graph)
    calls = calls_of(case)
    for mine, peer in zip(
        run_calls(graph, calls), run_litert_calls(case.model, calls), strict=True
    ):
        for found, expected in zip(mine, peer, strict=True):
            assert (found.shape, found.dtype) == (expected.shape, expected.dtype)
            greatest = np.abs(expected.astype(float)).max()
            assert greatest > 0.01
            bound = case.tolerance * (1 if found.dtype == np.int8 else greatest)
            assert np.abs(found.astype(float) - expected.astype(float)).max() <= bound


def test_states_are_operands_and_outputs() -> None:
    (node,) = load(CASES["lstm cifg peephole"].model).nodes
    assert isinstance(node.op, ops.UnidirectionalSequenceLstm)
    names = [n for n, is_there in zip(node.op.names, node.op.present, strict=False) if is_there]
    positions = node.op.state_operands
    assert [names[i] for i in positions] == ["output_state", "cell_state"]
    after = node.outputs[1:]
    assert [v.type for v in after] == [node.inputs[i].type for i in positions]


def test_functions_of_fixed_point_numbers() -> None:
    x = np.arange(-(2**15), 2**15)
    assert np.abs(logistic(x) - 2**15 / (1 + np.exp(-x / 2**12))).max() < 7
    for bits in range(7):
        assert np.abs(tanh(x, bits) - 2**15 * np.tanh(x / 2.0 ** (15 - bits))).max() < 13
    numbers = np.array([2, 3, 10, 12345, 10**8, 2**29, 2**31 - 1])
    scaled, exponent = inverse_square_root(numbers)
    np.testing.assert_allclose(scaled * 2.0 ** (exponent - 31), numbers**-0.5, rtol=2e-6)
    assert inverse_square_root(np.array([0, 1]))[0].tolist() == [2**31 - 1] * 2


def node_of(name: str) -> tuple[ops.Recurrent, list[TensorType], list[str]]:
    (node,) = load(CASES[name].model).nodes
    assert isinstance(node.op, ops.Recurrent)
    given = zip(node.op.names, node.op.present, strict=False)
    return node.op, list(node.input_types), [n for n, is_there in given if is_there]


F32 = DType.FLOAT32
BROKEN = {
    "weights of another depth": ("lstm", "input_to_cell_weights", TensorType((7, 5), F32)),
    "bias of another size": ("lstm", "cell_gate_bias", TensorType((6,), F32)),
    "peephole of another size": (
        "lstm peephole",
        "cell_to_output_weights",
        TensorType((6,), F32),
    ),
    "state of another size": ("lstm", "cell_state", TensorType((2, 6), F32)),
    "weights of another type": ("lstm", "input_to_cell_weights", TensorType((7, 6), DType.INT32)),
    "float and 8-bit weights": (
        "lstm",
        "input_to_cell_weights",
        TensorType((7, 6), DType.INT8, QParams.per_tensor(0.1, 0)),
    ),
    "input of rank 2": ("lstm", "input", TensorType((2, 6), F32)),
    "integer state of another type": ("lstm int8", "cell_state", TensorType((2, 7), DType.INT32)),
    "cell scale": (
        "lstm int8",
        "cell_state",
        TensorType((2, 7), DType.INT16, QParams.per_tensor(0.003, 0)),
    ),
    "projection of another size": (
        "lstm projection",
        "projection_weights",
        TensorType((4, 6), F32),
    ),
    "units of rnn": ("rnn", "recurrent_weights", TensorType((7, 6), F32)),
    "aux_input of other steps": (
        "bidirectional rnn aux",
        "aux_input",
        TensorType((2, 4, 3), F32),
    ),
    "filters and rank": ("svdf", "weights_time", TensorType((13, 5), F32)),
    "svdf state": ("svdf", "state", TensorType((2, 69), F32)),
    "svdf of mixed integers": (
        "svdf int8",
        "weights_time",
        TensorType((14, 5), DType.INT8, QParams.per_tensor(0.1, 0)),
    ),
}


@pytest.mark.parametrize("what", BROKEN)
def test_operands_that_do_not_fit(what: str) -> None:
    case, name, changed = BROKEN[what]
    op, types, names = node_of(case)
    types[names.index(name)] = changed
    with pytest.raises(GraphError, match=op.name):
        op.infer(types)


def test_operands_that_lack() -> None:
    op, types, names = node_of("lstm")
    for name in ("forget_gate_bias", "input_to_input_weights", "cell_state"):
        at = names.index(name)
        present = tuple(there and n != name for n, there in zip(op.names, op.present, strict=False))
        with pytest.raises(GraphError, match="left out"):
            ops.UnidirectionalSequenceLstm(present).infer(types[:at] + types[at + 1 :])
    with pytest.raises(GraphError, match="are given"):
        op.infer(types[:-1])


def test_integer_lstm_without_parameters() -> None:
    op, types, _ = node_of("lstm int8")
    with pytest.raises(GraphError, match="tensors between its steps"):
        ops.UnidirectionalSequenceLstm(op.present).infer(types)


def test_basic_lstm_that_does_not_fit() -> None:
    (node,) = load(CASES["lstm basic"].model).nodes
    types = list(node.input_types)
    for i, changed in ((2, TensorType((28, 12), F32)), (1, TensorType((2, 7), DType.FLOAT64))):
        broken = [*types[:i], changed, *types[i + 1 :]]
        with pytest.raises(GraphError, match="LSTM"):
            node.op.infer(broken)
