"""Nodes that give what they are given."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from ..graph import Graph, Node, TensorType, Value
from ..ops import (
    Activation,
    AveragePool2D,
    BatchToSpaceNd,
    Bitcast,
    BroadcastTo,
    Cast,
    Concatenation,
    Densify,
    DepthToSpace,
    Dequantize,
    MaxPool2D,
    MirrorPad,
    Op,
    Pad,
    Quantize,
    Relu,
    Relu0To1,
    Relu6,
    ReluN1To1,
    Reshape,
    ResizeBilinear,
    ResizeNearestNeighbor,
    Reverse,
    SpaceToBatchNd,
    SpaceToDepth,
    Split,
    SplitV,
    StridedSlice,
    Tile,
    Transpose,
    Unary,
)
from .rewrite import Sweep, fuse_origins, rewrite


def _always(op: Op, t: TensorType) -> bool:
    return True


def _in_order(op: Transpose, t: TensorType) -> bool:
    return op.perm == tuple(range(len(op.perm)))


def _whole(op: StridedSlice, t: TensorType) -> bool:
    return op.size == t.shape and set(op.strides) <= {1}


def _of_one_element(op: Reverse, t: TensorType) -> bool:
    return all(t.shape[axis] == 1 for axis in op.axes)


def _plain_join(op: Concatenation, t: TensorType) -> bool:
    return op.activation is Activation.NONE


def _single_pixel(op: AveragePool2D | MaxPool2D, t: TensorType) -> bool:
    same = op.filter == op.stride == (1, 1) and not any(op.padding)
    return same and op.activation is Activation.NONE


def _clamps_nothing(op: Unary, t: TensorType) -> bool:
    if t.dtype.is_float:
        return False
    table = op.table(t, t)
    return np.array_equal(table.view(f"u{table.itemsize}"), np.arange(table.size))


NO_OPS: dict[type[Op], Callable[[Any, TensorType], bool]] = {
    AveragePool2D: _single_pixel,
    BatchToSpaceNd: _always,
    Bitcast: _always,
    BroadcastTo: _always,
    Cast: _always,
    Concatenation: _plain_join,
    Densify: _always,
    DepthToSpace: _always,
    Dequantize: _always,
    MaxPool2D: _single_pixel,
    MirrorPad: _always,
    Pad: _always,
    Quantize: _always,
    Relu6: _clamps_nothing,
    Relu: _clamps_nothing,
    Relu0To1: _clamps_nothing,
    ReluN1To1: _clamps_nothing,
    Reshape: _always,
    ResizeBilinear: _always,
    ResizeNearestNeighbor: _always,
    Reverse: _of_one_element,
    SpaceToBatchNd: _always,
    SpaceToDepth: _always,
    Split: _always,
    SplitV: _always,
    StridedSlice: _whole,
    Tile: _always,
    Transpose: _in_order,
}
"""For an operator whose one input and one output have equal types: when it copies its input."""


def remove_no_ops(graph: Graph) -> Graph:
    """Read the input of a node that changes nothing in place of its output.

    NO_OPS says which do, given that the types are equal, quantization included.

    Given:
        %b = QUANTIZE(%a) : uint8[8] {0.5 * (q - 3)}, which is also the type of %a
        %c = TANH(%b)
    Result:
        %c = TANH(%a)

    A RESHAPE of a RESHAPE, a TRANSPOSE of a TRANSPOSE, and a QUANTIZE of a QUANTIZE that keeps
    every real value, become one, or none.

    Given:
        %b = TRANSPOSE[perm=(0, 3, 1, 2)](%a)
        %c = TRANSPOSE[perm=(0, 2, 3, 1)](%b)
        %d = TANH(%c)
    Result:
        %d = TANH(%a)
    """
    return rewrite(graph, tuple(NO_OPS), _simplify)


def _simplify(node: Node, sweep: Sweep) -> Node | tuple[Value, ...] | None:
    joined = _join(node, sweep)
    merged = node if joined is None else joined
    if len(merged.inputs) == len(merged.outputs) == 1:
        (x,), (y,) = merged.inputs, merged.outputs
        if x.type == y.type and NO_OPS[type(merged.op)](merged.op, x.type):
            return (x,)
    return joined


def _changes_sign(x: TensorType, y: TensorType) -> bool:
    """Whether QUANTIZE from ``x`` to ``y`` keeps every real value: uint8 to int8, or back."""
    if x.dtype.is_float or x.quant is None or y.quant is None or x.quant.scale != y.quant.scale:
        return False
    step = y.dtype.range[0] - x.dtype.range[0]
    return y.quant.zero_point[0] - x.quant.zero_point[0] == step


def _join(node: Node, sweep: Sweep) -> Node | None:
    """This node and the one before it as one node, or None."""
    before = sweep.producer(node.inputs[0])
    if before is None:
        return None
    op: Op
    if isinstance(node.op, Reshape) and isinstance(before.op, Reshape):
        op = Reshape(node.outputs[0].type.shape)
    elif isinstance(node.op, Transpose) and isinstance(before.op, Transpose):
        op = Transpose(tuple(before.op.perm[axis] for axis in node.op.perm))
    elif isinstance(node.op, Quantize) and isinstance(before.op, Quantize):
        if not _changes_sign(before.inputs[0].type, node.inputs[0].type):
            return None
        op = node.op
    else:
        return None
    return replace(node, op=op, inputs=before.inputs, origin=fuse_origins(before, node))
