"""Quantized operators as LiteRT's kernels demand them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from small_graphs import Net, Q, assert_unchanged, evaluate

from edgewise import exporters
from edgewise.dtype import DType, QParams
from edgewise.exporters.requantize import EIGHT_BIT, FIXED, requantize_for_litert, signed_for_litert
from edgewise.graph import Graph, verify
from edgewise.ops import (
    AveragePool2D,
    Concatenation,
    Conv2D,
    FullyConnected,
    Logistic,
    Op,
    Quantize,
    Softmax,
    Tanh,
)
from tflite_builder import run_litert

I8, U8 = DType.INT8, DType.UINT8

AFTER_A_PRODUCT = 4
"""Steps that a step of an average may be after it is multiplied."""


def one(op: Op, dtype: DType, quant: QParams | None) -> Graph:
    net = Net()
    x = net.input(3, 8, dtype=dtype, quant=Q(0.05, 3) if dtype.is_integer else None)
    return net.graph(net(op, x, quant=quant, name="y"))


def agree(graph: Graph, most: int) -> None:
    """Require LiteRT's results of the written graph within ``most`` steps of the reference's."""
    arrays = [Net(5).random(v.type) for v in graph.inputs]
    expected = evaluate(graph, dict(zip(graph.inputs, arrays, strict=True)))
    content = exporters.to_tflite(exporters.prepare(graph))
    for found, rule in zip(run_litert(content, arrays), expected, strict=True):
        assert found.dtype == rule.dtype
        assert np.abs(found.astype(int) - rule).max() <= most


@pytest.mark.parametrize("dtype", [I8, U8], ids=str)
@pytest.mark.parametrize("op", FIXED, ids=lambda op: op.name)
def test_results_of_other_scales(op: Any, dtype: DType) -> None:
    graph = one(op(), dtype, Q(0.03, 20))
    result = requantize_for_litert(graph)
    verify(result)
    assert [n.op.name for n in result.nodes] == [op.name, "QUANTIZE"]
    assert result.outputs == graph.outputs
    agree(graph, 1)


@pytest.mark.parametrize(
    ("op", "quant"),
    [(Softmax(), Q(1 / 256, -128)), (Logistic(), Q(0.0039064, -128)), (Tanh(), Q(1 / 128, 0))],
    ids=str,
)
def test_results_that_litert_gives(op: Op, quant: QParams) -> None:
    assert_unchanged(requantize_for_litert, one(op, I8, quant))
    assert_unchanged(requantize_for_litert, one(op, DType.FLOAT32, None))


@pytest.mark.parametrize("after", [I8, U8, DType.INT16], ids=str)
@pytest.mark.parametrize("before", [I8, U8, DType.INT16], ids=str)
def test_integers_of_another_type(before: DType, after: DType) -> None:
    net = Net()
    zero = {U8: 100, I8: 3, DType.INT16: 0}
    x = net.input(3, 80, dtype=before, quant=Q(0.05, zero[before]))
    graph = net.graph(net(Quantize(after), x, quant=Q(0.11, zero[after]), name="y"))
    agree(graph, 1 if before in EIGHT_BIT and after in EIGHT_BIT else 0)


def test_joined_integers() -> None:
    net = Net()
    a, b = net.input(2, 3, name="a"), net.input(2, 4, quant=Q(0.1, -5), name="b")
    graph = net.graph(net(Concatenation(1), a, b, quant=Q(0.1, -5)))
    result = requantize_for_litert(graph)
    verify(result)
    assert [n.op.name for n in result.nodes] == ["QUANTIZE", "CONCATENATION"]
    assert len({v.type.quant for v in result.nodes[1].inputs}) == 1
    agree(graph, 1)
    net = Net()
    a, b = net.input(2, 3, dtype=U8, name="a"), net.input(2, 4, dtype=U8, name="b")
    assert_unchanged(requantize_for_litert, net.graph(net(Concatenation(1), a, b, quant=Q(1, 0))))


def mixed(weights: DType) -> Graph:
    """uint8 activations: a convolution, an average, a dense layer."""
    net, zero = Net(), 0 if weights is I8 else 128
    x = net.input(1, 6, 6, 4, dtype=U8, quant=Q(0.05, 130))
    w = net.constant(5, 3, 3, 4, dtype=weights, quant=Q(0.01, zero))
    y = net(Conv2D(), x, w, quant=Q(0.1, 120))
    y = net(AveragePool2D((2, 2), (2, 2)), y, quant=Q(0.1, 120))
    w = net.constant(7, 20, dtype=weights, quant=Q(0.01, zero))
    return net.graph(net(FullyConnected(), y, w, quant=Q(0.1, 128)))


def test_uint8_activations_and_int8_weights() -> None:
    graph = mixed(I8)
    result = signed_for_litert(graph)
    verify(result)
    names = [n.op.name for n in result.nodes]
    assert names == ["QUANTIZE", "CONV_2D", "AVERAGE_POOL_2D", "FULLY_CONNECTED", "QUANTIZE"]
    assert (result.inputs, result.outputs) == (graph.inputs, graph.outputs)
    agree(graph, AFTER_A_PRODUCT)


def test_activations_and_weights_of_one_type_stay() -> None:
    assert_unchanged(signed_for_litert, mixed(U8))
