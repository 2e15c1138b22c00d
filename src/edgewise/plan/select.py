"""Which variant of a kernel suits a layer: a cost model over the tiles that an Isa lists.

``choose`` says how candidates with their estimated seconds are chosen from: `Context.choose` heeds
what was measured, and other tiles too, as many as registers hold (``more_tiles``).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from ..kernels import qbytes
from ..kernels.depthwise import MAX_COLUMNS, MAX_PIXELS, Depthwise
from ..kernels.dot import Pmaddwd
from ..kernels.dots import Dots
from ..kernels.gemm import Gemm
from ..kernels.gemm_bf16 import PairGemm
from ..kernels.isa import Isa
from ..kernels.qbytes import QBytes
from ..kernels.qdepthwise import QDepthwise
from ..kernels.qgemm import MAX_SCRATCH, QGemm
from ..kernels.wgemm import WGemm
from .choices import Choose, V, cheapest

GHZ = 3.0
"""A nominal clock, to turn cycles into seconds."""

QDEPTHWISE_SECONDS = 1 / 15e9
"""Of a multiply-add of 8-bit depthwise convolutions."""

Tile = tuple[int, int]
G = TypeVar("G", bound=Gemm)
Candidates = tuple[list[tuple[V, float]], list[tuple[V, float]]]
"""Usual ones and others, as `choices.Choose` takes them."""

WIDTHS, REAL_WIDTHS = (1, 2, 4), (1, 2, 3, 4, 8)
"""Vectors of columns of tiles, as any instruction set packs bytes, and of float32."""


def more_tiles(isa: Isa, widths: Sequence[int], spare: int, listed: Sequence[Tile]) -> list[Tile]:
    """(mr, nv) of tiles that are not ``listed`` and leave ``spare`` registers beside the sums.

    The tallest of each width, and those one and two rows lower.
    """
    registers = 32 if isa.bits == 512 or isa.arch == "aarch64" else 16
    tallest = {nv: (registers - spare - nv) // nv for nv in widths}
    tiles = [(mr, nv) for nv, most in tallest.items() for mr in range(most, most - 3, -1)]
    return [(mr, nv) for mr, nv in tiles if mr > 0 and (mr, nv) not in listed]


def cycles(v: QGemm, pixels: int, n: int, kc: int, runs: int) -> float:
    """Estimated cycles of one thread for ``pixels`` rows, ``n`` columns and K = runs * kc."""
    costs, dot = v.isa.costs, v.isa.gemm
    steps = v.layout(kc, runs)[1]
    tiles, panels = -(-pixels // v.mr), -(-n // v.nr)
    inner = steps * (v.mr * v.nv * costs.dot + v.nv + v.mr / 2)
    epilogue = 12 + v.mr * (6 * v.nv + 4)
    gather = v.mr * runs * (2 + -(-kc // 16) * dot.element.nbytes) if v.gather else 0
    correction = v.mr * (steps * 3 / v.isa.lanes + 8) if v.weight_zero_point else 0
    work = tiles * (40 + 4 * v.mr + gather + correction + panels * (inner + epilogue))
    return work / costs.per_cycle


def bytes_cycles(
    v: QBytes, pixels: int, n: int, kc: int, runs: int, share: tuple[float, float]
) -> float:
    """As `cycles`; ``share`` is that of K done by steps of ``two`` and of ``one``."""
    tiles, panels, groups = -(-pixels // v.mr), -(-n // v.nr), runs * -(-kc // qbytes.GROUP)
    tile, two, one = v.mr * v.nv, share[0] / 2, share[1]
    inner = two * (5 * tile + v.mr + 2 * v.nv + 2) + one * (3 * tile + v.mr / 2 + v.nv + 2)
    inner += (1 - sum(share)) * (4 * tile + 2.5 * v.mr + 2 * v.nv + 2)
    epilogue = 20 + v.mr * (6 * v.nv + 4)
    correction = v.mr * runs * (8 + -(-kc // 32) * 4) if v.weight_zero_point else 0
    work = tiles * (40 + 4 * v.mr + correction + panels * (groups * inner + epilogue))
    return work / v.isa.costs.per_cycle


def qgemm(
    isa: Isa,
    pixels: int,
    n: int,
    kc: int,
    runs: int,
    *,
    weight_zero_point: bool,
    add: bool,
    rounding: str = "",
    weights: npt.NDArray[np.int8] | None = None,
    choose: Choose = cheapest,
) -> tuple[QGemm, float] | None:
    """The cheapest variant and its estimated seconds; None if no tile's scratch fits the stack.

    ``weights`` int8[n, runs, kc] tell what `QBytes` takes, which is no candidate without.
    """
    gather = runs > 1 or isa.gemm.element.bits == 16

    def variants(tiles: Sequence[Tile]) -> list[tuple[QGemm, float]]:
        found = (QGemm(isa, mr, nv, gather, weight_zero_point, add) for mr, nv in tiles)
        return [
            (v, cycles(v, pixels, n, kc, runs) / (GHZ * 1e9))
            for v in found
            if v.scratch_bytes(kc, runs) <= MAX_SCRATCH
        ]

    listed = isa.costs.tiles
    usual = variants(listed)
    if not usual:
        return None
    flags = "".join([" zero" * weight_zero_point, " add" * add, f" {rounding}" * bool(rounding)])
    problem = f"qgemm {isa.name} {pixels}x{n} of {runs}x{kc}{flags}"
    if weights is not None and type(isa.gemm) is Pmaddwd:
        found = [QBytes(isa, mr, nv, False, weight_zero_point, add) for mr, nv in qbytes.TILES]
        columns = qbytes.column_fits(weights)
        shares = [v.fits(columns).share() for v in found]
        for v, share in zip(found, shares, strict=True):
            usual.append((v, bytes_cycles(v, pixels, n, kc, runs, share) / (GHZ * 1e9)))
        problem += " fits {:.0%} {:.0%}".format(*shares[0])
    return choose(problem, usual, variants(more_tiles(isa, WIDTHS, 2, listed)))


def wgemm(
    isa: Isa, pixels: int, n: int, kc: int, runs: int, choose: Choose = cheapest
) -> tuple[WGemm, float]:
    """The cheapest variant of the product of int16 by 8 bits, and its estimated seconds."""
    costs = isa.costs

    def seconds(v: WGemm) -> float:
        inner = runs * v.steps(kc) * (2 * v.mr * v.nv + v.nv + v.mr / 2)
        epilogue = 12 + 20 * v.mr * v.nv
        tiles, panels = -(-pixels // v.mr), -(-n // v.nr)
        cycles = tiles * (40 + 4 * v.mr + panels * (inner + epilogue)) / costs.per_cycle
        return cycles / (GHZ * 1e9)

    variants = [WGemm(isa, mr, nv) for mr, nv in costs.tiles]
    return choose(
        f"wgemm {isa.name} {pixels}x{n} of {runs}x{kc}", [(v, seconds(v)) for v in variants]
    )


NEAR_BYTES = 24 << 10
"""Weights of float32 that stay in the first cache."""

STREAM = 29.0
"""Bytes of others that arrive a cycle in products of one row, which do little with each; measured
on AVX2."""


def real_cycles(v: Gemm, pixels: int, n: int, k: int) -> float:
    """Estimated cycles of one thread for ``pixels`` rows, ``n`` columns and ``k`` terms."""
    costs = v.isa.costs.floats

    far = pixels == 1 and n * k * 4 > NEAR_BYTES
    stream = v.isa.lanes * 4 / STREAM if far else 0.0

    def panel(nv: int) -> float:
        sums = v.mr * nv / costs.per_cycle
        loads = (v.mr / costs.step + nv) / 2
        return k * (max(sums, loads, costs.latency) + nv * stream) + 20 + 1.5 * v.mr * nv

    tiles = -(-pixels // v.mr)
    whole = n // v.nr * panel(v.nv)
    return tiles * (15 + 2 * v.mr + whole + (panel(v.tail) if v.tail else 0))


def dots_cycles(v: Dots, pixels: int, kc: int, runs: int) -> float:
    """As ``real_cycles``, for ``runs`` of ``kc`` terms."""
    costs = v.isa.costs.floats
    step = max(v.mr * v.nr / costs.per_cycle, (v.mr + v.nr) / 2, costs.latency)
    steps = runs * (-(-kc // v.isa.lanes) + 1)
    return -(-pixels // v.mr) * (25 + 2 * v.mr + 8 * v.mr * v.nr + steps * step)


def gemm(
    isa: Isa,
    pixels: int,
    n: int,
    k: int,
    stages: tuple[str, ...] = (),
    choose: Choose = cheapest,
) -> tuple[Gemm, float]:
    """The cheapest variant of the float32 product by columns, and its estimated seconds."""
    usual, others = gemms(Gemm, isa, pixels, n, k, stages)
    return choose(real_problem("gemm", isa, pixels, n, k, 1, stages), usual, others)


def product(
    isa: Isa,
    pixels: int,
    n: int,
    kc: int,
    runs: int,
    stages: tuple[str, ...] = (),
    choose: Choose = cheapest,
) -> tuple[Gemm | Dots, float]:
    """The cheapest variant of the float32 product, and its estimated seconds."""
    usual, others = products(isa, pixels, n, kc, runs, stages)
    return choose(real_problem("product", isa, pixels, n, kc, runs, stages), usual, others)


def products(
    isa: Isa, pixels: int, n: int, kc: int, runs: int, stages: tuple[str, ...]
) -> Candidates[Gemm | Dots]:
    """What a float32 product is chosen from: usual variants and others, with estimated seconds."""
    usual, others = gemms(Gemm, isa, pixels, n, kc * runs, stages)
    dots = [Dots(isa, mr, nr, stages) for mr, nr in isa.costs.floats.dots if nr == n]
    few = [(v, dots_cycles(v, pixels, kc, runs) / (GHZ * 1e9)) for v in dots]
    return [*usual, *few], [*others]


def pair_gemm(
    isa: Isa,
    pixels: int,
    n: int,
    kc: int,
    runs: int,
    stages: tuple[str, ...] = (),
    choose: Choose = cheapest,
) -> tuple[PairGemm, float]:
    """The cheapest variant by dot products of bfloat16, and its estimated seconds."""
    usual, others = pair_gemms(isa, pixels, n, kc, runs, stages)
    return choose(real_problem("pairs", isa, pixels, n, kc, runs, stages), usual, others)


def pair_gemms(
    isa: Isa, pixels: int, n: int, kc: int, runs: int, stages: tuple[str, ...]
) -> Candidates[PairGemm]:
    """As `products`, by dot products of bfloat16."""
    return gemms(PairGemm, isa, pixels, n, runs * -(-kc // 2), stages)


def gemms(
    kind: type[G], isa: Isa, pixels: int, n: int, k: int, stages: tuple[str, ...]
) -> Candidates[G]:
    """As `products`, of one ``kind`` and for ``k`` terms."""

    def variants(tiles: Sequence[Tile]) -> list[tuple[G, float]]:
        found = (kind.of(isa, mr, nv, n, stages) for mr, nv in tiles)
        return [(v, real_cycles(v, pixels, n, k) / (GHZ * 1e9)) for v in found]

    listed = isa.costs.floats.tiles
    return variants(listed), variants(more_tiles(isa, REAL_WIDTHS, 1, listed))


def real_problem(
    kind: str, isa: Isa, pixels: int, n: int, kc: int, runs: int, stages: tuple[str, ...]
) -> str:
    """Of products of float32: see ``choices``."""
    return " ".join([kind, isa.name, f"{pixels}x{n} of {runs}x{kc}", *stages])


def qdepthwise(
    isa: Isa,
    channels: int,
    window: tuple[int, int],
    stride: tuple[int, int],
    dilated: bool,
    parts: int,
    *,
    pixels: tuple[int, int] = (1, 1),
    rounding: str = "",
    choose: Choose = cheapest,
) -> QDepthwise:
    """The variant for a depthwise convolution: the widest block that the channels fill.

    ``pixels`` are the rows of all outputs, and their width.
    """
    filled = [nv for nv in isa.costs.depthwise if nv * isa.lanes <= channels]
    if not filled:
        return QDepthwise(isa, isa.costs.depthwise[-1], None, parts, partial=True)
    slides = window == (3, 3) and stride in ((1, 1), (2, 2)) and not dilated
    form = stride[0] if slides else None
    taps = math.prod(pixels) * channels * math.prod(window)
    usual = [
        (QDepthwise(isa, nv, form, parts), taps * QDEPTHWISE_SECONDS * (1 + rank))
        for rank, nv in enumerate(filled)
    ]
    others = [(replace(v, stride=None), 2 * seconds) for v, seconds in usual if slides]
    shape = f"{pixels[0]}x{pixels[1]}x{channels} by {window[0]}x{window[1]}"
    flags = f"s{stride[0]}x{stride[1]}{'d' * dilated} {parts} {rounding}".strip()
    return choose(f"qdepthwise {isa.name} {shape} {flags}", usual, others)[0]


def depthwise(
    isa: Isa,
    channels: int,
    width: int,
    columns: int,
    stride: int,
    dilation: int,
    stages: tuple[str, ...] = (),
    *,
    rows: tuple[int, int] = (1, 1),
    choose: Choose = cheapest,
) -> Depthwise:
    """The float32 variant for windows of ``columns`` taps a row and output rows of ``width``.

    ``rows`` are those of all outputs, and of a window. Runs are as long as registers allow; a tile
    is as wide as computes the fewest pixels twice.
    """
    lanes = isa.lanes
    while lanes > max(channels, 4):
        lanes //= 2
    run = 1
    if dilation == 1:
        run = next(n for n in range(MAX_COLUMNS, 0, -1) if columns % n == 0)
    step = stride if run > 1 else 1
    vectors = rows[0] * rows[1] * columns * -(-channels // lanes)
    variants = [
        (
            Depthwise(isa, n, lanes, run, step, channels < lanes, stages),
            vectors * -(-width // n) * (n + 5) / (GHZ * 1e9),
        )
        for n in range(1, min(width, MAX_PIXELS) + 1)
    ]
    shape = f"{rows[0]}x{width}x{channels} by {rows[1]}x{columns}"
    problem = " ".join(["depthwise", isa.name, shape, f"s{stride} d{dilation}", *stages])
    return choose(problem, variants)[0]
