"""Lowering of operators that only move elements, and the filling of halos."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ..dtype import DType
from ..graph import Array, Node, TensorType
from ..kernels import copy, interleave, views
from ..ops import (
    Concatenation,
    Gather,
    Pack,
    Pad,
    Split,
    SplitV,
    StridedSlice,
    Transpose,
    Unpack,
)
from .context import Context
from .geometry import Sides
from .model import Params, Variant, View, packed_strides
from .strided import Strides, emit_table, merge, outer_fields

BLOCK = 16384
"""Bytes of a work unit."""
SHORT = 16
"""Bytes of a run that is moved as one element."""
ELEMENTS = (1, 2, 4, 8)
"""Bytes of elements that kernels with shuffles move."""


def emit_copy(ctx: Context, source: View, target: View, *, flip: bool = False) -> None:
    """target = source, elements of views of one shape; nothing where both are the same bytes.

    ``flip`` turns uint8 to int8 and back.

    Raises NoKernelError where the walk needs more outer dimensions than kernels have.
    """
    size = target.type.dtype.itemsize
    ctx.require(target.type.dtype is not DType.STRING)
    extents, (src, dst) = merge(target.shape, [source.strides, target.strides])
    if source.address == target.address and src == dst and not flip:
        return
    if not extents:
        extents, src, dst = (1,), (size,), (size,)
    nbytes = size * extents[-1]
    if src[-1] == dst[-1] == size and nbytes <= SHORT and len(extents) > 1 and not flip:
        extents, src, dst, size = extents[:-1], src[:-1], dst[:-1], nbytes
    elif src[-1] == dst[-1] == size:
        kernel: Variant = copy.Copy(ctx.isa, flip)
        _walk(ctx, kernel, source, target, extents, src, dst, size, {}, 0.05e-9)
        return
    if flip:
        emit_table(ctx, source, target, np.arange(256, dtype=np.uint8) ^ np.uint8(0x80))
        return
    if size in ELEMENTS and dst[-1] == size and src[-1] in [n * size for n in interleave.STEPS]:
        kernel = interleave.Pick(ctx.isa, size, src[-1] // size)
        _walk(ctx, kernel, source, target, extents, src, dst, 1, {}, 0.1e-9)
    elif (src[-1] != size and dst[-1] != size) or not _transpose(
        ctx, source, target, extents, src, dst, size
    ):
        steps = {"src_step": src[-1], "dst_step": dst[-1]}
        kernel, each = copy.CopyStrided(ctx.isa, size), 1e-9 / size
        _walk(ctx, kernel, source, target, extents, src, dst, 1, steps, each)


def _walk(
    ctx: Context,
    kernel: Variant,
    source: View,
    target: View,
    extents: Sequence[int],
    src: Strides,
    dst: Strides,
    unit: int,
    more: dict[str, int],
    seconds_per_byte: float,
) -> None:
    outer, n = tuple(extents[:-1]), extents[-1] * unit
    ctx.require(len(outer) <= copy.OUTER)
    block = min(n, BLOCK)
    fields = {"src": (source.address, src[:-1]), "dst": (target.address, dst[:-1])}
    params = {**outer_fields(copy.OUTER, outer, fields), "n": n, "block": block, **more}
    ctx.emit(
        kernel,
        params,
        views.units(outer, n, block),
        seconds=target.type.nbytes * seconds_per_byte,
        reads=(source,),
        writes=(target,),
    )


def _transpose(
    ctx: Context,
    source: View,
    target: View,
    extents: Sequence[int],
    src: Strides,
    dst: Strides,
    size: int,
) -> bool:
    """Emit a transposition where each side is contiguous in a dimension of its own."""
    if size not in ELEMENTS or size not in src or size not in dst or len(extents) > views.OUTER + 2:
        return False
    column, row = src.index(size), dst.index(size)
    if column == row:
        return False
    others = [i for i in range(len(extents)) if i not in (row, column)]
    outer = [extents[i] for i in others]
    fields = {
        "src": (source.address, [src[i] for i in others]),
        "dst": (target.address, [dst[i] for i in others]),
    }
    rows, columns = extents[row], extents[column]
    if rows in interleave.WAYS and dst[column] == rows * size:
        block = min(columns, BLOCK)
        sizes = {"n": columns, "block": block, "src_way": src[row]}
        ctx.emit(
            interleave.Interleave(ctx.isa, size, rows),
            {**outer_fields(views.OUTER, outer, fields), **sizes},
            views.units(outer, columns, block),
            seconds=target.type.nbytes * 0.1e-9,
            reads=(source,),
            writes=(target,),
        )
        return True
    kernel = copy.Transpose(ctx.isa, size)
    block = min(rows, 256)
    params: Params = {
        **outer_fields(views.OUTER, outer, fields),
        "rows": rows,
        "columns": columns,
        "block": block,
        "src_row": src[row],
        "dst_row": dst[column],
    }
    ctx.emit(
        kernel,
        params,
        kernel.units(math.prod(outer), rows, columns, block),
        seconds=target.type.nbytes * 0.3e-9,
        reads=(source,),
        writes=(target,),
    )
    return True


def repeated(value: int | float, t: TensorType) -> int:
    """An element repeated to 8 bytes, as the fill kernels take it."""
    raw = np.full(max(1, 8 // t.dtype.itemsize), value, t.dtype.numpy).tobytes()[:8]
    return int.from_bytes(raw, "little", signed=True)


def fill_border(ctx: Context, view: View, sides: Sides, value: int) -> None:
    """Fill the ``sides`` around a rank-4 view with 8 bytes ``value`` of repeated elements."""
    n, height, width, channels = view.shape
    image, row, pixel, _ = view.strides
    whole = around(view, sides)
    _, tall, wide, _ = whole.shape
    slabs = (
        part(whole, (0, 0, 0, 0), (n, sides.top, wide, channels)),
        part(whole, (0, sides.top + height, 0, 0), (n, sides.bottom, wide, channels)),
        part(whole, (0, sides.top, 0, 0), (n, height, sides.left, channels)),
        part(view, (0, 0, width, 0), (n, height, sides.right, channels)),
    )
    params: Params = {
        "dst": whole.address,
        "height": tall,
        "width": wide,
        "top": sides.top,
        "bottom": sides.bottom,
        "left": sides.left,
        "right": sides.right,
        "run": channels * view.type.dtype.itemsize,
        "pixel": pixel,
        "row": row,
        "image": image,
        "value": value,
    }
    ctx.emit(
        copy.FillBorder(ctx.isa),
        params,
        n * tall,
        seconds=n * tall * 5e-9,
        reads=(),
        writes=tuple(slab for slab in slabs if slab.type.size),
        barrier=False,
    )


def fill_halo(ctx: Context, view: View, sides: Sides) -> None:
    """Fill the padding that a convolution's input carries with what stands for 0."""
    zero = 0 if view.type.quant is None else view.type.quant.zero_point[0]
    fill_border(ctx, view, sides, repeated(zero, view.type))


