"""Networks written as ONNX: ONNX Runtime computes what the references do."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from edgewise import ops
from edgewise.dtype import DType, QParams
from edgewise.graph import Array, Graph, TensorType, Value
from edgewise.ops import Activation, Op
from networks import Builder, classifier, quantized, random_inputs, reference

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

from benchmarks.networks.onnx_export import UnsupportedError, export  # noqa: E402

IMAGE = (1, 9, 8, 6)


def results(graph: Graph, arrays: Sequence[Array], symmetric: bool = False) -> list[Array]:
    """A graph's outputs by ONNX Runtime, in the layouts of the graph."""
    exported = export(graph, symmetric)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.add_session_config_entry("session.x64quantprecision", "1")
    session = onnxruntime.InferenceSession(
        exported.model, options, providers=["CPUExecutionProvider"]
    )
    given = {p.name: p.given(a) for p, a in zip(exported.inputs, arrays, strict=True)}
    found = session.run([p.name for p in exported.outputs], given)
    return [p.taken(a) for p, a in zip(exported.outputs, found, strict=True)]


def operators(graph: Graph, symmetric: bool = False) -> list[str]:
    """ONNX's operators, in order."""
    return [n.op_type for n in onnx.load_from_string(export(graph, symmetric).model).graph.node]


def assert_agrees(graph: Graph, symmetric: bool = False, steps: int = 1) -> None:
    """Floats agree to rounding; quantized values to ``steps``, since products are rounded twice."""
    arrays = random_inputs(graph)
    pairs = zip(results(graph, arrays, symmetric), reference(graph, arrays), strict=True)
    for value, (found, expected) in zip(graph.outputs, pairs, strict=True):
        assert (found.dtype, found.shape) == (expected.dtype, expected.shape), value.name
        if expected.dtype.kind == "f":
            np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5, err_msg=value.name)
        else:
            difference = np.abs(found.astype(int) - expected.astype(int))
            allowed = steps if value.type.quant is not None else 0
            assert difference.max(initial=0) <= allowed, value.name


def floats(*shapes: Sequence[int]) -> tuple[Builder, list[Value]]:
    b = Builder(3)
    return b, [b.input(TensorType(tuple(shape), DType.FLOAT32)) for shape in shapes]


def weights(b: Builder, *shape: int) -> Value:
    return b.constant(b.rng.normal(size=shape).astype(np.float32))


PRODUCTS: dict[str, Callable[[Builder, Value], Any]] = {
    "same": lambda b, x: b.node(
        ops.Conv2D((1, 1), padding=(1, 1, 1, 1), activation=Activation.RELU6),
        [x, weights(b, 5, 3, 3, 6), weights(b, 5)],
    ),
    "strided and padded on one side": lambda b, x: b.node(
        ops.Conv2D((2, 2), padding=(0, 1, 0, 1)), [x, weights(b, 5, 3, 3, 6)]
    ),
    "dilated": lambda b, x: b.node(
        ops.Conv2D((1, 1), (2, 2), (2, 2, 2, 2)), [x, weights(b, 4, 3, 3, 6)]
    ),
    "grouped": lambda b, x: b.node(ops.Conv2D(), [x, weights(b, 4, 1, 1, 3), weights(b, 4)]),
    "depthwise of multiplier 2": lambda b, x: b.node(
        ops.DepthwiseConv2D((2, 1), padding=(1, 0, 1, 1), activation=Activation.RELU),
        [x, weights(b, 1, 3, 3, 12), weights(b, 12)],
    ),
    "transposed": lambda b, x: b.node(
        ops.TransposeConv((2, 2), (0, 1, 0, 1), (18, 16)), [x, weights(b, 4, 3, 3, 6)]
    ),
    "dense of an image": lambda b, x: b.node(
        ops.FullyConnected(Activation.RELU), [x, weights(b, 7, 432), weights(b, 7)]
    ),
    "greatest": lambda b, x: b.node(ops.MaxPool2D((3, 2), (2, 2), (0, 1, 0, 0)), [x]),
    "averages": lambda b, x: b.node(ops.AveragePool2D((3, 3), (2, 2), (1, 1, 0, 1)), [x]),
    "average of all": lambda b, x: b.node(ops.AveragePool2D((9, 8), (9, 8)), [x]),
}


