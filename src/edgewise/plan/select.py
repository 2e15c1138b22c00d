"""Which variant of a kernel suits a layer: a cost model over the tiles that an Isa lists."""

from __future__ import annotations

from ..kernels.depthwise import MAX_COLUMNS, MAX_PIXELS, Depthwise
from ..kernels.dots import Dots
from ..kernels.gemm import Gemm
from ..kernels.gemm_bf16 import PairGemm
from ..kernels.isa import Isa
from ..kernels.qdepthwise import QDepthwise
from ..kernels.qgemm import MAX_SCRATCH, QGemm
from ..kernels.wgemm import WGemm

GHZ = 3.0
"""A nominal clock, to turn cycles into seconds."""


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


def qgemm(
    isa: Isa,
    pixels: int,
    n: int,
    kc: int,
    runs: int,
    *,
    weight_zero_point: bool,
    add: bool,
) -> tuple[QGemm, float] | None:
    """The cheapest variant and its estimated seconds; None if no tile's scratch fits the stack."""
    gather = runs > 1 or isa.gemm.element.bits == 16
    variants = [QGemm(isa, mr, nv, gather, weight_zero_point, add) for mr, nv in isa.costs.tiles]
    fitting = [v for v in variants if v.scratch_bytes(kc, runs) <= MAX_SCRATCH]
    if not fitting:
        return None
    best = min(fitting, key=lambda v: cycles(v, pixels, n, kc, runs))
    return best, cycles(best, pixels, n, kc, runs) / (GHZ * 1e9)


def wgemm(isa: Isa, pixels: int, n: int, kc: int, runs: int) -> tuple[WGemm, float]:
    """The cheapest variant of the product of int16 by 8 bits, and its estimated seconds."""
    costs = isa.costs

    def cycles(v: WGemm) -> float:
        inner = runs * v.steps(kc) * (2 * v.mr * v.nv + v.nv + v.mr / 2)
        epilogue = 12 + 20 * v.mr * v.nv
        tiles, panels = -(-pixels // v.mr), -(-n // v.nr)
        return tiles * (40 + 4 * v.mr + panels * (inner + epilogue)) / costs.per_cycle

    best = min((WGemm(isa, mr, nv) for mr, nv in costs.tiles), key=cycles)
    return best, cycles(best) / (GHZ * 1e9)


def real_cycles(v: Gemm, pixels: int, n: int, k: int) -> float:
    """Estimated cycles of one thread for ``pixels`` rows, ``n`` columns and ``k`` terms."""
    costs = v.isa.costs.floats

    def panel(nv: int) -> float:
        sums = v.mr * nv / costs.per_cycle
        loads = (v.mr / costs.step + nv) / 2
        return k * max(sums, loads, costs.latency) + 20 + 1.5 * v.mr * nv

    tiles = -(-pixels // v.mr)
    whole = n // v.nr * panel(v.nv)
    return tiles * (15 + 2 * v.mr + whole + (panel(v.tail) if v.tail else 0))


def dots_cycles(v: Dots, pixels: int, kc: int, runs: int) -> float:
    """As ``real_cycles``, for ``runs`` of ``kc`` terms."""
    costs = v.isa.costs.floats
    step = max(v.mr * v.nr / costs.per_cycle, (v.mr + v.nr) / 2, costs.latency)
    steps = runs * (-(-kc // v.isa.lanes) + 1)
    return -(-pixels // v.mr) * (25 + 2 * v.mr + 8 * v.mr * v.nr + steps * step)


def gemm(isa: Isa, pixels: int, n: int, k: int, stages: tuple[str, ...] = ()) -> tuple[Gemm, float]:
    """The cheapest variant of the float32 product by columns, and its estimated seconds."""
    variants = [Gemm.of(isa, mr, nv, n, stages) for mr, nv in isa.costs.floats.tiles]
    best = min(variants, key=lambda v: real_cycles(v, pixels, n, k))
    return best, real_cycles(best, pixels, n, k) / (GHZ * 1e9)


def product(
    isa: Isa, pixels: int, n: int, kc: int, runs: int, stages: tuple[str, ...] = ()
) -> tuple[Gemm | Dots, float]:
    """The cheapest variant of the float32 product, and its estimated seconds."""
    best, seconds = gemm(isa, pixels, n, kc * runs, stages)
    for mr, nr in isa.costs.floats.dots:
        if nr == n:
            v = Dots(isa, mr, nr, stages)
            other = dots_cycles(v, pixels, kc, runs) / (GHZ * 1e9)
            if other < seconds:
                return v, other
    return best, seconds


def pair_gemm(
    isa: Isa, pixels: int, n: int, kc: int, runs: int, stages: tuple[str, ...] = ()
) -> tuple[PairGemm, float]:
    """The cheapest variant by dot products of bfloat16, and its estimated seconds."""
    steps = runs * -(-kc // 2)
    variants = [PairGemm.of(isa, mr, nv, n, stages) for mr, nv in isa.costs.floats.tiles]
    best = min(variants, key=lambda v: real_cycles(v, pixels, n, steps))
    return best, real_cycles(best, pixels, n, steps) / (GHZ * 1e9)


def qdepthwise(
    isa: Isa,
    channels: int,
    window: tuple[int, int],
    stride: tuple[int, int],
    dilated: bool,
    parts: int,
) -> QDepthwise:
    """The variant for a depthwise convolution: the widest block that the channels fill."""
    widths = isa.costs.depthwise
    nv = next((nv for nv in widths if nv * isa.lanes <= channels), None)
    if nv is None:
        return QDepthwise(isa, widths[-1], None, parts, partial=True)
    slides = window == (3, 3) and stride in ((1, 1), (2, 2)) and not dilated
    return QDepthwise(isa, nv, stride[0] if slides else None, parts)


def depthwise(
    isa: Isa,
    channels: int,
    width: int,
    columns: int,
    stride: int,
    dilation: int,
    stages: tuple[str, ...] = (),
) -> Depthwise:
    """The float32 variant for windows of ``columns`` taps a row and output rows of ``width``.

    Runs are as long as registers allow; a tile is as wide as computes the fewest pixels twice.
    """
    lanes = isa.lanes
    while lanes > max(channels, 4):
        lanes //= 2
    run = 1
    if dilation == 1:
        run = next(n for n in range(MAX_COLUMNS, 0, -1) if columns % n == 0)
    tiles = range(1, min(width, MAX_PIXELS) + 1)
    pixels = min(tiles, key=lambda n: -(-width // n) * (n + 5))
    step = stride if run > 1 else 1
    return Depthwise(isa, pixels, lanes, run, step, channels < lanes, stages)
