"""Operators that the standard defines by functions of others: read as what defines them."""

from __future__ import annotations

from collections.abc import Sequence

from ..onnx_call import Argument, Call
from ..onnx_model import onnx_module


def expanded(call: Call) -> Sequence[Argument]:
    """The results of the function by which the `onnx` package defines an operator.

    Raises:
        UnsupportedError: it has none for these attributes and types.
    """
    onnx = onnx_module()
    try:
        schema = onnx.defs.get_schema(call.op_type, min(call.opset, 2**31 - 1), "")
    except onnx.defs.SchemaError:
        raise call.unsupported(f"no such operator in opset {call.opset}") from None
    function = onnx.FunctionProto()
    if schema.has_context_dependent_function:
        versions = schema.context_dependent_function_opset_versions
        version = max((v for v in versions if v <= call.opset), default=min(versions))
        node, types = _node(call), [_type(call, i) for i in range(len(call.inputs))]
        data = schema.get_context_dependent_function_with_opset_version(version, node, types)
        function.ParseFromString(data)
    elif schema.has_function:
        versions = schema.function_opset_versions
        version = max((v for v in versions if v <= call.opset), default=min(versions))
        function.ParseFromString(schema.get_function_with_opset_version(version))
    if not function.node:
        raise call.unsupported("the standard defines no function for its attributes and types")
    made = {*function.input, *(name for node in function.node for name in node.output)}
    outputs = list(function.output)
    function.output[:] = [name for name in outputs if name in made]
    results = iter(call.reading.call(function, call.inputs, call.attributes))
    return [next(results) if name in made else None for name in outputs]


def _node(call: Call) -> bytes:
    """The node, serialized; names of inputs only tell which are given."""
    onnx = onnx_module()
    names = [f"x{i}" if call.has(i) else "" for i in range(len(call.inputs))]
    node = onnx.NodeProto(op_type=call.op_type, input=names, output=call.outputs)
    for name, message in call.attributes.messages.items():
        attribute = node.attribute.add()
        attribute.CopyFrom(message)
        attribute.name = name
    return bytes(node.SerializeToString())


def _type(call: Call, i: int) -> bytes:
    """The TypeProto of an input, serialized; empty where it is left out."""
    type = onnx_module().TypeProto()
    if call.has(i):
        type.tensor_type.elem_type = call.code(i)
        shape = type.tensor_type.shape
        for size in call.shape(i):
            shape.dim.add().dim_value = size
    return bytes(type.SerializeToString())
