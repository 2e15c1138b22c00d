"""The interface that every machine shares: memory with guard pages, loading, calling."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from edgewise.codegen.objects import link_shared
from edgewise.errors import CompileError

from .image import PAGE, place

if TYPE_CHECKING:
    from typing_extensions import Self

POISON = 0xA5
STACK = 1 << 20

Guard = Literal["end", "begin"]
Access = Literal["r", "rw", "rx"]


class EmulationError(Exception):
    """Machine code faulted, hung, or could not be loaded.

    For a fault the message names the access (read, write, fetch), the address and the pc with the
    function that it lies in.
    """


class Unavailable(Exception):  # noqa: N818
    """This machine cannot run here; the message says what is missing."""


@dataclass(frozen=True)
class Fault:
    """What a backend reports of a call that did not return."""

    what: str
    address: int | None
    pc: int


@dataclass(frozen=True)
class _Buffer:
    """Whole pages, and the part of them that the test asked for."""

    start: int
    size: int
    address: int
    nbytes: int
    access: Access


class Machine(ABC):
    """One processor with memory in 4 KiB pages; every page not allocated is unmapped.

    Calls get a stack of 1 MiB. Subclasses give the memory's extent and five primitives.
    """

    name: str
    elf_machine: int
    registers: int

    def __init__(self, base: int, size: int, code_size: int) -> None:
        self.symbols: dict[str, int] = {}
        self._functions: list[tuple[int, int, str]] = []
        self._heap = self._next = base + code_size
        self._end = base + size
        self._buffers: list[_Buffer] = []
        self._stack = base + PAGE + STACK
        self._code_next = self._stack + PAGE

    def load(self, objects: bytes | Sequence[bytes]) -> None:
        """Link relocatable objects that may call each other, and map the result.

        Their visible functions become callable and hide earlier ones of the same name. Raises
        EmulationError for an object of another processor, undefined symbols, a full code area.
        """
        group = [objects] if isinstance(objects, bytes) else list(objects)
        try:
            shared = link_shared(group)
        except CompileError as error:
            raise EmulationError(str(error)) from error
        processor = int.from_bytes(shared[18:20], "little")
        if processor != self.elf_machine:
            raise EmulationError(f"code for ELF machine {processor}, not {self.elf_machine}")
        segments, symbols, after = place(shared, self._code_next)
        if after + PAGE > self._heap:
            raise EmulationError("no room for more code: open another machine")
        for segment in segments:
            self._map(segment.address, len(segment.data), segment.access)
            self._write(segment.address, segment.data)
        self.symbols.update(symbols)
        self._functions += [(address, after, name) for name, address in symbols.items()]
        self._functions.sort()
        self._code_next = after + PAGE

    def alloc(
        self,
        nbytes: int,
        align: int | None = None,
        guard: Guard = "end",
        access: Access = "rw",
    ) -> int:
        """The address of a new buffer with unmapped pages on both sides, filled with 0xA5.

        guard="end" puts its end at a page's end, so that one byte too far faults; "begin" puts its
        start at a page's start. By default the alignment is the largest power of two up to 64 that
        divides `nbytes`, which leaves no gap. An explicit `align` may leave a gap of less than
        `align` bytes before the page's end: writes there are found after each call, reads are not.
        access="r" makes writes by machine code fault.
        """
        if align is None:
            align = min(64, nbytes & -nbytes) if nbytes else 64
        size = max(PAGE, -(-nbytes // PAGE) * PAGE)
        start = self._next + PAGE
        end = self._next = start + size
        if end + PAGE > self._end:
            self._next = start - PAGE
            raise EmulationError(f"no room for {nbytes} bytes more: reset() the machine")
        self._map(start, size, access)
        self._write(start, bytes([POISON]) * size)
        address = start if guard == "begin" else (end - nbytes) // align * align
        self._buffers.append(_Buffer(start, size, address, nbytes, access))
        return address

    def write(self, address: int, data: bytes) -> None:
        """Store `data` at `address`, inside one buffer, read-only or not."""
        self._check(address, len(data))
        self._write(address, data)

    def read(self, address: int, nbytes: int) -> bytes:
        """The `nbytes` bytes at `address`, inside one buffer."""
        self._check(address, nbytes)
        return self._read(address, nbytes)

    def call(self, symbol: str, *args: int, timeout: float = 30.0) -> int:
        """Call a loaded function with integer or pointer arguments: x0 or rax, as unsigned.

        Raises EmulationError for a fault, a write to a buffer's gap, or more than `timeout`
        seconds. After a fault the machine stays usable, and buffers keep what was written; after a
        time-out the Bochs machine is closed.
        """
        if symbol not in self.symbols:
            raise EmulationError(f"{symbol} is not loaded")
        if len(args) > self.registers:
            raise EmulationError(f"{len(args)} arguments: only {self.registers} are supported")
        masked = [a & 0xFFFF_FFFF_FFFF_FFFF for a in args]
        result = self._call(self.symbols[symbol], masked, timeout)
        if isinstance(result, Fault):
            raise EmulationError(self._describe(symbol, result))
        for b in self._buffers:
            if b.access == "rw":
                self._check_gap(symbol, b.start, b.address)
                self._check_gap(symbol, b.address + b.nbytes, b.start + b.size)
        return result

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def reset(self) -> None:
        """Unmap all buffers; loaded code stays."""
        self._release(0)

    @contextmanager
    def frame(self) -> Iterator[None]:
        """Buffers allocated inside the `with` are unmapped at its end."""
        count = len(self._buffers)
        try:
            yield
        finally:
            self._release(count)

    @abstractmethod
    def close(self) -> None:
        """Release what the machine holds; it cannot be used any more."""

    @abstractmethod
    def _map(self, address: int, size: int, access: Access) -> None: ...

    @abstractmethod
    def _unmap(self, address: int, size: int) -> None: ...

    @abstractmethod
    def _write(self, address: int, data: bytes) -> None: ...

    @abstractmethod
    def _read(self, address: int, nbytes: int) -> bytes: ...

    @abstractmethod
    def _call(self, pc: int, args: list[int], timeout: float) -> int | Fault: ...

    def _release(self, keep: int) -> None:
        for b in self._buffers[keep:]:
            self._unmap(b.start, b.size)
        del self._buffers[keep:]
        last = self._buffers[-1] if self._buffers else None
        self._next = last.start + last.size if last else self._heap

    def _check(self, address: int, nbytes: int) -> None:
        if not any(
            b.address <= address and address + nbytes <= b.address + b.nbytes for b in self._buffers
        ):
            raise EmulationError(f"{nbytes} bytes at {address:#x} lie in no buffer")

    def _check_gap(self, symbol: str, start: int, end: int) -> None:
        gap = self._read(start, end - start) if end > start else b""
        if gap.count(POISON) != len(gap):
            at = next(start + i for i, byte in enumerate(gap) if byte != POISON)
            raise EmulationError(f"{symbol}: write outside of every buffer{self._near(at)}")

    def _describe(self, symbol: str, fault: Fault) -> str:
        found = [f for f in self._functions if f[0] <= fault.pc < f[1]]
        inside = f" ({found[-1][2]}+{fault.pc - found[-1][0]:#x})" if found else ""
        return f"{symbol}: {fault.what}{self._near(fault.address)}, pc {fault.pc:#x}{inside}"

    def _near(self, address: int | None) -> str:
        if address is None:
            return ""
        for b in self._buffers:
            if b.start - PAGE <= address < b.address:
                return f" at {address:#x}, {b.address - address} before a buffer of {b.nbytes}"
            if b.address <= address < b.start + b.size + PAGE:
                return f" at {address:#x}, offset {address - b.address} of a buffer of {b.nbytes}"
        return f" at {address:#x}"
