"""A linker: relocatable objects of one machine become a self-contained shared object.

The result needs no other library, exports the objects' visible global symbols, binds every
reference inside itself, and has the same bytes for the same input. It is laid out as one file
without gaps, mapped as three parts, each starting in a new page:

    read only            headers, hash table, symbol table, strings, relocations, constants
    read and execute     code
    read and write       dynamic section, table of addresses (GOT), data, zeroed memory

Unwind tables (.eh_frame) are dropped: generated code raises nothing.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ..errors import CompileError
from . import elf, relocate

PAGE = {elf.X86_64: 0x1000, elf.AARCH64: 0x10000}
"""The largest page that a kernel of the machine may use."""

_LOAD, _DYNAMIC, _STACK = 1, 2, 0x6474E551
_HEADER, _SEGMENT, _SEGMENTS = 64, 56, 5


@dataclass(frozen=True)
class _Place:
    """Where a symbol ended up: its address from the start of the file as mapped."""

    address: int
    size: int
    type: int


class _Layout:
    """Offsets in the file and in memory; a new part starts in a new page, not at a new page.

    The same page of the file is then mapped at the end of one part and the start of the next.
    """

    def __init__(self, page: int) -> None:
        self.page = page
        self.offset = 0
        self.shift = 0

    def part(self) -> None:
        self.shift += self.page

    def take(self, size: int, align: int) -> int:
        """Reserve bytes; returns their address in memory, which is file offset + ``shift``."""
        start = -(-self.offset // align) * align
        self.offset = start + size
        return start + self.shift


def undefined(objects: Sequence[bytes]) -> tuple[str, ...]:
    """The symbols, in sorted order, that some object refers to and none defines."""
    parsed = [elf.parse(data, f"object {i}") for i, data in enumerate(objects)]
    defined = {s.name for o in parsed for s in o.symbols if s.section != elf.UNDEFINED}
    used = {o.symbols[r.symbol].name for o in parsed for r in o.relocations}
    return tuple(sorted(used - defined - {""}))


def link_shared(objects: Sequence[bytes]) -> bytes:
    """Link relocatable objects, which may refer to each other's symbols, into a shared object.

    Raises CompileError for objects of different machines, a symbol that none or two of them
    define, thread-local data, initialisers, and relocations that are not position independent.
    """
    parsed = [elf.parse(data, f"object {i}") for i, data in enumerate(objects)]
    machines = {o.machine for o in parsed}
    if len(machines) != 1:
        raise CompileError(f"objects of machines {sorted(machines)}; a link takes exactly one")
    return _Link(parsed, machines.pop()).run()


class _Link:
    def __init__(self, objects: Sequence[elf.Object], machine: int) -> None:
        self.objects = objects
        self.machine = machine
        self.page = PAGE[machine]
        self.kept = [
            (o, i)
            for o, obj in enumerate(objects)
            for i, section in enumerate(obj.sections)
            if _is_kept(section)
        ]
        self.globals = self._resolve()
        kept = set(self.kept)
        self.used = [
            (o, r)
            for o, obj in enumerate(objects)
            for r in obj.relocations
            if (o, r.section) in kept
        ]

    def run(self) -> bytes:
        exports = sorted(
            name for name, (o, i) in self.globals.items() if not self.objects[o].symbols[i].hidden
        )
        strings = b"\0" + b"".join(name.encode() + b"\0" for name in exports)
        slots = self._got_slots()
        fixed = sum((self.machine, r.type) in relocate.ADDRESS for _, r in self.used) + len(slots)
        count = len(exports) + 1

        layout = _Layout(self.page)
        layout.take(_HEADER + _SEGMENT * _SEGMENTS, 1)
        hashes = layout.take(4 * (3 + count), 8)
        symbols = layout.take(elf.SYMBOL.size * count, 8)
        texts = layout.take(len(strings), 1)
        dynamic_relocations = layout.take(elf.RELOCATION.size * fixed, 8)
        placed: dict[tuple[int, int], int] = {}
        self._place(layout, placed, 0)
        constants_end = layout.offset
        layout.part()
        code_start = layout.offset
        self._place(layout, placed, elf.EXEC)
        code_end = layout.offset
        layout.part()
        data_start = layout.offset
        dynamic = layout.take(16 * 9, 16)
        got = layout.take(8 * len(slots), 8)
        self._place(layout, placed, elf.WRITE)
        data_end = layout.offset
        self._place(layout, placed, elf.WRITE, zeroed=True)
        memory_end = layout.offset

        image = bytearray(data_end)
        for (o, i), address in placed.items():
            section = self.objects[o].sections[i]
            offset = address - self._shift(section)
            image[offset : offset + len(section.data)] = section.data
        self.placed = placed
        self.got = {slot: got + 8 * i for i, slot in enumerate(slots)}
        relative = self._relocate(image)
        for slot, entry in self.got.items():
            relative.append((entry, self._address(*slot).address))
        relative.sort()
        for k, (address, value) in enumerate(relative):
            elf.RELOCATION.pack_into(
                image,
                dynamic_relocations + elf.RELOCATION.size * k,
                address,
                relocate.RELATIVE[self.machine],
                value,
            )

        chain = [*range(2, count), 0] if exports else []
        struct.pack_into(f"<{3 + count}I", image, hashes, 1, count, 1 if exports else 0, 0, *chain)
        name_at = 1
        for k, name in enumerate(exports, 1):
            place = self._address(*self.globals[name])
            info = elf.GLOBAL << 4 | place.type
            elf.SYMBOL.pack_into(
                image,
                symbols + elf.SYMBOL.size * k,
                name_at,
                info,
                0,
                1,
                place.address,
                place.size,
            )
            name_at += len(name.encode()) + 1
        image[texts : texts + len(strings)] = strings

        entries = [(4, hashes), (5, texts), (6, symbols), (10, len(strings)), (11, elf.SYMBOL.size)]
        if relative:
            entries += [(7, dynamic_relocations), (8, elf.RELOCATION.size * fixed)]
            entries += [(9, elf.RELOCATION.size)]
        for k, (tag, value) in enumerate(entries):
            struct.pack_into("<QQ", image, dynamic - 2 * self.page + 16 * k, tag, value)
        self._write_headers(
            image,
            [
                (_LOAD, 4, 0, 0, constants_end, constants_end, self.page),
                (_LOAD, 5, code_start, 1, code_end - code_start, code_end - code_start, self.page),
                (
                    _LOAD,
                    6,
                    data_start,
                    2,
                    data_end - data_start,
                    memory_end - data_start,
                    self.page,
                ),
                (_DYNAMIC, 6, dynamic - 2 * self.page, 2, 16 * 9, 16 * 9, 8),
                (_STACK, 6, 0, 0, 0, 0, 16),
            ],
        )
        return bytes(image)

    def _write_headers(
        self, image: bytearray, segments: Iterable[tuple[int, int, int, int, int, int, int]]
    ) -> None:
        image[:16] = b"\x7fELF\x02\x01\x01" + bytes(9)
        struct.pack_into(
            "<HHIQQQIHHHHHH",
            image,
            16,
            *(3, self.machine, 1, 0, _HEADER, 0, 0, _HEADER, _SEGMENT, _SEGMENTS, 64, 0, 0),
        )
        for k, (kind, access, offset, part, in_file, in_memory, align) in enumerate(segments):
            address = offset + part * self.page
            struct.pack_into(
                "<IIQQQQQQ",
                image,
                _HEADER + _SEGMENT * k,
                *(kind, access, offset, address, address, in_file, in_memory, align),
            )

    def _place(
        self,
        layout: _Layout,
        placed: dict[tuple[int, int], int],
        access: int,
        *,
        zeroed: bool = False,
    ) -> None:
        for o, i in self.kept:
            section = self.objects[o].sections[i]
            if (
                section.flags & (elf.WRITE | elf.EXEC) == access
                and (section.kind == elf.NOBITS) == zeroed
            ):
                if section.align > self.page:
                    raise CompileError(
                        f"section {section.name}: alignment {section.align} exceeds the page"
                    )
                placed[o, i] = layout.take(section.size, section.align)

    def _shift(self, section: elf.Section) -> int:
        parts = 2 if section.flags & elf.WRITE else 1 if section.flags & elf.EXEC else 0
        return parts * self.page

    def _resolve(self) -> dict[str, tuple[int, int]]:
        """Where each global symbol is defined: (object, symbol); a strong one beats weak ones."""
        found: dict[str, tuple[int, int]] = {}
        for o, obj in enumerate(self.objects):
            for i, symbol in enumerate(obj.symbols):
                if symbol.binding == elf.LOCAL or symbol.section == elf.UNDEFINED:
                    continue
                if symbol.name in found:
                    other = found[symbol.name]
                    first = self.objects[other[0]].symbols[other[1]]
                    if symbol.binding == elf.WEAK:
                        continue
                    if first.binding != elf.WEAK:
                        raise CompileError(
                            f"symbol {symbol.name!r} is defined by objects {other[0]} and {o}"
                        )
                found[symbol.name] = (o, i)
        return found

    def _target(self, o: int, index: int) -> tuple[int, int]:
        """The defining (object, symbol) of a symbol that object ``o`` refers to."""
        symbol = self.objects[o].symbols[index]
        if symbol.binding == elf.LOCAL:
            return o, index
        if symbol.name not in self.globals:
            raise CompileError(
                f"symbol {symbol.name!r} is used by object {o} and defined by none; "
                "a shared object of Edgewise imports nothing"
            )
        return self.globals[symbol.name]

    def _address(self, o: int, index: int) -> _Place:
        symbol = self.objects[o].symbols[index]
        if symbol.section == elf.ABSOLUTE or (o, symbol.section) not in self.placed:
            raise CompileError(f"symbol {symbol.name!r} lies in no section that is loaded")
        return _Place(self.placed[o, symbol.section] + symbol.value, symbol.size, symbol.type)

    def _got_slots(self) -> list[tuple[int, int]]:
        return sorted(
            {
                self._target(o, r.symbol)
                for o, r in self.used
                if relocate.needs_got(self.machine, r.type)
            }
        )

    def _relocate(self, image: bytearray) -> list[tuple[int, int]]:
        """Apply what is known now; returns (address, value) of what the loader has to apply."""
        later: list[tuple[int, int]] = []
        for o, r in self.used:
            section = self.objects[o].sections[r.section]
            place = self.placed[o, r.section] + r.offset
            if r.offset + 4 > len(section.data):
                raise CompileError(f"object {o}: a relocation after the end of {section.name}")
            target = self._target(o, r.symbol)
            if (self.machine, r.type) in relocate.ADDRESS:
                if not section.flags & elf.WRITE:
                    raise CompileError(
                        f"section {section.name}: holds an address, but is not writable"
                    )
                later.append((place, self._address(*target).address + r.addend))
                continue
            if relocate.needs_got(self.machine, r.type):
                value = self.got[target] + r.addend
            else:
                value = self._address(*target).address + r.addend
            at = place - self._shift(section)
            relocate.apply(image, at, place, self.machine, r.type, value)
        return later


def _is_kept(section: elf.Section) -> bool:
    if not section.flags & elf.ALLOC or section.size == 0 or section.name == ".eh_frame":
        return False
    runs_code = section.name.startswith((".ctors", ".dtors", ".init_array", ".fini_array"))
    if section.flags & elf.TLS or runs_code:
        raise CompileError(
            f"section {section.name}: thread-local data and initialisers are not supported"
        )
    return section.kind in (elf.PROGBITS, elf.NOBITS)
