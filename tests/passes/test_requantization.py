"""One rule of requantization for a whole graph."""

from __future__ import annotations

import numpy as np
from small_graphs import WEIGHTS, Net, Q, evaluate

import edgewise as ew
from edgewise import passes
from edgewise.dtype import DType
from edgewise.graph import Graph, verify
from edgewise.ops import Add, Conv2D, Fused, Rounding
from edgewise.passes.requantization import requantize, rounding_of


def network() -> Graph:
    net = Net(3)
    x = net.input(1, 9, 9, 8)
    w = net.constant(8, 3, 3, 8, quant=WEIGHTS)
    y = net(Conv2D(padding=(1, 1, 1, 1)), x, w, quant=Q(3.1, -4))
    return net.graph(net(Add(), y, x))


def test_every_operator_that_rounds_gets_the_rule() -> None:
    graph = network()
    changed = requantize(graph, Rounding.FIXED_POINT)
    verify(changed)
    assert [rounding_of(node.op) for node in changed.nodes] == [Rounding.FIXED_POINT] * 2
    assert [node.op for node in requantize(changed, Rounding.FLOAT).nodes] == [
        node.op for node in graph.nodes
    ]


def test_heads_of_fused_operators_get_it() -> None:
    graph = passes.optimize(network())
    (node,) = graph.nodes
    assert isinstance(node.op, Fused)
    (changed,) = requantize(graph, Rounding.FIXED_POINT_SINGLE).nodes
    assert rounding_of(changed.op) is Rounding.FIXED_POINT_SINGLE


def test_programs_follow_it() -> None:
    graph = network()
    changed = requantize(graph, Rounding.FIXED_POINT)
    (x,) = graph.inputs
    for seed in range(3):
        data = np.random.default_rng(seed).integers(-128, 128, x.type.shape).astype(np.int8)
        expected = evaluate(changed, {x: data})[0]
        program = ew.compile(graph, requantization="fixed_point")
        np.testing.assert_array_equal(program(data), expected)
        assert not program.fallbacks
        program.close()


def test_graphs_without_integers_stay() -> None:
    net = Net()
    x = net.input(2, 3, dtype=DType.FLOAT32, quant=None)
    graph = net.graph(net(Add(), x, x, quant=None))
    assert requantize(graph, Rounding.FIXED_POINT).nodes == graph.nodes
