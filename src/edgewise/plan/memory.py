"""The arena: buffers whose lifetimes do not overlap share its bytes."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ..kernels.views import SLACK
from .model import ALIGN, Buffer, align


def place(
    lifetimes: Mapping[Buffer, tuple[int, int]],
) -> tuple[dict[Buffer, int], int]:
    """Offsets of the buffers and the size of the arena, in bytes.

    The greedy-by-size heuristic of Pisarchyk and Lee, "Efficient Memory Management for Deep
    Neural Net Inference" (2020): largest first, each into the smallest gap that fits among those
    placed before whose lifetimes (first and last step, inclusive) overlap with its own.
    """
    offsets: dict[Buffer, int] = {}
    placed = np.zeros((4, len(lifetimes)), np.int64)
    starts, stops, firsts, lasts = placed
    for count, buffer in enumerate(sorted(lifetimes, key=lambda b: (-b.nbytes, lifetimes[b]))):
        first, last = lifetimes[buffer]
        size = align(buffer.nbytes)
        beside = np.flatnonzero((firsts[:count] <= last) & (lasts[:count] >= first))
        beside = beside[np.argsort(starts[beside], kind="stable")]
        ends = np.maximum.accumulate(np.append(0, stops[beside]))
        gaps = starts[beside] - ends[:-1]
        fitting = np.flatnonzero(gaps >= size)
        best = fitting[gaps[fitting].argmin()] if fitting.size else -1
        offsets[buffer] = int(ends[best])
        placed[:, count] = offsets[buffer], offsets[buffer] + size, first, last
    top = max((offsets[b] + align(b.nbytes) for b in offsets), default=0)
    return offsets, align(top + SLACK) if top else ALIGN
