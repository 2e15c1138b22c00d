"""Lowering of CONV_3D and CONV_3D_TRANSPOSE: a matrix product for each volume.

The slices of a volume are to a product what images are in two dimensions.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from ..graph import Node
from ..kernels.stages import FLOAT
from ..ops import Conv3D, Conv3DTranspose
from .context import Context, constant
from .geometry import Phase, phases, reach
from .model import View
from .movement import emit_copy, emit_fill, packed, part
from .real_products import RealProduct
from .rows import Epilogue, rows, window_runs

MAX_STEPS = 1024
"""Products that one operator may become: volumes, or phases of a transposed convolution."""

MAX_GAPS = 64
"""How many times as many weights a transposed convolution may get from the gaps of a dilation."""

Triple = Sequence[int]


def lower_conv_3d(ctx: Context, node: Node) -> None:
    op, x = node.op, node.inputs[0].type
    assert isinstance(op, Conv3D)
    p, epilogue = _operands(ctx, node, op)
    weights = p.weights.transpose(4, 0, 1, 2, 3)
    taps, c = weights.shape[1:4], ctx.view(node.outputs[0])
    sizes = zip(x.shape[1:4], taps, op.stride, op.dilation, op.padding, c.shape[1:4], strict=True)
    pads = [
        (before, max(0, (out - 1) * step + (k - 1) * dilation + 1 - before - n))
        for n, k, step, dilation, (before, _), out in sizes
    ]
    ctx.require(c.shape[0] <= MAX_STEPS)
    a = _padded(ctx, ctx.view(node.inputs[0]), pads)
    first = len(ctx.steps)
    _emit(ctx, p, weights, a, (0, 0, 0), c, op.stride, op.dilation, epilogue)
    ctx.together(first)


def lower_conv_3d_transpose(ctx: Context, node: Node) -> None:
    """One convolution for each phase of the stride."""
    op, x = node.op, node.inputs[0].type
    assert isinstance(op, Conv3DTranspose)
    p, epilogue = _operands(ctx, node, op)
    c = ctx.view(node.outputs[0])
    ctx.require(math.prod(op.dilation) <= MAX_GAPS)
    weights = _with_gaps(p.weights.transpose(3, 0, 1, 2, 4), op.dilation)
    axes = [
        phases(extent, k, step, before)
        for extent, k, step, (before, _) in zip(
            op.output_size, weights.shape[1:4], op.stride, op.padding, strict=True
        )
    ]
    pads = [reach(axis, n) for axis, n in zip(axes, x.shape[1:4], strict=True)]
    ctx.require(c.shape[0] * math.prod(map(len, axes)) <= MAX_STEPS)
    a = _padded(ctx, ctx.view(node.inputs[0]), pads)
    first = len(ctx.steps)
    for corner in itertools.product(*axes):
        start = [before + phase.start for (before, _), phase in zip(pads, corner, strict=True)]
        target = part(
            c,
            (0, *(phase.first for phase in corner), 0),
            (c.shape[0], *(phase.count for phase in corner), c.shape[4]),
            (1, *op.stride, 1),
        )
        _emit(ctx, p, _taps(weights, corner), a, start, target, (1, 1, 1), (1, 1, 1), epilogue)
    ctx.together(first)


def _operands(
    ctx: Context, node: Node, op: Conv3D | Conv3DTranspose
) -> tuple[RealProduct, Epilogue]:
    """Weights in the operator's own shape, biases, and what follows."""
    weights = constant(node.inputs[1]).astype(np.float32)
    channels = node.outputs[0].type.shape[4]
    bias = np.zeros(channels, np.float32)
    if len(node.inputs) > 2:
        bias = constant(node.inputs[2]).astype(np.float32)
    p = RealProduct(weights, bias, op.activation)
    return p, p.epilogue(ctx, (), (), node.outputs[0])


def _padded(ctx: Context, x: View, pads: Sequence[tuple[int, int]]) -> View:
    """Volumes with zeros around them; the view itself where there are none."""
    if not any(map(any, pads)):
        return x if x.strides[4] == FLOAT else packed(ctx, x)
    sides = [(0, 0), *pads, (0, 0)]
    shape = [n + sum(side) for n, side in zip(x.shape, sides, strict=True)]
    whole = ctx.scratch(f"padded.{ctx.index}", tuple(shape), x.type.dtype)
    emit_fill(ctx, whole, 0)
    emit_copy(ctx, x, part(whole, [before for before, _ in sides], x.shape))
    return whole


def _with_gaps(weights: npt.NDArray[np.float32], dilation: Triple) -> npt.NDArray[np.float32]:
    """Weights [n, KD, KH, KW, K] of a dilated kernel with the zeros between its taps."""
    n, *taps, depth = weights.shape
    spread = [(k - 1) * dil + 1 for k, dil in zip(taps, dilation, strict=True)]
    dense = np.zeros((n, *spread, depth), np.float32)
    dense[:, :: dilation[0], :: dilation[1], :: dilation[2]] = weights
    return dense


def _taps(weights: npt.NDArray[np.float32], corner: Sequence[Phase]) -> npt.NDArray[np.float32]:
    """The weights that the outputs of a phase share; one of zero where they have none."""
    d, h, w = (list(phase.taps) for phase in corner)
    taps = weights[:, d][:, :, h][:, :, :, w]
    return taps if taps.size else np.zeros((len(weights), 1, 1, 1, weights.shape[4]), np.float32)


def _emit(
    ctx: Context,
    p: RealProduct,
    weights: npt.NDArray[np.float32],
    a: View,
    start: Triple,
    c: View,
    stride: Triple,
    dilation: Triple,
    epilogue: Epilogue,
) -> None:
    """c = the convolution of the volumes a, from ``start`` on, by weights [n, KD, KH, KW, K]."""
    n, kd, kh, kw, _ = weights.shape
    shape = (c.shape[1], c.shape[2], c.shape[3])
    for i in range(c.shape[0]):
        volume, result = _volume(a, i), _volume(c, i)
        runs = window_runs(volume, (kh, kw), (dilation[1], dilation[2]), joined=True)
        slices = np.arange(kd)[:, None] * (dilation[0] * volume.strides[0])
        runs = (slices + runs).reshape(-1)
        steps = (stride[0] * volume.strides[0], *volume.strides[1:])
        first = View(volume.address + start[0] * volume.strides[0], volume.type, steps)
        source = rows(first, shape[1:], (stride[1], stride[2]), (start[1], start[2]))
        p.emit(
            ctx,
            np.ascontiguousarray(weights).reshape(n, len(runs), -1),
            slice(None),
            replace(source, view=volume),
            rows(result, shape[1:]),
            shape,
            runs,
            epilogue,
        )


def _volume(view: View, i: int) -> View:
    """The slices of volume ``i`` as a rank-4 view."""
    at = view.address + i * view.strides[0]
    return View(at, replace(view.type, shape=view.shape[1:]), view.strides[1:])
