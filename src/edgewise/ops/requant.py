"""From int32 sums to 8 bits: the rule that every product-sum operator shares."""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from ..errors import GraphError
from ..graph import Array, TensorType
from .base import Activation
from .fixed_point import Int, multiplier, multiply_twice_rounded, round_half_away

INT32_MAX = 2**31 - 1


@dataclass(frozen=True, eq=False)
class Requant:
    """q = clamp(round_half_even(float32(acc) * scale), lo - zero, hi - zero) + zero

    where zero is ``zero_point``.
    ``scale`` is float32[N], one entry an output channel. Both float operations are single IEEE
    float32 operations, so that every machine gives the same bits. It is the "fp32" rule of QNNPACK
    and XNNPACK.
    """

    scale: npt.NDArray[np.float32]
    zero_point: int
    lo: int
    hi: int

    def apply(self, acc: Array) -> npt.NDArray[np.int32]:
        """Requantize int32 sums [..., N]; the int32 result lies within lo..hi."""
        scaled = acc.astype(np.float32) * self.scale
        low = np.float32(self.lo - self.zero_point)
        high = np.float32(self.hi - self.zero_point)
        rounded = np.rint(np.clip(scaled, low, high)).astype(np.int32)
        return np.asarray(rounded + np.int32(self.zero_point))


class Rounding(enum.Enum):
    """How a sum times its real multiplier becomes an integer; the value is the user's word for it.

    FLOAT is the rule of `Requant`: XNNPACK's, and LiteRT's default on 8 bits. The others are
    `FixedPointRequant`'s: TensorFlow Lite's reference kernels and CMSIS-NN in their two builds.
    """

    FLOAT = "float"
    FIXED_POINT = "fixed_point"
    FIXED_POINT_SINGLE = "fixed_point_single"


Multiply: TypeAlias = Callable[[Array, Int, Int], Array]


@dataclass(frozen=True, eq=False)
class FixedPointRequant:
    """q = clamp(multiply(acc, multiplier, exponent) + zero_point, lo, hi)

    ``multiplier`` and ``exponent`` are int64[N], one entry an output channel, as
    `fixed_point.multiplier` gives them; ``multiply`` is one of that module's functions, which
    differ in how acc * multiplier * 2**(exponent - 31) is rounded.
    """

    multiplier: npt.NDArray[np.int64]
    exponent: npt.NDArray[np.int64]
    zero_point: int
    lo: int
    hi: int
    multiply: Multiply = multiply_twice_rounded

    def apply(self, acc: Array) -> npt.NDArray[np.int32]:
        """Requantize sums [..., N]; the int32 result lies within lo..hi."""
        scaled = self.multiply(acc, self.multiplier, self.exponent)
        return np.asarray(np.clip(scaled + self.zero_point, self.lo, self.hi), np.int32)


def per_tensor(t: TensorType, what: str) -> tuple[np.float32, int]:
    """Scale and zero point of a tensor of 8 or 16 bits that is quantized per tensor.

    Raises:
        GraphError: when it is not, or its zero point is out of its dtype's range.
    """
    q = t.quant
    if t.dtype.value not in ("uint8", "int8", "int16"):
        raise GraphError(f"{what} is {t.dtype}; it must be uint8, int8 or int16")
    if q is None or len(q.scale) != 1:
        raise GraphError(f"{what} is {t}; it must be quantized with one scale and zero point")
    check_zero_points(t, what)
    return float32(q.scale[0], what), q.zero_point[0]


def check_zero_points(t: TensorType, what: str) -> None:
    """Raise GraphError unless every zero point of ``t`` is a value of its dtype."""
    low, high = t.dtype.range
    zeros = (0,) if t.quant is None else t.quant.zero_point
    for zero in (min(zeros), max(zeros)):
        if not low <= zero <= high:
            raise GraphError(f"{what} has zero point {zero}; {t.dtype} cannot hold it")


def float32(scale: float, what: str) -> np.float32:
    """``scale`` as a positive, finite, normal float32."""
    with np.errstate(over="ignore", under="ignore"):
        rounded: np.float32 = np.float32(scale)
    if not 2.0**-126 <= rounded < np.inf:
        raise GraphError(f"{what} has scale {scale}; it must be a positive normal float32")
    return rounded


def float32s(scales: Sequence[float], what: str) -> npt.NDArray[np.float32]:
    """`float32` of each."""
    exact = np.array(scales, np.float64)
    if not (exact.min() >= 2.0**-126 and exact.max() < 2.0**127):
        return np.array([float32(scale, what) for scale in scales], np.float32)
    return exact.astype(np.float32)


