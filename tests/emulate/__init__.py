"""Runs machine code of every instruction set on the machine in hand, bit for bit.

    machine    runs                                     by
    x86_64     this processor's instruction sets        a worker process
    bochs      SSE to AVX2, AVX-512 with VNNI           Bochs (Debian package bochs)
    aarch64    NEON, dotprod; i8mm through Python       Unicorn (PyPI package unicorn)
    qemu       those and bf16; slower                   qemu (Debian package qemu-user)

A kernel test is one body, parametrised over instruction sets. `machine_for` says which machine runs
a target here: an x86 target that this processor lacks goes to Bochs. `invoke` does what a plan
does: it puts arrays into buffers that end at an unmapped page, lays out the params struct, calls,
and gives back what was written; inputs are read-only, so a kernel that writes to one faults.

    @pytest.mark.parametrize("isa", ISAS, ids=str)
    def test_qgemm(isa):
        target = target_of(isa)                              # triple and features
        with open_machine(machine_for(target)) as machine:   # skip() instead of Unavailable: below
            machine.load(compile_ir(text, target))
            for m in range(1, 14):
                (y,) = invoke(machine, symbol, [x, w, Out(y0), x.shape[1], np.float32(s)], 0, m)
                np.testing.assert_array_equal(y, reference(x, w))

Opening takes 0.01 s (x86_64, aarch64) or 0.2 s (bochs), a call about 0.2 ms: open one machine a
test or module, not one a call. `machine_or_skip` skips a test, with the reason, where the machine
is missing. `run_batch` does all of it for a list of calls.

`portable_text` rewrites LLVM text so that x86 and aarch64 intrinsics become portable definitions of
the same meaning; the result compiles for any machine and tests everything but the selection of
instructions.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pytest

from edgewise.codegen.target import Target, host

from .machine import Access, EmulationError, Guard, Machine, Unavailable
from .portable import portable_text

__all__ = [
    "MACHINES",
    "Buffer",
    "Call",
    "EmulationError",
    "Machine",
    "Out",
    "Unavailable",
    "invoke",
    "machine_for",
    "machine_or_skip",
    "open_machine",
    "portable_text",
    "run_batch",
]

Array: TypeAlias = npt.NDArray[Any]

MACHINES = ("x86_64", "bochs", "aarch64")
"""Those that tell where a fault was; qemu does not."""


def open_machine(name: str) -> Machine:
    """A new machine, one of MACHINES or qemu. Raises Unavailable with what is missing."""
    if name == "x86_64":
        from .native import Native

        return Native()
    if name == "bochs":
        from .bochs import Bochs

        return Bochs()
    if name == "aarch64":
        from .arm import Aarch64

        return Aarch64()
    if name == "qemu":
        from .qemu import Qemu

        return Qemu()
    raise ValueError(f"machine {name!r}: one of {', '.join(MACHINES)}, qemu")


def machine_or_skip(name: str) -> Machine:
    """`open_machine`, or a skipped test where it is unavailable."""
    try:
        return open_machine(name)
    except Unavailable as reason:
        pytest.skip(str(reason))


def machine_for(target: Target) -> str:
    """The name of the machine that runs code for `target` here."""
    if target.arch == "aarch64":
        return "qemu" if "bf16" in target.features else "aarch64"
    here = host()
    native = here.arch == "x86_64" and set(target.features) <= set(here.features)
    return "x86_64" if native else "bochs"


@dataclass(frozen=True)
class Buffer:
    """A pointer field: `array`'s bytes in a buffer of their own, the pointer `offset` bytes in.

    slack: bytes of unspecified contents after the array that may be read, and are never to be
    written. guard: the end of the buffer that touches an unmapped page.
    """

    array: Array
    offset: int = 0
    slack: int = 0
    guard: Guard = "end"
    writable: bool = False


def Out(array: Array, offset: int = 0, guard: Guard = "end") -> Buffer:  # noqa: N802
    """A buffer that machine code may write to; `array` holds its first contents."""
    return Buffer(array, offset, guard=guard, writable=True)


Field: TypeAlias = "Array | Buffer | int | np.float32 | np.integer[Any]"


@dataclass(frozen=True)
class Call:
    """One call of `void symbol(ptr params, i64 begin, i64 end)`: see `invoke`."""

    symbol: str
    fields: Sequence[Field]
    begin: int = 0
    end: int = 1


def invoke(
    machine: Machine,
    symbol: str,
    fields: Sequence[Field],
    begin: int = 0,
    end: int = 1,
    timeout: float = 30.0,
) -> list[Array]:
    """Call a kernel; returns the arrays of its `Out` fields, in order, as they are afterwards.

    Each field takes 8 bytes of the params struct: an array or Buffer becomes a pointer, an int an
    int64, np.float32 and np.int32 the low half. Raises EmulationError as `Machine.call` does.
    """
    with machine.frame():
        words, outputs = [], []
        for field in fields:
            if isinstance(field, np.ndarray):
                field = Buffer(field)
            if isinstance(field, Buffer):
                address = _fill(machine, field)
                words.append(np.int64(address + field.offset).tobytes())
                if field.writable:
                    outputs.append((address, field.array))
            else:
                word = field if isinstance(field, np.generic) else np.int64(field)
                words.append(word.tobytes().ljust(8, b"\0"))
        params = machine.alloc(8 * len(words), access="r")
        machine.write(params, b"".join(words))
        machine.call(symbol, params, begin, end, timeout=timeout)
        return [
            np.frombuffer(machine.read(address, array.nbytes), array.dtype).reshape(array.shape)
            for address, array in outputs
        ]


def run_batch(
    objects: bytes | Sequence[bytes], calls: Iterable[Call], name: str = "bochs"
) -> list[list[Array]]:
    """Load `objects` into a new machine and `invoke` each call; skips where it is unavailable."""
    with machine_or_skip(name) as machine:
        machine.load(objects)
        return [invoke(machine, c.symbol, c.fields, c.begin, c.end) for c in calls]


def _fill(machine: Machine, buffer: Buffer) -> int:
    access: Access = "rw" if buffer.writable else "r"
    size = buffer.array.nbytes + buffer.slack
    address = machine.alloc(size, guard=buffer.guard, access=access)
    machine.write(address, np.ascontiguousarray(buffer.array).tobytes())
    return address
