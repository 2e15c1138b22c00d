"""Operators that write or combine elements by index: SCATTER_ND, SEGMENT_SUM and the like.

An index that names no element is refused by ``reference`` with RunError, as LiteRT does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from ..errors import RunError
from ..graph import Array, TensorType
from .arrange import check_indices_type, check_range, check_rows
from .base import Op
from .checks import check_axis, check_inputs, moved, result


@dataclass(frozen=True, eq=False, repr=False)
class ScatterNd(Op):
    """Raw zeros of ``shape`` with updates added at the places that rows of indices[..., K] name.

    The operands are indices (int32 or int64) and updates, indices.shape[:-1] + shape[K:].
    """

    name: ClassVar[str] = "SCATTER_ND"
    either_sign: ClassVar[bool] = False

    shape: tuple[int, ...] = ()

    def infer(self, inputs: Sequence[TensorType]) -> tuple[TensorType, ...]:
        check_inputs(self, inputs, 2)
        indices, updates = inputs
        check_indices_type(self, indices, "indices")
        check_axis(self, 0, len(indices.shape))
        k = indices.shape[-1]
        self.require(k <= len(self.shape), f"indices of {k} axes, output of rank {len(self.shape)}")
        wanted = indices.shape[:-1] + self.shape[k:]
        self.require(
            updates.shape == wanted,
            f"updates have shape {list(updates.shape)}; it must be {list(wanted)}",
        )
        return (moved(self, updates, self.shape),)

    def check_values(self, arrays: Sequence[Array | None], inputs: Sequence[TensorType]) -> None:
        check_rows(self, arrays[0], self.shape)

    def reference(
        self, arrays: Sequence[Array], inputs: Sequence[TensorType], outputs: Sequence[TensorType]
    ) -> list[Array]:
        indices, updates = arrays
        self.check_values(arrays, inputs)
        y = np.zeros(self.shape, updates.dtype)
        with np.errstate(over="ignore"):
            np.add.at(y, tuple(np.moveaxis(indices, -1, 0)), updates)
        return [y]


class DynamicUpdateSlice(Op):
    """x with update written over it, from start (int32 or int64, one entry an axis of x).

    A start that would put the update outside is moved to where it fits, as the operator says.
    """

    name: ClassVar[str] = "DYNAMIC_UPDATE_SLICE"

    def infer(self, inputs: Sequence[TensorType]) -> tuple[TensorType, ...]:
        check_inputs(self, inputs, 3)
        x, update, start = inputs
        self.require(
            update.dtype is x.dtype, f"update is {update.dtype}, input {x.dtype}; must be equal"
        )
        self.require(
            len(update.shape) == len(x.shape)
            and all(n <= d for n, d in zip(update.shape, x.shape, strict=True)),
            f"update of {list(update.shape)} does not fit {list(x.shape)}",
        )
        check_indices_type(self, start, "start indices")
        self.require(
            start.shape == (len(x.shape),),
            f"start has shape {list(start.shape)}; it must be [{len(x.shape)}], the input's rank",
        )
        return (moved(self, x, x.shape),)

    def reference(
        self, arrays: Sequence[Array], inputs: Sequence[TensorType], outputs: Sequence[TensorType]
    ) -> list[Array]:
        x, update, start = arrays
        y = x.copy()
        room = np.array(x.shape) - update.shape
        first = np.clip(start.astype(np.int64), 0, room)
        y[tuple(slice(b, b + n) for b, n in zip(first, update.shape, strict=True))] = update
        return [y]


@dataclass(frozen=True, eq=False, repr=False)
class SparseToDense(Op):
    """A tensor of ``shape``: values at the places that indices name, default elsewhere.

    The operands are indices (a scalar, [N] for one axis, or [N, rank]), values (a scalar or [N])
    and default (a scalar). Of two values for one place the later stays.
    """

    name: ClassVar[str] = "SPARSE_TO_DENSE"

    shape: tuple[int, ...] = ()

    def infer(self, inputs: Sequence[TensorType]) -> tuple[TensorType, ...]:
        check_inputs(self, inputs, 3)
        indices, values, default = inputs
        check_indices_type(self, indices, "indices")
        self.require(len(indices.shape) <= 2, f"indices of rank {len(indices.shape)}; at most 2")
        count = indices.shape[0] if indices.shape else 1
        axes = indices.shape[1] if len(indices.shape) == 2 else 1
        self.require(
            axes == len(self.shape), f"indices of {axes} axes, output of rank {len(self.shape)}"
        )
        self.require(
            values.shape in ((), (count,)),
            f"values have shape {list(values.shape)}; it must be [] or [{count}]",
        )
        self.require(default.size == 1, f"default has {default.size} elements; it must have 1")
        self.require(
            values.dtype is default.dtype,
            f"values are {values.dtype}, default {default.dtype}; must be equal",
        )
        return (moved(self, values, self.shape),)

    def check_values(self, arrays: Sequence[Array | None], inputs: Sequence[TensorType]) -> None:
        if arrays[0] is not None:
            check_rows(self, arrays[0].reshape(-1, len(self.shape)), self.shape)

    def reference(
        self, arrays: Sequence[Array], inputs: Sequence[TensorType], outputs: Sequence[TensorType]
    ) -> list[Array]:
        indices, values, default = arrays
        places = indices.reshape(-1, len(self.shape))
        y = np.full(self.shape, default.reshape(()), values.dtype)
        self.check_values(arrays, inputs)
        for place, value in zip(places.tolist(), np.broadcast_to(values, len(places)), strict=True):
            y[tuple(place)] = value
        return [y]


@dataclass(frozen=True, eq=False, repr=False)
class SegmentSum(Op):
    """Sums of the rows of x that have one id: row i of the output sums those of id i.

    The operands are x and ids (int32, one a row, ascending, at least 0); ``rows`` is one more
    than the last id.
    """

    name: ClassVar[str] = "SEGMENT_SUM"
    either_sign: ClassVar[bool] = False

    rows: int = 1

    def infer(self, inputs: Sequence[TensorType]) -> tuple[TensorType, ...]:
        check_inputs(self, inputs, 2)
        x, ids = inputs
        check_segments(self, x, ids)
        self.require(len(ids.shape) == 1, f"ids have rank {len(ids.shape)}; it must be 1")
        return (result(self, (self.rows, *x.shape[1:]), x.dtype),)

    def check_values(self, arrays: Sequence[Array | None], inputs: Sequence[TensorType]) -> None:
        ids = arrays[1]
        if ids is not None and ids.size and (ids[0] < 0 or np.any(np.diff(ids) < 0)):
            raise RunError(f"{self.name}: ids {ids[:16].tolist()}; they ascend from at least 0")
        check_range(self, ids, self.rows, "id")

    def reference(
        self, arrays: Sequence[Array], inputs: Sequence[TensorType], outputs: Sequence[TensorType]
    ) -> list[Array]:
        x, ids = arrays
        self.check_values(arrays, inputs)
        return [combined(x, ids, self.rows, np.add, 0)]


def check_segments(op: Op, x: TensorType, ids: TensorType) -> None:
    check_indices_type(op, ids, "ids")
    check_axis(op, 0, len(x.shape))
    rank = len(ids.shape)
    op.require(
        rank > 0 and ids.shape == x.shape[:rank],
        f"ids have shape {list(ids.shape)}, the input {list(x.shape)}; theirs starts the input's",
    )
    numeric = x.dtype.is_integer or x.dtype.is_float
    op.require(numeric, f"input is {x.dtype}; it must be a number")


def combined(x: Array, ids: Array, rows: int, ufunc: Any, initial: Any) -> Array:
    """Row i: ``initial`` and the rows of x whose id is i, combined in order by ``ufunc``."""
    y = np.full((rows, *x.shape[1:]), initial, x.dtype)
    with np.errstate(over="ignore"):
        for row, i in zip(x, ids.tolist(), strict=True):
            y[i] = ufunc(y[i], row)
    return y


@dataclass(frozen=True, eq=False, repr=False)
class _UnsortedSegment(Op):
    """Rows of x that have one id, combined; ``rows`` are given. Rows of a negative id are left out.

    The operands are x and ids (int32), whose shape is that of x's first axes: what these number
    are the rows. The greatest and the least pass over NaN.
    """

    either_sign: ClassVar[bool] = False

    rows: int = 1

    def infer(self, inputs: Sequence[TensorType]) -> tuple[TensorType, ...]:
        check_inputs(self, inputs, 2)
        x, ids = inputs
        check_segments(self, x, ids)
        return (result(self, (self.rows, *x.shape[len(ids.shape) :]), x.dtype),)

    def combine(self, x: Array, ids: Array) -> Array:
        raise NotImplementedError

    def check_values(self, arrays: Sequence[Array | None], inputs: Sequence[TensorType]) -> None:
        ids = arrays[1]
        check_range(self, None if ids is None else ids[ids >= 0], self.rows, "id")

    def reference(
        self, arrays: Sequence[Array], inputs: Sequence[TensorType], outputs: Sequence[TensorType]
    ) -> list[Array]:
        self.check_values(arrays, inputs)
        x, ids = arrays
        kept = ids >= 0
        return [self.combine(x[kept], ids[kept])]


def _limits(x: Array) -> tuple[Any, Any]:
    info: Any = np.iinfo(x.dtype) if x.dtype.kind in "iu" else np.finfo(x.dtype)
    return info.min, info.max


class UnsortedSegmentSum(_UnsortedSegment):
    name: ClassVar[str] = "UNSORTED_SEGMENT_SUM"

    def combine(self, x: Array, ids: Array) -> Array:
        return combined(x, ids, self.rows, np.add, 0)


class UnsortedSegmentProd(_UnsortedSegment):
    name: ClassVar[str] = "UNSORTED_SEGMENT_PROD"

    def combine(self, x: Array, ids: Array) -> Array:
        return combined(x, ids, self.rows, np.multiply, 1)


class UnsortedSegmentMax(_UnsortedSegment):
    name: ClassVar[str] = "UNSORTED_SEGMENT_MAX"

    def combine(self, x: Array, ids: Array) -> Array:
        return combined(x, ids, self.rows, np.fmax, _limits(x)[0])


class UnsortedSegmentMin(_UnsortedSegment):
    name: ClassVar[str] = "UNSORTED_SEGMENT_MIN"

    def combine(self, x: Array, ids: Array) -> Array:
        return combined(x, ids, self.rows, np.fmin, _limits(x)[1])
