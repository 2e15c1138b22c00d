"""The operators that run without a kernel, and the share of the time that they take."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..errors import RunError
from ..graph import Array

if TYPE_CHECKING:
    from ..runtime import Program

CALLS = 5


@dataclass(frozen=True)
class Slow:
    """An operator that runs through numpy, and why.

    ``share`` is its part of a call's time; None where the network cannot take what it was given.
    """

    op: str
    origin: str
    reason: str
    share: float | None


def slow_operators(program: Program, arrays: Sequence[Array], calls: int = CALLS) -> list[Slow]:
    """The operators without a kernel, with their shares of the time of ``calls`` calls.

    Nothing is run where there are none. Variables stay as they are.

    Raises:
        InputError: as a call of the program does.
    """
    found = program.fallbacks
    if not found:
        return []
    shares: dict[int, float] = {}
    try:
        profile = program.profile(*arrays, runs=calls)
    except RunError:
        pass
    else:
        shares = {
            id(node): step.seconds / profile.seconds
            for step in profile.steps
            for node in step.nodes
            if step.kernel is None
        }
    return [Slow(f.node.op.name, f.node.origin, f.reason, shares.get(id(f.node))) for f in found]
