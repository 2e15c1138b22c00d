"""Lowering of what multiplies and adds: convolutions and FULLY_CONNECTED."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from ..dtype import DType
from ..graph import Node, TensorType, Value
from ..kernels.dots import Dots
from ..kernels.gemm import Gemm
from ..ops import (
    Conv2D,
    FullyConnected,
    Fused,
    Op,
    TransposeConv,
)
from ..ops.fused import Stage
from ..ops.product import Product as ProductOp
from ..ops.requant import FixedPointRequant, centered, per_tensor
from . import select
from .context import Context, constant
from .dynamic_products import DynamicProduct
from .geometry import Phase, conv_halo, phases, transpose_conv_halo
from .integer_products import IntegerProduct
from .integer_winograd import emit_winograd, winograd_for
from .matmul import lower_computed_weights
from .model import View
from .movement import around, packed, part
from .real_products import RealProduct
from .rows import Rows, Weights, rows, rows_of, window_runs
from .side_by_side import emit_side_by_side, pixels_together
from .strided import merge
from .tiled import Tiled, emit_tiled, tiled_candidates
from .wide_products import WideProduct

MAX_STEPS = 1024
"""Matrix products that one operator may become: groups, or phases of a transposed convolution."""

Product: TypeAlias = "IntegerProduct | RealProduct | DynamicProduct | WideProduct"


def product(
    ctx: Context, inputs: Sequence[Value], out: TensorType, op: ProductOp, channels: int
) -> Product:
    """Check and collect the operands of (x, w, bias); 8-bit weights are int8 by now."""
    x, w = inputs[0].type, inputs[1].type
    weights = constant(inputs[1])
    bias = constant(inputs[2]) if len(inputs) > 2 else np.zeros(channels, np.int32)
    if x.dtype is DType.FLOAT32:
        real_bias = bias.astype(np.float32)
        if w.dtype is DType.FLOAT32:
            return RealProduct(weights.astype(np.float32), real_bias, op.activation)
        ctx.require(w.dtype is DType.INT8 and w.quant is not None and not any(w.quant.zero_point))
        assert w.quant is not None
        scale = np.resize(np.array(w.quant.scale, np.float32), channels)
        return DynamicProduct(weights.view(np.int8), scale, real_bias, op.activation, op.rows)
    assert w.quant is not None
    assert x.quant is not None
    if x.dtype is DType.INT16:
        ctx.require(w.dtype is DType.INT8)
        return _wide_product(inputs, out, op, bias)
    ctx.activations(x, out)
    zeros = set(w.quant.zero_point)
    ctx.require(len(zeros) == 1 and w.dtype is DType.INT8)
    rule = op.requantization([v.type for v in inputs], out)
    return IntegerProduct(
        weights.view(np.int8), zeros.pop(), bias.astype(np.int32), x.quant.zero_point[0], rule
    )


def _wide_product(
    inputs: Sequence[Value], out: TensorType, op: ProductOp, bias: npt.NDArray[Any]
) -> WideProduct:
    types = [v.type for v in inputs]
    rule, zero = op.requantization(types, out), per_tensor(types[0], "input")[1]
    assert isinstance(rule, FixedPointRequant)
    weights = centered(constant(inputs[1]), types[1]).astype(np.int16)
    return WideProduct(weights, bias.astype(np.int64), zero, rule, op.has_wide_sums(types))


def head_and_tail(node: Node) -> tuple[Op, tuple[Stage, ...], Sequence[Value], Sequence[Value]]:
    """A node's product, what follows it, and the inputs of each."""
    op = node.op
    if not isinstance(op, Fused):
        return op, (), node.inputs, ()
    split = len(node.inputs) - op.others
    return op.head, op.tail, node.inputs[:split], node.inputs[split:]


def lower_conv(ctx: Context, node: Node) -> None:
    """CONV_2D, alone or with what runs in its epilogue."""
    op, tail, inputs, others = head_and_tail(node)
    out = node.outputs[0]
    assert isinstance(op, Conv2D)
    n_out, kh, kw, depth = inputs[1].type.shape
    groups = inputs[0].type.shape[3] // depth
    ctx.require(groups <= MAX_STEPS)
    p = product(ctx, inputs, tail[0].type if tail else out.type, op, n_out)
    epilogue = p.epilogue(ctx, tail, others, out)
    a, c = ctx.view(inputs[0]), ctx.view(out)
    whole = around(a, conv_halo(op, inputs[0].type, inputs[1].type, out.type))
    shape = (out.type.shape[0], out.type.shape[1], out.type.shape[2])
    if isinstance(p, RealProduct) and groups == 1 and op.stride == op.dilation == (1, 1):
        v, seconds = _choose_conv(ctx, p, whole, c, epilogue.stages)
        if isinstance(v, Tiled):
            emit_tiled(ctx, v, seconds, whole, c, v.kernel.pack(p.weights, p.bias), epilogue)
            return
        p = replace(p, variant=(v, seconds))
    p, whole = p.prepared(ctx, whole, min(op.group(inputs[1].type)))
    if isinstance(p, IntegerProduct) and groups == 1:
        tiled = winograd_for(ctx, p, op, whole, c, epilogue)
        if tiled is not None:
            emit_winograd(ctx, tiled, p, whole, c, epilogue)
            return
    plain = groups == 1 and not tail
    if plain and (isinstance(p, IntegerProduct) or (isinstance(p, RealProduct) and not p.pairs)):
        together = pixels_together(ctx, p, op, whole, c)
        if together > 1:
            emit_side_by_side(ctx, p, op, whole, c, together, epilogue)
            return
    runs = window_runs(whole, (kh, kw), op.dilation, joined=groups == 1)
    weights = p.weights.reshape(n_out, len(runs), -1)
    source, target = rows(whole, shape[1:], op.stride), rows(c, shape[1:])
    first = len(ctx.steps)
    per = n_out // groups
    for g in range(groups):
        channels = slice(g * per, (g + 1) * per)
        here, there = source.channels(g * depth, depth), target.channels(g * per, per)
        then = epilogue.channels(g * per, per)
        p.emit(ctx, weights[channels], channels, here, there, shape, runs, then)
    ctx.together(first)


