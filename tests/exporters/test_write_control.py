"""Loops, conditions, variables, recurrent layers and bodies, written: LiteRT runs them alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import test_stablehlo
import test_tflite_control
from test_write_operators import assert_equal, nodes, written
from tflite_files import F32, Case, real

import recurrent_files
from edgewise import exporters
from edgewise.dtype import DType
from edgewise.errors import UnsupportedError
from edgewise.graph import Array, Graph, Node, State, TensorType, Value, verify
from edgewise.importers import load
from edgewise.ops import Add, LstmSettings, Nonlinearity, Relu, Rnn
from recurrent_files import calls_of, run_calls
from tflite_builder import run_litert_calls

LATE = {"shapes that depend on values", "table"}
CONTROL = {name: case for name, case in test_tflite_control.CASES.items() if name not in LATE}


def same_states(found: Graph, expected: Graph) -> None:
    assert [s.before.name for s in found.states] == [s.before.name for s in expected.states]
    assert_equal([s.initial for s in found.states], [s.initial for s in expected.states])


@pytest.mark.parametrize("name", CONTROL)
def test_control(name: str) -> None:
    make, calls, _ = CONTROL[name]
    content = make()
    graph = load(content)
    again = written(graph)
    read = load(again)
    verify(read)
    assert [n.op.name for n in read.nodes] == [n.op.name for n in graph.nodes]
    same_states(read, graph)
    results = zip(run_litert_calls(again, calls), run_litert_calls(content, calls), strict=True)
    for found, expected in results:
        assert_equal(found, expected)


@pytest.mark.parametrize("name", recurrent_files.CASES)
def test_recurrent(name: str) -> None:
    made = recurrent_files.CASES[name]
    graph, calls = load(made.model), calls_of(made)
    again = written(graph)
    read = load(again)
    assert nodes(read) == nodes(graph)
    same_states(read, graph)
    for found, expected in zip(run_calls(read, calls), run_calls(graph, calls), strict=True):
        assert_equal(found, expected)
    results = zip(run_litert_calls(again, calls), run_litert_calls(made.model, calls), strict=True)
    for found, expected in results:
        assert_equal(found, expected)


def stablehlo() -> dict[str, tuple[bytes, Case]]:
    s = test_stablehlo
    found = {f"gather {name}": (case.file(), case) for name, case in s.GATHERED.items()}
    for computation in (f"STABLEHLO_{name}" for name in s.NAMES):
        for kind, cases in (("scatter", s.SCATTERED), ("window", s.WINDOWS)):
            for name, case in cases.items():
                content = s.with_computation(case, computation)
                found[f"{kind} {name} {computation}"] = content, case
    return found


BODIES = stablehlo()


@pytest.mark.parametrize("name", BODIES)
def test_operators_with_bodies(name: str) -> None:
    content, case = BODIES[name]
    graph = load(content)
    again = written(graph)
    assert nodes(load(again)) == nodes(graph)
    rng = np.random.default_rng(7)
    arrays = [[case.data(rng, v.type) for v in graph.inputs]]
    assert_equal(run_litert_calls(again, arrays)[0], run_litert_calls(content, arrays)[0])


def rnn(initial: float = 0.0, shown: bool = False) -> Graph:
    """A layer of one step with a state, which is the graph's only output too if ``shown``."""
    rng = np.random.default_rng(1)
    x, state = (Value(name, real(1, 3)) for name in ("x", "state"))
    shapes = ((3, 3), (3, 3), (3,))
    weights = [Value(f"w{i}", real(*s), rng.normal(size=s).astype(np.float32))
               for i, s in enumerate(shapes)]  # fmt: skip
    y, after = (Value(name, real(1, 3)) for name in ("y", "after"))
    node = Node(Rnn(activation=Nonlinearity.TANH), (x, *weights, state), (y, after), "layer")
    kept = State(state, after, np.full((1, 3), initial, np.float32))
    graph = Graph((x,), (after if shown else y,), (node,), states=(kept,))
    verify(graph)
    return graph


def test_a_state_of_one_operator_is_a_variable_tensor() -> None:
    again = load(exporters.to_tflite(rnn()))
    assert [n.op.name for n in again.nodes] == ["RNN"]
    assert len(again.states) == 1


@pytest.mark.parametrize("graph", [rnn(1.0), rnn(shown=True)], ids=["starts at 1", "is shown"])
def test_a_state_that_cannot_be_an_operator_s_own(graph: Graph) -> None:
    rule = r"RNN 'layer': its state must be a variable of its own, 0 before the first call"
    with pytest.raises(UnsupportedError, match=rule):
        exporters.to_tflite(graph)


def test_states_that_trade_places() -> None:
    """Each becomes what the other was; a third stays, and one is read by the graph alone."""
    t = TensorType((2,), F32)
    x, a, b, c, y = (Value(name, t) for name in "xabcy")
    starts: Sequence[Array] = [np.array([n, n + 1], np.float32) for n in (1, 10, 100)]
    states = tuple(State(*s) for s in zip((a, b, c), (b, a, c), starts, strict=True))
    nodes: Any = Node(Add(), (x, a), (y,), "sum"), Node(Relu(), (c,), (z := Value("z", t),), "kept")
    graph = Graph((x,), (y, z), nodes, states=states)
    verify(graph)
    again = exporters.to_tflite(graph)
    same_states(load(again), graph)
    zeros = [[np.zeros(2, np.float32)]] * 3
    assert [[r.tolist() for r in results] for results in run_litert_calls(again, zeros)] == [
        [[1, 2], [100, 101]],
        [[10, 11], [100, 101]],
        [[1, 2], [100, 101]],
    ]


def test_outputs_that_no_operator_computes() -> None:
    """An input, and a constant."""
    x = Value("x", TensorType((2,), F32))
    one = Value("one", TensorType((1,), DType.INT32), np.array([7], np.int32))
    y = Value("y", x.type)
    graph = Graph((x,), (x, one, y), (Node(Relu(), (x,), (y,), "relu"),))
    content = exporters.to_tflite(graph)
    results = run_litert_calls(content, [[np.array([-1, 2], np.float32)]])[0]
    assert [r.tolist() for r in results] == [[-1, 2], [7], [0, 2]]


def test_every_node_that_cannot_be_written_is_named() -> None:
    graph = rnn(1.0)
    (layer,) = graph.nodes
    z = Value("z", graph.outputs[0].type)
    clip = replace(layer, op=Unknown(), inputs=graph.outputs, outputs=(z,), origin="odd")
    w = Value("w", z.type)
    again = replace(clip, inputs=(z,), outputs=(w,), origin="odder")
    graph = replace(graph, nodes=(layer, clip, again), outputs=(w,))
    with pytest.raises(UnsupportedError) as error:
        exporters.to_tflite(graph)
    assert str(error.value) == (
        "3 of the graph's nodes cannot be in a .tflite file: RNN 'layer': its state must be a "
        "variable of its own, 0 before the first call; Unknown 'odd' and 1 more: TensorFlow Lite "
        "has no such operator"
    )


class Unknown(Relu):
    """An operator that no table lists."""

    name = "Unknown"


def test_settings_are_told() -> None:
    """A file whose options differ from the defaults says so."""
    content = written(load(recurrent_files.CASES["lstm peephole"].model))
    (layer,) = load(content).nodes
    assert layer.op.settings == LstmSettings(cell_clip=float(np.float32(0.3)))  # type: ignore[attr-defined]
