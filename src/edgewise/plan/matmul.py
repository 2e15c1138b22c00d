"""Matrix products whose second operand may be computed: float32 ones packed as the program runs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ..dtype import DType
from ..graph import Node
from ..kernels.gemm import Gemm
from ..kernels.stages import FLOAT
from ..ops import BatchMatMul, FullyConnected
from . import select
from .context import Context
from .integer_matmul import emit_integers
from .model import View, packed_strides
from .movement import emit_copy, emit_fill, packed
from .real_products import emit_gemm, real_epilogue
from .rows import Epilogue, Rows, rows_of
from .strided import broadcast, merge

MAX_STEPS = 1024
"""Products that one operator may become."""


def lower_batch_matmul(ctx: Context, node: Node) -> None:
    """BATCH_MATMUL of float32: one product for each matrix of the batch, or one for all rows.

    Of integers: one step for the whole batch.
    """
    op, out = node.op, node.outputs[0]
    assert isinstance(op, BatchMatMul)
    x, y = (ctx.view(v) for v in node.inputs)
    x, y = _swapped(x) if op.adj_x else x, _swapped(y) if op.adj_y else y
    if node.input_types[0].dtype is not DType.FLOAT32:
        emit_integers(ctx, op, node.inputs, out.type, x, y, ctx.view(out))
        return
    ctx.require(all(t.dtype is DType.FLOAT32 for t in (*node.input_types, out.type)))
    _emit(ctx, x, y, ctx.view(out), None, real_epilogue(ctx, op.activation, (), (), out))


def lower_computed_weights(ctx: Context, node: Node) -> None:
    """FULLY_CONNECTED whose weights the program computes."""
    op, out = node.op, node.outputs[0]
    assert isinstance(op, FullyConnected)
    w = ctx.view(node.inputs[1])
    x = rows_of(packed(ctx, ctx.view(node.inputs[0])), w.shape[1])
    c = ctx.view(out)
    if len(c.shape) != 2:
        ctx.require(c.contiguous)
        c = rows_of(c, w.shape[0])
    if node.input_types[0].dtype is not DType.FLOAT32:
        emit_integers(ctx, op, node.inputs, out.type, x, _swapped(w), c)
        return
    ctx.require(all(t.dtype is DType.FLOAT32 for t in (*node.input_types, out.type)))
    bias = ctx.view(node.inputs[2]) if len(node.inputs) > 2 else None
    _emit(ctx, x, _swapped(w), c, bias, real_epilogue(ctx, op.activation, (), (), out))


def _emit(ctx: Context, x: View, y: View, c: View, bias: View | None, epilogue: Epilogue) -> None:
    """c[..., M, N] = x[..., M, K] * y[..., K, N] + bias[N], and what follows."""
    ctx.require(c.strides[-1] == FLOAT)
    if x.strides[-1] != FLOAT:
        x = packed(ctx, x)
    k, n = y.shape[-2:]
    alone = math.prod(y.shape[:-2]) == 1
    rows = c.type.size // n if alone else c.shape[-2]
    v, seconds = select.gemm(ctx.isa, rows, n, k, epilogue.stages, ctx.choose)
    panels = _panels(ctx, v, y, bias)
    batch = c.shape[:-2]
    each = packed_strides(y.shape[:-2], panels.type.nbytes // math.prod(y.shape[:-2]))
    walks = [
        (*broadcast(x.shape[:-2], x.strides[:-2], batch), x.strides[-2]),
        (*broadcast(y.shape[:-2], each, batch), 0),
        c.strides[:-1],
    ]
    extents, (xs, ys, cs) = merge(c.shape[:-1], walks)
    if not extents or ys[-1]:
        extents, xs, ys, cs = (*extents, 1), (*xs, 0), (*ys, 0), (*cs, 0)
    ctx.require(math.prod(extents[:-1]) <= MAX_STEPS)
    m, first = extents[-1], len(ctx.steps)
    for at in np.ndindex(*extents[:-1]):
        source = _at(x, _offset(at, xs), (m, k), (xs[-1], FLOAT))
        target = _at(c, _offset(at, cs), (m, n), (cs[-1], FLOAT))
        packed_y = _at(panels, _offset(at, ys), panels.shape[1:], (FLOAT,))
        emit_gemm(
            ctx,
            v,
            seconds,
            packed_y.address,
            (n, 1, k),
            Rows(source, source.address, xs[-1]),
            Rows(target, target.address, cs[-1]),
            (1, 1, m),
            np.zeros(1, np.int64),
            epilogue,
            packed_y,
        )
    ctx.together(first)


def _panels(ctx: Context, v: Gemm, y: View, bias: View | None) -> View:
    """Emit the packing of y[..., K, N] and of the bias as ``v.pack`` does, a row a matrix."""
    lead, (k, n), (down, across) = y.shape[:-2], y.shape[-2:], y.strides[-2:]
    lanes = v.tail * v.isa.lanes
    widths = [(n // v.nr, v.nr, v.nr)] * (n >= v.nr) + [(1, n % v.nr, lanes)] * (lanes > 0)
    floats = (1 + k) * sum(count * pitch for count, _, pitch in widths)
    whole = ctx.scratch(f"panels.{ctx.index}", (math.prod(lead), floats), DType.FLOAT32)
    outer = packed_strides(lead, floats * FLOAT)
    first, column, start = len(ctx.steps), 0, 0
    for count, width, pitch in widths:
        size = FLOAT * (1 + k) * pitch
        head = _at(whole, start, (*lead, count, width), (*outer, size, FLOAT))
        if bias is None:
            emit_fill(ctx, head, 0)
        else:
            steps = (*[0] * len(lead), v.nr * FLOAT, FLOAT)
            emit_copy(ctx, _at(bias, column * FLOAT, head.shape, steps), head)
        shape = (*lead, count, k, width)
        steps = (*y.strides[:-2], v.nr * across, down, across)
        target = (*outer, size, FLOAT * pitch, FLOAT)
        source = _at(y, column * across, shape, steps)
        emit_copy(ctx, source, _at(whole, start + FLOAT * pitch, shape, target))
        if pitch > width:
            rest = (*lead, 1 + k, pitch - width)
            steps = (*outer, FLOAT * pitch, FLOAT)
            emit_fill(ctx, _at(whole, start + FLOAT * width, rest, steps), 0)
        column += count * width
        start += count * size
    ctx.together(first)
    return whole


def _at(view: View, offset: int, shape: Sequence[int], strides: Sequence[int]) -> View:
    """Other elements of the same bytes."""
    t = replace(view.type, shape=tuple(shape))
    return View(view.address + offset, t, tuple(strides))


def _swapped(x: View) -> View:
    """The last two dimensions exchanged."""
    shape, strides = x.shape, x.strides
    return _at(x, 0, (*shape[:-2], shape[-1], shape[-2]), (*strides[:-2], strides[-1], strides[-2]))


def _offset(at: Sequence[int], strides: Sequence[int]) -> int:
    return sum(i * step for i, step in zip(at, strides, strict=False))
