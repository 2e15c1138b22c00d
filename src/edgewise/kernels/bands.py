"""Kernels that follow each other, run over bands of rows so that what is between them stays near.

``Banded`` has no arithmetic of its own: for each band of output rows it calls the kernels of its
``parts`` with their parameters changed to those rows. What the first gives the second lies in one
scratch on the stack, what the second gives the third in another; neither is ever written to the
arena. The second part's windows may reach over rows (``stride``, ``reach``), those of the third
take the row that they write alone.

Rows of the first scratch are counted as the second part sees them, padding included, from
``first``, the first that a band needs. A band moves the rows that it shares with the one before to
the top, fills those outside of the image with ``zero``, and lets the first part compute the
others. Only the rows at the start of a range of units are computed twice.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

from .ir import Kernel, Type, Value, i64, index, ptr
from .isa import Isa
from .pixels import divide
from .views import SLACK

WORDS = 8
"""Words of 8 bytes that are copied or filled at a time."""

CHUNK = 8 * WORDS


class Part(Protocol):
    """A kernel of tiles of ``mr`` pixels (field ``tiles``), or of rows (field ``height``)."""

    @property
    def symbol(self) -> str: ...

    @property
    def fields(self) -> Mapping[str, Type]: ...


def operands(fields: Mapping[str, Type]) -> list[str]:
    """The fields of a part that point to a pixel of its first row."""
    return [name for name, ty in fields.items() if ty == ptr and f"{name}_x" in fields]


def counts(fields: Mapping[str, Type]) -> list[str]:
    """The fields of a part that depend on the number of rows, save ``tiles``."""
    return ["pixels", "width"] if "tiles" in fields else ["height"]


@dataclass(frozen=True)
class Banded:
    """A variant. A work unit is an output row of one image.

    Field f of part i is ``i.f``; one that `counts` names has the value for no rows at all, and
    grows by ``i.f.row`` with each. An operand o of part i moves by ``i.o.row`` and ``i.o.image``
    bytes from an output row or image of that part to the next; those in a scratch are 0. Part i
    has ``i.units`` units a row, or a tile of ``i.mr`` pixels.

    ``height`` output rows make an image, ``band`` of them a band. The first part's rows are
    ``inner`` in an image, the padding above them ``top``; in the scratch they are ``row`` bytes
    apart and begin ``left`` bytes from there, ``gap`` bytes lie between them. The scratches have
    ``scratch0`` bytes (``left`` of them after the last row) and ``scratch1``.
    """

    isa: Isa
    parts: tuple[Part, ...]

    @cached_property
    def symbol(self) -> str:
        tail = f"__{self.isa.name}"
        names = "_then_".join(part.symbol.removesuffix(tail) for part in self.parts)
        return f"banded_{names}{tail}"

    @cached_property
    def fields(self) -> dict[str, Type]:
        sizes = ("height", "band", "stride", "reach", "inner", "top", "row", "left", "gap")
        fields: dict[str, Type] = {}
        for i, part in enumerate(self.parts):
            fields |= {f"{i}.{name}": ty for name, ty in part.fields.items()}
        for i, part in enumerate(self.parts):
            for name in operands(part.fields):
                fields |= {f"{i}.{name}.row": index, f"{i}.{name}.image": index}
            fields |= {f"{i}.{name}.row": index for name in counts(part.fields)}
            fields |= {f"{i}.units": index, f"{i}.mr": index}
        fields |= dict.fromkeys(sizes, index)
        fields |= {f"scratch{i}": index for i in range(len(self.parts) - 1)}
        return fields | {"zero": i64}

    def build(self) -> str:
        return _Builder(self).build()


class _Builder:
    def __init__(self, variant: Banded) -> None:
        self.v = variant
        self.k = Kernel(variant.symbol, variant.fields)
        k = self.k
        self.scratch = [
            k.alloca(k[f"scratch{i}"] + (CHUNK + SLACK)) for i in range(len(variant.parts) - 1)
        ]
        self.blocks = self.copied_params()

    def copied_params(self) -> list[Value]:
        """Each part's parameters, where they may be changed."""
        k, at, blocks = self.k, self.k.params, []
        for part in self.v.parts:
            nbytes = 8 * len(part.fields)
            block = k.alloca(nbytes)
            with k.loop(0, nbytes, 8, once=True) as i:
                (block + i).store((at + i).load(i64, 8), 8)
            at = at + nbytes
            blocks.append(block)
        return blocks

    def build(self) -> str:
        k = self.k
        self.fill_borders()
        following, have, before = k.var(k.begin), k.var(0), k.var(0)
        with k.loop(k.begin, k.end) as unit, k.when(unit.compare("eq", following.value)):
            image, y = divide(unit, k["height"])
            rows = (k.end - unit).min(k["height"] - y).min(k["band"])
            first = y * k["stride"]
            last = first + ((rows + -1) * k["stride"] + k["reach"])
            fresh = unit.compare("eq", k.begin) | y.compare("eq", 0)
            known = fresh.select(first, have.value.max(first))
            self.keep(first - before.value, known - first)
            self.first_part(image, first, known, last)
            self.call(1, image, y, rows, {"a": self.scratch[0]}, self.target(1))
            if len(self.v.parts) > 2:
                self.call(2, image, y, rows, {"a": self.scratch[1]})
            following.value = unit + rows
            have.value, before.value = last, first
        return k.text()

    def fill_borders(self) -> None:
        """The first scratch's bytes to the left and right of the rows that a part writes."""
        k = self.k
        rows = (k["band"] + -1) * k["stride"] + k["reach"]
        self.fill(self.scratch[0], k["left"])
        right = self.scratch[0] + (k["left"] + k["row"] - k["gap"])
        with k.loop(0, rows, once=True) as i:
            self.fill(right + i * k["row"], k["gap"])

    def keep(self, moved: Value, count: Value) -> None:
        """``count`` rows that lie ``moved`` rows further on in the scratch, at its top."""
        k, target = self.k, self.scratch[0]
        with k.when(count.compare("gt", 0)):
            source, nbytes = target + moved * k["row"], count * k["row"]
            last = nbytes + -CHUNK
            with k.loop(0, nbytes, CHUNK, once=True) as i:
                at = i.min(last)
                (target + at).store((source + at).load(i64[WORDS]))

    def first_part(self, image: Value, first: Value, known: Value, last: Value) -> None:
        """Rows ``known`` to ``last`` of the first scratch, those outside of the image filled."""
        k, scratch = self.k, self.scratch[0]
        top, bottom = k["top"], k["top"] + k["inner"]
        for begin, end in ((known, last.min(top)), (known.max(bottom), last)):
            self.fill(scratch + (begin - first) * k["row"], (end - begin) * k["row"])
        begin, end = known.clamp(top, bottom), last.clamp(top, bottom)
        with k.when(end.compare("gt", begin)):
            target = scratch + ((begin - first) * k["row"] + k["left"])
            self.call(0, image, begin - top, end - begin, {"c": target})

    def fill(self, start: Value, nbytes: Value) -> None:
        """``zero`` from ``start`` on, and up to a chunk further."""
        k = self.k
        zero = k.once("zero", lambda: k["zero"].splat(WORDS))
        with k.loop(0, nbytes, CHUNK) as i:
            (start + i).store(zero)

    def target(self, i: int) -> dict[str, Value]:
        """Where part ``i`` writes, if that is a scratch."""
        return {"c": self.scratch[i]} if i < len(self.scratch) else {}

    def call(
        self, i: int, image: Value, y: Value, rows: Value, *scratches: Mapping[str, Value]
    ) -> None:
        """``rows`` rows from ``y`` on of part ``i``, with operands in ``scratches`` given."""
        k, part, block = self.k, self.v.parts[i], self.blocks[i]
        places = {name: 8 * at for at, name in enumerate(part.fields)}
        known = {name: x for scratch in scratches for name, x in scratch.items()}
        for name in operands(part.fields):
            at = known.get(name)
            if at is None:
                offset = image * k[f"{i}.{name}.image"] + y * k[f"{i}.{name}.row"]
                at = k[f"{i}.{name}"] + offset
            (block + places[name]).store(at, 8)
        units = rows
        for name in counts(part.fields):
            count = k[f"{i}.{name}"] + rows * k[f"{i}.{name}.row"]
            (block + places[name]).store(count, 8)
            if name == "pixels":
                units, _ = divide(count + (k[f"{i}.mr"] + -1), k[f"{i}.mr"])
                (block + places["tiles"]).store(units, 8)
        k.call(part.symbol, block, k.const(0, index), units * k[f"{i}.units"])
