"""to_uint8, to_int8 and weights_to_int8: given, and result."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from small_graphs import BORDER, SAME, Net, Q, assert_unchanged, check, conv, lines

from edgewise.dtype import DType, QParams
from edgewise.ops import (
    Add,
    ArgMax,
    AveragePool2D,
    Concatenation,
    Conv2D,
    FullyConnected,
    Fused,
    Mean,
    Pad,
    Quantize,
    Relu,
    Reshape,
    Softmax,
    StridedSlice,
    Tanh,
)
from edgewise.passes import (
    fuse_epilogue,
    to_int8,
    to_uint8,
    weights_to_int8,
)


def test_int8_activations_become_uint8_between_int8_ends() -> None:
    net = Net()
    y = net(Tanh(), net.input(8), name="y", quant=Q(1 / 128, 0))
    result = check(to_uint8, net.graph(y))
    assert lines(result) == [
        "%x:uint8 = QUANTIZE[dtype=UINT8](%x)",
        "%y:uint8 = TANH(%x:uint8)",
        "%y = QUANTIZE(%y:uint8)",
    ]
    assert result.nodes[1].inputs[0].type.quant == Q(0.05, 131)
    assert result.nodes[1].outputs[0].type.quant == Q(1 / 128, 128)


def test_quantize_of_the_file_meets_its_inverse() -> None:
    net = Net()
    x = net.input(1, 4, 4, 4, dtype=DType.UINT8, quant=Q(0.05, 131))
    a = conv(net, net(Quantize(DType.INT8), x), name="a")
    y = net(Quantize(DType.UINT8), a, name="y", quant=Q(0.05, 131))
    result = check(to_uint8, net.graph(y))
    assert [type(node.op) for node in result.nodes] == [Conv2D]
    assert result.nodes[0].inputs[1].type.dtype is DType.INT8


def test_computed_values_of_several_scales_stay() -> None:
    net = Net()
    x = net.input(1, 4, 4, 2)
    w = net.input(3, 1, 1, 2, name="w", quant=QParams((0.1, 0.2, 0.3), (0, 0, 0), 0))
    graph = net.graph(net(Conv2D(), x, w, name="y", quant=Q(0.5, 4)))
    assert to_uint8(graph) is graph


def test_constant_operands_and_pad_values_change_too() -> None:
    net = Net()
    x = net.input(1, 4, 4, 4)
    shared = net.constant(1, 4, 4, 4)
    padded = net(Pad(BORDER, -7), net(Add(), x, shared))
    y = net(Concatenation(0), padded, net(Pad(BORDER), shared))
    z = net(ArgMax(3), y)
    result = check(to_uint8, net.graph(y, z))
    kinds = {v.type.dtype for node in result.nodes[1:-1] for v in node.inputs}
    assert kinds == {DType.UINT8}
    check(to_int8, result)


def test_what_is_weights_to_one_and_an_operand_to_another_is_both() -> None:
    net = Net()
    w = net.constant(4, 8)
    x = net.input(4, 8)
    y = net(FullyConnected(), net(Add(), x, w), w)
    dense = check(to_uint8, net.graph(y)).nodes[2]
    assert [v.type.dtype for v in dense.inputs] == [DType.UINT8, DType.INT8]


@pytest.mark.parametrize("op", [AveragePool2D((2, 2)), AveragePool2D((3, 3)), Mean((1, 2))])
def test_means_round_as_before(op: AveragePool2D | Mean) -> None:
    net = Net()
    x = net.input(1, 6, 6, 2, quant=Q(0.02, -1))
    y = net(op, x, quant=Q(0.02, -1))
    result = check(to_uint8, net.graph(y), samples=20)
    assert result.nodes[1].inputs[0].type.dtype is DType.UINT8
    assert result.nodes[1].op == replace(op, raw_zero=128)
    check(to_int8, result, samples=20)


def test_what_cannot_change_keeps_its_type() -> None:
    net = Net()
    a = net(Tanh(), net.input(4))
    raw = net(StridedSlice((1,), (3,), (1,)), a, quant=None)
    y = net(StridedSlice((1,), (2,), (1,)), raw, quant=SAME)
    result = check(to_uint8, net.graph(net(Tanh(), y)))
    types = [(node.op.name, node.inputs[0].type.dtype.value) for node in result.nodes]
    assert types == [
        ("QUANTIZE", "int8"),
        ("TANH", "uint8"),
        ("QUANTIZE", "uint8"),
        ("STRIDED_SLICE", "int8"),
        ("STRIDED_SLICE", "int8"),
        ("QUANTIZE", "int8"),
        ("TANH", "uint8"),
        ("QUANTIZE", "uint8"),
    ]


def test_values_without_quantization_keep_their_type() -> None:
    net = Net()
    x = net.input(4, quant=None)
    assert_unchanged(to_uint8, net.graph(net(Reshape((2, 2)), x, quant=None)))


def test_fused_operators_convert() -> None:
    net = Net()
    x = net.input(1, 4, 4, 4)
    graph = fuse_epilogue(net.graph(net(Softmax(), net(Add(), conv(net, x), x))))
    result = check(to_uint8, graph)
    fused = result.nodes[1].op
    assert isinstance(fused, Fused)
    assert fused.tail[0].type.dtype is DType.UINT8
    check(to_int8, result)


def test_names_stay_unique() -> None:
    net = Net()
    x = net.input(4)
    y = net(Relu(), net(Tanh(), x, name="x:uint8"), name="y")
    check(to_uint8, net.graph(y))


@pytest.mark.parametrize("zero", [0, 130, 255])
def test_uint8_weights_become_int8(zero: int) -> None:
    net = Net()
    x = net.input(1, 4, 4, 4, dtype=DType.UINT8)
    w = net.constant(4, 1, 1, 4, dtype=DType.UINT8, quant=Q(0.01, zero))
    y = net(Conv2D(), net(Conv2D(), x, w), w)
    graph = net.graph(y)
    result = check(weights_to_int8, graph)
    (weights,) = result.constants
    assert weights.type.dtype is DType.INT8
    assert weights.type.quant == Q(0.01, zero - 128)
    assert_unchanged(weights_to_int8, result)
    check(weights_to_int8, fuse_epilogue(graph))


def test_data_is_read_only_after_a_change_of_sign() -> None:
    net = Net()
    y = net(Add(), net.input(4), net.constant(4))
    (c,) = to_uint8(net.graph(y)).constants
    assert c.data is not None
    with pytest.raises(ValueError, match="read-only"):
        c.data += np.uint8(1)


def test_a_constant_without_dimensions_becomes_another() -> None:
    net = Net()
    y = net(Add(), net.input(8), net.constant(), name="y")
    result = check(to_uint8, net.graph(y))
    data = result.nodes[1].inputs[1].data
    assert isinstance(data, np.ndarray)
    assert (data.shape, data.dtype) == ((), np.uint8)
