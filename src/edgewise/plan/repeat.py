"""Longer runs for kernels over views: what repeats in short runs is written out several times."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from ..graph import Array
from .context import Context
from .model import View
from .movement import emit_copy
from .strided import Strides, merge

LONG_RUN = 1024
"""Elements up to which short runs are made longer."""
SHORT_RUN = 16
"""Elements up to which a run of one element is written out."""

Operand = tuple[View, Strides]


def lengthen(
    ctx: Context, shape: Sequence[int], operands: Sequence[Operand], data: Mapping[View, Array]
) -> tuple[tuple[int, ...], list[Operand]]:
    """The same walk in few dimensions and long runs: (extents, operands), the result's last.

    Where the runs of some operands (a channel's scales) repeat while those of the others go on,
    the former are written several times, side by side: constants, whose ``data`` are known, here,
    others at run time. So are those that have one element for each short run of the others.
    """
    extents, operands = _spread(ctx, shape, operands, data)
    views, strides = [view for view, _ in operands], [s for _, s in operands]
    same = extents, operands
    if len(extents) < 2:
        return same
    *outer, rows, n = extents
    goes_on = [s[-2] == n * s[-1] for s in strides]
    repeats = [s[-2] == 0 != s[-1] for s in strides]
    if not any(repeats) or not goes_on[-1]:
        return same
    if not all(on or again for on, again in zip(goes_on, repeats, strict=True)):
        return same
    times = max((r for r in range(1, LONG_RUN // n + 1) if rows % r == 0), default=1)
    shapes = [
        (*(e if stride else 1 for e, stride in zip(outer, s[:-2], strict=True)), times, n)
        for s in strides
    ]
    pairs = zip(shapes, repeats, strict=True)
    copied = sum(math.prod(shape) for shape, again in pairs if again)
    if times == 1 or 4 * copied > math.prod(extents):
        return same
    found: list[Operand] = []
    for view, s, again, longer in zip(views, strides, repeats, shapes, strict=True):
        if again:
            view = _repeated(ctx, view, data.get(view), longer, (*s[:-2], 0, s[-1]))
            kept = (p if e > 1 else 0 for p, e in zip(view.strides, longer[:-2], strict=False))
            found.append((view, (*kept, 0, view.strides[-1])))
        else:
            found.append((view, (*s[:-2], times * s[-2], s[-1])))
    return (*outer, rows // times, times * n), found


def _spread(
    ctx: Context, shape: Sequence[int], operands: Sequence[Operand], data: Mapping[View, Array]
) -> tuple[tuple[int, ...], list[Operand]]:
    """The same walk merged, where elements that stand still in short runs are such runs."""
    extents, strides = merge(shape, [s for _, s in operands])
    found = list(zip((view for view, _ in operands), strides, strict=True))
    if len(extents) < 2 or extents[-1] > SHORT_RUN:
        return extents, found
    n = extents[-1]
    stands = [s[-1] == 0 != s[-2] for s in strides]
    flows = [s[-2] in (0, n * s[-1]) for s in strides]
    shapes = [[e if stride else 1 for e, stride in zip(extents, s, strict=True)] for s in strides]
    copied = sum(n * math.prod(own) for own, still in zip(shapes, stands, strict=True) if still)
    if not copied or not all(a or b for a, b in zip(stands, flows, strict=True)):
        return extents, found
    if 4 * copied > math.prod(extents):
        return extents, found
    for i, (view, s) in enumerate(found):
        if stands[i]:
            longer = (*shapes[i][:-1], n)
            view = _repeated(ctx, view, data.get(view), longer, s)
            steps = tuple(p if stride else 0 for p, stride in zip(view.strides, s, strict=True))
            found[i] = view, (*steps[:-1], view.strides[-1])
    extents, strides = merge(extents, [s for _, s in found])
    return extents, [(view, s) for (view, _), s in zip(found, strides, strict=True)]


def _repeated(
    ctx: Context, view: View, data: Array | None, shape: tuple[int, ...], strides: Strides
) -> View:
    """A packed copy of a view as it is read with these strides."""
    if data is not None:
        packed = np.ascontiguousarray(data)
        return ctx.constant(np.lib.stride_tricks.as_strided(packed, shape, strides).copy())
    t = replace(view.type, shape=shape)
    copied = ctx.scratch("repeated", shape, t.dtype)
    emit_copy(ctx, View(view.address, t, strides), copied)
    return copied
