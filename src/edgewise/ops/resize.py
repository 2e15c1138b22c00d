"""Resizing of NHWC images: RESIZE_BILINEAR and RESIZE_NEAREST_NEIGHBOR."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from ..dtype import DType
from ..graph import Array, TensorType
from .base import Op
from .checks import check_inputs, check_rank, moved
from .fixed_point import truncating_shift


@dataclass(frozen=True, eq=False, repr=False)
class _Resize(Op):
    size: tuple[int, int] = (1, 1)
    align_corners: bool = False
    half_pixel_centers: bool = False

    def infer(self, inputs: Sequence[TensorType]) -> tuple[TensorType, ...]:
        check_inputs(self, inputs, 1)
        (x,) = inputs
        check_rank(self, x, 4, "input")
        self.check_input(x)
        self.require(
            all(n > 0 or after == 0 for n, after in zip(x.shape[1:3], self.size, strict=True)),
            f"input {list(x.shape)} has no pixels to make {self.size} of",
        )
        return (moved(self, x, (x.shape[0], *self.size, x.shape[3])),)

    def check_input(self, x: TensorType) -> None:
        """Raise GraphError unless the operator takes an input of this type."""

    def _scale(self, before: int, after: int) -> np.float32:
        if self.align_corners and after > 1:
            before, after = before - 1, after - 1
        scale: np.float32 = np.float32(before) / np.float32(after)
        return scale


class ResizeBilinear(_Resize):
    """Bilinear interpolation of x[N, H, W, C] to ``size`` (height, width).

    Integers: weights have 11 bits of fraction along each axis; the sum is rounded half up. Raw
    values are interpolated: the output has the input's quantization. For int16 positions and
    weights have 10 bits of fraction, and halves are rounded away from zero.
    """

    name: ClassVar[str] = "RESIZE_BILINEAR"

    def check_input(self, x: TensorType) -> None:
        known = (DType.FLOAT32, DType.UINT8, DType.INT8, DType.INT16)
        self.require(x.dtype in known, f"input is {x.dtype}; float32, uint8, int8 or int16")
        self.require(
            not (self.align_corners and self.half_pixel_centers),
            "align_corners and half_pixel_centers; at most one of them is set",
        )

    def taps(
        self, before: int, after: int
    ) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32], npt.NDArray[np.float32]]:
        """For each output position along an axis: its two input positions, the second's weight."""
        scale = self._scale(before, after)
        position = np.arange(after, dtype=np.float32)
        if self.half_pixel_centers:
            position = (position + np.float32(0.5)) * scale - np.float32(0.5)
        else:
            position = position * scale
        position = np.maximum(position, np.float32(0))
        first = np.minimum(np.floor(position).astype(np.int32), before - 1)
        second = np.minimum(first + 1, before - 1)
        return first, second, position - first.astype(np.float32)

    def reference(
        self, arrays: Sequence[Array], inputs: Sequence[TensorType], outputs: Sequence[TensorType]
    ) -> list[Array]:
        (x,) = arrays
        if inputs[0].dtype is DType.INT16:
            return [self._resize_int16(x)]
        top, bottom, v = self.taps(x.shape[1], self.size[0])
        left, right, h = self.taps(x.shape[2], self.size[1])
        is_float = inputs[0].dtype is DType.FLOAT32
        wide: Array = x.astype(np.float64 if is_float else np.int32)
        one = 1 if is_float else 2**11
        down, across = v[:, None, None].astype(wide.dtype), h[:, None].astype(wide.dtype)
        if not is_float:
            down = np.rint(v[:, None, None] * np.float32(one)).astype(np.int32)
            across = np.rint(h[:, None] * np.float32(one)).astype(np.int32)

        def between(a: Array, b: Array, weight: Array) -> Array:
            return np.asarray(a * one + (b - a) * weight)

        with np.errstate(invalid="ignore"):
            upper = between(wide[:, top][:, :, left], wide[:, top][:, :, right], across)
            lower = between(wide[:, bottom][:, :, left], wide[:, bottom][:, :, right], across)
            y = between(upper, lower, down)
        if not is_float:
            y = (y + 2**21) >> 22
        return [y.astype(x.dtype)]

    def _fixed_taps(self, before: int, after: int) -> tuple[Array, Array, Array]:
        """As ``taps``, in integers of 10 bits of fraction: TensorFlow Lite's rule for int16."""
        numerator, denominator = before << 10, after
        if self.align_corners and after > 1:
            numerator, denominator = (before - 1) << 10, after - 1
        scale = (numerator + denominator // 2) // denominator
        position = np.arange(after, dtype=np.int64) * scale
        if self.half_pixel_centers:
            position = position + scale // 2 - 512
        first = np.maximum(truncating_shift(position, 10), 0)
        second = np.minimum(truncating_shift(position + 1023, 10), before - 1)
        return first, second, position - 1024 * first

    def _resize_int16(self, x: Array) -> Array:
        top, bottom, v = self._fixed_taps(x.shape[1], self.size[0])
        left, right, h = self._fixed_taps(x.shape[2], self.size[1])
        down, across, wide = v[:, None, None], h[:, None], x.astype(np.int64)
        upper = wide[:, top][:, :, left] * (1024 - across) + wide[:, top][:, :, right] * across
        lower = (
            wide[:, bottom][:, :, left] * (1024 - across) + wide[:, bottom][:, :, right] * across
        )
        y = upper * (1024 - down) + lower * down
        rounded = truncating_shift(y + np.where(y > 0, 2**19, -(2**19)), 20)
        return rounded.astype(np.int16)


class ResizeNearestNeighbor(_Resize):
    """The nearest pixel of x[N, H, W, C], of any dtype, for each of ``size`` (height, width)."""

    name: ClassVar[str] = "RESIZE_NEAREST_NEIGHBOR"

    def indices(self, before: int, after: int) -> npt.NDArray[np.int32]:
        """The input position that each output position along an axis reads."""
        scale = self._scale(before, after)
        offset = np.float32(0.5 if self.half_pixel_centers else 0)
        position = (np.arange(after, dtype=np.float32) + offset) * scale
        nearest = np.floor(position + np.float32(0.5)) if self.align_corners else np.floor(position)
        return np.asarray(np.minimum(nearest.astype(np.int32), before - 1))

    def reference(
        self, arrays: Sequence[Array], inputs: Sequence[TensorType], outputs: Sequence[TensorType]
    ) -> list[Array]:
        (x,) = arrays
        rows = self.indices(x.shape[1], self.size[0])
        cols = self.indices(x.shape[2], self.size[1])
        return [np.ascontiguousarray(x[:, rows][:, :, cols])]
