"""Matrix product and convolution by dot products of bfloat16, sums in float32.

As ``gemm``, but A holds bfloat16, so that what walks it steps by two bytes, and a lane adds two
products a step: ``Isa.bf16_dot``. A run of an odd number of terms ends with one and a zero.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from .gemm import Builder, Gemm
from .ir import Value, Var, bf16, f32, i32, u16, u32
from .stages import FLOAT
from .storage import rounded_to_bf16

PAIR = 4
"""Bytes of two terms."""


@dataclass(frozen=True)
class PairGemm(Gemm):
    """A variant, as ``Gemm``; ``storage`` has no meaning here."""

    @property
    def types(self) -> str:
        return "bf16f32"

    def panel_bytes(self, kc: int, runs: int = 1) -> int:
        return self.nr * (FLOAT + PAIR * runs * (kc + 1 >> 1))

    def stored(self, weights: npt.NDArray[np.float32]) -> npt.NDArray[Any]:
        """uint32[steps, n]: the pairs of each run, the first term in the lower half."""
        n, runs, kc = weights.shape
        pairs = np.zeros((n, runs, kc + 1 & -2), np.uint16)
        pairs[:, :, :kc] = rounded_to_bf16(weights)
        steps: npt.NDArray[Any] = pairs.view(np.uint32).reshape(n, -1).T
        return steps

    def build(self) -> str:
        return _Builder(self).build()


class _Builder(Builder):
    def run(
        self, start: Value, rows: Sequence[Value], b: Var, acc: Sequence[Sequence[Var]]
    ) -> None:
        k, end = self.k, start + (self.k["kc"] & -2) * 2
        with k.loop(start, end, PAIR) as at:
            self.step([(row + at).load(i32) for row in rows], b, acc)
        with k.when((k["kc"] & 1).compare("ne", 0)):
            self.step([(row + end).load(u16).to(u32).to(i32) for row in rows], b, acc)

    def step(self, pairs: Sequence[Value], b: Var, acc: Sequence[Sequence[Var]]) -> None:
        isa, nv = self.isa, len(acc[0])
        operand, total_type = bf16[2 * isa.lanes], f32[isa.lanes]
        assert isa.bf16_dot is not None
        pitch = PAIR * isa.lanes
        columns = [(b.value + pitch * j).load(operand) for j in range(nv)]
        for pair, sums in zip(pairs, acc, strict=True):
            a = pair.splat(isa.lanes).bitcast(operand)
            for total, column in zip(sums, columns, strict=True):
                total.value = self.k.intrinsic(isa.bf16_dot, total_type, total.value, a, column)
        b.value = b.value + pitch * nv


__all__ = ["PairGemm"]
