"""Fully connected recurrent layers: RNN, and UNIDIRECTIONAL and BIDIRECTIONAL_SEQUENCE_RNN.

h' = activation(W x + R h + A aux + b), of float32; or of float32 with 8-bit weights ("hybrid").
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ..graph import Array, TensorType
from .checks import check_inputs, check_rank, result
from .recurrent import Bidirectional, Nonlinearity, Products, Recurrent, sequences

LAYER = ("weights", "recurrent_weights", "bias", "hidden_state")
WEIGHTS = ("weights", "recurrent_weights", "aux_weights")


def check_layer(
    op: Recurrent, types: Mapping[str, TensorType], batch: int, depth: int, aux: int | None = None
) -> int:
    """Check the operands of one layer of ``batch`` rows of ``depth``; the number of its units."""
    check_rank(op, types["weights"], 2, "weights")
    units = types["weights"].shape[0]
    op.require_shape(types, "weights", units, depth)
    op.require_shape(types, "recurrent_weights", units, units)
    op.require_shape(types, "bias", units)
    op.require_elements(types, "hidden_state", batch, units)
    if aux is not None:
        op.require_shape(types, "aux_weights", units, aux)
    op.require_floats(types, WEIGHTS)
    return units


def run_layer(
    arrays: Mapping[str, Array],
    types: Mapping[str, TensorType],
    activation: Nonlinearity,
    asymmetric: bool,
    x: Array,
    aux: Array | None = None,
) -> tuple[Array, Array]:
    """Outputs [T, B, U] of x[T, B, I] and aux[T, B, A], and the state after the last step."""
    products = Products(arrays, types, asymmetric)
    state = arrays["hidden_state"].reshape(x.shape[1], -1)
    outputs = np.empty((len(x), *state.shape), np.float32)
    for t, row in enumerate(x):
        total = arrays["bias"].astype(np.float64)
        total = total + products.times(products.rows(row, "weights"), "weights")
        rows = products.rows(state, "recurrent_weights")
        total = total + products.times(rows, "recurrent_weights")
        if aux is not None:
            total = total + products.times(products.rows(aux[t], "aux_weights"), "aux_weights")
        state = activation(total).astype(np.float32)
        outputs[t] = state
    return outputs, state


class _Rnn(Recurrent):
    names: ClassVar[tuple[str, ...]] = ("input", *LAYER)
    state_names: ClassVar[tuple[str, ...]] = ("hidden_state",)
    required: ClassVar[frozenset[str]] = frozenset(names)


@dataclass(frozen=True, eq=False, repr=False)
class Rnn(_Rnn):
    """One step: x[B, I], weights[U, I], recurrent_weights[U, U], bias[U] and hidden_state[B, U].

    Outputs are [B, U], and the new hidden_state, which equals it. ``asymmetric`` tells how hybrid
    layers quantize rows.
    """

    name: ClassVar[str] = "RNN"

    present: tuple[bool, ...] = (True,) * 5
    activation: Nonlinearity = Nonlinearity.NONE
    asymmetric: bool = False

    def infer(self, inputs: Sequence[TensorType]) -> tuple[TensorType, ...]:
        check_inputs(self, inputs, 5)
        types = self.by_name(inputs)
        x = types["input"]
        check_rank(self, x, 2, "input")
        units = check_layer(self, types, *x.shape)
        return (result(self, (x.shape[0], units), x.dtype), *self.states(types))

    def reference(
        self, arrays: Sequence[Array], inputs: Sequence[TensorType], outputs: Sequence[TensorType]
    ) -> list[Array]:
        named, types = self.by_name(arrays), self.by_name(inputs)
        y, state = run_layer(named, types, self.activation, self.asymmetric, named["input"][None])
        return [y[0], state.reshape(outputs[1].shape)]


@dataclass(frozen=True, eq=False, repr=False)
class UnidirectionalSequenceRnn(_Rnn):
    """RNN over x[B, T, I], or x[T, B, I] where ``time_major``: outputs [B, T, U] or [T, B, U]."""

    name: ClassVar[str] = "UNIDIRECTIONAL_SEQUENCE_RNN"

    present: tuple[bool, ...] = (True,) * 5
    activation: Nonlinearity = Nonlinearity.NONE
    time_major: bool = False
    asymmetric: bool = False

    def infer(self, inputs: Sequence[TensorType]) -> tuple[TensorType, ...]:
        check_inputs(self, inputs, 5)
        types = self.by_name(inputs)
        x = types["input"]
        check_rank(self, x, 3, "input")
        units = check_layer(self, types, x.shape[1 if self.time_major else 0], x.shape[2])
        return (result(self, (*x.shape[:2], units), x.dtype), *self.states(types))

    def reference(
        self, arrays: Sequence[Array], inputs: Sequence[TensorType], outputs: Sequence[TensorType]
    ) -> list[Array]:
        named, types = self.by_name(arrays), self.by_name(inputs)
        x = sequences(named["input"], self.time_major)
        y, state = run_layer(named, types, self.activation, self.asymmetric, x)
        return [sequences(y, self.time_major), state.reshape(outputs[1].shape)]


@dataclass(frozen=True, eq=False, repr=False)
class BidirectionalSequenceRnn(Bidirectional):
    """Two RNNs over a sequence, forward and backward in time; see ``Bidirectional``."""

    name: ClassVar[str] = "BIDIRECTIONAL_SEQUENCE_RNN"
    names: ClassVar[tuple[str, ...]] = (
        "input",
        *(f"{way}_{name}" for way in ("fw", "bw") for name in LAYER),
        "aux_input",
        "fw_aux_weights",
        "bw_aux_weights",
    )
    state_names: ClassVar[tuple[str, ...]] = ("fw_hidden_state", "bw_hidden_state")
    required: ClassVar[frozenset[str]] = frozenset(names[:9])
    layer_names: ClassVar[tuple[str, ...]] = LAYER
    aux_names: ClassVar[tuple[str, ...]] = ("aux_weights",)
    aux_weights: ClassVar[str] = "aux_weights"

    present: tuple[bool, ...]
    activation: Nonlinearity = Nonlinearity.NONE
    time_major: bool = False
    merge_outputs: bool = False
    asymmetric: bool = False

    def check_layer(
        self, layer: Mapping[str, TensorType], batch: int, depth: int, aux: int | None
    ) -> int:
        return check_layer(self, layer, batch, depth, aux)

    def run_layer(
        self,
        layer: Mapping[str, Array],
        types: Mapping[str, TensorType],
        x: Array,
        aux: Array | None,
    ) -> tuple[Array, ...]:
        return run_layer(layer, types, self.activation, self.asymmetric, x, aux)
