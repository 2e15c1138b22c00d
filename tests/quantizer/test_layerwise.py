"""Methods that fit layers to data: what they see, what they choose, what it is good for."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest
from float_nets import RealNet, classifier, sqnr

from edgewise.data import Samples
from edgewise.dtype import DType
from edgewise.errors import InputError
from edgewise.graph import Array, Graph, Node, TensorType, Value
from edgewise.graph import State as Variable
from edgewise.ops import (
    Activation,
    Add,
    AveragePool2D,
    Conv2D,
    DepthwiseConv2D,
    FullyConnected,
    Interpreted,
    Mul,
    Relu,
    Reshape,
)
from edgewise.quantizer import Recipe, State, convert, layerwise, quantize
from edgewise.quantizer.adaround import adaround
from edgewise.quantizer.bias_correction import bias_correction
from edgewise.quantizer.calibrate import calibrate
from edgewise.quantizer.gptq import gptq
from edgewise.quantizer.layerwise import Fitted, Layer, affordable, fit_layers, spread
from edgewise.quantizer.precision import Weights
from edgewise.quantizer.state import EVERYTHING, Scope, float_network, silent
from networks import reference

METHODS: dict[str, Callable[..., State]] = {
    "adaround": adaround,
    "bias_correction": bias_correction,
    "gptq": gptq,
}


def pictures(count: int, seed: int = 0) -> list[Array]:
    """Smooth ones: neighbouring pixels are alike."""
    rng = np.random.default_rng(seed)
    rough = rng.normal(0.3, 1, (count, 1, 4, 4, 3))
    return list(rough.repeat(2, 2).repeat(2, 3).astype(np.float32))


def network(seed: int = 0) -> Graph:
    """Convolutions of many kinds, and scores."""
    net = RealNet(seed)
    relu = {"activation": Activation.RELU}
    x = net.real(1, 8, 8, 3)
    a = net.add(Conv2D(**relu, padding=(1, 1, 1, 1)), x, net.weights(16, 3, 3, 3), net.bias(16))
    deep = net.weights(1, 3, 3, 16, scale=0.3)
    b = net.add(DepthwiseConv2D(**relu, padding=(1, 1, 1, 1)), a, deep, net.bias(16))
    c = net.add(Conv2D(), b, net.weights(16, 1, 1, 16), net.bias(16))
    d = net.add(Add(**relu), a, c)
    e = net.add(AveragePool2D((4, 4), (4, 4)), d)
    return net.graph(net.add(FullyConnected(), e, net.weights(10, 64), net.bias(10)))


def ready(graph: Graph, recipe: str = "int8", count: int = 48) -> tuple[State, Samples]:
    data = Samples.of(pictures(count), graph)
    state = Recipe.of(recipe).start(float_network(graph))
    return calibrate(state, data, observer="minmax"), data


def outputs(graph: Graph, count: int = 24, seed: int = 7) -> Array:
    return np.stack([reference(graph, [x])[0] for x in pictures(count, seed)])


def quality(state: State, graph: Graph) -> float:
    return sqnr(outputs(convert(state).graph), outputs(graph))


@pytest.mark.parametrize(("name", "least"), [("adaround", 4), ("bias_correction", 2), ("gptq", 5)])
def test_each_method_lowers_the_noise_of_weights(name: str, least: float) -> None:
    """Activations of 16 bits have next to none themselves."""
    graph = network()
    state, data = ready(graph, "int16x8")
    options = {"iterations": 200, "rate": 0.05} if name == "adaround" else {}
    found = METHODS[name](state, data, silent, **options)
    assert quality(found, graph) > quality(state, graph) + least


@pytest.mark.parametrize("name", METHODS)
def test_equal_data_gives_equal_results(name: str) -> None:
    graph = classifier()
    state, data = ready(graph)
    found = [METHODS[name](state, data, silent) for _ in range(2)]
    for a, b in zip(*(f.graph.constants for f in found), strict=True):
        assert a.name == b.name
        np.testing.assert_array_equal(a.data, b.data)
    one, two = (f.weights for f in found)
    assert one.keys() == two.keys()
    for layer in one:
        np.testing.assert_array_equal(one[layer].data, two[layer].data)


def test_bias_correction_takes_off_a_mean_error() -> None:
    """Weights that were all rounded up: what they give too much, the bias takes off."""
    net = RealNet(1)
    x = net.real(1, 8, 8, 3)
    graph = net.graph(net.add(Conv2D(), x, net.weights(4, 1, 1, 3), net.bias(4), name="y"))
    state, data = ready(graph)
    seen: list[Layer] = []

    def look(layer: Layer) -> Fitted:
        seen.append(layer)
        return Fitted()

    fit_layers(state, data, silent, "", look, EVERYTHING, 99)
    (layer,) = seen
    quant = layer.weights.quant
    double = replace(quant, scale=tuple(2 * s for s in quant.scale))
    up = Weights((np.rint(layer.weights.data / 2) + 9).astype(np.int8), double)
    worse = replace(state, weights={"y": up})
    found = bias_correction(worse, data, silent)
    bias = found.biases["y"]
    old = graph.nodes[0].inputs[2].data
    assert old is not None
    mean = np.mean([a.mean((0, 1, 2)) for a in layer.given], axis=0)
    extra = layer.grid.scale[0, :, 0] * 18 * mean.sum()
    np.testing.assert_allclose(old - bias, extra, rtol=0.1)
    given = [np.mean(outputs(f, 48, 0), (0, 1, 2, 3)) for f in (graph, convert(found).graph)]
    np.testing.assert_allclose(given[1], given[0], atol=layer.grid.scale.max())


def test_what_a_layer_is_told() -> None:
    graph = network()
    state, data = ready(graph)
    seen: list[Layer] = []

    def look(layer: Layer) -> Fitted:
        seen.append(layer)
        return Fitted()

    steps: list[tuple[str, int, int]] = []
    found = fit_layers(state, data, lambda *told: steps.append(told), "fit", look, EVERYTHING, 5)
    assert [n.outputs[0].name for n in found.graph.nodes] == [
        n.outputs[0].name for n in state.graph.nodes
    ]
    assert found.weights == {}
    assert [layer.node.op.name for layer in seen] == [
        "CONV_2D",
        "DEPTHWISE_CONV_2D",
        "CONV_2D",
        "FULLY_CONNECTED",
    ]
    assert steps[-1] == ("fit", len(graph.nodes), len(graph.nodes))
    taken = list(spread(data, 5))
    quantized = convert(state).graph
    kept = replace(quantized, outputs=(quantized.nodes[1].outputs[0],))
    second = seen[1]
    assert second.exact.shape == (5, 1, 8, 8, 16)
    scale, zero = kept.outputs[0].type.quant.scale[0], kept.outputs[0].type.quant.zero_point[0]
    for i, sample in enumerate(taken):
        np.testing.assert_array_equal(seen[0].exact[i], sample[0])
        whole = reference(kept, sample)[0]
        real = (whole.astype(np.float64) - zero) * scale
        np.testing.assert_allclose(second.given[i], real, atol=1.01 * scale)
        assert np.mean(np.abs(second.given[i] - real) > scale / 2) < 0.01
    grid = second.grid
    np.testing.assert_allclose(grid.nearest(second.rows), second.rounded, rtol=1e-6)
    np.testing.assert_array_equal(second.integers(second.rounded).data, second.weights.data)


def test_scopes() -> None:
    graph = classifier()
    state, data = ready(graph)
    found = gptq(state, data, silent, scope=Scope(names=("b",)))
    assert set(found.weights) == {"b"}
    assert set(found.biases) == {"b"}
    assert found.graph is state.graph


@pytest.mark.parametrize("recipe", ["float16", "float32"])
def test_layers_without_integer_weights_stay(recipe: str) -> None:
    graph = classifier()
    state = Recipe.of(recipe).start(float_network(graph))
    found = gptq(state, Samples.of(pictures(4), graph), silent)
    assert found.weights == found.biases == {}


@pytest.mark.parametrize("name", [*METHODS, "clipping"])
def test_methods_come_after_calibration(name: str) -> None:
    graph = classifier()
    data = Samples.of(pictures(2), graph)
    with pytest.raises(InputError, match="no activation has a range yet; the step comes after"):
        quantize(graph, data, recipe={"steps": [name, "calibrate"]})


def test_products_of_constants_stay() -> None:
    net = RealNet(1)
    x, given = net.real(1, 8, 8, 3), net.weights(1, 8, 8, 3, scale=1.0)
    a = net.add(Conv2D(), given, net.weights(4, 1, 1, 3), net.bias(4), name="a")
    b = net.add(Conv2D(), x, net.weights(4, 1, 1, 3), net.bias(4), name="b")
    graph = net.graph(net.add(Add(), a, b))
    state, data = ready(graph)
    found = gptq(state, data, silent)
    assert set(found.weights) == {"b"}
    assert not convert(found).left
    assert quality(found, graph) > 30


@pytest.mark.parametrize("recipe", ["int8", "dynamic_range"])
def test_what_comes_after_the_last_product_is_not_run(
    recipe: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of outputs whose size only a call tells there is no array of all samples."""
    monkeypatch.setattr("edgewise.quantizer.layerwise.LEAST_WEIGHTS", 1)
    graph = classifier()
    found = TensorType((-1, 2), DType.INT64)
    calls: list[Array] = []

    def evaluate(arrays: Sequence[Array], limit: int) -> list[Array]:
        calls.append(arrays[0])
        return [np.argwhere(arrays[0] > 0.5)]

    places = Value("places", found)
    last = Node(Interpreted((found,), ("WHERE",), evaluate), graph.outputs, (places,))
    graph = replace(graph, nodes=(*graph.nodes, last), outputs=(places,))
    steps = ["equalize", "calibrate", "clipping", "bias_correction", "gptq"]
    given = quantize(graph, pictures(3), recipe={"precision": recipe, "steps": steps})
    assert set(given.state.weights) == {"a", "b", "c", "f"}
    assert len(calls) == 0


