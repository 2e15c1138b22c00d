"""Each pass on small graphs: what is given, and what comes out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from small_graphs import SAME, Net, Q, assert_unchanged, check, lines

from edgewise.dtype import DType, QParams
from edgewise.errors import GraphError
from edgewise.graph import Graph, Node, TensorType, Value
from edgewise.ops import (
    Activation,
    Add,
    ArgMax,
    AveragePool2D,
    Concatenation,
    Conv2D,
    DepthwiseConv2D,
    Dequantize,
    FullyConnected,
    Fused,
    MaxPool2D,
    Mean,
    Op,
    Pack,
    Pad,
    Quantize,
    Relu,
    Relu6,
    ReluN1To1,
    Reshape,
    ResizeBilinear,
    Softmax,
    Split,
    Squeeze,
    Stage,
    StridedSlice,
    Tanh,
    Transpose,
    TransposeConv,
    Unpack,
)
from edgewise.passes import (
    PIPELINE,
    canonicalize,
    fold_constants,
    fuse_activation,
    fuse_epilogue,
    fuse_pad,
    optimize,
    remove_dead_nodes,
    remove_no_ops,
    to_int8,
    to_uint8,
    weights_to_int8,
)

WEIGHTS = Q(0.02, 0)
BORDER = ((0, 0), (1, 1), (1, 1), (0, 0))


def conv(net: Net, x: Value, channels: int = 4, taps: int = 1, **kwargs: str) -> Value:
    w = net.constant(channels, taps, taps, x.type.shape[3], quant=WEIGHTS)
    bias = net.constant(channels, dtype=DType.INT32, quant=None)
    return net(Conv2D(), x, w, bias, **kwargs)


# remove_dead_nodes


def test_a_node_that_nobody_reads_is_dropped() -> None:
    net = Net()
    x, unused = net.input(4), net.input(2, name="unused")
    y = net(Relu(), x, name="y")
    net(Tanh(), net(Tanh(), unused))
    result = check(remove_dead_nodes, net.graph(y))
    assert lines(result) == ["%y = RELU(%x)"]
    assert_unchanged(remove_dead_nodes, result)


# canonicalize


@pytest.mark.parametrize(
    ("shape", "op"),
    [
        ((1, 1, 1, 5), Squeeze((1, 2))),
        ((3, 4), Pack(1)),
        ((3, 1, 4), Unpack(1)),
        ((3, 1, 4), StridedSlice((0, 0, 0), (3, 1, 4), (1, -2, 1), (1,))),
        ((3, 1, 4), Transpose((1, 0, 2))),
    ],
)
def test_what_renames_dimensions_is_a_reshape(shape: tuple[int, ...], op: Op) -> None:
    net = Net()
    y = net(op, net.input(*shape), name="y")
    result = check(canonicalize, net.graph(y))
    assert [type(node.op) for node in result.nodes] == [Reshape]
    assert result.nodes[0].origin == op.name.lower()


@pytest.mark.parametrize(
    ("shape", "op"),
    [
        ((3, 2, 4), Transpose((1, 0, 2))),
        ((3, 4), StridedSlice((2, 0), (3, 4), (-1, 1))),
        ((3, 4), StridedSlice((0, 0), (3, 3), (1, 1))),
    ],
)
def test_what_moves_elements_is_no_reshape(shape: tuple[int, ...], op: Op) -> None:
    net = Net()
    assert_unchanged(canonicalize, net.graph(net(op, net.input(*shape))))


def test_fully_connected_reads_through_a_reshape() -> None:
    net = Net()
    flat = net(Reshape((2, 8)), net.input(2, 2, 4), origin="flatten")
    y = net(FullyConnected(), flat, net.constant(3, 8, quant=WEIGHTS), name="y", origin="dense")
    result = check(canonicalize, net.graph(y))
    assert [type(node.op) for node in result.nodes] == [FullyConnected]
    assert result.nodes[0].inputs[0] is result.inputs[0]
    assert result.nodes[0].origin == "flatten+dense"


def test_fully_connected_that_keeps_dimensions_needs_its_reshape() -> None:
    net = Net()
    x = net(Reshape((2, 8)), net.input(2, 2, 4))
    y = net(FullyConnected(keep_num_dims=True), x, net.constant(3, 8, quant=WEIGHTS))
    assert_unchanged(canonicalize, net.graph(y))


# fold_constants


def test_constants_are_computed() -> None:
    net = Net()
    x = net.input(4, dtype=DType.FLOAT32, quant=None)
    c = net(Dequantize(), net.constant(2, 2))
    y = net(Add(), x, net(Reshape((4,)), c), name="y")
    result = check(fold_constants, net.graph(y))
    assert [type(node.op) for node in result.nodes] == [Add]
    (folded,) = result.constants
    assert folded.data is not None
    assert not folded.data.flags.writeable


def test_constant_outputs_of_the_graph_stay_computed() -> None:
    net = Net()
    assert_unchanged(fold_constants, net.graph(net(Tanh(), net.constant(4))))


def test_large_constants_stay_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    module = __import__("edgewise.passes.fold_constants", fromlist=["MAX_ELEMENTS"])
    monkeypatch.setattr(module, "MAX_ELEMENTS", 8)
    net = Net()
    c = net(Tanh(), net.constant(9))
    assert_unchanged(fold_constants, net.graph(net(Add(), net.input(9), c)))


# remove_no_ops


def no_op(op: Op, shape: tuple[int, ...] = (1, 3, 3, 2), quant: QParams = SAME) -> Graph:
    net = Net()
    x = net(Tanh(), net.input(*shape), name="a", quant=quant)
    return net.graph(net(Tanh(), net(op, x, quant=quant), name="y"))


@pytest.mark.parametrize(
    ("op", "quant"),
    [
        (Reshape((1, 3, 3, -1)), SAME),
        (Transpose((0, 1, 2, 3)), SAME),
        (Pad(((0, 0),) * 4, 7), SAME),
        (StridedSlice((0,) * 4, (1, 3, 3, 2), (1,) * 4), SAME),
        (Quantize(DType.INT8), SAME),
        (Concatenation(3), SAME),
        (Split(1, 1), SAME),
        (MaxPool2D(), SAME),
        (AveragePool2D(), SAME),
        (ResizeBilinear((3, 3)), SAME),
        (ResizeBilinear((3, 3), half_pixel_centers=True), SAME),
        (Relu(), Q(0.01, -128)),
        (Relu6(), Q(6 / 255, -128)),
        (ReluN1To1(), Q(2 / 256, 0)),
    ],
)
def test_no_ops_are_removed(op: Op, quant: QParams) -> None:
    result = check(remove_no_ops, no_op(op, quant=quant))
    assert lines(result) == ["%a = TANH(%x)", "%y = TANH(%a)"]


@pytest.mark.parametrize(
    "op",
    [
        Reshape((3, 3, 2)),
        Transpose((0, 2, 1, 3)),
        StridedSlice((0, 2, 0, 0), (1, 3, 3, 2), (1, -1, 1, 1)),
        Concatenation(3, Activation.RELU),
        MaxPool2D((3, 3), (1, 1), (1, 1, 1, 1)),
        AveragePool2D(activation=Activation.RELU),
        Relu(),
        Relu6(),
    ],
)
def test_what_changes_something_stays(op: Op) -> None:
    assert_unchanged(remove_no_ops, no_op(op))


def test_requantization_to_other_parameters_stays() -> None:
    net = Net()
    y = net(Quantize(DType.INT8), net.input(4), quant=Q(0.05, 4))
    assert_unchanged(remove_no_ops, net.graph(y))


def test_three_reshapes_become_one() -> None:
    net = Net()
    x = net(Reshape((4, 3)), net.input(2, 6), origin="a")
    y = net(Reshape((12,)), net(Reshape((3, 4)), x, origin="b"), name="y", origin="c")
    result = check(remove_no_ops, net.graph(y))
    assert lines(result) == ["%y = RESHAPE[shape=(12,)](%x)"]
    assert result.nodes[0].origin == "a+b+c"


def test_two_transposes_become_one_or_none() -> None:
    net = Net()
    a = net(Transpose((1, 2, 0)), net.input(2, 3, 4))
    net(Transpose((2, 0, 1)), a, name="none")
    y = net(Transpose((2, 1, 0)), a, name="one")
    z = net(Tanh(), net.nodes[1].outputs[0], name="z")
    result = check(remove_no_ops, net.graph(y, z))
    assert lines(result) == ["%one = TRANSPOSE[perm=(0, 2, 1)](%x)", "%z = TANH(%x)"]


def test_a_change_of_sign_and_back_is_removed() -> None:
    net = Net()
    a = net(Tanh(), net.input(4), name="a")
    b = net(Quantize(DType.UINT8), a, quant=Q(0.05, 131))
    c = net(Quantize(DType.INT8), b, name="c", quant=Q(0.2, 0))
    y = net(Relu(), net(Quantize(DType.INT8), b), name="y")
    result = check(remove_no_ops, net.graph(y, c), samples=20)
    assert lines(result) == ["%a = TANH(%x)", "%c = QUANTIZE(%a)", "%y = RELU(%a)"]


def test_rounding_twice_is_not_rounding_once() -> None:
    net = Net()
    b = net(Quantize(DType.INT8), net.input(4), quant=Q(0.2, 0))
    assert_unchanged(remove_no_ops, net.graph(net(Quantize(DType.INT8), b)))


def test_a_removed_output_is_computed_under_its_name() -> None:
    net = Net()
    a = net(Tanh(), net.input(4), name="a")
    y = net(Quantize(DType.INT8), a, name="y")
    z = net(Relu(), a, name="z")
    assert lines(check(remove_no_ops, net.graph(y, z))) == ["%y = TANH(%x)", "%z = RELU(%y)"]


def test_two_outputs_of_one_value_and_a_copied_input_stay() -> None:
    net = Net()
    x = net.input(4)
    a = net(Tanh(), x, name="a")
    graph = net.graph(net(Reshape((4,)), a), a, net(Reshape((4,)), x))
    assert_unchanged(remove_no_ops, graph)


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


def test_a_second_activation_stays() -> None:
    net, a = producer(Conv2D(activation=Activation.RELU))
    assert_unchanged(fuse_activation, net.graph(net(Relu6(), a)))


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


# to_uint8, to_int8, weights_to_int8


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


# optimize


def test_the_pipeline_is_named_and_documented() -> None:
    for step in PIPELINE:
        assert step.__doc__ is not None
        assert "Given:" in step.__doc__
        assert "Result:" in step.__doc__
    assert len({step.__name__ for step in PIPELINE}) == len(PIPELINE)


def test_optimize_composes() -> None:
    net = Net()
    x = net.input(1, 4, 4, 4)
    w = net.constant(4, 3, 3, 4, quant=WEIGHTS)
    a = net(Relu(), net(Conv2D(), net(Pad(BORDER), x, origin="pad"), w, origin="conv"), origin="r")
    y = net(Squeeze(), net(Add(), a, x, origin="add"), name="y", origin="squeeze")
    result = check(optimize, net.graph(y))
    assert [node.origin for node in result.nodes] == ["pad+conv+r+add", "squeeze"]


def test_optimize_verifies_and_names_the_pass() -> None:
    net = Net()
    graph = net.graph(net(Relu(), net.input(4)))

    def breaks(graph: Graph) -> Graph:
        return graph.with_nodes(())

    def mistypes(graph: Graph) -> Graph:
        (node,) = graph.nodes
        return graph.with_nodes([Node(Reshape((5,)), node.inputs, node.outputs)])

    with pytest.raises(GraphError, match="after pass breaks: graph output"):
        optimize(graph, (breaks,))
    with pytest.raises(GraphError, match="after pass mistypes: RESHAPE"):
        optimize(graph, (remove_dead_nodes, mistypes))
    with pytest.raises(GraphError, match=r"^graph output"):
        optimize(graph.with_nodes(()))


def test_data_is_read_only_after_a_change_of_sign() -> None:
    net = Net()
    y = net(Add(), net.input(4), net.constant(4))
    (c,) = to_uint8(net.graph(y)).constants
    assert c.data is not None
    with pytest.raises(ValueError, match="read-only"):
        c.data += np.uint8(1)
