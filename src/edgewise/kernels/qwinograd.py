"""Quantized 3x3 convolution of stride 1 by Winograd's F(2x2, 3x3): 8-bit in, 8-bit out, exact.

A tile of 2 x 2 outputs takes 16 products a channel where the direct sum has 36 (``winograd`` has
the sources). With 2 G in place of G the transformed weights are integers, and sums are 4 times
the convolution's, exactly: int16 operands, int32 sums, a shift.

    4 Y = A^T [ (2 G g G^T 2) * (B^T d B) ] A        (* elementwise, summed over the channels)

A unit is a block of tiles: their transformed inputs lie in a scratch on the stack, 16 planes of
int16[block][channels], and so do the sums of a panel, 16 planes of int32[block][nr].
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .image import view
from .ir import Type, Value, f32, i16, i32
from .isa import Clamp
from .qgemm import ADDITION, results
from .tiled import TiledBuilder, TiledConv
from .views import SLACK

G2 = np.array([[2, 0, 0], [1, 1, 1], [1, -1, 1], [0, 0, 2]])
"""Twice the matrix G of F(2, 3)."""

ALPHA, PLANES, LANES = 4, 16, 16
"""Inputs of a tile along an axis; products of a tile; channels that are transformed at once."""

MAX_CHANNELS = (1 << 29) // (9 * 255 * 128)
"""Four times the sum of more channels might not fit 32 bits."""


@dataclass(frozen=True)
class QWinograd(TiledConv):
    """A variant: products of ``mr`` tiles by ``nv`` vectors of channels; weights int8.

    Attributes:
        add: as in `QGemm`; the residual has the fields of ``image.view``.
    """

    nv: int = 2
    add: bool = False

    @property
    def nr(self) -> int:
        return self.nv * self.isa.lanes

    @property
    def out(self) -> tuple[int, int]:
        return 2, 2

    @property
    def planes(self) -> int:
        return PLANES

    @property
    def symbol(self) -> str:
        act, op = self.isa.activation, "qwinograd_add" if self.add else "qwinograd"
        return f"{op}_f2x3_{act}i8{act}_{self.mr}x{self.nr}__{self.isa.name}"

    @property
    def fields(self) -> dict[str, Type]:
        return super().fields | Clamp.FIELDS | (view("r") | ADDITION if self.add else {})

    def pitch(self, channels: int) -> int:
        return 2 * (-(-channels // LANES) * LANES)

    def panel_bytes(self, channels: int) -> int:
        return self.nr * (8 + PLANES * self.pitch(channels))

    def scratch_bytes(self, channels: int, block: int) -> int:
        return PLANES * block * (self.pitch(channels) + 4 * self.nr)

    def packed(
        self,
        weights: npt.NDArray[np.int8],
        bias: npt.NDArray[np.int32],
        scale: npt.NDArray[np.float32],
    ) -> npt.NDArray[np.uint8]:
        """Weights int8[n, 3, 3, channels], bias int32[n] and scale float32[n] as panels.

        A panel: bias int32[nr], scale float32[nr], then the transformed weights
        int16[16][channels // 2][nr][2]; channels of the output in ``Isa.order``, zeros beyond.
        """
        n, channels = len(weights), weights.shape[3]
        panels, depth = -(-n // self.nr), self.pitch(channels) // 2
        u = np.zeros((PLANES, depth, panels * self.nr), np.int16)
        rows = np.tensordot(G2, weights.astype(np.int64), (1, 1))
        u[:, :channels, :n] = (
            np.tensordot(G2, rows, (1, 2)).transpose(1, 0, 3, 2).reshape(PLANES, channels, n)
        )
        order = self.isa.order(self.nv)
        body = u.reshape(PLANES, depth // 2, 2, panels, self.nr)[..., order].transpose(
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
        inputs = k.alloca(k["block"] * k["pitch"] * PLANES + SLACK)
        sums = k.alloca(k["block"] * (PLANES * 4 * v.nr))
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
        k = self.k
        image, y, x = self.corner(tile)
        base = k["a"] + (image * k["a_image"] + channel)
        rows = [base + (y + i).min(k["in_height"] - 1) * k["a_row"] for i in range(ALPHA)]
        columns = [(x + j).min(k["in_width"] - 1) * k["a_x"] for j in range(ALPHA)]
        byte = self.isa.activation[LANES]
        tall = [_inner([(row + at).load(byte).to(i16[LANES]) for row in rows]) for at in columns]
        plane = k["block"] * k["pitch"]
        for i in range(ALPHA):
            for value in _inner([column[i] for column in tall]):
                target.store(value)
                target = target + plane

    def multiply(self, inputs: Value, weights: Value, products: Value) -> None:
        k, v, dot = self.k, self.v, self.dot
        plane, step, pitch = k["block"] * k["pitch"], 4 * v.nr, k["pitch"]
        with k.loop(0, PLANES, once=True) as place:
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
        """A^T M A / 4, bias, requantization; what lies beyond the output is not stored."""
        k, v, wide = self.k, self.v, i32[self.lanes]
        image, y, x = self.corner(tile)
        plane = k["block"] * (4 * v.nr)
        pixels: list[list[Value]] = [[] for _ in range(4)]
        for j in range(v.nv):
            at = source + wide.nbytes * j
            bias = (panel + wide.nbytes * j).load(wide)
            grid = [[(at + plane * (ALPHA * i + q)).load(wide) for i in range(4)] for q in range(4)]
            tall = [_outer(m) for m in grid]
            for i in range(2):
                for q, total in enumerate(_outer([column[i] for column in tall])):
                    pixels[2 * i + q].append((total >> 2) + bias)
        scales = [(panel + 4 * (v.nr + self.lanes * j)).load(f32[self.lanes]) for j in range(v.nv)]
        left = k["n"] - column
        here = {
            n: k[n] + (image * k[f"{n}_image"] + column) for n in (["c", "r"] if v.add else ["c"])
        }
        here = {n: a + self.steps(n, y, x) for n, a in here.items()}
        places = [(i, q) for i in range(2) for q in range(2)]
        whole = (y + 1).compare("lt", k["height"]) & (x + 1).compare("lt", k["width"])
        with k.when(whole & left.compare("ge", v.nr)) as full:
            for address, q8 in zip(*self.finished(pixels, scales, here, places), strict=True):
                address.store(q8)
        with k.when(full ^ 1):
            for sums, (i, q) in zip(pixels, places, strict=True):
                inside = (y + i).compare("lt", k["height"]) & (x + q).compare("lt", k["width"])
                with k.when(inside):
                    (address,), (q8,) = self.finished([sums], scales, here, [(i, q)])
                    address.store_partial(q8, left.min(v.nr))

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


def _inner(d: Sequence[Value]) -> list[Value]:
    """B^T of four vectors."""
    return [d[0] - d[2], d[1] + d[2], d[2] - d[1], d[1] - d[3]]


def _outer(m: Sequence[Value]) -> list[Value]:
    """A^T of four vectors."""
    return [m[0] + m[1] + m[2], m[1] - m[2] - m[3]]
