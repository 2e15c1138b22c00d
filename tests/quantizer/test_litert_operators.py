"""Single layers in every integer precision: LiteRT runs them, with the bits of the references."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from float_nets import RealNet, ranges_of, state_of

from edgewise import compile, exporters, ops
from edgewise.dtype import DType
from edgewise.graph import Array, Graph, Value
from edgewise.ops import Op
from edgewise.passes.fuse_qdq import MOVES
from edgewise.passes.qdq_rules import INTEGER
from edgewise.quantizer import Converted, Recipe, convert
from edgewise.quantizer.litert import LACKING
from edgewise.quantizer.precision import SCHEMES, Precision
from edgewise.quantizer.state import float_network
from networks import reference
from tflite_builder import run_litert

INTEGERS = [Precision.INT8, Precision.UINT8, Precision.INT16X8]
X = (1, 8, 8, 6)
BORDER = ((0, 0), (1, 1), (1, 1), (0, 0))

CASES: dict[str, tuple[Op, tuple[tuple[int, ...], ...]]] = {
    "abs": (ops.Abs(), (X,)),
    "add": (ops.Add(), (X, X)),
    "add, broadcast": (ops.Add(), (X, (6,))),
    "arg max": (ops.ArgMax(3), (X,)),
    "arg min": (ops.ArgMin(3), (X,)),
    "average pool": (ops.AveragePool2D((2, 2), (2, 2)), (X,)),
    "average of all": (ops.AveragePool2D((8, 8), (1, 1)), (X,)),
    "batch matmul": (ops.BatchMatMul(), ((2, 3, 5), (2, 5, 4))),
    "batch to space": (ops.BatchToSpaceNd((2, 2), ((0, 0), (0, 0))), ((4, 4, 4, 6),)),
    "broadcast to": (ops.BroadcastTo((2, 8, 8, 6)), (X,)),
    "concatenation": (ops.Concatenation(3), (X, X)),
    "depth to space": (ops.DepthToSpace(2), ((1, 4, 4, 8),)),
    "div": (ops.Div(), (X, X)),
    "elu": (ops.Elu(), (X,)),
    "equal": (ops.Equal(), (X, X)),
    "exp": (ops.Exp(), (X,)),
    "gelu": (ops.Gelu(), (X,)),
    "greater": (ops.Greater(), (X, X)),
    "greater equal": (ops.GreaterEqual(), (X, X)),
    "hard swish": (ops.HardSwish(), (X,)),
    "l2 normalization": (ops.L2Normalization(), ((3, 10),)),
    "leaky relu": (ops.LeakyRelu(0.1), (X,)),
    "less": (ops.Less(), (X, X)),
    "less equal": (ops.LessEqual(), (X, X)),
    "log": (ops.Log(), (X,)),
    "log softmax": (ops.LogSoftmax(), ((3, 10),)),
    "logistic": (ops.Logistic(), (X,)),
    "max pool": (ops.MaxPool2D((2, 2), (2, 2)), (X,)),
    "maximum": (ops.Maximum(), (X, X)),
    "mean": (ops.Mean((1, 2), True), (X,)),
    "mean of channels": (ops.Mean((3,), False), (X,)),
    "minimum": (ops.Minimum(), (X, X)),
    "mirror pad": (ops.MirrorPad(BORDER), (X,)),
    "mul": (ops.Mul(), (X, (1, 1, 1, 6))),
    "neg": (ops.Neg(), (X,)),
    "not equal": (ops.NotEqual(), (X, X)),
    "pack": (ops.Pack(0), (X, X)),
    "pad": (ops.Pad(BORDER), (X,)),
    "pad with a value": (ops.Pad(BORDER, 1.5), (X,)),
    "pad with the least": (ops.Pad(BORDER, -np.inf), (X,)),
    "prelu": (ops.PRelu(), (X, (1, 1, 6))),
    "reduce max": (ops.ReduceMax((3,)), (X,)),
    "reduce min": (ops.ReduceMin((3,)), (X,)),
    "relu": (ops.Relu(), (X,)),
    "relu6": (ops.Relu6(), (X,)),
    "relu -1 to 1": (ops.ReluN1To1(), (X,)),
    "reshape": (ops.Reshape((64, 6)), (X,)),
    "resize bilinear": (ops.ResizeBilinear((16, 16)), (X,)),
    "resize nearest": (ops.ResizeNearestNeighbor((16, 16)), (X,)),
    "reverse": (ops.Reverse((1,)), (X,)),
    "rsqrt": (ops.Rsqrt(), (X,)),
    "softmax": (ops.Softmax(), ((3, 10),)),
    "space to batch": (ops.SpaceToBatchNd((2, 2), ((0, 0), (0, 0))), (X,)),
    "space to depth": (ops.SpaceToDepth(2), (X,)),
    "split": (ops.Split(3, 2), (X,)),
    "split v": (ops.SplitV(3, (2, 4)), (X,)),
    "sqrt": (ops.Sqrt(), (X,)),
    "square": (ops.Square(), (X,)),
    "squared difference": (ops.SquaredDifference(), (X, X)),
    "squeeze": (ops.Squeeze((0,)), (X,)),
    "strided slice": (ops.StridedSlice((0, 1, 1, 0), (1, 7, 7, 6), (1, 1, 1, 1)), (X,)),
    "sub": (ops.Sub(), (X, X)),
    "sum": (ops.Sum((1, 2), True), (X,)),
    "tanh": (ops.Tanh(), (X,)),
    "tile": (ops.Tile((1, 2, 1, 1)), (X,)),
    "transpose": (ops.Transpose((0, 2, 1, 3)), (X,)),
    "unpack": (ops.Unpack(1), (X,)),
}

POSITIVE = (ops.Exp, ops.Log, ops.Rsqrt, ops.Sqrt)
FUNCTIONS_APART = {
    ("log", DType.INT16),
    ("rsqrt", DType.INT16),
    ("sqrt", DType.INT16),
}
"""Functions that lie farther from the floats than the rule allows, for these ranges."""

ELSEWHERE: set[type[Op]] = {
    ops.Conv2D,
    ops.Dequantize,
    ops.DepthwiseConv2D,
    ops.FullyConnected,
    ops.Gather,
    ops.Relu0To1,
    ops.Select,
    ops.TransposeConv,
}
"""Operators that the tests below have, and DEQUANTIZE, and one that the writer replaces."""


def network(name: str) -> tuple[Graph, list[list[Array]]]:
    """One layer of floats and what it was calibrated with."""
    op, shapes = CASES[name]
    net = RealNet(3)
    inputs = [net.real(*shape, name=f"x{i}") for i, shape in enumerate(shapes)]
    graph = net.graph(*net.all(op, *inputs, quant=None))
    rng = np.random.default_rng(5)
    low = 0.3 if isinstance(op, POSITIVE) else -3.0
    samples = [[rng.uniform(low, 2.5, s).astype(np.float32) for s in shapes] for _ in range(3)]
    return graph, samples


def converted(graph: Graph, precision: Precision, samples: list[list[Array]]) -> Converted:
    state = Recipe.of(precision).start(float_network(graph))
    return convert(replace(state, ranges=ranges_of(graph, samples)))


def run(graph: Graph, arrays: list[Array]) -> list[Array]:
    found = compile(graph)(*arrays)
    return list(found) if isinstance(found, tuple) else [found]


def assert_bits(graph: Graph, arrays: list[Array]) -> None:
    """The reference, the program and LiteRT give equal results."""
    expected = reference(graph, arrays)
    litert = run_litert(exporters.to_tflite(exporters.prepare(graph)), arrays)
    for a, b, c in zip(expected, run(graph, arrays), litert, strict=True):
        np.testing.assert_array_equal(b, a)
        np.testing.assert_array_equal(c, a)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("precision", INTEGERS, ids=lambda p: p.value)
def test_one_layer(name: str, precision: Precision) -> None:
    graph, samples = network(name)
    found = converted(graph, precision, samples)
    dtype = SCHEMES[precision].activations
    assert dtype is not None
    if isinstance(CASES[name][0], LACKING[dtype]):
        assert list(found.left.values()) == [f"LiteRT has no {CASES[name][0].name} of {dtype}"]
    elif (name, dtype) in FUNCTIONS_APART:
        assert "within a step of the floats" in next(iter(found.left.values()))
    else:
        assert not found.left
        assert_bits(found.graph, samples[0])


def test_every_rule_has_a_case() -> None:
    known = {type(op) for op, _ in CASES.values()} | ELSEWHERE
    assert known >= set(INTEGER) | set(MOVES)
    assert {op for each in LACKING.values() for op in each} <= known


@pytest.mark.parametrize("precision", INTEGERS, ids=lambda p: p.value)
@pytest.mark.parametrize("name", ["conv", "depthwise", "transpose conv", "fully connected"])
@pytest.mark.parametrize("biased", [True, False])
def test_products(name: str, precision: Precision, biased: bool) -> None:
    net = RealNet(4)
    x = net.real(1, 6, 6, 8) if name != "fully connected" else net.real(3, 200)
    op, w = {
        "conv": (ops.Conv2D((2, 2), (1, 1), (1, 1, 1, 1)), (5, 3, 3, 8)),
        "depthwise": (ops.DepthwiseConv2D(padding=(1, 1, 1, 1)), (1, 3, 3, 8)),
        "transpose conv": (ops.TransposeConv((2, 2), output_size=(12, 12)), (5, 2, 2, 8)),
        "fully connected": (ops.FullyConnected(), (5, 200)),
    }[name]
    channels = w[3] if name == "depthwise" else w[0]
    bias = [net.bias(channels)] if biased or name != "fully connected" else []
    graph = net.graph(net.add(op, x, net.weights(*w), *bias, name="y"))
    found = convert(state_of(graph, precision.value))
    assert not found.left
    rng = np.random.default_rng(2)
    assert_bits(found.graph, [rng.normal(0, 1, x.type.shape).astype(np.float32)])


@pytest.mark.parametrize("precision", INTEGERS, ids=lambda p: p.value)
def test_choice_and_rows(precision: Precision) -> None:
    """SELECT of one quantization, and rows of a constant table, by computed indices."""
    net = RealNet(4)
    condition = net.input(3, 5, dtype=DType.BOOL, quant=None, name="condition")
    a, b = (net.real(3, 5, name=name) for name in "ab")
    indices = net.input(4, dtype=DType.INT32, quant=None, name="indices")
    chosen = net.add(ops.Select(), condition, a, b)
    rows = net.add(ops.Gather(0), net.weights(50, 6, scale=0.3), indices)
    graph = net.graph(chosen, rows)
    rng = np.random.default_rng(2)
    arrays: list[Array] = [
        rng.integers(0, 2, (3, 5)).astype(bool),
        *(rng.normal(0, 1, (3, 5)).astype(np.float32) for _ in "ab"),
        rng.integers(0, 50, 4).astype(np.int32),
    ]
    found = converted(graph, precision, [arrays])
    assert not found.left
    assert_bits(found.graph, arrays)


@pytest.mark.parametrize("precision", INTEGERS, ids=lambda p: p.value)
def test_comparisons_of_other_ranges(precision: Precision) -> None:
    """LiteRT compares raw values of 16 bits."""
    net = RealNet(4)
    a, b = (net.real(4, 500, name=name) for name in "ab")
    half = Value("half", net.weights().type, np.array(0.5, np.float32))
    graph = net.graph(net.add(ops.Less(), a, b), net.add(ops.GreaterEqual(), a, half))
    rng = np.random.default_rng(2)
    arrays: list[Array] = [rng.normal(0, s, (4, 500)).astype(np.float32) for s in (1, 7)]
    found = converted(graph, precision, [arrays])
    assert not found.left
    assert_bits(found.graph, arrays)


@pytest.mark.parametrize("precision", INTEGERS, ids=lambda p: p.value)
def test_a_clamp_by_constants(precision: Precision) -> None:
    """MAXIMUM and MINIMUM of LiteRT compare raw values: all have one scale."""
    net = RealNet(4)
    ends = [
        Value(name, net.weights().type, np.array(end, np.float32))
        for name, end in (("low", -0.5), ("high", 0.75))
    ]
    y = net.add(ops.Minimum(), net.add(ops.Maximum(), net.real(1, 4, 4, 3), ends[0]), ends[1])
    state = state_of(net.graph(y), precision.value)
    found = convert(state)
    assert not found.left
    rng = np.random.default_rng(2)
    x = rng.normal(0, 1, (1, 4, 4, 3)).astype(np.float32)
    assert_bits(found.graph, [x])
    np.testing.assert_allclose(run(found.graph, [x])[0], np.clip(x, -0.5, 0.75), atol=0.02)
