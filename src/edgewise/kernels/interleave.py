"""Rows made neighbours, and every so many elements picked, by shuffles.

They move bytes and know no types: an element is 1, 2, 4 or 8 bytes. Source and destination must not
overlap.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from . import views
from .copy import OUTER
from .ir import Kernel, Type, Value, index
from .isa import Isa
from .shuffles import picked

WAYS = (2, 3)
"""Rows that ``Interleave`` joins."""
STEPS = (2, 3, 4)
"""Steps of ``Pick``."""


def lanes_of(isa: Isa, nbytes: int) -> int:
    """Elements of a vector: bytes and words are shuffled within 128 bits alone."""
    return (isa.bits // 8 if nbytes >= 4 else 16) // nbytes


@dataclass(frozen=True)
class Interleave:
    """dst[..., i * ways + j] = src[..., j, i], of elements of ``nbytes``.

    ``src_way`` is the bytes from one row of the source to the next. A unit is ``block`` columns,
    the last of a run may have fewer; ``n`` counts columns.
    """

    isa: Isa
    nbytes: int
    ways: int

    @property
    def symbol(self) -> str:
        return f"interleave{self.ways}_x{8 * self.nbytes}__{self.isa.name}"

    @property
    def fields(self) -> dict[str, Type]:
        return {**views.fields("src", "dst"), "src_way": index}

    def build(self) -> str:
        k, ways, nbytes = Kernel(self.symbol, self.fields), self.ways, self.nbytes
        lanes, element = lanes_of(self.isa, nbytes), Type("u", 8 * nbytes)
        flat = [divmod(i, ways) for i in range(ways * lanes)]

        def move(src: Value, dst: Value, ty: Type) -> None:
            rows = []
            for _ in range(ways):
                rows.append(src.load(ty))
                src = src + k["src_way"]
            if ty.lanes == 1:
                for j, x in enumerate(rows):
                    (dst + j * nbytes).store(x)
                return
            for m in range(ways):
                places = [(j, i) for i, j in flat[m * lanes : (m + 1) * lanes]]
                (dst + m * ty.nbytes).store(picked(rows, places))

        with views.blocks(k, {"src": nbytes, "dst": ways * nbytes}) as unit:
            src, dst = unit.at["src"], unit.at["dst"]
            _vectors(
                k,
                unit.count,
                lanes,
                lambda i, n: move(src + i * nbytes, dst + i * (ways * nbytes), element[n]),
            )
        return k.text()


@dataclass(frozen=True)
class Pick:
    """dst[..., i] = src[..., i * step], of elements of ``nbytes``; ``n`` counts those of a run.

    A unit is one block of one run. Up to ``step - 1`` elements past the last one are read.
    """

    isa: Isa
    nbytes: int
    step: int

    @property
    def symbol(self) -> str:
        return f"pick{self.step}_x{8 * self.nbytes}__{self.isa.name}"

    @property
    def fields(self) -> dict[str, Type]:
        return views.fields("src", "dst", outer=OUTER)

    def build(self) -> str:
        k, step, nbytes = Kernel(self.symbol, self.fields), self.step, self.nbytes
        lanes, element = lanes_of(self.isa, nbytes), Type("u", 8 * nbytes)
        places = [divmod(i * step, lanes) for i in range(lanes)]

        def move(src: Value, dst: Value, ty: Type) -> None:
            if ty.lanes == 1:
                dst.store(src.load(ty))
            else:
                dst.store(picked([(src + m * ty.nbytes).load(ty) for m in range(step)], places))

        with views.blocks(k, {"src": step * nbytes, "dst": nbytes}, OUTER) as unit:
            src, dst = unit.at["src"], unit.at["dst"]
            _vectors(
                k,
                unit.count,
                lanes,
                lambda i, n: move(src + i * (step * nbytes), dst + i * nbytes, element[n]),
            )
        return k.text()


def _vectors(k: Kernel, count: Value, lanes: int, move: Callable[[Value, int], None]) -> None:
    """``move(first, lanes)`` over ``count`` elements; the last vector may do some once more."""
    few = count.compare("lt", lanes)
    with k.when(few ^ 1), k.loop(0, count, lanes, once=True) as i:
        move(i.min(count + -lanes), lanes)
    with k.when(few), k.loop(0, count, once=True) as i:
        move(i, 1)


__all__ = ["STEPS", "WAYS", "Interleave", "Pick"]
