"""Float32 matrix product and convolution, sums in registers.

A row of A is an output pixel's window, read where it lies: ``runs`` pieces of ``kc`` consecutive
floats, each at an offset in bytes from the pixel's address (one run for a matrix product, one a
kernel row for an ordinary convolution, one a tap for a dilated or grouped one). An input must
carry its padding: no load is tested. The kernel does tiles of ``mr`` pixels by ``nr`` columns, all
of K in one go, and what follows the product (``stages``) before it stores them.

Columns lie in panels of ``nr``; what remains of them is one narrower panel of ``tail`` vectors.
A unit is one tile of pixels by ``block_panels`` panels; tiles come first, so that the panels of a
block stay in a near cache while the pixels pass by.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .ir import Kernel, Type, Value, Var, f32, index, ptr, u16, u32
from .isa import Isa
from .pixels import FIELDS, pixel_fields, tiles
from .stages import FLOAT, Place, placed, stage_fields, stage_operands, store_all, store_part
from .views import SLACK

LINE, AHEAD = 64, 1024
"""Bytes of a cache line; how far ahead a product of one row, which waits for B, asks for it."""


@dataclass(frozen=True)
class Gemm:
    """A variant: tile shape, and what it does besides.

    Attributes:
        tail: vectors of the last, narrower panel, the last of them perhaps in part; 0 for none.
        stages: names of STAGES, in order; fields of stage i begin with ``s{i}_``.
        bf16: weights are stored as bfloat16; sums are of float32 all the same.
    """

    isa: Isa
    mr: int
    nv: int
    tail: int = 0
    stages: tuple[str, ...] = ()
    bf16: bool = False

    @property
    def nr(self) -> int:
        return self.nv * self.isa.lanes

    @property
    def symbol(self) -> str:
        op = "_".join(("gemm", *self.stages))
        tail = f"t{self.tail * self.isa.lanes}" if self.tail else ""
        types = "f32bf16" if self.bf16 else "f32"
        return f"{op}_{types}_{self.mr}x{self.nr}{tail}__{self.isa.name}"

    @property
    def weight_bytes(self) -> int:
        return 2 if self.bf16 else FLOAT

    @property
    def fields(self) -> dict[str, Type]:
        fields = {
            "w": ptr,
            "runs": ptr,
            **FIELDS,
            **dict.fromkeys(("n", "run_count", "kc"), index),
            **dict.fromkeys(("panel_bytes", "panels", "block_panels"), index),
            **pixel_fields("a"),
            **pixel_fields("c"),
        }
        return fields | stage_fields(self.stages, pixel_fields)

    @property
    def operands(self) -> list[str]:
        """Those that have a pixel for each output pixel."""
        return ["a", "c", *stage_operands(self.stages)]

    @classmethod
    def of(cls, isa: Isa, mr: int, nv: int, n: int, stages: tuple[str, ...] = ()) -> Gemm:
        """The variant of this tile for ``n`` columns."""
        return cls(isa, mr, nv, -(-(n % (nv * isa.lanes)) // isa.lanes), stages)

    def panel_bytes(self, k: int) -> int:
        return self.nr * (FLOAT + self.weight_bytes * k)

    def pack(
        self, weights: npt.NDArray[np.float32], bias: npt.NDArray[np.float32]
    ) -> npt.NDArray[np.uint8]:
        """Weights float32[n, runs, kc] and bias float32[n] as panels.

        A panel: bias float32[nr], then float32[nr], or bfloat16[nr], for each of the runs * kc
        steps.
        """
        n = len(weights)
        widths = [self.nr] * (n // self.nr) + [self.tail * self.isa.lanes] * bool(self.tail)
        padded = np.zeros((1 + weights[0].size, sum(widths)), np.float32)
        padded[0, :n], padded[1:, :n] = bias, weights.reshape(n, -1).T
        stored = rounded_to_bf16(padded[1:]) if self.bf16 else padded[1:]
        parts: list[npt.NDArray[np.uint8]] = []
        for end, width in zip(np.cumsum(widths), widths, strict=True):
            for rows in (padded[:1], stored):
                columns = np.ascontiguousarray(rows[:, end - width : end])
                parts.append(columns.reshape(-1).view(np.uint8))
        return np.concatenate([*parts, np.zeros(SLACK, np.uint8)])

    def build(self) -> str:
        return _Builder(self).build()


def rounded_to_bf16(x: npt.NDArray[np.float32]) -> npt.NDArray[np.uint16]:
    """The bits of the nearest bfloat16, halves to even; NaN stays one."""
    bits = x.view(np.uint32)
    nearest = (bits + 0x7FFF + (bits >> 16 & 1)) >> 16
    return np.where(np.isnan(x), bits >> 16 | 0x40, nearest).astype(np.uint16)


def add_products(
    isa: Isa,
    acc: Sequence[Sequence[Var]],
    rows: Sequence[Value],
    b: Value,
    count: int,
    bf16: bool = False,
) -> None:
    """acc[i][j] += A[i, p] * B[p, j] for ``count`` steps p: 1 or ``FloatCosts.step``.

    ``rows`` are the addresses of the floats A[i, 0]; rows of vectors B[p] lie side by side from
    ``b`` on. The order keeps few registers alive: the accumulators, B[p], and one value of A
    where it is read into all lanes, or a vector of each row of it. ``bf16``: B is bfloat16.
    """
    nv, lanes = len(acc[0]), isa.lanes
    size = 2 if bf16 else FLOAT

    def column(address: Value) -> Value:
        if not bf16:
            return address.load(f32[lanes])
        return (address.load(u16[lanes]).to(u32[lanes]) << 16).bitcast(f32[lanes])

    loaded = [row.load(f32[count]) for row in rows] if count > 1 else []
    for u in range(count):
        columns = [column(b + size * lanes * (nv * u + j)) for j in range(nv)]
        for i, sums in enumerate(acc):
            scalar = loaded[i].lane(u) if loaded else rows[i].load(f32)
            a = scalar.splat(lanes)
            for total, b_p in zip(sums, columns, strict=True):
                total.value = isa.fma(a, b_p, total.value)


class _Builder:
    def __init__(self, variant: Gemm) -> None:
        self.v = variant
        self.isa = variant.isa
        self.k = Kernel(variant.symbol, variant.fields)

    def build(self) -> str:
        k, v = self.k, self.v
        with tiles(k, v.operands, v.mr) as (block, rows):
            first = block * k["block_panels"]
            last = first + k["block_panels"]
            with k.loop(first, last.min(k["panels"])) as panel:
                self.panel(panel, rows, v.nv, ends=False)
            if v.tail:
                with k.when(last.compare("gt", k["panels"])):
                    self.panel(k["panels"], rows, v.tail, ends=True)
        return k.text()

    def panel(self, panel: Value, rows: Mapping[str, Sequence[Value]], nv: int, ends: bool) -> None:
        k, v, lanes = self.k, self.v, self.isa.lanes
        w = k["w"] + panel * k["panel_bytes"]
        bias = [(w + FLOAT * lanes * j).load(f32[lanes]) for j in range(nv)]
        acc = [[k.var(x) for x in bias] for _ in range(v.mr)]
        b = k.var(w + FLOAT * lanes * nv)
        step, pitch = self.isa.costs.floats.step, v.weight_bytes * lanes * nv
        with k.loop(0, k["run_count"], once=True) as run:
            start = (k["runs"] + run * 8).load(index, 8)
            end = start + k["kc"] * FLOAT
            parts = [(1, start, end)]
            if step > 1:
                middle = start + (k["kc"] & -step) * FLOAT
                parts = [(step, start, middle), (1, middle, end)]
            for count, first, last in parts:
                with k.loop(first, last, count * FLOAT, once=step == 1) as at:
                    here, nbytes = [row + at for row in rows["a"]], count * pitch
                    if v.mr == 1:
                        for line in range(0, nbytes, LINE):
                            (b.value + (AHEAD + line)).prefetch()
                    add_products(self.isa, acc, here, b.value, count, v.bf16)
                    b.value = b.value + nbytes
        self.store(panel, rows, [[x.value for x in row] for row in acc], ends)

    def store(
        self,
        panel: Value,
        rows: Mapping[str, Sequence[Value]],
        sums: list[list[Value]],
        ends: bool,
    ) -> None:
        """The stages, then the columns; in the panel that ``ends`` them those that exist."""
        k, v, lanes, nv = self.k, self.v, self.isa.lanes, len(sums[0])
        first = panel * (FLOAT * v.nr)
        for i, row in enumerate(sums):
            here = {name: addresses[i] for name, addresses in rows.items()}
            for j in range(nv):
                place = Place(k, here, first + FLOAT * lanes * j, self.isa)
                for prefix, stage in placed(v.stages):
                    row[j] = stage.apply(row[j], place, prefix)
        at = [[c + first + FLOAT * lanes * j for j in range(nv)] for c in rows["c"]]
        if not ends:
            store_all(at, sums)
            return
        store_all([row[:-1] for row in at], [row[:-1] for row in sums])
        left = k["n"] - panel * v.nr - (nv - 1) * lanes
        store_part([row[-1] for row in at], [row[-1] for row in sums], left)
