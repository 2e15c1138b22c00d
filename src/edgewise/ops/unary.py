"""Functions of one element: on 8-bit tensors each is a table of 256 entries."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ..dtype import DType
from ..graph import Array, TensorType
from .base import Op
from .checks import EIGHT_BIT, all_quantized, check_inputs, result
from .requant import per_tensor


def raw_values(t: TensorType) -> Array:
    """float64[256]: what the bytes 0 to 255 mean as values of an 8-bit dtype."""
    return np.arange(256, dtype=np.uint8).view(t.dtype.numpy).astype(np.float64)


def requantizing_table(x: TensorType, out: TensorType, lo: int, hi: int) -> Array:
    """The table that turns the 8-bit ``x`` into ``out``, clamped to lo..hi."""
    x_scale, x_zero = per_tensor(x, "input")
    out_scale, out_zero = per_tensor(out, "output")
    steps = (raw_values(x) - x_zero) * (float(x_scale) / float(out_scale))
    q = np.rint(np.clip(steps, lo - out_zero, hi - out_zero)) + out_zero
    return q.astype(out.dtype.numpy)


@dataclass(frozen=True)
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
        low, high = output.dtype.range
        with np.errstate(over="ignore", under="ignore"):
            steps = self.real((raw_values(input) - zero) * float(scale)) / float(out_scale)
        q = np.rint(np.clip(steps, low - out_zero, high - out_zero)) + out_zero
        return q.astype(output.dtype.numpy)

    def reference(
        self, arrays: Sequence[Array], inputs: Sequence[TensorType], outputs: Sequence[TensorType]
    ) -> list[Array]:
        (x,) = arrays
        if inputs[0].dtype is DType.FLOAT32:
            with np.errstate(over="ignore", under="ignore"):
                return [self.real(x.astype(np.float64)).astype(np.float32)]
        return [self.table(inputs[0], outputs[0])[x.view(np.uint8)]]


@dataclass(frozen=True)
class Logistic(Unary):
    """1 / (1 + exp(-x))"""

    name: ClassVar[str] = "LOGISTIC"

    def real(self, x: Array) -> Array:
        return 1 / (1 + np.exp(-x))


@dataclass(frozen=True)
class Tanh(Unary):
    """tanh(x)"""

    name: ClassVar[str] = "TANH"

    def real(self, x: Array) -> Array:
        return np.tanh(x)


@dataclass(frozen=True)
class Relu(Unary):
    """max(x, 0)"""

    name: ClassVar[str] = "RELU"

    def real(self, x: Array) -> Array:
        return np.maximum(x, 0)


@dataclass(frozen=True)
class Relu6(Unary):
    """min(max(x, 0), 6)"""

    name: ClassVar[str] = "RELU6"

    def real(self, x: Array) -> Array:
        return np.clip(x, 0, 6)


@dataclass(frozen=True)
class ReluN1To1(Unary):
    """min(max(x, -1), 1)"""

    name: ClassVar[str] = "RELU_N1_TO_1"

    def real(self, x: Array) -> Array:
        return np.clip(x, -1, 1)


@dataclass(frozen=True)
class LeakyRelu(Unary):
    """x where x >= 0, else alpha * x"""

    name: ClassVar[str] = "LEAKY_RELU"

    alpha: float = 0.0

    def infer(self, inputs: Sequence[TensorType]) -> tuple[TensorType, ...]:
        self.require(math.isfinite(self.alpha), f"alpha is {self.alpha}; it must be finite")
        return super().infer(inputs)

    def real(self, x: Array) -> Array:
        return np.where(x >= 0, x, self.alpha * x)


@dataclass(frozen=True)
class HardSwish(Unary):
    """x * min(max(x + 3, 0), 6) / 6"""

    name: ClassVar[str] = "HARD_SWISH"

    def real(self, x: Array) -> Array:
        return x * np.clip(x + 3, 0, 6) / 6


@dataclass(frozen=True)
class Quantize(Unary):
    """float32, or another 8-bit quantization, to ``dtype``; the output's parameters are declared.

    From float32: clamp(round_half_even(x / scale) + zero point), in float32.
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

    def reference(
        self, arrays: Sequence[Array], inputs: Sequence[TensorType], outputs: Sequence[TensorType]
    ) -> list[Array]:
        (x,) = arrays
        if inputs[0].dtype is not DType.FLOAT32:
            return super().reference(arrays, inputs, outputs)
        scale, zero = per_tensor(outputs[0], f"{self.name}: output")
        low, high = outputs[0].dtype.range
        with np.errstate(over="ignore", under="ignore"):
            steps = x / scale
        q = np.rint(np.clip(steps, low - zero, high - zero)) + zero
        return [q.astype(outputs[0].dtype.numpy)]


@dataclass(frozen=True)
class Dequantize(Unary):
    """8-bit to float32: float32(q - zero point) * scale."""

    name: ClassVar[str] = "DEQUANTIZE"

    def infer(self, inputs: Sequence[TensorType]) -> tuple[TensorType, ...]:
        check_inputs(self, inputs, 1)
        per_tensor(inputs[0], f"{self.name}: input")
        return (result(self, inputs[0].shape, DType.FLOAT32),)

    def table(self, input: TensorType, output: TensorType) -> Array:
        """float32[256]: the real value of each raw byte."""
        scale, zero = per_tensor(input, f"{self.name}: input")
        return np.asarray((raw_values(input) - zero).astype(np.float32) * scale)

    def reference(
        self, arrays: Sequence[Array], inputs: Sequence[TensorType], outputs: Sequence[TensorType]
    ) -> list[Array]:
        return [self.table(inputs[0], outputs[0])[arrays[0].view(np.uint8)]]