@pytest.mark.parametrize("symmetric", [False, True])
@pytest.mark.parametrize("name", PRODUCTS)
def test_products_of_images(name: str, symmetric: bool) -> None:
    b, (x,) = floats(IMAGE)
    assert_agrees(b.graph(PRODUCTS[name](b, x)), symmetric)


def test_symmetric_windows_pad_before() -> None:
    b, (x,) = floats(IMAGE)
    graph = b.graph(PRODUCTS["strided and padded on one side"](b, x))
    assert "Pad" not in operators(graph)
    assert "Pad" in operators(graph, symmetric=True)


UNARY: tuple[Op, ...] = (
    ops.Relu(),
    ops.Logistic(),
    ops.Tanh(),
    ops.Square(),
    ops.Neg(),
    ops.Abs(),
    ops.Floor(),
    ops.Exp(),
    ops.Softmax(),
    ops.Softmax(0.5),
    ops.Mean((1, 2), True),
    ops.Mean((1, 2), False),
    ops.Mean((3,), False),
    ops.Sum((1, 3), True),
    ops.ReduceMax((1,), False),
    ops.ReduceMin((2,), True),
    ops.ArgMax(3, DType.INT64),
    ops.ArgMax(1, DType.INT32),
    ops.Reshape((12, 36)),
    ops.Transpose((0, 2, 1, 3)),
    ops.Pad(((0, 0), (1, 2), (0, 3), (0, 0))),
    ops.Pad(((0, 0), (1, 2), (0, 3), (1, 0)), -2.0),
    ops.MirrorPad(((0, 0), (1, 2), (3, 1), (0, 0))),
    ops.StridedSlice((0, 1, 0, 5), (1, 4, 8, 3), (1, 2, 1, -2)),
    ops.StridedSlice((0, 8, 0, 0), (1, 1, 8, 6), (1, -1, 1, 1), (1,)),
    ops.ResizeBilinear((13, 4)),
    ops.ResizeBilinear((13, 4), True),
    ops.ResizeBilinear((18, 16), False, True),
    ops.ResizeNearestNeighbor((18, 16)),
    ops.ResizeNearestNeighbor((13, 5), False, True),
    ops.Cast(DType.INT32),
)


@pytest.mark.parametrize("after", [False, True], ids=["as given", "channels first"])
@pytest.mark.parametrize("op", UNARY, ids=str)
def test_operators_of_one_tensor(op: Op, after: bool) -> None:
    """Of the input, and of what a convolution leaves with its channels first."""
    b, (x,) = floats(IMAGE)
    if after:
        x = b.node(ops.Conv2D(), [x, weights(b, 6, 1, 1, 6)])
    assert_agrees(b.graph(b.node(op, [x])))


@pytest.mark.parametrize(
    "op",
    [ops.Sqrt(), ops.Rsqrt(), ops.Log()],
    ids=str,
)
def test_operators_of_positive_numbers(op: Op) -> None:
    b, (x,) = floats(IMAGE)
    y = b.node(ops.Add(), [b.node(ops.Square(), [x]), b.constant(np.float32(0.5))])
    assert_agrees(b.graph(b.node(op, [y])))


BINARY: tuple[Op, ...] = (
    ops.Add(Activation.RELU6),
    ops.Sub(),
    ops.Mul(Activation.RELU),
    ops.Div(),
    ops.Maximum(),
    ops.Minimum(),
    ops.SquaredDifference(),
    ops.FloorDiv(),
)


@pytest.mark.parametrize("shape", [IMAGE, (1, 1, 1, 6), (6,), (8, 1), ()], ids=str)
@pytest.mark.parametrize("op", BINARY, ids=str)
def test_operators_of_two_tensors(op: Op, shape: tuple[int, ...]) -> None:
    """One of them with its channels first; the other is broadcast, computed or constant."""
    b, (x, z) = floats(IMAGE, shape)
    y = b.node(ops.Conv2D(), [x, weights(b, 6, 1, 1, 6)])
    constant = b.constant(np.asarray(b.rng.uniform(1, 2, shape), np.float32))
    assert_agrees(b.graph(b.node(op, [y, z]), b.node(op, [y, constant])))


def test_parametric_relu() -> None:
    b, (x,) = floats(IMAGE)
    assert_agrees(b.graph(b.node(ops.PRelu(), [x, weights(b, 1, 1, 6)])))


def test_select_by_comparison() -> None:
    b, (x, y) = floats((2, 3), (2, 3))
    same = b.node(ops.Equal(), [b.node(ops.Relu(), [x]), b.node(ops.Relu(), [y])])
    assert_agrees(b.graph(b.node(ops.Select(), [same, x, y])))


