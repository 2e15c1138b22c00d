"""One network, all contestants, interleaved rounds: what JSON says of it."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edgewise import timing
from edgewise.errors import EdgewiseError, InputError
from edgewise.graph import Array, Graph

from . import agreement
from .kinds import kind_of, name_of
from .peers import CONTESTANTS, SUBJECT, Contestant
from .worker import Opened, Worker

REST_SECONDS = 0.005
"""How long contestants have to be at rest before one is sampled: threads may spin before they
sleep.
"""

REST_SHARE = 0.05
"""Of a processor; what less than that takes is at rest."""

PATIENCE_SECONDS = 0.3
"""How long that is waited for."""

Facts = dict[str, Any]


def match(
    model: Path,
    graph: Graph,
    arrays: Sequence[Array],
    threads: int,
    workers: Mapping[str, Worker],
    rounds: int,
    seed: int = 0,
    isa: str | None = None,
    progress: Callable[[], None] = lambda: None,
) -> Facts:
    """Time a network on inputs in all workers that take it; Edgewise's is among them.

    Raises:
        EdgewiseError: Edgewise cannot run the network.
    """
    ours: Sequence[Array] = ()
    opened: dict[str, Opened] = {}
    found: dict[str, Facts] = {}
    missing: dict[str, str] = {}
    for key in sorted(workers, key=lambda k: k != SUBJECT):
        try:
            result = _opened(key, workers[key], model, graph, threads, arrays, ours, isa)
            opened[key], outputs, found[key] = result
        except EdgewiseError as error:
            if key == SUBJECT:
                raise
            missing[key] = str(error)
            continue
        ours = outputs if key == SUBJECT else ours
    calls = {key: workers[key].calibrate() for key in opened}
    watch = Watch({key: workers[key] for key in opened})
    samplers = {key: functools.partial(watch.sample, key, calls[key]) for key in opened}
    samples = timing.interleave(samplers, rounds, seed, progress)
    for key in opened:
        workers[key].close()
    return {
        "network": name_of(model),
        "kind": kind_of(model, graph),
        "threads": threads,
        "timings": {
            key: {
                "name": opened[key].name,
                "path": opened[key].path,
                "calls_per_sample": calls[key],
                **_statistics(samples[key]),
                **found[key],
                "idle_cpu": round(watch.idle_share(key), 4),
            }
            for key in opened
        },
        "ratios": {key: _ratio(samples[SUBJECT], samples[key]) for key in opened if key != SUBJECT},
        "missing": missing,
    }


def _opened(
    key: str,
    worker: Worker,
    model: Path,
    graph: Graph,
    threads: int,
    arrays: Sequence[Array],
    ours: Sequence[Array],
    isa: str | None,
) -> tuple[Opened, Sequence[Array], Facts]:
    """Open a network in the first variant that computes it right; its outputs, and how far they
    are from ``ours``: a "difference" in numbers, or where they disagree in words.
    """
    contestant = CONTESTANTS[key]
    refusals = []
    for variant in contestant.variants:
        options = dict(variant)
        if isa is not None and contestant.package == "edgewise":
            options["isa"] = isa
        try:
            opened = worker.open(model, threads, options)
            outputs = worker.run(arrays)
            if key == SUBJECT:
                return opened, outputs, {}
            found = _compared(graph, ours, outputs, contestant)
            return opened, outputs, found
        except InputError as error:
            refusals.append(str(error))
    worker.close()
    raise InputError(refusals[0])


def _compared(
    graph: Graph, ours: Sequence[Array], outputs: Sequence[Array], contestant: Contestant
) -> Facts:
    try:
        share = agreement.check(graph, ours, outputs, contestant.approximate)
    except InputError as error:
        if contestant.reads:
            return {"disagrees": str(error)}
        raise
    return {"difference": float(f"{share:.2g}")}


class Watch:
    """Takes samples, and notes what the processes that are not sampled do meanwhile."""

    def __init__(self, workers: Mapping[str, Worker]) -> None:
        self._workers = workers
        self._idle = dict.fromkeys(workers, 0.0)
        self._passed = dict.fromkeys(workers, 0.0)

    def sample(self, key: str, calls: int) -> float:
        """Seconds a call of one worker, once all are at rest."""
        self.rest()
        before = {k: w.cpu_seconds() for k, w in self._workers.items() if k != key}
        start = time.perf_counter()
        seconds = self._workers[key].sample(calls)
        passed = time.perf_counter() - start
        for other, used in before.items():
            self._idle[other] += self._workers[other].cpu_seconds() - used
            self._passed[other] += passed
        return seconds

    def rest(self) -> None:
        """Wait until the processes take next to no time."""
        last = time.perf_counter() + PATIENCE_SECONDS
        while time.perf_counter() < last:
            before, start = self._used(), time.perf_counter()
            time.sleep(REST_SECONDS)
            if self._used() - before < REST_SHARE * (time.perf_counter() - start):
                return

    def _used(self) -> float:
        return sum(worker.cpu_seconds() for worker in self._workers.values())

    def idle_share(self, key: str) -> float:
        """How much of a processor a worker took while others were sampled."""
        return self._idle[key] / self._passed[key] if self._passed[key] else 0.0


def _statistics(samples: Sequence[float]) -> Facts:
    low, median, high = np.quantile(samples, (0.25, 0.5, 0.75)) * 1e3
    return {
        "median_ms": _rounded(median),
        "quartiles_ms": [_rounded(low), _rounded(high)],
        "fastest_ms": _rounded(min(samples) * 1e3),
    }


def _ratio(ours: Sequence[float], theirs: Sequence[float]) -> Facts:
    found = timing.speed_ratio(ours, theirs)
    return {
        "value": _rounded(found.value),
        "low": _rounded(found.low),
        "high": _rounded(found.high),
    }


def _rounded(value: float) -> float:
    return float(f"{value:.5g}")
