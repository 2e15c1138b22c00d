"""Functions of fixed-point numbers as the gemmlowp library computes them, on arrays.

A number is a raw integer of 16 or 32 bits, signed, with some bits before the binary point: with n
of them, raw r of b bits is r / 2**(b - 1 - n). 1 of a format without integer bits is its greatest
number. Arrays are int64; every operation rounds and saturates as on registers of b bits.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ..graph import Array
from .fixed_point import divide_by_power_of_two, high_multiply
from .tables import sigmoid_samples

Ints = npt.NDArray[np.int64]

BITS = 16
ONE = 2 ** (BITS - 1) - 1
ONE_F2 = 2 ** (BITS - 3)

EXP_MINUS_EIGHTH = 1895147668
THIRD = 715827883
EXP_STEPS = {
    -2: 1672461947,
    -1: 1302514674,
    0: 790015084,
    1: 290630308,
    2: 39332535,
    3: 720401,
    4: 242,
}
"""exp(-2**k) by k; like the other constants, of 32 bits without integer bits."""

FORTY_EIGHT_17THS = 1515870810
MINUS_32_17THS = -1010580540
"""These two have 2 integer bits."""


def logistic(x: Array) -> Ints:
    """1 / (1 + exp(-x)) of int16 with 3 integer bits; the result has none."""
    x = x.astype(np.int64)
    positive = _newton(exp_of_negative(-np.abs(x), 3))
    y = _shifted_left(positive, 1)
    return np.asarray(np.where(x == 0, 2 ** (BITS - 2), np.where(x > 0, y, ONE - y)))


def tanh(x: Array, integer_bits: int) -> Ints:
    """tanh of int16 with ``integer_bits`` of them, 0 to 6; the result has none."""
    x = x.astype(np.int64)
    inverse = _newton(exp_of_negative(-np.abs(x), integer_bits + 1))
    y = _shifted_left(inverse - ONE_F2, 2)
    return np.asarray(np.where(x == 0, 0, np.where(x < 0, -y, y)))


def logistic_by_table(x: Array) -> Ints:
    """`logistic`, interpolated as TensorFlow Lite Micro and CMSIS-NN do."""
    scaled = 3 * x.astype(np.int64)
    y = _interpolated(np.abs(scaled), 9, 0x7FFF << 10)
    return np.asarray(np.where(scaled >= 0, y + 512, (1 << 25) - y + 511) >> 10)


def tanh_by_table(x: Array, left_shift: int = 0) -> Ints:
    """`tanh` of int16 with 3 - ``left_shift`` integer bits, interpolated likewise."""
    scaled = 3 * x.astype(np.int64)
    if left_shift >= 0:
        scaled = scaled << left_shift
    else:
        scaled = (scaled + (1 << (-left_shift - 1))) >> -left_shift
    y = _interpolated(np.abs(scaled), 8, 0xFFFF << 8)
    return np.asarray(np.where(scaled >= 0, y - (1 << 23) + 128, -y + (1 << 23) + 127) >> 8)


def _interpolated(x: Array, bits: int, greatest: int) -> Ints:
    """The samples at x / 2**bits, times 2**bits; ``greatest`` from the last one on."""
    table = sigmoid_samples()
    entry = np.minimum(x >> bits, 255)
    low, high = table[entry], table[np.minimum(entry + 1, 255)]
    between = (low << bits) + (x & ((1 << bits) - 1)) * (high - low)
    return np.asarray(np.where(entry >= 255, greatest, between))


def inverse_square_root(x: Array) -> tuple[Ints, Ints]:
    """1 / sqrt(x) of int32 as 31-bit multipliers and exponents; x below 2 counts as 1."""
    value = np.maximum(x.astype(np.int64), 2)
    exponent = np.full_like(value, 11)
    for _ in range(2):
        big = value >= 2**29
        value = np.where(big, value // 4, value)
        exponent += big
    leading = 31 - np.floor(np.log2(value.astype(np.float64))).astype(np.int64)
    pairs = (leading - 1) // 2 - 1
    exponent -= pairs
    value = value << (2 * pairs)
    half_input = divide_by_power_of_two(value >> 1, 1)
    y = np.full_like(value, 2**28)
    for _ in range(5):
        cube = _shifted_left(_times32(_times32(y, y), y), 6, 32)
        y = _shifted_left(_times32(2**28 + 2**27, y) - _times32(half_input, cube), 3, 32)
    y = _times32(y, 1518500250)
    y = np.where(exponent < 0, y << np.maximum(-exponent, 0), y)
    is_one = x.astype(np.int64) <= 1
    return (
        np.asarray(np.where(is_one, 2**31 - 1, y)),
        np.asarray(np.where(is_one, 0, -np.maximum(exponent, 0))),
    )


def exp_of_negative(x: Array, integer_bits: int, bits: int = BITS) -> Ints:
    """exp(x) of x <= 0 of ``bits``; the result has no integer bits."""
    fraction = bits - 1 - integer_bits
    quarter = 1 << (fraction - 2)
    low = (x & (quarter - 1)) - quarter
    y = _exp_near_zero(_shifted_left(low, integer_bits, bits), bits)
    rest = low - x
    for k, factor in EXP_STEPS.items():
        if integer_bits > k:
            step = _times(y, _constant(factor, bits), bits)
            y = np.where(rest & (1 << (fraction + k)), step, y)
    if integer_bits > 5:
        y = np.where(x < -(32 << fraction), 0, y)
    return np.asarray(np.where(x == 0, 2 ** (bits - 1) - 1, y))


def inverse_of_one_plus(x: Array) -> Ints:
    """1 / (1 + x) of x in [0, 1] of 32 bits, without integer bits as x is."""
    return _shifted_left(_newton(x, 32), 1, 32)


def _constant(raw: int, bits: int) -> int:
    """A constant of 32 bits in fewer."""
    return int(divide_by_power_of_two(np.asarray(raw, np.int64), 32 - bits))


def _times(a: Array | int, b: Array | int, bits: int = BITS) -> Ints:
    """The product of two raw numbers; integer bits add up."""
    product = high_multiply(np.asarray(a, np.int64), np.asarray(b, np.int64), bits - 1)
    return np.asarray(np.minimum(product, 2 ** (bits - 1) - 1))


def _times32(a: Array | int, b: Array | int) -> Ints:
    return _times(a, b, 32)


def _shifted_left(x: Array, by: int, bits: int = BITS) -> Ints:
    bound = 2 ** (bits - 1)
    return np.asarray(np.clip(x << by, -bound, bound - 1))


def _exp_near_zero(a: Array, bits: int) -> Ints:
    """exp(a) of a in [-1/4, 0): a Taylor series around -1/8."""
    x = a + (1 << (bits - 1 - 3))
    x2 = _times(x, x, bits)
    x3, x4 = _times(x2, x, bits), _times(x2, x2, bits)
    higher = _times(divide_by_power_of_two(x4, 2) + x3, _constant(THIRD, bits), bits) + x2
    series = x + divide_by_power_of_two(higher, 1)
    start, bound = _constant(EXP_MINUS_EIGHTH, bits), 2 ** (bits - 1)
    return np.asarray(np.clip(start + _times(start, series, bits), -bound, bound - 1))


def _newton(a: Array, bits: int = BITS) -> Ints:
    """2 / (1 + a) of a in [0, 1], with 2 integer bits: three steps of Newton and Raphson."""
    half = (a + 2 ** (bits - 1)) // 2
    x = _constant(FORTY_EIGHT_17THS, bits) + _times(half, _constant(MINUS_32_17THS, bits), bits)
    for _ in range(3):
        rest = 2 ** (bits - 3) - _times(half, x, bits)
        x = x + _shifted_left(_times(x, rest, bits), 2, bits)
    return np.asarray(x)