def part(view: View, start: Sequence[int], shape: Sequence[int], steps: Sequence[int] = ()) -> View:
    """``shape`` elements of a view from ``start``, every ``steps`` of them."""
    offset = sum(b * s for b, s in zip(start, view.strides, strict=True))
    strides = view.strides
    if steps:
        strides = tuple(s * k for s, k in zip(strides, steps, strict=True))
    return View(view.address + offset, TensorType(tuple(shape), view.type.dtype), strides)


def around(view: View, sides: Sides) -> View:
    """A rank-4 view with the pixels around it."""
    n, height, width, channels = view.shape
    tall, wide = height + sides.top + sides.bottom, width + sides.left + sides.right
    return part(view, (0, -sides.top, -sides.left, 0), (n, tall, wide, channels))


def along(view: View, axis: int, start: int, count: int) -> View:
    """``count`` elements of a view from ``start`` along ``axis``, all of them along the others."""
    at = [start if i == axis else 0 for i in range(len(view.shape))]
    return part(view, at, [count if i == axis else n for i, n in enumerate(view.shape)])


def drop(view: View, axes: Sequence[int]) -> View:
    """A view without ``axes``, which have one element."""
    kept = [i for i in range(len(view.shape)) if i not in axes]
    shape = tuple(view.shape[i] for i in kept)
    strides = tuple(view.strides[i] for i in kept)
    return View(view.address, TensorType(shape, view.type.dtype), strides)


def packed(ctx: Context, view: View) -> View:
    """The view itself where it is contiguous, else a contiguous copy."""
    if view.contiguous:
        return view
    copied = ctx.scratch("packed", view.shape, view.type.dtype)
    emit_copy(ctx, view, copied)
    return copied


def lower_reshape(ctx: Context, node: Node) -> None:
    """RESHAPE: nothing where the layout made both the same bytes."""
    a, c = ctx.view(node.inputs[0]), ctx.view(node.outputs[0])
    if a.address == c.address and a.contiguous and c.contiguous:
        return
    if c.contiguous:
        emit_copy(ctx, a, _repacked(c, a.type))
    elif a.contiguous:
        emit_copy(ctx, _repacked(a, c.type), c)
    else:
        emit_copy(ctx, _repacked(packed(ctx, a), c.type), c)


def _repacked(view: View, t: TensorType) -> View:
    """A contiguous view as one of another shape."""
    return View(view.address, t, packed_strides(t.shape, t.dtype.itemsize))


def lower_concatenation(ctx: Context, node: Node) -> None:
    """CONCATENATION: what the layout put in place already is left there."""
    assert isinstance(node.op, Concatenation)
    axis, whole = node.op.axis, ctx.view(node.outputs[0])
    first = len(ctx.steps)
    start = 0
    for value in node.inputs:
        view, table = ctx.view(value), node.op.table(value.type, node.outputs[0].type)
        target = along(whole, axis, start, value.type.shape[axis])
        start += value.type.shape[axis]
        if table is not None:
            emit_table(ctx, view, target, table.view(np.uint8))
        else:
            emit_copy(ctx, view, target)
    ctx.together(first)


