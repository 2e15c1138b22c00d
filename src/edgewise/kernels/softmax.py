"""Softmax over a pixel's channels: 8-bit in, 8-bit out, exponentials from a table."""

from __future__ import annotations

import functools
from dataclasses import dataclass

from .image import pixels, row_address, to_activation, view
from .ir import Kernel, Type, Value, f32, i32, index, ptr, u8
from .isa import Clamp, Isa
from .normalize import interleaved


@dataclass(frozen=True)
class Softmax:
    """A variant of SOFTMAX over the last axis. A unit is a row of ``width`` pixels.

    ``table`` is int32[256], exponentials by the distance from the pixel's greatest value, each at
    most 2**23; ``factor`` is the float32 that makes 1 in steps of the output. See
    ``ops.normalization.Softmax`` for the rule.

    Attributes:
        few: pixels have so many channels and lie side by side in both operands: a lane does a
            pixel. 0: a lane does a channel.
    """

    isa: Isa
    few: int = 0

    @property
    def symbol(self) -> str:
        act = self.isa.activation
        form = f"few{self.few}_" if self.few else ""
        return f"softmax_{form}{act}{act}_{self.block}__{self.isa.name}"

    @property
    def block(self) -> int:
        return self.isa.lanes

    @property
    def fields(self) -> dict[str, Type]:
        sizes = dict.fromkeys(("height", "width", "channels"), index)
        return {**view("a"), **view("c"), **sizes, "table": ptr, "factor": f32, **Clamp.FIELDS}

    def build(self) -> str:
        return _Builder(self).build()


class _Builder:
    def __init__(self, variant: Softmax) -> None:
        self.v = variant
        self.act = variant.isa.activation
        self.k = Kernel(variant.symbol, variant.fields)

    def build(self) -> str:
        k = self.k
        if self.v.few:
            self.side_by_side()
            return k.text()
        with pixels(k) as (source, target):
            self.pixel(source, target)
        return k.text()

    def side_by_side(self) -> None:
        """Vectors of pixels, apart by channels; then pixel by pixel."""
        k, n, lanes = self.k, self.v.few, self.v.block
        whole = k["width"] & -lanes
        with k.loop(k.begin, k.end) as unit:
            image, y = unit // k["height"], unit % k["height"]
            source, target = row_address(k, "a", image, y), row_address(k, "c", image, y)
            with k.loop(0, whole, lanes) as x:
                self.vector(source + x * n, target + x * n)
            with k.loop(whole, k["width"]) as x:
                self.pixel(source + x * n, target + x * n)

    def vector(self, source: Value, target: Value) -> None:
        k, n, lanes = self.k, self.v.few, self.v.block
        block = source.load(self.act[lanes * n])
        channels = [block.shuffle(range(i, lanes * n, n)) for i in range(n)]
        greatest = functools.reduce(Value.max, channels)
        powers = []
        for channel in channels:
            distances = (greatest - channel).to(u8[lanes])
            entries = [distances.lane(i).to(index) for i in range(lanes)]
            powers.append(k.gather([(k["table"] + 4 * entry).load(i32, 4) for entry in entries]))
        total = functools.reduce(Value.__add__, powers)
        ratio = k["factor"].splat(lanes) / total.to(f32[lanes])
        results = [
            to_activation(self.v.isa, power.to(f32[lanes]) * ratio, Clamp(k)) for power in powers
        ]
        target.store(interleaved(results))

    def pixel(self, source: Value, target: Value) -> None:
        k, lanes = self.k, self.v.block
        greatest = self.greatest(source).to(index)
        total = k.var(0)
        with k.loop(0, k["channels"], once=True) as channel:
            total.value = total.value + self.exponential(source + channel, greatest).to(index)
        ratio = (k["factor"] / total.value.to(f32)).splat(lanes)
        end = k["channels"] + -1
        with k.loop(0, k["channels"], lanes, once=True) as first:
            at = [source + (first + i).min(end) for i in range(lanes)]
            t = k.gather([self.exponential(a, greatest) for a in at])
            q = to_activation(self.v.isa, t.to(f32[lanes]) * ratio, Clamp(k))
            (target + first).store_partial(q, (k["channels"] - first).min(lanes))

    def exponential(self, address: Value, greatest: Value) -> Value:
        distance = greatest - address.load(self.act).to(index)
        return (self.k["table"] + distance * 4).load(i32, 4)

    def greatest(self, source: Value) -> Value:
        k, n = self.k, 16
        places = k.vector(range(n), u8)
        inside = places < k["channels"].min(n).to(u8).splat(n)
        last = (k["channels"] + -n).max(0)
        least = k.const(0 if self.act.kind == "u" else -128, self.act[n])
        best = k.var(least)
        with k.loop(0, k["channels"], n, once=True) as channel:
            v = (source + channel.min(last)).load(self.act[n])
            best.value = best.value.max(inside.select(v, least))
        sign = "s" if self.act.kind == "i" else "u"
        return k.intrinsic(f"llvm.vector.reduce.{sign}max.v{n}i8", self.act, best.value)
