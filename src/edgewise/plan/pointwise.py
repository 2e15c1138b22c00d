"""Lowering of operators that work element by element."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..dtype import DType
from ..graph import Node
from ..kernels import elementwise, lookup
from ..ops import Add, Dequantize, Mul, Quantize, Sub, Unary
from .context import Context, node_seconds
from .model import Params
from .movement import emit_copy
from .strided import broadcast, emit_table, walk


def lower_add(ctx: Context, node: Node) -> None:
    """ADD and SUB."""
    assert isinstance(node.op, Add | Sub)
    ctx.activations(*node.input_types, *node.output_types)
    rule = node.op.fixed_point(node.input_types, node.output_types)
    multipliers = [rule.a_multiplier, rule.b_multiplier]
    constants: Params = {
        "bias": rule.bias,
        "shift": rule.shift,
        "zero_point": rule.zero_point,
        "lo": rule.lo,
        "hi": rule.hi,
    }
    _binary(ctx, node, elementwise.QAdd, "multiplier", multipliers, constants)


def lower_mul(ctx: Context, node: Node) -> None:
    assert isinstance(node.op, Mul)
    ctx.activations(*node.input_types, *node.output_types)
    rule = node.op.requant(node.input_types, node.output_types)
    zeros = [t.quant.zero_point[0] for t in node.input_types if t.quant is not None]
    constants: Params = {
        "scale": float(rule.scale[0]),
        "zero_point": rule.zero_point,
        "lo": rule.lo,
        "hi": rule.hi,
    }
    _binary(ctx, node, elementwise.QMul, "zero", zeros, constants)


def _binary(
    ctx: Context,
    node: Node,
    kernel: type[elementwise.QAdd] | type[elementwise.QMul],
    name: str,
    each: Sequence[int],
    constants: Params,
) -> None:
    """``each``: the constant of each input, called a_``name`` and b_``name``."""
    out = node.outputs[0].type
    c = ctx.view(node.outputs[0])
    operands = []
    for value, constant in zip(node.inputs, each, strict=True):
        view = ctx.view(value)
        operands.append((view, broadcast(view.shape, view.strides, out.shape), constant))
    last = next((i for i in reversed(range(len(out.shape))) if out.shape[i] > 1), None)
    scalars = [last is not None and strides[last] == 0 for _, strides, _ in operands]
    if scalars[0] and not scalars[1]:
        operands.reverse()
        scalars.reverse()
    ctx.require(not scalars[0])
    (a, a_strides, a_constant), (b, b_strides, b_constant) = operands
    walk(
        ctx,
        kernel(ctx.isa, scalar=scalars[1]),
        {"a": (a, a_strides), "b": (b, b_strides), "c": (c, c.strides)},
        out.shape,
        {**constants, f"a_{name}": a_constant, f"b_{name}": b_constant},
        node_seconds(node),
    )


def lower_table(ctx: Context, node: Node) -> None:
    """A function of one 8-bit element, by table."""
    assert isinstance(node.op, Unary)
    x, out = node.input_types[0], node.output_types[0]
    ctx.require(x.dtype in EIGHT_BIT and out.dtype in EIGHT_BIT)
    ctx.require(x.quant is not None and out.quant is not None)
    a, c = ctx.view(node.inputs[0]), ctx.view(node.outputs[0])
    table = node.op.table(x, out).view(np.uint8)
    if np.array_equal(table, np.arange(256) ^ 0x80):
        emit_copy(ctx, a, c, flip=True)
    else:
        emit_table(ctx, a, c, table)


EIGHT_BIT = (DType.UINT8, DType.INT8)


def lower_quantize(ctx: Context, node: Node) -> None:
    """QUANTIZE: from 8 bits by table, from float32 by arithmetic."""
    assert isinstance(node.op, Quantize)
    x, out = node.input_types[0], node.output_types[0]
    if x.dtype is not DType.FLOAT32:
        lower_table(ctx, node)
        return
    ctx.activations(out)
    assert out.quant is not None
    a, c = ctx.view(node.inputs[0]), ctx.view(node.outputs[0])
    lo, hi = out.dtype.range
    walk(
        ctx,
        lookup.Quantize(ctx.isa),
        {"x": (a, a.strides), "y": (c, c.strides)},
        out.shape,
        {
            "scale": out.quant.scale[0],
            "zero_point": out.quant.zero_point[0],
            "lo": lo,
            "hi": hi,
        },
        node_seconds(node),
    )


def lower_dequantize(ctx: Context, node: Node) -> None:
    assert isinstance(node.op, Dequantize)
    x = node.input_types[0]
    ctx.activations(x)
    assert x.quant is not None
    a, c = ctx.view(node.inputs[0]), ctx.view(node.outputs[0])
    walk(
        ctx,
        lookup.Dequantize(ctx.isa),
        {"x": (a, a.strides), "y": (c, c.strides)},
        x.shape,
        {"scale": x.quant.scale[0], "zero": x.quant.zero_point[0]},
        node_seconds(node),
    )
