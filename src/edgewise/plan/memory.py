"""The arena: buffers whose lifetimes do not overlap share its bytes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate
from random import Random
from typing import NamedTuple, TypeAlias

import numpy as np

from ..aligned import ALIGN
from ..kernels.views import SLACK
from .model import Buffer, align

Lifetimes: TypeAlias = Mapping[Buffer, tuple[int, int]]
"""First and last step, inclusive, that touch each buffer."""

EFFORT = 200_000
"""Comparisons of two buffers that the search for a smaller arena may take, about 20 ms."""


def place(lifetimes: Lifetimes) -> tuple[dict[Buffer, int], int]:
    """Offsets of the buffers and the size of the arena, in bytes.

    Each buffer in turn goes into the smallest gap that fits among those placed before whose
    lifetimes overlap with its own, as in Pisarchyk and Lee, "Efficient Memory Management for Deep
    Neural Net Inference" (2020). The turns are by size, by length of life, by both, and by time;
    where none of them needs as little as lives at once, orders near the best one are tried.
    """
    if not lifetimes:
        return {}, ALIGN
    buffers, spans = list(lifetimes), list(lifetimes.values())
    sizes = [align(buffer.nbytes) for buffer in buffers]
    least = max(live_bytes(lifetimes))
    beside = _neighbours(spans)
    best: _Stack | None = None
    for key in _keys(sizes, spans):
        found = _stack(sorted(range(len(sizes)), key=key), sizes, beside)
        if best is None or found.top < best.top:
            best = found
        if best.top == least:
            break
    assert best is not None
    best = _improved(best, least, sizes, beside)
    return dict(zip(buffers, best.offsets, strict=True)), align(best.top + SLACK)


def live_bytes(lifetimes: Lifetimes) -> list[int]:
    """Bytes that live at each step; no arena, less its slack, is smaller than their maximum."""
    changes = [0] * (max((last for _, last in lifetimes.values()), default=0) + 2)
    for buffer, (first, last) in lifetimes.items():
        changes[first] += align(buffer.nbytes)
        changes[last + 1] -= align(buffer.nbytes)
    return list(accumulate(changes))[:-1]


class _Stack(NamedTuple):
    """Offsets by buffer, the bytes they take, and the order in which they were chosen."""

    top: int
    offsets: list[int]
    order: list[int]


def _keys(
    sizes: Sequence[int], spans: Sequence[tuple[int, int]]
) -> tuple[Callable[[int], tuple[int, ...]], ...]:
    """Orders worth trying, as sort keys of the buffers' numbers."""
    lengths = [last - first + 1 for first, last in spans]
    return (
        lambda i: (-sizes[i], *spans[i]),
        lambda i: (-lengths[i], -sizes[i]),
        lambda i: (-lengths[i] * sizes[i],),
        lambda i: (spans[i][0], -sizes[i]),
    )


def _neighbours(spans: Sequence[tuple[int, int]]) -> list[list[int]]:
    """For each buffer, the others that live at a time with it."""
    firsts, lasts = np.array(spans, np.int64).T
    found = [np.flatnonzero((firsts <= last) & (lasts >= first)).tolist() for first, last in spans]
    return [[j for j in row if j != i] for i, row in enumerate(found)]


def _stack(order: list[int], sizes: Sequence[int], beside: Sequence[Sequence[int]]) -> _Stack:
    """Place the buffers in this order, each where it leaves the least room unused."""
    offsets = [-1] * len(sizes)
    top = 0
    for i in order:
        taken = sorted((offsets[j], offsets[j] + sizes[j]) for j in beside[i] if offsets[j] >= 0)
        end, best, gap = 0, -1, 0
        for start, stop in taken:
            if start - end >= sizes[i] and (best < 0 or start - end < gap):
                best, gap = end, start - end
            end = max(end, stop)
        offsets[i] = end if best < 0 else best
        top = max(top, offsets[i] + sizes[i])
    return _Stack(top, offsets, order)


def _improved(
    best: _Stack, least: int, sizes: Sequence[int], beside: Sequence[Sequence[int]]
) -> _Stack:
    """A search around an order: what ends at the top, or lies beneath, gets an earlier turn."""
    random = Random(0)
    for _ in range(EFFORT // (sum(map(len, beside)) + len(sizes))):
        if best.top == least:
            break
        highest = [i for i, at in enumerate(best.offsets) if at + sizes[i] == best.top]
        chosen = random.choice(highest)
        if random.random() < 0.25:
            chosen = random.choice(beside[chosen])
        order = [i for i in best.order if i != chosen]
        order.insert(random.randint(0, best.order.index(chosen)), chosen)
        found = _stack(order, sizes, beside)
        if found.top <= best.top:
            best = found
    return best
