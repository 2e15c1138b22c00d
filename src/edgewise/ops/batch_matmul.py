"""BATCH_MATMUL."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ..graph import Array, TensorType
from .base import Activation
from .checks import check_inputs, check_shape, result
from .product import Product, matmul
from .requant import Rounding


@dataclass(frozen=True, eq=False, repr=False)
class BatchMatMul(Product):
    """Matrix products of x[..., M, K] and y[..., K, N]: [..., M, N]; types as in CONV_2D.

    ``adj_x`` says that x is [..., K, M], ``adj_y`` that y is [..., N, K]. The leading dimensions
    broadcast. x and y may both be int16. Hybrid: x is quantized a row of K at a time, and y may
    have a scale a column of N.
    """

    name: ClassVar[str] = "BATCH_MATMUL"
    either_sign: ClassVar[bool] = False
    wide_sums: ClassVar[bool] = True

    adj_x: bool = False
    adj_y: bool = False
    activation: Activation = Activation.NONE
    rounding: Rounding = Rounding.FLOAT

    def infer(self, inputs: Sequence[TensorType]) -> tuple[TensorType, ...]:
        check_inputs(self, inputs, 2)
        x, y = inputs
        for i, t in enumerate(inputs):
            rank = len(t.shape)
            self.require(rank >= 2, f"input {i} has rank {rank}; it must be 2 or more")
        rows, depth = _matrix(x.shape, self.adj_x)
        other, columns = _matrix(y.shape, self.adj_y)
        self.require(
            depth == other,
            f"inputs {list(x.shape)} and {list(y.shape)} are summed over {depth} and {other} "
            "products; they must be equal",
        )
        try:
            batch = np.broadcast_shapes(x.shape[:-2], y.shape[:-2])
        except ValueError:
            self.require(
                False,
                f"inputs {list(x.shape)} and {list(y.shape)}; their leading dimensions broadcast",
            )
        shape = (*batch, rows, columns)
        check_shape(self, shape, "its output")
        self.check(inputs, columns, len(y.shape) - (2 if self.adj_y else 1), depth)
        return (result(self, shape, x.dtype),)

    def reference(
        self, arrays: Sequence[Array], inputs: Sequence[TensorType], outputs: Sequence[TensorType]
    ) -> list[Array]:
        given = self.operands(arrays, inputs, (-2,) if self.adj_x else (-1,))
        given = given.transposed() if self.adj_x else given
        y = given.w.swapaxes(-1, -2) if self.adj_y else given.w
        return [self.finish(matmul(given.x, y), given, inputs, outputs)]

    def macs(self, inputs: Sequence[TensorType], outputs: Sequence[TensorType]) -> int:
        return outputs[0].size * _matrix(inputs[0].shape, self.adj_x)[1]


def _matrix(shape: tuple[int, ...], adjoint: bool) -> tuple[int, int]:
    """Rows and columns of the last two dimensions, transposed where ``adjoint``."""
    return (shape[-1], shape[-2]) if adjoint else (shape[-2], shape[-1])
