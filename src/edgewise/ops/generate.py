"""Operators that make tensors out of sizes: FILL, RANGE, SHAPE and the like."""

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
from .checks import check_inputs, moved, result


@dataclass(frozen=True, eq=False, repr=False)
class Fill(Op):
    """A tensor of ``shape`` whose every element is the scalar operand."""

    name: ClassVar[str] = "FILL"

    shape: tuple[int, ...] = ()

    def infer(self, inputs: Sequence[TensorType]) -> tuple[TensorType, ...]:
        check_inputs(self, inputs, 1)
        (value,) = inputs
        self.require(value.size == 1, f"the value has {value.size} elements; it must have 1")
        return (moved(self, value, self.shape),)

    def reference(
        self, arrays: Sequence[Array], inputs: Sequence[TensorType], outputs: Sequence[TensorType]
    ) -> list[Array]:
        return [np.full(self.shape, arrays[0].reshape(()), arrays[0].dtype)]


class ZerosLike(Op):
    """Raw zeros of the operand's shape and dtype."""

    name: ClassVar[str] = "ZEROS_LIKE"
    either_sign: ClassVar[bool] = False

    def infer(self, inputs: Sequence[TensorType]) -> tuple[TensorType, ...]:
        check_inputs(self, inputs, 1)
        return (moved(self, inputs[0], inputs[0].shape),)

    def reference(
        self, arrays: Sequence[Array], inputs: Sequence[TensorType], outputs: Sequence[TensorType]
    ) -> list[Array]:
        return [np.zeros_like(arrays[0])]


class Range(Op):
    """start, start + delta, ... up to and without limit: three scalar operands of one dtype.

    A value is the one before it plus delta, rounded to the dtype.
    """

    name: ClassVar[str] = "RANGE"

    def infer(self, inputs: Sequence[TensorType]) -> tuple[TensorType, ...]:
        check_inputs(self, inputs, 3)
        for i, t in enumerate(inputs):
            self.require(t.size == 1, f"input {i} has {t.size} elements; it must have 1")
            self.require(t.dtype is inputs[0].dtype, f"input {i} is {t.dtype}; all must be equal")
        return (TensorType((-1,), inputs[0].dtype),)

    def check_values(self, arrays: Sequence[Array | None], inputs: Sequence[TensorType]) -> None:
        known = [a.item() for a in arrays if a is not None]
        if len(known) == 3:
            start, limit, delta = known
            if delta == 0 or (limit - start) * delta < 0:
                raise RunError(
                    f"{self.name}: from {start} to {limit} by {delta}; delta leads to the limit, "
                    "and is not 0"
                )

    def reference(
        self, arrays: Sequence[Array], inputs: Sequence[TensorType], outputs: Sequence[TensorType]
    ) -> list[Array]:
        self.check_values(arrays, inputs)
        start, limit, delta = (a.reshape(()) for a in arrays)
        if start.dtype.kind == "f":
            with np.errstate(over="ignore"):
                count = math.ceil(abs((limit - start) / delta))
        else:
            count = -(-abs(limit.item() - start.item()) // abs(delta.item()))
        if count > MAX_RANGE:
            raise RunError(f"{self.name}: {count} elements; at most {MAX_RANGE}")
        steps = np.full(max(count, 1), delta, start.dtype)
        steps[0] = start
        return [np.add.accumulate(steps, dtype=start.dtype)[:count]]


MAX_RANGE = 2**26
"""The most elements that RANGE gives."""


@dataclass(frozen=True, eq=False, repr=False)
class Shape(Op):
    """The operand's shape, as a vector of ``dtype`` (int32 or int64)."""

    name: ClassVar[str] = "SHAPE"

    dtype: DType = DType.INT32

    def infer(self, inputs: Sequence[TensorType]) -> tuple[TensorType, ...]:
        self.require(len(inputs) == 1, f"{len(inputs)} inputs; it takes 1")
        self.require(
            self.dtype in (DType.INT32, DType.INT64), f"gives {self.dtype}; it is int32 or int64"
        )
        return (TensorType((len(inputs[0].shape),), self.dtype),)

    def reference(
        self, arrays: Sequence[Array], inputs: Sequence[TensorType], outputs: Sequence[TensorType]
    ) -> list[Array]:
        return [np.array(arrays[0].shape, self.dtype.numpy)]


class Rank(Op):
    """The operand's rank, an int32 scalar."""

    name: ClassVar[str] = "RANK"

    def infer(self, inputs: Sequence[TensorType]) -> tuple[TensorType, ...]:
        self.require(len(inputs) == 1, f"{len(inputs)} inputs; it takes 1")
        return (TensorType((), DType.INT32),)

    def reference(
        self, arrays: Sequence[Array], inputs: Sequence[TensorType], outputs: Sequence[TensorType]
    ) -> list[Array]:
        return [np.array(arrays[0].ndim, np.int32)]


class BroadcastArgs(Op):
    """The shape to which two shapes (int32 or int64 vectors) broadcast."""

    name: ClassVar[str] = "BROADCAST_ARGS"

    def infer(self, inputs: Sequence[TensorType]) -> tuple[TensorType, ...]:
        check_inputs(self, inputs, 2)
        first, second = inputs
        for i, t in enumerate(inputs):
            self.require(len(t.shape) == 1, f"input {i} has rank {len(t.shape)}; it must be 1")
            self.require(
                t.dtype in (DType.INT32, DType.INT64), f"input {i} is {t.dtype}; int32 or int64"
            )
        self.require(
            first.dtype is second.dtype, f"inputs are {first.dtype} and {second.dtype}; one dtype"
        )
        return (result(self, (max(first.shape[0], second.shape[0]),), first.dtype),)

    def check_values(self, arrays: Sequence[Array | None], inputs: Sequence[TensorType]) -> None:
        known = [a for a in arrays if a is not None]
        if len(known) == 2:
            first, second = _aligned(known)
            if np.any((first != second) & (first != 1) & (second != 1)):
                raise RunError(
                    f"{self.name}: shapes {known[0].tolist()} and {known[1].tolist()}; dimensions, "
                    "aligned at the last, are 1 or equal"
                )

    def reference(
        self, arrays: Sequence[Array], inputs: Sequence[TensorType], outputs: Sequence[TensorType]
    ) -> list[Array]:
        self.check_values(arrays, inputs)
        first, second = _aligned(arrays)
        return [np.where(first == 1, second, first)]


def _aligned(shapes: Sequence[Array]) -> list[Array]:
    """Shapes of equal rank, with ones in front."""
    rank = max(len(s) for s in shapes)
    return [np.pad(s, (rank - len(s), 0), constant_values=1) for s in shapes]
