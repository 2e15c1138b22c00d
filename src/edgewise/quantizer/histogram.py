"""A histogram of a stream of numbers: constant memory, no range to be known beforehand."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from ..graph import Array

SIDE = 2048
"""Bins on either side of 0, a power of two."""

LEAST_EXPONENT = -120
"""Of the width of a bin: a float32 can be divided by it."""

BLOCK = 1 << 16
"""Numbers counted at a time: what lies between the steps stays in the cache."""


class Bins(NamedTuple):
    """The bins that hold numbers: float64 edges, ``left <= right``, and how many numbers."""

    left: Array
    right: Array
    counts: Array

    @property
    def middle(self) -> Array:
        return (self.left + self.right) / 2


class Histogram:
    """Counts of numbers in bins of one width, a power of two; ``SIDE`` on either side of 0.

    Bin i counts what lies in ((i - 1) * width, i * width]: the zeros of a ReLU are alone in theirs.
    Where a number lies beyond the bins, width doubles and bins merge in pairs, which loses no
    count: the bins are those that all numbers at once would have had, whatever their order. (A
    number below 2**-149 widths may count as 0.)

    Attributes:
        exponent: of the width.
        counts: int64 [2 * SIDE + 1], from bin -SIDE to bin SIDE.
        low, high: the least and the greatest number, exactly.
    """

    def __init__(self) -> None:
        self.exponent = LEAST_EXPONENT
        self.counts: Array = np.zeros(2 * SIDE + 1, np.int64)
        self.low, self.high = math.inf, -math.inf

    @property
    def width(self) -> float:
        return math.ldexp(1.0, self.exponent)

    @property
    def total(self) -> int:
        return int(self.counts.sum())

    def add(self, array: Array, low: float, high: float) -> None:
        """Count finite floats; ``low`` and ``high`` are their least and greatest."""
        self._widen(_exponent(max(-low, high)))
        self.low, self.high = min(self.low, low), max(self.high, high)
        flat = np.ravel(array if array.dtype.itemsize >= 4 else array.astype(np.float32))
        factor = flat.dtype.type(math.ldexp(1.0, -self.exponent))
        offset = flat.dtype.type(SIDE)
        for start in range(0, flat.size, BLOCK):
            scaled = flat[start : start + BLOCK] * factor
            np.ceil(scaled, out=scaled)
            scaled += offset
            self.counts += np.bincount(scaled.astype(np.int64), minlength=2 * SIDE + 1)

    def bins(self) -> Bins:
        """The bins that hold numbers, of those at the ends only the part within the extremes."""
        (found,) = np.nonzero(self.counts)
        right = np.minimum((found - SIDE) * self.width, self.high)
        left = np.maximum((found - SIDE - 1) * self.width, self.low)
        return Bins(left, np.maximum(left, right), self.counts[found])

    def quantile(self, share: float) -> float:
        """The number that ``share`` of all do not exceed, where each bin's are spread evenly."""
        left, right, count = self.bins()
        before = np.cumsum(count) - count
        at = int(np.searchsorted(before, share * self.total, side="right")) - 1
        inside = (share * self.total - before[at]) / count[at]
        return float(left[at] + inside * (right[at] - left[at]))

    def _widen(self, exponent: int) -> None:
        """Merge bins in pairs until the width has at least this exponent."""
        steps = max(exponent - self.exponent, 0)
        is_empty = self.low > self.high
        for _ in range(0 if is_empty else min(steps, SIDE.bit_length())):
            pairs = np.concatenate([[0], self.counts]).reshape(-1, 2).sum(axis=1)
            self.counts = np.pad(pairs, SIDE // 2)
        self.exponent += steps


def _exponent(magnitude: float) -> int:
    """The least exponent of a width of which ``SIDE`` bins reach ``magnitude``."""
    if magnitude == 0.0:
        return LEAST_EXPONENT
    fraction, exponent = math.frexp(magnitude)
    return max(exponent - (fraction == 0.5) - SIDE.bit_length() + 1, LEAST_EXPONENT)
