"""The passes that fuse, and Fused itself: given, and result."""

from __future__ import annotations

from typing import Any

import pytest
from small_graphs import BORDER, SAME, WEIGHTS, Net, Q, assert_unchanged, check, conv

from edgewise.dtype import DType, QParams
from edgewise.errors import GraphError
from edgewise.graph import Node, TensorType, Value
from edgewise.ops import (
    Activation,
    Add,
    AveragePool2D,
    Conv2D,
    DepthwiseConv2D,
    FullyConnected,
    Fused,
    HardSwish,
    LeakyRelu,
    MaxPool2D,
    Op,
    Pad,
    PRelu,
    Relu,
    Relu6,
    ReluN1To1,
    Stage,
    Tanh,
    TransposeConv,
)
from edgewise.passes import (
    fuse_activation,
    fuse_epilogue,
    fuse_pad,
)

# fuse_pad


@pytest.mark.parametrize("op", [Conv2D((2, 2)), DepthwiseConv2D(padding=(1, 0, 0, 1))])
@pytest.mark.parametrize("value", [None, 3])
def test_a_pad_of_zeros_moves_into_the_convolution(
    op: Conv2D | DepthwiseConv2D, value: int | None
) -> None:
    net = Net()
    pad = Pad(((0, 0), (0, 1), (1, 0), (0, 0)), value)
    w = net.constant(4 if isinstance(op, Conv2D) else 1, 3, 3, 2, quant=WEIGHTS)
    y = net(op, net(pad, net.input(1, 5, 5, 2), origin="p"), w, name="y", origin="c")
    (node,) = check(fuse_pad, net.graph(y)).nodes
    assert isinstance(node.op, (Conv2D, DepthwiseConv2D))
    assert node.op.padding == tuple(a + b for a, b in zip((0, 1, 1, 0), op.padding, strict=True))
    assert node.origin == "p+c"


def test_a_pad_with_other_users_is_still_read_through() -> None:
    net = Net()
    padded = net(Pad(BORDER), net.input(1, 5, 5, 2), name="p")
    y = conv(net, padded, taps=3)
    result = check(fuse_pad, net.graph(y, padded))
    assert [node.inputs[0].name for node in result.nodes] == ["x", "x"]


@pytest.mark.parametrize(
    ("pad", "quant", "taps"),
    [
        (Pad(BORDER, 5), SAME, 3),
        (Pad(BORDER), Q(0.05, 4), 3),
        (Pad(((0, 0), (1, 1), (1, 1), (0, 1))), SAME, 3),
        (Pad(BORDER), SAME, 1),
    ],
)
def test_other_pads_stay(pad: Pad, quant: QParams, taps: int) -> None:
    net = Net()
    y = conv(net, net(pad, net.input(1, 5, 5, 2), quant=quant), taps=taps)
    assert_unchanged(fuse_pad, net.graph(y))


def test_a_pad_before_pooling_stays() -> None:
    net = Net()
    y = net(MaxPool2D((3, 3), (2, 2)), net(Pad(BORDER), net.input(1, 5, 5, 2)))
    assert_unchanged(fuse_pad, net.graph(y))


# fuse_activation


def producer(op: Op) -> tuple[Net, Value]:
    net = Net()
    x = net.input(1, 4, 4, 4)
    match op:
        case Conv2D():
            inputs = [net.constant(4, 1, 1, 4, quant=WEIGHTS)]
        case DepthwiseConv2D():
            inputs = [net.constant(1, 3, 3, 4, quant=WEIGHTS)]
        case TransposeConv():
            inputs = [net.constant(4, 2, 2, 4, quant=WEIGHTS)]
        case FullyConnected():
            inputs = [net.constant(5, 4, quant=WEIGHTS)]
        case Add():
            inputs = [net.constant(1, 4, 4, 4)]
        case _:
            inputs = []
    return net, net(op, x, *inputs, origin="op")


@pytest.mark.parametrize("relu", [Relu(), Relu6(), ReluN1To1()])
@pytest.mark.parametrize(
    "op",
    [
        Add(),
        AveragePool2D((2, 2)),
        Conv2D(),
        DepthwiseConv2D(),
        FullyConnected(),
        MaxPool2D((2, 2)),
        TransposeConv((2, 2), (0, 0, 0, 0), (8, 8)),
    ],
)
def test_an_activation_becomes_a_clamp(op: Op, relu: Op) -> None:
    net, a = producer(op)
    (node,) = check(fuse_activation, net.graph(net(relu, a, origin="act"))).nodes
    assert type(node.op) is type(op)
    assert getattr(node.op, "activation").name == relu.name  # noqa: B009
    assert node.origin == "op+act"


def test_activations_that_requantize_stay() -> None:
    net, a = producer(Conv2D())
    assert_unchanged(fuse_activation, net.graph(net(Relu(), a, quant=Q(0.05, -128))))


def test_activations_of_nearly_equal_quantization_stay() -> None:
    net, a = producer(Conv2D())
    assert_unchanged(fuse_activation, net.graph(net(Relu(), a, quant=Q(0.05000001, 3))))


@pytest.mark.parametrize(
    ("first", "second", "both"),
    [
        (Activation.RELU, Relu6(), Activation.RELU6),
        (Activation.RELU6, Relu(), Activation.RELU6),
        (Activation.RELU_N1_TO_1, Relu(), Activation.RELU_0_TO_1),
        (Activation.RELU, Relu(), Activation.RELU),
    ],
)
def test_a_second_activation_is_one_with_the_first(
    first: Activation, second: Op, both: Activation
) -> None:
    net, a = producer(Conv2D(activation=first))
    (node,) = check(fuse_activation, net.graph(net(second, a))).nodes
    assert node.op == Conv2D(activation=both)


