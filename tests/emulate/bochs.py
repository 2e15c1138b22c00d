"""x86-64 code with AVX-512 VNNI under the Bochs emulator (Debian package bochs, run as a process).

The guest boots `bochs_rom`, without BIOS or operating system, and waits for calls. The host reads
and writes guest memory inside the Bochs process, through /proc/PID/mem: Bochs logs where its
memory lies, and the ROM has numbered every block of it. Between calls the process is stopped, so
that its waiting costs nothing.
"""

from __future__ import annotations

import os
import re
import select
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
import weakref
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

from edgewise.codegen import elf

from . import bochs_rom as rom
from .image import PAGE
from .machine import STACK, Access, Fault, Machine, Unavailable

CPU = "corei7_icelake_u"
_BASE = 2 << 20
_BITS = {
    "r": rom.PRESENT | rom.NO_EXECUTE,
    "rw": rom.PRESENT | rom.WRITABLE | rom.NO_EXECUTE,
    "rx": rom.PRESENT,
}
_EXCEPTIONS = {
    0: "divide error",
    6: "undefined instruction",
    8: "double fault",
    13: "general protection fault (misaligned or non-canonical address)",
    16: "x87 error",
    17: "misaligned access",
    19: "SIMD floating-point error",
}


def missing() -> str | None:
    """Why this machine cannot run here, or None."""
    if sys.platform != "linux" or os.uname().machine != "x86_64":
        return "the Bochs machine needs Linux on x86-64"
    if shutil.which("bochs") is None:
        return "AVX-512 emulation needs Bochs: apt-get install bochs"
    return None


