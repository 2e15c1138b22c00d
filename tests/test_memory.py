"""The arena: where buffers go, and the certificate that no two of them meet."""

from __future__ import annotations

import dataclasses
import mmap
from collections.abc import Mapping
from pathlib import Path
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import edgewise as ew
from edgewise.aligned import ALIGN
from edgewise.dtype import DType
from edgewise.graph import TensorType
from edgewise.kernels.ir import Type
from edgewise.kernels.isa import ISAS, Isa
from edgewise.kernels.views import SLACK
from edgewise.plan import Address, Buffer, Plan, Step, View, memory
from edgewise.plan.certificate import certify
from edgewise.plan.model import Constants, align
from edgewise.runtime import plan_for
from networks import classifier
from test_models import networks as data_networks
from test_startup import network

Drawn = list[tuple[int, int, int]]
DRAWN = st.lists(
    st.tuples(st.integers(0, 2000), st.integers(0, 30), st.integers(0, 12)), max_size=40
)
"""Bytes, first step and further steps of buffers."""


def lifetimes_of(drawn: Drawn) -> dict[Buffer, tuple[int, int]]:
    return {
        Buffer(f"b{i}", nbytes): (first, first + further)
        for i, (nbytes, first, further) in enumerate(drawn)
    }


@given(DRAWN)
@settings(max_examples=300, deadline=None)
def test_buffers_alive_together_lie_apart(drawn: Drawn) -> None:
    lifetimes = lifetimes_of(drawn)
    offsets, arena = memory.place(lifetimes)
    assert offsets.keys() == lifetimes.keys()
    assert all(offset % ALIGN == 0 for offset in offsets.values())
    for a, (a_first, a_last) in lifetimes.items():
        assert 0 <= offsets[a] <= offsets[a] + a.nbytes + SLACK <= arena
        for b, (b_first, b_last) in lifetimes.items():
            if a is not b and a_first <= b_last and b_first <= a_last:
                apart = offsets[a] + a.nbytes <= offsets[b] or offsets[b] + b.nbytes <= offsets[a]
                assert apart or 0 in (a.nbytes, b.nbytes)
    at_once = [
        sum(align(b.nbytes) for b, (first, last) in lifetimes.items() if first <= step <= last)
        for step in range(45)
    ]
    assert max(at_once) == max(memory.live_bytes(lifetimes), default=0)
    assert max(at_once) + SLACK <= arena
    assert arena <= sum(align(b.nbytes) for b in lifetimes) + align(SLACK)


@given(st.lists(st.integers(1, 5000), min_size=1, max_size=40))
@settings(deadline=None)
def test_a_chain_needs_its_two_largest_neighbours(sizes: list[int]) -> None:
    lifetimes = {Buffer(f"b{i}", n): (i, i + 1) for i, n in enumerate(sizes)}
    pairs = zip([0, *sizes], [*sizes, 0], strict=True)
    most = max(align(a) + align(b) for a, b in pairs)
    assert memory.place(lifetimes)[1] == most + SLACK


def test_scratch_between_the_links_of_a_chain_finds_room() -> None:
    """Depthwise layers and products of 8 bits, whose inputs are quantized first."""
    lifetimes = {}
    for i in range(10):
        for nbytes, first, last in ((32000, 0, 1), (8000, 1, 3), (1000, 1, 3), (48384, 2, 4)):
            lifetimes[Buffer(f"b{len(lifetimes)}", nbytes)] = 4 * i + first, 4 * i + last
    assert memory.place(lifetimes)[1] == 32000 + 48384 + SLACK


def test_a_search_finds_what_no_simple_order_does() -> None:
    drawn = [(2, 2, 2), (5, 0, 2), (6, 3, 1), (1, 0, 0), (8, 5, 0), (6, 0, 1), (6, 4, 2), (7, 6, 2)]
    lifetimes = lifetimes_of([(ALIGN * n, first, further) for n, first, further in drawn])
    assert max(memory.live_bytes(lifetimes)) == 14 * ALIGN
    assert memory.place(lifetimes)[1] == 14 * ALIGN + SLACK


def test_an_empty_arena_has_a_size() -> None:
    assert memory.place({}) == ({}, ALIGN)


NODE = classifier(DType.UINT8).nodes[0]


