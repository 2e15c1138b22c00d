"""Calibration: which activations are looked at, over which data, and what of that is kept."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from float_nets import RealNet, classifier, ranges_of

import edgewise as ew
from edgewise.data import Samples
from edgewise.dtype import DType
from edgewise.errors import InputError
from edgewise.graph import Array, Graph, TensorType, Value
from edgewise.graph import State as Variable
from edgewise.ops import (
    Add,
    ArgMax,
    Cast,
    Concatenation,
    Conv2D,
    If,
    Log,
    Mul,
    Relu,
    Reshape,
    Tanh,
)
from edgewise.quantizer import Precision, Range, Recipe, State, convert
from edgewise.quantizer import calibrate as step
from edgewise.quantizer.calibrate import activations, calibrate
from edgewise.quantizer.observers import OBSERVERS
from edgewise.quantizer.state import Scope, float_network


def start(graph: Graph, recipe: str | Mapping[str, Any] = "int8") -> State:
    return Recipe.of(recipe).start(float_network(graph))


def pictures(count: int, seed: int = 1, scale: float = 1.0) -> list[Array]:
    rng = np.random.default_rng(seed)
    return [rng.normal(0, scale, (1, 8, 8, 3)).astype(np.float32) for _ in range(count)]


def samples(graph: Graph, count: int = 5) -> Samples:
    return Samples.of(pictures(count), graph)


def close(found: Mapping[str, Range], expected: Mapping[str, Range]) -> bool:
    """Whether ranges are the same but for the rounding of two ways to compute floats."""
    return found.keys() == expected.keys() and all(
        found[name] == pytest.approx(expected[name], rel=1e-4, abs=1e-5) for name in found
    )


# What is looked at


def test_ranges_are_those_of_the_float_network() -> None:
    state = start(classifier())
    found = calibrate(state, samples(state.graph), observer="minmax")
    expected = ranges_of(state.graph, [[x] for x in pictures(5)])
    assert close(found.ranges, expected)
    assert found.extremes == found.ranges
    assert state.ranges == {}
    assert convert(found).left == {}


@pytest.mark.parametrize("kind", OBSERVERS)
def test_equal_data_give_equal_ranges(kind: str) -> None:
    state = start(classifier())
    found = [calibrate(state, samples(state.graph), observer=kind) for _ in range(2)]
    assert found[0].ranges == found[1].ranges
    assert found[0].extremes == found[1].extremes
    for name, each in found[0].ranges.items():
        widest = found[0].extremes[name]
        assert widest.low <= each.low <= 0.0 <= each.high <= widest.high


def test_many_groups_see_what_one_sees(monkeypatch: pytest.MonkeyPatch) -> None:
    state = start(classifier())
    whole = calibrate(state, samples(state.graph))
    calls: list[tuple[str, int, int]] = []
    monkeypatch.setattr(step, "GROUP", 1)
    parts = calibrate(state, samples(state.graph), lambda *told: calls.append(told))
    assert close(parts.ranges, whole.ranges)
    count = 5 * len(whole.ranges)
    assert calls == [("calibrate", i + 1, count) for i in range(count)]


def test_progress_where_the_number_of_samples_is_not_known() -> None:
    state = start(classifier())
    calls: list[tuple[str, int, int]] = []
    data = Samples.of(lambda: iter(pictures(3)), state.graph)
    calibrate(state, data, lambda *told: calls.append(told))
    assert calls == [("calibrate", 1, 0), ("calibrate", 2, 0), ("calibrate", 3, 0)]


def refuses() -> Iterator[Array]:
    raise AssertionError("no sample is needed")
    yield


@pytest.mark.parametrize("precision", ["dynamic_range", "float16", "int4", "float32"])
def test_layers_of_float_activations_need_no_samples(precision: str) -> None:
    state = start(classifier(), precision)
    assert activations(state) == []
    assert calibrate(state, Samples.of(refuses, state.graph)).ranges == {}


def test_only_what_integers_touch_is_looked_at() -> None:
    recipe = {"precision": "float32", "layers": [{"names": "c", "precision": "int8"}]}
    state = start(classifier(), recipe)
    assert [v.name for v in activations(state)] == ["b", "c"]
    found = calibrate(state, samples(state.graph))
    assert set(found.ranges) == {"b", "c"}
    assert set(convert(found).left) == set()


def test_integer_inputs_and_outputs_are_looked_at() -> None:
    recipe = {"precision": "float32", "inputs": "int8", "outputs": "int8"}
    state = start(classifier(), recipe)
    assert [v.name for v in activations(state)] == ["x", "scores"]


def test_what_is_no_float_is_left_out() -> None:
    net = RealNet()
    x = net.real(1, 4, 4, 3)
    a = net.add(Relu(), x, name="a")
    b = net.add(Conv2D(), a, net.weights(5, 1, 1, 3), net.bias(5), name="b")
    best = net.add(ArgMax(3, DType.INT32), b, name="best")
    back = net.add(Cast(DType.FLOAT32), best, name="back")
    state = start(net.graph(net.add(Tanh(), back, name="y")))
    assert {v.name for v in activations(state)} == {"x", "a", "b", "back", "y"}
    found = calibrate(state, Samples.of(np.eye(48).reshape(48, 4, 4, 3)[:3], state.graph))
    assert found.ranges.keys() == {"x", "a", "b", "back", "y"}


def test_empty_activations_are_left_out() -> None:
    net = RealNet()
    x = net.real(2, 4)
    none = net.real(0, 4, name="none")
    joined = net.add(Concatenation(0), x, none, name="y")
    state = start(net.graph(joined), {"layers": [{"names": "y", "precision": "int8"}]})
    assert [v.name for v in activations(state)] == ["x", "y"]


def test_scopes_keep_other_ranges() -> None:
    state = start(classifier())
    data = samples(state.graph)
    first = calibrate(state, data, observer="minmax")
    by_op = calibrate(first, data, scope=Scope(ops=("ADD",)), observer="mse")
    changed = {name for name in first.ranges if by_op.ranges[name] != first.ranges[name]}
    assert changed == {"d"}
    by_name = calibrate(first, data, scope=Scope(names=("[ab]",)), observer="percentile")
    changed = {name for name in first.ranges if by_name.ranges[name] != first.ranges[name]}
    assert {"x"} <= changed <= {"x", "a", "b"}
    assert by_op.extremes == by_name.extremes == first.extremes


def test_a_recipe_names_observers_and_their_options() -> None:
    graph = classifier()
    steps = [
        {"step": "calibrate", "observer": "minmax"},
        {"step": "calibrate", "observer": "percentile", "percentile": 90.0, "ops": ["CONV_2D"]},
    ]
    found = ew.quantizer.quantize(graph, pictures(4), recipe={"precision": "int8", "steps": steps})
    ranges, extremes = found.state.ranges, found.state.extremes
    assert ranges["d"] == extremes["d"]
    assert ranges["c"].high < 0.9 * extremes["c"].high
    assert found.left == {}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"observer": "best"}, "observer 'best'; it is one of minmax"),
        ({"observer": "minmax", "percentile": 99.0}, "'minmax': unknown option 'percentile'"),
        ({"observer": "percentile", "percentile": 2.0}, "percentile is 2.0; it must be above 50"),
    ],
)
def test_bad_options_are_told_before_anything_runs(options: dict[str, Any], message: str) -> None:
    state = start(classifier())
    with pytest.raises(InputError, match=message):
        calibrate(state, Samples.of(refuses, state.graph), **options)


def test_integers_of_16_bits_span_the_extremes() -> None:
    recipe = {"precision": "int8", "layers": [{"ops": "ADD", "precision": "int16x8"}]}
    state = start(classifier(), recipe)
    found = calibrate(state, samples(state.graph), observer="percentile", percentile=90.0)
    graph = convert(found).graph
    (add,) = (node for node in graph.nodes if node.op.name == "ADD")
    quant = add.outputs[0].type.quant
    assert quant is not None
    low, high = found.extremes["d"]
    assert quant.scale[0] == pytest.approx(max(-low, high) / 32767, rel=1e-6)
    assert found.ranges["d"].high < 0.9 * high


# Networks that are more than one native call


def test_variables_pass_from_sample_to_sample() -> None:
    net = RealNet()
    x = net.real(1, 4)
    before = Value("sum", x.type)
    after = net.add(Add(), x, before, name="after")
    y = net.add(Tanh(), after, name="y")
    zeros = np.zeros((1, 4), np.float32)
    states = (Variable(before, after, zeros),)
    state = start(Graph((x,), (y,), tuple(net.nodes), states=states))
    data = [np.array([[1.0, 0.0, -1.0, 2.0]], np.float32)] * 3
    found = calibrate(state, Samples.of(data, state.graph), observer="minmax")
    assert found.ranges["x"] == (-1.0, 2.0)
    assert found.ranges["sum"] == (-2.0, 4.0)
    assert found.ranges["after"] == (-3.0, 6.0)
    again = calibrate(state, Samples.of(data, state.graph), observer="minmax")
    assert again.ranges == found.ranges


def branch(factor: float) -> Graph:
    net = RealNet()
    x = net.real(1, 4, name="inner")
    scale = Value("scale", TensorType((1,), DType.FLOAT32), np.array([factor], np.float32))
    return net.graph(net.add(Mul(), x, scale, name="scaled"))


def test_what_is_inside_conditions_is_not_looked_at() -> None:
    net = RealNet()
    x = net.real(1, 4)
    test = net.input(1, dtype=DType.BOOL, quant=None, name="test")
    a = net.add(Relu(), x, name="a")
    b = net.add(If(branch(2.0), branch(-2.0)), test, a, name="b")
    state = start(net.graph(net.add(Tanh(), b, name="y")))
    data = [(np.array([[1, 2, 3, 4]], np.float32), np.array([flag])) for flag in (True, False)]
    found = calibrate(state, Samples.of(data, state.graph), observer="minmax")
    assert found.ranges["b"] == (-8.0, 8.0)
    assert not found.ranges.keys() & {"scaled", "inner"}


def test_values_of_one_scale_are_each_looked_at() -> None:
    net = RealNet()
    x = net.real(1, 4)
    a = net.add(Relu(), x, name="a")
    b = net.add(Concatenation(1), x, a, name="b")
    graph = net.graph(net.add(Reshape((2, 4)), b, name="y"))
    state = start(graph, {"layers": [{"names": ["b", "y"], "precision": "int8"}]})
    found = calibrate(state, Samples.of([np.array([[-1.0, 0, 1, 2]])] * 2, state.graph))
    assert found.ranges.keys() == {"x", "a", "b", "y"}
    assert {v.type.quant for v in convert(found).graph.nodes[0].outputs} == {
        v.type.quant for node in convert(found).graph.nodes[:-1] for v in node.outputs
    }


# Data that do not fit


def logarithm() -> Graph:
    net = RealNet()
    x = net.real(1, 8, 8, 3)
    a = net.add(Relu(), x, name="a")
    b = net.add(Log(), x, name="b")
    return net.graph(net.add(Add(), a, b, name="y"))


def test_a_nan_made_inside_names_the_activation_and_the_sample() -> None:
    state = start(logarithm())
    good = np.abs(pictures(1)[0]) + np.float32(0.1)
    data = Samples.of([good, good, -good], state.graph)
    with pytest.raises(InputError, match=r"^sample 2: activation 'b': 192 of 192 numbers are NaN"):
        calibrate(state, data)
    assert state.ranges == {}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ([np.full((1, 8, 8, 3), 0.5, np.float32)], "sample 0: the only sample is constant"),
        ([np.full((1, 8, 8, 3), np.nan, np.float32)], "sample 0: input 'x' has NaN"),
        ([np.zeros((1, 8, 9, 3), np.float32)], r"sample 0: shape \[1, 8, 9, 3\]; input 'x' takes"),
        ([], "samples: there are none"),
    ],
)
def test_bad_samples(data: list[Array], message: str) -> None:
    state = start(classifier())
    with pytest.raises(InputError, match=message):
        calibrate(state, Samples.of(data, state.graph))


def test_a_function_without_samples() -> None:
    state = start(classifier())
    with pytest.raises(InputError, match="samples: there are none"):
        calibrate(state, Samples.of(lambda: iter([]), state.graph))


def test_an_interrupted_run_changes_nothing_and_can_be_repeated() -> None:
    state = start(classifier())

    def stops(what: str, done: int, total: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    data = samples(state.graph)
    with pytest.raises(KeyboardInterrupt):
        calibrate(state, data, stops)
    assert state.ranges == {}
    fresh = samples(state.graph)
    assert calibrate(state, data).ranges == calibrate(state, fresh).ranges


# Memory


def resident() -> int:
    """Bytes of this process that are in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is read from /proc")
