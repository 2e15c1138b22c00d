"""PRELU of 8 bits by 32-bit arithmetic, where trying all values shows that it is exact."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from ..graph import Array, TensorType
from ..ops import PRelu
from ..ops.fixed_point import multiplier
from ..ops.requant import per_tensor
from ..ops.tables import raw_values

BITS = 22
"""Of the greatest factor: its product with 255, and what rounds it, fit int32."""
MOST = 29
"""The greatest shift."""


@dataclass(frozen=True)
class Slopes:
    """What `kernels.elementwise.QPRelu` multiplies by, and how it rounds."""

    above: int
    below: npt.NDArray[np.int32]
    up: int
    away: int
    down: int
    shift: int


def slopes_of(
    op: PRelu, x: TensorType, alpha: TensorType, out: TensorType, data: Array
) -> Slopes | None:
    """``below`` has the shape of ``data``, which is alpha.

    None where no factors were found that give the reference's result for each value of x.
    """
    distinct, places = np.unique(data, return_inverse=True)
    values = raw_values(x)
    row, column = values.astype(x.dtype.numpy), distinct[:, None]
    types = [replace(x, shape=row.shape), replace(alpha, shape=column.shape)]
    (expected,) = op.reference([row, column], types, [replace(out, shape=(column.size, row.size))])
    x_zero, a_zero, zero = (per_tensor(t, op.name)[1] for t in (x, alpha, out))
    one, each = op.ratios((x, alpha), out)
    nominal = np.array([one, *(each * (distinct.astype(np.int64) - a_zero))])
    shift = min(BITS - math.frexp(float(np.abs(nominal).max()))[1], MOST)
    if shift < 1:
        return None
    up, away = _rounding(one, shift), _rounding(each, shift)
    down = (1 << shift) - 1 - away
    rounding = np.where(nominal > 0, down, away)
    rounding[0] = up
    values, steps = values - x_zero, expected.astype(np.int64) - zero
    steps = np.concatenate([steps[:1], steps])
    counts = (values >= 0) == (np.arange(len(steps)) == 0)[:, None]
    low, high = (bound - zero for bound in out.dtype.range)
    factors = _middles(values, steps, counts, np.ldexp(nominal, shift), rounding, shift, low, high)
    product = values * factors[:, None]
    added = np.where(product < 0, down, np.array([up] + [away] * len(distinct))[:, None])
    results = np.clip((product + added) >> shift, low, high)
    if not np.array_equal(results[counts], steps[counts]):
        return None
    below = factors[1:][places].reshape(data.shape).astype(np.int32)
    return Slopes(int(factors[0]), below, up, away, down, shift)


def _rounding(real: float, shift: int) -> int:
    """What rounds a product by ``real`` as fixed_point.multiply does, but for halves.

    Rounded to 2**exponent before it is rounded to 1, it need not be a half to be rounded up.
    """
    exponent = multiplier(real)[1]
    return (1 << (shift - 1)) + (1 << max(shift + exponent - 1, 0) if exponent < 0 else 0)


def _middles(
    values: Array,
    steps: Array,
    counts: Array,
    nominal: Array,
    rounding: Array,
    shift: int,
    low: int,
    high: int,
) -> npt.NDArray[np.int64]:
    """Of each row, the middle of those f near ``nominal`` that make values * f to ``steps``.

    That is, (value * f + rounding) >> shift, clipped, wherever ``counts``.
    """
    ends = np.stack([steps, steps + 1]).astype(np.float64) * 2.0**shift
    ends[1] -= 1
    ends[0][steps == low], ends[1][steps == high] = -np.inf, np.inf
    divisor = np.where(counts & (values != 0), values, np.nan)
    ends = np.sort((ends - rounding[:, None]) / divisor, axis=0)
    slack = np.abs(nominal) * 2.0**-10 + 1
    least = np.fmax.reduce(ends[0], axis=1, initial=-np.inf)
    greatest = np.fmin.reduce(ends[1], axis=1, initial=np.inf)
    middle = (np.maximum(least, nominal - slack) + np.minimum(greatest, nominal + slack)) / 2
    return np.rint(middle).astype(np.int64)
