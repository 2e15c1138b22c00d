"""Equalization: channels scaled so that their quantization costs the network least.

The channels of an activation share one scale, and the channels that a row of weights reads another;
both fit those of great range. Scaling a product's output channels, and the weights that read them
by the inverse (`channels`), shifts range from one to the other without changing the function:
Nagel et al. 2019, "Data-Free Quantization Through Weight Equalization and Bias Correction",
section 4.1, and Xiao et al. 2023, "SmoothQuant", section 4. Here the scale is chosen, link by link,
that gives the least noise by the model of `noise`.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ..data import Samples
from ..graph import Array, Graph, Node, Value
from ..ops import (
    Activation,
    DepthwiseConv2D,
    MaxPool2D,
    Op,
    Pad,
    Relu,
    Relu6,
    ResizeNearestNeighbor,
)
from ..passes.rewrite import drop_dead
from ..runtime import compile_graph
from .channels import CEILING, Link, by_input, by_output, links, scaled_inputs, scaled_outputs
from .layerwise import SAMPLES, require, spread
from .precision import Scheme
from .state import EVERYTHING, Progress, Scope, State, layer_name
from .weights import weights_of

Floats = npt.NDArray[np.float64]

EXPONENTS = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Of the ranges of activations and of weights, whose powers are the scales that are tried."""

FLOOR = 0.5
"""Of the median range of an activation's channels: those that are quieter in the samples are taken
to be as loud as that, since other inputs may make them so.
"""

WIDEST = 2.0**6
"""The greatest scale of a channel over the least one."""

NOISELESS = (MaxPool2D, Pad, ResizeNearestNeighbor)
"""Operators whose results are quantized as their operands are, without further loss."""


class Spans(NamedTuple):
    """What is known of a value's channels over samples, each [channels] as float64.

    Attributes:
        low, high: least and greatest, 0 among them.
        energy: mean square.
    """

    low: Floats
    high: Floats
    energy: Floats

    def scaled(self, scale: Floats) -> Spans:
        return Spans(self.low * scale, self.high * scale, self.energy * scale**2)


def equalize(
    state: State,
    samples: Samples,
    progress: Progress,
    *,
    scope: Scope = EVERYTHING,
    limit: int = SAMPLES,
    passes: int = 2,
    headroom: float = 2.0,
) -> State:
    """Scale channels where that lowers the expected noise, and drop ranges that are no longer so.

    A link is within ``scope`` where all its products are, and is scaled where they compute with
    integers.

    Args:
        limit: at most so many samples are used.
        passes: over all links, since the weights between two of them change with either.
        headroom: no channel is scaled up so far that, in the samples, it comes nearer to the end
            of its tensor's range than by this factor: other inputs may reach further. Nor nearer
            to RELU6's clamp, which channels that reach beyond that keep as it was; where there is
            none, RELU takes RELU6's place.

    Raises:
        InputError: an option is out of range.
    """
    require("equalize", limit=(limit, 1), passes=(passes, 1), headroom=(headroom, 1.0))
    graph = state.graph
    found = [link for link in links(graph) if _is_quantized(link, state, scope)]
    if not found:
        return state
    network = _Network(state, found, measure(graph, found, samples, limit, progress))
    for i, link in enumerate(found * passes):
        progress("equalizing", i, passes * len(found))
        network.scale(link, headroom)
    progress("equalizing", passes * len(found), passes * len(found))
    names = {v.name for link in found for v in link.values}
    layers = {layer_name(n) for link in found for n in (*link.sources, *link.sinks)}
    return replace(
        state,
        graph=graph.with_nodes([network.node(node) for node in graph.nodes]),
        ranges={k: v for k, v in state.ranges.items() if k not in names},
        extremes={k: v for k, v in state.extremes.items() if k not in names},
        weights={k: v for k, v in state.weights.items() if k not in layers},
        biases={k: v for k, v in state.biases.items() if k not in layers},
    )


def _is_quantized(link: Link, state: State, scope: Scope) -> bool:
    nodes = (*link.sources, *link.sinks)
    schemes = [state.scheme(n) for n in nodes]
    integers = all(s.activations is not None and s.weights is not None for s in schemes)
    return integers and all(map(scope.includes, nodes)) and all(map(_is_finite, nodes))


