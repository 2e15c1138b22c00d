"""Normalisations of a pixel's channels in float32.

``Normalize`` is SOFTMAX, LOG_SOFTMAX or L2_NORMALIZATION, ``LocalResponse`` is
LOCAL_RESPONSE_NORMALIZATION. A unit is a row of ``width`` pixels. Sums keep one partial sum a lane.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal, TypeAlias

from .image import pixels, row_address, view
from .ir import Kernel, Type, Value, f32, i32, index
from .isa import Isa
from .math import at_least, exp, log, sqrt
from .reduce import Combine, combine, identity
from .shuffles import halved

NormalizeOp: TypeAlias = Literal["softmax", "log_softmax", "l2_normalization"]
Map: TypeAlias = Callable[[Value], Value]

LEAST_NORM = 1e-6
"""What L2_NORMALIZATION divides by at least."""


@dataclass(frozen=True)
class Normalize:
    """A variant. ``beta`` multiplies what softmax takes the exponentials of.

    Attributes:
        few: pixels have so many channels and lie side by side in both operands: a lane does a
            pixel. 0: a lane does a channel.
    """

    isa: Isa
    op: NormalizeOp
    few: int = 0

    @property
    def symbol(self) -> str:
        form = f"few{self.few}_" if self.few else ""
        return f"{self.op}_{form}f32_{self.isa.lanes}__{self.isa.name}"

    @property
    def fields(self) -> dict[str, Type]:
        sizes = dict.fromkeys(("height", "width", "channels"), index)
        return {**view("a"), **view("c"), **sizes, **({"beta": f32} if self.scaled else {})}

    @property
    def scaled(self) -> bool:
        return self.op == "softmax"

    def build(self) -> str:
        k = Kernel(self.symbol, self.fields)
        if self.few:
            self.side_by_side(k)
            return k.text()
        row = _Row(k, self.isa)
        with pixels(k) as (source, target):
            if self.op == "l2_normalization":
                self.l2(row, source, target)
            else:
                self.exponentials(row, source, target)
        return k.text()

    def side_by_side(self, k: Kernel) -> None:
        """Vectors of pixels, apart by channels; then pixel by pixel."""
        n, lanes = self.few, self.isa.lanes
        whole = k["width"] & -lanes
        with k.loop(k.begin, k.end) as unit:
            image, y = unit // k["height"], unit % k["height"]
            source, target = row_address(k, "a", image, y), row_address(k, "c", image, y)
            with k.loop(0, whole, lanes) as x:
                block = (source + x * (4 * n)).load(f32[lanes * n])
                apart = [block.shuffle(range(i, lanes * n, n)) for i in range(n)]
                (target + x * (4 * n)).store(interleaved(self.channels(apart)))
            with k.loop(whole, k["width"]) as x:
                at, to = source + x * (4 * n), target + x * (4 * n)
                results = self.channels([(at + 4 * i).load(f32) for i in range(n)])
                for i, result in enumerate(results):
                    (to + 4 * i).store(result)

    def channels(self, xs: Sequence[Value]) -> list[Value]:
        """The results of channels that are values of their own."""
        isa, k = self.isa, xs[0].k
        one = k.const(1.0, xs[0].ty)
        if self.op == "l2_normalization":
            squares = functools.reduce(Value.__add__, [x * x for x in xs])
            factor = one / at_least(isa, sqrt(isa, squares), LEAST_NORM)
            return [x * factor for x in xs]
        greatest = functools.reduce(combine(isa, "max", f32), xs)
        below = [x - greatest for x in xs]
        if self.scaled:
            below = [x * k["beta"].splat(x.ty.lanes) for x in below]
        powers = [exp(isa, x) for x in below]
        total = functools.reduce(Value.__add__, powers)
        if self.op == "log_softmax":
            logarithm = log(isa, total)
            return [x - logarithm for x in below]
        factor = one / total
        return [e * factor for e in powers]

    def l2(self, row: _Row, source: Value, target: Value) -> None:
        total = row.sum(source, lambda x: x * x)
        norm = at_least(self.isa, sqrt(self.isa, total), LEAST_NORM)
        factor = (row.k.const(1.0, f32) / norm).splat(row.lanes)
        row.map(source, target, lambda x: x * factor)

    def exponentials(self, row: _Row, source: Value, target: Value) -> None:
        k, isa = row.k, self.isa
        greatest = row.greatest(source).splat(row.lanes)

        def below(x: Value) -> Value:
            return (x - greatest) * k["beta"].splat(row.lanes) if self.scaled else x - greatest

        if self.op == "log_softmax":
            total = row.sum(source, lambda x: exp(isa, below(x)))
            logarithm = log(isa, total).splat(row.lanes)
            row.map(source, target, lambda x: below(x) - logarithm)
            return
        zero = k.const(0.0, f32[row.lanes])
        sums, last = k.var(zero), k.var(zero)
        with row.whole_vectors() as at:
            e = exp(isa, below((source + at).load(zero.ty)))
            (target + at).store(e)
            sums.value = sums.value + e
        with row.last_vector() as at:
            last.value = row.inside.select(exp(isa, below((source + at).load(zero.ty))), 0.0)
        total = halved(sums.value + last.value, Value.__add__)
        factor = (k.const(1.0, f32) / total).splat(row.lanes)
        with row.whole_vectors() as at:
            (target + at).store((target + at).load(zero.ty) * factor)
        with row.last_vector() as at:
            (target + at).store_partial(last.value * factor, row.rest)


def interleaved(parts: Sequence[Value]) -> Value:
    """Lane 0 of each vector, then lane 1 of each, and so on."""
    lanes, n = parts[0].ty.lanes, len(parts)
    joint = parts[0]
    for part in parts[1:]:
        known = joint.ty.lanes
        padded = part.shuffle([min(i, lanes - 1) for i in range(known)])
        joint = joint.shuffle([*range(known), *range(known, known + lanes)], padded)
    return joint.shuffle([i * lanes + lane for lane in range(lanes) for i in range(n)])


class _Row:
    """The ``channels`` floats of a pixel, vector by vector; the last may be part of one."""

    def __init__(self, k: Kernel, isa: Isa) -> None:
        self.k, self.isa, self.lanes = k, isa, isa.lanes
        self.whole = k["channels"] & -self.lanes
        self.rest = k["channels"] - self.whole
        self.inside = k.vector(range(self.lanes), i32) < self.rest.to(i32).splat(self.lanes)

    @contextmanager
    def whole_vectors(self) -> Iterator[Value]:
        """A loop over the whole vectors: their offsets in bytes."""
        with self.k.loop(0, self.whole, self.lanes) as i:
            yield i * 4

    @contextmanager
    def last_vector(self) -> Iterator[Value]:
        """What is done if there is a last, partial vector: its offset in bytes."""
        with self.k.when(self.rest.compare("ne", 0)):
            yield self.whole * 4

    def map(self, source: Value, target: Value, function: Map) -> None:
        """target = function(source)"""
        vector = f32[self.lanes]
        with self.whole_vectors() as at:
            (target + at).store(function((source + at).load(vector)))
        with self.last_vector() as at:
            (target + at).store_partial(function((source + at).load(vector)), self.rest)

    def sum(self, source: Value, function: Map) -> Value:
        return self.reduce(source, function, Value.__add__, 0.0)

    def greatest(self, source: Value) -> Value:
        return self.reduce(source, lambda x: x, combine(self.isa, "max", f32), identity("max", f32))

    def reduce(self, source: Value, function: Map, step: Combine, neutral: float) -> Value:
        k, vector = self.k, f32[self.lanes]
        total = k.var(k.const(neutral, vector))
        with self.whole_vectors() as at:
            total.value = step(function((source + at).load(vector)), total.value)
        with self.last_vector() as at:
            last = self.inside.select(function((source + at).load(vector)), neutral)
            total.value = step(last, total.value)
        return halved(total.value, step)


@dataclass(frozen=True)
class LocalResponse:
    """x * (bias + alpha * s) ** -beta, s the sum of squares over ``radius`` channels around."""

    isa: Isa

    @property
    def symbol(self) -> str:
        return f"local_response_f32_{self.isa.lanes}__{self.isa.name}"

    @property
    def fields(self) -> dict[str, Type]:
        sizes = dict.fromkeys(("height", "width", "channels", "radius"), index)
        constants = dict.fromkeys(("bias", "alpha", "beta"), f32)
        return {**view("a"), **view("c"), **sizes, **constants}

    @staticmethod
    def scratch_floats(channels: int, radius: int, lanes: int) -> int:
        """Floats of stack that the kernel takes."""
        return channels + 2 * radius + 2 * lanes

    def build(self) -> str:
        """Squares lie on the stack between zeros, so that windows need no test."""
        k, isa, lanes = Kernel(self.symbol, self.fields), self.isa, self.isa.lanes
        vector = f32[lanes]
        length = k["channels"] + k["radius"] * 2
        squares = k.alloca((length + 2 * lanes) * 4)
        with k.loop(0, length, lanes, once=True) as i:
            (squares + i * 4).store(k.const(0.0, vector))
        row = _Row(k, isa)
        bias, alpha = k["bias"].splat(lanes), k["alpha"].splat(lanes)
        power = (k.const(0.0, f32) - k["beta"]).splat(lanes)
        with pixels(k) as (source, target):
            row.map(source, squares + k["radius"] * 4, lambda x: x * x)
            with k.loop(0, k["channels"], lanes, once=True) as i:
                total = k.var(k.const(0.0, vector))
                with k.loop(0, k["radius"] * 2 + 1, once=True) as j:
                    total.value = total.value + (squares + (i + j) * 4).load(vector)
                scale = exp(isa, log(isa, isa.fma(alpha, total.value, bias)) * power)
                y = (source + i * 4).load(vector) * scale
                (target + i * 4).store_partial(y, (k["channels"] - i).min(lanes))
        return k.text()