@dataclasses.dataclass(frozen=True)
class Touch:
    """A kernel that does nothing, to make steps of."""

    symbol: str = "touch"
    fields: Mapping[str, Type] = dataclasses.field(default_factory=dict)

    def build(self) -> str:
        raise NotImplementedError


def whole(buffer: Buffer) -> View:
    return View(Address(buffer, 0), TensorType((buffer.nbytes,), DType.UINT8), (1,))


def plan_of(lifetimes: Mapping[Buffer, tuple[int, int]], barrier: bool = True) -> Plan:
    """A plan whose steps touch each buffer at the ends of its life."""
    offsets, arena = memory.place(lifetimes)
    count = max((last for _, last in lifetimes.values()), default=-1) + 1
    steps = []
    for i in range(count):
        views = tuple(whole(buffer) for buffer, life in lifetimes.items() if i in life)
        steps.append(Step(0, Touch(), {}, 1, 1, views[::2], views[1::2], barrier))
    constants = np.zeros(SLACK, np.uint8)
    return Plan((NODE,), tuple(steps), offsets, arena, constants, (), (), lifetimes)


@given(DRAWN)
@settings(max_examples=200, deadline=None)
def test_the_certificate_counts_what_lives(drawn: Drawn) -> None:
    lifetimes = lifetimes_of(drawn)
    report = certify(plan_of(lifetimes))
    assert report.sound, report.problems
    lives = memory.live_bytes(lifetimes) if drawn else []
    assert list(report.live_bytes)[: len(lives)] == lives
    assert report.least_bytes == max(lives, default=0) <= report.peak_bytes
    assert align(report.peak_bytes + SLACK) == report.arena_bytes
    assert sum(align(b.nbytes) for b in report.at_peak) == report.least_bytes
    known = {(b.name, b.nbytes, b.first, b.last) for b in report.buffers}
    assert known == {(b.name, b.nbytes, *life) for b, life in lifetimes.items()}


@given(DRAWN, st.randoms(use_true_random=False))
@settings(max_examples=200, deadline=None)
def test_the_certificate_finds_every_pair_that_meets(drawn: Drawn, random: Random) -> None:
    lifetimes = lifetimes_of([(max(nbytes, 1), *life) for nbytes, *life in drawn])
    plan = plan_of(lifetimes)
    room = plan.arena_bytes - SLACK
    moved = {b: random.randrange(room - b.nbytes + 1) for b in lifetimes}
    problems = certify(dataclasses.replace(plan, offsets=moved)).problems
    meet = any(
        a is not b
        and lifetimes[a][0] <= lifetimes[b][1]
        and lifetimes[b][0] <= lifetimes[a][1]
        and moved[a] < moved[b] + b.nbytes
        and moved[b] < moved[a] + a.nbytes
        for a in lifetimes
        for b in lifetimes
    )
    assert bool(problems) == meet


AVX2, NEON_DOT = (next(i for i in ISAS if i.name == name) for name in ("avx2", "neondot"))


@pytest.fixture(scope="module")
def sound() -> Plan:
    plan = plan_for(classifier(DType.UINT8), AVX2)
    assert certify(plan).sound
    return plan


def placed(plan: Plan, **offsets: int) -> Plan:
    """The plan with buffers elsewhere, by name."""
    moved = {b: offsets.get(b.name, offset) for b, offset in plan.offsets.items()}
    return dataclasses.replace(plan, offsets=moved)


def test_an_overlap_names_the_step_and_both_buffers(sound: Plan) -> None:
    low, high = certify(sound).at_peak[:2]
    problems = certify(placed(sound, **{high.name: low.offset})).problems
    (problem,) = (p for p in problems if repr(low.name) in p)
    assert f"{low.name!r}, {low.nbytes} bytes at {low.offset}" in problem
    assert f"{high.name!r}, {high.nbytes} bytes at {low.offset}, share bytes" in problem


def test_lives_are_not_taken_from_the_plan(sound: Plan) -> None:
    """A placement made for lives that are too short is found out."""
    short = {b: (first, first) for b, (first, _) in sound.lifetimes.items()}
    offsets, arena = memory.place(short)
    assert arena < sound.arena_bytes
    wrong = dataclasses.replace(sound, offsets=offsets, arena_bytes=arena, lifetimes=short)
    assert any("share bytes" in problem for problem in certify(wrong).problems)


