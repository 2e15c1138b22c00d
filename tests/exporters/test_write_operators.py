"""Each operator of a file, read and written again: equal nodes, and LiteRT's result to the bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from test_tflite_operators import CASES, run

from edgewise import exporters
from edgewise.errors import UnsupportedError
from edgewise.graph import Graph, verify
from edgewise.importers import load
from edgewise.ops import Reshape
from tflite_builder import run_litert

SHAPED_BY_VALUES = {"gather strings"}


def written(graph: Graph) -> bytes:
    return exporters.to_tflite(exporters.prepare(graph))


def nodes(graph: Graph) -> list[Any]:
    """All of a graph's nodes but names; of a RESHAPE, what it comes to."""
    return [
        (
            "RESHAPE" if isinstance(node.op, Reshape) else str(node.op),
            [(str(v.type), v.is_constant) for v in node.inputs],
            [str(v.type) for v in node.outputs],
        )
        for node in graph.nodes
    ]


def assert_equal(found: Any, expected: Any) -> None:
    assert len(found) == len(expected)
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_array_equal(a, b, strict=True)


@pytest.mark.parametrize("name", sorted(CASES.keys() - SHAPED_BY_VALUES))
def test_round_trip(name: str) -> None:
    case = CASES[name]
    content = case.file()
    graph = load(content)
    again = written(graph)
    read = load(again)
    verify(read)
    assert nodes(read) == nodes(graph)
    assert [v.name for v in read.inputs] == [v.name for v in graph.inputs]
    assert [v.name for v in read.outputs] == [v.name for v in graph.outputs]
    rng = np.random.default_rng(7)
    arrays = [case.data(rng, v.type) for v in graph.inputs]
    assert_equal(run(read, arrays), run(graph, arrays))
    assert_equal(run_litert(again, arrays), run_litert(content, arrays))


@pytest.mark.parametrize("name", sorted(SHAPED_BY_VALUES))
def test_shapes_that_only_a_call_knows(name: str) -> None:
    with pytest.raises(UnsupportedError, match=r"INTERPRETED.*only a call tells the shapes of"):
        written(load(CASES[name].file()))
