"""8-bit products: int8 weights, requantized results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from ..graph import Value
from ..ops import Add
from ..ops.fixed_point import (
    multiply_once_rounded,
    multiply_ties_up,
    multiply_twice_rounded,
    multiply_wide,
    rounded_to_15_bits,
)
from ..ops.fused import Stage
from ..ops.requant import FixedPointRequant, Multiply, Requant, Rounding
from ..passes.requantization import rounding_of
from . import select
from .context import Context, NoKernelError
from .model import Params, View
from .rows import Channels, Epilogue, Rows, Shape, Weights, emit_panels, rows

Integers: TypeAlias = "npt.NDArray[np.int32]"
Factors: TypeAlias = "npt.NDArray[np.float32] | Integers"

RULES: Mapping[Multiply, str] = {
    multiply_twice_rounded: "twice",
    multiply_ties_up: "ties_up",
    multiply_once_rounded: "once",
    multiply_wide: "once",
}
"""What `kernels.fixed_point.RULES` calls the multiplications of `ops.fixed_point`."""


def fixed_factors(rule: FixedPointRequant, channels: int) -> tuple[Integers, Integers]:
    """Multipliers and exponents of ``channels``, or shifts to the right, as kernels take them.

    Raises NoKernelError for multipliers that no shift to the right goes with.
    """
    scaled, exponent = rule.multiplier, rule.exponent
    if rule.multiply is multiply_wide:
        scaled, exponent = rounded_to_15_bits(scaled), 15 - exponent
    elif rule.multiply is multiply_once_rounded:
        exponent = 31 - exponent
    if RULES[rule.multiply] == "once" and exponent.min() < 0:
        raise NoKernelError
    each = (np.resize(x, channels).astype(np.int32) for x in (scaled, exponent))
    return next(each), next(each)


@dataclass(frozen=True)
class IntegerProduct:
    """The operands of a product-sum operator, ready to pack.

    Attributes:
        weights: int8, in the operator's own shape; ``zero`` is their zero point.
        bias: int32[channels], the operator's own.
        input_zero: the zero point of x.
        requant: XNNPACK's rule, or one in fixed point.
    """

    weights: Weights
    zero: int
    bias: npt.NDArray[np.int32]
    input_zero: int
    requant: Requant | FixedPointRequant

    @property
    def rounding(self) -> str:
        """The rule as kernels name it."""
        return RULES[self.requant.multiply] if isinstance(self.requant, FixedPointRequant) else ""

    @property
    def factors(self) -> tuple[Factors, ...]:
        """What kernels multiply sums by: [channels] each."""
        if isinstance(self.requant, FixedPointRequant):
            return fixed_factors(self.requant, len(self.bias))
        return (self.requant.scale,)

    def prepared(self, ctx: Context, source: View, leading: int = 1) -> tuple[IntegerProduct, View]:
        """What ``emit`` is to be called on, and the input that it reads."""
        return self, source

    def epilogue(
        self, ctx: Context, tail: Sequence[Stage], others: Sequence[Value], out: Value
    ) -> Epilogue:
        """ADD's fixed-point rule for (result less its zero point, the other operand)."""
        if not tail:
            return Epilogue()
        ctx.require(len(tail) == len(others) == 1)
        (stage,), (other,) = tail, others
        ctx.require(isinstance(stage.op, Add) and other.type.shape == out.type.shape)
        ctx.require(rounding_of(stage.op) is Rounding.FLOAT)
        ctx.activations(other.type, out.type)
        assert isinstance(stage.op, Add)
        assert stage.type.quant is not None
        rule = stage.op.fixed_point([stage.type, other.type], [out.type])
        view = ctx.view(other)
        params: Params = {
            "c_mult": rule.a_multiplier,
            "r_mult": rule.b_multiplier,
            "add_bias": rule.bias + rule.a_multiplier * stage.type.quant.zero_point[0],
            "shift": rule.shift,
            "add_zero_point": rule.zero_point,
            "add_lo": rule.lo,
            "add_hi": rule.hi,
        }
        size = (view.shape[1], view.shape[2])
        return Epilogue(("add",), params, rows={"r": rows(view, size)})

    def emit(
        self,
        ctx: Context,
        weights: Weights,
        channels: Channels,
        source: Rows,
        target: Rows,
        shape: Shape,
        runs: npt.NDArray[np.int64],
        epilogue: Epilogue,
    ) -> None:
        """One matrix product: ``weights`` int8[n, runs, kc] over the pixels of ``shape``.

        ``channels`` are those of the operator that ``weights`` gives. x's zero point goes into
        the bias.
        """
        n, run_count, kc = weights.shape
        pixels = shape[0] * shape[1] * shape[2]
        chosen = select.qgemm(
            ctx.isa,
            pixels,
            n,
            kc,
            run_count,
            weight_zero_point=self.zero != 0,
            add=bool(epilogue.stages),
            rounding=self.rounding,
            weights=weights,
            choose=ctx.choose,
        )
        ctx.require(chosen is not None)
        assert chosen is not None
        v, seconds = replace(chosen[0], rounding=self.rounding).suited(weights), chosen[1]
        sums = weights.sum(axis=(1, 2), dtype=np.int64) - run_count * kc * self.zero
        bias = (self.bias[channels] - self.input_zero * sums).astype(np.int32)
        packed = v.packed(weights, runs, bias, *(f[channels] for f in self.factors))
        kstep, steps = v.layout(kc, run_count)
        params: Params = {
            "run_count": run_count,
            "kc": kc,
            "kstep": kstep,
            "steps": steps,
            "panel_bytes": v.panel_bytes(kc, run_count),
            "zero_point": self.requant.zero_point,
            "lo": self.requant.lo,
            "hi": self.requant.hi,
        }
        if self.zero:
            params |= {"w_zero": self.zero, "ones": ctx.constants.add(v.ones(kc, run_count))}
        operands = {"a": source, "c": target}
        address = ctx.constants.add(packed)
        emit_panels(ctx, v, seconds, address, n, operands, shape, runs, epilogue, params)
