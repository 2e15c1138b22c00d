"""How float32 weights lie in memory: as they are, or in 16 bits and widened as they are loaded."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from .ir import Value, f32, u16, u32
from .isa import Isa
from .math import from_half

Floats = npt.NDArray[np.float32]


class Storage:
    """float32 itself, and the base of what is narrower.

    Attributes:
        name: as in kernel names, after "f32".
        nbytes: of a weight.
    """

    name: ClassVar[str] = ""
    nbytes: ClassVar[int] = 4

    def pack(self, weights: Floats) -> npt.NDArray[Any]:
        """The weights as they are stored, in the same shape."""
        return weights

    def load(self, isa: Isa, address: Value) -> Value:
        """A vector of them as float32."""
        return address.load(f32[isa.lanes])

    def __repr__(self) -> str:
        return type(self).__name__


class _Float16(Storage):
    name, nbytes = "f16", 2

    def pack(self, weights: Floats) -> npt.NDArray[Any]:
        with np.errstate(over="ignore"):
            return weights.astype(np.float16)

    def load(self, isa: Isa, address: Value) -> Value:
        return from_half(isa, address.load(u16[isa.lanes]))


class _BFloat16(Storage):
    name, nbytes = "bf16", 2

    def pack(self, weights: Floats) -> npt.NDArray[Any]:
        return rounded_to_bf16(weights)

    def load(self, isa: Isa, address: Value) -> Value:
        return (address.load(u16[isa.lanes]).to(u32[isa.lanes]) << 16).bitcast(f32[isa.lanes])


FLOAT32, FLOAT16, BFLOAT16 = Storage(), _Float16(), _BFloat16()


def fits_half(isa: Isa, weights: Floats) -> bool:
    """Whether float16 holds the very same numbers, and ``isa`` has an instruction to widen it."""
    if not isa.widens_half:
        return False
    return bool(np.array_equal(FLOAT16.pack(weights).astype(np.float32), weights))


def rounded_to_bf16(x: Floats) -> npt.NDArray[np.uint16]:
    """The bits of the nearest bfloat16, halves to even; NaN stays one."""
    bits = x.view(np.uint32)
    nearest = (bits + 0x7FFF + (bits >> 16 & 1)) >> 16
    return np.where(np.isnan(x), bits >> 16 | 0x40, nearest).astype(np.uint16)


__all__ = ["BFLOAT16", "FLOAT16", "FLOAT32", "Storage", "fits_half", "rounded_to_bf16"]
