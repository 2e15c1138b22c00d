"""The fixed-point multiplication of TensorFlow Lite's built-in kernels, for tables.

A real multiplier m is held as round(f * 2**31) and an exponent e, where m = f * 2**e and f lies in
0.5..1. The product is rounded twice: to the 31-bit multiplier's scale, then by the exponent.
Everything is exact in int64.
"""

from __future__ import annotations

import math

import numpy as np

from ..graph import Array


def multiplier(real: float) -> tuple[int, int]:
    """The 31-bit multiplier and the exponent of ``real``; (0, 0) below 2**-31."""
    fraction, exponent = math.frexp(real)
    scaled = math.floor(abs(fraction) * 2**31 + 0.5)
    if scaled == 2**31:
        scaled, exponent = scaled // 2, exponent + 1
    if exponent < -31:
        return 0, 0
    return (scaled if real >= 0 else -scaled), exponent


def multiply(x: Array, real: float) -> Array:
    """x * real as TensorFlow Lite's MultiplyByQuantizedMultiplier rounds it (int64).

    |x| is below 2**15; a product beyond int32 saturates.
    """
    scaled, exponent = multiplier(real)
    widened = np.clip(x.astype(np.int64) << min(max(exponent, 0), 31), -(2**31), 2**31 - 1)
    return divide_by_power_of_two(high_multiply(widened, scaled, 31), max(-exponent, 0))


def high_multiply(x: Array, y: int, bits: int) -> Array:
    """x * y / 2**bits, rounded to nearest, halves toward positive infinity."""
    product = x.astype(np.int64) * y
    half = 1 << (bits - 1)
    nudged = product + np.where(product >= 0, half, 1 - half)
    return truncating_shift(nudged, bits)


def truncating_shift(x: Array, bits: int) -> Array:
    """x / 2**bits, rounded toward zero."""
    return np.asarray(np.sign(x) * (np.abs(x) >> bits))


def divide_by_power_of_two(x: Array, exponent: int) -> Array:
    """x / 2**exponent, rounded to nearest, halves away from zero."""
    mask = (1 << exponent) - 1
    threshold = (mask >> 1) + (x < 0)
    return np.asarray((x >> exponent) + ((x & mask) > threshold))
