"""x86-64 code on this machine's own processor, in a worker process that a fault may kill.

Test and worker share the memory: writing and reading a buffer is a copy. After a fault or a
time-out the next call starts a new worker; loaded code and buffers stay.
"""

from __future__ import annotations

import mmap
import os
import select
import signal
import subprocess
import sys
import weakref
from pathlib import Path

from edgewise.codegen import elf
from edgewise.codegen.jit import compile_ir
from edgewise.codegen.target import Target

from . import native_worker
from .machine import Access, Fault, Machine, Unavailable

_BASE = 0x5_0000_0000
_SIZE = 1 << 30
_PROTECTIONS = {
    "r": mmap.PROT_READ,
    "rw": mmap.PROT_READ | mmap.PROT_WRITE,
    "rx": mmap.PROT_READ | mmap.PROT_EXEC,
}

_USER_PAGE_FAULT = 4
_SIGNALS: dict[int, str] = {
    signal.SIGILL: "undefined instruction",
    signal.SIGSEGV: "misaligned access or non-canonical address",
    signal.SIGFPE: "divide error",
}

TARGET = Target("x86_64-unknown-linux-gnu", "x86-64")

_HANDLER = """
define void @edgewise_on_fault(i32 %signal, ptr %info, ptr %context) {
  %record = alloca [5 x i64]
  %number = zext i32 %signal to i64
  store i64 %number, ptr %record
  %1 = getelementptr i8, ptr %info, i64 16
  %address = load i64, ptr %1
  %2 = getelementptr i8, ptr %record, i64 8
  store i64 %address, ptr %2
  %3 = getelementptr i8, ptr %context, i64 168
  %pc = load i64, ptr %3
  %4 = getelementptr i8, ptr %record, i64 16
  store i64 %pc, ptr %4
  %5 = getelementptr i8, ptr %context, i64 192
  %error = load i64, ptr %5
  %6 = getelementptr i8, ptr %record, i64 24
  store i64 %error, ptr %6
  %7 = getelementptr i8, ptr %record, i64 32
  store i64 0, ptr %7
  %8 = call i64 asm sideeffect "syscall",
    "={rax},{rax},{rdi},{rsi},{rdx},~{rcx},~{r11},~{memory}"(i64 1, i64 1, ptr %record, i64 40)
  %9 = call i64 asm sideeffect "syscall",
    "={rax},{rax},{rdi},~{rcx},~{r11},~{memory}"(i64 231, i64 1)
  unreachable
}
"""


def asm_parser() -> None:
    """Let LLVM assemble inline assembly of this machine."""
    import llvmlite.binding as llvm

    llvm.initialize_native_target()
    llvm.initialize_native_asmparser()


def missing() -> str | None:
    """Why this machine cannot run here, or None."""
    if sys.platform != "linux" or os.uname().machine != "x86_64":
        return "native x86-64 code needs Linux on x86-64"
    return None


class Native(Machine):
    """The processor in hand; which instruction sets it has, `llvm.get_host_cpu_features` tells."""

    name = "x86_64"
    elf_machine = elf.X86_64
    registers = 6

    def __init__(self) -> None:
        reason = missing()
        if reason:
            raise Unavailable(reason)
        super().__init__(_BASE, _SIZE, code_size=1 << 28)
        self._descriptor = os.memfd_create("edgewise-emulate")
        os.ftruncate(self._descriptor, _SIZE)
        self._memory = mmap.mmap(self._descriptor, _SIZE)
        self._mapped: dict[int, tuple[int, Access]] = {}
        self._worker: subprocess.Popen[bytes] | None = None
        self._finalizer = weakref.finalize(self, os.close, self._descriptor)
        asm_parser()
        self.load(compile_ir(_HANDLER, TARGET))

    def close(self) -> None:
        self._end_worker()
        self._memory.close()
        self._finalizer()

    def __del__(self) -> None:
        self._end_worker()

    def _map(self, address: int, size: int, access: Access) -> None:
        self._mapped[address] = (size, access)
        self._protect(address, size, access)

    def _unmap(self, address: int, size: int) -> None:
        del self._mapped[address]
        self._protect(address, size, None)

    def _protect(self, address: int, size: int, access: Access | None) -> None:
        if self._worker is not None:
            self._send(native_worker.PROTECT, address, size, _PROTECTIONS[access] if access else 0)

    def _write(self, address: int, data: bytes) -> None:
        offset = address - _BASE
        self._memory[offset : offset + len(data)] = data

    def _read(self, address: int, nbytes: int) -> bytes:
        offset = address - _BASE
        return self._memory[offset : offset + nbytes]

    def _call(self, pc: int, args: list[int], timeout: float) -> int | Fault:
        if self._worker is None:
            self._start_worker()
        reply = self._ask(native_worker.CALL, pc, *args, timeout=timeout)
        if reply is None:
            self._end_worker()
            return Fault(f"no return within {timeout} s", None, pc)
        number, result, at, error, _ = reply
        if number == 0:
            return result
        self._end_worker()
        if number == signal.SIGSEGV and error & _USER_PAGE_FAULT:
            kind = "fetch" if error & 16 else "write" if error & 2 else "read"
            return Fault(kind, result, at)
        return Fault(_SIGNALS.get(number, signal.Signals(number).name), None, at)

    def _send(self, kind: int, *words: int) -> None:
        assert self._worker is not None
        assert self._worker.stdin is not None
        padded = [*words, *[0] * (7 - len(words))]
        os.write(self._worker.stdin.fileno(), native_worker.COMMAND.pack(kind, *padded))

    def _ask(self, kind: int, *words: int, timeout: float = 30.0) -> tuple[int, ...] | None:
        """The worker's reply, or None after `timeout` seconds."""
        self._send(kind, *words)
        worker = self._worker
        assert worker is not None
        assert worker.stdout is not None
        ready, _, _ = select.select([worker.stdout], [], [], timeout)
        if not ready:
            return None
        data = os.read(worker.stdout.fileno(), native_worker.REPLY.size)
        if not data:
            code = worker.wait()
            self._end_worker()
            raise RuntimeError(f"the worker of native machine code ended with status {code}")
        return native_worker.REPLY.unpack(data)

    def _start_worker(self) -> None:
        os.set_inheritable(self._descriptor, True)
        script = str(Path(native_worker.__file__))
        shared = [str(self._descriptor), str(_BASE), str(_SIZE)]
        self._worker = subprocess.Popen(
            [sys.executable, "-S", "-E", "-s", script, *shared],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            pass_fds=[self._descriptor],
            bufsize=0,
        )
        for address, (size, access) in self._mapped.items():
            self._protect(address, size, access)
        self._ask(native_worker.HANDLER, self.symbols["edgewise_on_fault"])

    def _end_worker(self) -> None:
        worker, self._worker = getattr(self, "_worker", None), None
        if worker is not None:
            worker.kill()
            worker.wait()
            for pipe in (worker.stdin, worker.stdout):
                if pipe is not None:
                    pipe.close()
