"""What the caller sees joined keeps a scale for each part."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest
from float_nets import RealNet, sqnr, state_of

from edgewise.dtype import DType
from edgewise.graph import Graph, State
from edgewise.ops import Concatenation, Conv2D, Logistic, Mul, Relu, Reshape, Transpose
from edgewise.quantizer import convert
from edgewise.quantizer.outputs import joins_of_outputs
from networks import random_inputs, reference


def detector() -> Graph:
    """Boxes in hundreds of pixels beside scores between 0 and 1, as detectors give them."""
    net = RealNet()
    x = net.real(1, 4, 4, 8)
    size = np.full((1,), 300, np.float32)
    boxes = net.add(Conv2D(), x, net.weights(4, 1, 1, 8), net.bias(4), name="offsets")
    boxes = net.add(Mul(), boxes, net.constant(1, dtype=DType.FLOAT32, quant=None, data=size))
    scores = net.add(Conv2D(), x, net.weights(2, 1, 1, 8), net.bias(2), name="logits")
    scores = net.add(Logistic(), scores, name="scores")
    both = net.add(Concatenation(3), boxes, scores, name="both")
    rows = net.add(Reshape((1, 16, 6)), both, name="rows")
    return net.graph(net.add(Transpose((0, 2, 1)), rows, name="end"))


@pytest.mark.parametrize("precision", ["int8", "uint8", "int16x8"])
def test_scores_beside_boxes_keep_their_precision(precision: str) -> None:
    state = state_of(detector(), precision)
    found = convert(state)
    assert not found.left
    arrays = random_inputs(state.graph)
    (exact,), (near,) = reference(state.graph, arrays), reference(found.graph, arrays)
    assert sqnr(near[:, 4:], exact[:, 4:]) > 30
    assert [n.op.name for n in found.graph.nodes][-3:] == ["CONCATENATION", "RESHAPE", "TRANSPOSE"]
    assert all(v.type.dtype is DType.FLOAT32 for n in found.graph.nodes[-3:] for v in n.outputs)


@pytest.mark.parametrize(
    "recipe", [{"outputs": "int8"}, {"layers": [{"names": ["both"], "precision": "int8"}]}]
)
def test_integers_are_joined_where_that_is_asked_for(recipe: Mapping[str, object]) -> None:
    found = convert(state_of(detector(), recipe)).graph
    (join,) = (n for n in found.nodes if isinstance(n.op, Concatenation))
    assert join.outputs[0].type.dtype is DType.INT8


def test_what_other_layers_read_is_joined_as_integers() -> None:
    net = RealNet()
    x = net.real(1, 4, 4, 2)
    both = net.add(Concatenation(3), x, net.add(Relu(), x), name="both")
    last = net.add(Relu(), both, name="last")
    assert list(joins_of_outputs(net.graph(last))) == []
    assert list(joins_of_outputs(net.graph(last, both))) == []


def test_moves_that_join_nothing_are_of_integers() -> None:
    net = RealNet()
    x = net.real(1, 4, 4, 2)
    graph = net.graph(net.add(Reshape((1, 32)), x, name="flat"))
    assert list(joins_of_outputs(graph)) == []


def test_what_is_kept_for_the_next_call_is_no_output() -> None:
    net = RealNet()
    x, before = net.real(1, 2), net.real(1, 2, name="before")
    after = net.add(Concatenation(1), x, before, name="after")
    cut = net.add(Relu(), after, name="cut")
    graph = net.graph(cut, after)
    kept = replace(
        graph,
        inputs=(x,),
        outputs=(cut,),
        states=(State(before, after, np.zeros((1, 2), np.float32)),),
    )
    assert list(joins_of_outputs(kept)) == []