@pytest.mark.parametrize("kind", ["minmax", "mse"])
def test_memory_does_not_grow_with_the_number_of_samples(kind: str) -> None:
    net = RealNet()
    x = net.real(1, 64, 64, 3)
    a = net.add(Conv2D(), x, net.weights(16, 1, 1, 3), net.bias(16), name="a")
    state = start(net.graph(net.add(Relu(), a, name="y")))
    made = 0

    def generated(count: int) -> Iterator[Array]:
        nonlocal made
        rng = np.random.default_rng(0)
        for _ in range(count):
            made += 1
            yield rng.random((1, 64, 64, 3), np.float32)

    def peak(count: int) -> tuple[int, int]:
        tracemalloc.start()
        calibrate(state, Samples.of(lambda: generated(count), state.graph), observer=kind)
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most, resident()

    few, before = peak(20)
    many, after = peak(1000)
    assert made == 1020
    all_samples = 980 * 64 * 64 * 3 * 4
    assert many - few < 2**20
    assert after - before < all_samples // 10


# Networks of the data folder


@pytest.mark.data
def test_photographs_through_mobilenet(data: Path) -> None:
    graph = ew.load(data / "models" / "mobilenet_v1_0.25_224_float.tflite")
    state = start(graph)
    photographs = Samples.of(data / "data" / "imagenet500", state.graph, limit=3)
    found = calibrate(state, photographs, observer="minmax")
    assert close(found.ranges, ranges_of(state.graph, list(photographs)))


@pytest.mark.data
def test_a_recurrent_network_runs_over_a_sequence(data: Path) -> None:
    graph = ew.load(data / "models" / "dtln_1_float.tflite")
    state = start(graph)
    assert Precision.INT8 in state.precisions.values()
    rng = np.random.default_rng(0)
    data_of = [
        tuple(rng.normal(size=v.type.shape).astype(v.type.dtype.numpy) for v in state.graph.inputs)
        for _ in range(3)
    ]
    found = calibrate(state, Samples.of(data_of, state.graph))
    assert found.ranges.keys() == {v.name for v in activations(state)}
