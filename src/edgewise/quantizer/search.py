"""Budgets: which precision each layer gets, by measured error and measured time.

The search starts from the precisions that were asked for, and

1. gives back to float32 the layers that make the network slower than float32 does, unless it is
   to be small;
2. measures each layer's error: the noise in the network's outputs where no other is quantized;
3. restores layers to a higher precision, those first that take away most noise for the time that
   they cost: as few as keep the score (``max_drop``), or as many as the time allows;
4. does the first again, since what is left between restored layers may be slower now; where that
   loses the score, the third goes on from there.

How many are restored is found by bisection, for each higher precision. Of the results, the fastest
that keeps the budget's score counts, or the most accurate within its time. Whole networks decide,
timed in turns: a layer's time includes the conversions at its borders.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from numbers import Real
from typing import Protocol, TypeAlias

from ..errors import InputError
from .precision import Precision
from .state import Progress, silent

Choice: TypeAlias = "Mapping[str, Precision]"
"""The precision of every layer that the search decides on, by name."""

FLOAT32 = Precision.FLOAT32

HIGHER: Mapping[Precision, tuple[Precision, ...]] = {
    Precision.INT8: (Precision.INT16X8, FLOAT32),
    Precision.UINT8: (FLOAT32,),
    Precision.INT16X8: (FLOAT32,),
    Precision.DYNAMIC: (FLOAT32,),
    Precision.FLOAT16: (FLOAT32,),
    Precision.INT4: (Precision.DYNAMIC, FLOAT32),
}
"""What a layer may be restored to."""

FOR_SIZE = frozenset({Precision.FLOAT16, Precision.INT4})
"""Precisions that are asked for to save bytes: their layers stay though they be slower."""

SURE = 0.02
"""Networks whose times differ by no more than this share are as fast as each other."""

SUSPECT = 0.002
"""Layers whose times differ by no more than this share of the network's are as fast."""


@dataclass(frozen=True)
class Budget:
    """What the quantized network may lose, in points of its score, and take, in seconds a call.

    Where it is to be ``small``, layers that are slower than in float32 stay quantized, and of two
    networks the one with fewer layers in float32 is better.

    Raises:
        InputError: neither is given, or one is out of range.
    """

    max_drop: float | None = None
    max_latency: float | None = None
    small: bool = False

    def __post_init__(self) -> None:
        if self.max_drop is None and self.max_latency is None:
            raise InputError("budget: neither max_drop nor max_latency is given")
        if self.max_drop is not None and not (is_number(self.max_drop) and self.max_drop >= 0):
            raise InputError(f"max_drop={self.max_drop!r}; it must be 0 or more points")
        if self.max_latency is not None and not (
            is_number(self.max_latency) and self.max_latency > 0
        ):
            raise InputError(f"max_latency={self.max_latency!r}; it must be above 0 seconds")


def is_number(value: object) -> bool:
    """Whether a caller gave a real number, of finite value."""
    return isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)


class Measure(Protocol):
    """What the search asks of networks, each named by its layers' precisions."""

    def score(self, choice: Choice) -> float:
        """Points on the data that counts; more is better."""

    def noise(self, choice: Choice) -> float:
        """The power of the outputs' error over that of the float32 network's outputs."""

    def seconds(self, *choices: Choice) -> Sequence[float]:
        """Of a call of each network, measured in turns; only their ratios must be right."""

    def layer_seconds(self, choice: Choice) -> Mapping[str, float]:
        """Each layer's part of a call; conversions count with the layer that needs them."""


@dataclass(frozen=True)
class Trial:
    """A network that was measured: its score and its seconds, where they were."""

    what: str
    score: float | None = None
    seconds: float | None = None


