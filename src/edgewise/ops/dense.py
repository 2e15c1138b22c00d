"""FULLY_CONNECTED."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from ..graph import Array, TensorType
from .base import Activation, Op
from .checks import check_inputs, check_rank, result
from .product import check_product, finish_product, matmul, operands


@dataclass(frozen=True, eq=False, repr=False)
class FullyConnected(Op):
    """Matrix product of x[..., K] and w[O, K], and bias[O] (optional); types as in CONV_2D.

    The output is [x.shape[:-1]..., O] with ``keep_num_dims``. Without, it is [x.size / K, O], and
    x may have any shape whose size K divides: its last dimensions are flattened.
    """

    name: ClassVar[str] = "FULLY_CONNECTED"

    activation: Activation = Activation.NONE
    keep_num_dims: bool = False

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
                x.size % depth == 0,
                f"input {list(x.shape)}, weights of depth {depth}; it must divide the input's size",
            )
            shape = (x.size // depth, channels)
        check_product(self, inputs, channels, 0, depth)
        return (result(self, shape, x.dtype),)

    def reference(
        self, arrays: Sequence[Array], inputs: Sequence[TensorType], outputs: Sequence[TensorType]
    ) -> list[Array]:
        x, w, bias = operands(arrays, inputs)
        acc = matmul(x.reshape(-1, w.shape[1]), w.T)
        y = finish_product(acc, bias, inputs, outputs, self.activation)
        return [y.reshape(outputs[0].shape)]

    def macs(self, inputs: Sequence[TensorType], outputs: Sequence[TensorType]) -> int:
        return outputs[0].size * inputs[1].shape[1]
