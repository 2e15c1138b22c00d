"""The Fourier transform and parts of complex numbers: RFFT2D, COMPLEX_ABS, REAL, IMAG."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ..dtype import DType
from ..graph import Array, TensorType
from .base import Op
from .checks import check_inputs, result

PARTS = {DType.COMPLEX64: DType.FLOAT32, DType.COMPLEX128: DType.FLOAT64}
"""The type of a complex number's real and imaginary part."""


@dataclass(frozen=True, eq=False, repr=False)
class Rfft2d(Op):
    """The Fourier transform of x[..., H, W] (float32) along its last two axes.

    x is cut, or padded with zeros, to ``size`` = (h, w); the output is complex64
    [..., h, w / 2 + 1]. It is computed in float64 and rounded once.
    """

    name: ClassVar[str] = "RFFT2D"

    size: tuple[int, int] = (1, 1)

    def infer(self, inputs: Sequence[TensorType]) -> tuple[TensorType, ...]:
        check_inputs(self, inputs, 1)
        (x,) = inputs
        self.require(x.dtype is DType.FLOAT32, f"input is {x.dtype}; it must be float32")
        self.require(len(x.shape) >= 2, f"input of rank {len(x.shape)}; it is at least 2")
        for n in self.size:
            self.require(n >= 1 and n & (n - 1) == 0, f"length {n}; it must be a power of 2")
        height, width = self.size
        return (result(self, (*x.shape[:-2], height, width // 2 + 1), DType.COMPLEX64),)

    def reference(
        self, arrays: Sequence[Array], inputs: Sequence[TensorType], outputs: Sequence[TensorType]
    ) -> list[Array]:
        y = np.fft.rfft2(arrays[0].astype(np.float64), self.size)
        return [y.astype(np.complex64)]


class _Part(Op):
    def infer(self, inputs: Sequence[TensorType]) -> tuple[TensorType, ...]:
        check_inputs(self, inputs, 1)
        (x,) = inputs
        self.require(x.dtype in PARTS, f"input is {x.dtype}; it must be complex64 or complex128")
        return (result(self, x.shape, PARTS[x.dtype]),)


class ComplexAbs(_Part):
    """The magnitude of every element."""

    name: ClassVar[str] = "COMPLEX_ABS"

    def reference(
        self, arrays: Sequence[Array], inputs: Sequence[TensorType], outputs: Sequence[TensorType]
    ) -> list[Array]:
        x = arrays[0]
        return [np.hypot(x.real, x.imag)]


class Real(_Part):
    """The real part of every element."""

    name: ClassVar[str] = "REAL"

    def reference(
        self, arrays: Sequence[Array], inputs: Sequence[TensorType], outputs: Sequence[TensorType]
    ) -> list[Array]:
        return [np.ascontiguousarray(arrays[0].real)]


class Imag(_Part):
    """The imaginary part of every element."""

    name: ClassVar[str] = "IMAG"

    def reference(
        self, arrays: Sequence[Array], inputs: Sequence[TensorType], outputs: Sequence[TensorType]
    ) -> list[Array]:
        return [np.ascontiguousarray(arrays[0].imag)]
