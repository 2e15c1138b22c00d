"""ONNX's element types of fewer bits than any `DType`: what holds them, and how they are packed.

int4, uint4, int2 and uint2 are held as int8 and uint8; bfloat16 and the floats of 8 and 4 bits as
float32, which has each of their values.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ..dtype import DType
from ..graph import Array
from ..ops import NarrowFloat


class Integer(NamedTuple):
    """An integer type of ``bits`` bits, held as ``dtype``."""

    dtype: DType
    bits: int

    @property
    def range(self) -> tuple[int, int]:
        """Its least and greatest value."""
        if self.dtype is DType.UINT8:
            return 0, 2**self.bits - 1
        return -(2 ** (self.bits - 1)), 2 ** (self.bits - 1) - 1


class Float(NamedTuple):
    """A float type of a sign, ``exponent`` bits and ``mantissa`` bits, held as float32.

    Attributes:
        bias: what its exponent is less than it is stored.
        infinite: it has infinities and several NaNs, as IEEE types do.
        unsigned_zero: it has no -0; its bits are the one NaN.
        finite: it has neither NaN nor infinity.
    """

    exponent: int
    mantissa: int
    bias: int
    infinite: bool = False
    unsigned_zero: bool = False
    finite: bool = False

    @property
    def bits(self) -> int:
        return 1 + self.exponent + self.mantissa

    def values(self) -> npt.NDArray[np.float32]:
        """The number that each pattern of bits stands for."""
        codes = np.arange(2**self.bits)
        sign = np.where(codes >> (self.bits - 1), -1.0, 1.0)
        fraction = (codes & (2**self.mantissa - 1)) / 2.0**self.mantissa
        stored = codes >> self.mantissa & (2**self.exponent - 1)
        scale = 2.0 ** (np.maximum(stored, 1) - self.bias)
        found = sign * scale * (fraction + (stored > 0))
        last = stored == 2**self.exponent - 1
        if self.infinite:
            found = np.where(last, np.where(fraction == 0, sign * np.inf, np.nan), found)
        elif self.unsigned_zero:
            found[2 ** (self.bits - 1)] = np.nan
        elif not self.finite:
            found[last & (fraction == fraction.max())] = np.nan
        return np.asarray(found, np.float32)

    def cast(self, saturate: bool = True) -> NarrowFloat:
        """Rounds float32 to this type; ``saturate`` is for those of 8 bits."""
        greatest = float(np.nanmax(np.where(np.isinf(self.values()), np.nan, self.values())))
        return NarrowFloat(
            self.mantissa,
            1 - self.bias,
            greatest,
            self.finite or (saturate and self.bits <= 8),
            self.infinite,
            not self.unsigned_zero,
            not self.finite,
        )


INTEGERS = {
    21: Integer(DType.UINT8, 4),
    22: Integer(DType.INT8, 4),
    25: Integer(DType.UINT8, 2),
    26: Integer(DType.INT8, 2),
}
"""Integer types by their number in TensorProto.DataType."""

FLOATS = {
    16: Float(8, 7, 127, infinite=True),
    17: Float(4, 3, 7),
    18: Float(4, 3, 8, unsigned_zero=True),
    19: Float(5, 2, 15, infinite=True),
    20: Float(5, 2, 16, unsigned_zero=True),
    23: Float(2, 1, 1, finite=True),
}
"""Float types by their number in TensorProto.DataType."""

NARROW = {
    **{code: kind.dtype for code, kind in INTEGERS.items()},
    **dict.fromkeys(FLOATS, DType.FLOAT32),
}
"""What holds the elements of each."""


def unpacked(data: bytes, code: int, count: int) -> Array | None:
    """The ``count`` elements that ``data`` packs, the first in the lowest bits of a byte.

    None where it has another length than they take.
    """
    bits = (INTEGERS.get(code) or FLOATS[code]).bits
    if len(data) != -(-count * bits // 8):
        return None
    codes: Array
    if bits > 8:
        codes = np.frombuffer(data, np.dtype("<u2"))
    else:
        lanes = np.arange(0, 8, bits, dtype=np.uint8)
        codes = np.frombuffer(data, np.uint8)[:, None] >> lanes & np.uint8(2**bits - 1)
    codes = codes.reshape(-1)[:count]
    if code in FLOATS:
        return np.asarray(_values(code)[codes])
    kind = INTEGERS[code]
    if kind.dtype is DType.UINT8:
        return codes
    unused = np.uint8(8 - bits)
    return np.asarray((codes << unused).view(np.int8) >> unused.view(np.int8))


@cache
def _values(code: int) -> npt.NDArray[np.float32]:
    return FLOATS[code].values()
