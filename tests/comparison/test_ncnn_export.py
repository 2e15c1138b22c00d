"""Networks written as ncnn's files: their layers, and in ncnn, where it is installed, results."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgewise import ops
from edgewise.dtype import DType
from edgewise.graph import Graph, TensorType, Value
from edgewise.ops import Activation
from networks import Builder, classifier, random_inputs, reference

pytest.importorskip("onnx")

from benchmarks.networks.ncnn_export import export_ncnn
from benchmarks.networks.onnx_export import UnsupportedError

IMAGE = (1, 9, 8, 6)


def layers(graph: Graph) -> list[list[str]]:
    """The words of each layer's line."""
    magic, counts, *lines = export_ncnn(graph).parameters.decode().splitlines()
    assert magic == "7767517"
    assert int(counts.split()[0]) == len(lines)
    return [line.split() for line in lines]


def floats(*shapes: tuple[int, ...]) -> tuple[Builder, list[Value]]:
    b = Builder(3)
    return b, [b.input(TensorType(shape, DType.FLOAT32)) for shape in shapes]


def weights(b: Builder, *shape: int) -> Value:
    return b.constant(b.rng.normal(size=shape).astype(np.float32))


def test_lines_and_weights() -> None:
    b, (x,) = floats(IMAGE)
    kernel, bias = weights(b, 5, 3, 3, 6), weights(b, 5)
    op = ops.Conv2D((2, 2), padding=(0, 1, 0, 1), activation=Activation.RELU6)
    graph = b.graph(b.node(op, [x, kernel, bias]))
    first, second, third = layers(graph)
    assert first == ["Input", "l0", "0", "1", "in0"]
    assert second[:5] == ["Convolution", "l1", "1", "1", "in0"]
    expected = "0=5 1=3 11=3 2=1 12=1 3=2 13=2 4=0 15=1 14=0 16=1 5=1 6=270 9=3 -23310=2,0.0,6.0"
    assert second[6:] == expected.split()
    assert third == ["Noop", "l2", "1", "1", second[5], "out0"]
    content = np.frombuffer(export_ncnn(graph).weights, np.float32)
    assert kernel.data is not None
    assert bias.data is not None
    assert content[0] == 0
    np.testing.assert_array_equal(content[1:271], kernel.data.transpose(0, 3, 1, 2).ravel())
    np.testing.assert_array_equal(content[271:], bias.data)


def test_a_blob_of_two_readers_is_split() -> None:
    b, (x,) = floats(IMAGE)
    y = b.node(ops.Logistic(), [x])
    kinds = {words[0]: words for words in layers(b.graph(b.node(ops.Mul(), [x, y])))}
    assert kinds["Split"][2:] == ["1", "2", "in0", "in0_0", "in0_1"]
    assert kinds["Sigmoid"][4] == "in0_0"
    assert kinds["BinaryOp"][4] == "in0_1"


NETWORKS: dict[str, Callable[[Builder, Value], Any]] = {
    "convolution": lambda b, x: b.node(
        ops.Conv2D((2, 2), (1, 1), (0, 1, 0, 1), Activation.RELU6),
        [x, weights(b, 5, 3, 3, 6), weights(b, 5)],
    ),
    "grouped": lambda b, x: b.node(ops.Conv2D(), [x, weights(b, 4, 1, 1, 3)]),
    "depthwise": lambda b, x: b.node(
        ops.DepthwiseConv2D((1, 2), padding=(1, 1, 1, 0), activation=Activation.RELU),
        [x, weights(b, 1, 3, 3, 6), weights(b, 6)],
    ),
    "transposed": lambda b, x: b.node(
        ops.TransposeConv((2, 2), (0, 1, 0, 1), (18, 16)), [x, weights(b, 4, 3, 3, 6)]
    ),
    "dense": lambda b, x: b.node(ops.FullyConnected(), [x, weights(b, 7, 432), weights(b, 7)]),
    "greatest": lambda b, x: b.node(ops.MaxPool2D((3, 2), (2, 2), (0, 1, 0, 0)), [x]),
    "average": lambda b, x: b.node(ops.AveragePool2D((3, 3), (2, 2), (1, 1, 0, 1)), [x]),
    "mean": lambda b, x: b.node(ops.Mean((1, 2), False), [x]),
    "sum": lambda b, x: b.node(ops.Add(Activation.RELU), [x, b.node(ops.Tanh(), [x])]),
    "parametric": lambda b, x: b.node(ops.PRelu(), [x, weights(b, 1, 1, 6)]),
    "padded": lambda b, x: b.node(ops.Pad(((0, 0), (1, 2), (0, 3), (0, 2))), [x]),
    "mirrored": lambda b, x: b.node(ops.MirrorPad(((0, 0), (1, 2), (3, 1), (0, 0))), [x]),
    "aligned": lambda b, x: b.node(ops.ResizeBilinear((13, 4), True), [x]),
    "centred": lambda b, x: b.node(ops.ResizeBilinear((18, 16), False, True), [x]),
    "nearest": lambda b, x: b.node(ops.ResizeNearestNeighbor((18, 16)), [x]),
    "joined": lambda b, x: b.node(ops.Concatenation(3), [x, b.node(ops.Relu(), [x])]),
    "chances": lambda b, x: b.node(ops.Softmax(), [x]),
    "rows": lambda b, x: b.node(ops.Softmax(), [b.node(ops.Reshape((1, 72, 6)), [x])]),
    "part": lambda b, x: b.node(ops.StridedSlice((0, 1, 2, 1), (1, 4, 5, 3), (1, 1, 1, 1)), [x]),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_ncnn_computes_what_the_references_do(name: str) -> None:
    pytest.importorskip("ncnn", reason="ncnn is not installed: pip install -e '.[bench]'")
    from benchmarks.networks.peers.ncnn import Ncnn

    b, (x,) = floats(IMAGE)
    graph = b.graph(NETWORKS[name](b, x))
    arrays = random_inputs(graph)
    (found,) = Ncnn(Path(), graph, 1).run(arrays)
    (expected,) = reference(graph, arrays)
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", NETWORKS)
def test_every_layer_reads_what_an_earlier_one_wrote(name: str) -> None:
    b, (x,) = floats(IMAGE)
    known: set[str] = set()
    for _, _, ins, outs, *words in layers(b.graph(NETWORKS[name](b, x))):
        read, written = words[: int(ins)], words[int(ins) : int(ins) + int(outs)]
        assert known.issuperset(read)
        assert known.isdisjoint(written)
        known.update(written)
        known.difference_update(read)
    assert known == {"out0"}


def test_what_is_not_supported() -> None:
    b, (x,) = floats(IMAGE)
    with pytest.raises(UnsupportedError, match="no form here of CUMSUM"):
        export_ncnn(b.graph(b.node(ops.Cumsum(1), [x])))
    with pytest.raises(UnsupportedError, match="its activations are quantized"):
        export_ncnn(classifier(DType.UINT8))
    b, (x,) = floats((2, 4))
    with pytest.raises(UnsupportedError, match=r"float32\[2x4\], not float32 of one batch"):
        export_ncnn(b.graph(b.node(ops.Relu(), [x])))
    b, (x,) = floats(IMAGE)
    graph = b.graph(b.node(ops.ResizeBilinear((4, 4)), [x]))
    with pytest.raises(UnsupportedError, match="RESIZE_BILINEAR from the corners of pixels"):
        export_ncnn(graph)
