"""Index of the greatest or the least element along an axis, the first where several are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from . import views
from .image import pixels, view
from .ir import Kernel, Type, Value, Var, f32, i32, index, u8
from .isa import Isa
from .reduce import Combine, combine, identity
from .shuffles import halved


@dataclass(frozen=True)
class ArgMax:
    """A variant of ARG_MAX over the last axis of 8-bit values. A unit is a row of ``width`` pixels.

    Attributes:
        result: int32 or int64, what is stored for a pixel; strides of ``c`` are in bytes.
        short: there are at most ``vector`` channels; else there are more.
        least: ARG_MIN.
    """

    isa: Isa
    result: Type = i32
    short: bool = False
    least: bool = False

    @property
    def vector(self) -> int:
        return min(self.isa.bits // 8, 32)

    @property
    def symbol(self) -> str:
        op = ("argmin" if self.least else "argmax") + ("_short" if self.short else "")
        return f"{op}_{self.isa.activation}{self.result}_{self.vector}__{self.isa.name}"

    @property
    def fields(self) -> dict[str, Type]:
        sizes = dict.fromkeys(("height", "width", "channels"), index)
        return {**view("a"), **view("c"), **sizes}

    def build(self) -> str:
        return _Builder(self).build()


class _Builder:
    def __init__(self, variant: ArgMax) -> None:
        self.v, self.n = variant, variant.vector
        self.act = variant.isa.activation
        self.k = Kernel(variant.symbol, variant.fields)
        self.places = self.k.vector(range(self.n), u8)

    def build(self) -> str:
        k = self.k
        inside = self.places < k["channels"].min(255).to(u8).splat(self.n)
        with pixels(k) as (source, target):
            found = self.short(source, inside) if self.v.short else self.long(source)
            target.store(found.to(self.v.result))
        return k.text()

    def reduce(self, which: str, v: Value) -> Value:
        sign = "s" if v.ty.kind == "i" else "u"
        return self.k.intrinsic(f"llvm.vector.reduce.{sign}{which}.{v.ty.suffix}", v.ty.scalar, v)

    def first(self, v: Value, best: Value) -> Value:
        """The first lane of ``v`` that equals ``best``, or 255."""
        equal = v.compare("eq", best.splat(self.n))
        return self.reduce("min", equal.select(self.places, 255))

    def load(self, address: Value) -> Value:
        """A vector in which the greatest element is sought."""
        v = address.load(self.act[self.n])
        return v ^ -1 if self.v.least else v

    def short(self, pixel: Value, inside: Value) -> Value:
        least = 0 if self.act.kind == "u" else -128
        v = inside.select(self.load(pixel), least)
        return self.first(v, self.reduce("max", v))

    def long(self, pixel: Value) -> Value:
        k, n = self.k, self.n
        last = k["channels"] - n
        best = k.var(self.load(pixel))
        with k.loop(n, k["channels"], n, once=True) as at:
            best.value = best.value.max(self.load(pixel + at.min(last)))
        greatest = self.reduce("max", best.value)
        found = k.var(0)
        with k.loop(0, k["channels"], n, once=True) as back:
            at = (last - back).max(0)
            place = self.first(self.load(pixel + at), greatest)
            found.value = place.compare("ne", 255).select(at + place.to(index), found.value)
        return found.value


@dataclass(frozen=True)
class _ArgWide:
    """Base of the variants that keep the best number of each lane and its place, an int32.

    Attributes:
        element: of the operand.
        result: int32 or int64.
        least: ARG_MIN.
    """

    isa: Isa
    element: Type = f32
    result: Type = i32
    least: bool = False

    form: ClassVar[str] = ""

    @property
    def symbol(self) -> str:
        op = f"{'argmin' if self.least else 'argmax'}_{self.form}"
        return f"{op}_{self.element}{self.result}_{self.isa.lanes}__{self.isa.name}"

    @property
    def number(self) -> Type:
        """What is compared."""
        return f32 if self.element == f32 else i32

    @property
    def combine(self) -> Combine:
        return combine(self.isa, "min" if self.least else "max", self.number)

    @property
    def worst(self) -> int | float:
        return identity("min" if self.least else "max", self.number)

    def load(self, address: Value) -> Value:
        lanes = self.isa.lanes
        return address.load(self.element[lanes]).to(self.number[lanes])

    def update(self, best: Var, place: Var, x: Value, at: Value) -> None:
        """Let the lanes of ``x``, which has the places ``at``, in where they are better."""
        better = x < best.value if self.least else x > best.value
        best.value = better.select(x, best.value)
        place.value = better.select(at, place.value)


@dataclass(frozen=True)
class ArgRows(_ArgWide):
    """Over the last axis. A unit is a row of ``width`` pixels."""

    form: ClassVar[str] = "rows"

    @property
    def fields(self) -> dict[str, Type]:
        sizes = dict.fromkeys(("height", "width", "channels"), index)
        return {**view("a"), **view("c"), **sizes}

    def build(self) -> str:
        k, lanes = Kernel(self.symbol, self.fields), self.isa.lanes
        counting, size = k.vector(range(lanes), i32), self.element.nbytes
        whole = k["channels"] & -lanes
        rest = k["channels"] - whole
        inside = counting < rest.to(i32).splat(lanes)
        worst = k.const(self.worst, self.number[lanes])
        with pixels(k) as (source, target):
            best, place = k.var(worst), k.var(counting)
            at = k.var(counting)
            with k.loop(0, whole, lanes) as i:
                self.update(best, place, self.load(source + i * size), at.value)
                at.value = at.value + lanes
            with k.when(rest.compare("ne", 0)):
                x = inside.select(self.load(source + whole * size), worst)
                self.update(best, place, x, at.value)
            greatest = halved(best.value, self.combine).splat(lanes)
            equal = best.value.compare("eq", greatest)
            found = halved(equal.select(place.value, 2**31 - 1), Value.min)
            target.store(found.to(self.result))
        return k.text()


@dataclass(frozen=True)
class ArgColumns(_ArgWide):
    """Over ``r`` steps of ``a_r`` bytes, of elements side by side; a unit is a block of them."""

    form: ClassVar[str] = "columns"

    @property
    def fields(self) -> dict[str, Type]:
        return {**views.fields("a", "c"), "r": index, "a_r": index}

    def build(self) -> str:
        k, lanes = Kernel(self.symbol, self.fields), self.isa.lanes
        steps = {"a": self.element.nbytes, "c": self.result.nbytes}
        with views.blocks(k, steps) as unit, k.loop(0, unit.count, lanes) as j:
            source, target = (unit.at[name] + j * size for name, size in steps.items())
            best = k.var(k.const(self.worst, self.number[lanes]))
            place = k.var(k.const(0, i32[lanes]))
            with k.loop(0, k["r"], once=True) as i:
                x = self.load(source + i * k["a_r"])
                self.update(best, place, x, i.to(i32).splat(lanes))
            found = place.value.to(self.result[lanes])
            target.store_partial(found, (unit.count - j).min(lanes))
        return k.text()
