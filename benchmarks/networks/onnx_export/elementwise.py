"""Elementwise operators, reductions, normalisations and conversions as ONNX."""

from __future__ import annotations

import numpy as np

from edgewise.graph import Node
from edgewise.ops import (
    Activation,
    ArgMax,
    Cast,
    Mean,
    ReduceMax,
    ReduceMin,
    Softmax,
    Sum,
)

from .builder import TO_FIRST, Builder, axis_of, element
from .products import clamped

BINARY = {
    "ADD": "Add",
    "SUB": "Sub",
    "MUL": "Mul",
    "DIV": "Div",
    "MAXIMUM": "Max",
    "MINIMUM": "Min",
    "EQUAL": "Equal",
    "PRELU": "PRelu",
}
UNARY = {
    "RELU": "Relu",
    "LOGISTIC": "Sigmoid",
    "TANH": "Tanh",
    "NEG": "Neg",
    "SQRT": "Sqrt",
    "LOG": "Log",
    "EXP": "Exp",
    "ABS": "Abs",
    "FLOOR": "Floor",
    "QUANTIZE": "",
    "DEQUANTIZE": "",
}
REDUCTIONS = {Mean: "ReduceMean", ReduceMax: "ReduceMax", ReduceMin: "ReduceMin", Sum: "ReduceSum"}


def operands(b: Builder, node: Node) -> tuple[list[str], bool]:
    """The real numbers of operands in one layout, and whether that has the channels first."""
    first = len(node.outputs[0].type.shape) == 4 and b.prefers_first(node.inputs)
    return [b.real(v, first) for v in node.inputs], first


def binary(b: Builder, node: Node) -> None:
    names, first = operands(b, node)
    y = b.emit(BINARY[node.op.name], names)
    activation = getattr(node.op, "activation", Activation.NONE)
    b.define(node.outputs[0], clamped(b, y, activation, node.outputs[0].type), first)


def unary(b: Builder, node: Node) -> None:
    names, first = operands(b, node)
    operator = UNARY[node.op.name]
    b.define(node.outputs[0], b.emit(operator, names) if operator else names[0], first)


def square(b: Builder, node: Node) -> None:
    (x,), first = operands(b, node)
    b.define(node.outputs[0], b.emit("Mul", (x, x)), first)


def squared_difference(b: Builder, node: Node) -> None:
    names, first = operands(b, node)
    difference = b.emit("Sub", names)
    b.define(node.outputs[0], b.emit("Mul", (difference, difference)), first)


def reciprocal_root(b: Builder, node: Node) -> None:
    names, first = operands(b, node)
    b.define(node.outputs[0], b.emit("Reciprocal", (b.emit("Sqrt", names),)), first)


def floor_division(b: Builder, node: Node) -> None:
    """Integers of ONNX are divided toward zero, which is the same where none is negative."""
    names, first = operands(b, node)
    y = b.emit("Div", names)
    is_float = node.outputs[0].type.dtype.is_float
    b.define(node.outputs[0], b.emit("Floor", (y,)) if is_float else y, first)


def select(b: Builder, node: Node) -> None:
    (out,) = node.outputs
    first = len(out.type.shape) == 4 and b.prefers_first(node.inputs)
    b.define_raw(out, b.emit("Where", [b.raw(v, first) for v in node.inputs]), first)


def cast(b: Builder, node: Node) -> None:
    op, (x,) = node.op, node.inputs
    assert isinstance(op, Cast)
    first = b.is_first(x)
    b.define_raw(node.outputs[0], b.emit("Cast", (b.raw(x, first),), to=element(op.dtype)), first)


def reduction(b: Builder, node: Node) -> None:
    op, (x,), (out,) = node.op, node.inputs, node.outputs
    assert isinstance(op, Mean | Sum | ReduceMax | ReduceMin)
    kept = [axis for axis in TO_FIRST if axis not in op.axes]
    first = b.is_first(x) and (op.keep_dims or kept == sorted(kept))
    if isinstance(op, Mean) and first and sorted(op.axes) == [1, 2]:
        y = b.quantized(b.emit("GlobalAveragePool", (b.real(x, True),)), out.type)
        if op.keep_dims:
            b.define_raw(out, y, True)
        else:
            b.define_raw(out, b.emit("Reshape", (y, b.constant(out.type.shape, np.int64))))
        return
    axes = [axis_of(axis, first) for axis in op.axes]
    keep = int(op.keep_dims)
    if isinstance(op, Sum):
        y = b.emit("ReduceSum", (b.real(x, first), b.constant(axes, np.int64)), keepdims=keep)
    else:
        y = b.emit(REDUCTIONS[type(op)], (b.real(x, first),), axes=axes, keepdims=keep)
    b.define(out, y, first and op.keep_dims)


def arg_max(b: Builder, node: Node) -> None:
    op, (x,), (out,) = node.op, node.inputs, node.outputs
    assert isinstance(op, ArgMax)
    kept = [axis for axis in TO_FIRST if axis != op.axis]
    first = b.is_first(x) and kept == sorted(kept)
    y = b.emit("ArgMax", (b.raw(x, first),), axis=axis_of(op.axis, first), keepdims=0)
    b.define_raw(out, b.emit("Cast", (y,), to=element(op.dtype)))


def softmax(b: Builder, node: Node) -> None:
    op, (x,), (out,) = node.op, node.inputs, node.outputs
    assert isinstance(op, Softmax)
    first = b.is_first(x)
    name = b.real(x, first)
    if op.beta != 1.0:
        name = b.emit("Mul", (name, b.constant(np.float32(op.beta))))
    axis = axis_of(len(x.type.shape) - 1, first)
    b.define(out, b.emit("Softmax", (name,), axis=axis), first)
