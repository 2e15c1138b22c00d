"""Between real numbers and 8 bits: QUANTIZE and DEQUANTIZE."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ..dtype import DType
from ..graph import Array, TensorType
from .checks import EIGHT_BIT, all_quantized, check_inputs, result
from .fixed_point import multiply
from .requant import per_tensor
from .unary import Unary, entries, has_shifted_rule, raw_values, scale_ratio, shifted


@dataclass(frozen=True, eq=False, repr=False)
class Quantize(Unary):
    """float32, or another 8-bit quantization, to ``dtype``; the output's parameters are declared.

    From float32: clamp(round_half_even(x * (1 / scale)) + zero point), in float32; NaN gives the
    least value. From 8 bits: a multiplier with 8 bits of fraction where the ratio of scales
    allows it, else fixed_point.multiply.
    """

    name: ClassVar[str] = "QUANTIZE"

    dtype: DType = DType.INT8

    def infer(self, inputs: Sequence[TensorType]) -> tuple[TensorType, ...]:
        check_inputs(self, inputs, 1)
        all_quantized(self, inputs)
        self.require(self.dtype in EIGHT_BIT, f"to {self.dtype}; it must be uint8 or int8")
        return (result(self, inputs[0].shape, self.dtype),)

    def real(self, x: Array) -> Array:
        return x

    def table(self, input: TensorType, output: TensorType) -> Array:
        steps, ratio, zero = scale_ratio(self, input, output)
        if has_shifted_rule(ratio):
            return entries(shifted(steps, ratio), zero, output)
        return entries(multiply(steps, float(ratio)), zero, output)

    def reference(
        self, arrays: Sequence[Array], inputs: Sequence[TensorType], outputs: Sequence[TensorType]
    ) -> list[Array]:
        (x,) = arrays
        if inputs[0].dtype is not DType.FLOAT32:
            return super().reference(arrays, inputs, outputs)
        scale, zero = per_tensor(outputs[0], f"{self.name}: output")
        low, high = outputs[0].dtype.range
        with np.errstate(over="ignore", under="ignore", invalid="ignore"):
            steps = x * (np.float32(1) / scale)
        steps = np.where(np.isnan(steps), np.float32(low - zero), steps)
        q = np.rint(np.clip(steps, low - zero, high - zero)) + zero
        return [q.astype(outputs[0].dtype.numpy)]


class Dequantize(Unary):
    """8-bit to float32: float32(q - zero point) * scale."""

    name: ClassVar[str] = "DEQUANTIZE"

    def infer(self, inputs: Sequence[TensorType]) -> tuple[TensorType, ...]:
        check_inputs(self, inputs, 1)
        per_tensor(inputs[0], f"{self.name}: input")
        return (result(self, inputs[0].shape, DType.FLOAT32),)

    def real(self, x: Array) -> Array:
        return x

    def table(self, input: TensorType, output: TensorType) -> Array:
        """float32[256]: the real value of each raw byte."""
        scale, zero = per_tensor(input, f"{self.name}: input")
        return np.asarray((raw_values(input) - zero).astype(np.float32) * scale)

    def reference(
        self, arrays: Sequence[Array], inputs: Sequence[TensorType], outputs: Sequence[TensorType]
    ) -> list[Array]:
        return [self.table(inputs[0], outputs[0])[arrays[0].view(np.uint8)]]
