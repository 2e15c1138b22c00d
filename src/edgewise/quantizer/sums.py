"""What is summed up over samples, in memory that does not grow with their number."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from ..graph import Array, TensorType
from .precision import Range

Reals = npt.NDArray[np.float64]

LEAST_DB = -99.9
"""The SQNR that is told where there is no signal at all, or next to none."""


@dataclass(frozen=True)
class Error:
    """How a tensor of the quantized network departs from the float network's: e = q - x.

    Attributes:
        sqnr: signal-to-quantization-noise ratio, 10 log10(sum x^2 / sum e^2), in dB; None where
            nothing differs.
        bias: the mean of e.
        shift: the share of the sum of e^2 that is left of each channel's mean error alone, 0 to 1.
    """

    sqnr: float | None
    bias: float
    shift: float


@dataclass
class Errors:
    """Sums for an `Error`. Channels lie along the last axis; what is not finite is left out."""

    signal: float = 0.0
    noise: float = 0.0
    count: int = 0
    means: Reals = field(default_factory=lambda: np.zeros(1))

    def add(self, real: Array, found: Array) -> None:
        x, q = _rows(real), _rows(found)
        with np.errstate(invalid="ignore"):  # infinity less infinity
            e = q - x
        if not np.isfinite(e).all():
            kept = np.isfinite(e) & np.isfinite(x)
            x, e = np.where(kept, x, 0), np.where(kept, e, 0)
        self.signal += float(np.vdot(x, x))
        self.noise += float(np.vdot(e, e))
        self.count += len(e)
        self.means = self.means + e.sum(0)

    def result(self) -> Error:
        channels = self.means / max(self.count, 1)
        bias = float(channels.mean())
        if self.noise == 0:
            return Error(None, bias, 0.0)
        shift = float(np.vdot(channels, channels)) * self.count / self.noise
        return Error(decibels(self.signal, self.noise), bias, min(shift, 1.0))


@dataclass(frozen=True)
class Activations:
    """The float values of a tensor, and how the integers of the quantized network cover them.

    Attributes:
        type: the element type in the quantized network.
        observed: the least and the greatest value.
        chosen: the real numbers that the integers span; None where it is no tensor of integers.
        step: between neighbouring integers.
        below, above: how many elements lie more than half a step outside of the chosen range.
        elements: of how many, over all samples.
        peak: the largest distance from the mean, in standard deviations.
        spread: how many times wider the widest channel is than the median one, by largest
            magnitudes.
    """

    type: str
    observed: Range
    chosen: Range | None
    step: float | None
    below: int
    above: int
    elements: int
    peak: float
    spread: float

    @property
    def clipped(self) -> float:
        """The share of elements that saturate."""
        return (self.below + self.above) / max(self.elements, 1)


class Extents:
    """Sums for `Activations`."""

    def __init__(self, type: TensorType) -> None:
        self.type = type
        found = span(type)
        self.chosen: Range | None = found[0] if found else None
        self.step: float | None = found[1] if found else None
        self.low, self.high = math.inf, -math.inf
        self.below = self.above = self.elements = 0
        self.total = self.squares = 0.0
        self.widest: Reals = np.zeros(1)

    def add(self, real: Array) -> None:
        x = _rows(real)
        if not x.size:
            return
        if not np.isfinite(x).all():
            x = np.where(np.isfinite(x), x, 0)
        self.low, self.high = min(self.low, float(x.min())), max(self.high, float(x.max()))
        self.elements += x.size
        self.total += float(x.sum())
        self.squares += float(np.vdot(x, x))
        self.widest = np.maximum(self.widest, np.abs(x).max(0))
        if self.chosen is not None and self.step is not None:
            self.below += int(np.count_nonzero(x < self.chosen.low - self.step / 2))
            self.above += int(np.count_nonzero(x > self.chosen.high + self.step / 2))

    def result(self) -> Activations:
        count = max(self.elements, 1)
        mean = self.total / count
        deviation = math.sqrt(max(self.squares / count - mean * mean, 0.0))
        observed = Range(self.low, self.high) if self.elements else Range(0.0, 0.0)
        furthest = max(observed.high - mean, mean - observed.low)
        return Activations(
            type=str(self.type.dtype),
            observed=observed,
            chosen=self.chosen,
            step=self.step,
            below=self.below,
            above=self.above,
            elements=self.elements,
            peak=furthest / deviation if deviation else 0.0,
            spread=spread(self.widest),
        )


def span(type: TensorType) -> tuple[Range, float] | None:
    """The real numbers that a tensor's integers span, and their step; None for other tensors."""
    if type.quant is None or not type.dtype.is_integer or type.quant.axis is not None:
        return None
    (scale,), (zero,) = type.quant.scale, type.quant.zero_point
    least, greatest = type.dtype.range
    return Range((least - zero) * scale, (greatest - zero) * scale), scale


def to_real(array: Array, type: TensorType) -> Array:
    """What a tensor's integers stand for; other tensors as they are."""
    quant = type.quant
    if quant is None or not type.dtype.is_integer:
        return array
    found: Reals = (array.astype(np.float64) - quant.zero_point[0]) * quant.scale[0]
    return found


def decibels(signal: float, noise: float) -> float:
    """10 log10(signal / noise), for noise above 0; at least `LEAST_DB`."""
    return max(10 * math.log10(signal / noise), LEAST_DB) if signal > 0 else LEAST_DB


def spread(widths: Reals) -> float:
    """How many times the greatest of some widths is the median one; zeros do not count."""
    used = widths[widths > 0]
    return float(used.max() / np.median(used)) if used.size else 1.0


def _rows(array: Array) -> Reals:
    """Elements by channel: [n, channels]."""
    found: Reals = np.asarray(array, np.float64)
    return found.reshape(-1, found.shape[-1] if found.ndim and found.shape[-1] else 1)
