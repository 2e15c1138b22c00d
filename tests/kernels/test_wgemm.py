"""Products of int16 activations by 8-bit weights on every instruction set, against numpy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edgewise.kernels.isa import ISAS, Isa
from edgewise.kernels.views import SLACK as KERNEL_SLACK
from edgewise.kernels.wgemm import WGemm
from edgewise.kernels.words import GROUP_LIMIT
from edgewise.plan import select

from .harness import Buffer, run
from .images import View
from .layers import CONVOLUTIONS, Layer, matrix, pixels_of
from .qproducts import bytes_of, wrapped
from .wproducts import WideRule, wide_rules


def check(
    v: WGemm,
    layer: Layer,
    rule: WideRule,
    seed: int = 0,
    fill: str = "mixed",
    tight: bool = True,
    block_panels: int | None = None,
) -> None:
    """Run a layer and compare every byte of its output and of what lies around it."""
    rng = np.random.default_rng(seed)
    x_fill, w_fill = (fill.split("*") * 2)[:2]
    x = bytes_of(rng, layer.input_shape, np.int16, x_fill)
    k = layer.depth * layer.window[0] * layer.window[1]
    w = bytes_of(rng, (layer.n, k), np.int8, w_fill).astype(np.int16)
    if w_fill == "mixed" and seed % 2:
        w = (w - int(rng.integers(-128, 128))).astype(np.int16)
    bias = rule.biases(rng, layer.n, v.wide)
    acc = layer.windows(x).astype(np.int64) @ w.astype(np.int64).T + bias
    factors = rule.factors(rng, acc, v.rounding, v.wide)
    expected = rule.apply(acc if v.wide else wrapped(acc), factors, v.rounding)
    shape = (*layer.size, layer.n)
    a, c = View.around(x, tight), View.empty(shape, np.int16, tight)
    weights = w.reshape(layer.n, layer.runs, layer.kc)
    packed = v.pack(weights, bias, *(f.astype(np.int32) for f in factors))
    heaviest = int(np.abs(weights).sum(axis=2).max())
    assert heaviest <= GROUP_LIMIT or not v.wide
    pixels, panels = int(np.prod(layer.size)), -(-layer.n // v.nr)
    each = block_panels or panels
    values: dict[str, Any] = {
        **pixels_of(layer, a, "a", layer.stride),
        **pixels_of(layer, c, "c"),
        "w": Buffer(packed[: len(packed) - KERNEL_SLACK]),
        "runs": Buffer(layer.run_offsets(a)),
        "pixels": pixels,
        "width": layer.size[2],
        "height": layer.size[1],
        "n": layer.n,
        "run_count": layer.runs,
        "group_runs": max(1, min(GROUP_LIMIT // max(heaviest, 1), layer.runs - 1)),
        "steps": v.steps(layer.kc),
        "panel_bytes": v.panel_bytes(layer.kc, layer.runs),
        "panels": panels,
        "tiles": -(-pixels // v.mr),
        "block_panels": each,
        "zero_point": rule.zero_point,
        "lo": rule.lo,
        "hi": rule.hi,
    }
    if v.wide and not v.groups:
        assert np.abs(w).sum(axis=1).max() <= GROUP_LIMIT
    run(v, -(-pixels // v.mr) * -(-panels // each), values, [c.buffer])
    c.check(expected.reshape(shape).astype(np.int16))


def of(isa: Isa) -> list[WGemm]:
    """Every tile, and every rule on some of them."""
    found = [WGemm(isa, mr, nv) for mr, nv in isa.costs.tiles]
    for i, (rounding, wide) in enumerate([("twice", False), ("ties_up", False), ("once", False)]):
        found.append(WGemm(isa, *isa.costs.tiles[i % len(isa.costs.tiles)], rounding, wide))
    return found + [WGemm(isa, mr, nv, groups=True) for mr, nv in isa.costs.tiles]


VARIANTS = [pytest.param(v, id=v.symbol, marks=pytest.mark.isa) for isa in ISAS for v in of(isa)]


@pytest.mark.parametrize("v", VARIANTS)
def test_pixels_and_columns(v: WGemm) -> None:
    """Numbers of pixels up to two tiles and one; columns and depths around a panel and a step."""
    columns = [1, v.nr - 1, v.nr, v.nr + 1, v.nr // 2, 2 * v.nr + 3, 3, 5]
    depths = [1, 2, 3, 4, 5, 7, 8, 31, 64]
    for m in range(1, 2 * v.mr + 2):
        layer = matrix(m, columns[m % len(columns)], depths[m % len(depths)])
        rules = wide_rules()
        check(v, layer, rules[m % len(rules)], seed=m, tight=m % 3 != 0)


@pytest.mark.parametrize("v", VARIANTS)
def test_convolutions(v: WGemm) -> None:
    """Windows of several runs; pixels that wrap to the next row and image."""
    for i, layer in enumerate(CONVOLUTIONS):
        check(v, layer, wide_rules()[0], i, tight=layer.joined or i % 2 == 0)


@pytest.mark.parametrize("v", VARIANTS)
def test_rules(v: WGemm) -> None:
    """Extreme zero points, clamps, scales and biases."""
    for i, rule in enumerate(wide_rules()):
        check(v, matrix(v.mr, v.nr, 12), rule, i, "random")


@pytest.mark.parametrize("v", VARIANTS)
@pytest.mark.parametrize("fill", ["low", "high", "low*high", "high*low"])
def test_extremes_that_int32_just_holds(v: WGemm, fill: str) -> None:
    """511 products of the greatest magnitude, then a group for each such run."""
    if v.groups:
        layer = Layer(v.nr + 1, 511, (1, 1, v.mr + 1), (3, 2))
    else:
        layer = matrix(v.mr + 1, v.nr + 1, 511)
    check(v, layer, wide_rules()[0], fill=fill)


@pytest.mark.parametrize("v", VARIANTS)
def test_columns_divided_over_units(v: WGemm) -> None:
    for block_panels in (1, 2, 3):
        layer = matrix(v.mr + 1, 5 * v.nr - v.nr // 2, 9)
        check(v, layer, wide_rules()[0], tight=False, block_panels=block_panels)


def test_group_limit() -> None:
    assert 2**15 * GROUP_LIMIT < 2**31 <= 2**15 * (GROUP_LIMIT + 1)


def test_symbols_differ() -> None:
    found = [p.values[0].symbol for p in VARIANTS]
    assert len(set(found)) == len(found)


@pytest.mark.parametrize("isa", ISAS, ids=str)
def test_choice(isa: Isa) -> None:
    """Every tile is chosen for some layer."""
    chosen = set()
    for pixels in (1, 2, 7, 49, 196, 12544):
        for n in (1, 3, 8, 16, 24, 96, 1001):
            for kc, runs in [(1, 1), (3, 9), (27, 1), (512, 1), (512, 9)]:
                v, seconds = select.wgemm(isa, pixels, n, kc, runs)
                assert seconds > 0
                chosen.add((v.mr, v.nv))
    assert chosen == set(isa.costs.tiles)
