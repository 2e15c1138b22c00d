"""Tables of functions of one quantized element: an entry for each raw value of 8 or 16 bits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..graph import Array, TensorType
from .base import Op
from .fixed_point import GREATEST, round_half_away
from .requant import per_tensor


def unsigned(x: Array) -> Array:
    """Raw values of 8 or 16 bits as the unsigned integers of the same bits."""
    return x.view(np.uint8 if x.dtype.itemsize == 1 else np.uint16)


def raw_values(t: TensorType) -> Array:
    """int64[256], or [65536] for 16 bits: the values of the raw bits 0, 1, 2, ..."""
    bits = np.uint8 if t.dtype.itemsize == 1 else np.uint16
    return np.arange(np.iinfo(bits).max + 1, dtype=bits).view(t.dtype.numpy).astype(np.int64)


def entries(
    steps: Array, zero: int, out: TensorType, lo: int | None = None, hi: int | None = None
) -> Array:
    """A table of ``out``: whole ``steps`` plus the zero point, clamped to lo..hi and the dtype."""
    low, high = out.dtype.range
    low, high = low if lo is None else max(lo, low), high if hi is None else min(hi, high)
    return np.asarray(np.clip(steps + zero, low, high).astype(out.dtype.numpy))


def scale_ratio(op: Op, x: TensorType, out: TensorType) -> tuple[Array, np.float32, int]:
    """All values less their zero point, x.scale / out.scale, and out's zero point.

    The ratio is at most `GREATEST`, beyond which all saturates.
    """
    scale, zero = per_tensor(x, f"{op.name}: input")
    out_scale, out_zero = per_tensor(out, f"{op.name}: output")
    with np.errstate(over="ignore", under="ignore"):
        ratio = np.float32(min(scale / out_scale, np.float32(GREATEST)))
    return raw_values(x) - zero, ratio, out_zero


def shifted(steps: Array, ratio: Array | np.float32) -> Array:
    """steps * ratio, with 8 bits of fraction in the ratio; halves round up (XNNPACK's rule)."""
    factor = np.rint(np.float32(256) * ratio).astype(np.int64)
    return np.asarray((steps * factor + 128) >> 8)


def shift_factor(ratio: np.float32) -> int:
    """By what `shifted` multiplies."""
    return int(np.rint(np.float32(256) * ratio))


def has_shifted_rule(ratio: np.float32) -> bool:
    """Whether XNNPACK takes this ratio of scales; TensorFlow Lite's own kernel runs otherwise."""
    return bool(2.0**-8 <= abs(ratio) <= 2.0**7)


@dataclass(frozen=True)
class Function:
    """A function of real numbers as TensorFlow Lite tabulates it.

    Attributes:
        real: float64 to float64.
        end: what the output's least (-1) or greatest (1) value stands for: results that are not
            finite.
        halves_away: halves in tables of 256 entries are rounded away from 0, as by TensorFlow
            Lite's own kernels, or to even, as by XNNPACK.
        wide: results are not rounded to float32.
    """

    real: Callable[[Array], Array]
    end: int = 0
    halves_away: bool = False
    wide: bool = False

    def at(self, x: Array, out: TensorType) -> Array:
        """The function of float32 numbers, rounded to float32 unless it is ``wide``."""
        scale, zero = per_tensor(out, "output")
        bound = out.dtype.range[0 if self.end < 0 else 1]
        end = np.float32(bound - zero) * scale if self.end else np.float32(0)
        with np.errstate(all="ignore"):
            y = self.real(x.astype(np.float64)).astype(np.float64 if self.wide else np.float32)
        return np.where(np.isfinite(y), y, end)


def whole_table(op: Op, function: Function, x: TensorType, out: TensorType) -> Array:
    """Entry: clamp(round(function(x.scale * (q - zero point)) * (1 / out.scale) + zero point)).

    Every step is one of float32, with the zero point that the output has as int8. With
    ``halves_away`` it is added after rounding.
    """
    scale, zero = per_tensor(x, f"{op.name}: input")
    out_scale, out_zero = per_tensor(out, f"{op.name}: output")
    with np.errstate(over="ignore", under="ignore"):
        y = function.at((raw_values(x) - zero).astype(np.float32) * scale, out)
        steps = y * (np.float32(1) / out_scale)
    steps = np.clip(steps, np.float32(-1024), np.float32(1024))
    if function.halves_away:
        return entries(round_half_away(steps), out_zero, out)
    middle = out.dtype.range[0] + 128
    return entries(np.rint(steps + np.float32(out_zero - middle)), middle, out)


def interpolated_table(op: Op, function: Function, x: TensorType, out: TensorType) -> Array:
    """65,536 entries between 513 samples 128 apart: TensorFlow Lite's rule for 16 bits.

    A sample is moved by half of what interpolation would err in the middle of its interval; all in
    float32 but for a ``wide`` function's results, halves rounded away from 0.
    """
    scale, zero = per_tensor(x, f"{op.name}: input")
    out_scale, out_zero = per_tensor(out, f"{op.name}: output")
    low, high = (np.float32(bound - zero) * scale for bound in x.dtype.range)
    least, greatest = (np.float32(bound - out_zero) * out_scale for bound in out.dtype.range)
    inverse = np.float32(65536) / (greatest - least)
    step = (high - low) / np.float32(512)
    at = low + np.arange(512, dtype=np.float32) * step
    following = low + np.arange(1, 513, dtype=np.float32) * step
    with np.errstate(all="ignore"):
        samples = function.at(at, out) * inverse
        middles = round_half_away(function.at(at + step / np.float32(2), out) * inverse)
        ends = function.at(following, out) * inverse
        whole = round_half_away(samples)
        errors = round_half_away((ends + whole) / np.float32(2)) - middles
        bent = whole - round_half_away(errors / np.float32(2))
        last = round_half_away(function.at(np.array([high]), out) * inverse)
    anchors = np.clip(np.concatenate((bent, last)), *out.dtype.range).astype(np.int64)
    raw = raw_values(x) - x.dtype.range[0]
    base, offset = anchors[raw >> 7], raw & 127
    steps = base + (((anchors[(raw >> 7) + 1] - base) * offset + 64) >> 7)
    return entries(steps, out_zero, out)


def sigmoid_samples() -> npt.NDArray[np.int64]:
    """int64[256]: 2**16 / (1 + exp(-i / 24)), between which LiteRT interpolates LOGISTIC and TANH.

    Each is moved by half of what interpolation would err in the middle of its interval.
    """
    i = np.arange(257) / 24
    exact, middle = 65536 / (1 + np.exp(-i)), 65536 / (1 + np.exp(-i - 1 / 48))
    samples = exact[:-1] + (middle[:-1] - (exact[:-1] + exact[1:]) / 2) / 2
    samples[-1] = 65535
    return np.rint(samples).astype(np.int64)


def sigmoid_argument(scale: np.float32, values: Array) -> npt.NDArray[np.int64]:
    """Values of 16 bits and this scale as multiples of 2**-12 / 3."""
    factor, shift = float(scale) * 4096.0 * 3.0, 0
    while factor <= 32767.0 / 2.0 and shift <= 30:
        factor, shift = factor * 2.0, shift + 1
    half = (1 << shift) >> 1
    return np.asarray((values * int(factor) + half) >> shift, np.int64)