def _is_finite(node: Node) -> bool:
    w = weights_of(node)
    return w is None or w.data is None or bool(np.isfinite(w.data).all())


def measure(
    graph: Graph, found: Sequence[Link], samples: Samples, limit: int, progress: Progress
) -> dict[Value, Spans]:
    """Spans of what links scale and their products read, over at most ``limit`` samples."""
    nodes = [n for link in found for n in (*link.sources, *link.sinks)]
    wanted = [v for link in found for v in link.values] + [n.inputs[0] for n in nodes]
    values = tuple(v for v in dict.fromkeys(wanted) if v not in graph.inputs)
    program = compile_graph(drop_dead(replace(graph, outputs=values)), tuned=False)
    sums: dict[Value, Spans] = {}

    def add(value: Value, data: Array) -> None:
        rows = data.reshape(-1, data.shape[-1])
        low = np.minimum(rows.min(0), 0).astype(np.float64)
        high = np.maximum(rows.max(0), 0).astype(np.float64)
        energy: Floats = np.square(rows, dtype=np.float64).mean(0)
        if value in sums:
            before = sums[value]
            low, high = np.minimum(low, before.low), np.maximum(high, before.high)
            energy = energy + before.energy
        sums[value] = Spans(low, high, energy)

    done, total = 0, min(limit, samples.count or limit)
    for sample in spread(samples, limit):
        progress("equalize", done, total)
        done += 1
        results = program(*sample)
        arrays = results if isinstance(results, tuple) else (results,)
        for value, data in zip(values, arrays, strict=True):
            add(value, data)
        for value, data in zip(graph.inputs, sample, strict=True):
            if value in wanted:
                add(value, data)
    return {v: it._replace(energy=it.energy / done) for v, it in sums.items()}


