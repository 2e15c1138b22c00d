"""Operators of matrices and of products that few networks have: Det, Einsum, CumProd, DFT."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ..graph import Array, TensorType
from .base import Op
from .checks import Kind, check_axis, check_inputs, common_kind, result
from .reduce import Cumulative


class Det(Op):
    """The determinants of square matrices [..., M, M], in float64: [...]."""

    name: ClassVar[str] = "Det"

    def infer(self, inputs: Sequence[TensorType]) -> tuple[TensorType, ...]:
        check_inputs(self, inputs, 1)
        common_kind(self, inputs, (Kind.FLOAT,))
        shape = inputs[0].shape
        self.require(
            len(shape) >= 2 and shape[-1] == shape[-2],
            f"input {list(shape)}; its last two dimensions are equal",
        )
        return (result(self, shape[:-2], inputs[0].dtype),)

    def reference(
        self, arrays: Sequence[Array], inputs: Sequence[TensorType], outputs: Sequence[TensorType]
    ) -> list[Array]:
        y = np.linalg.det(arrays[0].astype(np.float64))
        return [np.asarray(y).astype(outputs[0].dtype.numpy)]


@dataclass(frozen=True, eq=False, repr=False)
class Einsum(Op):
    """Sums of products over labelled axes, floats in float64; ``terms`` label the operands' axes.

    Labels are numbers; those not in ``output`` are summed over. Sizes of one label are equal, or 1.
    """

    name: ClassVar[str] = "Einsum"

    terms: tuple[tuple[int, ...], ...]
    output: tuple[int, ...]

    def infer(self, inputs: Sequence[TensorType]) -> tuple[TensorType, ...]:
        check_inputs(self, inputs, len(self.terms))
        common_kind(self, inputs, (Kind.FLOAT, Kind.INTEGER))
        sizes: dict[int, int] = {}
        for labels, t in zip(self.terms, inputs, strict=True):
            shape = list(t.shape)
            self.require(
                len(labels) == len(shape), f"{len(labels)} labels for an operand of shape {shape}"
            )
            for label, size in zip(labels, shape, strict=True):
                known = sizes.get(label, 1)
                self.require(
                    size in (known, 1) or known == 1, f"label {label} has sizes {known} and {size}"
                )
                sizes[label] = size if known == 1 else known
        missing = [label for label in self.output if label not in sizes]
        self.require(not missing, f"labels {missing} of the output are in no operand")
        return (result(self, [sizes[label] for label in self.output], inputs[0].dtype),)

    def reference(
        self, arrays: Sequence[Array], inputs: Sequence[TensorType], outputs: Sequence[TensorType]
    ) -> list[Array]:
        dtype = outputs[0].dtype.numpy
        operands: list[object] = []
        for labels, array in zip(self.terms, arrays, strict=True):
            wide = array.astype(np.float64) if dtype.kind == "f" else array
            operands += [wide, list(labels)]
        y = np.einsum(*operands, list(self.output), optimize="greedy")  # type: ignore[call-overload]
        return [np.asarray(y).astype(dtype)]


class Cumprod(Cumulative):
    """Products of all values up to each, or before it."""

    name: ClassVar[str] = "CumProd"
    ufunc: ClassVar[np.ufunc] = np.multiply


@dataclass(frozen=True, eq=False, repr=False)
class Dft(Op):
    """Discrete Fourier transforms along ``axis`` of x[..., 1] (real) or x[..., 2] (complex).

    x is cut or filled with zeros to ``length``. ``onesided``: of a real signal the first half of
    the spectrum, [..., length // 2 + 1, ..., 2]; with ``inverse`` the real signal [..., 1] of such
    a half. The inverse is divided by ``length``. In float64.
    """

    name: ClassVar[str] = "DFT"

    axis: int = 0
    length: int = 1
    inverse: bool = False
    onesided: bool = False

    def infer(self, inputs: Sequence[TensorType]) -> tuple[TensorType, ...]:
        check_inputs(self, inputs, 1)
        common_kind(self, inputs, (Kind.FLOAT,))
        shape = list(inputs[0].shape)
        self.require(
            len(shape) >= 2 and shape[-1] in (1, 2),
            f"input {shape}; its last dimension is 1 (real) or 2 (complex)",
        )
        check_axis(self, self.axis, len(shape) - 1)
        self.require(self.length > 0, f"length {self.length}; it must be positive")
        self.require(shape[self.axis] > 0, f"input {shape} has no samples")
        half = self.onesided and not self.inverse
        shape[self.axis] = self.length // 2 + 1 if half else self.length
        shape[-1] = 1 if self.onesided and self.inverse else 2
        return (result(self, shape, inputs[0].dtype),)

    def reference(
        self, arrays: Sequence[Array], inputs: Sequence[TensorType], outputs: Sequence[TensorType]
    ) -> list[Array]:
        wide = arrays[0].astype(np.float64)
        x = wide[..., 0] + (1j * wide[..., 1] if wide.shape[-1] == 2 else 0)
        if self.onesided and self.inverse:
            y = np.fft.irfft(x, self.length, self.axis)[..., None]
        else:
            transform = np.fft.ifft if self.inverse else np.fft.fft
            found = transform(x, self.length, self.axis)
            kept = [slice(None)] * found.ndim
            kept[self.axis] = slice(outputs[0].shape[self.axis])
            found = found[tuple(kept)]
            y = np.stack([found.real, found.imag], -1)
        return [np.ascontiguousarray(y.astype(outputs[0].dtype.numpy))]
