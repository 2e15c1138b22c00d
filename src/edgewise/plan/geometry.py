"""Windows and padding of convolutions, as the kernels see them."""

from __future__ import annotations

from dataclasses import dataclass

from ..graph import TensorType
from ..ops import Conv2D, DepthwiseConv2D, TransposeConv


@dataclass(frozen=True)
class Sides:
    """Pixels around an image; false when there are none."""

    top: int = 0
    bottom: int = 0
    left: int = 0
    right: int = 0

    def __or__(self, other: Sides) -> Sides:
        return Sides(
            max(self.top, other.top),
            max(self.bottom, other.bottom),
            max(self.left, other.left),
            max(self.right, other.right),
        )

    def __bool__(self) -> bool:
        return any((self.top, self.bottom, self.left, self.right))


def conv_halo(op: Conv2D | DepthwiseConv2D, x: TensorType, w: TensorType, out: TensorType) -> Sides:
    """The pixels outside of x that the windows reach."""
    top, _, left, _ = op.padding
    (sh, sw), (dh, dw) = op.stride, op.dilation
    bottom = (out.shape[1] - 1) * sh + (w.shape[1] - 1) * dh + 1 - top - x.shape[1]
    right = (out.shape[2] - 1) * sw + (w.shape[2] - 1) * dw + 1 - left - x.shape[2]
    return Sides(top, max(0, bottom), left, max(0, right))


@dataclass(frozen=True)
class Phase:
    """The outputs of a transposed convolution, along one axis, that share their taps.

    They are ``first``, ``first + stride``, ... (``count`` of them). Output j of them sums input
    ``start + j + i`` times tap ``taps[i]``.
    """

    first: int
    count: int
    start: int
    taps: tuple[int, ...]


def phases(extent: int, kernel: int, stride: int, before: int) -> list[Phase]:
    """The phases of one axis; ``before`` is the padding at its start, ``extent`` the output's."""
    found = []
    for phase in range(stride):
        first = (phase - before) % stride
        count = len(range(first, extent, stride))
        if not count:
            continue
        taps = tuple(range(phase, kernel, stride))
        newest = (first + before - phase) // stride
        found.append(Phase(first, count, newest - max(len(taps) - 1, 0), taps[::-1]))
    return found


def reach(axis: list[Phase], size: int) -> tuple[int, int]:
    """How many elements before and after ``size`` inputs the windows of an axis' phases reach."""
    before = max((-p.start for p in axis), default=0)
    after = max((p.start + p.count - 1 + max(len(p.taps), 1) - size for p in axis), default=0)
    return max(0, before), max(0, after)


def transpose_conv_halo(op: TransposeConv, x: TensorType, w: TensorType) -> Sides:
    """The pixels outside of x that the phases' windows reach."""
    rows = phases(op.output_size[0], w.shape[1], op.stride[0], op.padding[0])
    columns = phases(op.output_size[1], w.shape[2], op.stride[1], op.padding[2])
    return Sides(*reach(rows, x.shape[1]), *reach(columns, x.shape[2]))
