"""Float32 convolutions of stride 1 by transforms of tiles, where they take less time."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

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

TILES = ((12, 1), (8, 1)), ((6, 2), (5, 2), (4, 2))
"""(mr, nv) of Winograd's filtering to one vector of channels at the most, and to more."""

BLOCKS = (1, 2)
"""Times ``mr`` that a block may have tiles."""

STREAMS = ((1 << 19, math.inf), (1 << 21, 32), (math.inf, 12))
"""Bytes of weights, and of them those that a block waits a cycle for: with so many or less, they
come from the second cache meanwhile, mostly so, or from further away."""

LARGEST_TILE = 1 << 10
"""Pixels of a tile that is transformed by FFT: one vector a pixel stays in the first cache."""


@dataclass(frozen=True)
class Tiled:
    """A transform as a candidate: its kernel, and the tiles of a block.

    A block reads all weights once: with more tiles to a block, large weights pass fewer times.
    """

    kernel: TiledConv
    block: int

    @property
    def symbol(self) -> str:
        """The kernel's, and the block."""
        return f"{self.kernel.symbol}_by_{self.block}"


def tiled_candidates(
    isa: Isa, out: tuple[int, ...], weights: tuple[int, ...], stages: tuple[str, ...]
) -> list[tuple[Tiled, float]]:
    """The transforms that can do it, and their estimated seconds.

    ``out`` is the shape of the result, ``weights`` that of the weights: (n, kh, kw, channels).
    Blocks of more tiles than a product takes at once leave at least two for threads to share.
    """
    n, kh, kw, channels = weights
    found = [Tiled(v, v.mr * times) for v in variants(isa, kh, kw, n, stages) for times in BLOCKS]
    return [
        (v, tiled_seconds(v, out, channels, n))
        for v in found
        if v.kernel.scratch_bytes(channels, v.block) <= MAX_SCRATCH
        and (v.block == v.kernel.mr or v.block < _tiles(v.kernel, out))
    ]


def emit_tiled(
    ctx: Context,
    v: Tiled,
    seconds: float,
    source: View,
    target: View,
    packed: npt.NDArray[np.uint8],
    epilogue: Epilogue,
    more: Params | None = None,
) -> None:
    """Emit the convolution by a transform.

    ``source`` is the input with its padding, ``packed`` the weights as the kernel has them;
    ``more`` are fields that it has besides those of `TiledConv`.
    """
    channels = source.shape[3]
    images, height, width, n = target.shape
    chosen = v.kernel
    tall, wide = -(-height // chosen.out[0]), -(-width // chosen.out[1])
    tiles = images * tall * wide
    params: Params = {
        **epilogue.params,
        **{name: ctx.constants.add(x) for name, x in epilogue.vectors.items()},
        **image_fields("a", source),
        **image_fields("c", target),
        "w": ctx.constants.add(packed),
        "height": height,
        "width": width,
        "in_height": source.shape[1],
        "in_width": source.shape[2],
        "channels": channels,
        "n": n,
        "tiles_y": tall,
        "tiles_x": wide,
        "tiles": tiles,
        "block": v.block,
        "panels": -(-n // chosen.nr),
        "panel_bytes": chosen.panel_bytes(channels),
        "pitch": chosen.pitch(channels),
        **(more or {}),
    }
    for name, operand in epilogue.rows.items():
        params |= image_fields(name, operand.view)
    ctx.emit(
        chosen,
        params,
        -(-tiles // v.block),
        seconds=seconds,
        reads=(source, *(r.view for r in epilogue.rows.values())),
        writes=(target,),
    )


def variants(isa: Isa, kh: int, kw: int, n: int, stages: tuple[str, ...]) -> Iterator[TiledConv]:
    """Those that can do a kernel of kh x kw to ``n`` channels."""
    if (kh, kw) == (TAPS, TAPS):
        for m in (2, 4, 6):
            for mr, nv in TILES[n > isa.lanes]:
                yield Winograd(isa, mr, stages, m, nv)
        return
    for rows in _sizes(kh):
        for columns in _sizes(kw):
            if rows * columns > LARGEST_TILE:
                continue
            yield FftConv(isa, 6, stages, rows, columns, kh, kw)


def _sizes(taps: int) -> list[int]:
    """Sides of a tile: powers of two that leave room for more than one output in eight."""
    return [size for size in (4, 8, 16, 32, 64) if taps + size // 8 <= size <= 8 * taps]


def tiled_seconds(v: Tiled, out: tuple[int, ...], channels: int, n: int) -> float:
    """Estimated time of one thread: transforms, products, and the weights' way to the core."""
    kernel, costs, lanes = v.kernel, v.kernel.isa.costs.floats, v.kernel.isa.lanes
    if isinstance(kernel, Winograd):
        steps, nv = kernel.planes * (kernel.m + 1), kernel.nv
        loads = (kernel.mr / costs.step + nv) / 2
        step = max(kernel.mr * nv / costs.per_cycle, loads, costs.latency)
        products = kernel.planes * (channels * step + 2)
    else:
        assert isinstance(kernel, FftConv)
        elements = kernel.rows * kernel.columns
        steps = int(elements * math.log2(elements))
        products = 4 * kernel.places * kernel.mr * channels / costs.per_cycle
    panels = -(-n // kernel.nr)
    transforms = (-(-channels // lanes) + -(-n // lanes)) * steps * TRANSFORM[type(kernel)]
    work = v.block * transforms / costs.per_cycle
    work += v.block / kernel.mr * products * panels
    weights = panels * kernel.panel_bytes(channels)
    work += weights / next(rate for size, rate in STREAMS if weights <= size)
    return -(-_tiles(kernel, out) // v.block) * work / (GHZ * 1e9)


def _tiles(v: TiledConv, out: tuple[int, ...]) -> int:
    return out[0] * -(-out[1] // v.out[0]) * -(-out[2] // v.out[1])
