"""Between quantized and real numbers, for integer rules that are stated in real numbers."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ..graph import Array, TensorType
from .requant import per_tensor


def dequantized(x: Array, t: TensorType, what: str = "input") -> npt.NDArray[np.float64]:
    """The real numbers that ``x`` of a type quantized per tensor stands for."""
    scale, zero = per_tensor(t, what)
    return np.asarray((x.astype(np.int64) - zero) * float(scale), np.float64)


def requantized(real: Array, t: TensorType, what: str = "output") -> Array:
    """clamp(round_half_even(real / scale) + zero point), NaN as 0, of the dtype of ``t``."""
    scale, zero = per_tensor(t, what)
    low, high = t.dtype.range
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        steps = np.nan_to_num(np.asarray(real) / float(scale), posinf=np.inf, neginf=-np.inf)
    q = np.rint(np.clip(steps, low - zero, high - zero)) + zero
    return np.asarray(q.astype(t.dtype.numpy))
