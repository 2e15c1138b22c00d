"""The arena: buffers whose lifetimes do not overlap share its bytes."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from itertools import accumulate
from random import Random
from typing import NamedTuple, TypeAlias

import numpy as np

from ..aligned import ALIGN
from ..kernels.views import SLACK
from .model import Buffer, align

Lifetimes: TypeAlias = Mapping[Buffer, tuple[int, int]]
"""First and last step, inclusive, that touch each buffer."""

EFFORT = 100_000
"""Comparisons of two buffers that the search for a smaller arena may take: at most 50 ms."""


def place(lifetimes: Lifetimes) -> tuple[dict[Buffer, int], int]:
    """Offsets of the buffers and the size of the arena, in bytes.

    Each buffer in turn goes into the smallest gap that fits among those placed before whose
    lifetimes overlap with its own, as in Pisarchyk and Lee, "Efficient Memory Management for Deep
    Neural Net Inference" (2020). The turns are by size, by length of life, by both, and by time,
    then the same with those of every other step at the upper ends of gaps, which suits chains;
    where nothing needs as little as lives at once, what is near the best is tried.
    """
    if not lifetimes:
        return {}, ALIGN
    buffers, spans = list(lifetimes), list(lifetimes.values())
    sizes = [align(buffer.nbytes) for buffer in buffers]
    least = max(live_bytes(lifetimes))
    beside = _neighbours(spans)
    best: _Stack | None = None
    for order, high in _starts(sizes, spans):
        found = _stack(order, high, least, sizes, beside)
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
    """Offsets by buffer, the bytes they take, and how they were chosen (see `_stack`)."""

    top: int
    offsets: list[int]
    order: list[int]
    high: frozenset[int]


def _starts(
    sizes: Sequence[int], spans: Sequence[tuple[int, int]]
) -> Iterator[tuple[list[int], frozenset[int]]]:
    """Orders worth trying, and which buffers go to the upper ends of gaps (see `_stack`)."""
    lengths = [last - first + 1 for first, last in spans]
    keys: tuple[Callable[[int], tuple[int, ...]], ...] = (
        lambda i: (-sizes[i], *spans[i]),
        lambda i: (-lengths[i], -sizes[i]),
        lambda i: (-lengths[i] * sizes[i],),
        lambda i: (spans[i][0], -sizes[i]),
    )
    orders = [sorted(range(len(sizes)), key=key) for key in keys]
    yield from ((order, frozenset()) for order in orders)
    turns = {first: turn for turn, first in enumerate(sorted({first for first, _ in spans}))}
    high = frozenset(i for i, (first, _) in enumerate(spans) if turns[first] % 2)
    yield from ((order, high) for order in reversed(orders))


def _neighbours(spans: Sequence[tuple[int, int]]) -> list[list[int]]:
    """For each buffer, the others that live at a time with it."""
    firsts, lasts = np.array(spans, np.int64).T
    found = [np.flatnonzero((firsts <= last) & (lasts >= first)).tolist() for first, last in spans]
    return [[j for j in row if j != i] for i, row in enumerate(found)]


def _stack(
    order: list[int],
    high: Collection[int],
    least: int,
    sizes: Sequence[int],
    beside: Sequence[Sequence[int]],
) -> _Stack:
    """Place the buffers in this order, each where it leaves the least room below ``least`` unused:
    at the lower end of a gap, or at the upper end if it is among ``high``."""
    offsets = [-1] * len(sizes)
    top = 0
    for i in order:
        size = sizes[i]
        taken = sorted((offsets[j], offsets[j] + sizes[j]) for j in beside[i] if offsets[j] >= 0)
        end, best, gap = 0, -1, 0
        for start, stop in (*taken, (least, least)):
            room = start - end
            if room >= size and (best < 0 or room < gap):
                best, gap = end, room
            end = max(end, stop)
        if best < 0:
            best = max((stop for _, stop in taken), default=0)
        elif i in high:
            best += gap - size
        offsets[i] = best
        top = max(top, best + size)
    return _Stack(top, offsets, order, frozenset(high))


def _improved(
    best: _Stack, least: int, sizes: Sequence[int], beside: Sequence[Sequence[int]]
) -> _Stack:
    """A search around an order: what ends at the top, or lies beneath, gets an earlier turn or the
    other end of its gap."""
    random = Random(0)
    for _ in range(EFFORT // (sum(map(len, beside)) + len(sizes))):
        if best.top == least:
            break
        highest = [i for i, at in enumerate(best.offsets) if at + sizes[i] == best.top]
        chosen = random.choice(highest)
        if random.random() < 0.5:
            chosen = random.choice(beside[chosen])
        order, high = best.order, best.high
        if random.random() < 0.25:
            high = high ^ {chosen}
        else:
            order = [i for i in best.order if i != chosen]
            order.insert(random.randint(0, best.order.index(chosen)), chosen)
        found = _stack(order, high, least, sizes, beside)
        if found.top <= best.top:
            best = found
    return best
