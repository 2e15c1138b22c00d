"""The statistics and the order of benchmarks, on synthetic samples and clocks."""

from __future__ import annotations

import gc
from collections.abc import Callable

import numpy as np
import pytest

from edgewise import timing
from edgewise.errors import InputError


class Machine:
    """A clock that work advances, and the order in which work was done."""

    def __init__(self) -> None:
        self.now = 0.0
        self.log: list[str] = []

    def clock(self) -> float:
        return self.now

    def work(self, name: str, seconds: float) -> Callable[[], None]:
        def call() -> None:
            self.now += seconds
            self.log.append(name)

        return call


def test_calibration_makes_samples_of_20_ms() -> None:
    machine = Machine()
    assert timing.calibrate(machine.work("a", 0.001), machine.clock) == 20
    assert len(machine.log) == pytest.approx(timing.WARM_UP_SECONDS / 0.001, abs=2)
    assert timing.calibrate(machine.work("b", 0.5), machine.clock) == 1


def test_rounds_are_interleaved_in_changing_order() -> None:
    machine = Machine()
    contestants = {name: machine.work(name, 0.02) for name in "abc"}
    results = timing.measure(contestants, 30, seed=1, clock=machine.clock)
    per_round = np.array(machine.log[-30 * 6 :]).reshape(30, 3, 2)
    assert (per_round[:, :, 0] == per_round[:, :, 1]).all()
    orders = {"".join(r) for r in per_round[:, :, 0]}
    assert {"".join(sorted(o)) for o in orders} == {"abc"}
    assert len(orders) >= 4
    assert [r.name for r in results] == ["a", "b", "c"]
    assert all(len(r.samples) == 30 for r in results)


def test_samples_are_seconds_a_call() -> None:
    machine = Machine()
    (result,) = timing.measure({"a": machine.work("a", 0.004)}, 5, clock=machine.clock)
    assert result.calls == 5
    assert result.samples == pytest.approx([0.004] * 5)
    assert result.median == pytest.approx(0.004)


def test_garbage_collection_is_restored_after_a_failure() -> None:
    def fail() -> None:
        if not gc.isenabled():
            raise RuntimeError("in a sample")
        machine.now += 1.0

    machine = Machine()
    with pytest.raises(RuntimeError, match="in a sample"):
        timing.measure({"a": fail}, 5, clock=machine.clock)
    assert gc.isenabled()


def test_too_few_rounds() -> None:
    with pytest.raises(InputError, match="--rounds 2"):
        timing.measure({}, 2)


def test_quartiles() -> None:
    sample = timing.Timing("a", (1.0, 2.0, 3.0, 4.0, 100.0), 1)
    assert sample.median == 3.0
    assert sample.quartiles == (2.0, 4.0)


def test_a_constant_ratio_has_no_spread() -> None:
    ours = np.random.default_rng(0).uniform(1, 2, 30)
    ratio = timing.speed_ratio([1.0] * 30, [2.0] * 30)
    assert (ratio.value, ratio.low, ratio.high, ratio.verdict) == (2.0, 2.0, 2.0, "faster")
    drifting = timing.speed_ratio(list(ours), list(ours * 3))
    assert (drifting.low, drifting.high) == pytest.approx((3.0, 3.0))


def test_the_interval_holds_the_truth_nineteen_times_in_twenty() -> None:
    rng = np.random.default_rng(7)
    held = 0
    for seed in range(100):
        ours, theirs = rng.lognormal(0.0, 0.05, 40), 1.1 * rng.lognormal(0.0, 0.05, 40)
        ratio = timing.speed_ratio(list(ours), list(theirs), seed=seed)
        held += ratio.low <= 1.1 <= ratio.high
    assert 88 <= held <= 100


def test_equal_contestants_are_even() -> None:
    samples = np.random.default_rng(3).lognormal(0.0, 0.1, (2, 40))
    assert timing.speed_ratio(list(samples[0]), list(samples[1])).verdict == "even"
    assert timing.speed_ratio(list(samples[0]), list(samples[0] / 2)).verdict == "slower"


def test_the_interval_is_reproducible() -> None:
    ours, theirs = np.random.default_rng(1).lognormal(0.0, 0.1, (2, 20))
    assert timing.speed_ratio(list(ours), list(theirs)) == timing.speed_ratio(
        list(ours), list(theirs)
    )


@pytest.mark.parametrize(("ours", "theirs"), [([], []), ([1.0], [1.0, 2.0])])
def test_samples_must_be_paired(ours: list[float], theirs: list[float]) -> None:
    with pytest.raises(InputError, match="paired"):
        timing.speed_ratio(ours, theirs)
