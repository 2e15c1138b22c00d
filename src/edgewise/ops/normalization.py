"""Normalisations along an axis: SOFTMAX, LOG_SOFTMAX, L2_NORMALIZATION and the like."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from ..dtype import DType, QParams
from ..graph import Array, TensorType
from .base import Op
from .checks import Kind, check_inputs, check_rank, common_kind, kind_of, result
from .fixed_functions import exp_of_negative, inverse_of_one_plus, inverse_square_root
from .fixed_point import (
    divide_by_power_of_two,
    high_multiply,
    multiplier,
    multiply,
    multiply_twice_rounded,
)
from .quantized import dequantized, requantized
from .requant import Rounding, centered, per_tensor, wrap_int32
from .tables import Function, interpolated_table


class LastAxis(Op):
    """Base of the operators that give each row of the last axis a row of its size."""

    kinds: ClassVar[tuple[Kind, ...]] = (Kind.FLOAT, Kind.QUANTIZED)

    def infer(self, inputs: Sequence[TensorType]) -> tuple[TensorType, ...]:
        check_inputs(self, inputs, 1)
        (x,) = inputs
        self.require(len(x.shape) >= 1, "its input is a scalar; it needs an axis")
        common_kind(self, inputs, self.kinds)
        return (result(self, x.shape, x.dtype),)

    def rows(self, x: Array) -> Array:
        """The function of real rows, in float64."""
        raise NotImplementedError

    def quantized(self, x: Array, t: TensorType, out: TensorType) -> Array:
        return requantized(self.rows(dequantized(x, t, self.name)), out, f"{self.name}: output")

    def reference(
        self, arrays: Sequence[Array], inputs: Sequence[TensorType], outputs: Sequence[TensorType]
    ) -> list[Array]:
        (x,) = arrays
        with np.errstate(all="ignore"):
            if kind_of(inputs[0]) is Kind.QUANTIZED:
                y = self.quantized(x, inputs[0], outputs[0])
            else:
                y = self.rows(x.astype(np.float64))
        return [np.asarray(y).astype(outputs[0].dtype.numpy)]


@dataclass(frozen=True, eq=False, repr=False)
class Softmax(LastAxis):
    """exp(beta * x) / sum(exp(beta * x)) over the last axis.

    8 bits, with d = (greatest x of the row) - x, and t = ``table``: the sum s of t[d] over the
    row is exact (int64), r = ``factor`` / float32(s) is one float32 division a row, and
    q = clamp(round_half_even(float32(t[d]) * r) + zero point). Entries are at most 2**23, so that
    their conversion to float32 is exact.

    int16, as TensorFlow Lite: exp over [-10, 0] and 1 / (1 + x) over [0, 1] are interpolated; the
    output's scale is 2**-15. 8 bits with ``rounding`` in fixed point: as its reference kernel, on
    numbers of 32 bits; the output's zero point is its least value.
    """

    name: ClassVar[str] = "SOFTMAX"

    beta: float = 1.0
    rounding: Rounding = Rounding.FLOAT

    def infer(self, inputs: Sequence[TensorType]) -> tuple[TensorType, ...]:
        self.require(
            math.isfinite(self.beta) and self.beta > 0,
            f"beta is {self.beta}; it must be positive and finite",
        )
        return super().infer(inputs)

    def table(self, x: TensorType) -> npt.NDArray[np.int32]:
        """int32[256]: entry d is round(2**23 * exp(-beta * x.scale * d))."""
        scale, _ = per_tensor(x, f"{self.name}: input")
        exponents = -float(scale) * self.beta * np.arange(256)
        with np.errstate(under="ignore"):
            return np.asarray(np.rint(2.0**23 * np.exp(exponents)), np.int32)

    def factor(self, out: TensorType) -> np.float32:
        """float32(1 / out.scale): how many steps of the output make 1."""
        scale, _ = per_tensor(out, f"{self.name}: output")
        with np.errstate(over="ignore"):
            factor: np.float32 = np.float32(1) / scale
        self.require(bool(factor < 2.0**64), f"output scale {scale}; it must be above 2**-64")
        return factor

    def samples(self) -> tuple[Array, Array]:
        """exp over [-10, 0] and 1 / (1 + x) over [0, 1] at the scale 2 / 65535: int16[65536] each.

        Entries are by the raw bits of int16, whose least and greatest value are the ends.
        """
        exponential = _interpolated(np.exp, 10.0, 32767, self)
        return exponential, _interpolated(lambda v: 1 / (1 + v), 1.0, -(2**15), self)

    def places(self, x: TensorType) -> float:
        """How many entries of the exponential's samples a step of x of 16 bits is."""
        scale, _ = per_tensor(x, f"{self.name}: input")
        return float(scale * np.float32(self.beta)) / (10.0 / 65535.0)

    def rows(self, x: Array) -> Array:
        e = np.exp(self.beta * (x - x.max(axis=-1, keepdims=True)))
        return np.asarray(e / e.sum(axis=-1, keepdims=True))

    def quantized(self, x: Array, t: TensorType, out: TensorType) -> Array:
        if t.dtype.itemsize != 1:
            return self._by_tables(x, t, out)
        if self.rounding is not Rounding.FLOAT:
            return self._in_fixed_point(x, t, out)
        _, zero = per_tensor(out, f"{self.name}: output")
        low, high = out.dtype.range
        raw = x.astype(np.int32)
        e = self.table(t)[raw.max(axis=-1, keepdims=True) - raw]
        total = e.sum(axis=-1, keepdims=True, dtype=np.int64)
        ratio = self.factor(out) / total.astype(np.float32)
        q = np.rint(np.clip(e.astype(np.float32) * ratio, low - zero, high - zero))
        return np.asarray(q + zero)

    def _in_fixed_point(self, x: Array, t: TensorType, out: TensorType) -> Array:
        """Differences have 5 integer bits, sums of exponentials 12; the output's scale is 2**-8."""
        scale, _ = per_tensor(t, f"{self.name}: input")
        raw = x.astype(np.int64)
        below = raw - raw.max(axis=-1, keepdims=True)
        scaled, exponent = multiplier(min(float(scale) * self.beta * 2.0**26, 2.0**31 - 1))
        counts = below >= -math.floor(31 * 2.0 ** (26 - exponent))
        rescaled = multiply_twice_rounded(np.where(counts, below, 0), scaled, exponent)
        e = np.where(counts, exp_of_negative(rescaled, 5, 32), 0)
        total = divide_by_power_of_two(e, 12).sum(axis=-1, keepdims=True)
        headroom = 31 - np.floor(np.log2(total)).astype(np.int64)
        inverse = inverse_of_one_plus((total << headroom) - 2**31)
        low, high = out.dtype.range
        product = high_multiply(inverse, e, 31)
        q = divide_by_power_of_two(product, 12 - headroom + 31 - 8 * out.dtype.itemsize)
        return np.asarray(np.clip(q + low, low, high))

    def _by_tables(self, x: Array, t: TensorType, out: TensorType) -> Array:
        """The rule of 16 bits; the output's scale is 2**-15 whatever it states."""
        exponential, inverse = (samples.astype(np.int64) for samples in self.samples())
        raw = x.astype(np.int64)
        below = raw - raw.max(axis=-1, keepdims=True)
        position = multiply(below, self.places(t)) + 32767
        e = exponential[np.maximum(position, -(2**15))]
        total = e.sum(axis=-1, keepdims=True)
        bits = np.floor(np.log2(total)).astype(np.int64) + 1
        position = (((total << (31 - bits)) + 2**13) >> 14) - 3 * 2**15
        factor = inverse[np.clip(position, -(2**15), 2**15 - 1)]
        shift = bits - 1
        return np.asarray(np.clip((e * factor + ((1 << shift) >> 1)) >> shift, 0, 2**15 - 1))


