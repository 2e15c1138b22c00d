"""Softmax over a pixel's channels: int16 in, int16 out, of fixed point."""

from __future__ import annotations

from dataclasses import dataclass

from . import fixed_point
from .image import pixels, view
from .ir import Kernel, Type, Value, f64, i16, i32, i64, index, ptr, u16
from .isa import Isa

MANTISSA, BIAS = 52, 1023
"""Of float64: bits of the fraction, and what is added to exponents."""


@dataclass(frozen=True)
class WSoftmax:
    """A variant of SOFTMAX over the last axis. A unit is a row of ``width`` pixels.

    ``exponential`` and ``inverse`` are int16[65536], by raw bits; ``x`` rescales distances from the
    greatest value to the first one's places. See ``ops.normalization.Softmax`` for the rule.
    """

    isa: Isa

    @property
    def symbol(self) -> str:
        return f"softmax_i16i16__{self.isa.name}"

    @property
    def fields(self) -> dict[str, Type]:
        sizes = dict.fromkeys(("height", "width", "channels"), index)
        tables = dict.fromkeys(("exponential", "inverse"), ptr)
        return {**view("a"), **view("c"), **sizes, **tables, **fixed_point.rescale_fields("x")}

    def build(self) -> str:
        k = Kernel(self.symbol, self.fields)
        with pixels(k) as (source, target):
            best = k.var(k.const(-(2**15), i32))
            with k.loop(0, k["channels"], once=True) as i:
                best.value = best.value.max((source + i * 2).load(i16).to(i32))
            greatest, total = best.value, k.var(k.const(0, i32))
            with k.loop(0, k["channels"], once=True) as i:
                total.value = total.value + self.exponential(source + i * 2, greatest)
            shift = self.floor_log2(total.value)
            scaled = (total.value.to(i64) << (k.const(30, i64) - shift)) + 2**13 >> 14
            place = (scaled - 3 * 2**15).clamp(-(2**15), 2**15 - 1).to(i32)
            factor, by = self.looked_up("inverse", place), shift.to(i32)
            half = k.const(1, i32) << by >> 1
            with k.loop(0, k["channels"], once=True) as i:
                product = self.exponential(source + i * 2, greatest) * factor
                y = ((product + half) >> by).clamp(0, 2**15 - 1)
                (target + i * 2).store(y.to(i16))
        return k.text()

    def exponential(self, address: Value, greatest: Value) -> Value:
        below = address.load(i16).to(i32) - greatest
        place = fixed_point.rescale(below, "x") + (2**15 - 1)
        return self.looked_up("exponential", place.max(-(2**15)))

    def looked_up(self, table: str, place: Value) -> Value:
        k = place.k
        return (k[table] + place.to(i16).to(u16).to(index) * 2).load(i16, 2).to(i32)

    def floor_log2(self, x: Value) -> Value:
        """Of a positive int32."""
        return (x.to(f64).bitcast(i64) >> MANTISSA) - BIAS
