"""What networks of other precisions are measured to be, and a search on this machine."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from float_nets import RealNet, classifier, sqnr, state_of

import edgewise as ew
from edgewise import profiling, timing
from edgewise.data import Samples
from edgewise.dtype import DType, QParams
from edgewise.errors import InputError
from edgewise.graph import Array, Graph, Node, TensorType, Value
from edgewise.ops import FullyConnected, Interpreted, Softmax
from edgewise.plan.work import NO_WORK
from edgewise.quantizer import Precision, State, convert
from edgewise.quantizer import measure as measuring
from edgewise.quantizer.measure import Measured, Timed, as_inputs, by_layer, median_seconds
from edgewise.quantizer.precision import Weights
from edgewise.quantizer.search import Choice
from edgewise.quantizer.state import float_network, layer_name
from networks import random_inputs

FLOAT32, INT8, INT16X8 = Precision.FLOAT32, Precision.INT8, Precision.INT16X8
SECONDS = {FLOAT32: 1e-4, INT8: 4e-5, INT16X8: 7e-5, Precision.DYNAMIC: 6e-5}


def one_sensitive_layer() -> Graph:
    """Four layers; the weights of ``c`` have a huge one for an operand that is always 0."""
    net = RealNet(1)
    h = net.real(1, 16)
    for name in "abcd":
        weights = np.array(net.weights(16, 16).data)
        weights[0, :] = 0 if name == "b" else weights[0, :]
        weights[:, 0] = 500 if name == "c" else weights[:, 0]
        weights.setflags(write=False)
        w = Value(f"{name}_weights", TensorType((16, 16), DType.FLOAT32), weights)
        h = net.add(FullyConnected(), h, w, name=name)
    return net.graph(h)


@pytest.fixture
def inputs() -> Array:
    return np.random.default_rng(3).normal(size=(12, 16)).astype(np.float32)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Times are measured, in no time."""
    monkeypatch.setattr(timing, "SAMPLE_SECONDS", 1e-4)
    monkeypatch.setattr(timing, "WARM_UP_SECONDS", 1e-3)
    monkeypatch.setattr(profiling, "SECONDS", 0.01)


