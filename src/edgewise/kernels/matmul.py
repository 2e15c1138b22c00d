"""Matrix products of integers that are both computed: c[M, N] = x[M, K] * y[K, N].

Both are read where they lie: x one element at a time, with any strides, and y by vectors along N.
A batch has two dimensions, and a unit is ``mr`` rows of one product; past the last row, that one
stands again. Sums of 8-bit products are int32, those of others int64.
"""

from __future__ import annotations

from dataclasses import dataclass

from .fixed_point import RULES
from .ir import Kernel, Type, Value, f32, i32, i64, index, ptr
from .isa import Clamp, Isa
from .shuffles import joined
from .views import grid

VECTORS = 2
"""Of columns that are summed at a time."""


@dataclass(frozen=True)
class IntegerMatMul:
    """A variant.

    Attributes:
        x, y, out: types of the elements.
        bias: bits of the biases, one a column; 0 for none.
        rounding: as in `QGemm`.
        wide: sums are int64; else they wrap to int32.
    """

    isa: Isa
    x: Type
    y: Type
    out: Type
    bias: int = 0
    rounding: str = ""
    wide: bool = False

    @property
    def mr(self) -> int:
        return 4 if self.sum.bits == 32 else 2

    @property
    def sum(self) -> Type:
        """What products are summed in."""
        return i32 if self.x.bits == self.y.bits == 8 else i64

    @property
    def symbol(self) -> str:
        op = "_".join(("matmul", *([self.rounding] if self.rounding else [])))
        types = f"{self.x}{self.y}{self.out}"
        bias = f"b{self.bias}" if self.bias else ""
        sums = "i64" if self.wide else "i32"
        shape = f"{self.mr}x{VECTORS * self.isa.lanes}"
        return f"{op}_{types}_{sums}{bias}_{shape}__{self.isa.name}"

    @property
    def fields(self) -> dict[str, Type]:
        names = ["x", "y", "c"] + ["bias"] * bool(self.bias)
        factors = ["multiplier", "exponent"] if self.rounding else ["scale"]
        steps = [f"{name}_{i}" for name in "xyc" for i in range(2)]
        return {
            **dict.fromkeys((*names, *factors), ptr),
            **dict.fromkeys((*steps, "x_row", "x_step", "y_row", "c_row"), index),
            **dict.fromkeys(("d1", "tiles", "m", "n", "k"), index),
            **dict.fromkeys(("x_zero", "y_zero"), i32),
            **Clamp.FIELDS,
        }

    def build(self) -> str:
        return _Builder(self).build()


class _Builder:
    def __init__(self, variant: IntegerMatMul) -> None:
        self.v = variant
        self.isa = variant.isa
        self.k = Kernel(variant.symbol, variant.fields)
        self.clamp = Clamp(self.k)

    def build(self) -> str:
        k, v = self.k, self.v
        width = VECTORS * self.isa.lanes
        with grid(k, [k["d1"], k["tiles"]]) as (outer, inner, tile):
            x, y, c = (
                k[name] + (outer * k[f"{name}_0"] + inner * k[f"{name}_1"]) for name in "xyc"
            )
            at = [(tile * v.mr + i).min(k["m"] - 1) for i in range(v.mr)]
            rows = [x + row * k["x_row"] for row in at]
            targets = [c + row * k["c_row"] for row in at]
            with k.loop(0, k["n"], width, once=True) as column:
                sums = self.sums(rows, y + column * (v.y.bits // 8))
                left = (k["n"] - column).min(width)
                for target, row in zip(targets, sums, strict=True):
                    result = joined([self.result(s, column, j) for j, s in enumerate(row)])
                    (target + column * (v.out.bits // 8)).store_partial(result, left)
        return k.text()

    def sums(self, rows: list[Value], y: Value) -> list[list[Value]]:
        k, v, lanes = self.k, self.v, self.isa.lanes
        ty = v.sum[lanes]
        acc = [[k.var(k.const(0, ty)) for _ in range(VECTORS)] for _ in rows]
        zero = k.once(("y_zero", lanes), lambda: k["y_zero"].splat(lanes))
        with k.loop(0, k["k"], once=True) as step:
            start, size = y + step * k["y_row"], v.y.bits // 8 * lanes
            columns = [
                (start + size * j).load(v.y[lanes]).to(i32[lanes]) - zero for j in range(VECTORS)
            ]
            for row, totals in zip(rows, acc, strict=True):
                element = (row + step * k["x_step"]).load(v.x.scalar).to(i32) - k["x_zero"]
                factor = element.splat(lanes)
                for total, column in zip(totals, columns, strict=True):
                    total.value = total.value + (factor * column).to(ty)
        return [[total.value for total in row] for row in acc]

    def result(self, total: Value, column: Value, j: int) -> Value:
        """The j-th vector of the results from ``column`` on."""
        k, v, lanes = self.k, self.v, self.isa.lanes
        first = column + lanes * j
        if v.bias:
            bias = (k["bias"] + first * (v.bias // 8)).load(Type("i", v.bias, lanes))
            total = total.to(i64[lanes]) + bias.to(i64[lanes])
        total = total.to(i64[lanes] if v.wide else i32[lanes])
        if v.rounding:
            multiplier, exponent = (
                (k[name] + first * 4).load(i32[lanes]) for name in ("multiplier", "exponent")
            )
            scaled = RULES[v.rounding](total, multiplier, exponent).clamp(-(2**30), 2**30 - 1)
        else:
            scale = (k["scale"] + first * 4).load(f32[lanes])
            (scaled,) = self.isa.rounded([total], [scale], self.clamp)
            scaled = scaled.max(-(2**30))
        zero, lo, hi = (self.clamp.lanes(what, i32[lanes]) for what in ("zero_point", "lo", "hi"))
        return (scaled + zero).clamp(lo, hi).to(v.out[lanes])
