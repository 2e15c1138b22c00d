"""What each step of a plan does: multiply-adds, bytes, and what it multiplies with."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..kernels.gather import Gather
from ..kernels.peak import Arithmetic, arithmetic
from ..kernels.tiled import TiledConv
from ..ops import Control
from .model import CONSTANTS, Address, HostStep, Plan, Step, View


@dataclass(frozen=True)
class Work:
    """Of one run of a step.

    Attributes:
        macs: multiply-adds of the operators' definition.
        activation_bytes: what it reads and writes in the arena, each operand once, padding
            included; of what indices name, as much as they do.
        weight_bytes: what it reads of the constants.
        products: what it multiplies with, and how many of its multiply-adds so; none where
            products are not what it is about.
        direct: whether it does these multiply-adds, rather than fewer by a transform (Winograd's,
            Fourier's).
    """

    macs: int
    activation_bytes: int
    weight_bytes: int
    products: tuple[tuple[Arithmetic, int], ...] = ()
    direct: bool = True

    @property
    def nbytes(self) -> int:
        return self.activation_bytes + self.weight_bytes


NO_WORK = Work(0, 0, 0)


def works(plan: Plan) -> list[Work]:
    """The work of each step.

    A node's multiply-adds are those of its steps that multiply, by the elements that these write;
    where none is known to, of the one with the most weights.
    """
    sizes = _constant_sizes(plan)
    macs = _macs(plan, sizes)
    return [
        Work(
            macs=sum(macs.get(id(part), 0) for part in _parts(step)),
            activation_bytes=sum(int(min(_moved(view), _most(step))) for view in step.views),
            weight_bytes=sum(int(min(sizes[at], _most(step))) for at in _constants(step)),
            products=tuple(
                (kind, macs[id(part)])
                for part in _parts(step)
                if isinstance(part, Step) and (kind := arithmetic(part.kernel)) is not None
            ),
            direct=not any(
                isinstance(part, Step) and isinstance(part.kernel, TiledConv)
                for part in _parts(step)
            ),
        )
        for step in plan.steps
    ]


def _parts(step: Step | HostStep) -> Sequence[Step | HostStep]:
    """The steps that one runs over bands of rows; else itself."""
    return step.parts if isinstance(step, Step) and step.parts else (step,)


def _macs(plan: Plan, sizes: Mapping[int, int]) -> dict[int, int]:
    """Multiply-adds of each step, or part of one, by its id."""

    def weights(step: Step | HostStep) -> int:
        return sum(sizes.get(at, 0) for at in _constants(step))

    by_node: dict[int, list[Step | HostStep]] = {}
    for part in (part for step in plan.steps for part in _parts(step)):
        if part.node < len(plan.nodes):
            by_node.setdefault(part.node, []).append(part)
    macs = {}
    for number, steps in by_node.items():
        node = plan.nodes[number]
        if isinstance(node.op, Control):  # its graphs have steps of their own
            continue
        doing: list[Step | HostStep] = [
            s for s in steps if isinstance(s, Step) and arithmetic(s.kernel) is not None
        ]
        if not doing:
            doing = [max(reversed(steps), key=weights)]
        written = [_written(s) for s in doing]
        for step, elements in zip(doing, written, strict=True):
            macs[id(step)] = round(node.macs * elements / sum(written)) if elements else 0
    return macs


def _written(step: Step | HostStep) -> int:
    views = step.writes if isinstance(step, Step) else step.outputs
    return sum(view.type.size for view in views)


def _moved(view: View) -> int:
    """Bytes of a view; what strides of 0 repeat counts once. Constants are counted elsewhere."""
    if view.address.buffer is CONSTANTS:
        return 0
    first, last = view.extent
    return min(view.type.nbytes, last - first)


def _most(step: Step | HostStep) -> float:
    """Bytes of an operand that a step moves at most: those that indices name, where they do."""
    if isinstance(step, Step) and isinstance(step.kernel, Gather):
        return min(step.reads[0].type.nbytes, step.writes[0].type.nbytes)
    return math.inf


def _constants(step: Step | HostStep) -> set[int]:
    """Where the constants begin that a step is given."""
    if isinstance(step, HostStep):
        return set()
    given = [x for x in step.params.values() if isinstance(x, Address)]
    given += [view.address for view in step.views]
    return {a.offset for a in given if a.buffer is CONSTANTS}


def _constant_sizes(plan: Plan) -> dict[int, int]:
    """Bytes from each constant that a step is given to the next one."""
    starts = sorted({offset for step in plan.steps for offset in _constants(step)})
    ends = [*starts, plan.constants.nbytes]
    return {start: ends[bisect_right(starts, start)] - start for start in starts}
