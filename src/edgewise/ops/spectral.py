"""The Fourier transform and parts of complex numbers: RFFT2D, COMPLEX_ABS, REAL, IMAG.

And TensorFlow Lite's custom operators of sound, AudioSpectrogram and Mfcc.
"""

from __future__ import annotations

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
from .checks import check_inputs, check_rank, result

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
        return [np.asarray(arrays[0].real, order="C")]


class Imag(_Part):
    """The imaginary part of every element."""

    name: ClassVar[str] = "IMAG"

    def reference(
        self, arrays: Sequence[Array], inputs: Sequence[TensorType], outputs: Sequence[TensorType]
    ) -> list[Array]:
        return [np.asarray(arrays[0].imag, order="C")]


@dataclass(frozen=True, eq=False, repr=False)
class AudioSpectrogram(Op):
    """Magnitudes of the spectra of windows of sound [samples, channels] (float32).

    Every ``stride`` samples a window of ``window`` is weighted by Hann's periodic function and
    padded with zeros to a power of 2. The output is [channels, windows, n / 2 + 1]: magnitudes, or
    their squares where ``squared``. It is computed in float64 and rounded once.
    """

    name: ClassVar[str] = "AudioSpectrogram"

    window: int = 2
    stride: int = 1
    squared: bool = False

    def infer(self, inputs: Sequence[TensorType]) -> tuple[TensorType, ...]:
        check_inputs(self, inputs, 1)
        (x,) = inputs
        check_rank(self, x, 2, "input")
        self.require(x.dtype is DType.FLOAT32, f"input is {x.dtype}; it must be float32")
        self.require(
            2 <= self.window <= x.shape[0] and self.stride >= 1,
            f"windows of {self.window} every {self.stride} of {x.shape[0]} samples; a window has "
            "2 at least and all at most, the stride is at least 1",
        )
        count = 1 + (x.shape[0] - self.window) // self.stride
        return (result(self, (x.shape[1], count, self.size // 2 + 1), DType.FLOAT32),)

    @property
    def size(self) -> int:
        """The length of the transform: the power of 2 that holds a window."""
        return 1 << (self.window - 1).bit_length()

    def reference(
        self, arrays: Sequence[Array], inputs: Sequence[TensorType], outputs: Sequence[TensorType]
    ) -> list[Array]:
        angle = 2 * np.pi * np.arange(self.window) / self.window
        hann = 0.5 - 0.5 * np.cos(angle)
        views = np.lib.stride_tricks.sliding_window_view(arrays[0].T, self.window, axis=1)
        y = np.fft.rfft(views[:, :: self.stride] * hann, self.size)
        power = (y.real**2 + y.imag**2).astype(np.float32)
        return [power if self.squared else np.sqrt(power)]


@dataclass(frozen=True, eq=False, repr=False)
class Mfcc(Op):
    """Mel-frequency cepstral coefficients of spectra [channels, windows, bins] of squares.

    The operands are the spectra (float32) and the sample rate (an int32 scalar). Magnitudes are
    summed under ``filters`` triangles evenly spaced in mel from ``low`` to ``high`` Hz; the output
    is the first ``coefficients`` of the cosine transform of their logarithms, in float64.
    """

    name: ClassVar[str] = "Mfcc"

    high: float = 4000.0
    low: float = 20.0
    filters: int = 40
    coefficients: int = 13

    def infer(self, inputs: Sequence[TensorType]) -> tuple[TensorType, ...]:
        check_inputs(self, inputs, 2)
        x, rate = inputs
        check_rank(self, x, 3, "input")
        self.require(x.dtype is DType.FLOAT32, f"input is {x.dtype}; it must be float32")
        self.require(
            rate.dtype is DType.INT32 and rate.size == 1, f"rate is {rate}; it is one int32"
        )
        self.require(x.shape[2] >= 2, f"{x.shape[2]} bins; there are at least 2")
        self.require(
            1 <= self.coefficients <= self.filters <= 4096,
            f"{self.coefficients} coefficients of {self.filters} filters; at least 1, and of at "
            "most as many filters, of which there are up to 4096",
        )
        self.require(
            0 <= self.low < self.high,
            f"frequencies from {self.low} to {self.high}; they ascend from at least 0",
        )
        return (result(self, (*x.shape[:2], self.coefficients), DType.FLOAT32),)

    def check_values(self, arrays: Sequence[Array | None], inputs: Sequence[TensorType]) -> None:
        rate, bins = arrays[1], inputs[0].shape[2]
        if rate is not None and not self.high * 2 * (bins - 1) < rate.item() * bins:
            raise RunError(
                f"{self.name}: sample rate {rate.item()}; it must be more than "
                f"{self.high * 2 * (bins - 1) / bins:g}, for frequencies up to {self.high} Hz"
            )

    def weights(self, bins: int, rate: int) -> npt.NDArray[np.float64]:
        """float64[bins, filters]: the triangles."""
        low, high = _mel(self.low), _mel(self.high)
        center = low + (high - low) / (self.filters + 1) * np.arange(self.filters + 2)
        step = 0.5 * rate / (bins - 1)
        first, last = int(1.5 + self.low / step), int(self.high / step)
        y = np.zeros((bins, self.filters + 2))
        for i in range(first, last + 1):
            mel = _mel(i * step)
            right = int(np.clip(np.searchsorted(center, mel), 1, self.filters + 1))
            share = (center[right] - mel) / (center[right] - center[right - 1])
            y[i, right - 1], y[i, right] = share, 1 - share
        return y[:, 1:-1]

    def reference(
        self, arrays: Sequence[Array], inputs: Sequence[TensorType], outputs: Sequence[TensorType]
    ) -> list[Array]:
        self.check_values(arrays, inputs)
        x, rate = arrays
        bands = np.sqrt(x.astype(np.float64)) @ self.weights(x.shape[2], rate.item())
        j, i = np.arange(self.filters) + 0.5, np.arange(self.coefficients)
        cosines = np.sqrt(2 / self.filters) * np.cos(np.outer(j, i) * np.pi / self.filters)
        return [(np.log(np.maximum(bands, 1e-12)) @ cosines).astype(np.float32)]


def _mel(frequency: float) -> float:
    return 1127.0 * math.log1p(frequency / 700.0)
