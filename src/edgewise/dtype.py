"""Element types and quantization parameters."""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from .errors import GraphError


class DType(enum.Enum):
    """The type of a tensor's elements; the value is numpy's name for it.

    Strings are ``bytes`` objects in arrays of dtype object.
    """

    UINT8 = "uint8"
    INT8 = "int8"
    INT16 = "int16"
    UINT16 = "uint16"
    INT32 = "int32"
    UINT32 = "uint32"
    INT64 = "int64"
    UINT64 = "uint64"
    FLOAT16 = "float16"
    FLOAT32 = "float32"
    FLOAT64 = "float64"
    COMPLEX64 = "complex64"
    COMPLEX128 = "complex128"
    BOOL = "bool"
    STRING = "object"

    @cached_property
    def numpy(self) -> np.dtype[np.generic]:
        return np.dtype(self.value)

    @cached_property
    def itemsize(self) -> int:
        return self.numpy.itemsize

    @cached_property
    def is_float(self) -> bool:
        return self.value.startswith("float")

    @cached_property
    def is_integer(self) -> bool:
        return "int" in self.value

    @cached_property
    def range(self) -> tuple[int, int]:
        """Least and greatest value of an integer type."""
        info = np.iinfo(self.value)
        return int(info.min), int(info.max)

    @classmethod
    def of(cls, array: npt.NDArray[np.generic]) -> DType:
        return cls(array.dtype.name)

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True)
class QParams:
    """Affine quantization: real = scale * (q - zero_point).

    ``scale`` and ``zero_point`` hold one entry, or one a channel along ``axis``. ``bits``, 4 or 2,
    says of a constant of int8 that its values need no more; files pack them.
    """

    scale: tuple[float, ...]
    zero_point: tuple[int, ...]
    axis: int | None = None
    bits: int | None = None

    def __post_init__(self) -> None:
        if not self.scale or len(self.scale) != len(self.zero_point):
            raise GraphError(
                f"QParams: {len(self.scale)} scales and {len(self.zero_point)} zero points; "
                "there must be as many of each, and at least one"
            )
        if self.axis is None and len(self.scale) != 1:
            raise GraphError(f"QParams: {len(self.scale)} scales without an axis; per tensor is 1")
        if not (min(self.scale) > 0.0 and 0.0 < sum(self.scale) < math.inf):
            bad = next((s for s in self.scale if not 0.0 < s < math.inf), sum(self.scale))
            raise GraphError(f"QParams: scale {bad}; a scale is positive and finite")

    @classmethod
    def per_tensor(cls, scale: float, zero_point: int) -> QParams:
        return cls((float(scale),), (int(zero_point),))

    def __str__(self) -> str:
        bits = f", {self.bits} bits" if self.bits else ""
        if self.axis is not None:
            return f"per-channel axis {self.axis}{bits}"
        return f"{self.scale[0]:.6g} * (q - {self.zero_point[0]}){bits}"
