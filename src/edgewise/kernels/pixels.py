"""Tiles of pixels: the loop over them, and their addresses in the operands.

Operand ``a`` has the fields ``a`` (its first pixel), ``a_x`` (bytes from a pixel to the next),
``a_wrap`` (more at the end of a row) and ``a_image`` (more at the end of an image). ``pixels``,
``width`` and ``height`` are those of the result; operands in which no row ends apart from the next
may be described as one row.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from .ir import Kernel, Type, Value, Var, index, ptr, u32

FIELDS: dict[str, Type] = dict.fromkeys(("pixels", "width", "height", "tiles"), index)
"""``tiles``: how many there are of ``pixels``."""


def pixel_fields(name: str) -> dict[str, Type]:
    """The fields of operand ``name``."""
    return {name: ptr, f"{name}_x": index, f"{name}_wrap": index, f"{name}_image": index}


@contextmanager
def tiles(
    k: Kernel, names: Sequence[str], count: int
) -> Iterator[tuple[Value, dict[str, list[Value]]]]:
    """A loop over units, each a tile of ``count`` pixels: the block, and the pixels' addresses.

    Unit u is tile u % tiles of block u // tiles. Past the last pixel, that one stands again.

    Divisions and ends of rows are only computed in tiles that begin or end a row.
    """
    block, x = k.var(0), k.var(k["width"])
    at = {name: k.var(k[name]) for name in names}
    with k.loop(k.begin, k.end) as unit:
        with k.when(x.value.compare("ge", k["width"])):
            block.value, tile = divide(unit, k["tiles"])
            line, x.value = divide(tile * count, k["width"])
            for name in names:
                at[name].value = k[name] + (_line(k, name, line) + x.value * k[f"{name}_x"])
        rows = {
            name: [k.var(at[name].value + k[f"{name}_x"] * i) for i in range(count)]
            for name in names
        }
        following = x.value + count
        with k.when(following.compare("gt", k["width"])):
            _across(k, rows, unit)
        yield block.value, {name: [p.value for p in row] for name, row in rows.items()}
        x.value = following
        for name in names:
            at[name].value = at[name].value + k[f"{name}_x"] * count


def _line(k: Kernel, name: str, line: Value) -> Value:
    """Offset of a row of pixels, counted through all images."""
    image, _ = divide(line, k["height"])
    row = k[f"{name}_x"] * k["width"] + k[f"{name}_wrap"]
    return line * row + image * k[f"{name}_image"]


def _across(k: Kernel, rows: dict[str, list[Var]], unit: Value) -> None:
    """The addresses of a tile that reaches the end of a row."""
    count = len(next(iter(rows.values())))
    _, tile = divide(unit, k["tiles"])
    line, x = divide(tile * count, k["width"])
    _, y = divide(line, k["height"])
    last = k["pixels"] - tile * count
    for i in range(1, count):
        end_x = (x + 1).compare("eq", k["width"])
        end_y = (y + 1).compare("eq", k["height"])
        for name, row in rows.items():
            wrap = k[f"{name}_wrap"] + end_y.select(k[f"{name}_image"], 0)
            step = k[f"{name}_x"] + end_x.select(wrap, 0)
            exists = k.const(i, index).compare("lt", last)
            row[i].value = row[i - 1].value + exists.select(step, 0)
        y = end_x.select(end_y.select(k.const(0, index), y + 1), y)
        x = end_x.select(k.const(0, index), x + 1)


def divide(a: Value, b: Value) -> tuple[Value, Value]:
    """Quotient and remainder of index values below 2**32, by the faster 32-bit division."""
    narrow, divisor = a.to(u32), b.to(u32)
    return (narrow // divisor).to(index), (narrow % divisor).to(index)