class Bochs(Machine):
    """An Ice Lake client core: SSE to AVX2, FMA, AVX-512 F/BW/DQ/VL/CD/IFMA/VBMI/VNNI/BITALG."""

    name = "bochs"
    elf_machine = elf.X86_64
    registers = 6

    def __init__(self, cpu: str = CPU) -> None:
        reason = missing()
        if reason:
            raise Unavailable(reason)
        super().__init__(_BASE, size=rom.MEMORY - _BASE, code_size=64 << 20)
        self._folder = tempfile.TemporaryDirectory(prefix="edgewise-bochs-")
        self._memory: BinaryIO = BytesIO()
        self._process = _start(Path(self._folder.name), cpu)
        self._finalizer = weakref.finalize(self, _end, self._process, self._folder)
        try:
            self._wait(60.0)
            self._memory = _open_memory(self._process.pid)
            self._blocks = self._find_blocks()
        except BaseException:
            self.close()
            raise
        self._map(self._stack - STACK, STACK, "rw")

    def close(self) -> None:
        self._memory.close()
        self._finalizer()

    def _wait(self, timeout: float) -> bool:
        """Let the guest run until it writes its byte 1; False after `timeout` seconds."""
        assert self._process.stdout is not None
        pipe = self._process.stdout.fileno()
        end = time.monotonic() + timeout
        self._process.send_signal(signal.SIGCONT)
        try:
            while True:
                ready, _, _ = select.select([pipe], [], [], max(0.0, end - time.monotonic()))
                if not ready:
                    return False
                data = os.read(pipe, 4096)
                if not data:
                    log = Path(self._folder.name, "log").read_text(errors="replace")
                    raise Unavailable(f"Bochs ended: {log[-400:]}")
                if b"\1" in data:
                    return True
        finally:
            self._process.send_signal(signal.SIGSTOP)

    def _find_blocks(self) -> list[int]:
        log = Path(self._folder.name, "log").read_text(errors="replace")
        found = re.search(r"vector=0x([0-9a-f]+)", log)
        if found is None:
            raise Unavailable("this build of Bochs does not log where its memory lies")
        vector = int(found[1], 16)
        blocks = [0] * (rom.MEMORY // rom.BLOCK)
        for i in range(len(blocks)):
            host = vector + i * rom.BLOCK
            magic, number = struct.unpack("<II", os.pread(self._memory.fileno(), 8, host))
            if magic == rom.MAGIC << 1 and number < len(blocks):
                blocks[number] = host
        if not all(blocks[rom.FIRST_BLOCK :]):
            raise Unavailable("guest memory was not found in the Bochs process")
        return blocks

    def _spans(self, address: int, nbytes: int) -> list[tuple[int, int, int]]:
        spans, done = [], 0
        while done < nbytes:
            block, offset = divmod(address + done, rom.BLOCK)
            size = min(nbytes - done, rom.BLOCK - offset)
            spans.append((self._blocks[block] + offset, done, size))
            done += size
        return spans

    def _write_physical(self, address: int, data: bytes) -> None:
        for host, start, size in self._spans(address, len(data)):
            os.pwrite(self._memory.fileno(), data[start : start + size], host)

    _write = _write_physical

    def _read(self, address: int, nbytes: int) -> bytes:
        spans = self._spans(address, nbytes)
        return b"".join(os.pread(self._memory.fileno(), size, host) for host, _, size in spans)

    def _map(self, address: int, size: int, access: Access) -> None:
        entries = [page | _BITS[access] for page in range(address, address + size, PAGE)]
        table = struct.pack(f"<{len(entries)}Q", *entries)
        self._write_physical(rom.PAGE_TABLES + address // PAGE * 8, table)

    def _unmap(self, address: int, size: int) -> None:
        self._write_physical(rom.PAGE_TABLES + address // PAGE * 8, bytes(size // PAGE * 8))

    def _call(self, pc: int, args: list[int], timeout: float) -> int | Fault:
        padded = args + [0] * (self.registers - len(args))
        self._write_physical(rom.MAILBOX, struct.pack("<9Q", 1, pc, self._stack, *padded))
        if not self._wait(timeout):
            self.close()
            return Fault(f"no return within {timeout} s (the machine is closed)", None, pc)
        mailbox = self._read(rom.MAILBOX + rom.RESULT, 40)
        result, status, address, error, at = struct.unpack("<5Q", mailbox)
        if status == 0:
            return int(result)
        if status - 1 != 14:
            what = _EXCEPTIONS.get(status - 1, f"exception {status - 1}")
            return Fault(what, None, at)
        return Fault("fetch" if error & 16 else "write" if error & 2 else "read", address, at)


def _start(folder: Path, cpu: str) -> subprocess.Popen[bytes]:
    (folder / "rom").write_bytes(rom.build())
    (folder / "commands").write_text("c\n")
    (folder / "config").write_text(
        f"""
memory: guest={rom.MEMORY >> 20}, host={rom.MEMORY >> 20}
romimage: file={folder}/rom, address=0xffff0000
cpu: model={cpu}, count=1, ips=100000000, reset_on_triple_fault=0
display_library: rfb, options="timeout=0"
sound: waveoutdrv=dummy, waveindrv=dummy, midioutdrv=dummy
speaker: enabled=0
pci: enabled=0
port_e9_hack: enabled=1
clock: sync=none
log: {folder}/log
panic: action=fatal
"""
    )

    guard = ["setpriv", "--pdeathsig", "KILL"] if shutil.which("setpriv") else []
    return subprocess.Popen(
        [*guard, "bochs", "-q", "-f", f"{folder}/config", "-rc", f"{folder}/commands"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )


def _open_memory(pid: int) -> BinaryIO:
    try:
        return open(f"/proc/{pid}/mem", "r+b", buffering=0)
    except OSError as error:
        raise Unavailable(f"the memory of the Bochs process is out of reach: {error}") from None


def _end(process: subprocess.Popen[bytes], folder: tempfile.TemporaryDirectory[str]) -> None:
    process.kill()
    process.wait()
    if process.stdout is not None:
        process.stdout.close()
    folder.cleanup()
