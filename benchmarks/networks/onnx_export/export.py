"""A whole graph as an ONNX model."""

from __future__ import annotations

from dataclasses import dataclass

import onnx
from onnx import helper

from edgewise import passes
from edgewise.graph import Graph

from .builder import Builder, Port, UnsupportedError, arranged, element
from .operators import OPERATORS

OPSET = 17
IR_VERSION = 8

PIPELINE = (
    passes.remove_dead_nodes,
    passes.unroll_recurrent,
    passes.canonicalize,
    passes.fold_constants,
    passes.remove_no_ops,
    passes.fuse_dilation,
    passes.fuse_pad,
    passes.fold_scale,
    passes.fuse_activation,
)
"""Edgewise's own, without those that make operators which ONNX does not have."""


@dataclass(frozen=True)
class Exported:
    """An ONNX model as bytes, and how its inputs and outputs relate to the graph's."""

    model: bytes
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]


def export(graph: Graph, symmetric: bool = False) -> Exported:
    """The graph as an ONNX model; ``symmetric`` as for `Builder`.

    Raises:
        UnsupportedError: it has variables, or an operator or type that is not in the table here.
    """
    if graph.states:
        raise UnsupportedError("variables, which outlive a call")
    graph = passes.optimize(graph, PIPELINE)
    unknown = sorted({n.op.name for n in graph.nodes if n.op.name not in OPERATORS})
    if unknown:
        raise UnsupportedError(f"no ONNX form of {', '.join(unknown)}")
    builder = Builder(symmetric)
    inputs, infos = [], []
    for i, value in enumerate(graph.inputs):
        port = Port(f"input_{i}", len(value.type.shape) == 4)
        builder.define_raw(value, port.name, port.first)
        inputs.append(port)
        shape = arranged(value.type.shape, port.first)
        infos.append(helper.make_tensor_value_info(port.name, element(value.type.dtype), shape))
    for node in graph.nodes:
        OPERATORS[node.op.name](builder, node)
    outputs, results = [], []
    for i, value in enumerate(graph.outputs):
        first = builder.is_first(value)
        port = Port(f"output_{i}", first)
        builder.nodes.append(
            helper.make_node("Identity", [builder.raw(value, first)], [port.name], name=port.name)
        )
        outputs.append(port)
        shape = arranged(value.type.shape, first)
        results.append(helper.make_tensor_value_info(port.name, element(value.type.dtype), shape))
    body = helper.make_graph(builder.nodes, "network", infos, results, builder.initializers)
    opsets = [helper.make_opsetid("", OPSET)]
    model = helper.make_model(body, opset_imports=opsets, ir_version=IR_VERSION)
    onnx.checker.check_model(model)
    return Exported(model.SerializeToString(), tuple(inputs), tuple(outputs))
