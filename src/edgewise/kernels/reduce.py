"""Reductions of views: sums, means, products, extremes.

``Columns`` reduces vectors of neighbours lane by lane, ``Rows`` reduces neighbours to one number.
Operand ``a`` is walked by the units (see ``views``) and, within a unit, by three loops of
``r0``, ``r1``, ``r2`` steps of ``a_r0``, ``a_r1``, ``a_r2`` bytes. Float sums are in order: of all
that is reduced in ``Columns``, of every (4 * lanes)-th number of a row in ``Rows``.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import ClassVar, Literal, TypeAlias

from . import views
from .image import to_activation
from .ir import Kernel, Type, Value, f32, i32, index
from .isa import Clamp, Isa
from .math import greater, lesser
from .shuffles import halved

ReduceOp: TypeAlias = Literal["sum", "mean", "max", "min", "prod"]

Combine: TypeAlias = Callable[[Value, Value], Value]


def combine(isa: Isa, op: ReduceOp, ty: Type) -> Combine:
    """What makes one of an element and a partial result, or of two; extremes pass over NaN."""
    if op in ("max", "min"):
        if ty.kind == "f":
            return functools.partial(greater if op == "max" else lesser, isa)
        return Value.max if op == "max" else Value.min
    return Value.__mul__ if op == "prod" else Value.__add__


def identity(op: ReduceOp, ty: Type) -> int | float:
    """What changes nothing when it is combined."""
    if op not in ("max", "min"):
        return 1 if op == "prod" else 0
    if ty.kind == "f":
        return float("-inf" if op == "max" else "inf")
    signed = ty.kind == "i"
    low, high = (-(1 << ty.bits - 1), (1 << ty.bits - 1) - 1) if signed else (0, (1 << ty.bits) - 1)
    return low if op == "max" else high


@dataclass(frozen=True)
class _Reduce:
    """Base of the variants. ``mean`` multiplies the sum by ``scale``.

    A mean of 8 bits is ``Isa.activation`` to itself: with the sum of (q - zero) over ``count``
    values, as ``ops.reduce.Mean`` defines it by ``scale`` and ``offset``.

    Attributes:
        element: the type of a number.
    """

    isa: Isa
    op: ReduceOp
    element: Type = f32

    form: ClassVar[str] = ""
    reduced: ClassVar[tuple[str, ...]] = ("r0", "r1", "r2")

    @property
    def quantized(self) -> bool:
        return self.op == "mean" and self.element.kind != "f"

    @property
    def accumulator(self) -> Type:
        return i32 if self.quantized else self.element

    @property
    def wide(self) -> int:
        """Elements of a step: four vectors."""
        return 4 * self.isa.bits // self.accumulator.bits

    @property
    def symbol(self) -> str:
        return f"{self.op}_{self.form}_{self.element}_x{self.wide}__{self.isa.name}"

    @property
    def fields(self) -> dict[str, Type]:
        loops = dict.fromkeys([*self.reduced, *(f"a_{r}" for r in self.reduced)], index)
        fields = {**views.fields("a", "c"), **loops}
        if self.op == "mean":
            fields["scale"] = f32
        if self.quantized:
            fields |= {"offset": f32, "zero": i32, "count": i32, **Clamp.FIELDS}
        return fields

    @property
    def combine(self) -> Combine:
        return combine(self.isa, self.op, self.accumulator)

    def neutral(self, k: Kernel, lanes: int) -> Value:
        return k.const(identity(self.op, self.accumulator), self.accumulator[lanes])

    def load(self, address: Value, lanes: int) -> Value:
        return address.load(self.element[lanes]).to(self.accumulator[lanes])

    @contextmanager
    def loops(self, k: Kernel, start: Value, names: tuple[str, ...]) -> Iterator[Value]:
        """Loops over the outer steps of a unit; yields the address of each."""
        if not names:
            yield start
            return
        with (
            k.loop(0, k[names[0]], once=True) as i,
            self.loops(k, start + i * k[f"a_{names[0]}"], names[1:]) as at,
        ):
            yield at

    def finish(self, k: Kernel, total: Value) -> Value:
        """A reduced vector as it is stored."""
        if self.op != "mean":
            return total
        n = total.ty.lanes
        if not self.quantized:
            return total * k["scale"].splat(n)
        total = total - (k["count"] * k["zero"]).splat(n)
        real = total.to(f32[n]) * k["scale"].splat(n) + k["offset"].splat(n)
        return to_activation(self.isa, real, Clamp(k))


@dataclass(frozen=True)
class Columns(_Reduce):
    """c[..., j] = a[..., j] reduced; a unit is up to ``block`` neighbours."""

    form: ClassVar[str] = "columns"

    def build(self) -> str:
        k, size, lanes = Kernel(self.symbol, self.fields), self.element.nbytes, self.wide // 4
        with views.blocks(k, {"a": size, "c": size}) as unit:
            a, c, whole = unit.at["a"], unit.at["c"], unit.count & -self.wide
            with k.loop(0, whole, self.wide) as j:
                (c + j * size).store(self.reduce(k, a + j * size, self.wide))
            with k.loop(whole, unit.count, lanes) as j:
                result = self.reduce(k, a + j * size, lanes)
                (c + j * size).store_partial(result, (unit.count - j).min(lanes))
        return k.text()

    def reduce(self, k: Kernel, start: Value, lanes: int) -> Value:
        total = k.var(self.neutral(k, lanes))
        with self.loops(k, start, self.reduced) as at:
            total.value = self.combine(self.load(at, lanes), total.value)
        return self.finish(k, total.value)


@dataclass(frozen=True)
class Rows(_Reduce):
    """c[...] = all a[..., j] reduced, j below ``r2``, which lie side by side.

    A unit is one number: ``n`` is 1.
    """

    form: ClassVar[str] = "rows"

    def build(self) -> str:
        k, size, wide = Kernel(self.symbol, self.fields), self.element.nbytes, self.wide
        lanes, combine = wide // 4, self.combine
        whole = k["r2"] & -wide
        places = k.vector(range(lanes), self.mask)
        with views.blocks(k, {"a": size, "c": size}) as unit:
            total, rest = k.var(self.neutral(k, wide)), k.var(self.neutral(k, lanes))
            with self.loops(k, unit.at["a"], self.reduced[:2]) as row:
                with k.loop(0, whole, wide) as i:
                    total.value = combine(self.load(row + i * size, wide), total.value)
                with k.loop(whole, k["r2"], lanes) as i:
                    inside = places < (k["r2"] - i).min(lanes).to(self.mask).splat(lanes)
                    x = inside.select(self.load(row + i * size, lanes), self.neutral(k, lanes))
                    rest.value = combine(x, rest.value)
            result = halved(combine(halved(total.value, combine, lanes), rest.value), combine)
            if self.quantized:
                result = result.splat(self.isa.lanes)
            unit.at["c"].store(self.finish(k, result).lane(0))
        return k.text()

    @property
    def mask(self) -> Type:
        """An integer as wide as the accumulator."""
        return Type("i", self.accumulator.bits)
