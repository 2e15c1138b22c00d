"""Functions of float32 lanes: exponentials, logarithms, trigonometry, rounding.

Each takes and gives ``ir.Value``s of float32, scalars or vectors of any length. NaN gives NaN, and
infinities, zeros and denormal numbers give what C's functions give; ``tests/kernels/test_math.py``
measures the errors that ``docs/numbers.md`` states. Polynomials are near-minimax, of the greatest
relative error of the function. Those of ``sin``, ``cos`` and ``power`` work in float64, so that
these are correctly rounded but for rare halves.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Sequence

from .ir import Type, Value, f32, f64, i8, i32, i64, u16, u32, u64
from .isa import Isa

Function = Callable[[Isa, Value], Value]

LOG2_E = math.log2(math.e)
LN2_HIGH, LN2_LOW = 0.693145751953125, 1.4286068203094173e-06
"""ln 2 in two parts; the first has 15 bits, so that its product with an exponent is exact."""
SHIFTER = 12582912.0
"""1.5 * 2**23: a float32 plus this one is rounded to a whole number, kept in its low bits."""
SHIFTER64 = 1.5 * 2.0**52
SIGN = 0x80000000
TWO_OVER_PI = 0xA2F9836E4E441529FC2757D1F534DDC0DB6295993C439041
"""2 / pi, times 2**192."""

EXP = (
    0.4999999403953552,
    0.1666652113199234,
    0.04166838899254799,
    0.008368735201656818,
    0.0013814560370519757,
)
LOG = (
    0.3333331346511841,
    -0.25000008940696716,
    0.2000211924314499,
    -0.1666799634695053,
    0.14219552278518677,
    -0.1240558922290802,
    0.11888162046670914,
    -0.11675652116537094,
    0.06746640801429749,
)
ERF = (
    1.1283791065216064,
    -0.3761262595653534,
    0.1128358542919159,
    -0.026853812858462334,
    0.005188328213989735,
    -0.000801019836217165,
    7.853875285945833e-05,
)
ERFC = (
    1.2530080080032349,
    -0.13562114536762238,
    -0.04756239801645279,
    0.1296464204788208,
    -0.11927097290754318,
    0.06829576939344406,
    -0.02379753068089485,
    0.0025673769414424896,
    0.002001811983063817,
    -0.0007775832782499492,
    -0.0002681277401279658,
)
ERFC_CENTRE = 3.0
SIN = (
    -0.1666666664077055,
    0.008333329301754101,
    -0.00019839311271042871,
    2.7181120647573453e-06,
)
COS = (
    -0.49999999694156666,
    0.04166662032102384,
    -0.0013886680505951908,
    2.4383459723087794e-05,
)
LOG2 = (
    2.8853900817778495,
    0.9617966941141438,
    0.577077942154399,
    0.4122092721917779,
    0.319904928954139,
    0.28291061973208514,
)
EXP2 = (
    0.693147180704763,
    0.2402265106700295,
    0.05550410365392344,
    0.009618038059637308,
    0.0013333935356036682,
    0.00015466781520764893,
    1.5196134128258633e-05,
)


def polynomial(isa: Isa, x: Value, coefficients: Sequence[float]) -> Value:
    """c0 + c1 x + c2 x**2 + ..., of float32 or float64."""
    *rest, last = coefficients
    y = x.k.const(last, x.ty)
    for c in reversed(rest):
        y = isa.fma(y, x, x.k.const(c, x.ty))
    return y


def at_most(isa: Isa, x: Value, bound: Value | float) -> Value:
    """min(x, bound); NaN stays."""
    limit = bound if isinstance(bound, Value) else x.k.const(bound, x.ty)
    if isa.arch == "aarch64":
        return x.k.intrinsic(f"llvm.minimum.{x.ty.suffix}", x.ty, x, limit)
    return limit.min(x)


def at_least(isa: Isa, x: Value, bound: Value | float) -> Value:
    """max(x, bound); NaN stays."""
    limit = bound if isinstance(bound, Value) else x.k.const(bound, x.ty)
    if isa.arch == "aarch64":
        return x.k.intrinsic(f"llvm.maximum.{x.ty.suffix}", x.ty, x, limit)
    return limit.max(x)


def lesser(isa: Isa, x: Value, known: Value) -> Value:
    """min(x, known), where ``known`` is no NaN; an x that is NaN gives ``known``."""
    if isa.arch == "aarch64":
        return x.k.intrinsic(f"llvm.minnum.{x.ty.suffix}", x.ty, x, known)
    return x.min(known)


def greater(isa: Isa, x: Value, known: Value) -> Value:
    """max(x, known), where ``known`` is no NaN; an x that is NaN gives ``known``."""
    if isa.arch == "aarch64":
        return x.k.intrinsic(f"llvm.maxnum.{x.ty.suffix}", x.ty, x, known)
    return x.max(known)


def absolute(isa: Isa, x: Value) -> Value:
    """|x|"""
    return x.k.intrinsic(f"llvm.fabs.{x.ty.suffix}", x.ty, x)


def negated(isa: Isa, x: Value) -> Value:
    """-x, zeros included."""
    return (x.bitcast(u32[x.ty.lanes]) ^ SIGN).bitcast(x.ty)


def with_sign(magnitude: Value, sign: Value) -> Value:
    """The magnitude of one float32, the sign of another."""
    bits = u32[sign.ty.lanes]
    sign = sign.bitcast(bits) & SIGN
    return ((magnitude.bitcast(bits) & (SIGN - 1)) | sign).bitcast(magnitude.ty)


def _exact(name: str) -> Function:
    def function(isa: Isa, x: Value) -> Value:
        return x.k.intrinsic(f"llvm.{name}.{x.ty.suffix}", x.ty, x)

    function.__doc__ = f"{name}(x) by an instruction."
    return function


floor, ceil, sqrt = _exact("floor"), _exact("ceil"), _exact("sqrt")
round_even = _exact("roundeven")


def rsqrt(isa: Isa, x: Value) -> Value:
    """1 / sqrt(x), each rounded."""
    return x.k.const(1.0, x.ty) / sqrt(isa, x)


def _reduced(isa: Isa, x: Value) -> tuple[Value, Value, Value]:
    """x as n ln 2 + r, |r| <= ln 2 / 2: gives n (int32), r and e**r - 1."""
    k, ty = x.k, x.ty
    shifted = isa.fma(x, k.const(LOG2_E, ty), k.const(SHIFTER, ty))
    n = shifted - SHIFTER
    r = isa.fma(n, k.const(-LN2_LOW, ty), isa.fma(n, k.const(-LN2_HIGH, ty), x))
    ints = i32[ty.lanes]
    exponent = shifted.bitcast(ints) - _bits(SHIFTER)
    return exponent, r, isa.fma(r * r, polynomial(isa, r, EXP), r)


def _bits(x: float) -> int:
    """A float32 as an int32 of the same bits."""
    (bits,) = struct.unpack("<i", struct.pack("<f", x))
    return int(bits)


def _power_of_two(n: Value) -> Value:
    """2**n, float32 of int32 from -126 to 127."""
    return ((n + 127) << 23).bitcast(f32[n.ty.lanes])


def exp(isa: Isa, x: Value) -> Value:
    """e**x; the last product is the only one that leaves the range of normal numbers."""
    n, _, below = _reduced(isa, at_most(isa, at_least(isa, x, -104.0), 89.0))
    half = n >> 1
    return (below + 1.0) * _power_of_two(half) * _power_of_two(n - half)


def expm1(isa: Isa, x: Value) -> Value:
    """e**x - 1 for x that is at most 0."""
    n, _, below = _reduced(isa, at_least(isa, x, -25.0))
    scale = _power_of_two(n)
    return isa.fma(below, scale, scale - 1.0)


def elu(isa: Isa, x: Value) -> Value:
    """x where it is at least 0, else e**x - 1"""
    return (x < 0.0).select(expm1(isa, at_most(isa, x, 0.0)), x)


def tanh(isa: Isa, x: Value) -> Value:
    """(1 - e**-2|x|) / (1 + e**-2|x|), with the sign of x."""
    e = expm1(isa, absolute(isa, x) * -2.0)
    return with_sign(e / (e + 2.0), x)


def logistic(isa: Isa, x: Value) -> Value:
    """1 / (1 + e**-x), or e**x / (1 + e**x) where x is negative."""
    e = exp(isa, negated(isa, absolute(isa, x)))
    return (x < 0.0).select(e, x.k.const(1.0, x.ty)) / (e + 1.0)


def log(isa: Isa, x: Value) -> Value:
    """The natural logarithm: with x = m 2**e and m around 1, e ln 2 + log(m)."""
    k, ty, ints = x.k, x.ty, i32[x.ty.lanes]
    root = _bits(math.sqrt(0.5))
    tiny = x < 2.0**-126
    bits = tiny.select(x * 2.0**23, x).bitcast(ints) - root
    e = ((bits >> 23) - tiny.select(k.const(23, ints), 0)).to(ty)
    f = ((bits & 0x7FFFFF) + root).bitcast(ty) - 1.0
    square = f * f
    y = isa.fma(e, k.const(LN2_LOW, ty), square * f * polynomial(isa, f, LOG))
    y = isa.fma(square, k.const(-0.5, ty), y) + f
    y = isa.fma(e, k.const(LN2_HIGH, ty), y)
    special = x.compare("eq", 0.0).select(k.const(-math.inf, ty), math.nan)
    return (x > 0.0).select((x < math.inf).select(y, x), special)


def _erfc(isa: Isa, x: Value, square: float = 1.0) -> Value:
    """1 - erf(z), z = x sqrt(square) from 0 to 10.5: e**-z**2 / (1 + 2z) times a polynomial in
    (z - 3) / (z + 3).

    x is cut to its 12 leading bits, whose square is exact; what that leaves out of the exponent
    is a factor of its own.
    """
    cut = (x.bitcast(u32[x.ty.lanes]) & 0xFFFFF000).bitcast(x.ty)
    rest = (cut - x) * (cut + x) * square
    correction = polynomial(isa, rest, (1.0, 1.0, 0.5, 1 / 6))
    z = x * math.sqrt(square)
    t = (z - ERFC_CENTRE) / (z + ERFC_CENTRE)
    scaled = polynomial(isa, t, ERFC) / (z + z + 1.0) * correction
    return scaled * exp(isa, cut * cut * -square)


def erf(isa: Isa, x: Value) -> Value:
    """The error function: an odd polynomial below 1, else by its complement."""
    z = absolute(isa, x)
    small = z * polynomial(isa, z * z, ERF)
    large = x.k.const(1.0, x.ty) - _erfc(isa, at_most(isa, z, 10.5))
    return with_sign((z < 1.0).select(small, large), x)


def gelu(isa: Isa, x: Value) -> Value:
    """x (1 + erf(x / sqrt 2)) / 2, without cancellation where x is negative."""
    size = at_most(isa, absolute(isa, x), 14.8)
    tail = size * _erfc(isa, size, 0.5) * 0.5
    return (x < 0.0).select(negated(isa, tail), x - tail)


def gelu_tanh(isa: Isa, x: Value) -> Value:
    """x (1 + tanh(u)) / 2 with u = sqrt(2 / pi) (x + 0.044715 x**3), which is x logistic(2u)."""
    scale = 2 * math.sqrt(2 / math.pi)
    k, ty = x.k, x.ty
    u = x * isa.fma(x * x, k.const(scale * 0.044715, ty), k.const(scale, ty))
    return x * logistic(isa, u)


def _quarters(isa: Isa, x: Value) -> tuple[Value, Value]:
    """x as q pi / 2 + r, |r| <= pi / 4: gives q modulo 4 (int32) and r (float64)."""
    k, lanes = x.k, x.ty.lanes
    wide = x.to(f64[lanes])
    ty = wide.ty
    shifted = isa.fma(wide, k.const(2 / math.pi, ty), k.const(SHIFTER64, ty))
    n = shifted - SHIFTER64
    high, low = 1.5707963109016418, 1.5893254773528196e-08
    r = k.var(isa.fma(n, k.const(-low, ty), isa.fma(n, k.const(-high, ty), wide)))
    q = k.var(shifted.bitcast(i64[lanes]).to(i32[lanes]))
    size = absolute(isa, x)
    bits = largest = size.bitcast(i32[lanes])
    if lanes > 1:
        largest = k.intrinsic(f"llvm.vector.reduce.smax.{bits.ty.suffix}", i32, bits)
    with k.when(largest >= _bits(2.0**28)), k.loop(0, lanes, once=True) as i:
        lane = _lane(size, i)
        with k.when((lane >= 2.0**28) & (lane < math.inf)):
            quarter, rest = _large_quarters(lane)
            negative = _lane(x, i) < 0.0
            quarter = negative.select((quarter ^ 3) + 1, quarter)
            rest = negative.select(rest * -1.0, rest)
            q.value, r.value = _with_lane(q.value, i, quarter), _with_lane(r.value, i, rest)
    return q.value, r.value


def _lane(v: Value, i: Value) -> Value:
    if v.ty.lanes == 1:
        return v
    text = f"extractelement {v.ty.llvm} {v.name}, i64 {i.name}"
    return v.k.emit(text, v.ty.scalar)


def _with_lane(v: Value, i: Value, x: Value) -> Value:
    if v.ty.lanes == 1:
        return x
    text = f"insertelement {v.ty.llvm} {v.name}, {x.ty.llvm} {x.name}, i64 {i.name}"
    return v.k.emit(text, v.ty)


def _large_quarters(x: Value) -> tuple[Value, Value]:
    """The same of one x from 2**28 to the greatest float32, exactly (Payne and Hanek, 1983).

    x is an integer m times 2**e. The bits of 2 / pi beyond 2**-e that count, times m, give
    x / (pi / 2) modulo 4 as a fixed-point number of 62 fractional bits.
    """
    k, wide = x.k, Type("u", 256)
    bits = x.bitcast(u32)
    e = (bits >> 23) - 150
    m = ((bits & 0x7FFFFF) | 0x800000).to(wide)
    product = k.const(TWO_OVER_PI, wide) * m
    fixed = (product >> (k.const(130, u32) - e).to(wide)).to(u64)
    q = (fixed + (1 << 61)) >> 62
    r = (fixed << 2).to(i64).to(f64) * (math.pi / 2 * 2.0**-64)
    return q.to(i32), r


def _sine(isa: Isa, x: Value, turn: int) -> Value:
    q, r = _quarters(isa, x)
    q = q + turn
    square = r * r
    one = x.k.const(1.0, r.ty)
    odd = isa.fma(square, polynomial(isa, square, SIN), one) * r
    even = isa.fma(square, polynomial(isa, square, COS), one)
    y = (q & 1).compare("ne", 0).select(even, odd).to(x.ty)
    return (q & 2).compare("ne", 0).select(negated(isa, y), y)


def sin(isa: Isa, x: Value) -> Value:
    """sin(x), for x of any size."""
    return _sine(isa, x, 0)


def cos(isa: Isa, x: Value) -> Value:
    """cos(x), for x of any size."""
    return _sine(isa, x, 1)


def power(isa: Isa, x: Value, y: Value) -> Value:
    """x**y as C's pow: 2**(y log2 |x|) in float64, with the sign of an odd power.

    NaN where x is negative and y is no whole number; 1 where y is 0 or x is 1.
    """
    k, ty = x.k, x.ty
    size = absolute(isa, x)
    z = _exp2(isa, y.to(f64[ty.lanes]) * _log2(isa, size.to(f64[ty.lanes]))).to(ty)
    whole = floor(isa, y).compare("eq", y)
    half = y * 0.5
    odd = whole & floor(isa, half).compare("ne", half)
    below = x.bitcast(i32[ty.lanes]) < 0
    z = (odd & below).select(negated(isa, z), z)
    imaginary = (x < 0.0) & (x > -math.inf) & floor(isa, y).compare("ne", y)
    z = imaginary.select(k.const(math.nan, ty), z)
    endless = size.compare("eq", 1.0) & absolute(isa, y).compare("eq", math.inf)
    one = endless | y.compare("eq", 0.0) | x.compare("eq", 1.0)
    return one.select(k.const(1.0, ty), z)


def _log2(isa: Isa, x: Value) -> Value:
    """log2(x) of float64 x >= 0 that are no denormal numbers."""
    k, ty, ints = x.k, x.ty, i64[x.ty.lanes]
    root = 0x3FE6A09E667F3BCD
    bits = x.bitcast(ints) - root
    m = ((bits & ((1 << 52) - 1)) + root).bitcast(ty)
    e = (bits >> 52).to(i32[x.ty.lanes]).to(ty)
    s = (m - 1.0) / (m + 1.0)
    y = isa.fma(s, polynomial(isa, s * s, LOG2), e)
    y = x.compare("eq", 0.0).select(k.const(-math.inf, ty), y)
    return (x < math.inf).select(y, x)


def _exp2(isa: Isa, x: Value) -> Value:
    """2**x of float64: infinite, or 0 in float32, where x is beyond 200."""
    k, ty = x.k, x.ty
    x = at_most(isa, at_least(isa, x, -200.0), 200.0)
    shifted = x + SHIFTER64
    f = x - (shifted - SHIFTER64)
    y = isa.fma(f, polynomial(isa, f, EXP2), k.const(1.0, ty))
    return y * ((shifted.bitcast(i64[ty.lanes]) + 1023) << 52).bitcast(ty)


def remainder(isa: Isa, a: Value, b: Value) -> Value:
    """a less the multiple of b next to it towards 0, exactly as C's fmod.

    In float64, where a quotient of 28 bits times b is exact; greater ones go in several rounds,
    the least of them as many as the range of float32 may need.
    """
    k, lanes = a.k, a.ty.lanes
    wide = f64[lanes]
    size, divisor = (absolute(isa, x).to(wide) for x in (a, b))
    rest = k.var(size)

    def subtract() -> None:
        quotient = (rest.value / divisor).bitcast(u64[lanes]) & -(1 << 25)
        times = k.intrinsic(f"llvm.trunc.{wide.suffix}", wide, quotient.bitcast(wide))
        rest.value = rest.value - times * divisor

    subtract()
    below = (rest.value < divisor).to(i8[lanes])
    if lanes > 1:
        below = k.intrinsic(f"llvm.vector.reduce.umin.{below.ty.suffix}", i8, below)
    with k.when(below.compare("eq", 0)), k.loop(0, 13, once=True):
        subtract()
    positive = (rest.value < 0.0).select(rest.value + divisor, rest.value)
    y = with_sign(positive.to(a.ty), a)
    endless = absolute(isa, b).compare("eq", math.inf) & (absolute(isa, a) < math.inf)
    return endless.select(a, y)


def from_half(isa: Isa, x: Value) -> Value:
    """float32 of the bits of float16 (uint16)."""
    if isa.widens_half:
        return x.bitcast(Type("f", 16, x.ty.lanes)).to(f32[x.ty.lanes])
    bits = u32[x.ty.lanes]
    h = x.to(bits)
    size = (h & 0x7FFF) << 13
    number = (size.bitcast(f32[x.ty.lanes]) * 2.0**112).bitcast(bits)
    number = (size >= 0x7C00 << 13).select(size | 0x7F800000, number)
    return (number | ((h & 0x8000) << 16)).bitcast(f32[x.ty.lanes])


def to_bfloat16(isa: Isa, x: Value) -> Value:
    """The bits of bfloat16 (uint16) of float32, halves to even; NaN stays one."""
    bits = x.bitcast(u32[x.ty.lanes])
    nearest = bits + ((bits >> 16) & 1) + 0x7FFF
    nearest = x.compare("ne", x).select(bits | 0x400000, nearest)
    return (nearest >> 16).to(u16[x.ty.lanes])


def to_half(isa: Isa, x: Value) -> Value:
    """The bits of float16 (uint16) of float32, halves to even."""
    if isa.widens_half:
        return x.to(Type("f", 16, x.ty.lanes)).bitcast(u16[x.ty.lanes])
    bits = u32[x.ty.lanes]
    raw = x.bitcast(bits)
    size = raw & (SIGN - 1)
    normal = (size - (112 << 23) + 0xFFF + ((size >> 13) & 1)) >> 13
    small = (size.bitcast(x.ty) + 0.5).bitcast(bits) - _bits(0.5)
    number = (size < 113 << 23).select(small, normal)
    special = (size > 0xFF << 23).select(x.k.const(0x7E00, bits), 0x7C00)
    number = (size >= 143 << 23).select(special, number)
    return (number | ((raw >> 16) & 0x8000)).to(u16[x.ty.lanes])


__all__ = [
    "Function",
    "absolute",
    "at_least",
    "at_most",
    "ceil",
    "cos",
    "elu",
    "erf",
    "exp",
    "expm1",
    "floor",
    "from_half",
    "gelu",
    "gelu_tanh",
    "greater",
    "lesser",
    "log",
    "logistic",
    "negated",
    "polynomial",
    "power",
    "remainder",
    "round_even",
    "rsqrt",
    "sin",
    "sqrt",
    "tanh",
    "to_bfloat16",
    "to_half",
    "with_sign",
]
