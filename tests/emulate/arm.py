"""aarch64 code under the Unicorn emulator (PyPI unicorn)."""

from __future__ import annotations

from typing import Any

from edgewise.codegen import elf

from . import arm_i8mm
from .image import PAGE
from .machine import STACK, Access, Fault, Machine, Unavailable

_BASE = 0x1000_0000
_CODE_REGION = 4 << 20
_UNDEFINED = 1
_EXCEPTIONS = {1: "undefined instruction", 7: "breakpoint"}


class Aarch64(Machine):
    """The richest aarch64 CPU that Unicorn has (NEON, dotprod), with i8mm added in Python.

    An i8mm instruction takes about 20 us. There is no SVE2.
    """

    name = "aarch64"
    elf_machine = elf.AARCH64
    registers = 8

    def __init__(self) -> None:
        super().__init__(_BASE, size=1 << 30, code_size=1 << 28)
        try:
            import unicorn
            from unicorn import arm64_const as a64
        except ImportError:
            raise Unavailable("aarch64 emulation needs: pip install unicorn") from None
        self._unicorn: Any = unicorn
        self._uc: Any = self._unicorn.Uc(unicorn.UC_ARCH_ARM64, unicorn.UC_MODE_ARM)
        uc = self._uc
        uc.ctl_set_cpu_model(a64.UC_CPU_ARM64_MAX)
        uc.reg_write(a64.UC_ARM64_REG_CPACR_EL1, 3 << 20)
        self._args = [getattr(a64, f"UC_ARM64_REG_X{i}") for i in range(8)]
        self._pc, self._sp = a64.UC_ARM64_REG_PC, a64.UC_ARM64_REG_SP
        self._lr = a64.UC_ARM64_REG_X30
        self._protections = {
            "r": unicorn.UC_PROT_READ,
            "rw": unicorn.UC_PROT_READ | unicorn.UC_PROT_WRITE,
            "rx": unicorn.UC_PROT_READ | unicorn.UC_PROT_EXEC,
        }
        self._fault: tuple[str, int] | None = None
        self._exception: Fault | None = None
        self._vectors = [getattr(a64, f"UC_ARM64_REG_V{i}") for i in range(32)]
        uc.hook_add(unicorn.UC_HOOK_MEM_INVALID, self._on_fault)
        uc.hook_add(unicorn.UC_HOOK_INTR, self._on_exception)
        uc.mem_map(self._stack - STACK, STACK, self._protections["rw"])
        self._code_mapped = self._code_next
        self._stop = _BASE - PAGE
        uc.mem_map(self._stop, PAGE, unicorn.UC_PROT_READ | unicorn.UC_PROT_EXEC)

    def close(self) -> None:
        self._uc = None

    def _on_fault(self, uc: object, access: int, address: int, size: int, *_: object) -> bool:
        u = self._unicorn
        writes = (u.UC_MEM_WRITE_UNMAPPED, u.UC_MEM_WRITE_PROT)
        fetches = (u.UC_MEM_FETCH_UNMAPPED, u.UC_MEM_FETCH_PROT)
        kind = "write" if access in writes else "fetch" if access in fetches else "read"
        self._fault = (f"{kind} of {size} bytes", address)
        return False

    def _on_exception(self, uc: Any, number: int, _: object) -> None:
        pc = uc.reg_read(self._pc)
        if number == _UNDEFINED:
            word = int.from_bytes(uc.mem_read(pc, 4), "little")
            done = arm_i8mm.execute(word, self._vector)
            if done is not None:
                uc.reg_write(self._vectors[done[0]], int.from_bytes(done[1], "little"))
                uc.reg_write(self._pc, pc + 4)
                return
        self._exception = Fault(_EXCEPTIONS.get(number, f"exception {number}"), None, pc)
        uc.emu_stop()

    def _vector(self, register: int) -> bytes:
        return int(self._uc.reg_read(self._vectors[register])).to_bytes(16, "little")

    def _map(self, address: int, size: int, access: Access) -> None:
        """Code is mapped in large regions: Unicorn slows down with their number."""
        if address >= self._heap:
            self._uc.mem_map(address, size, self._protections[access])
            return
        while self._code_mapped < address + size:
            self._uc.mem_map(self._code_mapped, _CODE_REGION, self._protections["rx"])
            self._code_mapped += _CODE_REGION
        if access == "rw":
            self._uc.mem_protect(address, size, self._protections[access])

    def _unmap(self, address: int, size: int) -> None:
        self._uc.mem_unmap(address, size)

    def _write(self, address: int, data: bytes) -> None:
        self._uc.mem_write(address, data)

    def _read(self, address: int, nbytes: int) -> bytes:
        return bytes(self._uc.mem_read(address, nbytes))

    def _call(self, pc: int, args: list[int], timeout: float) -> int | Fault:
        uc, self._fault, self._exception = self._uc, None, None
        for register, value in zip(self._args, args, strict=False):
            uc.reg_write(register, value)
        uc.reg_write(self._sp, self._stack)
        uc.reg_write(self._lr, self._stop)
        try:
            uc.emu_start(pc, self._stop, timeout=int(timeout * 1e6))
        except self._unicorn.UcError as error:
            what, address = self._fault or (str(error), None)
            return Fault(what, address, uc.reg_read(self._pc))
        if self._exception is not None:
            return self._exception
        if uc.reg_read(self._pc) != self._stop:
            return Fault(f"no return within {timeout} s", None, uc.reg_read(self._pc))
        return int(uc.reg_read(self._args[0]))
