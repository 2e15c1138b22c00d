"""Equalization: which channels are scaled alike, that the function stays, what it is good for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from float_nets import RealNet, classifier, sqnr

from edgewise.data import Samples
from edgewise.errors import InputError
from edgewise.graph import Array, Graph, Value
from edgewise.ops import (
    Activation,
    Add,
    AveragePool2D,
    Concatenation,
    Conv2D,
    DepthwiseConv2D,
    FullyConnected,
    LeakyRelu,
    Logistic,
    MaxPool2D,
    Mean,
    Pad,
    PRelu,
    Relu,
    Relu6,
    Reshape,
    ResizeBilinear,
)
from edgewise.quantizer import Range, Recipe, State, convert
from edgewise.quantizer.calibrate import calibrate
from edgewise.quantizer.channels import links
from edgewise.quantizer.equalize import _Network, equalize, measure
from edgewise.quantizer.state import Scope, float_network, silent
from networks import reference

SAME = {"padding": (1, 1, 1, 1)}
Between = Callable[[RealNet, Value], Value]


def pictures(count: int = 8, seed: int = 0) -> list[Array]:
    rng = np.random.default_rng(seed)
    return [rng.normal(0, 1, (1, 6, 6, 3)).astype(np.float32) for _ in range(count)]


def chain(
    between: Between = lambda net, v: v,
    activation: Activation = Activation.RELU,
    gains: Array | None = None,
) -> Graph:
    """A product, something, a depthwise convolution, a product; the first's channels have gains."""
    net = RealNet(3)
    x = net.real(1, 6, 6, 3)
    w = net.weights(8, 1, 1, 3)
    assert w.data is not None
    scale = np.ones(8) if gains is None else gains
    w = net.constant(
        8,
        1,
        1,
        3,
        data=(w.data * scale[:, None, None, None]).astype(np.float32),
        dtype=w.type.dtype,
        quant=None,
    )
    a = net.add(Conv2D(activation=activation), x, w, net.bias(8), name="a")
    b = between(net, a)
    deep = net.weights(1, 3, 3, 8)
    c = net.add(DepthwiseConv2D(**SAME, activation=activation), b, deep, net.bias(8), name="c")
    d = net.add(Conv2D(), c, net.weights(5, 1, 1, 8), net.bias(5), name="d")
    return net.graph(d)


def start(graph: Graph, recipe: str = "int8") -> State:
    return Recipe.of(recipe).start(float_network(graph))


def data(graph: Graph, count: int = 8, seed: int = 0) -> Samples:
    return Samples.of(pictures(count, seed), graph)


BETWEEN: dict[str, Between] = {
    "nothing": lambda net, v: v,
    "relu": lambda net, v: net.add(Relu(), v),
    "leaky relu": lambda net, v: net.add(LeakyRelu(0.1), v),
    "prelu": lambda net, v: net.add(PRelu(), v, net.weights(1, 1, 8, scale=0.5)),
    "pad": lambda net, v: net.add(Pad(((0, 0), (1, 0), (0, 1), (0, 0))), v),
    "max pool": lambda net, v: net.add(MaxPool2D((2, 2), (2, 2)), v),
    "average pool": lambda net, v: net.add(AveragePool2D((2, 2), (1, 1)), v),
    "resize": lambda net, v: net.add(ResizeBilinear((9, 9)), v),
    "mean": lambda net, v: net.add(Mean((1, 2), True), v),
    "residual": lambda net, v: net.add(Add(), v, net.add(MaxPool2D((3, 3), (1, 1), (1,) * 4), v)),
}
GAINS = np.array([1, 0.01, 0.3, 1, 0.02, 0.1, 1, 0])


@pytest.mark.parametrize("name", BETWEEN)
def test_the_function_stays(name: str) -> None:
    graph = chain(BETWEEN[name], gains=GAINS)
    state = start(graph)
    assert len(links(state.graph)) == 2
    found = equalize(state, data(graph), silent)
    changed = {v.name for v in found.graph.constants} and any(
        not np.array_equal(a.data, b.data)
        for a, b in zip(state.graph.constants, found.graph.constants, strict=True)
        if a.data is not None and b.data is not None
    )
    assert changed
    for x in pictures(3, seed=9):
        (before,), (after,) = reference(graph, [x]), reference(found.graph, [x])
        np.testing.assert_allclose(after, before, rtol=1e-4, atol=1e-4 * np.abs(before).max())


