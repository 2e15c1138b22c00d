"""Lowering of operators of complex numbers, whose real and imaginary parts are floats apart."""

from __future__ import annotations

from .. import ops
from ..dtype import DType
from ..graph import Node, TensorType
from .context import Context
from .model import View
from .movement import emit_copy
from .program import Program

REAL = {DType.COMPLEX64: DType.FLOAT32, DType.COMPLEX128: DType.FLOAT64}


def both_parts(view: View) -> View:
    """Complex numbers as floats, with a last dimension of two."""
    dtype = REAL[view.type.dtype]
    t = TensorType((*view.shape, 2), dtype)
    return View(view.address, t, (*view.strides, dtype.itemsize))


def _part(view: View, which: int) -> View:
    """The real (0) or imaginary (1) parts."""
    both = both_parts(view)
    t = TensorType(view.shape, both.type.dtype)
    return View(view.address + which * both.strides[-1], t, view.strides)


def lower_part(ctx: Context, node: Node) -> None:
    """REAL and IMAG."""
    which = int(isinstance(node.op, ops.Imag))
    emit_copy(ctx, _part(ctx.view(node.inputs[0]), which), ctx.view(node.outputs[0]))


def lower_complex_abs(ctx: Context, node: Node) -> None:
    """COMPLEX_ABS: squares and root in float64, where no square of a float32 overflows."""
    x, y = ctx.view(node.inputs[0]), ctx.view(node.outputs[0])
    ctx.require(x.type.dtype is DType.COMPLEX64)
    program, wide = Program(ctx, y.shape), DType.FLOAT64
    squares = []
    for which in range(2):
        part = program.stage("cast", (program.input(_part(x, which)),), wide)
        squares.append(program.stage("mul", (part, part), wide))
    total = program.stage("add", (squares[0], squares[1]), wide)
    program.stage("cast", (program.stage("sqrt", (total,), wide),), DType.FLOAT32)
    program.emit(y)
