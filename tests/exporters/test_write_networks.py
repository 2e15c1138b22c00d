"""Every network of the data folder, written: equal when it is read again, and in LiteRT."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from test_write_operators import assert_equal, nodes, written

from data_folder import data_folder
from edgewise.graph import verify
from edgewise.importers import load
from edgewise.tools.differences import random_inputs
from edgewise.tools.peers import LiteRT
from recurrent_files import run_calls

pytestmark = pytest.mark.data

FOLDER = data_folder()
MODELS = sorted((FOLDER / "models").glob("*.tflite")) if FOLDER else []

WRITTEN_OUT = {"wakeword_computer_float"}
"""Networks whose loops are written turn by turn."""

LARGE = 3e8
"""Multiply-adds above which the reference takes long."""


@pytest.mark.parametrize("path", MODELS, ids=lambda path: path.stem)
def test_round_trip(path: Path) -> None:
    """Equal nodes, constants, states and names, and LiteRT's results to the bit, call by call.

    What the file stores in fewer bits stays so.
    """
    graph = load(path)
    again = written(graph)
    assert len(again) < 1.001 * path.stat().st_size or path.stem in WRITTEN_OUT
    read = load(again)
    verify(read)
    assert nodes(read) == nodes(graph)
    operands = zip(*([v for n in g.nodes for v in n.inputs] for g in (read, graph)), strict=True)
    assert all(np.array_equal(a.data, b.data) for a, b in operands if a.is_constant)
    assert [v.name for v in read.inputs] == [v.name for v in graph.inputs]
    assert [v.name for v in read.outputs] == [v.name for v in graph.outputs]
    assert dict(read.metadata) == dict(graph.metadata)
    assert [s.before.name for s in read.states] == [s.before.name for s in graph.states]
    assert_equal([s.initial for s in read.states], [s.initial for s in graph.states])
    peer, other = LiteRT(path), LiteRT(again)
    for arrays in random_inputs(graph, 2, 0):
        assert_equal(other.run(arrays), peer.run(arrays))


@pytest.mark.slow
@pytest.mark.parametrize("path", MODELS, ids=lambda path: path.stem)
def test_references(path: Path) -> None:
    graph = load(path)
    if graph.macs > LARGE:
        pytest.skip("its reference takes long; its nodes and constants are equal")
    read = load(written(graph))
    (arrays,) = random_inputs(graph, 1, 0)
    assert_equal(run_calls(read, [arrays])[0], run_calls(graph, [arrays])[0])


def test_there_are_networks() -> None:
    assert len(MODELS) >= 33
