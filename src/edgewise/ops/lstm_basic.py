"""LSTM of the kernel "BASIC": one step, one matrix product for all gates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ..dtype import DType
from ..graph import Array, TensorType
from .base import Op
from .checks import check_inputs, check_rank, result
from .recurrent import logistic


@dataclass(frozen=True, eq=False, repr=False)
class BasicLstm(Op):
    """One step of an LSTM whose four gates are one matrix product, of float32 (kernel "BASIC").

    Operands are x[B, I], the output before [B, C], weights[4C, I + C], bias[4C] and the cell
    before [B, C]; gates stand in the order input, cell, forget, output. Outputs are the output and
    the cell, each [B, C], then what the file keeps of its work: both inputs side by side
    [B, I + C], and the sums of the gates [B, 4C].
    """

    name: ClassVar[str] = "LSTM"

    def infer(self, inputs: Sequence[TensorType]) -> tuple[TensorType, ...]:
        check_inputs(self, inputs, 5)
        x, output, weights, bias, cell = inputs
        for what, t in zip(("input", "weights"), (x, weights), strict=True):
            check_rank(self, t, 2, what)
        batch, depth = x.shape
        cells = weights.shape[0] // 4
        wanted = ((batch, cells), (4 * cells, depth + cells), (4 * cells,), (batch, cells))
        for t, shape in zip((output, weights, bias, cell), wanted, strict=True):
            self.require(t.shape == shape, f"an input has shape {t.shape}; it must be {shape}")
        for t in inputs:
            self.require(t.dtype is DType.FLOAT32, f"an input is {t.dtype}; all are float32")
        widths = (cells, cells, depth + cells, 4 * cells)
        return tuple(result(self, (batch, width), x.dtype) for width in widths)

    def reference(
        self, arrays: Sequence[Array], inputs: Sequence[TensorType], outputs: Sequence[TensorType]
    ) -> list[Array]:
        x, output, weights, bias, cell = arrays
        joined = np.concatenate([x, output], -1)
        sums = joined.astype(np.float64) @ weights.T.astype(np.float64) + bias
        into, new, forget, out = np.split(sums, 4, -1)
        state = logistic(forget) * cell + logistic(into) * np.tanh(new)
        y = logistic(out) * np.tanh(state)
        return [np.asarray(a, np.float32) for a in (y, state, joined, sums)]

    def macs(self, inputs: Sequence[TensorType], outputs: Sequence[TensorType]) -> int:
        return inputs[0].shape[0] * inputs[2].size
