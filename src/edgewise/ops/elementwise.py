"""Arithmetic of two tensors, broadcast against each other: ADD, SUB, MUL."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from ..graph import Array, TensorType
from .base import Activation, Op
from .checks import all_quantized, check_inputs, result
from .requant import Requant, activation_range, centered, clamp_float, per_tensor


@dataclass(frozen=True)
class FixedPoint:
    """out = clamp(((bias + a * a_multiplier + b * b_multiplier) >> shift) + zero_point, lo, hi)

    a and b are raw quantized values; every step fits int32; the shift is arithmetic.
    """

    a_multiplier: int
    b_multiplier: int
    bias: int
    shift: int
    zero_point: int
    lo: int
    hi: int

    def apply(self, a: Array, b: Array) -> npt.NDArray[np.int32]:
        """The int32 result within lo..hi, of raw values of any integer type."""
        total = (
            np.int32(self.bias)
            + a.astype(np.int32) * np.int32(self.a_multiplier)
            + b.astype(np.int32) * np.int32(self.b_multiplier)
        )
        shifted = (total >> self.shift) + np.int32(self.zero_point)
        return np.asarray(np.clip(shifted, self.lo, self.hi), np.int32)


@dataclass(frozen=True, eq=False, repr=False)
class _Elementwise(Op):
    activation: Activation = Activation.NONE

    def infer(self, inputs: Sequence[TensorType]) -> tuple[TensorType, ...]:
        check_inputs(self, inputs, 2)
        a, b = inputs
        all_quantized(self, inputs)
        self.require(a.dtype is b.dtype, f"inputs are {a.dtype} and {b.dtype}; they must be equal")
        rank = max(len(a.shape), len(b.shape))
        shape = []
        for m, n in zip(_extended(a, rank), _extended(b, rank), strict=True):
            self.require(
                m == n or 1 in (m, n),
                f"shapes {list(a.shape)} and {list(b.shape)}; they must broadcast",
            )
            shape.append(max(m, n))
        return (result(self, shape, a.dtype),)


def _extended(t: TensorType, rank: int) -> tuple[int, ...]:
    return (1,) * (rank - len(t.shape)) + t.shape


class _Sum(_Elementwise):
    """Base of ADD and SUB.

    Integers, as XNNPACK's qs8-vadd: with the float32 ratios ra = a.scale / out.scale and rb alike,
    shift = 20 - floor(log2(max(ra, rb))), at most 31; multipliers are round_half_even(r * 2**shift)
    (b's is negated by SUB); bias = 2**(shift - 1) - a_multiplier * a.zero_point
    - b_multiplier * b.zero_point.
    """

    _sign: ClassVar[int] = 1

    def fixed_point(
        self, inputs: Sequence[TensorType], outputs: Sequence[TensorType]
    ) -> FixedPoint:
        """The integer rule for operands of these types.

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

    def reference(
        self, arrays: Sequence[Array], inputs: Sequence[TensorType], outputs: Sequence[TensorType]
    ) -> list[Array]:
        a, b = arrays
        if inputs[0].dtype.is_float:
            return [clamp_float(a + b if self._sign > 0 else a - b, self.activation)]
        y = self.fixed_point(inputs, outputs).apply(a, b)
        return [y.astype(outputs[0].dtype.numpy)]


class Add(_Sum):
    """a + b; the integer rule is ``fixed_point``."""

    name: ClassVar[str] = "ADD"


class Sub(_Sum):
    """a - b; the integer rule is ``fixed_point``."""

    name: ClassVar[str] = "SUB"
    _sign: ClassVar[int] = -1


class Mul(_Elementwise):
    """a * b; integers by ``requant`` of the product (a - a.zero_point) * (b - b.zero_point)."""

    name: ClassVar[str] = "MUL"

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

    def reference(
        self, arrays: Sequence[Array], inputs: Sequence[TensorType], outputs: Sequence[TensorType]
    ) -> list[Array]:
        if inputs[0].dtype.is_float:
            return [clamp_float(arrays[0] * arrays[1], self.activation)]
        product = centered(arrays[0], inputs[0]) * centered(arrays[1], inputs[1])
        y = self.requant(inputs, outputs).apply(product)
        return [y.astype(outputs[0].dtype.numpy)]

    def macs(self, inputs: Sequence[TensorType], outputs: Sequence[TensorType]) -> int:
        return outputs[0].size


__all__ = ["Add", "FixedPoint", "Mul", "Sub"]
