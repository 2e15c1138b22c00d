"""Convolutions of few channels: neighbouring output pixels as columns of one product.

A tile has a vector of columns at least, so three channels use three lanes of eight. The channels
of ``together`` neighbouring pixels of a row are columns that share a window (together - 1) strides
wider; a pixel's weights are zero where its own window does not reach. (In float32, what is
infinite or NaN in the window of one of these pixels makes NaN of the others.)
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from ..ops import Conv2D
from . import select
from .choices import Way
from .context import Context
from .integer_products import IntegerProduct
from .model import View
from .movement import part
from .real_products import RealProduct
from .rows import Epilogue, rows, window_runs

MOST_COLUMNS = 32
"""Columns beyond which no more pixels are taken together."""

REAL_GAIN = 0.75
"""The share of the time that float32 pixels together are to take at most: dot products, which take
few columns too, gain less than their estimates."""


class Group(NamedTuple):
    """``times`` runs of ``width`` neighbouring pixels of a row, from pixel ``first`` on."""

    first: int
    times: int
    width: int


def groups_of(width: int, together: int) -> list[Group]:
    """A row of ``width`` pixels as such groups; what is left over is one of its own."""
    count, left = divmod(width, together)
    found = [Group(0, count, together), Group(width - left, 1, left)]
    return [g for g in found if g.times and g.width]


def pixels_together(
    ctx: Context, p: IntegerProduct | RealProduct, op: Conv2D, source: View, target: View
) -> int:
    """How many pixels of ``target`` to take together.

    ``source`` has its padding. More than 1 only where the rows of windows lie in one piece.
    """
    n, kh, kw, depth = p.weights.shape
    out, size = target.shape, target.type.dtype.itemsize
    dense = source.strides[2] == depth * size and target.strides[2] == n * size
    if not dense or op.dilation != (1, 1):
        return 1

    def seconds(together: int) -> float:
        total = 0.0
        for group in groups_of(out[2], together):
            pixels = out[0] * out[1] * group.times
            kc = (kw + (group.width - 1) * op.stride[1]) * depth
            columns = group.width * n
            total += _seconds(ctx, p, pixels, columns, kc, kh)
        return total

    most = max(1, min(MOST_COLUMNS // n, out[2]))
    if most == 1:
        return 1
    estimates = {count: seconds(count) for count in range(1, most + 1)}
    if isinstance(p, RealProduct):
        enough = REAL_GAIN * estimates[1]
        estimates = {c: each for c, each in estimates.items() if c == 1 or each <= enough}
    if len(estimates) == 1:
        return 1
    sizes = f"{'x'.join(map(str, out))} of {kh}x{kw}x{depth} s{op.stride[0]}x{op.stride[1]}"
    real = isinstance(p, RealProduct)
    problem = f"together {ctx.isa.name} {sizes}{' zero' * (p.zero != 0)}{' f32' * real}"
    ways = {Way(f"{count}_together"): count for count in estimates}
    return ways[ctx.choose(problem, [(way, estimates[count]) for way, count in ways.items()])[0]]


def _seconds(
    ctx: Context, p: IntegerProduct | RealProduct, pixels: int, n: int, kc: int, runs: int
) -> float:
    """Estimated, of the product of ``n`` columns."""
    if isinstance(p, RealProduct):
        return select.product(ctx.isa, pixels, n, kc, runs)[1]
    zero = p.zero != 0
    found = select.qgemm(ctx.isa, pixels, n, kc, runs, weight_zero_point=zero, add=False)
    return found[1] if found else np.inf


def emit_side_by_side(
    ctx: Context,
    p: IntegerProduct | RealProduct,
    op: Conv2D,
    source: View,
    target: View,
    together: int,
    epilogue: Epilogue,
) -> None:
    """The convolution of ``source``, which has its padding, with so many pixels together."""
    if isinstance(p, RealProduct):
        p = replace(p, variant=None)
    images, height, width, n = target.shape
    _, kh, kw, depth = p.weights.shape
    down, right = op.stride
    first_step = len(ctx.steps)
    for first, count, pixels in groups_of(width, together):
        reach = kw + (pixels - 1) * right
        taps = np.full((pixels, n, kh, reach, depth), p.zero, p.weights.dtype)
        for i in range(pixels):
            taps[i, :, :, i * right : i * right + kw] = p.weights
        runs = window_runs(source, (kh, reach), (1, 1), joined=True)
        size = (height, count)
        here = part(target, (0, 0, first, 0), (images, *size, n), (1, 1, pixels, 1))
        here = replace(here, type=replace(here.type, shape=(images, *size, pixels * n)))
        p.emit(
            ctx,
            taps.reshape(pixels * n, len(runs), -1),
            np.tile(np.arange(n), pixels),
            rows(source, size, (down, pixels * right), (0, first * right)),
            rows(here, size),
            (images, *size),
            runs,
            epilogue,
        )
    ctx.together(first_step)
