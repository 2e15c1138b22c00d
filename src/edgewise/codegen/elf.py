"""Reading relocatable ELF64 objects, little endian, as LLVM emits them.

The format: System V ABI, chapters 4 and 5, and the psABI of each processor.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from ..errors import CompileError

X86_64, AARCH64 = 62, 183
PROGBITS, SYMTAB, RELA, NOBITS, REL = 1, 2, 4, 8, 9
WRITE, ALLOC, EXEC, TLS = 1, 2, 4, 0x400
UNDEFINED, ABSOLUTE, RESERVED = 0, 0xFFF1, 0xFF00
LOCAL, GLOBAL, WEAK = 0, 1, 2

SECTION = struct.Struct("<IIQQQQIIQQ")
SYMBOL = struct.Struct("<IBBHQQ")
RELOCATION = struct.Struct("<QQq")


@dataclass(frozen=True)
class Section:
    """A section; ``data`` is empty where the file holds none (``kind`` NOBITS)."""

    name: str
    kind: int
    flags: int
    size: int
    link: int
    info: int
    align: int
    data: bytes


@dataclass(frozen=True)
class Symbol:
    """A symbol: ``section`` is an index, UNDEFINED or ABSOLUTE; ``value`` an offset in it."""

    name: str
    binding: int
    type: int
    hidden: bool
    section: int
    value: int
    size: int


@dataclass(frozen=True)
class Relocation:
    """Put ``symbol`` + ``addend`` at ``offset`` of section ``section``, as ``type`` says."""

    section: int
    offset: int
    type: int
    symbol: int
    addend: int


@dataclass(frozen=True)
class Object:
    machine: int
    sections: tuple[Section, ...]
    symbols: tuple[Symbol, ...]
    relocations: tuple[Relocation, ...]


def parse(data: bytes, label: str = "object") -> Object:
    """Raises CompileError where ``data`` is no such object; ``label`` names it in the message."""
    if data[:6] != b"\x7fELF\x02\x01" or len(data) < 64:
        raise CompileError(f"{label}: not a little-endian ELF64 file")
    kind, machine = struct.unpack_from("<HH", data, 16)
    if kind != 1 or machine not in (X86_64, AARCH64):
        raise CompileError(
            f"{label}: ELF type {kind}, machine {machine}; only relocatable objects (1) of x86-64 "
            f"({X86_64}) and AArch64 ({AARCH64}) can be linked"
        )
    try:
        return _parse(data, machine)
    except (struct.error, ValueError, IndexError, OverflowError) as error:
        raise CompileError(f"{label}: damaged ELF file: {error}") from error


def _parse(data: bytes, machine: int) -> Object:
    (table,) = struct.unpack_from("<Q", data, 40)
    count, names = struct.unpack_from("<HH", data, 60)
    headers = [SECTION.unpack_from(data, table + SECTION.size * i) for i in range(count)]
    if count == 0 or names >= RESERVED:
        raise ValueError("more sections than a header can count")

    def body(header: tuple[int, ...]) -> bytes:
        offset, size = header[4], header[5]
        if header[1] == NOBITS:
            return b""
        if offset + size > len(data):
            raise ValueError("a section ends after the file")
        return data[offset : offset + size]

    strings = body(headers[names])
    sections = tuple(
        Section(_text(strings, h[0]), h[1], h[2], h[5], h[6], h[7], max(h[8], 1), body(h))
        for h in headers
    )
    symbols: tuple[Symbol, ...] = ()
    relocations: list[Relocation] = []
    for section in sections:
        if section.kind == SYMTAB:
            strings = sections[section.link].data
            symbols = tuple(
                Symbol(
                    _text(strings, n), info >> 4, info & 15, other & 3 in (1, 2), at, value, size
                )
                for n, info, other, at, value, size in SYMBOL.iter_unpack(section.data)
            )
        elif section.kind == RELA and sections[section.info].flags & ALLOC:
            relocations.extend(
                Relocation(section.info, offset, info & 0xFFFFFFFF, info >> 32, addend)
                for offset, info, addend in RELOCATION.iter_unpack(section.data)
            )
        elif section.kind == REL:
            raise ValueError("relocations without addends")
    if any(r.symbol >= len(symbols) for r in relocations):
        raise ValueError("a relocation to a symbol that is not in the table")
    if any(count <= symbol.section < RESERVED for symbol in symbols):
        raise ValueError("a symbol in a section that is not in the table")
    return Object(machine, sections, symbols, tuple(relocations))


def _text(strings: bytes, offset: int) -> str:
    return strings[offset : strings.index(b"\0", offset)].decode("utf-8")
