"""What each layer takes in the float network and in the quantized one, measured here."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

from ..graph import Array, Graph, Node
from ..runtime import Program, compile_graph
from ..timing import Ratio, measure, speed_ratio
from .state import Progress

if TYPE_CHECKING:
    from ..profiling import Profile


ROUNDS = 15
"""In how many turns the float network and the quantized one are timed."""


@dataclass(frozen=True)
class Timing:
    """Layers whose time is told together, since one of the networks runs them as one step.

    Attributes:
        layers: their numbers.
        float_ms, quantized_ms: of one call, milliseconds.
        reference: the operators that run by their numpy reference in the quantized network.
    """

    layers: tuple[int, ...]
    float_ms: float
    quantized_ms: float
    reference: tuple[str, ...]

    @property
    def is_slower(self) -> bool:
        """Whether the quantized layers take longer than float ones, beyond what chance may do."""
        return self.quantized_ms > self.float_ms * 1.1 and (
            self.quantized_ms - self.float_ms > 0.005
        )


@dataclass(frozen=True)
class Calls:
    """What a call of both networks takes.

    Attributes:
        isa, threads: what they ran on.
        float_ms, quantized_ms: medians, milliseconds.
        ratio: how many times as fast the quantized network is.
    """

    isa: str
    threads: int
    float_ms: float
    quantized_ms: float
    ratio: Ratio


@dataclass(frozen=True)
class Times(Calls):
    """Where the time of a call goes, in both networks, one after the other.

    Attributes:
        conversions_ms: what converts between floats and integers, milliseconds.
        layers: in order.
    """

    conversions_ms: float
    layers: tuple[Timing, ...]


class Timed(NamedTuple):
    """A network, the numbers of its layers by node, and its inputs."""

    graph: Graph
    numbers: Mapping[Node, int]
    arrays: Sequence[Array]


def time_calls(
    floats: Program,
    quantized: Program,
    given: tuple[Sequence[Array], Sequence[Array]],
    threads: int,
) -> Calls:
    """Time calls of both networks in turns; ``given`` are the inputs of each."""
    pairs = zip(("float", "quantized"), (floats, quantized), given, strict=True)
    contestants = {name: functools.partial(program, *arrays) for name, program, arrays in pairs}
    before, after = measure(contestants, ROUNDS)
    ratio = speed_ratio(after.samples, before.samples)
    return Calls(floats.isa.name, threads, before.median * 1e3, after.median * 1e3, ratio)


def time_layers(floats: Timed, quantized: Timed, threads: int, progress: Progress) -> Times:
    """Time both networks step by step, and calls in turns. Layers of one number are compared."""
    pairs = (floats, quantized)
    profiles = []
    with contextlib.ExitStack() as stack:
        before, after = (
            stack.enter_context(
                contextlib.closing(compile_graph(tagged(p.graph, p.numbers), threads=threads))
            )
            for p in pairs
        )
        for i, (timed, program) in enumerate(zip(pairs, (before, after), strict=True)):
            progress("Timing", i, len(pairs))
            profiles.append(program.profile(*timed.arrays))
        calls = time_calls(before, after, (floats.arrays, quantized.arrays), threads)
    progress("Timing", len(pairs), len(pairs))
    tables = [list(steps(found)) for found in profiles]
    groups = _groups([step.layers for table in tables for step in table])
    taken = [dict.fromkeys(groups.values(), 0.0) for _ in pairs]
    slow: dict[int, list[str]] = {}
    for total, table in zip(taken, tables, strict=True):
        for step in table:
            if step.layers:
                total[groups[step.layers[0]]] += step.seconds * 1e3
    for step in tables[1]:
        if step.layers and step.reference:
            slow.setdefault(groups[step.layers[0]], []).extend(step.reference)
    members: dict[int, list[int]] = {}
    for number in sorted(groups):
        members.setdefault(groups[number], []).append(number)
    return Times(
        **vars(calls),
        conversions_ms=sum(step.seconds * 1e3 for step in tables[1] if not step.layers),
        layers=tuple(
            Timing(tuple(numbers), taken[0][root], taken[1][root], tuple(slow.get(root, ())))
            for root, numbers in members.items()
        ),
    )


def tagged(graph: Graph, numbers: Mapping[Node, int]) -> Graph:
    """The graph where a node's origin is its number, which passes hand on; others have none."""
    return graph.with_nodes(
        [replace(n, origin=str(numbers[n]) if n in numbers else "") for n in graph.nodes]
    )


class Step(NamedTuple):
    """A step of a tagged network, and what it computes.

    Attributes:
        nodes: its operators.
        layers: the numbers of their layers; none where they only convert.
        seconds: of one call of the network.
        reference: the operators where their references run.
    """

    nodes: tuple[Node, ...]
    layers: list[int]
    seconds: float
    reference: tuple[str, ...]


def steps(profile: Profile) -> Iterator[Step]:
    """The steps of a network's own graph; the time of nested graphs goes to what holds them."""
    taken = 0.0
    for step in profile.steps:
        taken += step.seconds
        if step.graph:
            continue
        tags = (tag for node in step.nodes for tag in node.origin.split("+"))
        names = () if step.kernel else tuple(node.op.name for node in step.nodes)
        yield Step(step.nodes, [int(tag) for tag in dict.fromkeys(tags) if tag], taken, names)
        taken = 0.0


def _groups(steps: Sequence[Sequence[int]]) -> dict[int, int]:
    """The least of the layers that share steps, by layer."""
    groups: dict[int, int] = {}
    for numbers in steps:
        joined = {groups.get(n, n) for n in numbers}
        if joined:
            least = min(joined)
            groups.update(dict.fromkeys(numbers, least))
            groups.update({n: least for n, g in groups.items() if g in joined})
    return groups
