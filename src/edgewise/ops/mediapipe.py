"""Custom operators of MediaPipe: pooling that remembers where, and its inverse.

The rules are those of ``mediapipe/util/tflite/operations``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ..dtype import DType
from ..graph import Array, TensorType
from .base import Op
from .checks import check_inputs, check_rank, pad_image, result
from .checks import windows as image_windows
from .pool import MaxPool2D
from .requant import clamp_float


class MaxPoolingWithArgmax2D(MaxPool2D):
    """MAX_POOL_2D of float32, and where in its window each result was: y * width + x + 0.1."""

    name: ClassVar[str] = "MaxPoolingWithArgmax2D"

    def infer(self, inputs: Sequence[TensorType]) -> tuple[TensorType, ...]:
        (y,) = super().infer(inputs)
        self.require(y.dtype is DType.FLOAT32, f"input is {y.dtype}; it must be float32")
        return y, y

    def reference(
        self, arrays: Sequence[Array], inputs: Sequence[TensorType], outputs: Sequence[TensorType]
    ) -> list[Array]:
        padded = pad_image(arrays[0], self.padding, -np.inf)
        view = image_windows(padded, self.filter, self.stride)
        flat = view.reshape(*view.shape[:4], -1)
        place = flat.argmax(axis=-1)
        y = np.take_along_axis(flat, place[..., None], axis=-1)[..., 0]
        indices = place.astype(np.float32) + np.float32(0.1)
        return [clamp_float(y, self.activation), indices]


@dataclass(frozen=True, eq=False, repr=False)
class MaxUnpooling2D(Op):
    """x[N, H, W, C] (float32) put back where ``MaxPoolingWithArgmax2D`` found it, 0 elsewhere.

    The operands are x and indices, of one shape; the output is [N, H * height, W * width, C] for
    windows of ``filter`` = (height, width). What would lie outside is left out, and of two
    elements for one place the later stays.
    """

    name: ClassVar[str] = "MaxUnpooling2D"

    filter: tuple[int, int] = (1, 1)
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int, int, int] = (0, 0, 0, 0)

    def infer(self, inputs: Sequence[TensorType]) -> tuple[TensorType, ...]:
        check_inputs(self, inputs, 2)
        x, indices = inputs
        check_rank(self, x, 4, "input")
        self.require(
            indices.shape == x.shape and x.dtype is indices.dtype is DType.FLOAT32,
            f"inputs are {x} and {indices}; they are float32 of one shape",
        )
        self.require(
            min(*self.filter, *self.stride) >= 1,
            f"windows of {self.filter}, strides {self.stride}; each is at least 1",
        )
        n, h, w, c = x.shape
        return (result(self, (n, h * self.filter[0], w * self.filter[1], c), x.dtype),)

    def reference(
        self, arrays: Sequence[Array], inputs: Sequence[TensorType], outputs: Sequence[TensorType]
    ) -> list[Array]:
        x, indices = arrays
        n, h, w, c = x.shape
        (height, width), (sy, sx), (top, _, left, _) = self.filter, self.stride, self.padding
        y = np.zeros((n, h * height, w * width, c), np.float32)
        with np.errstate(invalid="ignore"):
            place = (
                np.clip(np.nan_to_num(indices, nan=-1), -1, height * width).astype(np.int64).ravel()
            )
        image, row, col, channel = np.unravel_index(np.arange(x.size), x.shape)
        rows = row * sy - top + place // width
        cols = col * sx - left + place % width
        kept = (rows >= 0) & (rows < y.shape[1]) & (cols >= 0) & (cols < y.shape[2]) & (place >= 0)
        y[image[kept], rows[kept], cols[kept], channel[kept]] = x.ravel()[kept]
        return [y]
