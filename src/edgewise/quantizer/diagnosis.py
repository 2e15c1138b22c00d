"""What quantization did to a network, measured layer by layer."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice

import numpy as np

from ..data import Samples
from ..dtype import DType
from ..errors import UnsupportedError
from ..exporters import prepare, to_tflite
from ..graph import Array, Graph, Node, TensorType, Value
from ..ops import Interpreted
from ..runtime import Program, compile_graph
from .advice import advise
from .alone import Beside, beside, real_weights, stored
from .convert import Converted
from .findings import INPUT, Diagnosis, Histogram, Layer, Output, WeightFacts, worst
from .layer_times import Timed, time_layers
from .measure import as_inputs
from .precision import Precision, Range
from .state import Progress, State, layer_name, silent
from .sums import Errors, Extents, decibels, span, spread, to_real
from .weights import WEIGHTS, weights_of

SAMPLES = 64
"""So many samples are looked at unless more or fewer are asked for."""

COMPILED = 2000
"""Graphs of more nodes run by their references: code that keeps so many tensors takes minutes."""

WORST, BINS = 8, 120
"""Of how many layers histograms are shown, and their bins."""


def diagnose(
    state: State,
    converted: Converted,
    samples: Samples | Iterable[Sequence[Array]],
    progress: Progress = silent,
    *,
    limit: int | None = SAMPLES,
    threads: int = 1,
    timed: bool = True,
    done: Collection[str] = (),
) -> Diagnosis:
    """Measure a quantized network, layer by layer, against the float network it was made from.

    Args:
        samples: gone over twice; tuples of the float network's inputs.
        limit: at most so many samples; None for all. Memory does not grow with them.
        threads: that the networks are timed with, where ``timed``.
        done: the names of the recipe's steps, which are not advised again.

    Raises:
        InputError: as the samples do.
    """
    both = beside(state, converted)
    layers = _Layers(state, converted, both)
    total = (samples.count if isinstance(samples, Samples) else None) or limit or 0
    total = min(total, limit or total)
    first, count = layers.measure(islice(samples, limit), progress, total)
    rows = layers.rows()
    times = None
    if timed:
        nodes = {node: layers.numbers[layer_name(node)] for node in state.graph.nodes}
        copies = {both.layers[layer_name(node)]: i for node, i in nodes.items()}
        given = as_inputs(converted.graph.inputs, first)
        times = time_layers(
            Timed(state.graph, nodes, first),
            Timed(converted.graph, copies, given),
            threads,
            progress,
        )
    found = Diagnosis(
        name=state.graph.name,
        samples=count,
        float_bytes=_file_size(state.graph),
        quantized_bytes=_file_size(converted.graph),
        outputs=layers.outputs(),
        layers=rows,
        times=times,
        histograms=tuple(layers.histograms(rows, islice(samples, limit))),
    )
    return advise(found, done)


@dataclass
class _Measured:
    """A float tensor, what stands for it elsewhere, and the sums."""

    value: Value
    home: Value
    alone: Value | None
    weighted: Value | None
    extents: Extents
    isolated: Errors = field(default_factory=Errors)
    accumulated: Errors = field(default_factory=Errors)
    by_weights: Errors = field(default_factory=Errors)


class _Layers:
    def __init__(self, state: State, converted: Converted, both: Beside) -> None:
        self.state, self.converted, self.both = state, converted, both
        self.nodes: dict[str, Node | None] = {v.name: None for v in state.graph.inputs}
        self.nodes |= {layer_name(node): node for node in state.graph.nodes}
        self.numbers = {name: i for i, name in enumerate(self.nodes)}
        values = [*state.graph.inputs, *(node.outputs[0] for node in state.graph.nodes)]
        self.measured = {
            v.name: _Measured(
                v, home, both.alone.get(v.name), both.weighted.get(v.name), Extents(home.type)
            )
            for v in values
            if v.type.dtype is DType.FLOAT32 and not self._is_interpreted(v.name)
            for home in (both.homes[v.name],)
        }
        ends = zip(state.graph.outputs, converted.graph.outputs, strict=True)
        self.ends = [
            (real, found, Errors())
            for real, found in ends
            if real.type.dtype is DType.FLOAT32 and not real.is_constant
        ]

    def _is_interpreted(self, name: str) -> bool:
        node = self.nodes[name]
        return node is not None and isinstance(node.op, Interpreted)

    def measure(
        self, samples: Iterable[Sequence[Array]], progress: Progress, total: int
    ) -> tuple[Sequence[Array], int]:
        """Run both networks over the samples; the first one, and how many there were."""
        first: Sequence[Array] = ()
        count = 0
        tensors = self.measured.values()
        with (
            _Tensors(
                self.both.graph,
                [v for m in tensors for v in (m.value, m.alone, m.weighted) if v is not None]
                + [real for real, _, _ in self.ends],
            ) as floats,
            _Tensors(
                self.converted.graph,
                [*(m.home for m in tensors), *(found for _, found, _ in self.ends)],
            ) as integers,
        ):
            for arrays in samples:
                first = first or arrays
                real = floats.run(arrays)
                whole = integers.run(as_inputs(self.converted.graph.inputs, arrays))
                for m in tensors:
                    x = real[m.value]
                    m.extents.add(x)
                    m.accumulated.add(x, to_real(whole[m.home], m.home.type))
                    if m.alone is not None:
                        m.isolated.add(x, real[m.alone])
                    if m.weighted is not None:
                        m.by_weights.add(x, real[m.weighted])
                for v, found, errors in self.ends:
                    errors.add(real[v], to_real(whole[found], found.type))
                count += 1
                progress("Diagnosis", count, total)
        return first, count

    def rows(self) -> tuple[Layer, ...]:
        return tuple(self._row(name, node) for name, node in self.nodes.items())

    def outputs(self) -> tuple[Output, ...]:
        return tuple(Output(real.name, errors.result()) for real, _, errors in self.ends)

    def _row(self, name: str, node: Node | None) -> Layer:
        measured = self.measured.get(name)
        is_quantized = name in self.both.alone
        precision = Precision.FLOAT32
        if node is not None and is_quantized:
            precision = self.state.precision(node)
        copied = self.both.layers.get(name)
        weights = None
        if node is not None and copied is not None and is_quantized:
            weights = self._weights(name, node, copied)
        home = self.both.homes[name]
        read = () if node is None else [v for v in node.inputs if not v.is_constant]
        return Layer(
            name=name,
            op=INPUT if node is None else node.op.name,
            inputs=tuple(self.numbers[v.name] for v in read if v.name in self.numbers),
            precision=str(home.type.dtype) if node is None else precision.value,
            left=self.converted.left.get(name),
            isolated=measured.isolated.result() if measured and measured.alone else None,
            accumulated=measured.accumulated.result() if measured else None,
            activations=measured.extents.result() if measured else None,
            weights=weights,
            macs=0 if node is None else node.macs,
            float_bytes=_constant_bytes(node, {}),
            quantized_bytes=_constant_bytes(copied, self.both.producers),
        )

    def _weights(self, name: str, node: Node, copied: Node) -> WeightFacts | None:
        old = weights_of(node)
        if old is None or old.data is None:
            return None
        place = WEIGHTS[type(node.op)]
        new = stored(copied.inputs[place.position], self.both.producers)
        if new is None or name not in self.both.weighted:
            return None
        quant, w = new.type.quant, old.data.astype(np.float64)
        noise = float(np.square(real_weights(new).reshape(w.shape) - w).sum())
        signal = float(np.square(w).sum())
        rows = w.reshape(1, -1) if place.axis is None else np.moveaxis(w, place.axis, 0)
        widths = np.abs(rows.reshape(len(rows), -1)).max(1)
        least, low, median, high, greatest = np.quantile(widths, (0, 0.25, 0.5, 0.75, 1)).tolist()
        return WeightFacts(
            type=str(new.type.dtype),
            bits=_bits(new.type),
            sqnr=decibels(signal, noise) if noise else None,
            channels=(least, low, median, high, greatest),
            spread=spread(widths),
            per_channel=quant is not None and quant.axis is not None,
            alone=self.measured[name].by_weights.result() if name in self.measured else None,
        )

    def histograms(
        self, rows: Sequence[Layer], samples: Iterable[Sequence[Array]]
    ) -> Iterator[Histogram]:
        """Of the activations and of the weights of the worst layers."""
        shown: dict[int, tuple[Value, Range, Range]] = {}
        for i in worst(rows, WORST):
            found = rows[i].activations
            if found is not None and found.chosen is not None:
                whole = found.observed.union(found.chosen)
                shown[i] = self.measured[rows[i].name].value, whole, found.chosen
        counts = {i: np.zeros(BINS, np.int64) for i in shown}
        with _Tensors(self.state.graph, [v for v, _, _ in shown.values()]) as floats:
            for arrays in samples:
                real = floats.run(arrays)
                for i, (value, whole, _) in shown.items():
                    counts[i] += np.histogram(real[value], BINS, whole)[0]
        for i in worst(rows, WORST):
            if i in shown:
                _, whole, chosen = shown[i]
                yield Histogram(i, "activations", *whole, tuple(counts[i].tolist()), chosen)
            yield from self._weight_histogram(i, rows[i])

    def _weight_histogram(self, number: int, row: Layer) -> Iterator[Histogram]:
        node = self.nodes[row.name]
        if node is None or row.weights is None or (old := weights_of(node)) is None:
            return
        assert old.data is not None
        new = self.both.layers[row.name].inputs[WEIGHTS[type(node.op)].position]
        found = Range(float(min(old.data.min(), 0)), float(max(old.data.max(), 0)))
        chosen = span(new.type)
        counts, _ = np.histogram(old.data, BINS, found)
        yield Histogram(
            number,
            "weights",
            *found,
            tuple(counts.tolist()),
            found if chosen is None else chosen[0],
        )


class _Tensors:
    """Runs a graph and gives some of its tensors; a context manager."""

    def __init__(self, graph: Graph, wanted: Iterable[Value]) -> None:
        self.values = tuple(dict.fromkeys(wanted))
        self.graph = graph.with_nodes(graph.nodes, self.values)
        self.stack = contextlib.ExitStack()

    def __enter__(self) -> _Tensors:
        self.program: Program | None = None
        if self.values and len(self.graph.nodes) <= COMPILED:
            self.program = self.stack.enter_context(contextlib.closing(compile_graph(self.graph)))
        return self

    def __exit__(self, *_: object) -> None:
        self.stack.close()

    def run(self, arrays: Sequence[Array]) -> Mapping[Value, Array]:
        """The tensors for inputs; the network's variables start anew."""
        if self.program is None:
            return self._by_reference(arrays)
        self.program.reset()
        found = self.program(*arrays)
        return dict(zip(self.values, found if isinstance(found, tuple) else (found,), strict=True))

    def _by_reference(self, arrays: Sequence[Array]) -> Mapping[Value, Array]:
        found = dict(zip(self.graph.inputs, arrays, strict=True))
        found |= {state.before: state.initial for state in self.graph.states}
        for node, results in self.graph.reference(found) if self.values else ():
            found.update(zip(node.outputs, results, strict=True))
        return {value: found[value] for value in self.values}


def _constant_bytes(node: Node | None, producers: Mapping[Value, Node]) -> int:
    """Of a layer's constants, where weights of fewer bits than their type are packed."""
    found = [stored(value, producers) for value in (node.inputs if node else ())]
    return sum(v.type.size * _bits(v.type) // 8 for v in found if v is not None)


def _bits(type: TensorType) -> int:
    """Of an element of a constant in a file."""
    packed = None if type.quant is None else type.quant.bits
    return packed or 8 * type.dtype.itemsize


def _file_size(graph: Graph) -> int | None:
    try:
        return len(to_tflite(prepare(graph)))
    except UnsupportedError:
        return None