NOT_BETWEEN: dict[str, Between] = {
    "logistic": lambda net, v: net.add(Logistic(), v),
    "other channels": lambda net, v: net.add(Reshape((1, 12, 6, 4)), v),
    "pad of channels": lambda net, v: net.add(Pad(((0, 0), (0, 0), (0, 0), (1, 1))), v),
    "padded with a number": lambda net, v: net.add(Pad(((0, 0), (1, 1), (1, 1), (0, 0)), 2.0), v),
    "mean of channels": lambda net, v: net.add(Mean((3,), True), v),
    "join": lambda net, v: net.add(Concatenation(3), v, v),
    "constant": lambda net, v: net.add(Add(), v, net.weights(1, 1, 1, 8)),
}


@pytest.mark.parametrize("name", NOT_BETWEEN)
def test_what_is_not_homogeneous_ends_a_link(name: str) -> None:
    net = RealNet(1)
    a = net.add(Conv2D(), net.real(1, 6, 6, 3), net.weights(8, 1, 1, 3), net.bias(8))
    b = NOT_BETWEEN[name](net, a)
    c = b.type.shape[-1]
    d = net.add(Conv2D(), b, net.weights(4, 1, 1, c), net.bias(4))
    assert links(net.graph(d)) == []


def test_a_value_that_others_see_is_not_scaled() -> None:
    net = RealNet(1)
    a = net.add(Conv2D(), net.real(1, 6, 6, 3), net.weights(8, 1, 1, 3), net.bias(8))
    b = net.add(Conv2D(), a, net.weights(4, 1, 1, 8), net.bias(4))
    assert len(links(net.graph(b))) == 1
    assert links(net.graph(a, b)) == []
    assert links(net.graph(b, net.add(Logistic(), a))) == []


def test_a_residual_network_has_one_link_for_its_sum() -> None:
    (deep, trunk) = sorted(links(float_network(classifier())), key=lambda link: len(link.values))
    assert [v.name for v in deep.values] == ["b"]
    assert {v.name for v in trunk.values} == {"a", "c", "d", "e"}
    assert [n.outputs[0].name for n in trunk.sources] == ["a", "c"]
    assert [n.outputs[0].name for n in trunk.sinks] == ["b", "f"]


@pytest.mark.parametrize("recipe", ["int8", "uint8"])
def test_channels_of_small_range_gain_most(recipe: str) -> None:
    gains = np.array([30.0, 0.1, 0.3, 3, 0.1, 0.1, 1, 0.3])
    net = RealNet(3)
    x, w = net.real(1, 6, 6, 3), net.weights(8, 1, 1, 3).data
    v = net.weights(5, 1, 1, 8).data
    assert w is not None
    assert v is not None
    first = (w * gains[:, None, None, None]).astype(np.float32)
    second = (v / gains).astype(np.float32)
    real = {"dtype": x.type.dtype, "quant": None}
    a = net.add(Conv2D(), x, net.constant(8, 1, 1, 3, data=first, **real), net.bias(8))
    b = net.add(Conv2D(), a, net.constant(5, 1, 1, 8, data=second, **real), net.bias(5))
    graph = net.graph(b)
    plain = start(graph, recipe)
    even = equalize(plain, data(graph), silent)
    tests = pictures(8, seed=5)
    expected = np.stack([reference(graph, [x])[0] for x in tests])
    results = []
    for state in (plain, even):
        ready = calibrate(state, data(graph), observer="minmax")
        found = convert(ready).graph
        results.append(sqnr(np.stack([reference(found, [x])[0] for x in tests]), expected))
    assert results[1] > results[0] + 6


