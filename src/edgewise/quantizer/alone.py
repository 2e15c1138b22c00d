"""A float network with, beside each layer, the layer as the quantized network has it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from ..graph import Graph, Node, TensorType, Value
from ..ops import Dequantize, Quantize
from ..passes.rewrite import fresh_name
from .convert import Converted
from .state import State, layer_name
from .weights import WEIGHTS, along, weights_of


@dataclass(frozen=True)
class Beside:
    """Both kinds of layers in one graph.

    Attributes:
        graph: the float network and the quantized layers; its outputs are the float network's.
        alone: by the names of layers, and of inputs, that are quantized: their result as floats,
            where the operands are those of the float network.
        weighted: by the names of layers whose weights are quantized: the float layer's result with
            the numbers that those integers stand for.
        homes: by the names of all layers and inputs, what holds their result in the quantized
            network.
        layers: by name, the layer of the quantized network.
        producers: what computes each value of the quantized network.
    """

    graph: Graph
    alone: Mapping[str, Value]
    weighted: Mapping[str, Value]
    homes: Mapping[str, Value]
    layers: Mapping[str, Node]
    producers: Mapping[Value, Node]


def beside(state: State, converted: Converted) -> Beside:
    """The float network with a copy of each quantized layer, which reads floats.

    Given:
        %y = CONV_2D(%x, @w) : float32
    Result:
        %y = CONV_2D(%x, @w) : float32
        %a = QUANTIZE(%x) : int8 {of the quantized network}
        %b = CONV_2D(%a, @w:int8) : int8 {of the quantized network}
        %c = DEQUANTIZE(%b) : float32
    """
    return _Grafter(state.graph, converted.graph).run()


@dataclass
class _Grafter:
    real: Graph
    whole: Graph
    nodes: list[Node] = field(default_factory=list)
    quantized: dict[tuple[Value, TensorType], Value] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.floats = {v.name: v for v in _values(self.real)}
        self.made = {v.name: v for v in _values(self.whole)}
        self.names = {*self.floats, *self.made}
        self.producers = self.whole.producers()
        self.forms = _finest(self.whole)
        before = self.real.producers()
        self.homes = {name: self._home(name, before.get(v)) for name, v in self.floats.items()}
        self.sources = {home: self.floats[name] for name, home in self.homes.items()}

    def run(self) -> Beside:
        alone: dict[str, Value] = {}
        weighted: dict[str, Value] = {}
        for value in self.real.inputs:
            home = self.homes[value.name]
            if home.type.dtype is value.type.dtype and home in self.forms:
                home = self.homes[value.name] = self.forms[home].outputs[0]
            if home.type.dtype is not value.type.dtype:
                alone[value.name] = self._real(self._operand(value, home.type), value)
        layers = {}
        for node in self.real.nodes:
            self.nodes.append(node)
            name = layer_name(node)
            layers[name] = found = self.producers[self.homes[name]]
            if _is_quantized(node, found):
                alone[name] = self._copy(node, found)
                if (weights := self._weights(node, found)) is not None:
                    weighted[name] = weights
        graph = self.real.with_nodes(self.nodes)
        return Beside(graph, alone, weighted, self.homes, layers, self.producers)

    def _home(self, name: str, node: Node | None) -> Value:
        """What a layer's counterpart computes; the caller may see it converted to another type."""
        found = self.made[name]
        if node is not None and isinstance(node.op, Dequantize):
            return found
        while (last := self.producers.get(found)) is not None and _converts(last):
            found = last.inputs[0]
        return found

    def _copy(self, node: Node, found: Node) -> Value:
        """A layer of the quantized network that reads floats; its result as floats."""
        inputs = tuple(self._given(v) for v in found.inputs)
        outputs = tuple(Value(self._fresh(v.name), v.type) for v in found.outputs)
        self.nodes.append(replace(found, inputs=inputs, outputs=outputs))
        return self._real(outputs[0], node.outputs[0])

    def _weights(self, node: Node, found: Node) -> Value | None:
        """The result of a float layer with the weights of the quantized one."""
        old = weights_of(node)
        if old is None:
            return None
        place = WEIGHTS[type(node.op)].position
        new = stored(found.inputs[place], self.producers)
        if new is None or new.type.dtype is old.type.dtype:
            return None
        real = real_weights(new).reshape(old.type.shape).astype(np.float32)
        inputs = list(node.inputs)
        inputs[place] = Value.constant(old.name, real)
        outputs = tuple(Value(self._fresh(v.name), v.type) for v in node.outputs)
        self.nodes.append(replace(node, inputs=tuple(inputs), outputs=outputs))
        return outputs[0]

    def _given(self, value: Value) -> Value:
        """What stands for an operand of the quantized network beside the float one."""
        if value.is_constant:
            return value
        source = self._source(value)
        if source is not None:
            return self._operand(source, value.type)
        made = self.producers[value]
        found = replace(
            made,
            inputs=tuple(self._given(v) for v in made.inputs),
            outputs=tuple(Value(self._fresh(v.name), v.type) for v in made.outputs),
        )
        self.nodes.append(found)
        return found.outputs[made.outputs.index(value)]

    def _source(self, value: Value) -> Value | None:
        """The float network's value that it stands for; None where it stands for none."""
        if value in self.sources or value.name in self.floats:
            return self.sources.get(value) or self.floats[value.name]
        made = self.producers[value]
        is_form = isinstance(made.op, Quantize | Dequantize) and not made.inputs[0].is_constant
        return self._source(made.inputs[0]) if is_form else None

    def _operand(self, value: Value, type: TensorType) -> Value:
        if value.type.dtype is type.dtype:
            return value
        if (value, type) not in self.quantized:
            found = Value(self._fresh(value.name), type)
            self.nodes.append(Node(Quantize(type.dtype), (value,), (found,)))
            self.quantized[value, type] = found
        return self.quantized[value, type]

    def _real(self, value: Value, like: Value) -> Value:
        if value.type.dtype is like.type.dtype:
            return value
        found = Value(self._fresh(like.name), like.type)
        self.nodes.append(Node(Dequantize(), (value,), (found,)))
        return found

    def _fresh(self, name: str) -> str:
        return fresh_name(f"{name}:alone", self.names)


