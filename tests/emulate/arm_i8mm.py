"""The i8mm instructions of aarch64 in Python, for an emulator that lacks them.

Source: Arm Architecture Reference Manual, C7: USDOT, SUDOT, SMMLA, UMMLA, USMMLA.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

_ONE_SIZE = 0xFFE0FC00
_TWO_SIZES = 0xBFE0FC00
_BY_ELEMENT = 0xBFC0F400

Read = Callable[[int], bytes]


def execute(word: int, read: Read) -> tuple[int, bytes] | None:
    """(register, its new 16 bytes) for an i8mm instruction, None for any other.

    `read` gives a vector register's 16 bytes.
    """
    d, n, m = word & 31, word >> 5 & 31, word >> 16 & 31
    width = 16 if word >> 30 & 1 else 8
    acc = np.frombuffer(read(d), np.int32)

    def operand(register: int, signed: bool) -> np.ndarray[tuple[int], np.dtype[np.int32]]:
        return np.frombuffer(read(register), np.int8 if signed else np.uint8).astype(np.int32)

    if word & _ONE_SIZE in (0x4E80A400, 0x6E80A400, 0x4E80AC00):
        a = operand(n, word & _ONE_SIZE == 0x4E80A400).reshape(2, 8)
        b = operand(m, word & _ONE_SIZE != 0x6E80A400).reshape(2, 8)
        return d, (acc + (a @ b.T).ravel()).astype(np.int32).tobytes()
    if word & _TWO_SIZES == 0x0E809C00:
        products = operand(n, False) * operand(m, True)
    elif word & _BY_ELEMENT in (0x0F80F000, 0x0F00F000):
        unsigned_first = word & _BY_ELEMENT == 0x0F80F000
        index = (word >> 11 & 1) * 2 + (word >> 21 & 1)
        chosen = operand(m, unsigned_first).reshape(4, 4)[index]
        products = operand(n, not unsigned_first) * np.tile(chosen, 4)
    else:
        return None
    sums = (acc + products.reshape(4, 4).sum(1)).astype(np.int32).tobytes()
    return d, sums[:width].ljust(16, b"\0")
