"""Convolutions of volumes x[N, D, H, W, C]: CONV_3D and CONV_3D_TRANSPOSE, of float32."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ..dtype import DType
from ..graph import Array, TensorType
from .base import Activation, Op
from .checks import check_inputs, check_rank, check_shape, result, window_extent
from .product import matmul
from .requant import clamp_float

Triple = tuple[int, int, int]
Pads = tuple[tuple[int, int], tuple[int, int], tuple[int, int]]


class _Conv3D(Op):
    stride: Triple
    dilation: Triple
    padding: Pads
    activation: Activation

    def check(self, inputs: Sequence[TensorType], channels: int, depth: int) -> None:
        """Check dtypes, and that weights of ``depth`` take x, and a bias adds to ``channels``."""
        for i, t in enumerate(inputs):
            self.require(t.dtype is DType.FLOAT32, f"input {i} is {t.dtype}; it must be float32")
        found = inputs[0].shape[4]
        self.require(
            found == depth, f"{found} input channels, weights of depth {depth}; they must be equal"
        )
        if len(inputs) == 3:
            bias = inputs[2].shape
            self.require(
                bias == (channels,), f"bias has shape {list(bias)}; it must be [{channels}]"
            )

    def windows_of(self, volume: Sequence[int], taps: Sequence[int]) -> Triple:
        """How many windows fit ``volume`` [N, D, H, W, C] along each dimension."""
        batch, *size, channels = volume
        padded = [n + sum(pads) for n, pads in zip(size, self.padding, strict=True)]
        check_shape(self, (batch, *padded, channels), "its padded volume")
        d, h, w = (
            window_extent(self, n, k, s, dil, *pads)
            for n, k, s, dil, pads in zip(
                size, taps, self.stride, self.dilation, self.padding, strict=True
            )
        )
        return d, h, w

    def tap_slices(
        self, tap: Sequence[int], windows: Sequence[int], volume: Sequence[int]
    ) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
        """The windows [N, D, H, W, C] of which a tap lies inside of ``volume``, and where it lies.

        Both numbers are of three dimensions. Windows reach over padding, which holds nothing.
        """
        chosen, places = [slice(None)], [slice(None)]
        sizes = zip(tap, windows, volume, self.stride, self.dilation, self.padding, strict=True)
        for i, count, size, s, dil, (before, _) in sizes:
            shift = i * dil - before
            first = max(-(shift // s), 0)
            last = min((size - 1 - shift) // s, count - 1)
            inside = first <= last
            chosen.append(slice(first, last + 1) if inside else slice(0))
            places.append(slice(first * s + shift, last * s + shift + 1, s) if inside else slice(0))
        return tuple(chosen), tuple(places)

    def finish(self, acc: Array, arrays: Sequence[Array]) -> list[Array]:
        return [clamp_float(acc + arrays[2] if len(arrays) == 3 else acc, self.activation)]


@dataclass(frozen=True, eq=False, repr=False)
class Conv3D(_Conv3D):
    """Convolution of x[N, D, H, W, C] by w[KD, KH, KW, C, O], and bias[O] (optional).

    ``stride`` and ``dilation`` are those of depth, height and width, and ``padding`` is (before,
    after) of each.
    """

    name: ClassVar[str] = "CONV_3D"

    stride: Triple = (1, 1, 1)
    dilation: Triple = (1, 1, 1)
    padding: Pads = ((0, 0), (0, 0), (0, 0))
    activation: Activation = Activation.NONE

    def infer(self, inputs: Sequence[TensorType]) -> tuple[TensorType, ...]:
        check_inputs(self, inputs, 2, 3)
        x, w = inputs[:2]
        check_rank(self, x, 5, "input")
        check_rank(self, w, 5, "weights")
        self.check(inputs, w.shape[4], w.shape[3])
        size = self.windows_of(x.shape, w.shape[:3])
        return (result(self, (x.shape[0], *size, w.shape[4]), x.dtype),)

    def reference(
        self, arrays: Sequence[Array], inputs: Sequence[TensorType], outputs: Sequence[TensorType]
    ) -> list[Array]:
        x, w = arrays[:2]
        windows = outputs[0].shape[1:4]
        acc = np.zeros(outputs[0].shape, np.float64)
        for tap in itertools.product(*map(range, w.shape[:3])):
            chosen, places = self.tap_slices(tap, windows, x.shape[1:4])
            acc[chosen] += matmul(x[places], w[tap])
        return self.finish(acc, arrays)

    def macs(self, inputs: Sequence[TensorType], outputs: Sequence[TensorType]) -> int:
        return math.prod(outputs[0].shape[:4]) * inputs[1].size


@dataclass(frozen=True, eq=False, repr=False)
class Conv3DTranspose(_Conv3D):
    """Transposed convolution of x[N, D, H, W, I] by w[KD, KH, KW, O, I], and bias[O] (optional).

    ``padding`` and ``output_size`` are as in TRANSPOSE_CONV, with three dimensions.
    """

    name: ClassVar[str] = "CONV_3D_TRANSPOSE"

    stride: Triple = (1, 1, 1)
    dilation: Triple = (1, 1, 1)
    padding: Pads = ((0, 0), (0, 0), (0, 0))
    output_size: Triple = (1, 1, 1)
    activation: Activation = Activation.NONE

    def infer(self, inputs: Sequence[TensorType]) -> tuple[TensorType, ...]:
        check_inputs(self, inputs, 2, 3)
        x, w = inputs[:2]
        check_rank(self, x, 5, "input")
        check_rank(self, w, 5, "weights")
        self.check(inputs, w.shape[3], w.shape[4])
        out = (x.shape[0], *self.output_size, w.shape[3])
        size = self.windows_of(out, w.shape[:3])
        self.require(
            size == x.shape[1:4],
            f"input of {list(x.shape[1:4])}; stride, padding and output_size belong to one of "
            f"{list(size)}",
        )
        return (result(self, out, x.dtype),)

    def reference(
        self, arrays: Sequence[Array], inputs: Sequence[TensorType], outputs: Sequence[TensorType]
    ) -> list[Array]:
        x, w = arrays[:2]
        acc = np.zeros(outputs[0].shape, np.float64)
        for tap in itertools.product(*map(range, w.shape[:3])):
            chosen, places = self.tap_slices(tap, x.shape[1:4], self.output_size)
            acc[places] += matmul(x[chosen], w[tap].T)
        return self.finish(acc, arrays)

    def macs(self, inputs: Sequence[TensorType], outputs: Sequence[TensorType]) -> int:
        return math.prod(inputs[0].shape[:4]) * inputs[1].size
