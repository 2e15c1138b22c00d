"""Products as matrices agree with the operators' references."""

from __future__ import annotations

import numpy as np
import pytest
from float_nets import RealNet

from edgewise.graph import Node, Value
from edgewise.ops import Activation, Conv2D, DepthwiseConv2D, FullyConnected, Op, TransposeConv
from edgewise.quantizer.columns import columns, from_rows, is_matrix, positions, rows

CASES: dict[str, tuple[Op, tuple[int, ...], tuple[int, ...]]] = {
    "conv": (Conv2D(padding=(1, 0, 2, 1)), (1, 5, 6, 3), (4, 3, 2, 3)),
    "strided": (Conv2D((2, 3), (2, 1), (1, 1, 1, 1)), (2, 7, 8, 2), (3, 2, 3, 2)),
    "grouped": (Conv2D(), (1, 4, 4, 6), (9, 2, 2, 2)),
    "pointwise": (Conv2D(), (1, 3, 4, 5), (2, 1, 1, 5)),
    "depthwise": (DepthwiseConv2D((2, 1), padding=(1, 1, 0, 2)), (1, 5, 5, 3), (1, 3, 3, 3)),
    "multiplied": (DepthwiseConv2D(dilation=(1, 2)), (2, 4, 6, 2), (1, 2, 2, 6)),
    "matrix": (FullyConnected(), (2, 3, 4), (5, 12)),
    "kept": (FullyConnected(keep_num_dims=True), (2, 3, 4), (5, 4)),
    "transposed": (
        TransposeConv((2, 3), (0, 1, 1, 0), (5, 11)),
        (2, 3, 4, 3),
        (4, 2, 3, 3),
    ),
}


def node(op: Op, x: tuple[int, ...], w: tuple[int, ...]) -> Node:
    net = RealNet()
    channels = w[3] if isinstance(op, DepthwiseConv2D) else w[0]
    out = net.add(op, net.real(*x), net.weights(*w), net.bias(channels))
    return net.graph(out).nodes[0]


@pytest.mark.parametrize("case", CASES)
def test_rows_times_columns_are_the_product(case: str) -> None:
    layer = node(*CASES[case])
    x, w, bias = layer.inputs
    assert w.data is not None
    assert bias.data is not None
    data = np.random.default_rng(1).normal(size=(3, *x.type.shape)).astype(np.float32)
    expected = np.stack([layer.reference([a, w.data, bias.data])[0] for a in data])
    channels = expected.shape[-1]
    at = positions(layer, len(data), 10**6)
    assert len(at) == expected.size // channels
    found = columns(layer, data, at) @ rows(layer, w.data).swapaxes(1, 2)
    found = found.transpose(1, 0, 2).reshape(-1, channels) + bias.data
    np.testing.assert_allclose(found, expected.reshape(-1, channels), rtol=1e-5, atol=1e-5)

    few = positions(layer, len(data), 7)
    np.testing.assert_array_equal(columns(layer, data, few), columns(layer, data, at)[:, few])


@pytest.mark.parametrize("case", CASES)
def test_rows_are_weights_again(case: str) -> None:
    layer = node(*CASES[case])
    w = layer.inputs[1].data
    assert w is not None
    np.testing.assert_array_equal(from_rows(layer, rows(layer, w)), w)


def test_positions_are_drawn_once_each_and_always_the_same() -> None:
    layer = node(*CASES["conv"])
    few = positions(layer, 50, 20)
    assert len(set(few.tolist())) == 20
    assert few.tolist() == sorted(few.tolist())
    np.testing.assert_array_equal(few, positions(layer, 50, 20))


def test_only_constant_float_weights_make_a_matrix() -> None:
    net = RealNet()
    x, y = net.real(1, 4, 4, 2), net.real(3, 1, 1, 2, name="y")
    computed = net.add(Conv2D(activation=Activation.RELU), x, y)
    net.add(Conv2D(), x, net.weights(3, 1, 1, 2))
    found = net.graph(computed).nodes
    assert [is_matrix(n) for n in found] == [False, True]
    assert not is_matrix(Node(Conv2D(), (x, Value("w", y.type)), (computed,)))