def test_products_of_nothing_stay() -> None:
    net = RealNet(1)
    a = net.add(FullyConnected(), net.real(0, 3), net.weights(4, 3), name="a")
    graph = net.graph(net.add(FullyConnected(), a, net.weights(2, 4), name="b"))
    data = [np.zeros((0, 3), np.float32)] * 2
    for precision in ("int8", "dynamic_range"):
        steps = ["equalize", "calibrate", "gptq"]
        found = quantize(graph, data, recipe={"precision": precision, "steps": steps})
        assert set(found.left) == {"a", "b"}


def test_adaround_at_a_high_rate() -> None:
    graph = classifier()
    state, data = ready(graph, count=4)
    found = adaround(state, data, silent, iterations=20, rate=1000.0)
    assert set(found.weights) == {"a", "b", "c", "f"}


def test_layers_whose_inputs_were_not_calibrated_stay() -> None:
    graph = classifier()
    state, data = ready(graph)
    partly = replace(state, ranges={k: r for k, r in state.ranges.items() if k != "b"})
    assert "c" not in gptq(partly, data, silent).weights


def test_long_products_get_their_bias_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    graph = network()
    state, data = ready(graph)
    monkeypatch.setattr("edgewise.quantizer.gptq.MOST_TERMS", 27)
    found = gptq(state, data, silent)
    assert len(found.weights) == 3
    only = bias_correction(replace(found, biases={}), data, silent)
    name = graph.nodes[-1].outputs[0].name
    np.testing.assert_allclose(found.biases[name], only.biases[name], rtol=1e-3, atol=1e-3)


