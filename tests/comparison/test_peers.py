"""Peers of the benchmarks that are given what Edgewise read, on small networks."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgewise import ops
from edgewise.dtype import DType, QParams
from edgewise.errors import InputError
from edgewise.graph import Graph, TensorType
from edgewise.ops import Activation
from networks import Builder, quantized, random_inputs, reference

pytest.importorskip("onnx")


def peer(
    module: str, package: str, name: str, graph: Graph, threads: int = 1, **options: Any
) -> Any:
    """A contestant with a network; skips where its package is missing."""
    pytest.importorskip(package, reason=f"{package} is not installed: pip install -e '.[bench]'")
    found = importlib.import_module(f"benchmarks.networks.peers.{module}")
    return getattr(found, name)(Path("network.tflite"), graph, threads, **options)


PEERS: dict[str, Callable[[Graph, int], Any]] = {
    "onnxruntime": lambda g, n: peer("onnx", "onnxruntime", "OnnxRuntime", g, n, exact=True),
    "mnn": lambda g, n: peer("mnn", "MNN", "Mnn", g, n),
    "ncnn": lambda g, n: peer("ncnn", "ncnn", "Ncnn", g, n),
    "qnnpack": lambda g, n: peer("qnnpack", "torch", "Qnnpack", g, n),
}


def float_network() -> Graph:
    """An image to an image and to chances."""
    b = Builder(5)
    x = b.input(TensorType((1, 11, 9, 3), DType.FLOAT32))

    def weights(*shape: int) -> Any:
        return b.constant(b.rng.normal(size=shape).astype(np.float32) / 4)

    stem = ops.Conv2D((2, 2), padding=(0, 1, 0, 1), activation=Activation.RELU6)
    y = b.node(stem, [x, weights(8, 3, 3, 3), weights(8)])
    z = b.node(ops.DepthwiseConv2D(padding=(1, 1, 1, 1)), [y, weights(1, 3, 3, 8), weights(8)])
    z = b.node(ops.Add(Activation.RELU), [y, z])
    mean = b.node(ops.Mean((1, 2), False), [z])
    scores = b.node(ops.FullyConnected(), [mean, weights(5, 8), weights(5)])
    return b.graph(z, b.node(ops.Softmax(), [scores]))


def quantized_network(dtype: DType, weights: DType) -> Graph:
    """A classifier of the operators that QNNPACK has; uint8 weights have a zero point."""
    b = Builder(7)
    low = dtype.range[0]
    x = b.input(quantized((1, 12, 10, 3), dtype))

    def kernel(*shape: int, axis: int) -> Any:
        if weights is DType.UINT8:
            return b.weights(shape, DType.UINT8, zero_point=121)
        return b.weights(shape, axis=axis)

    def q(scale: float) -> QParams:
        return QParams.per_tensor(scale, low)

    stem = ops.Conv2D((2, 2), padding=(0, 1, 0, 1), activation=Activation.RELU6)
    y = b.node(stem, [x, kernel(8, 3, 3, 3, axis=0), b.bias(8)], q(6 / 255))
    deep = ops.DepthwiseConv2D(padding=(1, 1, 1, 1), activation=Activation.RELU6)
    z = b.node(deep, [y, kernel(1, 3, 3, 8, axis=3), b.bias(8)], q(0.05))
    z = b.node(ops.Add(), [y, z], q(0.06))
    z = b.node(ops.MaxPool2D((2, 2), (1, 1)), [z], z.type.quant)
    z = b.node(ops.AveragePool2D((2, 2), (2, 2)), [z], z.type.quant)
    mean = b.node(ops.Mean((1, 2), False), [z], q(0.05))
    out = QParams.per_tensor(0.2, low + 128)
    scores = b.node(ops.FullyConnected(), [mean, kernel(6, 8, axis=0), b.bias(6)], out)
    return b.graph(scores)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("name", ["onnxruntime", "mnn", "ncnn"])
def test_float_network(name: str, threads: int) -> None:
    graph = float_network()
    runtime = PEERS[name](graph, threads)
    assert runtime.name.split()[-1][0].isdigit()
    assert runtime.path
    for seed in range(2):
        arrays = random_inputs(graph, seed)
        for found, expected in zip(runtime.run(arrays), reference(graph, arrays), strict=True):
            assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
            np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4)


@pytest.mark.filterwarnings("ignore:torch:UserWarning", "ignore::DeprecationWarning")
@pytest.mark.parametrize("weights", [DType.UINT8, DType.INT8], ids=str)
@pytest.mark.parametrize("dtype", [DType.UINT8, DType.INT8], ids=str)
@pytest.mark.parametrize("name", ["onnxruntime", "qnnpack"])
def test_quantized_network(name: str, dtype: DType, weights: DType) -> None:
    graph = quantized_network(dtype, weights)
    runtime = PEERS[name](graph, 1)
    arrays = random_inputs(graph)
    (found,), (expected,) = runtime.run(arrays), reference(graph, arrays)
    assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
    assert np.ptp(expected.astype(int)) > 20
    assert np.abs(found.astype(int) - expected.astype(int)).max() <= 4


@pytest.mark.filterwarnings("ignore:torch:UserWarning", "ignore::DeprecationWarning")
@pytest.mark.parametrize("dtype", [DType.UINT8, DType.INT8], ids=str)
@pytest.mark.parametrize("name", ["onnxruntime", "qnnpack"])
def test_quantized_chances(name: str, dtype: DType) -> None:
    b = Builder(2)
    x = b.input(quantized((3, 9), dtype))
    numbers = b.node(ops.Quantize(dtype), [x], QParams.per_tensor(0.04, dtype.range[0] + 120))
    chances = QParams.per_tensor(1 / 256, dtype.range[0])
    graph = b.graph(b.node(ops.Softmax(), [numbers], chances))
    arrays = random_inputs(graph)
    (found,), (expected,) = PEERS[name](graph, 1).run(arrays), reference(graph, arrays)
    assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
    assert np.abs(found.astype(int) - expected.astype(int)).max() <= 2


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("mnn", "its Python interface takes no uint8 inputs"),
        ("ncnn", "cannot be written as ncnn's: its activations are quantized"),
    ],
)
def test_what_takes_no_quantized_networks_says_so(name: str, told: str) -> None:
    with pytest.raises(InputError, match=told):
        PEERS[name](quantized_network(DType.UINT8, DType.UINT8), 1)


@pytest.mark.filterwarnings("ignore:torch:UserWarning", "ignore::DeprecationWarning")
def test_qnnpack_takes_no_float_networks() -> None:
    with pytest.raises(InputError, match="takes networks of 8-bit inputs and outputs only"):
        PEERS["qnnpack"](float_network(), 1)
