"""From a float network and the choices made for it to the quantized network."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from ..dtype import DType, QParams
from ..errors import GraphError
from ..exporters import TFLITE
from ..exporters.requantize import FIXED, fixed_parameters, requantize_for_litert
from ..graph import Graph, Node, TensorType, Value
from ..ops import Dequantize, Op, Pad, Quantize
from ..ops.compare import Comparison
from ..ops.recurrent import Recurrent
from ..passes import optimize
from ..passes.fuse_qdq import MOVES
from ..passes.qdq_rules import INTEGER
from ..passes.rewrite import drop_dead, fresh_name
from .litert import LACKING
from .parameters import Parameters, holds, range_of, shared, shares_parameters
from .precision import SCHEMES, Precision, Scheme
from .state import State, layer_name
from .stored import store_weights, stores
from .weights import (
    WEIGHTS,
    bias_of,
    integer_bias,
    nearest,
    weight_parameters,
    weights_of,
    with_bias,
)


@dataclass(frozen=True)
class Converted:
    """A quantized network.

    Attributes:
        graph: it; a layer's result has the name that it had in the float network, or, where the
            caller sees it as float32, that name and the integers' dtype (``scores:int8``).
        left: the layers that stayed in float against their precision, and why.
    """

    graph: Graph
    left: Mapping[str, str]


def convert(state: State) -> Converted:
    """Quantize each layer of ``state.graph`` to its precision.

    A layer that has no operator of its precision stays in float.
    """
    return _Converter(state).run()


class _Converter:
    """Walks the float network in order; the new network's nodes gather in ``nodes``."""

    def __init__(self, state: State) -> None:
        graph = state.graph
        self.state, self.graph = state, graph
        self.parameters = Parameters(state)
        self.nodes: list[Node] = []
        self.left: dict[str, str] = {}
        values = [*graph.sources, *(v for node in graph.nodes for v in node.outputs)]
        self._names = {v.name for v in values}
        self._home: dict[Value, Value] = {}
        """What stands for a float value in the new network: integers, or floats."""
        self._forms: dict[tuple[Value, TensorType], Value] = {}
        """A value in other types than at home."""

    def run(self) -> Converted:
        graph = self.graph
        inputs = tuple(self._input(v) for v in graph.inputs)
        for node in graph.nodes:
            self._convert(node)
        outputs = tuple(self._output(v) for v in graph.outputs)
        states = tuple(replace(s, after=self._real(s.after)) for s in graph.states)
        found = replace(
            graph, inputs=inputs, outputs=outputs, nodes=tuple(self.nodes), states=states
        )
        metadata = {**graph.metadata, **TFLITE}
        found = optimize(replace(found, metadata=metadata), (drop_dead, requantize_for_litert))
        return Converted(found, self.left)

    def _input(self, value: Value) -> Value:
        """A network's input, which is integer where that is wanted and its readers are."""
        scheme = _scheme_of(self.state.inputs)
        if scheme is None or value.type.dtype is not DType.FLOAT32:
            return value
        found = Value(value.name, self._integer_type(value, scheme))
        self._home[value] = found
        return found

    def _output(self, value: Value) -> Value:
        scheme = _scheme_of(self.state.outputs)
        if scheme is None or value.type.dtype is not DType.FLOAT32:
            return self._real(value)
        return self._quantized(value, scheme)

    def _convert(self, node: Node) -> None:
        bias = self.state.biases.get(layer_name(node))
        chosen = node if bias is None else with_bias(node, bias)
        for scheme in self._schemes(node):
            start, forms = len(self.nodes), dict(self._forms)
            try:
                if scheme.activations is not None:
                    return self._to_integers(chosen, scheme)
                return self._store_weights(chosen, scheme)
            except GraphError as error:
                del self.nodes[start:]
                self._forms = forms
                self.left.setdefault(layer_name(node), str(error))
        self._keep(node, node.inputs)

    def _schemes(self, node: Node) -> list[Scheme]:
        """What is tried for a layer, in order; of recurrent ones at least the weights."""
        scheme = self.state.scheme(node)
        if scheme.activations is None:
            return [scheme] if scheme.weights is not None and stores(node, scheme) else []
        if not self._is_float(node):
            return []
        weights_only = [SCHEMES[Precision.DYNAMIC]] if isinstance(node.op, Recurrent) else []
        return [scheme, *weights_only]

    def _is_float(self, node: Node) -> bool:
        return any(v.type.dtype is DType.FLOAT32 for v in node.inputs)

    def _keep(self, node: Node, inputs: Iterable[Value]) -> None:
        """The layer of floats."""
        outputs = [self._result(v, v.type) for v in node.outputs]
        self._append(node, node.op, [self._real(v) for v in inputs], outputs)

    def _to_integers(self, node: Node, scheme: Scheme) -> None:
        outputs = []
        for v in node.outputs:
            is_float = v.type.dtype is DType.FLOAT32
            outputs.append(self._result(v, self._integer_type(v, scheme) if is_float else v.type))
        dtype = scheme.activations
        if dtype is not None and isinstance(node.op, LACKING[dtype]):
            raise GraphError(f"LiteRT has no {node.op.name} of {dtype}")
        if isinstance(node.op, MOVES):
            op, inputs = self._moved(node, scheme)
        else:
            rule = INTEGER.get(type(node.op))
            if rule is None or len(outputs) != 1:
                raise GraphError(f"{node.op.name} has no integer form here")
            operands, out = self._operands(node, scheme), outputs[0].type
            if dtype is not None and type(node.op) in FIXED:
                out = replace(out, quant=fixed_parameters(node.op, dtype))
            found = rule(node.op, operands, out)
            if found is None:
                raise GraphError(
                    f"no {node.op.name} of {', '.join(str(v.type) for v in operands)} gives "
                    f"{out} within a step of the floats"
                )
            op, inputs = found
            if out != outputs[0].type:
                first = Value(self._fresh(outputs[0], out), out)
                self._append(node, op, inputs, [first])
                op, inputs = Quantize(out.dtype), (first,)
        inferred = op.infer([v.type for v in inputs])
        for v, wanted in zip(outputs, inferred, strict=True):
            if (v.type.shape, v.type.dtype) != (wanted.shape, wanted.dtype):
                raise GraphError(f"{op.name} gives {wanted}, not {v.type}")
        self._append(node, op, inputs, outputs)

    def _moved(self, node: Node, scheme: Scheme) -> tuple[Op, tuple[Value, ...]]:
        """What moves elements moves integers as well; PAD's value becomes the nearest."""
        op = node.op
        first, *others = (self._quantized(v, scheme, node) for v in node.inputs)
        if isinstance(op, Pad) and op.value is not None:
            value = np.array(op.value, np.float32)
            real = TensorType((), DType.FLOAT32)
            (raw,) = Quantize(first.type.dtype).reference([value], [real], [first.type])
            op = replace(op, value=int(raw))
        return op, (first, *others)

    def _operands(self, node: Node, scheme: Scheme) -> list[Value]:
        weights = weights_of(node)
        if weights is None:
            return [self._quantized(v, scheme, node) for v in node.inputs]
        place = WEIGHTS[type(node.op)].position
        x, *rest = (v for i, v in enumerate(node.inputs) if i != place)
        found = [self._quantized(x, scheme)]
        quant = found[0].type.quant
        assert quant is not None
        found.insert(place, self._weights(node, scheme, quant.scale[0]))
        if (bias := bias_of(node)) is not None:
            rest = [integer_bias(bias, found[0].type, found[place].type)]
        return [*found, *rest]

    def _weights(self, node: Node, scheme: Scheme, x_scale: float | None = None) -> Value:
        """The weights of a layer as integers; a short name, since files of small layers hold it."""
        old = weights_of(node)
        assert old is not None
        assert old.data is not None
        found = self.state.weights.get(layer_name(node))
        if found is None:
            found = nearest(old.data, weight_parameters(node, scheme, x_scale), scheme)
        return Value.constant("weights", found.data, found.quant)

    def _store_weights(self, node: Node, scheme: Scheme) -> None:
        """Weights of fewer bits, activations of floats."""
        chosen = self.state.weights.get(layer_name(node))
        *before, last = store_weights(node, scheme, chosen, self._names)
        for found in before:
            self._append(found, found.op, [self._real(v) for v in found.inputs], found.outputs)
        self._keep(last, last.inputs)

    def _integer_type(self, value: Value, scheme: Scheme) -> TensorType:
        assert scheme.activations is not None
        return TensorType(value.type.shape, scheme.activations, self.parameters.of(value, scheme))

    def _quantized(self, value: Value, scheme: Scheme, reader: Node | None = None) -> Value:
        """A value as integers of a scheme, with the parameters of the result where its ``reader``
        shares them.
        """
        assert scheme.activations is not None
        home, dtype = self._home.get(value, value), scheme.activations
        if not value.type.dtype.is_float:
            return home
        if reader is not None and shares_parameters(reader):
            type = replace(self._integer_type(shared(reader)[0], scheme), shape=value.type.shape)
        elif home.type.dtype is dtype:
            return home
        else:
            type = self._integer_type(value, scheme)
        if value.data is not None:
            compared = reader is not None and isinstance(reader.op, Comparison)
            if compared and not holds(_parameters(type), dtype, range_of(value.data)):
                raise GraphError(f"it compares with {value.name!r}, which {type} does not hold")
            (data,) = Quantize(dtype).reference([value.data], [value.type], [type])
            return Value.constant(value.name, np.asarray(data), type.quant)
        return self._form(value, Quantize(dtype), type)

    def _real(self, value: Value) -> Value:
        """A value as floats, or as it is where it is no float in the float network."""
        home = self._home.get(value, value)
        if home.type.dtype is value.type.dtype:
            return home
        return self._form(value, Dequantize(), value.type)

    def _form(self, value: Value, op: Op, type: TensorType) -> Value:
        """A value in a type, which may be another than it has at home."""
        home = self._home.get(value, value)
        if home.type == type:
            return home
        if (value, type) not in self._forms:
            name = value.name if self._shown(value) == type else self._fresh(value, type)
            found = Value(name, type)
            self.nodes.append(Node(op, (home,), (found,), value.name))
            self._forms[value, type] = found
        return self._forms[value, type]

    def _result(self, value: Value, type: TensorType) -> Value:
        """A layer's result at home. Where the caller sees it in another type, that has its name."""
        seen = self._seen(value)
        keeps = seen in (None, type.dtype)
        found = Value(value.name if keeps else self._fresh(value, type), type)
        self._home[value] = found
        return found

    def _seen(self, value: Value) -> DType | None:
        """The type in which the caller sees a layer's result."""
        if value not in self.graph.outputs or value in self.graph.sources:
            return None
        is_float = value.type.dtype is DType.FLOAT32
        return (self.state.outputs if is_float else None) or value.type.dtype

    def _shown(self, value: Value) -> TensorType | None:
        """`_seen` of a float value, with its parameters: a join may read others of its dtype."""
        seen = self._seen(value)
        scheme = _scheme_of(seen)
        if scheme is not None:
            return self._integer_type(value, scheme)
        return None if seen is None else value.type

    def _fresh(self, value: Value, type: TensorType) -> str:
        return fresh_name(f"{value.name}:{type.dtype}", self._names)

    def _append(
        self, node: Node, op: Op, inputs: Iterable[Value], outputs: Iterable[Value]
    ) -> None:
        self.nodes.append(Node(op, tuple(inputs), tuple(outputs), node.origin))


def _scheme_of(dtype: DType | None) -> Scheme | None:
    """The scheme of activations of a type."""
    integer = (Precision.INT8, Precision.UINT8, Precision.INT16X8)
    return next((SCHEMES[p] for p in integer if SCHEMES[p].activations is dtype), None)


def _parameters(type: TensorType) -> QParams:
    assert type.quant is not None
    return type.quant
