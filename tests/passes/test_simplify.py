"""canonicalize, fold_constants, remove_no_ops and remove_dead_nodes: given, and result."""

from __future__ import annotations

import pytest
from small_graphs import SAME, WEIGHTS, Net, Q, assert_unchanged, check, lines

from edgewise.dtype import DType, QParams
from edgewise.graph import Graph
from edgewise.ops import (
    Activation,
    Add,
    AveragePool2D,
    Concatenation,
    Dequantize,
    FullyConnected,
    MaxPool2D,
    Op,
    Pack,
    Pad,
    Quantize,
    Relu,
    Relu6,
    ReluN1To1,
    Reshape,
    ResizeBilinear,
    Split,
    Squeeze,
    StridedSlice,
    Tanh,
    Transpose,
    Unpack,
)
from edgewise.passes import (
    canonicalize,
    fold_constants,
    remove_dead_nodes,
    remove_no_ops,
)

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
