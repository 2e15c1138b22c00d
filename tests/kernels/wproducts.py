"""What the tests of products of int16 share: rules from int64 sums to int16."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edgewise.ops.fixed_point import rounded_to_15_bits

from .qproducts import MULTIPLICATIONS, Array, multipliers


@dataclass(frozen=True)
class WideRule:
    """How sums become int16. ``scale`` None: one that spreads the sums over the range.

    ``reduced``: the multiplier has 15 bits, as `multiply_wide` rounds it.
    """

    zero_point: int = 0
    lo: int = -(2**15)
    hi: int = 2**15 - 1
    scale: float | None = None
    reduced: bool = True
    bias: int = 2**20

    def biases(self, rng: np.random.Generator, n: int, wide: bool) -> Array:
        """int64, up to ``bias``, which int32 sums need not hold; else int32 ones."""
        limit = self.bias if wide else min(self.bias, 2**31)
        return rng.integers(-limit, limit, n)

    def factors(self, rng: np.random.Generator, acc: Array, rounding: str, wide: bool) -> Array:
        """Multipliers and exponents [2, n], or shifts of "once", for the channels of ``acc``."""
        n = acc.shape[-1]
        spread = np.abs(acc.astype(np.float64)).reshape(-1, n).mean(axis=0) + 1
        scale = rng.uniform(9000, 40000, n) / spread
        scaled, exponent = multipliers(np.full(n, self.scale) if self.scale else scale)
        if rounding != "once":
            return np.stack([scaled, exponent])
        if wide and self.reduced:
            return np.stack([rounded_to_15_bits(scaled), np.maximum(15 - exponent, 0)])
        return np.stack([scaled, 31 - exponent])

    def apply(self, acc: Array, factors: Array, rounding: str) -> Array:
        """clamp(acc * scale + zero_point, lo, hi)."""
        scaled, exponent = factors
        if rounding == "once":
            product = acc.astype(np.int64) * scaled
            scaled = (
                product + np.where(exponent > 0, 1 << np.maximum(exponent - 1, 0), 0)
            ) >> exponent
        else:
            scaled = MULTIPLICATIONS[rounding](acc, scaled, exponent)
        return np.clip(scaled + self.zero_point, self.lo, self.hi)


def wide_rules() -> list[WideRule]:
    return [
        WideRule(),
        WideRule(7, -100, 20000, reduced=False),
        WideRule(2**15 - 1),
        WideRule(-(2**15)),
        WideRule(hi=-5, lo=-5),
        WideRule(scale=0.5),
        WideRule(scale=1.0, bias=2**40, reduced=True),
        WideRule(scale=2.0**14, bias=2**45),
        WideRule(scale=3.0, bias=2**31),
        WideRule(scale=2.0**-25, bias=2**46),
        WideRule(scale=2.0**-31, bias=2**46),
    ]