def _interpolated(real: Callable[[Array], Array], reach: float, zero: int, op: Op) -> Array:
    """Samples of 16 bits of a function over ``reach``, at the scale 2 / 65535 (int16[65536])."""
    x = TensorType((), DType.INT16, QParams.per_tensor(reach / 65535, zero))
    y = TensorType((), DType.INT16, QParams.per_tensor(2 / 65535, 0))
    return interpolated_table(op, Function(real, wide=True), x, y)


class LogSoftmax(LastAxis):
    """x - log(sum(exp(x))) over the last axis."""

    name: ClassVar[str] = "LOG_SOFTMAX"

    def rows(self, x: Array) -> Array:
        x = x - x.max(axis=-1, keepdims=True)
        return np.asarray(x - np.log(np.exp(x).sum(axis=-1, keepdims=True)))


class L2Normalization(LastAxis):
    """x / max(sqrt(sum(x * x)), 1e-6) over the last axis.

    8 bits to the scale 1 / 128: TensorFlow Lite's rule, 128 * x by the multiplier of
    fixed_functions.inverse_square_root; the factor 128 comes first for uint8, last for int8.
    """

    name: ClassVar[str] = "L2_NORMALIZATION"
    either_sign: ClassVar[bool] = False

    def rows(self, x: Array) -> Array:
        norm = np.sqrt(np.square(x).sum(axis=-1, keepdims=True))
        return np.asarray(x / np.maximum(norm, 1e-6))

    def quantized(self, x: Array, t: TensorType, out: TensorType) -> Array:
        scale, zero = per_tensor(out, f"{self.name}: output")
        if t.dtype.itemsize != 1 or scale != 1 / 128:
            return super().quantized(x, t, out)
        steps = centered(x, t).astype(np.int64)
        norm = wrap_int32(np.square(steps).sum(axis=-1, keepdims=True))
        scaled, exponent = inverse_square_root(norm)
        if t.dtype is DType.UINT8:
            q = multiply_twice_rounded(128 * steps, scaled, exponent)
        else:
            q = multiply_twice_rounded(steps, scaled, exponent + 7)
        return np.asarray(np.clip(q + zero, *out.dtype.range))


@dataclass(frozen=True, eq=False, repr=False)
class LocalResponseNormalization(LastAxis):
    """x / (bias + alpha * sum(x * x)) ** beta, the sum over ``radius`` channels to both sides."""

    name: ClassVar[str] = "LOCAL_RESPONSE_NORMALIZATION"
    kinds: ClassVar[tuple[Kind, ...]] = (Kind.FLOAT,)

    radius: int = 5
    bias: float = 1.0
    alpha: float = 1.0
    beta: float = 0.5

    def infer(self, inputs: Sequence[TensorType]) -> tuple[TensorType, ...]:
        check_inputs(self, inputs, 1)
        check_rank(self, inputs[0], 4, "input")
        self.require(self.radius >= 0, f"radius {self.radius}; it cannot be negative")
        return super().infer(inputs)

    def rows(self, x: Array) -> Array:
        radius = min(self.radius, x.shape[-1])
        pads = [(0, 0)] * (x.ndim - 1) + [(radius, radius)]
        squares = np.pad(np.square(x), pads)
        view = np.lib.stride_tricks.sliding_window_view(squares, 2 * radius + 1, axis=-1)
        window = view.sum(axis=-1)
        return np.asarray(x * np.power(self.bias + self.alpha * window, -self.beta))
