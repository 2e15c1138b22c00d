"""3x3 convolutions by Winograd's filtering, against direct sums in float64."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from edgewise.kernels.isa import AVX2, Isa
from edgewise.kernels.winograd import Winograd, transforms
from edgewise.plan.tiled import TILES

from .harness import Buffer, isas, run

TOLERANCE = {2: 2e-6, 4: 6e-6, 6: 6e-5}
"""By m: the greatest error as a part of the greatest sum of magnitudes."""


@dataclass(frozen=True)
class Shape:
    images: int
    height: int
    width: int
    channels: int
    n: int


SHAPES = (
    Shape(1, 12, 12, 16, 32),
    Shape(2, 7, 9, 5, 3),
    Shape(1, 1, 1, 1, 1),
    Shape(1, 13, 6, 24, 17),
)


def tile(isa: Isa) -> tuple[int, int]:
    """(mr, nv) of the test."""
    return (6, 2) if isa.bits == 256 else (4, 2)


def convolve(v: Winograd, s: Shape, block: int, seed: int = 0, bounds: Any = (-3.0, 6.0)) -> None:
    """Run one convolution; the inputs lie in a wider image, the outputs among guard values."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((s.images, s.height + 2, s.width + 2, s.channels)).astype(np.float32)
    w = rng.standard_normal((s.n, 3, 3, s.channels)).astype(np.float32)
    bias = rng.standard_normal(s.n).astype(np.float32)
    r = rng.standard_normal((s.images, s.height, s.width, s.n)).astype(np.float32)
    windows = np.lib.stride_tricks.sliding_window_view(x, (3, 3), axis=(1, 2)).astype(np.float64)
    expected = np.clip(np.einsum("byxcij,nijc->byxn", windows, w, optimize=True) + bias, *bounds)
    scale = np.einsum("byxcij,nijc->byxn", abs(windows), abs(w), optimize=True).max()
    out = np.full((s.images, s.height, s.width, s.n + 3), 77, np.float32)
    a, c = Buffer(x), Buffer(out)
    tiles_y, tiles_x = -(-s.height // v.m), -(-s.width // v.m)
    tiles = s.images * tiles_y * tiles_x
    values = {
        "a": a,
        "a_image": x.strides[0],
        "a_row": x.strides[1],
        "a_x": x.strides[2],
        "c": c,
        "c_image": out.strides[0],
        "c_row": out.strides[1],
        "c_x": out.strides[2],
        "w": Buffer(v.pack(w, bias)),
        "height": s.height,
        "width": s.width,
        "in_height": s.height + 2,
        "in_width": s.width + 2,
        "channels": s.channels,
        "n": s.n,
        "tiles_y": tiles_y,
        "tiles_x": tiles_x,
        "tiles": tiles,
        "block": block,
        "panels": -(-s.n // v.nr),
        "panel_bytes": v.panel_bytes(s.channels),
        "pitch": v.pitch(s.channels),
        "s0_lo": bounds[0],
        "s0_hi": bounds[1],
    }
    if "add" in v.stages:
        expected = np.clip(expected + r, -1, 4)
        values |= {
            "s1_r": Buffer(r),
            "s1_r_image": r.strides[0],
            "s1_r_row": r.strides[1],
            "s1_r_x": r.strides[2],
            "s2_lo": -1.0,
            "s2_hi": 4.0,
        }
    run(v, -(-tiles // block), values, outputs=[c])
    assert_array_equal(c.array[..., s.n :], 77)
    assert abs(c.array[..., : s.n] - expected).max() <= TOLERANCE[v.m] * scale


@isas
@pytest.mark.parametrize("m", [2, 4, 6])
@pytest.mark.parametrize("stages", [("clamp",), ("clamp", "add", "clamp")], ids="_".join)
def test_convolution(isa: Isa, m: int, stages: tuple[str, ...]) -> None:
    mr, nv = tile(isa)
    for shape in SHAPES:
        convolve(Winograd(isa, mr, stages, m, nv), shape, mr)


@isas
@pytest.mark.parametrize(("mr", "nv"), [tile for tiles in TILES for tile in tiles])
def test_tiles_that_the_plan_takes(isa: Isa, mr: int, nv: int) -> None:
    convolve(Winograd(isa, mr, ("clamp",), 4, nv), Shape(1, 9, 13, 5, nv * isa.lanes + 3), 2 * mr)


@pytest.mark.parametrize("block", [6, 12, 36])
def test_blocks_of_tiles(block: int) -> None:
    convolve(Winograd(AVX2, 6, ("clamp",), 4, 2), Shape(1, 21, 30, 16, 40), block)


@pytest.mark.parametrize("m", [2, 4, 6])
def test_transforms_are_exact(m: int) -> None:
    """A^T [(G g) * (B^T d)] is the correlation, in rational numbers."""
    t = transforms(m)
    g, d = [3, -7, 2], list(range(1, m + 3))
    u = [sum(a * b for a, b in zip(row, g, strict=True)) for row in t.g]
    v = [sum(a * b for a, b in zip(row, d, strict=True)) for row in t.bt]
    y = [sum(a * b * c for a, b, c in zip(row, u, v, strict=True)) for row in t.at]
    assert y == [sum(g[j] * d[i + j] for j in range(3)) for i in range(m)]
