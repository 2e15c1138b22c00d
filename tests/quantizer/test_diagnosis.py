"""The figures of a diagnosis are those of plain numpy."""

from __future__ import annotations

import gc
import json
import math
import weakref
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from float_nets import RealNet, classifier, sqnr, state_of, values
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import edgewise as ew
from edgewise.dtype import DType
from edgewise.graph import Array, Graph, TensorType
from edgewise.ops import (
    Activation,
    Concatenation,
    Conv2D,
    Cos,
    DepthwiseConv2D,
    FullyConnected,
    Logistic,
    Maximum,
    MaxPool2D,
    Mean,
    Split,
)
from edgewise.quantizer import Precision, Range, State, convert
from edgewise.quantizer.diagnosis import diagnose
from edgewise.quantizer.findings import Diagnosis
from edgewise.quantizer.measure import as_inputs
from edgewise.quantizer.state import float_network, layer_name
from edgewise.quantizer.sums import LEAST_DB, Errors, Extents
from networks import random_inputs
from test_program_random_float import random_network

SAMPLES = 3
MIXED = {
    "layers": [
        {"names": ["b"], "precision": "int16x8"},
        {"ops": ["ADD"], "precision": "float32"},
        {"names": ["f*"], "precision": "dynamic_range"},
    ]
}
FEWER_BITS = ("dynamic_range", "float16", "int4")
RECIPES = [*(p.value for p in Precision), MIXED]


def wide() -> Graph:
    """A network of so many channels that weights of fewer bits pay."""
    net = RealNet()
    x = net.real(1, 6, 6, 40)
    a = Conv2D(activation=Activation.RELU6)
    a = net.add(a, x, net.weights(40, 1, 1, 40), net.bias(40), name="a")
    b = DepthwiseConv2D(padding=(1, 1, 1, 1))
    b = net.add(b, a, net.weights(1, 3, 3, 40, scale=0.3), net.bias(40), name="b")
    c = net.add(Mean((1, 2), False), b, name="c")
    d = net.add(FullyConnected(), c, net.weights(30, 40), net.bias(30), name="d")
    return net.graph(d)


def samples_of(graph: Graph, count: int = SAMPLES) -> list[list[Array]]:
    return [random_inputs(graph, seed) for seed in range(count)]


def diagnosed(state: State, timed: bool = False, count: int = SAMPLES) -> Diagnosis:
    return diagnose(state, convert(state), samples_of(state.graph, count), timed=timed)


def tensors(graph: Graph, samples: Sequence[Sequence[Array]], name: str) -> Array:
    """A tensor over samples, as real numbers, by the references; of a float16 constant too."""
    found = []
    for arrays in samples:
        known = values(graph, as_inputs(graph.inputs, arrays))
        types = {v.name: v.type for n in graph.nodes for v in n.outputs}
        types |= {v.name: v.type for v in graph.inputs}
        at = f"{name}:integer" if f"{name}:integer" in known else name
        found.append(real(known[at], types[at]))
    return np.stack(found)


def real(array: Array, type: TensorType) -> Array:
    if type.quant is None:
        return array.astype(np.float64)
    return (array.astype(np.float64) - type.quant.zero_point[0]) * type.quant.scale[0]


def near(found: float | None, expected: float) -> bool:
    """Whether two SQNRs are the same but for the rounding of floats."""
    return found == pytest.approx(expected, abs=0.05) if found is not None else expected > 120


@pytest.mark.parametrize("recipe", RECIPES, ids=str)
def test_errors_alone_and_accumulated(recipe: str | dict[str, object]) -> None:
    state = state_of(wide() if recipe in FEWER_BITS else classifier(), recipe)
    whole = convert(state).graph
    samples = samples_of(state.graph)
    found = diagnosed(state)
    assert [layer.name for layer in found.layers] == ["x", *map(layer_name, state.graph.nodes)]
    for layer in found.layers:
        x = tensors(state.graph, samples, layer.name)
        q = tensors(whole, samples, layer.name)
        if layer.op != "INPUT":
            assert layer.accumulated is not None
            assert near(layer.accumulated.sqnr, sqnr(q, x))
            assert layer.accumulated.bias == pytest.approx((q - x).mean(), abs=1e-5)
        wanted = state.precisions.get(layer.name, Precision.FLOAT32)
        if layer.op == "INPUT" or layer.isolated is None:
            continue
        alone = convert(replace(state, precisions={layer.name: wanted})).graph
        q = tensors(alone, samples, layer.name)
        assert near(layer.isolated.sqnr, sqnr(q, x))
        assert layer.isolated.bias == pytest.approx((q - x).mean(), abs=1e-5)
        e = (q - x).reshape(-1, x.shape[-1])
        shift = np.square(e.mean(0)).sum() * len(e) / np.square(e).sum() if e.any() else 0
        assert layer.isolated.shift == pytest.approx(shift, abs=0.01)


