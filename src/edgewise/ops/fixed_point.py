"""The fixed-point multiplication of TensorFlow Lite's built-in kernels, and of CMSIS-NN.

A real multiplier m is held as round(f * 2**31) and an exponent e, where m = f * 2**e and f lies in
0.5..1. The product is rounded twice: to the 31-bit multiplier's scale, then by the exponent.
Everything is exact in int64.
"""

from __future__ import annotations

import math
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from ..graph import Array

Int: TypeAlias = "int | npt.NDArray[np.int64] | np.signedinteger[Any]"

GREATEST = 2.0**40
"""A greater multiplier changes nothing: all results of 8 and 16 bits saturate."""


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

    |x| is below 2**31; a product beyond int32 saturates.
    """
    return multiply_twice_rounded(x, *multiplier(real))


def multiply_twice_rounded(x: Array, scaled: Int, exponent: Int) -> Array:
    """x * scaled * 2**(exponent - 31), rounded after the multiplication and after the shift.

    |x| is below 2**31; x * 2**exponent beyond int32 saturates. Broadcasts; int64.
    """
    widened = np.clip(x.astype(np.int64) << np.clip(exponent, 0, 31), -(2**31), 2**31 - 1)
    return divide_by_power_of_two(high_multiply(widened, scaled, 31), np.maximum(-exponent, 0))


def multiply_ties_up(x: Array, scaled: Int, exponent: Int) -> Array:
    """`multiply_twice_rounded` with halves of the shift toward positive infinity, as ruy has it."""
    high = multiply_twice_rounded(x, scaled, np.maximum(exponent, 0))
    shift = np.maximum(-np.asarray(exponent, np.int64), 0)
    return np.asarray((high + ((np.int64(1) << shift) >> 1)) >> shift)


def multiply_once_rounded(x: Array, scaled: Int, exponent: Int) -> Array:
    """x * scaled * 2**(exponent - 31), rounded once, halves toward positive infinity.

    TensorFlow Lite's rule of a build with single rounding. |x| is below 2**31; int64.
    """
    shift = np.asarray(31 - exponent, np.int64)
    product = x.astype(np.int64) * scaled
    return np.asarray((product + (np.int64(1) << (shift - 1))) >> shift)


def multiply_wide(x: Array, scaled: Int, exponent: Int) -> Array:
    """As `multiply_once_rounded` of |x| below 2**47, with the multiplier rounded to 15 bits."""
    shift = np.asarray(15 - exponent, np.int64)
    product = x.astype(np.int64) * rounded_to_15_bits(scaled)
    return np.asarray((product + (np.int64(1) << (shift - 1))) >> shift)


def rounded_to_15_bits(scaled: Int) -> npt.NDArray[np.int64]:
    """Multipliers of 31 bits / 2**16, rounded, at most 2**15 - 1."""
    given = np.asarray(scaled, np.int64)
    return np.where(given < 0x7FFF0000, (given + 2**15) >> 16, 0x7FFF)


def high_multiply(x: Array, y: Int, bits: int) -> Array:
    """x * y / 2**bits, rounded to nearest, halves toward positive infinity."""
    product = x.astype(np.int64) * y
    half = 1 << (bits - 1)
    nudged = product + np.where(product >= 0, half, 1 - half)
    return truncating_shift(nudged, bits)


def truncating_shift(x: Array, bits: int) -> Array:
    """x / 2**bits, rounded toward zero."""
    return np.asarray(np.sign(x) * (np.abs(x) >> bits))


def divide_by_power_of_two(x: Array, exponent: Int) -> Array:
    """x / 2**exponent, rounded to nearest, halves away from zero."""
    mask = (np.int64(1) << exponent) - 1
    threshold = (mask >> 1) + (x < 0)
    return np.asarray((x >> exponent) + ((x & mask) > threshold))


def round_half_away(x: Array) -> Array:
    """Floats to the nearest integer, halves away from zero."""
    return np.asarray(np.sign(x) * np.floor(np.abs(x) + x.dtype.type(0.5)))
