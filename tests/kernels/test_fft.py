"""Convolutions by the fast Fourier transform, against direct sums in float64."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from edgewise.kernels.fft import FftConv
from edgewise.kernels.isa import AVX2, Isa

from .harness import Buffer, isas, run

TOLERANCE = 2e-6
"""The greatest error as a part of the greatest sum of magnitudes."""


@dataclass(frozen=True)
class Shape:
    images: int
    height: int
    width: int
    channels: int
    n: int


def convolve(v: FftConv, s: Shape, block: int) -> None:
    """Run one convolution; the outputs lie among guard values."""
    rng = np.random.default_rng(0)
    size = (s.height + v.kh - 1, s.width + v.kw - 1)
    x = rng.standard_normal((s.images, *size, s.channels)).astype(np.float32)
    w = rng.standard_normal((s.n, v.kh, v.kw, s.channels)).astype(np.float32)
    bias = rng.standard_normal(s.n).astype(np.float32)
    windows = np.lib.stride_tricks.sliding_window_view(x, (v.kh, v.kw), axis=(1, 2))
    exact = windows.astype(np.float64)
    expected = np.clip(np.einsum("byxcij,nijc->byxn", exact, w, optimize=True) + bias, -5, 9)
    scale = np.einsum("byxcij,nijc->byxn", abs(exact), abs(w), optimize=True).max()
    out = np.full((s.images, s.height, s.width, s.n + 3), 77, np.float32)
    c = Buffer(out)
    tiles_y, tiles_x = -(-s.height // v.out[0]), -(-s.width // v.out[1])
    tiles = s.images * tiles_y * tiles_x
    values = {
        "a": Buffer(x),
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
        "in_height": size[0],
        "in_width": size[1],
        "channels": s.channels,
        "n": s.n,
        "tiles_y": tiles_y,
        "tiles_x": tiles_x,
        "tiles": tiles,
        "block": block,
        "panels": -(-s.n // v.nr),
        "panel_bytes": v.panel_bytes(s.channels),
        "pitch": v.pitch(s.channels),
        "s0_lo": -5.0,
        "s0_hi": 9.0,
    }
    run(v, -(-tiles // block), values, outputs=[c])
    assert_array_equal(c.array[..., s.n :], 77)
    assert abs(c.array[..., : s.n] - expected).max() <= TOLERANCE * scale


@isas
@pytest.mark.parametrize(
    ("tile", "kernel"),
    [((8, 8), (5, 5)), ((16, 16), (9, 9)), ((4, 32), (1, 20)), ((8, 16), (3, 7))],
    ids=str,
)
def test_convolution(isa: Isa, tile: tuple[int, int], kernel: tuple[int, int]) -> None:
    v = FftConv(isa, 3, ("clamp",), *tile, *kernel)
    convolve(v, Shape(1, 11, 19, 3, 5), 3)
    convolve(v, Shape(2, 5, 6, isa.lanes, 2 * isa.lanes + 1), 6)


@pytest.mark.parametrize(
    ("tile", "kernel"), [((8, 64), (3, 39)), ((64, 4), (33, 2)), ((32, 32), (7, 7))], ids=str
)
def test_long_tiles(tile: tuple[int, int], kernel: tuple[int, int]) -> None:
    convolve(FftConv(AVX2, 6, ("clamp",), *tile, *kernel), Shape(1, 40, 50, 8, 8), 6)
