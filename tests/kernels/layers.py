"""Layers of matrix products and convolutions, as their kernels see them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from .images import View

Array = npt.NDArray[Any]
Pair = tuple[int, int]


@dataclass(frozen=True)
class Layer:
    """Images [N, height, width] of outputs with ``n`` channels, and the windows they come from.

    ``joined``: the taps of a window's row are one run, as they lie side by side.
    """

    n: int
    depth: int
    size: tuple[int, int, int]
    window: Pair = (1, 1)
    stride: Pair = (1, 1)
    dilation: Pair = (1, 1)
    joined: bool = False

    @property
    def runs(self) -> int:
        return self.window[0] * (1 if self.joined else self.window[1])

    @property
    def kc(self) -> int:
        return self.depth * (self.window[1] if self.joined else 1)

    @property
    def input_shape(self) -> tuple[int, ...]:
        """The pixels that the windows reach, and no more."""
        (images, *out), steps = self.size, zip(self.window, self.stride, self.dilation, strict=True)
        reach = [
            (o - 1) * stride + (taps - 1) * apart + 1
            for o, (taps, stride, apart) in zip(out, steps, strict=True)
        ]
        return (images, *reach, self.depth)

    def windows(self, x: Array) -> Array:
        """[pixels, window height * width * depth]."""
        (_, height, width), (sh, sw), (dh, dw) = self.size, self.stride, self.dilation
        taps = [
            x[:, y * dh :, z * dw :][:, : (height - 1) * sh + 1 : sh, : (width - 1) * sw + 1 : sw]
            for y in range(self.window[0])
            for z in range(self.window[1])
        ]
        return np.stack(taps, axis=3).reshape(np.prod(self.size), -1)

    def run_offsets(self, view: View) -> Array:
        """Offsets in bytes of a window's runs from its first pixel."""
        source = view.values("a")
        row, pixel = source["a_row"], source["a_x"]
        (kh, kw), (dh, dw) = self.window, self.dilation
        columns = np.zeros(1, np.int64) if self.joined else np.arange(kw) * (dw * pixel)
        runs = (np.arange(kh)[:, None] * (dh * row) + columns).ravel().astype(np.int64)
        assert len(runs) == self.runs
        return runs


def matrix(m: int, n: int, depth: int) -> Layer:
    return Layer(n, depth, (1, 1, m))


def pixels_of(layer: Layer, view: View, name: str, stride: Pair = (1, 1)) -> dict[str, Any]:
    """The fields of an operand that has a pixel for each output pixel."""
    fields, (_, height, width) = view.values(name), layer.size
    step, row = fields[f"{name}_x"] * stride[1], fields.pop(f"{name}_row") * stride[0]
    image = fields[f"{name}_image"] - height * row
    return fields | {f"{name}_x": step, f"{name}_wrap": row - width * step, f"{name}_image": image}


CONVOLUTIONS = [
    Layer(5, 3, (1, 3, 4), (3, 3), (1, 1), (1, 1), joined=True),
    Layer(9, 3, (2, 2, 3), (3, 3), (2, 2), (1, 1), joined=True),
    Layer(17, 5, (3, 3, 1), (3, 3), (1, 1), (1, 1)),
    Layer(8, 1, (1, 5, 5), (5, 5), (1, 1), (1, 1), joined=True),
    Layer(21, 4, (2, 1, 7), (1, 2), (1, 3), (1, 1)),
    Layer(3, 16, (1, 2, 5), (2, 1), (1, 1), (3, 1)),
    Layer(40, 7, (1, 3, 3), (3, 3), (2, 1), (2, 3)),
    Layer(12, 19, (5, 1, 1), (2, 2), (1, 1), (1, 1)),
    Layer(64, 17, (1, 4, 4), (1, 1), (3, 2), (1, 1)),
]
