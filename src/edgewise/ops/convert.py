"""Between real numbers and quantized ones: QUANTIZE, DEQUANTIZE, FAKE_QUANT, DENSIFY."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ..dtype import DType
from ..graph import Array, TensorType
from .base import Op
from .checks import QUANTIZED_DTYPES, Kind, check_inputs, common_kind, kind_of, moved, result
from .fixed_point import GREATEST, multiply
from .requant import check_zero_points, float32s, per_tensor
from .tables import entries, has_shifted_rule, raw_values, scale_ratio, shifted, unsigned
from .unary import Unary


@dataclass(frozen=True, eq=False, repr=False)
class Quantize(Unary):
    """Floats, or another quantization, to ``dtype``; the output's parameters are declared.

    From floats: clamp(round_half_even(x * (1 / scale)) + zero point), in float32; NaN gives the
    least value. From 8 bits to 8 bits: a multiplier with 8 bits of fraction where the ratio of
    scales allows it, else, and for 16 bits and int32, fixed_point.multiply.
    """

    name: ClassVar[str] = "QUANTIZE"

    dtype: DType = DType.INT8

    def infer(self, inputs: Sequence[TensorType]) -> tuple[TensorType, ...]:
        check_inputs(self, inputs, 1)
        (x,) = inputs
        if not _is_int32(x):
            common_kind(self, inputs, (Kind.FLOAT, Kind.QUANTIZED))
        self.require(
            self.dtype in (*QUANTIZED_DTYPES, DType.INT32),
            f"to {self.dtype}; it must be uint8, int8, int16 or int32",
        )
        self.require(
            self.dtype is not DType.INT32 or not x.dtype.is_float, "floats to int32; CAST does that"
        )
        return (result(self, x.shape, self.dtype),)

    def real(self, x: Array) -> Array:
        return x

    def table(self, input: TensorType, output: TensorType) -> Array:
        if not input.dtype.itemsize == output.dtype.itemsize == 1:
            return self._multiplied(raw_values(input), input, output)
        steps, ratio, zero = scale_ratio(self, input, output)
        if has_shifted_rule(ratio):
            return entries(shifted(steps, ratio), zero, output)
        return entries(multiply(steps, float(ratio)), zero, output)

    def check_output(self, output: TensorType) -> None:
        """Raise GraphError unless the output states what it is quantized by."""
        _parameters(self, output)

    def _multiplied(self, raw: Array, input: TensorType, output: TensorType) -> Array:
        (scale, zero), (out_scale, out_zero) = (_parameters(self, t) for t in (input, output))
        steps = multiply(raw.astype(np.int64) - zero, min(scale / out_scale, GREATEST))
        return entries(steps, out_zero, output)

    def reference(
        self, arrays: Sequence[Array], inputs: Sequence[TensorType], outputs: Sequence[TensorType]
    ) -> list[Array]:
        (x,), (t,), (out,) = arrays, inputs, outputs
        if _is_int32(t) or _is_int32(out):
            return [self._multiplied(x, t, out)]
        if kind_of(t) is Kind.QUANTIZED:
            return super().reference(arrays, inputs, outputs)
        scale, zero = per_tensor(out, f"{self.name}: output")
        low, high = out.dtype.range
        with np.errstate(over="ignore", under="ignore", invalid="ignore"):
            steps = x.astype(np.float32) * (np.float32(1) / scale)
        steps = np.where(np.isnan(steps), np.float32(low - zero), steps)
        q = np.rint(np.clip(steps, low - zero, high - zero)) + zero
        return [q.astype(out.dtype.numpy)]


def _is_int32(t: TensorType) -> bool:
    """Whether a tensor is int32 with a scale, as sums of 16-bit products are."""
    return t.dtype is DType.INT32 and t.quant is not None


def _parameters(op: Op, t: TensorType) -> tuple[float, int]:
    """Scale and zero point of 8, 16 or 32 bits."""
    if _is_int32(t) and t.quant is not None:
        return t.quant.scale[0], t.quant.zero_point[0]
    op.require(t.dtype is not DType.INT32, f"{t} has no scale; it must be quantized")
    scale, zero = per_tensor(t, f"{op.name}: output")
    return float(scale), zero


@dataclass(frozen=True, eq=False, repr=False)
class Dequantize(Unary):
    """Quantized values, per tensor or per channel, to ``dtype``: float32(q - zero point) * scale.

    Floats, which files hold as float16 constants, become the same number of ``dtype``.
    """

    name: ClassVar[str] = "DEQUANTIZE"

    dtype: DType = DType.FLOAT32

    def infer(self, inputs: Sequence[TensorType]) -> tuple[TensorType, ...]:
        check_inputs(self, inputs, 1)
        (x,) = inputs
        self.require(self.dtype.is_float, f"to {self.dtype}; it must be a float")
        if not x.dtype.is_float:
            if x.quant is None or x.quant.axis is None:
                per_tensor(x, f"{self.name}: input")
            else:
                check_zero_points(x, f"{self.name}: input")
        return (result(self, x.shape, self.dtype),)

    def real(self, x: Array) -> Array:
        return x

    def table(self, input: TensorType, output: TensorType) -> Array:
        """The real value of each raw value, quantized per tensor (float32)."""
        scale, zero = per_tensor(input, f"{self.name}: input")
        return np.asarray((raw_values(input) - zero).astype(np.float32) * scale)

    def reference(
        self, arrays: Sequence[Array], inputs: Sequence[TensorType], outputs: Sequence[TensorType]
    ) -> list[Array]:
        (x,), (t,) = arrays, inputs
        if t.quant is None or t.dtype.is_float:
            real = x
        elif t.quant.axis is None:
            real = self.table(t, outputs[0])[unsigned(x)]
        else:
            shape = [-1 if i == t.quant.axis else 1 for i in range(x.ndim)]
            zeros = np.array(t.quant.zero_point, np.int32).reshape(shape)
            scales = float32s(t.quant.scale, f"{self.name}: input").reshape(shape)
            real = (x.astype(np.int32) - zeros).astype(np.float32) * scales
        with np.errstate(over="ignore"):
            return [real.astype(self.dtype.numpy)]


@dataclass(frozen=True, eq=False, repr=False)
class FakeQuant(Op):
    """Floats rounded to what ``bits`` bits between ``least`` and ``greatest`` can hold.

    The range is nudged so that 0 is one of the values, and x is clamped to it, in float32.
    """

    name: ClassVar[str] = "FAKE_QUANT"

    least: float = -6.0
    greatest: float = 6.0
    bits: int = 8
    narrow: bool = False

    def infer(self, inputs: Sequence[TensorType]) -> tuple[TensorType, ...]:
        check_inputs(self, inputs, 1)
        common_kind(self, inputs, (Kind.FLOAT,))
        self.require(2 <= self.bits <= 16, f"{self.bits} bits; they are 2 to 16")
        self.require(
            math.isfinite(self.greatest - self.least)
            and self.least <= 0 <= self.greatest
            and self.least < self.greatest,
            f"range {self.least} to {self.greatest}; 0 must lie in it, and it must not be empty",
        )
        return (result(self, inputs[0].shape, inputs[0].dtype),)

    def nudged(self) -> tuple[np.float32, np.float32, np.float32]:
        """The least and greatest value, and the distance of two."""
        low, high = np.float32(1 if self.narrow else 0), np.float32(2**self.bits - 1)
        least, greatest = np.float32(self.least), np.float32(self.greatest)
        scale = np.float32((greatest - least) / (high - low))
        zero = np.float32(low - least / scale)
        nudged = np.float32(np.clip(np.floor(zero + np.float32(0.5)), low, high))
        return np.float32((low - nudged) * scale), np.float32((high - nudged) * scale), scale

    def reference(
        self, arrays: Sequence[Array], inputs: Sequence[TensorType], outputs: Sequence[TensorType]
    ) -> list[Array]:
        low, high, scale = self.nudged()
        inverse = np.float32(1) / scale
        clamped = np.clip(arrays[0].astype(np.float32), low, high) - low
        y = np.floor(clamped * inverse + np.float32(0.5)) * scale + low
        return [y.astype(outputs[0].dtype.numpy)]


class Densify(Op):
    """Its input: sparse constants are dense once a file is read."""

    name: ClassVar[str] = "DENSIFY"

    def infer(self, inputs: Sequence[TensorType]) -> tuple[TensorType, ...]:
        check_inputs(self, inputs, 1)
        return (moved(self, inputs[0], inputs[0].shape),)

    def reference(
        self, arrays: Sequence[Array], inputs: Sequence[TensorType], outputs: Sequence[TensorType]
    ) -> list[Array]:
        return [arrays[0]]
