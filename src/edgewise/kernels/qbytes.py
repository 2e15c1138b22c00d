"""Quantized matrix product and convolution by x86's pmaddubsw: A is read in place, as bytes.

pmaddubsw multiplies 32 bytes where pmaddwd (``qgemm``) multiplies 16 words, but adds two products
in int16, saturating. What it gives depends on the weights, which are known when they are packed:
a column's two weights cannot saturate where neither the positive nor the negative ones sum to more
than 128 in magnitude (255 * 128 < 2**15). K is cut into groups of 4 bytes; of a panel, each is

- half of a step of ``two``: two groups, whose results are added in int16 because they fit too,
- a step of ``one``: a group that fits for all columns of the panel, or
- a step of ``exact``: words, the even and the odd bytes of A by pmaddwd.

A panel says how many steps of each it has, and where in a row of A each group lies: a convolution
needs no gathered rows, whatever its runs are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from .ir import Type, Value, Var, i8, i16, i32, index, u8, u16, u64
from .qgemm import QGemm, QGemmBuilder
from .views import SLACK

GROUP = 4
"""Bytes of K that a lane multiplies in a step."""

LIMIT = 128
"""The most that weights of one sign may sum to where products are added in int16."""

TILES = ((4, 2), (6, 1), (1, 4))
"""(mr, nv) of the variants that a plan chooses from."""

Offsets = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]


class Fits(NamedTuple):
    """Which groups fit, of each column or panel: alone bool[rows, groups], and with the next one
    of a pair of them (0 and 1, 2 and 3, ...) bool[rows, groups // 2]."""

    alone: Flags
    joined: Flags

    def share(self) -> tuple[float, float]:
        """Of groups: of those that are halves of ``two``, and of those of ``one``."""
        two = 2 * int(self.joined.sum())
        one = int(self.alone.sum()) - two
        return two / self.alone.size, one / self.alone.size


def in_groups(weights: npt.NDArray[np.int8], columns: int) -> npt.NDArray[np.int8]:
    """int8[n, runs, kc] as int8[columns, groups, 4], zeros beyond."""
    n, runs, kc = weights.shape
    per = -(-kc // GROUP)
    padded = np.zeros((columns, runs, per * GROUP), np.int8)
    padded[:n, :, :kc] = weights
    return padded.reshape(columns, runs * per, GROUP)


def column_fits(weights: npt.NDArray[np.int8]) -> Fits:
    """What pmaddubsw may sum of each column of int8[n, runs, kc].

    Two weights of different signs always fit, so the sum of both tells whether a pair does.
    """
    groups = in_groups(weights, len(weights))
    terms = [groups[..., i].astype(np.int16) for i in range(GROUP)]
    even = groups.shape[1] // 2 * 2
    alone = np.ones(groups.shape[:2], np.bool_)
    joined = np.ones((len(groups), even // 2), np.bool_)
    for first, second in (terms[:2], terms[2:]):
        sums = first + second
        above = np.maximum(first, 0) + np.maximum(second, 0)
        below = above - sums
        alone &= np.abs(sums) <= LIMIT
        for part in (above, below):
            joined &= part[:, :even:2] + part[:, 1:even:2] <= LIMIT
    return Fits(alone, joined)


@dataclass(frozen=True)
class QBytes(QGemm):
    """A variant: a tile of ``mr`` pixels by ``nv`` vectors; ``general`` and ``real`` are False."""

    @property
    def kind(self) -> tuple[str, str]:
        return "qbytes", str(GROUP)

    def fits(self, columns: Fits) -> Fits:
        """Those of each panel, where all of its columns fit."""
        return Fits(*(self._all(flags) for flags in columns))

    def _all(self, flags: Flags) -> Flags:
        panels = -(-len(flags) // self.nr)
        padded = np.ones((panels * self.nr, flags.shape[1]), np.bool_)
        padded[: len(flags)] = flags
        return np.asarray(padded.reshape(panels, self.nr, flags.shape[1]).all(1))

    def packed(
        self,
        weights: npt.NDArray[np.int8],
        runs: Offsets,
        bias: npt.NDArray[np.int32],
        *factors: npt.NDArray[np.float32] | npt.NDArray[np.int32],
    ) -> npt.NDArray[np.uint8]:
        """As `QGemm.pack`, for runs at these offsets.

        First int64[panels][4]: where a panel begins, and how many steps it has of each kind. A
        panel: its head, the weights of its steps, then int32 offsets of its groups in a row of A.
        """
        n, _, kc = weights.shape
        panels = -(-n // self.nr)
        groups = in_groups(weights, panels * self.nr)
        groups = groups.reshape(panels, self.nr, *groups.shape[1:])[:, self.order]
        offsets = (runs[:, None] + np.arange(0, kc, GROUP)).ravel().astype(np.int32)
        head = np.zeros((1 + len(factors), panels * self.nr), np.int32)
        head[0, :n], head[1:, :n] = bias, np.array(factors).view(np.int32)
        head = head.reshape(-1, panels, self.nr)[:, :, self.order]
        fits = self.fits(column_fits(weights))
        directory, parts, at = [], [], 32 * panels
        for p, (alone, joined) in enumerate(zip(*fits, strict=True)):
            two = np.flatnonzero(joined)[:, None] * 2 + np.arange(2)
            single = alone.copy()
            single[two] = False
            one, exact = np.flatnonzero(single), np.flatnonzero(~alone)
            order, by_step = np.concatenate([two.ravel(), one]), groups[p].swapaxes(0, 1)
            words = by_step[exact].reshape(-1, self.nv, self.isa.lanes, 2, 2)
            words = words.transpose(0, 1, 4, 2, 3).astype(np.int16)
            here = [head[:, p], by_step[order], words, offsets[np.concatenate([order, exact])]]
            directory.append((at, len(two), len(one), len(exact)))
            at += sum(part.nbytes for part in here)
            parts += here
        everything = [np.array(directory, np.int64), *parts, np.zeros(SLACK, np.uint8)]
        return np.concatenate(
            [np.ascontiguousarray(x).reshape(-1).view(np.uint8) for x in everything]
        )

    def ones(self, kc: int, runs: int) -> npt.NDArray[np.uint8]:
        """What leaves those bytes of a vector of A that are of the run: 255 for each."""
        width = self.isa.bits // 8
        out = np.zeros(-(-kc // width) * width, np.uint8)
        out[:kc] = 255
        return out

    def build(self) -> str:
        return _Builder(self).build()


class _Builder(QGemmBuilder):
    def row_correction(self, row: Value) -> Value | None:
        """-w_zero times the sum of a row of A, 8 bytes at a time by psadbw."""
        if not self.v.weight_zero_point:
            return None
        k, width = self.k, self.isa.bits // 8
        sums = u64[width // 8]
        total, name = k.var(k.const(0, sums)), SUMS[width]
        with k.loop(0, k["run_count"], once=True) as run:
            start = row + (k["runs"] + run * 8).load(index, 8)
            with k.loop(0, k["kc"], width, once=True) as p:
                here = (start + p).load(u8[width]) & (k["ones"] + p).load(u8[width])
                total.value = total.value + k.intrinsic(name, sums, here, k.const(0, u8[width]))
        summed = k.intrinsic(f"llvm.vector.reduce.add.{sums.suffix}", u64, total.value)
        return (k.const(0, i32) - k["w_zero"]) * summed.to(i32)

    def address(self, panel: Value) -> Value:
        return self.k["w"] + (self.k["w"] + panel * 32).load(index, 8)

    def multiply(self, acc: list[list[Var]], panel: Value, body: Value, rows: list[Value]) -> None:
        k, nr = self.k, self.v.nr
        entry = k["w"] + panel * 32
        two, one, exact = ((entry + 8 * i).load(index, 8) for i in (1, 2, 3))
        weights = k.var(body)
        offset = k.var(body + (two * 2 + one + exact * 2) * (GROUP * nr))
        for count, groups, size, add in (
            (two, 2, 2 * GROUP * nr, self.add_two),
            (one, 1, GROUP * nr, self.add_one),
            (exact, 1, 2 * GROUP * nr, self.add_exact),
        ):
            with k.loop(0, count):
                at = [(offset.value + 4 * g).load(i32, 4).to(index) for g in range(groups)]
                add(acc, rows, at, weights.value)
                weights.value = weights.value + size
                offset.value = offset.value + 4 * groups

    def four_bytes(self, row: Value, offset: Value) -> Value:
        """Four bytes of A in every lane."""
        return (row + offset).load(i32).splat(self.isa.lanes).bitcast(u8[self.isa.bits // 8])

    def vectors(self, address: Value, ty: Type, count: int) -> list[Value]:
        return [(address + ty.nbytes * j).load(ty) for j in range(count)]

    def pairs(self, a: Value, b: Value) -> Value:
        """Sums of two products as int16."""
        ty = i16[2 * self.isa.lanes]
        return self.k.intrinsic(PAIRS[self.isa.lanes], ty, a, b)

    def widened(self, pairs: Value, by: Value) -> Value:
        return self.k.intrinsic(WORDS[self.isa.lanes], i32[self.isa.lanes], pairs, by)

    def add_two(
        self, acc: list[list[Var]], rows: list[Value], at: list[Value], weights: Value
    ) -> None:
        nv, ones = self.v.nv, self.k.const(1, i16[2 * self.isa.lanes])
        b = self.vectors(weights, i8[self.isa.bits // 8], 2 * nv)
        for row, sums in zip(rows, acc, strict=True):
            first, second = (self.four_bytes(row, offset) for offset in at)
            for j, total in enumerate(sums):
                pairs = self.pairs(first, b[j]) + self.pairs(second, b[nv + j])
                total.value = total.value + self.widened(pairs, ones)

    def add_one(
        self, acc: list[list[Var]], rows: list[Value], at: list[Value], weights: Value
    ) -> None:
        ones = self.k.const(1, i16[2 * self.isa.lanes])
        b = self.vectors(weights, i8[self.isa.bits // 8], self.v.nv)
        for row, sums in zip(rows, acc, strict=True):
            a = self.four_bytes(row, at[0])
            for total, weight in zip(sums, b, strict=True):
                total.value = total.value + self.widened(self.pairs(a, weight), ones)

    def add_exact(
        self, acc: list[list[Var]], rows: list[Value], at: list[Value], weights: Value
    ) -> None:
        words = u16[2 * self.isa.lanes]
        b = self.vectors(weights, words, 2 * self.v.nv)
        for row, sums in zip(rows, acc, strict=True):
            a = self.four_bytes(row, at[0]).bitcast(words)
            even, odd = a & 255, a >> 8
            for j, total in enumerate(sums):
                total.value = total.value + self.widened(even, b[2 * j])
                total.value = total.value + self.widened(odd, b[2 * j + 1])


PAIRS = {4: "llvm.x86.ssse3.pmadd.ub.sw.128", 8: "llvm.x86.avx2.pmadd.ub.sw"}
WORDS = {4: "llvm.x86.sse2.pmadd.wd", 8: "llvm.x86.avx2.pmadd.wd"}
SUMS = {16: "llvm.x86.sse2.psad.bw", 32: "llvm.x86.avx2.psad.bw"}
"""Intrinsics, by int32 lanes or bytes of a vector."""
