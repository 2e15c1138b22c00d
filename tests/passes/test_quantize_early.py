"""Quantizing before moves of floats, not after them."""

from __future__ import annotations

import pytest
from small_graphs import BORDER, SAME, Net, Q, assert_unchanged, check, lines

from edgewise.dtype import DType, QParams
from edgewise.graph import Graph
from edgewise.ops import (
    Dequantize,
    MirrorPad,
    Op,
    Quantize,
    Reshape,
    ResizeNearestNeighbor,
    StridedSlice,
    Tanh,
    Transpose,
)
from edgewise.passes import quantize_early

F32 = DType.FLOAT32


def between(*moves: Op, quant: QParams = SAME, dtype: DType = DType.INT8) -> Graph:
    """DEQUANTIZE of int8, the moves, QUANTIZE."""
    net = Net()
    x = net(Dequantize(), net.input(1, 4, 4, 2))
    for move in moves:
        x = net(move, x)
    return net.graph(net(Quantize(dtype), x, quant=quant, name="y"))


def test_what_was_dequantized_is_moved_as_bytes() -> None:
    up = ResizeNearestNeighbor((8, 8))
    found = lines(check(quantize_early, between(up, MirrorPad(BORDER))))
    assert found == [
        "%v2:int8 = RESIZE_NEAREST_NEIGHBOR[size=(8, 8)](%x)",
        "%y = MIRROR_PAD[paddings=((0, 0), (1, 1), (1, 1), (0, 0))](%v2:int8)",
    ]


def test_nothing_is_left_where_nothing_moves() -> None:
    net = Net()
    floats = net(Dequantize(), net.input(1, 4, 4, 2))
    y = net(Tanh(), net(Quantize(DType.INT8), floats, quant=SAME), quant=SAME, name="y")
    assert lines(check(quantize_early, net.graph(y))) == ["%y = TANH(%x)"]


@pytest.mark.parametrize(
    ("quant", "dtype"), [(Q(0.05, 4), DType.INT8), (Q(0.06, 3), DType.INT8), (SAME, DType.UINT8)]
)
def test_another_quantization_is_computed_before_the_move(quant: QParams, dtype: DType) -> None:
    found = lines(check(quantize_early, between(Transpose((0, 3, 1, 2)), quant=quant, dtype=dtype)))
    assert found == [
        "%v1 = DEQUANTIZE(%x)",
        f"%v1:{dtype} = {Quantize(dtype)}(%v1)",
        f"%y = TRANSPOSE[perm=(0, 3, 1, 2)](%v1:{dtype})",
    ]


def test_floats_of_the_graph_are_quantized_first() -> None:
    net = Net()
    x = net.input(1, 4, 4, 2, dtype=F32, quant=None)
    graph = net.graph(net(Quantize(DType.INT8), net(Reshape((4, 8)), x), quant=SAME, name="y"))
    assert lines(check(quantize_early, graph)) == [
        "%x:int8 = QUANTIZE(%x)",
        "%y = RESHAPE[shape=(4, 8)](%x:int8)",
    ]


@pytest.mark.parametrize(
    "move",
    [StridedSlice((0, 0, 0, 0), (1, 1, 1, 1), (1, 4, 4, 1)), ResizeNearestNeighbor((2, 2))],
    ids=["slice", "smaller"],
)
def test_fewer_elements_are_quantized_after_the_move(move: Op) -> None:
    assert_unchanged(quantize_early, between(move))


def test_moved_floats_that_others_read_stay() -> None:
    net = Net()
    moved = net(MirrorPad(BORDER), net.input(1, 4, 4, 2, dtype=F32, quant=None))
    y = net(Quantize(DType.INT8), moved, quant=SAME)
    assert_unchanged(quantize_early, net.graph(y, moved))


def test_words_are_not_hoisted() -> None:
    net = Net()
    moved = net(MirrorPad(BORDER), net.input(1, 4, 4, 2, dtype=F32, quant=None))
    assert_unchanged(quantize_early, net.graph(net(Quantize(DType.INT16), moved, quant=Q(0.01, 0))))
