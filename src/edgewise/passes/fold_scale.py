"""Scales and offsets of channels into the weights and biases before them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from ..dtype import DType
from ..graph import Graph, Node, TensorType, Value
from ..ops import (
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
from .rewrite import Sweep, fresh_name, fuse_origins, rewrite

CHANNEL_AXES: dict[type[Op], int] = {
    Conv2D: 0,
    DepthwiseConv2D: 3,
    FullyConnected: 0,
    TransposeConv: 0,
}
"""Of the weights, for each product that has constant ones."""

Scale = tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]
"""Factor and offset of each channel."""


def fold_scale(graph: Graph) -> Graph:
    """Fold a constant that is multiplied with, or added to, each channel of a float32 product.

    Batch normalisation is often left as such a MUL and ADD. The product has constant weights and
    no activation, and nobody else reads its result. New weights are computed in float64 and
    rounded once; where one leaves float32, nothing is folded.

    Given:
        %b = CONV_2D(%a, @w, @bias) : float32[1x8x8x16]
        %c = MUL[activation=RELU](%b, @scale)
    Result:
        %c = CONV_2D[activation=RELU](%a, @w.1, @bias.1)
    """
    taken = {v.name for n in graph.nodes for v in (*n.inputs, *n.outputs)}
    taken |= {v.name for v in graph.sources}
    return rewrite(graph, (Add, Div, Mul, Sub), lambda node, sweep: _fold(node, sweep, taken))


def _fold(node: Node, sweep: Sweep, taken: set[str]) -> Node | None:
    variable = [i for i, value in enumerate(node.inputs) if not value.is_constant]
    if len(variable) != 1:
        return None
    x, out = node.inputs[variable[0]], node.outputs[0].type
    product = sweep.producer(x)
    if product is None or type(product.op) not in CHANNEL_AXES or not sweep.has_one_user(x):
        return None
    assert isinstance(product.op, Conv2D | DepthwiseConv2D | FullyConnected | TransposeConv)
    assert isinstance(node.op, Add | Div | Mul | Sub)
    weights, *biases = product.inputs[1:]
    if product.op.activation is not Activation.NONE or x.type != out:
        return None
    if any(v.data is None or v.type.dtype is not DType.FLOAT32 for v in product.inputs[1:]):
        return None
    constant = node.inputs[1 - variable[0]]
    found = _scale(node.op, constant, variable[0], out)
    if found is None:
        return None
    factor, offset = found
    axis = CHANNEL_AXES[type(product.op)]
    across = factor.reshape([-1 if i == axis else 1 for i in range(len(weights.type.shape))])
    bias = biases[0].data if biases else np.zeros(len(factor))
    assert weights.data is not None
    assert bias is not None
    with np.errstate(all="ignore"):
        new_bias = (bias * factor + offset).astype(np.float32)
        new_weights = (weights.data * across).astype(np.float32)
    if not (np.isfinite(new_bias).all() and np.isfinite(new_weights).all()):
        return None
    named = ((weights, new_weights), ((*biases, constant)[0], new_bias))
    return replace(
        node,
        op=replace(product.op, activation=node.op.activation),
        inputs=(product.inputs[0], *(_constant(value, data, taken) for value, data in named)),
        origin=fuse_origins(product, node),
    )


def _scale(op: Op, constant: Value, operand: int, out: TensorType) -> Scale | None:
    """What ``op`` does to each channel, where one number does it to all of a channel."""
    shape, channels = constant.type.shape, out.shape[-1]
    if constant.data is None or constant.type.size not in (1, (1, *shape)[-1]):
        return None
    c = np.resize(constant.data.astype(np.float64).reshape(-1), channels)
    one, zero = np.ones(channels), np.zeros(channels)
    match op:
        case Add():
            return one, c
        case Mul():
            return c, zero
        case Sub():
            return (one, -c) if operand == 0 else (-one, c)
        case Div() if operand == 0 and c.all():
            return 1 / c, zero
    return None


def _constant(value: Value, data: npt.NDArray[np.float32], taken: set[str]) -> Value:
    return Value.constant(fresh_name(value.name, taken), data)
