"""Lowering of arithmetic in TensorFlow Lite's fixed point: programs in int64."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..dtype import DType
from ..graph import Array, Node, TensorType, Value
from ..ops import Add, Mul, Quantize, SquaredDifference, Sub, activation_range
from ..ops.binary import Aligned
from ..ops.fixed_point import GREATEST, multiplier
from ..ops.requant import per_tensor
from .context import Context
from .model import View
from .program import Program

WIDE = DType.INT64


@dataclass(frozen=True)
class Numbers:
    """A program of int64 numbers that ends in a quantized tensor."""

    program: Program

    def operand(self, value: Value, zero: int) -> int:
        """A quantized tensor less its zero point."""
        return self.number(self.program.ctx.view(value), zero, value.data)

    def number(self, view: View, zero: int, data: Array | None = None) -> int:
        """Integers less a number."""
        x = self.program.input(view, data)
        return self.by("sub", self.program.stage("cast", (x,), WIDE), zero)

    def by(self, function: str, y: int, x: int) -> int:
        """A function of y and a number."""
        return self.program.stage(function, (y, self.program.scalar(x, WIDE)), WIDE)

    def both(self, function: str, a: int, b: int) -> int:
        return self.program.stage(function, (a, b), WIDE)

    def scaled(self, y: int, real: float) -> int:
        """`fixed_point.multiply`."""
        return self.shifted(y, *multiplier(real))

    def shifted(self, y: int, factor: int, exponent: int) -> int:
        """`fixed_point.multiply_twice_rounded`."""
        constants = (factor, min(max(exponent, 0), 31), max(-exponent, 0))
        operands = (self.program.scalar(x, WIDE) for x in constants)
        return self.program.stage("fixedpoint", (y, *operands), WIDE)

    def half_away(self, y: int, real: np.float32, low: float, high: float) -> int:
        """float32(y) * real in bounds, halves rounded away from 0."""
        program, f32 = self.program, DType.FLOAT32
        y = program.stage("cast", (y,), f32)
        for function, x in (("mul", real), ("max", low), ("min", high)):
            y = program.stage(function, (y, program.scalar(x, f32)), f32)
        size = program.stage(
            "add", (program.stage("abs", (y,), f32), program.scalar(0.5, f32)), f32
        )
        whole = program.stage("floor", (size,), f32)
        signed = program.stage("mul", (whole, program.stage("sign", (y,), f32)), f32)
        return program.stage("cast", (signed,), WIDE)

    def end(self, y: int, zero: int, lo: int, hi: int, out: Value) -> None:
        for function, x in (("add", zero), ("max", lo), ("min", hi)):
            y = self.by(function, y, x)
        self.program.stage("cast", (y,), out.type.dtype)
        self.program.emit(self.program.ctx.view(out))


def lower_fixed(ctx: Context, node: Node) -> None:
    """ADD, SUB, MUL and SQUARED_DIFFERENCE in fixed point, whose references say how."""
    op, types, out = node.op, node.input_types, node.output_types[0]
    ctx.require(isinstance(op, Add | Mul | SquaredDifference | Sub))
    ctx.require(all(t.dtype is out.dtype for t in types))
    every = [per_tensor(t, op.name) for t in (*types, out)]
    scales, zeros = [scale for scale, _ in every], [zero for _, zero in every]
    n = Numbers(Program(ctx, out.shape))
    parts = [n.operand(value, zero) for value, zero in zip(node.inputs, zeros, strict=False)]
    is_wide = out.dtype is DType.INT16
    shifts = None
    if isinstance(op, Add | Sub) and is_wide:
        shifts = op.power_of_two_shifts(types, out)
    combine = "add" if isinstance(op, Add) else "sub"
    if shifts is not None:
        a, b = (n.shifted(y, 1 << 31, -by) for y, by in zip(parts, shifts, strict=True))
        y = n.both(combine, a, b)
    elif isinstance(op, Mul):
        with np.errstate(over="ignore", under="ignore"):
            ratio = min(float(scales[0] * scales[1] / scales[2]), GREATEST)
        y = n.scaled(n.both("mul", parts[0], parts[1]), ratio)
    else:
        squares = isinstance(op, SquaredDifference)
        rule = Aligned.of(op, types, 7 if squares else 15 if is_wide else 20)
        a, b = (
            n.scaled(n.by("mul", part, 1 << rule.shift), ratio)
            for part, ratio in zip(parts, rule.ratios, strict=True)
        )
        y, unit = n.both(combine, a, b), rule.unit
        if squares:
            y, unit = n.both("mul", y, y), unit**2
        y = n.scaled(y, unit / float(scales[2]))
    lo, hi = out.dtype.range
    if isinstance(op, Add | Mul | Sub):
        lo, hi = activation_range(out, op.activation)
    n.end(y, zeros[2], lo, hi, node.outputs[0])


def lower_int32(ctx: Context, node: Node) -> None:
    """QUANTIZE from or to int32."""
    assert isinstance(node.op, Quantize)
    x, out = node.input_types[0], node.output_types[0]
    n = Numbers(Program(ctx, out.shape))
    (scale, zero), (out_scale, out_zero) = (_parameters(ctx, t) for t in (x, out))
    y = n.scaled(n.operand(node.inputs[0], zero), min(scale / out_scale, GREATEST))
    n.end(y, out_zero, *out.dtype.range, node.outputs[0])


def _parameters(ctx: Context, t: TensorType) -> tuple[float, int]:
    """Scale and zero point, as the reference takes them."""
    ctx.require(t.quant is not None)
    assert t.quant is not None
    if t.dtype is DType.INT32:
        return t.quant.scale[0], t.quant.zero_point[0]
    scale, zero = per_tensor(t, "QUANTIZE")
    return float(scale), zero
