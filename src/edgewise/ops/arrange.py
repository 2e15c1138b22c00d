"""Operators that rearrange or repeat elements: TILE, REVERSE_V2, SPACE_TO_DEPTH and the like.

They take any dtype and any quantization, which passes through unchanged. Axes count from 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ..dtype import DType
from ..errors import RunError
from ..graph import Array, TensorType
from .base import Op
from .checks import check_axes, check_axis, check_inputs, check_rank, moved

Pairs = tuple[tuple[int, int], ...]


@dataclass(frozen=True, eq=False, repr=False)
class MirrorPad(Op):
    """The elements of x reflected around it: ``paddings`` gives (before, after) for each axis.

    A reflection repeats the outermost element where it is ``symmetric``.
    """

    name: ClassVar[str] = "MIRROR_PAD"

    paddings: Pairs = ()
    symmetric: bool = False

    def infer(self, inputs: Sequence[TensorType]) -> tuple[TensorType, ...]:
        check_inputs(self, inputs, 1)
        (x,) = inputs
        self.require(
            len(self.paddings) == len(x.shape),
            f"paddings for {len(self.paddings)} axes, input of rank {len(x.shape)}; "
            "there is one pair an axis",
        )
        for axis, (before, after) in enumerate(self.paddings):
            most = max(x.shape[axis] - (not self.symmetric), 0)
            self.require(
                min(before, after) >= 0 and max(before, after) <= most,
                f"padding ({before}, {after}) along axis {axis}; each is 0 to {most}",
            )
        shape = [d + sum(pair) for d, pair in zip(x.shape, self.paddings, strict=True)]
        return (moved(self, x, shape),)

    def reference(
        self, arrays: Sequence[Array], inputs: Sequence[TensorType], outputs: Sequence[TensorType]
    ) -> list[Array]:
        if self.symmetric:
            return [np.pad(arrays[0], self.paddings, mode="symmetric")]
        return [np.pad(arrays[0], self.paddings, mode="reflect")]


@dataclass(frozen=True, eq=False, repr=False)
class Tile(Op):
    """x repeated ``multiples`` times along each axis."""

    name: ClassVar[str] = "TILE"

    multiples: tuple[int, ...] = ()

    def infer(self, inputs: Sequence[TensorType]) -> tuple[TensorType, ...]:
        check_inputs(self, inputs, 1)
        (x,) = inputs
        self.require(
            len(self.multiples) == len(x.shape),
            f"multiples for {len(self.multiples)} axes, input of rank {len(x.shape)}; "
            "there is one an axis",
        )
        return (moved(self, x, [d * n for d, n in zip(x.shape, self.multiples, strict=True)]),)

    def reference(
        self, arrays: Sequence[Array], inputs: Sequence[TensorType], outputs: Sequence[TensorType]
    ) -> list[Array]:
        return [np.tile(arrays[0], self.multiples)]


@dataclass(frozen=True, eq=False, repr=False)
class BroadcastTo(Op):
    """x repeated along axes of size 1, and along new ones in front, to ``shape``."""

    name: ClassVar[str] = "BROADCAST_TO"

    shape: tuple[int, ...] = ()

    def infer(self, inputs: Sequence[TensorType]) -> tuple[TensorType, ...]:
        check_inputs(self, inputs, 1)
        (x,) = inputs
        tail = self.shape[len(self.shape) - len(x.shape) :]
        self.require(
            len(tail) == len(x.shape)
            and all(d in (1, n) for d, n in zip(x.shape, tail, strict=True)),
            f"shape {list(x.shape)} into {list(self.shape)}; dimensions, aligned at the last, "
            "are 1 or equal",
        )
        return (moved(self, x, self.shape),)

    def reference(
        self, arrays: Sequence[Array], inputs: Sequence[TensorType], outputs: Sequence[TensorType]
    ) -> list[Array]:
        return [np.broadcast_to(arrays[0], self.shape).copy()]


@dataclass(frozen=True, eq=False, repr=False)
class Reverse(Op):
    """x backwards along ``axes``."""

    name: ClassVar[str] = "REVERSE_V2"

    axes: tuple[int, ...] = ()

    def infer(self, inputs: Sequence[TensorType]) -> tuple[TensorType, ...]:
        check_inputs(self, inputs, 1)
        (x,) = inputs
        check_axes(self, self.axes, len(x.shape))
        return (moved(self, x, x.shape),)

    def reference(
        self, arrays: Sequence[Array], inputs: Sequence[TensorType], outputs: Sequence[TensorType]
    ) -> list[Array]:
        return [np.flip(arrays[0], self.axes).copy()]


@dataclass(frozen=True, eq=False, repr=False)
class ReverseSequence(Op):
    """x with its first lengths[i] elements along ``seq_axis`` backwards, i along ``batch_axis``.

    The operands are x and lengths (int32 or int64, one dimension).

    Raises (by ``reference``):
        RunError: when a length is below 0 or above the size of ``seq_axis``.
    """

    name: ClassVar[str] = "REVERSE_SEQUENCE"

    seq_axis: int = 1
    batch_axis: int = 0

    def infer(self, inputs: Sequence[TensorType]) -> tuple[TensorType, ...]:
        check_inputs(self, inputs, 2)
        x, lengths = inputs
        check_axes(self, (self.seq_axis, self.batch_axis), len(x.shape))
        check_indices_type(self, lengths, "lengths")
        batch = x.shape[self.batch_axis]
        self.require(
            lengths.shape == (batch,),
            f"lengths have shape {list(lengths.shape)}; it must be [{batch}], batch_axis's size",
        )
        return (moved(self, x, x.shape),)

    def check_values(self, arrays: Sequence[Array | None], inputs: Sequence[TensorType]) -> None:
        check_range(self, arrays[1], inputs[0].shape[self.seq_axis] + 1, "length")

    def reference(
        self, arrays: Sequence[Array], inputs: Sequence[TensorType], outputs: Sequence[TensorType]
    ) -> list[Array]:
        self.check_values(arrays, inputs)
        x, lengths = arrays
        y = np.moveaxis(x, (self.batch_axis, self.seq_axis), (0, 1)).copy()
        for row, n in zip(y, lengths.tolist(), strict=True):
            row[:n] = row[:n][::-1].copy()
        y = np.moveaxis(y, (0, 1), (self.batch_axis, self.seq_axis))
        return [np.asarray(y, order="C")]


def check_indices_type(op: Op, t: TensorType, what: str) -> None:
    """Raise GraphError unless ``t`` is int16, int32 or int64: indices, ids or lengths."""
    integers = (DType.INT16, DType.INT32, DType.INT64)
    op.require(t.dtype in integers, f"{what} are {t.dtype}; they are int16, int32 or int64")


def check_range(op: Op, numbers: Array | None, limit: int, what: str) -> None:
    """Raise RunError unless every one of ``numbers``, if known, is from 0 to below ``limit``."""
    if numbers is not None and numbers.size and not 0 <= numbers.min() <= numbers.max() < limit:
        bad = numbers[(numbers < 0) | (numbers >= limit)].flat[0]
        raise RunError(f"{op.name}: {what} {bad}; it must be at least 0, below {limit}")


def check_rows(op: Op, places: Array | None, shape: Sequence[int]) -> None:
    """Raise RunError unless every row of ``places``, if known, is an index into ``shape``."""
    if places is not None:
        for axis in range(places.shape[-1]):
            check_range(op, places[..., axis], shape[axis], f"index of axis {axis}")


@dataclass(frozen=True, eq=False, repr=False)
class SpaceToDepth(Op):
    """x[N, H, W, C] with squares of ``block`` by ``block`` pixels as [N, H/b, W/b, b*b*C]."""

    name: ClassVar[str] = "SPACE_TO_DEPTH"

    block: int = 1

    def infer(self, inputs: Sequence[TensorType]) -> tuple[TensorType, ...]:
        check_inputs(self, inputs, 1)
        (x,) = inputs
        check_rank(self, x, 4, "input")
        n, h, w, c = x.shape
        b = self.block
        self.require(b >= 1, f"block {b}; it must be at least 1")
        self.require(h % b == w % b == 0, f"image of {h}x{w} in blocks of {b}; they must divide it")
        return (moved(self, x, (n, h // b, w // b, c * b * b)),)

    def reference(
        self, arrays: Sequence[Array], inputs: Sequence[TensorType], outputs: Sequence[TensorType]
    ) -> list[Array]:
        n, h, w, c = arrays[0].shape
        b = self.block
        y = arrays[0].reshape(n, h // b, b, w // b, b, c).transpose(0, 1, 3, 2, 4, 5)
        return [y.reshape(n, h // b, w // b, b * b * c)]


@dataclass(frozen=True, eq=False, repr=False)
class DepthToSpace(Op):
    """x[N, H, W, b*b*C] with channels spread over squares: [N, H*b, W*b, C], b = ``block``."""

    name: ClassVar[str] = "DEPTH_TO_SPACE"

    block: int = 1

    def infer(self, inputs: Sequence[TensorType]) -> tuple[TensorType, ...]:
        check_inputs(self, inputs, 1)
        (x,) = inputs
        check_rank(self, x, 4, "input")
        n, h, w, c = x.shape
        b = self.block
        self.require(b >= 1, f"block {b}; it must be at least 1")
        self.require(c % (b * b) == 0, f"{c} channels in blocks of {b}x{b}; they must divide them")
        return (moved(self, x, (n, h * b, w * b, c // (b * b))),)

    def reference(
        self, arrays: Sequence[Array], inputs: Sequence[TensorType], outputs: Sequence[TensorType]
    ) -> list[Array]:
        n, h, w, c = arrays[0].shape
        b = self.block
        y = arrays[0].reshape(n, h, w, b, b, c // (b * b)).transpose(0, 1, 3, 2, 4, 5)
        return [y.reshape(n, h * b, w * b, c // (b * b))]


def _check_blocks(op: Op, x: TensorType, block: tuple[int, ...], pairs: Pairs, what: str) -> None:
    axes = len(block)
    op.require(axes >= 1, "block has no axes; it has at least 1")
    op.require(
        len(x.shape) > axes, f"block of {axes} axes, input of rank {len(x.shape)}; it has more"
    )
    op.require(len(pairs) == axes, f"{what} for {len(pairs)} axes, block of {axes}; must be equal")
    op.require(min(block) >= 1, f"block {list(block)}; each size is at least 1")
    for pair in pairs:
        op.require(min(pair) >= 0, f"{what} {pair}; it cannot be negative")


@dataclass(frozen=True, eq=False, repr=False)
class SpaceToBatchNd(Op):
    """x[N, spatial..., rest...], padded, with blocks of elements moved to the batch axis.

    Block axis i divides axis i + 1, after ``paddings`` (before, after) with the zero point, or 0
    where x is not quantized. Element (i, j) of every block goes to image (i * block[1] + j) * N.
    """

    name: ClassVar[str] = "SPACE_TO_BATCH_ND"

    block: tuple[int, ...] = ()
    paddings: Pairs = ()

    def infer(self, inputs: Sequence[TensorType]) -> tuple[TensorType, ...]:
        check_inputs(self, inputs, 1)
        (x,) = inputs
        _check_blocks(self, x, self.block, self.paddings, "paddings")
        shape = list(x.shape)
        for axis, (b, pads) in enumerate(zip(self.block, self.paddings, strict=True), 1):
            padded = shape[axis] + sum(pads)
            self.require(
                padded % b == 0,
                f"axis {axis} of {padded} elements, padded, in blocks of {b}; they must divide it",
            )
            shape[0], shape[axis] = shape[0] * b, padded // b
        return (moved(self, x, shape),)

    def fill(self, x: TensorType) -> int:
        """The raw value that padding holds."""
        return 0 if x.quant is None else x.quant.zero_point[0]

    def reference(
        self, arrays: Sequence[Array], inputs: Sequence[TensorType], outputs: Sequence[TensorType]
    ) -> list[Array]:
        m, rest = len(self.block), arrays[0].ndim - len(self.block) - 1
        pads = ((0, 0), *self.paddings, *((0, 0),) * rest)
        x = np.pad(arrays[0], pads, constant_values=self.fill(inputs[0]))
        n, spatial, inner = x.shape[0], x.shape[1 : m + 1], x.shape[m + 1 :]
        split = [k for d, b in zip(spatial, self.block, strict=True) for k in (d // b, b)]
        blocks, within = range(1, 2 * m, 2), range(2, 2 * m + 1, 2)
        y = x.reshape(n, *split, *inner)
        y = y.transpose(*within, 0, *blocks, *range(2 * m + 1, y.ndim))
        outer = [d // b for d, b in zip(spatial, self.block, strict=True)]
        return [y.reshape(n * int(np.prod(self.block)), *outer, *inner)]


@dataclass(frozen=True, eq=False, repr=False)
class BatchToSpaceNd(Op):
    """The inverse of `SpaceToBatchNd`: images interleaved, then ``crops`` (before, after) cut."""

    name: ClassVar[str] = "BATCH_TO_SPACE_ND"

    block: tuple[int, ...] = ()
    crops: Pairs = ()

    def infer(self, inputs: Sequence[TensorType]) -> tuple[TensorType, ...]:
        check_inputs(self, inputs, 1)
        (x,) = inputs
        _check_blocks(self, x, self.block, self.crops, "crops")
        shape = list(x.shape)
        count = int(np.prod(self.block, dtype=np.int64))
        self.require(
            shape[0] % count == 0,
            f"{shape[0]} images in blocks of {count}; they must divide them",
        )
        shape[0] //= count
        for axis, (b, crop) in enumerate(zip(self.block, self.crops, strict=True), 1):
            self.require(
                sum(crop) <= shape[axis] * b,
                f"crops {crop} of axis {axis}; it has {shape[axis] * b} elements",
            )
            shape[axis] = shape[axis] * b - sum(crop)
        return (moved(self, x, shape),)

    def reference(
        self, arrays: Sequence[Array], inputs: Sequence[TensorType], outputs: Sequence[TensorType]
    ) -> list[Array]:
        (x,), m = arrays, len(self.block)
        n = x.shape[0] // int(np.prod(self.block))
        spatial, inner = x.shape[1 : m + 1], x.shape[m + 1 :]
        y = x.reshape(*self.block, n, *spatial, *inner)
        order = [m]
        for i in range(m):
            order += [m + 1 + i, i]
        y = y.transpose(*order, *range(2 * m + 1, y.ndim))
        y = y.reshape(n, *(d * b for d, b in zip(spatial, self.block, strict=True)), *inner)
        cut = tuple(slice(a, y.shape[i] - b) for i, (a, b) in enumerate(((0, 0), *self.crops)))
        return [np.asarray(y[cut], order="C")]


class MatrixDiag(Op):
    """Square matrices [..., N, N] whose diagonals are the rows of x[..., N], raw 0 elsewhere."""

    name: ClassVar[str] = "MATRIX_DIAG"
    either_sign: ClassVar[bool] = False

    def infer(self, inputs: Sequence[TensorType]) -> tuple[TensorType, ...]:
        check_inputs(self, inputs, 1)
        (x,) = inputs
        check_axis(self, 0, len(x.shape))
        return (moved(self, x, (*x.shape, x.shape[-1])),)

    def reference(
        self, arrays: Sequence[Array], inputs: Sequence[TensorType], outputs: Sequence[TensorType]
    ) -> list[Array]:
        (x,) = arrays
        y = np.zeros((*x.shape, x.shape[-1]), x.dtype)
        i = np.arange(x.shape[-1])
        y[..., i, i] = x
        return [y]


class MatrixSetDiag(Op):
    """The matrices x[..., M, N] with diagonals replaced by diagonal[..., min(M, N)]."""

    name: ClassVar[str] = "MATRIX_SET_DIAG"

    def infer(self, inputs: Sequence[TensorType]) -> tuple[TensorType, ...]:
        check_inputs(self, inputs, 2)
        x, diagonal = inputs
        self.require(len(x.shape) >= 2, f"input 0 has rank {len(x.shape)}; it is at least 2")
        wanted = (*x.shape[:-2], min(x.shape[-2:]))
        self.require(
            (diagonal.shape, diagonal.dtype) == (wanted, x.dtype),
            f"diagonal is {diagonal.dtype}{list(diagonal.shape)}; "
            f"it must be {x.dtype}{list(wanted)}",
        )
        return (moved(self, x, x.shape),)

    def reference(
        self, arrays: Sequence[Array], inputs: Sequence[TensorType], outputs: Sequence[TensorType]
    ) -> list[Array]:
        x, diagonal = arrays
        y, i = x.copy(), np.arange(diagonal.shape[-1])
        y[..., i, i] = diagonal
        return [y]
