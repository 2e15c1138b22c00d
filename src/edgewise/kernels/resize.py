"""Resizing images: bilinear interpolation of 8-bit pixels, and the nearest pixel."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .image import blocks, row_address, view
from .ir import Kernel, Type, Value, i32, index, ptr, u8, u32
from .isa import Isa

FRACTION = 11
"""Bits of fraction of a bilinear weight."""


@dataclass(frozen=True)
class Bilinear:
    """A variant of RESIZE_BILINEAR. A unit is a row of output pixels.

    ``xs`` and ``ys`` are the tables of the two axes, as ``taps`` lays them out.

    Attributes:
        width: channels of a block, a multiple of 16.
    """

    isa: Isa
    width: int = 16

    @property
    def symbol(self) -> str:
        act = self.isa.activation
        return f"bilinear_{act}{act}_{self.width}__{self.isa.name}"

    @property
    def fields(self) -> dict[str, Type]:
        sizes = dict.fromkeys(("out_height", "out_width", "channels"), index)
        return {**view("a"), **view("c"), **sizes, "xs": ptr, "ys": ptr}

    @staticmethod
    def taps(
        first: npt.NDArray[np.int32], second: npt.NDArray[np.int32], weight: npt.NDArray[np.float32]
    ) -> npt.NDArray[np.int32]:
        """The table of an axis of n output positions: int32[n, 4].

        An entry: the two input positions, and the weight (0..1) of the second in ``FRACTION`` bits.
        """
        fixed = np.rint(weight * np.float32(1 << FRACTION)).astype(np.int32)
        return np.stack([first, second, fixed, np.zeros_like(fixed)], 1).astype(np.int32)

    def build(self) -> str:
        return _Bilinear(self).build()


class _Bilinear:
    """Rows are interpolated first: t = upper * (1 - v) + lower * v, for the two input columns of
    an output pixel, again only when these change. Then y = t0 + (t1 - t0) * h.
    """

    def __init__(self, variant: Bilinear) -> None:
        self.v, self.n = variant, variant.width
        self.act = variant.isa.activation
        self.wide = i32[self.n]
        self.k = Kernel(variant.symbol, variant.fields)

    def build(self) -> str:
        k = self.k
        with k.loop(k.begin, k.end) as unit:
            image, y = unit // k["out_height"], unit % k["out_height"]
            above, below, v = (self.entry(k["ys"], y, i) for i in range(3))
            upper = row_address(k, "a", image, above.to(index))
            lower = row_address(k, "a", image, below.to(index))
            target = row_address(k, "c", image, y)
            down = v.splat(self.n)
            with blocks(k, k["channels"], self.n) as (channel, lanes):
                self.block(upper + channel, lower + channel, target + channel, down, lanes)
        return k.text()

    def entry(self, table: Value, position: Value, i: int) -> Value:
        return (table + (position * 16 + 4 * i)).load(i32, 4)

    def block(self, upper: Value, lower: Value, target: Value, down: Value, lanes: Value) -> None:
        k, n = self.k, self.n
        column = k.var(k.const(-1, i32))
        base, slope = k.var(k.const(0, self.wide)), k.var(k.const(0, self.wide))
        with k.loop(0, k["out_width"], once=True) as x:
            first, second, h = (self.entry(k["xs"], x, i) for i in range(3))
            with k.when(first.compare("ne", column.value)):
                column.value = first
                here = self.interpolate(upper, lower, first, down)
                there = self.interpolate(upper, lower, second, down)
                base.value = (here << FRACTION) + (1 << 2 * FRACTION - 1)
                slope.value = there - here
            y = (base.value + slope.value * h.splat(n)).to(self.unsigned(n)) >> 2 * FRACTION
            (target + x * k["c_x"]).store_partial(y.to(self.act[n]), lanes)

    def unsigned(self, n: int) -> Type:
        """int32 lanes with the signedness of the activations."""
        return u32[n] if self.act.kind == "u" else i32[n]

    def interpolate(self, upper: Value, lower: Value, column: Value, down: Value) -> Value:
        at = column.to(index) * self.k["a_x"]
        a, b = ((row + at).load(self.act[self.n]).to(self.wide) for row in (upper, lower))
        return (a << FRACTION) + (b - a) * down


@dataclass(frozen=True)
class Nearest:
    """A variant of RESIZE_NEAREST_NEIGHBOR of any dtype. A unit is a row of output pixels.

    ``channels`` counts bytes. ``xs`` and ``ys`` are int32[out_width] and int32[out_height]: the
    input position of each output position.

    Attributes:
        width: bytes of a block, a multiple of 16.
    """

    isa: Isa
    width: int = 16

    @property
    def symbol(self) -> str:
        return f"nearest_b8_{self.width}__{self.isa.name}"

    @property
    def fields(self) -> dict[str, Type]:
        sizes = dict.fromkeys(("out_height", "out_width", "channels"), index)
        return {**view("a"), **view("c"), **sizes, "xs": ptr, "ys": ptr}

    def build(self) -> str:
        k = Kernel(self.symbol, self.fields)
        with k.loop(k.begin, k.end) as unit:
            image, y = unit // k["out_height"], unit % k["out_height"]
            above = (k["ys"] + y * 4).load(i32, 4).to(index)
            source, target = row_address(k, "a", image, above), row_address(k, "c", image, y)
            with k.loop(0, k["out_width"], once=True) as x:
                column = (k["xs"] + x * 4).load(i32, 4).to(index)
                pixel, copy = source + column * k["a_x"], target + x * k["c_x"]
                with blocks(k, k["channels"], self.width) as (channel, lanes):
                    (copy + channel).store_partial((pixel + channel).load(u8[self.width]), lanes)
        return k.text()
