"""What can be computed before the program runs."""

from __future__ import annotations

from ..graph import Graph, Node, Value
from ..ops import (
    AddN,
    ArgExtreme,
    BatchToSpaceNd,
    Binary,
    Bitcast,
    BroadcastTo,
    Cast,
    Concatenation,
    Cumsum,
    Densify,
    DepthToSpace,
    DynamicUpdateSlice,
    EmbeddingLookup,
    FakeQuant,
    Fill,
    Gather,
    GatherNd,
    LastAxis,
    MatrixDiag,
    MatrixSetDiag,
    MirrorPad,
    OneHot,
    Op,
    Pack,
    Pad,
    Reduction,
    Reshape,
    Reverse,
    ReverseSequence,
    ScatterNd,
    Select,
    SpaceToBatchNd,
    SpaceToDepth,
    Split,
    SplitV,
    Squeeze,
    StridedSlice,
    Tile,
    Transpose,
    Unary,
    Unpack,
    ZerosLike,
)
from .rewrite import Sweep, rewrite

FOLDED: tuple[type[Op], ...] = (
    AddN,
    ArgExtreme,
    BatchToSpaceNd,
    Binary,
    Bitcast,
    BroadcastTo,
    Cast,
    Concatenation,
    Cumsum,
    Densify,
    DepthToSpace,
    DynamicUpdateSlice,
    EmbeddingLookup,
    FakeQuant,
    Fill,
    Gather,
    GatherNd,
    LastAxis,
    MatrixDiag,
    MatrixSetDiag,
    MirrorPad,
    OneHot,
    Pack,
    Pad,
    Reduction,
    Reshape,
    Reverse,
    ReverseSequence,
    ScatterNd,
    Select,
    SpaceToBatchNd,
    SpaceToDepth,
    Split,
    SplitV,
    Squeeze,
    StridedSlice,
    Tile,
    Transpose,
    Unary,
    Unpack,
    ZerosLike,
)
"""Operators, and bases of operators, whose work is in proportion to their elements."""

MAX_ELEMENTS = 1 << 22
MAX_TOTAL = 1 << 26


def fold_constants(graph: Graph) -> Graph:
    """Replace nodes whose inputs are all constants by the constants they compute.

    Only for operators whose work is in proportion to their elements, with at most MAX_ELEMENTS
    elements in a node's outputs and MAX_TOTAL in all, so that no file makes compilation long.
    What the graph returns stays computed.

    Given:
        %w = DEQUANTIZE(@q) : float32[8x3x3x4]
        %y = CONV_2D(%x, %w)
    Result:
        %y = CONV_2D(%x, @w)
    """
    budget = MAX_TOTAL

    def fold(node: Node, sweep: Sweep) -> tuple[Value, ...] | None:
        nonlocal budget
        if not all(value.is_constant for value in node.inputs):
            return None
        elements = sum(value.type.size for value in node.outputs)
        if elements > min(MAX_ELEMENTS, budget) or any(v in graph.results for v in node.outputs):
            return None
        budget -= elements
        arrays = [value.data for value in node.inputs if value.data is not None]
        results = node.reference(arrays)
        for array in results:
            array.setflags(write=False)
        return tuple(
            Value(value.name, value.type, array)
            for value, array in zip(node.outputs, results, strict=True)
        )

    return rewrite(graph, FOLDED, fold)
