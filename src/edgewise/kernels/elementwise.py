"""Quantized ADD, SUB, MUL, PRELU and SQUARED_DIFFERENCE of 8-bit operands.

The operands and the result are views (see ``views``) of ``isa.activation``, but for the factors
of ``QPRelu``. A unit is one block of one run; a vector of it takes as many elements as fit in a
register. The result may be one of the operands, in place. SUB is ``QAdd`` with a negative
multiplier. Where an operand is broadcast along the run, it is ``b``: exchange the operands and
their constants.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from . import views
from .ir import Kernel, Type, Value, f32, i32, u32, u64
from .isa import Clamp, Isa
from .shuffles import joined


@dataclass(frozen=True)
class Binary:
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

    @property
    def rest(self) -> int:
        """Elements of a vector where fewer than ``width`` are left of a run."""
        return self.width

    @property
    def b_type(self) -> Type:
        return self.isa.activation

    def build(self) -> str:
        k = Kernel(self.symbol, self.fields)
        clamp = Clamp(k)
        act, isa, width, rest = self.isa.activation, self.isa, self.width, self.rest
        step = 0 if self.scalar else self.b_type.nbytes
        with views.blocks(k, {"a": 1, "b": step, "c": 1}) as unit:
            a, b, c = (unit.at[name] for name in "abc")
            if self.scalar:
                fixed = [self.prepare_b(k, self.splat_b(b))]

            def result(i: Value, n: int) -> Value:
                xs = isa.unpack((a + i).load(act[n]))
                if self.scalar:
                    ys = fixed * len(xs)
                else:
                    ys = [self.prepare_b(k, y) for y in self.load_b(b + i * step, n)]
                return self.combine(k, xs, ys, clamp)

            whole = unit.count & -width
            with k.loop(0, whole, width) as i:
                (c + i).store(result(i, width))
            with k.loop(whole, unit.count, rest) as i:
                (c + i).store_partial(result(i, rest), (unit.count - i).min(rest))
        return k.text()

    def splat_b(self, b: Value) -> Value:
        """The element at ``b`` in all of int32 lanes."""
        return b.load(self.b_type).to(i32).splat(self.isa.lanes)

    def load_b(self, b: Value, n: int) -> list[Value]:
        """``n`` elements from ``b`` on as int32 lanes, in ``Isa.order``."""
        return self.isa.unpack(b.load(self.b_type[n]))

    def prepare_b(self, k: Kernel, b: Value) -> Value:
        """What ``combine`` needs of lanes of ``b``."""
        raise NotImplementedError

    def combine(self, k: Kernel, a: Sequence[Value], b: Sequence[Value], clamp: Clamp) -> Value:
        """The result of int32 vectors of ``a``, in ``Isa.order``, and prepared ones of ``b``."""
        raise NotImplementedError


@dataclass(frozen=True)
class QAdd(Binary):
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
class QMul(Binary):
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


@dataclass(frozen=True)
class _Prepared(Binary):
    """Base of those whose ``b`` is int32 numbers that the plan has made of an operand."""

    @property
    def rest(self) -> int:
        return self.isa.lanes

    @property
    def b_type(self) -> Type:
        return i32

    def load_b(self, b: Value, n: int) -> list[Value]:
        lanes = self.isa.lanes
        order = self.isa.order(n // lanes)
        return [
            joined([(b + 4 * column).load(i32[4]) for column in order[i : i + lanes : 4]])
            for i in range(0, n, lanes)
        ]

    def prepare_b(self, k: Kernel, b: Value) -> Value:
        return b


@dataclass(frozen=True)
class QPRelu(_Prepared):
    """c = clamp((t + rounding >> shift) + zero_point, lo, hi), t = (a - a_zero) * factor

    The factor is ``above`` where a >= a_zero, else ``b``; the rounding is ``up``, or ``away``
    where a < a_zero, but ``down`` where t < 0. Nothing may overflow int32.
    """

    op: ClassVar[str] = "prelu"
    constants: ClassVar[dict[str, Type]] = dict.fromkeys(
        ("a_zero", "above", "up", "away", "down", "shift"), i32
    )

    def combine(self, k: Kernel, a: Sequence[Value], b: Sequence[Value], clamp: Clamp) -> Value:
        zero, above, up, away, down, shift = (
            k[name].splat(self.isa.lanes) for name in self.constants
        )
        scaled = []
        for x, y in zip(a, b, strict=True):
            value = x - zero
            is_below = value < 0
            product = value * is_below.select(y, above)
            rounding = (product < 0).select(down, is_below.select(away, up))
            scaled.append((product + rounding) >> shift)
        return self.isa.pack(scaled, clamp)


@dataclass(frozen=True)
class QSquaredDifference(_Prepared):
    """c = clamp(((64 a - b)**2 * factor + rounding >> shift) + zero_point, lo, hi)

    The difference is less than 2**15 in magnitude; its square is multiplied in 64 bits, of which
    ``shift`` leaves 31 at the most.
    """

    op: ClassVar[str] = "squared_difference"
    constants: ClassVar[dict[str, Type]] = {"factor": u32, "rounding": u64, "shift": u64}

    def combine(self, k: Kernel, a: Sequence[Value], b: Sequence[Value], clamp: Clamp) -> Value:
        wide = u64[self.isa.lanes // 2]
        factor, rounding, shift = (k[name].to(u64).splat(wide.lanes) for name in self.constants)
        results = []
        for x, y in zip(a, b, strict=True):
            difference = (x << 6) - y
            squares = (difference * difference).bitcast(wide)
            even, odd = (
                (square * factor + rounding) >> shift
                for square in (squares & (2**32 - 1), squares >> 32)
            )
            results.append((even | odd << 32).bitcast(i32[self.isa.lanes]))
        return self.isa.pack(results, clamp)


__all__ = ["Binary", "QAdd", "QMul", "QPRelu", "QSquaredDifference"]
