"""Fixed-point arithmetic of int32 lanes, bit for bit that of TensorFlow Lite and gemmlowp.

The numpy counterparts are ``ops.fixed_point`` and ``ops.fixed_functions``, which tell the rules.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from .ir import Type, Value, i32, i64, u32, u64

ONE = 2**15 - 1
"""1 as a number of 16 bits without integer bits."""

EXP_MINUS_EIGHTH = 28918
THIRD = 10923
EXP_STEPS = {-2: 25520, -1: 19875, 0: 12055, 1: 4435, 2: 600, 3: 11, 4: 0}
"""exp(-2**k) by k."""
FORTY_EIGHT_17THS, MINUS_32_17THS = 23130, -15420
"""With two integer bits."""

RESCALE: dict[str, Type] = {"multiplier": i64, "left": i64, "right": i32}
"""The fields of `rescale`: the multiplier, and the shifts before and after the product."""


def rescale_fields(prefix: str) -> dict[str, Type]:
    return {f"{prefix}_{name}": ty for name, ty in RESCALE.items()}


def rescale(x: Value, prefix: str) -> Value:
    """x times a real number, rounded after the product and after the shift to the right."""
    k, lanes = x.k, x.ty.lanes

    def field(name: str, ty: Type) -> Value:
        return k.once((prefix, name, lanes), lambda: k[f"{prefix}_{name}"].to(ty).splat(lanes))

    high = _high_product(x, field("multiplier", i64), field("left", i32))
    return _divide_by_power(high, field("right", i32))


def _high_product(x: Value, multiplier: Value, left: Value) -> Value:
    """x * 2**left, saturated, * multiplier / 2**31, rounded to nearest, halves up.

    x and left are int32 lanes, the multiplier is less than 2**31 in int64 lanes.
    """
    shifted = x.k.intrinsic(f"llvm.sshl.sat.{x.ty.suffix}", x.ty, x, left)
    return ((shifted.to(multiplier.ty) * multiplier + 2**30) >> 31).to(x.ty)


def _twice(x: Value, multiplier: Value, exponent: Value) -> Value:
    """`ops.fixed_point.multiply_twice_rounded`."""
    left, right = _shifts(exponent)
    return _divide_by_power(_high_product(x, multiplier.to(i64[x.ty.lanes]), left), right)


def _ties_up(x: Value, multiplier: Value, exponent: Value) -> Value:
    """`ops.fixed_point.multiply_ties_up`."""
    left, right = _shifts(exponent)
    high = _high_product(x, multiplier.to(i64[x.ty.lanes]), left)
    half = x.k.const(1, u32[x.ty.lanes]) << right.to(u32[x.ty.lanes]) >> 1
    return (high >> right) + (high & half.to(x.ty)).compare("ne", 0).to(x.ty)


def _shifts(exponent: Value) -> tuple[Value, Value]:
    """To the left before the product, to the right after it."""
    zero = exponent.k.const(0, exponent.ty)
    return exponent.max(zero), (zero - exponent).max(zero)


def _once(x: Value, multiplier: Value, shift: Value) -> Value:
    """`ops.fixed_point.multiply_once_rounded` and ``multiply_wide`` of int32 or int64 lanes.

    The shift is that to the right; results are saturated to 31 bits.
    """
    lanes = x.ty.lanes
    wide, by = i64[lanes], shift.to(u64[lanes])
    half = x.k.const(1, u64[lanes]) << by >> 1
    product = x.to(wide) * multiplier.to(wide)
    scaled = (product + half.to(wide)) >> by.to(wide)
    return scaled.clamp(-(2**30), 2**30 - 1).to(i32[lanes])


RULES: Mapping[str, Callable[[Value, Value, Value], Value]] = {
    "twice": _twice,
    "ties_up": _ties_up,
    "once": _once,
}
"""How kernels may round x times a real number: functions of x, its multiplier, and its exponent.

