"""What convolutions of stride 1 by transforms share (``winograd``, ``fft``).

The output is cut into tiles; the inputs of a tile are transformed, multiplied with transformed
weights place by place, summed over the channels, and transformed back. A unit is a block of tiles:
their transformed inputs lie in a scratch on the stack, ``planes`` planes of [block][channels], and
so do the products of one panel of ``nr`` channels, as [planes][block][nr].
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .image import view
from .ir import Kernel, Type, Value, f32, index, ptr
from .isa import Isa
from .pixels import divide
from .stages import Place, placed, stage_fields
from .views import SLACK


@dataclass(frozen=True)
class TiledConv:
    """Base of the variants.

    Attributes:
        mr: tiles that a matrix product takes at once.
        stages: what follows, as in ``gemm.Gemm``; a residual has the fields of ``image.view``.
    """

    isa: Isa
    mr: int
    stages: tuple[str, ...] = ()

    @property
    def symbol(self) -> str:
        raise NotImplementedError

    @property
    def nr(self) -> int:
        """Channels of a panel."""
        return self.isa.lanes

    @property
    def out(self) -> tuple[int, int]:
        """Outputs of a tile: height and width."""
        raise NotImplementedError

    @property
    def planes(self) -> int:
        """Numbers that the transformed input of a tile has for a channel."""
        raise NotImplementedError

    @property
    def fields(self) -> dict[str, Type]:
        fields = {
            **view("a"),
            **view("c"),
            "w": ptr,
            **dict.fromkeys(("height", "width", "in_height", "in_width", "channels", "n"), index),
            **dict.fromkeys(("tiles_y", "tiles_x", "tiles", "block"), index),
            **dict.fromkeys(("panels", "panel_bytes", "pitch"), index),
        }
        return fields | stage_fields(self.stages, view)

    def build(self) -> str:
        raise NotImplementedError

    def pack(
        self, weights: npt.NDArray[np.float32], bias: npt.NDArray[np.float32]
    ) -> npt.NDArray[np.uint8]:
        """Weights float32[n, kh, kw, channels] and bias float32[n], transformed, as panels."""
        raise NotImplementedError

    def pitch(self, channels: int) -> int:
        """Bytes of a tile in a plane."""
        lanes = self.isa.lanes
        return 4 * (-(-channels // lanes) * lanes)

    def panel_bytes(self, channels: int) -> int:
        return 4 * self.nr * (1 + self.planes * channels)

    def scratch_bytes(self, channels: int, block: int) -> int:
        """Stack that a block of ``block`` tiles takes, save for what one tile needs."""
        return self.planes * block * (self.pitch(channels) + 4 * self.nr)


def pack_panels(
    rows: npt.NDArray[np.float64], bias: npt.NDArray[np.float32], nr: int
) -> npt.NDArray[np.uint8]:
    """Transformed weights [k, n] as panels: bias float32[nr], then float32[k][nr]; zeros beyond."""
    count, n = rows.shape
    panels = -(-n // nr)
    padded = np.zeros((1 + count, panels * nr), np.float32)
    padded[0, :n], padded[1:, :n] = bias, rows
    packed = padded.reshape(-1, panels, nr).transpose(1, 0, 2)
    return np.ascontiguousarray(packed).reshape(-1).view(np.uint8)


class TiledBuilder:
    """Emits a variant: the loops, which call what subclasses define."""

    def __init__(self, variant: TiledConv) -> None:
        self.variant = variant
        self.isa, self.lanes = variant.isa, variant.isa.lanes
        self.vector = f32[self.lanes]
        self.k = Kernel(variant.symbol, variant.fields)

    def build(self) -> str:
        k, v = self.k, self.variant
        inputs = k.alloca(k["block"] * k["pitch"] * v.planes + SLACK)
        products = k.alloca(k["block"] * (v.planes * 4 * v.nr))
        self.prepare()
        with k.loop(k.begin, k.end) as unit:
            first = unit * k["block"]
            with k.loop(0, k["block"], once=True) as t:
                tile = (first + t).min(k["tiles"] - 1)
                with k.loop(0, k["channels"], self.lanes, once=True) as c:
                    self.transform_input(tile, c * 4, inputs + (t * k["pitch"] + c * 4))
            with k.loop(0, k["panels"], once=True) as panel:
                w = k["w"] + panel * k["panel_bytes"]
                self.multiply(inputs, w + 4 * v.nr, products)
                count = (k["tiles"] - first).min(k["block"])
                with k.loop(0, count, once=True) as t:
                    self.transform_output(first + t, products + t * (4 * v.nr), w, panel * v.nr)
        return k.text()

    def prepare(self) -> None:
        """Reserve what a tile needs besides."""

    def transform_input(self, tile: Value, channel: Value, target: Value) -> None:
        """One vector of channels of a tile, to its place in the first of the planes."""
        raise NotImplementedError

    def multiply(self, inputs: Value, weights: Value, products: Value) -> None:
        """[block, channels] by [channels, nr] at each place."""
        raise NotImplementedError

    def transform_output(self, tile: Value, source: Value, bias: Value, column: Value) -> None:
        """The outputs of a tile in ``nr`` channels from ``column`` on, whose biases are there."""
        raise NotImplementedError

    def corner(self, tile: Value) -> tuple[Value, Value, Value]:
        """The image of a tile, and the row and column of its first output."""
        tall, wide = self.variant.out
        y, x = divide(tile, self.k["tiles_x"])
        image, y = divide(y, self.k["tiles_y"])
        return image, y * tall, x * wide

    def outputs(self, image: Value, y: Value, x: Value) -> dict[str, Value]:
        """The address of a pixel in the result and in the operands of the stages."""
        names = [
            "c",
            *(f"{prefix}r" for prefix, stage in placed(self.variant.stages) if stage.pixels),
        ]
        return {
            name: self.k[name] + (image * self.k[f"{name}_image"] + self.steps(name, y, x))
            for name in names
        }

    def steps(self, name: str, rows: Value | int, pixels: Value | int) -> Value:
        """Bytes from a pixel of an operand to another."""
        return self.k[f"{name}_row"] * rows + self.k[f"{name}_x"] * pixels

    def finish(
        self,
        value: Value,
        at: Mapping[str, Value],
        rows: Value | int,
        pixels: Value | int,
        column: Value,
    ) -> tuple[Value, Value]:
        """Where a sum belongs, ``rows`` and ``pixels`` from ``at``, and it after the stages."""
        here = {name: address + self.steps(name, rows, pixels) for name, address in at.items()}
        place = Place(self.k, here, column * 4, self.isa)
        for prefix, stage in placed(self.variant.stages):
            value = stage.apply(value, place, prefix)
        return here["c"] + place.column, value


__all__ = ["TiledBuilder", "TiledConv", "pack_panels"]