def requantization(
    x: TensorType, w: TensorType, out: TensorType, activation: Activation = Activation.NONE
) -> Requant:
    """The requantization of sums of (x - zx) * (w - zw) to ``out``, one scale a channel of ``out``.

    scale[n] = x.scale * w.scale[n] / out.scale, computed in float32 from left to right.

    Raises:
        GraphError: when a tensor is not quantized as it must be, or a scale is 2**64 or more.
    """
    x_scale, _ = per_tensor(x, "input")
    out_scale, out_zero = per_tensor(out, "output")
    channels = out.shape[-1]
    if w.quant is None or len(w.quant.scale) not in (1, channels):
        raise GraphError(f"weights are {w}; they must have one scale, or one each of {channels}")
    w_scale = float32s(w.quant.scale, "weights")
    with np.errstate(over="ignore", under="ignore"):
        scale = x_scale * w_scale / out_scale
    if not np.all(scale < 2.0**64):
        raise GraphError(f"requantization scale {scale.max()}; it must be less than 2**64")
    lo, hi = activation_range(out, activation)
    return Requant(np.broadcast_to(scale, (channels,)).copy(), out_zero, lo, hi)


def fixed_point_requantization(
    x: TensorType,
    w: TensorType,
    out: TensorType,
    activation: Activation = Activation.NONE,
    multiply: Multiply = multiply_twice_rounded,
    *,
    rounds_scales: bool = False,
) -> FixedPointRequant:
    """`requantization` in fixed point: multipliers x.scale * w.scale / out.scale in float64.

    With ``rounds_scales`` the product of two scales per tensor is rounded to float32 first.

    Raises:
        GraphError: when a tensor is not quantized as it must be, or a multiplier is 2**31 or more.
    """
    per_tensor(x, "input")
    _, out_zero = per_tensor(out, "output")
    assert x.quant is not None
    assert out.quant is not None
    channels = out.shape[-1]
    if w.quant is None or len(w.quant.scale) not in (1, channels):
        raise GraphError(f"weights are {w}; they must have one scale, or one each of {channels}")
    products = [x.quant.scale[0] * scale for scale in w.quant.scale]
    if rounds_scales and w.quant.axis is None:
        products = [float(np.float32(products[0]))]
    greatest = max(products) / out.quant.scale[0]
    if not greatest < 2.0**31:
        raise GraphError(f"requantization scale {greatest}; it must be less than 2**31")
    pairs = np.array([multiplier(p / out.quant.scale[0]) for p in products], np.int64)
    scaled, exponent = pairs.T
    lo, hi = activation_range(out, activation, round_half_away)
    return FixedPointRequant(scaled, exponent, out_zero, lo, hi, multiply)


def activation_range(
    out: TensorType, activation: Activation, round: Callable[[Array], Array] = np.rint
) -> tuple[int, int]:
    """Least and greatest quantized value of ``out`` after ``activation``.

    A bound b of the activation becomes round(b / scale) + zero_point.

    Raises:
        GraphError: when ``out`` is not 8-bit and quantized per tensor.
    """
    scale, zero = per_tensor(out, "output")
    low, high = out.dtype.range
    least, greatest = activation.value
    lo = low if least is None else _bound(least, scale, zero, (low, high), round)
    hi = high if greatest is None else _bound(greatest, scale, zero, (low, high), round)
    return lo, hi


def _bound(
    bound: float,
    scale: np.float32,
    zero: int,
    limits: tuple[int, int],
    round: Callable[[Array], Array],
) -> int:
    low, high = limits
    with np.errstate(over="ignore", under="ignore"):
        steps = np.asarray(np.float32(bound) / scale)
    return int(round(np.clip(steps, low - zero, high - zero))) + zero


def accumulator_bound(x: TensorType, w: TensorType, terms: int) -> int:
    """The greatest magnitude of a sum of ``terms`` products (x - zx) * (w - zw), without bias."""
    return terms * _magnitude(x) * _magnitude(w)


def _magnitude(t: TensorType) -> int:
    low, high = t.dtype.range
    zeros = (0,) if t.quant is None else t.quant.zero_point
    return max(max(zeros) - low, high - min(zeros))


def centered(array: Array, t: TensorType) -> npt.NDArray[np.int32]:
    """``array`` minus its zero points, as int32."""
    values = array.astype(np.int32)
    if t.quant is None:
        return values
    zeros = np.array(t.quant.zero_point, np.int32)
    if len(zeros) > 1 and t.quant.axis is not None:
        zeros = zeros.reshape([-1 if i == t.quant.axis else 1 for i in range(array.ndim)])
    centred: npt.NDArray[np.int32] = values - zeros
    return centred


def wrap_int32(acc: Array) -> npt.NDArray[np.int32]:
    """int64 sums modulo 2**32, as int32 registers hold them."""
    return acc.astype(np.int64).astype(np.int32)


def clamp_float(x: Array, activation: Activation) -> npt.NDArray[np.float32]:
    """A float result after ``activation``, as float32."""
    least, greatest = activation.value
    if least is not None or greatest is not None:
        x = np.clip(x, least, greatest)
    return x.astype(np.float32)
