"""Networks of other precisions, measured: their score, their noise, their time (for `search`)."""

from __future__ import annotations

import contextlib
import functools
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from ..data import Samples
from ..data.arrays import converted, dequantize
from ..graph import Array, Graph, Value
from ..ops import Dequantize, Interpreted, Quantize
from ..runtime import Program, compile_graph
from ..timing import calibrate, interleave, sample
from .alone import beside
from .convert import convert
from .layer_times import steps, tagged
from .precision import Precision
from .search import Budget, Choice, Found, search
from .state import Progress, State, layer_name, silent

if TYPE_CHECKING:
    from ..profiling import Profile

Expected: TypeAlias = "tuple[Sequence[Array], list[Array]]"
"""A sample, and the float network's outputs for it."""

Score: TypeAlias = "Callable[[Graph], float]"
"""Points of a network on the data that counts; more is better."""

NOISE_SAMPLES = 8
"""Calibration samples on which the noise of one layer is measured."""

ROUNDS = 9
"""In how many turns networks are timed."""

KEPT = 5
"""Programs that are kept; as many may be timed in turns."""

LEAST = 1e-30
"""The power that an output of zeros is taken to have."""


class Measured:
    """A `search.Measure`: networks of one state but for their precisions, on this machine.

    Args:
        score: of a network; if not given, 100 less the noise of the worst output, in percent of its
            power: 99 are 20 dB.
        threads: that networks are timed on.
    """

    def __init__(
        self, state: State, samples: Samples, score: Score | None = None, threads: int = 1
    ) -> None:
        self.state, self.samples, self.threads = state, samples, threads
        self._score = score
        self._first = next(iter(samples))
        numbers = {node: i for i, node in enumerate(state.graph.nodes)}
        self._whole = tagged(state.graph, numbers)
        self._compared = compared(self._whole)
        self._plain = compile_graph(self._compared, threads=threads)
        self._kept: OrderedDict[tuple[Graph, frozenset[tuple[str, Precision]]], Timed] = (
            OrderedDict()
        )

    def close(self) -> None:
        for program in (self._plain, *(kept.program for kept in self._kept.values())):
            program.close()

    def score(self, choice: Choice) -> float:
        if self._score is not None:
            return self._score(convert(self.state.with_precisions(choice)).graph)
        program = self._timed(choice, self._compared).program
        return 100.0 * (1.0 - noise_of(program, self._expected(self.samples)))

    def noise(self, choice: Choice) -> float:
        with contextlib.closing(self._compiled(choice, self._compared)) as program:
            return noise_of(program, self._few)

    def seconds(self, *choices: Choice) -> list[float]:
        return median_seconds([self._timed(choice, self._whole) for choice in choices])

    def layer_seconds(self, choice: Choice) -> dict[str, float]:
        program = self._timed(choice, self._whole).program
        found = program.profile(*as_inputs(program.inputs, self._first))
        return by_layer(found, self.state.graph)

    @functools.cached_property
    def _few(self) -> list[Expected]:
        """The samples on which the noise of one layer is measured."""
        return list(self._expected(islice(self.samples, NOISE_SAMPLES)))

    def _expected(self, samples: Iterable[Sequence[Array]]) -> Iterator[Expected]:
        return ((arrays, outputs_of(self._plain, arrays)) for arrays in samples)

    def _timed(self, choice: Choice, graph: Graph) -> Timed:
        """A network's program; the last few are kept."""
        key = graph, frozenset(choice.items())
        if key not in self._kept:
            self._kept[key] = Timed(self._compiled(choice, graph), self._first)
        self._kept.move_to_end(key)
        while len(self._kept) > KEPT:
            self._kept.popitem(last=False)[1].program.close()
        return self._kept[key]

    def _compiled(self, choice: Choice, graph: Graph) -> Program:
        """A network whose steps tell the layers that they compute, but for conversions."""
        state = replace(self.state, graph=graph).with_precisions(choice)
        whole = convert(state).graph
        layers = [n for n in whole.nodes if not isinstance(n.op, Quantize | Dequantize)]
        return compile_graph(
            tagged(whole, {n: int(n.origin) for n in layers}), threads=self.threads
        )


