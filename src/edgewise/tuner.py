"""Choosing a network's kernels by measurement: see docs/tuning.md.

The candidates of one problem (``plan.choices``) are timed side by side: a plan whose steps are the
same part of the network done by each of them, one after another, with the operands where the
network has them. What seems faster has to be faster within the network too, step by step and as a
whole, or the cost model's choice stays.
"""

from __future__ import annotations

import contextlib
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

import numpy as np

from .codegen import cache, tuned
from .codegen.module import choose_isa
from .codegen.policy import decide
from .codegen.target import host
from .codegen.timing import StepTimer
from .errors import InputError
from .execution import Options, plan_for
from .graph import Array, Graph, Node
from .kernels.isa import Isa
from .plan import Plan, Step
from .plan.alternatives import alternatives
from .plan.choices import UNTUNED, Choice, Tuning
from .runtime import Program

CHECKING = 0.3
"""The share of the budget that is kept for timing the whole network."""

HOPELESS, MOST = 3.0, 12
"""Candidates that the cost model expects to take so many times as long as the best stay out, and
those beyond so many: the weights of all of them together must fit the caches about as well as the
network's do."""

WORTHWHILE, WORTHWHILE_INSIDE = 0.98, 0.99
"""Of the time of the cost model's choice, alone and within the network: what takes longer than that
does not replace it."""

TYPICAL = 0.25
"""The quantile of times that counts: what disturbs a machine only adds to them."""

SHORTEST = 1e-9
"""Seconds: what takes less than a tick of the clock is told to take that."""

PROBLEM_SECONDS, PROBLEM_ROUNDS = 0.15, 5
"""How long the candidates of a problem are timed, and how often at the least."""

NETWORK_SECONDS, NETWORK_ROUNDS = 2.0, 500
"""How long the whole network is timed, and how often, at the most."""

Measured = dict[str, dict[str, float]]

T = TypeVar("T")


@dataclass(frozen=True)
class Change:
    """A problem whose best candidate is another than the cost model's.

    Attributes:
        layers: the nodes that have it.
        before, after: kernels, by symbol.
        seconds: of one product by each of the two, timed side by side.
        in_network: seconds of ``layers`` by each of the two, as parts of the network; None where
            that was not timed.
        kept: whether it is faster there too.
    """

    problem: str
    layers: tuple[Node, ...]
    before: str
    after: str
    seconds: tuple[float, float]
    in_network: tuple[float, float] | None = None
    kept: bool = True


@dataclass(frozen=True)
class Tuned:
    """What `tune` found.

    Attributes:
        problems: that the network has, with more than one candidate; ``known`` of them were
            measured before, ``measured`` now.
        finished: False where the budget or the user ended the measurements.
        samples: seconds of the whole network by the cost model's choices, and by measured ones,
            in pairs; none where they are the same.
        kept: whether the measurements are in force from now on.
    """

    isa: str
    threads: int
    seconds: float
    problems: int
    known: int
    measured: int
    finished: bool
    changes: tuple[Change, ...]
    samples: tuple[tuple[float, float], ...]
    kept: bool

    @property
    def ratio(self) -> float:
        """How many times as fast the network is as by the cost model: the median of pairs."""
        if not self.samples:
            return 1.0
        return float(np.median([before / after for before, after in self.samples]))


Progress = Callable[[float, str, float], None]
"""Told of progress: the share of the budget that is spent, what is measured, and the share of the
network's estimated time that was saved so far."""


def tune(
    graph: Graph,
    *,
    budget: float = 30.0,
    threads: int = 1,
    isa: str | None = None,
    requantization: str = "float",
    precision: str | None = None,
    again: bool = False,
    save: bool = True,
    progress: Progress = lambda spent, problem, saved: None,
    clock: Callable[[], float] = time.monotonic,
) -> Tuned:
    """See ``edgewise.tune``."""
    if not budget > 0:
        raise InputError(f"budget={budget}; it is a number of seconds above 0")
    search = _Search(
        graph.with_nodes(graph.nodes),
        choose_isa(host(), isa, precision),
        threads,
        Options(requantization, precision, threads=threads, tuning=UNTUNED),
        start=clock(),
        budget=budget,
        progress=progress,
        clock=clock,
    )
    if not again:
        search.stored = tuned.load(threads, others=False).measured
    return search.run(save)


