"""Whole programs on every instruction set, each buffer of their plans in memory of its own.

A machine of `emulate` runs what a plan and its code say: this processor where it has the
instructions, otherwise Bochs or Unicorn. Every buffer ends `SLACK` bytes before an unmapped page,
or starts after one, so that a step that reaches past its operands faults; the slack must come
back unchanged.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

import edgewise as ew
from edgewise.codegen.build import generate, objects
from edgewise.codegen.pool_layout import POOL_ALIGN, POOL_BYTES
from edgewise.dtype import DType
from edgewise.execution import Options
from edgewise.graph import Array, Graph
from edgewise.kernels.isa import Isa
from edgewise.kernels.views import SLACK
from edgewise.plan import Buffer, Plan, View
from edgewise.runtime import plan_for
from emulate import machine_for
from emulate.machine import POISON, Guard, Machine
from kernels.harness import isas, machine, target
from networks import assert_matches, classifier, random_inputs, reference
from test_program import CASES, FALLBACKS

GUARDS: tuple[Guard, ...] = ("end", "begin")


def array_of(view: View, memory: bytearray) -> Array:
    """A view of a buffer whose bytes are ``memory``."""
    return np.ndarray(view.shape, view.type.dtype.numpy, memory, view.address.offset, view.strides)


class Emulated:
    """A program's code, loaded into a machine once; its memory is new in every run."""

    def __init__(self, graph: Graph, isa: Isa, options: Options | None = None) -> None:
        self.plan = plan_for(graph, isa, options)
        assert not self.plan.fallbacks
        kind = target(isa)
        self.machine: Machine = machine(machine_for(kind))
        self.code = generate(dataclasses.replace(self.plan, offsets=dict.fromkeys(self.buffers, 0)))
        self.machine.load(objects(self.plan, self.code, kind))

    @property
    def buffers(self) -> list[Buffer]:
        return list(self.plan.offsets)

    def run(self, arrays: Sequence[Array], guard: Guard = "end") -> list[Array]:
        """The outputs. Raises EmulationError for an access outside of the plan's buffers."""
        contents = {b: bytearray([POISON]) * (b.nbytes + SLACK) for b in self.buffers}
        for (_, view), array in zip(self.plan.inputs, arrays, strict=True):
            array_of(view, contents[view.address.buffer])[...] = array
        with self.machine.frame():
            places = {b: self._place(bytes(data), guard) for b, data in contents.items()}
            params = self._params(places)
            pool = self.machine.alloc(POOL_BYTES, align=POOL_ALIGN)
            self.machine.write(pool, bytes(POOL_BYTES))
            for segment in self.code.segments:
                assert segment.entry is not None
                entry = self.machine.symbols[segment.entry]
                self.machine.call("ew_pool_run", pool, entry, params)
            for b, place in places.items():
                contents[b][:] = self.machine.read(place, len(contents[b]))
        for b, data in contents.items():
            assert data[b.nbytes :] == bytes([POISON]) * SLACK, f"written past the end of {b.name}"
        return [
            view if isinstance(view, np.ndarray) else array_of(view, contents[view.address.buffer])
            for _, view in self.plan.outputs
        ]

    def _place(self, data: bytes, guard: Guard = "end", *, writable: bool = True) -> int:
        access = "rw" if writable else "r"
        address = self.machine.alloc(len(data), 1 if writable else 64, guard, access)
        self.machine.write(address, data)
        return address

    def _params(self, places: dict[Buffer, int]) -> int:
        constants = self._place(self.plan.constants.tobytes(), writable=False)
        words = generate(dataclasses.replace(self.plan, offsets=places)).params
        words[self.code.constant_words] += constants
        return self._place(words.tobytes(), writable=False)


def check(graph: Graph, isa: Isa, guards: Sequence[Guard] = GUARDS) -> Plan:
    emulated = Emulated(graph, isa)
    for seed, guard in enumerate(guards):
        inputs = random_inputs(graph, seed)
        found = emulated.run(inputs, guard)
        for got, expected in zip(found, reference(graph, inputs), strict=True):
            assert_matches(got, expected)
    return emulated.plan


@isas
@pytest.mark.parametrize("case", sorted(CASES.keys() - FALLBACKS))
def test_operator(case: str, isa: Isa) -> None:
    check(CASES[case](DType.UINT8 if isa.activation.kind == "u" else DType.INT8), isa)


@isas
@pytest.mark.parametrize("dtype", [DType.UINT8, DType.INT8], ids=str)
def test_classifier(dtype: DType, isa: Isa) -> None:
    plan = check(classifier(dtype), isa)
    assert len(plan.steps) > 10


@isas
@pytest.mark.data
@pytest.mark.parametrize(
    "name", ["kws_dscnn_int8", "resnet8_cifar10_int8", "mobilenet_v1_0.25_128_quant"]
)
def test_network(name: str, isa: Isa, data: Path) -> None:
    check(ew.load(data / "models" / f"{name}.tflite"), isa, ["end"])
