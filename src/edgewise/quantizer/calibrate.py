"""The step `calibrate`: ranges of activations, from running the float network over samples."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

from ..data import Samples
from ..dtype import DType
from ..graph import Array, Graph, Node, Value
from ..passes.fuse_qdq import MOVES
from ..passes.qdq_rules import INTEGER
from ..passes.rewrite import drop_dead
from ..runtime import Program, compile_graph
from . import observers
from .observers import Observer
from .state import EVERYTHING, Progress, Scope, State, silent

GROUP = 2**28
"""Bytes of activations that are looked at in one run over the samples; those of a network with more
are looked at in several.
"""


def calibrate(
    state: State,
    samples: Samples,
    progress: Progress = silent,
    *,
    scope: Scope = EVERYTHING,
    observer: str = "mse",
    percentile: float | None = None,
    averaging_constant: float | None = None,
) -> State:
    """Give activations the ranges that an observer finds for them.

    The float network runs once a sample, and its activations are looked at as they come: memory
    does not grow with the number of samples. Variables of the network start with their initial
    values and pass from each sample to the next, as from call to call. What is inside conditions
    and loops is not looked at, nor is what is no float32.

    Args:
        scope: whose results get ranges; a network's input gets one where a layer in the scope reads
            it. Other ranges stay.
        observer: one of `observers.OBSERVERS`.
        percentile, averaging_constant: options of observers; if not given, their defaults.

    Raises:
        InputError: there is no such observer, an option is not the observer's or out of range, the
            samples do not fit, or an activation is NaN, naming it and the sample.
    """
    options = {"percentile": percentile, "averaging_constant": averaging_constant}
    given = {name: value for name, value in options.items() if value is not None}
    found = observe(state, samples, progress, scope=scope, kind=observer, options=given)
    return replace(
        state,
        ranges={**state.ranges, **{name: each.range() for name, each in found.items()}},
        extremes={**state.extremes, **{name: each.extremes for name, each in found.items()}},
    )


def observe(
    state: State,
    samples: Samples,
    progress: Progress = silent,
    *,
    scope: Scope = EVERYTHING,
    kind: str,
    options: Mapping[str, float] = MappingProxyType({}),
) -> dict[str, Observer]:
    """Observers of a scope's activations, by name, that saw all samples; otherwise as `calibrate`.

    Args:
        kind: of the observers, as `observers.maker` takes it, with their ``options``.
    """
    make = observers.maker(kind, options)
    found = {value: make(value.name) for value in activations(state, scope)}
    groups = list(_groups(found))
    total = len(groups) * (samples.count or 0)
    done = 0
    for group in groups:
        with contextlib.closing(_Watch(state.graph, group)) as watch:
            for where, arrays in samples.named(varied=True):
                for value, array in watch.run(arrays):
                    found[value].update(array, where)
                done += 1
                progress("calibrate", done, total)
    return {value.name: each for value, each in found.items()}


def activations(state: State, scope: Scope = EVERYTHING) -> list[Value]:
    """The float32 activations that have integers in the quantized network: those that layers of
    integers read or give. Of these, the ones that layers in ``scope`` give, and sources of the
    network that they read; in order of computation. Empty ones, and those of a size that only a
    call tells, are left out.
    """
    graph = state.graph
    layers = [node for node in graph.nodes if _is_integer(node, state)]
    touched = {value for node in layers for value in (*node.inputs, *node.outputs)}
    touched |= set(graph.inputs) if state.inputs is not None else set()
    touched |= set(graph.outputs) if state.outputs is not None else set()
    read = {value for node in layers if scope.includes(node) for value in node.inputs}
    sources = [v for v in graph.sources if v in read or scope == EVERYTHING]
    made = [v for node in graph.nodes if scope.includes(node) for v in node.outputs]
    return [
        value
        for value in (*sources, *made)
        if value in touched
        and value.type.dtype is DType.FLOAT32
        and min(value.type.shape, default=1) > 0
    ]


def _is_integer(node: Node, state: State) -> bool:
    """Whether a layer is to become one of integers, and there are such layers."""
    is_known = isinstance(node.op, MOVES) or type(node.op) in INTEGER
    return is_known and state.scheme(node).activations is not None


def _groups(values: Iterable[Value]) -> Iterator[list[Value]]:
    """Consecutive values, at most `GROUP` bytes a group, but at least one value."""
    group: list[Value] = []
    room = GROUP
    for value in values:
        room -= value.type.nbytes
        if group and room < 0:
            yield group
            group, room = [], GROUP - value.type.nbytes
        group.append(value)
    if group:
        yield group


class _Watch:
    """Runs a graph as far as some activations need, and shows them."""

    def __init__(self, graph: Graph, values: Sequence[Value]) -> None:
        self._inputs = graph.inputs
        self._values = values
        self._made = tuple(value for value in values if value not in graph.inputs)
        self._program: Program | None = None
        if self._made:
            part = drop_dead(replace(graph, outputs=self._made))
            self._program = compile_graph(part, tuned=False)

    def run(self, arrays: Sequence[Array]) -> Iterator[tuple[Value, Array]]:
        """The activations for the next sample."""
        shown = dict(zip(self._inputs, arrays, strict=True))
        if self._program is not None:
            made = self._program(*arrays)
            shown.update(zip(self._made, made if len(self._made) > 1 else [made], strict=True))
        return ((value, shown[value]) for value in self._values)

    def close(self) -> None:
        if self._program is not None:
            self._program.close()
