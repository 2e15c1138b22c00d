"""Functions of one element: on quantized tensors each is a table of 256 or 65,536 entries."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ..dtype import DType
from ..graph import Array, TensorType
from .base import Activation, Op
from .checks import Kind, check_inputs, common_kind, kind_of, result
from .fixed_functions import inverse_square_root, logistic, tanh
from .fixed_point import (
    GREATEST,
    divide_by_power_of_two,
    high_multiply,
    multiplier,
    multiply,
    multiply_twice_rounded,
    truncating_shift,
)
from .requant import activation_range, per_tensor
from .tables import (
    Function,
    entries,
    has_shifted_rule,
    interpolated_table,
    raw_values,
    scale_ratio,
    shifted,
    sigmoid_argument,
    sigmoid_samples,
    unsigned,
    whole_table,
)


class Unary(Op):
    """Base of the functions of one element: of floats, or quantized by ``table``.

    ``kinds`` says what else it takes; of those the result is ``exact``. ``end`` and
    ``halves_away`` are ``Function``'s.
    """

    kinds: ClassVar[tuple[Kind, ...]] = (Kind.FLOAT, Kind.QUANTIZED)
    end: ClassVar[int] = 0
    halves_away: ClassVar[bool] = False

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

        8 bits by ``whole_table``, 16 by ``interpolated_table``, where a class states no other rule.

        Raises:
            GraphError: when a type is not quantized per tensor.
        """
        function = Function(self.real, self.end, self.halves_away)
        build = interpolated_table if input.dtype is DType.INT16 else whole_table
        return build(self, function, input, output)

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
    """1 / (1 + exp(-x))

    16 bits to the scale 2**-15: gemmlowp's function at the scale 2**-12, else interpolated between
    ``sigmoid_samples``.
    """

    name: ClassVar[str] = "LOGISTIC"

    def real(self, x: Array) -> Array:
        return np.asarray(1 / (1 + np.exp(-x)))

    def table(self, input: TensorType, output: TensorType) -> Array:
        if not _is_q15(input, output):
            return super().table(input, output)
        scale, values = per_tensor(input, self.name)[0], raw_values(input)
        if scale == 2.0**-12:
            return entries(logistic(values), 0, output)
        argument = sigmoid_argument(scale, values)
        index, rest = np.abs(argument) >> 9, np.abs(argument) & 511
        samples = sigmoid_samples()
        low, high = (samples[np.minimum(index + i, 255)] for i in (0, 1))
        y = np.where(index >= 255, 0x7FFF << 10, (low << 9) + rest * (high - low))
        steps = np.where(argument >= 0, y + 512, (1 << 25) - y + 511) >> 10
        return entries(steps, 0, output)


class Tanh(Unary):
    """tanh(x)

    16 bits to the scale 2**-15: gemmlowp's function at the scales 2**-12 and 2**-11, else
    interpolated between ``sigmoid_samples``.
    """

    name: ClassVar[str] = "TANH"

    def real(self, x: Array) -> Array:
        return np.asarray(np.tanh(x))

    def table(self, input: TensorType, output: TensorType) -> Array:
        if not _is_q15(input, output):
            return super().table(input, output)
        scale, values = per_tensor(input, self.name)[0], raw_values(input)
        if scale in (2.0**-12, 2.0**-11):
            doubled = np.clip(values * int(scale * 2**12), -(2**15), 2**15 - 1)
            return entries(tanh(doubled, 3), 0, output)
        argument = sigmoid_argument(scale, values)
        index, rest = np.abs(argument) >> 8, np.abs(argument) & 255
        samples = sigmoid_samples()
        low, high = (samples[np.minimum(index + i, 255)] for i in (0, 1))
        y = np.where(index >= 255, 0xFFFF << 8, (low << 8) + rest * (high - low)) - (1 << 23)
        steps = np.where(argument >= 0, y + 128, -y + 127) >> 8
        return entries(steps, 0, output)


def _is_q15(x: TensorType, out: TensorType) -> bool:
    """Whether LiteRT's rule of 16 bits for LOGISTIC and TANH exists."""
    if x.quant is None or out.quant is None or x.dtype is not DType.INT16:
        return False
    return x.quant.zero_point == out.quant.zero_point == (0,) and out.quant.scale == (2.0**-15,)


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
        is_byte = input.dtype is not DType.INT16
        scale, out_scale = (per_tensor(t, self.name)[0] for t in (input, output))
        with np.errstate(over="ignore", under="ignore"):
            product = ratio * alpha if is_byte else scale * alpha / out_scale
            negative = np.float32(np.clip(product, -GREATEST, GREATEST))
        if is_byte and has_shifted_rule(ratio) and has_shifted_rule(negative):
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

    halves_away: ClassVar[bool] = True

    def real(self, x: Array) -> Array:
        if self.approximate:
            inner = math.sqrt(2 / math.pi) * (x + 0.044715 * x * x * x)
            y = 0.5 * x * (1 + np.tanh(inner))
        else:
            y = 0.5 * x * erfc(-x * math.sqrt(0.5))
        return np.where(x == -math.inf, -0.0, y)


