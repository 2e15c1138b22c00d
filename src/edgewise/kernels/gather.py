"""Rows of a tensor that indices name, and a part of a tensor written where indices say.

They move bytes and know no types of elements. An index outside of its axis names the element next
to it, so that nothing outside of the operand is read or written; a kernel that is ``checked`` says
so besides.
"""

from __future__ import annotations

from dataclasses import dataclass

from . import views
from .copy import sweep
from .ir import Kernel, Type, Value, index, ptr, u8, u64
from .isa import Isa

MAX_ROW = 256
"""Bytes of a row that is moved without a loop, at the most."""


@dataclass(frozen=True)
class Gather:
    """y[a, b, c, :] = x[a, b, indices[a, c], :], rows of ``n`` bytes; indices name ``axes`` axes.

    Strides are in bytes: ``x_a``, ``x_b`` of x without the named axes, which have the sizes
    ``size_0``, ... and the strides ``step_0``, ...; ``i_a`` and ``i_c`` of the indices, whose
    coordinates are ``i_axis`` apart; ``y_a``, ``y_b``, ``y_c``. A unit is ``block`` bytes of a row.

    Attributes:
        index: integer type of the indices.
        checked: an index outside of its axis sets the byte at ``broken`` to 1.
        reverse: x[...] = y[...] instead, the rows of y being written to where the indices say.
        row: ``n`` where it is known, at most `MAX_ROW`, and there are no axes a and b: a unit is
            then a row, which is moved without a loop.
    """

    isa: Isa
    index: Type
    axes: int = 1
    reverse: bool = False
    checked: bool = False
    row: int | None = None

    @property
    def symbol(self) -> str:
        op = ("scatter" if self.reverse else "gather") + ("_checked" if self.checked else "")
        row = "" if self.row is None else f"_{self.row}b"
        return f"{op}_x8_{self.index}x{self.axes}{row}_x{self.isa.bits // 8}__{self.isa.name}"

    @property
    def fields(self) -> dict[str, Type]:
        strides = ("x_a", "x_b", "i_a", "i_c", "i_axis", "y_a", "y_b", "y_c")
        axes = [f"{what}_{j}" for j in range(self.axes) for what in ("size", "step")]
        sizes = ("b", "c", "n", "block")
        return {
            **dict.fromkeys(("x", "indices", "y", *(["broken"] if self.checked else [])), ptr),
            **dict.fromkeys((*strides, *axes, *sizes), index),
        }

    def build(self) -> str:
        k = Kernel(self.symbol, self.fields)
        if self.row is not None:
            with k.loop(k.begin, k.end) as c:
                x = self._named(k, k["x"], k["indices"] + c * k["i_c"])
                self._move(x, k["y"] + c * k["y_c"], self.row)
            return k.text()
        blocks = (k["n"] + k["block"] - 1) // k["block"]
        with views.grid(k, [k["b"], k["c"], blocks]) as (a, b, c, block):
            first = block * k["block"]
            at = k["indices"] + (a * k["i_a"] + c * k["i_c"])
            x = self._named(k, k["x"] + (a * k["x_a"] + b * k["x_b"] + first), at)
            y = k["y"] + (a * k["y_a"] + b * k["y_b"] + c * k["y_c"] + first)
            source, target = (y, x) if self.reverse else (x, y)

            def move(offset: Value, ty: Type) -> None:
                (target + offset).store((source + offset).load(ty))

            sweep(k, (k["n"] - first).min(k["block"]), self.isa.bits // 8, move)
        return k.text()

    def _named(self, k: Kernel, x: Value, at: Value) -> Value:
        """The place in x that the indices at ``at`` name."""
        for j in range(self.axes):
            place, size = at.load(self.index).to(index), k[f"size_{j}"]
            if self.checked:
                with k.when(place.to(u64) >= size.to(u64)):
                    k["broken"].store(k.const(1, u8))
            x = x + place.clamp(0, size - 1) * k[f"step_{j}"]
            at = at + k["i_axis"]
        return x

    def _move(self, source: Value, target: Value, count: int) -> None:
        at, width = 0, self.isa.bits // 8
        while at < count:
            while width > count - at:
                width //= 2
            ty = u8[width] if width > 8 else Type("u", 8 * width)
            (target + at).store((source + at).load(ty))
            at += width


__all__ = ["MAX_ROW", "Gather"]
