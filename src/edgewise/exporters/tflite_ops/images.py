"""Pooling and resizing."""

from __future__ import annotations

from typing import Any

from ... import ops
from ...graph import Node
from ..tflite_call import Row, Written, activation, by_sides, ints, required_padding


def pool(op: Any, node: Node) -> Written:
    size = node.input_types[0].shape[1:3]
    fields = {
        "Padding": required_padding(by_sides(op.padding), size, op.filter, op.stride),
        "StrideH": op.stride[0],
        "StrideW": op.stride[1],
        "FilterHeight": op.filter[0],
        "FilterWidth": op.filter[1],
        "FusedActivationFunction": activation(op.activation),
    }
    return Written(op.name, node.inputs, "Pool2DOptions", fields)


def resize(op: Any, node: Node) -> Written:
    bilinear = isinstance(op, ops.ResizeBilinear)
    fields = {"AlignCorners": op.align_corners, "HalfPixelCenters": op.half_pixel_centers}
    options = "ResizeBilinearOptions" if bilinear else "ResizeNearestNeighborOptions"
    return Written(op.name, (*node.inputs, ints(*op.size)), options, fields)


ROWS: dict[type[ops.Op], Row] = {
    ops.AveragePool2D: pool,
    ops.L2Pool2D: pool,
    ops.MaxPool2D: pool,
    ops.ResizeBilinear: resize,
    ops.ResizeNearestNeighbor: resize,
}
