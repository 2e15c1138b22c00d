"""Errors of the functions of float32 lanes, in ulps of the exact result."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest

from edgewise.kernels import functions
from edgewise.kernels import math as kmath
from edgewise.kernels.ir import Kernel, Value, f32
from edgewise.kernels.isa import AVX2, SSE41, Isa

from .harness import Array, isas
from .probe import evaluate


def _each(function: Callable[[float], float]) -> Callable[[Array], Array]:
    vectorized = np.frompyfunc(function, 1, 1)
    return lambda x: vectorized(x).astype(np.float64)


def _gelu(x: float) -> float:
    return max(x, -50) * math.erfc(-x * math.sqrt(0.5)) / 2


def _gelu_tanh(x: Array) -> Array:
    u = 2 * math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)
    return x / (1 + np.exp(-u))


def _logistic(x: Array) -> Array:
    return np.where(x < 0, np.exp(x) / (1 + np.exp(x)), 1 / (1 + np.exp(-x)))


@dataclass(frozen=True)
class Case:
    """A function, its float64 reference, and the greatest error in ulps of float32.

    Attributes:
        least, greatest: where the error holds.
    """

    function: kmath.Function
    reference: Callable[[Array], Array]
    ulps: float
    least: float = -math.inf
    greatest: float = math.inf


def _softplus(x: Array) -> Array:
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


def _mish(x: Array) -> Array:
    return np.where(x < -700, -0.0, x * np.tanh(_softplus(x)))


CASES = {
    "acos": Case(functions.acos, np.arccos, 3),
    "acosh": Case(functions.acosh, np.arccosh, 3),
    "asin": Case(functions.asin, np.arcsin, 3),
    "asinh": Case(functions.asinh, np.arcsinh, 3),
    "atan": Case(functions.atan, np.arctan, 3),
    "atanh": Case(functions.atanh, np.arctanh, 3),
    "ceil": Case(kmath.ceil, np.ceil, 0),
    "cos": Case(kmath.cos, np.cos, 0.51),
    "cosh": Case(functions.cosh, np.cosh, 3),
    "elu": Case(kmath.elu, lambda x: np.where(x < 0, np.expm1(x), x), 1),
    "erf": Case(kmath.erf, _each(math.erf), 2.5),
    "exp": Case(kmath.exp, np.exp, 1),
    "expm1": Case(kmath.expm1, np.expm1, 1, greatest=-1e-45),
    "floor": Case(kmath.floor, np.floor, 0),
    "gelu": Case(kmath.gelu, _each(_gelu), 7),
    "gelu_tanh": Case(kmath.gelu_tanh, _gelu_tanh, 14, least=-3),
    "log": Case(kmath.log, np.log, 1),
    "logistic": Case(kmath.logistic, _logistic, 2.5),
    "mish": Case(functions.mish, _mish, 5),
    "round_even": Case(kmath.round_even, np.rint, 0),
    "rsqrt": Case(kmath.rsqrt, lambda x: 1 / np.sqrt(x), 1.5),
    "sin": Case(kmath.sin, np.sin, 0.51),
    "sinh": Case(functions.sinh, np.sinh, 3),
    "softplus": Case(functions.softplus, _softplus, 3),
    "sqrt": Case(kmath.sqrt, np.sqrt, 0.5),
    "tan": Case(functions.tan, np.tan, 3),
    "tanh": Case(kmath.tanh, np.tanh, 2.5),
}

SPECIAL = [0.0, 1.0, 0.5, 1.5, 2.5, math.inf, math.nan, 1e-45, 2.0**-126, 1.1754942e-38, 3.4e38]
SPECIAL += [88.72283, 88.72284, 103.97, 104.0, 87.33, 1e10, 2.0**28, 2.0**31, 8388609.0, 1e30]
SPECIAL += [2.0**28 - 32, 1.57079637, 3.14159274, 0.70710677, 1.41421354, 9.01, 10.05, 2.0**127]


def ulps(actual: Array, exact: Array) -> Array:
    """The distance in float32 numbers; infinite where only one is NaN."""
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        rounded = exact.astype(np.float32)
        edge = np.float64(2.0**128)
        step = np.spacing(np.minimum(np.abs(rounded), np.float32(3.4028235e38))).astype(float)
        distance = np.clip(actual, -edge, edge, dtype=float) - np.clip(exact, -edge, edge)
        error = np.abs(distance) / step
        same = (actual == rounded) | (np.isnan(actual) & np.isnan(rounded))
    error[np.isnan(error)] = math.inf
    error[same & ~np.isfinite(rounded)] = 0
    return error


def apply(isa: Isa, function: kmath.Function, x: Array) -> Array:
    """``function`` on vectors of ``isa``; the first lane of each also as a scalar."""
    lanes = isa.lanes
    padded = np.resize(x, -(-x.size // lanes) * lanes).reshape(-1, lanes)

    def emit(k: Kernel, source: Value, target: Value, first: Value) -> None:
        target.store(function(isa, source.load(f32[lanes])))
        first.store(function(isa, source.load(f32)))

    parts = [((lanes,), np.float32), ((1,), np.float32)]
    y, scalar = evaluate(isa, emit, [padded], parts)
    np.testing.assert_array_equal(y[:, 0], scalar[:, 0])
    return y.reshape(-1)[: x.size]


def check(isa: Isa, name: str, x: Array) -> None:
    case = CASES[name]
    x = x[~((x < case.least) | (x > case.greatest))]
    y = apply(isa, case.function, x)
    with np.errstate(all="ignore"):
        exact = case.reference(x.astype(np.float64))
    error = ulps(y, exact)
    worst = int(np.argmax(error))
    message = f"{name}({x[worst]!r}) is {y[worst]!r}, {error[worst]} ulps from {exact[worst]!r}"
    assert error[worst] <= case.ulps, message
    zeros = (y == 0) & (exact == 0)
    np.testing.assert_array_equal(np.signbit(y[zeros]), np.signbit(exact[zeros]))


@isas
def test_power(isa: Isa) -> None:
    rng = np.random.default_rng(2)
    edges = [0.0, 1.0, 0.5, 2.0, 3.0, 7.0, 1e-45, 1e30, 3e38, math.inf, math.nan, 16777216.0, 33.5]
    both = np.array([*edges, *(-x for x in edges)], np.float32)
    x, y = (part.ravel() for part in np.meshgrid(both, both))
    bases = np.concatenate([x, np.exp(rng.normal(0, 8, 2000)).astype(np.float32)])
    powers = np.concatenate([y, rng.normal(0, 6, 2000).astype(np.float32)])

    def emit(k: Kernel, a: Value, b: Value, target: Value) -> None:
        target.store(kmath.power(isa, a.load(f32[4]), b.load(f32[4])))

    inputs = [bases.reshape(-1, 4), powers.reshape(-1, 4)]
    (z,) = evaluate(isa, emit, inputs, [((4,), np.float32)])
    with np.errstate(all="ignore"):
        exact = np.power(bases.astype(np.float64), powers)
    assert ulps(z.ravel(), exact).max() <= 0.51


def every(step: int, start: int = 0) -> Array:
    """Every ``step``-th float32, by its bits."""
    return np.arange(start, 1 << 32, step, dtype=np.uint32).view(np.float32)


@isas
@pytest.mark.parametrize("name", CASES)
def test_errors(isa: Isa, name: str) -> None:
    special = np.array([*SPECIAL, *(-x for x in SPECIAL)], np.float32)
    rng = np.random.default_rng(1)
    common = rng.normal(0, 3, 3000).astype(np.float32)
    check(isa, name, np.concatenate([special, common, every(1_000_003, 77)]))


@pytest.mark.slow
@pytest.mark.parametrize("isa", [AVX2, SSE41], ids=str)
@pytest.mark.parametrize("name", CASES)
def test_errors_everywhere(isa: Isa, name: str) -> None:
    for start in range(0, 1 << 28, 1 << 26):
        check(isa, name, every(997, start % 997))
