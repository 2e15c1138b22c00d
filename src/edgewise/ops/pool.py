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
from .checks import Kind, check_inputs, check_rank, common_kind, result, window_extent
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

    def over_windows(self, x: Array, ufunc: np.ufunc, initial: float = 0) -> Array:
        """``ufunc`` of the elements of each window that lie inside of x[N, H, W, C].

        It goes along one axis and then the other, so windows of any size take no memory.
        """
        sides = (self.padding[:2], self.padding[2:])
        for axis, taps, stride, (before, after) in zip(
            (1, 2), self.filter, self.stride, sides, strict=True
        ):
            size = x.shape[axis]
            lines = np.moveaxis(x, axis, 0)
            starts = range(-before, size + after - taps + 1, stride)
            parts = [
                ufunc.reduce(lines[max(start, 0) : start + taps], 0, x.dtype, initial=initial)
                for start in starts
            ]
            x = np.stack(parts, axis)
        return x

    def counts(self, shape: Sequence[int]) -> Array:
        """How many elements of each window lie inside of x of ``shape``: int32[1, OH, OW, 1]."""
        return self.over_windows(np.ones((1, *shape[1:3], 1), np.int32), np.add)


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
        total = self.over_windows(wide, np.add)
        count = self.counts(x.shape)
        if is_float:
            return [clamp_float(total / count, self.activation)]
        mean = np.sign(total) * ((np.abs(total) + count // 2) // count) + self.raw_zero
        lo, hi = activation_range(outputs[0], self.activation)
        return [np.clip(mean, lo, hi).astype(outputs[0].dtype.numpy)]


@dataclass(frozen=True, eq=False, repr=False)
class MaxPool2D(_Pool):
    """Greatest value of each window of x[N, H, W, C]; padding and NaN do not count.

    Integers keep their quantization: the result is a raw value of the window.
    """

    name: ClassVar[str] = "MAX_POOL_2D"

    def reference(
        self, arrays: Sequence[Array], inputs: Sequence[TensorType], outputs: Sequence[TensorType]
    ) -> list[Array]:
        (x,) = arrays
        is_float = inputs[0].dtype is DType.FLOAT32
        least = -np.inf if is_float else inputs[0].dtype.range[0]
        greatest = self.over_windows(x, np.fmax, least)
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
        mean = self.over_windows(squares, np.add) / self.counts(squares.shape)
        return [clamp_float(np.sqrt(mean), self.activation)]
