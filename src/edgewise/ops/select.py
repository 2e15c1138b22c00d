"""One of two tensors, element by element: SELECT and SELECT_V2."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ..dtype import DType
from ..graph import Array, TensorType
from .base import Op
from .checks import broadcast_shape, check_inputs, check_rank, kind_of, result


@dataclass(frozen=True, eq=False, repr=False)
class Select(Op):
    """condition ? a : b, broadcast; operands are (condition, a, b), of which the first is bool.

    With ``rows`` the condition has rank 1 and chooses along the first dimension of a and b, whose
    shapes are equal. Quantized: raw values of a and b, which share the output's quantization.
    """

    name: ClassVar[str] = "SELECT"

    rows: bool = False

    def infer(self, inputs: Sequence[TensorType]) -> tuple[TensorType, ...]:
        check_inputs(self, inputs, 3)
        condition, a, b = inputs
        self.require(
            condition.dtype is DType.BOOL, f"its condition is {condition.dtype}; it must be bool"
        )
        self.require(
            a.dtype is b.dtype and kind_of(a) is kind_of(b),
            f"inputs are {a} and {b}; they must be of one dtype",
        )
        if self.rows:
            check_rank(self, condition, 1, "condition")
            self.require(
                a.shape == b.shape and condition.shape == a.shape[:1],
                f"shapes {[list(t.shape) for t in inputs]}; it chooses rows of two equal shapes",
            )
            return (result(self, a.shape, a.dtype),)
        return (result(self, broadcast_shape(self, inputs), a.dtype),)

    def reference(
        self, arrays: Sequence[Array], inputs: Sequence[TensorType], outputs: Sequence[TensorType]
    ) -> list[Array]:
        condition, a, b = arrays
        if self.rows:
            condition = condition.reshape(-1, *[1] * (a.ndim - 1))
        return [np.where(condition, a, b)]
