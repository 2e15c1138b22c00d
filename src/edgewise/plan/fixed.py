"""Lowering of int16 arithmetic: TensorFlow Lite's fixed-point rules as programs in int64."""

from __future__ import annotations

from ..dtype import DType
from ..graph import Node
from ..ops import Add, Mul, SquaredDifference, Sub, activation_range
from ..ops.elementwise import Aligned
from ..ops.fixed_point import multiplier
from ..ops.requant import per_tensor
from .context import Context
from .program import Program

WIDE = DType.INT64


def lower_int16(ctx: Context, node: Node) -> None:
    """ADD, SUB, MUL and SQUARED_DIFFERENCE of int16 operands, whose references say how."""
    op, types, out = node.op, node.input_types, node.output_types[0]
    ctx.require(all(t.dtype is DType.INT16 for t in (*types, out)))
    ctx.require(isinstance(op, Add | Mul | SquaredDifference | Sub))
    scales = [float(per_tensor(t, op.name)[0]) for t in (*types, out)]
    zeros = [per_tensor(t, op.name)[1] for t in (*types, out)]
    c = ctx.view(node.outputs[0])
    program = Program(ctx, c.shape)

    def number(function: str, y: int, x: int) -> int:
        return program.stage(function, (y, program.scalar(x, WIDE)), WIDE)

    def scaled(y: int, real: float) -> int:
        return shifted(y, *multiplier(real))

    def shifted(y: int, factor: int, exponent: int) -> int:
        constants = (factor, min(max(exponent, 0), 31), max(-exponent, 0))
        operands = (program.scalar(x, WIDE) for x in constants)
        return program.stage("fixedpoint", (y, *operands), WIDE)

    parts = []
    for value, zero in zip(node.inputs, zeros, strict=False):
        y = program.stage("cast", (program.input(ctx.view(value), value.data),), WIDE)
        parts.append(number("sub", y, zero))
    shifts = op.power_of_two_shifts(types, out) if isinstance(op, Add | Sub) else None
    if shifts is not None:
        a, b = (shifted(y, 1 << 31, -n) for y, n in zip(parts, shifts, strict=True))
        y = program.stage("add" if isinstance(op, Add) else "sub", (a, b), WIDE)
    elif isinstance(op, Mul):
        y = program.stage("mul", (parts[0], parts[1]), WIDE)
        y = scaled(y, scales[0] * scales[1] / scales[2])
    else:
        rule = Aligned.of(op, types, 7 if isinstance(op, SquaredDifference) else 15)
        a, b = (
            scaled(number("mul", part, 1 << rule.shift), ratio)
            for part, ratio in zip(parts, rule.ratios, strict=True)
        )
        y = program.stage("add" if isinstance(op, Add) else "sub", (a, b), WIDE)
        unit = rule.unit
        if isinstance(op, SquaredDifference):
            y, unit = program.stage("mul", (y, y), WIDE), unit**2
        y = scaled(y, unit / scales[2])
    lo, hi = out.dtype.range
    if isinstance(op, Add | Mul | Sub):
        lo, hi = activation_range(out, op.activation)
    for function, x in (("add", zeros[2]), ("max", lo), ("min", hi)):
        y = number(function, y, x)
    program.stage("cast", (y,), out.dtype)
    program.emit(c)
