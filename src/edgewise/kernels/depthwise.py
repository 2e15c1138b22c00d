"""Depthwise convolution with multiplier 1: float32 in, float32 out.

A tile is ``pixels`` neighbours of an output row in ``lanes`` channels; its sums stay in registers
while a loop goes over the taps. Taps are taken in runs of ``columns`` side by side: a run's
weights stay in registers too, and each input column is loaded once for all sums that it belongs
to. The last tile of a row and the last block of channels start early, so that they end with it.
The input carries its padding.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from . import views
from .image import row_address, view
from .ir import Kernel, Type, Value, f32, index, ptr
from .isa import Isa
from .stages import Place, placed, stage_fields, stage_operands
from .storage import FLOAT32, Storage

MAX_PIXELS = 8
MAX_COLUMNS = 5


@dataclass(frozen=True)
class Depthwise:
    """A variant. A work unit is ``per_unit`` blocks of channels of an output row of one image.

    Neighbouring rows of the same channels follow each other; ``parts`` units make a row.
    ``a_row`` is the step between input rows of neighbouring output rows. ``taps`` is the table of
    the runs' offsets, ``w`` what ``pack`` gives.

    Attributes:
        pixels: of a tile; output rows have at least as many.
        lanes: channels of a block.
        columns: taps of a run, side by side in the input.
        stride: input columns between output columns; with runs of one tap it is 1, and ``a_x``
            is the step of any stride.
        partial: fewer channels than a block holds.
        stages: what follows before sums are stored: names of ``stages.STAGES``, in order. An
            operand that has a pixel for each output pixel is a view.
        storage: how the weights are stored.
    """

    isa: Isa
    pixels: int
    lanes: int
    columns: int = 1
    stride: int = 1
    partial: bool = False
    stages: tuple[str, ...] = ()
    storage: Storage = FLOAT32

    @property
    def symbol(self) -> str:
        tail = "p" if self.partial else ""
        window = f"{self.columns}s{self.stride}"
        op = "_".join((f"depthwise{tail}", *self.stages))
        return f"{op}_f32{self.storage.name}_{window}_{self.pixels}x{self.lanes}__{self.isa.name}"

    @property
    def fields(self) -> dict[str, Type]:
        sizes = ("height", "width", "channels", "blocks", "parts", "per_unit", "runs")
        return {
            **view("a"),
            **view("c"),
            **dict.fromkeys(("w", "taps"), ptr),
            **dict.fromkeys(sizes, index),
            **stage_fields(self.stages, view),
        }

    def pack(
        self, weights: npt.NDArray[np.float32], bias: npt.NDArray[np.float32]
    ) -> npt.NDArray[np.uint8]:
        """Weights float32[rows, columns, C] and bias float32[C] as blocks of channels.

        A block: its bias, then the weights of each tap, as they are stored.
        """
        channels = weights.shape[2]
        starts = np.maximum(0, np.minimum(self.starts(channels), channels - self.lanes))
        chosen = np.minimum(starts[:, None] + np.arange(self.lanes), channels - 1)
        taps = self.storage.pack(weights).reshape(-1, channels)[:, chosen].transpose(1, 0, 2)
        parts = (np.ascontiguousarray(x) for x in (bias[chosen], taps.reshape(len(chosen), -1)))
        return np.hstack([part.view(np.uint8) for part in parts])

    def starts(self, channels: int) -> npt.NDArray[np.int64]:
        """The first channel of each block, before the last one is moved back."""
        return np.arange(0, channels, self.lanes)

    def build(self) -> str:
        k = Kernel(self.symbol, self.fields)
        tap_bytes = self.storage.nbytes * self.lanes
        block_bytes = k["runs"] * (self.columns * tap_bytes) + 4 * self.lanes
        with views.grid(k, [k["parts"], k["height"]]) as (image, part, y):
            names = ("a", "c", *stage_operands(self.stages))
            row = {name: row_address(k, name, image, y) for name in names}
            first = part * k["per_unit"]
            last = (first + k["per_unit"]).min(k["blocks"])
            with k.loop(0, k["width"], self.pixels, once=True) as at:
                x = at.min(k["width"] - self.pixels)
                steps = {name: x * k[f"{name}_x"] for name in names}
                at_pixel = {name: row[name] + steps[name] for name in names[1:]}
                source = row["a"] + steps["a"] * self.stride
                with k.loop(first, last, once=True) as block:
                    channel = block * self.lanes
                    if not self.partial:
                        channel = channel.min(k["channels"] - self.lanes)
                    weights = k["w"] + block * block_bytes
                    self._tile(k, source, at_pixel, channel * 4, weights)
        return k.text()

    def _tile(
        self, k: Kernel, source: Value, pixel: Mapping[str, Value], column: Value, weights: Value
    ) -> None:
        """The tile from the first pixels of the operands on; ``column`` is the block's offset."""
        vector, nbytes = f32[self.lanes], self.storage.nbytes * self.lanes
        isa = replace(self.isa, bits=32 * self.lanes)
        bias = weights.load(vector)
        sums = [k.var(bias) for _ in range(self.pixels)]
        with k.loop(0, k["runs"], once=True) as run:
            at = weights + (run * (self.columns * nbytes) + vector.nbytes)
            w = [self.storage.load(isa, at + j * nbytes) for j in range(self.columns)]
            here = source + (column + (k["taps"] + run * 8).load(index, 8))
            reach = (self.pixels - 1) * self.stride + self.columns
            for x, address in enumerate(neighbours(k, here, "a_x", reach)):
                loaded = address.load(vector)
                for p, total in enumerate(sums):
                    if 0 <= x - p * self.stride < self.columns:
                        total.value = self.isa.fma(loaded, w[x - p * self.stride], total.value)
        pixels = {
            name: neighbours(k, first, f"{name}_x", self.pixels) for name, first in pixel.items()
        }
        for total in sums:
            place = Place(k, {name: next(each) for name, each in pixels.items()}, column, isa)
            result = total.value
            for prefix, stage in placed(self.stages):
                result = stage.apply(result, place, prefix)
            address = place.rows["c"] + column
            if self.partial:
                address.store_partial(result, k["channels"].min(self.lanes))
            else:
                address.store(result)


def neighbours(k: Kernel, first: Value, step: str, count: int) -> Iterator[Value]:
    """``count`` addresses, ``step`` (a field) apart."""
    steps = [k.once((step, i), functools.partial(k[step].__mul__, i)) for i in range(5)]
    for i in range(count):
        if i and i % 4 == 0:
            first = first + steps[4]
        yield first + steps[i % 4] if i % 4 else first
