"""The greatest elements of rows, in descending order, and their indices."""

from __future__ import annotations

from dataclasses import dataclass

from .ir import Kernel, Type, Value, f32, i32, i64, index, ptr
from .isa import Isa
from .shuffles import halved

LOWEST, HIGHEST = -(2**63), 2**63 - 1
INFINITY = 0x7F800000
"""The bits of the greatest float32; those of NaN are above."""


@dataclass(frozen=True)
class TopK:
    """A variant of TOPK_V2. A unit is a row of ``n`` elements, whose greatest ``k`` are stored.

    An element and its index are one int64 number: above, the element as an integer of the same
    order; below, what is less for a greater index, so that no two are equal. Each of the ``k`` is
    the greatest number below the one before.

    Attributes:
        element: float32, or an integer of at most 32 bits.
        result: of the indices.
    """

    isa: Isa
    element: Type = f32
    result: Type = i32

    @property
    def symbol(self) -> str:
        return f"topk_{self.element}{self.result}_{self.isa.lanes}__{self.isa.name}"

    @property
    def fields(self) -> dict[str, Type]:
        return {
            **dict.fromkeys(("x", "y", "at"), ptr),
            **dict.fromkeys(("x_row", "y_row", "at_row", "n", "k"), index),
        }

    def build(self) -> str:
        k, lanes = Kernel(self.symbol, self.fields), self.isa.lanes
        counting = k.vector(range(lanes), i64)
        size = self.element.nbytes
        with k.loop(k.begin, k.end) as unit:
            x, y, at = (k[name] + unit * k[f"{name}_row"] for name in ("x", "y", "at"))
            before = k.var(k.const(HIGHEST, i64))
            with k.loop(0, k["k"], once=True) as i:
                best = k.var(k.const(LOWEST, i64[lanes]))
                limit, n = before.value.splat(lanes), k["n"].splat(lanes)
                with k.loop(0, k["n"], lanes, once=True) as first:
                    places = counting + first.splat(lanes)
                    number = self.numbers(x + first * size, places)
                    counts = (number < limit) & (places < n)
                    kept = counts.select(number, k.const(LOWEST, i64[lanes]))
                    best.value = best.value.max(kept)
                before.value = halved(best.value, Value.max)
                found = k.const(2**32 - 2, i64) - (before.value & (2**32 - 1))
                (y + i * size).store((x + found * size).load(self.element))
                (at + i * self.result.nbytes).store(found.to(self.result))
        return k.text()

    def numbers(self, address: Value, places: Value) -> Value:
        """A vector of elements with their ``places``."""
        lanes = self.isa.lanes
        x = address.load(self.element[lanes])
        if self.element == f32:
            bits = x.bitcast(i32[lanes])
            order = bits ^ ((bits >> 31) & (2**31 - 1))
            order = x.compare("eq", 0.0).select(x.k.const(0, i32[lanes]), order)
            is_nan = (bits & (2**31 - 1)) > INFINITY
            order = is_nan.select(x.k.const(2**31 - 1, i32[lanes]), order)
        else:
            order = x
        return (order.to(i64[lanes]) << 32) + (x.k.const(2**32 - 2, i64[lanes]) - places)
