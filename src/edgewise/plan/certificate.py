"""What the arena holds over time, and a proof that it is sound and how near it is to the least.

Nothing here relies on `memory.place` or on the lifetimes that it was given: buffers live from the
first step that touches them to the last, as the steps' own operands and parameters tell.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from ..errors import CompileError
from .check import check
from .model import CONSTANTS, Address, Buffer, HostStep, Plan, Step, View, align


@dataclass(frozen=True)
class Resident:
    """A buffer: ``nbytes`` from ``offset`` on, from step ``first`` to step ``last`` inclusive.

    The number of the plan's steps as ``last`` is after them: the caller reads what is there.
    """

    name: str
    nbytes: int
    offset: int
    first: int
    last: int


@dataclass(frozen=True)
class Doing:
    """A step for a reader: the operator, its name in the file, and the kernel's symbol."""

    op: str
    origin: str
    kernel: str


@dataclass(frozen=True)
class ArenaReport:
    """The arena of a plan over time, in bytes.

    Attributes:
        arena_bytes: what a program takes for it, with the slack that kernels may read past a
            buffer.
        peak_bytes: just past the highest byte of a buffer.
        least_bytes: what lives at one time at most, each buffer a multiple of 64 bytes; no
            placement takes less.
        peak_step: a step at which ``least_bytes`` live.
        live_bytes: what lives at each step, and after the last one.
        steps: what each step does.
        buffers: by first step, then offset.
        problems: what is wrong with it, a line each: none in a sound plan.
    """

    arena_bytes: int
    peak_bytes: int
    least_bytes: int
    peak_step: int
    live_bytes: tuple[int, ...]
    steps: tuple[Doing, ...]
    buffers: tuple[Resident, ...]
    problems: tuple[str, ...]

    @property
    def sound(self) -> bool:
        """Whether no two buffers that live at a time share a byte, and all operands lie within."""
        return not self.problems

    @property
    def excess(self) -> float:
        """The share by which the peak is above the least possible: 0 where it cannot be less."""
        return self.peak_bytes / self.least_bytes - 1.0 if self.least_bytes else 0.0

    @property
    def at_peak(self) -> tuple[Resident, ...]:
        """The buffers that live at ``peak_step``, by offset."""
        found = (b for b in self.buffers if b.first <= self.peak_step <= b.last)
        return tuple(sorted(found, key=lambda b: b.offset))


def certify(plan: Plan) -> ArenaReport:
    """Draw up the arena of ``plan`` step by step and look for faults in it."""
    lives = _lives(plan)
    buffers = tuple(
        Resident(buffer.name, buffer.nbytes, plan.offsets[buffer], first, last)
        for buffer, (first, last) in sorted(
            lives.items(), key=lambda item: (item[1][0], plan.offsets.get(item[0], 0))
        )
        if buffer in plan.offsets
    )
    live = [0] * (len(plan.steps) + 1)
    for b in buffers:
        for step in range(b.first, b.last + 1):
            live[step] += align(b.nbytes)
    least = max(live)
    return ArenaReport(
        plan.arena_bytes,
        max((b.offset + align(b.nbytes) for b in buffers), default=0),
        least,
        live.index(least),
        tuple(live),
        tuple(_doing(plan, step) for step in plan.steps),
        buffers,
        (*_nowhere(plan, lives), *_outside(plan), *_shared(buffers, len(live))),
    )


def _lives(plan: Plan) -> dict[Buffer, tuple[int, int]]:
    """First and last step that touch each buffer, all steps between two barriers being one."""
    end = len(plan.steps)
    lives: dict[Buffer, tuple[int, int]] = {}

    def live(buffer: Buffer, first: int, last: int) -> None:
        if buffer is not CONSTANTS:
            known = lives.get(buffer, (first, last))
            lives[buffer] = min(first, known[0]), max(last, known[1])

    for first, last in _together(plan):
        for step in plan.steps[first : last + 1]:
            for view in step.views:
                live(view.address.buffer, first, last)
            for x in step.params.values() if isinstance(step, Step) else ():
                if isinstance(x, Address):
                    live(x.buffer, first, last)
    for _, view in plan.inputs:
        live(view.address.buffer, 0, 0)
    for _, place in plan.outputs:
        if isinstance(place, View):
            live(place.address.buffer, end, end)
    for view in plan.kept:
        live(view.address.buffer, 0, end)
    return lives


def _together(plan: Plan) -> Iterator[tuple[int, int]]:
    """First and last of the steps that may run at a time: no barrier separates them."""
    first = 0
    for i, step in enumerate(plan.steps):
        following = plan.steps[i + 1] if i + 1 < len(plan.steps) else None
        alone = not isinstance(step, Step) or not isinstance(following, Step)
        if alone or (isinstance(step, Step) and step.barrier):
            yield first, i
            first = i + 1


def _nowhere(plan: Plan, lives: dict[Buffer, tuple[int, int]]) -> Iterator[str]:
    for buffer in lives:
        if buffer not in plan.offsets:
            yield f"buffer {buffer.name!r} is used and has no place in the arena"


def _outside(plan: Plan) -> Iterator[str]:
    try:
        check(plan)
    except CompileError as error:
        yield str(error)


def _shared(buffers: tuple[Resident, ...], times: int) -> Iterator[str]:
    """Pairs of buffers that have bytes in common while both live, each once.

    At every step, neighbours by offset are compared: if any two overlap, two neighbours do.
    """
    seen = set()
    for step in range(times):
        alive = sorted(
            (b for b in buffers if b.first <= step <= b.last and b.nbytes), key=lambda b: b.offset
        )
        for low, high in pairwise(alive):
            if high.offset < low.offset + low.nbytes and (low, high) not in seen:
                seen.add((low, high))
                yield (
                    f"step {step}: buffers {low.name!r}, {low.nbytes} bytes at {low.offset}, and "
                    f"{high.name!r}, {high.nbytes} bytes at {high.offset}, share bytes"
                )


def _doing(plan: Plan, step: Step | HostStep) -> Doing:
    kernel = step.kernel.symbol if isinstance(step, Step) else "its reference"
    if step.node >= len(plan.nodes):  # states of a graph without nodes
        return Doing("", "", kernel)
    node = plan.nodes[step.node]
    return Doing(node.op.name, node.origin, kernel)
