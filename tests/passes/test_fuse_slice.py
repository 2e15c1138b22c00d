"""Slices of parted channels that become slices by steps."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from small_graphs import Net, assert_unchanged, check, lines

from edgewise.graph import Graph
from edgewise.ops import Concatenation, Reshape, StridedSlice, Tanh
from edgewise.passes import fuse_slice

WHOLE, PARTED, HALF = (1, 3, 4, 10), (3, 4, 5, 2), (1, 3, 4, 5)


def second(shape: tuple[int, ...], first: int) -> StridedSlice:
    rank = len(shape) - 1
    begin = (*[0] * rank, first)
    return StridedSlice(begin, (*shape[:-1], 1), (1,) * (rank + 1), (rank,))


def test_halves_are_taken_by_steps() -> None:
    net = Net()
    parted = net(Reshape(PARTED), net.input(*WHOLE))
    halves = [net(Reshape(HALF), net(second(PARTED, i), parted)) for i in range(2)]
    y = net(Concatenation(3), halves[1], net(Tanh(), halves[0]), name="y")
    after = check(fuse_slice, net.graph(y))
    assert [node.op.name for node in after.nodes].count("RESHAPE") == 0
    slices = [node.op for node in after.nodes if isinstance(node.op, StridedSlice)]
    expected = [StridedSlice((0, 0, 0, i), HALF, (1, 1, 1, 2)) for i in range(2)]
    assert sorted(slices, key=str) == sorted(expected, key=str)


def test_a_shape_of_other_rank() -> None:
    net = Net()
    parted = net(Reshape((2, 1, 3, 1, 2, 3)), net.input(6, 6))
    y = net(Reshape((6, 2)), net(second((2, 1, 3, 1, 2, 3), 2), parted), name="y")
    after = check(fuse_slice, net.graph(y))
    assert lines(after) == ["%y = STRIDED_SLICE[begin=(0, 2), size=(6, 2), strides=(1, 3)](%x)"]


def other_channels() -> Graph:
    net = Net()
    cut = net(second(PARTED, 1), net(Reshape(PARTED), net.input(*WHOLE)))
    return net.graph(net(Reshape((1, 4, 3, 5)), cut, name="y"))


def rows() -> Graph:
    net = Net()
    slice_ = StridedSlice((0, 0, 0, 1), (3, 2, 5, 1), (1, 2, 1, 1), (3,))
    cut = net(slice_, net(Reshape(PARTED), net.input(*WHOLE)))
    return net.graph(net(Reshape((1, 3, 2, 5)), cut, name="y"))


def pixels() -> Graph:
    """Two channels of every pixel of which the file makes one."""
    net = Net()
    cut = net(second((3, 2, 20), 1), net(Reshape((3, 2, 20)), net.input(*WHOLE)))
    return net.graph(net(Reshape((1, 3, 2, 1)), cut, name="y"))


@pytest.mark.parametrize("make", [other_channels, rows, pixels])
def test_other_slices_stay(make: Callable[[], Graph]) -> None:
    assert_unchanged(fuse_slice, make())