def test_relu6_keeps_its_clamp() -> None:
    """Channels that reach 6 keep their scale; others stay within it."""
    gains = np.array([20.0, 0.01, 10, 0.02, 0.1, 0.3, 0.2, 0.1])
    graph = chain(activation=Activation.RELU6, gains=gains)
    state = start(graph)
    found = equalize(state, data(graph), silent)
    first, _, _ = found.graph.nodes
    assert isinstance(first.op, Conv2D)
    assert first.op.activation is Activation.RELU6
    old, new = (s.graph.nodes[0].inputs[1].data for s in (state, found))
    assert old is not None
    assert new is not None
    scale = np.abs(new).sum((1, 2, 3)) / np.abs(old).sum((1, 2, 3))
    np.testing.assert_allclose(scale[[0, 2]], 1, rtol=1e-5)
    assert (scale[[1, 3]] > 4).all()
    for x in pictures(8):
        (before,), (after,) = reference(graph, [x]), reference(found.graph, [x])
        np.testing.assert_allclose(after, before, rtol=1e-4, atol=1e-4 * np.abs(before).max())


def test_a_clamp_that_nothing_reaches_becomes_relu() -> None:
    def alone(net: RealNet, v: Value) -> Value:
        return net.add(Relu6(), net.add(ResizeBilinear((9, 9)), v))

    six = Activation.RELU6
    fused = chain(activation=six, gains=GAINS * 0.2)
    found = equalize(start(fused), data(fused), silent)
    assert isinstance(found.graph.nodes[0].op, Conv2D)
    assert found.graph.nodes[0].op.activation is Activation.RELU
    apart = chain(alone, Activation.NONE, GAINS * 0.2)
    found = equalize(start(apart), data(apart), silent)
    assert [n.op.name for n in found.graph.nodes[:3]] == ["CONV_2D", "RESIZE_BILINEAR", "RELU"]


@pytest.mark.parametrize("headroom", [1.5, 4.0])
def test_other_inputs_have_room(headroom: float) -> None:
    """The channel of the greatest range decides it; others come no nearer to it than told."""
    graph = chain(gains=GAINS)
    found = equalize(start(graph), data(graph), silent, headroom=headroom)
    for name in ("a", "c"):
        reach = []
        for state in (start(graph), found):
            index = [n.outputs[0].name for n in state.graph.nodes].index(name)
            part = replace(state.graph, outputs=(state.graph.nodes[index].outputs[0],))
            arrays = np.stack([reference(part, [x])[0] for x in pictures()])
            reach.append(arrays.max((0, 1, 2, 3)))
        old, new = reach
        assert new.max() == pytest.approx(old.max(), rel=1e-5)
        grown = new > old * 1.001
        assert grown.any()
        assert (new[grown] <= old.max() / headroom * 1.001).all()


def test_channels_that_the_samples_leave_quiet_are_scaled_as_others_are() -> None:
    """However far a channel is below the median range, it is scaled alike."""
    grown = []
    for quiet in (0.02, 0.1):
        graph = chain(gains=np.array([1, 1, 1, 1, 1, 1, 1, quiet]))
        found = equalize(start(graph), data(graph), silent)
        before, after = (np.abs(g.nodes[0].inputs[1].data) for g in (graph, found.graph))
        grown.append((after / before).max((1, 2, 3))[-1])
    assert grown[0] == pytest.approx(grown[1], rel=0.2)


def test_scopes_and_precisions_choose_links() -> None:
    graph = chain(gains=GAINS)
    state = start(graph)
    assert equalize(state, data(graph), silent, scope=Scope(names=("a",))) is state
    one = equalize(state, data(graph), silent, scope=Scope(names=("a", "c")))
    kept = [n.inputs[1].data for n in one.graph.nodes][2]
    np.testing.assert_array_equal(kept, state.graph.nodes[2].inputs[1].data)
    floats = start(graph, "float16")
    assert equalize(floats, data(graph), silent) is floats


def test_stale_ranges_are_dropped() -> None:
    graph = chain(gains=GAINS)
    state = calibrate(start(graph), data(graph))
    found = equalize(state, data(graph), silent)
    assert set(state.ranges) == {"x", "a", "c", "d"}
    assert set(found.ranges) == set(found.extremes) == {"x", "d"}
    assert isinstance(found.ranges["d"], Range)


