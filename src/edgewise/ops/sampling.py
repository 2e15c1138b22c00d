"""Images read at places between pixels: GridSample, RoiAlign, MaxRoiPool, DeformConv (NCHW)."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from ..dtype import DType
from ..errors import RunError
from ..graph import Array, TensorType
from .base import Op
from .checks import Kind, check_inputs, check_rank, common_kind, result, window_extent

Floats = npt.NDArray[np.float64]

MODES = ("nearest", "linear", "cubic")
PADDINGS = ("zeros", "border", "reflection")
CUBIC = -0.75
MAX_SAMPLES = 2**22
"""The most places that one region is read at."""


def reflected(x: Floats, low: float, high: float) -> Floats:
    """x mirrored at both ends until it lies between them."""
    span = high - low
    if span <= 0:
        return np.full_like(x, low)
    distance = np.abs(x - low)
    turns = np.floor(distance / span)
    rest = distance - turns * span
    return np.where(turns % 2 == 0, low + rest, high - rest)


def _weights(mode: str, fraction: Floats) -> dict[int, Floats]:
    """The weights of the elements at distances from the one before a place."""
    if mode == "nearest":
        return {0: np.ones_like(fraction)}
    if mode == "linear":
        return {0: 1 - fraction, 1: fraction}
    a, found = CUBIC, {}
    for step in (-1, 0, 1, 2):
        d = np.abs(fraction - step)
        near = ((a + 2) * d - (a + 3)) * d * d + 1
        far = ((a * d - 5 * a) * d + 8 * a) * d - 4 * a
        found[step] = near if step in (0, 1) else far
    return found


def sampled(
    x: Floats, places: Sequence[Floats], mode: str, padding: str, align_corners: bool
) -> Floats:
    """x[C, ...] at places, one array a dimension of one shape: [C, *shape]."""
    sizes = x.shape[1:]
    taps = []
    for place, size in zip(places, sizes, strict=True):
        low, high = (0.0, size - 1.0) if align_corners else (-0.5, size - 0.5)
        at = np.rint(place) if mode == "nearest" else place
        outside = (at < low) | (at > high)
        if padding == "border" and mode != "cubic":
            at = np.where(outside, np.clip(at, 0, size - 1), at)
        elif padding == "reflection":
            at = np.where(outside, reflected(at, low, high), at)
        whole = np.floor(at)
        weights = _weights(mode, at - whole)
        base = np.clip(np.nan_to_num(whole, nan=-4.0), -4, size + 3)
        row = []
        for step, weight in weights.items():
            index = base + step
            if padding == "reflection":
                index = np.trunc(reflected(index, low, high))
            inside = (index >= 0) & (index < size)
            if padding != "zeros":
                inside = np.ones_like(inside)
            row.append((np.clip(index, 0, size - 1).astype(np.int64), weight * inside))
        taps.append(row)
    total = np.zeros((x.shape[0], *places[0].shape))
    for chosen in itertools.product(*taps):
        weight = math.prod((w for _, w in chosen), start=np.ones(()))
        places_of = (slice(None), *(i for i, _ in chosen))
        total += x[places_of] * weight
    return total


@dataclass(frozen=True, eq=False, repr=False)
class GridSample(Op):
    """x[N, C, ...] at the places of grid[N, *out, dimensions]: [N, C, *out].

    The last dimension of the grid holds coordinates of the last spatial dimension first; -1 and 1
    are the centres of the first and last pixel with ``align_corners``, else their outer edges.
    Outside there are zeros, the pixels of the border, or reflections, as ``padding`` says.
    """

    name: ClassVar[str] = "GridSample"

    mode: str = "linear"
    padding: str = "zeros"
    align_corners: bool = False

    def infer(self, inputs: Sequence[TensorType]) -> tuple[TensorType, ...]:
        check_inputs(self, inputs, 2)
        common_kind(self, inputs, (Kind.FLOAT,))
        x, grid = (t.shape for t in inputs)
        self.require(self.mode in MODES, f"mode {self.mode!r}; it is one of {MODES}")
        self.require(self.padding in PADDINGS, f"padding {self.padding!r}; one of {PADDINGS}")
        self.require(
            len(x) >= 3 and len(grid) == len(x) and grid[0] == x[0] and grid[-1] == len(x) - 2,
            f"input {list(x)}, grid {list(grid)}; the grid has the batch of the input, its rank, "
            "and a coordinate for each spatial dimension",
        )
        self.require(0 not in x[2:], f"input {list(x)} has no pixels")
        return (result(self, (*x[:2], *grid[1:-1]), inputs[0].dtype),)

    def reference(
        self, arrays: Sequence[Array], inputs: Sequence[TensorType], outputs: Sequence[TensorType]
    ) -> list[Array]:
        x, grid = (a.astype(np.float64) for a in arrays)
        y = np.empty(outputs[0].shape, outputs[0].dtype.numpy)
        for n in range(len(x)):
            places = []
            for i, size in enumerate(x.shape[2:]):
                along = grid[n, ..., grid.shape[-1] - 1 - i] + 1
                if self.align_corners:
                    places.append(along / 2 * (size - 1))
                else:
                    places.append((along * size - 1) / 2)
            y[n] = sampled(x[n], places, self.mode, self.padding, self.align_corners)
        return [y]


class _Regions(Op):
    """Base of the operators that read regions of images."""

    size: tuple[int, int]
    scale: float

    def regions(
        self, inputs: Sequence[TensorType], columns: int, batch: bool
    ) -> tuple[TensorType, ...]:
        """Check x[N, C, H, W] and rois[R, columns]; the type of the result."""
        x, rois = inputs[:2]
        check_rank(self, x, 4, "input")
        common_kind(self, inputs[:2], (Kind.FLOAT,))
        self.require(
            len(rois.shape) == 2 and rois.shape[1] == columns,
            f"rois {list(rois.shape)}; they must have {columns} columns",
        )
        if batch:
            indices = inputs[2]
            self.require(
                indices.shape == rois.shape[:1] and indices.dtype.is_integer,
                f"batch indices {indices}; there is one a region of {list(rois.shape)}",
            )
        self.require(min(self.size) > 0, f"size {self.size}; it must be positive")
        self.require(0 not in x.shape[2:], f"input {list(x.shape)} has no pixels")
        return (result(self, (rois.shape[0], x.shape[1], *self.size), x.dtype),)

    def check_finite(self, rois: Array) -> None:
        if not np.isfinite(rois).all():
            raise RunError(f"{self.name}: rois that are not finite")

    def check_batch(self, indices: Array, count: int) -> None:
        if indices.size and not 0 <= indices.min() <= indices.max() < count:
            raise RunError(
                f"{self.name}: batch indices {indices.min()} to {indices.max()}; they are at "
                f"least 0, and less than {count}"
            )


@dataclass(frozen=True, eq=False, repr=False)
class RoiAlign(_Regions):
    """Means (or with ``greatest`` maxima) of regions of x[N, C, H, W] in a grid of ``size``.

    The operands are x, rois[R, 4] (x1, y1, x2, y2, times ``scale``) and the batch index of each.
    A cell is read at ``sampling`` places a side, or one a pixel where that is 0, each from the four
    pixels around. ``half_pixel`` takes half a pixel from all coordinates. As in ONNX, the greatest
    of a cell is that of its pixels times their weights.
    """

    name: ClassVar[str] = "RoiAlign"

    size: tuple[int, int] = (1, 1)
    sampling: int = 0
    scale: float = 1.0
    half_pixel: bool = True
    greatest: bool = False

    def infer(self, inputs: Sequence[TensorType]) -> tuple[TensorType, ...]:
        check_inputs(self, inputs, 3)
        self.require(self.sampling >= 0, f"sampling {self.sampling}; it cannot be negative")
        return self.regions(inputs, 4, True)

    def reference(
        self, arrays: Sequence[Array], inputs: Sequence[TensorType], outputs: Sequence[TensorType]
    ) -> list[Array]:
        x, rois, indices = arrays[0].astype(np.float64), arrays[1].astype(np.float32), arrays[2]
        self.check_finite(rois)
        self.check_batch(indices, len(x))
        y = np.zeros(outputs[0].shape, outputs[0].dtype.numpy)
        for r, (roi, n) in enumerate(zip(rois, indices, strict=True)):
            offset = np.float32(0.5 if self.half_pixel else 0)
            left, top, right, bottom = roi * np.float32(self.scale) - offset
            sides = []
            for start, extent, cells, pixels in (
                (top, bottom - top, self.size[0], x.shape[2]),
                (left, right - left, self.size[1], x.shape[3]),
            ):
                length = extent if self.half_pixel else max(extent, np.float32(1))
                sides.append(self._taps(start, length, cells, pixels))
            y[r] = self._cells(x[int(n)], *sides)
        return [y]

    def _taps(
        self, start: np.float32, length: np.float32, cells: int, pixels: int
    ) -> list[tuple[npt.NDArray[np.int64], Floats]]:
        """Two pixels and weights [cells, samples] along one side, at places of float32."""
        wanted = self.sampling or math.ceil(np.clip(length / np.float32(cells), 0, 2 * MAX_SAMPLES))
        if wanted * cells > MAX_SAMPLES:
            raise RunError(f"{self.name}: a region of {length} pixels; it is too large")
        step = length / np.float32(cells)
        cell = np.arange(cells, dtype=np.float32)[:, None] * step
        within = (np.arange(wanted, dtype=np.float32) + np.float32(0.5)) * step
        at = start + cell + within / np.float32(max(wanted, 1))
        inside = (at >= -1) & (at <= pixels)
        at = np.clip(at, 0, pixels - 1).astype(np.float64)
        low = np.floor(at).astype(np.int64)
        high = np.minimum(low + 1, pixels - 1)
        return [(low, (1 - (at - low)) * inside), (high, (at - low) * inside)]

    def _cells(
        self,
        x: Floats,
        rows: list[tuple[npt.NDArray[np.int64], Floats]],
        columns: list[tuple[npt.NDArray[np.int64], Floats]],
    ) -> Floats:
        count = rows[0][0].shape[1] * columns[0][0].shape[1]
        if count == 0:
            return np.zeros((len(x), *self.size))
        if count * math.prod(self.size) > MAX_SAMPLES:
            raise RunError(f"{self.name}: {count} places in a cell; they are too many")
        parts = [
            x[:, i[:, :, None, None], j] * (v[:, :, None, None] * w)
            for i, v in rows
            for j, w in columns
        ]
        if self.greatest:
            return np.asarray(np.max(parts, axis=0).max(axis=(2, 4)))
        return np.asarray(sum(parts).sum(axis=(2, 4)) / count)  # type: ignore[union-attr]


@dataclass(frozen=True, eq=False, repr=False)
class MaxRoiPool(_Regions):
    """The greatest of regions of x[N, C, H, W] in a grid of ``size``; 0 for an empty cell.

    The operands are x and rois[R, 5]: batch index, x1, y1, x2, y2, times ``scale`` and rounded.
    """

    name: ClassVar[str] = "MaxRoiPool"

    size: tuple[int, int] = (1, 1)
    scale: float = 1.0

    def infer(self, inputs: Sequence[TensorType]) -> tuple[TensorType, ...]:
        check_inputs(self, inputs, 2)
        return self.regions(inputs, 5, False)

    def reference(
        self, arrays: Sequence[Array], inputs: Sequence[TensorType], outputs: Sequence[TensorType]
    ) -> list[Array]:
        x, rois = arrays
        y = np.zeros(outputs[0].shape, outputs[0].dtype.numpy)
        self.check_finite(rois)
        self.check_batch(rois[:, 0], len(x))
        for r, (n, *box) in enumerate(rois.astype(np.float64)):
            scaled = [math.floor(v * self.scale + 0.5) for v in box]
            ranges = [
                self._ranges(scaled[1], scaled[3], self.size[0], x.shape[2]),
                self._ranges(scaled[0], scaled[2], self.size[1], x.shape[3]),
            ]
            for (i, rows), (j, columns) in itertools.product(*map(enumerate, ranges)):
                cell = x[int(n), :, rows, columns]
                if cell.size:
                    y[r, :, i, j] = cell.max(axis=(1, 2))
        return [y]

    def _ranges(self, first: int, last: int, cells: int, pixels: int) -> list[slice]:
        step = max(last - first + 1, 1) / cells
        return [
            slice(
                min(max(math.floor(i * step) + first, 0), pixels),
                min(max(math.ceil((i + 1) * step) + first, 0), pixels),
            )
            for i in range(cells)
        ]


@dataclass(frozen=True, eq=False, repr=False)
class DeformConv(Op):
    """Convolution of x[N, C, H, W] by w[O, C / groups, KH, KW], whose taps are moved by offsets.

    The operands are x, w, offsets[N, G * KH * KW * 2, OH, OW] (down, then right; G of
    ``offset_groups``), bias[O], and what each tap is multiplied by, [N, G * KH * KW, OH, OW].
    ``padding`` is (top, left, bottom, right), of zeros.
    """

    name: ClassVar[str] = "DeformConv"

    stride: tuple[int, int] = (1, 1)
    dilation: tuple[int, int] = (1, 1)
    padding: tuple[int, int, int, int] = (0, 0, 0, 0)
    groups: int = 1
    offset_groups: int = 1

    def infer(self, inputs: Sequence[TensorType]) -> tuple[TensorType, ...]:
        check_inputs(self, inputs, 5)
        x, w, offsets, bias, mask = inputs
        for i, t in enumerate(inputs):
            self.require(t.dtype is DType.FLOAT32, f"input {i} is {t.dtype}; it must be float32")
        check_rank(self, x, 4, "input")
        check_rank(self, w, 4, "weights")
        (n, channels, *size), (out, depth, *taps) = x.shape, w.shape
        self.require(
            self.groups > 0
            and self.offset_groups > 0
            and channels == depth * self.groups
            and out % self.groups == 0
            and channels % self.offset_groups == 0,
            f"{channels} input and {out} output channels, {self.groups} groups, "
            f"{self.offset_groups} of offsets, weights of depth {depth}; groups divide them",
        )
        extent = tuple(
            window_extent(self, size[i], taps[i], self.stride[i], self.dilation[i], *self._ends(i))
            for i in range(2)
        )
        count = self.offset_groups * taps[0] * taps[1]
        for what, t, shape in (
            ("offsets", offsets, (n, 2 * count, *extent)),
            ("bias", bias, (out,)),
            ("mask", mask, (n, count, *extent)),
        ):
            self.require(
                t.shape == shape, f"{what} has shape {list(t.shape)}; it must be {list(shape)}"
            )
        return (result(self, (n, out, *extent), x.dtype),)

    def _ends(self, i: int) -> tuple[int, int]:
        return self.padding[i], self.padding[2 + i]

    def reference(
        self, arrays: Sequence[Array], inputs: Sequence[TensorType], outputs: Sequence[TensorType]
    ) -> list[Array]:
        x, w, offsets, bias, mask = (a.astype(np.float64) for a in arrays)
        n, out, oh, ow = outputs[0].shape
        kh, kw = w.shape[2:]
        parts = self.offset_groups
        moves = offsets.reshape(n, parts, kh, kw, 2, oh, ow)
        factors = mask.reshape(n, parts, kh, kw, oh, ow)
        starts = [
            np.arange(k)[:, None] * d + np.arange(o) * s - p
            for k, d, o, s, p in zip(
                (kh, kw), self.dilation, (oh, ow), self.stride, self.padding[:2], strict=True
            )
        ]
        y = np.empty(outputs[0].shape, np.float64)
        for image in range(n):
            read = []
            for g, channels in enumerate(np.split(x[image], parts)):
                rows = starts[0][:, None, :, None] + moves[image, g, :, :, 0]
                columns = starts[1][:, None, :] + moves[image, g, :, :, 1]
                read.append(sampled(channels, (rows, columns), "linear", "zeros", True))
                read[-1] *= factors[image, g]
            taps = np.concatenate(read).reshape(self.groups, -1, kh, kw, oh, ow)
            weights = w.reshape(self.groups, out // self.groups, -1, kh, kw)
            y[image] = np.einsum("gcijhw,gocij->gohw", taps, weights).reshape(out, oh, ow)
        return [(y + bias[:, None, None]).astype(np.float32)]

    def macs(self, inputs: Sequence[TensorType], outputs: Sequence[TensorType]) -> int:
        return outputs[0].size * math.prod(inputs[1].shape[1:])
