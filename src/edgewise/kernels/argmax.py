"""Index of the greatest of a pixel's channels, the first where several are: 8-bit in, int out."""

from __future__ import annotations

from dataclasses import dataclass

from .image import pixels, view
from .ir import Kernel, Type, Value, i32, index, u8
from .isa import Isa


@dataclass(frozen=True)
class ArgMax:
    """A variant of ARG_MAX over the last axis. A unit is a row of ``width`` pixels.

    Attributes:
        result: int32 or int64, what is stored for a pixel; strides of ``c`` are in bytes.
        short: there are at most ``vector`` channels; else there are more.
    """

    isa: Isa
    result: Type = i32
    short: bool = False

    @property
    def vector(self) -> int:
        return min(self.isa.bits // 8, 32)

    @property
    def symbol(self) -> str:
        op = "argmax" + ("_short" if self.short else "")
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

    def short(self, pixel: Value, inside: Value) -> Value:
        least = 0 if self.act.kind == "u" else -128
        v = inside.select(pixel.load(self.act[self.n]), least)
        return self.first(v, self.reduce("max", v))

    def long(self, pixel: Value) -> Value:
        k, n = self.k, self.n
        last = k["channels"] - n
        best = k.var(pixel.load(self.act[n]))
        with k.loop(n, k["channels"], n, once=True) as at:
            best.value = best.value.max((pixel + at.min(last)).load(self.act[n]))
        greatest = self.reduce("max", best.value)
        found = k.var(0)
        with k.loop(0, k["channels"], n, once=True) as back:
            at = (last - back).max(0)
            place = self.first((pixel + at).load(self.act[n]), greatest)
            found.value = place.compare("ne", 255).select(at + place.to(index), found.value)
        return found.value
