"""Weights beside float activations, rounded with and without data; which have 8 bits in int4."""

from __future__ import annotations

import numpy as np
import pytest
from float_nets import RealNet, sqnr

import edgewise as ew
from edgewise import exporters
from edgewise.errors import InputError
from edgewise.graph import Array, Graph, Node
from edgewise.ops import Activation, Conv2D, DepthwiseConv2D, FullyConnected, Mean, TransposeConv
from edgewise.quantizer import Recipe
from edgewise.quantizer.prior import ALIKE, SQUARED_MEAN, expected, window_of
from edgewise.quantizer.weights import FEW_TERMS
from tflite_builder import run_litert_calls

RELU = Activation.RELU
SAME = (1, 1, 1, 1)


def network() -> Graph:
    """Convolutions of 27, 288, 9 and 32 terms, and a matrix."""
    net = RealNet(3)
    x = net.real(1, 12, 12, 3)
    n = 160
    a = net.add(Conv2D(padding=SAME, activation=RELU), x, net.weights(40, 3, 3, 3), net.bias(40))
    b = Conv2D(padding=SAME, activation=RELU)
    b = net.add(b, a, net.weights(n, 3, 3, 40), net.bias(n), name="b")
    c = DepthwiseConv2D(padding=SAME, activation=RELU)
    c = net.add(c, b, net.weights(1, 3, 3, n, scale=0.3), net.bias(n), name="c")
    d = net.add(Conv2D(activation=RELU), c, net.weights(40, 1, 1, n), net.bias(40), name="d")
    e = net.add(Mean((1, 2), False), d)
    return net.graph(net.add(FullyConnected(), e, net.weights(30, 40), net.bias(30), name="f"))


def pictures(count: int, seed: int = 0) -> list[Array]:
    """Smooth ones."""
    rng = np.random.default_rng(seed)
    coarse = rng.normal(size=(count, 1, 4, 4, 3)).astype(np.float32)
    return list(np.repeat(np.repeat(coarse, 3, 2), 3, 3))


def quality(graph: Graph, made: Graph) -> float:
    """Decibel on pictures that no network was fitted to."""
    own, exact = ew.compile(made), ew.compile(graph)
    calls = pictures(8, seed=1)
    found, real = (np.stack([np.array(p(x)) for x in calls]) for p in (own, exact))
    return sqnr(found, real)


@pytest.mark.parametrize(("mode", "gain"), [("int4", 3.0), ("dynamic_range", 0.5)])
def test_rounding_gains_without_data_and_more_with_them(mode: str, gain: float) -> None:
    graph = network()
    plain = ew.quantize(graph, recipe={"precision": mode, "steps": []}).graph
    unseen = ew.quantize(graph, recipe=mode)
    seen = ew.quantize(graph, pictures(24), recipe=mode)
    assert [spec.step for spec in unseen.recipe.steps] == ["gptq"]
    found = [quality(graph, made) for made in (plain, unseen.graph, seen.graph)]
    assert found[1] > found[0] + gain
    assert found[2] > found[1] + gain / 3
    assert exporters.to_tflite(unseen.graph) == exporters.to_tflite(
        ew.quantize(graph, recipe=mode).graph
    )


def test_sums_of_few_terms_have_8_bits() -> None:
    graph = network()
    found = ew.quantize(graph, recipe="int4")
    stored = {
        node.inputs[0].type.shape: node.inputs[0].type.quant
        for node in found.graph.nodes
        if node.op.name == "DEQUANTIZE"
    }
    bits = {shape: quant.bits for shape, quant in stored.items() if quant is not None}
    few, others = {(40, 3, 3, 3), (1, 3, 3, 160)}, {(160, 3, 3, 40), (40, 1, 1, 160), (30, 40)}
    assert bits == {**dict.fromkeys(few, None), **dict.fromkeys(others, 4)}
    assert FEW_TERMS == 32
    content = exporters.to_tflite(exporters.prepare(found.graph))
    (call,) = pictures(1)
    ((theirs,),) = run_litert_calls(content, [[call]])
    assert sqnr(np.array(ew.compile(ew.load(content))(call)), theirs) > 80


def test_layers_that_stay_float_are_not_fitted() -> None:
    """What follows would make up for errors that are not there."""
    net = RealNet(1)
    a = net.add(FullyConnected(), net.real(1, 31), net.weights(32, 31), net.bias(32), name="a")
    graph = net.graph(net.add(FullyConnected(), a, net.weights(64, 32), net.bias(64), name="b"))
    data = [np.random.default_rng(i).normal(size=(1, 31)).astype(np.float32) for i in range(8)]
    for given in (None, data):
        assert set(ew.quantize(graph, given, recipe="int4").state.weights) == {"b"}


@pytest.mark.parametrize(
    "recipe",
    [
        {"precision": "int4", "steps": ["bias_correction", "gptq"]},
        {"precision": "int4", "layers": [{"ops": "MEAN", "precision": "int8"}]},
        {"precision": "int8", "steps": ["gptq"]},
    ],
)
def test_recipes_that_need_data(recipe: dict[str, object]) -> None:
    with pytest.raises(InputError, match="calibration data is needed"):
        ew.quantize(network(), recipe=recipe)


def test_default_steps() -> None:
    steps = {p: len(Recipe.default(p).steps) for p in ("int8", "int4", "float16", "float32")}
    assert steps == {"int8": 3, "int4": 1, "float16": 0, "float32": 0}


def test_expected_moments_are_those_of_alike_pixels_and_apart_channels() -> None:
    """A convolution's, against a sample of such inputs."""
    net = RealNet(1)
    y = net.add(Conv2D(), net.real(1, 4, 4, 2), net.weights(3, 2, 2, 2))
    found = expected(*window_of(node_of(net.graph(y))))
    rng = np.random.default_rng(0)
    count = 400_000
    shared, own = rng.normal(size=(count, 1, 2)), rng.normal(size=(count, 4, 2))
    x = SQUARED_MEAN**0.5 + ALIKE**0.5 * shared + (1 - ALIKE) ** 0.5 * own
    x = x.reshape(count, 8)
    np.testing.assert_allclose(x.T @ x / count, found, atol=0.02)


def test_expected_moments_of_taps_that_never_meet() -> None:
    """With a stride of 2 every second tap of a transposed convolution meets an output's pixel."""
    net = RealNet(1)
    op = TransposeConv(output_size=(9, 1), stride=(2, 1))
    node = node_of(net.graph(net.add(op, net.real(1, 4, 1, 1), net.weights(1, 3, 1, 1))))
    far = ALIKE + SQUARED_MEAN
    one = 1 + SQUARED_MEAN
    np.testing.assert_allclose(
        expected(*window_of(node)), [[one, 0, far], [0, one, 0], [far, 0, one]]
    )


def node_of(graph: Graph) -> Node:
    (node,) = graph.nodes
    return node
