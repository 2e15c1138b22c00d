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
from collections.abc import Sequence

from ..errors import CompileError
from . import elf, relocate

PAGE = {elf.X86_64: 0x1000, elf.AARCH64: 0x10000}
"""The largest page that a kernel of the machine may use."""

_LOAD, _DYNAMIC, _STACK = 1, 2, 0x6474E551
_HEADER, _SEGMENT, _SEGMENTS = 64, 56, 5
_ENTRY, _ENTRIES = 16, 9


class _Layout:
    """Offsets in the file and in memory; a new part starts in a new page, not at a new page.

    The same page of the file is then mapped at the end of one part and the start of the next.
    """

    def __init__(self, page: int) -> None:
        self.page = page
        self.offset = 0
        self.shift = 0

    def part(self) -> int:
        """Start the next part; returns its offset in the file."""
        self.shift += self.page
        return self.offset

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
        self.placed: dict[tuple[int, int], int] = {}
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
        count = len(exports) + 1
        late = sum((self.machine, r.type) in relocate.ADDRESS for _, r in self.used) + len(slots)

        layout = _Layout(self.page)
        layout.take(_HEADER + _SEGMENT * _SEGMENTS, 1)
        hashes = layout.take(4 * (3 + count), 8)
        symbols = layout.take(elf.SYMBOL.size * count, 8)
        texts = layout.take(len(strings), 1)
        relocations = layout.take(elf.RELOCATION.size * late, 8)
        self._place(layout, 0)
        code = layout.part()
        self._place(layout, elf.EXEC)
        data = layout.part()
        dynamic = layout.take(_ENTRY * _ENTRIES, 16)
        got = layout.take(8 * len(slots), 8)
        self._place(layout, elf.WRITE)
        end = layout.offset
        self._place(layout, elf.WRITE, zeroed=True)

        image = bytearray(end)
        for (o, i), address in self.placed.items():
            section = self.objects[o].sections[i]
            offset = address - self._shift(section)
            image[offset : offset + len(section.data)] = section.data
        self.got = {slot: got + 8 * i for i, slot in enumerate(slots)}
        for k, (address, value) in enumerate(sorted(self._relocate(image))):
            at = relocations + elf.RELOCATION.size * k
            elf.RELOCATION.pack_into(image, at, address, relocate.RELATIVE[self.machine], value)
        chain = [1, count, min(1, len(exports)), 0, *range(2, count), *[0] * min(1, len(exports))]
        struct.pack_into(f"<{len(chain)}I", image, hashes, *chain)
        image[texts : texts + len(strings)] = strings
        name_at = 1
        for k, name in enumerate(exports, 1):
            symbol, address = self._symbol(self.globals[name]), self._address(self.globals[name])
            fields = (name_at, elf.GLOBAL << 4 | symbol.type, 0, 1, address, symbol.size)
            elf.SYMBOL.pack_into(image, symbols + elf.SYMBOL.size * k, *fields)
            name_at += len(name.encode()) + 1
        entries = [(4, hashes), (5, texts), (6, symbols), (10, len(strings)), (11, elf.SYMBOL.size)]
        if late:
            size = elf.RELOCATION.size
            entries += [(7, relocations), (8, size * late), (9, size)]
        offset = dynamic - 2 * self.page
        for k, entry in enumerate(entries):
            struct.pack_into("<QQ", image, offset + _ENTRY * k, *entry)
        segments = [
            (_LOAD, 4, 0, 0, code, code, self.page),
            (_LOAD, 5, code, 1, data - code, data - code, self.page),
            (_LOAD, 6, data, 2, end - data, layout.offset - data, self.page),
            (_DYNAMIC, 6, offset, 2, _ENTRY * _ENTRIES, _ENTRY * _ENTRIES, 8),
            (_STACK, 6, 0, 0, 0, 0, 16),
        ]
        image[:_HEADER] = (
            b"\x7fELF\x02\x01\x01"
            + bytes(9)
            + struct.pack(
                "<HHIQQQIHHHHHH",
                *(3, self.machine, 1, 0, _HEADER, 0, 0, _HEADER, _SEGMENT, _SEGMENTS, 64, 0, 0),
            )
        )
        for k, (kind, access, offset, part, in_file, in_memory, align) in enumerate(segments):
            address = offset + part * self.page
            header = (kind, access, offset, address, address, in_file, in_memory, align)
            struct.pack_into("<IIQQQQQQ", image, _HEADER + _SEGMENT * k, *header)
        return bytes(image)

    def _place(self, layout: _Layout, access: int, *, zeroed: bool = False) -> None:
        """Choose the addresses of the sections with these access flags, in the objects' order."""
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
                self.placed[o, i] = layout.take(section.size, section.align)

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

    def _symbol(self, at: tuple[int, int]) -> elf.Symbol:
        return self.objects[at[0]].symbols[at[1]]

    def _address(self, at: tuple[int, int]) -> int:
        symbol = self._symbol(at)
        if (at[0], symbol.section) not in self.placed:
            raise CompileError(f"symbol {symbol.name!r} lies in no section that is loaded")
        return self.placed[at[0], symbol.section] + symbol.value

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
        later = [(entry, self._address(slot)) for slot, entry in self.got.items()]
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
                later.append((place, self._address(target) + r.addend))
                continue
            if relocate.needs_got(self.machine, r.type):
                value = self.got[target] + r.addend
            else:
                value = self._address(target) + r.addend
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
