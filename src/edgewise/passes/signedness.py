"""One 8-bit type for all activations, and one for all weights.

Dot-product instructions want uint8 x int8 (x86) or int8 x int8 (ARM). A quantized tensor may
change between uint8 and int8 at no loss: q ^ 0x80 as raw bytes, and a zero point 128 further.
The change costs one QUANTIZE at each border, and there only where the two sides differ.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..dtype import DType, QParams
from ..graph import Graph, Node, TensorType, Value
from ..ops import (
    AveragePool2D,
    Conv2D,
    DepthwiseConv2D,
    FullyConnected,
    Fused,
    Mean,
    Op,
    Pad,
    Quantize,
    Stage,
    Sum,
    TransposeConv,
)
from .remove_no_ops import remove_no_ops
from .rewrite import fresh_name

WEIGHTED = (Conv2D, DepthwiseConv2D, FullyConnected, TransposeConv)


def to_uint8(graph: Graph) -> Graph:
    """Make every int8 activation uint8, its zero point 128 greater; weights stay.

    The graph's own inputs and outputs keep their types: a QUANTIZE stands between. It disappears
    where it meets a QUANTIZE of the file that undoes it.

    Given:
        input %x : int8[8] {0.5 * (q - -3)}
        %y = TANH(%x) : int8[8] {0.0078125 * (q - 0)}
        return %y
    Result:
        input %x : int8[8] {0.5 * (q - -3)}
        %x:uint8 = QUANTIZE[dtype=UINT8](%x) : uint8[8] {0.5 * (q - 125)}
        %y:uint8 = TANH(%x:uint8) : uint8[8] {0.0078125 * (q - 128)}
        %y = QUANTIZE(%y:uint8) : int8[8] {0.0078125 * (q - 0)}
        return %y
    """
    return _Conversion(graph, DType.INT8, DType.UINT8).run()


def to_int8(graph: Graph) -> Graph:
    """Make every uint8 activation int8, its zero point 128 less; the mirror of ``to_uint8``.

    Given:
        %b = CONV_2D(%a, @w) : uint8[1x8x8x16] {0.02 * (q - 128)}
    Result:
        %b = CONV_2D(%a, @w) : int8[1x8x8x16] {0.02 * (q - 0)}
    """
    return _Conversion(graph, DType.UINT8, DType.INT8).run()


def weights_to_int8(graph: Graph) -> Graph:
    """Make uint8 constant weights int8, their zero point 128 less.

    Given:
        const @w : uint8[16x1x1x8] {0.01 * (q - 130)}
        %b = CONV_2D(%a, @w)
    Result:
        const @w : int8[16x1x1x8] {0.01 * (q - 2)}
        %b = CONV_2D(%a, @w)
    """
    shifted: dict[Value, Value] = {}
    nodes = []
    for node in graph.nodes:
        weights = _weights(node)
        if weights is not None and weights.type.dtype is DType.UINT8 and weights.type.quant:
            if weights not in shifted:
                shifted[weights] = _shift_value(weights, DType.INT8)
            inputs = (node.inputs[0], shifted[weights], *node.inputs[2:])
            node = replace(node, inputs=inputs)
        nodes.append(node)
    return graph.with_nodes(nodes) if shifted else graph


def _weights(node: Node) -> Value | None:
    """The constant that a node multiplies its activations by, or None."""
    op = node.op.head if isinstance(node.op, Fused) else node.op
    if isinstance(op, WEIGHTED) and node.inputs[1].is_constant:
        return node.inputs[1]
    return None


def _step(dtype: DType) -> int:
    """What a raw value gains when it becomes ``dtype``."""
    return 128 if dtype is DType.UINT8 else -128


def _shift_type(t: TensorType, dtype: DType) -> TensorType:
    """``t`` as the other 8-bit ``dtype``, with the same real values."""
    assert t.quant is not None
    zeros = tuple(zero + _step(dtype) for zero in t.quant.zero_point)
    return TensorType(t.shape, dtype, QParams(t.quant.scale, zeros, t.quant.axis))


def _shift_value(value: Value, dtype: DType, name: str | None = None) -> Value:
    data = value.data
    if data is not None:
        data = np.asarray(data.view(np.uint8) ^ np.uint8(0x80)).view(dtype.numpy)
        data.setflags(write=False)
    return Value(name or value.name, _shift_type(value.type, dtype), data)


class _Conversion:
    """The graph with activations of ``source`` turned to ``target``.

    ``plain`` holds the values of the given graph that the new one computes as they are,
    ``shifted`` their counterparts of the target type; each is made of the other when asked for.
    """

    def __init__(self, graph: Graph, source: DType, target: DType) -> None:
        self.graph, self.source, self.target = graph, source, target
        self.nodes: list[Node] = []
        self.plain = set(graph.sources)
        self.shifted: dict[Value, Value] = {}
        computed = (v for node in graph.nodes for v in node.outputs)
        self.names = {v.name for v in (*graph.sources, *computed)}

    def run(self) -> Graph:
        kept = {node: self._keeps_types(node) for node in self.graph.nodes}
        if all(kept.values()):
            return self.graph
        wanted = set(self.graph.results)
        wanted.update(v for node in self.graph.nodes if kept[node] for v in node.inputs)
        for node in self.graph.nodes:
            if kept[node]:
                for value in node.inputs:
                    self._require_plain(value)
                self.nodes.append(node)
                self.plain.update(node.outputs)
            else:
                self._convert(node, wanted)
        for value in self.graph.results:
            self._require_plain(value)
        return remove_no_ops(self.graph.with_nodes(self.nodes))

    def _is_activation(self, node: Node, value: Value) -> bool:
        return value.type.dtype is self.source and value is not _weights(node)

    def _keeps_types(self, node: Node) -> bool:
        """True where no activation is of the source type, or not all of them can change.

        A value that is not quantized has no zero point that could change, and no QUANTIZE changes
        a computed one that is quantized per channel.
        """
        if not node.op.either_sign:
            return True
        values = [v for v in (*node.inputs, *node.outputs) if self._is_activation(node, v)]
        return not values or any(
            v.type.quant is None or (v.type.quant.axis is not None and not v.is_constant)
            for v in values
        )

    def _convert(self, node: Node, wanted: set[Value]) -> None:
        inputs = tuple(
            self._require_shifted(v) if self._is_activation(node, v) else v for v in node.inputs
        )
        outputs = []
        for value in node.outputs:
            if self._is_activation(node, value):
                name = self._suffixed(value, self.target) if value in wanted else value.name
                self.shifted[value] = _shift_value(value, self.target, name)
                outputs.append(self.shifted[value])
            else:
                self.plain.add(value)
                outputs.append(value)
        op = self._convert_op(node.op)
        self.nodes.append(replace(node, op=op, inputs=inputs, outputs=tuple(outputs)))

    def _convert_op(self, op: Op) -> Op:
        step = _step(self.target)
        if isinstance(op, Quantize) and op.dtype is self.source:
            return Quantize(self.target)
        if isinstance(op, Pad) and op.value is not None:
            return replace(op, value=int(op.value) + step)
        if isinstance(op, (AveragePool2D, Mean, Sum)):
            return replace(op, raw_zero=op.raw_zero + step)
        if isinstance(op, Fused):
            return replace(op, tail=tuple(map(self._convert_stage, op.tail)))
        return op

    def _convert_stage(self, stage: Stage) -> Stage:
        if stage.type.dtype is not self.source:
            return stage
        return replace(stage, type=_shift_type(stage.type, self.target))

    def _require_shifted(self, value: Value) -> Value:
        if value not in self.shifted:
            name = value.name if value.is_constant else self._suffixed(value, self.target)
            self.shifted[value] = _shift_value(value, self.target, name)
            if not value.is_constant:
                self._quantize(value, self.shifted[value])
        return self.shifted[value]

    def _require_plain(self, value: Value) -> None:
        if not value.is_constant and value not in self.plain:
            self._quantize(self.shifted[value], value)
            self.plain.add(value)

    def _quantize(self, source: Value, result: Value) -> None:
        self.nodes.append(Node(Quantize(result.type.dtype), (source,), (result,)))

    def _suffixed(self, value: Value, dtype: DType) -> str:
        return fresh_name(f"{value.name}:{dtype}", self.names)
