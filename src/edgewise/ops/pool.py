"""Pooling over windows of NHWC images: AVERAGE_POOL_2D, MAX_POOL_2D and L2_POOL_2D.

The first two take float32, and uint8, int8 and int16 quantized per tensor.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ..dtype import DType
from ..graph import Array, TensorType
from .base import Activation, Op
from .checks import (
    Kind,
    check_inputs,
    check_rank,
    common_kind,
    pad_image,
    result,
    window_extent,
)
from .checks import windows as image_windows
from .requant import activation_range, clamp_float


@dataclass(frozen=True, eq=False, repr=False)
class _Pool(Op):
    kinds: ClassVar[tuple[Kind, ...]] = (Kind.FLOAT, Kind.QUANTIZED)

    filter: tuple[int, int] = (1, 1)
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int, int, int] = (0, 0, 0, 0)
    activation: Activation = Activation.NONE

    def infer(self, inputs: Sequence[TensorType]) -> tuple[TensorType, ...]:
        check_inputs(self, inputs, 1)
        x = inputs[0]
        check_rank(self, x, 4, "input")
        common_kind(self, inputs, self.kinds)
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
        count = _inside(x.shape, self.padding, self.filter, self.stride)
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


class L2Pool2D(_Pool):
    """Square root of the mean square of each window of float32 x[N, H, W, C].

    Padding does not count.
    """

    name: ClassVar[str] = "L2_POOL_2D"
    kinds: ClassVar[tuple[Kind, ...]] = (Kind.FLOAT,)

    def reference(
        self, arrays: Sequence[Array], inputs: Sequence[TensorType], outputs: Sequence[TensorType]
    ) -> list[Array]:
        squares = np.square(arrays[0].astype(np.float64))
        view = image_windows(pad_image(squares, self.padding), self.filter, self.stride)
        count = _inside(arrays[0].shape, self.padding, self.filter, self.stride)
        return [clamp_float(np.sqrt(view.sum(axis=(4, 5)) / count), self.activation)]


def _inside(
    shape: Sequence[int],
    padding: tuple[int, int, int, int],
    taps: tuple[int, int],
    stride: tuple[int, int],
) -> Array:
    """How many elements of each window lie inside images of ``shape``: int32[1, OH, OW, 1]."""
    ones = np.ones((1, *shape[1:3], 1), np.int32)
    counts = image_windows(pad_image(ones, padding), taps, stride)
    return np.asarray(counts.sum(axis=(4, 5), dtype=np.int32))
