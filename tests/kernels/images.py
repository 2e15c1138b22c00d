"""Image operands inside wider buffers, for the tests of kernels that take views."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from edgewise.dtype import DType, QParams
from edgewise.graph import TensorType
from edgewise.kernels.isa import Isa

from .harness import Buffer


def activation(isa: Isa) -> DType:
    return DType.UINT8 if isa.activation.kind == "u" else DType.INT8


def quantized(
    shape: Sequence[int], dtype: DType, scale: float = 0.1, zero_point: int = 0
) -> TensorType:
    return TensorType(tuple(shape), dtype, QParams((scale,), (zero_point,)))


def pixels(rng: np.random.Generator, shape: Sequence[int], dtype: DType) -> npt.NDArray[Any]:
    """Random 8-bit values, many of them the extremes."""
    low, high = dtype.range
    values = rng.integers(low - 40, high + 41, shape)
    return np.clip(values, low, high).astype(dtype.numpy)


@dataclass
class View:
    """An image [N, H, W, C] with a halo, as channels from the third on of wider pixels.

    A tight view has neither.
    """

    buffer: Buffer
    shape: tuple[int, ...]
    tight: bool

    @classmethod
    def around(cls, array: npt.NDArray[Any], tight: bool) -> View:
        """A view that holds ``array``; 0x5B bytes surround it."""
        margins = [(0, 0)] * 4 if tight else [(0, 0), (1, 1), (2, 1), (3, 2)]
        fill = np.frombuffer(b"\x5b" * array.itemsize, array.dtype)[0]
        padded = np.pad(array, margins, constant_values=fill)
        return cls(Buffer(padded), array.shape, tight)

    @classmethod
    def empty(cls, shape: Sequence[int], dtype: npt.DTypeLike, tight: bool) -> View:
        return cls.around(np.full(tuple(shape), 0x11, dtype), tight)

    @property
    def inside(self) -> npt.NDArray[Any]:
        _, h, w, c = self.shape
        y, x, z = (0, 0, 0) if self.tight else (1, 2, 3)
        return self.buffer.array[:, y : y + h, x : x + w, z : z + c]

    def values(self, name: str) -> dict[str, Any]:
        """The fields of operand ``name``."""
        image, row, x, channel = self.buffer.array.strides
        offset = 0 if self.tight else row + 2 * x + 3 * channel
        strides = {f"{name}_image": image, f"{name}_row": row, f"{name}_x": x}
        return {name: self.buffer.at(offset), **strides}

    def check(self, expected: npt.NDArray[Any]) -> None:
        """The image is ``expected``, and nothing around it has changed."""
        np.testing.assert_array_equal(self.inside, expected)
        untouched = View.around(expected, self.tight)
        np.testing.assert_array_equal(self.buffer.array, untouched.buffer.array)
