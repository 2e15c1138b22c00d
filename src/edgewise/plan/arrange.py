"""Lowering of operators that repeat, reflect or rearrange elements: copies between views."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence

from .. import ops
from ..dtype import DType
from ..graph import Node, TensorType
from ..ops.arrange import Pairs
from .context import Context
from .model import View, packed_strides
from .movement import emit_copy, emit_fill, packed, part, repeated
from .strided import broadcast

MAX_PIECES = 128
"""The most copies that one operator becomes."""


def _viewed(view: View, shape: Sequence[int], strides: Sequence[int]) -> View:
    """The elements at a view's address with other dimensions."""
    return View(view.address, TensorType(tuple(shape), view.type.dtype), tuple(strides))


def _split(view: View, sizes: Sequence[Sequence[int]]) -> View:
    """A view whose dimensions are each cut into several, whose product they are."""
    strides: list[int] = []
    for parts, stride in zip(sizes, view.strides, strict=True):
        strides += [stride * math.prod(parts[i + 1 :]) for i in range(len(parts))]
    return _viewed(view, [n for parts in sizes for n in parts], strides)


def _permuted(view: View, order: Sequence[int]) -> View:
    return _viewed(view, [view.shape[i] for i in order], [view.strides[i] for i in order])


def lower_mirror_pad(ctx: Context, node: Node) -> None:
    """MIRROR_PAD: along each axis three pieces, the first and the last of them backwards."""
    op = node.op
    assert isinstance(op, ops.MirrorPad)
    a, c = ctx.view(node.inputs[0]), ctx.view(node.outputs[0])
    skip = 0 if op.symmetric else 1
    axes = []
    for n, (before, after) in zip(a.shape, op.paddings, strict=True):
        pieces = [(0, before, n, 1)]
        pieces.append((before + skip - 1, 0, before, -1))
        pieces.append((n - 1 - skip, before + n, after, -1))
        axes.append([piece for piece in pieces if piece[2]])
    ctx.require(bool(axes) and math.prod(map(len, axes)) <= MAX_PIECES)
    first = len(ctx.steps)
    for corner in itertools.product(*axes):
        start, target, count, steps = zip(*corner, strict=True)
        emit_copy(ctx, part(a, start, count, steps), part(c, target, count))
    ctx.together(first)


def lower_tile(ctx: Context, node: Node) -> None:
    assert isinstance(node.op, ops.Tile)
    a, c = ctx.view(node.inputs[0]), ctx.view(node.outputs[0])
    sizes = list(zip(node.op.multiples, a.shape, strict=True))
    target = _split(c, sizes)
    strides = [s for stride in a.strides for s in (0, stride)]
    emit_copy(ctx, _viewed(a, target.shape, strides), target)


def lower_broadcast(ctx: Context, node: Node) -> None:
    """BROADCAST_TO, and FILL by a tensor of one element."""
    a, c = ctx.view(node.inputs[0]), ctx.view(node.outputs[0])
    if isinstance(node.op, ops.Fill):
        a = _viewed(a, (), ())
    emit_copy(ctx, _viewed(a, c.shape, broadcast(a.shape, a.strides, c.shape)), c)


def lower_zeros(ctx: Context, node: Node) -> None:
    emit_fill(ctx, ctx.view(node.outputs[0]), 0)


def lower_reverse(ctx: Context, node: Node) -> None:
    assert isinstance(node.op, ops.Reverse)
    a, c = ctx.view(node.inputs[0]), ctx.view(node.outputs[0])
    backwards = [axis in node.op.axes for axis in range(len(a.shape))]
    start = [n - 1 if back else 0 for n, back in zip(a.shape, backwards, strict=True)]
    emit_copy(ctx, part(a, start, a.shape, [-1 if back else 1 for back in backwards]), c)


