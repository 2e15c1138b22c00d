"""Operators between DEQUANTIZE and QUANTIZE: integers, within a step of what floats give."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from small_graphs import Net, Q, evaluate

from edgewise.dtype import DType, QParams
from edgewise.graph import Array, Graph, Value, verify
from edgewise.ops import (
    Abs,
    Add,
    AveragePool2D,
    BatchMatMul,
    Concatenation,
    Conv2D,
    DepthwiseConv2D,
    Dequantize,
    Div,
    Elu,
    Exp,
    FullyConnected,
    Gather,
    Gelu,
    HardSwish,
    LeakyRelu,
    Logistic,
    Maximum,
    MaxPool2D,
    Mean,
    Minimum,
    Mul,
    Neg,
    Op,
    Pack,
    Pad,
    PRelu,
    Quantize,
    ReduceMax,
    Relu,
    Relu6,
    Reshape,
    ResizeBilinear,
    Select,
    Softmax,
    Split,
    Square,
    SquaredDifference,
    Sub,
    Sum,
    Tanh,
    Transpose,
    TransposeConv,
)
from edgewise.passes import fuse_qdq, optimize

OUT = Q(0.09, -7)
CHANNELS = QParams((0.01, 0.03, 0.002, 0.02), (0, 0, 0, 0), 0)
INTEGERS = (DType.INT8, DType.UINT8)


class Qdq(Net):
    """A net whose graphs say that QUANTIZE and DEQUANTIZE go with the operators between them.

    Activations are int8, or int16 where it is ``wide``.
    """

    def __init__(self, seed: int = 0, wide: bool = False) -> None:
        super().__init__(seed)
        self.dtype = DType.INT16 if wide else DType.INT8

    def real(self, *shape: int, quant: QParams = OUT, name: str = "x") -> Value:
        if self.dtype is DType.INT16:
            quant = Q(quant.scale[0] / 256, 0)
        x = self.input(*shape, name=name, dtype=self.dtype, quant=quant)
        return self(Dequantize(), x, quant=None)

    def weights(self, *shape: int, quant: QParams = CHANNELS) -> Value:
        return self(Dequantize(), self.constant(*shape, quant=quant), quant=None)

    def floats(self, *shape: int, data: Array | None = None) -> Value:
        return self.constant(*shape, dtype=DType.FLOAT32, quant=None, data=data)

    def quantized(self, x: Value, quant: QParams = OUT, dtype: DType | None = None) -> Value:
        return self(Quantize(dtype or self.dtype), x, quant=quant)

    def graph(self, *outputs: Value) -> Graph:
        return replace(super().graph(*outputs), metadata={"quantization": "qdq"})


def fused(graph: Graph, steps: int = 1) -> list[str]:
    """The nodes after the pass; each result lies within ``steps`` of what it was."""
    result = fuse_qdq(graph)
    verify(result)
    assert (result.inputs, result.outputs) == (graph.inputs, graph.outputs)
    net = Net(7)
    for _ in range(4):
        arrays = {v: net.random(v.type) for v in graph.inputs}
        for old, new in zip(evaluate(graph, arrays), evaluate(result, arrays), strict=True):
            assert old.dtype == new.dtype
            assert np.abs(old.astype(np.int64) - new.astype(np.int64)).max() <= steps
    return [str(node.op) for node in result.nodes]


def products() -> dict[str, Callable[[Qdq], Value]]:
    w = (4, 3, 3, 5)
    last = replace(CHANNELS, axis=3)
    columns = replace(CHANNELS, axis=1)
    return {
        "CONV_2D": lambda n: n(Conv2D(), n.real(1, 6, 6, 5), n.weights(*w), n.floats(4)),
        "CONV_2D[padding=(1, 1, 1, 1)]": lambda n: n(
            Conv2D(padding=(1, 1, 1, 1)), n.real(1, 6, 6, 5), n.weights(*w)
        ),
        "DEPTHWISE_CONV_2D": lambda n: n(
            DepthwiseConv2D(), n.real(1, 6, 6, 4), n.weights(1, 3, 3, 4, quant=last), n.floats(4)
        ),
        "TRANSPOSE_CONV[output_size=(8, 8)]": lambda n: n(
            TransposeConv(output_size=(8, 8)), n.real(1, 6, 6, 5), n.weights(*w), n.floats(4)
        ),
        "FULLY_CONNECTED": lambda n: n(
            FullyConnected(), n.real(3, 9), n.weights(4, 9), n.floats(4)
        ),
        "BATCH_MATMUL": lambda n: n(BatchMatMul(), n.real(2, 3, 9), n.weights(9, 4, quant=columns)),
    }


@pytest.mark.parametrize("name", products())
def test_products(name: str) -> None:
    net = Qdq(3)
    y = net.quantized(products()[name](net), Q(0.4, 3))
    graph = net.graph(y)
    assert fused(graph) == [name]
    x, w, *bias = fuse_qdq(graph).nodes[0].inputs
    assert x is graph.inputs[0]
    assert w.type.dtype is DType.INT8
    assert [v.type.dtype for v in bias] == [DType.INT32] * len(bias)


@pytest.mark.parametrize("name", products())
@pytest.mark.parametrize("scale", [0.01, 0.001])
def test_products_of_16_bits(name: str, scale: float) -> None:
    """One has no bias of its own; sums of int16 need 64 bits."""
    net = Qdq(3, wide=True)
    y = net.quantized(products()[name](net), Q(scale, 0))
    graph = net.graph(y)
    assert fused(graph) == [name]
    x, w, *bias = fuse_qdq(graph).nodes[0].inputs
    assert x is graph.inputs[0]
    assert w.type.dtype is DType.INT8
    assert [v.type.dtype for v in bias] == [DType.INT64] * len(bias)
    assert bias or name == "BATCH_MATMUL"


ALIKE: dict[str, tuple[Op, tuple[tuple[int, ...], ...]]] = {
    "ADD": (Add(), ((1, 4, 4, 3), (1, 4, 4, 3))),
    "SUB": (Sub(), ((1, 4, 4, 3), (3,))),
    "MUL": (Mul(), ((1, 4, 4, 3), (1, 1, 1, 3))),
    "MAXIMUM": (Maximum(), ((2, 5), (2, 5))),
    "MINIMUM": (Minimum(), ((2, 5), (2, 5))),
    "MEAN[axes=(1, 2), keep_dims=True]": (Mean((1, 2), True), ((1, 5, 5, 3),)),
    "CONCATENATION[axis=1]": (Concatenation(1), ((2, 3), (2, 4))),
    "BATCH_MATMUL": (BatchMatMul(), ((2, 3, 5), (2, 5, 4))),
    "DIV": (Div(), ((1, 4, 4, 3), (1, 4, 4, 3))),
    "PRELU": (PRelu(), ((1, 4, 4, 3), (1, 1, 3))),
    "SQUARED_DIFFERENCE": (SquaredDifference(), ((1, 4, 4, 3), (1, 4, 4, 3))),
    "SUM[axes=(1, 2), keep_dims=True]": (Sum((1, 2), True), ((1, 5, 5, 3),)),
}


@pytest.mark.parametrize("name", ALIKE)
@pytest.mark.parametrize("scale", [0.02, 0.09, 0.7])
def test_arithmetic_of_any_scales(name: str, scale: float) -> None:
    op, shapes = ALIKE[name]
    net = Qdq()
    operands = [
        net.real(*shape, quant=Q(0.05 * (i + 1), 3 - i), name=f"x{i}")
        for i, shape in enumerate(shapes)
    ]
    assert fused(net.graph(net.quantized(net(op, *operands), Q(scale, 5)))) == [name]


RATHER_FLOAT = ("CONCAT", "DIV", "PRELU", "SQUARED_DIFFERENCE")


@pytest.mark.parametrize("name", ALIKE)
@pytest.mark.parametrize("scale", [0.0003, 0.02, 2**-7])
def test_arithmetic_of_16_bits(name: str, scale: float) -> None:
    op, shapes = ALIKE[name]
    net = Qdq(wide=True)
    operands = [
        net.real(*shape, quant=Q(0.5 / (i + 1), 0), name=f"x{i}") for i, shape in enumerate(shapes)
    ]
    given = [*["DEQUANTIZE"] * len(shapes), name, "QUANTIZE[dtype=INT16]"]
    found = fused(net.graph(net.quantized(net(op, *operands), Q(scale, 0))))
    if name in ("ADD", "SUB"):
        assert found == [f"{name}[pot_scale_int16=False]"]
    else:
        assert found == (given if name.startswith(RATHER_FLOAT) else [name])


def test_softmax() -> None:
    net = Qdq()
    y = net.quantized(net(Softmax(), net.real(3, 20)), Q(1 / 256, -128))
    assert fused(net.graph(y)) == ["SOFTMAX"]


def test_softmax_of_16_bits_stays_float() -> None:
    net = Qdq(wide=True)
    y = net.quantized(net(Softmax(), net.real(3, 20)), Q(2.0**-15, 0))
    assert fused(net.graph(y))[1] == "SOFTMAX"


@pytest.mark.parametrize("name", ["PACK[axis=1]", "SELECT", "REDUCE_MAX[axes=(1,)]"])
@pytest.mark.parametrize("same", [True, False])
@pytest.mark.parametrize("wide", [True, False])
def test_choices_among_elements_of_one_quantization(name: str, same: bool, wide: bool) -> None:
    net = Qdq(wide=wide)
    quant = Q(0.09, 0)
    a, b = (net.real(3, 5, quant=Q(0.09 * (256 if wide else 1), 0), name=v) for v in "ab")
    if name == "SELECT":
        condition = net.input(3, 5, dtype=DType.BOOL, quant=None, name="condition")
        y = net(Select(), condition, a, b, quant=None)
    else:
        y = net(Pack(1), a, b) if name.startswith("PACK") else net(ReduceMax((1,)), a)
    found = fused(net.graph(net.quantized(y, quant if same else Q(0.1, 0))))
    assert (name in found and len(found) < 3) == (same or name.startswith("REDUCE"))


def test_products_of_x_alone() -> None:
    net = Qdq()
    y = net.quantized(net(Neg(), net.real(3, 50)), Q(0.05, 9))
    assert fused(net.graph(y)) == ["MUL"]
    net = Qdq(wide=True)
    y = net.quantized(net(Square(), net.real(3, 50)), Q(0.05, 0))
    assert fused(net.graph(y)) == ["MUL"]


@pytest.mark.parametrize(
    "op", [Elu(), Gelu(), LeakyRelu(0.1), Logistic(), Relu6(), Tanh(), Abs()], ids=str
)
@pytest.mark.parametrize("reach", [1.0, 7.0])
def test_functions_of_16_bits(op: Op, reach: float) -> None:
    net = Qdq(wide=True)
    y = net(op, net.real(3000, quant=Q(reach / 128, 0)))
    assert fused(net.graph(net.quantized(y, Q(2.0**-15 * max(1, reach), 0))), 4) == [str(op)]


def test_a_function_that_16_bits_do_not_hold_stays() -> None:
    net = Qdq(wide=True)
    y = net(Exp(), net.real(3000, quant=Q(12 / 128, 0)))
    assert fused(net.graph(net.quantized(y, Q(5.0, 0))), 0)[1] == "EXP"


@pytest.mark.parametrize(
    "op",
    [Abs(), Elu(), Gelu(), HardSwish(), LeakyRelu(0.1), Logistic(), Relu6(), Tanh()],
    ids=str,
)
@pytest.mark.parametrize("quant", [OUT, Q(0.01, 100)], ids=str)
def test_functions(op: Op, quant: QParams) -> None:
    net = Qdq()
    graph = net.graph(net.quantized(net(op, net.real(300)), quant))
    found = fused(graph)
    assert found in ([str(op)], ["DEQUANTIZE", str(op), "QUANTIZE"])
    if not isinstance(op, HardSwish):
        assert found == [str(op)]


def test_a_clamp_goes_into_the_operator_before_it() -> None:
    net = Qdq()
    y = net(Conv2D(), net.real(1, 6, 6, 5), net.weights(4, 3, 3, 5), net.floats(4))
    y = net(Transpose((0, 3, 1, 2)), net(Relu(), y))
    graph = net.graph(net.quantized(y))
    assert fused(graph) == ["CONV_2D[activation=RELU]", "TRANSPOSE[perm=(0, 3, 1, 2)]"]


def test_moves_move_integers() -> None:
    net = Qdq()
    x = net.real(1, 4, 4, 6)
    x = net(Pad(((0, 0), (1, 1), (0, 0), (0, 0)), 0.0), net(MaxPool2D((2, 2), (2, 2)), x))
    parts = net.all(Split(3, 2), net(Relu(), x), quant=None)
    row = net(Gather(1), parts[1], net.constant(2, dtype=DType.INT32, quant=None, data=ROWS))
    y = net(Reshape((1, 12)), row)
    assert fused(net.graph(net.quantized(parts[0]), y), 0) == [
        "MAX_POOL_2D[filter=(2, 2), stride=(2, 2)]",
        "PAD[paddings=((0, 0), (1, 1), (0, 0), (0, 0))]",
        "RELU",
        "SPLIT[axis=3, count=2]",
        "GATHER[axis=1]",
        "RESHAPE[shape=(1, 12)]",
        "DEQUANTIZE",
        "QUANTIZE",
    ]


ROWS = np.array([1, 0], np.int32)


def test_constants_of_one_element_are_quantized() -> None:
    net = Qdq()
    half = net.floats(data=np.array(-0.5, np.float32))
    y = net(Add(), net(Mul(), net.real(3, 5), half), net.floats(1, data=np.float32([3])))
    graph = net.graph(net.quantized(y))
    assert fused(graph) == ["DEQUANTIZE", "MUL", "ADD", "QUANTIZE"]
    one = Qdq()
    y = one.quantized(one(Mul(), one.real(3, 5), half), Q(0.05, 9))
    assert fused(one.graph(y)) == ["MUL"]


@pytest.mark.parametrize(
    ("quant", "padding", "size", "found"),
    [
        (OUT, (1, 1, 1, 1), 2, ["AVERAGE_POOL_2D[filter=(2, 2), padding=(1, 1, 1, 1)]"]),
        (Q(0.05, 2), (0, 0, 0, 0), 4, ["MEAN[axes=(1, 2), keep_dims=True]"]),
        (Q(0.05, 2), (0, 0, 0, 0), 2, ["DEPTHWISE_CONV_2D"]),
        (
            Q(0.05, 2),
            (1, 1, 1, 1),
            2,
            ["DEQUANTIZE", "AVERAGE_POOL_2D[filter=(2, 2), padding=(1, 1, 1, 1)]", "QUANTIZE"],
        ),
    ],
)
def test_means_of_windows(
    quant: QParams, padding: tuple[int, int, int, int], size: int, found: list[str]
) -> None:
    net = Qdq()
    y = net(AveragePool2D((size, size), padding=padding), net.real(1, 4, 4, 3))
    assert fused(net.graph(net.quantized(y, quant))) == found


def test_interpolation_keeps_its_quantization() -> None:
    for quant, found in ((OUT, 1), (Q(0.05, 2), 3)):
        net = Qdq()
        y = net(ResizeBilinear((7, 9)), net.real(1, 4, 4, 3))
        assert len(fused(net.graph(net.quantized(y, quant)))) == found


def test_quantized_again() -> None:
    net = Qdq()
    assert fused(net.graph(net.quantized(net.real(200), Q(0.03, 5)))) == ["QUANTIZE"]


def test_floats_that_are_read_elsewhere_stay() -> None:
    net = Qdq()
    y = net(Logistic(), net.real(3, 5))
    assert fused(net.graph(net.quantized(y), y), 0) == ["DEQUANTIZE", "LOGISTIC", "QUANTIZE"]


def test_only_where_the_file_means_it() -> None:
    net = Qdq()
    graph = net.graph(net.quantized(net(Logistic(), net.real(3, 5))))
    plain = replace(graph, metadata={})
    assert fuse_qdq(plain) is plain
    assert [n.op.name for n in optimize(plain).nodes] == ["DEQUANTIZE", "LOGISTIC", "QUANTIZE"]


@pytest.mark.parametrize(
    "bias", [np.full(4, 1e9, np.float32), np.full(4, 0.3, np.float32)], ids=["great", "lossy"]
)
def test_biases_that_no_int32_holds_stay(bias: Array) -> None:
    """One leaves no room for the sum; of the other half a step of the products is too much."""
    net = Qdq()
    lossy = bias[0] < 1
    w = net.weights(4, 1, 1, 5, quant=Q(20.0, 0) if lossy else CHANNELS)
    y = net(Conv2D(), net.real(1, 3, 3, 5), w, net.floats(4, data=bias))
    found = fused(net.graph(net.quantized(y, Q(0.01, 0))))
    assert found[-2:] == ["CONV_2D", "QUANTIZE"]


def test_bias_of_a_channel_without_weights() -> None:
    """Its scale may be any; whole steps of it lose nothing."""
    net = Qdq()
    quant = QParams((1.0, 0.002, 0.002, 0.002), (0,) * 4, 0)
    y = net(
        Conv2D(),
        net.real(1, 3, 3, 5),
        net.weights(4, 1, 1, 5, quant=quant),
        net.floats(4, data=np.zeros(4, np.float32)),
    )
    assert fused(net.graph(net.quantized(y, Q(0.01, 0)))) == ["CONV_2D"]


@pytest.mark.parametrize("dtype", INTEGERS)
def test_operands_of_two_dtypes_stay(dtype: DType) -> None:
    net = Qdq()
    x = net.real(3, 5)
    other = net.input(3, 5, dtype=DType.UINT8, quant=Q(0.1, 128), name="other")
    y = net(Add(), x, net(Dequantize(), other, quant=None))
    zero = 0 if dtype is DType.INT8 else 128
    graph = net.graph(net.quantized(y, Q(0.2, zero), dtype))
    assert fused(graph) == ["DEQUANTIZE", "DEQUANTIZE", "ADD", f"QUANTIZE{SUFFIX[dtype]}"]


SUFFIX = {DType.INT8: "", DType.UINT8: "[dtype=UINT8]"}


def test_constants_become_the_dtype_of_the_other_operand() -> None:
    net = Qdq()
    x = net(Dequantize(), net.input(3, 5, dtype=DType.UINT8, quant=Q(0.1, 128)), quant=None)
    y = net(Add(), x, net.weights(5, quant=Q(0.1, -3)))
    assert fused(net.graph(net.quantized(y, Q(0.2, 128), DType.UINT8))) == ["ADD"]
