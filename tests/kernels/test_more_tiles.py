"""Tiles of matrix products that only a measurement chooses."""

from __future__ import annotations

import numpy as np
import pytest

from edgewise.kernels.gemm import Gemm
from edgewise.kernels.isa import ISAS, Isa
from edgewise.kernels.qgemm import QGemm
from edgewise.plan.select import REAL_WIDTHS, WIDTHS, Tile, more_tiles

from . import test_gemm, test_qgemm
from .layers import Layer, matrix
from .qproducts import rules


def integer_tiles(isa: Isa) -> list[Tile]:
    return more_tiles(isa, WIDTHS, 2, isa.costs.tiles)


def real_tiles(isa: Isa) -> list[Tile]:
    return more_tiles(isa, REAL_WIDTHS, 1, isa.costs.floats.tiles)


def each(tiles: list[tuple[Isa, Tile]]) -> pytest.MarkDecorator:
    found = [
        pytest.param(isa, *tile, id=f"{isa}-{tile[0]}x{tile[1]}", marks=pytest.mark.isa)
        for isa, tile in tiles
    ]
    return pytest.mark.parametrize(("isa", "mr", "nv"), found)


@each([(isa, tile) for isa in ISAS for tile in integer_tiles(isa)])
def test_integers(isa: Isa, mr: int, nv: int) -> None:
    """Rows and columns of whole tiles and in part, with all that may follow."""
    gather = test_qgemm.gathers(isa)[-1]
    nr = nv * isa.lanes
    layers = [
        matrix(mr + 1, nr + 3, 37),
        matrix(1, 5, 64),
        Layer(nr, 3, (1, 2, mr), (3, 3), (2, 2), (1, 1), joined=True),
    ]
    for i, layer in enumerate(layers):
        v = QGemm(isa, mr, nv, gather, weight_zero_point=i % 2 == 0, add=i < 2)
        given = test_qgemm.operands(v, layer, np.random.default_rng(i))
        test_qgemm.check(v, layer, rules(isa)[i % len(rules(isa))], given, seed=i)


@each([(isa, tile) for isa in ISAS for tile in real_tiles(isa)])
def test_floats(isa: Isa, mr: int, nv: int) -> None:
    """Rows and columns of whole tiles and in part."""
    nr = nv * isa.lanes
    layers = [
        matrix(mr + 1, nr + 3, 37),
        matrix(1, 5, 64),
        Layer(2 * nr + isa.lanes, 3, (1, 2, mr), (3, 3), (2, 2), (1, 1), joined=True),
    ]
    for i, layer in enumerate(layers):
        v = Gemm.of(isa, mr, nv, layer.n, ("add", "relu")[: i % 3])
        test_gemm.check(v, layer, tight=i % 2 == 0, seed=i)


@pytest.mark.parametrize("isa", ISAS, ids=str)
def test_tiles(isa: Isa) -> None:
    """None is listed, and all of them leave registers for the operands."""
    registers = 32 if isa.bits == 512 or isa.arch == "aarch64" else 16
    for tiles, listed in (
        (integer_tiles(isa), isa.costs.tiles),
        (real_tiles(isa), isa.costs.floats.tiles),
    ):
        assert len(tiles) == len(set(tiles)) > 3
        assert not set(tiles) & set(listed)
        assert all(mr >= 1 and mr * nv + nv < registers for mr, nv in tiles)
