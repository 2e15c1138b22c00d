"""Which steps threads divide."""

from __future__ import annotations

import contextlib
from dataclasses import replace

import numpy as np
import pytest

import edgewise as ew
from edgewise.codegen.build import regions
from edgewise.codegen.pool_layout import SLOTS
from edgewise.dtype import DType
from edgewise.kernels.isa import ISAS
from edgewise.plan import context, division
from edgewise.plan.division import CALL_SECONDS, STEP_SECONDS, WORTH_SECONDS, divide
from edgewise.plan.model import HostStep, Step
from edgewise.runtime import plan_for
from networks import classifier, random_inputs, reference

AVX2 = next(isa for isa in ISAS if isa.name == "avx2")
LONG = 2 * (CALL_SECONDS + STEP_SECONDS) + WORTH_SECONDS
"""Seconds of a step that is worth waking threads for by itself."""


@pytest.fixture(scope="module")
def some() -> Step:
    plan = plan_for(classifier(DType.UINT8), AVX2)
    step = next(s for s in plan.steps if isinstance(s, Step))
    return replace(step, units=100, chunk=10, barrier=True, parts=())


def divided(*steps: Step | HostStep) -> list[bool]:
    return [isinstance(s, Step) and s.chunk < s.units for s in divide(steps)]


def test_long_steps_are_divided_and_short_ones_not(some: Step) -> None:
    long, short = replace(some, seconds=LONG), replace(some, seconds=0.9 * WORTH_SECONDS)
    assert divided(long, short, long) == [True, False, True]
    host = HostStep(0, (), ())
    assert divided(host, long, host) == [False, True, False]
    assert divide([host])[0] is host


def test_one_unit_is_not_divided(some: Step) -> None:
    assert divided(replace(some, units=1, chunk=1, seconds=1.0)) == [False]


def test_a_network_that_gains_little_stays_on_one_thread(some: Step) -> None:
    step = replace(some, seconds=WORTH_SECONDS)
    saved = WORTH_SECONDS / 2 - STEP_SECONDS
    few = int(CALL_SECONDS / saved * 0.99)
    assert divided(*[step] * few) == [False] * few
    many = int(CALL_SECONDS / saved * 1.01) + 1
    assert divided(*[step] * many) == [True] * many


def test_a_fused_step_takes_the_time_of_its_parts(some: Step) -> None:
    part = replace(some, seconds=LONG / 2)
    assert divided(replace(some, seconds=0.0, parts=(part,))) == [False]
    assert divided(replace(some, seconds=0.0, parts=(part,) * 2)) == [True]


def test_estimates_reach_the_steps() -> None:
    plan = plan_for(classifier(DType.UINT8), AVX2)
    assert all(s.seconds > 0 for s in plan.steps if isinstance(s, Step) and not s.parts)


class TestRegions:
    def test_runs_of_steps(self, some: Step) -> None:
        single = replace(some, chunk=some.units)
        assert list(regions([])) == []
        assert list(regions([single, single])) == [(False, range(2))]
        steps = [single, some, some, single, single, some]
        assert list(regions(steps)) == [
            (False, range(1)),
            (True, range(1, 3)),
            (False, range(3, 5)),
            (True, range(5, 6)),
        ]

    def test_steps_without_a_barrier_stay_together(self, some: Step) -> None:
        free = replace(some, chunk=some.units, barrier=False)
        single = replace(free, barrier=True)
        assert list(regions([free, some, single])) == [(True, range(2)), (False, range(2, 3))]
        assert list(regions([free, free, single])) == [(False, range(3))]
        assert list(regions([some, free])) == [(True, range(1)), (False, range(1, 2))]

    def test_no_region_has_more_steps_than_slots(self, some: Step) -> None:
        found = list(regions([some] * (2 * SLOTS + 1)))
        assert [len(numbers) for _, numbers in found] == [SLOTS, SLOTS, 1]
        assert all(divided for divided, _ in found)


@pytest.mark.parametrize("threads", [2, 3, 5])
@pytest.mark.parametrize("dtype", [DType.UINT8, DType.INT8], ids=str)
def test_results_where_every_step_is_divided(
    threads: int, dtype: DType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every step in chunks of one unit, many times: an order that matters would show."""
    monkeypatch.setattr(division, "WORTH_SECONDS", 0.0)
    monkeypatch.setattr(division, "CALL_SECONDS", -1.0)
    monkeypatch.setattr(context, "CHUNK_SECONDS", 1e-12)
    graph = classifier(dtype)
    arrays = random_inputs(graph)
    expected = reference(graph, arrays)
    with contextlib.closing(ew.compile(graph, threads=threads)) as program:
        steps = [s for s in program.plan.steps if isinstance(s, Step) and not s.parts]
        assert all(s.chunk == 1 for s in steps)
        for _ in range(100):
            for got, known in zip(program(*arrays), expected, strict=True):
                np.testing.assert_array_equal(got, known)