def lower_pack(ctx: Context, node: Node) -> None:
    assert isinstance(node.op, Pack)
    axis, whole = node.op.axis, ctx.view(node.outputs[0])
    first = len(ctx.steps)
    for i, value in enumerate(node.inputs):
        emit_copy(ctx, ctx.view(value), drop(along(whole, axis, i, 1), [axis]))
    ctx.together(first)


def slices(node: Node, source: View) -> list[View] | None:
    """Where each output lies in the first input, for operators that select parts of it."""
    op = node.op
    if isinstance(op, StridedSlice):
        return [drop(part(source, op.begin, op.size, op.strides), op.shrink_axes)]
    if isinstance(op, Unpack):
        return [drop(along(source, op.axis, i, 1), [op.axis]) for i in range(len(node.outputs))]
    if isinstance(op, Split | SplitV):
        sizes = [t.shape[op.axis] for t in node.output_types]
        starts = itertools.accumulate(sizes, initial=0)
        return [along(source, op.axis, at, n) for at, n in zip(starts, sizes, strict=False)]
    if isinstance(op, Gather) and op.batch_dims == 0 and node.inputs[1].data is not None:
        return _gathered(op, source, node.inputs[1].data)
    return None


def _gathered(op: Gather, source: View, indices: Array) -> list[View] | None:
    """What constant indices in even steps select."""
    flat = indices.reshape(-1).astype(np.int64)
    steps = np.diff(flat)
    if indices.ndim > 1 or not flat.size or (steps.size and (steps != steps[0]).any()):
        return None
    if not 0 <= flat.min() <= flat.max() < source.shape[op.axis]:
        return None
    here = [axis == op.axis for axis in range(len(source.shape))]
    start = [int(flat[0]) if h else 0 for h in here]
    shape = [flat.size if h else n for h, n in zip(here, source.shape, strict=True)]
    chosen = part(source, start, shape, [int(steps[0]) if h and steps.size else 1 for h in here])
    return [chosen if indices.ndim else drop(chosen, [op.axis])]


def lower_slices(ctx: Context, node: Node) -> None:
    """SPLIT, SPLIT_V, STRIDED_SLICE, UNPACK: what the layout made parts of the input stays so."""
    chosen = slices(node, ctx.view(node.inputs[0]))
    ctx.require(chosen is not None)
    first = len(ctx.steps)
    for value, selected in zip(node.outputs, chosen or (), strict=True):
        emit_copy(ctx, selected, ctx.view(value))
    ctx.together(first)


def lower_transpose(ctx: Context, node: Node) -> None:
    assert isinstance(node.op, Transpose)
    a, c = ctx.view(node.inputs[0]), ctx.view(node.outputs[0])
    strides = tuple(a.strides[i] for i in node.op.perm)
    emit_copy(ctx, View(a.address, c.type, strides), c)


def lower_pad(ctx: Context, node: Node) -> None:
    """PAD: slabs of the fill value on each side of each axis, and the input between them."""
    op = node.op
    assert isinstance(op, Pad)
    a, c = ctx.view(node.inputs[0]), ctx.view(node.outputs[0])
    value = repeated(op.fill(node.input_types[0]), c.type)
    first = len(ctx.steps)
    start, shape = [0] * len(c.shape), list(c.shape)
    for axis, (before, after) in enumerate(op.paddings):
        for at, count in ((start[axis], before), (start[axis] + shape[axis] - after, after)):
            if count:
                corner = [at if i == axis else s for i, s in enumerate(start)]
                extent = [count if i == axis else n for i, n in enumerate(shape)]
                emit_fill(ctx, part(c, corner, extent), value)
        start[axis] += before
        shape[axis] -= before + after
    emit_copy(ctx, a, part(c, start, shape))
    ctx.together(first)


def emit_fill(ctx: Context, target: View, value: int) -> None:
    """Fill a view with 8 bytes ``value`` of repeated elements."""
    size = target.type.dtype.itemsize
    ctx.require(size <= 8 or value == 0)
    extents, (steps,) = merge(target.shape, [target.strides])
    if not extents or steps[-1] != size:
        extents, steps = (*extents, 1), (*steps, size)
    outer, n = extents[:-1], extents[-1] * size
    if n <= SHORT and math.prod(outer) > 1:
        pattern = np.array([value % 2**64] * (SHORT // 8), np.uint64)
        t = replace(target.type, shape=extents)
        runs = View(ctx.constant(pattern).address, t, (*[0] * len(outer), size))
        emit_copy(ctx, runs, View(target.address, t, steps))
        return
    ctx.require(len(outer) <= copy.OUTER)
    block = min(-(-n // 8) * 8, BLOCK)
    fields = outer_fields(copy.OUTER, outer, {"dst": (target.address, steps[:-1])})
    params: Params = {**fields, "n": n, "block": block, "value": value}
    ctx.emit(
        copy.Fill(ctx.isa),
        params,
        views.units(outer, n, block),
        seconds=target.type.nbytes * 0.05e-9,
        reads=(),
        writes=(target,),
    )
