"""StableHLO's operators, of which LiteRT runs some."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ... import ops
from ...dtype import DType
from ...graph import Array, Node
from ...importers.tflite_ops.stablehlo import FUNCTIONS, OF_ROWS
from ...ops import Computation
from ..tflite_call import Body, Row, Written, ints, plain

CODES = {computation: code for code, computation in FUNCTIONS.items()}
BODIES = {computation: name for name, computation in OF_ROWS.items()}
"""Names of the operators of which a body consists; of UPDATE's, none."""


def dilate(op: ops.Dilate, node: Node) -> Written:
    """Padding needs the operator of StableHLO, of constant value."""
    x, value = node.inputs
    if not any((*op.low, *op.high)):
        return Written("DILATE", (x, ints(*(i + 1 for i in op.interior)), value))
    fields = {
        "EdgePaddingLow": _longs(op.low),
        "EdgePaddingHigh": _longs(op.high),
        "InteriorPadding": _longs(op.interior),
    }
    return Written("STABLEHLO_PAD", node.inputs, "StablehloPadOptions", fields)


def reduce_window(op: ops.ReduceWindow, node: Node) -> Written:
    """Padding, and dilation of x, need the operator of StableHLO."""
    x, init = node.inputs
    fields: dict[str, Any]
    if not any((*op.low, *op.high)) and set(op.base) <= {1}:
        sizes = (op.window, op.strides, op.dilations)
        inputs = (x, init, *(ints(*v, dtype=DType.INT64) for v in sizes))
        fields = {"ReduceFunction": CODES[op.computation]}
        return Written("REDUCE_WINDOW", inputs, "ReduceWindowOptions", fields)
    pads = [n for pair in zip(op.low, op.high, strict=True) for n in pair]
    body = _body(op.computation, node)
    longs = {
        "WindowDimensions": op.window,
        "WindowStrides": op.strides,
        "WindowDilations": op.dilations,
        "BaseDilations": op.base,
        "Padding": pads,
    }
    options, written = "StablehloReduceWindowOptions", {k: _longs(v) for k, v in longs.items()}
    fields = {"BodySubgraphIndex": body, **written}
    return Written("STABLEHLO_REDUCE_WINDOW", node.inputs, options, fields)


def gather(op: ops.GatherSlices, node: Node) -> Written:
    fields = {
        "OffsetDims": _longs(op.offset_axes),
        "CollapsedSliceDims": _longs(op.collapsed),
        "StartIndexMap": _longs(op.start_axes),
        "IndexVectorDim": op.index_axis,
        "SliceSizes": _longs(op.sizes),
    }
    return Written(op.name, node.inputs, "StablehloGatherOptions", fields)


def scatter(op: ops.ScatterSlices, node: Node) -> Written:
    fields = {
        "UpdateComputationSubgraphIndex": _body(op.computation, node),
        "UpdateWindowDims": _longs(op.window_axes),
        "InsertedWindowDims": _longs(op.inserted),
        "ScatterDimsToOperandDims": _longs(op.start_axes),
        "IndexVectorDim": op.index_axis,
    }
    return Written(op.name, node.inputs, "StablehloScatterOptions", fields)


def rng_bit_generator(op: ops.RngBitGenerator, node: Node) -> Written:
    fields = {"Algorithm": op.algorithm.value}
    return Written(op.name, node.inputs, "StablehloRngBitGeneratorOptions", fields)


def _body(computation: Computation, node: Node) -> Body:
    dtype = node.inputs[0].type.dtype
    if computation is Computation.OR:
        return Body("LOGICAL_OR", dtype)
    return Body(BODIES.get(computation, ""), dtype)


def _longs(values: Sequence[int]) -> Array:
    return np.array(values, np.int64)


ROWS: dict[type[ops.Op], Row] = {
    ops.BitwiseAnd: plain,
    ops.Dilate: dilate,
    ops.GatherSlices: gather,
    ops.ReduceWindow: reduce_window,
    ops.RngBitGenerator: rng_bit_generator,
    ops.ScatterSlices: scatter,
    ops.ShiftLeft: plain,
}
