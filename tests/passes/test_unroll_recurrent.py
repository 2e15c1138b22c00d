"""Recurrent layers as matrix products and elementwise operators: the same results."""

from __future__ import annotations

import sys

import numpy as np
import pytest

import edgewise as ew
from edgewise import exporters, ops
from edgewise.errors import UnsupportedError
from edgewise.graph import verify
from edgewise.importers import load
from edgewise.passes.unroll_recurrent import MAX_STEPS, unroll_recurrent
from recurrent_files import CASES, bidirectional_lstm, calls_of, lstm, rnn, run_calls

KEPT = ("int8", "norm", "svdf", "basic", "hybrid peephole")
PLAIN = ("lstm", "lstm time major")
BY_KERNEL = (
    "lstm one step",
    "bidirectional lstm",
    "bidirectional lstm merged",
    "bidirectional lstm time major",
    "bidirectional lstm stacked",
)
UNROLLED = [name for name in CASES if name not in PLAIN and not any(k in name for k in KEPT)]


@pytest.mark.parametrize("name", UNROLLED)
def test_unrolled(name: str) -> None:
    graph = load(CASES[name].model)
    unrolled = unroll_recurrent(graph)
    verify(unrolled)
    left = {type(n.op) for n in unrolled.nodes if isinstance(n.op, ops.Recurrent)}
    assert left == ({ops.UnidirectionalSequenceLstm} if name in BY_KERNEL else set())
    calls = calls_of(CASES[name])
    for mine, expected in zip(run_calls(unrolled, calls), run_calls(graph, calls), strict=True):
        for found, wanted in zip(mine, expected, strict=True):
            np.testing.assert_allclose(found, wanted, rtol=0, atol=5e-7)


@pytest.mark.parametrize("name", [name for name in CASES if name not in UNROLLED])
def test_left_alone(name: str) -> None:
    graph = load(CASES[name].model)
    assert unroll_recurrent(graph) is graph


def test_inputs_are_multiplied_before_the_first_step() -> None:
    nodes = unroll_recurrent(load(lstm(peephole=True).model)).nodes
    assert isinstance(nodes[0].op, ops.FullyConnected)
    assert nodes[0].outputs[0].type.shape == (2, 5, 28)
    assert sum(isinstance(node.op, ops.FullyConnected) for node in nodes) == 6


PROGRAMS = {
    "lstm": lstm(),
    "lstm one step": lstm(one_step=True),
    "lstm peephole": lstm(peephole=True),
    "bidirectional lstm": bidirectional_lstm(),
    "rnn": rnn(time_major=False),
    "lstm hybrid": lstm("hybrid"),
    "lstm hybrid asymmetric": lstm("hybrid", AsymmetricQuantizeInputs=True),
    "bidirectional lstm hybrid": bidirectional_lstm("hybrid"),
    "rnn hybrid": rnn("hybrid"),
}


@pytest.mark.parametrize("case", PROGRAMS.values(), ids=PROGRAMS)
def test_programs_keep_states(case: object) -> None:
    graph = load(case.model)  # type: ignore[attr-defined]
    calls = calls_of(case)  # type: ignore[arg-type]
    program = ew.compile(graph)
    for arrays, expected in zip(calls, run_calls(graph, calls), strict=True):
        found = program(*arrays)
        for mine, wanted in zip(found if len(expected) > 1 else [found], expected, strict=True):
            np.testing.assert_allclose(mine, wanted, rtol=0, atol=1e-5)
    assert not program.fallbacks
    program.close()


def test_files_have_no_rows_quantized_as_layers_do() -> None:
    unrolled = unroll_recurrent(load(lstm("hybrid").model))
    with pytest.raises(UnsupportedError, match=r"FULLY_CONNECTED.*rows that are quantized as"):
        exporters.to_tflite(unrolled)


def test_long_sequences_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    graph = load(lstm(cifg=True).model)
    monkeypatch.setattr(sys.modules[unroll_recurrent.__module__], "MAX_STEPS", 4)
    assert unroll_recurrent(graph) is graph
    assert MAX_STEPS > 28