@dataclass(frozen=True, eq=False)
class Timed:
    """A program, and what times its calls on a float network's inputs."""

    program: Program
    arrays: Sequence[Array]

    @functools.cached_property
    def sampler(self) -> Callable[[], float]:
        """Gives the seconds of a call, the mean of some."""
        given = as_inputs(self.program.inputs, self.arrays)
        call = functools.partial(self.program, *given)
        return functools.partial(sample, call, calibrate(call))


def median_seconds(programs: Sequence[Timed]) -> list[float]:
    """The median time of a call of each, timed in turns."""
    found = interleave({str(i): timed.sampler for i, timed in enumerate(programs)}, ROUNDS)
    return [float(np.median(samples)) for samples in found.values()]


def noise_of(program: Program, samples: Iterable[Expected]) -> float:
    """Power of the error of a network's worst output over that of the outputs expected."""
    noise, power = np.zeros((2, len(program.outputs)))
    for arrays, outputs in samples:
        pairs = zip(outputs, outputs_of(program, arrays), strict=True)
        for i, (expected, found) in enumerate(pairs):
            noise[i] += np.square(found - expected).sum()
            power[i] += np.square(expected).sum()
    return float((noise / np.maximum(power, LEAST)).max(initial=0.0))


def compared(graph: Graph) -> Graph:
    """The network whose outputs tell noise: what gives arrays of a size that only a call tells is
    left out, and what it reads are outputs in its place."""
    last = [node for node in graph.nodes if isinstance(node.op, Interpreted)]
    if not last:
        return graph
    gone = {v for node in last for v in node.outputs}
    read = [v for node in last for v in node.inputs if not v.is_constant]
    outputs = tuple(v for v in dict.fromkeys((*graph.outputs, *read)) if v not in gone)
    return replace(graph.with_nodes([n for n in graph.nodes if n not in last]), outputs=outputs)


def within(
    state: State,
    samples: Samples,
    budget: Budget,
    score: Score | None = None,
    threads: int = 1,
    progress: Progress = silent,
) -> Found:
    """Choose the precisions of a state's layers by measuring them on this machine.

    It decides on the layers that are quantized; those that stay as they are stay.
    """
    quantized = beside(state, convert(state)).alone
    asked = {name: p for name, p in state.precisions.items() if name in quantized}
    with contextlib.closing(Measured(state, samples, score, threads)) as measure:
        return search(asked, measure, budget, progress)


def outputs_of(program: Program, arrays: Sequence[Array]) -> list[Array]:
    """A network's outputs as real numbers, float64; variables start anew."""
    program.reset()
    found = program(*as_inputs(program.inputs, arrays))
    values = found if isinstance(found, tuple) else (found,)
    return [dequantize(a, v.type) for a, v in zip(values, program.outputs, strict=True)]


def as_inputs(values: Sequence[Value], arrays: Sequence[Array]) -> list[Array]:
    """A float network's inputs as those of the quantized one."""
    found = [converted(array, v.type) for v, array in zip(values, arrays, strict=True)]
    assert all(array is not None for array in found)
    return [array for array in found if array is not None]


def by_layer(profile: Profile, graph: Graph) -> dict[str, float]:
    """The seconds of a profile by the layers of ``graph``, the float network.

    A step that computes several layers counts for each alike. QUANTIZE counts for the layers that
    read its result, DEQUANTIZE for those whose result it takes.

    Args:
        profile: of a network made from ``graph``, `tagged` with the numbers of its layers.
    """
    names = [layer_name(node) for node in graph.nodes]
    table = list(steps(profile))
    makers: dict[str, list[int]] = {}
    readers: dict[str, list[int]] = {}
    for step in table:
        for node in step.nodes:
            for found, values in ((makers, node.outputs), (readers, node.inputs)):
                for value in values:
                    found.setdefault(value.name, []).extend(step.layers)
    seconds = dict.fromkeys(names, 0.0)
    for nodes, layers, taken, _ in table:
        if not layers:
            made = [i for n in nodes for v in n.inputs for i in makers.get(v.name, ())]
            read = [i for n in nodes for v in n.outputs for i in readers.get(v.name, ())]
            is_before = any(isinstance(n.op, Quantize) for n in nodes)
            layers = (read or made) if is_before else (made or read)
        for i in layers:
            seconds[names[i]] += taken / len(layers)
    return seconds
