"""Intervals: published figures, coverage, and that they are always the same."""

from __future__ import annotations

import math

import numpy as np
import pytest

from edgewise.data.intervals import difference, figure, newcombe, p_value, wilson
from edgewise.data.metrics import METRICS
from edgewise.graph import Array

TOP1 = METRICS["top1"]


def table(both: int, lost: int, won: int, neither: int) -> tuple[Array, Array]:
    """Rows of two networks: samples right in both, in one only, in neither."""
    counts = (both, lost, won, neither)
    first, other = (np.repeat(right, counts)[:, None] for right in ([1, 1, 0, 0], [1, 0, 1, 0]))
    return first.astype(np.float64), other.astype(np.float64)


def test_wilson() -> None:
    """10 of 100, as textbooks have it; none and all of 10 end at the ends."""
    assert wilson(10, 100) == pytest.approx((0.05523, 0.17437), abs=1e-5)
    assert wilson(0, 10) == pytest.approx((0.0, 0.27753), abs=1e-5)
    assert wilson(10, 10) == pytest.approx((0.72247, 1.0), abs=1e-5)


def test_newcombe() -> None:
    """Bentur's data in Fagerland, Lydersen and Laake (2014): -0.507 to -0.026; McNemar 0.070."""
    assert newcombe(1, 7, 1, 12) == pytest.approx((-0.507, -0.026), abs=5e-4)
    first, other = table(1, 7, 1, 12)
    found = difference(TOP1, first, other)
    assert found == pytest.approx((-6 / 21, -0.507, -0.026), abs=5e-4)
    assert difference(TOP1, other, first) == pytest.approx((6 / 21, 0.026, 0.507), abs=5e-4)
    assert p_value(first, other) == pytest.approx(0.0703, abs=1e-4)


def test_equal_networks() -> None:
    rows, _ = table(30, 0, 0, 10)
    value, low, high = difference(TOP1, rows, rows)
    assert value == 0.0
    assert -0.07 < low < 0.0 < high < 0.07
    assert p_value(rows, rows) == 1.0


def test_mc_nemar_of_many_samples() -> None:
    first, other = table(50_000, 3000, 2000, 5000)
    assert p_value(first, other) < 1e-40
    first, other = table(50_000, 1020, 980, 5000)
    assert 0.3 < p_value(first, other) < 0.5


@pytest.mark.parametrize("name", ["top1", "class-accuracy"])
def test_differences_hold_the_truth_nineteen_times_in_twenty(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edgewise.data.intervals.RESAMPLES", 150)
    rng = np.random.default_rng(5)
    held = 0
    for _ in range(100):
        base = rng.random(120)
        first, other = (base < 0.8), (base < 0.7) ^ (rng.random(120) < 0.1)
        rows = [right[:, None].astype(np.float64) for right in (first, other)]
        if name == "class-accuracy":
            rows = [np.hstack([np.zeros((120, 1)), right]) for right in rows]
        found = difference(METRICS[name], *rows)
        truth = 0.7 * 0.9 + 0.3 * 0.1 - 0.8
        held += found.low <= truth <= found.high
    assert 88 <= held <= 100


def test_the_bootstrap_is_reproducible_and_paired() -> None:
    mse = METRICS["mse"]
    rng = np.random.default_rng(6)
    first = np.stack([rng.random(40), np.ones(40)], axis=-1)
    assert figure(mse, first) == figure(mse, first)
    low, high = figure(mse, first)[1:]
    assert low < first[:, 0].mean() < high
    shifted = first + np.array([0.25, 0.0])
    assert difference(mse, first, shifted) == pytest.approx((0.25, 0.25, 0.25))


def test_classes_that_no_map_has_take_no_part() -> None:
    rows = np.zeros((30, 255, 2), np.float32)
    rows[:, 3] = np.random.default_rng(7).integers(1, 9, (30, 2))
    rows[:, 3, 1] += 9
    found = figure(METRICS["miou"], rows)
    assert found.value == pytest.approx(rows[:, 3, 0].sum() / rows[:, 3, 1].sum())
    assert found.low < found.value < found.high


def test_exact_outputs_are_infinitely_good() -> None:
    rows = np.stack([[[4.0, 0.0]]] * 5)
    assert figure(METRICS["sqnr"], rows) == (math.inf, math.inf, math.inf)


def test_infinite_figures_may_be_equal() -> None:
    sqnr = METRICS["sqnr"]
    exact = np.stack([[[4.0, 0.0]]] * 5)
    other = np.stack([[[4.0, 0.0]]] * 4 + [[[4.0, 0.5]]])
    assert difference(sqnr, exact, exact) == (0.0, 0.0, 0.0)
    assert difference(sqnr, exact, other).value == -math.inf
    value, low, high = figure(sqnr, other)
    assert value == pytest.approx(10 * math.log10(20 / 0.5))
    assert low < value < high == math.inf


@pytest.mark.parametrize("name", ["mse", "class-accuracy", "sqnr"])
def test_one_sample_has_no_interval(name: str) -> None:
    rows = np.ones((1, 1, 2) if name == "sqnr" else (1, 2))
    value, low, high = figure(METRICS[name], rows)
    assert math.isfinite(value)
    assert math.isnan(low)
    assert math.isnan(high)
    assert math.isnan(difference(METRICS[name], rows, rows * 2).low)


def test_a_figure_that_is_none_has_no_interval() -> None:
    mse = np.ones((5, 2))
    mse[2, 0] = math.nan
    assert all(math.isnan(each) for each in figure(METRICS["mse"], mse))
    one_class = np.ones((5, 2))
    assert all(math.isnan(each) for each in figure(METRICS["auc"], one_class))
