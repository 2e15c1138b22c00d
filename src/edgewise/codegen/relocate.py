"""The relocations of x86-64 and AArch64 that LLVM's position-independent code uses.

Sources: System V ABI AMD64 supplement, section 4.4; ELF for the Arm 64-bit Architecture, 5.7.
In the comments of the tables S is the symbol, A the addend, P the place, G the symbol's entry in
the table of addresses (GOT), and Page(x) is x rounded down to 4 KiB.
"""

from __future__ import annotations

import struct

from ..errors import CompileError
from .elf import AARCH64, X86_64

PC_RELATIVE = {
    (X86_64, 2): 4,  # PC32     S + A - P
    (X86_64, 4): 4,  # PLT32    the same: every function is in this file
    (X86_64, 24): 8,  # PC64
    (AARCH64, 260): 8,  # PREL64
    (AARCH64, 261): 4,  # PREL32
}
"""S + A - P in so many bytes."""

GOT_PC_RELATIVE = {(X86_64, 9), (X86_64, 41), (X86_64, 42)}
"""GOTPCREL, GOTPCRELX, REX_GOTPCRELX: G + A - P in 4 bytes."""

GOT_PAGE, GOT_OFFSET = (AARCH64, 311), (AARCH64, 312)
"""ADR_GOT_PAGE and LD64_GOT_LO12_NC: Page(G) - Page(P) for ADRP, the rest of G for LDR."""

ADDRESS = {(X86_64, 1), (AARCH64, 257)}
"""64, ABS64: S + A in 8 bytes, known only when the file is loaded."""

RELATIVE = {X86_64: 8, AARCH64: 1027}
"""What tells the loader to add the load address to the addend."""

_ADR_PAGE = {275}
_LOW_BITS = {277: 0, 278: 0, 284: 1, 285: 2, 286: 3, 299: 4}
_BRANCH = {282: (26, 0), 283: (26, 0), 280: (19, 5), 279: (14, 5)}


def needs_got(machine: int, kind: int) -> bool:
    return (machine, kind) in GOT_PC_RELATIVE or (machine, kind) in (GOT_PAGE, GOT_OFFSET)


def apply(image: bytearray, at: int, place: int, machine: int, kind: int, value: int) -> None:
    """Write ``value``, which is S + A or G + A, to offset ``at`` of ``image``, address ``place``.

    Raises CompileError where the type is unknown or the distance does not fit.
    """
    if (machine, kind) in PC_RELATIVE or (machine, kind) in GOT_PC_RELATIVE:
        size = PC_RELATIVE.get((machine, kind), 4)
        _fits(value - place, 8 * size, kind)
        image[at : at + size] = (value - place).to_bytes(size, "little", signed=True)
        return
    if machine != AARCH64:
        raise CompileError(f"relocation type {kind} of x86-64 has no place in a shared object")
    (word,) = struct.unpack_from("<I", image, at)
    if kind in _ADR_PAGE or kind == GOT_PAGE[1]:
        pages = (value >> 12) - (place >> 12)
        _fits(pages, 21, kind)
        word = word & 0x9F00001F | (pages & 3) << 29 | (pages >> 2 & 0x7FFFF) << 5
    elif kind in _LOW_BITS or kind == GOT_OFFSET[1]:
        shift = _LOW_BITS.get(kind, 3)
        low = value & 0xFFF
        if low & ((1 << shift) - 1):
            raise CompileError(f"relocation type {kind}: address {value:#x} is not aligned")
        word = word & ~(0xFFF << 10) | low >> shift << 10
    elif kind in _BRANCH:
        bits, lowest = _BRANCH[kind]
        _fits(value - place, bits + 2, kind)
        mask = (1 << bits) - 1
        word = word & ~(mask << lowest) | (value - place >> 2 & mask) << lowest
    else:
        raise CompileError(f"relocation type {kind} of AArch64 has no place in a shared object")
    struct.pack_into("<I", image, at, word)


def _fits(value: int, bits: int, kind: int) -> None:
    if not -(1 << bits - 1) <= value < 1 << bits - 1:
        raise CompileError(f"relocation type {kind}: distance {value} exceeds {bits} bits")
