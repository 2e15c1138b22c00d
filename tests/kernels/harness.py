"""Runs kernel variants with guarded memory, for every test of a kernel family.

For whoever tests a kernel:

    from .harness import Buffer, isas, run

    @isas
    def test_add(isa):
        variant = QAdd(isa)
        a, c = Buffer(array), Buffer(np.zeros(n, np.uint8))
        run(variant, units, {"a": a, "c": c.at(16), "n": n, ...}, outputs=[c])
        assert_array_equal(c.array, expected)

A variant has ``isa``, ``symbol``, ``fields`` and ``build()``. Every field must be given a value: a
number, or for a pointer a ``Buffer``, or ``buffer.at(offset)`` in bytes. A buffer that is no output
is followed by SLACK bytes that the kernel may read; an output ends at a page that faults, and its
whole content is read back, so give it a shape with room around what the kernel should write and
compare all of it.

The units are run as one range, then as two ranges, then one by one from the last to the first, and
each time must leave the same bytes: no unit may write into another's part.

x86 code runs on this processor where that has the features, otherwise in Bochs; aarch64 code in
Unicorn. Where neither is there the test is skipped, with the reason.
"""

from __future__ import annotations

import functools
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pytest

from edgewise.codegen.jit import compile_ir
from edgewise.codegen.target import Target, host
from edgewise.kernels.ir import Type
from edgewise.kernels.isa import ISAS, Isa
from emulate import Machine, machine_for, machine_or_skip

Array = npt.NDArray[Any]

SLACK = 64
ONE_BY_ONE = 64
"""Units beyond which they are run in three ranges and not one by one."""
MOST_SYMBOLS = 64
"""Functions that a machine may hold when another kernel is loaded: Unicorn slows down with them."""


class Variant(Protocol):
    @property
    def isa(self) -> Isa: ...
    @property
    def symbol(self) -> str: ...
    @property
    def fields(self) -> dict[str, Type]: ...
    def build(self) -> str: ...


@dataclass(eq=False)
class Buffer:
    """Memory that holds a C-contiguous array."""

    array: Array

    def __post_init__(self) -> None:
        self.array = np.ascontiguousarray(self.array)

    def at(self, offset: int) -> tuple[Buffer, int]:
        return self, offset


def view(array: Array, shape: tuple[int, ...], gap: int = 0) -> tuple[Buffer, tuple[int, ...]]:
    """``array`` as a buffer whose last axis is followed by ``gap`` elements of 0x77 bytes.

    Gives also the strides in bytes of the other axes, for ``array`` broadcast to ``shape``.
    """
    padded = np.full((*array.shape[:-1], array.shape[-1] + gap), 0, array.dtype)
    padded.view(np.uint8)[...] = 0x77
    padded[..., : array.shape[-1]] = array
    return Buffer(padded), np.broadcast_to(padded[..., :1], (*shape[:-1], 1)).strides[:-1]


isas = pytest.mark.parametrize(
    "isa", [pytest.param(isa, id=isa.name, marks=pytest.mark.isa) for isa in ISAS]
)
"""Runs a test once on every instruction set."""


def target(isa: Isa) -> Target:
    """The features of ``isa`` and no others.

    No emulator knows AVX-VNNI: where this processor lacks it too, LLVM encodes its instructions as
    those of AVX512-VNNI on 256 bits, which compute the same.
    """
    cpu, features = "x86-64" if isa.arch == "x86_64" else "generic", set(isa.features)
    if "avxvnni" in features - {*host().features}:
        features = features - {"avxvnni"} | {"avx512f", "avx512vl", "avx512vnni"}
    return Target(f"{isa.arch}-unknown-linux-gnu", cpu, tuple(sorted(features)))


_machines: dict[str, Machine] = {}


def machine(name: str) -> Machine:
    """One of each kind is open while the tests run."""
    if name not in _machines:
        _machines[name] = machine_or_skip(name)
    return _machines[name]


def loaded(variant: Variant) -> Machine:
    """A machine that holds the variant's code."""
    name = machine_for(target(variant.isa))
    device = machine(name)
    if variant.symbol not in device.symbols:
        if len(device.symbols) >= MOST_SYMBOLS:
            _machines.pop(name).close()
            device = machine(name)
        device.load(compiled(variant))
    return device


@functools.cache
def compiled(variant: Variant) -> bytes:
    return compile_ir(variant.build(), target(variant.isa))


def pack(fields: Mapping[str, Type], values: Mapping[str, int | float]) -> bytes:
    """The params: 8 bytes a field."""
    assert set(fields) == set(values), set(fields) ^ set(values)
    return b"".join(
        struct.pack("<fI", values[name], 0)
        if ty.kind == "f"
        else (int(values[name]) % 2**64).to_bytes(8, "little")
        for name, ty in fields.items()
    )


def run(variant: Variant, units: int, values: Mapping[str, Any], outputs: Sequence[Buffer]) -> None:
    """Run units 0 to ``units`` - 1 in several orders; the outputs' arrays become what they left."""
    device = loaded(variant)
    with device.frame():
        addresses: dict[Buffer, int] = {}
        numbers = {}
        for name, value in values.items():
            buffer, offset = value if isinstance(value, tuple) else (value, 0)
            if isinstance(buffer, Buffer) and buffer not in addresses:
                readonly = buffer not in outputs
                size = buffer.array.nbytes + (SLACK if readonly else 0)
                addresses[buffer] = device.alloc(size, access="r" if readonly else "rw")
                device.write(addresses[buffer], buffer.array.tobytes())
            numbers[name] = addresses[buffer] + offset if isinstance(buffer, Buffer) else value
        params = device.alloc(8 * len(numbers), access="r")
        device.write(params, pack(variant.fields, numbers))
        results = []
        for ranges in _orders(units):
            for buffer in outputs:
                device.write(addresses[buffer], buffer.array.tobytes())
            for begin, end in ranges:
                device.call(variant.symbol, params, begin, end)
            results.append([device.read(addresses[b], b.array.nbytes) for b in outputs])
    for ranges, result in zip(_orders(units), results, strict=True):
        assert result == results[0], f"{variant.symbol}: units in the order {ranges} differ"
    for buffer, data in zip(outputs, results[0], strict=True):
        array = np.frombuffer(data, buffer.array.dtype).reshape(buffer.array.shape)
        buffer.array = array.copy()


def _orders(units: int) -> list[list[tuple[int, int]]]:
    half, third = units // 2, units // 3
    last = [(0, third), (third, third), (third, 2 * third), (2 * third, units)]
    if units <= ONE_BY_ONE:
        last = [(i, i + 1) for i in range(units)]
    return [[(0, units)], [(0, half), (half, units)], last[::-1]]
