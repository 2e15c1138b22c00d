"""3x3 convolution of stride 1 by Winograd's minimal filtering F(m x m, 3 x 3), float32.

Sources: Winograd (1980); Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks"
(2015). A tile of m x m outputs reads alpha x alpha inputs, alpha = m + 2:

    Y = A^T [ (G g G^T) * (B^T d B) ] A        (* elementwise, summed over the channels)

so a channel costs alpha^2 products a tile where the direct sum has 9 m^2. Weights are transformed
when they are packed.

The matrices come from the interpolation points 0, 1, -1, 2, -2, 1/2, -1/2 (as many as needed) and
infinity. Points come in pairs +p and -p, whose rows differ in the sign of every other entry: the
transforms compute the even and the odd half once for both.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache

import numpy as np
import numpy.typing as npt

from .gemm import add_products
from .ir import Value
from .tiled import TiledBuilder, TiledConv, pack_panels

POINTS = tuple(
    Fraction(n, d) for n, d in ((0, 1), (1, 1), (-1, 1), (2, 1), (-2, 1), (1, 2), (-1, 2))
)
TAPS = 3

Matrix = tuple[tuple[Fraction, ...], ...]


@dataclass(frozen=True)
class Transforms:
    """The matrices A^T [m, alpha], B^T [alpha, alpha] and G [alpha, 3] of F(m, 3)."""

    at: Matrix
    bt: Matrix
    g: Matrix


@cache
def transforms(m: int) -> Transforms:
    """F(m, 3) for m of 2, 4 or 6, by Toom and Cook's construction on ``POINTS`` and infinity."""
    alpha = m + TAPS - 1
    points = POINTS[: alpha - 1]
    others = [[p - q for q in points if q != p] for p in points]
    scale = [math.prod(row, start=Fraction(1)) for row in others]
    at = [[p**i for p in points] + [Fraction(i == m - 1)] for i in range(m)]
    g = [[p**i / s for i in range(TAPS)] for p, s in zip(points, scale, strict=True)]
    g.append([Fraction(i == TAPS - 1) for i in range(TAPS)])
    bt = [[*_from_roots([q for q in points if q != p]), Fraction(0)] for p in points]
    bt.append(_from_roots(points))
    return Transforms(*(tuple(map(tuple, matrix)) for matrix in (at, bt, g)))


def _from_roots(roots: Sequence[Fraction]) -> list[Fraction]:
    """Coefficients of the product of (x - root), the constant one first."""
    coefficients = [Fraction(1)]
    for root in roots:
        shifted = [Fraction(0), *coefficients]
        coefficients = [
            a - root * b for a, b in zip(shifted, [*coefficients, Fraction(0)], strict=True)
        ]
    return coefficients


@dataclass(frozen=True)
class Winograd(TiledConv):
    """A variant: F(m x m, 3 x 3), and panels of ``nv`` vectors of channels."""

    m: int = 4
    nv: int = 1

    @property
    def alpha(self) -> int:
        return self.m + TAPS - 1

    @property
    def planes(self) -> int:
        return self.alpha**2

    @property
    def out(self) -> tuple[int, int]:
        return self.m, self.m

    @property
    def nr(self) -> int:
        return self.nv * self.isa.lanes

    @property
    def symbol(self) -> str:
        op = "_".join(("winograd", *self.stages))
        return f"{op}_f{self.m}x3_f32_{self.mr}x{self.nr}__{self.isa.name}"

    def pack(
        self, weights: npt.NDArray[np.float32], bias: npt.NDArray[np.float32]
    ) -> npt.NDArray[np.uint8]:
        """Weights float32[n, 3, 3, channels] and bias float32[n], transformed in float64.

        A panel: bias float32[nr], then float32[alpha^2][channels][nr].
        """
        n = len(weights)
        g = np.array(transforms(self.m).g, np.float64)
        u = np.einsum("iy,jx,nyxc->ijcn", g, g, weights.astype(np.float64), optimize=True)
        return pack_panels(u.reshape(-1, n), bias, self.nr)

    def build(self) -> str:
        return _Builder(self).build()