@dataclass(frozen=True)
class Decision:
    """What became of a layer, and why.

    Attributes:
        noise: power of the outputs' error over that of the outputs where no other layer is
            quantized; None where it was not measured.
        seconds: its part of a call, by precision, in networks whose other layers have it too.
    """

    layer: str
    precision: Precision
    reason: str
    noise: float | None = None
    seconds: Mapping[Precision, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Found:
    """The outcome of a search.

    Attributes:
        met: whether the budget is kept; else this is what came closest.
        score, float_score: points of the chosen network and of float32.
        seconds, float_seconds: of a call; theirs is the ratio of times measured in turns.
    """

    choice: Choice
    decisions: tuple[Decision, ...]
    budget: Budget
    met: bool
    score: float
    float_score: float
    seconds: float
    float_seconds: float
    trials: tuple[Trial, ...]

    @property
    def drop(self) -> float:
        """Points lost."""
        return self.float_score - self.score


def search(asked: Choice, measure: Measure, budget: Budget, progress: Progress = silent) -> Found:
    """Choose the layers' precisions within a budget.

    ``asked`` is the precision that each quantized layer should have; layers that it does not name
    stay as they are. The outcome depends on it and on what ``measure`` says alone.

    Raises:
        InputError: the float network's score is infinite or no number.
    """
    return _Search(dict(asked), measure, budget, progress).run()


@dataclass(frozen=True)
class _Candidate:
    choice: dict[str, Precision]
    score: float
    seconds: float


class _Search:
    def __init__(
        self, asked: dict[str, Precision], measure: Measure, budget: Budget, progress: Progress
    ) -> None:
        self.asked, self.measure, self.budget = asked, measure, budget
        self.progress = progress
        self.plain = dict.fromkeys(asked, FLOAT32)
        self.times: dict[str, dict[Precision, float]] = {name: {} for name in asked}
        self.noise: dict[str, float] = {}
        self.reasons: dict[tuple[str, Precision], str] = {}
        self.trials: list[Trial] = []
        self.scores: dict[frozenset[tuple[str, Precision]], float] = {}
        self.told = 0

    def run(self) -> Found:
        self.tell("float32")
        (self.plain_seconds,) = self.measure.seconds(self.plain)
        self.plain_score = self.score(self.plain)
        if not math.isfinite(self.plain_score):
            raise InputError(
                f"score: float32 has {self.plain_score:g} points, and a drop is told from finite "
                "ones only (of metrics, by agreement instead of sqnr)"
            )
        self.trials.append(Trial("float32", self.plain_score, self.plain_seconds))
        self.time_layers(self.plain)
        self.times_asked = self.time_layers(self.asked)
        for name, precision in self.asked.items():
            self.reasons[name, precision] = "as asked for"
        base = self.tried("as asked for", self.faster(self.asked))
        candidates = [base]
        if self.budget.max_drop is None and self.plain_seconds <= self.latency:
            why = "float32 keeps the time, and nothing is more accurate"
            self.reasons.update({(name, FLOAT32): why for name in self.asked})
            candidates = [_Candidate(self.plain, self.plain_score, self.plain_seconds)]
        elif self.budget.max_drop is None or not self.is_accurate(base.score):
            self.measure_noise(base.choice)
            options = {p: None for q in base.choice.values() for p in HIGHER.get(q, ())}
            candidates += [self.restored(base.choice, higher) for higher in options]
        times = self.seconds(*(it.choice for it in candidates))
        timed = [replace(it, seconds=s) for it, s in zip(candidates, times, strict=True)]
        return self.found(min(timed, key=self.rank))

    @property
    def latency(self) -> float:
        return math.inf if self.budget.max_latency is None else self.budget.max_latency

    def is_accurate(self, score: float) -> bool:
        return self.budget.max_drop is None or self.plain_score - score <= self.budget.max_drop

    def is_met(self, it: _Candidate) -> bool:
        return self.is_accurate(it.score) and it.seconds <= self.latency

    def rank(self, it: _Candidate) -> tuple[bool, bool, float, float, float]:
        """The lowest is the best: within the budget; else accurate enough; then the smallest, where
        that is wanted; then the fastest, or the most accurate where only time counts."""
        floats = list(it.choice.values()).count(FLOAT32) if self.budget.small else 0
        if self.budget.max_drop is None:
            return not self.is_met(it), False, floats, -it.score, it.seconds
        return not self.is_met(it), not self.is_accurate(it.score), floats, it.seconds, -it.score

    def restored(self, base: dict[str, Precision], higher: Precision) -> _Candidate:
        """Layers restored to one precision: the fewest that keep the score, or the most within the
        time where no score is asked for."""
        can = [name for name in base if higher in HIGHER.get(base[name], ())]
        self.time_layers({**base, **dict.fromkeys(can, higher)})
        order = sorted(can, key=lambda name: (-self.worth(name, base[name], higher), name))
        for i, name in enumerate(order, 1):
            place = f"number {i} of {len(order)} by noise for its time"
            self.reasons[name, higher] = f"restored for accuracy: {place}"

        def choice(count: int) -> dict[str, Precision]:
            return {**base, **dict.fromkeys(order[:count], higher)}

        def is_enough(count: int) -> bool:
            self.tell(f"{count} layers to {higher.value}")
            if self.budget.max_drop is not None:
                score = self.score(choice(count))
                self.trials.append(Trial(f"{count} layers restored to {higher.value}", score))
                return self.is_accurate(score)
            (seconds,) = self.seconds(choice(count))
            what = f"{count} layers restored to {higher.value}"
            self.trials.append(Trial(what, None, seconds))
            return seconds > self.latency

        count = first_true(len(order), is_enough)
        if self.budget.max_drop is None:
            count -= 1
        count = min(max(count, 0), len(order))
        kept = choice(count)
        what = f"{count} layers restored to {higher.value}"
        found = self.tried(what, kept)
        if (quick := self.faster(kept)) == kept:
            return found
        other = self.tried(f"{what}, none slower than float32", quick)
        if not self.is_accurate(other.score):
            return self.restored(quick, higher)
        return found if self.is_met(found) and not self.is_met(other) else other

    def faster(self, choice: Choice) -> dict[str, Precision]:
        """The choice without precisions that are slower than float32.

        Suspect are layers that take longer by themselves; where the network takes longer, all.
        Together they become float32 if the network is then faster; else so does each half.
        """
        found = dict(choice)
        kept = [n for n, p in found.items() if p is not FLOAT32 and p not in FOR_SIZE]
        if not kept or self.budget.small:
            return found
        taken = self.times_asked if found == self.asked else self.time_layers(found)
        slower = {name: taken[name] - self.times[name][FLOAT32] for name in kept}
        whole, plain = self.measure.seconds(found, self.plain)
        is_slow = whole > (1 + SURE) * plain
        suspects = [name for name in kept if is_slow or slower[name] > SUSPECT * plain]
        groups = [sorted(suspects, key=lambda name: -slower[name])] if suspects else []
        while groups:
            group = groups.pop()
            self.tell("layers that are slower than float32")
            other = {**found, **dict.fromkeys(group, FLOAT32)}
            before, after = self.measure.seconds(found, other)
            if after < (1 - SURE) * before:
                for name in group:
                    self.reasons[name, FLOAT32] = (
                        f"{found[name].value} is slower: the network takes {before * 1e3:.4g} ms "
                        f"with it, {after * 1e3:.4g} ms without"
                    )
                found = other
            elif len(group) > 1:
                half = len(group) // 2
                groups += [group[half:], group[:half]]
        return found

    def tried(self, what: str, choice: dict[str, Precision]) -> _Candidate:
        self.tell(what)
        (seconds,) = self.seconds(choice)
        found = _Candidate(choice, self.score(choice), seconds)
        self.trials.append(Trial(what, found.score, found.seconds))
        return found

    def score(self, choice: Choice) -> float:
        """A network's points, measured once."""
        key = frozenset(choice.items())
        if key not in self.scores:
            self.scores[key] = self.measure.score(choice)
        return self.scores[key]

    def seconds(self, *choices: Choice) -> list[float]:
        """Of a call of each, where float32 takes what it took at the beginning."""
        plain, *found = self.measure.seconds(self.plain, *choices)
        return [seconds * self.plain_seconds / plain for seconds in found]

    def worth(self, name: str, low: Precision, high: Precision) -> float:
        """The noise that a layer's restoring takes away for each second that it costs."""
        cost = self.times[name][high] - self.times[name][low]
        return self.noise[name] / max(cost, SUSPECT * self.plain_seconds)

    def time_layers(self, choice: Choice) -> Mapping[str, float]:
        """The layers' seconds; of each precision, what was found first is kept."""
        self.tell("the layers' times")
        found = self.measure.layer_seconds(choice)
        for name, precision in choice.items():
            self.times[name].setdefault(precision, found[name])
        return found

    def measure_noise(self, base: Choice) -> None:
        quantized = {name: p for name, p in base.items() if p is not FLOAT32}
        for done, (name, precision) in enumerate(quantized.items()):
            self.progress("noise of each layer", done, len(quantized))
            self.noise[name] = self.measure.noise({**self.plain, name: precision})

    def tell(self, what: str) -> None:
        self.progress(f"searching: {what}", self.told, 0)
        self.told += 1

    def found(self, it: _Candidate) -> Found:
        return Found(
            choice=it.choice,
            decisions=tuple(
                Decision(
                    name,
                    precision,
                    self.reasons[name, precision],
                    self.noise.get(name),
                    self.times[name],
                )
                for name, precision in it.choice.items()
            ),
            budget=self.budget,
            met=self.is_met(it),
            score=it.score,
            float_score=self.plain_score,
            seconds=it.seconds,
            float_seconds=self.plain_seconds,
            trials=tuple(self.trials),
        )


def first_true(count: int, holds: Callable[[int], bool]) -> int:
    """The least number from 0 to ``count`` for which ``holds``, which is taken to stay true from
    there on; ``count + 1`` where it holds for none. Those that it was asked for are bounds."""
    low, high = 0, count + 1
    while low < high:
        middle = (low + high) // 2
        if holds(middle):
            high = middle
        else:
            low = middle + 1
    return low
