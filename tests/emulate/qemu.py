"""aarch64 code with bfloat16 under qemu's emulation of programs (Debian package qemu-user).

Each call is a program of its own: an ELF file of everything that is mapped, whose first
instructions set the registers, call the function, and write what may have changed to a file.
What faulted is told by the signal alone, without the address.
"""

from __future__ import annotations

import shutil
import signal
import struct
import subprocess
import tempfile
from pathlib import Path

from edgewise.codegen import elf

from .image import PAGE
from .machine import STACK, Access, Fault, Machine, Unavailable

_BASE = 0x1000_0000
_FLAGS = {"r": 4, "rw": 6, "rx": 5}
_WRITE, _EXIT = 64, 93
_SP_FROM_X9, _CALL_X16, _X19_FROM_X0, _SYSTEM_CALL = 0x9100013F, 0xD63F0200, 0xAA0003F3, 0xD4000001
_PUSH_X19, _X1_FROM_SP = 0xF81F0FF3, 0x910003E1


class Qemu(Machine):
    """All that `qemu-aarch64 -cpu max` has: NEON, dotprod, i8mm, bf16, SVE. A call takes 20 ms."""

    name = "qemu"
    elf_machine = elf.AARCH64
    registers = 8

    def __init__(self) -> None:
        super().__init__(_BASE, size=1 << 30, code_size=1 << 28)
        self._program = shutil.which("qemu-aarch64") or shutil.which("qemu-aarch64-static")
        if self._program is None:
            raise Unavailable("aarch64 with bfloat16 needs: apt-get install qemu-user")
        self._folder = tempfile.TemporaryDirectory(prefix="edgewise-qemu-")
        self._regions: dict[int, tuple[bytearray, Access]] = {}

    def close(self) -> None:
        self._folder.cleanup()

    def _map(self, address: int, size: int, access: Access) -> None:
        self._regions[address] = (bytearray(-(-size // PAGE) * PAGE), access)

    def _unmap(self, address: int, size: int) -> None:
        del self._regions[address]

    def _find(self, address: int) -> tuple[bytearray, int]:
        start = max(a for a in self._regions if a <= address)
        return self._regions[start][0], address - start

    def _write(self, address: int, data: bytes) -> None:
        region, at = self._find(address)
        region[at : at + len(data)] = data

    def _read(self, address: int, nbytes: int) -> bytes:
        region, at = self._find(address)
        return bytes(region[at : at + nbytes])

    def _call(self, pc: int, args: list[int], timeout: float) -> int | Fault:
        stack: tuple[bytearray, Access] = (bytearray(STACK), "rw")
        changing = [(a, region) for a, (region, access) in self._regions.items() if access == "rw"]
        words = [*_set(9, self._stack), _SP_FROM_X9]
        for i, value in enumerate(args):
            words += _set(i, value)
        words += [*_set(16, pc), _CALL_X16, _X19_FROM_X0, _PUSH_X19]
        words += [*_set(0, 1), _X1_FROM_SP, *_set(2, 8), *_set(8, _WRITE), _SYSTEM_CALL]
        for address, region in changing:
            words += [*_set(0, 1), *_set(1, address), *_set(2, len(region))]
            words += [*_set(8, _WRITE), _SYSTEM_CALL]
        words += [*_set(0, 0), *_set(8, _EXIT), _SYSTEM_CALL]
        start: tuple[bytearray, Access] = (bytearray(struct.pack(f"<{len(words)}I", *words)), "rx")
        entry = self._end
        regions = {**self._regions, self._stack - STACK: stack, entry: start}
        program = Path(self._folder.name) / "program"
        program.write_bytes(_executable(regions, entry))
        program.chmod(0o700)
        assert self._program is not None
        with tempfile.TemporaryFile() as out:
            try:
                ended = subprocess.run(
                    [self._program, "-cpu", "max", str(program)],
                    stdin=subprocess.DEVNULL,
                    stdout=out,
                    stderr=subprocess.DEVNULL,
                    timeout=timeout,
                    check=False,
                )
            except subprocess.TimeoutExpired:
                return Fault(f"no return within {timeout} s", None, pc)
            if ended.returncode:
                number = -ended.returncode
                return Fault(signal.Signals(number).name if number > 0 else "failed", None, pc)
            out.seek(0)
            (result,) = struct.unpack("<Q", out.read(8))
            for _, region in changing:
                region[:] = out.read(len(region))
        return int(result)


def _set(register: int, value: int) -> list[int]:
    """A 64-bit constant, 16 bits at a time."""
    parts = [(value >> 16 * i) & 0xFFFF for i in range(4)]
    return [
        (0xF2800000 if i else 0xD2800000) | i << 21 | part << 5 | register
        for i, part in enumerate(parts)
    ]


def _executable(regions: dict[int, tuple[bytearray, Access]], entry: int) -> bytes:
    """An ELF file that is loaded at the regions' addresses."""
    ident = b"\x7fELF\x02\x01\x01".ljust(16, b"\0")
    sizes = (64, 56, len(regions), 0, 0, 0)
    headers = [struct.pack("<16sHHIQQQIHHHHHH", ident, 2, elf.AARCH64, 1, entry, 64, 0, 0, *sizes)]
    offset = -(-(64 + 56 * len(regions)) // PAGE) * PAGE
    body = bytearray()
    for address, (data, access) in sorted(regions.items()):
        place = (offset + len(body), address, address, len(data), len(data), PAGE)
        headers.append(struct.pack("<IIQQQQQQ", 1, _FLAGS[access], *place))
        body += data.ljust(-(-len(data) // PAGE) * PAGE, b"\0")
    return b"".join(headers).ljust(offset, b"\0") + bytes(body)
