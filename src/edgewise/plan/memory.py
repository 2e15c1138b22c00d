"""The arena: buffers whose lifetimes do not overlap share its bytes."""

from __future__ import annotations

from bisect import insort
from collections.abc import Mapping

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
    placed: list[tuple[int, int, int, int]] = []
    offsets: dict[Buffer, int] = {}
    for buffer in sorted(lifetimes, key=lambda b: (-b.nbytes, lifetimes[b])):
        first, last = lifetimes[buffer]
        size = align(buffer.nbytes)
        end, best, best_gap = 0, -1, 0
        for start, stop, other_first, other_last in placed:
            if other_first > last or other_last < first:
                continue
            gap = start - end
            if gap >= size and (best < 0 or gap < best_gap):
                best, best_gap = end, gap
            if stop > end:
                end = stop
        offset = best if best >= 0 else end
        offsets[buffer] = offset
        insort(placed, (offset, offset + size, first, last))
    top = max((offsets[b] + align(b.nbytes) for b in offsets), default=0)
    return offsets, align(top + SLACK) if top else ALIGN
