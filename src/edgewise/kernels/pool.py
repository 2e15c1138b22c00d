"""Average, greatest value and mean over windows of an image: 8-bit in, 8-bit out.

Sums are kept in 16-bit lanes for up to 256 pixels, then in int32 lanes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from .image import blocks, row_address, to_activation, view
from .ir import Kernel, Operand, Type, Value, f32, i16, i32, index, u16
from .isa import Clamp, Isa

PoolOp: TypeAlias = Literal["average", "max", "mean"]

NARROW = 256
"""Pixels whose sum fits 16-bit lanes."""


@dataclass(frozen=True)
class Pool:
    """A variant of AVERAGE_POOL_2D, MAX_POOL_2D or MEAN. A unit is a row of output pixels.

    The window of output pixel (y, x) is ``filter_h`` x ``filter_w`` pixels of the input from
    (y * stride_h - top, x * stride_w - left), clipped at the input's borders; it must hold at
    least one pixel and at most 2**23.

    ``zero_point`` is the ``raw_zero`` of ``ops.pool.AveragePool2D`` and ``ops.reduce.Mean``, from
    which sums count; mean takes the latter's ``scale`` and ``offset``, and its windows must not be
    clipped.

    Attributes:
        width: channels of a block, a multiple of 16.
        wide: windows may have more than ``NARROW`` pixels.
    """

    isa: Isa
    op: PoolOp
    width: int = 16
    wide: bool = False

    @property
    def symbol(self) -> str:
        act = self.isa.activation
        op = f"{self.op}pool" + ("_wide" if self.wide else "")
        return f"{op}_{act}{act}_{self.width}__{self.isa.name}"

    @property
    def fields(self) -> dict[str, Type]:
        sizes = ("height", "width", "out_height", "out_width", "channels")
        window = ("filter_h", "filter_w", "stride_h", "stride_w", "top", "left")
        fields = {**view("a"), **view("c"), **dict.fromkeys((*sizes, *window), index)}
        fields |= {"lo": i32, "hi": i32}
        if self.op != "max":
            fields["zero_point"] = i32
        if self.op == "mean":
            fields |= {"scale": f32, "offset": f32}
        return fields

    def build(self) -> str:
        return _Builder(self).build()


class _Builder:
    def __init__(self, variant: Pool) -> None:
        self.v = variant
        self.act = variant.isa.activation
        self.k = Kernel(variant.symbol, variant.fields)

    def build(self) -> str:
        k = self.k
        with k.loop(k.begin, k.end) as unit:
            image, y = unit // k["out_height"], unit % k["out_height"]
            top, bottom = self.extent(y, "filter_h", "stride_h", "top", "height")
            source, target = row_address(k, "a", image, top), row_address(k, "c", image, y)
            with k.loop(0, k["out_width"], once=True) as x:
                left, right = self.extent(x, "filter_w", "stride_w", "left", "width")
                self.pixel(
                    source + left * k["a_x"], target + x * k["c_x"], bottom - top, right - left
                )
        return k.text()

    def extent(
        self, at: Value, taps: str, stride: str, before: str, size: str
    ) -> tuple[Value, Value]:
        """Begin and end along one axis of the window of output position ``at``."""
        k = self.k
        begin = at * k[stride] - k[before]
        return begin.max(0), (begin + k[taps]).min(k[size])

    def pixel(self, source: Value, target: Value, rows: Value, columns: Value) -> None:
        k, v = self.k, self.v
        count = (rows * columns).to(i32)
        reciprocal = k.const(1.0, f32) / count.to(f32) if v.op == "average" else None
        with blocks(k, k["channels"], v.width) as (channel, lanes):
            start = source + channel
            if v.op == "max":
                q = self.greatest(start, rows, columns)
            else:
                total = self.total(start, rows, columns)
                total = total - (count * k["zero_point"]).splat(v.width)
                q = (
                    self.mean(total)
                    if reciprocal is None
                    else self.average(total, count, reciprocal)
                )
            (target + channel).store_partial(q, lanes)

    def greatest(self, start: Value, rows: Value, columns: Value) -> Value:
        k, n = self.k, self.v.width
        best = k.var(k["lo"].to(self.act).splat(n))
        with k.loop(0, rows, once=True) as r:
            row = start + r * k["a_row"]
            with k.loop(0, columns, once=True) as x:
                best.value = best.value.max((row + x * k["a_x"]).load(self.act[n]))
        return best.value.min(k["hi"].to(self.act).splat(n))

    def total(self, start: Value, rows: Value, columns: Value) -> Value:
        """int32 sums of the window's raw values, which count from 0."""
        k, n = self.k, self.v.width
        lanes = (u16 if self.act.kind == "u" else i16)[n]
        zero = k.const(0, lanes)
        total, part = k.var(k.const(0, i32[n])), k.var(zero)

        def add(row: Value, first: Operand, last: Value) -> None:
            with k.loop(first, last, once=True) as x:
                part.value = part.value + (row + x * k["a_x"]).load(self.act[n]).to(lanes)

        with k.loop(0, rows, once=True) as r:
            row = start + r * k["a_row"]
            if not self.v.wide:
                add(row, 0, columns)
            else:
                with k.loop(0, columns, NARROW, once=True) as first:
                    part.value = zero
                    add(row, first, (first + NARROW).min(columns))
                    total.value = total.value + part.value.to(i32[n])
        return total.value if self.v.wide else part.value.to(i32[n])

    def average(self, total: Value, count: Value, reciprocal: Value) -> Value:
        """total / count, rounded half away from zero, plus the zero point, clamped to lo..hi.

        The product with the reciprocal is within one of the quotient; its remainder tells.
        """
        k, n = self.k, self.v.width
        divisor = count.splat(n)
        magnitude = total.max(k.const(0, i32[n]) - total)
        dividend = magnitude + (count >> 1).splat(n)
        q = (dividend.to(f32[n]) * reciprocal.splat(n)).to(i32[n])
        rest = dividend - q * divisor
        q = q + (rest >= divisor).to(i32[n]) - (rest < 0).to(i32[n])
        q = (total < 0).select(k.const(0, i32[n]) - q, q) + k["zero_point"].splat(n)
        return q.clamp(k["lo"].splat(n), k["hi"].splat(n)).to(self.act[n])

    def mean(self, total: Value) -> Value:
        k, n = self.k, self.v.width
        scaled = total.to(f32[n]) * k["scale"].splat(n)
        return to_activation(self.v.isa, scaled + k["offset"].splat(n), Clamp(k))
