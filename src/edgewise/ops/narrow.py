"""NARROW_FLOAT: float32 rounded to a float type of fewer bits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ..dtype import DType
from ..graph import Array, TensorType
from .base import Op
from .checks import check_inputs, result


@dataclass(frozen=True, eq=False, repr=False)
class NarrowFloat(Op):
    """The nearest number with ``mantissa`` bits after the first, halves to even, as float32.

    Attributes:
        least_exponent: that of the least normal number; smaller numbers have its spacing.
        greatest: the greatest finite number.
        saturate: what is greater becomes it, else infinity where ``infinite``, else NaN.
        infinite: there are infinities.
        negative_zero: there is -0.
        not_a_number: there is NaN; where not, it becomes 0.

    The formats are ONNX's: bfloat16, and those of 8 and 4 bits.
    """

    name: ClassVar[str] = "NARROW_FLOAT"

    mantissa: int = 7
    least_exponent: int = -126
    greatest: float = 3.3895313892515355e38
    saturate: bool = False
    infinite: bool = True
    negative_zero: bool = True
    not_a_number: bool = True

    def infer(self, inputs: Sequence[TensorType]) -> tuple[TensorType, ...]:
        check_inputs(self, inputs, 1)
        (x,) = inputs
        self.require(x.dtype is DType.FLOAT32, f"input is {x.dtype}; it must be float32")
        return (result(self, x.shape, x.dtype),)

    def reference(
        self, arrays: Sequence[Array], inputs: Sequence[TensorType], outputs: Sequence[TensorType]
    ) -> list[Array]:
        x = arrays[0].astype(np.float64)
        exponent = np.maximum(np.frexp(x)[1] - 1, self.least_exponent)
        spacing = np.ldexp(1.0, exponent - self.mantissa)
        rounded = np.where(np.isfinite(x), np.rint(x / spacing) * spacing, x)
        limit = self.greatest if self.saturate else np.inf if self.infinite else np.nan
        rounded = np.where(np.abs(rounded) > self.greatest, np.copysign(limit, rounded), rounded)
        if not self.negative_zero:
            rounded = np.where(rounded == 0, 0.0, rounded)
        if not self.not_a_number:
            rounded = np.where(np.isnan(rounded), 0.0, rounded)
        return [rounded.astype(np.float32)]
