"""Float32 matrix product and convolution of few columns: dot products along K.

Rows of A are as in ``gemm``. A vector holds neighbours of a run, not columns, so a product of one
column keeps all lanes busy. The sums of the lanes of each of ``mr`` x ``nr`` vectors are added at
the end; what follows then sees the ``nr`` columns of a row in one vector.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .ir import Kernel, Type, Value, f32, i32, index, ptr
from .isa import Isa
from .pixels import FIELDS, pixel_fields, tiles
from .shuffles import halved
from .stages import FLOAT, Place, placed, stage_fields, stage_operands, store_part
from .storage import FLOAT32, Storage
from .views import SLACK


@dataclass(frozen=True)
class Dots:
    """A variant: ``mr`` pixels a tile, all ``nr`` columns, at most as many as a vector has lanes.

    Attributes:
        stages: names of STAGES, in order.
        storage: how the weights are stored.
    """

    isa: Isa
    mr: int
    nr: int
    stages: tuple[str, ...] = ()
    storage: Storage = FLOAT32

    @property
    def symbol(self) -> str:
        op, types = "_".join(("dots", *self.stages)), f"f32{self.storage.name}"
        return f"{op}_{types}_{self.mr}x{self.nr}__{self.isa.name}"

    @property
    def fields(self) -> dict[str, Type]:
        return {
            **dict.fromkeys(("w", "runs"), ptr),
            **FIELDS,
            **dict.fromkeys(("run_count", "kc"), index),
            **pixel_fields("a"),
            **pixel_fields("c"),
            **stage_fields(self.stages, pixel_fields),
        }

    @property
    def operands(self) -> list[str]:
        """Those that have a pixel for each output pixel."""
        return ["a", "c", *stage_operands(self.stages)]

    def panel_bytes(self, kc: int, runs: int = 1) -> int:
        """About what all columns take."""
        return self.storage.nbytes * self.nr * kc * runs

    def pack(
        self, weights: npt.NDArray[np.float32], bias: npt.NDArray[np.float32]
    ) -> npt.NDArray[np.uint8]:
        """Weights float32[nr, runs, kc] and bias float32[nr], as the kernel reads them.

        A mask of the lanes of the last, partial vector of a run (all bits set), the bias in a
        vector, then the weights [nr][lanes] for each vector of the runs.
        """
        n, runs, kc = weights.shape
        lanes = self.isa.lanes
        steps = -(-kc // lanes)
        padded = np.zeros((n, runs, steps * lanes), np.float32)
        padded[:, :, :kc] = weights
        body = padded.reshape(n, runs, steps, lanes).transpose(1, 2, 0, 3)
        head = np.zeros((2, lanes), np.float32)
        head[0].view(np.int32)[: kc % lanes] = -1
        head[1, :n] = bias
        parts = (head, np.ascontiguousarray(self.storage.pack(body)), np.zeros(SLACK, np.uint8))
        return np.concatenate([part.reshape(-1).view(np.uint8) for part in parts])

    def build(self) -> str:
        k, lanes, vector = Kernel(self.symbol, self.fields), self.isa.lanes, f32[self.isa.lanes]
        pitch = self.storage.nbytes * lanes
        mask, bias = k["w"].load(i32[lanes]), (k["w"] + FLOAT * lanes).load(vector)
        whole = (k["kc"] & -lanes) * FLOAT
        partial = (k["kc"] & lanes - 1).compare("ne", 0)
        with tiles(k, self.operands, self.mr) as (_, rows):
            acc = [[k.var(k.const(0.0, vector)) for _ in range(self.nr)] for _ in rows["a"]]
            w = k.var(k["w"] + 2 * FLOAT * lanes)

            def step(at: Value, masked: bool) -> None:
                columns = [self.storage.load(self.isa, w.value + pitch * j) for j in range(self.nr)]
                for row, sums in zip(rows["a"], acc, strict=True):
                    a = (row + at).load(vector)
                    if masked:
                        a = (a.bitcast(i32[lanes]) & mask).bitcast(vector)
                    for total, column in zip(sums, columns, strict=True):
                        total.value = self.isa.fma(a, column, total.value)
                w.value = w.value + pitch * self.nr

            with k.loop(0, k["run_count"], once=True) as run:
                start = (k["runs"] + run * 8).load(index, 8)
                with k.loop(start, start + whole, FLOAT * lanes) as at:
                    step(at, masked=False)
                with k.when(partial):
                    step(start + whole, masked=True)
            self.store(k, rows, [[x.value for x in row] for row in acc], bias)
        return k.text()

    def store(
        self,
        k: Kernel,
        rows: Mapping[str, Sequence[Value]],
        sums: Sequence[Sequence[Value]],
        bias: Value,
    ) -> None:
        results = []
        for i, row in enumerate(sums):
            totals = [halved(x, Value.__add__) for x in row]
            x = k.gather([*totals, *totals[-1:] * (self.isa.lanes - self.nr)]) + bias
            here = {name: addresses[i] for name, addresses in rows.items()}
            place = Place(k, here, k.const(0, index), self.isa)
            for prefix, stage in placed(self.stages):
                x = stage.apply(x, place, prefix)
            results.append(x)
        if self.nr == 1:
            for address, x in zip(rows["c"], results, strict=True):
                address.store(x.lane(0))
        else:
            store_part(rows["c"], results, k.const(self.nr, index))
