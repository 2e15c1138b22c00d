"""Copies, transposition and fills of strided memory.

They move bytes and know no types: an element is 1, 2, 4 or 8 bytes, of ``CopyStrided`` any number.
``Copy`` serves where the
innermost dimension is contiguous on both sides, ``CopyStrided`` everywhere, ``Transpose`` where the
contiguous dimension of one side is not that of the other. Source and destination must not overlap,
except that ``Copy`` may work in place.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from . import views
from .ir import Kernel, Type, Value, index, ptr, u8, u64
from .isa import Isa
from .shuffles import unpack_pairs

OUTER = 5
"""Outer dimensions of the copies: with the innermost one, six in all."""


@dataclass(frozen=True)
class Copy:
    """dst = src, views of runs of ``n`` bytes; a unit is one block of one run.

    Attributes:
        flip: each byte's highest bit is inverted, which makes uint8 of int8 and back.
    """

    isa: Isa
    flip: bool = False

    @property
    def symbol(self) -> str:
        return f"copy{'_flip' if self.flip else ''}_x8_x{self.isa.bits // 8}__{self.isa.name}"

    @property
    def fields(self) -> dict[str, Type]:
        return views.fields("src", "dst", outer=OUTER)

    def build(self) -> str:
        k = Kernel(self.symbol, self.fields)
        with views.blocks(k, {"src": 1, "dst": 1}, OUTER) as unit:

            def move(offset: Value, ty: Type) -> None:
                data = (unit.at["src"] + offset).load(ty)
                (unit.at["dst"] + offset).store(data ^ self.mask(ty))

            sweep(k, unit.count, self.isa.bits // 8, move)
        return k.text()

    def mask(self, ty: Type) -> int:
        return int.from_bytes(b"\x80" * (ty.bits // 8), "little") if self.flip else 0


@dataclass(frozen=True)
class CopyStrided:
    """dst = src, views of runs of ``n`` elements of ``nbytes``, any number up to 32.

    A unit is one block of one run. ``src_step`` and ``dst_step`` are the bytes from one element of
    a run to the next, and may be negative.
    """

    isa: Isa
    nbytes: int

    @property
    def symbol(self) -> str:
        return f"copy_strided_x{8 * self.nbytes}__{self.isa.name}"

    @property
    def fields(self) -> dict[str, Type]:
        steps = dict.fromkeys(("src_step", "dst_step"), index)
        return {**views.fields("src", "dst", outer=OUTER), **steps}

    def build(self) -> str:
        k = Kernel(self.symbol, self.fields)
        steps = {name: k[f"{name}_step"] for name in ("src", "dst")}
        with views.blocks(k, steps, OUTER) as unit:
            src, dst = k.var(unit.at["src"]), k.var(unit.at["dst"])
            with k.loop(0, unit.count):
                for offset, nbytes in self.pieces():
                    element = (src.value + offset).load(Type("u", 8 * nbytes))
                    (dst.value + offset).store(element)
                src.value = src.value + steps["src"]
                dst.value = dst.value + steps["dst"]
        return k.text()

    def pieces(self) -> list[tuple[int, int]]:
        """An element's powers of 2 of bytes: offsets and sizes."""
        found, offset = [], 0
        for nbytes in (16, 8, 4, 2, 1):
            while self.nbytes - offset >= nbytes:
                found.append((offset, nbytes))
                offset += nbytes
        return found


