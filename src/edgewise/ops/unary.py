"""Functions of one element: on quantized tensors each is a table of 256 or 65,536 entries."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ..graph import Array, TensorType
from .base import Activation, Op
from .checks import Kind, check_inputs, common_kind, kind_of, result
from .fixed_point import (
    divide_by_power_of_two,
    high_multiply,
    multiplier,
    multiply,
    truncating_shift,
)
from .quantized import requantized
from .requant import activation_range, per_tensor


def unsigned(x: Array) -> Array:
    """Raw values of 8 or 16 bits as the unsigned integers of the same bits."""
    return x.view(np.uint8 if x.dtype.itemsize == 1 else np.uint16)


def raw_values(t: TensorType) -> Array:
    """int64[256], or [65536] for 16 bits: the values of the raw bits 0, 1, 2, ..."""
    bits = np.uint8 if t.dtype.itemsize == 1 else np.uint16
    return np.arange(np.iinfo(bits).max + 1, dtype=bits).view(t.dtype.numpy).astype(np.int64)


def entries(
    steps: Array, zero: int, out: TensorType, lo: int | None = None, hi: int | None = None
) -> Array:
    """A table of ``out``: whole ``steps`` plus the zero point, clamped to lo..hi and the dtype."""
    low, high = out.dtype.range
    low, high = low if lo is None else max(lo, low), high if hi is None else min(hi, high)
    return np.asarray(np.clip(steps + zero, low, high).astype(out.dtype.numpy))


def scale_ratio(op: Op, x: TensorType, out: TensorType) -> tuple[Array, np.float32, int]:
    """All values less their zero point, x.scale / out.scale, and out's zero point.

    A ratio beyond 2**40 is 2**40: both saturate.
    """
    scale, zero = per_tensor(x, f"{op.name}: input")
    out_scale, out_zero = per_tensor(out, f"{op.name}: output")
    with np.errstate(over="ignore", under="ignore"):
        ratio = np.float32(min(scale / out_scale, np.float32(2.0**40)))
    return raw_values(x) - zero, ratio, out_zero


def shifted(steps: Array, ratio: Array | np.float32) -> Array:
    """steps * ratio, with 8 bits of fraction in the ratio; halves round up (XNNPACK's rule)."""
    factor = np.rint(np.float32(256) * ratio).astype(np.int64)
    return np.asarray((steps * factor + 128) >> 8)


def has_shifted_rule(ratio: np.float32) -> bool:
    """Whether XNNPACK takes this ratio of scales; TensorFlow Lite's own kernel runs otherwise."""
    return bool(2.0**-8 <= abs(ratio) <= 2.0**7)


class Unary(Op):
    """Base of the functions of one element: of floats, or quantized by ``table``.

    ``kinds`` says what else it takes; of those the result is ``exact``.
    """

    kinds: ClassVar[tuple[Kind, ...]] = (Kind.FLOAT, Kind.QUANTIZED)

    def real(self, x: Array) -> Array:
        """The function of real numbers, float64 to float64."""
        raise NotImplementedError

    def exact(self, x: Array) -> Array:
        """The function of plain integers or bools, which wraps."""
        return self.real(x)

    def infer(self, inputs: Sequence[TensorType]) -> tuple[TensorType, ...]:
        check_inputs(self, inputs, 1)
        common_kind(self, inputs, self.kinds)
        return (result(self, inputs[0].shape, inputs[0].dtype),)

    def table(self, input: TensorType, output: TensorType) -> Array:
        """The results, of the output's dtype, for the input's raw bits 0 to 255, or to 65,535.

        Entry: clamp(round_half_even(real(scale * (q - zero point)) / output scale) + zero point),
        in float64; NaN counts as 0.

        Raises:
            GraphError: when a type is not quantized per tensor.
        """
        scale, zero = per_tensor(input, f"{self.name}: input")
        with np.errstate(all="ignore"):
            real = self.real((raw_values(input) - zero) * float(scale))
        return requantized(real, output, f"{self.name}: output")

    def reference(
        self, arrays: Sequence[Array], inputs: Sequence[TensorType], outputs: Sequence[TensorType]
    ) -> list[Array]:
        (x,) = arrays
        kind = kind_of(inputs[0])
        if kind is Kind.QUANTIZED:
            return [self.table(inputs[0], outputs[0])[unsigned(x)]]
        with np.errstate(all="ignore"):
            y = self.real(x.astype(np.float64)) if kind is Kind.FLOAT else self.exact(x)
        return [np.asarray(y).astype(outputs[0].dtype.numpy)]


class Logistic(Unary):
    """1 / (1 + exp(-x))"""

    name: ClassVar[str] = "LOGISTIC"

    def real(self, x: Array) -> Array:
        return np.asarray(1 / (1 + np.exp(-x)))


class Tanh(Unary):
    """tanh(x)"""

    name: ClassVar[str] = "TANH"

    def real(self, x: Array) -> Array:
        return np.asarray(np.tanh(x))


class Clamp(Unary):
    """Base of the functions that clamp x to ``_activation``.

    Integers: x is requantized by fixed_point.multiply, then clamped to activation_range.
    """

    _activation: ClassVar[Activation]

    def real(self, x: Array) -> Array:
        return np.asarray(np.clip(x, *self._activation.value))

    def table(self, input: TensorType, output: TensorType) -> Array:
        steps, ratio, zero = scale_ratio(self, input, output)
        lo, hi = activation_range(output, self._activation)
        return entries(multiply(steps, float(ratio)), zero, output, lo, hi)


class Relu(Clamp):
    """max(x, 0)"""

    name: ClassVar[str] = "RELU"
    _activation: ClassVar[Activation] = Activation.RELU


class Relu6(Clamp):
    """min(max(x, 0), 6)"""

    name: ClassVar[str] = "RELU6"
    _activation: ClassVar[Activation] = Activation.RELU6


class ReluN1To1(Clamp):
    """min(max(x, -1), 1)"""

    name: ClassVar[str] = "RELU_N1_TO_1"
    _activation: ClassVar[Activation] = Activation.RELU_N1_TO_1


class Relu0To1(Clamp):
    """min(max(x, 0), 1)"""

    name: ClassVar[str] = "RELU_0_TO_1"
    _activation: ClassVar[Activation] = Activation.RELU_0_TO_1


@dataclass(frozen=True, eq=False, repr=False)
class LeakyRelu(Unary):
    """x where x >= 0, else alpha * x

    Integers: two multipliers with 8 bits of fraction where both ratios of scales allow it, else
    fixed_point.multiply.
    """

    name: ClassVar[str] = "LEAKY_RELU"

    alpha: float = 0.0

    def infer(self, inputs: Sequence[TensorType]) -> tuple[TensorType, ...]:
        finite = math.isfinite(self.alpha) and abs(self.alpha) < 2.0**64
        self.require(finite, f"alpha is {self.alpha}; it must be finite and below 2**64")
        return super().infer(inputs)

    def real(self, x: Array) -> Array:
        return np.where(x >= 0, x, self.alpha * x)

    def table(self, input: TensorType, output: TensorType) -> Array:
        steps, ratio, zero = scale_ratio(self, input, output)
        alpha = np.float32(self.alpha)
        with np.errstate(over="ignore", under="ignore"):
            negative = np.float32(np.clip(ratio * alpha, -(2.0**40), 2.0**40))
        if has_shifted_rule(ratio) and has_shifted_rule(negative):
            return entries(shifted(steps, np.where(steps >= 0, ratio, negative)), zero, output)
        below = multiply(steps, float(negative))
        return entries(np.where(steps >= 0, multiply(steps, float(ratio)), below), zero, output)


class HardSwish(Unary):
    """x * min(max(x + 3, 0), 6) / 6

    Integers: TensorFlow Lite's 16-bit fixed-point rule. With v = (q - zero point) * 2**7 and every
    value int16: a = v scaled to the output, less its right shift; r = x / 3 in 15 bits of
    fraction, saturated, and moved from -1..1 to 0..1; q = a * r, shifted.
    """

    name: ClassVar[str] = "HARD_SWISH"

    def real(self, x: Array) -> Array:
        return np.asarray(x * np.clip(x + 3, 0, 6) / 6)

    def table(self, input: TensorType, output: TensorType) -> Array:
        scale, zero = per_tensor(input, f"{self.name}: input")
        out_scale, out_zero = per_tensor(output, f"{self.name}: output")
        fine = float(scale) / 128
        out_factor, out_exponent = _short_multiplier(fine / float(out_scale))
        factor, exponent = _short_multiplier(fine / (3 / 32768))
        v = (raw_values(input) - zero) << 7
        r = v
        if exponent > 0:
            r = _int16(r << min(exponent - 1, 16))
        r = high_multiply(r, factor, 15)
        r = _int16(r << 1) if exponent > 0 else divide_by_power_of_two(r, min(-exponent, 31))
        r = (r + 2**15) >> 1
        product = truncating_shift(r * high_multiply(v, out_factor, 15), 15)
        if out_exponent > 0:
            steps = product << min(out_exponent, 16)
        else:
            steps = divide_by_power_of_two(product, min(-out_exponent, 31))
        return entries(steps, out_zero, output)


def _short_multiplier(real: float) -> tuple[int, int]:
    scaled, exponent = multiplier(real)
    return min((scaled + 2**15) >> 16, 2**15 - 1), exponent


def _int16(x: Array) -> Array:
    return np.asarray(np.clip(x, -(2**15), 2**15 - 1))


@dataclass(frozen=True, eq=False, repr=False)
class Gelu(Unary):
    """x * Phi(x), with the normal distribution Phi, or its approximation by tanh."""

    name: ClassVar[str] = "GELU"

    approximate: bool = False

    def real(self, x: Array) -> Array:
        if self.approximate:
            inner = math.sqrt(2 / math.pi) * (x + 0.044715 * x * x * x)
            return np.asarray(0.5 * x * (1 + np.tanh(inner)))
        return np.asarray(0.5 * x * erfc(-x * math.sqrt(0.5)))


def erfc(x: Array) -> Array:
    """1 - erf(x) of float64."""
    return np.asarray(np.vectorize(math.erfc, otypes=[np.float64])(x))


def _function(
    name: str,
    real: Callable[[Array], Array],
    doc: str,
    exact: Sequence[Kind] = (),
) -> type[Unary]:
    """A class called as the operator is, in CamelCase; it takes the kinds ``exact`` too."""
    members = {
        "__doc__": doc,
        "__module__": __name__,
        "name": name,
        "real": lambda self, x: np.asarray(real(x)),
        "kinds": (*Unary.kinds, *exact),
    }
    return type(name.title().replace("_", ""), (Unary,), members)


_INTEGER = (Kind.INTEGER,)

Abs = _function("ABS", np.abs, "|x|", _INTEGER)
Neg = _function("NEG", np.negative, "-x", (Kind.INTEGER, Kind.COMPLEX))
Exp = _function("EXP", np.exp, "e ** x")
Log = _function("LOG", np.log, "the natural logarithm")
Sqrt = _function("SQRT", np.sqrt, "the square root")
Rsqrt = _function("RSQRT", lambda x: 1 / np.sqrt(x), "1 / sqrt(x)")
Square = _function("SQUARE", np.square, "x * x", _INTEGER)
Sin = _function("SIN", np.sin, "the sine of radians")
Cos = _function("COS", np.cos, "the cosine of radians")
Floor = _function("FLOOR", np.floor, "the greatest whole number that is not above x")
Ceil = _function("CEIL", np.ceil, "the least whole number that is not below x")
Round = _function("ROUND", np.rint, "the nearest whole number, halves to even")
Sign = _function("SIGN", np.sign, "-1, 0 or 1, as x is", _INTEGER)
Elu = _function("ELU", lambda x: np.where(x > 0, x, np.expm1(x)), "x where x > 0, else e ** x - 1")
LogicalNot = _function("LOGICAL_NOT", np.logical_not, "not x", (Kind.BOOL,))
