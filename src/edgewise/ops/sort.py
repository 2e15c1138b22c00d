"""Operators that order, find and count: TOPK_V2, UNIQUE, WHERE, BUCKETIZE."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ..dtype import DType
from ..graph import Array, TensorType
from .base import Op
from .checks import check_axis, check_inputs, check_rank, moved, result


@dataclass(frozen=True, eq=False, repr=False)
class TopK(Op):
    """The ``k`` greatest elements of the last axis in descending order, and their indices.

    Of equal elements the one of the lesser index comes first.
    """

    name: ClassVar[str] = "TOPK_V2"

    k: int = 1
    index_dtype: DType = DType.INT32

    def infer(self, inputs: Sequence[TensorType]) -> tuple[TensorType, ...]:
        check_inputs(self, inputs, 1)
        (x,) = inputs
        check_axis(self, 0, len(x.shape))
        self.require(
            0 <= self.k <= x.shape[-1], f"k {self.k}; it is 0 to {x.shape[-1]}, the last axis"
        )
        shape = (*x.shape[:-1], self.k)
        return moved(self, x, shape), result(self, shape, self.index_dtype)

    def reference(
        self, arrays: Sequence[Array], inputs: Sequence[TensorType], outputs: Sequence[TensorType]
    ) -> list[Array]:
        (x,) = arrays
        backwards = np.argsort(x[..., ::-1], axis=-1, kind="stable")
        order = x.shape[-1] - 1 - backwards[..., ::-1][..., : self.k]
        y = np.take_along_axis(x, order, axis=-1)
        return [y, order.astype(self.index_dtype.numpy)]


@dataclass(frozen=True, eq=False, repr=False)
class Unique(Op):
    """The distinct elements of x[N] in order of first appearance, and where each element is there.

    The outputs are [number of distinct elements], and [N] of ``index_dtype``.
    """

    name: ClassVar[str] = "UNIQUE"

    index_dtype: DType = DType.INT32

    def infer(self, inputs: Sequence[TensorType]) -> tuple[TensorType, ...]:
        check_inputs(self, inputs, 1)
        (x,) = inputs
        check_rank(self, x, 1, "input")
        return TensorType((-1,), x.dtype, x.quant), result(self, x.shape, self.index_dtype)

    def reference(
        self, arrays: Sequence[Array], inputs: Sequence[TensorType], outputs: Sequence[TensorType]
    ) -> list[Array]:
        (x,) = arrays
        _, first, inverse = np.unique(x, return_index=True, return_inverse=True)
        order = np.argsort(first)
        place = np.empty_like(order)
        place[order] = np.arange(len(order))
        return [x[first[order]], place[inverse].astype(self.index_dtype.numpy)]


class Where(Op):
    """The places of the elements that are not 0, in order: int64[count, rank]."""

    name: ClassVar[str] = "WHERE"

    def infer(self, inputs: Sequence[TensorType]) -> tuple[TensorType, ...]:
        check_inputs(self, inputs, 1)
        return (TensorType((-1, len(inputs[0].shape)), DType.INT64),)

    def reference(
        self, arrays: Sequence[Array], inputs: Sequence[TensorType], outputs: Sequence[TensorType]
    ) -> list[Array]:
        return [np.argwhere(arrays[0]).astype(np.int64)]


@dataclass(frozen=True, eq=False, repr=False)
class Bucketize(Op):
    """For each element the number of ``boundaries``, ascending, that it reaches (int32)."""

    name: ClassVar[str] = "BUCKETIZE"

    boundaries: tuple[float, ...] = ()

    def infer(self, inputs: Sequence[TensorType]) -> tuple[TensorType, ...]:
        check_inputs(self, inputs, 1)
        (x,) = inputs
        known = (DType.FLOAT32, DType.FLOAT64, DType.INT32, DType.INT64)
        self.require(x.dtype in known, f"input is {x.dtype}; it is float or int, 32 or 64 bits")
        self.require(
            all(a <= b for a, b in zip(self.boundaries, self.boundaries[1:], strict=False)),
            f"boundaries {list(self.boundaries)[:16]}; they ascend",
        )
        return (result(self, x.shape, DType.INT32),)

    def reference(
        self, arrays: Sequence[Array], inputs: Sequence[TensorType], outputs: Sequence[TensorType]
    ) -> list[Array]:
        boundaries = np.array(self.boundaries, np.float32)
        return [np.searchsorted(boundaries, arrays[0], side="right").astype(np.int32)]
