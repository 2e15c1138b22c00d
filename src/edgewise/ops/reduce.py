"""Reductions along axes: MEAN, SUM and the like, ARG_MAX, CUMSUM."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from ..dtype import DType
from ..graph import Array, TensorType
from .base import Op
from .checks import (
    ARITHMETIC,
    Kind,
    check_axes,
    check_axis,
    check_inputs,
    common_kind,
    kind_of,
    result,
)
from .fixed_point import multiplier, multiply_twice_rounded, multiply_wide, round_half_away
from .quantized import dequantized, requantized
from .requant import per_tensor, wrap_int32


@dataclass(frozen=True, eq=False, repr=False)
class Reduction(Op):
    """Base of the reductions over ``axes`` (counted from 0), which stay as 1 with ``keep_dims``.

    Without axes each element is reduced by itself.
    """

    axes: tuple[int, ...] = ()
    keep_dims: bool = False

    kinds: ClassVar[tuple[Kind, ...]] = ARITHMETIC

    def infer(self, inputs: Sequence[TensorType]) -> tuple[TensorType, ...]:
        check_inputs(self, inputs, 1)
        x = inputs[0]
        check_axes(self, self.axes, len(x.shape))
        common_kind(self, inputs, self.kinds)
        shape = [
            1 if i in self.axes else d
            for i, d in enumerate(x.shape)
            if self.keep_dims or i not in self.axes
        ]
        return (result(self, shape, x.dtype),)

    def count(self, x: TensorType) -> int:
        """How many values are reduced to one."""
        return math.prod(x.shape[a] for a in self.axes)

    def require_values(self, x: TensorType) -> None:
        """Refuse to reduce no quantized values: there is no number for that."""
        some = kind_of(x) is not Kind.QUANTIZED or self.count(x) > 0
        self.require(some, f"axes {list(self.axes)} hold no values of {x}")

    def compute(self, x: Array) -> Array:
        """The reduction of floats, plain integers or bools."""
        raise NotImplementedError

    def quantized(self, x: Array, t: TensorType, out: TensorType) -> Array:
        """The reduction of quantized values; here by real numbers, rounded once."""
        return requantized(self.compute(dequantized(x, t, self.name)), out, self.name)

    def reference(
        self, arrays: Sequence[Array], inputs: Sequence[TensorType], outputs: Sequence[TensorType]
    ) -> list[Array]:
        (x,) = arrays
        with np.errstate(all="ignore"):
            if kind_of(inputs[0]) is Kind.QUANTIZED:
                y = self.quantized(x, inputs[0], outputs[0])
            else:
                y = self.compute(x)
        return [np.asarray(y).astype(outputs[0].dtype.numpy).reshape(outputs[0].shape)]


@dataclass(frozen=True, eq=False, repr=False)
class _Sum(Reduction):
    """Base of SUM and MEAN.

    8 bits, with the int32 sum of (q - raw_zero) and ``affine``'s scale and offset:
    q = clamp(round_half_even(float32(sum) * scale + offset)) + raw_zero, in single float32
    operations (no FMA). The offset holds the zero points, so that ties depend on them: a pass that
    turns int8 input and output to uint8 by adding 128 adds 128 to ``raw_zero`` also, and changes
    no result.
    """

    raw_zero: int = 0

    def infer(self, inputs: Sequence[TensorType]) -> tuple[TensorType, ...]:
        types = super().infer(inputs)
        count = self.count(inputs[0])
        self.require(
            kind_of(inputs[0]) is not Kind.QUANTIZED or count <= 2**23,
            f"{count} values; quantized ones are at most {2**23}",
        )
        return types

    def divisor(self, x: TensorType) -> int:
        """What a sum is divided by."""
        raise NotImplementedError

    def affine(
        self, inputs: Sequence[TensorType], outputs: Sequence[TensorType]
    ) -> tuple[np.float32, np.float32]:
        """The float32 scale and offset of the rule of 8 bits.

        scale = x.scale / out.scale / divisor; offset = zo - float32(zx * count) * scale, where zx
        and zo are the zero points less raw_zero.

        Raises:
            GraphError: when a type is not quantized, or the scale is 2**64 or more.
        """
        x_scale, zero = per_tensor(inputs[0], f"{self.name}: input")
        out_scale, out_zero = per_tensor(outputs[0], f"{self.name}: output")
        count = self.count(inputs[0])
        with np.errstate(over="ignore", under="ignore"):
            scale = np.float32(x_scale / out_scale / np.float32(self.divisor(inputs[0])))
            self.require(bool(scale < 2.0**64), f"its scale is {scale}; it must be below 2**64")
            shift = np.float32((zero - self.raw_zero) * count) * scale
        return scale, np.float32(np.float32(out_zero - self.raw_zero) - shift)

    def quantized(self, x: Array, t: TensorType, out: TensorType) -> Array:
        scale, offset = self.affine([t], [out])
        low, high = (bound - self.raw_zero for bound in out.dtype.range)
        total = x.sum(axis=self.axes, dtype=np.int64) - self.count(t) * self.raw_zero
        steps = np.asarray(total).astype(np.float32) * scale + offset
        return np.asarray(np.rint(np.clip(steps, low, high)) + self.raw_zero)


class Mean(_Sum):
    """Mean over ``axes``; of plain integers cut toward zero.

    int16: fixed_point.multiply of the sum, the multiplier divided by the count and cut.
    """

    name: ClassVar[str] = "MEAN"

    def infer(self, inputs: Sequence[TensorType]) -> tuple[TensorType, ...]:
        types = super().infer(inputs)
        self.require_values(inputs[0])
        return types

    def divisor(self, x: TensorType) -> int:
        return self.count(x)

    def compute(self, x: Array) -> Array:
        if x.dtype.kind == "f":
            return np.asarray(x.mean(axis=self.axes, dtype=np.float64))
        total = np.asarray(x.sum(axis=self.axes, dtype=np.int64))
        count = x.size // total.size
        return np.asarray(np.sign(total) * (np.abs(total) // count))

    def quantized(self, x: Array, t: TensorType, out: TensorType) -> Array:
        if t.dtype.itemsize == 1:
            return super().quantized(x, t, out)
        (scale, zero), (out_scale, out_zero) = (per_tensor(v, self.name) for v in (t, out))
        scaled, exponent = multiplier(float(scale) / float(out_scale))
        count = self.count(t)
        shift = min(count.bit_length() - 1, 31 + exponent)
        total = np.asarray(x.sum(axis=self.axes, dtype=np.int64)) - zero * count
        q = multiply_twice_rounded(total, (scaled << shift) // count, exponent - shift)
        return np.asarray(np.clip(q + out_zero, *out.dtype.range))


class Sum(_Sum):
    """The sum over ``axes``, of floats in float64.

    int16: float32(sum) times the float32 ratio of the scales, halves rounded away from 0.
    """

    name: ClassVar[str] = "SUM"

    def divisor(self, x: TensorType) -> int:
        return 1

    def compute(self, x: Array) -> Array:
        dtype = np.float64 if x.dtype.kind == "f" else x.dtype
        return np.asarray(x.sum(axis=self.axes, dtype=dtype))

    def quantized(self, x: Array, t: TensorType, out: TensorType) -> Array:
        if t.dtype.itemsize == 1:
            return super().quantized(x, t, out)
        (scale, zero), (out_scale, out_zero) = (per_tensor(v, self.name) for v in (t, out))
        total = np.asarray(x.sum(axis=self.axes, dtype=np.int64)) - zero * self.count(t)
        low, high = (np.float32(bound - out_zero) for bound in out.dtype.range)
        with np.errstate(over="ignore"):
            steps = total.astype(np.float32) * (scale / out_scale)
        return round_half_away(np.clip(steps, low, high)) + out_zero


class ReduceProd(Reduction):
    """The product over ``axes``, of floats in float64.

    Quantized: after each factor, and once more at the end, the product is scaled by
    x.scale / out.scale ** (1 / count) with fixed_point.multiply_wide, and wraps at 32 bits.
    """

    name: ClassVar[str] = "REDUCE_PROD"

    def compute(self, x: Array) -> Array:
        dtype = np.float64 if x.dtype.kind == "f" else x.dtype
        return np.asarray(x.prod(axis=self.axes, dtype=dtype))

    def infer(self, inputs: Sequence[TensorType]) -> tuple[TensorType, ...]:
        types = super().infer(inputs)
        self.require_values(inputs[0])
        return types

    def quantized(self, x: Array, t: TensorType, out: TensorType) -> Array:
        (scale, zero), (out_scale, out_zero) = (per_tensor(v, self.name) for v in (t, out))
        count = self.count(t)
        scaled, exponent = multiplier(float(scale) / float(out_scale) ** (1 / count))
        kept = [i for i in range(x.ndim) if i not in self.axes]
        factors = x.transpose(*self.axes, *kept).reshape(count, -1).astype(np.int64) - zero
        product = factors[0]
        for factor in factors[1:]:
            product = wrap_int32(multiply_wide(product * factor, scaled, exponent)).astype(np.int64)
        q = wrap_int32(multiply_wide(product, scaled, exponent)) + np.int64(out_zero)
        return np.asarray(np.clip(q, *out.dtype.range))


class _Chosen(Reduction):
    """Base of the reductions that give one of their values; quantized ones raw."""

    def quantized(self, x: Array, t: TensorType, out: TensorType) -> Array:
        if t.quant == out.quant:
            return self.compute(x)
        return super().quantized(x, t, out)


def _limits(dtype: np.dtype[Any]) -> tuple[float, float]:
    """The least and the greatest number of a dtype."""
    if dtype.kind == "f":
        return -math.inf, math.inf
    info = np.iinfo(dtype)
    return info.min, info.max


class ReduceMax(_Chosen):
    """The greatest value over ``axes`` but for NaN; of no values the least of the dtype."""

    name: ClassVar[str] = "REDUCE_MAX"

    def compute(self, x: Array) -> Array:
        return np.asarray(np.fmax.reduce(x, self.axes, initial=_limits(x.dtype)[0]))


class ReduceMin(_Chosen):
    """The smallest value over ``axes`` but for NaN; of no values the greatest of the dtype."""

    name: ClassVar[str] = "REDUCE_MIN"

    def compute(self, x: Array) -> Array:
        return np.asarray(np.fmin.reduce(x, self.axes, initial=_limits(x.dtype)[1]))


class ReduceAny(_Chosen):
    """Whether any value over ``axes`` is true."""

    name: ClassVar[str] = "REDUCE_ANY"
    kinds: ClassVar[tuple[Kind, ...]] = (Kind.BOOL,)

    def compute(self, x: Array) -> Array:
        return np.asarray(x.any(axis=self.axes))


class ReduceAll(_Chosen):
    """Whether all values over ``axes`` are true."""

    name: ClassVar[str] = "REDUCE_ALL"
    kinds: ClassVar[tuple[Kind, ...]] = (Kind.BOOL,)

    def compute(self, x: Array) -> Array:
        return np.asarray(x.all(axis=self.axes))


@dataclass(frozen=True, eq=False, repr=False)
class Cumulative(Op):
    """Base of CUMSUM and CumProd: ``ufunc`` along ``axis`` of all values up to each.

    With ``exclusive``, of those before it. With ``reverse`` they start at the end. Floats are
    computed in float64; integers wrap.
    """

    ufunc: ClassVar[np.ufunc]

    axis: int = 0
    exclusive: bool = False
    reverse: bool = False

    def infer(self, inputs: Sequence[TensorType]) -> tuple[TensorType, ...]:
        check_inputs(self, inputs, 1)
        check_axis(self, self.axis, len(inputs[0].shape))
        common_kind(self, inputs, (Kind.FLOAT, Kind.INTEGER))
        return (result(self, inputs[0].shape, inputs[0].dtype),)

    def reference(
        self, arrays: Sequence[Array], inputs: Sequence[TensorType], outputs: Sequence[TensorType]
    ) -> list[Array]:
        x = arrays[0]
        x = np.flip(x, self.axis) if self.reverse else x
        dtype = np.float64 if x.dtype.kind == "f" else x.dtype
        y = self.ufunc.accumulate(x, axis=self.axis, dtype=dtype)
        if self.exclusive:
            y = np.roll(y, 1, self.axis)
            np.moveaxis(y, self.axis, 0)[:1] = self.ufunc.identity
        y = np.flip(y, self.axis) if self.reverse else y
        return [np.ascontiguousarray(y.astype(arrays[0].dtype))]


class Cumsum(Cumulative):
    """Sums of all values up to each, or before it."""

    name: ClassVar[str] = "CUMSUM"
    ufunc: ClassVar[np.ufunc] = np.add


@dataclass(frozen=True, eq=False, repr=False)
class ArgExtreme(Op):
    """Base of ARG_MAX and ARG_MIN: an index of ``dtype`` along ``axis`` (counted from 0)."""

    axis: int = 0
    dtype: DType = DType.INT32

    def infer(self, inputs: Sequence[TensorType]) -> tuple[TensorType, ...]:
        check_inputs(self, inputs, 1)
        shape = inputs[0].shape
        check_axis(self, self.axis, len(shape))
        common_kind(self, inputs, (*ARITHMETIC, Kind.BOOL))
        self.require(
            self.dtype in (DType.INT32, DType.INT64),
            f"its output is {self.dtype}; it must be int32 or int64",
        )
        return (result(self, shape[: self.axis] + shape[self.axis + 1 :], self.dtype),)


def _without_nan(x: Array, instead: float) -> Array:
    return np.where(np.isnan(x), x.dtype.type(instead), x) if x.dtype.kind == "f" else x


class ArgMax(ArgExtreme):
    """Index of the greatest value along ``axis`` but for NaN, the first where several are."""

    name: ClassVar[str] = "ARG_MAX"

    def reference(
        self, arrays: Sequence[Array], inputs: Sequence[TensorType], outputs: Sequence[TensorType]
    ) -> list[Array]:
        x = _without_nan(arrays[0], -np.inf)
        return [np.asarray(x.argmax(axis=self.axis), self.dtype.numpy)]


class ArgMin(ArgExtreme):
    """Index of the smallest value along ``axis`` but for NaN, the first where several are."""

    name: ClassVar[str] = "ARG_MIN"

    def reference(
        self, arrays: Sequence[Array], inputs: Sequence[TensorType], outputs: Sequence[TensorType]
    ) -> list[Array]:
        x = _without_nan(arrays[0], np.inf)
        return [np.asarray(x.argmin(axis=self.axis), self.dtype.numpy)]
