"""What the steps of a recipe hand on: the float network, and how it is to be quantized."""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from ..dtype import DType
from ..errors import InputError
from ..exporters import PIPELINE
from ..graph import Array, Graph, Node, TensorType, Value
from ..ops import Dequantize, EmbeddingLookup, EmbeddingLookupFloat, Quantize
from ..ops.product import Product
from ..passes import fuse_qdq, optimize
from .precision import SCHEMES, Precision, Range, Scheme, Weights
from .weights import scheme_of

Progress: TypeAlias = "Callable[[str, int, int], None]"
"""Is told what is done, how far it is, and of how much (0 where that is not known)."""


def silent(what: str, done: int, total: int) -> None:
    """A `Progress` that shows nothing."""


@dataclass(frozen=True)
class Scope:
    """Layers by operator (``CONV_2D``) and by name, with ``*`` and ``?``; empty is every one.

    A layer's name is that of its first output, or what the source file calls its node.
    """

    ops: tuple[str, ...] = ()
    names: tuple[str, ...] = ()

    def includes(self, node: Node) -> bool:
        called = (layer_name(node), node.origin)
        by_op = not self.ops or node.op.name in self.ops
        by_name = not self.names or any(
            fnmatch.fnmatchcase(name, pattern) for name in called for pattern in self.names
        )
        return by_op and by_name


EVERYTHING = Scope()


@dataclass(frozen=True)
class State:
    """A float network and the choices made for it.

    Attributes:
        graph: floats, in TensorFlow Lite's operators, activations fused, batch norms folded.
        precisions: of the layers, by name.
        ranges: of activations, by the value's name, for integers of 8 bits.
        extremes: likewise, all that was seen: what integers of 16 bits span.
        weights: the integers of layers' weights, by the layer's name; where there are none, each
            weight becomes the nearest.
        biases: chosen for layers of such weights, float32 by the layer's name; where there are
            none, and in layers that are not quantized, the float network's.
        inputs, outputs: element types of the quantized network's; None is float32.
    """

    graph: Graph
    precisions: Mapping[str, Precision] = field(default_factory=dict)
    ranges: Mapping[str, Range] = field(default_factory=dict)
    extremes: Mapping[str, Range] = field(default_factory=dict)
    weights: Mapping[str, Weights] = field(default_factory=dict)
    biases: Mapping[str, Array] = field(default_factory=dict)
    inputs: DType | None = None
    outputs: DType | None = None

    def precision(self, node: Node) -> Precision:
        return self.precisions.get(layer_name(node), Precision.FLOAT32)

    def scheme(self, node: Node) -> Scheme:
        return scheme_of(node, self.precision(node))

    def with_precisions(self, precisions: Mapping[str, Precision]) -> State:
        """This state where some layers have other precisions.

        What was chosen for their weights stays where both precisions store them alike.
        """
        changed = {
            name
            for name, precision in precisions.items()
            if SCHEMES[precision].stored != SCHEMES[self.precisions[name]].stored
        }
        return replace(
            self,
            precisions={**self.precisions, **precisions},
            weights={k: v for k, v in self.weights.items() if k not in changed},
            biases={k: v for k, v in self.biases.items() if k not in changed},
        )


Step: TypeAlias = "Callable[..., State]"
"""step(state, samples, progress, scope=..., **options): one method of a recipe."""


def layer_name(node: Node) -> str:
    """The name of a layer: its first output's, which no other layer has."""
    return node.outputs[0].name


def float_network(graph: Graph) -> Graph:
    """A network as the steps of a recipe take it, in operators that a .tflite file can have.

    Weights that are stored as float16 or as integers become float32.

    Raises:
        InputError: the network is quantized already.
    """
    for node in graph.nodes:
        is_product = isinstance(node.op, Product) and not node.inputs[0].type.dtype.is_float
        if is_product or isinstance(node.op, Quantize):
            raise InputError(
                f"{node.op.name} {layer_name(node)!r} is {node.outputs[0].type}: the network is "
                "quantized already; give the float network that it was made from"
            )
    plain = real_weights(replace(graph, metadata=dict(graph.metadata)))
    return optimize(plain, tuple(step for step in PIPELINE if step is not fuse_qdq))


def real_weights(graph: Graph) -> Graph:
    """The network with constants of 8 bits beside activations of floats as float32.

    Given:
        %b = FULLY_CONNECTED(%a, @w) : float32[1x8], and @w : int8[8x4] {0.02 * (q - 0)}
    Result:
        %b = FULLY_CONNECTED(%a, @w) : float32[1x8], and @w : float32[8x4]
    """
    known: dict[Value, Value] = {}

    def real(value: Value) -> Value:
        if value.data is None or value.type.quant is None:
            return value
        if value not in known:
            type = TensorType(value.type.shape, DType.FLOAT32)
            (data,) = Dequantize().reference([value.data], [value.type], [type])
            known[value] = Value.constant(value.name, data)
        return known[value]

    nodes = []
    for node in graph.nodes:
        op, inputs = node.op, node.inputs
        is_float = all(v.type.dtype is DType.FLOAT32 for v in node.outputs)
        if is_float and not isinstance(op, Dequantize):
            inputs = tuple(map(real, inputs))
            op = EmbeddingLookup() if isinstance(op, EmbeddingLookupFloat) else op
        nodes.append(replace(node, op=op, inputs=inputs))
    return graph.with_nodes(nodes) if known else graph


__all__ = [
    "EVERYTHING",
    "Progress",
    "Range",
    "Scope",
    "State",
    "Step",
    "float_network",
    "layer_name",
    "silent",
]
