"""Observers: the range of an activation from a stream of samples, in constant memory.

docs/calibration.md compares them. All but `MovingAverage` give the same range for any order of the
samples, and for any way of splitting them.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from functools import cache, partial
from typing import Any, ClassVar

import numpy as np

from ..errors import InputError
from ..graph import Array
from .histogram import Bins, Histogram
from .precision import Range


@dataclass
class Observer(ABC):
    """What becomes of an activation's numbers: the range that its integers are to span.

    Attributes:
        name: of the activation.
        samples: how many were seen.
        low, high: the extremes of what was seen.
    """

    name: str
    samples: int = field(default=0, init=False)
    low: float = field(default=math.inf, init=False)
    high: float = field(default=-math.inf, init=False)

    kind: ClassVar[str]

    def update(self, array: Array, where: str | None = None) -> None:
        """See the activation of one sample: float32 or float16 of any shape.

        Args:
            where: what errors call the sample; if not given, its number.

        Raises:
            InputError: a number is NaN.
        """
        self.samples += 1
        if not array.size:
            return
        low, high = float(array.min()), float(array.max())
        if math.isnan(low):
            wrong = int(np.count_nonzero(np.isnan(array)))
            raise InputError(
                f"{where or f'sample {self.samples - 1}'}: activation {self.name!r}: {wrong} of "
                f"{array.size} numbers are NaN; a range needs numbers"
            )
        if math.isfinite(low) and math.isfinite(high):
            self._observe(array, low, high)
        else:
            self.low, self.high = min(self.low, low), max(self.high, high)

    def range(self, bits: int = 8) -> Range:
        """The range for integers of so many bits: within `extremes`, or those if one is infinite.

        Raises:
            InputError: nothing was seen.
        """
        extremes = self.extremes
        if not all(map(math.isfinite, extremes)):
            return extremes
        low, high = self._range(bits)
        return Range(
            min(max(low, extremes.low), 0.0),
            max(min(high, extremes.high), 0.0),
        )

    @property
    def extremes(self) -> Range:
        """What was seen, and 0.

        Raises:
            InputError: nothing was seen.
        """
        if self.low > self.high:
            raise InputError(f"activation {self.name!r}: no numbers in {self.samples} samples")
        return Range(min(self.low, 0.0), max(self.high, 0.0))

    def _observe(self, array: Array, low: float, high: float) -> None:
        """Take in one sample's numbers, finite ones, and their extremes."""
        self.low, self.high = min(self.low, low), max(self.high, high)

    @abstractmethod
    def _range(self, bits: int) -> tuple[float, float]:
        """The range; what of it lies beyond the extremes is not used."""

    def _check(self, option: str, low: float, high: float) -> None:
        """Require an option to be a number above ``low`` and at most ``high``."""
        value = getattr(self, option)
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not (is_number and low < value <= high):
            raise InputError(
                f"observer {self.kind!r}: {option} is {value!r}; it must be above {low:g} and at "
                f"most {high:g}"
            )


@dataclass
class MinMax(Observer):
    """The extremes: nothing is clipped."""

    kind: ClassVar[str] = "minmax"

    def _range(self, bits: int) -> tuple[float, float]:
        return self.low, self.high


@dataclass
class MovingAverage(Observer):
    """The extremes of each sample, averaged exponentially; the only one that depends on order.

    The first sample's are where it starts; ``averaging_constant`` is how far each later one moves
    it (PyTorch's MovingAverageMinMaxObserver).
    """

    averaging_constant: float = 0.01

    kind: ClassVar[str] = "moving_average"

    def __post_init__(self) -> None:
        self._check("averaging_constant", 0.0, 1.0)
        self._average: tuple[float, float] | None = None

    def _observe(self, array: Array, low: float, high: float) -> None:
        super()._observe(array, low, high)
        before = self._average or (low, high)
        share = self.averaging_constant
        self._average = (
            before[0] + share * (low - before[0]),
            before[1] + share * (high - before[1]),
        )

    def _range(self, bits: int) -> tuple[float, float]:
        assert self._average is not None
        return self._average


@dataclass
class _Histogrammed(Observer):
    """Base of the observers that choose from a histogram."""

    def __post_init__(self) -> None:
        self.histogram = Histogram()

    def _observe(self, array: Array, low: float, high: float) -> None:
        super()._observe(array, low, high)
        self.histogram.add(array, low, high)


@dataclass
class Percentile(_Histogrammed):
    """The range that ``percentile`` percent of the numbers lie in, half of the others on each side.

    Where both extremes have one sign, and 0 is an end of the range, all others are on the far side.
    """

    percentile: float = 99.999

    kind: ClassVar[str] = "percentile"

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check("percentile", 50.0, 100.0)

    def _range(self, bits: int) -> tuple[float, float]:
        share = self.percentile / 100
        both = self.low < 0.0 < self.high
        outside = (1.0 - share) / 2 if both else 1.0 - share
        return self.histogram.quantile(outside), self.histogram.quantile(1.0 - outside)