@dataclass(frozen=True)
class Transpose:
    """dst[..., c, r] = src[..., r, c], of elements of ``nbytes``, under three outer dimensions.

    ``src_row`` and ``dst_row`` are the bytes from one row to the next on each side. A unit is
    ``tile`` columns of ``block`` rows of the source; the last ones may be fewer. Tiles of
    ``tile`` x ``tile`` elements are transposed in registers, rows that fill none one by one.
    """

    isa: Isa
    nbytes: int

    @property
    def tile(self) -> int:
        return 16 // self.nbytes

    @property
    def symbol(self) -> str:
        return f"transpose_x{8 * self.nbytes}_{self.tile}x{self.tile}__{self.isa.name}"

    @property
    def fields(self) -> dict[str, Type]:
        strides = [f"{name}_{i}" for name in ("src", "dst") for i in range(views.OUTER)]
        sizes = ("d1", "d2", "rows", "columns", "block", "src_row", "dst_row")
        return {"src": ptr, "dst": ptr, **dict.fromkeys((*strides, *sizes), index)}

    def units(self, outer: int, rows: int, columns: int, block: int) -> int:
        """Work units for ``outer`` matrices."""
        return outer * -(-rows // block) * -(-columns // self.tile)

    def build(self) -> str:
        k, n = Kernel(self.symbol, self.fields), self.nbytes
        row_blocks = (k["rows"] + k["block"] - 1) // k["block"]
        strips = (k["columns"] + self.tile - 1) // self.tile
        with views.grid(k, [k["d1"], k["d2"], row_blocks, strips]) as at:
            row, column = at[-2] * k["block"], at[-1] * self.tile
            src = k["src"] + (row * k["src_row"] + column * n)
            dst = k["dst"] + (column * k["dst_row"] + row * n)
            for i in range(views.OUTER):
                src, dst = src + at[i] * k[f"src_{i}"], dst + at[i] * k[f"dst_{i}"]
            columns = (k["columns"] - column).min(self.tile)
            rows = (k["rows"] - row).min(k["block"])
            whole = rows & -self.tile
            with k.loop(0, whole, self.tile) as r:
                self.square(k, src + r * k["src_row"], dst + r * n, columns)
            with k.loop(whole, rows) as r, k.loop(0, columns, once=True) as c:
                element = (src + (r * k["src_row"] + c * n)).load(Type("u", 8 * n))
                (dst + (c * k["dst_row"] + r * n)).store(element)
        return k.text()

    def square(self, k: Kernel, src: Value, dst: Value, columns: Value) -> None:
        """Transpose one tile, of which the first ``columns`` columns exist."""
        rows, half = [], self.tile // 2
        for _ in range(self.tile):
            rows.append(src.load(Type("u", 8 * self.nbytes)[self.tile]))
            src = src + k["src_row"]
        for _ in range(half.bit_length()):
            pairs = zip(rows[:half], rows[half:], strict=True)
            rows = [x for a, b in pairs for x in unpack_pairs(a, b)]
        for c, column in enumerate(rows):
            with k.when(columns.compare("gt", c)):
                dst.store(column)
            dst = dst + k["dst_row"]


@dataclass(frozen=True)
class Fill:
    """A view ``dst`` of runs of ``n`` bytes filled; a unit is one block of one run.

    ``value`` is 8 bytes that hold the element once or repeated; ``block`` is a multiple of 8.
    """

    isa: Isa

    @property
    def symbol(self) -> str:
        return f"fill_x64_x{self.isa.bits // 8}__{self.isa.name}"

    @property
    def fields(self) -> dict[str, Type]:
        return {**views.fields("dst", outer=OUTER), "value": u64}

    def build(self) -> str:
        k = Kernel(self.symbol, self.fields)
        with views.blocks(k, {"dst": 1}, OUTER) as unit:
            _fill(k, unit.at["dst"], unit.count, self.isa.bits // 8)
        return k.text()


@dataclass(frozen=True)
class FillBorder:
    """The border of images filled; a unit is one row of one image.

    ``dst`` is the first pixel of the first row, border included; ``height`` and ``width`` count
    whole images, border included, of which ``top``, ``bottom``, ``left`` and ``right`` rows and
    columns are border. A pixel is ``run`` bytes; ``pixel``, ``row`` and ``image`` are strides in
    bytes. ``value`` is 8 bytes that hold the element once or repeated.
    """

    isa: Isa

    @property
    def symbol(self) -> str:
        return f"fill_border_x64_x{self.isa.bits // 8}__{self.isa.name}"

    @property
    def fields(self) -> dict[str, Type]:
        sizes = ("height", "width", "top", "bottom", "left", "right", "run")
        strides = ("pixel", "row", "image")
        return {"dst": ptr, **dict.fromkeys((*sizes, *strides), index), "value": u64}

    def build(self) -> str:
        k = Kernel(self.symbol, self.fields)
        with views.grid(k, [k["height"]]) as (image, y):
            row = k["dst"] + (image * k["image"] + y * k["row"])
            whole = (y < k["top"]) | (y >= k["height"] - k["bottom"])
            dense = k["pixel"].compare("eq", k["run"])
            with k.loop(0, 2, once=True) as side:
                first = side * (k["width"] - k["right"])
                border = side.compare("eq", 0).select(k["left"], k["right"])
                count = whole.select((side ^ 1) * k["width"], border)
                length = dense.select(count * k["run"], k["run"])
                with k.loop(0, dense.select(k.const(1, index), count)) as i:
                    pixel = row + (first + i) * k["pixel"]
                    _fill(k, pixel, length, self.isa.bits // 8)
        return k.text()


def _fill(k: Kernel, at: Value, count: Value, width: int) -> None:
    value = k["value"]

    def put(offset: Value, ty: Type) -> None:
        part = value.splat(ty.nbytes // 8) if ty.nbytes >= 8 else value.to(ty)
        (at + offset).store(part)

    sweep(k, count, width, put)


def sweep(k: Kernel, count: Value, width: int, body: Callable[[Value, Type], None]) -> None:
    """``body(offset, type)`` over ``count`` bytes: by ``width``, then lesser powers of 2."""

    def chunk(nbytes: int) -> Type:
        return u8[nbytes] if nbytes > 8 else Type("u", 8 * nbytes)

    whole = count & -width
    with k.loop(0, whole, width) as i:
        body(i, chunk(width))
    offset = k.var(whole)
    with k.when((count & width - 1).compare("ne", 0)):
        while width > 1:
            width //= 2
            with k.when((count & width).compare("ne", 0)):
                body(offset.value, chunk(width))
                offset.value = offset.value + width


__all__ = ["Copy", "CopyStrided", "Fill", "FillBorder", "Transpose", "sweep"]
