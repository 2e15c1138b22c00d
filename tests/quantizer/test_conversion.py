"""Float networks and choices made for them become quantized networks."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from float_nets import RealNet, classifier, ranges_of, sqnr, state_of, values
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import edgewise as ew
from edgewise import exporters
from edgewise.dtype import DType, QParams
from edgewise.errors import InputError
from edgewise.graph import Graph, Node, TensorType, Value, verify
from edgewise.ops import (
    Activation,
    Add,
    AveragePool2D,
    Concatenation,
    Conv2D,
    Cos,
    FullyConnected,
    Less,
    Logistic,
    MaxPool2D,
    Mean,
    Quantize,
    Reshape,
    Softmax,
)
from edgewise.quantizer import Precision, Range, convert
from edgewise.quantizer.precision import SCHEMES, Weights, activation_parameters
from edgewise.quantizer.state import float_network
from networks import random_inputs, reference
from test_program_random_float import random_network
from tflite_builder import run_litert

INTEGER = [Precision.INT8, Precision.UINT8, Precision.INT16X8]
HEALTH = [HealthCheck.too_slow, HealthCheck.data_too_large]


def outputs(graph: Graph, seed: int = 0) -> list[np.ndarray]:
    return reference(graph, random_inputs(graph, seed))


def types(graph: Graph) -> list[str]:
    return [f"{n.op.name} {n.outputs[0].type.dtype}" for n in graph.nodes]


@pytest.mark.parametrize("precision", INTEGER, ids=str)
def test_every_layer_computes_with_integers(precision: Precision) -> None:
    found = convert(state_of(classifier(), precision.value))
    assert not found.left
    dtype = {"uint8": "uint8", "int8": "int8", "int16x8": "int16"}[precision.value]
    between = types(found.graph)[1:-1]
    assert all(name.endswith(f" {dtype}") for name in between)
    assert types(found.graph)[0] == f"QUANTIZE {dtype}"
    assert types(found.graph)[-1] == "DEQUANTIZE float32"


@pytest.mark.parametrize(
    ("precision", "least"),
    [("int8", 20), ("uint8", 18), ("int16x8", 30), ("dynamic_range", 20), ("float16", 50)],
)
def test_results_are_near_the_floats(precision: str, least: float) -> None:
    state = state_of(classifier(), precision)
    found = convert(state).graph
    for seed in range(4):
        (exact,) = outputs(state.graph, seed)
        (near,) = outputs(found, seed)
        assert sqnr(near, exact) > least


@pytest.mark.parametrize("precision", INTEGER, ids=str)
def test_programs_and_litert_give_the_bits_of_the_reference(precision: Precision) -> None:
    graph = convert(state_of(classifier(), precision.value)).graph
    arrays = random_inputs(graph)
    (expected,) = reference(graph, arrays)
    np.testing.assert_array_equal(ew.compile(graph)(*arrays), expected)
    (litert,) = run_litert(exporters.to_tflite(exporters.prepare(graph)), arrays)
    np.testing.assert_array_equal(litert, expected)


@pytest.mark.parametrize("dtype", [DType.INT8, DType.UINT8, DType.INT16], ids=str)
def test_integer_inputs_and_outputs(dtype: DType) -> None:
    precision = {DType.INT16: "int16x8"}.get(dtype, dtype.value)
    recipe = {"precision": precision, "inputs": dtype.value, "outputs": dtype.value}
    found = convert(state_of(classifier(), recipe)).graph
    assert [v.type.dtype for v in (*found.inputs, *found.outputs)] == [dtype, dtype]
    assert [v.name for v in (*found.inputs, *found.outputs)] == ["x", "scores"]
    assert not any(isinstance(n.op, Quantize) for n in found.nodes)


def test_integer_ends_of_a_float_layer() -> None:
    recipe = {
        "layers": [{"ops": ["CONV_2D", "SOFTMAX"], "precision": "float32"}],
        "inputs": "int8",
        "outputs": "int8",
    }
    found = convert(state_of(classifier(), recipe)).graph
    assert [v.type.dtype for v in (*found.inputs, *found.outputs)] == [DType.INT8, DType.INT8]
    assert [v.name for v in (*found.inputs, *found.outputs)] == ["x", "scores"]
    assert types(found)[0] == "DEQUANTIZE float32"
    assert types(found)[-1] == "QUANTIZE int8"


def test_layers_of_several_precisions() -> None:
    rules = [
        {"names": ["b"], "precision": "int16x8"},
        {"ops": ["ADD"], "precision": "float32"},
        {"names": ["f*"], "precision": "dynamic_range"},
    ]
    state = state_of(classifier(features=256), {"layers": rules})
    found = convert(state)
    assert not found.left
    by_name = {v.name: n for n in found.graph.nodes for v in n.outputs}
    assert by_name["a"].outputs[0].type.dtype is DType.INT8
    assert by_name["b"].outputs[0].type.dtype is DType.INT16
    assert [v.type.dtype for v in by_name["b"].inputs] == [DType.INT16, DType.INT8, DType.INT64]
    assert by_name["c"].outputs[0].type.dtype is DType.INT8
    assert by_name["d"].outputs[0].type.dtype is DType.FLOAT32
    assert [v.type.dtype for v in by_name["f"].inputs][:2] == [DType.FLOAT32, DType.INT8]
    (exact,), (near,) = outputs(state.graph), outputs(found.graph)
    assert sqnr(near, exact) > 20


def test_a_layer_without_integer_form_stays_in_float_and_says_why() -> None:
    net = RealNet()
    x = net.real(1, 4, 4, 2)
    y = net.add(Conv2D(), x, net.weights(3, 1, 1, 2), net.weights(3), name="y")
    z = net.add(Cos(), y, name="z")
    found = convert(state_of(net.graph(net.add(Logistic(), z, name="end"))))
    assert found.left == {"z": "COS has no integer form here"}
    assert types(found.graph) == [
        "QUANTIZE int8",
        "CONV_2D int8",
        "DEQUANTIZE float32",
        "COS float32",
        "QUANTIZE int8",
        "LOGISTIC int8",
        "DEQUANTIZE float32",
    ]


def test_a_layer_whose_range_is_unknown_stays_in_float() -> None:
    state = state_of(classifier())
    kept = {name: found for name, found in state.ranges.items() if name != "c"}
    found = convert(replace(state, ranges=kept))
    assert set(found.left) == {"c", "d"}
    assert "'c' is not known" in found.left["c"]
    verify(found.graph)


@pytest.mark.parametrize("mask", [-np.inf, np.finfo(np.float32).min, -1e9])
@pytest.mark.parametrize("precision", INTEGER, ids=str)
def test_masked_scores_stay_in_float(precision: Precision, mask: float) -> None:
    net = RealNet()
    x = net.real(1, 4, 4)
    data = np.triu(np.full((4, 4), mask, np.float32), 1)
    added = Value("mask", TensorType(data.shape, DType.FLOAT32), data)
    a = net.add(FullyConnected(keep_num_dims=True), x, net.weights(4, 4), net.bias(4), name="a")
    y = net.add(Add(), a, added, name="y")
    graph = net.graph(net.add(Softmax(1.0), y, name="z"))
    samples = [random_inputs(graph, seed) for seed in range(3)]
    found = ew.quantize(graph, samples, recipe=precision.value)
    assert set(found.left) == {"y", "z"}
    assert "too wide a range" in found.left["z"]
    (exact,), (near,) = outputs(graph), outputs(found.graph)
    assert sqnr(near, exact) > 30


@pytest.mark.parametrize("limit", [50.0, np.inf])
def test_a_comparison_with_what_integers_do_not_hold_stays_in_float(limit: float) -> None:
    net = RealNet()
    x = net.real(1, 64)
    bound = Value("bound", TensorType((), DType.FLOAT32), np.array(limit, np.float32))
    state = state_of(net.graph(net.add(Less(), x, bound, name="y")))
    found = convert(state)
    assert "compares with 'bound'" in found.left["y"]
    highest = np.full((1, 64), state.ranges["x"].high, np.float32)
    assert reference(found.graph, [highest])[0].all()


def test_sums_of_16_bits_that_leave_int64_stay_in_float() -> None:
    net = RealNet()
    ones = Value("ones", TensorType((2, 20_000), DType.FLOAT32), np.ones((2, 20_000), np.float32))
    x = net.real(1, 20_000)
    graph = net.graph(net.add(FullyConnected(), x, ones, net.bias(2), name="y"))
    samples = [[np.full((1, 20_000), n, np.float32)] for n in (-1.0, 0.5, 1.0)]
    state = replace(state_of(graph, "int16x8"), ranges=ranges_of(graph, samples))
    found = convert(state)
    assert set(found.left) == {"y"}
    for arrays in samples:
        (exact,), (near,) = reference(graph, arrays), reference(found.graph, arrays)
        np.testing.assert_allclose(near, exact, rtol=1e-3)
    few = net.weights(2, 20_000, scale=0.1)
    graph = net.graph(net.add(FullyConnected(), x, few, net.bias(2), name="z"))
    samples = [random_inputs(graph, seed) for seed in range(3)]
    state = replace(state_of(graph, "int16x8"), ranges=ranges_of(graph, samples))
    assert "z" not in convert(state).left


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_weights_that_are_no_numbers_stay_in_float(bad: float) -> None:
    net = RealNet()
    x = net.real(1, 64)
    w = net.weights(32, 64)
    assert w.data is not None
    data = w.data.copy()
    data[3, 4] = bad
    w = Value("w", w.type, data)
    graph = net.graph(net.add(FullyConnected(), x, w, name="y"))
    found = convert(state_of(graph, "dynamic_range"))
    assert found.left == {"y": "its weights are NaN or infinite"}
    found = convert(state_of(graph, "float16"))
    assert found.left == {"y": f"'w' holds {bad}; float16 holds 65504.0"}


@pytest.mark.parametrize("mode", ["int8", "int16x8", "uint8"])
def test_steps_leave_weights_that_are_no_numbers(mode: str) -> None:
    """Results are numbers nonetheless, by the ReLU6."""
    net = RealNet()
    x = net.real(1, 64)
    w = net.weights(32, 64)
    assert w.data is not None
    data = w.data.copy()
    data[3, 4] = -np.inf
    w = Value("w", w.type, data)
    y = net.add(FullyConnected(activation=Activation.RELU6), x, w, net.bias(32), name="y")
    z = net.add(FullyConnected(), y, net.weights(8, 32), net.bias(8), name="z")
    samples = [np.abs(np.random.default_rng(i).normal(size=(1, 64))) for i in range(4)]
    found = ew.quantize(net.graph(z), [s.astype(np.float32) for s in samples], recipe=mode)
    assert found.left == {"y": "its weights are NaN or infinite"}


def test_what_moves_elements_keeps_scale_and_zero_point() -> None:
    net = RealNet()
    x = net.real(1, 8, 8, 4)
    a = net.add(MaxPool2D((2, 2), (2, 2)), x, name="a")
    b = net.add(AveragePool2D((2, 2), (2, 2)), a, name="b")
    c = net.add(Concatenation(3), b, b, name="c")
    d = net.add(Reshape((1, 32)), c, name="d")
    graph = net.graph(d)
    found = convert(state_of(graph)).graph
    quants = {v.type.quant for n in found.nodes for v in n.outputs if v.type.quant}
    assert len(quants) == 1
    assert Counter(types(found))["QUANTIZE int8"] == 1


def joined(read: bool, width: float = 8.0) -> Graph:
    """Numbers joined with others ``width`` times as great; the small ones are ``read`` twice."""
    net = RealNet()
    x = net.real(1, 8, 8, 4)
    w = net.weights(4, 1, 1, 4)
    assert w.data is not None
    great = Value("great_weights", w.type, w.data * np.float32(width))
    small = net.add(Conv2D(), x, w, name="small")
    pooled = net.add(MaxPool2D((2, 2), (2, 2)), small, name="pooled")
    large = net.add(MaxPool2D((2, 2), (2, 2)), net.add(Conv2D(), x, great), name="large")
    both = net.add(Concatenation(3), pooled, large, name="both")
    last = net.add(Conv2D(), both, net.weights(4, 1, 1, 8), name="last")
    other = net.add(Conv2D(), pooled, net.weights(4, 1, 1, 4), name="other")
    return net.graph(*([last, other] if read else [last]))


def scales(graph: Graph) -> dict[str, float]:
    found = {v.name: v.type.quant for n in graph.nodes for v in n.outputs}
    return {name: quant.scale[0] for name, quant in found.items() if quant is not None}


@pytest.mark.parametrize("precision", INTEGER, ids=str)
def test_what_others_read_has_a_scale_of_its_own_beside_that_of_a_join(
    precision: Precision,
) -> None:
    graph = joined(read=True)
    found = convert(state_of(graph, precision.value)).graph
    by_name = scales(found)
    assert by_name["small"] == by_name["pooled"] < by_name["large"] / 4
    assert by_name["large"] == by_name["both"]
    (again,) = (n for n in found.nodes if isinstance(n.op, Quantize) and n.inputs[0].name != "x")
    assert again.inputs[0].name == "pooled"
    inputs = random_inputs(found)
    expected = reference(found, inputs)
    litert = run_litert(exporters.to_tflite(exporters.prepare(found)), inputs)
    for ours, theirs in zip(expected, litert, strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize(("read", "width"), [(False, 8.0), (True, 1.3)])
def test_a_join_that_costs_nothing_has_one_scale(read: bool, width: float) -> None:
    graph = joined(read, width)
    by_name = scales(convert(state_of(graph)).graph)
    assert by_name["pooled"] == by_name["both"] == by_name["large"]


def test_what_the_caller_sees_has_a_scale_of_its_own_beside_that_of_a_join() -> None:
    graph = joined(read=False)
    shown = next(v for n in graph.nodes for v in n.outputs if v.name == "pooled")
    by_name = scales(convert(state_of(replace(graph, outputs=(*graph.outputs, shown)))).graph)
    assert by_name["pooled:int8"] < by_name["both"] / 4


def test_what_the_caller_sees_as_integers_keeps_its_name_beside_that_of_a_join() -> None:
    graph = joined(read=False)
    shown = next(v for n in graph.nodes for v in n.outputs if v.name == "pooled")
    graph = replace(graph, outputs=(*graph.outputs, shown))
    plain = state_of(graph, {"precision": "int8", "outputs": "int8"})
    for mixed in ({}, {"small": Precision.UINT8, "pooled": Precision.UINT8}):
        found = convert(plain.with_precisions(mixed)).graph
        verify(found)
        assert [v.name for v in found.outputs] == ["last", "pooled"]
        by_name = scales(found)
        assert by_name["pooled"] < by_name["both"] / 4
        assert by_name["pooled:int8"] == by_name["both"]


def test_an_average_of_all_pixels_has_a_scale_of_its_own() -> None:
    net = RealNet()
    x = net.real(1, 6, 6, 4)
    pooled = net.add(AveragePool2D((6, 6), (1, 1)), x, name="pooled")
    found = convert(state_of(net.graph(pooled))).graph
    (mean,) = (n for n in found.nodes if isinstance(n.op, Mean))
    before, after = mean.inputs[0].type.quant, mean.outputs[0].type.quant
    assert before is not None
    assert after is not None
    assert after.scale[0] < before.scale[0] / 2


@pytest.mark.parametrize("precision", INTEGER, ids=str)
def test_activations_that_are_always_zero(precision: Precision) -> None:
    net = RealNet()
    x = net.real(1, 4, 4, 2)
    w = net.weights(3, 1, 1, 2)
    low = Value("low", TensorType((3,), DType.FLOAT32), np.full(3, -100, np.float32))
    a = net.add(Conv2D(activation=Activation.RELU), x, w, low, name="a")
    b = net.add(Conv2D(), a, net.weights(2, 1, 1, 3), net.weights(2, scale=0.5), name="b")
    found = convert(state_of(net.graph(b), precision.value))
    assert not found.left
    (exact,), (near,) = outputs(state_of(net.graph(b)).graph), outputs(found.graph)
    np.testing.assert_allclose(near, exact, atol=0.01)


def test_channels_of_no_weights_keep_their_bias() -> None:
    net = RealNet()
    x = net.real(1, 4, 4, 2)
    data = net.rng.normal(0, 0.5, (3, 1, 1, 2)).astype(np.float32)
    data[1] = 0
    data[2] *= 1e-9
    w = Value("weights", TensorType(data.shape, DType.FLOAT32), data)
    bias = Value("bias", TensorType((3,), DType.FLOAT32), np.array([0.1, 2, -3], np.float32))
    graph = net.graph(net.add(Conv2D(), x, w, bias, name="y"))
    found = convert(state_of(graph))
    assert not found.left
    (exact,), (near,) = outputs(graph), outputs(found.graph)
    assert np.abs(near - exact).max() < 2 * np.abs(exact).max() / 255


@pytest.mark.parametrize("precision", ["int8", "uint8", "int16x8"])
def test_written_networks_are_read_again(precision: str, tmp_path: Path) -> None:
    graph = convert(state_of(classifier(), precision)).graph
    ew.save(graph, tmp_path / "small.tflite")
    again = ew.load(tmp_path / "small.tflite")
    for seed in range(3):
        np.testing.assert_array_equal(outputs(again, seed), outputs(graph, seed))


def test_a_quantized_network_is_refused() -> None:
    graph = convert(state_of(classifier())).graph
    with pytest.raises(InputError, match=r"QUANTIZE 'x:int8' is int8.*quantized already"):
        float_network(graph)


def test_weights_that_steps_chose_are_kept() -> None:
    state = state_of(classifier())
    layer = next(n for n in state.graph.nodes if n.outputs[0].name == "f")
    chosen = convert(state)
    node = next(n for n in chosen.graph.nodes if n.outputs[0].name == "f")
    w = node.inputs[1]
    assert w.data is not None
    assert w.type.quant is not None
    other = Weights(np.ascontiguousarray(-w.data), w.type.quant)
    found = convert(replace(state, weights={"f": other}))
    node = next(n for n in found.graph.nodes if n.outputs[0].name == "f")
    np.testing.assert_array_equal(node.inputs[1].data, -w.data)
    assert isinstance(layer.op, FullyConnected)


@given(data=st.data())
@settings(max_examples=60, deadline=None, suppress_health_check=HEALTH)
def test_random_networks_of_mixed_precisions(data: st.DataObject) -> None:
    real = float_network(random_network(data))
    samples = [random_inputs(real, seed) for seed in range(2)]
    found = ranges_of(real, samples)
    state = state_of(real)
    chosen = {
        name: data.draw(st.sampled_from(list(Precision)), label=name) for name in state.precisions
    }
    state = replace(state, ranges=found).with_precisions(chosen)
    result = convert(state)
    verify(result.graph)
    assert set(result.left) <= set(chosen)
    inputs = random_inputs(result.graph, 0)
    expected = reference(result.graph, inputs)
    program = ew.compile(result.graph)
    given_ = program(*inputs)
    given_ = given_ if isinstance(given_, tuple) else (given_,)
    floats = any(p is Precision.FLOAT32 for p in chosen.values()) or result.left
    for got, want in zip(given_, expected, strict=True):
        assert (got.shape, got.dtype) == (want.shape, want.dtype)
        if not floats and all(p in INTEGER for p in chosen.values()):
            np.testing.assert_array_equal(got, want)


@given(data=st.data())
@settings(max_examples=40, deadline=None, suppress_health_check=HEALTH)
def test_random_networks_in_16_bits_are_near_the_floats(data: st.DataObject) -> None:
    real = float_network(random_network(data))
    samples = [random_inputs(real, seed) for seed in range(2)]
    state = replace(state_of(real, "int16x8"), ranges=ranges_of(real, samples))
    exact = values(real, samples[0])
    near = values(convert(state).graph, samples[0])
    for output in real.outputs:
        if exact[output.name].dtype == np.float32:
            noise = np.abs(near[output.name] - exact[output.name]).max(initial=0)
            assert noise <= 0.05 * max(np.abs(exact[output.name]).max(initial=0), 1e-3)


def test_ranges_and_parameters() -> None:
    int8, uint8, int16 = (SCHEMES[p] for p in INTEGER)
    assert activation_parameters(int8, Range(-1, 1.55)) == QParams.per_tensor(
        float(np.float32(0.01)), -28
    )
    assert activation_parameters(uint8, Range(0, 255)) == QParams.per_tensor(1.0, 0)
    assert activation_parameters(int16, Range(-2, 1)).zero_point == (0,)


@pytest.mark.parametrize("dtype", [DType.INT8, DType.UINT8, DType.INT16])
def test_nan_becomes_the_least_integer(dtype: DType) -> None:
    x = Value("x", TensorType((1, 20), DType.FLOAT32))
    y = Value("y", TensorType((1, 20), dtype, QParams.per_tensor(0.1, 0)))
    node = Node(Quantize(dtype), (x,), (y,))
    nothing = np.full((1, 20), np.nan, np.float32)
    expected = np.full((1, 20), dtype.range[0], dtype.numpy)
    np.testing.assert_array_equal(ew.compile(Graph((x,), (y,), (node,)))(nothing), expected)
