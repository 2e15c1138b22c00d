"""StableHLO's operators that TensorFlow Lite runs, and DILATE and REDUCE_WINDOW.

The specification is https://openxla.org/stablehlo/spec.
"""

from __future__ import annotations

import enum
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from ..dtype import DType
from ..graph import Array, TensorType
from .base import Op
from .checks import Kind, check_axes, check_inputs, moved, result
from .elementwise import RawBinary
from .random import LOW, philox


class BitwiseAnd(RawBinary):
    """a & b of the bits."""

    name: ClassVar[str] = "STABLEHLO_AND"
    kinds: ClassVar[tuple[Kind, ...]] = (Kind.INTEGER, Kind.QUANTIZED, Kind.BOOL)

    def compute(self, a: Array, b: Array) -> Array:
        return np.asarray(a & b)


class ShiftLeft(RawBinary):
    """a << b; 0 where b is negative, or not below the bits that a has."""

    name: ClassVar[str] = "STABLEHLO_SHIFT_LEFT"
    kinds: ClassVar[tuple[Kind, ...]] = (Kind.INTEGER, Kind.QUANTIZED)

    def compute(self, a: Array, b: Array) -> Array:
        bits = 8 * a.dtype.itemsize
        inside = (b >= 0) & (b < bits)
        return np.where(inside, np.left_shift(a, np.where(inside, b, 0)), 0).astype(a.dtype)


class Computation(enum.Enum):
    """How an element and another for the same place become one."""

    UPDATE = "update"
    ADD = "add"
    MULTIPLY = "multiply"
    MAXIMUM = "maximum"
    MINIMUM = "minimum"
    AND = "and"
    OR = "or"

    @property
    def function(self) -> Any:
        """The numpy function of the element and the other."""
        return {
            "update": lambda old, new: new,
            "add": np.add,
            "multiply": np.multiply,
            "maximum": np.maximum,
            "minimum": np.minimum,
            "and": np.logical_and,
            "or": np.logical_or,
        }[self.value]


@dataclass(frozen=True, eq=False, repr=False)
class Dilate(Op):
    """x with ``interior`` elements between any two along each axis, and ``low``, ``high`` around.

    The operands are x and the value of the new elements, a scalar. A negative ``low`` or ``high``
    cuts elements off.
    """

    name: ClassVar[str] = "DILATE"

    low: tuple[int, ...] = ()
    high: tuple[int, ...] = ()
    interior: tuple[int, ...] = ()

    def infer(self, inputs: Sequence[TensorType]) -> tuple[TensorType, ...]:
        check_inputs(self, inputs, 2)
        x, value = inputs
        rank = len(x.shape)
        given = [len(self.low), len(self.high), len(self.interior)]
        self.require(given == [rank] * 3, f"paddings for {given} axes, input of rank {rank}")
        self.require(min(self.interior, default=0) >= 0, f"interior {list(self.interior)}; 0 least")
        self.require(
            value.size == 1 and value.dtype is x.dtype,
            f"value is {value}; one element of {x.dtype}",
        )
        shape = [
            a + b + _dilated(d, i)
            for d, a, b, i in zip(x.shape, self.low, self.high, self.interior, strict=True)
        ]
        return (moved(self, x, [max(d, 0) for d in shape]),)

    def reference(
        self, arrays: Sequence[Array], inputs: Sequence[TensorType], outputs: Sequence[TensorType]
    ) -> list[Array]:
        x, value = arrays
        pads = [(max(a, 0), max(b, 0)) for a, b in zip(self.low, self.high, strict=True)]
        whole = [
            a + b + _dilated(d, i)
            for d, (a, b), i in zip(x.shape, pads, self.interior, strict=True)
        ]
        y = np.full(whole, value.reshape(()), x.dtype)
        y[
            tuple(
                slice(a, a + _dilated(d, i), i + 1)
                for d, (a, _), i in zip(x.shape, pads, self.interior, strict=True)
            )
        ] = x
        cut = (
            slice(max(-a, 0), max(n + min(b, 0), max(-a, 0)))
            for n, a, b in zip(whole, self.low, self.high, strict=True)
        )
        return [y[tuple(cut)].copy()]


def _dilated(size: int, interior: int) -> int:
    return size + max(size - 1, 0) * interior


