"""CMSIS-NN's golden cases: bit for bit for integers, by references and by compiled programs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from cmsis_nn import golden, read_cases
from cmsis_nn_case import Array, Case, Golden

import edgewise as ew
from edgewise.graph import Graph, verify
from edgewise.ops import Rounding
from edgewise.passes.requantization import requantize

pytestmark = pytest.mark.data

CASES = 247
FLOAT, HALF = 1e-5, 4e-3
"""How far float results may lie from the golden ones, which are float32 and float16 arithmetic;
relative to their greatest magnitude, or 1."""

TWO_GENERATIONS = "its file mixes two generations of the test, which do not belong together"
INPUT_CLAMP = "clamps the products of features, which no operator of .tflite does"
EXCEPTIONS = {
    "ds_cnn_s_body_f16": "a network of layers whose cases stand for themselves",
    "fully_connected_int4_6": "an output zero point of 128, which int8 cannot hold",
    "lstm_one_time_step": TWO_GENERATIONS,
    "svdf_batch2_f32": INPUT_CLAMP,
    "svdf_match_1_f16": INPUT_CLAMP,
    "svdf_match_1_f32": INPUT_CLAMP,
    "svdf_match_2_f16": INPUT_CLAMP,
    "svdf_match_2_f32": INPUT_CLAMP,
    "svdf_small_f32": INPUT_CLAMP,
}
"""The cases that are left out, and why."""

BY_REFERENCE = {"SOFTMAX", "SVDF", "UNIDIRECTIONAL_SEQUENCE_LSTM"}
"""Operators that no kernel computes as these cases ask for."""

Run = Callable[[Graph, Sequence[Sequence[Array]]], Array]


@pytest.fixture(scope="module")
def cases(data: Path) -> list[Case]:
    return list(read_cases(data))


def by_references(graph: Graph, calls: Sequence[Sequence[Array]]) -> Array:
    kept = {state.before: state.initial for state in graph.states}
    for arrays in calls:
        values = {**dict(zip(graph.inputs, arrays, strict=True)), **kept}
        for node, outputs in graph.reference(values):
            values.update(zip(node.outputs, outputs, strict=True))
        kept = {state.before: values[state.after] for state in graph.states}
    return values[graph.outputs[0]]


def compiled(graph: Graph, calls: Sequence[Sequence[Array]]) -> Array:
    program = ew.compile(graph)
    assert {node.op.name for node in program.plan.fallbacks} <= BY_REFERENCE
    for arrays in calls:
        result = program(*arrays)
    program.close()
    return np.asarray(result)


def wrong(case: Case, found: Array, made: Golden) -> str | None:
    """How a result differs from the golden one; None where it does not."""
    expected = made.expected.astype(np.float64)
    difference = np.abs(found.astype(np.float64) - expected).max()
    bound = 0.0
    if case.is_float:
        bound = (HALF if case.is_half else FLOAT) * max(1.0, np.abs(expected).max())
    return f"{case.name}: off by {difference}" if difference > bound else None


@pytest.mark.parametrize("run", [by_references, compiled], ids=["reference", "compiled"])
@pytest.mark.parametrize("kind", ["integer", "float"])
def test_all(cases: list[Case], kind: str, run: Run) -> None:
    failures = []
    for case in cases:
        if case.name in EXCEPTIONS or case.is_float != (kind == "float"):
            continue
        made = golden(case)
        assert made is not None, case.name
        graph = requantize(made.graph, Rounding.FIXED_POINT)
        verify(graph)
        failures.append(wrong(case, run(graph, made.calls), made))
    assert [f for f in failures if f] == []


def test_every_case_is_there(cases: list[Case]) -> None:
    names = {case.name for case in cases}
    assert len(names) == CASES
    assert set(EXCEPTIONS) <= names
    counts = {kind: sum(case.is_float == kind for case in cases) for kind in (False, True)}
    assert counts == {False: 111, True: 136}


def test_rounding_matters(cases: list[Case]) -> None:
    """The float rule and the single rounding miss cases: the test above can tell them apart."""
    for rounding in (Rounding.FLOAT, Rounding.FIXED_POINT_SINGLE):
        failures = []
        for case in cases:
            if case.is_float or case.name in EXCEPTIONS or case.name.startswith("lstm"):
                continue
            made = golden(case)
            assert made is not None
            found = by_references(requantize(made.graph, rounding), made.calls)
            failures.append(wrong(case, found, made))
        assert sum(f is not None for f in failures) > 5