@pytest.mark.parametrize(
    ("recipe", "expected"),
    [("int8", "xabcd"), ("uint8", "xabcd"), ("float32", ""), ("float16", "abd"), ("int4", "ad")],
)
def test_which_layers_have_an_error_of_their_own(recipe: str, expected: str) -> None:
    found = diagnosed(state_of(wide(), recipe))
    assert "".join(x.name for x in found.layers if x.isolated is not None) == expected


def test_an_input_is_rounded_to_the_steps_of_its_range() -> None:
    state = state_of(classifier())
    layer = diagnosed(state).layers[0]
    x = np.stack([arrays[0] for arrays in samples_of(state.graph)]).astype(np.float64)
    assert layer.activations is not None
    assert layer.activations.chosen is not None
    step, (low, _) = layer.activations.step, layer.activations.chosen
    assert step is not None
    rounded = low + np.clip(np.rint((x - low) / step), 0, 255) * step
    for error in (layer.isolated, layer.accumulated):
        assert error is not None
        assert near(error.sqnr, sqnr(rounded, x))


def test_integer_inputs_and_outputs_are_told_alike() -> None:
    plain = diagnosed(state_of(classifier()))
    whole = diagnosed(state_of(classifier(), {"inputs": "int8", "outputs": "int8"}))
    assert whole.layers == plain.layers
    assert whole.outputs == plain.outputs


@pytest.mark.parametrize("precision", ["float32", "uint8", "int16x8"])
def test_an_integer_output_of_a_layer_of_another_type(precision: str) -> None:
    """The layer is told of as it computes, not as the caller sees it."""
    layers = [{"names": ["f"], "precision": precision}]
    net = RealNet()
    x = net.real(1, 8, name="x")
    graph = net.graph(net.add(FullyConnected(), x, net.weights(4, 8), net.bias(4), name="f"))
    recipe = {"precision": "int8", "outputs": "int8", "layers": layers}
    found = {layer.name: layer for layer in diagnosed(state_of(graph, recipe)).layers}["f"]
    alike = {layer.name: layer for layer in diagnosed(state_of(graph, precision)).layers}["f"]
    assert found.precision == precision
    assert (found.isolated, found.weights) == (alike.isolated, alike.weights)


def test_a_result_that_gets_the_steps_of_others_has_its_own_error() -> None:
    """LOGISTIC has steps of 1/256, and QUANTIZE then makes those of MAXIMUM of them."""
    net = RealNet()
    x = net.real(1, 4, 4, 4)
    small = net.add(Logistic(), x, name="small")
    large = net.add(Conv2D(), x, net.weights(4, 1, 1, 4, scale=3.0), name="large")
    graph = net.graph(net.add(Maximum(), small, large, name="both"))
    layers = {layer.name: layer for layer in diagnosed(state_of(graph)).layers}
    isolated, accumulated = layers["small"].isolated, layers["small"].accumulated
    assert isolated is not None
    assert accumulated is not None
    assert isolated.sqnr == pytest.approx(accumulated.sqnr, abs=1.0)


@pytest.mark.parametrize("joins", [1, 2])
def test_an_input_has_its_own_steps_beside_those_of_a_join(joins: int) -> None:
    net = RealNet()
    x = net.real(1, 4, 4, 4)
    last = net.add(Conv2D(), x, net.weights(4, 1, 1, 4), name="last")
    found = [last]
    for i in range(joins):
        large = net.add(Conv2D(), x, net.weights(4, 1, 1, 4, scale=9.0 * 9**i), name=f"large{i}")
        both = net.add(Concatenation(3), x, large, name=f"both{i}")
        found.append(net.add(Conv2D(), both, net.weights(4, 1, 1, 8), name=f"last{i}"))
    state = state_of(net.graph(*found))
    (layer,) = (layer for layer in diagnosed(state).layers if layer.name == "x")
    assert layer.activations is not None
    assert layer.activations.chosen is not None
    assert layer.activations.chosen.width < 2 * state.ranges["x"].width


def test_saturation_is_counted() -> None:
    state = state_of(classifier())
    state = replace(state, ranges={**state.ranges, "d": Range(-0.5, 0.75)})
    layer = next(x for x in diagnosed(state).layers if x.name == "d")
    x = tensors(state.graph, samples_of(state.graph), "d")
    a = layer.activations
    assert a is not None
    assert a.chosen == pytest.approx((-0.5, 0.75), abs=0.01)
    assert a.below == np.count_nonzero(x < a.chosen[0] - a.step / 2) > 0
    assert a.above == np.count_nonzero(x > a.chosen[1] + a.step / 2) > 0
    assert a.elements == x.size
    assert a.clipped == (a.below + a.above) / x.size
    assert a.observed == pytest.approx((x.min(), x.max()))
    assert a.peak == pytest.approx(np.abs(x - x.mean()).max() / x.std(), rel=1e-4)
    widths = np.abs(x).reshape(-1, x.shape[-1]).max(0)
    assert a.spread == pytest.approx(widths.max() / np.median(widths), rel=1e-4)
    assert "saturation" in [advice.rule for advice in layer.advice]


