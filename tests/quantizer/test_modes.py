"""Every mode of quantization: small files that LiteRT runs alike, and that are read again alike."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from float_nets import RealNet, sqnr

import edgewise as ew
from data_folder import data_folder
from edgewise import exporters, ops
from edgewise.dtype import DType
from edgewise.graph import Array, Graph, State, TensorType, Value
from edgewise.ops import LstmSettings, UnidirectionalSequenceLstm
from edgewise.ops.lstm import NAMES, STATES
from edgewise.quantizer.state import float_network
from edgewise.tools.differences import random_inputs
from tflite_builder import run_litert_calls

EXACT = ("int8", "uint8", "int16x8")
SIZES = {
    "int8": 0.25,
    "uint8": 0.25,
    "int16x8": 0.25,
    "dynamic_range": 0.25,
    "float16": 0.5,
    "int4": 0.125,
}
"""Bytes of a weight, of those of float32."""

NEAR = {"dynamic_range": 25.0, "float16": 80.0, "int4": 80.0}
"""What is told of LiteRT's floats in dB: rounding may move what a hybrid layer quantizes."""

FOLDER = data_folder()
NETWORKS = {
    "anomaly_float.tflite": 0.04,
    "blazeface_front_f16.tflite": 0.27,
    "dtln_1_float.onnx": 0.06,
    "dtln_1_dynamic.tflite": 0.06,
    "kws_dscnn_float.tflite": 0.65,
    "mnist_cnn_float.onnx": 0.14,
    "mobilenet_v1_0.25_224_float.tflite": 0.07,
    "movie_review_float.tflite": 0.26,
    "mtcnn_det3_float.prototxt": 0.03,
    "resnet8_cifar10_float.tflite": 0.08,
    "rfb320_float.onnx": 0.15,
    "vww_96_float.tflite": 0.13,
}
"""Networks of the data folder, and what share of the float file's bytes is not the weights'."""

APART = {("blazeface_front_f16.tflite", "int16x8"), ("rfb320_float.onnx", "int16x8")}
"""ADD and SOFTMAX of 16 bits, which LiteRT rounds otherwise here and there (docs/numbers.md)."""


def samples(graph: Graph, count: int = 2) -> list[tuple[Array, ...]]:
    return [tuple(arrays) for arrays in random_inputs(graph, count, 0)]


def quantized(graph: Graph, mode: str) -> Graph:
    given = samples(graph) if mode in EXACT else None
    return ew.quantize(graph, given, recipe=mode).graph


def results(graph: Graph, calls: Sequence[Sequence[Array]]) -> list[list[Array]]:
    program = ew.compile(graph)
    found = [program(*arrays) for arrays in calls]
    return [list(y) if isinstance(y, tuple) else [y] for y in found]


def check(graph: Graph, mode: str, exact: bool) -> tuple[Graph, bytes]:
    """What is written runs in LiteRT as here, and here when it is read again."""
    made = quantized(graph, mode)
    content = exporters.to_tflite(exporters.prepare(made))
    calls = [list(arrays) for arrays in samples(made, 3)]
    own, litert = results(made, calls), run_litert_calls(content, calls)
    again = results(ew.load(content), calls)
    for ours, theirs, read in zip(own, litert, again, strict=True):
        for a, b, c in zip(ours, theirs, read, strict=True):
            np.testing.assert_array_equal(c, a, strict=True)
            if exact:
                np.testing.assert_array_equal(b, a, strict=True)
            elif a.dtype == np.float32:
                assert sqnr(b, a) > NEAR.get(mode, 60)
    return made, content


def convolutions(net: RealNet) -> Graph:
    x = net.real(1, 12, 12, 8)
    a = net.add(ops.Conv2D(padding=(1, 1, 1, 1)), x, net.weights(48, 3, 3, 8), net.bias(48))
    b = net.add(
        ops.Conv2D(), net.add(ops.LeakyRelu(0.1), a), net.weights(96, 1, 1, 48), net.bias(96)
    )
    w = net.weights(1, 5, 5, 96, scale=0.2)
    c = net.add(ops.DepthwiseConv2D(padding=(2, 2, 2, 2)), b, w, net.bias(96))
    w = net.weights(16, 4, 4, 96)
    return net.graph(net.add(ops.TransposeConv((2, 2), output_size=(26, 26)), c, w, net.bias(16)))


def products(net: RealNet) -> Graph:
    x = net.real(6, 64)
    a = net.add(ops.FullyConnected(), x, net.weights(128, 64), net.bias(128))
    b = net.add(ops.FullyConnected(), net.add(ops.Tanh(), a), net.weights(48, 128))
    c = net.add(ops.Softmax(), net.add(ops.Mul(), b, net.weights(48, scale=1.0)))
    return net.graph(net.add(ops.Concatenation(1), c, net.add(ops.Logistic(), b)))


