"""The pipeline as a whole."""

from __future__ import annotations

import pytest
from small_graphs import BORDER, WEIGHTS, Net, check

from edgewise.errors import GraphError
from edgewise.graph import Graph, Node
from edgewise.ops import (
    Add,
    Conv2D,
    Pad,
    Relu,
    Reshape,
    Squeeze,
)
from edgewise.passes import (
    PIPELINE,
    optimize,
    remove_dead_nodes,
)


def test_the_pipeline_is_named_and_documented() -> None:
    for step in PIPELINE:
        assert step.__doc__ is not None
        assert "Given:" in step.__doc__
        assert "Result:" in step.__doc__
    assert len({step.__name__ for step in PIPELINE}) == len(PIPELINE)


def test_optimize_composes() -> None:
    net = Net()
    x = net.input(1, 4, 4, 4)
    w = net.constant(4, 3, 3, 4, quant=WEIGHTS)
    a = net(Relu(), net(Conv2D(), net(Pad(BORDER), x, origin="pad"), w, origin="conv"), origin="r")
    y = net(Squeeze(), net(Add(), a, x, origin="add"), name="y", origin="squeeze")
    result = check(optimize, net.graph(y))
    assert [node.origin for node in result.nodes] == ["pad+conv+r+add", "squeeze"]


def test_optimize_verifies_and_names_the_pass() -> None:
    net = Net()
    graph = net.graph(net(Relu(), net.input(4)))

    def breaks(graph: Graph) -> Graph:
        return graph.with_nodes(())

    def mistypes(graph: Graph) -> Graph:
        (node,) = graph.nodes
        return graph.with_nodes([Node(Reshape((5,)), node.inputs, node.outputs)])

    with pytest.raises(GraphError, match="after pass breaks: graph output"):
        optimize(graph, (breaks,))
    with pytest.raises(GraphError, match="after pass mistypes: RESHAPE"):
        optimize(graph, (remove_dead_nodes, mistypes))
    with pytest.raises(GraphError, match=r"^graph output"):
        optimize(graph.with_nodes(()))
