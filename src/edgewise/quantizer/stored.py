"""Weights of fewer bits beside activations of floats: dynamic range, int4, float16.

A hybrid operator multiplies int8 weights with activations that it quantizes as it runs. Elsewhere
DEQUANTIZE of the constant makes it float32 again, once, when the network is loaded.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from ..dtype import DType
from ..errors import GraphError
from ..graph import Node, TensorType, Value
from ..ops import (
    BatchMatMul,
    Conv2D,
    DepthwiseConv2D,
    Dequantize,
    EmbeddingLookup,
    EmbeddingLookupFloat,
    FullyConnected,
    Gather,
    Op,
)
from ..ops.recurrent import Recurrent
from ..passes.rewrite import fresh_name
from .precision import Scheme, Weights
from .weights import LEAST_WEIGHTS, WEIGHTS, channel_axis, nearest, steps_of

LEAST_HALVES = 256
"""Constants of fewer elements stay float32: DEQUANTIZE would take as many bytes as it saves."""

GREATEST_HALF = float(np.finfo(np.float16).max)

HYBRID: tuple[type[Op], ...] = (BatchMatMul, Conv2D, DepthwiseConv2D, FullyConnected, Recurrent)
"""Operators of float activations and int8 weights."""

TABLES: Mapping[type[Op], int] = {EmbeddingLookup: 1, Gather: 0}
"""Which operand is a table of rows."""


def store_weights(
    node: Node, scheme: Scheme, chosen: Weights | None, names: set[str]
) -> list[Node]:
    """The nodes that take a float layer's place, the last with its outputs.

    Args:
        chosen: the integers of its weights; the nearest where it is None.
        names: names that are taken.

    Raises:
        GraphError: the layer has no weights, or too few, or some that float16 cannot hold.
    """
    if scheme.weights is DType.FLOAT16:
        return _halves(node, names)
    places = weight_places(node)
    if not places:
        raise GraphError("its weights are computed")
    count = max(node.inputs[i].type.size for i in places)
    if count < LEAST_WEIGHTS:
        raise GraphError(f"it has {count} weights; fewer than {LEAST_WEIGHTS} stay float32")
    stored = {i: _integers(node, i, scheme, chosen) for i in places}
    if scheme.hybrid and isinstance(node.op, HYBRID):
        inputs = tuple(stored.get(i, v) for i, v in enumerate(node.inputs))
        node.op.infer([v.type for v in inputs])
        return [replace(node, inputs=inputs)]
    if scheme.hybrid and type(node.op) in TABLES:
        return _looked_up(node, stored, names)
    return _dequantized(node, stored, names)


def stores(node: Node, scheme: Scheme) -> bool:
    """Whether a layer may have something to store in fewer bits."""
    is_product = type(node.op) in WEIGHTS
    return is_product or scheme.weights is DType.FLOAT16 or bool(weight_places(node))


def weight_places(node: Node) -> list[int]:
    """The operands of a layer that are constant weights of float32."""
    op = node.op
    if isinstance(op, Recurrent):
        given = [n for n, there in zip(op.names, op.present, strict=False) if there]
        places = [i for i, name in enumerate(given) if "weights" in name]
    elif type(op) in TABLES:
        places = [TABLES[type(op)]]
    else:
        places = [WEIGHTS[type(op)].position] if type(op) in WEIGHTS else []
    found = [i for i in places if _is_real_constant(node.inputs[i])]
    return found if len(found) == len(places) else []


def _is_real_constant(value: Value) -> bool:
    return value.data is not None and value.type.dtype is DType.FLOAT32


def _integers(node: Node, place: int, scheme: Scheme, chosen: Weights | None) -> Value:
    """A layer's weights as integers."""
    value = node.inputs[place]
    assert value.data is not None
    if chosen is None:
        chosen = nearest(
            value.data, steps_of(value.data, _axis(node, value, scheme), scheme), scheme
        )
    return Value.constant(value.name, chosen.data, chosen.quant)


def _axis(node: Node, value: Value, scheme: Scheme) -> int | None:
    """The axis of scales of their own; DEQUANTIZE, and so 4 bits, may have any."""
    if type(node.op) in WEIGHTS:
        return channel_axis(node, scheme)
    if isinstance(node.op, EmbeddingLookup) and scheme.hybrid:
        return 0
    if scheme.hybrid:
        return None
    return len(value.type.shape) - 1 if type(node.op) in TABLES else 0


def _looked_up(node: Node, stored: Mapping[int, Value], names: set[str]) -> list[Node]:
    """Rows of a table of integers, which become floats when they are looked up."""
    inputs = tuple(stored.get(i, v) for i, v in enumerate(node.inputs))
    if isinstance(node.op, EmbeddingLookup):
        return [replace(node, op=EmbeddingLookupFloat(), inputs=inputs)]
    (out,) = node.outputs
    (table,) = stored.values()
    type = TensorType(out.type.shape, table.type.dtype, table.type.quant)
    rows = Value(fresh_name(f"{out.name}:{type.dtype}", names), type)
    return [
        replace(node, inputs=inputs, outputs=(rows,)),
        Node(Dequantize(), (rows,), node.outputs, node.origin),
    ]


def _halves(node: Node, names: set[str]) -> list[Node]:
    """The layer with its constants as float16."""
    stored = {}
    for i, value in enumerate(node.inputs):
        if value.data is None or value.type.size < LEAST_HALVES or not _is_real_constant(value):
            continue
        greatest = float(np.abs(value.data).max())
        if not greatest <= GREATEST_HALF:  # NaN included
            raise GraphError(f"{value.name!r} holds {greatest}; float16 holds {GREATEST_HALF}")
        stored[i] = Value.constant(value.name, value.data.astype(np.float16))
    return _dequantized(node, stored, names)


def _dequantized(node: Node, stored: Mapping[int, Value], names: set[str]) -> list[Node]:
    """DEQUANTIZE of stored constants, then the layer."""
    nodes, inputs = [], list(node.inputs)
    for i, value in stored.items():
        name = fresh_name(f"{value.name}:float32", names)
        inputs[i] = Value(name, TensorType(value.type.shape, DType.FLOAT32))
        nodes.append(Node(Dequantize(), (value,), (inputs[i],), value.name))
    return [*nodes, replace(node, inputs=tuple(inputs))]