def test_what_joins_and_parts() -> None:
    b, (x,) = floats(IMAGE)
    y = b.node(ops.Conv2D(), [x, weights(b, 4, 1, 1, 6)])
    left, right = b.node(ops.Split(3, 2), [y])
    joined = b.node(ops.Concatenation(3), [left, x, right])
    rows = b.node(ops.Unpack(1), [x])
    packed = b.node(ops.Pack(2), [rows[3], rows[0]])
    assert_agrees(b.graph(joined, packed))


def test_gathering() -> None:
    b, (x,) = floats((5, 4, 3))
    chosen = b.constant(np.array([4, 0, 3], np.int32))
    places = b.constant(np.array([[1, 2], [4, 0]], np.int32))
    assert_agrees(b.graph(b.node(ops.Gather(0), [x, chosen]), b.node(ops.GatherNd(), [x, places])))


@pytest.mark.parametrize("dtype", [DType.UINT8, DType.INT8], ids=str)
def test_quantized_network(dtype: DType) -> None:
    """Roundings of one layer are inputs of the next: some results are a few steps off."""
    assert_agrees(classifier(dtype), steps=4)


@pytest.mark.parametrize("dtype", [DType.UINT8, DType.INT8], ids=str)
def test_quantized_products(dtype: DType) -> None:
    b = Builder(1)
    x = b.input(quantized((1, 5, 5, 8), dtype))
    out = QParams.per_tensor(0.4, 100 if dtype is DType.UINT8 else 3)
    per_channel = b.weights((6, 3, 3, 8), axis=0)
    y = b.node(ops.Conv2D(padding=(1, 1, 1, 1)), [x, per_channel, b.bias(6)], out)
    asymmetric = b.weights((7, 150), DType.UINT8, zero_point=113)
    z = b.node(ops.FullyConnected(Activation.RELU), [y, asymmetric, b.bias(7)], out)
    assert_agrees(b.graph(y, z))


def test_weights_of_float_products_are_float() -> None:
    """They are quantized in the graph; the reference quantizes activations, which this does not."""
    b, (x,) = floats(IMAGE)
    kernel = b.weights((5, 3, 3, 6), axis=0, zero_point=0)
    graph = b.graph(b.node(ops.Conv2D(padding=(1, 1, 1, 1)), [x, kernel]))
    assert kernel.data is not None
    assert kernel.type.quant is not None
    scales = np.array(kernel.type.quant.scale, np.float32)[:, None, None, None]
    real = b.constant((kernel.data * scales).astype(np.float32))
    same = b.graph(b.node(ops.Conv2D(padding=(1, 1, 1, 1)), [x, real]))
    arrays = random_inputs(graph)
    (expected,) = reference(same, arrays)
    assert operators(graph) == ["Conv", "Identity"]
    np.testing.assert_allclose(results(graph, arrays)[0], expected, rtol=1e-4, atol=1e-5)


def test_quantized_numbers_become_others_and_floats() -> None:
    b, (x,) = floats((3, 4))
    q = b.node(ops.Quantize(DType.INT8), [x], QParams.per_tensor(0.02, 5))
    r = b.node(ops.Quantize(DType.UINT8), [q], QParams.per_tensor(0.03, 120))
    assert_agrees(b.graph(q, r, b.node(ops.Dequantize(), [r])))


def test_images_are_not_transposed_between_layers() -> None:
    names = operators(classifier(DType.UINT8))
    assert names.count("Conv") == 4
    assert "Transpose" not in names


def test_what_is_not_supported() -> None:
    b, (x,) = floats((4, 3))
    with pytest.raises(UnsupportedError, match="no ONNX form of CUMSUM, ELU"):
        export(b.graph(b.node(ops.Cumsum(), [x]), b.node(ops.Elu(), [x])))
    b, (x,) = floats(IMAGE)
    with pytest.raises(UnsupportedError, match="MIRROR_PAD, symmetric"):
        export(b.graph(b.node(ops.MirrorPad(((0, 0), (1, 1), (1, 1), (0, 0)), True), [x])))
    b = Builder()
    y = b.node(ops.Neg(), [b.input(TensorType((2,), DType.FLOAT64))])
    with pytest.raises(UnsupportedError, match="tensors of float64"):
        export(b.graph(y))
