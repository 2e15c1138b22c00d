"""Convolutions of NHWC images: CONV_2D, DEPTHWISE_CONV_2D and TRANSPOSE_CONV.

Each takes float32 throughout, or 8-bit quantized: x per tensor, w per tensor or per output
channel, bias int32 with scale x.scale * w.scale and zero point 0. The integer result is
requantization(x, w, out, activation).apply(sum of (x - zx) * (w - zw), plus bias), and padding is
with x's zero point. `product` tells the other types: int16 or float32 x with 8-bit w.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ..graph import Array, TensorType
from .base import Activation
from .checks import check_inputs, check_rank, check_shape, pad_image, result, window_extent, windows
from .product import Product, matmul
from .requant import Rounding

IMAGE = (1, 2, 3)
"""Axes of x that a hybrid convolution quantizes alike."""


@dataclass(frozen=True, eq=False, repr=False)
class _Conv(Product):
    stride: tuple[int, int] = (1, 1)
    dilation: tuple[int, int] = (1, 1)
    padding: tuple[int, int, int, int] = (0, 0, 0, 0)
    activation: Activation = Activation.NONE
    rounding: Rounding = Rounding.FLOAT

    def _image_size(self, x: TensorType, w: TensorType) -> tuple[int, int]:
        top, bottom, left, right = self.padding
        (sh, sw), (dh, dw) = self.stride, self.dilation
        n, height, width, channels = x.shape
        padded = (n, height + top + bottom, width + left + right, max(channels, w.shape[3]))
        check_shape(self, padded, "its padded input")
        return (
            window_extent(self, x.shape[1], w.shape[1], sh, dh, top, bottom),
            window_extent(self, x.shape[2], w.shape[2], sw, dw, left, right),
        )


@dataclass(frozen=True, eq=False, repr=False)
class Conv2D(_Conv):
    """Convolution of x[N, H, W, C] by w[O, KH, KW, C / groups], and bias[O] (optional).

    ``padding`` is (top, bottom, left, right). The number of groups is C / w.shape[3]. Hybrid: x is
    quantized an image at a time; a pixel at a time where the operator is a matrix product, that is
    of 1x1 taps, stride 1 and no padding.
    """

    name: ClassVar[str] = "CONV_2D"

    def infer(self, inputs: Sequence[TensorType]) -> tuple[TensorType, ...]:
        check_inputs(self, inputs, 2, 3)
        x, w = inputs[:2]
        check_rank(self, x, 4, "input")
        check_rank(self, w, 4, "weights")
        channels, depth, out_channels = x.shape[3], w.shape[3], w.shape[0]
        self.require(
            depth > 0 < channels and channels % depth == 0,
            f"{channels} input channels, weights of depth {depth}; it must divide the channels",
        )
        groups = channels // depth
        self.require(
            out_channels % groups == 0,
            f"{out_channels} output channels in {groups} groups; they must divide evenly",
        )
        self.check(inputs, out_channels, 0, w.shape[1] * w.shape[2] * depth)
        return (result(self, (x.shape[0], *self._image_size(x, w), out_channels), x.dtype),)

    def reference(
        self, arrays: Sequence[Array], inputs: Sequence[TensorType], outputs: Sequence[TensorType]
    ) -> list[Array]:
        given = self.operands(arrays, inputs, self.group(inputs[1]))
        x, w = given.x, given.w
        out_channels, kh, kw, depth = w.shape
        groups = x.shape[3] // depth
        per_group = out_channels // groups
        view = windows(pad_image(x, self.padding), (kh, kw), self.stride, self.dilation)
        n, oh, ow = view.shape[:3]
        acc = np.empty((n, oh, ow, out_channels), np.float64)
        for g in range(groups):
            patches = view[:, :, :, g * depth : (g + 1) * depth].transpose(0, 1, 2, 4, 5, 3)
            channels = slice(g * per_group, (g + 1) * per_group)
            columns = w[channels].reshape(per_group, kh * kw * depth).T
            rows = patches.reshape(n * oh * ow, kh * kw * depth)
            acc[..., channels] = matmul(rows, columns).reshape(n, oh, ow, per_group)
        return [self.finish(acc, given, inputs, outputs)]

    def group(self, w: TensorType) -> tuple[int, ...]:
        """The axes of a hybrid product's x that share a scale."""
        is_matmul = w.shape[1:3] == self.stride == (1, 1) and not any(self.padding)
        return (3,) if is_matmul else IMAGE

    def macs(self, inputs: Sequence[TensorType], outputs: Sequence[TensorType]) -> int:
        _, kh, kw, depth = inputs[1].shape
        return outputs[0].size * kh * kw * depth


