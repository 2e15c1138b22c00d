"""Quantized operators with the parameters that LiteRT's kernels demand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ..dtype import DType, QParams
from ..graph import Graph, Node, TensorType, Value
from ..ops import (
    AveragePool2D,
    Concatenation,
    L2Normalization,
    Logistic,
    LogSoftmax,
    Mean,
    Op,
    Quantize,
    Softmax,
    Sum,
    Tanh,
)
from ..ops.product import Product
from ..passes import to_int8
from ..passes.rewrite import Sweep, fresh_name, rewrite

FIXED: dict[type[Op], tuple[float, float]] = {
    L2Normalization: (1 / 128, 0.5),
    LogSoftmax: (1 / 16, 1.0),
    Logistic: (1 / 256, 0.0),
    Softmax: (1 / 256, 0.0),
    Tanh: (1 / 128, 0.5),
}
"""The scale of 8-bit results, and where their zero point lies between least and greatest value."""

EIGHT_BIT, SIGNED = (DType.INT8, DType.UINT8), (DType.INT8, DType.INT16)


def requantize_for_litert(graph: Graph) -> Graph:
    """QUANTIZE after and before operators of integers whose parameters LiteRT does not choose.

    Given:
        %b = SOFTMAX(%a) : int8[1x10] {0.004 * (q - -128)}
    Result:
        %s = SOFTMAX(%a) : int8[1x10] {1/256 * (q - -128)}
        %b = QUANTIZE(%s) : int8[1x10] {0.004 * (q - -128)}

    Of signed integers, what is joined has the parameters of the whole.

    Given:
        %c = CONCATENATION(%a, %b) : int8[1x20] {0.1 * (q - 0)}
    Result:
        %q = QUANTIZE(%b) : int8[1x10] {0.1 * (q - 0)}
        %c = CONCATENATION(%a, %q) : int8[1x20] {0.1 * (q - 0)}

    From int16 to uint8 there are two steps, of which the second loses nothing.

    Given:
        %b = QUANTIZE(%a) : uint8[1x10] {0.1 * (q - 128)}, and %a : int16[1x10]
    Result:
        %q = QUANTIZE(%a) : int8[1x10] {0.1 * (q - 0)}
        %b = QUANTIZE(%q) : uint8[1x10] {0.1 * (q - 128)}
    """
    names = {v.name for v in graph.sources}
    names.update(v.name for node in graph.nodes for v in node.outputs)

    def add(sweep: Sweep, node: Node, op: Op, operand: Value, type: TensorType) -> Value:
        value = Value(fresh_name(f"{node.outputs[0].name}/{op.name.lower()}", names), type)
        sweep.append(Node(op, (operand,), (value,), node.origin))
        return value

    def result(node: Node, sweep: Sweep) -> Node | None:
        out = node.outputs[0].type
        if out.dtype not in EIGHT_BIT or out.quant is None:
            return None
        wanted = fixed_parameters(node.op, out.dtype)
        if _close(out.quant, wanted):
            return None
        value = add(sweep, node, node.op, node.inputs[0], replace(out, quant=wanted))
        return replace(node, op=Quantize(out.dtype), inputs=(value,))

    def operands(node: Node, sweep: Sweep) -> Node | None:
        out = node.outputs[0].type
        if out.dtype not in SIGNED or all(v.type.quant == out.quant for v in node.inputs):
            return None
        inputs = []
        for v in node.inputs:
            if v.type.quant != out.quant:
                v = add(sweep, node, Quantize(out.dtype), v, replace(v.type, quant=out.quant))
            inputs.append(v)
        return replace(node, inputs=tuple(inputs))

    def signed_first(node: Node, sweep: Sweep) -> Node | None:
        (x,), out = node.inputs, node.outputs[0].type
        if (x.type.dtype, out.dtype) != (DType.INT16, DType.UINT8) or out.quant is None:
            return None
        zeros = tuple(z - 128 for z in out.quant.zero_point)
        type = TensorType(out.shape, DType.INT8, replace(out.quant, zero_point=zeros))
        return replace(node, inputs=(add(sweep, node, Quantize(DType.INT8), x, type),))

    graph = rewrite(graph, tuple(FIXED), result)
    graph = rewrite(graph, (Concatenation,), operands)
    return rewrite(graph, (Quantize,), signed_first)


def signed_for_litert(graph: Graph) -> Graph:
    """Activations of int8 where uint8 ones meet weights of int8, which LiteRT does not multiply.

    Averages of integers round halves away from the int8 zero then, not from the uint8 one.

    Given:
        input %a : uint8[1x8] {0.05 * (q - 131)}
        %b = FULLY_CONNECTED(%a, @w) : uint8[1x4] {0.02 * (q - 128)}
    Result:
        %a:int8 = QUANTIZE(%a) : int8[1x8] {0.05 * (q - 3)}
        %b:int8 = FULLY_CONNECTED(%a:int8, @w) : int8[1x4] {0.02 * (q - 0)}
        %b = QUANTIZE(%b:int8) : uint8[1x4] {0.02 * (q - 128)}
    """
    if not any(_is_mixed(node) for node in graph.nodes):
        return graph
    graph = to_int8(graph)
    return rewrite(graph, (AveragePool2D, Mean, Sum), lambda node, sweep: _from_zero(node))


def _is_mixed(node: Node) -> bool:
    types = [t.dtype for t in node.input_types[:2]]
    return isinstance(node.op, Product) and types == [DType.UINT8, DType.INT8]


def _from_zero(node: Node) -> Node | None:
    op: Any = node.op
    return replace(node, op=replace(op, raw_zero=0)) if op.raw_zero else None


def fixed_parameters(op: Op, dtype: DType) -> QParams:
    """The parameters that LiteRT demands of a result of an operator in ``FIXED``."""
    if dtype is DType.INT16:
        return QParams.per_tensor(2.0**-15, 0)
    scale, place = FIXED[type(op)]
    low, high = dtype.range
    return QParams.per_tensor(scale, low + int(place * (high - low) + 0.5))


def _close(found: QParams, wanted: QParams) -> bool:
    same = abs(found.scale[0] - wanted.scale[0]) <= 1e-3 * wanted.scale[0]
    return same and found.zero_point == wanted.zero_point
