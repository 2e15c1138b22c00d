"""Operators that move elements and do not compute: PAD, CONCATENATION, RESHAPE and the like.

They take any dtype. Axes count from 0. Quantization passes through unchanged, except that
CONCATENATION requantizes inputs whose parameters are not its output's.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ..graph import Array, TensorType
from .base import Activation, Op
from .checks import (
    EIGHT_BIT,
    MAX_OUTPUTS,
    check_axes,
    check_axis,
    check_inputs,
    moved,
    result,
)
from .requant import activation_range, clamp_float, per_tensor
from .tables import entries, raw_values


@dataclass(frozen=True, eq=False, repr=False)
class Pad(Op):
    """Constant elements around x: ``paddings`` gives (before, after) for each axis.

    ``value`` is raw; None means the zero point, or 0 where the input is not quantized.
    """

    name: ClassVar[str] = "PAD"

    paddings: tuple[tuple[int, int], ...] = ()
    value: float | int | None = None

    def infer(self, inputs: Sequence[TensorType]) -> tuple[TensorType, ...]:
        check_inputs(self, inputs, 1)
        (x,) = inputs
        self.require(
            len(self.paddings) == len(x.shape),
            f"paddings for {len(self.paddings)} axes, input of rank {len(x.shape)}; "
            "there is one pair an axis",
        )
        for before, after in self.paddings:
            self.require(
                before >= 0 and after >= 0, f"padding ({before}, {after}); it cannot be negative"
            )
        if self.value is not None and x.dtype.is_integer:
            low, high = x.dtype.range
            self.require(low <= self.value <= high, f"value {self.value}; {x.dtype} cannot hold it")
        shape = [
            d + before + after for d, (before, after) in zip(x.shape, self.paddings, strict=True)
        ]
        return (moved(self, x, shape),)

    def fill(self, x: TensorType) -> float | int:
        """The raw value that padding holds."""
        if self.value is not None:
            return self.value
        return 0 if x.quant is None else x.quant.zero_point[0]

    def reference(
        self, arrays: Sequence[Array], inputs: Sequence[TensorType], outputs: Sequence[TensorType]
    ) -> list[Array]:
        return [np.pad(arrays[0], self.paddings, constant_values=self.fill(inputs[0]))]


@dataclass(frozen=True, eq=False, repr=False)
class Concatenation(Op):
    """The inputs one after another along ``axis``."""

    name: ClassVar[str] = "CONCATENATION"

    axis: int = 0
    activation: Activation = Activation.NONE

    def infer(self, inputs: Sequence[TensorType]) -> tuple[TensorType, ...]:
        check_inputs(self, inputs, 1, MAX_OUTPUTS)
        first = inputs[0]
        rank = len(first.shape)
        check_axis(self, self.axis, rank)
        for i, t in enumerate(inputs):
            self.require(
                t.dtype is first.dtype,
                f"input {i} is {t.dtype}, input 0 {first.dtype}; must be equal",
            )
            self.require(
                len(t.shape) == rank
                and all(
                    m == n or k == self.axis
                    for k, (m, n) in enumerate(zip(t.shape, first.shape, strict=True))
                ),
                f"input {i} has shape {list(t.shape)}, input 0 {list(first.shape)}; "
                f"they may differ along axis {self.axis} only",
            )
        self.require(
            self.activation is Activation.NONE or first.dtype.is_float or first.dtype in EIGHT_BIT,
            f"activation {self.activation.name} of {first.dtype}; it needs float, uint8 or int8",
        )
        shape = list(first.shape)
        shape[self.axis] = sum(t.shape[self.axis] for t in inputs)
        return (result(self, shape, first.dtype),)

    def table(self, x: TensorType, out: TensorType) -> Array | None:
        """The table by which input ``x`` is requantized to ``out``; None: copied as it is."""
        same = x.quant is None or out.quant is None or x.quant == out.quant
        if x.dtype not in EIGHT_BIT or (same and self.activation is Activation.NONE):
            return None
        return _requantizing_table(x, out, *activation_range(out, self.activation))

    def reference(
        self, arrays: Sequence[Array], inputs: Sequence[TensorType], outputs: Sequence[TensorType]
    ) -> list[Array]:
        parts = []
        for x, t in zip(arrays, inputs, strict=True):
            table = self.table(t, outputs[0])
            parts.append(x if table is None else table[x.view(np.uint8)])
        y = np.concatenate(parts, axis=self.axis)
        if self.activation is not Activation.NONE and y.dtype.kind == "f":
            y = clamp_float(y, self.activation).astype(y.dtype)
        return [y]


def _requantizing_table(x: TensorType, out: TensorType, lo: int, hi: int) -> Array:
    x_scale, x_zero = per_tensor(x, "CONCATENATION: input")
    out_scale, out_zero = per_tensor(out, "CONCATENATION: output")
    steps = (raw_values(x) - x_zero) * (float(x_scale) / float(out_scale))
    return entries(np.rint(np.clip(steps, -512, 512)), out_zero, out, lo, hi)


@dataclass(frozen=True, eq=False, repr=False)
class Reshape(Op):
    """The same elements in another ``shape``, whose one dimension may be -1: what is left."""

    name: ClassVar[str] = "RESHAPE"

    shape: tuple[int, ...] = ()

    def infer(self, inputs: Sequence[TensorType]) -> tuple[TensorType, ...]:
        check_inputs(self, inputs, 1)
        (x,) = inputs
        shape = list(self.shape)
        if shape.count(-1) == 1:
            rest = math.prod(d for d in shape if d != -1)
            self.require(
                rest > 0 and x.size % rest == 0,
                f"{x.size} elements into {list(self.shape)}; the other dimensions must divide them",
            )
            shape[shape.index(-1)] = x.size // rest
        y = moved(self, x, shape)
        self.require(
            y.size == x.size,
            f"{x.size} elements into {list(self.shape)}, which holds {y.size}; must be equal",
        )
        return (y,)

    def reference(
        self, arrays: Sequence[Array], inputs: Sequence[TensorType], outputs: Sequence[TensorType]
    ) -> list[Array]:
        return [arrays[0].reshape(outputs[0].shape)]


@dataclass(frozen=True, eq=False, repr=False)
class Squeeze(Op):
    """Drop ``axes`` of size 1; all such axes where none is named."""

    name: ClassVar[str] = "SQUEEZE"

    axes: tuple[int, ...] = ()

    def infer(self, inputs: Sequence[TensorType]) -> tuple[TensorType, ...]:
        check_inputs(self, inputs, 1)
        (x,) = inputs
        check_axes(self, self.axes, len(x.shape))
        for axis in self.axes:
            self.require(
                x.shape[axis] == 1, f"axis {axis} has size {x.shape[axis]}; only 1 can be dropped"
            )
        dropped = self.axes or [i for i, d in enumerate(x.shape) if d == 1]
        return (moved(self, x, [d for i, d in enumerate(x.shape) if i not in dropped]),)

    def reference(
        self, arrays: Sequence[Array], inputs: Sequence[TensorType], outputs: Sequence[TensorType]
    ) -> list[Array]:
        return [arrays[0].reshape(outputs[0].shape)]


@dataclass(frozen=True, eq=False, repr=False)
class Transpose(Op):
    """Output axis i is input axis perm[i]."""

    name: ClassVar[str] = "TRANSPOSE"

    perm: tuple[int, ...] = ()

    def infer(self, inputs: Sequence[TensorType]) -> tuple[TensorType, ...]:
        check_inputs(self, inputs, 1)
        (x,) = inputs
        self.require(
            sorted(self.perm) == list(range(len(x.shape))),
            f"perm {list(self.perm)}; it must name each of {len(x.shape)} axes once",
        )
        return (moved(self, x, [x.shape[i] for i in self.perm]),)

    def reference(
        self, arrays: Sequence[Array], inputs: Sequence[TensorType], outputs: Sequence[TensorType]
    ) -> list[Array]:
        return [np.asarray(arrays[0].transpose(self.perm), order="C")]


@dataclass(frozen=True, eq=False, repr=False)
class StridedSlice(Op):
    """Along each input axis, ``size`` elements from ``begin`` in steps of ``strides``.

    Strides may be negative. ``shrink_axes``, of size 1, are dropped from the output.
    """

    name: ClassVar[str] = "STRIDED_SLICE"

    begin: tuple[int, ...] = ()
    size: tuple[int, ...] = ()
    strides: tuple[int, ...] = ()
    shrink_axes: tuple[int, ...] = ()

    def infer(self, inputs: Sequence[TensorType]) -> tuple[TensorType, ...]:
        check_inputs(self, inputs, 1)
        (x,) = inputs
        rank = len(x.shape)
        given = [len(self.begin), len(self.size), len(self.strides)]
        self.require(
            given == [rank] * 3,
            f"begin, size and strides for {given} axes, input of rank {rank}; must be equal",
        )
        for axis, (b, n, s) in enumerate(zip(self.begin, self.size, self.strides, strict=True)):
            self.require(s != 0, f"stride 0 along axis {axis}; it must not be 0")
            self.require(n >= 0, f"size {n} along axis {axis}; it must not be negative")
            last = b + (n - 1) * s
            self.require(
                n == 0 or (0 <= b < x.shape[axis] and 0 <= last < x.shape[axis]),
                f"elements {b} to {last} of axis {axis}; it has {x.shape[axis]}",
            )
        check_axes(self, self.shrink_axes, rank)
        for axis in self.shrink_axes:
            self.require(
                self.size[axis] == 1,
                f"size {self.size[axis]} along shrunk axis {axis}; it must be 1",
            )
        return (moved(self, x, [n for i, n in enumerate(self.size) if i not in self.shrink_axes]),)

    def reference(
        self, arrays: Sequence[Array], inputs: Sequence[TensorType], outputs: Sequence[TensorType]
    ) -> list[Array]:
        indices = (
            b + s * np.arange(n)
            for b, n, s in zip(self.begin, self.size, self.strides, strict=True)
        )
        return [arrays[0][np.ix_(*indices)].reshape(outputs[0].shape)]


@dataclass(frozen=True, eq=False, repr=False)
class Split(Op):
    """``count`` equal parts along ``axis``."""

    name: ClassVar[str] = "SPLIT"

    axis: int = 0
    count: int = 1

    def infer(self, inputs: Sequence[TensorType]) -> tuple[TensorType, ...]:
        check_inputs(self, inputs, 1)
        (x,) = inputs
        check_axis(self, self.axis, len(x.shape))
        self.require(
            1 <= self.count <= MAX_OUTPUTS, f"{self.count} parts; it gives 1 to {MAX_OUTPUTS}"
        )
        self.require(
            x.shape[self.axis] % self.count == 0,
            f"{x.shape[self.axis]} elements in {self.count} parts; they must divide evenly",
        )
        shape = list(x.shape)
        shape[self.axis] //= self.count
        return (moved(self, x, shape),) * self.count

    def reference(
        self, arrays: Sequence[Array], inputs: Sequence[TensorType], outputs: Sequence[TensorType]
    ) -> list[Array]:
        parts = np.split(arrays[0], self.count, axis=self.axis)
        return [np.asarray(part, order="C") for part in parts]


@dataclass(frozen=True, eq=False, repr=False)
class SplitV(Op):
    """Parts of ``sizes`` elements along ``axis``, one after another."""

    name: ClassVar[str] = "SPLIT_V"

    axis: int = 0
    sizes: tuple[int, ...] = ()

    def infer(self, inputs: Sequence[TensorType]) -> tuple[TensorType, ...]:
        check_inputs(self, inputs, 1)
        (x,) = inputs
        check_axis(self, self.axis, len(x.shape))
        count, whole = len(self.sizes), x.shape[self.axis]
        self.require(1 <= count <= MAX_OUTPUTS, f"{count} parts; it gives 1 to {MAX_OUTPUTS}")
        self.require(
            sum(self.sizes) == whole, f"parts of {list(self.sizes)[:16]}; they must sum to {whole}"
        )
        before, after = x.shape[: self.axis], x.shape[self.axis + 1 :]
        return tuple(moved(self, x, (*before, n, *after)) for n in self.sizes)

    def reference(
        self, arrays: Sequence[Array], inputs: Sequence[TensorType], outputs: Sequence[TensorType]
    ) -> list[Array]:
        parts = np.split(arrays[0], np.cumsum(self.sizes)[:-1], axis=self.axis)
        return [np.asarray(part, order="C") for part in parts]


@dataclass(frozen=True, eq=False, repr=False)
class Pack(Op):
    """Inputs of one shape, stacked along a new ``axis``."""

    name: ClassVar[str] = "PACK"

    axis: int = 0

    def infer(self, inputs: Sequence[TensorType]) -> tuple[TensorType, ...]:
        check_inputs(self, inputs, 1, MAX_OUTPUTS)
        first = inputs[0]
        check_axis(self, self.axis, len(first.shape) + 1)
        for i, t in enumerate(inputs):
            self.require(
                (t.shape, t.dtype) == (first.shape, first.dtype),
                f"input {i} is {t}, input 0 {first}; shapes and dtypes must be equal",
            )
        shape = list(first.shape)
        shape.insert(self.axis, len(inputs))
        return (moved(self, first, shape),)

    def reference(
        self, arrays: Sequence[Array], inputs: Sequence[TensorType], outputs: Sequence[TensorType]
    ) -> list[Array]:
        return [np.stack(arrays, axis=self.axis)]


@dataclass(frozen=True, eq=False, repr=False)
class Unpack(Op):
    """One output an index of ``axis``, which disappears."""

    name: ClassVar[str] = "UNPACK"

    axis: int = 0

    def infer(self, inputs: Sequence[TensorType]) -> tuple[TensorType, ...]:
        check_inputs(self, inputs, 1)
        (x,) = inputs
        check_axis(self, self.axis, len(x.shape))
        count = x.shape[self.axis]
        self.require(count <= MAX_OUTPUTS, f"{count} outputs; it gives at most {MAX_OUTPUTS}")
        return (moved(self, x, x.shape[: self.axis] + x.shape[self.axis + 1 :]),) * count

    def reference(
        self, arrays: Sequence[Array], inputs: Sequence[TensorType], outputs: Sequence[TensorType]
    ) -> list[Array]:
        parts = np.moveaxis(arrays[0], self.axis, 0)
        return [np.asarray(part, order="C") for part in parts]
