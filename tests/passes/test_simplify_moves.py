"""The passes that simplify, on operators that move, select and repeat elements."""

from __future__ import annotations

import numpy as np
import pytest
from small_graphs import Net, assert_unchanged, check, lines

from edgewise.dtype import DType
from edgewise.graph import Value
from edgewise.ops import (
    BatchToSpaceNd,
    BroadcastTo,
    DepthToSpace,
    DynamicUpdateSlice,
    Fill,
    Gather,
    GatherNd,
    MatrixDiag,
    MirrorPad,
    OneHot,
    Op,
    Reshape,
    Reverse,
    ScatterNd,
    SpaceToBatchNd,
    SpaceToDepth,
    Split,
    SplitV,
    Tanh,
    Tile,
    ZerosLike,
)
from edgewise.passes import canonicalize, fold_constants, remove_no_ops
from edgewise.passes.signedness import to_uint8

IMAGE = (1, 4, 4, 4)
NO_PADS = ((0, 0), (0, 0))


@pytest.mark.parametrize(
    "op",
    [
        BatchToSpaceNd((1, 1), NO_PADS),
        BroadcastTo(IMAGE),
        DepthToSpace(1),
        MirrorPad(((0, 0),) * 4),
        Reverse((0,)),
        Reverse(),
        SpaceToBatchNd((1, 1), NO_PADS),
        SpaceToDepth(1),
        SplitV(3, (4,)),
        Tile((1, 1, 1, 1)),
    ],
    ids=str,
)
def test_what_changes_nothing_disappears(op: Op) -> None:
    net = Net()
    y = net(Tanh(), net(op, net.input(*IMAGE)), name="y")
    assert lines(check(remove_no_ops, net.graph(y))) == ["%y = TANH(%x)"]


@pytest.mark.parametrize("op", [Reverse((1,)), Tile((1, 1, 2, 1)), SplitV(3, (1, 3))], ids=str)
def test_what_changes_something_stays(op: Op) -> None:
    net = Net()
    ys = net.all(op, net.input(*IMAGE))
    assert_unchanged(remove_no_ops, net.graph(*ys))


def test_a_broadcast_that_repeats_nothing_is_a_reshape() -> None:
    net = Net()
    y = net(BroadcastTo((1, 1, 3, 4)), net.input(3, 4), name="y")
    (node,) = check(canonicalize, net.graph(y)).nodes
    assert node.op == Reshape((1, 1, 3, 4))
    net = Net()
    assert_unchanged(canonicalize, net.graph(net(BroadcastTo((2, 3, 4)), net.input(3, 4))))


def test_equal_parts_are_a_split() -> None:
    net = Net()
    ys = net.all(SplitV(1, (2, 2, 2)), net.input(3, 6))
    (node,) = check(canonicalize, net.graph(*ys)).nodes
    assert node.op == Split(1, 3)
    net = Net()
    assert_unchanged(canonicalize, net.graph(*net.all(SplitV(1, (2, 4)), net.input(3, 6))))


def constant(net: Net, *values: int) -> Value:
    data = np.array(values, np.int32)
    return net.constant(*data.shape, dtype=DType.INT32, quant=None, data=data)


def check_folded(net: Net, *values: Value) -> None:
    """Only what the graph returns is still computed."""
    z = net(Tanh(), net.input(2))
    result = check(fold_constants, net.graph(z, *(net(Tanh(), v) for v in values)))
    assert {type(node.op) for node in result.nodes} == {Tanh}


def test_what_moves_constants_is_a_constant() -> None:
    net = Net()
    w = net.constant(1, 4, 6)
    y = net(Tile((1, 1, 2)), w)
    y = net(Reverse((1,)), net(MirrorPad(((0, 0), (1, 1), (0, 2))), y))
    y = net(Gather(1), y, constant(net, 5, 0, 2))
    y = net(
        GatherNd(),
        y,
        net.constant(2, 1, dtype=DType.INT32, quant=None, data=np.zeros((2, 1), np.int32)),
    )
    y = net(DynamicUpdateSlice(), y, net.constant(1, 2, 3), constant(net, 1, 0, 4))
    y = net(BroadcastTo((3, 2, 3, 14)), y)
    check_folded(net, y)


def test_what_makes_constants_is_a_constant() -> None:
    net = Net()
    a = net(Fill((2, 3)), net.constant())
    b = net(ZerosLike(), net.constant(2, 3))
    hot = net(OneHot(1, 3), constant(net, 2, 0), net.constant(), net.constant())
    c = net(MatrixDiag(), net.constant(3))
    places = net(Reshape((1, 1)), constant(net, 1))
    d = net(ScatterNd((3, 2)), places, net.constant(1, 2))
    check_folded(net, a, b, hot, c, d)


@pytest.mark.parametrize(
    ("op", "shape", "kept"),
    [
        (Reverse((0,)), (3,), False),
        (Tile((2,)), (3,), False),
        (SpaceToBatchNd((2,), ((1, 1),)), (2, 4), False),
        (MatrixDiag(), (3,), True),
        (ZerosLike(), (3,), True),
    ],
    ids=str,
)
def test_raw_zeros_keep_their_sign(op: Op, shape: tuple[int, ...], kept: bool) -> None:
    """What writes raw zeros means another number once a zero point moves."""
    net = Net()
    graph = net.graph(net(op, net(Tanh(), net.input(*shape)), name="y"))
    result = check(to_uint8, graph)
    (node,) = [n for n in result.nodes if n.op == op]
    assert (node.inputs[0].type.dtype is DType.INT8) is kept
