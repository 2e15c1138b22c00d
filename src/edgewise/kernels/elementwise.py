"""Quantized ADD, SUB and MUL of 8-bit operands.

The operands and the result are views (see ``views``) of ``isa.activation``. A unit is one block of
one run; a vector of it takes as many elements as fit in a register. The result may be one of the
operands, in place. SUB is ``QAdd`` with a negative multiplier. Where an operand is broadcast along
the run, it is ``b``: exchange the operands and their constants.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from . import views
from .ir import Kernel, Type, Value, f32, i32
from .isa import Clamp, Isa


@dataclass(frozen=True)
class _Binary:
    """Base of the variants.

    Attributes:
        scalar: one element of ``b`` stands for its whole run.
    """

    isa: Isa
    scalar: bool = False

    op: ClassVar[str] = ""
    constants: ClassVar[dict[str, Type]] = {}

    @property
    def width(self) -> int:
        return self.isa.bits // 8

    @property
    def symbol(self) -> str:
        act = self.isa.activation
        op = f"{self.op}_scalar" if self.scalar else self.op
        return f"{op}_{act}{act}{act}_x{self.width}__{self.isa.name}"

    @property
    def fields(self) -> dict[str, Type]:
        return {**views.fields("a", "b", "c"), **self.constants, **Clamp.FIELDS}

    def build(self) -> str:
        k = Kernel(self.symbol, self.fields)
        clamp = Clamp(k)
        act, isa, width = self.isa.activation, self.isa, self.width
        with views.blocks(k, {"a": 1, "b": 0 if self.scalar else 1, "c": 1}) as unit:
            a, b, c = (unit.at[name] for name in "abc")
            if self.scalar:
                fixed = [self.prepare_b(k, b.load(act).to(i32).splat(isa.lanes))]

            def result(offset: Value) -> Value:
                xs = isa.unpack((a + offset).load(act[width]))
                if self.scalar:
                    ys = fixed * len(xs)
                else:
                    ys = [self.prepare_b(k, y) for y in isa.unpack((b + offset).load(act[width]))]
                return self.combine(k, xs, ys, clamp)

            whole = unit.count & -width
            with k.loop(0, whole, width) as i:
                (c + i).store(result(i))
            rest = unit.count - whole
            with k.when(rest.compare("ne", 0)):
                (c + whole).store_partial(result(whole), rest)
        return k.text()

    def prepare_b(self, k: Kernel, b: Value) -> Value:
        """What ``combine`` needs of int32 lanes of ``b``."""
        raise NotImplementedError

    def combine(self, k: Kernel, a: Sequence[Value], b: Sequence[Value], clamp: Clamp) -> Value:
        """The result of int32 vectors of ``a``, in ``Isa.order``, and prepared ones of ``b``."""
        raise NotImplementedError


@dataclass(frozen=True)
class QAdd(_Binary):
    """c = clamp(((bias + a * a_multiplier + b * b_multiplier) >> shift) + zero_point, lo, hi)

    in int32 that must not overflow; the shift, 0 to 31, is arithmetic.
    """

    op: ClassVar[str] = "add"
    constants: ClassVar[dict[str, Type]] = dict.fromkeys(
        ("a_multiplier", "b_multiplier", "bias", "shift"), i32
    )

    def prepare_b(self, k: Kernel, b: Value) -> Value:
        lanes = self.isa.lanes
        return b * k["b_multiplier"].splat(lanes) + k["bias"].splat(lanes)

    def combine(self, k: Kernel, a: Sequence[Value], b: Sequence[Value], clamp: Clamp) -> Value:
        multiplier, shift = (k[name].splat(self.isa.lanes) for name in ("a_multiplier", "shift"))
        sums = [(x * multiplier + y) >> shift for x, y in zip(a, b, strict=True)]
        return self.isa.pack(sums, clamp)


@dataclass(frozen=True)
class QMul(_Binary):
    """c = clamp(round((a - a_zero) * (b - b_zero) * scale) + zero_point, lo, hi)

    The product is exact; it is scaled by one float32 multiplication and rounded to even.
    """

    op: ClassVar[str] = "mul"
    constants: ClassVar[dict[str, Type]] = {"a_zero": i32, "b_zero": i32, "scale": f32}

    def prepare_b(self, k: Kernel, b: Value) -> Value:
        return b - k["b_zero"].splat(self.isa.lanes)

    def combine(self, k: Kernel, a: Sequence[Value], b: Sequence[Value], clamp: Clamp) -> Value:
        zero, scale = (k[name].splat(self.isa.lanes) for name in ("a_zero", "scale"))
        products = [(x - zero) * y for x, y in zip(a, b, strict=True)]
        return self.isa.quantize(products, [scale] * len(products), clamp)


__all__ = ["QAdd", "QMul"]
