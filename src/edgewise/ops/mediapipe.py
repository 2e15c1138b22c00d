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


MATRIX = (1, 4, 4)
"""The shape of a transformation of points (x, y, z, 1)."""


@dataclass(frozen=True, eq=False, repr=False)
class TransformTensorBilinear(Op):
    """A part of the image x[1, H, W, C], turned and scaled to ``size`` (height, width).

    The operands, float32, are x and the matrix [1, 4, 4] that leads from the centre of an output
    pixel to the point of x that it shows, interpolated between four pixels; 0 outside.
    """

    name: ClassVar[str] = "TransformTensorBilinear"

    size: tuple[int, int] = (1, 1)

    def infer(self, inputs: Sequence[TensorType]) -> tuple[TensorType, ...]:
        check_inputs(self, inputs, 2)
        x, matrix = inputs
        check_rank(self, x, 4, "input")
        _check_transformed(self, x, matrix)
        return (result(self, (1, *self.size, x.shape[3]), x.dtype),)

    def reference(
        self, arrays: Sequence[Array], inputs: Sequence[TensorType], outputs: Sequence[TensorType]
    ) -> list[Array]:
        (x,), rows = arrays[0], arrays[1][0, :2].copy()
        half = np.float64(0.5)
        rows[:, 3] += (rows[:, 0] * half + rows[:, 1] * half - half).astype(np.float32)
        down, across = np.indices(self.size, np.float32)
        column, row = (r[0] * across + r[1] * down + r[3] for r in rows)
        height, width = x.shape[:2]
        with np.errstate(invalid="ignore"):
            inside = (column >= 0) & (column <= width - 1) & (row >= 0) & (row <= height - 1)
        column, row = np.where(inside, column, 0), np.where(inside, row, 0)
        left, top = np.floor(column).astype(np.intp), np.floor(row).astype(np.intp)
        padded = np.pad(x, ((0, 1), (0, 1), (0, 0)))
        right, lower = (column - left)[..., None], (row - top)[..., None]
        one = np.float32(1)
        above = padded[top, left] * (one - right) + padded[top, left + 1] * right
        below = padded[top + 1, left] * (one - right) + padded[top + 1, left + 1] * right
        y = below * lower + above * (one - lower)
        return [np.where(inside[..., None], y, 0).astype(np.float32)[None]]


def _check_transformed(op: Op, x: TensorType, matrix: TensorType) -> None:
    op.require(
        x.dtype is matrix.dtype is DType.FLOAT32 and matrix.shape == MATRIX and x.shape[0] == 1,
        f"inputs are {x} and {matrix}; they are float32, the first of 1 image, the second of "
        f"{list(MATRIX)}",
    )


class TransformLandmarks(Op):
    """Points x[1, N, 2 or 3] moved by a matrix [1, 4, 4], in x and y; both operands are float32."""

    name: ClassVar[str] = "TransformLandmarks"

    def infer(self, inputs: Sequence[TensorType]) -> tuple[TensorType, ...]:
        check_inputs(self, inputs, 2)
        x, matrix = inputs
        check_rank(self, x, 3, "input")
        _check_transformed(self, x, matrix)
        self.require(x.shape[2] in (2, 3), f"points of {x.shape[2]} numbers; they have 2 or 3")
        return (result(self, x.shape, x.dtype),)

    def reference(
        self, arrays: Sequence[Array], inputs: Sequence[TensorType], outputs: Sequence[TensorType]
    ) -> list[Array]:
        y, rows = arrays[0].copy(), arrays[1][0, :2]
        across, down = arrays[0][..., 0], arrays[0][..., 1]
        for i, r in enumerate(rows):
            y[..., i] = r[0] * across + r[1] * down + r[3]
        return [y]


@dataclass(frozen=True, eq=False, repr=False)
class LandmarksToTransformMatrix(Op):
    """The matrix [1, 4, 4] that leads from an output of ``size`` to a box around landmarks.

    The operand is x[1, N, 3] (float32). The box is turned so that the line between the landmarks
    ``left`` and ``right`` has the angle ``rotation`` (radians), holds the landmarks ``subset``, and
    is larger by ``scale`` (x, y).
    """

    name: ClassVar[str] = "Landmarks2TransformMatrix"

    left: int = 0
    right: int = 0
    rotation: float = 0.0
    size: tuple[int, int] = (1, 1)
    scale: tuple[float, float] = (1.0, 1.0)
    subset: tuple[int, ...] = ()

    def infer(self, inputs: Sequence[TensorType]) -> tuple[TensorType, ...]:
        check_inputs(self, inputs, 1)
        (x,) = inputs
        self.require(
            x.dtype is DType.FLOAT32 and len(x.shape) == 3 and x.shape[2] == 3,
            f"input is {x}; it is float32 [1, N, 3]",
        )
        named = (self.left, self.right, *self.subset)
        self.require(
            len(self.subset) > 0 and 0 <= min(named) <= max(named) < x.shape[0] * x.shape[1],
            f"landmarks {list(named)[:16]} of {x.shape[0] * x.shape[1]}; a subset is not empty",
        )
        self.require(
            min(self.size) >= 1 and min(self.scale) > 0,
            f"size {list(self.size)}, scale {list(self.scale)}; they are positive",
        )
        return (result(self, MATRIX, x.dtype),)

    def reference(
        self, arrays: Sequence[Array], inputs: Sequence[TensorType], outputs: Sequence[TensorType]
    ) -> list[Array]:
        points = arrays[0].reshape(-1, 3)[:, :2].astype(np.float64)
        across, down = points[self.right] - points[self.left]
        turn = _rotation(self.rotation - np.arctan2(down, across))
        turned = points[list(self.subset)] @ turn.T
        low, high = turned.min(axis=0), turned.max(axis=0)
        back = turn.T
        height, width = self.size
        scale = (high - low) * self.scale / np.array([width, height])
        y = np.eye(4)
        y[:2, :2] = back * scale
        y[:2, 3] = back @ ((low + high) / 2) - y[:2, :2] @ np.array([width / 2, height / 2])
        return [y.astype(np.float32)[None]]


def _rotation(angle: float) -> Array:
    return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
