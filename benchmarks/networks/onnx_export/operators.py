"""Which function writes which operator."""

from __future__ import annotations

from collections.abc import Callable

from edgewise import ops
from edgewise.graph import Node

from . import elementwise, movement, products
from .builder import Builder

Writer = Callable[[Builder, Node], None]


def _by_name(names: dict[str, str], writer: Writer) -> dict[str, Writer]:
    return dict.fromkeys(names, writer)


OPERATORS: dict[str, Writer] = {
    ops.Conv2D.name: products.convolution,
    ops.DepthwiseConv2D.name: products.convolution,
    ops.TransposeConv.name: products.transposed_convolution,
    ops.FullyConnected.name: products.fully_connected,
    ops.AveragePool2D.name: products.pool,
    ops.MaxPool2D.name: products.pool,
    **_by_name(elementwise.BINARY, elementwise.binary),
    **_by_name(elementwise.UNARY, elementwise.unary),
    ops.Square.name: elementwise.square,
    ops.SquaredDifference.name: elementwise.squared_difference,
    ops.Rsqrt.name: elementwise.reciprocal_root,
    ops.FloorDiv.name: elementwise.floor_division,
    ops.Select.name: elementwise.select,
    ops.Cast.name: elementwise.cast,
    ops.Mean.name: elementwise.reduction,
    ops.Sum.name: elementwise.reduction,
    ops.ReduceMax.name: elementwise.reduction,
    ops.ReduceMin.name: elementwise.reduction,
    ops.ArgMax.name: elementwise.arg_max,
    ops.Softmax.name: elementwise.softmax,
    ops.Reshape.name: movement.reshape,
    ops.Transpose.name: movement.transpose,
    ops.Concatenation.name: movement.concatenation,
    ops.Pad.name: movement.pad,
    ops.MirrorPad.name: movement.mirror_pad,
    ops.StridedSlice.name: movement.strided_slice,
    ops.Split.name: movement.split,
    ops.Pack.name: movement.pack,
    ops.Unpack.name: movement.unpack,
    ops.Gather.name: movement.gather,
    ops.GatherNd.name: movement.gather_nd,
    ops.ResizeBilinear.name: movement.resize,
    ops.ResizeNearestNeighbor.name: movement.resize,
}
"""By the names of Edgewise's operators."""