class _Builder(TiledBuilder):
    def __init__(self, variant: Winograd) -> None:
        super().__init__(variant)
        self.v = variant
        self.matrices = transforms(variant.m)

    def prepare(self) -> None:
        self.results = self.k.alloca(self.v.m**2 * self.vector.nbytes)

    def transform_input(self, tile: Value, channel: Value, target: Value) -> None:
        """B^T d B. Beyond the input its last row and column are read again."""
        k, alpha = self.k, self.v.alpha
        image, y, x = self.corner(tile)
        base = k["a"] + (image * k["a_image"] + channel)
        rows = [base + (y + i).min(k["in_height"] - 1) * k["a_row"] for i in range(alpha)]
        columns = [(x + j).min(k["in_width"] - 1) * k["a_x"] for j in range(alpha)]
        tall = [
            self.apply(self.matrices.bt, [(row + column).load(self.vector) for row in rows])
            for column in columns
        ]
        plane = k["block"] * k["pitch"]
        for i in range(alpha):
            for value in self.apply(self.matrices.bt, [tall[j][i] for j in range(alpha)]):
                target.store(value)
                target = target + plane

    def multiply(self, inputs: Value, weights: Value, products: Value) -> None:
        k, v = self.k, self.v
        plane, step = k["block"] * k["pitch"], 4 * v.nr
        with k.loop(0, v.planes, once=True) as place:
            a0, w = inputs + place * plane, weights + place * (k["channels"] * step)
            c0 = products + place * (k["block"] * step)
            with k.loop(0, k["block"], v.mr, once=True) as t:
                rows = [a0 + (t + i) * k["pitch"] for i in range(v.mr)]
                zero = k.const(0.0, self.vector)
                acc = [[k.var(zero) for _ in range(v.nv)] for _ in rows]
                with k.loop(0, k["channels"], once=True) as c:
                    add_products(self.isa, acc, [row + c * 4 for row in rows], w + c * step, 1)
                for i, sums in enumerate(acc):
                    for j, total in enumerate(sums):
                        at = c0 + (t + i) * step + self.vector.nbytes * j
                        at.store(total.value)

    def transform_output(self, tile: Value, source: Value, bias: Value, column: Value) -> None:
        """A^T M A and the bias; what lies beyond the output is not stored."""
        k, m, alpha = self.k, self.v.m, self.v.alpha
        image, y, x = self.corner(tile)
        plane = k["block"] * (4 * self.v.nr)
        here = self.outputs(image, y, x)
        tall, wide = (k["height"] - y).min(m), (k["width"] - x).min(m)
        whole = tall.compare("eq", m) & wide.compare("eq", m)
        with k.loop(0, (k["n"] - column).min(self.v.nr), self.lanes, once=True) as first:
            at, channel = source + first * 4, column + first
            left = k["n"] - channel
            columns = [
                self.apply(
                    self.matrices.at,
                    [(at + plane * (i * alpha + q)).load(self.vector) for i in range(alpha)],
                )
                for q in range(alpha)
            ]
            grid = [
                self.apply(self.matrices.at, [columns[q][i] for q in range(alpha)])
                for i in range(m)
            ]
            biases = (bias + first * 4).load(self.vector)
            with k.when(whole & left.compare("ge", self.lanes)) as full:
                for i in range(m):
                    for q in range(m):
                        address, value = self.finish(grid[i][q] + biases, here, i, q, channel)
                        address.store(value)
            with k.when(full ^ 1):
                for i in range(m):
                    for q in range(m):
                        result = self.results + (i * m + q) * self.vector.nbytes
                        result.store(grid[i][q] + biases)
                with k.loop(0, tall, once=True) as row, k.loop(0, wide, once=True) as pixel:
                    result = self.results + (row * m + pixel) * self.vector.nbytes
                    value = result.load(self.vector)
                    address, value = self.finish(value, here, row, pixel, channel)
                    address.store_partial(value, left.min(self.lanes))

    def apply(self, matrix: Matrix, xs: Sequence[Value]) -> list[Value]:
        """The product of a constant matrix and a vector of vectors of lanes.

        Where columns come in pairs that differ in sign alone (A^T), sums and differences of their
        operands serve all rows; where rows do (B^T), their even and odd halves serve both.
        """
        matrix, xs = self.paired(matrix, xs)
        out: dict[int, Value] = {}
        for i, row in enumerate(matrix):
            if i in out:
                continue
            mirror = tuple(x if j % 2 == 0 else -x for j, x in enumerate(row))
            partner = next((p for p, r in enumerate(matrix) if p > i and _same(r, mirror)), None)
            if partner is None:
                out[i] = self.sum_of(row, xs)
                continue
            even = self.sum_of([x if j % 2 == 0 else Fraction(0) for j, x in enumerate(row)], xs)
            odd = self.sum_of([x if j % 2 else Fraction(0) for j, x in enumerate(row)], xs)
            out[i] = even + odd
            out[partner] = even - odd if matrix[partner] == mirror else odd - even
        return [out[i] for i in range(len(matrix))]

    def paired(self, matrix: Matrix, xs: Sequence[Value]) -> tuple[Matrix, list[Value]]:
        """The same product with xs[j] + xs[j + 1] and their difference in place of such pairs."""
        columns, operands = [list(column) for column in zip(*matrix, strict=True)], list(xs)
        for j in range(len(columns) - 1):
            a, b = columns[j], columns[j + 1]
            if (
                a != b
                and all(abs(p) == abs(q) for p, q in zip(a, b, strict=True))
                and any(p == q != 0 for p, q in zip(a, b, strict=True))
            ):
                pairs = list(zip(a, b, strict=True))
                operands[j], operands[j + 1] = (
                    operands[j] + operands[j + 1],
                    operands[j] - operands[j + 1],
                )
                columns[j] = [p if p == q else Fraction(0) for p, q in pairs]
                columns[j + 1] = [p if p != q else Fraction(0) for p, q in pairs]
        return tuple(zip(*columns, strict=True)), operands

    def sum_of(self, row: Sequence[Fraction], xs: Sequence[Value]) -> Value:
        """A linear combination; what is multiplied by 1 comes first."""
        k, vector = self.k, self.vector
        terms = sorted((abs(abs(x) - 1), j) for j, x in enumerate(row) if x)
        total: Value | None = None
        for _, j in terms:
            factor = row[j]
            if total is None:
                total = xs[j] if factor == 1 else xs[j] * float(factor)
            elif abs(factor) == 1:
                total = total + xs[j] if factor == 1 else total - xs[j]
            else:
                total = self.isa.fma(xs[j], k.const(float(factor), vector), total)
        assert total is not None
        return total


def _same(row: Sequence[Fraction], mirror: Sequence[Fraction]) -> bool:
    """Whether two rows are equal, or each other's negative."""
    return tuple(row) in (tuple(mirror), tuple(-x for x in mirror))


__all__ = ["Transforms", "Winograd", "transforms"]
