"""Operators of text: LSH_PROJECTION, SKIP_GRAM, HASHTABLE_LOOKUP, EMBEDDING_LOOKUP_SPARSE."""

from __future__ import annotations

import enum
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ..dtype import DType
from ..graph import Array, TensorType
from .arrange import check_range, check_rows
from .base import Op
from .checks import check_inputs, check_rank, result
from .fingerprint import fingerprint64


class Combiner(enum.Enum):
    """How the rows of one place are combined; the value is its number in the schema."""

    SUM = 0
    MEAN = 1
    SQRTN = 2


@dataclass(frozen=True, eq=False, repr=False)
class EmbeddingLookupSparse(Op):
    """Weighted sums of rows of a table: place i of a tensor of ``shape`` sums those listed for it.

    Operands: ids int32[N], indices int32[N, K] (whose last entry does not matter), weights
    float32[N] and the table float32[rows, ...]. The output is shape[:-1] + table.shape[1:]. MEAN
    divides by the sum of the weights, SQRTN by the root of the sum of their squares; entries of
    one place follow one another.
    """

    name: ClassVar[str] = "EMBEDDING_LOOKUP_SPARSE"

    shape: tuple[int, ...] = ()
    combiner: Combiner = Combiner.SUM

    def infer(self, inputs: Sequence[TensorType]) -> tuple[TensorType, ...]:
        check_inputs(self, inputs, 4)
        ids, indices, weights, table = inputs
        check_rank(self, ids, 1, "ids")
        check_rank(self, indices, 2, "indices")
        for what, t, dtype in (
            ("ids", ids, DType.INT32),
            ("indices", indices, DType.INT32),
            ("weights", weights, DType.FLOAT32),
            ("table", table, DType.FLOAT32),
        ):
            self.require(t.dtype is dtype, f"{what}: {t.dtype}; it must be {dtype}")
        self.require(
            indices.shape[0] == ids.shape[0] and weights.shape == ids.shape,
            f"{ids.shape[0]} ids, {indices.shape[0]} indices, weights {list(weights.shape)}; "
            "there is one each",
        )
        self.require(
            len(self.shape) == indices.shape[1] and len(table.shape) >= 2,
            f"shape {list(self.shape)}, indices of {indices.shape[1]} axes, table of rank "
            f"{len(table.shape)}; the first two agree, the rank is at least 2",
        )
        return (result(self, self.shape[:-1] + table.shape[1:], DType.FLOAT32),)

    def check_values(self, arrays: Sequence[Array | None], inputs: Sequence[TensorType]) -> None:
        check_range(self, arrays[0], inputs[3].shape[0], "id")
        indices = arrays[1]
        check_rows(self, None if indices is None else indices[:, :-1], self.shape)

    def reference(
        self, arrays: Sequence[Array], inputs: Sequence[TensorType], outputs: Sequence[TensorType]
    ) -> list[Array]:
        self.check_values(arrays, inputs)
        ids, indices, weights, table = arrays
        y = np.zeros(self.shape[:-1] + table.shape[1:], np.float32)
        places = [tuple(row) for row in indices[:, :-1].tolist()]
        starts = [i for i, p in enumerate(places) if i == 0 or p != places[i - 1]]
        for start, end in zip(starts, [*starts[1:], len(places)], strict=True):
            place, total, squares = places[start], np.float32(0), np.float32(0)
            for i in range(start, end):
                w = weights[i]
                total, squares = total + w, squares + w * w
                y[place] += table[ids[i]] * w
            if self.combiner is not Combiner.SUM:
                y[place] /= total if self.combiner is Combiner.MEAN else np.sqrt(squares)
        return [y]


class HashtableLookup(Op):
    """The rows of values whose keys are looked up, 0 where there is none; and whether there is.

    Operands: lookups int32[N], keys int32[M] ascending, values [M, ...] of any dtype. Outputs:
    [N, ...] and uint8[N], 1 where the key was found.
    """

    name: ClassVar[str] = "HASHTABLE_LOOKUP"
    either_sign: ClassVar[bool] = False

    def infer(self, inputs: Sequence[TensorType]) -> tuple[TensorType, ...]:
        check_inputs(self, inputs, 3)
        lookups, keys, values = inputs
        for what, t in (("lookups", lookups), ("keys", keys)):
            self.require(t.dtype is DType.INT32, f"{what} are {t.dtype}; they are int32")
            check_rank(self, t, 1, what)
        self.require(
            values.shape[:1] == keys.shape,
            f"{keys.shape[0]} keys, values of shape {list(values.shape)}; one a key",
        )
        y = result(self, lookups.shape + values.shape[1:], values.dtype, values.quant)
        return y, result(self, lookups.shape, DType.UINT8)

    def reference(
        self, arrays: Sequence[Array], inputs: Sequence[TensorType], outputs: Sequence[TensorType]
    ) -> list[Array]:
        lookups, keys, values = arrays
        places = np.minimum(np.searchsorted(keys, lookups), len(keys) - 1)
        hits = keys[places] == lookups
        y = values[places]
        y[~hits] = b"" if values.dtype == object else 0
        return [y, hits.astype(np.uint8)]