@pytest.mark.parametrize("recipe", ["int8", "uint8", "int4", "float16"])
def test_weights(recipe: str) -> None:
    state = state_of(wide(), recipe)
    found = {x.name: x.weights for x in diagnosed(state).layers}
    expected = {"a", "d"} if recipe == "int4" else {"a", "b", "d"}
    assert {name for name, w in found.items() if w is not None} == expected
    for node in state.graph.nodes:
        w = found[layer_name(node)]
        if w is None:
            continue
        data = node.inputs[1].data
        assert data is not None
        axis = 3 if node.op.name == "DEPTHWISE_CONV_2D" else 0
        rows = np.moveaxis(data, axis, 0).reshape(data.shape[axis], -1).astype(np.float64)
        widths = np.abs(rows).max(1)
        assert w.channels == pytest.approx(np.quantile(widths, [0, 0.25, 0.5, 0.75, 1]))
        assert w.spread == pytest.approx(widths.max() / np.median(widths))
        assert w.per_channel is (recipe in ("int8", "int4"))
        assert w.bits == {"int8": 8, "uint8": 8, "int4": 4, "float16": 16}[recipe]
        assert w.alone is not None
        if recipe in FEWER_BITS:
            error = next(x for x in diagnosed(state).layers if x.name == layer_name(node)).isolated
            assert error is not None
            assert near(w.alone.sqnr, error.sqnr or np.inf)
        if w.per_channel:
            step = widths[:, None] / (2 ** (w.bits - 1) - 1)
            assert near(w.sqnr, sqnr(np.rint(rows / step) * step, rows))


@pytest.mark.parametrize(("recipe", "part"), [("int8", 4), ("int4", 8), ("float16", 2)])
def test_sizes(recipe: str, part: int, tmp_path: Path) -> None:
    state = state_of(wide(), recipe)
    found = diagnosed(state)
    layer = next(x for x in found.layers if x.name == "d")
    assert layer.float_bytes == (30 * 40 + 30) * 4
    assert layer.quantized_bytes == 30 * 40 * 4 // part + 30 * 4
    for graph, size in (
        (state.graph, found.float_bytes),
        (convert(state).graph, found.quantized_bytes),
    ):
        ew.save(graph, tmp_path / "net.tflite")
        assert (tmp_path / "net.tflite").stat().st_size == size


def test_outputs_are_those_of_the_caller() -> None:
    state = state_of(classifier())
    found = diagnosed(state)
    samples = samples_of(state.graph)
    x = tensors(state.graph, samples, "scores")
    q = np.stack([values(convert(state).graph, arrays)["scores"] for arrays in samples])
    (output,) = found.outputs
    assert output.name == "scores"
    assert near(output.error.sqnr, sqnr(q, x))


def with_cos() -> Graph:
    net = RealNet()
    x = net.real(1, 4, 4, 2)
    y = net.add(Conv2D(), x, net.weights(3, 1, 1, 2), net.bias(3), name="y")
    z = net.add(Cos(), y, name="z")
    return net.graph(net.add(Logistic(), z, name="end"))


def test_networks_of_many_layers_run_by_reference(monkeypatch: pytest.MonkeyPatch) -> None:
    state = state_of(classifier())
    compiled = diagnosed(state)
    monkeypatch.setattr("edgewise.quantizer.diagnosis.COMPILED", 0)
    monkeypatch.setattr("edgewise.quantizer.diagnosis.compile_graph", None)
    found = diagnosed(state)
    assert len(found.histograms) == len(compiled.histograms) > 0
    for a, b in zip(found.layers, compiled.layers, strict=True):
        for first, second in ((a.isolated, b.isolated), (a.accumulated, b.accumulated)):
            assert first is not None
            assert second is not None
            assert first.sqnr == pytest.approx(second.sqnr, abs=0.05)


def test_a_layer_left_in_float_says_why() -> None:
    state = state_of(with_cos())
    converted = convert(state)
    layers = {x.name: x for x in diagnosed(state).layers}
    assert layers["z"].left == converted.left["z"]
    assert layers["z"].precision == "float32"
    assert layers["z"].isolated is None
    assert layers["z"].accumulated is not None
    assert layers["y"].left is None


def test_layers_name_what_they_read() -> None:
    layers = diagnosed(state_of(classifier())).layers
    by_name = {x.name: [layers[i].name for i in x.inputs] for x in layers}
    assert by_name["x"] == []
    assert by_name["d"] == ["a", "c"]