def erfc(x: Array) -> Array:
    """1 - erf(x) of float64."""
    return np.fromiter(map(math.erfc, x.ravel().tolist()), np.float64, x.size).reshape(x.shape)


class Abs(Unary):
    """|x|

    Quantized: fixed_point.multiply of what lies between x and its zero point.
    """

    name: ClassVar[str] = "ABS"
    kinds: ClassVar[tuple[Kind, ...]] = (*Unary.kinds, Kind.INTEGER)

    def real(self, x: Array) -> Array:
        return np.abs(x)

    def table(self, input: TensorType, output: TensorType) -> Array:
        steps, ratio, zero = scale_ratio(self, input, output)
        return entries(multiply(np.abs(steps), float(ratio)), zero, output)


class Sqrt(Unary):
    """The square root; quantized it is cut toward zero, and 0 below 0."""

    name: ClassVar[str] = "SQRT"

    def real(self, x: Array) -> Array:
        return np.asarray(np.sqrt(x))

    def table(self, input: TensorType, output: TensorType) -> Array:
        scale, zero = per_tensor(input, f"{self.name}: input")
        out_scale, out_zero = per_tensor(output, f"{self.name}: output")
        real = np.maximum((raw_values(input) - zero).astype(np.float32) * scale, np.float32(0))
        with np.errstate(over="ignore", under="ignore"):
            steps = np.minimum(np.sqrt(real) / out_scale, np.float32(2**30))
        return entries(np.trunc(steps), out_zero, output)


class Rsqrt(Unary):
    """1 / sqrt(x); quantized, the greatest value where x <= 0.

    8 bits: TensorFlow Lite's fixed-point rule, fixed_functions.inverse_square_root.
    """

    name: ClassVar[str] = "RSQRT"
    end: ClassVar[int] = 1

    def real(self, x: Array) -> Array:
        return np.asarray(1 / np.sqrt(x))

    def table(self, input: TensorType, output: TensorType) -> Array:
        if input.dtype is DType.INT16:
            return super().table(input, output)
        scale, zero = per_tensor(input, f"{self.name}: input")
        out_scale, out_zero = per_tensor(output, f"{self.name}: output")
        steps = raw_values(input) - zero
        scaled, exponent = inverse_square_root(np.maximum(steps, 1))
        root = multiply_twice_rounded(np.ones_like(steps), scaled, exponent + 20)
        whole, shift = multiplier(1.0 / (math.sqrt(scale) * float(out_scale)))
        y = multiply_twice_rounded(root, whole, shift - 20)
        return entries(np.where(steps > 0, y, 2**30), out_zero, output)


def unary_function(
    name: str,
    real: Callable[[Array], Array],
    doc: str,
    exact: Sequence[Kind] = (),
    *,
    end: int = 0,
    halves_away: bool = False,
) -> type[Unary]:
    """A class called as the operator is, in CamelCase; it takes the kinds ``exact`` too."""
    members = {
        "__doc__": doc,
        "__module__": __name__,
        "name": name,
        "real": lambda self, x: np.asarray(real(x)),
        "kinds": (*Unary.kinds, *exact),
        "end": end,
        "halves_away": halves_away,
    }
    return type(name.title().replace("_", ""), (Unary,), members)


_INTEGER = (Kind.INTEGER,)

Neg = unary_function("NEG", np.negative, "-x", (Kind.INTEGER, Kind.COMPLEX))
Exp = unary_function("EXP", np.exp, "e ** x", end=1, halves_away=True)
Log = unary_function("LOG", np.log, "The natural logarithm.", end=-1, halves_away=True)
Square = unary_function("SQUARE", np.square, "x * x", _INTEGER)
Sin = unary_function("SIN", np.sin, "The sine of radians.")
Cos = unary_function("COS", np.cos, "The cosine of radians.")
Floor = unary_function("FLOOR", np.floor, "The greatest whole number that is not above x.")
Ceil = unary_function("CEIL", np.ceil, "The least whole number that is not below x.")
Round = unary_function("ROUND", np.rint, "The nearest whole number, halves to even.")
Sign = unary_function("SIGN", np.sign, "-1, 0 or 1, as x is.", _INTEGER)
Elu = unary_function(
    "ELU", lambda x: np.where(x > 0, x, np.expm1(x)), "x where x > 0, else e ** x - 1."
)


class LogicalNot(Unary):
    """not x, of bools"""

    name: ClassVar[str] = "LOGICAL_NOT"
    kinds: ClassVar[tuple[Kind, ...]] = (Kind.BOOL,)

    def real(self, x: Array) -> Array:
        return np.asarray(np.logical_not(x))
