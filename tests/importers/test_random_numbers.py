"""Programs that draw random numbers: call after call LiteRT's, and their own."""

from __future__ import annotations

import numpy as np
import pytest
from moving_cases import CASES

import edgewise as ew
from edgewise.graph import Array
from tflite_builder import run_litert_calls

NAMES = ("random uniform", "random standard normal", "multinomial")


def operands(name: str) -> list[Array]:
    rng = np.random.default_rng(0)
    return [CASES[name].data(rng, v.type) for v in ew.load(CASES[name].file()).inputs]


@pytest.mark.parametrize("name", NAMES)
def test_calls_draw_litert_s_numbers(name: str) -> None:
    content, arrays = CASES[name].file(), operands(name)
    program = ew.compile(ew.load(content))
    drawn = []
    for (peer,) in run_litert_calls(content, [arrays] * 3):
        drawn.append(program(*arrays))
        np.testing.assert_allclose(drawn[-1], peer, atol=1e-5)
    assert not np.array_equal(drawn[0], drawn[1])
    program.reset()
    np.testing.assert_array_equal(program(*arrays), drawn[0])


@pytest.mark.parametrize("name", NAMES)
def test_programs_draw_apart(name: str) -> None:
    graph, arrays = ew.load(CASES[name].file()), operands(name)
    one, other = ew.compile(graph), ew.compile(graph)
    first = one(*arrays)
    one(*arrays)
    np.testing.assert_array_equal(other(*arrays), first)


def test_without_seeds_programs_of_one_process_agree_and_calls_differ() -> None:
    graph = ew.load(CASES["random uniform"]._replace(fields={}).file())
    one, other = ew.compile(graph), ew.compile(graph)
    first = one()
    np.testing.assert_array_equal(other(), first)
    assert not np.array_equal(one(), first)
