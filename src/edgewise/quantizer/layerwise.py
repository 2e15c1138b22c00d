"""The float network and the quantized one, layer after layer, side by side over samples.

A method that fits a layer to data (`bias_correction`, `adaround`) is called with what enters that
layer in both networks; what it chooses is part of the quantized one from there on. The quantized
network is simulated: its tensors are the real numbers that integers would stand for.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import NamedTuple

import numpy as np

from ..data import Samples
from ..dtype import DType
from ..errors import GraphError, InputError
from ..graph import Array, Graph, Node, Value
from ..runtime import Program, compile_graph
from .columns import Columns, Floats, columns, from_rows, is_matrix, positions, rows
from .parameters import Parameters
from .precision import Scheme, Weights
from .rounding import Grid
from .state import Progress, Scope, State, layer_name
from .weights import (
    LEAST_WEIGHTS,
    along,
    bias_of,
    nearest,
    real,
    weight_parameters,
    weights_of,
    with_bias,
)

SAMPLES, POSITIONS = 64, 4096
"""How many samples, and how many positions of a layer's output over all of them, methods use."""

MEMORY = 2**30
"""Bytes that the activations of both networks may take: fewer samples are read where they would
take more."""


@dataclass(frozen=True, eq=False)
class Product:
    """A product of a network that is being quantized.

    Attributes:
        node: of the float network.
        scheme: how it is quantized.
        weights: its integers, as they are so far.
    """

    node: Node
    scheme: Scheme
    weights: Weights

    @classmethod
    def of(cls, node: Node, state: State, x_scale: float | None = None) -> Product:
        """A layer that `has_integers`; ``x_scale`` is that of integer activations.

        Raises:
            GraphError: there are no integers for its weights: they are no numbers.
        """
        scheme, w = state.scheme(node), weights_of(node)
        assert w is not None
        assert w.data is not None
        weights = state.weights.get(layer_name(node))
        if weights is None:
            weights = nearest(w.data, weight_parameters(node, scheme, x_scale), scheme)
        return cls(node, scheme, weights)

    @property
    def bias(self) -> Floats:
        """The float bias of each channel, 0 where there is none."""
        found = bias_of(self.node)
        if found is None or found.data is None:
            return np.zeros(self.node.outputs[0].type.shape[-1])
        return found.data.astype(np.float64)

    @property
    def rows(self) -> Floats:
        """The float weights, [groups, rows, terms]."""
        w = weights_of(self.node)
        assert w is not None
        assert w.data is not None
        return rows(self.node, w.data).astype(np.float64)

    @property
    def rounded(self) -> Floats:
        """What the integer weights stand for, likewise."""
        return rows(self.node, real(self.weights)).astype(np.float64)

    @property
    def grid(self) -> Grid:
        """The real numbers that the integers of each row may stand for."""
        low, high = self.scheme.weight_range
        scale, zero = self._parameters
        return Grid(*(self._of_rows(a) for a in (scale, low - zero, high - zero)))

    def integers(self, found: Floats) -> Weights:
        """The integers that stand for numbers of the grid, [groups, rows, terms]."""
        scale, zero = self._parameters
        data = np.rint(from_rows(self.node, found) / scale) + zero
        return replace(self.weights, data=data.astype(self.weights.data.dtype))

    @property
    def _parameters(self) -> tuple[Floats, Floats]:
        quant, rank = self.weights.quant, self.weights.data.ndim
        return along(quant.scale, quant.axis, rank), along(quant.zero_point, quant.axis, rank)

    def _of_rows(self, values: Floats) -> Floats:
        return rows(self.node, np.broadcast_to(values, self.weights.data.shape))[:, :, :1]


@dataclass(frozen=True, eq=False)
class Layer(Product):
    """A product, and what enters it.

    Attributes:
        exact, given: its first operand in the float and in the quantized network, float32
            [samples, *shape].
    """

    exact: Array
    given: Array

    def columns(self, limit: int) -> Columns:
        """At most ``limit`` columns of ``exact`` and ``given``."""
        at = positions(self.node, len(self.exact), limit)
        return Columns(*(columns(self.node, x, at) for x in (self.exact, self.given)))


@dataclass(frozen=True, eq=False)
class Fitted:
    """What a method chose for a layer; None leaves it as it was."""

    weights: Weights | None = None
    bias: Floats | None = None


