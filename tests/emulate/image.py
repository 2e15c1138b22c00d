"""Shared objects, as `edgewise.codegen.objects` links them, placed in a machine's memory.

The format: System V ABI, chapter 5 (program loading, dynamic linking).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Literal

from edgewise.codegen import elf, relocate

PAGE = 4096

_LOAD, _DYNAMIC = 1, 2
_STRTAB, _SYMTAB, _HASH, _RELA, _RELASZ = 5, 6, 4, 7, 8


@dataclass(frozen=True)
class Segment:
    """Memory from a page-aligned address on; access is "r", "rx" or "rw"."""

    address: int
    data: bytes
    access: Literal["r", "rw", "rx"]


def place(shared: bytes, base: int) -> tuple[list[Segment], dict[str, int], int]:
    """What a loader would put at address `base`: (segments, functions, first free address).

    A segment that holds nothing but the dynamic section is left out: code never looks at it.
    """
    (machine,) = struct.unpack_from("<H", shared, 18)
    (table,) = struct.unpack_from("<Q", shared, 32)
    (count,) = struct.unpack_from("<H", shared, 56)
    headers = [struct.unpack_from("<IIQQQQQQ", shared, table + 56 * i) for i in range(count)]
    extent = max(h[3] + h[6] for h in headers if h[0] == _LOAD)
    memory = bytearray(-(-extent // PAGE) * PAGE)
    for kind, _, offset, address, _, in_file, _, _ in headers:
        if kind == _LOAD:
            memory[address : address + in_file] = shared[offset : offset + in_file]
    dynamic = next(h for h in headers if h[0] == _DYNAMIC)
    tags = dict(struct.iter_unpack("<QQ", memory[dynamic[3] : dynamic[3] + dynamic[6]]))
    for i in range(0, tags.get(_RELASZ, 0), elf.RELOCATION.size):
        at, kind, value = elf.RELOCATION.unpack_from(memory, tags[_RELA] + i)
        assert kind == relocate.RELATIVE[machine], f"dynamic relocation {kind}"
        struct.pack_into("<Q", memory, at, base + value)
    symbols = {}
    (entries,) = struct.unpack_from("<I", memory, tags[_HASH] + 4)
    for i in range(1, entries):
        name, _, _, _, value, _ = elf.SYMBOL.unpack_from(
            memory, tags[_SYMTAB] + elf.SYMBOL.size * i
        )
        start = tags[_STRTAB] + name
        symbols[memory[start : memory.index(0, start)].decode()] = base + value
    segments = []
    for kind, flags, _, address, _, _, size, _ in headers:
        if kind == _LOAD and size and (address, size) != (dynamic[3], dynamic[6]):
            first, last = address // PAGE * PAGE, -(-(address + size) // PAGE) * PAGE
            access: Literal["r", "rw", "rx"] = "rx" if flags & 1 else "rw" if flags & 2 else "r"
            segments.append(Segment(base + first, bytes(memory[first:last]), access))
    return segments, symbols, base + len(memory)