def _choose_conv(
    ctx: Context, p: RealProduct, x: View, out: View, stages: tuple[str, ...]
) -> tuple[Gemm | Dots | Tiled, float]:
    """The variant for a float32 convolution of stride 1, a product or a transform.

    ``x`` is the input with its padding.
    """
    n, kh, kw, channels = p.weights.shape
    runs = window_runs(x, (kh, kw), (1, 1), joined=True)
    pairs = p.rounds(ctx, x)
    size = (math.prod(out.shape[:3]), n, kh * kw * channels // len(runs), len(runs))
    usual, others = (select.pair_gemms if pairs else select.products)(ctx.isa, *size, stages)
    tiled = tiled_candidates(ctx.isa, out.shape, p.weights.shape, stages)
    sizes = f"{'x'.join(map(str, out.shape))} of {kh}x{kw}x{channels}"
    problem = " ".join(["conv_pairs" if pairs else "conv", ctx.isa.name, sizes, *stages])
    return ctx.choose(problem, [*usual, *tiled], others)


def lower_fully_connected(ctx: Context, node: Node) -> None:
    """FULLY_CONNECTED, alone or with what runs in its epilogue."""
    op, tail, inputs, others = head_and_tail(node)
    out = node.outputs[0]
    assert isinstance(op, FullyConnected)
    if not inputs[1].is_constant and not tail:
        lower_computed_weights(ctx, node)
        return
    n, depth = inputs[1].type.shape
    p = product(ctx, inputs, tail[0].type if tail else out.type, op, n)
    p, a = p.prepared(ctx, rows_of(packed(ctx, ctx.view(inputs[0])), depth))
    c = ctx.view(out)
    extents, (steps,) = merge(c.shape[:-1], [c.strides[:-1]])
    ctx.require(len(extents) <= 1)
    size = out.type.dtype.itemsize
    p.emit(
        ctx,
        p.weights.reshape(n, 1, depth),
        slice(None),
        Rows(a, a.address, a.strides[0]),
        Rows(c, c.address, (steps or (n * size,))[0]),
        (1, 1, out.type.size // n),
        np.zeros(1, np.int64),
        p.epilogue(ctx, tail, others, out),
    )


def lower_transpose_conv(ctx: Context, node: Node) -> None:
    """TRANSPOSE_CONV as one convolution for each phase of the stride."""
    op, out = node.op, node.outputs[0].type
    assert isinstance(op, TransposeConv)
    n, kh, kw, _ = node.inputs[1].type.shape
    p = product(ctx, node.inputs, out, op, n)
    epilogue = p.epilogue(ctx, (), (), node.outputs[0])
    a, c = ctx.view(node.inputs[0]), ctx.view(node.outputs[0])
    halo = transpose_conv_halo(op, node.inputs[0].type, node.inputs[1].type)
    p, whole = p.prepared(ctx, around(a, halo))
    tall = phases(out.shape[1], kh, op.stride[0], op.padding[0])
    wide = phases(out.shape[2], kw, op.stride[1], op.padding[2])
    ctx.require(len(tall) * len(wide) <= MAX_STEPS)
    first = len(ctx.steps)
    for y in tall:
        for together in _side_by_side(wide, c):
            x, width = together[0], len(together)
            taps = np.concatenate([_taps(p, y, z) for z in together])
            runs = window_runs(whole, (taps.shape[1], taps.shape[2]), (1, 1), joined=True)
            size = (y.count, x.count)
            shape = (out.shape[0], *size)
            phase = part(c, (0, y.first, x.first, 0), (*shape, n), (1, *op.stride, 1))
            phase = replace(phase, type=replace(phase.type, shape=(*shape, width * n)))
            p.emit(
                ctx,
                np.ascontiguousarray(taps).reshape(width * n, len(runs), -1),
                np.tile(np.arange(n), width),
                rows(whole, size, start=(halo.top + y.start, halo.left + x.start)),
                rows(phase, size),
                shape,
                runs,
                epilogue,
            )
    ctx.together(first)


def _taps(p: Product, y: Phase, x: Phase) -> Weights:
    """The weights that the outputs of two phases share; one of zero where they have none."""
    taps = p.weights[:, list(y.taps)][:, :, list(x.taps)]
    return taps if taps.size else np.full((len(taps), 1, 1, 1), p.zero, p.weights.dtype)


def _side_by_side(phases: Sequence[Phase], out: View) -> list[Sequence[Phase]]:
    """Phases along a row in groups that one product computes.

    All of them where they see the same inputs and their pixels lie side by side in ``out``: the
    channels of neighbouring pixels are then the columns of one product.
    """
    alike = {(p.count, p.start, len(p.taps)) for p in phases}
    dense = out.strides[2] == out.shape[3] * out.strides[3]
    if len(alike) == 1 and dense and [p.first for p in phases] == list(range(len(phases))):
        return [phases]
    return [[p] for p in phases]
