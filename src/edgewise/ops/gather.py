"""Operators that select elements by index: GATHER, GATHER_ND, ONE_HOT, embedding lookups.

The data take any dtype, and keep it and its quantization. An index that names no element is
refused by ``reference`` with RunError, as LiteRT does.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ..dtype import DType
from ..graph import Array, TensorType
from .arrange import check_indices_type, check_range, check_rows
from .base import Op
from .checks import check_axis, check_inputs, check_rank, moved, result


@dataclass(frozen=True, eq=False, repr=False)
class Gather(Op):
    """x[..., indices, ...]: the elements of ``axis`` that indices name.

    The first ``batch_dims`` axes of x and of indices are one: each batch has its own indices.
    The output is x.shape[:axis] + indices.shape[batch_dims:] + x.shape[axis + 1:].
    """

    name: ClassVar[str] = "GATHER"

    axis: int = 0
    batch_dims: int = 0

    def infer(self, inputs: Sequence[TensorType]) -> tuple[TensorType, ...]:
        check_inputs(self, inputs, 2)
        x, indices = inputs
        check_axis(self, self.axis, len(x.shape))
        check_indices_type(self, indices, "indices")
        b = self.batch_dims
        self.require(
            0 <= b <= min(self.axis, len(indices.shape)),
            f"batch_dims {b}; it is at least 0, at most the axis ({self.axis}) and the rank of "
            f"indices ({len(indices.shape)})",
        )
        self.require(
            x.shape[:b] == indices.shape[:b],
            f"batches {list(x.shape[:b])} and {list(indices.shape[:b])}; they must be equal",
        )
        shape = x.shape[: self.axis] + indices.shape[b:] + x.shape[self.axis + 1 :]
        return (moved(self, x, shape),)

    def check_values(self, arrays: Sequence[Array | None], inputs: Sequence[TensorType]) -> None:
        check_range(self, arrays[1], inputs[0].shape[self.axis], "index")

    def reference(
        self, arrays: Sequence[Array], inputs: Sequence[TensorType], outputs: Sequence[TensorType]
    ) -> list[Array]:
        x, indices = arrays
        b, axis = self.batch_dims, self.axis
        self.check_values(arrays, inputs)
        batches, outer = math.prod(x.shape[:b]), math.prod(x.shape[b:axis])
        inner = math.prod(x.shape[axis + 1 :])
        rows = x.reshape(batches, outer, x.shape[axis], inner)
        chosen = indices.reshape(batches, 1, math.prod(indices.shape[b:]), 1)
        y = np.take_along_axis(rows, chosen, axis=2)
        return [y.reshape(x.shape[:axis] + indices.shape[b:] + x.shape[axis + 1 :])]


class GatherNd(Op):
    """x[tuple(i)] for every row i of indices[..., K]; the output is [..., x.shape[K:]]."""

    name: ClassVar[str] = "GATHER_ND"

    def infer(self, inputs: Sequence[TensorType]) -> tuple[TensorType, ...]:
        check_inputs(self, inputs, 2)
        x, indices = inputs
        check_indices_type(self, indices, "indices")
        check_axis(self, 0, len(indices.shape))
        k = indices.shape[-1]
        self.require(
            k <= len(x.shape), f"indices of {k} axes, input of rank {len(x.shape)}; it has fewer"
        )
        return (moved(self, x, indices.shape[:-1] + x.shape[k:]),)

    def check_values(self, arrays: Sequence[Array | None], inputs: Sequence[TensorType]) -> None:
        check_rows(self, arrays[1], inputs[0].shape)

    def reference(
        self, arrays: Sequence[Array], inputs: Sequence[TensorType], outputs: Sequence[TensorType]
    ) -> list[Array]:
        x, indices = arrays
        self.check_values(arrays, inputs)
        return [x[tuple(np.moveaxis(indices, -1, 0))]]


class EmbeddingLookup(Op):
    """The rows of a table that ids (int32, one dimension) name; the operands are ids and table.

    An 8-bit table gives rows of its type, or float32 ``value * scale`` for an output of that
    type (`EmbeddingLookupFloat`).
    """

    name: ClassVar[str] = "EMBEDDING_LOOKUP"

    def _check(self, inputs: Sequence[TensorType]) -> tuple[int, ...]:
        check_inputs(self, inputs, 2)
        ids, table = inputs
        check_indices_type(self, ids, "ids")
        check_rank(self, ids, 1, "ids")
        self.require(len(table.shape) >= 2, f"table of rank {len(table.shape)}; it is at least 2")
        return ids.shape + table.shape[1:]

    def infer(self, inputs: Sequence[TensorType]) -> tuple[TensorType, ...]:
        return (moved(self, inputs[1], self._check(inputs)),)

    def check_values(self, arrays: Sequence[Array | None], inputs: Sequence[TensorType]) -> None:
        check_range(self, arrays[0], inputs[1].shape[0], "id")

    def reference(
        self, arrays: Sequence[Array], inputs: Sequence[TensorType], outputs: Sequence[TensorType]
    ) -> list[Array]:
        ids, table = arrays
        self.check_values(arrays, inputs)
        return [table[ids]]


class EmbeddingLookupFloat(EmbeddingLookup):
    """EMBEDDING_LOOKUP from an 8-bit table to float32: its rows times their scale."""

    either_sign: ClassVar[bool] = False

    def infer(self, inputs: Sequence[TensorType]) -> tuple[TensorType, ...]:
        shape = self._check(inputs)
        table = inputs[1]
        self.require(table.dtype is DType.INT8, f"table of {table.dtype}; it must be int8")
        self.require(
            table.quant is not None
            and (len(table.quant.scale) == 1 or table.quant.axis == 0)
            and not any(table.quant.zero_point),
            f"table is {table}; it has one scale, or one a row, and zero point 0",
        )
        return (result(self, shape, DType.FLOAT32),)

    def reference(
        self, arrays: Sequence[Array], inputs: Sequence[TensorType], outputs: Sequence[TensorType]
    ) -> list[Array]:
        (rows,) = super().reference(arrays, inputs, outputs)
        quant = inputs[1].quant
        assert quant is not None
        scale = np.array(quant.scale, np.float32).astype(np.float64)
        if len(scale) > 1:
            scale = scale[arrays[0]].reshape(-1, *(1,) * (rows.ndim - 1))
        return [(rows * scale).astype(np.float32)]


@dataclass(frozen=True, eq=False, repr=False)
class OneHot(Op):
    """``on`` where the place along a new ``axis`` of size ``depth`` is the index, else ``off``.

    The operands are indices, on and off; on and off are scalars of the output's dtype. An index
    outside 0..depth - 1 gives ``off`` everywhere.
    """

    name: ClassVar[str] = "ONE_HOT"

    axis: int = 0
    depth: int = 1

    def infer(self, inputs: Sequence[TensorType]) -> tuple[TensorType, ...]:
        check_inputs(self, inputs, 3)
        indices, on, off = inputs
        check_indices_type(self, indices, "indices")
        check_axis(self, self.axis, len(indices.shape) + 1)
        for what, t in (("on", on), ("off", off)):
            self.require(t.size == 1, f"{what} has {t.size} elements; it must have 1")
        self.require(on.dtype is off.dtype, f"on is {on.dtype}, off {off.dtype}; must be equal")
        shape = list(indices.shape)
        shape.insert(self.axis, self.depth)
        return (moved(self, on, shape),)

    def reference(
        self, arrays: Sequence[Array], inputs: Sequence[TensorType], outputs: Sequence[TensorType]
    ) -> list[Array]:
        indices, on, off = arrays
        places = np.arange(self.depth).reshape(-1, *(1,) * (indices.ndim - self.axis))
        hot = np.expand_dims(indices, self.axis) == places
        return [np.where(hot, on.reshape(()), off.reshape(()))]
