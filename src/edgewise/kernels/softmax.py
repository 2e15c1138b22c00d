"""Softmax over a pixel's channels: 8-bit in, 8-bit out, exponentials from a table."""

from __future__ import annotations

from dataclasses import dataclass

from .image import pixels, to_activation, view
from .ir import Kernel, Type, Value, f32, i32, index, ptr, u8
from .isa import Clamp, Isa


@dataclass(frozen=True)
class Softmax:
    """A variant of SOFTMAX over the last axis. A unit is a row of ``width`` pixels.

    ``table`` is int32[256], exponentials by the distance from the pixel's greatest value, each at
    most 2**23; ``factor`` is the float32 that makes 1 in steps of the output. See
    ``ops.reduce.Softmax`` for the rule.
    """

    isa: Isa

    @property
    def symbol(self) -> str:
        act = self.isa.activation
        return f"softmax_{act}{act}_{self.block}__{self.isa.name}"

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
        with pixels(k) as (source, target):
            self.pixel(source, target)
        return k.text()

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
