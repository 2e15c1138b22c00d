"""Which of several kernel variants does a layer: the fastest measured, else the cost model's.

A *problem* is a text that says what the times of the candidates depend on: kind of kernel,
instruction set, sizes, what the kernel does besides. Layers of one problem, in any network, share
what was measured (``codegen.tuned`` keeps it). A candidate is known by its kernel's symbol.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol, TypeVar


class Named(Protocol):
    """A kernel variant, as far as it matters here."""

    @property
    def symbol(self) -> str: ...


V = TypeVar("V", bound=Named)


@dataclass(frozen=True)
class Way:
    """A candidate that is no kernel by itself, but leads to further choices."""

    symbol: str


@dataclass(frozen=True, eq=False)
class Tuning:
    """What was measured.

    Attributes:
        measured: seconds of candidates by their symbols, for each problem.
        digest: tells it apart from any other; "" where nothing was measured.
    """

    measured: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    digest: str = ""


UNTUNED = Tuning()


@dataclass(frozen=True, eq=False)
class Choice:
    """What was chosen for a part of a node, and what from.

    Attributes:
        node: the node's index.
        step: index of the first step emitted after the choice; the steps from it to the node's
            next choice, or to its last step, carry it out. Of `Way`: all to the last.
        estimates: the cost model's seconds on one thread of every candidate.
        chosen: the symbol of one of them.
        tuned: whether measurements decided.
        whole: whether there are ways among the candidates.
    """

    node: int
    step: int
    problem: str
    estimates: Mapping[str, float]
    chosen: str
    tuned: bool
    whole: bool = False


class Choose(Protocol):
    """Gives the best candidate and its seconds on one thread.

    Candidates come with the cost model's estimates. ``others`` could do the work too, but are so
    rarely the best that only a measurement chooses them.
    """

    def __call__(
        self,
        problem: str,
        candidates: Iterable[tuple[V, float]],
        others: Iterable[tuple[V, float]] = (),
    ) -> tuple[V, float]: ...


def cheapest(
    problem: str,
    candidates: Iterable[tuple[V, float]],
    others: Iterable[tuple[V, float]] = (),
) -> tuple[V, float]:
    """`Choose` by the cost model alone."""
    return min(candidates, key=lambda pair: pair[1])


def fastest(measured: Mapping[str, float], candidates: Iterable[V]) -> tuple[V, float] | None:
    """The candidate measured to be the fastest, and its seconds; None where none was measured."""
    known = [(v, measured[v.symbol]) for v in candidates if v.symbol in measured]
    return min(known, key=lambda pair: pair[1], default=None)
