"""More functions of float32 lanes, made of those in ``math``: inverses, hyperbolic ones, and such
as networks activate with."""

from __future__ import annotations

import math as real

from . import math
from .ir import Value
from .isa import Isa

ASIN = (1.6666752422e-1, 7.4953002686e-2, 4.5470025998e-2, 2.4181311049e-2, 4.2163199048e-2)
ATAN = (-3.33329491539e-1, 1.99777106478e-1, -1.38776856032e-1, 8.05374449538e-2)
ATANH = (1 / 3, 1 / 5, 1 / 7, 1 / 9, 1 / 11, 1 / 13)
SINH = (1 / 6, 1 / 120, 1 / 5040, 1 / 362880)
"""Coefficients of odd polynomials, less x: those of asin and atan are of the Cephes library."""

LARGE = 4096.0
"""Beyond this asinh(x) and acosh(x) are log(2 x)."""


def log1p(isa: Isa, x: Value) -> Value:
    """log(1 + x), of x above -1: what 1 + x loses is a factor."""
    k, ty = x.k, x.ty
    whole = x + 1.0
    y = math.log(isa, whole)
    corrected = y * (x / (whole - 1.0))
    y = (whole < real.inf).select(corrected, y)
    return whole.compare("eq", k.const(1.0, ty)).select(x, y)


def softplus(isa: Isa, x: Value) -> Value:
    """log(1 + e**x), which is max(x, 0) + log(1 + e**-|x|)."""
    rest = log1p(isa, math.exp(isa, math.negated(isa, math.absolute(isa, x))))
    return math.at_least(isa, x, 0.0) + rest


def mish(isa: Isa, x: Value) -> Value:
    """x tanh(log(1 + e)) with e = e**x, and that is ((1 + e)**2 - 1) / ((1 + e)**2 + 1).

    Two factors are the root of e, which is no denormal number where the result is not 0.
    """
    root = math.exp(isa, math.at_most(isa, x, 30.0) * 0.5)
    e = root * root
    y = x * ((e + 2.0) / isa.fma(e, e + 2.0, x.k.const(2.0, x.ty))) * root * root
    return x.compare("eq", -real.inf).select(x.k.const(-0.0, x.ty), y)


def _ends(isa: Isa, size: Value) -> tuple[Value, Value]:
    """e**size / 2 and e**-size / 2; the first leaves the range of numbers last of all."""
    e = math.exp(isa, math.at_most(isa, size, 88.0))
    more = math.exp(isa, math.at_least(isa, size - 88.0, 0.0))
    half = e * 0.5
    return half * more, size.k.const(0.5, size.ty) / e


def sinh(isa: Isa, x: Value) -> Value:
    """(e**|x| - e**-|x|) / 2 with the sign of x; an odd polynomial below 1."""
    size = math.absolute(isa, x)
    square = size * size
    small = isa.fma(size * square, math.polynomial(isa, square, SINH), size)
    grown, shrunk = _ends(isa, size)
    return math.with_sign((size < 1.0).select(small, grown - shrunk), x)


def cosh(isa: Isa, x: Value) -> Value:
    """(e**|x| + e**-|x|) / 2"""
    grown, shrunk = _ends(isa, math.absolute(isa, x))
    return grown + shrunk


def tan(isa: Isa, x: Value) -> Value:
    """sin(x) / cos(x)"""
    return math.sin(isa, x) / math.cos(isa, x)


def asinh(isa: Isa, x: Value) -> Value:
    """log(|x| + sqrt(1 + x**2)) with the sign of x."""
    size = math.absolute(isa, x)
    square = size * size
    root = math.sqrt(isa, square + 1.0)
    small = log1p(isa, size + square / (root + 1.0))
    large = math.log(isa, size) + real.log(2)
    return math.with_sign((size < LARGE).select(small, large), x)


def acosh(isa: Isa, x: Value) -> Value:
    """log(x + sqrt(x**2 - 1))"""
    k, above = x.k, x - 1.0
    small = log1p(isa, above + math.sqrt(isa, above * (above + 2.0)))
    large = math.log(isa, x) + real.log(2)
    y = (x > LARGE).select(large, small)
    return (x >= 1.0).select(y, k.const(real.nan, x.ty))


def atanh(isa: Isa, x: Value) -> Value:
    """log((1 + |x|) / (1 - |x|)) / 2 with the sign of x; an odd polynomial below 1/4."""
    size = math.absolute(isa, x)
    square = size * size
    small = isa.fma(size * square, math.polynomial(isa, square, ATANH), size)
    rest = size.k.const(1.0, size.ty) - size
    large = log1p(isa, (size + size) / rest) * 0.5
    return math.with_sign((size < 0.25).select(small, large), x)


def _asin(isa: Isa, x: Value) -> Value:
    """asin of x from 0 to 1/2."""
    square = x * x
    return isa.fma(x * square, math.polynomial(isa, square, ASIN), x)


def _half_complement(isa: Isa, size: Value) -> Value:
    """sqrt((1 - |x|) / 2), whose arc sine is half the arc cosine of |x|."""
    return math.sqrt(isa, (size.k.const(1.0, size.ty) - size) * 0.5)


def asin(isa: Isa, x: Value) -> Value:
    """The arc sine, with the sign of x."""
    k, size = x.k, math.absolute(isa, x)
    far = size > 0.5
    y = _asin(isa, far.select(_half_complement(isa, size), size))
    y = far.select(k.const(real.pi / 2, x.ty) - (y + y), y)
    return math.with_sign(y, x)


def acos(isa: Isa, x: Value) -> Value:
    """The arc cosine."""
    k, size = x.k, math.absolute(isa, x)
    far = size > 0.5
    y = _asin(isa, far.select(_half_complement(isa, size), size))
    near = k.const(real.pi / 2, x.ty) - math.with_sign(y, x)
    double = y + y
    apart = (x < 0.0).select(k.const(real.pi, x.ty) - double, double)
    return far.select(apart, near)


def atan(isa: Isa, x: Value) -> Value:
    """The arc tangent: of |x|, (|x| - 1) / (|x| + 1) or -1 / |x|, whichever is small."""
    k, ty, size = x.k, x.ty, math.absolute(isa, x)
    far, middle = size > 1 + real.sqrt(2), size > real.sqrt(2) - 1
    apart = (size - 1.0) / (size + 1.0)
    z = far.select(k.const(-1.0, ty) / size, middle.select(apart, size))
    start = middle.select(k.const(real.pi / 4, ty), 0.0)
    start = far.select(k.const(real.pi / 2, ty), start)
    square = z * z
    y = isa.fma(z * square, math.polynomial(isa, square, ATAN), z)
    return math.with_sign(start + y, x)


__all__ = [
    "acos",
    "acosh",
    "asin",
    "asinh",
    "atan",
    "atanh",
    "cosh",
    "log1p",
    "mish",
    "sinh",
    "softplus",
    "tan",
]
