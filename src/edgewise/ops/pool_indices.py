"""Pooling of images of any number of dimensions, channels first, that tells where; its inverse."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ..dtype import DType
from ..errors import RunError
from ..graph import Array, TensorType
from .base import Op
from .checks import Kind, check_inputs, common_kind, result, window_extent

Ints = tuple[int, ...]


@dataclass(frozen=True, eq=False, repr=False)
class MaxPoolIndices(Op):
    """Greatest value of each window of x[N, C, ...], and its place among all elements of x (int64).

    Windows have ``taps``, ``stride`` and ``dilation`` a dimension; ``padding`` are the elements
    before each, then after each, which do not count. Places count along the last dimension first,
    or along the first spatial one with ``by_columns``. As in ONNX's MaxPool with two outputs.
    """

    name: ClassVar[str] = "MaxPool"
    either_sign: ClassVar[bool] = False

    taps: Ints
    stride: Ints
    dilation: Ints
    padding: Ints
    by_columns: bool = False

    def infer(self, inputs: Sequence[TensorType]) -> tuple[TensorType, ...]:
        check_inputs(self, inputs, 1)
        (x,) = inputs
        common_kind(self, inputs, (Kind.FLOAT, Kind.INTEGER))
        dims = len(x.shape) - 2
        counts = [len(v) for v in (self.taps, self.stride, self.dilation)]
        self.require(
            dims >= 1 and counts == [dims] * 3 and len(self.padding) == 2 * dims,
            f"input {list(x.shape)}, windows of {counts} and padding of {len(self.padding)} "
            "dimensions; there is one of each, and padding on both sides",
        )
        size = []
        for i in range(dims):
            k, s, d = self.taps[i], self.stride[i], self.dilation[i]
            before, after = self.padding[i], self.padding[dims + i]
            size.append(window_extent(self, x.shape[2 + i], k, s, d, before, after))
            extent = (k - 1) * d + 1
            self.require(
                max(before, after) < extent,
                f"padding ({before}, {after}) of windows of {extent}; it is smaller",
            )
        shape = (*x.shape[:2], *size)
        return result(self, shape, x.dtype), result(self, shape, DType.INT64)

    def reference(
        self, arrays: Sequence[Array], inputs: Sequence[TensorType], outputs: Sequence[TensorType]
    ) -> list[Array]:
        (x,) = arrays
        dims, axes = len(self.taps), range(2, x.ndim)
        order = (0, 1, *reversed(axes)) if self.by_columns else tuple(range(x.ndim))
        places = np.arange(x.size, dtype=np.int64).reshape([x.shape[i] for i in order])
        places = places.transpose(order)
        pads = [(0, 0), (0, 0), *zip(self.padding[:dims], self.padding[dims:], strict=True)]
        least = -math.inf if x.dtype.kind == "f" else np.iinfo(x.dtype).min
        padded = np.pad(x, pads, constant_values=least)
        where = np.pad(places, pads, constant_values=np.iinfo(np.int64).max)
        greatest = at = None
        for tap in np.ndindex(*self.taps):
            chosen = (slice(None),) * 2 + tuple(
                slice(t * d, t * d + (n - 1) * s + 1, s)
                for t, d, s, n in zip(
                    tap, self.dilation, self.stride, outputs[0].shape[2:], strict=True
                )
            )
            values, found = (v[chosen] for v in (padded, where))
            if greatest is None or at is None:
                greatest, at = values, found
                continue
            better = (values > greatest) | ((values == greatest) & (found < at))
            greatest, at = np.where(better, values, greatest), np.where(better, found, at)
        return [np.ascontiguousarray(greatest), np.ascontiguousarray(at)]


@dataclass(frozen=True, eq=False, repr=False)
class MaxUnpool(Op):
    """Elements of x put where ``MaxPoolIndices`` found them, among zeros of ``shape``.

    The operands are x and places, int64 of one shape. Of two elements for one place the later
    stays.
    """

    name: ClassVar[str] = "MaxUnpool"
    either_sign: ClassVar[bool] = False

    shape: Ints

    def infer(self, inputs: Sequence[TensorType]) -> tuple[TensorType, ...]:
        check_inputs(self, inputs, 2)
        x, places = inputs
        self.require(
            places.dtype is DType.INT64 and places.shape == x.shape,
            f"inputs {x} and {places}; places are int64 of one shape with the elements",
        )
        return (result(self, self.shape, x.dtype),)

    def check_values(self, arrays: Sequence[Array | None], inputs: Sequence[TensorType]) -> None:
        places, size = arrays[1], math.prod(self.shape)
        if places is not None and places.size and not 0 <= places.min() <= places.max() < size:
            raise RunError(
                f"{self.name}: places {places.min()} to {places.max()}; they are at least 0, and "
                f"less than {size}"
            )

    def reference(
        self, arrays: Sequence[Array], inputs: Sequence[TensorType], outputs: Sequence[TensorType]
    ) -> list[Array]:
        self.check_values(arrays, inputs)
        y = np.zeros(self.shape, arrays[0].dtype)
        y.reshape(-1)[arrays[1].ravel()] = arrays[0].ravel()
        return [y]
