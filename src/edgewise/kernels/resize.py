"""Resizing images: bilinear interpolation of 8-bit or float32 pixels, and the nearest pixel."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .image import blocks, row_address, view
from .ir import Kernel, Type, Value, f32, i32, index, ptr, u8, u32
from .isa import Isa

FRACTION = 11
"""Bits of fraction of a bilinear weight."""


@dataclass(frozen=True)
class Bilinear:
    """A variant of RESIZE_BILINEAR. A unit is a row of output pixels.

    ``xs`` and ``ys`` are the tables of the two axes, as ``taps`` lays them out.

    Attributes:
        width: channels of a block, a multiple of 16 bytes.
        real: float32, not ``Isa.activation``.
    """

    isa: Isa
    width: int = 16
    real: bool = False

    @property
    def type(self) -> Type:
        return f32 if self.real else self.isa.activation

    @property
    def symbol(self) -> str:
        return f"bilinear_{self.type}{self.type}_{self.width}__{self.isa.name}"

    @property
    def fields(self) -> dict[str, Type]:
        sizes = dict.fromkeys(("out_height", "out_width", "channels"), index)
        return {**view("a"), **view("c"), **sizes, "xs": ptr, "ys": ptr}

    def taps(
        self,
        first: npt.NDArray[np.int32],
        second: npt.NDArray[np.int32],
        weight: npt.NDArray[np.float32],
    ) -> npt.NDArray[np.int32]:
        """The table of an axis of n output positions: int32[n, 4].

        An entry: the two input positions, and the weight (0..1) of the second: of floats the
        bits of a float32, else ``FRACTION`` bits.
        """
        if self.real:
            weights = weight.astype(np.float32).view(np.int32)
        else:
            weights = np.rint(weight * np.float32(1 << FRACTION)).astype(np.int32)
        return np.stack([first, second, weights, np.zeros_like(weights)], 1).astype(np.int32)

    def build(self) -> str:
        return _Bilinear(self).build()


class _Bilinear:
    """Rows are interpolated first: t = upper * (1 - v) + lower * v, for the two input columns of
    an output pixel, again only when these change. Then y = t0 + (t1 - t0) * h.
    """

    def __init__(self, variant: Bilinear) -> None:
        self.v, self.n = variant, variant.width
        self.type = variant.type
        self.number = f32 if variant.real else i32
        self.wide = self.number[self.n]
        self.k = Kernel(variant.symbol, variant.fields)

    def build(self) -> str:
        k, size = self.k, self.type.nbytes
        with k.loop(k.begin, k.end) as unit:
            image, y = unit // k["out_height"], unit % k["out_height"]
            (above, below), down = self.entry(k["ys"], y)
            upper = row_address(k, "a", image, above.to(index))
            lower = row_address(k, "a", image, below.to(index))
            target = row_address(k, "c", image, y)
            with blocks(k, k["channels"], self.n) as (channel, lanes):
                start = channel * size
                self.block(upper + start, lower + start, target + start, down, lanes)
        return k.text()

    def entry(self, table: Value, position: Value) -> tuple[tuple[Value, Value], Value]:
        """The input positions, and the second's weight in all lanes."""
        at = table + position * 16
        weight = (at + 8).load(self.number, 4).splat(self.n)
        return (at.load(i32, 4), (at + 4).load(i32, 4)), weight

    def block(self, upper: Value, lower: Value, target: Value, down: Value, lanes: Value) -> None:
        k = self.k
        column = k.var(k.const(-1, i32))
        base, slope = k.var(k.const(0, self.wide)), k.var(k.const(0, self.wide))
        with k.loop(0, k["out_width"], once=True) as x:
            (first, second), h = self.entry(k["xs"], x)
            with k.when(first.compare("ne", column.value)):
                column.value = first
                here = self.interpolate(upper, lower, first, down)
                there = self.interpolate(upper, lower, second, down)
                base.value, slope.value = here, there - here
                if not self.v.real:
                    base.value = (here << FRACTION) + (1 << 2 * FRACTION - 1)
            (target + x * k["c_x"]).store_partial(self.mix(base.value, slope.value, h), lanes)

    def mix(self, base: Value, slope: Value, h: Value) -> Value:
        if self.v.real:
            return self.v.isa.fma(slope, h, base)
        signedness = u32[self.n] if self.type.kind == "u" else i32[self.n]
        y = (base + slope * h).to(signedness) >> 2 * FRACTION
        return y.to(self.type[self.n])

    def interpolate(self, upper: Value, lower: Value, column: Value, down: Value) -> Value:
        at = column.to(index) * self.k["a_x"]
        a, b = ((row + at).load(self.type[self.n]).to(self.wide) for row in (upper, lower))
        if self.v.real:
            return self.v.isa.fma(b - a, down, a)
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
