"""Arithmetic of two tensors, broadcast against each other: ADD, SUB, MUL, DIV and the like."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ..dtype import DType
from ..graph import Array, TensorType
from .base import Activation, Op
from .binary import Aligned, Binary, FixedPoint, RawBinary
from .checks import (
    ARITHMETIC,
    Kind,
    check_inputs,
    common_kind,
    kind_of,
    result,
)
from .fixed_point import GREATEST, divide_by_power_of_two, multiply
from .requant import Requant, Rounding, activation_range, centered, per_tensor


@dataclass(frozen=True, eq=False, repr=False)
class _Activated(Binary):
    """Base of those with a fused activation."""

    activation: Activation = Activation.NONE

    def clamped(self, y: Array) -> Array:
        """A float or plain integer result after the activation."""
        least, greatest = self.activation.value
        if least is not None:
            y = np.maximum(y, y.dtype.type(least))
        if greatest is not None:
            y = np.minimum(y, y.dtype.type(greatest))
        return y

    def reference(
        self, arrays: Sequence[Array], inputs: Sequence[TensorType], outputs: Sequence[TensorType]
    ) -> list[Array]:
        (y,) = super().reference(arrays, inputs, outputs)
        return [y if kind_of(inputs[0]) is Kind.QUANTIZED else np.asarray(self.clamped(y))]


@dataclass(frozen=True, eq=False, repr=False)
class _Sum(_Activated):
    """Base of ADD and SUB.

    8 bits, as XNNPACK's qs8-vadd: with the float32 ratios ra = a.scale / out.scale and rb alike,
    shift = 20 - floor(log2(max(ra, rb))), at most 31; multipliers are round_half_even(r * 2**shift)
    (b's is negated by SUB); bias = 2**(shift - 1) - a_multiplier * a.zero_point
    - b_multiplier * b.zero_point.

    int16: TensorFlow Lite's rule, ``Aligned`` by 15 bits and fixed_point.multiply of the sum. With
    ``pot_scale_int16``, zero points 0, scales that are powers of two and an operand of the output's
    scale, the greatest, the other operand is shifted right instead, halves away from 0. With
    ``rounding`` in fixed point, 8 bits follow that rule too, ``Aligned`` by 20 bits.
    """

    pot_scale_int16: bool = True
    rounding: Rounding = Rounding.FLOAT

    _sign: ClassVar[int] = 1

    def compute(self, a: Array, b: Array) -> Array:
        return a + b if self._sign > 0 else a - b

    def fixed_point(
        self, inputs: Sequence[TensorType], outputs: Sequence[TensorType]
    ) -> FixedPoint:
        """The rule for operands of 8 bits.

        Raises:
            GraphError: when a type is not quantized, or an input's scale is at least 2**19 times
                the output's.
        """
        a_scale, a_zero = per_tensor(inputs[0], f"{self.name}: input 0")
        b_scale, b_zero = per_tensor(inputs[1], f"{self.name}: input 1")
        out_scale, out_zero = per_tensor(outputs[0], f"{self.name}: output")
        with np.errstate(over="ignore", under="ignore"):
            ratios = np.array([a_scale, b_scale], np.float32) / out_scale
        greatest = float(ratios.max())
        self.require(
            greatest < 2.0**19,
            f"an input's scale is {greatest} times the output's; it must be below 2**19",
        )
        shift = 31 if greatest == 0 else min(20 - (math.frexp(greatest)[1] - 1), 31)
        a_mult, b_mult = (round(math.ldexp(float(r), shift)) for r in ratios)
        b_mult *= self._sign
        bias = (1 << (shift - 1)) - a_mult * a_zero - b_mult * b_zero
        lo, hi = activation_range(outputs[0], self.activation)
        return FixedPoint(a_mult, b_mult, bias, shift, out_zero, lo, hi)

    def quantized(
        self, arrays: Sequence[Array], inputs: Sequence[TensorType], out: TensorType
    ) -> Array:
        is_wide = inputs[0].dtype is DType.INT16
        if not is_wide and self.rounding is Rounding.FLOAT:
            return self.fixed_point(inputs, [out]).apply(arrays[0], arrays[1])
        bounds = activation_range(out, self.activation)
        shifts = self.power_of_two_shifts(inputs, out) if is_wide else None
        if shifts is not None:
            parts = (
                divide_by_power_of_two(x.astype(np.int64), shift)
                for x, shift in zip(arrays, shifts, strict=True)
            )
            return np.asarray(np.clip(self.compute(*parts), *bounds))
        rule = Aligned.of(self, inputs, 15 if is_wide else 20)
        scale, zero = per_tensor(out, f"{self.name}: output")
        total = self.compute(*rule.apply(arrays))
        return np.asarray(np.clip(multiply(total, rule.unit / float(scale)) + zero, *bounds))

    def power_of_two_shifts(
        self, inputs: Sequence[TensorType], out: TensorType
    ) -> tuple[int, int] | None:
        """How far each operand is shifted right; None where the general rule holds."""
        exponents = []
        for t in (*inputs, out):
            scale, zero = per_tensor(t, self.name)
            fraction, exponent = math.frexp(float(scale))
            if fraction != 0.5 or zero != 0 or not self.pot_scale_int16:
                return None
            exponents.append(exponent)
        a, b = (exponents[2] - e for e in exponents[:2])
        return (a, b) if min(a, b) == 0 else None


class Add(_Sum):
    """a + b; the rule for 8 bits is ``fixed_point``."""

    name: ClassVar[str] = "ADD"
    kinds: ClassVar[tuple[Kind, ...]] = (*ARITHMETIC, Kind.COMPLEX)


class Sub(_Sum):
    """a - b; the rule for 8 bits is ``fixed_point``."""

    name: ClassVar[str] = "SUB"
    kinds: ClassVar[tuple[Kind, ...]] = (*ARITHMETIC, Kind.COMPLEX)
    _sign: ClassVar[int] = -1


@dataclass(frozen=True, eq=False, repr=False)
class Mul(_Activated):
    """a * b

    8 bits by ``requant`` of the product (a - a.zero_point) * (b - b.zero_point); int16, and 8 bits
    with ``rounding`` in fixed point, by fixed_point.multiply of it.
    """

    name: ClassVar[str] = "MUL"

    rounding: Rounding = Rounding.FLOAT

    kinds: ClassVar[tuple[Kind, ...]] = (*ARITHMETIC, Kind.COMPLEX)

    def compute(self, a: Array, b: Array) -> Array:
        return a * b

    def requant(self, inputs: Sequence[TensorType], outputs: Sequence[TensorType]) -> Requant:
        """The requantization of the int32 product, by the one scale a.scale * b.scale / out.scale.

        Raises:
            GraphError: when a type is not quantized, or the scale is 2**64 or more.
        """
        a_scale, _ = per_tensor(inputs[0], f"{self.name}: input 0")
        b_scale, _ = per_tensor(inputs[1], f"{self.name}: input 1")
        out_scale, out_zero = per_tensor(outputs[0], f"{self.name}: output")
        with np.errstate(over="ignore", under="ignore"):
            scale = np.array([a_scale * b_scale / out_scale], np.float32)
        self.require(bool(scale[0] < 2.0**64), f"its scale is {scale[0]}; it must be below 2**64")
        return Requant(scale, out_zero, *activation_range(outputs[0], self.activation))

    def quantized(
        self, arrays: Sequence[Array], inputs: Sequence[TensorType], out: TensorType
    ) -> Array:
        a, b = (centered(x, t).astype(np.int64) for x, t in zip(arrays, inputs, strict=True))
        if inputs[0].dtype is not DType.INT16 and self.rounding is Rounding.FLOAT:
            return self.requant(inputs, [out]).apply(a * b)
        a_scale, b_scale, out_scale = (per_tensor(t, self.name)[0] for t in (*inputs, out))
        with np.errstate(over="ignore", under="ignore"):
            ratio = min(float(a_scale * b_scale / out_scale), GREATEST)
        q = multiply(a * b, ratio) + per_tensor(out, self.name)[1]
        return np.asarray(np.clip(q, *activation_range(out, self.activation)))

    def macs(self, inputs: Sequence[TensorType], outputs: Sequence[TensorType]) -> int:
        return outputs[0].size


class Div(_Activated):
    """a / b; integers are rounded toward zero, and 0 where b is 0."""

    name: ClassVar[str] = "DIV"

    def compute(self, a: Array, b: Array) -> Array:
        if a.dtype.kind == "f":
            return a / b
        quotient = a // b
        return np.asarray(quotient + ((quotient < 0) & (quotient * b != a)).astype(a.dtype))

    def quantized(
        self, arrays: Sequence[Array], inputs: Sequence[TensorType], out: TensorType
    ) -> Array:
        q = super().quantized(arrays, inputs, out)
        return np.asarray(np.clip(q, *activation_range(out, self.activation)))


class SquaredDifference(Binary):
    """(a - b) ** 2

    Quantized: ``Aligned`` by 7 bits, the square of the difference by fixed_point.multiply.
    """

    name: ClassVar[str] = "SQUARED_DIFFERENCE"

    def compute(self, a: Array, b: Array) -> Array:
        return np.asarray(np.square(a - b))

    def quantized(
        self, arrays: Sequence[Array], inputs: Sequence[TensorType], out: TensorType
    ) -> Array:
        rule = Aligned.of(self, inputs, 7)
        scale, zero = per_tensor(out, f"{self.name}: output")
        square = self.compute(*rule.apply(arrays))
        q = multiply(square, rule.unit**2 / float(scale)) + zero
        return np.asarray(np.clip(q, *out.dtype.range))


class _Extreme(Binary):
    """Base of MAXIMUM and MINIMUM; b where the values do not compare.

    Quantized: raw values where both operands and the output have one quantization.
    """

    def quantized(
        self, arrays: Sequence[Array], inputs: Sequence[TensorType], out: TensorType
    ) -> Array:
        if inputs[0].quant == inputs[1].quant == out.quant:
            return self.compute(arrays[0], arrays[1])
        return super().quantized(arrays, inputs, out)


class Maximum(_Extreme):
    """The greater of a and b."""

    name: ClassVar[str] = "MAXIMUM"

    def compute(self, a: Array, b: Array) -> Array:
        return np.where(a > b, a, b)


class Minimum(_Extreme):
    """The smaller of a and b."""

    name: ClassVar[str] = "MINIMUM"

    def compute(self, a: Array, b: Array) -> Array:
        return np.where(a < b, a, b)


class FloorDiv(RawBinary):
    """floor(a / b); integers are 0 where b is 0."""

    name: ClassVar[str] = "FLOOR_DIV"

    def compute(self, a: Array, b: Array) -> Array:
        return np.asarray(np.floor(a / b) if a.dtype.kind == "f" else a // b)


class FloorMod(RawBinary):
    """The remainder of a / b that has the sign of b; integers are 0 where b is 0."""

    name: ClassVar[str] = "FLOOR_MOD"

    def compute(self, a: Array, b: Array) -> Array:
        remainder = np.fmod(a, b)
        return np.where((remainder != 0) & ((b < 0) != (remainder < 0)), remainder + b, remainder)


class Pow(Binary):
    """a ** b, floats in float64; integers wrap, and are rounded toward zero where b < 0."""

    name: ClassVar[str] = "POW"

    def compute(self, a: Array, b: Array) -> Array:
        if a.dtype.kind == "f":
            return np.power(a.astype(np.float64), b.astype(np.float64))
        whole = np.power(a, np.abs(b))
        return np.where((b >= 0) | (np.abs(a) == 1), whole, 0)


class Atan2(Binary):
    """The angle of the point (b, a) in radians, in float64."""

    name: ClassVar[str] = "ATAN2"
    kinds: ClassVar[tuple[Kind, ...]] = (Kind.FLOAT, Kind.QUANTIZED)

    def compute(self, a: Array, b: Array) -> Array:
        return np.arctan2(a.astype(np.float64), b.astype(np.float64))


class PRelu(Binary):
    """x where x >= 0, else alpha * x; operands are (x, alpha), which broadcasts to x.

    Quantized: fixed_point.multiply of x, or of x * alpha, to the output's scale.
    """

    name: ClassVar[str] = "PRELU"
    kinds: ClassVar[tuple[Kind, ...]] = (Kind.FLOAT, Kind.QUANTIZED)

    def infer(self, inputs: Sequence[TensorType]) -> tuple[TensorType, ...]:
        (out,) = super().infer(inputs)
        x, alpha = (list(t.shape) for t in inputs)
        self.require(out.shape == inputs[0].shape, f"alpha {alpha} must broadcast to {x}")
        return (out,)

    def compute(self, a: Array, b: Array) -> Array:
        return np.where(a >= 0, a, a * b)

    def quantized(
        self, arrays: Sequence[Array], inputs: Sequence[TensorType], out: TensorType
    ) -> Array:
        x, alpha = (centered(v, t).astype(np.int64) for v, t in zip(arrays, inputs, strict=True))
        one, each = self.ratios(inputs, out)
        steps = np.where(x >= 0, multiply(x, one), multiply(x * alpha, each))
        zero = per_tensor(out, f"{self.name}: output")[1]
        return np.asarray(np.clip(steps + zero, *out.dtype.range))

    def ratios(self, inputs: Sequence[TensorType], out: TensorType) -> tuple[float, float]:
        """What x, and what x * alpha is multiplied by.

        At most `GREATEST`, beyond which both saturate.
        """
        x, alpha = (per_tensor(t, self.name)[0] for t in inputs)
        scale, _ = per_tensor(out, f"{self.name}: output")
        with np.errstate(over="ignore", under="ignore"):
            one, each = float(x / scale), float(x * alpha / scale)
        return min(one, GREATEST), min(each, GREATEST)


class AddN(Op):
    """The sum of any number of tensors of one shape, from left to right."""

    name: ClassVar[str] = "ADD_N"

    def infer(self, inputs: Sequence[TensorType]) -> tuple[TensorType, ...]:
        check_inputs(self, inputs, 1, 4096)
        common_kind(self, inputs, (Kind.FLOAT, Kind.INTEGER))
        for t in inputs:
            self.require(
                t.shape == inputs[0].shape,
                f"shapes {list(inputs[0].shape)} and {list(t.shape)}; they must be equal",
            )
        return (result(self, inputs[0].shape, inputs[0].dtype),)

    def reference(
        self, arrays: Sequence[Array], inputs: Sequence[TensorType], outputs: Sequence[TensorType]
    ) -> list[Array]:
        total = arrays[0].copy()
        with np.errstate(all="ignore"):
            for array in arrays[1:]:
                total += array
        return [total]


__all__ = [
    "Add",
    "AddN",
    "Aligned",
    "Atan2",
    "Binary",
    "Div",
    "FixedPoint",
    "FloorDiv",
    "FloorMod",
    "Maximum",
    "Minimum",
    "Mul",
    "PRelu",
    "Pow",
    "RawBinary",
    "SquaredDifference",
    "Sub",
]
