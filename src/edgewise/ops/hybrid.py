"""Float activations times 8-bit weights: activations are quantized when the product runs.

TensorFlow Lite calls such products "hybrid", and files that hold them dynamic-range quantized.
Each group of activations (a row of a matrix product, an image of a convolution) gets a scale and
a zero point from its own least and greatest value; the sums are int32; the result is float32.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..dtype import DType
from ..graph import Array, TensorType
from .checks import EIGHT_BIT
from .fixed_point import round_half_away


def is_hybrid(x: TensorType, w: TensorType) -> bool:
    """Whether x is float32 and w 8-bit and quantized."""
    return x.dtype is DType.FLOAT32 and w.dtype in EIGHT_BIT and w.quant is not None


@dataclass(frozen=True, eq=False)
class DynamicallyQuantized:
    """x = scale * centered, as nearly as 8 bits hold it.

    ``centered`` holds raw values of int8 less the zero point of their group, as int32; ``scale``
    is float32, one entry a group, of a shape that broadcasts against ``centered``.
    """

    centered: npt.NDArray[np.int32]
    scale: npt.NDArray[np.float32]


def quantize_rows(x: Array, axes: tuple[int, ...]) -> DynamicallyQuantized:
    """Quantize float32 x to int8 with one scale and zero point a group, as XNNPACK does (qd8).

    A group is what differs only along ``axes``. With lo and hi its least and greatest value, zero
    among them, each line one IEEE float32 operation after the other:
        s = 255 / (hi - lo), or 1 where they are equal
        z = rne(clamp(-128 - lo * s if (-128 + lo * s) + (127 + hi * s) > 0 else 127 - hi * s))
        q = clamp(rne(x * s) + z), the clamp to -128..127
        scale = 1 / s
    """
    lo = np.minimum(x.min(axes, keepdims=True), np.float32(0))
    hi = np.maximum(x.max(axes, keepdims=True), np.float32(0))
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        s = np.where(lo == hi, np.float32(1), np.float32(255) / (hi - lo)).astype(np.float32)
        low, high = np.float32(-128) + lo * s, np.float32(127) + hi * s
        zero = np.where(low + high > 0, np.float32(-128) - lo * s, np.float32(127) - hi * s)
        zero = np.rint(np.clip(np.nan_to_num(zero), -128, 127)).astype(np.int32)
        steps = np.nan_to_num(np.rint(x * s), posinf=512, neginf=-512)
        scale = (np.float32(1) / s).astype(np.float32)
    q = np.clip(np.clip(steps, -512, 512).astype(np.int32) + zero, -128, 127)
    return DynamicallyQuantized(q - zero, scale)


def quantize_symmetric(x: Array) -> DynamicallyQuantized:
    """Quantize each row x[..., :] to -127..127 with zero point 0, as TensorFlow Lite's built-in
    recurrent kernels do: q = round(x * (127 / greatest)), halves away from zero.
    """
    greatest = np.abs(x).max(-1, keepdims=True).astype(np.float32)
    safe = np.where(greatest == 0, np.float32(1), greatest).astype(np.float32)
    steps = (x * (np.float32(127) / safe)).astype(np.float32)
    q = np.clip(round_half_away(steps), -127, 127)
    return DynamicallyQuantized(q.astype(np.int32), (greatest / np.float32(127)).astype(np.float32))


def quantize_asymmetric(x: Array) -> DynamicallyQuantized:
    """Quantize each row x[..., :] to -128..127 as TensorFlow Lite's built-in recurrent kernels do
    with ``asymmetric_quantize_inputs``: range and zero point in float64, values in float32.
    """
    lo = np.minimum(x.min(-1, keepdims=True), 0).astype(np.float64)
    hi = np.maximum(x.max(-1, keepdims=True), 0).astype(np.float64)
    scale = np.where(lo == hi, 1.0, (hi - lo) / 255.0)
    from_low, from_high = -128 - lo / scale, 127 - hi / scale
    zero = np.where(128 - lo / scale < 127 + hi / scale, from_low, from_high)
    zero = np.clip(round_half_away(zero), -128, 127)
    steps = zero.astype(np.float32) + x * (np.float32(1) / scale.astype(np.float32))
    q = np.clip(round_half_away(steps), -128, 127).astype(np.int32)
    return DynamicallyQuantized(q - zero.astype(np.int32), scale.astype(np.float32))


class RowQuantization(enum.Enum):
    """How a hybrid product quantizes activations; the value names it in kernels.

    QD8 is XNNPACK's, `quantize_rows`; the others are those of recurrent layers.
    """

    QD8 = "qd8"
    SYMMETRIC = "symmetric"
    ASYMMETRIC = "asymmetric"


QUANTIZERS: Mapping[RowQuantization, Callable[[Array, tuple[int, ...]], DynamicallyQuantized]] = {
    RowQuantization.QD8: quantize_rows,
    RowQuantization.SYMMETRIC: lambda x, axes: quantize_symmetric(x),
    RowQuantization.ASYMMETRIC: lambda x, axes: quantize_asymmetric(x),
}
"""By x and the axes of a group, which the last two do not ask for: a group is a row."""