def test_a_result_with_two_readers_keeps_its_activation_apart() -> None:
    net, a = producer(Conv2D())
    assert_unchanged(fuse_activation, net.graph(net(Relu(), a), net(Tanh(), a)))
    net, a = producer(Conv2D())
    assert_unchanged(fuse_activation, net.graph(net(Relu(), a), a))


def test_float_activations_fuse() -> None:
    net = Net()
    x = net.input(2, 3, dtype=DType.FLOAT32, quant=None)
    w = net.constant(4, 3, dtype=DType.FLOAT32, quant=None)
    y = net(Relu6(), net(FullyConnected(), x, w))
    (node,) = check(fuse_activation, net.graph(y), samples=20).nodes
    assert node.op == FullyConnected(Activation.RELU6)


# fuse_epilogue


@pytest.mark.parametrize("operand", [0, 1])
def test_a_residual_addition_joins_its_convolution(operand: int) -> None:
    net = Net()
    x = net.input(1, 4, 4, 4)
    b = conv(net, x, origin="conv")
    y = net(Add(Activation.RELU), *((b, x) if operand == 0 else (x, b)), name="y", origin="add")
    (node,) = check(fuse_epilogue, net.graph(y)).nodes
    assert node.op == Fused(Conv2D(), (Stage(Add(Activation.RELU), b.type, operand),))
    assert [v.name for v in node.inputs][::3] == ["x", "x"]
    assert node.origin == "conv+add"
    assert node.macs == 4 * 4 * 4 * 4
    assert str(node.op) == f"CONV_2D + ADD[activation=RELU]@{operand}"


def test_the_convolution_computed_last_is_fused() -> None:
    net = Net()
    x = net.input(1, 4, 4, 4)
    first, last = conv(net, x, origin="first"), conv(net, x, origin="last")
    result = check(fuse_epilogue, net.graph(net(Add(), last, first, origin="add")))
    assert [node.origin for node in result.nodes] == ["first", "last+add"]


def test_other_additions_stay() -> None:
    net = Net()
    x = net.input(1, 4, 4, 4)
    b = conv(net, x)
    assert_unchanged(fuse_epilogue, net.graph(net(Add(), b, b)))
    assert_unchanged(fuse_epilogue, net.graph(net(Add(), b, x), b))
    net = Net()
    x = net.input(1, 4, 4, 4)
    assert_unchanged(fuse_epilogue, net.graph(net(Add(), conv(net, x), net.constant(1, 1, 1, 4))))
    net = Net()
    x = net.input(1, 4, 4, 4)
    d = net(DepthwiseConv2D(), x, net.constant(1, 1, 1, 4, quant=WEIGHTS))
    assert_unchanged(fuse_epilogue, net.graph(net(Add(), d, x)))


REAL: dict[str, Any] = {"dtype": DType.FLOAT32, "quant": None}


def real_conv(net: Net, x: Value) -> Value:
    return net(Conv2D(), x, net.constant(4, 1, 1, 4, **REAL), net.constant(4, **REAL))


def test_several_tails_of_float32_join_one_convolution() -> None:
    net = Net()
    x = net.input(1, 4, 4, 4, **REAL)
    slope = net.constant(1, 1, 4, **REAL)
    s = net(Add(), x, real_conv(net, x))
    y = net(HardSwish(), net(LeakyRelu(0.1), net(PRelu(), s, slope)))
    (node,) = check(fuse_epilogue, net.graph(y)).nodes
    assert isinstance(node.op, Fused)
    assert [stage.op.name for stage in node.op.tail] == ["ADD", "PRELU", "LEAKY_RELU", "HARD_SWISH"]
    assert node.inputs[3:] == (x, slope)


def test_slopes_of_other_shapes_stay() -> None:
    net = Net()
    b = real_conv(net, net.input(1, 4, 4, 4, **REAL))
    assert_unchanged(fuse_epilogue, net.graph(net(PRelu(), b, net.constant(4, 1, 4, **REAL))))
    net = Net()
    x = net.input(1, 4, 4, 4, **REAL)
    slope = net.input(4, name="slope", **REAL)
    assert_unchanged(fuse_epilogue, net.graph(net(PRelu(), real_conv(net, x), slope)))


def test_tails_of_8_bits_that_have_no_kernel_stay() -> None:
    net = Net()
    b = conv(net, net.input(1, 4, 4, 4))
    assert_unchanged(fuse_epilogue, net.graph(net(HardSwish(), b)))


def test_longer_tails_compose() -> None:
    net = Net()
    x = net.input(1, 2, 2, 4)
    b = conv(net, x)
    s = net(Add(), x, b)
    y = net(Tanh(), s, quant=Q(1 / 128, 0))
    graph = net.graph(y)
    fused = Fused(Conv2D(), (Stage(Add(), b.type, 1), Stage(Tanh(), s.type)))
    node = Node(fused, (*net.nodes[0].inputs, x), (y,))
    check(lambda g: g.with_nodes([node]), graph)
    assert node.macs == net.nodes[0].macs


def test_a_broken_fusion_is_refused() -> None:
    t = TensorType((1, 2, 2, 4), DType.INT8, SAME)
    w = TensorType((4, 1, 1, 4), DType.INT8, WEIGHTS)
    other = TensorType((1, 2, 2, 3), DType.INT8, SAME)
    with pytest.raises(GraphError, match="the tail is empty"):
        Fused(Conv2D(), ()).infer([t, w])
    with pytest.raises(GraphError, match="1 inputs, 1 of them for the tail"):
        Fused(Conv2D(), (Stage(Add(), t),)).infer([t])
    with pytest.raises(GraphError, match=r"ADD expects .* from the step before"):
        Fused(Conv2D(), (Stage(Add(), other),)).infer([t, w, other])
