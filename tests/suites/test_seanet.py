"""SEANet's operators of int16 activations and int8 weights: the golden results bit for bit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pytest

import edgewise as ew
from edgewise.graph import Graph
from edgewise.importers import load

pytestmark = pytest.mark.data

Array = npt.NDArray[Any]

CASES = {
    "add": 12,
    "conv": 12,
    "leaky_relu": 12,
    "pad": 13,
    "quantize": 1,
    "strided_slice": 11,
    "sub": 3,
    "transpose_conv": 2,
}


class Case(NamedTuple):
    name: str
    model: bytes
    inputs: tuple[Array, ...]
    golden: Array


def read_cases(data: Path) -> Iterator[Case]:
    for path in sorted((data / "suites" / "tflm_seanet").glob("*/*.tflite")):
        inputs = sorted(path.parent.glob(f"{path.stem}_input*"))
        (golden,) = path.parent.glob(f"{path.stem}_golden*")
        yield Case(
            path.stem, path.read_bytes(), tuple(map(read_numbers, inputs)), read_numbers(golden)
        )


def read_numbers(path: Path) -> Array:
    """The numbers of a .csv file, of the type that its name ends with."""
    dtype = path.stem.rsplit("_", 1)[1]
    return np.loadtxt(path, delimiter=",", dtype=np.int64, ndmin=1).astype(dtype)


@pytest.fixture(scope="module")
def cases(data: Path) -> list[Case]:
    return list(read_cases(data))


def fed(graph: Graph, case: Case) -> list[Array]:
    """The arrays of a case in the shapes of the graph's inputs."""
    return [a.reshape(v.type.shape) for a, v in zip(case.inputs, graph.inputs, strict=True)]


def test_references(cases: list[Case]) -> None:
    wrong = []
    for case in cases:
        graph = load(case.model)
        values = dict(zip(graph.inputs, fed(graph, case), strict=True))
        for node, results in graph.reference(values):
            values.update(zip(node.outputs, results, strict=True))
        if not np.array_equal(values[graph.outputs[0]].ravel(), case.golden):
            wrong.append(case.name)
    assert wrong == []


def test_programs(cases: list[Case]) -> None:
    wrong = []
    for case in cases:
        graph = load(case.model)
        program = ew.compile(graph)
        assert not program.plan.fallbacks, case.name
        if not np.array_equal(np.ravel(program(*fed(graph, case))), case.golden):
            wrong.append(case.name)
        program.close()
    assert wrong == []


def test_every_case_is_there(cases: list[Case]) -> None:
    assert Counter(case.name.rstrip("0123456789") for case in cases) == CASES