def embedding(net: RealNet) -> Graph:
    words = net.input(20, dtype=DType.INT32, quant=None, name="words")
    data = np.arange(20, dtype=np.int32) * 7 % 90
    known = Value("known", TensorType((20,), DType.INT32), data)
    table, other = (net.weights(100, 32, scale=0.4) for _ in range(2))
    offset = net.add(ops.Minimum(), words, known)
    a = net.add(ops.Gather(0), table, offset)
    b = net.add(ops.EmbeddingLookup(), offset, other)
    c = net.add(ops.Add(), a, b)
    return net.graph(net.add(ops.Mean((0,), True), c))


SMALL: dict[str, Callable[[RealNet], Graph]] = {
    "convolutions": convolutions,
    "products": products,
}


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("mode", SIZES)
def test_small_networks(name: str, mode: str) -> None:
    graph = SMALL[name](RealNet(1))
    made, _ = check(graph, mode, mode in EXACT)
    (arrays,) = samples(graph, 1)
    (exact,), (near,) = results(graph, [arrays]), results(made, [arrays])
    least = {"int4": 10, "float16": 50}.get(mode, 20)
    assert all(sqnr(a, b) > least for a, b in zip(near, exact, strict=True))


def lstm(units: int, steps: int = 4, seed: int = 0) -> Graph:
    """A layer with variables of its own, as TensorFlow Lite's converter makes it."""
    net = RealNet(seed)
    x = net.real(1, steps, units)
    there = {n for n in NAMES if not n.startswith("cell_to") and "proj" not in n}
    there -= {n for n in NAMES if "norm" in n}
    operands = [x]
    states = []
    for name in NAMES[1:]:
        if name in STATES:
            states.append(Value(name, TensorType((1, units), DType.FLOAT32)))
            operands.append(states[-1])
        elif name in there:
            is_bias = "bias" in name
            operands.append(net.bias(units) if is_bias else net.weights(units, units, scale=0.1))
    op = UnidirectionalSequenceLstm(tuple(n in there for n in NAMES), LstmSettings())
    y, *after = net.all(op, *operands, quant=None)
    kept = tuple(
        State(before, value, np.zeros(before.type.shape, np.float32))
        for before, value in zip(states, after, strict=True)
    )
    w = net.weights(16, units)
    out = net.add(ops.FullyConnected(keep_num_dims=True), y, w, net.bias(16))
    return Graph((x,), (out,), tuple(net.nodes), states=kept)


@pytest.mark.parametrize("mode", SIZES)
def test_recurrent_layers(mode: str) -> None:
    """Call after call, since variables are kept; of integers, the weights are."""
    graph = lstm(64)
    made, _ = check(graph, mode, exact=False)
    (node,) = (n for n in made.nodes if isinstance(n.op, UnidirectionalSequenceLstm))
    stored = {v.type.dtype for v in node.inputs if "bias" not in v.name and v.data is not None}
    assert (DType.INT8 in stored) == (mode not in ("float16", "int4"))


@pytest.mark.parametrize("mode", ["dynamic_range", "float16", "int4"])
def test_tables_of_rows(mode: str) -> None:
    graph = embedding(RealNet(2))
    content = exporters.to_tflite(ew.quantize(graph, recipe=mode).graph)
    words = np.arange(20, dtype=np.int32)
    ((found,),) = run_litert_calls(content, [[words]])
    ((own,),) = results(ew.load(content), [[words]])
    np.testing.assert_allclose(found, own, 1e-5, 1e-6)
    ((exact,),) = results(graph, [[words]])
    assert sqnr(own, exact) > {"dynamic_range": 35, "float16": 60, "int4": 12}[mode]
    assert len(content) < (SIZES[mode] + 0.12) * 4 * 2 * 100 * 32


def test_few_weights_stay() -> None:
    net = RealNet(1)
    y = net.add(ops.FullyConnected(), net.real(1, 31), net.weights(32, 31), net.bias(32), name="y")
    graph = net.graph(y)
    for mode in ("dynamic_range", "int4"):
        made = ew.quantize(graph, recipe=mode)
        assert made.left == {"y": "it has 992 weights; fewer than 1024 stay float32"}


def test_numbers_that_float16_lacks() -> None:
    net = RealNet(1)
    w = net.weights(32, 31, scale=1e5)
    graph = net.graph(net.add(ops.FullyConnected(), net.real(1, 31), w, net.bias(32), name="y"))
    (reason,) = ew.quantize(graph, recipe="float16").left.values()
    assert "float16 holds 65504" in reason


def test_computed_weights_stay() -> None:
    net = RealNet(1)
    a, b = net.real(2, 40, name="a"), net.real(32, 40, name="b")
    graph = net.graph(net.add(ops.FullyConnected(), a, b, name="y"))
    made = ew.quantize(graph, recipe="dynamic_range")
    assert made.left == {"y": "its weights are computed"}


@pytest.mark.data
@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("mode", SIZES)
def test_networks(name: str, mode: str) -> None:
    assert FOLDER is not None
    graph = float_network(ew.load(Path(FOLDER) / "models" / name))
    plain = replace(graph, metadata={**graph.metadata, **exporters.TFLITE})
    _, content = check(graph, mode, mode in EXACT and (name, mode) not in APART)
    whole = exporters.to_tflite(exporters.prepare(plain))
    assert len(content) < (SIZES[mode] + NETWORKS[name]) * len(whole)
