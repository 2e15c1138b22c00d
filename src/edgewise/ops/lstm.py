"""LSTM layers: UNIDIRECTIONAL_SEQUENCE_LSTM, BIDIRECTIONAL_SEQUENCE_LSTM and LSTM.

Types are float32 throughout; or float32 with 8-bit weights ("hybrid", see `hybrid`); or integers
throughout (`lstm_integer`), in UNIDIRECTIONAL_SEQUENCE_LSTM and LSTM.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ..dtype import DType, QParams
from ..graph import Array, TensorType
from .base import Op
from .checks import check_inputs, check_rank, result
from .lstm_integer import IntegerLstm
from .recurrent import (
    Bidirectional,
    Floats,
    Nonlinearity,
    Products,
    Recurrent,
    logistic,
    sequences,
)
from .requant import Rounding

GATES = ("input", "forget", "cell", "output")
LAYER = (
    *(f"input_to_{gate}_weights" for gate in GATES),
    *(f"recurrent_to_{gate}_weights" for gate in GATES),
    *(f"cell_to_{gate}_weights" for gate in ("input", "forget", "output")),
    *(f"{gate}_gate_bias" for gate in GATES),
    "projection_weights",
    "projection_bias",
)
"""The weights of one layer, in the order of the files."""

STATES = ("output_state", "cell_state")
LAYER_NORMS = tuple(f"{gate}_layer_norm_coefficients" for gate in GATES)
NAMES = ("input", *LAYER, *STATES, *LAYER_NORMS)
WEIGHTS = tuple(name for name in LAYER if "bias" not in name)
AUXILIARY = tuple(f"aux_input_to_{gate}_weights" for gate in GATES)
OPTIONAL = frozenset(
    {name for name in LAYER if name.startswith("cell_to") or "projection" in name}
    | {"input_to_input_weights", "recurrent_to_input_weights", "input_gate_bias"}
)
REQUIRED = frozenset(LAYER) - OPTIONAL

EPSILON = 1e-8
"""What layer normalization adds to the variance."""


@dataclass(frozen=True)
class LstmSettings:
    """Attributes that all LSTM layers have.

    Attributes:
        activation: of the cell's input and output; the gates have the logistic function.
        cell_clip: the cell's state is clamped to [-cell_clip, cell_clip]; 0 for no clamp.
        proj_clip: likewise, the projection's result.
        asymmetric: how hybrid layers quantize rows: with a zero point, or symmetrically.
    """

    activation: Nonlinearity = Nonlinearity.TANH
    cell_clip: float = 0.0
    proj_clip: float = 0.0
    asymmetric: bool = False


class LstmLayer:
    """One layer of float32 or hybrid arithmetic: weights by the names in ``LAYER`` and after."""

    def __init__(
        self,
        settings: LstmSettings,
        arrays: Mapping[str, Array],
        types: Mapping[str, TensorType],
    ) -> None:
        self.settings = settings
        self.arrays = arrays
        self.products = Products(arrays, types, settings.asymmetric)
        self.cifg = "input_to_input_weights" not in arrays

    def run(
        self, x: Array, output: Array, cell: Array, aux: Array | None = None
    ) -> tuple[Array, Array, Array]:
        """Outputs [T, B, O] of x[T, B, I] and aux[T, B, A], and both states after the last step."""
        outputs = np.empty((len(x), *output.shape), np.float32)
        for t, row in enumerate(x):
            output, cell = self.step(row, output, cell, None if aux is None else aux[t])
            outputs[t] = output
        return outputs, output, cell

    def step(self, x: Array, output: Array, cell: Array, aux: Array | None) -> tuple[Array, Array]:
        """Both states after one step of x[B, I]."""
        products, settings = self.products, self.settings
        rows = {
            "input_to": products.rows(x, "input_to_forget_weights"),
            "recurrent_to": products.rows(output, "recurrent_to_forget_weights"),
        }
        if aux is not None:
            rows["aux_input_to"] = products.rows(aux, "aux_input_to_forget_weights")

        def gate(name: str, peephole: Array | None) -> Floats:
            bias = self.arrays[f"{name}_gate_bias"].astype(np.float64)
            total = sum(
                (products.times(row, f"{kind}_{name}_weights") for kind, row in rows.items()),
                np.zeros(()),
            )
            weights = products.real(f"cell_to_{name}_weights")
            if weights is not None and peephole is not None:
                total = total + weights * peephole
            norm = self.arrays.get(f"{name}_layer_norm_coefficients")
            return total + bias if norm is None else _normalized(total) * norm + bias

        forget = logistic(gate("forget", cell))
        keep = 1.0 - forget if self.cifg else logistic(gate("input", cell))
        new = settings.activation(gate("cell", None))
        cell = _clipped(forget * cell + keep * new, settings.cell_clip)
        hidden = logistic(gate("output", cell)) * settings.activation(cell.astype(np.float64))
        if "projection_weights" in self.arrays:
            row = products.rows(hidden, "projection_weights")
            hidden = products.times(row, "projection_weights")
            if "projection_bias" in self.arrays:
                hidden = hidden + self.arrays["projection_bias"]
            return _clipped(hidden, settings.proj_clip), cell
        return hidden.astype(np.float32), cell


def _normalized(x: Floats) -> Floats:
    """Rows of mean 0 and variance 1."""
    centred = x - x.mean(-1, keepdims=True)
    variance = np.square(centred).mean(-1, keepdims=True)
    return np.asarray(centred / np.sqrt(variance + EPSILON))


def _clipped(x: Array, bound: float) -> Array:
    return (np.clip(x, -bound, bound) if bound > 0 else x).astype(np.float32)


def check_layer(
    op: Recurrent, types: Mapping[str, TensorType], batch: int, depth: int, aux: int | None = None
) -> int:
    """Check the operands of one layer of ``batch`` rows of ``depth``; the size of its output.

    Raises:
        GraphError: when shapes do not fit each other, or operands lack that belong together.
    """
    cells, outputs = _matrix(op, types, "recurrent_to_output_weights")
    for gate in GATES:
        op.require_shape(types, f"input_to_{gate}_weights", cells, depth)
        op.require_shape(types, f"recurrent_to_{gate}_weights", cells, outputs)
        for vector in ("cell_to_{}_weights", "{}_gate_bias", "{}_layer_norm_coefficients"):
            op.require_shape(types, vector.format(gate), cells)
        if aux is not None:
            op.require_shape(types, f"aux_input_to_{gate}_weights", cells, aux)
    has_projection = "projection_weights" in types
    op.require(
        has_projection or outputs == cells,
        f"{cells} cells, outputs of {outputs}; without a projection they are equal",
    )
    op.require_shape(types, "projection_weights", outputs, cells)
    op.require_shape(types, "projection_bias", outputs)
    op.require_elements(types, "output_state", batch, outputs)
    op.require_elements(types, "cell_state", batch, cells)
    _all_or_none(op, types, "input", "input_to_{}_weights", "recurrent_to_{}_weights")
    _all_or_none(op, types, "input", "input_to_{}_weights", "{}_gate_bias")
    gates = [g for g in GATES if g != "input" or "input_to_input_weights" in types]
    for vector in ("cell_to_{}_weights", "{}_layer_norm_coefficients", "aux_input_to_{}_weights"):
        wanted = [vector.format(g) for g in gates if vector.format(g) != "cell_to_cell_weights"]
        given = [name in types for name in wanted]
        op.require(all(given) or not any(given), f"of {wanted}, some are left out; all or none are")
    return outputs


def _matrix(op: Op, types: Mapping[str, TensorType], name: str) -> tuple[int, int]:
    t = types[name]
    check_rank(op, t, 2, name)
    return t.shape[0], t.shape[1]


def _all_or_none(op: Op, types: Mapping[str, TensorType], gate: str, *names: str) -> None:
    given = [name.format(gate) in types for name in names]
    both = " and ".join(name.format(gate) for name in names)
    op.require(all(given) or not any(given), f"{both}: one is left out; both are, or neither")


class _Lstm(Recurrent):
    """An LSTM of one layer: `names`, `settings` and `intermediates`."""

    names: ClassVar[tuple[str, ...]] = NAMES
    state_names: ClassVar[tuple[str, ...]] = STATES
    required: ClassVar[frozenset[str]] = frozenset({"input"}) | REQUIRED

    settings: LstmSettings
    intermediates: tuple[QParams | None, ...]
    rounding: Rounding

    def check(self, types: Mapping[str, TensorType], batch: int) -> int:
        """Check all operands; the size of the output."""
        x = types["input"]
        outputs = check_layer(self, types, batch, x.shape[-1])
        if x.dtype is DType.FLOAT32:
            self.require_floats(types, WEIGHTS)
        else:
            IntegerLstm.check(self, types, self.intermediates, self.micro)
        return outputs

    def run(
        self, arrays: Mapping[str, Array], types: Mapping[str, TensorType], x: Array
    ) -> tuple[Array, Array, Array]:
        """Outputs [T, B, O] of x[T, B, I], and both states, each [B, ...]."""
        batch = x.shape[1]
        states = [arrays[name].reshape(batch, -1) for name in STATES]
        if types["input"].dtype is DType.FLOAT32:
            return LstmLayer(self.settings, arrays, types).run(x, states[0], states[1])
        clips = self.settings.cell_clip, self.settings.proj_clip
        layer = IntegerLstm(arrays, types, self.intermediates, *clips, self.micro)
        return layer.run(x, states[0], states[1])

    @property
    def micro(self) -> bool:
        """Whether an integer LSTM has the arithmetic of TensorFlow Lite Micro."""
        return self.rounding is not Rounding.FLOAT


@dataclass(frozen=True, eq=False, repr=False)
class UnidirectionalSequenceLstm(_Lstm):
    """An LSTM over x[B, T, I], or x[T, B, I] where ``time_major``: outputs [B, T, O] or [T, B, O].

    Operands are those in ``NAMES`` that ``present`` tells; the weights of the input gate are left
    out where it is 1 - forget gate ("CIFG"). Outputs are the sequence, then the new output_state
    and cell_state. ``intermediates`` are the parameters of the tensors that a file of an integer
    LSTM has for them: those of the four gates, which count with layer normalization only, and of
    the product of output gate and cell. ``rounding`` in fixed point means TensorFlow Lite Micro's
    arithmetic of integers; FLOAT means LiteRT's.
    """

    name: ClassVar[str] = "UNIDIRECTIONAL_SEQUENCE_LSTM"

    present: tuple[bool, ...]
    settings: LstmSettings = LstmSettings()
    time_major: bool = False
    intermediates: tuple[QParams | None, ...] = ()
    rounding: Rounding = Rounding.FLOAT

    def infer(self, inputs: Sequence[TensorType]) -> tuple[TensorType, ...]:
        check_inputs(self, inputs, 1, len(NAMES))
        types = self.by_name(inputs)
        x = types["input"]
        check_rank(self, x, 3, "input")
        outputs = self.check(types, x.shape[1 if self.time_major else 0])
        return (result(self, (*x.shape[:2], outputs), x.dtype), *self.states(types))

    def reference(
        self, arrays: Sequence[Array], inputs: Sequence[TensorType], outputs: Sequence[TensorType]
    ) -> list[Array]:
        named, types = self.by_name(arrays), self.by_name(inputs)
        y, *states = self.run(named, types, sequences(named["input"], self.time_major))
        y = sequences(y, self.time_major)
        return [y, *(s.reshape(t.shape) for s, t in zip(states, outputs[1:], strict=True))]


@dataclass(frozen=True, eq=False, repr=False)
class Lstm(_Lstm):
    """One step of UNIDIRECTIONAL_SEQUENCE_LSTM: x[B, I] to [B, O]."""

    name: ClassVar[str] = "LSTM"

    present: tuple[bool, ...]
    settings: LstmSettings = LstmSettings()
    intermediates: tuple[QParams | None, ...] = ()
    rounding: Rounding = Rounding.FLOAT

    def infer(self, inputs: Sequence[TensorType]) -> tuple[TensorType, ...]:
        check_inputs(self, inputs, 1, len(NAMES))
        types = self.by_name(inputs)
        x = types["input"]
        check_rank(self, x, 2, "input")
        outputs = self.check(types, x.shape[0])
        return (result(self, (x.shape[0], outputs), x.dtype), *self.states(types))

    def reference(
        self, arrays: Sequence[Array], inputs: Sequence[TensorType], outputs: Sequence[TensorType]
    ) -> list[Array]:
        named, types = self.by_name(arrays), self.by_name(inputs)
        y, *states = self.run(named, types, named["input"][None])
        return [y[0], *(s.reshape(t.shape) for s, t in zip(states, outputs[1:], strict=True))]


@dataclass(frozen=True, eq=False, repr=False)
class BidirectionalSequenceLstm(Bidirectional):
    """Two LSTMs over a sequence, of float32 or hybrid; see ``Bidirectional``."""

    name: ClassVar[str] = "BIDIRECTIONAL_SEQUENCE_LSTM"
    names: ClassVar[tuple[str, ...]] = (
        "input",
        *(f"{way}_{name}" for way in ("fw", "bw") for name in LAYER),
        *(f"{way}_{name}" for way in ("fw", "bw") for name in STATES),
        "aux_input",
        *(f"{way}_{name}" for way in ("fw", "bw") for name in AUXILIARY),
    )
    state_names: ClassVar[tuple[str, ...]] = names[35:39]
    required: ClassVar[frozenset[str]] = frozenset(
        {"input", *(f"{way}_{name}" for way in ("fw", "bw") for name in REQUIRED)}
    )
    layer_names: ClassVar[tuple[str, ...]] = (*LAYER, *STATES)
    aux_names: ClassVar[tuple[str, ...]] = AUXILIARY
    aux_weights: ClassVar[str] = AUXILIARY[1]

    present: tuple[bool, ...]
    settings: LstmSettings = LstmSettings()
    time_major: bool = False
    merge_outputs: bool = False

    def check_layer(
        self, layer: Mapping[str, TensorType], batch: int, depth: int, aux: int | None
    ) -> int:
        width = check_layer(self, layer, batch, depth, aux)
        self.require_floats(layer, (*WEIGHTS, *AUXILIARY))
        return width

    def run_layer(
        self,
        layer: Mapping[str, Array],
        types: Mapping[str, TensorType],
        x: Array,
        aux: Array | None,
    ) -> tuple[Array, ...]:
        output, cell = (layer[name].reshape(x.shape[1], -1) for name in STATES)
        return LstmLayer(self.settings, layer, types).run(x, output, cell, aux)