@dataclass(frozen=True, eq=False, repr=False)
class LshProjection(Op):
    """Bits that similar inputs share: signs of sums of hashes of x's rows (FarmHash Fingerprint64).

    Operands: seeds float32[H, B], at most 32 bits a hash; x [N, ...] of any dtype; optionally
    weights float32[N]. ``dense`` gives int32[H * B] of 0 and 1; otherwise the output is int32[H],
    the bits of hash h, first one highest, plus h * 2**B.
    """

    name: ClassVar[str] = "LSH_PROJECTION"
    either_sign: ClassVar[bool] = False

    dense: bool = False

    def infer(self, inputs: Sequence[TensorType]) -> tuple[TensorType, ...]:
        check_inputs(self, inputs, 2, 3)
        seeds, x = inputs[:2]
        check_rank(self, seeds, 2, "seeds")
        self.require(seeds.dtype is DType.FLOAT32, f"seeds are {seeds.dtype}; float32")
        self.require(seeds.shape[1] <= 32, f"{seeds.shape[1]} bits a hash; at most 32")
        self.require(
            len(x.shape) >= 1 and x.dtype is not DType.STRING, f"input is {x}; rows of numbers"
        )
        for weights in inputs[2:]:
            self.require(
                weights.dtype is DType.FLOAT32 and weights.shape == x.shape[:1],
                f"weights are {weights}; they are float32{list(x.shape[:1])}",
            )
        count = math.prod(seeds.shape) if self.dense else seeds.shape[0]
        return (result(self, (count,), DType.INT32),)

    def reference(
        self, arrays: Sequence[Array], inputs: Sequence[TensorType], outputs: Sequence[TensorType]
    ) -> list[Array]:
        seeds, x = arrays[:2]
        weights = arrays[2].tolist() if len(arrays) > 2 else [1.0] * len(x)
        rows = [row.tobytes() for row in np.ascontiguousarray(x)]

        def bit(seed: bytes) -> bool:
            score = 0.0
            for row, weight in zip(rows, weights, strict=True):
                score += weight * float(fingerprint64(seed + row))
            return score > 0

        bits = np.array([bit(s.tobytes()) for s in seeds.ravel()]).reshape(seeds.shape)
        if self.dense:
            return [bits.astype(np.int32).ravel()]
        count = seeds.shape[1]
        signatures = bits @ (1 << np.arange(count, dtype=np.int64)[::-1])
        return [(signatures + (np.arange(len(seeds)) << count)).astype(np.int32)]


@dataclass(frozen=True, eq=False, repr=False)
class SkipGram(Op):
    """Sequences of ``size`` words of a text, leaving out up to ``skips`` words between two.

    The operand is one string; the output has a string for each sequence, its words joined by
    spaces, and shorter sequences too where ``all_sizes`` is set.
    """

    name: ClassVar[str] = "SKIP_GRAM"

    size: int = 1
    skips: int = 0
    all_sizes: bool = False

    def infer(self, inputs: Sequence[TensorType]) -> tuple[TensorType, ...]:
        check_inputs(self, inputs, 1)
        (x,) = inputs
        self.require(x.dtype is DType.STRING and x.size == 1, f"input is {x}; it is one string")
        self.require(
            1 <= self.size <= 64 and self.skips >= 0,
            f"{self.size} words, {self.skips} skipped; 1 to 64, and at least 0",
        )
        return (TensorType((-1,), DType.STRING),)

    def reference(
        self, arrays: Sequence[Array], inputs: Sequence[TensorType], outputs: Sequence[TensorType]
    ) -> list[Array]:
        words = arrays[0].item().split()
        grams: list[bytes] = []

        def grow(chosen: list[int]) -> None:
            if len(chosen) < self.size:
                last = chosen[-1] + self.skips + 1 if chosen else len(words)
                for i in range(chosen[-1] + 1 if chosen else 0, min(last + 1, len(words))):
                    grow([*chosen, i])
            if len(chosen) == self.size or (self.all_sizes and chosen):
                grams.append(b" ".join(words[i] for i in chosen))

        if len(words) >= self.size:
            grow([])
        y = np.empty(len(grams), object)
        y[:] = grams
        return [y]
