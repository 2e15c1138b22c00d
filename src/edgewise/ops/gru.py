"""GRU: a layer of gated recurrent units over a sequence of float32."""

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
class Gru(Op):
    """Gated recurrent units over x[T, B, I] in order of time.

    The operands are x, w[3, H, I], r[3, H, H], the biases wb[3, H] and rb[3, H], and the state
    h[B, H]; the first dimension is update gate, reset gate, candidate. At each step
    z = logistic(x wz + wbz + h rz + rbz), g alike, and

        n = tanh(x wn + wbn + g * (h rn + rbn))    (``linear_before_reset``, as in PyTorch)
        n = tanh(x wn + wbn + (g * h) rn + rbn)    (else, as in the paper)
        h = (1 - z) * n + z * h

    The outputs are h after every step, [T, B, H], and after the last, [B, H].
    """

    name: ClassVar[str] = "GRU"

    linear_before_reset: bool = True

    def infer(self, inputs: Sequence[TensorType]) -> tuple[TensorType, ...]:
        check_inputs(self, inputs, 6)
        x, w, r, wb, rb, h = inputs
        for i, t in enumerate(inputs):
            self.require(t.dtype is DType.FLOAT32, f"input {i} is {t.dtype}; it must be float32")
        check_rank(self, x, 3, "input")
        check_rank(self, h, 2, "state")
        (steps, batch, depth), units = x.shape, h.shape[1]
        for name, t, shape in (
            ("w", w, (3, units, depth)),
            ("r", r, (3, units, units)),
            ("wb", wb, (3, units)),
            ("rb", rb, (3, units)),
            ("h", h, (batch, units)),
        ):
            self.require(
                t.shape == shape, f"{name} has shape {list(t.shape)}; it must be {list(shape)}"
            )
        return (
            result(self, (steps, batch, units), DType.FLOAT32),
            result(self, (batch, units), DType.FLOAT32),
        )

    def reference(
        self, arrays: Sequence[Array], inputs: Sequence[TensorType], outputs: Sequence[TensorType]
    ) -> list[Array]:
        x, w, r, wb, rb, h = (a.astype(np.float64) for a in arrays)
        given = np.einsum("tbi,ghi->tgbh", x, w) + wb[:, None]
        y = np.empty(outputs[0].shape, np.float32)
        for t, (gz, gr, gn) in enumerate(given):
            z = logistic(gz + h @ r[0].T + rb[0])
            reset = logistic(gr + h @ r[1].T + rb[1])
            if self.linear_before_reset:
                new = np.tanh(gn + reset * (h @ r[2].T + rb[2]))
            else:
                new = np.tanh(gn + (reset * h) @ r[2].T + rb[2])
            y[t] = (1 - z) * new + z * h
            h = y[t].astype(np.float64)
        return [y, h.astype(np.float32)]

    def macs(self, inputs: Sequence[TensorType], outputs: Sequence[TensorType]) -> int:
        steps, batch, _ = inputs[0].shape
        return steps * batch * (inputs[1].size + inputs[2].size)
