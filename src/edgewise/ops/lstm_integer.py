"""The LSTM of integers throughout: TensorFlow Lite's "8x8_16".

Inputs, outputs, weights and the output state are int8, the cell state int16 with a scale that is a
power of two, biases int32. Gates are int16 with 12 bits of fraction, or with layer normalization
of the scales that the file has for them. Every rescaling is fixed point, rounded twice; logistic
and tanh are gemmlowp's, of 16 bits (`fixed_functions`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from ..dtype import DType, QParams
from ..graph import Array, TensorType
from .base import Op
from .fixed_functions import (
    inverse_square_root,
    logistic,
    logistic_by_table,
    tanh,
    tanh_by_table,
)
from .fixed_point import (
    divide_by_power_of_two,
    multiplier,
    multiply_twice_rounded,
    multiply_wide,
)
from .requant import per_tensor

Ints = npt.NDArray[np.int64]
GATE_SCALE = 2.0**-12
INT16 = (-(2**15), 2**15 - 1)
INT8 = (-(2**7), 2**7 - 1)
NORM_BITS = 10
"""Bits of fraction of a normalized gate."""


class IntegerLstm:
    """One layer: weights by name, and the rescalings between them.

    What enters a projection has the negated zero point of the file, as TensorFlow Lite has it.
    ``micro`` is the arithmetic of TensorFlow Lite Micro and CMSIS-NN: logistic and tanh are
    interpolated, products of gates and cells are rescaled in fixed point like all others. It also
    takes int16 inputs and outputs, with int64 sums.
    """

    def __init__(
        self,
        arrays: Mapping[str, Array],
        types: Mapping[str, TensorType],
        intermediates: Sequence[QParams | None],
        cell_clip: float,
        proj_clip: float,
        micro: bool = False,
    ) -> None:
        self.micro = micro
        self.dtype = types["input"].dtype
        self.range = self.dtype.range
        self.arrays = {name: a.astype(np.int64) for name, a in arrays.items()}
        self.types = types
        self.cifg = "input_to_input_weights" not in arrays
        self.has_norm = "forget_layer_norm_coefficients" in arrays
        self.projects = "projection_weights" in arrays
        self.cell_bits = round(math.log2(self._scale("cell_state")))
        self.gate_scales = {
            gate: _gate_scale(intermediates, i, self.has_norm)
            for i, gate in enumerate(("input", "forget", "cell", "output"))
        }
        hidden = intermediates[4]
        assert hidden is not None
        self.hidden_scale = hidden.scale[0]
        self.hidden_zero = -hidden.zero_point[0] if self.projects else hidden.zero_point[0]
        cell_scale = 2.0**self.cell_bits
        self.cell_clip = int(np.clip(cell_clip / cell_scale, *INT16)) if cell_clip > 0 else 0
        step = self._scale("output_state")
        self.proj_clip = int(np.clip(proj_clip / step, *INT8)) if proj_clip > 0 else 0

    @staticmethod
    def check(
        op: Op,
        types: Mapping[str, TensorType],
        hidden: Sequence[QParams | None],
        micro: bool = False,
    ) -> None:
        """Check the types of all operands.

        Raises:
            GraphError: when one is not of the dtype or quantization that the arithmetic has.
        """
        for name, t in types.items():
            wanted = _dtype(name, micro and types["input"].dtype is DType.INT16)
            op.require(t.dtype is wanted, f"{name} is {t.dtype}; it must be {wanted}")
            if "bias" not in name:
                per_tensor(t, f"{op.name}: {name}")
        quant = types["cell_state"].quant
        assert quant is not None
        bits = math.log2(quant.scale[0])
        op.require(
            (micro or abs(bits - round(bits)) < 1e-3) and -15 <= round(bits) <= -9,
            f"cell_state has scale {quant.scale[0]}; it must be a power of 2, 2**-15 to 2**-9",
        )
        has_norm = "forget_layer_norm_coefficients" in types
        needed = {4, *(range(4) if has_norm else ())} - (
            {0} if "input_to_input_weights" not in types else set()
        )
        op.require(
            all(i < len(hidden) and hidden[i] is not None for i in needed),
            "its file has no parameters for the tensors between its steps",
        )

    def run(self, x: Array, output: Array, cell: Array) -> tuple[Array, Array, Array]:
        """Outputs [T, B, O] of x[T, B, I], and both states after the last step."""
        outputs = np.empty((len(x), *output.shape), self.dtype.numpy)
        for t, row in enumerate(x):
            output, cell = self.step(row.astype(np.int64), output, cell)
            outputs[t] = output
        return outputs, output.astype(outputs.dtype), cell.astype(np.int16)

    def step(self, x: Array, output: Array, cell: Array) -> tuple[Ints, Ints]:
        """Both states after one step of x[B, I]."""
        output, cell = output.astype(np.int64), cell.astype(np.int64)
        forget = self._logistic(self.gate("forget", x, output, cell))
        new = self._tanh(self.gate("cell", x, output, None), -12)
        keep = self._logistic(self.gate("input", x, output, cell)) if not self.cifg else None
        keep = INT16[1] - forget if keep is None else keep
        if self.micro:
            kept = self._rescale(forget * cell, 2.0**-15)
            added = self._rescale(keep * new, 2.0**-30 / self._scale("cell_state"))
        else:
            kept = divide_by_power_of_two(forget * cell, 15)
            added = divide_by_power_of_two(keep * new, 30 + self.cell_bits)
        cell = _clamp(_clamp(kept, INT16) + _clamp(added, INT16), INT16)
        if self.cell_clip:
            cell = np.clip(cell, -self.cell_clip, self.cell_clip)
        gate = self._logistic(self.gate("output", x, output, cell))
        hidden = gate * self._tanh(cell, self.cell_bits)
        hidden = self._rescale(hidden, 2.0**-30 / self.hidden_scale)
        hidden = _clamp(hidden + self.hidden_zero, self.range)
        return (self.project(hidden) if self.projects else hidden), cell

    def gate(self, name: str, x: Array, output: Array, cell: Array | None) -> Ints:
        """The sums of one gate before its function, int16."""
        scale, bias = self.gate_scales[name], self.arrays[f"{name}_gate_bias"]
        total = self._product(x, "input", name, 0 if self.has_norm else bias)
        total = _clamp(total, INT16)
        total = _clamp(total + self._product(output, "recurrent", name, 0), INT16)
        peephole = self.arrays.get(f"cell_to_{name}_weights")
        if peephole is not None and cell is not None:
            real = 2.0**self.cell_bits * self._scale(f"cell_to_{name}_weights") / scale
            total = _clamp(total + self._rescale(peephole * cell, real), INT16)
        return self._normalized(name, total) if self.has_norm else total

    def project(self, hidden: Array) -> Ints:
        """The next output state, of the hidden values [B, C]."""
        weights = self.arrays["projection_weights"]
        bias = self.arrays.get("projection_bias", np.zeros(len(weights), np.int64))
        sums = (hidden - self.hidden_zero) @ weights.T + bias
        step = self._scale("output_state")
        real = self._scale("projection_weights") * self.hidden_scale / step
        zero = self._zero("output_state")
        result = _clamp(self._rescale(sums, real) + zero, INT8)
        return np.clip(result, -self.proj_clip, self.proj_clip) if self.proj_clip else result

    def _logistic(self, x: Ints) -> Ints:
        return logistic_by_table(x) if self.micro else logistic(x)

    def _tanh(self, x: Ints, bits: int) -> Ints:
        """tanh of x * 2**bits."""
        return tanh_by_table(x, bits + 12) if self.micro else tanh(x, bits + 15)

    def _product(self, x: Array, source: str, gate: str, bias: Array | int) -> Ints:
        """x less its zero point times weights, in the gate's scale."""
        name = f"{source}_to_{gate}_weights"
        given = "input" if source == "input" else "output_state"
        sums = (x - self._zero(given)) @ self.arrays[name].T + bias
        real = self._scale(name) * self._scale(given) / self.gate_scales[gate]
        if self.dtype is DType.INT16:
            return np.asarray(multiply_wide(sums, *multiplier(real)), np.int64)
        return self._rescale(sums, real)

    def _normalized(self, name: str, total: Ints) -> Ints:
        """Layer normalization of int16 rows, times coefficients, plus bias."""
        coefficients = self.arrays[f"{name}_layer_norm_coefficients"]
        scale = self._scale(f"{name}_layer_norm_coefficients")
        n = total.shape[-1]
        sums = total.sum(-1, keepdims=True)
        squares = (total * total).sum(-1, keepdims=True)
        mean = _truncated(sums * 2**NORM_BITS, n)
        temp = _truncated(2**20, n)
        variance = squares * temp - mean * mean
        variance = _truncated(variance, 2**20)
        guard = max(1, int(10000 * scale))
        variance = np.where(variance < 1, guard, variance)
        inverse, exponent = inverse_square_root(variance)
        shifted = total * 2**NORM_BITS - mean
        rescaled = multiply_twice_rounded(shifted, inverse, exponent)
        weighted = rescaled * coefficients + self.arrays[f"{name}_gate_bias"]
        half = np.where(weighted > 0, 512, -512)
        normal = _truncated(weighted + half, 2**NORM_BITS)
        a, b = multiplier(scale)
        return _clamp(multiply_twice_rounded(normal, a, b + 12), INT16)

    def _rescale(self, x: Array, real: float) -> Ints:
        return multiply_twice_rounded(x, *multiplier(real))

    def _scale(self, name: str) -> float:
        quant = self.types[name].quant
        assert quant is not None
        return quant.scale[0]

    def _zero(self, name: str) -> int:
        quant = self.types[name].quant
        assert quant is not None
        return quant.zero_point[0]


def _dtype(name: str, micro16: bool) -> DType:
    if "bias" in name:
        return DType.INT64 if micro16 else DType.INT32
    if micro16 and name in ("input", "output_state"):
        return DType.INT16
    is_wide = name.startswith("cell") or "layer_norm" in name
    return DType.INT16 if is_wide else DType.INT8


def _gate_scale(intermediates: Sequence[QParams | None], index: int, has_norm: bool) -> float:
    quant = intermediates[index] if has_norm else None
    return GATE_SCALE if quant is None else quant.scale[0]


def _clamp(x: Array, bounds: tuple[int, int]) -> Ints:
    return np.asarray(np.clip(x, *bounds), np.int64)


def _truncated(x: Array | int, by: int) -> Ints:
    """x / by, rounded toward zero."""
    wide = np.asarray(x, np.int64)
    return np.asarray(np.sign(wide) * (np.abs(wide) // by))
