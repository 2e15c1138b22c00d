"""Folding of scales and offsets of channels into the weights and biases of float products."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from small_graphs import WEIGHTS, Net, assert_unchanged, check, conv

from edgewise.dtype import DType
from edgewise.graph import Value
from edgewise.ops import (
    Activation,
    Add,
    Conv2D,
    DepthwiseConv2D,
    Div,
    FullyConnected,
    Mul,
    Op,
    Sub,
    TransposeConv,
)
from edgewise.passes import fold_scale

REAL: dict[str, Any] = {"dtype": DType.FLOAT32, "quant": None}
PRODUCTS: list[tuple[Op, tuple[int, ...], tuple[int, ...]]] = [
    (Conv2D(padding=(1, 1, 1, 1)), (2, 4, 5, 3), (6, 3, 3, 3)),
    (DepthwiseConv2D(), (1, 4, 5, 3), (1, 2, 2, 6)),
    (FullyConnected(), (4, 7), (6, 7)),
    (TransposeConv((2, 2), (0, 0, 0, 0), (8, 8)), (1, 4, 4, 3), (6, 2, 2, 3)),
]


def product(net: Net, op: Op, shape: tuple[int, ...], w: tuple[int, ...], bias: bool) -> Value:
    inputs = [net.input(*shape, **REAL), net.constant(*w, **REAL)]
    return net(op, *inputs, *([net.constant(6, **REAL)] if bias else []), origin="product")


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(("op", "shape", "w"), PRODUCTS)
def test_batch_normalisation(
    op: Op, shape: tuple[int, ...], w: tuple[int, ...], bias: bool
) -> None:
    net = Net()
    y = net(Mul(), product(net, op, shape, w, bias), net.constant(6, **REAL), origin="scale")
    y = net(Add(Activation.RELU6), net.constant(1, 6, **REAL), y, name="y", origin="shift")
    (node,) = check(fold_scale, net.graph(y), tolerance=1e-6).nodes
    assert type(node.op) is type(op)
    assert getattr(node.op, "activation") is Activation.RELU6  # noqa: B009
    assert len(node.inputs) == 3
    assert node.origin == "product+scale+shift"


@pytest.mark.parametrize("shape", [(), (1,), (6,), (1, 1, 6)])
@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("op", [Add(), Mul(), Sub(), Div()])
def test_each_operator(op: Op, first: bool, shape: tuple[int, ...]) -> None:
    net = Net()
    x = product(net, *PRODUCTS[0], bias=True)
    c = net.constant(*shape, data=np.full(shape, 3, np.float32), **REAL)
    graph = net.graph(net(op, *((x, c) if first else (c, x))))
    if isinstance(op, Div) and not first:
        assert_unchanged(fold_scale, graph)
    else:
        assert len(check(fold_scale, graph, tolerance=1e-6).nodes) == 1


def test_what_stays() -> None:
    """Numbers that differ within a channel, zero divisors, other readers, activations before."""
    for constant in ((4, 5, 6), (2, 1, 1, 1)):
        net = Net()
        x = product(net, *PRODUCTS[0], bias=True)
        assert_unchanged(fold_scale, net.graph(net(Mul(), x, net.constant(*constant, **REAL))))
    net = Net()
    x = product(net, *PRODUCTS[0], bias=True)
    zero = net.constant(6, data=np.zeros(6, np.float32), **REAL)
    assert_unchanged(fold_scale, net.graph(net(Div(), x, zero)))
    net = Net()
    x = product(net, *PRODUCTS[0], bias=True)
    assert_unchanged(fold_scale, net.graph(net(Mul(), x, net.constant(6, **REAL)), x))
    net = Net()
    x = product(net, Conv2D(activation=Activation.RELU), *PRODUCTS[0][1:], bias=True)
    assert_unchanged(fold_scale, net.graph(net(Mul(), x, net.constant(6, **REAL))))


@pytest.mark.parametrize("op", [Mul(), Add(), Div()])
def test_scales_that_leave_float32_stay(op: Op) -> None:
    """So does what is not a number: products of small inputs may still be finite."""
    net = Net()
    large = np.full((6, 7), 1e30, np.float32)
    x = net(FullyConnected(), net.input(4, 7, **REAL), net.constant(6, 7, data=large, **REAL))
    number = {"MUL": 1e30, "ADD": np.nan, "DIV": 1e-30}[op.name]
    c = net.constant(6, data=np.full(6, number, np.float32), **REAL)
    assert_unchanged(fold_scale, net.graph(net(op, x, c)))


def test_computed_biases_and_8_bits_stay() -> None:
    net = Net()
    bias = net.input(6, name="bias", **REAL)
    x = net(FullyConnected(), net.input(4, 7, **REAL), net.constant(6, 7, **REAL), bias)
    assert_unchanged(fold_scale, net.graph(net(Add(), x, net.constant(6, **REAL))))
    net = Net()
    y = conv(net, net.input(1, 4, 4, 4))
    assert_unchanged(fold_scale, net.graph(net(Add(), y, net.constant(4, quant=WEIGHTS))))
