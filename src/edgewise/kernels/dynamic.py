"""Quantizing float32 with a scale and a zero point found from the numbers themselves.

A unit is a group: ``rows`` rows of ``n`` floats, ``a_row`` bytes apart, which become 8 bits side
by side, ``rows * n`` bytes a group. ``d`` receives eight bytes a group: the zero point as int32,
and the float32 by which a difference from it is multiplied to get the real number.
``ops.hybrid`` defines all of it: `quantize_rows`, or for rows of recurrent layers
`quantize_symmetric` and `quantize_asymmetric`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from .ir import Kernel, Type, Value, f32, f64, i32, index, ptr
from .isa import Isa
from .shuffles import halved

Parameters: TypeAlias = "tuple[Value, Value, Value]"

GROUP_BYTES = 8
"""Of ``d``, for each group."""


@dataclass(frozen=True)
class QuantizeGroups:
    """``rule`` is one of `PARAMETERS`."""

    isa: Isa
    rule: str = "qd8"

    @property
    def symbol(self) -> str:
        rule = "" if self.rule == "qd8" else f"_{self.rule}"
        return f"quantize_groups{rule}_f32{self.isa.activation}__{self.isa.name}"

    @property
    def fields(self) -> dict[str, Type]:
        return {
            **dict.fromkeys(("a", "c", "d"), ptr),
            **dict.fromkeys(("rows", "n", "a_row", "a_group"), index),
        }

    def build(self) -> str:
        k, isa = Kernel(self.symbol, self.fields), self.isa
        lanes, act = isa.lanes, isa.activation
        # Raw values of uint8 are those of int8 plus 128.
        offset = 128 if act.kind == "u" else 0
        whole = k["n"] & -lanes
        with k.loop(k.begin, k.end) as group:
            a = k["a"] + group * k["a_group"]
            c = k["c"] + group * (k["rows"] * k["n"])
            lo, hi = self.extremes(k, a, whole)
            s, zero, scale = PARAMETERS[self.rule](self, k, lo, hi)
            d = k["d"] + group * GROUP_BYTES
            d.store(zero + offset)
            (d + 4).store(scale)

            def quantized(x: Value, s: Value = s, zero: Value = zero) -> Value:
                n = x.ty.lanes
                steps = self.steps(x * s.splat(n), zero.splat(n))
                return (steps + offset).to(act[n])

            with k.loop(0, k["rows"], once=True) as row:
                source, target = a + row * k["a_row"], c + row * k["n"]
                with k.loop(0, whole, lanes) as i:
                    (target + i).store(quantized((source + i * 4).load(f32[lanes])))
                with k.loop(whole, k["n"]) as i:
                    (target + i).store(quantized((source + i * 4).load(f32)))
        return k.text()

    def extremes(self, k: Kernel, a: Value, whole: Value) -> tuple[Value, Value]:
        """The least and the greatest number of a group, and 0."""
        lanes = self.isa.lanes
        zero = k.const(0.0, f32[lanes])
        lo, hi = k.var(zero), k.var(zero)
        low, high = k.var(k.const(0.0, f32)), k.var(k.const(0.0, f32))
        with k.loop(0, k["rows"], once=True) as row:
            source = a + row * k["a_row"]
            with k.loop(0, whole, lanes) as i:
                x = (source + i * 4).load(f32[lanes])
                lo.value, hi.value = x.min(lo.value), x.max(hi.value)
            with k.loop(whole, k["n"]) as i:
                x = (source + i * 4).load(f32)
                low.value, high.value = x.min(low.value), x.max(high.value)
        least = halved(lo.value, Value.min).min(low.value)
        return least, halved(hi.value, Value.max).max(high.value)

    def steps(self, x: Value, zero: Value) -> Value:
        """Raw values of int8, from x in steps."""
        if self.rule == "qd8":
            return (self.rounded(x, -512, 512) + zero).clamp(-128, 127)
        if self.rule == "symmetric":
            return half_away(x).clamp(-127, 127)
        return half_away(zero.to(x.ty) + x).clamp(-128, 127)

    def qd8(self, k: Kernel, lo: Value, hi: Value) -> Parameters:
        one = k.const(1.0, f32)
        s = lo.compare("eq", hi).select(one, k.const(255.0, f32) / (hi - lo))
        low, high = k.const(-128.0, f32) + lo * s, k.const(127.0, f32) + hi * s
        from_low = k.const(-128.0, f32) - lo * s
        zero = (low + high > 0.0).select(from_low, k.const(127.0, f32) - hi * s)
        return s, self.rounded(zero, -128, 127), one / s

    def symmetric(self, k: Kernel, lo: Value, hi: Value) -> Parameters:
        most = k.const(127.0, f32)
        greatest = hi.max(k.const(0.0, f32) - lo)
        safe = greatest.compare("eq", 0.0).select(k.const(1.0, f32), greatest)
        return most / safe, k.const(0, i32), greatest / most

    def asymmetric(self, k: Kernel, lo: Value, hi: Value) -> Parameters:
        """The range and the zero point are of float64."""
        least, greatest = lo.to(f64), hi.to(f64)
        apart = (greatest - least) / k.const(255.0, f64)
        scale = lo.compare("eq", hi).select(k.const(1.0, f64), apart)
        low, high = least / scale, greatest / scale
        from_low, from_high = k.const(-128.0, f64) - low, k.const(127.0, f64) - high
        nearer = (k.const(127.0, f64) + high).compare("gt", k.const(128.0, f64) - low)
        zero = half_away(nearer.select(from_low, from_high)).clamp(-128, 127)
        return k.const(1.0, f32) / scale.to(f32), zero, scale.to(f32)

    def rounded(self, x: Value, lo: float, hi: float) -> Value:
        """float32 within bounds as int32, halves to even; NaN as 0."""
        lanes = self.isa.lanes
        number = x.compare("eq", x).select(x, 0.0).max(lo).min(hi)
        if x.ty.lanes == 1:
            return self.isa.round(number.splat(lanes)).lane(0)
        return self.isa.round(number)


def half_away(x: Value) -> Value:
    """Floats as int32, halves away from 0, within twice what a byte holds; NaN as 0."""
    known = x.compare("eq", x).select(x, 0.0).max(-512.0).min(512.0)
    size = (known.max(known * -1.0) + 0.5).to(i32[x.ty.lanes])
    return (known < 0.0).select(size * -1, size)


PARAMETERS: Mapping[str, Callable[[QuantizeGroups, Kernel, Value, Value], Parameters]] = {
    "qd8": QuantizeGroups.qd8,
    "symmetric": QuantizeGroups.symmetric,
    "asymmetric": QuantizeGroups.asymmetric,
}
"""Steps a unit, the zero point of int8, and the scale, from the least and greatest of a group."""

__all__ = ["GROUP_BYTES", "QuantizeGroups"]
