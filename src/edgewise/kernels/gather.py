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
    """

    isa: Isa
    index: Type
    axes: int = 1
    reverse: bool = False
    checked: bool = False

    @property
    def symbol(self) -> str:
        op = ("scatter" if self.reverse else "gather") + ("_checked" if self.checked else "")
        return f"{op}_x8_{self.index}x{self.axes}_x{self.isa.bits // 8}__{self.isa.name}"

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
        blocks = (k["n"] + k["block"] - 1) // k["block"]
        with views.grid(k, [k["b"], k["c"], blocks]) as (a, b, c, block):
            first = block * k["block"]
            at = k["indices"] + (a * k["i_a"] + c * k["i_c"])
            x = k["x"] + (a * k["x_a"] + b * k["x_b"] + first)
            for j in range(self.axes):
                place, size = at.load(self.index).to(index), k[f"size_{j}"]
                if self.checked:
                    with k.when(place.to(u64) >= size.to(u64)):
                        k["broken"].store(k.const(1, u8))
                x = x + place.clamp(0, size - 1) * k[f"step_{j}"]
                at = at + k["i_axis"]
            y = k["y"] + (a * k["y_a"] + b * k["y_b"] + c * k["y_c"] + first)
            source, target = (y, x) if self.reverse else (x, y)

            def move(offset: Value, ty: Type) -> None:
                (target + offset).store((source + offset).load(ty))

            sweep(k, (k["n"] - first).min(k["block"]), self.isa.bits // 8, move)
        return k.text()


__all__ = ["Gather"]
