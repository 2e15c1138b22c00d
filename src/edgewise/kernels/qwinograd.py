"""Quantized 3x3 convolution of stride 1 by Winograd's F(m x m, 3x3): 8-bit in, 8-bit out, exact.

A tile of m x m outputs takes (m + 2)^2 products a channel where the direct sum has 9 m^2
(``winograd`` has the sources). With the rows of G multiplied until they are integers, the
transformed weights are, and sums are a multiple of the convolution's, exactly:

    F Y = A^T [ (G g G^T) * (B^T d B) ] A        (* elementwise, summed over the channels)

Operands are int16. Sums may wrap around in int32, but F Y must fit: 4 Y with m = 2. With m = 4, F
is 9 times a power of two, up to 576; Y is F Y shifted, times the inverse of 9 modulo 2^32.

A unit is a block of tiles: their transformed inputs lie in a scratch on the stack, in planes of
int16[block][channels], and so do the sums of a panel, in planes of int32[block][nr].
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .image import view
from .ir import Type, Value, f32, i16, i32
from .isa import Clamp
from .qgemm import ADDITION, results
from .tiled import TiledBuilder, TiledConv
from .views import SLACK

Array = npt.NDArray[np.int64]

LANES = 16
"""Channels that are transformed at once."""

G: Mapping[int, Array] = {
    2: np.array([[2, 0, 0], [1, 1, 1], [1, -1, 1], [0, 0, 2]]),
    4: np.array([[1, 0, 0], [-1, -1, -1], [-1, 1, -1], [1, 2, 4], [1, -2, 4], [0, 0, 1]]),
}
"""By m, G of F(m, 3) with its rows times 2, or times 4, 6, 6, 24, 24 and 1."""

SHIFTS: Mapping[int, tuple[int, ...]] = {2: (1, 1), 4: (3, 2, 1, 1)}
"""The powers of two that rows of outputs, and columns of them, are multiplied by."""

ODD = 9
"""What they are multiplied by besides, with m = 4."""

INVERSE = pow(ODD, -1, 2**32)
MOST: Mapping[int, int] = {2: 2**31 // 4, 4: 2**31 // 576}
"""What a sum must stay below in magnitude."""


@dataclass(frozen=True)
class QWinograd(TiledConv):
    """A variant: products of ``mr`` tiles by ``nv`` vectors of channels; weights int8.

    Attributes:
        add: as in `QGemm`; the residual has the fields of ``image.view``.
        m: outputs of a tile along an axis, 2 or 4.
    """

    nv: int = 2
    add: bool = False
    m: int = 2

    @property
    def alpha(self) -> int:
        """Inputs of a tile along an axis."""
        return self.m + 2

    @property
    def nr(self) -> int:
        return self.nv * self.isa.lanes

    @property
    def out(self) -> tuple[int, int]:
        return self.m, self.m

    @property
    def planes(self) -> int:
        return self.alpha**2

    @property
    def symbol(self) -> str:
        act, op = self.isa.activation, "qwinograd_add" if self.add else "qwinograd"
        return f"{op}_f{self.m}x3_{act}i8{act}_{self.mr}x{self.nr}__{self.isa.name}"

    @property
    def fields(self) -> dict[str, Type]:
        return super().fields | Clamp.FIELDS | (view("r") | ADDITION if self.add else {})

    def pitch(self, channels: int) -> int:
        return 2 * (-(-channels // LANES) * LANES)

    def panel_bytes(self, channels: int) -> int:
        return self.nr * (8 + self.planes * self.pitch(channels))

    def scratch_bytes(self, channels: int, block: int) -> int:
        return self.planes * block * (self.pitch(channels) + 4 * self.nr)

    def fits(self, weights: npt.NDArray[np.int8]) -> bool:
        """Whether sums by weights int8[n, 3, 3, channels] are exact for all inputs."""
        above, below = (
            np.maximum(signed, 0).sum(axis=(1, 2, 3)).max(initial=0)
            for signed in (weights.astype(np.int64), -weights.astype(np.int64))
        )
        return bool(255 * max(above, below) < MOST[self.m])

    def packed(
        self,
        weights: npt.NDArray[np.int8],
        bias: npt.NDArray[np.int32],
        scale: npt.NDArray[np.float32],
    ) -> npt.NDArray[np.uint8]:
        """Weights int8[n, 3, 3, channels], bias int32[n] and scale float32[n] as panels.

        A panel: bias int32[nr], scale float32[nr], then the transformed weights
        int16[planes][channels // 2][nr][2]; channels of the output in ``Isa.order``, zeros beyond.
        """
        n, channels = len(weights), weights.shape[3]
        panels, depth = -(-n // self.nr), self.pitch(channels) // 2
        u, g = np.zeros((self.planes, depth, panels * self.nr), np.int16), G[self.m]
        rows = np.tensordot(g, weights.astype(np.int64), (1, 1))
        u[:, :channels, :n] = (
            np.tensordot(g, rows, (1, 2)).transpose(1, 0, 3, 2).reshape(-1, channels, n)
        )
        order = self.isa.order(self.nv)
        body = u.reshape(self.planes, depth // 2, 2, panels, self.nr)[..., order].transpose(
            3, 0, 1, 4, 2
        )
        head = np.zeros((2, panels * self.nr), np.int32)
        head[:, :n] = bias, scale.view(np.int32)
        head = head.reshape(2, panels, self.nr)[..., order].transpose(1, 0, 2)
        parts = (np.ascontiguousarray(x).reshape(panels, -1).view(np.uint8) for x in (head, body))
        out = np.concatenate([*parts], axis=1).ravel()
        return np.concatenate([out, np.zeros(SLACK, np.uint8)])

    def build(self) -> str:
        return _Builder(self).build()


class _Builder(TiledBuilder):
    def __init__(self, variant: QWinograd) -> None:
        super().__init__(variant)
        self.v, self.clamp, self.dot = variant, Clamp(self.k), variant.isa.words

    def build(self) -> str:
        k, v = self.k, self.v
        inputs = k.alloca(k["block"] * k["pitch"] * v.planes + SLACK)
        sums = k.alloca(k["block"] * (v.planes * 4 * v.nr))
        with k.loop(k.begin, k.end) as unit:
            first = unit * k["block"]
            with k.loop(0, k["block"], once=True) as t:
                tile = (first + t).min(k["tiles"] - 1)
                with k.loop(0, k["channels"], LANES, once=True) as c:
                    self.transform_input(tile, c, inputs + (t * k["pitch"] + c * 2))
            with k.loop(0, k["panels"], once=True) as panel:
                w = k["w"] + panel * k["panel_bytes"]
                self.multiply(inputs, w + 8 * v.nr, sums)
                count = (k["tiles"] - first).min(k["block"])
                with k.loop(0, count, once=True) as t:
                    self.transform_output(first + t, sums + t * (4 * v.nr), w, panel * v.nr)
        return k.text()

    def transform_input(self, tile: Value, channel: Value, target: Value) -> None:
        """B^T d B. Beyond the input its last row and column are read again."""
        k, alpha = self.k, self.v.alpha
        image, y, x = self.corner(tile)
        base = k["a"] + (image * k["a_image"] + channel)
        rows = [base + (y + i).min(k["in_height"] - 1) * k["a_row"] for i in range(alpha)]
        columns = [(x + j).min(k["in_width"] - 1) * k["a_x"] for j in range(alpha)]
        byte, inner = self.isa.activation[LANES], INNER[self.v.m]
        tall = [inner([(row + at).load(byte).to(i16[LANES]) for row in rows]) for at in columns]
        plane = k["block"] * k["pitch"]
        for i in range(alpha):
            for value in inner([column[i] for column in tall]):
                target.store(value)
                target = target + plane

    def multiply(self, inputs: Value, weights: Value, products: Value) -> None:
        k, v, dot = self.k, self.v, self.dot
        plane, step, pitch = k["block"] * k["pitch"], 4 * v.nr, k["pitch"]
        with k.loop(0, v.planes, once=True) as place:
            a0, w = inputs + place * plane, weights + place * (pitch * v.nr)
            c0 = products + place * (k["block"] * step)
            with k.loop(0, k["block"], v.mr, once=True) as t:
                rows = [a0 + (t + i) * pitch for i in range(v.mr)]
                zero = k.const(0, i32[self.lanes])
                acc = [[k.var(zero) for _ in range(v.nv)] for _ in rows]
                with k.loop(0, pitch, 4, once=True) as c:
                    b = dot.load_b(w + c * v.nr, v.nv)
                    for row, totals in zip(rows, acc, strict=True):
                        (a,) = dot.load_a(row + c)
                        for total, weight in zip(totals, b, strict=True):
                            total.value = dot.mac(total.value, a, weight)
                for i, totals in enumerate(acc):
                    for j, total in enumerate(totals):
                        (c0 + (t + i) * step + total.value.ty.nbytes * j).store(total.value)

    def transform_output(self, tile: Value, source: Value, panel: Value, column: Value) -> None:
        """A^T M A without its factor, bias, requantization; none beyond the output is stored."""
        k, v, wide, m = self.k, self.v, i32[self.lanes], self.v.m
        image, y, x = self.corner(tile)
        plane, outer = k["block"] * (4 * v.nr), OUTER[m]
        pixels: list[list[Value]] = [[] for _ in range(m * m)]
        places = [(i, q) for i in range(m) for q in range(m)]
        for j in range(v.nv):
            at = source + wide.nbytes * j
            bias = (panel + wide.nbytes * j).load(wide)
            grid = [
                [(at + plane * (v.alpha * i + q)).load(wide) for i in range(v.alpha)]
                for q in range(v.alpha)
            ]
            tall = [outer(products) for products in grid]
            sums = [total for i in range(m) for total in outer([column[i] for column in tall])]
            for pixel, (i, q), total in zip(pixels, places, sums, strict=True):
                pixel.append(self.divided(total, SHIFTS[m][i] + SHIFTS[m][q]) + bias)
        scales = [(panel + 4 * (v.nr + self.lanes * j)).load(f32[self.lanes]) for j in range(v.nv)]
        left = k["n"] - column
        here = {
            n: k[n] + (image * k[f"{n}_image"] + column) for n in (["c", "r"] if v.add else ["c"])
        }
        here = {n: a + self.steps(n, y, x) for n, a in here.items()}
        whole = (y + (m - 1)).compare("lt", k["height"]) & (x + (m - 1)).compare("lt", k["width"])
        with k.when(whole & left.compare("ge", v.nr)) as full:
            for address, q8 in zip(*self.finished(pixels, scales, here, places), strict=True):
                address.store(q8)
        with k.when(full ^ 1):
            for sums, (i, q) in zip(pixels, places, strict=True):
                inside = (y + i).compare("lt", k["height"]) & (x + q).compare("lt", k["width"])
                with k.when(inside):
                    (address,), (q8,) = self.finished([sums], scales, here, [(i, q)])
                    address.store_partial(q8, left.min(v.nr))

    def divided(self, total: Value, shift: int) -> Value:
        """A sum, of which this one is a multiple."""
        shifted = total >> shift
        return shifted if self.v.m == 2 else shifted * INVERSE

    def finished(
        self,
        sums: list[list[Value]],
        scales: list[Value],
        here: dict[str, Value],
        places: Sequence[tuple[int, int]],
    ) -> tuple[list[Value], list[Value]]:
        """Addresses and 8-bit results of pixels, so many rows and columns from ``here``."""
        rounded = [self.isa.rounded(row, scales, self.clamp) for row in sums]
        at = {name: [a + self.steps(name, *p) for p in places] for name, a in here.items()}
        return at["c"], results(self.isa, self.clamp, rounded, at.get("r"))


def _inner_2(d: Sequence[Value]) -> list[Value]:
    """B^T of four vectors."""
    return [d[0] - d[2], d[1] + d[2], d[2] - d[1], d[1] - d[3]]


def _inner_4(d: Sequence[Value]) -> list[Value]:
    """B^T of six vectors."""
    fours = d[4] - (d[2] << 2), d[3] - (d[1] << 2)
    ones, twos = d[4] - d[2], (d[3] - d[1]) << 1
    first, last = ((d[0] - d[2]) << 2) + ones, (d[5] - d[3]) - (twos << 1)
    pairs = [x for a, b in (fours, (ones, twos)) for x in (a + b, a - b)]
    return [first, *pairs, last]


def _outer_2(m: Sequence[Value]) -> list[Value]:
    """A^T of four vectors."""
    return [m[0] + m[1] + m[2], m[1] - m[2] - m[3]]


def _outer_4(m: Sequence[Value]) -> list[Value]:
    """A^T of six vectors, times 24, 12, 6 and 6, where rows of G have factors of their own."""
    (s1, d1), (s2, d2) = ((a + b, a - b) for a, b in (m[1:3], m[3:5]))
    ends = [(x + (x << 1)) << 1 for x in (m[0], m[5])]
    return [ends[0] + (s1 << 2) + s2, (d1 << 1) + d2, s1 + s2, d1 + (d2 << 1) + ends[1]]


INNER, OUTER = {2: _inner_2, 4: _inner_4}, {2: _outer_2, 4: _outer_4}