def test_numbers_whose_squares_leave_float32() -> None:
    size = 1e21
    net = RealNet(1)
    x = net.real(1, 8, 8, 3)
    graph = net.graph(net.add(Conv2D(), x, net.weights(4, 1, 1, 3), name="y"))
    inputs = [picture * np.float32(size) for picture in pictures(8)]
    data = Samples.of(inputs, graph)
    state = calibrate(Recipe.of("int8").start(float_network(graph)), data, observer="minmax")
    found = gptq(state, data, silent)
    expected, given = (
        np.stack([reference(g, [a])[0] for a in inputs]) / np.float32(size)
        for g in (graph, convert(found).graph)
    )
    assert sqnr(given, expected) > 30


def test_samples_are_taken_at_even_distances_and_as_memory_allows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    graph = classifier()
    one = np.zeros((1, 8, 8, 3), np.float32)
    one[..., 1] = 1
    numbered = [one + np.float32(i) for i in range(10)]
    data = Samples.of(numbered, graph)
    assert [sample[0].flat[0] for sample in spread(data, 4)] == [0, 2, 5, 7]
    assert len(list(spread(data, 99))) == 10
    unknown = Samples.of(lambda: iter(numbered), graph)
    assert unknown.count is None
    assert [sample[0].flat[0] for sample in spread(unknown, 3)] == [0, 1, 2]
    peak = 4 * 64 * (3 + 8)
    monkeypatch.setattr(layerwise, "MEMORY", 6 * 4 * 64 * 8 * 3)
    assert 2 <= affordable(graph) <= 6 * 4 * 64 * 8 * 3 // (2 * peak)
    monkeypatch.setattr(layerwise, "MEMORY", 1)
    assert affordable(graph) == 1