class _Network:
    """Weights, biases and spans as they are once some links are scaled."""

    def __init__(self, state: State, found: Sequence[Link], spans: dict[Value, Spans]) -> None:
        self.state, self.spans = state, spans
        self.producers = state.graph.producers()
        products = {n: n for link in found for n in (*link.sources, *link.sinks)}
        self.weights = {n: _float64(n, 1) for n in products}
        self.bias = {n: _float64(n, 2) for n in products if len(n.inputs) > 2}
        self.total = {link: np.ones(link.channels) for link in found}
        self.open: set[Node] = set()

    def scale(self, link: Link, headroom: float) -> None:
        """Scale a link's channels as it costs least."""
        high = self._greatest(link) / self.total[link] * headroom
        bound = np.divide(CEILING, high, out=np.full(len(high), np.inf), where=high > 0)
        closed = bool(link.ceilings) and not (bound > 1).all()
        candidates = list(self._candidates(link, headroom))
        if closed:
            total = self.total[link]
            candidates = [_below(s * total, bound) / total for s in candidates]
        costs = [self.noise(link, s) for s in candidates]
        best = candidates[int(np.argmin(costs))]
        if not min(costs) < costs[0]:
            return
        if not closed:
            self.open.update(link.ceilings)
        self.total[link] = self.total[link] * best
        for v in link.values:
            self.spans[v] = self.spans[v].scaled(best)
        for node in link.sources:
            self.weights[node] = scaled_outputs(node.op, self.weights[node], best)
            if node in self.bias:
                self.bias[node] = self.bias[node] * best
        for node in link.sinks:
            self.weights[node] = scaled_inputs(node.op, self.weights[node], best)

    def _greatest(self, link: Link) -> Floats:
        """Of each channel, behind a ceiling."""
        found = [self.spans[n.outputs[0]].high for n in link.ceilings]
        return np.max(found, axis=0) if found else np.zeros(link.channels)

    def _candidates(self, link: Link, headroom: float) -> list[Floats]:
        """Scales to try; the first leaves all as it is, and none widens the range of all."""
        ranges = np.max([self.spans[v].high - self.spans[v].low for v in link.values], axis=0)
        activations = _shares(ranges)
        activations = np.maximum(activations, FLOOR * np.median(activations))
        columns = [
            np.abs(by_input(n.op, self.weights[n], link.channels)).max((0, 1)) for n in link.sinks
        ]
        weights = _shares(np.max(columns, axis=0))
        most = np.maximum(1, 1 / (headroom * activations))
        found = []
        for a, w in itertools.product(EXPONENTS, EXPONENTS):
            scale = weights**w / activations**a
            found.append(np.minimum(scale / scale[np.argmax(activations)], most))
        return found

    def noise(self, link: Link, scale: Floats) -> float:
        """Expected square error of what a link's sinks compute, in steps of no unit.

        Rounding to steps of d adds noise of d**2 / 12 to every number. Noise of a channel of the
        link counts with the squares of all weights that read it; noise of a weight counts with the
        mean square of what it reads. A channel that is always 0 has none.
        """
        count = link.channels
        read = {n: by_input(n.op, self.weights[n], count) / scale for n in link.sinks}
        gain = np.sum([np.square(w).sum((0, 1)) for w in read.values()], axis=0)
        total = 0.0
        for value in link.values:
            scheme = self.state.scheme(self.producers[value])
            if scheme.activations is None or isinstance(self.producers[value].op, NOISELESS):
                continue
            least, greatest = scheme.activations.range
            spans = self.spans[value].scaled(scale)
            step = (spans.high.max() - spans.low.min()) / (greatest - least)
            total += step**2 * gain[spans.high > spans.low].sum()
        for node, weights in read.items():
            energy = self.spans[node.inputs[0]].energy * scale**2
            per_row = weights.swapaxes(0, 1)
            if isinstance(node.op, DepthwiseConv2D):
                step = _steps(weights, self.state.scheme(node), (1,))
            else:
                step = _steps(weights, self.state.scheme(node), (1, 2))
            total += float((step**2 * energy * len(per_row)).sum())
        for node in link.sources:
            scheme = self.state.scheme(node)
            if scheme.per_channel:
                continue
            rows = by_output(node.op, self.weights[node]) * scale[:, None]
            step = _steps(rows[None], scheme, (1, 2))
            energy = self.spans[node.inputs[0]].energy
            if isinstance(node.op, DepthwiseConv2D):
                energy = np.repeat(energy, count // len(energy))
            else:
                energy = np.full(count, energy.mean())
            total += float(np.sum(step**2 * rows.shape[1] * energy * gain))
        return total

    def node(self, node: Node) -> Node:
        """A node as it is once links are scaled."""
        if node in self.weights:
            found = [self.weights[node], *([self.bias[node]] if node in self.bias else [])]
            made = [
                Value.constant(v.name, a.astype(np.float32))
                for v, a in zip(node.inputs[1:], found, strict=True)
            ]
            node = replace(node, inputs=(node.inputs[0], *made), op=self._op(node))
        return replace(node, op=self._op(node))

    def _op(self, node: Node) -> Op:
        if not any(node.outputs == n.outputs for n in self.open):
            return node.op
        op: Any = node.op
        return Relu() if isinstance(op, Relu6) else replace(op, activation=Activation.RELU)


def _below(scale: Floats, bound: Floats) -> Floats:
    """Scales in which channels that reach their bound at 1 are 1, and others are within theirs."""
    fixed = bound <= 1
    scale = scale / np.exp(np.log(scale[fixed]).mean())
    return np.where(fixed, 1.0, np.minimum(scale, bound))


def _steps(weights: Floats, scheme: Scheme, axes: tuple[int, ...]) -> Floats:
    """The steps of weights [rows, taps, channels], each row's over some axes, or all alike."""
    least, greatest = scheme.weight_range
    over = axes if scheme.per_channel else (0, 1, 2)
    high = np.maximum(weights.max(over, keepdims=True), 0)
    low = np.minimum(weights.min(over, keepdims=True), 0)
    if scheme.symmetric:
        found = np.maximum(-low, high) / greatest
    else:
        found = (high - low) / (greatest - least)
    rows = np.broadcast_to(found, (len(weights), 1, 1 if 2 in axes else weights.shape[2]))
    return np.asarray(rows[:, 0])


def _shares(ranges: Floats) -> Floats:
    """Ranges over the greatest one, none less than 1 / ``WIDEST``."""
    most = ranges.max()
    return np.maximum(ranges / most, 1 / WIDEST) if most > 0 else np.ones(len(ranges))


def _float64(node: Node, operand: int) -> Floats:
    data = node.inputs[operand].data
    assert data is not None
    return data.astype(np.float64)
