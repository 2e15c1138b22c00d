"""What the recurrent operators share: states, optional operands, activations, matrix products."""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar, TypeVar

import numpy as np
import numpy.typing as npt

from ..dtype import DType
from ..graph import Array, TensorType
from .base import Op
from .checks import check_inputs, check_rank, result
from .hybrid import DynamicallyQuantized, is_hybrid, quantize_asymmetric, quantize_symmetric
from .requant import centered, float32s

T = TypeVar("T")
Floats = npt.NDArray[np.float64]


class Nonlinearity(enum.Enum):
    """The function of a recurrent operator's gates and outputs; the value is TFLite's number."""

    NONE = 0
    RELU = 1
    RELU_N1_TO_1 = 2
    RELU6 = 3
    TANH = 4

    def __call__(self, x: Array) -> Array:
        return np.asarray(FUNCTIONS[self](x))


def logistic(x: Array) -> Array:
    """1 / (1 + exp(-x)) of floats, without overflow."""
    small = np.exp(-np.abs(x))
    return np.asarray(np.where(x >= 0, 1.0, small) / (1.0 + small))


FUNCTIONS: Mapping[Nonlinearity, Callable[[Array], Array]] = {
    Nonlinearity.NONE: lambda x: x,
    Nonlinearity.RELU: lambda x: np.maximum(x, 0.0),
    Nonlinearity.RELU_N1_TO_1: lambda x: np.clip(x, -1.0, 1.0),
    Nonlinearity.RELU6: lambda x: np.clip(x, 0.0, 6.0),
    Nonlinearity.TANH: np.tanh,
}


class Recurrent(Op):
    """Base of the operators that read variables and leave new values in them.

    They are functions here: a variable is an operand like any other, and its new value an output.
    ``state_operands`` lists the positions among the operands of the variables; the operator's
    outputs are those of the file, then the variables' new values in that order. An importer makes
    graph states of them.

    ``names`` are the operator's operands in the order of the file. Some are optional: the
    attribute ``present`` tells which are given, and the node has only those as inputs.
    ``state_names`` are those that are variables.
    """

    either_sign: ClassVar[bool] = False
    names: ClassVar[tuple[str, ...]] = ()
    state_names: ClassVar[tuple[str, ...]] = ()
    required: ClassVar[frozenset[str]] = frozenset()

    present: tuple[bool, ...]

    @property
    def state_operands(self) -> tuple[int, ...]:
        return tuple(sum(self.present[: self.names.index(name)]) for name in self.state_names)

    def by_name(self, items: Sequence[T]) -> dict[str, T]:
        """The operands, or what belongs to each, by name; those left out are not there.

        Raises:
            GraphError: when there are not as many items as ``present`` says, or a required operand
                is left out.
        """
        self.require(
            len(self.present) <= len(self.names) and len(items) == sum(self.present),
            f"{len(items)} inputs; of its {len(self.names)}, {sum(self.present)} are given",
        )
        pairs = zip(self.names, self.present, strict=False)
        given = [name for name, is_present in pairs if is_present]
        for name in (*self.required, *self.state_names):
            self.require(name in given, f"{name} is left out; it is required")
        return dict(zip(given, items, strict=True))

    def require_shape(self, types: Mapping[str, TensorType], name: str, *shape: int) -> None:
        """Require an operand, where given, to have a shape."""
        t = types.get(name)
        if t is not None and t.shape != shape:
            self.require(False, f"{name} has shape {list(t.shape)}; it must be {list(shape)}")

    def require_elements(self, types: Mapping[str, TensorType], name: str, *shape: int) -> None:
        """Require an operand to have as many elements as a shape: states may have other ranks."""
        t = types[name]
        if t.size != int(np.prod(shape)):
            self.require(False, f"{name} has shape {list(t.shape)}; it must hold {list(shape)}")

    def require_floats(self, types: Mapping[str, TensorType], weights: Sequence[str] = ()) -> None:
        """Require operands to be float32, those named in ``weights`` float32 or 8-bit alike."""
        kinds = set()
        for name, t in types.items():
            hybrid = name in weights and is_hybrid(TensorType((), DType.FLOAT32), t)
            kinds |= {hybrid} if name in weights else set()
            self.require(
                hybrid or t.dtype is DType.FLOAT32,
                f"{name} is {t}; it must be float32"
                + (", or quantized to 8 bits" if name in weights else ""),
            )
        self.require(len(kinds) < 2, "weights are float32 and 8-bit; all are of one kind")

    def states(self, types: Mapping[str, TensorType]) -> tuple[TensorType, ...]:
        """The types of the outputs that are new values of variables."""
        return tuple(
            result(self, types[n].shape, types[n].dtype, types[n].quant) for n in self.state_names
        )

    def macs(self, inputs: Sequence[TensorType], outputs: Sequence[TensorType]) -> int:
        """Every row of the input meets all weights."""
        types = self.by_name(inputs)
        weights = sum(t.size for name, t in types.items() if name.endswith("weights"))
        return types["input"].size // types["input"].shape[-1] * weights


def sequences(x: Array, time_major: bool) -> Array:
    """x[B, T, ...] as [T, B, ...], or back; x as it is where it is ``time_major``."""
    return x if time_major else np.ascontiguousarray(x.swapaxes(0, 1))


