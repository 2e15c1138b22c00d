"""Reads the tables of a flatbuffer that a stranger wrote: no read leaves the bytes.

The PyPI runtime's own ``Table`` checks nothing and takes several calls a field, so files are read
through this one; https://flatbuffers.dev/internals describes the format.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any

from ..errors import ModelError

INT8 = struct.Struct("<b")
UINT8 = struct.Struct("<B")
UINT16 = struct.Struct("<H")
INT32 = struct.Struct("<i")
UINT32 = struct.Struct("<I")
INT64 = struct.Struct("<q")
UINT64 = struct.Struct("<Q")
FLOAT32 = struct.Struct("<f")

ITEMSIZE = {"i": 4, "f": 4, "q": 8}

TABLE_COST = 16
"""What a table costs of the budget: few real tables are smaller."""


class Flatbuffer:
    """The bytes of one flatbuffer.

    Vectors and tables may share bytes, so a small file can describe a huge structure. ``charge``
    bounds what is read to a few times the file's size.
    """

    __slots__ = ("budget", "data", "size", "vtables")

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.size = len(data)
        self.budget = 4 * len(data) + 65536
        self.vtables: dict[int, tuple[int, tuple[int, ...]]] = {}

    def charge(self, nbytes: int, what: str) -> None:
        """Count ``nbytes`` as read.

        Raises:
            ModelError: when the parts read add up to more than four times the file.
        """
        self.budget -= nbytes
        if self.budget < 0:
            raise ModelError(
                f"{what}: parts of the file overlap, and add up to more than 4 times its "
                f"{self.size} bytes"
            )

    def root(self, what: str) -> Table:
        """The table that the flatbuffer starts with."""
        if self.size < 8:
            raise ModelError(f"{what}: {self.size} bytes; a flatbuffer has at least 8")
        return Table(self, UINT32.unpack_from(self.data)[0], what)

    def vtable(self, position: int, what: str) -> tuple[int, tuple[int, ...]]:
        """Read a vtable: the extent of the tables that use it, and the offsets of their fields."""
        if not 0 <= position <= self.size - 4:
            raise ModelError(f"{what}: vtable at byte {position} of a file of {self.size}")
        length, extent = struct.unpack_from("<HH", self.data, position)
        if length < 4 or length % 2 or position + length > self.size or extent < 4:
            raise ModelError(
                f"{what}: vtable at byte {position} claims {length} bytes and tables of {extent}; "
                f"both are at least 4, the first is even and ends within the file's {self.size}"
            )
        fields = struct.unpack_from(f"<{length // 2 - 2}H", self.data, position + 4)
        if any(0 < offset < 4 or offset >= extent for offset in fields):
            raise ModelError(
                f"{what}: vtable at byte {position} has field offsets {list(fields)}; "
                f"they lie between 4 and {extent}"
            )
        self.charge(length, what)
        self.vtables[position] = extent, fields
        return extent, fields


class Table:
    """One table: its fields by number, each with the schema's default where it is absent.

    ``what`` names the table in errors. Every method raises ModelError when the field's bytes do
    not lie within the table, or what it points to not within the file.
    """

    __slots__ = ("_buffer", "_extent", "_fields", "_position", "what")

    def __init__(self, buffer: Flatbuffer, position: int, what: str) -> None:
        if not 0 <= position <= buffer.size - 4:
            raise ModelError(f"{what}: table at byte {position} of a file of {buffer.size}")
        vtable = position - INT32.unpack_from(buffer.data, position)[0]
        extent, fields = buffer.vtables.get(vtable) or buffer.vtable(vtable, what)
        if position + extent > buffer.size:
            raise ModelError(
                f"{what}: table at byte {position} has {extent} bytes, in a file of {buffer.size}"
            )
        buffer.charge(TABLE_COST, what)
        self._extent = extent
        self._fields = fields
        self._buffer = buffer
        self._position = position
        self.what = what

    @property
    def data(self) -> bytes:
        """The whole file."""
        return self._buffer.data

    def has(self, field: int) -> bool:
        return field < len(self._fields) and self._fields[field] != 0

    def number(self, field: int, kind: struct.Struct, default: float = 0) -> Any:
        """A scalar of the table."""
        fields = self._fields
        offset = fields[field] if field < len(fields) else 0
        if offset == 0:
            return default
        if offset + kind.size > self._extent:
            self._fail(field, f"{kind.size} bytes at {offset} of a table of {self._extent}")
        return kind.unpack_from(self._buffer.data, self._position + offset)[0]

    def flag(self, field: int) -> bool:
        return bool(self.number(field, UINT8))

    def numbers(self, field: int, code: str) -> tuple[Any, ...]:
        """A vector of scalars of the struct format ``code``; empty where it is absent."""
        start, count = self.vector(field, ITEMSIZE[code])
        return struct.unpack_from(f"<{count}{code}", self._buffer.data, start)

    def string(self, field: int) -> str:
        """A string; bytes that are not UTF-8 become U+FFFD. Empty where it is absent."""
        start, count = self.vector(field, 1)
        return self._buffer.data[start : start + count].decode("utf-8", "replace")

    def table(self, field: int, what: str) -> Table | None:
        target = self._target(field)
        return Table(self._buffer, target, what) if target else None

    def tables(self, field: int, what: str, most: int = 65536) -> Tables:
        """A vector of tables, at most ``most``; each is read when it is asked for."""
        start, count = self.vector(field, 4)
        if count > most:
            self._fail(field, f"{count} {what}s; at most {most} are read")
        offsets = struct.unpack_from(f"<{count}I", self._buffer.data, start)
        return Tables(self._buffer, start, offsets, what)

    def vector(self, field: int, itemsize: int) -> tuple[int, int]:
        """First byte and number of elements of a vector; (0, 0) where it is absent."""
        target = self._target(field)
        if target == 0:
            return 0, 0
        buffer = self._buffer
        count: int = UINT32.unpack_from(buffer.data, target)[0]
        nbytes = count * itemsize
        if target + 4 + nbytes > buffer.size:
            self._fail(
                field,
                f"{count} elements of {itemsize} bytes at byte {target + 4} of a file of "
                f"{buffer.size}",
            )
        if nbytes > 64:
            buffer.charge(nbytes, self.what)
        return target + 4, count

    def _target(self, field: int) -> int:
        """The byte that a field points to; 0 where it is absent."""
        fields = self._fields
        offset = fields[field] if field < len(fields) else 0
        if offset == 0:
            return 0
        if offset + 4 > self._extent:
            self._fail(field, f"4 bytes at {offset} of a table of {self._extent}")
        position = self._position + offset
        buffer = self._buffer
        target: int = position + UINT32.unpack_from(buffer.data, position)[0]
        if target > buffer.size - 4:
            self._fail(field, f"points to byte {target} of a file of {buffer.size}")
        return target

    def _fail(self, field: int, rule: str) -> None:
        raise ModelError(f"{self.what}: field {field}: {rule}")


class Tables:
    """A vector of tables."""

    __slots__ = ("_buffer", "_offsets", "_start", "what")

    def __init__(self, buffer: Flatbuffer, start: int, offsets: tuple[int, ...], what: str) -> None:
        self._buffer = buffer
        self._start = start
        self._offsets = offsets
        self.what = what

    def __len__(self) -> int:
        return len(self._offsets)

    def __iter__(self) -> Iterator[Table]:
        return (self[i] for i in range(len(self._offsets)))

    def __getitem__(self, index: int) -> Table:
        """Table ``index``, from 0.

        Raises:
            ModelError: when there is no such table.
        """
        what = f"{self.what} {index}"
        if not 0 <= index < len(self._offsets):
            raise ModelError(f"{what}: the file has {len(self._offsets)}")
        return Table(self._buffer, self._start + 4 * index + self._offsets[index], what)


def no_fields(what: str) -> Table:
    """A table without fields, for one that a file leaves out: every field has its default."""
    return Table(Flatbuffer(struct.pack("<HHi", 4, 4, 4)), 4, what)
