"""Quantized 3x3 convolutions by Winograd's filtering: equal to direct sums, to the last bit."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from edgewise.kernels.dot import Pmaddwd
from edgewise.kernels.isa import AVX2, ISAS
from edgewise.kernels.qwinograd import MOST, QWinograd
from edgewise.kernels.views import SLACK

from .harness import Buffer, run
from .images import View
from .layers import Layer
from .qproducts import Rule, bytes_of, rules, scales
from .test_qgemm import addition, residual_rule

SIZES = (
    (1, 12, 12, 16, 32),
    (2, 7, 9, 5, 3),
    (1, 1, 1, 1, 1),
    (1, 13, 6, 24, 17),
    (1, 2, 3, 40, 9),
)
"""Images, height and width of the output, channels of the input and of the output."""


def variants() -> list[Any]:
    isas = [isa for isa in ISAS if type(isa.gemm) is Pmaddwd]
    found = [
        QWinograd(isa, 4, nv=nv, add=add, m=m)
        for isa, nv, add, m in itertools.product(isas, (1, 2), (False, True), (2, 4))
    ]
    return [pytest.param(v, id=v.symbol, marks=pytest.mark.isa) for v in found]


def most_channels(m: int) -> int:
    """As many as any weights and inputs allow."""
    return MOST[m] // (9 * 255 * 128)


def convolve(
    v: QWinograd,
    size: tuple[int, ...],
    rule: Rule,
    fill: str = "mixed",
    tight: bool = True,
    block: int = 4,
    seed: int = 0,
) -> None:
    """Run one convolution and compare every byte of its output and of what lies around it."""
    rng = np.random.default_rng(seed)
    *out, channels, n = size
    layer = Layer(n, channels, (out[0], out[1], out[2]), (3, 3))
    x_fill, _, w_fill = fill.partition("*")
    x = bytes_of(rng, layer.input_shape, np.uint8, x_fill)
    w = bytes_of(rng, (n, 3, 3, channels), np.int8, w_fill or x_fill)
    bias = rng.integers(-(2**12), 2**12, n, np.int32)
    acc = layer.windows(x).astype(np.int64) @ w.reshape(n, -1).astype(np.int64).T + bias
    scale = scales(rng, acc, rule)
    expected = rule.apply(acc.astype(np.int32), scale)
    shape = (*out, n)
    a, c = View.around(x, tight), View.empty(shape, np.uint8, tight)
    tiles_y, tiles_x = -(-out[1] // v.m), -(-out[2] // v.m)
    tiles = out[0] * tiles_y * tiles_x
    packed = v.packed(w, bias, scale)
    values: dict[str, Any] = {
        **a.values("a"),
        **c.values("c"),
        "w": Buffer(packed[: len(packed) - SLACK]),
        "height": out[1],
        "width": out[2],
        "in_height": out[1] + 2,
        "in_width": out[2] + 2,
        "channels": channels,
        "n": n,
        "tiles_y": tiles_y,
        "tiles_x": tiles_x,
        "tiles": tiles,
        "block": block,
        "panels": -(-n // v.nr),
        "panel_bytes": v.panel_bytes(channels),
        "pitch": v.pitch(channels),
        "zero_point": rule.zero_point,
        "lo": rule.lo,
        "hi": rule.hi,
    }
    if v.add:
        added = residual_rule(v.isa, rule.zero_point, rng)
        other = bytes_of(rng, shape, np.uint8, "mixed")
        expected = added.apply(expected, other.reshape(expected.shape))
        values |= View.around(other, tight).values("r") | addition(added, rule.zero_point)
    run(v, -(-tiles // block), values, [c.buffer])
    c.check(expected.reshape(shape).astype(np.uint8))


@pytest.mark.parametrize("v", variants())
def test_convolution(v: QWinograd) -> None:
    for i, size in enumerate(SIZES):
        convolve(v, size, rules(v.isa)[i], tight=i % 2 == 0, block=4 * (1 + i % 3), seed=i)


@pytest.mark.parametrize("v", variants())
@pytest.mark.parametrize("fill", ["low", "high", "low*high", "high*low", "random"])
def test_extreme_operands(v: QWinograd, fill: str) -> None:
    convolve(v, (1, 4, 3, min(33, most_channels(v.m)), v.nr + 1), Rule(120, 2, 250), fill)


@pytest.mark.parametrize("fill", ["high*low", "high*high"])
@pytest.mark.parametrize("m", [2, 4])
def test_most_channels(m: int, fill: str) -> None:
    """A multiple of their sum fits 32 bits; that of a few more does not."""
    v, rule = QWinograd(AVX2, 4, nv=1, m=m), Rule(128, 0, 255)
    most = most_channels(m)
    weights = [np.full((3, 3, 3, most + more), -128, np.int8) for more in (0, 1)]
    assert [v.fits(w) for w in weights] == [True, False]
    convolve(v, (1, 2, 2, most, 3), rule, fill)
    with pytest.raises(AssertionError):
        convolve(v, (1, 2, 2, most + 60, 3), rule, "high*low")


@pytest.mark.parametrize("m", [2, 4])
def test_rules(m: int) -> None:
    v = QWinograd(AVX2, 4, nv=2, m=m)
    for i, rule in enumerate(rules(AVX2)):
        convolve(replace(v, add=i % 2 == 1), (1, 5, 4, 8, 20), rule, seed=i)
