"""95 % intervals of metrics, and of their differences on the same samples; always the same ones."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from ..graph import Array
from .metrics import Metric

Z = 1.959963984540054
"""The normal distribution lies within so many standard deviations for 95 %."""

RESAMPLES = 1000


class Interval(NamedTuple):
    """A figure, and between which ones it lies with a probability of 95 %; NaN: nothing tells."""

    value: float
    low: float
    high: float


def figure(metric: Metric, rows: Array) -> Interval:
    """The figure of rows [N, ...]: of a proportion with Wilson's interval, else the bootstrap's."""
    value = metric.total(rows)
    if metric.proportion:
        return Interval(value, *wilson(int(rows.sum()), len(rows)))
    return Interval(value, *bootstrap(lambda some: metric.total(some[0]), [rows]))


def difference(metric: Metric, first: Array, other: Array) -> Interval:
    """How much more the figure of ``other`` is than that of ``first``, both of the same samples.

    Of proportions with the interval of Newcombe (1998, method 10), else of the paired bootstrap.
    """

    def total(rows: Sequence[Array]) -> float:
        before, after = metric.total(rows[0]), metric.total(rows[1])
        return 0.0 if before == after else after - before

    value = total([first, other])
    if metric.proportion:
        return Interval(value, *newcombe(*_table(first, other)))
    return Interval(value, *bootstrap(total, [first, other]))


def p_value(first: Array, other: Array) -> float:
    """McNemar's exact test of rows 0 or 1: how likely so uneven changes are by chance alone."""
    _, lost, won, _ = _table(first, other)
    changed = lost + won
    tail = sum(
        math.exp(
            math.lgamma(changed + 1)
            - math.lgamma(k + 1)
            - math.lgamma(changed - k + 1)
            - changed * math.log(2)
        )
        for k in range(min(lost, won) + 1)
    )
    return min(1.0, 2 * tail)


def wilson(right: int, count: int) -> tuple[float, float]:
    """Wilson's score interval (1927) of the proportion ``right`` of ``count``."""
    share = right / count
    middle = (share + Z * Z / (2 * count)) / (1 + Z * Z / count)
    half = Z * math.sqrt(share * (1 - share) / count + (Z / count) ** 2 / 4) / (1 + Z * Z / count)
    return max(0.0, middle - half), min(1.0, middle + half)


def newcombe(both: int, lost: int, won: int, neither: int) -> tuple[float, float]:
    """The interval of (won - lost) / count, from counts of samples.

    ``lost`` were right in the first, ``won`` in the other only.
    """
    count = both + lost + won + neither
    before, after = (both + lost) / count, (both + won) / count
    low_before, high_before = wilson(both + lost, count)
    low_after, high_after = wilson(both + won, count)
    margins = (both + lost) * (won + neither) * (both + won) * (lost + neither)
    product = both * neither - lost * won
    corrected = max(product - count / 2, 0.0) if product > 0 else float(product)
    phi = corrected / math.sqrt(margins) if margins else 0.0

    def distance(a: float, b: float) -> float:
        return math.sqrt(max(0.0, a * a - 2 * phi * a * b + b * b))

    change = after - before
    return (
        change - distance(after - low_after, high_before - before),
        change + distance(high_after - after, before - low_before),
    )


def bootstrap(
    total: Callable[[Sequence[Array]], float], rows: Sequence[Array]
) -> tuple[float, float]:
    """The middle 95 % of ``total`` over samples drawn anew, the same ones of each array of rows.

    NaN where there is one sample, or ``total`` is NaN; draws of which it is NaN are left out.
    Columns [:, c] of rows [N, C, K] that are 0 throughout are left out of what is drawn.
    """
    count = len(rows[0])
    if count < 2 or math.isnan(total(rows)):
        return math.nan, math.nan
    if rows[0].ndim == 3 and rows[0].shape[1] > 1:
        used = np.any([r.any(axis=(0, 2)) for r in rows], axis=0)
        rows = [r[:, used] for r in rows]
    generator = np.random.default_rng(0)
    draws = (generator.integers(0, count, count) for _ in range(RESAMPLES))
    totals = np.array([total([r[draw] for r in rows]) for draw in draws])
    totals = np.sort(totals[~np.isnan(totals)])
    left_out = int(0.025 * totals.size)
    return float(totals[left_out]), float(totals[-1 - left_out])


def _table(first: Array, other: Array) -> tuple[int, int, int, int]:
    """Samples right in both, in the first only, in the other only, in neither."""
    a, b = first.ravel() > 0, other.ravel() > 0
    return int((a & b).sum()), int((a & ~b).sum()), int((~a & b).sum()), int((~a & ~b).sum())
