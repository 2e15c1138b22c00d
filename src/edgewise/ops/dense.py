"""FULLY_CONNECTED."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from ..graph import Array, TensorType
from .base import Activation
from .checks import check_inputs, check_rank, result
from .fixed_point import multiply_once_rounded
from .hybrid import RowQuantization
from .product import Product, matmul
from .requant import Multiply, Rounding


@dataclass(frozen=True, eq=False, repr=False)
class FullyConnected(Product):
    """Matrix product of x[..., K] and w[O, K], and bias[O] (optional); types as in CONV_2D.

    Hybrid: x is quantized a row of K at a time, as ``rows`` tells.

    The output is [x.shape[:-1]..., O] with ``keep_num_dims``. Without, it is [x.size / K, O], and
    x may have any shape whose size K divides: its last dimensions are flattened.
    """

    name: ClassVar[str] = "FULLY_CONNECTED"
    rounds_scales: ClassVar[bool] = True

    activation: Activation = Activation.NONE
    keep_num_dims: bool = False
    rounding: Rounding = Rounding.FLOAT
    rows: RowQuantization = RowQuantization.QD8

    def infer(self, inputs: Sequence[TensorType]) -> tuple[TensorType, ...]:
        check_inputs(self, inputs, 2, 3)
        x, w = inputs[:2]
        check_rank(self, w, 2, "weights")
        channels, depth = w.shape
        if self.keep_num_dims:
            self.require(
                x.shape[-1:] == (depth,),
                f"input {list(x.shape)}, weights of depth {depth}; it must be the last dimension",
            )
            shape = (*x.shape[:-1], channels)
        else:
            self.require(
                depth > 0 and x.size % depth == 0,
                f"input {list(x.shape)}, weights of depth {depth}; it must divide the input's size",
            )
            shape = (x.size // depth, channels)
        self.check(inputs, channels, 0, depth)
        return (result(self, shape, x.dtype),)

    def reference(
        self, arrays: Sequence[Array], inputs: Sequence[TensorType], outputs: Sequence[TensorType]
    ) -> list[Array]:
        depth = inputs[1].shape[1]
        given = self.operands([arrays[0].reshape(-1, depth), *arrays[1:]], inputs)
        y = self.finish(matmul(given.x, given.w.T), given, inputs, outputs)
        return [y.reshape(outputs[0].shape)]

    def multiplication(self, is_wide: bool) -> Multiply:
        """LiteRT rounds int64 sums once, by the whole multiplier."""
        if is_wide and self.rounding is Rounding.FLOAT:
            return multiply_once_rounded
        return super().multiplication(is_wide)

    def macs(self, inputs: Sequence[TensorType], outputs: Sequence[TensorType]) -> int:
        return outputs[0].size * inputs[1].shape[1]
