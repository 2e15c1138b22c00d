"""Rounding of weights, on cases whose best result is known."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from edgewise.quantizer.columns import Columns
from edgewise.quantizer.rounding import (
    BLOCK,
    Floats,
    Grid,
    Moments,
    carried,
    compensated,
    damped,
    descended,
)

GRID = Grid(np.ones((1, 1, 1)), np.full((1, 1, 1), -7.0), np.full((1, 1, 1), 7.0))


def correlated(groups: int, terms: int, seed: int = 0, count: int = 400) -> Floats:
    """Columns whose terms depend on each other."""
    rng = np.random.default_rng(seed)
    mix = rng.normal(size=(groups, terms, terms)) / np.sqrt(terms) + np.eye(terms)
    return np.asarray(rng.normal(size=(groups, count, terms)) @ mix)


def moments(columns: Floats) -> Floats:
    return np.asarray(columns.swapaxes(1, 2) @ columns / columns.shape[1])


def error(rounded: Floats, weights: Floats, metric: Floats) -> Floats:
    """The mean square error of each row's product."""
    apart = rounded - weights
    return np.asarray(np.einsum("grk,grk->gr", apart @ metric, apart))


def least(weights: Floats, metric: Floats) -> Floats:
    """The least error of each row, by trying both integers next to each weight."""
    below = np.floor(weights)
    shares = itertools.product((0, 1), repeat=weights.shape[2])
    return np.min([error(below + np.array(s), weights, metric) for s in shares], axis=0)


def test_few_terms_are_rounded_nearly_as_well_as_can_be() -> None:
    metric = moments(correlated(10, 6))
    weights = np.random.default_rng(1).uniform(-5, 5, (10, 20, 6))
    nearest = GRID.nearest(weights)
    one = carried(weights, metric, GRID)
    both = descended(one, weights, metric, GRID)
    errors = [error(found, weights, metric).mean() for found in (nearest, one, both)]
    assert errors == sorted(errors, reverse=True)
    assert errors[2] < 0.7 * errors[0]
    assert errors[2] < 1.4 * least(weights, metric).mean()


def test_where_terms_do_not_depend_on_each_other_nearest_is_best() -> None:
    weights = np.random.default_rng(1).uniform(-5, 5, (2, 3, 5))
    metric = np.stack([np.diag([1.0, 2, 3, 4, 5])] * 2)
    np.testing.assert_array_equal(carried(weights, metric, GRID), GRID.nearest(weights))
    np.testing.assert_array_equal(
        descended(GRID.nearest(weights), weights, metric, GRID), GRID.nearest(weights)
    )


def test_two_terms_that_are_one_share_their_error() -> None:
    """0.4 + 0.4 of the same input is nearer to 1 than to 0."""
    weights = np.full((1, 1, 2), 0.4)
    metric = damped(np.ones((1, 2, 2)), 1e-6)
    for found in (
        carried(weights, metric, GRID),
        descended(GRID.nearest(weights), weights, metric, GRID),
    ):
        assert found.sum() == 1


@pytest.mark.parametrize("terms", [1, BLOCK - 1, BLOCK, 2 * BLOCK + 3])
def test_blocks_of_terms_change_nothing(terms: int, monkeypatch: pytest.MonkeyPatch) -> None:
    columns = correlated(2, terms, count=1000)
    metric = damped(moments(columns), 0.01)
    weights = np.random.default_rng(2).uniform(-5, 5, (2, 3, terms))
    found = carried(weights, metric, GRID)
    better = descended(found, weights, metric, GRID)
    monkeypatch.setattr("edgewise.quantizer.rounding.BLOCK", 10**6)
    np.testing.assert_array_equal(carried(weights, metric, GRID), found)
    np.testing.assert_array_equal(descended(found, weights, metric, GRID), better)
    nearest = error(GRID.nearest(weights), weights, metric)
    assert np.all(error(better, weights, metric) <= error(found, weights, metric) + 1e-9)
    assert error(better, weights, metric).sum() <= nearest.sum()
    assert terms == 1 or error(better, weights, metric).sum() < 0.8 * nearest.sum()


def test_results_lie_on_the_grid() -> None:
    grid = Grid(np.array([[[0.5], [0.25]]]), np.full((1, 2, 1), -3.0), np.full((1, 2, 1), 3.0))
    weights = np.random.default_rng(3).uniform(-3, 3, (1, 2, 9))
    metric = moments(correlated(1, 9))
    found = descended(carried(weights, metric, grid), weights, metric, grid) / grid.scale
    np.testing.assert_array_equal(found, np.rint(found))
    assert np.abs(found).max() == 3


def test_compensation_undoes_a_linear_change_of_the_inputs() -> None:
    exact = correlated(2, 4).astype(np.float32)
    given = (exact * np.float32(0.5) + np.float32(3)).astype(np.float32)
    weights = np.random.default_rng(4).normal(size=(2, 3, 4))
    found = compensated(weights, Moments.of(Columns(exact, given)), 1e-9)
    np.testing.assert_allclose(found, 2 * weights, rtol=1e-3, atol=1e-3)
    kept = compensated(weights, Moments.of(Columns(exact, given)), 1e9)
    np.testing.assert_allclose(kept, weights, rtol=1e-6, atol=1e-6)


def test_inputs_that_never_change_leave_weights_as_they_were() -> None:
    still = np.full((1, 8, 3), 2.0, np.float32)
    found = Moments.of(Columns(still, still))
    weights = np.array([[[0.4, 1.6, -0.3]]])
    assert not found.given.any()
    np.testing.assert_allclose(compensated(weights, found, 0.1), weights)
    metric = damped(found.given, 0.01)
    np.testing.assert_array_equal(carried(weights, metric, GRID), GRID.nearest(weights))


def test_moments_are_about_the_means() -> None:
    rng = np.random.default_rng(5)
    exact = rng.normal(2, 1, (1, 1000, 3)).astype(np.float32)
    given = rng.normal(-1, 2, (1, 1000, 3)).astype(np.float32)
    found = Moments.of(Columns(exact, given))
    both = np.cov(exact[0].T, given[0].T, bias=True)
    np.testing.assert_allclose(found.given[0], both[3:, 3:], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found.cross[0], both[:3, 3:], rtol=1e-4, atol=1e-5)