Fit = Callable[[Layer], Fitted]


def fit_layers(
    state: State,
    samples: Samples,
    progress: Progress,
    what: str,
    fit: Fit,
    scope: Scope,
    limit: int,
) -> State:
    """Call ``fit`` for each layer with integer weights within ``scope``, in order.

    At most ``limit`` samples are used, at even distances where their number is known. Variables
    have their initial values in every sample.

    Raises:
        InputError: products are to read integers, and no activation has a range yet.
    """
    graph, parameters = state.graph, Parameters(state)
    wanted = [n for n in graph.nodes if scope.includes(n) and has_integers(n, state)]
    if not wanted:
        return state
    if not state.ranges and any(state.scheme(n).activations is not None for n in wanted):
        raise InputError(f"{what}: no activation has a range yet; the step comes after calibrate")
    nodes = graph.nodes[: graph.nodes.index(wanted[-1]) + 1]
    taken = list(spread(samples, min(limit, affordable(graph))))
    streams = _Streams(graph, taken, parameters)
    weights, biases = dict(state.weights), dict(state.biases)
    for i, node in enumerate(nodes):
        progress(what, i, len(nodes))
        layer = streams.layer(node, state)
        if layer is None:
            streams.run(node, node, state.scheme(node))
            continue
        name = layer_name(node)
        if scope.includes(node):
            fitted = fit(layer)
            if fitted.weights is not None:
                weights[name] = fitted.weights
                layer = replace(layer, weights=fitted.weights)
            if fitted.bias is not None:
                biases[name] = fitted.bias.astype(np.float32)
                biases[name].setflags(write=False)
        quantized = with_weights(node, real(layer.weights))
        if name in biases:
            quantized = with_bias(quantized, biases[name])
        streams.run(node, quantized, layer.scheme)
    progress(what, len(nodes), len(nodes))
    return replace(state, weights=weights, biases=biases)


def has_integers(node: Node, state: State) -> bool:
    """Whether a node is a product of computed data with constant weights that are quantized."""
    scheme = state.scheme(node)
    if not is_matrix(node) or scheme.weights is None or scheme.weights.is_float:
        return False
    if scheme.activations is None and node.inputs[1].type.size < LEAST_WEIGHTS:
        return False
    return not node.inputs[0].is_constant and node.outputs[0].type.size > 0


def require(step: str, **bounds: tuple[float, float]) -> None:
    """Check options of a step, by name: each as (value, least); an int is least of whole numbers.

    Raises:
        InputError: a value is less than that, or none.
    """
    for name, (value, least) in bounds.items():
        kinds = int if isinstance(least, int) else (int, float)
        is_number = isinstance(value, kinds) and not isinstance(value, bool)
        if not (is_number and least <= value < math.inf):
            kind = ", a whole number" if kinds is int else ""
            raise InputError(f"{step}: {name} is {value!r}; it is at least {least:g}{kind}")