def stored(value: Value, producers: Mapping[Value, Node]) -> Value | None:
    """The constant that a value is, or is converted from; None where it is computed."""
    if value.is_constant:
        return value
    made = producers.get(value)
    return made.inputs[0] if made is not None and made.inputs[0].is_constant else None


def real_weights(value: Value) -> npt.NDArray[np.float64]:
    """What a constant's integers, or float16, stand for."""
    assert value.data is not None
    real: npt.NDArray[np.float64] = value.data.astype(np.float64)
    quant = value.type.quant
    if quant is None or not value.type.dtype.is_integer:
        return real
    zero = along(tuple(map(float, quant.zero_point)), quant.axis, real.ndim)
    return np.asarray((real - zero) * along(quant.scale, quant.axis, real.ndim))


def _converts(node: Node) -> bool:
    """Whether a node makes another type of its operand, and no other parameters alone."""
    is_form = isinstance(node.op, Quantize | Dequantize)
    return is_form and node.inputs[0].type.dtype is not node.outputs[0].type.dtype


def _finest(graph: Graph) -> dict[Value, Node]:
    """The QUANTIZE of each value that has the least steps: joins may have coarser ones."""
    found: dict[Value, Node] = {}
    for node in graph.nodes:
        if isinstance(node.op, Quantize):
            (value,) = node.inputs
            found[value] = min(found.get(value, node), node, key=_step)
    return found


def _step(node: Node) -> float:
    quant = node.outputs[0].type.quant
    assert quant is not None
    return quant.scale[0]


def _is_quantized(node: Node, found: Node) -> bool:
    """Whether a layer of the quantized network is another than that of floats."""
    before = [v.type.dtype for v in (*node.inputs, *node.outputs)]
    weights = [v.data is w.data for v, w in zip(node.inputs, found.inputs, strict=False)]
    return before != [v.type.dtype for v in (*found.inputs, *found.outputs)] or not all(weights)


def _values(graph: Graph) -> Iterator[Value]:
    yield from graph.sources
    for node in graph.nodes:
        yield from node.outputs
