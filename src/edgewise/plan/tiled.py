"""Float32 convolutions of stride 1 by transforms of tiles, where they take less time."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from ..kernels.fft import FftConv
from ..kernels.isa import Isa
from ..kernels.tiled import TiledConv
from ..kernels.winograd import TAPS, Winograd
from .context import Context
from .images import image_fields
from .model import Params, View
from .rows import Epilogue
from .select import GHZ

MAX_SCRATCH = 1 << 20
"""Bytes of stack a block of tiles may take."""

TRANSFORM = {Winograd: 2.2, FftConv: 3.0}
"""Multiply-adds that take as long as one step of a transform of one vector, measured on AVX2."""

LARGEST_TILE = 1 << 10
"""Pixels of a tile that is transformed by FFT: one vector a pixel stays in the first cache."""


def tiled_candidates(
    isa: Isa, out: tuple[int, ...], weights: tuple[int, ...], stages: tuple[str, ...]
) -> list[tuple[TiledConv, float]]:
    """The transforms that can do it, and their estimated seconds.

    ``out`` is the shape of the result, ``weights`` that of the weights: (n, kh, kw, channels).
    """
    n, kh, kw, channels = weights
    return [
        (v, tiled_seconds(v, out, channels, n))
        for v in variants(isa, kh, kw, stages)
        if v.scratch_bytes(channels, v.mr) <= MAX_SCRATCH
    ]


def emit_tiled(
    ctx: Context,
    chosen: TiledConv,
    seconds: float,
    source: View,
    target: View,
    weights: npt.NDArray[np.float32],
    bias: npt.NDArray[np.float32],
    epilogue: Epilogue,
) -> None:
    """Emit the convolution by a transform.

    ``source`` is the input with its padding, ``weights`` float32[n, kh, kw, channels].
    """
    n, _, _, channels = weights.shape
    images, height, width, _ = target.shape
    tall, wide = -(-height // chosen.out[0]), -(-width // chosen.out[1])
    tiles = images * tall * wide
    params: Params = {
        **epilogue.params,
        **{name: ctx.constants.add(x) for name, x in epilogue.vectors.items()},
        **image_fields("a", source),
        **image_fields("c", target),
        "w": ctx.constants.add(chosen.pack(weights, bias)),
        "height": height,
        "width": width,
        "in_height": source.shape[1],
        "in_width": source.shape[2],
        "channels": channels,
        "n": n,
        "tiles_y": tall,
        "tiles_x": wide,
        "tiles": tiles,
        "block": chosen.mr,
        "panels": -(-n // chosen.nr),
        "panel_bytes": chosen.panel_bytes(channels),
        "pitch": chosen.pitch(channels),
    }
    for name, operand in epilogue.rows.items():
        params |= image_fields(name, operand.view)
    ctx.emit(
        chosen,
        params,
        -(-tiles // chosen.mr),
        seconds=seconds,
        reads=(source, *(r.view for r in epilogue.rows.values())),
        writes=(target,),
    )


def variants(isa: Isa, kh: int, kw: int, stages: tuple[str, ...]) -> Iterator[TiledConv]:
    """Those that can do a kernel of kh x kw."""
    if (kh, kw) == (TAPS, TAPS):
        for m in (2, 4, 6):
            for nv in (1, 2):
                yield Winograd(isa, 12 // nv, stages, m, nv)
        return
    for rows in _sizes(kh):
        for columns in _sizes(kw):
            if rows * columns > LARGEST_TILE:
                continue
            yield FftConv(isa, 6, stages, rows, columns, kh, kw)


def _sizes(taps: int) -> list[int]:
    """Sides of a tile: powers of two that leave room for more than one output in eight."""
    return [size for size in (4, 8, 16, 32, 64) if taps + size // 8 <= size <= 8 * taps]


def tiled_seconds(v: TiledConv, out: tuple[int, ...], channels: int, n: int) -> float:
    """Estimated time of one thread."""
    per_cycle, lanes = v.isa.costs.floats.per_cycle, v.isa.lanes
    tiles = out[0] * -(-out[1] // v.out[0]) * -(-out[2] // v.out[1])
    blocks = -(-tiles // v.mr)
    if isinstance(v, Winograd):
        steps, width, products = v.planes * (v.m + 1), v.nv, v.planes
    else:
        assert isinstance(v, FftConv)
        elements = v.rows * v.columns
        steps, width, products = int(elements * math.log2(elements)), 1, 4 * v.places
    transforms = -(-channels // lanes) + -(-n // lanes)
    work = transforms * steps * TRANSFORM[type(v)]
    work += products * channels * -(-n // v.nr) * width
    return blocks * v.mr * work / per_cycle / (GHZ * 1e9)
