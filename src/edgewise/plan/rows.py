"""Pixels of operands as the matrix products read and write them, and the step of a product."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from ..graph import TensorType
from .context import Context, chunk_count
from .model import Address, Params, Variant, View, packed_strides
from .movement import part

Shape = tuple[int, int, int]
"""Images, height and width of the pixels of a product."""

Channels: TypeAlias = "slice | npt.NDArray[np.int64]"
"""Which of an operator's channels the columns of a product are."""

Weights: TypeAlias = "npt.NDArray[Any]"
"""[n, runs, kc]: int8 or float32."""


@dataclass(frozen=True)
class Rows:
    """Pixels of an operand, within ``view``: address of the first, and steps in bytes.

    ``x`` from a pixel to the next, ``wrap`` more at the end of a row, ``image`` more at the end
    of an image.
    """

    view: View
    address: Address
    x: int
    wrap: int = 0
    image: int = 0

    def fields(self, name: str) -> Params:
        return {
            name: self.address,
            f"{name}_x": self.x,
            f"{name}_wrap": self.wrap,
            f"{name}_image": self.image,
        }

    def channels(self, first: int, count: int) -> Rows:
        """``count`` channels of the same pixels."""
        shape = (*self.view.shape[:3], count)
        chosen = part(self.view, (0, 0, 0, first), shape)
        address = self.address + first * self.view.type.dtype.itemsize
        return replace(self, view=chosen, address=address)


def rows(
    view: View,
    size: tuple[int, int],
    stride: tuple[int, int] = (1, 1),
    start: tuple[int, int] = (0, 0),
) -> Rows:
    """``size`` pixels (height, width) of a rank-4 view from ``start``, every ``stride`` of them."""
    image, row, pixel, _ = view.strides
    x, y = pixel * stride[1], row * stride[0]
    address = view.address + (start[0] * row + start[1] * pixel)
    return Rows(view, address, x, y - size[1] * x, image - size[0] * y)


def merged(operands: Sequence[Rows], shape: Shape) -> tuple[list[Rows], Shape]:
    """The same pixels as fewer and longer rows, where every operand steps alike between them."""
    images, height, width = shape
    if width == 1:
        operands = [replace(r, x=r.x + r.wrap, wrap=0) for r in operands]
    if height == 1:
        operands = [replace(r, image=r.image + r.wrap, wrap=0) for r in operands]
    if images == 1:
        operands = [replace(r, image=0) for r in operands]
    if any(r.wrap for r in operands):
        return list(operands), shape
    if any(r.image for r in operands):
        return list(operands), (images, 1, height * width)
    return list(operands), (1, 1, images * height * width)


@dataclass(frozen=True)
class Epilogue:
    """What follows a product.

    Attributes:
        stages: its steps, as the kernel names them.
        params: fields of the kernel.
        vectors: fields that point to a number a channel, and those numbers.
        rows: operands that have a pixel for each output pixel, by the field of their address.
    """

    stages: tuple[str, ...] = ()
    params: Params = field(default_factory=dict)
    vectors: Mapping[str, npt.NDArray[np.float32]] = field(default_factory=dict)
    rows: Mapping[str, Rows] = field(default_factory=dict)

    def channels(self, first: int, count: int) -> Epilogue:
        """That of ``count`` channels of the same pixels."""
        return replace(
            self,
            vectors={name: v[first : first + count] for name, v in self.vectors.items()},
            rows={name: r.channels(first, count) for name, r in self.rows.items()},
        )


class Panelled(Variant, Protocol):
    """A kernel of tiles of ``mr`` pixels by panels of ``nr`` channels."""

    @property
    def mr(self) -> int: ...

    @property
    def nr(self) -> int: ...


def emit_panels(
    ctx: Context,
    v: Panelled,
    seconds: float,
    packed: Address,
    n: int,
    operands: Mapping[str, Rows],
    shape: Shape,
    runs: npt.NDArray[np.int64],
    epilogue: Epilogue,
    params: Params,
    *,
    computed: Sequence[View] = (),
    parts: int = 1,
) -> None:
    """One product of ``n`` channels over the pixels of ``shape``, by ``v``.

    ``packed`` is where the weights lie. ``operands`` are by field: "c" is the result, the others
    are read, and so are the views ``computed``. ``params`` are those fields of ``v`` that are not
    of the pixels, the panels or the epilogue. The panels are divided into ``parts`` or more.
    """
    pixels = math.prod(shape)
    everything = {**operands, **epilogue.rows}
    steps, (_, height, width) = merged(list(everything.values()), shape)
    tiles, panels = -(-pixels // v.mr), -(-n // v.nr)
    wanted = max(-(-chunk_count(seconds) // tiles), parts)
    block_panels = -(-panels // min(panels, wanted))
    fields: Params = {
        **epilogue.params,
        **{name: ctx.constants.add(x) for name, x in epilogue.vectors.items()},
        "w": packed,
        "runs": ctx.constants.add(runs),
        "pixels": pixels,
        "width": width,
        "height": height,
        "tiles": tiles,
        "n": n,
        "panels": panels,
        "block_panels": block_panels,
        **params,
    }
    for name, operand in zip(everything, steps, strict=True):
        fields |= operand.fields(name)
    read = [operand.view for name, operand in everything.items() if name != "c"]
    ctx.emit(
        v,
        fields,
        tiles * -(-panels // block_panels),
        seconds=seconds,
        reads=(*read, *computed),
        writes=(operands["c"].view,),
    )


def window_runs(
    x: View, kernel: tuple[int, int], dilation: tuple[int, int], joined: bool
) -> npt.NDArray[np.int64]:
    """Offsets in bytes of the runs of a window: one a tap, or one a row of the kernel.

    ``joined``: a run may go on from a pixel to the next where the view has them side by side.
    """
    _, row, pixel, item = x.strides
    offsets = np.arange(kernel[0])[:, None] * (dilation[0] * row)
    if not (joined and dilation[1] == 1 and pixel == x.shape[3] * item):
        offsets = offsets + np.arange(kernel[1]) * (dilation[1] * pixel)
    return offsets.reshape(-1).astype(np.int64)


def rows_of(view: View, depth: int) -> View:
    """A packed view as rows of ``depth`` elements."""
    t = TensorType((view.type.size // depth, depth), view.type.dtype)
    return View(view.address, t, packed_strides(t.shape, t.dtype.itemsize))