def lower_space_to_depth(ctx: Context, node: Node) -> None:
    """SPACE_TO_DEPTH and DEPTH_TO_SPACE."""
    assert isinstance(node.op, ops.SpaceToDepth | ops.DepthToSpace)
    b = node.op.block
    a, c = ctx.view(node.inputs[0]), ctx.view(node.outputs[0])
    space, depth = (a, c) if isinstance(node.op, ops.SpaceToDepth) else (c, a)
    n, h, w, channels = space.shape
    pixels = _split(space, [(n,), (h // b, b), (w // b, b), (channels,)])
    pixels = _permuted(pixels, (0, 1, 3, 2, 4, 5))
    stacked = _split(depth, [(n,), (h // b,), (w // b,), (b, b, channels)])
    emit_copy(ctx, *((pixels, stacked) if space is a else (stacked, pixels)))


def lower_space_to_batch(ctx: Context, node: Node) -> None:
    assert isinstance(node.op, ops.SpaceToBatchNd)
    a, c = ctx.view(node.inputs[0]), ctx.view(node.outputs[0])
    if any(map(any, node.op.paddings)):
        emit_fill(ctx, c, repeated(node.op.fill(node.input_types[0]), c.type))
    first = len(ctx.steps)
    for space, batch in _blocks(ctx, a, c, node.op.block, node.op.paddings):
        emit_copy(ctx, space, batch)
    ctx.together(first)


def lower_batch_to_space(ctx: Context, node: Node) -> None:
    assert isinstance(node.op, ops.BatchToSpaceNd)
    a, c = ctx.view(node.inputs[0]), ctx.view(node.outputs[0])
    first = len(ctx.steps)
    for space, batch in _blocks(ctx, c, a, node.op.block, node.op.crops):
        emit_copy(ctx, batch, space)
    ctx.together(first)


def _blocks(
    ctx: Context, space: View, batch: View, block: Sequence[int], margins: Pairs
) -> Iterator[tuple[View, View]]:
    """Views of equal elements of the images and of the batch; ``space`` lacks its ``margins``."""
    if not any(map(any, margins)):
        spatial = [(n // b, b) for n, b in zip(space.shape[1:], block, strict=False)]
        rest = [(n,) for n in space.shape[len(block) + 1 :]]
        pixels = _split(space, [space.shape[:1], *spatial, *rest])
        within = [2 * i + 2 for i in range(len(block))]
        others = [i for i in range(len(pixels.shape)) if i not in within]
        images = _split(batch, [(*block, space.shape[0]), *((n,) for n in batch.shape[1:])])
        yield _permuted(pixels, (*within, *others)), images
        return
    ctx.require(math.prod(block) <= MAX_PIECES)
    count, rank = space.shape[0], len(space.shape)
    for image, offsets in enumerate(itertools.product(*map(range, block))):
        starts, firsts, sizes = [0], [image * count], [count]
        for axis, (b, offset) in enumerate(zip(block, offsets, strict=True), 1):
            before, _ = margins[axis - 1]
            first = max(0, -(-(before - offset) // b))
            start = first * b + offset - before
            starts.append(start)
            firsts.append(first)
            sizes.append(max(0, -(-(space.shape[axis] - start) // b)))
        if not all(sizes):
            continue
        inner = rank - len(sizes)
        shape = (*sizes, *space.shape[rank - inner :])
        steps = (1, *block, *[1] * inner)
        zeros = [0] * inner
        yield part(space, (*starts, *zeros), shape, steps), part(batch, (*firsts, *zeros), shape)


def lower_matrix_diag(ctx: Context, node: Node) -> None:
    """MATRIX_DIAG and MATRIX_SET_DIAG: the diagonal is a dimension of its own stride."""
    c = ctx.view(node.outputs[0])
    diagonal = ctx.view(node.inputs[-1])
    if isinstance(node.op, ops.MatrixDiag):
        emit_fill(ctx, c, 0)
    else:
        emit_copy(ctx, ctx.view(node.inputs[0]), c)
    strides = (*c.strides[:-2], c.strides[-2] + c.strides[-1])
    emit_copy(ctx, diagonal, _viewed(c, diagonal.shape, strides))


def lower_bitcast(ctx: Context, node: Node) -> None:
    a, c = packed(ctx, ctx.view(node.inputs[0])), ctx.view(node.outputs[0])
    ctx.require(c.contiguous)
    emit_copy(ctx, *(_bytes(view) for view in (a, c)))


def _bytes(view: View) -> View:
    t = TensorType((view.type.nbytes,), DType.UINT8)
    return View(view.address, t, packed_strides(t.shape, 1))