@dataclass
class MSE(_Histogrammed):
    """The range whose integers have the least expected squared error.

    The error is exact for numbers spread evenly within each bin: rounding and clipping, with the
    zero point rounded. First both ends shrink together, or what is beyond one magnitude is clipped;
    then each end moves while the other rests.
    """

    kind: ClassVar[str] = "mse"

    FIRST: ClassVar[Array] = np.linspace(1.0, 1 / 64, 64)
    NEXT: ClassVar[tuple[float, ...]] = (1 / 8, 1 / 32, 1 / 128)

    def _range(self, bits: int) -> tuple[float, float]:
        greatest = max(-self.low, self.high)
        if greatest == 0.0:
            return 0.0, 0.0
        left, right, counts = self.histogram.bins()
        bins = Bins(left / greatest, right / greatest, counts)
        low, high = self.extremes.low / greatest, self.extremes.high / greatest

        def best(lows: Array, highs: Array) -> tuple[float, float]:
            lows, highs = np.broadcast_arrays(np.maximum(lows, low), np.minimum(highs, high))
            at = int(np.argmin(squared_error(bins, lows, highs, bits)))
            return float(lows[at]), float(highs[at])

        shrunk = low * self.FIRST, high * self.FIRST
        clipped = np.maximum(low, -self.FIRST), np.minimum(high, self.FIRST)
        one_sided = low == 0.0 or high == 0.0
        chosen = best(*(shrunk if one_sided else np.concatenate([shrunk, clipped], axis=1)))
        for reach in self.NEXT:
            factors = 1.0 + np.linspace(-reach, reach, 17)
            if high > 0.0:
                chosen = best(np.array(chosen[0]), chosen[1] * factors)
            if low < 0.0:
                chosen = best(chosen[0] * factors, np.array(chosen[1]))
        return chosen[0] * greatest, chosen[1] * greatest


def squared_error(bins: Bins, lows: Array, highs: Array, bits: int) -> Array:
    """The mean squared error of quantization for each of some ranges, [n] of ``lows`` and
    ``highs``; ``low <= 0 <= high``, and they differ.
    """
    scale = (highs - lows) / (2**bits - 1)
    least = np.rint(lows / scale)
    step, first, last = (array[:, None] for array in (scale, least, least + (2**bits - 1)))

    def nearest(x: Array) -> tuple[Array, Array]:
        """The integers for some numbers, and their errors in steps."""
        found = x / step
        integers = np.minimum(np.maximum(np.rint(found), first), last)
        found -= integers
        return integers, found

    extent = bins.right - bins.left
    wide = extent > 1e-6 * scale.min()
    density = bins.counts[wide] / extent[wide]
    edges, at = np.unique([bins.left[wide], bins.right[wide]], return_inverse=True)
    left, right = at.reshape(2, -1)
    weight = np.bincount(right, density, edges.size) - np.bincount(left, density, edges.size)
    integers, error = nearest(edges)
    integral = integers / 12 + error * error * error / 3
    total = integral @ weight * scale**3
    _, error = nearest(bins.middle[~wide])
    total += (error * error) @ bins.counts[~wide] * scale**2
    result: Array = total / bins.counts.sum()
    return result