@pytest.fixture
def made_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Times are made up: those of `SECONDS`, whatever the layer."""

    def layer_seconds(self: Measured, choice: Choice) -> Mapping[str, float]:
        return {name: SECONDS[precision] for name, precision in choice.items()}

    def seconds(self: Measured, *choices: Choice) -> list[float]:
        return [sum(layer_seconds(self, choice).values()) for choice in choices]

    monkeypatch.setattr(Measured, "layer_seconds", layer_seconds)
    monkeypatch.setattr(Measured, "seconds", seconds)


@contextlib.contextmanager
def measured(state: State, **options: Any) -> Iterator[Measured]:
    source = [random_inputs(state.graph, seed) for seed in range(4)]
    samples = Samples.of([tuple(arrays) for arrays in source], state.graph)
    with contextlib.closing(Measured(state, samples, **options)) as found:
        yield found


def all_of(state: State, precision: Precision) -> dict[str, Precision]:
    return {layer_name(node): precision for node in state.graph.nodes}


def test_noise_is_that_of_the_outputs() -> None:
    state = state_of(classifier())
    with measured(state) as measure:
        found = measure.noise(all_of(state, INT8))
        assert measure.noise(all_of(state, FLOAT32)) == 0
        assert measure.score(all_of(state, INT8)) == pytest.approx(100 * (1 - found))
    plain, other = ew.compile(state.graph), ew.compile(convert(state).graph)
    arrays = [random_inputs(state.graph, seed) for seed in range(4)]
    ratio = sqnr(*(np.stack([p(*a) for a in arrays]) for p in (other, plain)))
    assert 10 * np.log10(1 / found) == pytest.approx(ratio, abs=1e-6)


def test_noise_of_integer_outputs_is_that_of_what_they_stand_for() -> None:
    state = state_of(classifier(), {"inputs": "uint8", "outputs": "int8"})
    with measured(state) as measure:
        assert 0 < measure.noise(all_of(state, INT8)) < 0.01


def test_a_score_of_the_callers() -> None:
    state = state_of(classifier())
    asked: list[Graph] = []

    def score(graph: Graph) -> float:
        asked.append(graph)
        return 12.5

    with measured(state, score=score) as measure:
        assert measure.score(all_of(state, INT8)) == 12.5
    assert {v.type.dtype for v in asked[0].nodes[1].inputs if v.is_constant} >= {DType.INT8}


@pytest.mark.usefixtures("quick")
def test_every_layer_has_its_part_of_the_time() -> None:
    state = state_of(classifier())
    with measured(state) as measure:
        for precision in (FLOAT32, INT8):
            choice = all_of(state, precision)
            found = measure.layer_seconds(choice)
            assert set(found) == set(choice)
            assert all(seconds > 0 for seconds in found.values())
            (whole,) = measure.seconds(choice)
            assert whole > 0


@pytest.mark.usefixtures("quick")
def test_conversions_count_with_the_layers_that_need_them() -> None:
    """Of what is quantized, the one layer before and after which there is float."""
    state = state_of(classifier())
    with measured(state) as measure:
        choice = {**all_of(state, FLOAT32), "c": INT8}
        profiles: list[profiling.Profile] = []
        usual = ew.Program.profile

        def profile(self: ew.Program, *arrays: Array) -> profiling.Profile:
            profiles.append(usual(self, *arrays))
            return profiles[-1]

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(ew.Program, "profile", profile)
            found = measure.layer_seconds(choice)
    steps = profiles[0].steps
    converting = [s for s in steps if s.nodes[0].op.name in ("QUANTIZE", "DEQUANTIZE")]
    (own,) = (s for s in steps if s.nodes[0].origin == "2" and s not in converting)
    assert [s.nodes[0].op.name for s in converting] == ["QUANTIZE", "DEQUANTIZE"]
    assert found["c"] == pytest.approx(sum(s.seconds for s in (own, *converting)))
    assert sum(found.values()) == pytest.approx(sum(s.seconds for s in steps))


def test_steps_of_nested_graphs_count_with_what_holds_them() -> None:
    graph = classifier()
    first, second, third = (replace(n, origin=str(i)) for i, n in enumerate(graph.nodes[:3]))
    steps = [
        profiling.StepProfile((first,), "a", 1.0, 1.0, NO_WORK),
        profiling.StepProfile((first,), "b", 2.0, 1.0, NO_WORK, graph="body"),
        profiling.StepProfile((second, third), "c", 4.0, 1.0, NO_WORK),
    ]
    found = by_layer(profiling.Profile(tuple(steps), 0.0, 7.0, 7.0, 1), graph)
    assert {name: seconds for name, seconds in found.items() if seconds} == {"a": 1, "b": 3, "c": 3}


@pytest.mark.usefixtures("quick")
def test_networks_of_several_inputs_are_timed() -> None:
    state = state_of(classifier())
    (arrays,) = ([*random_inputs(state.graph, 0)],)
    programs = [ew.compile(state.graph), ew.compile(float_network(state.graph))]
    found = median_seconds([Timed(program, arrays) for program in programs])
    assert len(found) == 2
    assert all(seconds > 0 for seconds in found)


@pytest.mark.usefixtures("quick")
def test_what_is_measured_again_is_not_compiled_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A network's score, times and layers' times are of one program."""
    compiled: list[Graph] = []

    def compile_graph(graph: Graph, threads: int) -> ew.Program:
        compiled.append(graph)
        return ew.compile(graph, threads=threads)

    state = state_of(classifier())
    monkeypatch.setattr(measuring, "compile_graph", compile_graph)
    with measured(state) as measure:
        choice, plain = all_of(state, INT8), all_of(state, FLOAT32)
        measure.score(choice)
        measure.layer_seconds(choice)
        measure.seconds(plain, choice)
        measure.seconds(choice, plain)
        assert len(compiled) == 3
        assert measure.noise({**plain, "a": INT8}) < measure.noise(choice)
        assert len(compiled) == 5


def test_programs_are_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    state = state_of(classifier())
    opened: list[ew.Program] = []
    closed: list[ew.Program] = []
    usual = ew.Program.close

    def compile_graph(graph: Graph, threads: int) -> ew.Program:
        opened.append(ew.compile(graph, threads=threads))
        return opened[-1]

    def close(self: ew.Program) -> None:
        closed.append(self)
        usual(self)

    monkeypatch.setattr(measuring, "compile_graph", compile_graph)
    monkeypatch.setattr(ew.Program, "close", close)
    with measured(state) as measure:
        names = list(all_of(state, FLOAT32))
        for name in names:
            measure.score({**all_of(state, FLOAT32), name: INT8})
        measure.noise(all_of(state, INT8))
    assert len(names) > measuring.KEPT
    assert sorted(map(id, opened)) == sorted(map(id, closed))


def test_inputs_become_those_of_the_quantized_network() -> None:
    state = state_of(classifier(), {"inputs": "int8"})
    graph = convert(state).graph
    (array,) = as_inputs(graph.inputs, random_inputs(state.graph, 0))
    assert array.dtype == np.int8


@pytest.mark.usefixtures("made_up")
def test_the_sensitive_layer_is_found_and_restored(inputs: Array) -> None:
    plain = {"steps": ["calibrate"]}
    found = ew.quantize(one_sensitive_layer(), inputs, recipe=plain, max_drop=2.0)
    assert found.search is not None
    assert found.search.met
    assert found.search.choice == {"a": INT8, "b": INT8, "c": FLOAT32, "d": INT8}
    assert found.state.precisions == found.search.choice
    assert found.search.score == pytest.approx(100 - found.search.drop)
    again = ew.quantize(one_sensitive_layer(), inputs, recipe=found.recipe)
    assert again.state.precisions == found.state.precisions
    assert [str(node) for node in again.graph.nodes] == [str(node) for node in found.graph.nodes]
    noise = {d.layer: d.noise for d in found.search.decisions}
    assert noise["c"] > 20 * max(noise[name] for name in "abd")
    assert [n.outputs[0].name for n in found.graph.nodes if n.op.name == "DEQUANTIZE"] == [
        "b:float32",
        "d",
    ]