def test_a_buffer_outside_the_arena_is_a_problem(sound: Plan) -> None:
    name = certify(sound).buffers[0].name
    (problem,) = certify(placed(sound, **{name: sound.arena_bytes})).problems
    assert "do not lie inside the arena" in problem


def test_a_buffer_without_a_place_is_a_problem(sound: Plan) -> None:
    offsets = dict(sound.offsets)
    missing, _ = offsets.popitem()
    problems = certify(dataclasses.replace(sound, offsets=offsets)).problems
    assert f"buffer {missing.name!r} is used and has no place in the arena" in problems


def test_an_operand_outside_its_buffer_is_a_problem(sound: Plan) -> None:
    steps = list(sound.steps)
    view = steps[-1].views[-1]
    far = dataclasses.replace(view, address=view.address + view.address.buffer.nbytes)
    assert isinstance(steps[-1], Step)
    steps[-1] = dataclasses.replace(steps[-1], writes=(far,))
    (problem,) = certify(dataclasses.replace(sound, steps=tuple(steps))).problems
    assert "takes bytes" in problem


def test_what_parameters_point_to_lives_too() -> None:
    a, b = Buffer("a", 64), Buffer("b", 64)
    plan = plan_of({a: (0, 0), b: (1, 1)})
    assert plan.offsets[a] == plan.offsets[b]
    assert certify(plan).sound
    pointing = dataclasses.replace(plan.steps[1], params={"x": Address(a, 0)})
    plan = dataclasses.replace(plan, steps=(plan.steps[0], pointing))
    assert len(certify(plan).problems) == 1


def test_steps_without_a_barrier_between_them_are_one() -> None:
    lifetimes = {Buffer("a", 64): (0, 0), Buffer("b", 64): (1, 1)}
    assert certify(plan_of(lifetimes)).sound
    assert len(certify(plan_of(lifetimes, barrier=False)).problems) == 1


def test_what_is_kept_from_call_to_call_lives_throughout() -> None:
    a, b = Buffer("a", 64), Buffer("b", 64)
    plan = plan_of({a: (0, 0), b: (1, 1)})
    assert certify(plan).sound
    assert len(certify(dataclasses.replace(plan, kept=(whole(a),))).problems) == 1


@pytest.mark.parametrize("isa", ISAS, ids=lambda isa: isa.name)
def test_plans_are_sound_and_as_small_as_can_be(isa: Isa) -> None:
    report = certify(plan_for(classifier(DType.INT8), isa))
    assert report.problems == ()
    assert report.excess == 0.0


@pytest.mark.data
@pytest.mark.parametrize("isa", [AVX2, NEON_DOT], ids=lambda isa: isa.name)
@pytest.mark.parametrize("name", data_networks())
def test_real_networks_need_no_more_than_lives_at_once(data: Path, name: str, isa: Isa) -> None:
    report = certify(plan_for(ew.load(data / "models" / f"{name}.tflite"), isa))
    assert report.problems == ()
    assert report.excess == 0.0


def test_an_arena_without_buffers_is_sound() -> None:
    report = certify(plan_of({}))
    assert (report.sound, report.excess, report.live_bytes) == (True, 0.0, (0,))


def test_constants_are_let_go_as_they_are_joined() -> None:
    constants = Constants()
    first = constants.add(np.arange(5000, dtype=np.int32))
    second = constants.add(np.arange(3, dtype=np.int8))
    joined = constants.join()
    assert constants.arrays == []
    assert joined.ctypes.data % ALIGN == 0
    assert not joined.flags.writeable
    assert joined.nbytes == second.offset + ALIGN + SLACK
    np.testing.assert_array_equal(joined[first.offset :][:20000].view(np.int32), np.arange(5000))
    np.testing.assert_array_equal(joined[second.offset :][:3], np.arange(3))


def test_a_compiled_program_maps_the_constants_that_it_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGEWISE_CACHE_DIR", str(tmp_path / "cache"))
    program = ew.compile(network(b"a network of this test"))
    assert not program.cached
    memory_of = program.plan.constants
    while isinstance(memory_of, np.ndarray):
        memory_of = memory_of.base
    assert isinstance(memory_of.obj, mmap.mmap)
