"""GRU over a sequence of float32, whose reset gate multiplies the product with the state.

A unit is one row of the batch, all steps of it. The cells are done in blocks of as many as a
vector holds; a block's three gates are accumulated side by side. The output of a step is the state
of the next and is read where it was written. Gates: update, reset, candidate.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from . import math
from .ir import Kernel, Type, Value, f32, index, ptr
from .isa import Isa
from .lstm import blocks

GATES = 3

ROWS: dict[str, Type] = {
    **dict.fromkeys(("x", "y", "state", "state_out", "w", "bias"), ptr),
    **dict.fromkeys(("x_row", "x_step", "y_row", "y_step", "steps", "n", "gate"), index),
}
"""Operands: bytes from a row of the batch to the next, and from a step to the next; states lie
packed. ``n`` cells."""


@dataclass(frozen=True)
class Gru:
    """``x`` holds the gates' sums of the inputs already, with all biases but the recurrent one of
    the candidate: at each step float32[3][gate] where ``gate`` is the number of bytes between
    gates. ``bias`` is the other one, padded to vectors."""

    isa: Isa

    @property
    def symbol(self) -> str:
        return f"gru_f32__{self.isa.name}"

    @property
    def fields(self) -> dict[str, Type]:
        return ROWS

    def pack(self, weights: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
        """Recurrent weights float32[3, n, n], as `blocks`."""
        packed = blocks(weights, self.isa.lanes)
        return np.ascontiguousarray(packed).reshape(-1).view(np.uint8)

    def build(self) -> str:
        k, lanes = Kernel(self.symbol, self.fields), self.isa.lanes
        with k.loop(k.begin, k.end) as row:
            at = row * k["n"] * 4
            output = k.var(k["state"] + at)
            x, y = k.var(k["x"] + row * k["x_row"]), k.var(k["y"] + row * k["y_row"])
            with k.loop(0, k["steps"], once=True):
                with k.loop(0, k["n"], lanes, once=True) as j:
                    new = self._block(k, x.value, output.value, j)
                    (y.value + j * 4).store_partial(new, (k["n"] - j).min(lanes))
                output.value = y.value
                x.value, y.value = x.value + k["x_step"], y.value + k["y_step"]
            with k.loop(0, k["n"], lanes, once=True) as j:
                last = (output.value + j * 4).load(f32[lanes])
                (k["state_out"] + at + j * 4).store_partial(last, (k["n"] - j).min(lanes))
        return k.text()

    def _block(self, k: Kernel, x: Value, output: Value, j: Value) -> Value:
        """The new state of the cells from ``j`` on."""
        isa, vector = self.isa, f32[self.isa.lanes]
        own = [k.var((x + (k["gate"] * g + j * 4)).load(vector)) for g in range(2)]
        own.append(k.var((k["bias"] + j * 4).load(vector)))
        w = k.var(k["w"] + k["n"] * j * (4 * GATES))
        with k.loop(0, k["n"], once=True) as i:
            h = (output + i * 4).load(f32).splat(isa.lanes)
            for g, total in enumerate(own):
                total.value = isa.fma(h, (w.value + g * vector.nbytes).load(vector), total.value)
            w.value = w.value + GATES * vector.nbytes
        update, reset = (math.logistic(isa, total.value) for total in own[:2])
        given = (x + (k["gate"] * 2 + j * 4)).load(vector)
        candidate = math.tanh(isa, isa.fma(reset, own[2].value, given))
        before = (output + j * 4).load(vector)
        return isa.fma(update, before - candidate, candidate)