def directed(
    op: Recurrent, types: Mapping[str, TensorType], way: str, aux_weights: str
) -> tuple[str, str | None]:
    """The names of what one direction ("fw" or "bw") reads: its input, its auxiliary input."""
    has_weights = f"{way}_{aux_weights}" in types
    if "aux_input" not in types:
        op.require(not has_weights, "aux_input is left out; its weights need it")
        return "input", None
    shape, aux = types["input"].shape, types["aux_input"].shape
    op.require(
        len(aux) == 3 and aux[:2] == shape[:2],
        f"input {list(shape)}, aux_input {list(aux)}; they differ in the last dimension only",
    )
    if has_weights:
        return "input", "aux_input"
    return ("aux_input" if way == "bw" else "input"), None


class Bidirectional(Recurrent):
    """Base of two layers over a sequence, forward ("fw_") and backward ("bw_") in time.

    Operands are the input, ``layer_names`` of each direction, and, optional, aux_input and
    ``aux_names`` of each. With aux weights both directions read both inputs; without, the backward
    one reads aux_input in place of the input. Outputs are the two sequences, or one of both side
    by side where ``merge_outputs``; then the states.
    """

    layer_names: ClassVar[tuple[str, ...]]
    aux_names: ClassVar[tuple[str, ...]]
    aux_weights: ClassVar[str]

    time_major: bool
    merge_outputs: bool

    def check_layer(
        self, layer: Mapping[str, TensorType], batch: int, depth: int, aux: int | None
    ) -> int:
        """Check the operands of one direction; the number of its outputs."""
        raise NotImplementedError

    def run_layer(
        self,
        layer: Mapping[str, Array],
        types: Mapping[str, TensorType],
        x: Array,
        aux: Array | None,
    ) -> tuple[Array, ...]:
        """Outputs [T, B, U] of x[T, B, I] and aux[T, B, A], and the states after the last step."""
        raise NotImplementedError

    def infer(self, inputs: Sequence[TensorType]) -> tuple[TensorType, ...]:
        check_inputs(self, inputs, len(self.required), len(self.names))
        types = self.by_name(inputs)
        x = types["input"]
        check_rank(self, x, 3, "input")
        batch = x.shape[1 if self.time_major else 0]
        widths = []
        for way in ("fw", "bw"):
            name, aux = directed(self, types, way, self.aux_weights)
            depth = None if aux is None else types[aux].shape[-1]
            layer = self._layer(types, way)
            widths.append(self.check_layer(layer, batch, types[name].shape[-1], depth))
        widths = [sum(widths)] if self.merge_outputs else widths
        y = (result(self, (*x.shape[:2], width), x.dtype) for width in widths)
        return (*y, *self.states(types))

    def reference(
        self, arrays: Sequence[Array], inputs: Sequence[TensorType], outputs: Sequence[TensorType]
    ) -> list[Array]:
        named, types = self.by_name(arrays), self.by_name(inputs)
        results, states = [], []
        for way, step in (("fw", 1), ("bw", -1)):
            x, aux = directed(self, types, way, self.aux_weights)
            y, *after = self.run_layer(
                self._layer(named, way),
                self._layer(types, way),
                sequences(named[x], self.time_major)[::step],
                None if aux is None else sequences(named[aux], self.time_major)[::step],
            )
            results.append(sequences(np.ascontiguousarray(y[::step]), self.time_major))
            states += after
        if self.merge_outputs:
            results = [np.concatenate(results, -1)]
        kept = outputs[len(results) :]
        return [*results, *(s.reshape(t.shape) for s, t in zip(states, kept, strict=True))]

    def _layer(self, items: Mapping[str, T], way: str) -> dict[str, T]:
        names = (*self.layer_names, *self.aux_names)
        return {n: items[f"{way}_{n}"] for n in names if f"{way}_{n}" in items}


class Products:
    """Products of rows with the weights of a float or hybrid recurrent operator.

    Hybrid rows are quantized once for all weights that they meet.
    """

    def __init__(
        self, arrays: Mapping[str, Array], types: Mapping[str, TensorType], asymmetric: bool
    ) -> None:
        self.types = types
        self.quantize = quantize_asymmetric if asymmetric else quantize_symmetric
        self.weights: dict[str, Floats] = {
            name: (a if t.dtype is DType.FLOAT32 else centered(a, t)).astype(np.float64)
            for (name, a), t in zip(arrays.items(), types.values(), strict=True)
        }

    def is_hybrid(self, name: str) -> bool:
        return name in self.types and self.types[name].dtype is not DType.FLOAT32

    def real(self, name: str) -> Floats | None:
        """The real numbers that an operand stands for; None where it is left out."""
        if name not in self.types:
            return None
        weights = self.weights[name]
        return weights * self._scale(name) if self.is_hybrid(name) else weights

    def rows(self, x: Array, name: str) -> DynamicallyQuantized | Floats:
        """x[..., K] as it meets the weights ``name`` and all others of their dtype."""
        if self.is_hybrid(name):
            return self.quantize(x.astype(np.float32))
        return x.astype(np.float64)

    def times(self, x: DynamicallyQuantized | Floats, name: str) -> Floats:
        """x[..., K] times the transpose of weights [N, K]: [..., N]."""
        weights = self.weights[name].T
        if isinstance(x, DynamicallyQuantized):
            scale = x.scale * self._scale(name)
            return np.asarray((x.centered.astype(np.float64) @ weights) * scale)
        return np.asarray(x @ weights)

    def _scale(self, name: str) -> npt.NDArray[np.float32]:
        quant = self.types[name].quant
        assert quant is not None
        return float32s(quant.scale, name)
