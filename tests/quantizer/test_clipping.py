"""Ranges chosen by what reads them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from float_nets import RealNet, classifier, sqnr

from edgewise.data import Samples
from edgewise.errors import InputError
from edgewise.graph import Array, Graph
from edgewise.ops import Conv2D
from edgewise.quantizer import Range, Recipe, State, convert
from edgewise.quantizer.calibrate import calibrate
from edgewise.quantizer.clipping import candidates, clipping
from edgewise.quantizer.state import Scope, float_network, silent
from networks import reference


def pictures(outlier: float, channel: int, count: int = 12) -> list[Array]:
    """One channel of each has one great number."""
    rng = np.random.default_rng(4)
    made = [rng.normal(0, 1, (1, 8, 8, 3)).astype(np.float32) for _ in range(count)]
    for picture in made:
        picture[0, 3, 3, channel] = outlier
    return made


def reader(importance: tuple[float, float, float]) -> Graph:
    """A convolution whose weights are great for some channels."""
    net = RealNet(2)
    x = net.real(1, 8, 8, 3)
    w = net.weights(16, 1, 1, 3).data
    assert w is not None
    data = (w * np.array(importance)).astype(np.float32)
    weights = net.constant(16, 1, 1, 3, data=data, dtype=x.type.dtype, quant=None)
    return net.graph(net.add(Conv2D(), x, weights, net.bias(16), name="y"))


def ready(graph: Graph, inputs: list[Array], recipe: str = "int8") -> tuple[State, Samples]:
    data = Samples.of(inputs, graph)
    return calibrate(Recipe.of(recipe).start(float_network(graph)), data, observer="minmax"), data


def test_an_outlier_that_nobody_reads_is_cut_off() -> None:
    graph, inputs = reader((1, 1, 0.001)), pictures(60, 2)
    state, data = ready(graph, inputs)
    found = clipping(state, data, silent)
    assert state.ranges["x"].high == 60
    assert found.ranges["x"].high < 22
    assert found.ranges["y"] == state.ranges["y"]
    expected = np.stack([reference(graph, [x])[0] for x in inputs])
    before, after = (
        sqnr(np.stack([reference(convert(s).graph, [x])[0] for x in inputs]), expected)
        for s in (state, found)
    )
    assert after > before + 5


def test_one_that_counts_stays() -> None:
    graph = reader((0.001, 0.001, 1))
    state, data = ready(graph, pictures(60, 2))
    assert clipping(state, data, silent).ranges["x"].high == pytest.approx(60, rel=0.01)


def test_what_is_tried() -> None:
    state, _ = ready(classifier(), pictures(1, 0))
    own = Range(-0.5, 0.25)
    narrow = replace(state, ranges={**state.ranges, "x": own}, extremes={"x": Range(-4.0, 8.0)})
    two = candidates(narrow, "x")
    assert two[0] == own
    assert two[1] == (-4, 8)
    assert all(-4 <= r.low < -1 and 2 < r.high <= 8 for r in two[1:])
    assert len(set(two)) == len(two)
    one = candidates(replace(state, ranges={"x": Range(0.0, 2.0)}, extremes={}), "x")
    assert one[:2] == [(0, 2), (0, 2)]
    assert all(r.low == 0 for r in one)


def test_scopes_and_precisions() -> None:
    graph = reader((1, 1, 0.001))
    state, data = ready(graph, pictures(60, 2))
    assert clipping(state, data, silent, scope=Scope(names=("z",))).ranges == state.ranges
    words, data = ready(graph, pictures(60, 2), "int16x8")
    assert clipping(words, data, silent).ranges == words.ranges


@pytest.mark.parametrize("option", ["limit", "positions"])
def test_options_out_of_range(option: str) -> None:
    state, data = ready(classifier(), pictures(1, 0, 2))
    with pytest.raises(InputError, match=f"clipping: {option} is 0; it is at least 1"):
        clipping(state, data, silent, **{option: 0})
