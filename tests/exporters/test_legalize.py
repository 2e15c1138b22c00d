"""What TensorFlow Lite lacks, written in what it has: the same results, in LiteRT too."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from small_graphs import Net, assert_unchanged, check, evaluate, lines
from test_write_operators import assert_equal

from edgewise import exporters
from edgewise.dtype import DType, QParams
from edgewise.errors import UnsupportedError
from edgewise.exporters.legalize import add_biases, legalize
from edgewise.graph import Graph
from edgewise.importers import load
from edgewise.ops import (
    Abs,
    Activation,
    Add,
    Atan2,
    AveragePool2D,
    BatchMatMul,
    BitwiseAnd,
    Cast,
    Concatenation,
    Conv2D,
    Conv3D,
    Conv3DTranspose,
    Densify,
    DepthwiseConv2D,
    Div,
    Equal,
    GreaterEqual,
    If,
    L2Pool2D,
    Less,
    MaxPool2D,
    Mean,
    Mul,
    Neg,
    NotEqual,
    Relu,
    ReluN1To1,
    Reverse,
    ShiftLeft,
    Sub,
    Sum,
    TopK,
    TransposeConv,
)
from tflite_builder import run_litert

PADS = (1, 0, 2, 1)
F32, I8 = DType.FLOAT32, DType.INT8
RELU_0_TO_1 = Activation.RELU_0_TO_1


def real(op: Any, x: tuple[int, ...], *weights: tuple[int, ...]) -> Graph:
    net = Net()
    operands = [net.input(*x, dtype=F32, quant=None)]
    operands += [net.constant(*w, dtype=F32, quant=None) for w in weights]
    return net.graph(net(op, *operands, quant=None, name="y"))


def quantized(op: Any, x: tuple[int, ...], *weights: tuple[int, ...]) -> Graph:
    net, w = Net(), QParams.per_tensor(0.02, 0)
    operands = [net.input(*x)] + [net.constant(*shape, quant=w) for shape in weights]
    return net.graph(net(op, *operands, name="y"))


IMAGE, BIAS = (2, 7, 8, 4), (6,)
VOLUME = ((1, 0), (0, 2), (1, 1))
GRAPHS: dict[str, tuple[Callable[[], Graph], list[str]]] = {
    "convolution": (
        lambda: real(Conv2D((2, 1), (1, 2), PADS, Activation.RELU6), IMAGE, (6, 3, 2, 4), BIAS),
        ["PAD", "CONV_2D"],
    ),
    "convolution of integers": (
        lambda: quantized(Conv2D((2, 1), (1, 2), PADS), IMAGE, (6, 3, 2, 4)),
        ["PAD", "CONV_2D"],
    ),
    "depthwise": (
        lambda: real(DepthwiseConv2D((2, 2), (1, 1), PADS), IMAGE, (1, 3, 3, 8), (8,)),
        ["PAD", "DEPTHWISE_CONV_2D"],
    ),
    "volume": (
        lambda: real(Conv3D(padding=VOLUME), (1, 4, 5, 6, 2), (2, 2, 3, 2, 3), (3,)),
        ["PAD", "CONV_3D"],
    ),
    "greatest": (
        lambda: real(MaxPool2D((3, 4), (2, 2), PADS, Activation.RELU), IMAGE),
        ["PAD", "MAX_POOL_2D"],
    ),
    "greatest integer": (
        lambda: quantized(MaxPool2D((3, 4), (2, 2), PADS), IMAGE),
        ["PAD", "MAX_POOL_2D"],
    ),
    "average": (
        lambda: real(AveragePool2D((3, 4), (2, 2), PADS, Activation.RELU6), IMAGE),
        ["PAD", "AVERAGE_POOL_2D", "MUL"],
    ),
    "root of squares": (
        lambda: real(L2Pool2D((3, 4), (2, 2), PADS), IMAGE),
        ["PAD", "L2_POOL_2D", "MUL"],
    ),
    "transposed": (
        lambda: real(
            TransposeConv((2, 2), (1, 0, 1, 1), (14, 16)), (2, 7, 8, 4), (6, 3, 4, 4), (6,)
        ),
        ["TRANSPOSE_CONV", "STRIDED_SLICE"],
    ),
    "transposed volume": (
        lambda: real(
            Conv3DTranspose((1, 2, 2), padding=((1, 1), (1, 0), (0, 1)), output_size=(3, 8, 10)),
            (1, 3, 4, 5, 2),
            (3, 3, 3, 3, 2),
        ),
        ["CONV_3D_TRANSPOSE", "STRIDED_SLICE"],
    ),
    "activation that is not fused": (
        lambda: real(Add(RELU_0_TO_1), (2, 3), (2, 3)),
        ["ADD", "RELU_0_TO_1"],
    ),
    "both": (
        lambda: real(Conv2D((1, 1), (1, 1), PADS, RELU_0_TO_1), IMAGE, (6, 3, 2, 4), BIAS),
        ["PAD", "CONV_2D", "RELU_0_TO_1"],
    ),
    "product": (
        lambda: real(BatchMatMul(activation=Activation.RELU_N1_TO_1), (2, 3, 4), (2, 4, 5)),
        ["BATCH_MATMUL", "RELU_N1_TO_1"],
    ),
    "concatenation": (
        lambda: real(Concatenation(1, Activation.RELU), (2, 3), (2, 4)),
        ["CONCATENATION", "RELU"],
    ),
}
LEGAL: dict[str, Callable[[], Graph]] = {
    "SAME": lambda: real(Conv2D((2, 2), (1, 1), (1, 1, 0, 1)), IMAGE, (6, 3, 3, 4), BIAS),
    "VALID": lambda: real(MaxPool2D((3, 3), (2, 2)), IMAGE),
    "transposed SAME": lambda: real(
        TransposeConv((2, 2), (0, 1, 0, 1), (14, 16)), IMAGE, (6, 3, 3, 4)
    ),
    "groups": lambda: real(Conv2D(), IMAGE, (6, 3, 3, 2), BIAS),
    "an average of integers": lambda: quantized(AveragePool2D((3, 3), (1, 1), (1, 0, 0, 0)), IMAGE),
}


@pytest.mark.parametrize("name", GRAPHS)
def test_same_results(name: str) -> None:
    make, operators = GRAPHS[name]
    graph = make()
    result = check(legalize, graph, tolerance=2e-6 if "MUL" in operators else 0.0)
    assert [node.op.name for node in result.nodes] == operators
    content = exporters.to_tflite(add_biases(result))
    assert [node.op.name for node in load(content).nodes] == operators
    (x,) = graph.inputs
    array = Net(3).random(x.type)
    (expected,), (found,) = evaluate(graph, {x: array}), run_litert(content, [array])
    if x.type.dtype.is_float:
        np.testing.assert_allclose(found, expected, 2e-6, 2e-6 * np.abs(expected).max())
    else:
        assert_equal([found], [expected])


@pytest.mark.parametrize("name", LEGAL)
def test_what_is_legal_stays(name: str) -> None:
    assert_unchanged(legalize, LEGAL[name]())


@pytest.mark.parametrize("groups", [2, 4])
def test_groups_run_in_litert(groups: int) -> None:
    graph = real(Conv2D((2, 2), (1, 1), (1, 1, 0, 1)), IMAGE, (8, 3, 3, 4 // groups), (8,))
    array = Net(3).random(graph.inputs[0].type)
    (expected,) = evaluate(graph, {graph.inputs[0]: array})
    (found,) = run_litert(exporters.to_tflite(graph), [array])
    np.testing.assert_allclose(found, expected, 2e-6, 2e-6 * np.abs(expected).max())


def test_an_average_of_integers_over_padding() -> None:
    graph = LEGAL["an average of integers"]()
    rule = r"AVERAGE_POOL_2D.*padding \[\(1, 0\), \(0, 0\)\], which is neither SAME nor VALID"
    with pytest.raises(UnsupportedError, match=rule):
        exporters.to_tflite(exporters.prepare(graph))


@pytest.mark.parametrize("shape", [(4,), ()])
@pytest.mark.parametrize("op", [BitwiseAnd(), ShiftLeft(), Atan2()], ids=str)
def test_operands_of_one_shape(op: Any, shape: tuple[int, ...]) -> None:
    net, dtype = Net(), F32 if isinstance(op, Atan2) else DType.INT32
    x = net.input(2, 3, 4, dtype=dtype, quant=None)
    data = np.array([1, 2, 0, 5], dtype.numpy)[: math.prod(shape)].reshape(shape)
    y = net.constant(*shape, dtype=dtype, quant=None, data=data)
    graph = net.graph(net(op, x, y, quant=None))
    result = check(legalize, graph)
    assert [n.op.name for n in result.nodes] == ["BROADCAST_TO", op.name]
    array = np.arange(24, dtype=dtype.numpy).reshape(2, 3, 4)
    (expected,), (found,) = (
        evaluate(graph, {x: array}),
        run_litert(exporters.to_tflite(result), [array]),
    )
    np.testing.assert_allclose(found, expected, 1e-6)


@pytest.mark.parametrize("axes", [(0, 2), (1, 2), (0, 2, 3), (0, 1, 2, 3)])
def test_axes_in_a_row_are_reversed_at_once(axes: tuple[int, ...]) -> None:
    net = Net()
    x = net.input(2, 3, 4, 2, dtype=F32, quant=None)
    graph = net.graph(net(Reverse(axes), x, quant=None))
    result = check(legalize, graph)
    assert len(result.nodes) == (2 if axes[:2] == (0, 2) else 1)
    array = Net(3).random(x.type)
    assert_equal(run_litert(exporters.to_tflite(result), [array]), evaluate(graph, {x: array}))


PLAIN = [
    (op, dtype)
    for ops, dtypes in (
        ((Add(), Mul(), Equal(), NotEqual(), Less(), GreaterEqual()), (I8, DType.UINT8)),
        ((Sub(), Div()), (I8, DType.UINT8, DType.INT16)),
    )
    for op in ops
    for dtype in dtypes
]


@pytest.mark.parametrize(("op", "dtype"), PLAIN, ids=str)
def test_integers_that_are_not_quantized(op: Any, dtype: DType) -> None:
    """They wrap around, as in the reference."""
    net = Net()
    x, y = (net.input(3, 50, dtype=dtype, quant=None, name=n) for n in "xy")
    graph = net.graph(net(op, x, y, quant=None))
    result = check(legalize, graph)
    assert result.nodes[0].op == Cast(DType.INT32)
    a, b = np.random.default_rng(4).integers(*dtype.range, (2, 3, 50)).astype(dtype.numpy)
    b[b == 0] = 1
    expected = evaluate(graph, {x: a, y: b})
    assert_equal(run_litert(exporters.to_tflite(result), [a, b]), expected)


@pytest.mark.parametrize("dtype", [I8, DType.UINT8], ids=str)
@pytest.mark.parametrize("op", [Abs(), Mean((1,)), Neg(), Sum((1,))], ids=str)
def test_one_operand_that_is_not_quantized(op: Any, dtype: DType) -> None:
    net = Net()
    x = net.input(5, 7, dtype=dtype, quant=None)
    graph = net.graph(net(op, x, quant=None))
    result = check(legalize, graph)
    array = np.random.default_rng(4).integers(*dtype.range, (5, 7)).astype(dtype.numpy)
    assert_equal(run_litert(exporters.to_tflite(result), [array]), evaluate(graph, {x: array}))


def test_indices_of_64_bits() -> None:
    net = Net()
    x = net.input(3, 5, dtype=F32, quant=None)
    graph = net.graph(*net.all(TopK(2, DType.INT64), x, quant=None))
    result = check(legalize, graph)
    assert [n.op.name for n in result.nodes] == ["TOPK_V2", "CAST"]
    array = Net(3).random(x.type)
    assert_equal(run_litert(exporters.to_tflite(result), [array]), evaluate(graph, {x: array}))


def test_names_stay_unique() -> None:
    net = Net()
    x = net.input(2, 3, dtype=F32, quant=None, name="y/concatenation")
    w = net.constant(2, 3, dtype=F32, quant=None)
    y = net(Concatenation(1, Activation.RELU), x, w, quant=None, name="y")
    check(legalize, net.graph(y))


def test_densify_of_what_is_dense() -> None:
    net = Net()
    w = net.constant(2, 3, dtype=F32, quant=None)
    x = net.input(2, 3, dtype=F32, quant=None)
    graph = net.graph(net(Add(), x, net(Densify(), w, quant=None), quant=None))
    assert lines(check(legalize, graph)) == ["%v3 = ADD(%x, @w1)".replace("w1", w.name)]


def test_graphs_inside() -> None:
    def branch(op: Any) -> Graph:
        net = Net()
        x = net.input(1, 5, 5, 2, dtype=F32, quant=None)
        y = net(op, x, quant=None)
        return net.graph(y, y)

    net = Net()
    flag = net.input(1, dtype=DType.BOOL, quant=None, name="flag")
    x = net.input(1, 5, 5, 2, dtype=F32, quant=None)
    op = If(branch(MaxPool2D((3, 3), (1, 1), (1, 1, 0, 0))), branch(MaxPool2D((3, 3), (1, 1))))
    with pytest.raises(Exception, match="one branch gives"):
        op.infer([flag.type, x.type])
    op = If(branch(Relu()), branch(ReluN1To1()))
    graph = net.graph(*net.all(op, flag, x, quant=None))
    result = legalize(graph)
    assert [n.op.name for n in result.nodes[0].op.then.nodes] == ["RELU", "RESHAPE"]  # type: ignore[attr-defined]
    array = np.linspace(-2, 2, 50, dtype=np.float32).reshape(1, 5, 5, 2)
    for test, least in ((True, 0), (False, -1)):
        results = run_litert(exporters.to_tflite(result), [np.array([test]), array])
        assert [float(r.min()) for r in results] == [least, least]


@pytest.mark.parametrize("name", ["convolution of integers", "convolution"])
def test_biases_for_litert(name: str) -> None:
    graph = GRAPHS[name][0]()
    result = check(add_biases, graph)
    assert len(result.nodes[0].inputs) == 3
    assert (result is graph) == (name == "convolution")
    depthwise = real(DepthwiseConv2D(), IMAGE, (1, 3, 3, 8))
    assert check(add_biases, depthwise).nodes[0].inputs[2].type.shape == (8,)
