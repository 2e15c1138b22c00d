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
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from .ir import Kernel, Type, Value, Var, f32, index, ptr
from .isa import Isa
from .pixels import FIELDS, pixel_fields, tiles
from .stages import FLOAT, Place, placed, stage_fields, stage_operands, store_all, store_part
from .storage import FLOAT32, Storage
from .views import SLACK

if TYPE_CHECKING:
    from typing_extensions import Self

LINE, AHEAD = 64, 1024
"""Bytes of a cache line; how far ahead a product of one row, which waits for B, asks for it."""


@dataclass(frozen=True)
class Gemm:
    """A variant: tile shape, and what it does besides.

    Attributes:
        tail: vectors of the last, narrower panel, the last of them perhaps in part; 0 for none.
        stages: names of STAGES, in order; fields of stage i begin with ``s{i}_``.
        storage: how the weights are stored; sums are of float32 all the same.
    """

    isa: Isa
    mr: int
    nv: int
    tail: int = 0
    stages: tuple[str, ...] = ()
    storage: Storage = FLOAT32

    @property
    def nr(self) -> int:
        return self.nv * self.isa.lanes

    @property
    def symbol(self) -> str:
        op = "_".join(("gemm", *self.stages))
        tail = f"t{self.tail * self.isa.lanes}" if self.tail else ""
        return f"{op}_{self.types}_{self.mr}x{self.nr}{tail}__{self.isa.name}"

    @property
    def types(self) -> str:
        """Of the operands, for the name."""
        return f"f32{self.storage.name}"

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
    def of(cls, isa: Isa, mr: int, nv: int, n: int, stages: tuple[str, ...] = ()) -> Self:
        """The variant of this tile for ``n`` columns."""
        return cls(isa, mr, nv, -(-(n % (nv * isa.lanes)) // isa.lanes), stages)

    def panel_bytes(self, kc: int, runs: int = 1) -> int:
        return self.nr * (FLOAT + self.storage.nbytes * kc * runs)

    def pack(
        self, weights: npt.NDArray[np.float32], bias: npt.NDArray[np.float32]
    ) -> npt.NDArray[np.uint8]:
        """Weights float32[n, runs, kc] and bias float32[n] as panels.

        A panel: bias float32[nr], then [nr] for each of the steps, as they are ``stored``.
        """
        n = len(weights)
        widths = [self.nr] * (n // self.nr) + [self.tail * self.isa.lanes] * bool(self.tail)
        padded = [
            np.pad(rows, ((0, 0), (0, sum(widths) - n)))
            for rows in (bias[None].astype(np.float32), self.stored(weights))
        ]
        parts: list[npt.NDArray[np.uint8]] = []
        for end, width in zip(np.cumsum(widths), widths, strict=True):
            for rows in padded:
                columns = np.ascontiguousarray(rows[:, end - width : end])
                parts.append(columns.reshape(-1).view(np.uint8))
        return np.concatenate([*parts, np.zeros(SLACK, np.uint8)])

    def stored(self, weights: npt.NDArray[np.float32]) -> npt.NDArray[Any]:
        """Weights float32[n, runs, kc] as [steps, n]."""
        return self.storage.pack(weights.reshape(len(weights), -1).T)

    def build(self) -> str:
        return Builder(self).build()


def add_products(
    isa: Isa,
    acc: Sequence[Sequence[Var]],
    rows: Sequence[Value],
    b: Value,
    count: int,
    storage: Storage = FLOAT32,
) -> None:
    """acc[i][j] += A[i, p] * B[p, j] for ``count`` steps p: 1 or ``FloatCosts.step``.

    ``rows`` are the addresses of the floats A[i, 0]; rows of vectors B[p] lie side by side from
    ``b`` on. The order keeps few registers alive: the accumulators, B[p], and one value of A
    where it is read into all lanes, or a vector of each row of it.
    """
    nv, lanes = len(acc[0]), isa.lanes
    pitch = storage.nbytes * lanes
    loaded = [row.load(f32[count]) for row in rows] if count > 1 else []
    for u in range(count):
        columns = [storage.load(isa, b + pitch * (nv * u + j)) for j in range(nv)]
        for i, sums in enumerate(acc):
            scalar = loaded[i].lane(u) if loaded else rows[i].load(f32)
            a = scalar.splat(lanes)
            for total, b_p in zip(sums, columns, strict=True):
                total.value = isa.fma(a, b_p, total.value)


class Builder:
    """Emits a variant: the loops, and one run of a window, which a subclass may do otherwise."""

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
        with k.loop(0, k["run_count"], once=True) as run:
            self.run((k["runs"] + run * 8).load(index, 8), rows["a"], b, acc)
        self.store(panel, rows, [[x.value for x in row] for row in acc], ends)

    def run(
        self, start: Value, rows: Sequence[Value], b: Var, acc: Sequence[Sequence[Var]]
    ) -> None:
        """Add the products of the ``kc`` terms ``start`` bytes from ``rows``; B moves on."""
        k, v, step = self.k, self.v, self.isa.costs.floats.step
        pitch = v.storage.nbytes * self.isa.lanes * len(acc[0])
        end = start + k["kc"] * FLOAT
        parts = [(1, start, end)]
        if step > 1:
            middle = start + (k["kc"] & -step) * FLOAT
            parts = [(step, start, middle), (1, middle, end)]
        for count, first, last in parts:
            with k.loop(first, last, count * FLOAT, once=step == 1) as at:
                here, nbytes = [row + at for row in rows], count * pitch
                if v.mr == 1:
                    for line in range(0, nbytes, LINE):
                        (b.value + (AHEAD + line)).prefetch()
                add_products(self.isa, acc, here, b.value, count, v.storage)
                b.value = b.value + nbytes

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
