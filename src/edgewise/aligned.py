"""Memory for kernels."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

ALIGN = 64
"""What the addresses of the arena and of the constants are multiples of, and those within them."""


def aligned(nbytes: int) -> npt.NDArray[np.uint8]:
    """Zeroed bytes at an address that `ALIGN` divides."""
    raw = np.zeros(nbytes + ALIGN, np.uint8)
    start = -raw.ctypes.data % ALIGN
    return raw[start : start + nbytes]