def test_a_clamp_stays_where_nothing_is_scaled() -> None:
    """Channels that are alike already: RELU6 still holds for other inputs."""
    net = RealNet(1)
    x = net.real(1, 6, 6, 3)
    even = np.full((8, 1, 1, 3), 0.01, np.float32)
    first = net.constant(8, 1, 1, 3, data=even, dtype=x.type.dtype, quant=None)
    second = net.constant(
        8,
        1,
        1,
        8,
        data=np.eye(8, dtype=np.float32).reshape(8, 1, 1, 8),
        dtype=x.type.dtype,
        quant=None,
    )
    a = net.add(Conv2D(activation=Activation.RELU6), x, first)
    graph = net.graph(net.add(Conv2D(), a, second))
    found = equalize(start(graph), data(graph), silent)
    assert [n.op for n in found.graph.nodes] == [n.op for n in start(graph).graph.nodes]


def test_numbers_whose_squares_leave_float32() -> None:
    graph = chain(gains=GAINS)
    size = np.float32(1e21)
    inputs = [picture * size for picture in pictures()]
    found = equalize(start(graph), Samples.of(inputs, graph), silent)
    (before,), (after,) = reference(graph, [inputs[0]]), reference(found.graph, [inputs[0]])
    np.testing.assert_allclose(after, before, rtol=1e-4, atol=1e-4 * np.abs(before).max())


def test_noise_of_depthwise_weights_grows_with_the_channel_that_they_read() -> None:
    """Each channel of the input has two of the output, next to each other."""
    noise = []
    for read in ([1, 1, 0, 0], [0, 0, 1, 1]):
        net = RealNet(3)
        x = net.real(1, 6, 6, 2)
        made = {"dtype": x.type.dtype, "quant": None}
        ones = np.ones((1, 3, 3, 4), np.float32)
        row = np.array(read, np.float32).reshape(1, 1, 1, 4)
        a = net.add(DepthwiseConv2D(), x, net.constant(1, 3, 3, 4, data=ones, **made))
        b = net.add(Conv2D(), a, net.constant(1, 1, 1, 4, data=row, **made))
        state = start(net.graph(b), "uint8")
        (link,) = links(state.graph)
        inputs = [p[..., :2] * np.float32([30, 1]) for p in pictures()]
        spans = measure(state.graph, [link], Samples.of(inputs, state.graph), 8, silent)
        noise.append(_Network(state, [link], spans).noise(link, np.ones(4)))
    assert noise[0] > 1.01 * noise[1]


def test_progress_is_told() -> None:
    graph, told = chain(gains=GAINS), list[tuple[str, int, int]]()
    equalize(start(graph), data(graph), lambda *it: told.append(it), limit=3)
    assert told[:3] == [("equalize", i, 3) for i in range(3)]
    assert told[3:] == [("equalizing", i, 4) for i in range(5)]


@pytest.mark.parametrize("options", [{"limit": 0}, {"passes": 0}, {"headroom": 0.5}])
def test_options_out_of_range(options: dict[str, float]) -> None:
    graph = chain()
    (name,) = options
    with pytest.raises(InputError, match=f"equalize: {name}"):
        equalize(start(graph), data(graph), silent, **options)


def test_joined_into_a_matrix_product() -> None:
    """FULLY_CONNECTED that flattens pixels reads each channel many times."""
    net = RealNet(2)
    x = net.real(1, 6, 6, 3)
    w = net.weights(4, 1, 1, 3).data
    assert w is not None
    gains = np.array([1, 0.01, 0.1, 3])[:, None, None, None]
    first = net.constant(
        4, 1, 1, 3, data=(w * gains).astype(np.float32), dtype=x.type.dtype, quant=None
    )
    a = net.add(Conv2D(activation=Activation.RELU), x, first, net.bias(4))
    b = net.add(FullyConnected(), a, net.weights(5, 144), net.bias(5))
    graph = net.graph(b)
    found = equalize(start(graph), data(graph), silent)
    assert not np.array_equal(found.graph.nodes[0].inputs[1].data, first.data)
    for x in pictures(3, seed=9):
        (before,), (after,) = reference(graph, [x]), reference(found.graph, [x])
        np.testing.assert_allclose(after, before, rtol=1e-4, atol=1e-4)
