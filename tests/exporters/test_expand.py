"""Operators that TensorFlow Lite lacks, as several that it has."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from small_graphs import Net, assert_unchanged, evaluate

from edgewise import exporters
from edgewise.dtype import DType
from edgewise.errors import UnsupportedError
from edgewise.exporters.expand import FUNCTIONS, expand
from edgewise.graph import Graph, Node, verify
from edgewise.importers import load
from edgewise.ops import (
    Atan,
    Erf,
    Gru,
    Lstm,
    Relu,
    Softplus,
    Tanh,
    UnidirectionalSequenceLstm,
)
from edgewise.ops.lstm import LAYER, NAMES, STATES
from tflite_builder import run_litert

F32 = DType.FLOAT32
DOMAIN = {
    "ACOS": (-1, 1),
    "ASIN": (-1, 1),
    "ATANH": (-0.99, 0.99),
    "ACOSH": (1, 50),
    "TAN": (-1, 1),
}


def every(node: Node) -> bool:
    return True


def none(node: Node) -> bool:
    return False


def function(op: Any, *shape: int) -> Graph:
    net = Net()
    return net.graph(net(op, net.input(*shape, dtype=F32, quant=None), quant=None, name="y"))


def agree(graph: Graph, tolerance: float, *arrays: Any) -> list[str]:
    """Require LiteRT's results of the written graph to be the reference's; its operators."""
    expected = evaluate(graph, dict(zip(graph.inputs, arrays, strict=True)))
    content = exporters.to_tflite(exporters.prepare(graph))
    for found, rule in zip(run_litert(content, arrays), expected, strict=True):
        np.testing.assert_allclose(found, rule, tolerance, tolerance)
    return [node.op.name for node in load(content).nodes]


@pytest.mark.parametrize("op", FUNCTIONS, ids=lambda op: op.name)
def test_functions(op: Any) -> None:
    low, high = DOMAIN.get(op.name, (-6, 6))
    x = np.linspace(low, high, 1001, dtype=np.float32)
    agree(function(op(), 1001), 2e-6, x)


@pytest.mark.parametrize("op", [Softplus(), Erf(), Atan()], ids=str)
def test_functions_of_large_numbers(op: Any) -> None:
    x = np.array([0, -0.0, 80, -80, 1e4, -1e4, 1e-6], np.float32)
    agree(function(op, 7), 1e-6, x)


def test_the_expansion_is_a_graph() -> None:
    graph = function(Softplus(), 2, 3)
    result = expand(graph, every)
    verify(result)
    assert (result.inputs, result.outputs) == (graph.inputs, graph.outputs)
    names = [node.op.name for node in result.nodes]
    assert names == ["ABS", "NEG", "EXP", "ADD", "LOG", "RELU", "ADD"]


def test_other_operators_and_other_types_stay() -> None:
    assert_unchanged(lambda graph: expand(graph, every), function(Tanh(), 2, 3))
    net = Net()
    whole = net.graph(net(Relu(), net.input(2, 3)))
    assert_unchanged(lambda graph: expand(graph, every), whole)


@pytest.mark.parametrize("linear", [True, False])
@pytest.mark.parametrize(("steps", "batch"), [(1, 1), (4, 2)])
def test_gru(linear: bool, steps: int, batch: int) -> None:
    net, depth, units = Net(), 3, 5
    x = net.input(steps, batch, depth, dtype=F32, quant=None)
    shapes = [(3, units, depth), (3, units, units), (3, units), (3, units)]
    weights = [net.constant(*s, dtype=F32, quant=None, data=small(net, s)) for s in shapes]
    state = net.input(batch, units, dtype=F32, quant=None, name="state")
    graph = net.graph(*net.all(Gru(linear), x, *weights, state, quant=None))
    verify(expand(graph, every))
    names = agree(graph, 1e-5, *(small(net, v.type.shape) for v in graph.inputs))
    assert names.count("TANH") == steps


def small(net: Net, shape: tuple[int, ...]) -> Any:
    return net.rng.normal(0, 0.5, shape).astype(np.float32)


def test_gru_of_computed_weights() -> None:
    net = Net()
    shapes = [(4, 1, 3), (3, 5, 3), (3, 5, 5), (3, 5), (3, 5), (1, 5)]
    inputs = [net.input(*s, dtype=F32, quant=None, name=f"i{i}") for i, s in enumerate(shapes)]
    graph = net.graph(*net.all(Gru(), *inputs, quant=None))
    with pytest.raises(UnsupportedError, match="GRU 'gru': TensorFlow Lite has no such operator"):
        exporters.to_tflite(exporters.prepare(graph))


def lstm(steps: int | None) -> Graph:
    """A layer whose states are an input and a constant."""
    net, batch, depth, cells = Net(), 2, 3, 4
    x = net.input(
        *((batch, depth) if steps is None else (batch, steps, depth)), dtype=F32, quant=None
    )
    state = net.input(batch, cells, dtype=F32, quant=None, name="state")
    given = {"input": x, STATES[0]: state}
    given[STATES[1]] = net.constant(batch, cells, dtype=F32, quant=None)
    for name in (n for n in LAYER if n.startswith(("input", "recurrent")) or "gate" in n):
        columns = {"input_to": (depth,), "recurren": (cells,)}.get(name[:8], ())
        shape = (cells, *columns)
        given[name] = net.constant(*shape, dtype=F32, quant=None, data=small(net, shape))
    present = tuple(name in given for name in NAMES)
    op = Lstm(present) if steps is None else UnidirectionalSequenceLstm(present)
    return net.graph(*net.all(op, *(given[n] for n in NAMES if n in given), quant=None))


@pytest.mark.parametrize("steps", [None, 1, 3])
def test_lstm_without_variables(steps: int | None) -> None:
    graph = lstm(steps)
    net = Net(4)
    names = agree(graph, 1e-5, *(small(net, v.type.shape) for v in graph.inputs))
    assert not any("LSTM" in name for name in names)
    assert names.count("TANH") == 2 * (steps or 1)


def test_layers_with_variables_stay() -> None:
    assert_unchanged(lambda graph: expand(graph, every), lstm(2))
    assert len(expand(lstm(2), none).nodes) > 10
