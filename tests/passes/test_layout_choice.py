"""Bucket elimination: the cheapest of all choices, or a bound that no choice goes below."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgewise.passes.layout_choice import Factor, minimize, price


def random_factors(seed: int, sizes: list[int], count: int) -> list[Factor]:
    rng = np.random.default_rng(seed)
    factors = [Factor((), np.array(5.0))]
    for _ in range(count):
        arity = int(rng.integers(1, min(3, len(sizes)) + 1))
        scope = tuple(int(v) for v in rng.permutation(len(sizes))[:arity])
        table = rng.integers(0, 100, [sizes[v] for v in scope]).astype(float)
        factors.append(Factor(scope, table))
    return factors


def least(sizes: list[int], factors: list[Factor]) -> float:
    return min(price(chosen, factors) for chosen in itertools.product(*map(range, sizes)))


@given(st.integers(0, 10**6), st.lists(st.integers(1, 3), min_size=1, max_size=6))
@settings(max_examples=60, deadline=None)
def test_the_choice_is_the_cheapest_and_the_bound_says_so(seed: int, sizes: list[int]) -> None:
    factors = random_factors(seed, sizes, 2 * len(sizes))
    choice = minimize(sizes, factors)
    assert choice.cost == choice.bound == price(choice.chosen, factors) == least(sizes, factors)


@given(st.integers(0, 10**6), st.sampled_from((2, 4, 9)))
@settings(max_examples=60, deadline=None)
def test_small_tables_give_a_bound_below_every_choice(seed: int, largest: int) -> None:
    sizes = [2, 3, 2, 3, 2]
    factors = random_factors(seed, sizes, 12)
    choice = minimize(sizes, factors, largest)
    assert choice.bound <= least(sizes, factors) <= choice.cost == price(choice.chosen, factors)


def test_a_forbidden_choice_is_not_taken() -> None:
    never = Factor((0, 1), np.array([[np.inf, 7.0], [9.0, np.inf]]))
    assert minimize([2, 2], [never]) == ([0, 1], 7.0, 7.0)


def test_the_first_of_equal_choices_is_taken() -> None:
    assert minimize([3, 2], [Factor((0, 1), np.ones((3, 2)))]).chosen == [0, 0]


@pytest.mark.parametrize("count", [1, 3000])
def test_a_chain_takes_time_in_proportion(count: int) -> None:
    differ = np.array([[0.0, 1.0], [1.0, 0.0]])
    ends = [Factor((0,), np.array([0.0, 9.0])), Factor((count,), np.array([9.0, 0.0]))]
    chain = [Factor((i, i + 1), differ) for i in range(count)]
    assert minimize([2] * (count + 1), ends + chain).bound == 1.0
