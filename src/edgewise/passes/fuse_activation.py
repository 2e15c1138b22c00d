"""Clamps into the operator before them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..graph import Graph, Node, TensorType
from ..ops import (
    Activation,
    Add,
    AveragePool2D,
    Conv2D,
    DepthwiseConv2D,
    Div,
    FullyConnected,
    MaxPool2D,
    Mul,
    Op,
    Relu,
    Relu0To1,
    Relu6,
    ReluN1To1,
    Sub,
    TransposeConv,
    Unary,
    activation_range,
    raw_values,
)
from .rewrite import Sweep, fuse_origins, rewrite

ACTIVATIONS: dict[type[Op], Activation] = {
    Relu: Activation.RELU,
    Relu0To1: Activation.RELU_0_TO_1,
    Relu6: Activation.RELU6,
    ReluN1To1: Activation.RELU_N1_TO_1,
}
CLAMPING = (
    Add,
    AveragePool2D,
    Conv2D,
    DepthwiseConv2D,
    Div,
    FullyConnected,
    MaxPool2D,
    Mul,
    Sub,
    TransposeConv,
)
"""Operators with an ``activation`` that they apply as a clamp of their result."""


def fuse_activation(graph: Graph) -> Graph:
    """Let an operator of CLAMPING apply the activation that alone reads its result.

    Where the operator has one already, some activation clamps as both do. Quantized: the types
    before and after the activation are equal, and the clamp equals the activation's table for all
    values.

    Given:
        %b = CONV_2D(%a, @w, @bias) : int8[1x8x8x16] {0.02 * (q - -128)}
        %c = RELU6(%b) : int8[1x8x8x16] {0.02 * (q - -128)}
    Result:
        %c = CONV_2D[activation=RELU6](%a, @w, @bias) : int8[1x8x8x16] {0.02 * (q - -128)}
    """
    return rewrite(graph, tuple(ACTIVATIONS), _fuse)


def _fuse(node: Node, sweep: Sweep) -> Node | None:
    (x,) = node.inputs
    before = sweep.producer(x)
    if before is None or not isinstance(before.op, CLAMPING):
        return None
    if not sweep.has_one_user(x):
        return None
    assert isinstance(node.op, Unary)
    activation = ACTIVATIONS[type(node.op)]
    if not _is_clamp(node.op, activation, x.type, node.outputs[0].type):
        return None
    both = _both(before.op.activation, activation)
    if both is None:
        return None
    return replace(
        node,
        op=replace(before.op, activation=both),
        inputs=before.inputs,
        origin=fuse_origins(before, node),
    )


def _both(first: Activation, second: Activation) -> Activation | None:
    """The activation that clamps as both do one after the other, if there is one."""
    bounds = [a.value for a in (first, second)]
    low = max((lo for lo, _ in bounds if lo is not None), default=None)
    high = min((hi for _, hi in bounds if hi is not None), default=None)
    return next((a for a in Activation if a.value == (low, high)), None)


def _is_clamp(op: Unary, activation: Activation, x: TensorType, y: TensorType) -> bool:
    if x != y:
        return False
    if x.dtype.is_float:
        return True
    clamped = np.clip(raw_values(x), *activation_range(y, activation))
    return np.array_equal(op.table(x, y), clamped)
