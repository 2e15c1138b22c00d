"""Lowering of operators that work element by element."""

from __future__ import annotations

from dataclasses import replace

from .. import ops
from ..dtype import DType
from ..graph import Node, Value
from ..ops.checks import Kind, kind_of
from ..ops.compare import Comparison
from . import quantized
from .context import Context
from .model import View
from .parts import both_parts
from .program import FUNCTIONS, Program


def lower(ctx: Context, node: Node) -> None:
    """An operator of ``program.FUNCTIONS``: quantized by its own rule, else by a program."""
    op, types = node.op, list(node.input_types)
    if kind_of(types[0]) is Kind.QUANTIZED and not _takes_raw(op, node):
        quantized.lower(ctx, node)
        return
    if kind_of(types[0]) is Kind.COMPLEX:
        _lower_complex(ctx, node)
        return
    out = ctx.view(node.outputs[0])
    program = Program(ctx, out.shape)
    operands = [program.input(_operand(ctx, node, v), v.data) for v in node.inputs]
    program.apply(op, operands, types, out.type.dtype)
    program.emit(out)


def lower_chain(ctx: Context, node: Node) -> None:
    """Elementwise operators one after another: a program of all of them."""
    op = node.op
    assert isinstance(op, ops.Chain)
    out = ctx.view(node.outputs[0])
    program = Program(ctx, out.shape)
    operands = [program.input(ctx.view(v), v.data) for v in node.inputs]
    types = list(node.input_types)
    results = [*(stage.type.dtype for stage in op.tail), out.type.dtype]
    y = program.apply(op.head, op.head_inputs(operands), op.head_inputs(types), results[0])
    pairs = zip(op.tail_inputs(operands), op.tail_inputs(types), strict=True)
    for stage, (others, other_types), result in zip(op.tail, pairs, results[1:], strict=True):
        taken = stage.operands(y, others)
        y = program.apply(stage.op, taken, stage.operands(stage.type, other_types), result)
    program.emit(out)


def _lower_complex(ctx: Context, node: Node) -> None:
    """What is done to both parts alike."""
    ctx.require(isinstance(node.op, ops.Add | ops.Neg | ops.Sub))
    out, *inputs = (both_parts(ctx.view(v)) for v in (*node.outputs, *node.inputs))
    program = Program(ctx, out.shape)
    operands = [program.input(view) for view in inputs]
    program.apply(node.op, operands, [view.type for view in inputs], out.type.dtype)
    program.emit(out)


def _takes_raw(op: ops.Op, node: Node) -> bool:
    """Whether an operator of quantized values is the same one of the raw integers."""
    if isinstance(op, ops.Maximum | ops.Minimum):
        quants = {t.quant for t in (*node.input_types, *node.output_types)}
        return len(quants) == 1
    if isinstance(op, Comparison) and node.input_types[0].dtype is DType.INT16:
        return node.input_types[0].quant == node.input_types[1].quant
    return isinstance(op, ops.Cast | ops.Select)


def _operand(ctx: Context, node: Node, value: Value) -> View:
    """An input's view; a condition that chooses rows is one of as many dimensions as they have."""
    view = ctx.view(value)
    if isinstance(node.op, ops.Select) and node.op.rows and value is node.inputs[0]:
        extra = len(node.output_types[0].shape) - 1
        shape = (*view.shape, *[1] * extra)
        return View(view.address, replace(view.type, shape=shape), (*view.strides, *[0] * extra))
    return view


__all__ = ["FUNCTIONS", "lower"]
