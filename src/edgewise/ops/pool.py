"""Pooling over windows of NHWC images: AVERAGE_POOL_2D and MAX_POOL_2D."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ..dtype import DType
from ..graph import Array, TensorType
from .base import Activation, Op
from .checks import all_quantized, check_inputs, check_rank, pad_image, result, window_extent
from .checks import windows as image_windows
from .requant import activation_range, clamp_float


@dataclass(frozen=True, eq=False, repr=False)
class _Pool(Op):
    filter: tuple[int, int] = (1, 1)
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int, int, int] = (0, 0, 0, 0)
    activation: Activation = Activation.NONE

    def infer(self, inputs: Sequence[TensorType]) -> tuple[TensorType, ...]:
        check_inputs(self, inputs, 1)
        x = inputs[0]
        check_rank(self, x, 4, "input")
        all_quantized(self, inputs)
        (kh, kw), (sh, sw) = self.filter, self.stride
        top, bottom, left, right = self.padding
        self.require(
            max(top, bottom) < kh and max(left, right) < kw,
            f"padding {self.padding} of windows {kh}x{kw}; a window never lies in padding alone",
        )
        oh = window_extent(self, x.shape[1], kh, sh, 1, top, bottom)
        ow = window_extent(self, x.shape[2], kw, sw, 1, left, right)
        return (result(self, (x.shape[0], oh, ow, x.shape[3]), x.dtype, x.quant),)


@dataclass(frozen=True, eq=False, repr=False)
class AveragePool2D(_Pool):
    """Mean of each window of x[N, H, W, C]; padding does not count.

    Integers: the sum of (q - raw_zero) over the n values in the window, divided by n and rounded
    to nearest, halves away from zero, plus raw_zero. The zero points do not matter, but ties
    depend on which raw value counts as 0: a pass that turns int8 to uint8 by adding 128 adds 128
    to ``raw_zero`` also, and changes no result.
    """

    name: ClassVar[str] = "AVERAGE_POOL_2D"

    raw_zero: int = 0

    def reference(
        self, arrays: Sequence[Array], inputs: Sequence[TensorType], outputs: Sequence[TensorType]
    ) -> list[Array]:
        (x,) = arrays
        is_float = inputs[0].dtype is DType.FLOAT32
        wide = x.astype(np.float64) if is_float else x.astype(np.int32) - np.int32(self.raw_zero)
        view = image_windows(pad_image(wide, self.padding), self.filter, self.stride)
        total = view.sum(axis=(4, 5), dtype=wide.dtype)
        ones = np.ones((1, *x.shape[1:3], 1), np.int32)
        counts = image_windows(pad_image(ones, self.padding), self.filter, self.stride)
        count = counts.sum(axis=(4, 5), dtype=np.int32)
        if is_float:
            return [clamp_float(total / count, self.activation)]
        mean = np.sign(total) * ((np.abs(total) + count // 2) // count) + self.raw_zero
        lo, hi = activation_range(outputs[0], self.activation)
        return [np.clip(mean, lo, hi).astype(outputs[0].dtype.numpy)]


@dataclass(frozen=True, eq=False, repr=False)
class MaxPool2D(_Pool):
    """Greatest value of each window of x[N, H, W, C]; padding does not count.

    Integers keep their quantization: the result is a raw value of the window.
    """

    name: ClassVar[str] = "MAX_POOL_2D"

    def reference(
        self, arrays: Sequence[Array], inputs: Sequence[TensorType], outputs: Sequence[TensorType]
    ) -> list[Array]:
        (x,) = arrays
        is_float = inputs[0].dtype is DType.FLOAT32
        least = -np.inf if is_float else inputs[0].dtype.range[0]
        view = image_windows(pad_image(x, self.padding, least), self.filter, self.stride)
        greatest = view.max(axis=(4, 5))
        if is_float:
            return [clamp_float(greatest, self.activation)]
        lo, hi = activation_range(outputs[0], self.activation)
        return [np.clip(greatest, lo, hi).astype(outputs[0].dtype.numpy)]