def test_networks_with_variables_and_constants_of_their_own() -> None:
    net = RealNet(1)
    x, before = net.real(1, 3), net.real(1, 4, name="before")
    y = net.add(FullyConnected(), x, net.weights(4, 3), net.bias(4))
    z = net.add(Add(), y, before)
    out = net.add(FullyConnected(), z, net.weights(2, 4), net.bias(2))
    initial = np.ones((1, 4), np.float32)
    graph = net.graph(out)
    graph = replace(graph, inputs=(x,), states=(Variable(before, z, initial),))
    rng = np.random.default_rng(1)
    data = Samples.of([rng.normal(size=(1, 3)).astype(np.float32) for _ in range(8)], graph)
    state = calibrate(Recipe.of("int8").start(float_network(graph)), data)
    found = gptq(state, data, silent)
    assert len(found.weights) == 2
    assert not convert(found).left


@pytest.mark.parametrize(
    ("name", "option"),
    [(name, "limit") for name in METHODS]
    + [(name, "positions") for name in METHODS]
    + [("gptq", "damping"), ("gptq", "restraint"), ("adaround", "iterations")]
    + [("adaround", "rate"), ("adaround", "strength")],
)
def test_options_out_of_range(name: str, option: str) -> None:
    graph = classifier()
    state, data = ready(graph, count=2)
    for bad in (-1, True, "1", None, np.inf, [1]):
        told = re.escape(f"{name}: {option} is {bad!r}; it is at least")
        with pytest.raises(InputError, match=told):
            METHODS[name](state, data, silent, **{option: bad})


def test_activations_without_dimensions() -> None:
    net = RealNet()
    a = net.add(Relu(), net.real(), name="a")
    b = net.add(Reshape((1, 1)), net.add(Mul(), a, a, name="b"), name="c")
    graph = net.graph(net.add(FullyConnected(), b, net.weights(4, 1), net.bias(4), name="y"))
    samples = [np.array(n, np.float32) for n in (-1.0, 0.5, 2.0)]
    found = quantize(graph, samples)
    assert not found.left
    for x in samples:
        np.testing.assert_allclose(
            reference(found.graph, [x])[0], reference(graph, [x])[0], atol=0.1
        )
