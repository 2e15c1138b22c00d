"""More functions of one element, of formats other than .tflite."""

from __future__ import annotations

import math

import numpy as np

from ..graph import Array
from .unary import unary_function as function


def _erf(x: Array) -> Array:
    flat = np.fromiter(map(math.erf, x.ravel().tolist()), np.float64, x.size)
    return flat.reshape(x.shape)


def _softplus(x: Array) -> Array:
    return np.asarray(np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x))))


def _mish(x: Array) -> Array:
    """With e = exp(x), tanh(log(1 + e)) is ((1 + e)**2 - 1) / ((1 + e)**2 + 1)."""
    e = np.exp(np.minimum(x, 50.0))
    square = e * (e + 2)
    return np.where(x == -math.inf, -0.0, x * (square / (square + 2)))


Acos = function("ACOS", np.arccos, "The arc cosine, in radians.")
Acosh = function("ACOSH", np.arccosh, "The inverse hyperbolic cosine.")
Asin = function("ASIN", np.arcsin, "The arc sine, in radians.")
Asinh = function("ASINH", np.arcsinh, "The inverse hyperbolic sine.")
Atan = function("ATAN", np.arctan, "The arc tangent, in radians.")
Atanh = function("ATANH", np.arctanh, "The inverse hyperbolic tangent.")
Cosh = function("COSH", np.cosh, "The hyperbolic cosine.")
Erf = function("ERF", _erf, "The error function.")
Mish = function("MISH", _mish, "x * tanh(log(1 + e ** x))")
Sinh = function("SINH", np.sinh, "The hyperbolic sine.")
Softplus = function("SOFTPLUS", _softplus, "log(1 + e ** x)")
Tan = function("TAN", np.tan, "The tangent of radians.")

__all__ = [
    "Acos",
    "Acosh",
    "Asin",
    "Asinh",
    "Atan",
    "Atanh",
    "Cosh",
    "Erf",
    "Mish",
    "Sinh",
    "Softplus",
    "Tan",
]
