"""Random files: LiteRT, references and programs agree."""

from __future__ import annotations

import numpy as np
import pytest
from differential import GENERATORS, check, check_network

SLOW, NETWORKS, SLOW_NETWORKS = 24, 6, 190
"""Files an operator in the long sweep, networks in the short one and the long one."""


@pytest.mark.parametrize("name", GENERATORS)
def test_operator(name: str) -> None:
    check(name, 0)


@pytest.mark.slow
@pytest.mark.parametrize("name", GENERATORS)
def test_operator_in_many_forms(name: str) -> None:
    ran = sum(check(name, seed) for seed in range(1, SLOW))
    assert ran > SLOW // 3, f"LiteRT runs {ran} of {SLOW} files"


@pytest.mark.parametrize("seed", range(NETWORKS))
def test_network(seed: int) -> None:
    check_network(seed)


@pytest.mark.slow
@pytest.mark.parametrize("first", range(NETWORKS, SLOW_NETWORKS, 32))
def test_many_networks(first: int) -> None:
    ran = [check_network(seed) for seed in range(first, first + 32)]
    assert np.mean(ran) > 0.9
