"""Average, greatest value and root mean square over windows of an image.

Elements are the instruction set's activations, int16 or float32. Sums of 8 bits are kept in 16-bit
lanes for up to 256 pixels, then in int32 lanes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from .image import blocks, clamp_real, row_address, view
from .ir import Kernel, Operand, Type, Value, f32, i16, i32, index, u16
from .isa import Isa
from .math import sqrt
from .reduce import Combine, combine, identity

PoolOp: TypeAlias = Literal["average", "max", "l2"]

NARROW = 256
"""Pixels whose sum fits 16-bit lanes."""


@dataclass(frozen=True)
class Pool:
    """A variant of AVERAGE_POOL_2D, MAX_POOL_2D or L2_POOL_2D. A unit is a row of output pixels.

    The window of output pixel (y, x) is ``filter_h`` x ``filter_w`` pixels of the input from
    (y * stride_h - top, x * stride_w - left), clipped at the input's borders; it must hold at
    least one pixel and, of integers, at most 2**23 (int16: 2**15).

    ``zero_point`` is the ``raw_zero`` of ``ops.pool.AveragePool2D``, from which sums count.

    Attributes:
        width: channels of a block, a multiple of 16 bytes.
        wide: windows may have more than ``NARROW`` pixels.
        element: ``isa.activation`` (None), int16 or float32; float32 alone has "l2".
    """

    isa: Isa
    op: PoolOp
    width: int = 16
    wide: bool = False
    element: Type | None = None

    @property
    def type(self) -> Type:
        return self.element or self.isa.activation

    @property
    def symbol(self) -> str:
        op = f"{self.op}pool" + ("_wide" if self.wide else "")
        return f"{op}_{self.type}{self.type}_{self.width}__{self.isa.name}"

    @property
    def fields(self) -> dict[str, Type]:
        sizes = ("height", "width", "out_height", "out_width", "channels")
        window = ("filter_h", "filter_w", "stride_h", "stride_w", "top", "left")
        fields = {**view("a"), **view("c"), **dict.fromkeys((*sizes, *window), index)}
        fields |= dict.fromkeys(("lo", "hi"), f32 if self.type == f32 else i32)
        if self.op == "average" and self.type != f32:
            fields["zero_point"] = i32
        return fields

    def build(self) -> str:
        return (_Reals if self.type == f32 else _Integers)(self).build()


class _Builder:
    def __init__(self, variant: Pool) -> None:
        self.v = variant
        self.type = variant.type
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
        k, v, size = self.k, self.v, self.type.nbytes
        count = rows * columns
        reciprocal = k.const(1.0, f32) / count.to(f32)
        with blocks(k, k["channels"], v.width) as (channel, lanes):
            start = source + channel * size
            if v.op == "max":
                result = self.greatest(start, rows, columns)
            else:
                result = self.average(start, rows, columns, count, reciprocal)
            (target + channel * size).store_partial(result, lanes)

    def window(
        self, start: Value, rows: Value, columns: Value, first: Value, step: Combine
    ) -> Value:
        """``step`` of what is known, which begins as ``first``, and each pixel."""
        k, n = self.k, self.v.width
        known = k.var(first)
        with k.loop(0, rows, once=True) as r:
            row = start + r * k["a_row"]
            with k.loop(0, columns, once=True) as x:
                known.value = step((row + x * k["a_x"]).load(self.type[n]), known.value)
        return known.value

    def greatest(self, start: Value, rows: Value, columns: Value) -> Value:
        least = self.k.const(identity("max", self.type), self.type[self.v.width])
        greater = combine(self.v.isa, "max", self.type)
        return self.clamp(self.window(start, rows, columns, least, greater))

    def average(
        self, start: Value, rows: Value, columns: Value, count: Value, reciprocal: Value
    ) -> Value:
        """The window's average of ``count`` pixels."""
        raise NotImplementedError

    def clamp(self, v: Value) -> Value:
        raise NotImplementedError


class _Reals(_Builder):
    def average(
        self, start: Value, rows: Value, columns: Value, count: Value, reciprocal: Value
    ) -> Value:
        n, zero = self.v.width, self.k.const(0.0, f32[self.v.width])
        if self.v.op == "average":
            total = self.window(start, rows, columns, zero, Value.__add__)
            return self.clamp(total * reciprocal.splat(n))
        total = self.window(start, rows, columns, zero, lambda x, s: self.v.isa.fma(x, x, s))
        return self.clamp(sqrt(self.v.isa, total * reciprocal.splat(n)))

    def clamp(self, v: Value) -> Value:
        return clamp_real(self.v.isa, v)


class _Integers(_Builder):
    def clamp(self, v: Value) -> Value:
        lo, hi = (self.k[name].to(self.type).splat(self.v.width) for name in ("lo", "hi"))
        return v.clamp(lo, hi)

    def average(
        self, start: Value, rows: Value, columns: Value, count: Value, reciprocal: Value
    ) -> Value:
        """total / count, rounded half away from zero, plus the zero point, clamped to lo..hi.

        The product with the reciprocal is within one of the quotient; its remainder tells.
        """
        k, n = self.k, self.v.width
        number = count.to(i32)
        total = self.total(start, rows, columns) - (number * k["zero_point"]).splat(n)
        divisor = number.splat(n)
        magnitude = total.max(k.const(0, i32[n]) - total)
        dividend = magnitude + (number >> 1).splat(n)
        q = (dividend.to(f32[n]) * reciprocal.splat(n)).to(i32[n])
        rest = dividend - q * divisor
        q = q + (rest >= divisor).to(i32[n]) - (rest < 0).to(i32[n])
        q = (total < 0).select(k.const(0, i32[n]) - q, q) + k["zero_point"].splat(n)
        return q.clamp(k["lo"].splat(n), k["hi"].splat(n)).to(self.type[n])

    def total(self, start: Value, rows: Value, columns: Value) -> Value:
        """int32 sums of the window's raw values, which count from 0."""
        k, n = self.k, self.v.width
        if self.type.bits == 16:
            zero = k.const(0, i32[n])
            return self.window(start, rows, columns, zero, lambda x, s: s + x.to(i32[n]))
        lanes = (u16 if self.type.kind == "u" else i16)[n]
        zero = k.const(0, lanes)
        total, part = k.var(k.const(0, i32[n])), k.var(zero)

        def add(row: Value, first: Operand, last: Value) -> None:
            with k.loop(first, last, once=True) as x:
                part.value = part.value + (row + x * k["a_x"]).load(self.type[n]).to(lanes)

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
