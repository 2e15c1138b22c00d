"""Reductions along axes: MEAN, ARG_MAX, SOFTMAX."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from ..dtype import DType
from ..graph import Array, TensorType
from .base import Op
from .checks import all_quantized, check_axes, check_axis, check_inputs, result
from .requant import per_tensor


@dataclass(frozen=True, eq=False, repr=False)
class Mean(Op):
    """Mean over ``axes`` (counted from 0), which stay as 1 with ``keep_dims``.

    Integers, with the int32 sum of (q - raw_zero) and ``affine``'s scale and offset:
    q = clamp(round_half_even(float32(sum) * scale + offset)) + raw_zero, in single float32
    operations (no FMA). The offset holds the zero points, so that ties depend on them: a pass that
    turns int8 input and output to uint8 by adding 128 adds 128 to ``raw_zero`` also, and changes
    no result.
    """

    name: ClassVar[str] = "MEAN"

    axes: tuple[int, ...] = ()
    keep_dims: bool = False
    raw_zero: int = 0

    def infer(self, inputs: Sequence[TensorType]) -> tuple[TensorType, ...]:
        check_inputs(self, inputs, 1)
        x = inputs[0]
        self.require(len(self.axes) >= 1, "no axes; it takes the mean over at least one")
        check_axes(self, self.axes, len(x.shape))
        quantized = all_quantized(self, inputs)
        count = self.count(x)
        self.require(
            not quantized or count <= 2**23,
            f"a mean of {count} values; quantized ones are at most {2**23}",
        )
        shape = [
            1 if i in self.axes else d
            for i, d in enumerate(x.shape)
            if self.keep_dims or i not in self.axes
        ]
        return (result(self, shape, x.dtype),)

    def count(self, x: TensorType) -> int:
        """How many values one mean is taken of."""
        return math.prod(x.shape[a] for a in self.axes)

    def affine(
        self, inputs: Sequence[TensorType], outputs: Sequence[TensorType]
    ) -> tuple[np.float32, np.float32]:
        """The float32 scale and offset of the integer rule.

        scale = x.scale / out.scale / count; offset = zo - float32(zx * count) * scale, where zx
        and zo are the zero points less raw_zero.

        Raises:
            GraphError: when a type is not quantized, or the scale is 2**64 or more.
        """
        x_scale, zero = per_tensor(inputs[0], f"{self.name}: input")
        out_scale, out_zero = per_tensor(outputs[0], f"{self.name}: output")
        count = self.count(inputs[0])
        with np.errstate(over="ignore", under="ignore"):
            scale = np.float32(x_scale / out_scale / np.float32(count))
            self.require(bool(scale < 2.0**64), f"its scale is {scale}; it must be below 2**64")
            shift = np.float32((zero - self.raw_zero) * count) * scale
        return scale, np.float32(np.float32(out_zero - self.raw_zero) - shift)

    def reference(
        self, arrays: Sequence[Array], inputs: Sequence[TensorType], outputs: Sequence[TensorType]
    ) -> list[Array]:
        (x,) = arrays
        if inputs[0].dtype is DType.FLOAT32:
            mean = x.mean(axis=self.axes, dtype=np.float64)
            return [np.asarray(mean, np.float32).reshape(outputs[0].shape)]
        scale, offset = self.affine(inputs, outputs)
        low, high = (bound - self.raw_zero for bound in outputs[0].dtype.range)
        total = x.sum(axis=self.axes, dtype=np.int64) - self.count(inputs[0]) * self.raw_zero
        steps = np.asarray(total).astype(np.float32) * scale + offset
        q = np.rint(np.clip(steps, low, high)).astype(np.int32) + np.int32(self.raw_zero)
        return [q.astype(outputs[0].dtype.numpy).reshape(outputs[0].shape)]


@dataclass(frozen=True, eq=False, repr=False)
class ArgMax(Op):
    """Index of the greatest value along ``axis`` (counted from 0), the first where several are."""

    name: ClassVar[str] = "ARG_MAX"

    axis: int = 0
    dtype: DType = DType.INT32

    def infer(self, inputs: Sequence[TensorType]) -> tuple[TensorType, ...]:
        check_inputs(self, inputs, 1)
        shape = inputs[0].shape
        check_axis(self, self.axis, len(shape))
        self.require(
            self.dtype in (DType.INT32, DType.INT64),
            f"its output is {self.dtype}; it must be int32 or int64",
        )
        return (result(self, shape[: self.axis] + shape[self.axis + 1 :], self.dtype),)

    def reference(
        self, arrays: Sequence[Array], inputs: Sequence[TensorType], outputs: Sequence[TensorType]
    ) -> list[Array]:
        return [np.asarray(arrays[0].argmax(axis=self.axis), self.dtype.numpy)]


@dataclass(frozen=True, eq=False, repr=False)
class Softmax(Op):
    """exp(beta * x) / sum(exp(beta * x)) over the last axis.

    Integers, with d = (greatest x of the row) - x, and t = ``table``: the sum s of t[d] over the
    row is exact (int64), r = ``factor`` / float32(s) is one float32 division a row, and
    q = clamp(round_half_even(float32(t[d]) * r) + zero point). Entries are at most 2**23, so that
    their conversion to float32 is exact.
    """

    name: ClassVar[str] = "SOFTMAX"

    beta: float = 1.0

    def infer(self, inputs: Sequence[TensorType]) -> tuple[TensorType, ...]:
        check_inputs(self, inputs, 1)
        x = inputs[0]
        self.require(len(x.shape) >= 1, "its input is a scalar; it needs an axis")
        self.require(
            math.isfinite(self.beta) and self.beta > 0,
            f"beta is {self.beta}; it must be positive and finite",
        )
        all_quantized(self, inputs)
        return (result(self, x.shape, x.dtype),)

    def table(self, x: TensorType) -> npt.NDArray[np.int32]:
        """int32[256]: entry d is round(2**23 * exp(-beta * x.scale * d))."""
        scale, _ = per_tensor(x, f"{self.name}: input")
        exponents = -float(scale) * self.beta * np.arange(256)
        with np.errstate(under="ignore"):
            return np.asarray(np.rint(2.0**23 * np.exp(exponents)), np.int32)

    def factor(self, out: TensorType) -> np.float32:
        """float32(1 / out.scale): how many steps of the output make 1."""
        scale, _ = per_tensor(out, f"{self.name}: output")
        with np.errstate(over="ignore"):
            factor: np.float32 = np.float32(1) / scale
        self.require(bool(factor < 2.0**64), f"output scale {scale}; it must be above 2**-64")
        return factor

    def reference(
        self, arrays: Sequence[Array], inputs: Sequence[TensorType], outputs: Sequence[TensorType]
    ) -> list[Array]:
        (x,) = arrays
        if inputs[0].dtype is DType.FLOAT32:
            real = x.astype(np.float64)
            with np.errstate(under="ignore"):
                e = np.exp(self.beta * (real - real.max(axis=-1, keepdims=True)))
                return [(e / e.sum(axis=-1, keepdims=True)).astype(np.float32)]
        _, zero = per_tensor(outputs[0], f"{self.name}: output")
        low, high = outputs[0].dtype.range
        raw = x.astype(np.int32)
        t = self.table(inputs[0])[raw.max(axis=-1, keepdims=True) - raw]
        total = t.sum(axis=-1, keepdims=True, dtype=np.int64)
        ratio = self.factor(outputs[0]) / total.astype(np.float32)
        q = np.rint(np.clip(t.astype(np.float32) * ratio, low - zero, high - zero)) + zero
        return [q.astype(outputs[0].dtype.numpy)]