@pytest.mark.usefixtures("made_up")
def test_outputs_of_a_size_that_only_a_call_tells(inputs: Array) -> None:
    """The noise is that of what they are made from; a score sees them."""
    graph = one_sensitive_layer()
    found = TensorType((-1, 2), DType.INT64)
    op = Interpreted((found,), ("WHERE",), lambda arrays, limit: [np.argwhere(arrays[0] > 0)])
    places = Value("places", found)
    node = Node(op, graph.outputs, (places,))
    graph = replace(graph, nodes=(*graph.nodes, node), outputs=(places,))
    scored: list[Graph] = []

    def score(graph: Graph) -> float:
        scored.append(graph)
        return 50.0

    plain = {"steps": ["calibrate"]}
    search = ew.quantize(graph, inputs, recipe=plain, max_drop=2.0).search
    assert search is not None
    assert search.choice == {"a": INT8, "b": INT8, "c": FLOAT32, "d": INT8}
    assert ew.quantize(graph, inputs, recipe=plain, max_drop=2.0, score=score).search is not None
    assert {graph.outputs[0].name for graph in scored} == {"places"}


@pytest.mark.usefixtures("made_up")
def test_without_a_budget_every_layer_is_as_asked_for(inputs: Array) -> None:
    found = ew.quantize(one_sensitive_layer(), inputs)
    assert found.search is None
    assert set(found.state.precisions.values()) == {INT8}


@pytest.mark.usefixtures("made_up")
def test_what_the_recipe_keeps_in_float_stays(inputs: Array) -> None:
    recipe = {"layers": [{"names": ["a"], "precision": "float32"}]}
    found = ew.quantize(one_sensitive_layer(), inputs, recipe=recipe, max_drop=2.0)
    assert found.search is not None
    assert "a" not in found.search.choice
    assert found.state.precisions["a"] is FLOAT32


@pytest.mark.usefixtures("made_up")
def test_layers_without_an_integer_form_are_not_decided_on(inputs: Array) -> None:
    net = RealNet()
    x = net.real(1, 16)
    h = net.add(FullyConnected(), x, net.weights(8, 16), net.bias(8), name="h")
    graph = net.graph(net.add(Softmax(0.5), h, name="scores"))
    found = ew.quantize(graph, inputs, max_drop=1.0)
    assert found.search is not None
    assert set(found.search.choice) == {"h", "scores"} - set(found.left)


@pytest.mark.usefixtures("made_up")
def test_layers_without_weights_are_not_decided_on_where_weights_alone_are_quantized() -> None:
    net = RealNet()
    x = net.real(1, 64)
    h = net.add(FullyConnected(), x, net.weights(64, 64), net.bias(64), name="h")
    graph = net.graph(net.add(Softmax(1.0), h, name="scores"))
    data = np.random.default_rng(0).normal(size=(4, 64)).astype(np.float32)
    found = ew.quantize(graph, data, recipe="dynamic_range", max_drop=50.0)
    assert found.search is not None
    assert found.search.choice == {"h": Precision.DYNAMIC}


@pytest.mark.usefixtures("quick")
def test_a_search_on_this_machine(inputs: Array) -> None:
    """Whatever the times, the drop is kept."""
    found = ew.quantize(one_sensitive_layer(), inputs, max_drop=1.0, max_latency=1.0)
    assert found.search is not None
    assert found.search.met
    assert found.search.drop <= 1.0
    assert found.search.seconds > 0


def test_chosen_weights_serve_precisions_that_store_them_alike() -> None:
    state = state_of(classifier())
    kept = Weights(np.zeros(1, np.int8), QParams.per_tensor(1.0, 0))
    state = replace(state, weights=dict.fromkeys("acf", kept), biases={"c": np.zeros(8)})
    found = state.with_precisions({"a": INT16X8, "c": FLOAT32, "f": Precision.INT4})
    assert (set(found.weights), found.biases) == ({"a"}, {})
    assert found.precisions == {**state.precisions, "a": INT16X8, "c": FLOAT32, "f": Precision.INT4}


def test_a_budget_needs_data() -> None:
    with pytest.raises(InputError, match="calibration data"):
        ew.quantize(one_sensitive_layer(), recipe="dynamic_range", max_drop=1.0)
    with pytest.raises(InputError, match="max_drop=-2"):
        ew.quantize(one_sensitive_layer(), recipe="dynamic_range", max_drop=-2.0)