def spread(samples: Samples, limit: int) -> Iterator[tuple[Array, ...]]:
    """At most ``limit`` samples: at even distances where their number is known, else the first."""
    if samples.count is None or samples.count <= limit:
        return islice(samples, limit)
    chosen = {i * samples.count // limit for i in range(limit)}
    return (sample for i, sample in enumerate(samples) if i in chosen)


def affordable(graph: Graph) -> int:
    """How many samples' activations take ``MEMORY`` in two networks, at least one."""
    last = {v: i for i, node in enumerate(graph.nodes) for v in node.inputs}
    live = sum(v.type.nbytes for v in graph.sources)
    peak = live
    for i, node in enumerate(graph.nodes):
        live += sum(v.type.nbytes for v in node.outputs)
        peak = max(peak, live)
        gone = {v for v in (*node.inputs, *node.outputs) if last.get(v, -1) <= i}
        live -= sum(v.type.nbytes for v in gone if not v.is_constant)
    return max(1, MEMORY // max(2 * peak, 1))


def with_weights(node: Node, data: Array) -> Node:
    """A layer with other weights of the same name."""
    old = weights_of(node)
    assert old is not None
    new = Value.constant(old.name, data)
    return replace(node, inputs=tuple(new if v is old else v for v in node.inputs))


class Steps(NamedTuple):
    """Numbers that integers may stand for: ``scale`` times the whole numbers in [low, high]."""

    scale: float
    low: int
    high: int


class _Streams:
    """The values of both networks that later layers read, of all samples."""

    def __init__(
        self, graph: Graph, samples: Sequence[tuple[Array, ...]], parameters: Parameters
    ) -> None:
        self._parameters = parameters
        self._last = {v: node for node in graph.nodes for v in node.inputs}
        self._count = len(samples)
        found = {v: np.stack([s[i] for s in samples]) for i, v in enumerate(graph.inputs)}
        for s in graph.states:
            found[s.before] = np.broadcast_to(s.initial, (self._count, *s.initial.shape))
        self._exact, self._given = found, dict(found)
        self._quant: dict[Value, Steps | None] = {}

    def layer(self, node: Node, state: State) -> Layer | None:
        """A product that `has_integers`, where its operand and weights have steps; else None."""
        if not has_integers(node, state):
            return None
        scheme, x = state.scheme(node), node.inputs[0]
        try:
            is_float = scheme.activations is None
            scale = None if is_float else self._parameters.of(x, scheme).scale[0]
            found = Product.of(node, state, scale)
        except GraphError:
            return None
        return Layer(node, scheme, found.weights, self._exact[x], self.rounded(x, scheme))

    def run(self, exact: Node, given: Node, scheme: Scheme) -> None:
        """Run a layer of both networks; ``scheme`` says what its activations are in the second."""
        program = _Layer(exact)
        second = program if given is exact else _Layer(given)
        operands = {v: self.rounded(v, scheme) for v in program.operands}
        steps = [self._steps(v, scheme) for v in exact.outputs]
        self._exact.update(program.run(self._exact, self._count, [None] * len(steps)))
        found = second.run(operands, self._count, steps)
        self._given.update(zip(exact.outputs, found.values(), strict=True))
        self._quant.update(zip(exact.outputs, steps, strict=True))
        for v in (*exact.inputs, *exact.outputs):
            if self._last.get(v, exact) is exact:
                self._exact.pop(v, None)
                self._given.pop(v, None)

    def rounded(self, value: Value, scheme: Scheme) -> Array:
        """A value of the quantized network as integers of a scheme stand for it, of all samples."""
        steps, data = self._steps(value, scheme), self._given[value]
        if steps is None or self._quant.get(value) == steps:
            return data
        data = np.array(data)
        for i in range(len(data)):
            simulate(data[i : i + 1], steps)
        return data

    def _steps(self, value: Value, scheme: Scheme) -> Steps | None:
        if scheme.activations is None or value.type.dtype is not DType.FLOAT32:
            return None
        try:
            quant = self._parameters.of(value, scheme)
        except GraphError:
            return None
        low, high = scheme.activations.range
        zero = quant.zero_point[0]
        return Steps(quant.scale[0], low - zero, high - zero)


def simulate(data: Array, steps: Steps) -> None:
    """Round float32 numbers to steps, in place, and clamp them to the ends."""
    data *= np.float32(1 / steps.scale)
    np.rint(data, out=data)
    np.clip(data, steps.low, steps.high, out=data)
    data *= np.float32(steps.scale)


class _Layer:
    """One node, compiled."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._constants = [v.data for v in node.inputs if v.data is not None]
        self.operands = tuple(dict.fromkeys(v for v in node.inputs if not v.is_constant))
        self._program: Program | None = None
        if self.operands:
            graph = Graph(self.operands, node.outputs, (node,))
            self._program = compile_graph(graph, tuned=False)

    def run(
        self, values: Mapping[Value, Array], count: int, steps: Sequence[Steps | None]
    ) -> dict[Value, Array]:
        """The results of each of ``count`` samples, stacked; each is rounded to its steps."""
        outputs = self._node.outputs
        stacked = {v: np.empty((count, *v.type.shape), v.type.dtype.numpy) for v in outputs}
        for i in range(count):
            if self._program is None:
                found = self._node.reference(self._constants)
            else:
                results = self._program(*(np.asarray(values[v][i]) for v in self.operands))
                found = list(results) if isinstance(results, tuple) else [results]
            for array, to, step in zip(found, stacked.values(), steps, strict=True):
                to[i] = array
                if step is not None:
                    simulate(to[i : i + 1], step)
        return stacked
