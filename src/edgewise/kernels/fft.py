"""Convolution of stride 1 with a large kernel by the fast Fourier transform, float32.

Sources: Cooley and Tukey (1965); Mathieu, Henaff and LeCun, "Fast Training of Convolutional
Networks through FFTs" (2014); overlap-save, as in NNPACK. A tile of the input, ``rows`` by
``columns`` pixels (powers of two), is transformed; its spectrum times the conjugate spectrum of the
weights, summed over the channels, is transformed back; the first rows - kh + 1 by
columns - kw + 1 pixels are the outputs of the tile.

The input is real, so half of a spectrum determines it. Its ``places``: along x, frequencies 0 to
columns/2, of which the first and the last are real sequences along y and so have rows/2 + 1
frequencies; each of the others has ``rows`` of them. All places are kept as complex numbers.

Lanes are channels: a transform is straight code on vectors.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .ir import Value, f32
from .isa import Isa
from .tiled import TiledBuilder, TiledConv, pack_panels


@dataclass(frozen=True)
class Complex:
    """A complex number of lanes; ``im`` is None where it is zero."""

    re: Value
    im: Value | None = None

    def __add__(self, other: Complex) -> Complex:
        return Complex(self.re + other.re, _sum(self.im, other.im))

    def __sub__(self, other: Complex) -> Complex:
        return Complex(self.re - other.re, _sum(self.im, _negative(other.im)))

    @property
    def conjugate(self) -> Complex:
        return Complex(self.re, _negative(self.im))

    def times(self, isa: Isa, turn: float) -> Complex:
        """This number turned by exp(2 pi i ``turn``); quarter turns take no product."""
        quarters = 4 * turn % 4
        if quarters == int(quarters):
            re: Value | None = self.re
            im = self.im
            for _ in range(int(quarters)):
                re, im = _negative(im), re
            return Complex(self.re - self.re if re is None else re, im)
        c, s = math.cos(2 * math.pi * turn), math.sin(2 * math.pi * turn)
        real, imaginary = self.re * c, self.re * s
        if self.im is not None:
            k, ty = self.im.k, self.im.ty
            real = isa.fma(self.im, k.const(-s, ty), real)
            imaginary = isa.fma(self.im, k.const(c, ty), imaginary)
        return Complex(real, imaginary)


def _negative(x: Value | None) -> Value | None:
    return None if x is None else x.k.emit(f"fneg {x.ty.llvm} {x.name}", x.ty)


def _sum(a: Value | None, b: Value | None) -> Value | None:
    if a is None or b is None:
        return b if a is None else a
    return a + b


def transform(isa: Isa, xs: Sequence[Complex], sign: int) -> list[Complex]:
    """sum over n of xs[n] exp(sign 2 pi i n k / N), for k = 0 .. N - 1; N a power of two."""
    n = len(xs)
    if n == 1:
        return list(xs)
    even, odd = (transform(isa, xs[start::2], sign) for start in (0, 1))
    turned = [x.times(isa, sign * k / n) for k, x in enumerate(odd)]
    return [e + o for e, o in zip(even, turned, strict=True)] + [
        e - o for e, o in zip(even, turned, strict=True)
    ]


def transform_real(isa: Isa, xs: Sequence[Value]) -> list[Complex]:
    """The frequencies 0 .. N/2 of N real numbers; the first and the last are real."""
    n = len(xs)
    if n == 1:
        return [Complex(xs[0])]
    if n == 2:
        return [Complex(xs[0] + xs[1]), Complex(xs[0] - xs[1])]
    even, odd = (transform_real(isa, xs[start::2]) for start in (0, 1))
    out: dict[int, Complex] = {}
    for k in range(n // 4 + 1):
        turned = odd[k].times(isa, -k / n)
        out[k] = even[k] + turned
        out[n // 2 - k] = (even[k] - turned).conjugate
    return [out[k] for k in range(n // 2 + 1)]


def inverse_real(isa: Isa, xs: Sequence[Complex]) -> list[Value]:
    """N times the N real numbers that have these frequencies 0 .. N/2."""
    n = 2 * (len(xs) - 1)
    if n == 2:
        return [xs[0].re + xs[1].re, xs[0].re - xs[1].re]
    pairs = [(xs[k], xs[n // 2 - k].conjugate) for k in range(n // 4 + 1)]
    even = inverse_real(isa, [a + b for a, b in pairs])
    odd = inverse_real(isa, [(a - b).times(isa, k / n) for k, (a, b) in enumerate(pairs)])
    return [x for pair in zip(even, odd, strict=True) for x in pair]


@dataclass(frozen=True)
class FftConv(TiledConv):
    """A variant: a tile's shape and the kernel's.

    Attributes:
        rows, columns: of a tile, powers of two from 4 to 64.
        kh, kw: the kernel's.
    """

    rows: int = 16
    columns: int = 16
    kh: int = 5
    kw: int = 5

    @property
    def out(self) -> tuple[int, int]:
        return self.rows - self.kh + 1, self.columns - self.kw + 1

    @property
    def places(self) -> int:
        """Complex numbers of a spectrum."""
        return self.rows * (self.columns // 2 - 1) + 2 * (self.rows // 2 + 1)

    @property
    def planes(self) -> int:
        return 2 * self.places

    @property
    def symbol(self) -> str:
        op = "_".join(("fftconv", *self.stages))
        tile = f"{self.rows}x{self.columns}k{self.kh}x{self.kw}"
        return f"{op}_f32_{tile}_{self.mr}x{self.nr}__{self.isa.name}"

    def pack(
        self, weights: npt.NDArray[np.float32], bias: npt.NDArray[np.float32]
    ) -> npt.NDArray[np.uint8]:
        """Weights float32[n, kh, kw, channels] and bias float32[n], transformed in float64.

        A panel: bias float32[nr], then float32[places][channels][2][nr], real and imaginary
        parts of the conjugate spectrum, divided by the number of the tile's pixels.
        """
        n, channels = weights.shape[0], weights.shape[3]
        size = (self.rows, self.columns)
        spectrum = np.conj(np.fft.rfft2(weights.astype(np.float64), size, axes=(1, 2)))
        spectrum /= self.rows * self.columns
        half = self.rows // 2 + 1
        parts = (spectrum[:, :half, [0, -1]], spectrum[:, :, 1:-1])
        placed = np.concatenate(
            [part.transpose(2, 1, 3, 0).reshape(-1, channels, n) for part in parts]
        )
        return pack_panels(np.stack([placed.real, placed.imag], 2).reshape(-1, n), bias, self.nr)

    def build(self) -> str:
        return _Builder(self).build()


class _Builder(TiledBuilder):
    def __init__(self, variant: FftConv) -> None:
        super().__init__(variant)
        self.v, self.size = variant, self.vector.nbytes
        self.half = variant.rows // 2 + 1

    def prepare(self) -> None:
        self.tile = self.k.alloca(self.v.rows * self.v.columns * self.size)
        self.line = self.k.alloca(self.v.columns * self.size)

    def transform_input(self, tile: Value, channel: Value, target: Value) -> None:
        self.read_tile(tile, channel)
        self.columns_in(target)

    def transform_output(self, tile: Value, source: Value, bias: Value, column: Value) -> None:
        self.columns_out(source)
        self.write_tile(tile, bias.load(self.vector), column)

    def read_tile(self, tile: Value, channel: Value) -> None:
        """The transform along x of each row of a tile. Beyond the input, its edge is read again.

        A row of ``self.tile``: the real frequencies 0 and columns/2, then the complex ones between.
        """
        k, v = self.k, self.v
        image, y, x = self.corner(tile)
        base = k["a"] + (image * k["a_image"] + channel)
        with k.loop(0, v.rows, once=True) as i:
            row = base + (y + i).min(k["in_height"] - 1) * k["a_row"]
            with k.loop(0, v.columns, once=True) as j:
                at = row + (x + j).min(k["in_width"] - 1) * k["a_x"]
                (self.line + j * self.size).store(at.load(self.vector))
            found = transform_real(
                self.isa, [(self.line + j * self.size).load(self.vector) for j in range(v.columns)]
            )
            place = self.tile + i * (v.columns * self.size)
            parts = [found[0].re, found[-1].re]
            parts += [part for x in found[1:-1] for part in self.parts(x)]
            for part in parts:
                place.store(part)
                place = place + self.size

    def parts(self, x: Complex) -> tuple[Value, Value]:
        im = self.k.const(0.0, self.vector) if x.im is None else x.im
        return x.re, im

    def columns_in(self, target: Value) -> None:
        """The transform along y of each column, to the places of a spectrum."""
        k, v = self.k, self.v
        row, imaginary = v.columns * self.size, k["block"] * k["pitch"]
        plane = imaginary * 2

        def put(place: Value, numbers: Sequence[Complex]) -> None:
            for number in numbers:
                for part in self.parts(number):
                    place.store(part)
                    place = place + imaginary

        with k.loop(0, 2, once=True) as j:
            at = self.tile + j * self.size
            real = [(at + i * row).load(self.vector) for i in range(v.rows)]
            put(target + j * plane * self.half, transform_real(self.isa, real))
        if v.columns > 2:
            with k.loop(1, v.columns // 2, once=True) as j:
                at = self.tile + j * (2 * self.size)
                numbers = [self.number(at + i * row, self.size) for i in range(v.rows)]
                place = target + plane * ((j - 1) * v.rows + 2 * self.half)
                put(place, transform(self.isa, numbers, -1))

    def number(self, at: Value, step: int | Value) -> Complex:
        """A complex number whose imaginary part lies ``step`` bytes after the real one."""
        return Complex(at.load(self.vector), (at + step).load(self.vector))

    def multiply(self, inputs: Value, weights: Value, products: Value) -> None:
        """In complex numbers."""
        k, v = self.k, self.v
        imaginary = k["block"] * k["pitch"]
        with k.loop(0, v.places, once=True) as place:
            a0 = inputs + place * (imaginary * 2)
            w = weights + place * (k["channels"] * (2 * self.size))
            c0 = products + place * (k["block"] * (2 * self.size))
            with k.loop(0, k["block"], v.mr, once=True) as t:
                rows = [a0 + (t + i) * k["pitch"] for i in range(v.mr)]
                zero = k.const(0.0, self.vector)
                sums = [(k.var(zero), k.var(zero)) for _ in rows]
                with k.loop(0, k["channels"], once=True) as c:
                    b = self.number(w + c * (2 * self.size), self.size)
                    assert b.im is not None
                    minus = _negative(b.im)
                    assert minus is not None
                    for row, (re, im) in zip(rows, sums, strict=True):
                        at = row + c * 4
                        x = at.load(f32).splat(self.lanes)
                        y = (at + imaginary).load(f32).splat(self.lanes)
                        re.value = self.isa.fma(y, minus, self.isa.fma(x, b.re, re.value))
                        im.value = self.isa.fma(y, b.re, self.isa.fma(x, b.im, im.value))
                for i, (re, im) in enumerate(sums):
                    target = c0 + (t + i) * self.size
                    target.store(re.value)
                    (target + k["block"] * self.size).store(im.value)

    def columns_out(self, source: Value) -> None:
        """Back along y; the rows that hold outputs are kept, in the form of ``read_tile``."""
        k, v = self.k, self.v
        row, imaginary = v.columns * self.size, k["block"] * self.size
        plane = imaginary * 2
        kept = v.out[0]
        with k.loop(0, 2, once=True) as j:
            at = source + j * plane * self.half
            numbers = [self.number(at + plane * i, imaginary) for i in range(self.half)]
            for i, value in enumerate(inverse_real(self.isa, numbers)[:kept]):
                (self.tile + j * self.size + i * row).store(value)
        if v.columns > 2:
            with k.loop(1, v.columns // 2, once=True) as j:
                at = source + plane * ((j - 1) * v.rows + 2 * self.half)
                numbers = [self.number(at + plane * i, imaginary) for i in range(v.rows)]
                for i, number in enumerate(transform(self.isa, numbers, 1)[:kept]):
                    for q, part in enumerate(self.parts(number)):
                        (self.tile + j * (2 * self.size) + (i * row + q * self.size)).store(part)

    def write_tile(self, tile: Value, bias: Value, column: Value) -> None:
        """Back along x, the bias and the stages; what lies beyond the output is not stored."""
        k, v = self.k, self.v
        image, y, x = self.corner(tile)
        tall, wide = v.out
        here = self.outputs(image, y, x)
        count = (k["width"] - x).min(wide)
        left = (k["n"] - column).min(self.lanes)
        with k.loop(0, (k["height"] - y).min(tall), once=True) as row:
            place = self.tile + row * (v.columns * self.size)
            ends = [Complex((place + j * self.size).load(self.vector)) for j in range(2)]
            inner = [
                self.number(place + j * (2 * self.size), self.size)
                for j in range(1, v.columns // 2)
            ]
            found = inverse_real(self.isa, [ends[0], *inner, ends[1]])
            for j, value in enumerate(found[:wide]):
                (self.line + j * self.size).store(value + bias)
            with k.loop(0, count, once=True) as pixel:
                result = (self.line + pixel * self.size).load(self.vector)
                address, value = self.finish(result, here, row, pixel, column)
                address.store_partial(value, left)


__all__ = ["FftConv"]
