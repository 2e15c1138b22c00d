"""Products by pmaddubsw, which saturates: groups of weights at the edges of what fits."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edgewise.kernels import qbytes
from edgewise.kernels.dot import Pmaddwd
from edgewise.kernels.isa import AVX2, ISAS
from edgewise.kernels.qbytes import TILES, QBytes

from .layers import CONVOLUTIONS, Layer, matrix
from .qproducts import Rule
from .test_qgemm import Operands, check, operands

HALVES, ALONE, NEITHER = 0, 1, 2
GROUPS = (
    ((64, 64, -64, -64), (0, 0, 0, 0), HALVES),
    ((32, 32, 0, 1), (60, 4, 127, -128), HALVES),
    ((127, -128, -128, 127), (1, 0, 0, 1), HALVES),
    ((100, 0, -128, 127), (0, 28, 0, 1), HALVES),
    ((127, -128, 0, 0), (2, 0, 0, 0), ALONE),
    ((64, 64, 0, 0), (0, 1, 0, 0), ALONE),
    ((0, 0, -64, -64), (0, 0, 0, -1), ALONE),
    ((127, 1, -127, -1), (64, 64, 64, 64), ALONE),
    ((64, 65, 0, 0), (0, 0, 0, 0), NEITHER),
    ((0, 0, -1, -128), (0, 0, 0, 0), NEITHER),
    ((127, 127, -128, -128), (127, 127, 127, 127), NEITHER),
)
"""Weights of two neighbouring groups, and what becomes of the first."""


def variants() -> list[Any]:
    isas = [isa for isa in ISAS if type(isa.gemm) is Pmaddwd]
    found = [QBytes(isa, mr, nv, False) for isa in isas for mr, nv in TILES]
    return [pytest.param(v, id=v.symbol, marks=pytest.mark.isa) for v in found]


def weights_of(v: QBytes, column: int) -> np.ndarray[Any, Any]:
    """int8[columns, K]: all GROUPS in one column of a panel, small weights in the others."""
    w = np.random.default_rng(column).integers(-3, 4, (v.nr, 8 * len(GROUPS)))
    w[column] = np.array([[*first, *second] for first, second, _ in GROUPS]).ravel()
    return w.astype(np.int8)


@pytest.mark.parametrize("case", range(len(GROUPS)))
def test_what_fits(case: int) -> None:
    first, second, kind = GROUPS[case]
    v = QBytes(AVX2, 4, 2, False)
    weights = np.zeros((20, 1, 8), np.int8)
    weights[17, 0] = (*first, *second)
    alone, joined = v.fits(qbytes.column_fits(weights))
    assert alone[0].all()
    assert joined[0].all()
    assert alone[1, 0] == (kind != NEITHER)
    assert joined[1, 0] == (kind == HALVES)


def test_shares_of_steps() -> None:
    v = QBytes(AVX2, 4, 2, False)
    w = np.zeros((16, 1, 28), np.int8)
    w[3, 0, 8:10] = 64, 64
    w[3, 0, 12:14] = 1, 0
    w[5, 0, 16:18] = 127, 127
    assert v.fits(qbytes.column_fits(w)).share() == (2 / 7, 4 / 7)


@pytest.mark.parametrize("v", variants())
@pytest.mark.parametrize("fill", ["high", "mixed"])
def test_weights_at_the_limits(v: QBytes, fill: str) -> None:
    low, high = 0, 255
    for column in (0, v.nr // 2 + 1, v.nr - 1):
        w = weights_of(v, column)
        layer = matrix(v.mr + 1, v.nr, w.shape[1])
        x = operands(v, layer, np.random.default_rng(column), fill).x
        check(v, layer, Rule(128, low, high), Operands(x, w, np.zeros(v.nr, np.int32)))


def test_more_than_the_limit_would_saturate(monkeypatch: pytest.MonkeyPatch) -> None:
    v = QBytes(AVX2, 4, 2, False)
    layer = matrix(4, 16, 4)
    x, w = np.full(layer.input_shape, 255, np.uint8), np.zeros((16, 4), np.int8)
    w[:, :2] = 64, 65
    given, rule = Operands(x, w, np.zeros(16, np.int32)), Rule(0, 0, 255, 1 / 150)
    check(v, layer, rule, given)
    monkeypatch.setattr(qbytes, "LIMIT", 129)
    with pytest.raises(AssertionError):
        check(v, layer, rule, given)


@pytest.mark.parametrize("v", variants())
def test_windows_of_all_kinds_of_steps(v: QBytes) -> None:
    """Runs whose ends are parts of groups; weights that fit in part."""
    for i, layer in enumerate((*CONVOLUTIONS, Layer(v.nr + 3, 9, (1, 4, 5), (3, 3)))):
        rng = np.random.default_rng(i)
        given = operands(v, layer, rng)
        w = rng.normal(0, rng.choice([10, 30, 60], given.w.shape)).clip(-128, 127).astype(np.int8)
        check(v, layer, Rule(100, 3, 250), Operands(given.x, w, given.bias), tight=layer.joined)