@dataclass(frozen=True, eq=False, repr=False)
class DepthwiseConv2D(_Conv):
    """Convolution of each channel of x[N, H, W, C] by w[1, KH, KW, C * M], and bias[C * M].

    The bias is optional. Output channel c * M + m reads input channel c. ``padding`` is (top,
    bottom, left, right).
    """

    name: ClassVar[str] = "DEPTHWISE_CONV_2D"
    wide_sums: ClassVar[bool] = True

    def infer(self, inputs: Sequence[TensorType]) -> tuple[TensorType, ...]:
        check_inputs(self, inputs, 2, 3)
        x, w = inputs[:2]
        check_rank(self, x, 4, "input")
        check_rank(self, w, 4, "weights")
        channels, out_channels = x.shape[3], w.shape[3]
        self.require(w.shape[0] == 1, f"weights {list(w.shape)}; their first dimension is 1")
        self.require(
            channels > 0 and out_channels % channels == 0,
            f"{channels} input and {out_channels} output channels; the first divides the second",
        )
        self.check(inputs, out_channels, 3, w.shape[1] * w.shape[2])
        return (result(self, (x.shape[0], *self._image_size(x, w), out_channels), x.dtype),)

    def reference(
        self, arrays: Sequence[Array], inputs: Sequence[TensorType], outputs: Sequence[TensorType]
    ) -> list[Array]:
        given = self.operands(arrays, inputs, IMAGE)
        x, w = given.x, given.w
        _, kh, kw, out_channels = w.shape
        x = np.repeat(x, out_channels // x.shape[3], axis=3)
        view = windows(pad_image(x, self.padding), (kh, kw), self.stride, self.dilation)
        acc = np.zeros(view.shape[:4], np.float64)
        for i in range(kh):
            for j in range(kw):
                acc += view[..., i, j] * w[0, i, j]
        return [self.finish(acc, given, inputs, outputs)]

    def macs(self, inputs: Sequence[TensorType], outputs: Sequence[TensorType]) -> int:
        _, kh, kw, _ = inputs[1].shape
        return outputs[0].size * kh * kw


@dataclass(frozen=True, eq=False, repr=False)
class TransposeConv(Product):
    """Transposed convolution of x[N, H, W, I] by w[O, KH, KW, I], and bias[O] (optional).

    Input pixel (y, x) adds x * w[:, i, j] to output pixel (y * stride + i - top,
    x * stride + j - left), where that lies within ``output_size``. ``padding`` is (top, bottom,
    left, right) of the convolution that this one transposes: that convolution maps
    ``output_size`` to the size of the input.
    """

    name: ClassVar[str] = "TRANSPOSE_CONV"
    wide_sums: ClassVar[bool] = True

    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int, int, int] = (0, 0, 0, 0)
    output_size: tuple[int, int] = (1, 1)
    activation: Activation = Activation.NONE
    rounding: Rounding = Rounding.FLOAT

    def infer(self, inputs: Sequence[TensorType]) -> tuple[TensorType, ...]:
        check_inputs(self, inputs, 2, 3)
        x, w = inputs[:2]
        check_rank(self, x, 4, "input")
        check_rank(self, w, 4, "weights")
        out = result(self, (x.shape[0], *self.output_size, w.shape[0]), x.dtype)
        self.require(
            x.shape[3] == w.shape[3],
            f"{x.shape[3]} input channels, weights of depth {w.shape[3]}; they must be equal",
        )
        top, bottom, left, right = self.padding
        size = (
            window_extent(self, out.shape[1], w.shape[1], self.stride[0], 1, top, bottom),
            window_extent(self, out.shape[2], w.shape[2], self.stride[1], 1, left, right),
        )
        self.require(
            size == x.shape[1:3],
            f"input of {x.shape[1]}x{x.shape[2]} pixels; stride, padding and output_size "
            f"belong to one of {size[0]}x{size[1]}",
        )
        self.check(inputs, w.shape[0], 0, w.shape[1] * w.shape[2] * w.shape[3])
        return (out,)

    def reference(
        self, arrays: Sequence[Array], inputs: Sequence[TensorType], outputs: Sequence[TensorType]
    ) -> list[Array]:
        given = self.operands(arrays, inputs, IMAGE)
        x, w = given.x, given.w
        n, h, width, depth = x.shape
        out_channels, kh, kw, _ = w.shape
        (sh, sw), (top, _, left, _) = self.stride, self.padding
        oh, ow = self.output_size
        columns = w.transpose(3, 1, 2, 0).reshape(depth, kh * kw * out_channels)
        taps = matmul(x.reshape(n * h * width, depth), columns)
        taps = taps.reshape(n, h, width, kh, kw, out_channels)
        tall = max((h - 1) * sh + kh, top + oh)
        wide = max((width - 1) * sw + kw, left + ow)
        full = np.zeros((n, tall, wide, out_channels), np.float64)
        for i in range(kh):
            for j in range(kw):
                rows = slice(i, i + (h - 1) * sh + 1, sh)
                cols = slice(j, j + (width - 1) * sw + 1, sw)
                full[:, rows, cols] += taps[:, :, :, i, j]
        acc = full[:, top : top + oh, left : left + ow]
        return [self.finish(acc, given, inputs, outputs)]

    def macs(self, inputs: Sequence[TensorType], outputs: Sequence[TensorType]) -> int:
        out_channels, kh, kw, _ = inputs[1].shape
        return inputs[0].size * kh * kw * out_channels
