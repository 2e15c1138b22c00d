"""LSTM over a sequence: float32, and TensorFlow Lite's integer "8x8_16".

A unit is one row of the batch, all steps of it. The cells are done in blocks of as many as a
vector holds; a block's four gates are accumulated side by side. The output of a step is the output
state of the next and is read where it was written. Gates: input, forget, cell, output.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from . import fixed_point, math
from .ir import Kernel, Type, Value, f32, i8, i16, i32, index, ptr
from .isa import Isa
from .views import SLACK

GATES = 4

ROWS: dict[str, Type] = {
    **dict.fromkeys(("x", "y", "output", "cell", "output_out", "cell_out"), ptr),
    **dict.fromkeys(("x_row", "x_step", "y_row", "y_step", "steps", "n"), index),
}
"""Operands: bytes from a row of the batch to the next, and from a step to the next; states lie
packed. ``n`` cells."""


def blocks(weights: npt.NDArray[Any], lanes: int) -> npt.NDArray[Any]:
    """Weights [4, n, k] as [blocks of n][k][4][lanes], zeros beyond n."""
    gates, n, depth = weights.shape
    count = -(-n // lanes)
    padded = np.zeros((gates, count * lanes, depth), weights.dtype)
    padded[:, :n] = weights
    return np.asarray(padded.reshape(gates, count, lanes, depth).transpose(1, 3, 0, 2))


class _Builder:
    """The loops; subclasses say what a block of cells does."""

    output: Type
    cell: Type

    def __init__(self, variant: Lstm | QLstm) -> None:
        self.isa, self.lanes = variant.isa, variant.isa.lanes
        self.k = Kernel(variant.symbol, variant.fields)

    def build(self) -> str:
        k, size = self.k, self.output.nbytes
        with k.loop(k.begin, k.end) as row:
            state, cell = row * k["n"], k["cell_out"] + row * k["n"] * self.cell.nbytes
            self.copy(k["cell"] + row * k["n"] * self.cell.nbytes, cell, self.cell)
            output = k.var(k["output"] + state * size)
            x, y = k.var(k["x"] + row * k["x_row"]), k.var(k["y"] + row * k["y_row"])
            with k.loop(0, k["steps"], once=True):
                with k.loop(0, k["n"], self.lanes, once=True) as j:
                    count = (k["n"] - j).min(self.lanes)
                    old = self.load(cell + j * self.cell.nbytes, self.cell)
                    new, hidden = self.block(x.value, output.value, old, j)
                    self.store(cell + j * self.cell.nbytes, new, self.cell, count)
                    self.store(y.value + j * size, hidden, self.output, count)
                output.value = y.value
                x.value, y.value = x.value + k["x_step"], y.value + k["y_step"]
            self.copy(output.value, k["output_out"] + state * size, self.output)
        return k.text()

    def copy(self, source: Value, target: Value, ty: Type) -> None:
        """``n`` elements."""
        k = self.k
        with k.loop(0, k["n"], self.lanes, once=True) as j:
            data = (source + j * ty.nbytes).load(ty[self.lanes])
            (target + j * ty.nbytes).store_partial(data, (k["n"] - j).min(self.lanes))

    def load(self, at: Value, ty: Type) -> Value:
        """Elements as the block computes with them."""
        data = at.load(ty[self.lanes])
        return data if ty.kind == "f" else data.to(i32[self.lanes])

    def store(self, at: Value, data: Value, ty: Type, count: Value) -> None:
        narrow = data if ty.kind == "f" else data.to(ty[self.lanes])
        at.store_partial(narrow, count)

    def block(self, x: Value, output: Value, cell: Value, j: Value) -> tuple[Value, Value]:
        """The new cell state and output of the cells from ``j`` on."""
        raise NotImplementedError


@dataclass(frozen=True)
class Lstm:
    """float32. ``x`` holds the gates' sums of the inputs already, with their biases: at each step
    float32[4][gate] where ``gate`` is the number of bytes between gates."""

    isa: Isa

    @property
    def symbol(self) -> str:
        return f"lstm_f32__{self.isa.name}"

    @property
    def fields(self) -> dict[str, Type]:
        return {**ROWS, "w": ptr, "gate": index, "clip": f32}

    def pack(self, weights: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
        """Recurrent weights float32[4, n, n], as `blocks`."""
        packed = blocks(weights, self.isa.lanes)
        return np.ascontiguousarray(packed).reshape(-1).view(np.uint8)

    def build(self) -> str:
        return _RealBuilder(self).build()


class _RealBuilder(_Builder):
    output = cell = f32

    def block(self, x: Value, output: Value, cell: Value, j: Value) -> tuple[Value, Value]:
        k, isa, vector = self.k, self.isa, f32[self.lanes]
        sums = [k.var((x + (k["gate"] * g + j * 4)).load(vector)) for g in range(GATES)]
        w = k.var(k["w"] + k["n"] * j * (4 * GATES))
        with k.loop(0, k["n"], once=True) as i:
            h = (output + i * 4).load(f32).splat(self.lanes)
            for g, total in enumerate(sums):
                total.value = isa.fma(h, (w.value + g * vector.nbytes).load(vector), total.value)
            w.value = w.value + GATES * vector.nbytes
        enter, forget, new, leave = (total.value for total in sums)
        cell = math.logistic(isa, forget) * cell
        cell = isa.fma(math.logistic(isa, enter), math.tanh(isa, new), cell)
        clip = k.once("clip", lambda: k["clip"].splat(self.lanes))
        cell = cell.clamp(k.once("-clip", lambda: k.const(0.0, vector) - clip), clip)
        return cell, math.logistic(isa, leave) * math.tanh(isa, cell)


@dataclass(frozen=True)
class QLstm:
    """Integers: x, outputs and weights int8, the cell state int16, sums int32.

    Attributes:
        cell_bits: the scale of the cell state is 2**cell_bits.
    """

    isa: Isa
    cell_bits: int

    @property
    def symbol(self) -> str:
        return f"lstm_i8i8i16_{-self.cell_bits}__{self.isa.name}"

    @property
    def fields(self) -> dict[str, Type]:
        fields = {
            **ROWS,
            **dict.fromkeys(("wx", "wh", "x_bias", "h_bias"), ptr),
            "depth": index,
            **dict.fromkeys(("clip", "zero_point"), i32),
            **fixed_point.rescale_fields("hidden"),
        }
        for source in "xh":
            for g in range(GATES):
                fields |= fixed_point.rescale_fields(f"{source}{g}")
        return fields

    def pack(self, weights: npt.NDArray[np.int8]) -> npt.NDArray[np.uint8]:
        """Weights int8[4, n, k], as `blocks`."""
        packed = np.ascontiguousarray(blocks(weights, self.isa.lanes)).reshape(-1)
        return np.concatenate([packed, np.zeros(SLACK, np.int8)]).view(np.uint8)

    def pack_bias(self, bias: npt.NDArray[np.int32]) -> npt.NDArray[np.uint8]:
        """Biases int32[4, n], what zero points add included, as [blocks][4][lanes]."""
        packed = blocks(bias[:, :, None], self.isa.lanes)
        return np.ascontiguousarray(packed).reshape(-1).view(np.uint8)

    def build(self) -> str:
        return _IntegerBuilder(self, self.cell_bits).build()


class _IntegerBuilder(_Builder):
    output, cell = i8, i16

    def __init__(self, variant: QLstm, cell_bits: int) -> None:
        super().__init__(variant)
        self.cell_bits = cell_bits

    def block(self, x: Value, output: Value, cell: Value, j: Value) -> tuple[Value, Value]:
        k = self.k
        from_x = self.sums(x, "wx", "x_bias", k["depth"], j)
        from_h = self.sums(output, "wh", "h_bias", k["n"], j)
        gates = []
        for g, (a, b) in enumerate(zip(from_x, from_h, strict=True)):
            first = fixed_point.int16(fixed_point.rescale(a, f"x{g}"))
            gates.append(fixed_point.int16(first + fixed_point.rescale(b, f"h{g}")))
        enter, forget, new, leave = gates
        divide, int16 = fixed_point.divide_by_power_of_two, fixed_point.int16
        kept = int16(divide(fixed_point.logistic(forget) * cell, 15))
        product = fixed_point.logistic(enter) * fixed_point.tanh(new, 3)
        cell = int16(kept + int16(divide(product, 30 + self.cell_bits)))
        clip = k["clip"].splat(self.lanes)
        cell = cell.clamp(k.const(0, clip.ty) - clip, clip)
        hidden = fixed_point.logistic(leave) * fixed_point.tanh(cell, 15 + self.cell_bits)
        hidden = fixed_point.rescale(hidden, "hidden") + k["zero_point"].splat(self.lanes)
        return cell, hidden.clamp(-128, 127)

    def sums(self, a: Value, w: str, bias: str, depth: Value, j: Value) -> Sequence[Value]:
        """int32 sums of ``depth`` bytes of ``a`` with the weights of a block, from its biases."""
        k, vector = self.k, i32[self.lanes]
        first = k[bias] + j * (4 * GATES)
        sums = [k.var((first + g * vector.nbytes).load(vector)) for g in range(GATES)]
        at = k.var(k[w] + depth * j * GATES)
        with k.loop(0, depth, once=True) as i:
            scalar = (a + i).load(i8).to(i32).splat(self.lanes)
            for g, total in enumerate(sums):
                weight = (at.value + g * self.lanes).load(i8[self.lanes]).to(vector)
                total.value = total.value + scalar * weight
            at.value = at.value + GATES * self.lanes
        return [total.value for total in sums]


__all__ = ["Lstm", "QLstm"]
