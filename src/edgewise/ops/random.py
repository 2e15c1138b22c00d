"""Random numbers, as TensorFlow Lite draws them: Philox 4x32-10 (Salmon and others, 2011).

A generator is a key and a counter of blocks of four numbers. The counter is a variable: each call
goes on where the call before it ended, and after a reset the numbers come again.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from ..dtype import DType
from ..graph import Array, TensorType
from .base import Op
from .checks import check_inputs, check_rank, result

COUNTER = TensorType((1,), DType.INT64)
"""The type of a generator's variable: how many blocks it has given."""

LOW = np.uint64(2**32 - 1)
HALF = np.uint64(32)


@cache
def entropy() -> tuple[int, int]:
    """The key of this process, for generators without a seed."""
    drawn = os.urandom(16)
    return int.from_bytes(drawn[:8], "little"), int.from_bytes(drawn[8:], "little")


def philox(key: int, stream: int, first: int, count: int) -> npt.NDArray[np.uint32]:
    """uint32[count, 4]: the blocks of a generator from number ``first`` on."""
    low = (np.arange(count, dtype=np.uint64) + np.uint64(first % 2**64)).astype(np.uint64)
    c = [low & LOW, low >> HALF, *(np.full(count, n % 2**32, np.uint64) for n in _halves(stream))]
    k0, k1 = _halves(key)
    for _ in range(10):
        a, b = c[0] * np.uint64(0xD2511F53), c[2] * np.uint64(0xCD9E8D57)
        c = [
            (b >> HALF) ^ c[1] ^ np.uint64(k0),
            b & LOW,
            (a >> HALF) ^ c[3] ^ np.uint64(k1),
            a & LOW,
        ]
        k0, k1 = (k0 + 0x9E3779B9) % 2**32, (k1 + 0xBB67AE85) % 2**32
    return np.stack(c, axis=1).astype(np.uint32)


def _halves(number: int) -> tuple[int, int]:
    return number % 2**32, (number >> 32) % 2**32


def uniform(bits: npt.NDArray[np.uint32]) -> npt.NDArray[np.float32]:
    """Numbers of [0, 1) from 23 bits each."""
    mantissa = (bits & np.uint32(2**23 - 1)) | np.uint32(127 << 23)
    return np.asarray(mantissa.view(np.float32) - np.float32(1))


@dataclass(frozen=True, eq=False, repr=False)
class _Random(Op):
    """``seeds`` (0, 0) stand for others in every process; then ``stream`` tells nodes apart."""

    deterministic: ClassVar[bool] = False

    seeds: tuple[int, int] = (0, 0)
    stream: int = 0

    def blocks(self, counter: Array, count: int) -> npt.NDArray[np.uint32]:
        key, stream = self.seeds
        if self.seeds == (0, 0):
            key, stream = entropy()
            stream += self.stream
        return philox(key, stream, int(counter[0]), count)

    def check_counter(self, counter: TensorType) -> None:
        self.require(counter == COUNTER, f"counter is {counter}; it must be {COUNTER}")


@dataclass(frozen=True, eq=False, repr=False)
class RandomUniform(_Random):
    """float32 numbers of [0, 1), in ``shape``.

    The operand is the generator's counter, int64[1]; its new value is the last output.
    """

    name: ClassVar[str] = "RANDOM_UNIFORM"

    shape: tuple[int, ...] = ()

    @property
    def state_operands(self) -> tuple[int, ...]:
        return (0,)

    def infer(self, inputs: Sequence[TensorType]) -> tuple[TensorType, ...]:
        check_inputs(self, inputs, 1)
        self.check_counter(inputs[0])
        return result(self, self.shape, DType.FLOAT32), COUNTER

    def convert(self, blocks: npt.NDArray[np.uint32]) -> npt.NDArray[np.float32]:
        """The numbers that uint32[n, 4] become, in order."""
        return uniform(blocks)

    def reference(
        self, arrays: Sequence[Array], inputs: Sequence[TensorType], outputs: Sequence[TensorType]
    ) -> list[Array]:
        (counter,) = arrays
        size = int(np.prod(self.shape, dtype=np.int64))
        count = -(-size // 4)
        numbers = self.convert(self.blocks(counter, count)).ravel()[:size]
        return [numbers.reshape(self.shape), counter + count]


class RandomStandardNormal(RandomUniform):
    """float32 numbers of the standard normal distribution, by Box and Muller's transform."""

    name: ClassVar[str] = "RANDOM_STANDARD_NORMAL"

    def convert(self, blocks: npt.NDArray[np.uint32]) -> npt.NDArray[np.float32]:
        pairs = uniform(blocks).reshape(-1, 2)
        radius = np.sqrt(-2 * np.log(np.maximum(pairs[:, 0], np.float32(1e-7))))
        angle = (2 * np.pi * pairs[:, 1].astype(np.float64)).astype(np.float32)
        return np.stack([np.sin(angle) * radius, np.cos(angle) * radius], axis=1)


@dataclass(frozen=True, eq=False, repr=False)
class Multinomial(_Random):
    """``count`` classes of each row of logits float32[N, C], drawn by their probabilities.

    The operands are logits and the generator's counter, int64[1], whose new value is the last
    output; the first is [N, count] of ``dtype``.
    """

    name: ClassVar[str] = "MULTINOMIAL"

    count: int = 1
    dtype: DType = DType.INT64

    @property
    def state_operands(self) -> tuple[int, ...]:
        return (1,)

    def infer(self, inputs: Sequence[TensorType]) -> tuple[TensorType, ...]:
        check_inputs(self, inputs, 2)
        logits, counter = inputs
        check_rank(self, logits, 2, "logits")
        self.require(logits.dtype is DType.FLOAT32, f"logits are {logits.dtype}; float32")
        self.require(
            self.dtype in (DType.INT32, DType.INT64), f"gives {self.dtype}; it is int32 or int64"
        )
        self.check_counter(counter)
        return result(self, (logits.shape[0], self.count), self.dtype), COUNTER

    def reference(
        self, arrays: Sequence[Array], inputs: Sequence[TensorType], outputs: Sequence[TensorType]
    ) -> list[Array]:
        logits, counter = arrays
        drawn = len(logits) * self.count
        pairs = self.blocks(counter, -(-drawn // 2)).reshape(-1, 2)[:drawn].astype(np.uint64)
        bits = ((pairs[:, 0] & np.uint64(2**20 - 1)) << HALF) | pairs[:, 1]
        real = (bits | np.uint64(1023 << 52)).view(np.float64) - 1
        finite = np.isfinite(logits)
        greatest = np.max(logits, axis=1, initial=np.finfo(np.float32).min, where=finite)
        shifted = logits.astype(np.float64) - greatest[:, None]
        sums = np.cumsum(np.where(finite, np.exp(np.where(finite, shifted, 0)), 0), axis=1)
        found = [
            np.searchsorted(row, numbers * row[-1], side="right")
            for row, numbers in zip(sums, real.reshape(len(logits), self.count), strict=True)
        ]
        skipped = len(logits) * (-(-self.count // 4) * 4) * 2 * 256
        y = np.array(found).reshape(len(logits), self.count).astype(self.dtype.numpy)
        return [y, counter + skipped]
