"""Fair timing: interleaved rounds in one process, medians, and the interval of a ratio.

Each round times every contestant once, in an order drawn anew, so that what disturbs the machine
disturbs all of them alike. One sample is the mean of enough calls to last about 20 ms, after one
call that is not timed. Rounds are pairs: the interval of a ratio is found by drawing whole rounds
(Efron's bootstrap, percentile method).
"""

from __future__ import annotations

import functools
import gc
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from .errors import InputError

SAMPLE_SECONDS = 0.020
WARM_UP_SECONDS = 0.3
RESAMPLES = 10_000

Call = Callable[[], object]


@dataclass(frozen=True)
class Timing:
    """Samples of one contestant, in seconds a call, one a round; ``calls`` make one sample."""

    name: str
    samples: tuple[float, ...]
    calls: int

    @property
    def median(self) -> float:
        return float(np.median(self.samples))

    @property
    def quartiles(self) -> tuple[float, float]:
        low, high = np.quantile(self.samples, (0.25, 0.75))
        return float(low), float(high)


@dataclass(frozen=True)
class Ratio:
    """How many times as fast the subject is as the peer, with its 95 % interval."""

    value: float
    low: float
    high: float

    @property
    def verdict(self) -> str:
        """``faster`` or ``slower`` where the interval excludes 1, else ``even``."""
        if self.low > 1.0:
            return "faster"
        return "slower" if self.high < 1.0 else "even"


def measure(
    contestants: Mapping[str, Call],
    rounds: int,
    seed: int = 0,
    clock: Callable[[], float] = time.perf_counter,
    progress: Callable[[], None] = lambda: None,
) -> list[Timing]:
    """Time the contestants in ``rounds`` interleaved rounds.

    ``progress`` is called after each round. Garbage is collected before each round and never
    within a sample.

    Raises:
        InputError: fewer than 3 rounds, from which no spread can be told.
    """
    check_rounds(rounds)
    calls = {name: calibrate(call, clock) for name, call in contestants.items()}
    samplers = {
        name: functools.partial(sample, call, calls[name], clock)
        for name, call in contestants.items()
    }
    samples = interleave(samplers, rounds, seed, progress)
    return [Timing(name, tuple(samples[name]), calls[name]) for name in contestants]


def check_rounds(rounds: int) -> None:
    """Refuse fewer rounds than tell a spread.

    Raises:
        InputError: fewer than 3.
    """
    if rounds < 3:
        raise InputError(f"--rounds {rounds}: at least 3 are needed")


def interleave(
    samplers: Mapping[str, Callable[[], float]],
    rounds: int,
    seed: int = 0,
    progress: Callable[[], None] = lambda: None,
) -> dict[str, list[float]]:
    """One sample a round of each sampler, in an order drawn anew for each round."""
    samples: dict[str, list[float]] = {name: [] for name in samplers}
    order = list(samplers)
    draw = random.Random(seed)
    collecting = gc.isenabled()
    try:
        for _ in range(rounds):
            gc.enable()
            gc.collect(0)
            gc.disable()
            draw.shuffle(order)
            for name in order:
                samples[name].append(samplers[name]())
            progress()
    finally:
        if collecting:
            gc.enable()
    return samples


def calibrate(call: Call, clock: Callable[[], float] = time.perf_counter) -> int:
    """Warm up ``call``, then choose how many of them make a sample of about 20 ms."""
    begin = clock()
    fastest = float("inf")
    while True:
        start = clock()
        call()
        now = clock()
        fastest = min(fastest, now - start)
        if now - begin >= WARM_UP_SECONDS:
            break
    return max(1, round(SAMPLE_SECONDS / max(fastest, 1e-7)))


def speed_ratio(
    subject: Sequence[float], peer: Sequence[float], confidence: float = 0.95, seed: int = 0
) -> Ratio:
    """The ratio of medians peer / subject over paired samples, with its bootstrap interval.

    Raises:
        InputError: samples that are not in pairs.
    """
    if len(subject) != len(peer) or not subject:
        raise InputError(f"ratio: {len(subject)} and {len(peer)} samples; they must be paired")
    ours, theirs = np.asarray(subject, np.float64), np.asarray(peer, np.float64)
    rounds = np.random.default_rng(seed).integers(0, len(ours), size=(RESAMPLES, len(ours)))
    ratios = np.median(theirs[rounds], axis=1) / np.median(ours[rounds], axis=1)
    tail = (1.0 - confidence) / 2
    low, high = np.quantile(ratios, (tail, 1.0 - tail))
    return Ratio(float(np.median(theirs) / np.median(ours)), float(low), float(high))


def sample(call: Call, calls: int, clock: Callable[[], float] = time.perf_counter) -> float:
    """Seconds a call: the mean of ``calls`` after one that is not timed."""
    call()
    start = clock()
    for _ in range(calls):
        call()
    return (clock() - start) / calls
