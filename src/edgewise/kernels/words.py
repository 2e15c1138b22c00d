"""What products of int16 activations by 8-bit weights share: int64 sums, their results as int16.

Weights lie in panels as int16, less their zero points. Sums of products stay in int32 lanes as
long as they provably fit (`GROUP_LIMIT`); then they are added to int64 ones.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from .fixed_point import RULES
from .ir import Value, i16, i32, i64
from .isa import Clamp

HEAD_BYTES = 16
"""Of a panel, for each column: bias int64, multiplier int32, exponent int32."""

GROUP_LIMIT = (2**31 - 1) // 2**15
"""The greatest sum of weights' magnitudes for which int32 sums hold whatever they multiply."""


def pack_head(
    bias: npt.NDArray[np.int64],
    multiplier: npt.NDArray[np.int32],
    exponent: npt.NDArray[np.int32],
) -> npt.NDArray[np.uint8]:
    """Biases, multipliers and exponents [panels, nr] as the heads of panels."""
    panels = len(bias)
    columns = (np.ascontiguousarray(x).view(np.uint8) for x in (bias, multiplier, exponent))
    return np.concatenate([x.reshape(panels, -1) for x in columns], axis=1)


def results(
    rule: str,
    wide: bool,
    rows: Sequence[Sequence[Value]],
    head: Value,
    clamp: Clamp,
) -> list[list[Value]]:
    """int16 results of rows of int64 sums without their biases.

    Args:
        rule: one of `RULES`.
        wide: False where sums wrap to int32.
        head: address of the panel's head, of as many vectors as a row has.
    """
    lanes, count = rows[0][0].ty.lanes, len(rows[0])
    step = 4 * lanes
    bias = [(head + 2 * step * j).load(i64[lanes]) for j in range(count)]
    multipliers, exponents = (
        [(head + step * (count * i + j)).load(i32[lanes]) for j in range(count)] for i in (2, 3)
    )
    lo, hi, zero = (clamp.lanes(what, i32[lanes]) for what in ("lo", "hi", "zero_point"))

    def result(total: Value, j: int) -> Value:
        total = total + bias[j]
        scaled = RULES[rule](
            total if wide else total.to(i32[lanes]), multipliers[j], exponents[j]
        ).clamp(-(2**30), 2**30 - 1)
        return (scaled + zero).clamp(lo, hi).to(i16[lanes])

    return [[result(total, j) for j, total in enumerate(row)] for row in rows]
