"""8-bit 3x3 convolutions of stride 1 by Winograd's filtering, where it takes less time."""

from __future__ import annotations

import math

import numpy as np

from ..kernels.dot import Pmaddwd
from ..kernels.qwinograd import LANES, QWinograd
from ..ops import Conv2D
from . import select
from .choices import Way
from .context import Context
from .integer_products import IntegerProduct
from .model import Params, View
from .rows import Epilogue
from .tiled import MAX_SCRATCH, Tiled, emit_tiled

BLOCK = {2: 8, 4: 4}
"""By m, tiles whose transformed inputs a unit holds."""

INNER, OUTER = {2: 42, 4: 230}, {2: (60, 90), 4: (260, 560)}
"""By m, instructions that transform a tile: a vector of channels; back, a panel, and each of its
vectors."""


def winograd_for(
    ctx: Context, p: IntegerProduct, op: Conv2D, source: View, target: View, epilogue: Epilogue
) -> QWinograd | None:
    """The variant for a convolution, or None where a product is as good or the only one.

    ``source`` has its padding. Instruction sets that multiply bytes have no use for it.
    """
    isa, (n, kh, kw, channels) = ctx.isa, p.weights.shape
    usable = (kh, kw) == (3, 3) and op.stride == op.dilation == (1, 1)
    if not usable or p.zero or p.rounding or type(isa.gemm) is not Pmaddwd:
        return None
    add, nv = bool(epilogue.stages), 2 if n > isa.lanes else 1
    variants = [
        v
        for v in (QWinograd(isa, 4, nv=nv, add=add, m=m) for m in (2, 4))
        if v.scratch_bytes(channels, BLOCK[v.m]) <= MAX_SCRATCH and v.fits(p.weights)
    ]
    if not variants:
        return None
    direct = select.qgemm(
        isa,
        math.prod(target.shape[:3]),
        n,
        3 * channels,
        3,
        weight_zero_point=False,
        add=add,
        weights=p.weights.reshape(n, 3, -1),
    )
    ways: list[tuple[QWinograd | Way, float]] = [
        (v, winograd_seconds(v, target.shape, channels)) for v in variants
    ]
    if direct is not None:
        ways.insert(0, (Way("product"), direct[1]))
    sizes = f"{'x'.join(map(str, target.shape))} of 3x3x{channels}"
    best, _ = ctx.choose(f"qconv {isa.name} {sizes}{' add' * add}", ways)
    return best if isinstance(best, QWinograd) else None


def winograd_seconds(v: QWinograd, out: tuple[int, ...], channels: int) -> float:
    """Estimated time of one thread."""
    block = BLOCK[v.m]
    blocks = -(-out[0] * -(-out[1] // v.m) * -(-out[2] // v.m) // block)
    depth, panels, tile = -(-channels // LANES) * LANES, -(-out[3] // v.nr), v.mr * v.nv
    inner = depth / 2 * (2 * tile + v.nv + v.mr) + 2 * tile + 12
    work = block * (20 + depth / v.isa.lanes * INNER[v.m])
    whole, vector = OUTER[v.m]
    work += panels * block * (v.planes / v.mr * inner + whole + vector * v.nv)
    return blocks * work / v.isa.costs.per_cycle / (select.GHZ * 1e9)


def emit_winograd(
    ctx: Context,
    v: QWinograd,
    p: IntegerProduct,
    source: View,
    target: View,
    epilogue: Epilogue,
) -> None:
    """The convolution of ``source``, which has its padding."""
    bias = p.bias - p.input_zero * p.weights.sum(axis=(1, 2, 3), dtype=p.bias.dtype)
    packed = v.packed(p.weights, bias, p.factors[0].astype(np.float32))
    seconds = winograd_seconds(v, target.shape, p.weights.shape[3])
    more: Params = {
        "zero_point": p.requant.zero_point,
        "lo": p.requant.lo,
        "hi": p.requant.hi,
    }
    emit_tiled(ctx, Tiled(v, BLOCK[v.m]), seconds, source, target, packed, epilogue, more)