@dataclass
class Entropy(_Histogrammed):
    """The range whose integers' distribution is nearest to the numbers' by KL divergence.

    NVIDIA's method for TensorRT (Migacz, 2017), on magnitudes: of two signs, the range is the same
    on both sides. What lies beyond a range counts at its end. It has known flaws, which are the
    method's: it does not see how far clipped numbers move, and so clips rare large ones that
    matter; the spike that they make at the end favours the whole range. Zeros, most of what a ReLU
    gives, would decide alone, and do not count: they are exact in any range. More than 10 bits have
    as many levels as the histogram bins, and take the extremes.
    """

    kind: ClassVar[str] = "entropy"

    BINS: ClassVar[int] = 2048
    CANDIDATES: ClassVar[int] = 128

    def _range(self, bits: int) -> tuple[float, float]:
        both = self.low < 0.0 < self.high
        levels = 2 ** (bits - both)
        bins = self.histogram.bins()
        positions, counts = _magnitudes(bins, self.histogram.width)
        reach = int(positions.max(initial=0)) + 1
        merge = -(-reach // self.BINS)
        share = np.bincount(positions // merge, counts)
        if both and share.size > 1:
            share[0] = share[1]
        if share.size <= levels or not share.any():
            return self.low, self.high
        ends = np.unique(np.linspace(levels, share.size, self.CANDIDATES).astype(np.int64))
        divergences = [_divergence(share, int(end), levels) for end in ends]
        limit = float(ends[int(np.argmin(divergences))]) * merge * self.histogram.width
        return -limit, limit


def _magnitudes(bins: Bins, width: float) -> tuple[Array, Array]:
    """Bins of magnitudes from 0 on, by number, and their counts; zeros alone have none."""
    some = bins.right != 0.0
    distance = np.abs(bins.middle[some]) / width
    return distance.astype(np.int64), bins.counts[some]


def _divergence(share: Array, end: int, levels: int) -> float:
    """KL divergence of a distribution over bins, clipped to the first ``end``, and of what is left
    of those bins in so many levels.
    """
    kept = share[:end]
    clipped = kept.copy()
    clipped[-1] += share[end:].sum()
    starts = np.arange(levels) * end // levels
    filled = kept > 0.0
    sums = np.add.reduceat(kept, starts)
    used = np.maximum(np.add.reduceat(filled.astype(np.int64), starts), 1)
    spread = np.repeat(sums / used, np.diff([*starts, end])) * filled
    p = clipped[clipped > 0.0] / clipped.sum()
    q = np.maximum(spread[clipped > 0.0] / max(spread.sum(), 1.0), 1e-9)
    return float((p * np.log(p / q)).sum())


@dataclass
class ACIQ(_Histogrammed):
    """Analytic clipping for integer quantization (Banner et al., 2019).

    The numbers are taken for a Laplace or a Gauss distribution, whichever is likelier, and clipped
    where its expected squared error is least. Numbers of one sign are taken for one half of it, as
    a ReLU leaves; its zeros do not count.
    """

    kind: ClassVar[str] = "aciq"

    def _range(self, bits: int) -> tuple[float, float]:
        bins = self.histogram.bins()
        one_sided = self.low >= 0.0 or self.high <= 0.0
        if one_sided:
            some = bins.right != 0.0
            bins = Bins(*(array[some] for array in bins))
        if not bins.counts.size:
            return self.low, self.high
        share = bins.counts / bins.counts.sum()
        center = 0.0 if one_sided else float(share @ bins.middle)
        away = bins.middle - center
        mean = float(share @ np.abs(away))
        deviation = math.sqrt(float(share @ (away**2 + (bins.right - bins.left) ** 2 / 12)))
        laplace = mean * math.e / math.sqrt(math.pi * math.e / 2) < deviation
        bits += one_sided
        limit = mean * laplace_limit(bits) if laplace else deviation * gauss_limit(bits)
        return center - limit, center + limit


@cache
def laplace_limit(bits: int) -> float:
    """Where to clip a Laplace distribution, as a multiple of its mean magnitude."""
    return _zero(lambda a: a / (3 * 4**bits) - math.exp(-a))


@cache
def gauss_limit(bits: int) -> float:
    """Where to clip a Gauss distribution, as a multiple of its standard deviation."""
    return _zero(
        lambda a: (
            a * math.erfc(a / math.sqrt(2.0))
            - math.sqrt(2 / math.pi) * math.exp(-a * a / 2)
            + a / (3 * 4**bits)
        )
    )


def _zero(derivative: Callable[[float], float]) -> float:
    """Where a derivative becomes positive between 0 and 64."""
    low, high = 0.0, 64.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (low, middle) if derivative(middle) > 0.0 else (middle, high)
    return low


OBSERVERS: Mapping[str, type[Observer]] = {
    observer.kind: observer for observer in (MinMax, MovingAverage, Percentile, MSE, Entropy, ACIQ)
}
"""By the user's name for them."""


def maker(kind: str, options: Mapping[str, Any] | None = None) -> Callable[[str], Observer]:
    """What makes the observer of an activation from its name.

    Args:
        kind: the observers' name in `OBSERVERS`.
        options: of such observers, by name.

    Raises:
        InputError: there is no such observer or option, or an option is out of range.
    """
    if not isinstance(kind, str) or kind not in OBSERVERS:
        raise InputError(f"observer {kind!r}; it is one of {', '.join(OBSERVERS)}")
    made = OBSERVERS[kind]
    given = dict(options or {})
    known = [f.name for f in fields(made) if f.init and f.name != "name"]
    unknown = next((option for option in given if option not in known), None)
    if unknown is not None:
        has = f"its options are {', '.join(known)}" if known else "it has no options"
        raise InputError(f"observer {kind!r}: unknown option {unknown!r}; {has}")
    make: Callable[[str], Observer] = partial(made, **given)
    make("")
    return make
