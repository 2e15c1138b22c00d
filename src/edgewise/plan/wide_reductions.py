"""MEAN, SUM and SOFTMAX of int16: int32 sums, then fixed point."""

from __future__ import annotations

import numpy as np

from ..dtype import DType
from ..graph import Node
from ..kernels.wsoftmax import WSoftmax
from ..ops import Mean, Rounding, Softmax, Sum
from ..ops.fixed_point import multiplier
from ..ops.requant import per_tensor
from .context import Context
from .fixed import Numbers
from .model import Params
from .program import Program
from .reductions import Rule, lower_normalization, lower_reduction, pixels, reduce

MOST = 2**16 - 1
"""The most values of 16 bits whose sum int32 holds."""


def lower_sum(ctx: Context, node: Node) -> None:
    """MEAN and SUM, of any type."""
    if node.input_types[0].dtype is DType.INT16 and node.input_types[0].quant is not None:
        _lower_sum(ctx, node)
    else:
        lower_reduction(ctx, node)


def lower_softmax(ctx: Context, node: Node) -> None:
    """SOFTMAX of any type; how sums are rounded changes results of 8 bits alone."""
    assert isinstance(node.op, Softmax)
    if node.input_types[0].dtype is DType.INT16:
        _lower_softmax(ctx, node)
    else:
        ctx.require(node.op.rounding is Rounding.FLOAT)
        lower_normalization(ctx, node)


def _lower_sum(ctx: Context, node: Node) -> None:
    op, x, out = node.op, node.input_types[0], node.output_types[0]
    assert isinstance(op, Mean | Sum)
    count = op.count(x)
    ctx.require(0 < count <= MOST and out.dtype is DType.INT16)
    wide = ctx.scratch(f"wide.{ctx.index}", x.shape, DType.INT32)
    program = Program(ctx, x.shape)
    program.stage("cast", (program.input(ctx.view(node.inputs[0])),), DType.INT32)
    program.emit(wide)
    sums = ctx.scratch(f"sums.{ctx.index}", out.shape, DType.INT32)
    reduce(ctx, Rule("sum", DType.INT32, {}), wide, sums, op.axes)
    (scale, zero), (out_scale, out_zero) = (per_tensor(t, op.name) for t in (x, out))
    n = Numbers(Program(ctx, out.shape))
    total = n.number(sums, zero * count)
    low, high = out.dtype.range
    if isinstance(op, Mean):
        scaled, exponent = multiplier(float(scale) / float(out_scale))
        shift = min(count.bit_length() - 1, 31 + exponent)
        y = n.shifted(total, (scaled << shift) // count, exponent - shift)
    else:
        with np.errstate(over="ignore"):
            ratio = scale / out_scale
        y = n.half_away(total, ratio, low - out_zero, high - out_zero)
    n.end(y, out_zero, low, high, node.outputs[0])


def _lower_softmax(ctx: Context, node: Node) -> None:
    op, x, out = node.op, node.input_types[0], node.output_types[0]
    assert isinstance(op, Softmax)
    ctx.require(out.dtype is DType.INT16 and x.shape[-1] <= MOST)
    scaled, exponent = multiplier(op.places(x))
    ctx.require(exponent <= 31)
    a, c = ctx.view(node.inputs[0]), ctx.view(node.outputs[0])
    params, rows = pixels(ctx, a, c, len(x.shape) - 1)
    exponential, inverse = op.samples()
    rescale: Params = {
        "x_multiplier": scaled,
        "x_left": max(exponent, 0),
        "x_right": max(-exponent, 0),
        "exponential": ctx.constants.add(exponential),
        "inverse": ctx.constants.add(inverse),
        "channels": x.shape[-1],
    }
    params |= rescale
    ctx.emit(WSoftmax(ctx.isa), params, rows, seconds=x.size * 4e-9, reads=(a,), writes=(c,))
