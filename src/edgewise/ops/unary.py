"""Functions of one element: on 8-bit tensors each is a table of 256 entries."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ..dtype import DType
from ..graph import Array, TensorType
from .base import Activation, Op
from .checks import all_quantized, check_inputs, result
from .fixed_point import (
    divide_by_power_of_two,
    high_multiply,
    multiplier,
    multiply,
    truncating_shift,
)
from .requant import activation_range, per_tensor


def raw_values(t: TensorType) -> Array:
    """int64[256]: what the bytes 0 to 255 mean as values of an 8-bit dtype."""
    return np.arange(256, dtype=np.uint8).view(t.dtype.numpy).astype(np.int64)


def entries(steps: Array, zero: int, out: TensorType, lo: int = -512, hi: int = 512) -> Array:
    """A table of ``out``: whole ``steps`` plus the zero point, clamped to lo..hi and the dtype."""
    low, high = out.dtype.range
    q = np.clip(steps + zero, max(lo, low), min(hi, high))
    return np.asarray(q.astype(out.dtype.numpy))


def scale_ratio(op: Op, x: TensorType, out: TensorType) -> tuple[Array, np.float32, int]:
    """Values less their zero point (int64[256]), x.scale / out.scale, and out's zero point.

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
    """Base of the functions of one element: float32, or 8-bit by ``table``."""

    def real(self, x: Array) -> Array:
        """The function of real numbers, float64 to float64."""
        raise NotImplementedError

    def infer(self, inputs: Sequence[TensorType]) -> tuple[TensorType, ...]:
        check_inputs(self, inputs, 1)
        all_quantized(self, inputs)
        return (result(self, inputs[0].shape, inputs[0].dtype),)

    def table(self, input: TensorType, output: TensorType) -> Array:
        """The results, of the output's dtype, for the input's raw bytes 0 to 255 (as uint8).

        Entry: clamp(round_half_even(real(scale * (q - zero point)) / output scale) + zero point),
        in float64.

        Raises:
            GraphError: when a type is not 8-bit and quantized per tensor.
        """
        scale, zero = per_tensor(input, f"{self.name}: input")
        out_scale, out_zero = per_tensor(output, f"{self.name}: output")
        with np.errstate(over="ignore", under="ignore"):
            steps = self.real((raw_values(input) - zero) * float(scale)) / float(out_scale)
        return entries(np.rint(np.clip(steps, -512, 512)), out_zero, output)

    def reference(
        self, arrays: Sequence[Array], inputs: Sequence[TensorType], outputs: Sequence[TensorType]
    ) -> list[Array]:
        (x,) = arrays
        if inputs[0].dtype is DType.FLOAT32:
            with np.errstate(over="ignore", under="ignore"):
                return [self.real(x.astype(np.float64)).astype(np.float32)]
        return [self.table(inputs[0], outputs[0])[x.view(np.uint8)]]


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


class _Clamp(Unary):
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


class Relu(_Clamp):
    """max(x, 0)"""

    name: ClassVar[str] = "RELU"
    _activation: ClassVar[Activation] = Activation.RELU


class Relu6(_Clamp):
    """min(max(x, 0), 6)"""

    name: ClassVar[str] = "RELU6"
    _activation: ClassVar[Activation] = Activation.RELU6


class ReluN1To1(_Clamp):
    """min(max(x, -1), 1)"""

    name: ClassVar[str] = "RELU_N1_TO_1"
    _activation: ClassVar[Activation] = Activation.RELU_N1_TO_1


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
