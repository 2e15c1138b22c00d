"""Float32 matrix products and convolutions on every instruction set, against float64.

A sum of K products and a bias, rounded after every step, errs by at most
gamma = (K + 1) eps / (1 - (K + 1) eps) times the sum of their magnitudes, eps = 2**-24 (Higham,
"Accuracy and Stability of Numerical Algorithms", 3.1), whatever the order; the separate product
of an instruction set without fused multiply-add costs one more eps.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from edgewise.kernels.dots import Dots
from edgewise.kernels.gemm import Gemm
from edgewise.kernels.gemm_bf16 import PairGemm
from edgewise.kernels.isa import ISAS, Isa
from edgewise.kernels.stages import STAGES
from edgewise.kernels.storage import BFLOAT16, FLOAT16, FLOAT32, fits_half, rounded_to_bf16
from edgewise.kernels.views import SLACK
from edgewise.plan import select

from .harness import Buffer, isas, run
from .images import View
from .layers import CONVOLUTIONS, Array, Layer, matrix, pixels_of

EPS = 2.0**-24


def floats(rng: np.random.Generator, *shape: int) -> Array:
    """Normal numbers of many magnitudes, some of them zero."""
    x = rng.normal(size=shape) * 2.0 ** rng.integers(-6, 6, shape)
    return np.where(rng.random(shape) < 0.1, 0.0, x).astype(np.float32)


def amid_nan(array: Array, tight: bool) -> View:
    """A view that holds ``array``, with NaN around it."""
    view = View.around(array, tight)
    view.buffer.array[...] = np.nan if array.dtype == np.float32 else 0x7FC0
    view.inside[...] = array
    return view


def as_bf16(x: Array) -> Array:
    """The nearest bfloat16, as float32."""
    wide: Array = (rounded_to_bf16(x).astype(np.uint32) << 16).view(np.float32)
    return wide


def stage_values(
    name: str, prefix: str, layer: Layer, rng: np.random.Generator, tight: bool
) -> tuple[dict[str, Any], Callable[[Array], Array], float]:
    """Fields of a stage, what it computes, and by how much it may enlarge an error."""
    match name:
        case "relu":
            return {}, lambda x: np.maximum(x, 0), 1
        case "clamp":
            lo, hi = -1.5, 6.0
            return {f"{prefix}lo": lo, f"{prefix}hi": hi}, lambda x: np.clip(x, lo, hi), 1
        case "add":
            other = floats(rng, *layer.size, layer.n)
            view = amid_nan(other, tight)
            fields = pixels_of(layer, view, f"{prefix}r")
            return fields, lambda x: x + other.reshape(x.shape), 1
        case "prelu":
            slope = rng.normal(size=layer.n).astype(np.float32)
            fields = {f"{prefix}slope": Buffer(slope)}
            return fields, lambda x: np.where(x >= 0, x, x * slope), max(1, np.abs(slope).max())
        case "leaky":
            return {f"{prefix}alpha": 0.25}, lambda x: np.where(x >= 0, x, x * 0.25), 1
        case _:
            assert name == "hard_swish"
            return {}, lambda x: x * np.clip(x + 3, 0, 6) / 6, 1.5


def check(
    v: Gemm | Dots,
    layer: Layer,
    tight: bool = True,
    block_panels: int | None = None,
    seed: int = 0,
    half: bool = False,
) -> Array:
    """Run the layer and compare its output; nothing around it may change.

    Args:
        tight: images without anything around them, that end where memory does; else they lie in
            wider ones, as some of the channels of their pixels, amid NaN.
        block_panels: panels a unit does; all of them by default.
        half: the weights are numbers that float16 holds.

    Gives the output.
    """
    rng = np.random.default_rng(seed)
    x, depth = floats(rng, *layer.input_shape), layer.kc * layer.runs
    w, bias = floats(rng, layer.n, depth), floats(rng, layer.n)
    pairs = isinstance(v, PairGemm)
    a = amid_nan(rounded_to_bf16(x) if pairs else x, tight)
    c = View.empty((*layer.size, layer.n), np.float32, tight)
    if half:
        w = w.astype(np.float16).astype(np.float32)
    runs = layer.run_offsets(a)
    packed = v.pack(w.reshape(layer.n, layer.runs, layer.kc), bias)
    pixels, panels = int(np.prod(layer.size)), -(-layer.n // v.nr)
    each = block_panels or panels
    values: dict[str, Any] = {
        **pixels_of(layer, a, "a", layer.stride),
        **pixels_of(layer, c, "c"),
        "w": Buffer(packed[: len(packed) - SLACK]),
        "runs": Buffer(runs),
        "pixels": pixels,
        "width": layer.size[2],
        "height": layer.size[1],
        "tiles": -(-pixels // v.mr),
        "n": layer.n,
        "run_count": layer.runs,
        "kc": layer.kc,
        "panel_bytes": v.panel_bytes(layer.kc, layer.runs),
        "panels": layer.n // v.nr,
        "block_panels": each,
    }
    values = {name: values[name] for name in v.fields if name in values}
    if pairs or v.storage is BFLOAT16:
        w = as_bf16(w)
    windows = layer.windows(as_bf16(x) if pairs else x).astype(np.float64)
    expected = windows @ w.T.astype(np.float64) + bias
    bound = 2 * (depth + 2) * EPS * (np.abs(windows) @ np.abs(w.T) + np.abs(bias))
    for i, name in enumerate(v.stages):
        fields, compute, factor = stage_values(name, f"s{i}_", layer, rng, tight)
        values |= fields
        expected = compute(expected)
        bound = bound * factor + 4 * EPS * np.abs(expected)
    untouched = np.isnan(View.around(np.full(c.shape, np.nan, np.float32), tight).buffer.array)
    around = c.buffer.array[~untouched].copy()
    run(v, -(-pixels // v.mr) * -(-panels // each), values, [c.buffer])
    np.testing.assert_array_equal(c.buffer.array[~untouched], around)
    error = np.abs(c.inside.reshape(expected.shape) - expected)
    assert (error <= bound).all(), f"{v.symbol}: {layer}: {(error / bound).max()} of the bound"
    return c.inside


def tiles() -> list[Any]:
    found = [(isa, mr, nv) for isa in ISAS for mr, nv in isa.costs.floats.tiles]
    return [
        pytest.param(isa, mr, nv, id=f"{isa}-{mr}x{nv}", marks=pytest.mark.isa)
        for isa, mr, nv in found
    ]


every_tile = pytest.mark.parametrize(("isa", "mr", "nv"), tiles())


def depths(isa: Isa) -> list[int]:
    """Around one load of A, and a few of them."""
    step = isa.costs.floats.step
    return [1, 2, 3, step + 1, 2 * step, 4 * step + 3, 7, 64, 33]


@every_tile
def test_rows(isa: Isa, mr: int, nv: int) -> None:
    """Every number of rows up to two tiles and one."""
    some, lanes = depths(isa), isa.lanes
    columns = [1, nv * lanes, nv * lanes + 1, lanes, 2 * nv * lanes + 3, lanes + 1]
    for m in range(1, 2 * mr + 2):
        n = columns[m % len(columns)]
        layer = matrix(m, n, some[5 * m % len(some)])
        check(Gemm.of(isa, mr, nv, n), layer, tight=m % 3 != 0, seed=m)


@every_tile
def test_columns(isa: Isa, mr: int, nv: int) -> None:
    """Every tail of whole vectors, and vectors in part."""
    some, lanes = depths(isa), isa.lanes
    edges = {t * lanes + d for t in range(nv + 2) for d in (-1, 0, 1)}
    for n in sorted({n for n in edges | {*range(1, lanes)} if n > 0}):
        layer = matrix(1 + n % (mr + 2), n, some[n % len(some)])
        check(Gemm.of(isa, mr, nv, n), layer, tight=n % 4 != 3, seed=n)


@every_tile
def test_convolutions(isa: Isa, mr: int, nv: int) -> None:
    """Windows of several runs; pixels that wrap to the next row and image."""
    for i, layer in enumerate(CONVOLUTIONS):
        check(Gemm.of(isa, mr, nv, layer.n), layer, tight=layer.joined or i % 2 == 0, seed=i)


@every_tile
def test_images(isa: Isa, mr: int, nv: int) -> None:
    """A 1x1 window with a stride: rows shorter than a tile, and longer."""
    sizes = [(1, 3, 4), (2, 2, 3), (3, 3, 1), (5, 1, 1), (1, 1, 9), (2, 5, 2), (2, 3, 2 * mr + 1)]
    for i, size in enumerate(sizes):
        layer = Layer(isa.lanes + i, 3 + 5 * i, size, stride=(1 + i % 2, 1 + i % 3))
        check(Gemm.of(isa, mr, nv, layer.n), layer, tight=i % 2 == 0, seed=i)


@isas
@pytest.mark.parametrize(
    "stages", [*((s,) for s in STAGES), ("clamp", "add", "prelu"), ("add",) * 2]
)
def test_stages(isa: Isa, stages: tuple[str, ...]) -> None:
    mr, nv = isa.costs.floats.tiles[0]
    for i, n in enumerate((1, isa.lanes + 2, nv * isa.lanes, 2 * nv * isa.lanes + isa.lanes)):
        layer = Layer(n, 5, (2, 3, mr - 1))
        check(Gemm.of(isa, mr, nv, n, stages), layer, tight=i % 2 == 0, seed=i)


@every_tile
def test_columns_divided_over_units(isa: Isa, mr: int, nv: int) -> None:
    """Units of one panel, two, and a last one with the tail alone."""
    n = 4 * nv * isa.lanes + 1
    for block_panels in (1, 2, 3):
        check(Gemm.of(isa, mr, nv, n), Layer(n, 9, (2, 2, mr)), False, block_panels)


@every_tile
def test_bfloat16_weights(isa: Isa, mr: int, nv: int) -> None:
    """Whole panels, tails, and both."""
    nr = nv * isa.lanes
    for i, n in enumerate((1, nr - 1, nr, nr + isa.lanes, 2 * nr + 3)):
        v = replace(Gemm.of(isa, mr, nv, n, ("relu",)), storage=BFLOAT16)
        check(v, matrix(mr + i, n, depths(isa)[i]), tight=i % 2 == 0, seed=i)


@isas
def test_float16_weights(isa: Isa) -> None:
    """The results of float32 weights of the same numbers, to the last bit."""
    if not isa.widens_half:
        assert not fits_half(isa, np.ones(3, np.float32))
        return
    lanes = isa.lanes
    kinds: list[tuple[Gemm | Dots, Layer]] = []
    for i, (mr, nv) in enumerate(isa.costs.floats.tiles):
        for n in (1, nv * lanes, 2 * nv * lanes + lanes + 3):
            layer = Layer(n, depths(isa)[i + 2], (1, 2, mr), (1 + i % 2, 2), joined=i % 2 == 0)
            kinds.append((Gemm.of(isa, mr, nv, n, ("relu",)), layer))
    for i, (mr, nr) in enumerate(isa.costs.floats.dots):
        for depth in (1, lanes, 2 * lanes + 3):
            kinds.append((Dots(isa, mr, nr), Layer(nr, depth, (1, 2, mr), (2, 1 + i % 2))))
    for seed, (v, layer) in enumerate(kinds):
        exact, half = (
            check(replace(v, storage=s), layer, layer.joined or seed % 2 == 0, seed=seed, half=True)
            for s in (FLOAT32, FLOAT16)
        )
        np.testing.assert_array_equal(exact, half, v.symbol)


@isas
def test_what_float16_holds(isa: Isa) -> None:
    """Numbers of float16 alone, its smallest and greatest ones, zeros of both signs."""
    held = np.array([0.0, -0.0, 1.5, 65504, -65504, 2.0**-24, np.inf], np.float32)
    assert fits_half(isa, held) == isa.widens_half
    for other in (1 + 2.0**-11, 65520.0, 2.0**-25, np.nan):
        assert not fits_half(isa, np.append(held, np.float32(other)))


def test_rounding_to_bfloat16() -> None:
    """Halves go to even, large numbers to infinity; NaN stays one."""
    bits = [0x3F808000, 0x3F818000, 0x3F808001, 0x3F807FFF, 0x7F7FFFFF, 0xFF800000, 0x7F800001]
    rounded = [0x3F80, 0x3F82, 0x3F81, 0x3F80, 0x7F80, 0xFF80, 0x7FC0]
    x = np.array(bits, np.uint32).view(np.float32)
    np.testing.assert_array_equal(rounded_to_bf16(x), np.array(rounded, np.uint16))


@isas
def test_what_is_not_finite_stays_in_its_row(isa: Isa) -> None:
    """An infinity in one row and a NaN in another touch no others."""
    mr, nv = isa.costs.floats.tiles[0]
    v = Gemm.of(isa, mr, nv, 3)
    x = np.ones((mr + 1, 7), np.float32)
    x[1, 6], x[3, 0] = np.inf, np.nan
    c = Buffer(np.zeros((mr + 1, 3), np.float32))
    packed = v.pack(np.ones((3, 1, 7), np.float32), np.zeros(3, np.float32))
    values = {
        **{"a": Buffer(x), "a_x": 28, "a_wrap": 0, "a_image": 0},
        **{"c": c, "c_x": 12, "c_wrap": 0, "c_image": 0},
        **{"w": Buffer(packed), "runs": Buffer(np.zeros(1, np.int64)), "run_count": 1, "kc": 7},
        **{"pixels": mr + 1, "width": mr + 1, "height": 1, "tiles": 2, "n": 3},
        **{"panel_bytes": v.panel_bytes(7), "panels": 0, "block_panels": 1},
    }
    run(v, 2, values, [c])
    np.testing.assert_array_equal(c.array, np.repeat(x.sum(axis=1)[:, None], 3, 1))


@pytest.mark.parametrize("isa", ISAS, ids=str)
def test_choice(isa: Isa) -> None:
    """Every tile that exists is the cheapest for some layer, and fits its columns."""
    chosen, dots = set(), set()
    for pixels in (1, 2, 3, 4, 9, 49, 196, 12544):
        for n in (1, 2, 3, 4, 8, 16, 21, 24, 96, 256, 1001):
            for k in (1, 9, 27, 512, 4608):
                v, seconds = select.gemm(isa, pixels, n, k)
                assert v == Gemm.of(isa, v.mr, v.nv, n)
                assert seconds > 0
                chosen.add((v.mr, v.nv))
                other, fewer = select.product(isa, pixels, n, k, 1)
                assert fewer <= seconds
                if isinstance(other, Dots):
                    assert other.nr == n
                    dots.add((other.mr, other.nr))
    assert dots == set(isa.costs.floats.dots), "dot products that are never chosen"
    assert chosen == set(isa.costs.floats.tiles), "a tile that is never chosen"


def test_symbols_differ() -> None:
    found = {
        Gemm(isa, mr, nv, tail, stages).symbol
        for isa in ISAS
        for mr, nv in isa.costs.floats.tiles
        for tail in range(nv + 1)
        for stages in ((), ("relu",), ("relu", "add"), ("add", "relu"))
    }
    assert len(found) == 4 * sum(nv + 1 for isa in ISAS for _, nv in isa.costs.floats.tiles)


@isas
@pytest.mark.parametrize("stages", [(), ("relu", "add"), ("prelu",)])
def test_few_columns(isa: Isa, stages: tuple[str, ...]) -> None:
    """Dot products along K: runs of whole vectors, of a part of one, and of both."""
    lanes = isa.lanes
    for i, (mr, nr) in enumerate(isa.costs.floats.dots):
        v = Dots(isa, mr, nr, stages)
        for j, depth in enumerate([1, lanes - 1, lanes, lanes + 1, 3 * lanes + 2]):
            size, window = (2, 2, mr - 1 + j), (1 + j % 3, 1 + i % 3)
            layer = Layer(nr, depth, size, window, joined=(i + j) % 2 == 0)
            check(v, layer, tight=layer.joined or j % 2 == 0, seed=j)


@pytest.mark.slow
@every_tile
def test_many_layers(isa: Isa, mr: int, nv: int) -> None:
    rng = np.random.default_rng(6)
    for seed in range(30):
        n, depth = int(rng.integers(1, 3 * nv * isa.lanes)), int(rng.integers(1, 60))
        size = tuple(int(x) for x in rng.integers(1, 7, 3))
        window, stride, dilation = ((int(a), int(b)) for a, b in rng.integers(1, 4, (3, 2)))
        layer = Layer(n, depth, (size[0], size[1], size[2]), window, stride, dilation)
        stages = tuple(str(s) for s in rng.choice(list(STAGES), rng.integers(0, 3)))
        panels = -(-n // (nv * isa.lanes))
        each = int(rng.integers(1, panels + 1))
        check(Gemm.of(isa, mr, nv, n, stages), layer, seed % 2 == 0, each, seed)
