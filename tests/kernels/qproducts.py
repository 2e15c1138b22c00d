"""What the tests of quantized products share: operands at their extremes, rules, expectations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from edgewise.kernels.isa import Isa
from edgewise.ops.fixed_point import (
    multiplier,
    multiply_once_rounded,
    multiply_ties_up,
    multiply_twice_rounded,
)

from .images import activation

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Rule:
    """How int32 sums become 8 bits. ``scale`` None: one that spreads the sums over the range."""

    zero_point: int
    lo: int
    hi: int
    scale: float | None = None

    def apply(self, acc: Array, scale: Array, rounding: str = "") -> Array:
        """clamp(round_half_even(float32(acc) * scale) + zero_point, lo, hi), as int64.

        ``rounding``: the product as `fixed_point.RULES` has it instead.
        """
        if rounding:
            scaled = MULTIPLICATIONS[rounding](acc, *multipliers(scale))
            return np.clip(scaled + self.zero_point, self.lo, self.hi)
        real = (acc.astype(np.float32) * scale).astype(np.float64)
        return np.clip(
            np.rint(np.clip(real, -1e6, 1e6)) + self.zero_point, self.lo, self.hi
        ).astype(np.int64)


MULTIPLICATIONS = {
    "twice": multiply_twice_rounded,
    "ties_up": multiply_ties_up,
    "once": multiply_once_rounded,
}


def multipliers(scale: Array) -> Array:
    """Multipliers and exponents, int64[2, n], of scales below 2**31."""
    return np.array([multiplier(min(float(x), 2.0**30)) for x in scale], np.int64).T


def factors(scale: Array, rounding: str = "") -> tuple[Array, ...]:
    """What kernels multiply sums by: scales, or multipliers and exponents."""
    if not rounding:
        return (scale,)
    scaled, exponent = multipliers(scale)
    shift = 31 - exponent if rounding == "once" else exponent
    return scaled.astype(np.int32), shift.astype(np.int32)


def rules(isa: Isa) -> list[Rule]:
    low, high = activation(isa).range
    return [
        Rule(low + 128, low, high),
        Rule(low, low, high),
        Rule(high, low, high),
        Rule(low + 100, low + 100, low + 160),
        Rule(low + 7, low + 20, low + 20),
        Rule(low + 200, low + 3, low + 90),
        Rule(low + 128, low, high, 0.5),
        Rule(low + 64, low, high, 2.0**63),
        Rule(low + 65, low + 1, high - 1, 1e-40),
    ]


def scales(rng: np.random.Generator, acc: Array, rule: Rule) -> Array:
    """float32, one a channel: the last axis of ``acc``."""
    n = acc.shape[-1]
    if rule.scale is not None:
        return np.full(n, rule.scale, np.float32)
    spread = np.abs(acc.astype(np.float64)).reshape(-1, n).mean(axis=0) + 1
    return (rng.uniform(40, 160, n) / spread).astype(np.float32)


def bytes_of(
    rng: np.random.Generator, shape: tuple[int, ...], dtype: npt.DTypeLike, fill: str
) -> Array:
    """8-bit operands.

    ``fill``: "low" or "high" (all of them the least or greatest), "random", or "mixed" (random,
    many of them extremes).
    """
    info = np.iinfo(np.dtype(dtype))
    if fill in ("low", "high"):
        return np.full(shape, info.min if fill == "low" else info.max, dtype)
    x = rng.integers(info.min, info.max, shape, endpoint=True)
    if fill == "mixed":
        x = np.where(rng.random(shape) < 0.4, rng.choice([info.min, info.max], shape), x)
    return x.astype(dtype)


def wrapped(acc: Array) -> Array:
    """int64 sums as int32 registers hold them."""
    return acc.astype(np.uint64).astype(np.uint32).view(np.int32)