@dataclass
class _Search:
    graph: Graph
    isa: Isa
    threads: int
    options: Options
    start: float
    budget: float
    progress: Progress
    clock: Callable[[], float]
    stored: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    measured: Measured = field(default_factory=dict)
    timed: int = 0

    def __post_init__(self) -> None:
        self.plan = plan_for(self.graph, self.isa, self.options)
        self.choices: dict[str, list[Choice]] = defaultdict(list)
        for choice in self.plan.choices:
            if len(choice.estimates) > 1:
                self.choices[choice.problem].append(choice)

    def run(self, save: bool) -> Tuned:
        finished = self.measure()
        changes, samples, kept = self.check()
        if kept and save and self.measured:
            kept = tuned.save(self.measured, self.threads)
        return Tuned(
            isa=self.isa.name,
            threads=self.threads,
            seconds=self.clock() - self.start,
            problems=len(self.choices),
            known=len(set(self.choices) & set(self.stored)),
            measured=self.timed,
            finished=finished,
            changes=changes,
            samples=samples,
            kept=kept,
        )

    def measure(self) -> bool:
        """Time the candidates of each problem, those that take longest first; False if stopped."""
        seconds = {
            problem: sum(c.estimates[c.chosen] for c in choices)
            for problem, choices in self.choices.items()
        }
        total, saved = sum(seconds.values()), 0.0
        waiting = [p for p in sorted(seconds, key=lambda p: -seconds[p]) if p not in self.stored]
        end = self.start + (1 - CHECKING) * self.budget
        with contextlib.suppress(KeyboardInterrupt):
            for problem in waiting:
                now = self.clock()
                if now >= end:
                    return False
                self.progress((now - self.start) / self.budget, problem, saved / total)
                choice = self.choices[problem][0]
                usual, times = choice.chosen, self.candidates(choice)
                best = min(times, key=times.__getitem__)
                if times[best] > WORTHWHILE * times[usual]:
                    best = usual
                self.measured[problem] = {name: times[name] for name in (usual, best)}
                self.timed += 1
                saved += seconds[problem] * (1 - times[best] / times[usual])
            return True
        return False

    def candidates(self, choice: Choice) -> dict[str, float]:
        """Seconds of the candidates of a choice, timed one after another in turns.

        In between, each has the others' weights pass through the caches, as in a network.
        """
        least = min(choice.estimates.values())
        symbols = sorted(choice.estimates, key=lambda s: (s != choice.chosen, choice.estimates[s]))
        symbols = [s for s in symbols if choice.estimates[s] < HOPELESS * least][:MOST]
        plan, parts = alternatives(self.plan, self.isa, self.options.precision, choice, symbols)
        with StepTimer(plan, self.isa, self.threads) as timer:
            timer.run(1)
            once = float(timer.run(1).sum())
            found = timer.run(max(PROBLEM_ROUNDS, int(PROBLEM_SECONDS / max(once, SHORTEST))))
        return {
            symbol: max(
                float(np.quantile(found[:, part].sum(axis=1), TYPICAL)) / len(part), SHORTEST
            )
            for symbol, part in zip(symbols, parts, strict=True)
        }

    def check(self) -> tuple[tuple[Change, ...], tuple[tuple[float, float], ...], bool]:
        """What changes, the network's samples, and whether the changes make it faster."""
        other, changes = self.tuned_plan()
        self.progress(1 - CHECKING, "the network, step by step", 0.0)
        if changes:
            changes = self.verified(other, changes)
            for change in changes:
                if not change.kept:
                    self.measured[change.problem] = {change.before: change.seconds[0]}
        if not any(change.kept for change in changes):
            return changes, (), True
        self.progress(1 - CHECKING / 2, "the network as a whole", 0.0)
        samples = self.whole()
        return changes, samples, float(np.median([a / b for a, b in samples])) > 1

    @property
    def tuning(self) -> Tuning:
        """What was measured before and now."""
        measured = {**self.stored, **self.measured}
        return Tuning(measured, cache.key("trial", repr(sorted(measured.items()))))

    def tuned_plan(self) -> tuple[Plan, tuple[Change, ...]]:
        """The plan by what was measured, and how its choices differ."""
        measured = self.tuning.measured
        plan = plan_for(self.graph, self.isa, replace(self.options, tuning=self.tuning))
        changes = []
        for problem, choices in self.choices.items():
            times = measured.get(problem, {})
            before, after = choices[0].chosen, min(times, key=times.__getitem__, default="")
            if after not in ("", before) and before in times:
                nodes = dict.fromkeys(self.plan.nodes[c.node] for c in choices)
                seconds = times[before], times[after]
                changes.append(Change(problem, tuple(nodes), before, after, seconds))
        return plan, tuple(changes)

    def verified(self, other: Plan, changes: Sequence[Change]) -> tuple[Change, ...]:
        """The changes with the times of their layers within the network, before and after."""
        with (
            StepTimer(self.plan, self.isa, self.threads) as before,
            StepTimer(other, self.isa, self.threads) as after,
        ):
            before.run(1), after.run(1)
            rounds = self.turns(lambda: (before.run(1)[0], after.run(1)[0]))
        times = [np.quantile(found, TYPICAL, axis=0) for found in zip(*rounds, strict=True)]
        parts = [_native(self.plan), _native(other)]
        found = []
        for change in changes:
            numbers = {c.node for c in self.choices[change.problem]}
            numbers = _closed(numbers, [step for steps in parts for step in steps])
            a, b = (
                float(sum(t[i] for i, step in enumerate(steps) if set(step.nodes) & numbers))
                for t, steps in zip(times, parts, strict=True)
            )
            found.append(replace(change, in_network=(a, b), kept=b < WORTHWHILE_INSIDE * a))
        return tuple(found)

    def whole(self) -> tuple[tuple[float, float], ...]:
        """Seconds of calls of the network, by the cost model's choices and by the measured.

        Two programs of each take part: where its memory lies makes a program 1 % faster or slower.
        """
        options = [self.options, replace(self.options, tuning=self.tuning)] * 2
        inputs = [np.zeros(v.type.shape, v.type.dtype.numpy) for v in self.graph.inputs]
        for array in inputs:
            if array.dtype.hasobject:
                array.fill(b"")
        programs = [Program(self.graph, self.isa, decide(self.threads), each) for each in options]
        try:
            before, after = programs[::2], programs[1::2]
            samples = self.turns(lambda: (_seconds(before, inputs), _seconds(after, inputs)))
        finally:
            for program in programs:
                program.close()
        return tuple(samples)

    def turns(self, sample: Callable[[], tuple[T, T]]) -> list[tuple[T, T]]:
        """Samples, as many as half of the time for checks allows, and at least three."""
        end = time.perf_counter() + min(NETWORK_SECONDS, CHECKING / 2 * self.budget)
        found = [sample() for _ in range(3)]
        while len(found) < NETWORK_ROUNDS and time.perf_counter() < end:
            found.append(sample())
        return found


def _seconds(programs: Sequence[Program], inputs: Sequence[Array]) -> float:
    """The mean of a call of each, after one that is not timed."""
    total = 0.0
    for program in programs:
        program(*inputs)
        start = time.perf_counter()
        program(*inputs)
        total += time.perf_counter() - start
    return total / len(programs)


def _native(plan: Plan) -> list[Step]:
    return [step for step in plan.steps if isinstance(step, Step)]


def _closed(nodes: set[int], steps: Sequence[Step]) -> set[int]:
    """``nodes`` and all others that some step computes together with one of them."""
    while True:
        more = nodes.union(*(step.nodes for step in steps if nodes & set(step.nodes)))
        if more == nodes:
            return nodes
        nodes = more
