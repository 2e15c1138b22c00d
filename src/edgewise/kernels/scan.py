"""Sums of all elements up to each, along an axis."""

from __future__ import annotations

from dataclasses import dataclass

from . import views
from .ir import Kernel, Type, f32, index
from .isa import Isa


@dataclass(frozen=True)
class Cumsum:
    """A variant of CUMSUM. A unit is a block of neighbours (see ``views``), each summed along

    ``r`` steps of ``a_r`` and ``c_r`` bytes, in order: negative steps sum from the end.

    Attributes:
        element: float32 or an integer type.
        exclusive: an element is not part of its own sum.
        single: runs are of one element.
    """

    isa: Isa
    element: Type = f32
    exclusive: bool = False
    single: bool = False

    @property
    def lanes(self) -> int:
        return 1 if self.single else self.isa.bits // self.element.bits

    @property
    def symbol(self) -> str:
        op = "cumsum" + ("_exclusive" if self.exclusive else "")
        return f"{op}_{self.element}_x{self.lanes}__{self.isa.name}"

    @property
    def fields(self) -> dict[str, Type]:
        return {**views.fields("a", "c"), **dict.fromkeys(("r", "a_r", "c_r"), index)}

    def build(self) -> str:
        k, size, vector = Kernel(self.symbol, self.fields), self.element.nbytes, self.lanes
        with (
            views.blocks(k, {"a": size, "c": size}) as unit,
            k.loop(0, unit.count, vector) as j,
        ):
            source, target = k.var(unit.at["a"] + j * size), k.var(unit.at["c"] + j * size)
            total = k.var(k.const(0, self.element[vector]))
            with k.loop(0, k["r"], once=True):
                after = total.value + source.value.load(self.element[vector])
                shown = total.value if self.exclusive else after
                if self.single:
                    target.value.store(shown)
                else:
                    target.value.store_partial(shown, (unit.count - j).min(vector))
                total.value = after
                source.value = source.value + k["a_r"]
                target.value = target.value + k["c_r"]
        return k.text()
