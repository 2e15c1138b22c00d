"""What each step of a plan does: multiply-adds, bytes, and what it multiplies with."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

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
            included.
        weight_bytes: what it reads of the constants.
        arithmetic: what it multiplies with; None where it does something else.
        direct: whether it does these multiply-adds, rather than fewer by a transform (Winograd's,
            Fourier's).
    """

    macs: int
    activation_bytes: int
    weight_bytes: int
    arithmetic: Arithmetic | None
    direct: bool = True

    @property
    def nbytes(self) -> int:
        return self.activation_bytes + self.weight_bytes


NO_WORK = Work(0, 0, 0, None)


def works(plan: Plan) -> list[Work]:
    """The work of each step.

    A node's multiply-adds are those of its steps that multiply, by the elements that these write.
    """
    kinds = [arithmetic(s.kernel) if isinstance(s, Step) else None for s in plan.steps]
    shares = _shares(plan, kinds)
    sizes = _constant_sizes(plan)
    return [
        Work(
            macs=round(_macs(plan, step) * share),
            activation_bytes=sum(map(_moved, step.views)),
            weight_bytes=sum(sizes[offset] for offset in _constants(step)),
            arithmetic=kind,
            direct=not isinstance(getattr(step, "kernel", None), TiledConv),
        )
        for step, kind, share in zip(plan.steps, kinds, shares, strict=True)
    ]


def _macs(plan: Plan, step: Step | HostStep) -> int:
    """Of the step's node; the graphs that a node holds have steps of their own."""
    if step.node >= len(plan.nodes) or isinstance(plan.nodes[step.node].op, Control):
        return 0
    return plan.nodes[step.node].macs


def _shares(plan: Plan, kinds: Sequence[Arithmetic | None]) -> list[float]:
    """Which part of its node's multiply-adds each step does."""
    by_node: dict[int, list[int]] = {}
    for i, step in enumerate(plan.steps):
        by_node.setdefault(step.node, []).append(i)
    shares = [0.0] * len(plan.steps)
    for steps in by_node.values():
        doing = [i for i in steps if kinds[i] is not None] or steps[-1:]
        written = [_written(plan.steps[i]) for i in doing]
        total = sum(written)
        for i, elements in zip(doing, written, strict=True):
            shares[i] = elements / total if total else 1 / len(doing)
    return shares


def _written(step: Step | HostStep) -> int:
    views = step.writes if isinstance(step, Step) else step.outputs
    return sum(view.type.size for view in views)


def _moved(view: View) -> int:
    """Bytes of a view; what strides of 0 repeat counts once. Constants are counted elsewhere."""
    if view.address.buffer is CONSTANTS:
        return 0
    first, last = view.extent
    return min(view.type.nbytes, last - first)


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