Both are int32 lanes; of "once" the exponent is how far the product is shifted to the right.
"""


def _divide_by_power(x: Value, exponent: Value) -> Value:
    mask = (x.k.const(1, x.ty) << exponent) - 1
    threshold = (mask >> 1) + (x < 0).to(x.ty)
    return (x >> exponent) + ((x & mask) > threshold).to(x.ty)


def divide_by_power_of_two(x: Value, exponent: int | Value) -> Value:
    """x / 2**exponent, rounded to nearest, halves away from zero."""
    by = exponent if isinstance(exponent, Value) else x.k.const(exponent, x.ty)
    return _divide_by_power(x, by)


def int16(x: Value) -> Value:
    """x saturated to 16 bits."""
    return x.clamp(-(2**15), 2**15 - 1)


def _times(a: Value, b: Value | int) -> Value:
    """The product of two numbers of 16 bits, rounded; integer bits add up."""
    product = a * b
    k, ty = product.k, product.ty
    nudged = product + (product < 0).select(k.const(1 - 2**14, ty), 2**14)
    high = (nudged + (nudged < 0).select(k.const(2**15 - 1, ty), 0)) >> 15
    return high.min(ONE)


def logistic(x: Value) -> Value:
    """1 / (1 + exp(-x)) of numbers with 3 integer bits; the result has none."""
    y = int16(_newton(_exp_of_negative(_minus_magnitude(x), 3)) << 1)
    k, ty = x.k, x.ty
    other = (x < 0).select(k.const(ONE, ty) - y, y)
    return x.compare("eq", 0).select(k.const(2**14, ty), other)


def tanh(x: Value, integer_bits: int) -> Value:
    """tanh of numbers with ``integer_bits`` of them, 0 to 6; the result has none."""
    inverse = _newton(_exp_of_negative(_minus_magnitude(x), integer_bits + 1))
    y = int16((inverse - 2**13) << 2)
    k, ty = x.k, x.ty
    return x.compare("eq", 0).select(k.const(0, ty), (x < 0).select(k.const(0, ty) - y, y))


def _minus_magnitude(x: Value) -> Value:
    return x.min(x.k.const(0, x.ty) - x)


def _exp_of_negative(x: Value, integer_bits: int) -> Value:
    """exp(x) of x <= 0; the result has no integer bits."""
    k, ty = x.k, x.ty
    fraction = 15 - integer_bits
    quarter = 1 << (fraction - 2)
    low = (x & (quarter - 1)) - quarter
    y = _exp_near_zero(int16(low << integer_bits))
    rest = low - x
    for step, factor in EXP_STEPS.items():
        if integer_bits > step:
            taken = (rest & (1 << (fraction + step))).compare("ne", 0)
            y = taken.select(_times(y, factor), y)
    if integer_bits > 5:
        y = (x < -(32 << fraction)).select(k.const(0, ty), y)
    return x.compare("eq", 0).select(k.const(ONE, ty), y)


def _exp_near_zero(a: Value) -> Value:
    """exp(a) of a in [-1/4, 0): a Taylor series around -1/8."""
    x = a + (1 << 12)
    x2 = _times(x, x)
    x3, x4 = _times(x2, x), _times(x2, x2)
    higher = _times(divide_by_power_of_two(x4, 2) + x3, THIRD) + x2
    series = x + divide_by_power_of_two(higher, 1)
    return int16(_times(series, EXP_MINUS_EIGHTH) + EXP_MINUS_EIGHTH)


def _newton(a: Value) -> Value:
    """2 / (1 + a) of a in [0, 1], with 2 integer bits: three steps of Newton and Raphson."""
    k, ty = a.k, a.ty
    half = (a + (ONE + 1)) >> 1
    x = _times(half, MINUS_32_17THS) + FORTY_EIGHT_17THS
    for _ in range(3):
        x = x + int16(_times(x, k.const(2**13, ty) - _times(half, x)) << 2)
    return x


__all__ = [
    "RULES",
    "divide_by_power_of_two",
    "int16",
    "logistic",
    "rescale",
    "rescale_fields",
    "tanh",
]