@dataclass(frozen=True, eq=False, repr=False)
class ReduceWindow(Op):
    """Elements of windows of x, combined by ``computation``, from a scalar on: the operand init.

    x is first dilated by ``base`` and padded by ``low`` and ``high`` with init. Windows have
    ``window`` elements along each axis, ``dilations`` apart, and begin every ``strides``.
    """

    name: ClassVar[str] = "REDUCE_WINDOW"

    computation: Computation = Computation.ADD
    window: tuple[int, ...] = ()
    strides: tuple[int, ...] = ()
    dilations: tuple[int, ...] = ()
    base: tuple[int, ...] = ()
    low: tuple[int, ...] = ()
    high: tuple[int, ...] = ()

    @property
    def padded(self) -> Dilate:
        """What becomes of x before windows are taken."""
        return Dilate(self.low, self.high, tuple(b - 1 for b in self.base))

    def infer(self, inputs: Sequence[TensorType]) -> tuple[TensorType, ...]:
        (whole,) = self.padded.infer(inputs)
        rank = len(whole.shape)
        sizes = (self.window, self.strides, self.dilations)
        self.require(
            all(len(s) == rank and min(s, default=1) >= 1 for s in sizes),
            f"window {self.window}, strides {self.strides}, dilations {self.dilations}; "
            f"each has {rank} numbers of at least 1",
        )
        shape = [
            max(0, (d - ((k - 1) * g + 1)) // s + 1)
            for d, k, s, g in zip(whole.shape, *sizes, strict=True)
        ]
        self.require(
            (self.computation in (Computation.AND, Computation.OR)) == (whole.dtype is DType.BOOL),
            f"{self.computation.value} of {whole.dtype}; bool has and, or; numbers the others",
        )
        return (result(self, shape, whole.dtype),)

    def reference(
        self, arrays: Sequence[Array], inputs: Sequence[TensorType], outputs: Sequence[TensorType]
    ) -> list[Array]:
        (x,) = self.padded.reference(arrays, inputs, outputs)
        (out,) = self.infer(inputs)
        y = np.full(out.shape, arrays[1].reshape(()), x.dtype)
        with np.errstate(over="ignore"):
            for offset in itertools.product(*map(range, self.window)):
                part = x[
                    tuple(
                        slice(o * g, o * g + (n - 1) * s + 1, s) if n else slice(0)
                        for o, g, n, s in zip(
                            offset, self.dilations, out.shape, self.strides, strict=True
                        )
                    )
                ]
                y = self.computation.function(y, part)
        return [y]

    def macs(self, inputs: Sequence[TensorType], outputs: Sequence[TensorType]) -> int:
        return outputs[0].size * math.prod(self.window)


def _vectors(indices: Array, axis: int) -> npt.NDArray[np.int64]:
    """Index vectors [..., K], which lie along ``axis``; [..., 1] where that is the rank."""
    wide = indices.astype(np.int64)
    return wide[..., None] if axis == indices.ndim else np.moveaxis(wide, axis, -1)


def _check_indices(op: Op, indices: TensorType, axis: int, count: int) -> tuple[int, ...]:
    """Check index vectors of ``count`` along ``axis``; the shape of the others' axes."""
    op.require(
        indices.dtype in (DType.INT32, DType.INT64), f"indices are {indices.dtype}; int32 or int64"
    )
    rank = len(indices.shape)
    op.require(0 <= axis <= rank, f"index_vector_dim {axis}; it is 0 to {rank}")
    size = 1 if axis == rank else indices.shape[axis]
    op.require(size == count, f"indices of {size} numbers, for {count} axes")
    return indices.shape[:axis] + indices.shape[axis + 1 :]


@dataclass(frozen=True, eq=False, repr=False)
class GatherSlices(Op):
    """Slices of x that start where index vectors say: STABLEHLO_GATHER.

    The operands are x and indices; vectors of indices lie along ``index_axis`` and give the start
    along ``start_axes``, moved so that a slice of ``sizes`` fits. The slices without
    ``collapsed`` axes are ``offset_axes`` of the output; the others' are the indices'.
    """

    name: ClassVar[str] = "STABLEHLO_GATHER"

    offset_axes: tuple[int, ...] = ()
    collapsed: tuple[int, ...] = ()
    start_axes: tuple[int, ...] = ()
    index_axis: int = 0
    sizes: tuple[int, ...] = ()

    def infer(self, inputs: Sequence[TensorType]) -> tuple[TensorType, ...]:
        check_inputs(self, inputs, 2)
        x, indices = inputs
        rank = len(x.shape)
        batch = _check_indices(self, indices, self.index_axis, len(self.start_axes))
        check_axes(self, self.start_axes, rank)
        check_axes(self, self.collapsed, rank)
        self.require(
            len(self.sizes) == rank
            and all(0 <= n <= d for n, d in zip(self.sizes, x.shape, strict=True)),
            f"slices of {list(self.sizes)} from {list(x.shape)}; they fit",
        )
        self.require(
            all(self.sizes[axis] == 1 for axis in self.collapsed),
            f"slices of {list(self.sizes)}, of which {list(self.collapsed)} disappear; those are 1",
        )
        window = [n for i, n in enumerate(self.sizes) if i not in self.collapsed]
        check_axes(self, self.offset_axes, len(batch) + len(window))
        self.require(
            len(self.offset_axes) == len(window)
            and sorted(self.offset_axes) == [*self.offset_axes],
            f"offset axes {list(self.offset_axes)}; they are {len(window)}, ascending",
        )
        shape = list(batch)
        for axis, n in zip(self.offset_axes, window, strict=True):
            shape.insert(axis, n)
        return (moved(self, x, shape),)

    def reference(
        self, arrays: Sequence[Array], inputs: Sequence[TensorType], outputs: Sequence[TensorType]
    ) -> list[Array]:
        x, indices = arrays
        vectors = _vectors(indices, self.index_axis)
        starts = np.zeros((*vectors.shape[:-1], x.ndim), np.int64)
        starts[..., list(self.start_axes)] = vectors
        starts = np.clip(starts, 0, np.array(x.shape) - self.sizes)
        kept = [n for i, n in enumerate(self.sizes) if i not in self.collapsed]
        y = np.empty((*vectors.shape[:-1], *kept), x.dtype)
        for place in np.ndindex(*vectors.shape[:-1]):
            part = x[tuple(slice(a, a + n) for a, n in zip(starts[place], self.sizes, strict=True))]
            y[place] = part.reshape(kept)
        first = vectors.ndim - 1
        y = np.moveaxis(y, range(first, y.ndim), self.offset_axes)
        return [np.asarray(y, order="C")]


@dataclass(frozen=True, eq=False, repr=False)
class ScatterSlices(Op):
    """x with slices of updates combined into it where index vectors say: STABLEHLO_SCATTER.

    The operands are x, indices and updates. Vectors of indices lie along ``index_axis`` and give
    the start along ``start_axes``; ``window_axes`` of updates are a slice, to which axes of size 1
    are added at ``inserted``. What would lie outside is left out.
    """

    name: ClassVar[str] = "STABLEHLO_SCATTER"
    either_sign: ClassVar[bool] = False

    computation: Computation = Computation.UPDATE
    window_axes: tuple[int, ...] = ()
    inserted: tuple[int, ...] = ()
    start_axes: tuple[int, ...] = ()
    index_axis: int = 0

    def infer(self, inputs: Sequence[TensorType]) -> tuple[TensorType, ...]:
        check_inputs(self, inputs, 3)
        x, indices, updates = inputs
        self.require(
            updates.dtype is x.dtype, f"updates are {updates.dtype}, the input {x.dtype}; one dtype"
        )
        batch = _check_indices(self, indices, self.index_axis, len(self.start_axes))
        check_axes(self, self.start_axes, len(x.shape))
        check_axes(self, self.inserted, len(x.shape))
        check_axes(self, self.window_axes, len(updates.shape))
        given = tuple(d for i, d in enumerate(updates.shape) if i not in self.window_axes)
        self.require(
            given == batch and len(self.window_axes) + len(self.inserted) == len(x.shape),
            f"updates of {list(updates.shape)} with windows along {list(self.window_axes)}, for "
            f"indices of {list(indices.shape)} and an input of rank {len(x.shape)}",
        )
        return (moved(self, x, x.shape),)

    def reference(
        self, arrays: Sequence[Array], inputs: Sequence[TensorType], outputs: Sequence[TensorType]
    ) -> list[Array]:
        x, indices, updates = arrays
        y, combine = x.copy(), self.computation.function
        vectors = _vectors(indices, self.index_axis)
        starts = np.zeros((*vectors.shape[:-1], x.ndim), np.int64)
        starts[..., list(self.start_axes)] = vectors
        count = len(self.window_axes)
        windows = np.moveaxis(updates, sorted(self.window_axes), range(-count, 0))
        for axis in sorted(self.inserted):
            windows = np.expand_dims(windows, vectors.ndim - 1 + axis)
        with np.errstate(over="ignore"):
            for place in np.ndindex(*vectors.shape[:-1]):
                window, start = windows[place], starts[place]
                first = np.maximum(start, 0)
                last = np.maximum(np.minimum(start + window.shape, x.shape), first)
                target = tuple(map(slice, first, last))
                source = tuple(map(slice, first - start, last - start))
                if np.all(first < last):
                    y[target] = combine(y[target], window[source])
        return [y]


class Algorithm(enum.Enum):
    """A generator of random bits; the value is its number in the schema."""

    DEFAULT = 0
    PHILOX = 1
    THREEFRY = 2


@dataclass(frozen=True, eq=False, repr=False)
class RngBitGenerator(Op):
    """Random bits: STABLEHLO_RNG_BIT_GENERATOR. The outputs are the next state and the numbers.

    The operand is the state: uint64[2], key and counter; Philox, the default, takes uint64[3] also,
    whose last is the upper half of the counter.
    """

    name: ClassVar[str] = "STABLEHLO_RNG_BIT_GENERATOR"

    algorithm: Algorithm = Algorithm.DEFAULT
    shape: tuple[int, ...] = ()
    dtype: DType = DType.UINT32

    def infer(self, inputs: Sequence[TensorType]) -> tuple[TensorType, ...]:
        check_inputs(self, inputs, 1)
        (state,) = inputs
        sizes = ((2,),) if self.algorithm is Algorithm.THREEFRY else ((2,), (3,))
        self.require(
            state.dtype is DType.UINT64 and state.shape in sizes,
            f"state is {state}; it is uint64{' or '.join(str(list(s)) for s in sizes)}",
        )
        known = (DType.INT32, DType.INT64, DType.UINT32, DType.UINT64)
        self.require(self.dtype in known, f"gives {self.dtype}; integers of 32 or 64 bits")
        return result(self, state.shape, state.dtype), result(self, self.shape, self.dtype)

    def reference(
        self, arrays: Sequence[Array], inputs: Sequence[TensorType], outputs: Sequence[TensorType]
    ) -> list[Array]:
        state = [int(n) for n in arrays[0]]
        words = math.prod(self.shape) * self.dtype.itemsize // 4
        generate, size = partial(threefry, state[0]), 2
        if self.algorithm is not Algorithm.THREEFRY:
            generate, size = partial(philox, state[0], state[2] if len(state) > 2 else state[0]), 4
        count = -(-words // size)
        blocks = np.empty((count, size), np.uint32)
        for start in range(0, count, BLOCKS):
            part = blocks[start : start + BLOCKS]
            part[:] = generate((state[1] + start) % 2**64, len(part))
        after = arrays[0].copy()
        after[1] = (state[1] + count) % 2**64
        numbers = blocks.reshape(-1)[:words].view(self.dtype.numpy)
        return [after, numbers.reshape(self.shape)]


BLOCKS = 2**14
"""How many are generated at a time: as many as fit a cache."""

ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))


def threefry(key: int, first: int, count: int) -> npt.NDArray[np.uint32]:
    """uint32[count, 2]: the blocks of Threefry 2x32-20 (Salmon and others, 2011) from ``first``."""
    low = np.arange(count, dtype=np.uint64) + np.uint64(first)
    a, b = low & LOW, low >> np.uint64(32)
    keys = [key % 2**32, key >> 32]
    keys = [np.uint64(k) for k in (*keys, keys[0] ^ keys[1] ^ 0x1BD11BDA)]
    a, b = (a + keys[0]) & LOW, (b + keys[1]) & LOW
    for step in range(5):
        for bits in ROTATIONS[step % 2]:
            a = (a + b) & LOW
            b = ((b << np.uint64(bits)) | (b >> np.uint64(32 - bits))) & LOW
            b ^= a
        a = (a + keys[(step + 1) % 3]) & LOW
        b = (b + keys[(step + 2) % 3] + np.uint64(step + 1)) & LOW
    return np.stack([a, b], axis=1).astype(np.uint32)
