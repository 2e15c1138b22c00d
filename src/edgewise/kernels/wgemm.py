"""Matrix product and convolution of int16 activations by 8-bit weights: int16 results.

A row of A is an output pixel's window, read where it lies, as in ``gemm``: ``runs`` pieces of
``kc`` elements, each at an offset in bytes from the pixel's address. A run is taken in whole dot
steps; what it reads beyond its end meets weights of 0. The runs are done in groups of
``group_runs``, each summed in int32 lanes that cannot overflow (see ``words``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from .dot import Dot
from .ir import Kernel, Type, Value, Var, i32, i64, index, ptr
from .isa import Clamp, Isa
from .pixels import FIELDS, pixel_fields, tiles
from .shuffles import joined
from .views import SLACK
from .words import HEAD_BYTES, pack_head, results


@dataclass(frozen=True)
class WGemm:
    """A variant: tile shape, and what it does besides.

    Attributes:
        rounding: one of `fixed_point.RULES`, by which sums are requantized.
        wide: sums are int64; else they wrap to int32.
        groups: there may be several groups of runs.
    """

    isa: Isa
    mr: int
    nv: int
    rounding: str = "once"
    wide: bool = True
    groups: bool = False

    @property
    def dot(self) -> Dot:
        return self.isa.words

    @property
    def nr(self) -> int:
        return self.nv * self.isa.lanes

    @property
    def symbol(self) -> str:
        sums = ("i64" if self.wide else "i32") + ("g" if self.groups else "")
        shape = f"{self.mr}x{self.nr}c{self.dot.kr}"
        return f"wgemm_{self.rounding}_i16i8i16_{sums}_{shape}__{self.isa.name}"

    @property
    def fields(self) -> dict[str, Type]:
        return {
            **dict.fromkeys(("w", "runs"), ptr),
            **FIELDS,
            **pixel_fields("a"),
            **pixel_fields("c"),
            **dict.fromkeys(("n", "run_count", "group_runs", "steps"), index),
            **dict.fromkeys(("panel_bytes", "panels", "block_panels"), index),
            **Clamp.FIELDS,
        }

    def steps(self, kc: int) -> int:
        """Dot steps of a run."""
        per = self.dot.kr * self.dot.ku
        return -(-kc // per) * self.dot.ku

    def panel_bytes(self, kc: int, runs: int) -> int:
        return self.nr * (HEAD_BYTES + 2 * runs * self.steps(kc) * self.dot.kr)

    def pack(
        self,
        weights: npt.NDArray[np.int16],
        bias: npt.NDArray[np.int64],
        multiplier: npt.NDArray[np.int32],
        exponent: npt.NDArray[np.int32],
    ) -> npt.NDArray[np.uint8]:
        """Weights int16[n, runs, kc], and what belongs to each of the n columns, as panels.

        A panel: bias int64[nr], multiplier and exponent int32[nr], then int16[nr][kr] for each
        dot step of each run.
        """
        n, runs, kc = weights.shape
        kr, nr, panels = self.dot.kr, self.nr, -(-n // self.nr)
        padded = np.zeros((panels * nr, runs, self.steps(kc) * kr), np.int16)
        padded[:n, :, :kc] = weights
        body = padded.reshape(panels, nr, -1, kr).transpose(0, 2, 1, 3)

        def columns(x: npt.NDArray[Any]) -> npt.NDArray[Any]:
            whole = np.zeros(panels * nr, x.dtype)
            whole[:n] = x
            return whole.reshape(panels, nr)

        head = pack_head(columns(bias), columns(multiplier), columns(exponent))
        rest = np.ascontiguousarray(body).reshape(panels, -1).view(np.uint8)
        packed = np.concatenate([head, rest], axis=1).ravel()
        return np.concatenate([packed, np.zeros(SLACK, np.uint8)])

    def build(self) -> str:
        return _Builder(self).build()


class _Builder:
    def __init__(self, variant: WGemm) -> None:
        self.v = variant
        self.isa, self.dot = variant.isa, variant.dot
        self.k = Kernel(variant.symbol, variant.fields)
        self.clamp = Clamp(self.k)

    def build(self) -> str:
        k, v = self.k, self.v
        with tiles(k, ["a", "c"], v.mr) as (block, rows):
            first = block * k["block_panels"]
            last = (first + k["block_panels"]).min(k["panels"])
            with k.loop(first, last, once=True) as panel:
                self.panel(panel, rows["a"], rows["c"])
        return k.text()

    def panel(self, panel: Value, sources: list[Value], targets: list[Value]) -> None:
        k, v, lanes = self.k, self.v, self.isa.lanes
        head = k["w"] + panel * k["panel_bytes"]
        b = k.var(head + HEAD_BYTES * v.nr)
        totals = self.totals(b, sources)
        narrow = results(v.rounding, v.wide, totals, head, self.clamp)
        left, column = k["n"] - panel * v.nr, panel * (2 * v.nr)
        with k.when(left.compare("ge", v.nr)) as full:
            for c, row in zip(targets, narrow, strict=True):
                for j, x in enumerate(row):
                    (c + column + 2 * lanes * j).store(x)
        with k.when(full ^ 1):
            for c, row in zip(targets, narrow, strict=True):
                (c + column).store_partial(joined(row), left)

    def totals(self, b: Var, sources: list[Value]) -> list[list[Value]]:
        """int64 sums of a row's runs."""
        k, v = self.k, self.v
        wide = i64[self.isa.lanes]
        if not v.groups:
            sums = self.sums(b, sources, k.const(0, index), k["run_count"])
            return [[x.to(wide) for x in row] for row in sums]
        totals = [[k.var(k.const(0, wide)) for _ in range(v.nv)] for _ in range(v.mr)]
        first = k.var(0)
        with k.loop(0, (k["run_count"] + k["group_runs"] - 1) // k["group_runs"], once=True):
            last = (first.value + k["group_runs"]).min(k["run_count"])
            for row, sums_of_row in zip(
                totals, self.sums(b, sources, first.value, last), strict=True
            ):
                for total, x in zip(row, sums_of_row, strict=True):
                    total.value = total.value + x.to(wide)
            first.value = last
        return [[total.value for total in row] for row in totals]

    def sums(self, b: Var, sources: list[Value], first: Value, last: Value) -> list[list[Value]]:
        """int32 sums of some runs; ``b`` moves on over their weights."""
        k, v, dot, lanes = self.k, self.v, self.dot, self.isa.lanes
        pitch = 2 * v.nr * dot.kr
        acc = [[k.var(k.const(0, i32[lanes])) for _ in range(v.nv)] for _ in range(v.mr)]
        with k.loop(first, last, once=True) as run:
            offset = (k["runs"] + run * 8).load(index, 8)
            with k.loop(0, k["steps"], dot.ku, once=True) as step:
                at = offset + step * (2 * dot.kr)
                a = [dot.load_a(row + at) for row in sources]
                for u in range(dot.ku):
                    weights = dot.load_b(b.value + u * pitch, v.nv)
                    for i in range(v.mr):
                        for j in range(v.nv):
                            acc[i][j].value = dot.mac(acc[i][j].value, a[i][u], weights[j])
                b.value = b.value + dot.ku * pitch
        return [[x.value for x in row] for row in acc]
