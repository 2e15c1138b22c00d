"""The operators that run without a kernel, and the share of the time that they take."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..errors import RunError
from ..graph import Array

if TYPE_CHECKING:
    from ..runtime import Part, Program

CALLS = 5


@dataclass(frozen=True)
class Slow:
    """An operator that runs through numpy, and why.

    ``share`` is its part of a call's time; None where it was not timed by itself, as within the
    body of a loop, or where it cannot take what it was given.
    """

    op: str
    origin: str
    reason: str
    share: float | None


def slow_operators(program: Program, arrays: Sequence[Array], calls: int = CALLS) -> list[Slow]:
    """The operators without a kernel, with the median of their shares over ``calls`` calls.

    Nothing is run where there are none. Variables stay as they are.

    Raises:
        InputError: as a call of the program does.
    """
    found = program.fallbacks
    if not found:
        return []
    profiles: list[list[Part]] = []
    with contextlib.suppress(RunError):
        profiles += [program.profile(*arrays) for _ in range(calls)]
    shares: dict[int, list[float]] = {}
    for parts in profiles:
        total = sum(part.seconds for part in parts)
        for part in parts:
            if part.node is not None and total > 0:
                shares.setdefault(id(part.node), []).append(part.seconds / total)
    return [
        Slow(
            fallback.node.op.name,
            fallback.node.origin,
            fallback.reason,
            float(np.median(shares[id(fallback.node)])) if id(fallback.node) in shares else None,
        )
        for fallback in found
    ]