def test_several_outputs_of_a_layer_and_none_that_is_real() -> None:
    net = RealNet()
    x = net.real(1, 4, 4, 4)
    first, second = net.all(Split(3, 2), x)
    state = state_of(net.graph(first, net.add(MaxPool2D((2, 2)), second, name="pooled")))
    found = diagnosed(state)
    assert [x.op for x in found.layers] == ["INPUT", "SPLIT", "MAX_POOL_2D"]
    assert all(x.accumulated is not None for x in found.layers)
    assert len(found.outputs) == 2


def test_times_of_layers() -> None:
    state = state_of(with_cos())
    found = diagnosed(state, timed=True)
    assert found.times is not None
    numbers = [i for t in found.times.layers for i in t.layers]
    assert sorted(set(numbers)) == sorted(numbers)
    assert set(numbers) <= set(range(1, len(found.layers)))
    assert found.times.float_ms > 0
    assert found.times.quantized_ms > 0
    ratio = found.times.ratio
    assert ratio.value == pytest.approx(found.times.float_ms / found.times.quantized_ms)
    assert ratio.low <= ratio.value <= ratio.high
    assert found.times.conversions_ms > 0
    assert all(t.float_ms > 0 and t.quantized_ms > 0 for t in found.times.layers)


def test_histograms_count_every_element() -> None:
    state = state_of(classifier())
    found = diagnosed(state)
    assert {h.layer for h in found.histograms} == set(found.worst(8))
    for h in found.histograms:
        layer = found.layers[h.layer]
        if h.of == "activations":
            assert layer.activations is not None
            assert sum(h.counts) == layer.activations.elements
            x = tensors(state.graph, samples_of(state.graph), layer.name)
            expected, _ = np.histogram(x, len(h.counts), (h.low, h.high))
            assert np.abs(expected - h.counts).sum() <= 4
    sqnrs = [found.layers[i].isolated.sqnr for i in found.worst(8)]
    assert sqnrs == sorted(sqnrs)


def test_facts_are_json() -> None:
    facts = diagnosed(state_of(classifier()), timed=True).facts()
    again = json.loads(json.dumps(facts, allow_nan=False))
    assert again["schema"] == 1
    assert again["layers"][1]["isolated"]["sqnr"] == facts["layers"][1]["isolated"]["sqnr"]


def test_samples_are_not_kept() -> None:
    state = state_of(classifier())
    alive: list[int] = []
    known: list[weakref.ref[Array]] = []

    class Counted:
        def __iter__(self) -> Iterator[list[Array]]:
            for seed in range(12):
                arrays = random_inputs(state.graph, seed)
                known.append(weakref.ref(arrays[0]))
                gc.collect()
                alive.append(sum(ref() is not None for ref in known))
                yield arrays

    assert diagnose(state, convert(state), Counted(), timed=False).samples == 12
    assert max(alive) <= 4


def test_the_limit_is_kept_and_progress_told() -> None:
    state = state_of(classifier())
    told: list[tuple[str, int, int]] = []
    samples = samples_of(state.graph, 5)
    found = diagnose(
        state, convert(state), samples, lambda *a: told.append(a), limit=2, timed=False
    )
    assert found.samples == 2
    assert [done for _, done, _ in told] == [1, 2]


def test_errors_of_what_is_not_finite_and_of_nothing() -> None:
    errors = Errors()
    inf = np.inf
    errors.add(np.array([[1.0, np.nan, 2.0, -inf]]), np.array([[1.5, 2.0, inf, -inf]]))
    found = errors.result()
    assert found.sqnr == pytest.approx(10 * math.log10(1 / 0.25))
    errors = Errors()
    errors.add(np.zeros((2, 3)), np.ones((2, 3)))
    assert errors.result().sqnr == LEAST_DB
    assert errors.result().shift == 1
    assert Errors().result().sqnr is None


def test_extents_of_scalars_and_of_nothing() -> None:
    extents = Extents(TensorType((), DType.FLOAT32))
    assert extents.result().observed == (0, 0)
    extents.add(np.float32(3))
    assert extents.result().observed == (3, 3)
    assert extents.result().peak == 0


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_random_networks(data: st.DataObject) -> None:
    graph = float_network(random_network(data))
    precisions = {
        layer_name(node): data.draw(st.sampled_from(list(Precision))) for node in graph.nodes
    }
    state = state_of(graph).with_precisions(precisions)
    whole = convert(state).graph
    samples = samples_of(graph, 2)
    for layer in diagnosed(state, count=2).layers:
        if layer.accumulated is None or layer.op == "INPUT":
            continue
        expected = sqnr(tensors(whole, samples, layer.name), tensors(graph, samples, layer.name))
        measured = layer.accumulated.sqnr
        if measured is not None and expected < 60:
            assert measured == pytest.approx(expected, abs=1.0)
