"""What functions of two tensors share: broadcasting, and the integer rules of their sums."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from ..dtype import DType
from ..graph import Array, TensorType
from .base import Op
from .checks import (
    ARITHMETIC,
    Kind,
    broadcast_shape,
    check_inputs,
    common_kind,
    kind_of,
    result,
)
from .fixed_point import multiply
from .quantized import dequantized, requantized
from .requant import per_tensor

Function = Callable[[Array, Array], Array]


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


@dataclass(frozen=True)
class Aligned:
    """Two quantized operands brought to one scale, twice the greater of theirs over 2**shift.

    An operand x becomes fixed_point.multiply((x - zero) << shift, ratio): the rule of TensorFlow
    Lite's built-in kernels. ``unit`` is the scale of the results.
    """

    zeros: tuple[int, int]
    ratios: tuple[float, float]
    shift: int
    unit: float

    @classmethod
    def of(cls, op: Op, inputs: Sequence[TensorType], shift: int) -> Aligned:
        (sa, za), (sb, zb) = (per_tensor(t, f"{op.name}: input {i}") for i, t in enumerate(inputs))
        twice = 2.0 * float(max(sa, sb))
        ratios = (float(sa) / twice, float(sb) / twice)
        return cls((za, zb), ratios, shift, twice / (1 << shift))

    def apply(self, arrays: Sequence[Array]) -> list[Array]:
        """Both operands, as int64."""
        return [
            multiply((x.astype(np.int64) - zero) << self.shift, ratio)
            for x, zero, ratio in zip(arrays, self.zeros, self.ratios, strict=True)
        ]


class Binary(Op):
    """Base of functions of two elements, of one dtype, broadcast.

    Quantized values, where a class states no other rule, are computed as real numbers in float64
    and rounded once, half to even.
    """

    kinds: ClassVar[tuple[Kind, ...]] = ARITHMETIC

    def compute(self, a: Array, b: Array) -> Array:
        """The function of arrays of one dtype; the result becomes the output's dtype."""
        raise NotImplementedError

    def quantized(
        self, arrays: Sequence[Array], inputs: Sequence[TensorType], out: TensorType
    ) -> Array:
        """The function of quantized values."""
        a, b = (dequantized(x, t, self.name) for x, t in zip(arrays, inputs, strict=True))
        return requantized(self.compute(a, b), out, f"{self.name}: output")

    def infer(self, inputs: Sequence[TensorType]) -> tuple[TensorType, ...]:
        check_inputs(self, inputs, 2)
        common_kind(self, inputs, self.kinds)
        return (result(self, broadcast_shape(self, inputs), self.output_dtype(inputs[0].dtype)),)

    def output_dtype(self, dtype: DType) -> DType:
        return dtype

    def reference(
        self, arrays: Sequence[Array], inputs: Sequence[TensorType], outputs: Sequence[TensorType]
    ) -> list[Array]:
        with np.errstate(all="ignore"):
            if kind_of(inputs[0]) is Kind.QUANTIZED:
                y = self.quantized(arrays, inputs, outputs[0])
            else:
                y = self.compute(arrays[0], arrays[1])
        return [np.asarray(y).astype(outputs[0].dtype.numpy).reshape(outputs[0].shape)]


class RawBinary(Binary):
    """Base of functions of raw values, whatever their quantization, as in TensorFlow Lite."""

    either_sign: ClassVar[bool] = False

    def quantized(
        self, arrays: Sequence[Array], inputs: Sequence[TensorType], out: TensorType
    ) -> Array:
        return self.compute(arrays[0], arrays[1])
