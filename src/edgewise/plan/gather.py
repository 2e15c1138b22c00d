"""Lowering of operators that read or write where indices say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from .. import ops
from ..dtype import DType
from ..graph import Node
from ..kernels import gather, views
from .context import Context
from .model import CONSTANTS, Params, View
from .movement import emit_copy, lower_slices, slices
from .program import Program, element
from .strided import merge

BLOCK = 16384
"""Bytes of a work unit."""


def _group(ctx: Context, view: View, axes: Sequence[int]) -> tuple[int, int]:
    """Neighbouring axes as one: elements and stride. Raises NoKernelError where they are not."""
    own = tuple(view.strides[i] for i in axes)
    extents, (strides,) = merge([view.shape[i] for i in axes], [own])
    ctx.require(len(extents) <= 1)
    return (extents[0], strides[0]) if extents else (1, 0)


def _row(ctx: Context, view: View, first: int) -> int:
    """The bytes of the axes from ``first`` on, which must lie side by side."""
    size = view.type.dtype.itemsize
    n, stride = _group(ctx, view, range(first, len(view.shape)))
    ctx.require(stride in (0, size))
    return n * size


def lower_gather(ctx: Context, node: Node) -> None:
    """GATHER; a slice where constant indices go in even steps."""
    op = node.op
    assert isinstance(op, ops.Gather)
    x, indices = node.inputs
    op.check_values([None, indices.data], node.input_types)
    if slices(node, ctx.view(x)) is not None:
        lower_slices(ctx, node)
        return
    places = (op.batch_dims, op.axis)
    _gather(ctx, ctx.view(x), ctx.view(indices), ctx.view(node.outputs[0]), places, 0)


def lower_gather_nd(ctx: Context, node: Node) -> None:
    node.op.check_values([None, node.inputs[1].data], node.input_types)
    x, indices = (ctx.view(value) for value in node.inputs)
    _gather(ctx, x, indices, ctx.view(node.outputs[0]), (0, 0), indices.shape[-1])


def lower_embedding(ctx: Context, node: Node) -> None:
    """EMBEDDING_LOOKUP: rows of the second input."""
    node.op.check_values([node.inputs[0].data, None], node.input_types)
    indices, table = (ctx.view(value) for value in node.inputs)
    _gather(ctx, table, indices, ctx.view(node.outputs[0]), (0, 0), 0)


def _gather(
    ctx: Context, x: View, indices: View, y: View, axes: tuple[int, int], coordinates: int
) -> None:
    """Rows of x. ``axes``: how many are batches, and which one is named.

    ``coordinates``: size of the indices' last axis where it names several axes, or 0.
    """
    b, axis = axes
    named = max(coordinates, 1)
    ctx.require(x.type.dtype is not DType.STRING and (coordinates > 0 or named == 1))
    chosen = len(indices.shape) - (coordinates > 0)
    batches, x_a = _group(ctx, x, range(b))
    outer, x_b = _group(ctx, x, range(b, axis))
    _, i_a = _group(ctx, indices, range(b))
    rows, i_c = _group(ctx, indices, range(b, chosen))
    _, y_a = _group(ctx, y, range(b))
    _, y_b = _group(ctx, y, range(b, axis))
    _, y_c = _group(ctx, y, range(axis, axis + chosen - b))
    n = _row(ctx, x, axis + named)
    ctx.require(n == _row(ctx, y, axis + chosen - b))
    block = min(n, BLOCK)
    row = n if batches == outer == 1 and n <= gather.MAX_ROW else None
    broken = None if indices.address.buffer is CONSTANTS else ctx.breaking()
    params: Params = {
        "x": x.address,
        "indices": indices.address,
        "y": y.address,
        **({} if broken is None else {"broken": broken.address}),
        **{"x_a": x_a, "x_b": x_b, "i_a": i_a, "i_c": i_c, "y_a": y_a, "y_b": y_b, "y_c": y_c},
        "i_axis": indices.strides[-1] if coordinates else 0,
        **{f"size_{j}": x.shape[axis + j] for j in range(named)},
        **{f"step_{j}": x.strides[axis + j] for j in range(named)},
        **{"b": outer, "c": rows, "n": n, "block": block},
    }
    ctx.emit(
        gather.Gather(
            ctx.isa, element(indices.type.dtype), named, checked=broken is not None, row=row
        ),
        params,
        views.units((batches, outer, rows), n, block),
        seconds=batches * outer * rows * ((2e-9 if row else 5e-9) + n * 0.05e-9),
        reads=(x, indices),
        writes=(y,) if broken is None else (y, broken),
    )


def lower_reverse_sequence(ctx: Context, node: Node) -> None:
    """REVERSE_SEQUENCE: elements of each batch that computed indices name."""
    op = node.op
    assert isinstance(op, ops.ReverseSequence)
    x, y = ctx.view(node.inputs[0]), ctx.view(node.outputs[0])
    lengths = node.inputs[1]
    op.check_values([None, lengths.data], node.input_types)
    others = [i for i in range(len(x.shape)) if i not in (op.batch_axis, op.seq_axis)]
    before = [i for i in others if i < op.seq_axis]
    order = [op.batch_axis, *before, op.seq_axis, *(i for i in others if i > op.seq_axis)]
    batch, n = x.shape[op.batch_axis], x.shape[op.seq_axis]
    if lengths.data is not None:
        places, ends = np.arange(n), lengths.data[:, None]
        indices = ctx.constant(np.where(places < ends, ends - 1 - places, places))
    else:
        indices = _reversed(ctx, ctx.view(lengths), batch, n)
    _gather(ctx, _permuted(x, order), indices, _permuted(y, order), (1, 1 + len(before)), 0)


def _reversed(ctx: Context, lengths: View, batch: int, n: int) -> View:
    """For each place in each batch the one that comes there; lengths below 0 name no element."""
    dtype = lengths.type.dtype
    indices = ctx.scratch(f"reversed.{ctx.index}", (batch, n), dtype)
    program = Program(ctx, indices.shape)
    places = program.input(ctx.constant(np.arange(n).astype(dtype.numpy)))
    column = View(lengths.address, replace(lengths.type, shape=(batch, 1)), (*lengths.strides, 0))
    end, one, zero = program.input(column), program.scalar(1, dtype), program.scalar(0, dtype)
    mirrored = program.stage("sub", (program.stage("sub", (end, one), dtype), places), dtype)
    is_below = program.stage("lt", (end, zero), DType.BOOL)
    kept = program.stage("select", (is_below, end, places), dtype)
    inside = program.stage("lt", (places, end), DType.BOOL)
    program.stage("select", (inside, mirrored, kept), dtype)
    program.emit(indices)
    return indices


def _permuted(view: View, order: Sequence[int]) -> View:
    t = replace(view.type, shape=tuple(view.shape[i] for i in order))
    return View(view.address, t, tuple(view.strides[i] for i in order))


def lower_update_slice(ctx: Context, node: Node) -> None:
    """DYNAMIC_UPDATE_SLICE: the input, unless it lies there already, then the update over it."""
    x, update, start = (ctx.view(value) for value in node.inputs)
    y = ctx.view(node.outputs[0])
    if (x.address, x.strides) != (y.address, y.strides):
        emit_copy(ctx, x, y)
    extents, (source, target) = merge(update.shape, [update.strides, y.strides])
    size = update.type.dtype.itemsize
    if not extents or source[-1] != size or target[-1] != size:
        extents, source, target = (*extents, 1), (*source, size), (*target, size)
    ctx.require(bool(update.shape) and len(extents) <= 3)
    pad = 3 - len(extents)
    (_, b, n), (y_a, y_b, _) = (1,) * pad + extents, (0,) * pad + source
    x_a, x_b, _ = (0,) * pad + target
    outer, block = int(np.prod(extents[:-1])), min(n * size, BLOCK)
    room = [have - want for have, want in zip(y.shape, update.shape, strict=True)]
    params: Params = {
        "x": y.address,
        "indices": start.address,
        "y": update.address,
        **{"x_a": x_a, "x_b": x_b, "y_a": y_a, "y_b": y_b, "y_c": 0},
        **{"i_a": 0, "i_c": 0, "i_axis": start.strides[0]},
        **{f"size_{j}": free + 1 for j, free in enumerate(room)},
        **{f"step_{j}": stride for j, stride in enumerate(y.strides)},
        **{"b": b, "c": 1, "n": n * size, "block": block},
    }
    ctx.emit(
        gather.Gather(ctx.isa, element(start.type.dtype), len(y.shape), reverse=True),
        params,
        views.units((outer,), n * size, block),
        seconds=outer * (5e-9 + n * size * 0.05e-9),
        reads=(update, start),
        writes=(y,),
    )


def lower_one_hot(ctx: Context, node: Node) -> None:
    """ONE_HOT: select(index == place, on, off)."""
    op = node.op
    assert isinstance(op, ops.OneHot)
    indices, on, off = (ctx.view(value) for value in node.inputs)
    out = ctx.view(node.outputs[0])
    axis, dtype = op.axis, indices.type.dtype
    shape, strides = list(indices.shape), list(indices.strides)
    shape.insert(axis, 1)
    strides.insert(axis, 0)
    places = np.arange(op.depth).reshape(-1, *[1] * (len(out.shape) - axis - 1))
    program = Program(ctx, out.shape)
    constants = ctx.constant(places.astype(dtype.numpy))
    wide = View(indices.address, replace(indices.type, shape=tuple(shape)), tuple(strides))
    equal = program.stage("eq", (program.input(wide), program.input(constants)), DType.BOOL)
    scalars = [program.input(View(v.address, replace(v.type, shape=()), ())) for v in (on, off)]
    program.stage("select", (equal, *scalars), out.type.dtype)
    program.emit(out)
