"""SVDF: a layer whose filters are products of a vector over features and one over time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ..dtype import DType
from ..graph import Array, TensorType
from .checks import check_inputs, check_rank, result
from .fixed_point import multiplier, multiply_twice_rounded
from .recurrent import Nonlinearity, Products, Recurrent
from .requant import centered, per_tensor


@dataclass(frozen=True, eq=False, repr=False)
class Svdf(Recurrent):
    """x[B, I], weights_feature[F, I], weights_time[F, M], bias[U] (optional), state[B, M * F].

    The state holds the last M products of each of F = U * rank filters; it moves on by one, and
    the newest is weights_feature times x. Output u of [B, U] is the activation of the bias plus
    the sum over its ``rank`` filters of their states times weights_time.

    Types are float32; float32 with 8-bit weights ("hybrid"); or integers: x and weights_feature
    int8, state and weights_time int16 or int8, bias int32, the sums rescaled in fixed point. The
    clamp to int8 is then all the activation there is, as in TensorFlow Lite.
    """

    name: ClassVar[str] = "SVDF"
    names: ClassVar[tuple[str, ...]] = (
        "input",
        "weights_feature",
        "weights_time",
        "bias",
        "state",
    )
    state_names: ClassVar[tuple[str, ...]] = ("state",)
    required: ClassVar[frozenset[str]] = frozenset({"input", "weights_feature", "weights_time"})

    present: tuple[bool, ...]
    rank: int = 1
    activation: Nonlinearity = Nonlinearity.NONE
    asymmetric: bool = False

    def infer(self, inputs: Sequence[TensorType]) -> tuple[TensorType, ...]:
        check_inputs(self, inputs, 4, 5)
        types = self.by_name(inputs)
        x = types["input"]
        for name in ("input", "weights_feature", "weights_time"):
            check_rank(self, types[name], 2, name)
        batch, depth = x.shape
        filters, memory = types["weights_time"].shape
        self.require(
            self.rank >= 1 and filters % self.rank == 0,
            f"{filters} filters of rank {self.rank}; the rank divides them",
        )
        units = filters // self.rank
        self.require_shape(types, "weights_feature", filters, depth)
        self.require_shape(types, "bias", units)
        self.require_elements(types, "state", batch, memory * filters)
        if x.dtype is DType.FLOAT32:
            self.require_floats(types, ("weights_feature", "weights_time"))
        else:
            self._check_integers(types)
        return (result(self, (batch, units), x.dtype), *self.states(types))

    def _check_integers(self, types: dict[str, TensorType]) -> None:
        state = types["state"].dtype
        wide = DType.INT8 if state is DType.INT8 else DType.INT16
        wanted = {
            "input": DType.INT8,
            "weights_feature": DType.INT8,
            "weights_time": wide,
            "bias": DType.INT32,
            "state": wide,
        }
        for name, t in types.items():
            self.require(t.dtype is wanted[name], f"{name} is {t.dtype}; it must be {wanted[name]}")
            if name != "bias":
                per_tensor(t, f"{self.name}: {name}")
        self.require(
            self.activation in (Nonlinearity.NONE, Nonlinearity.RELU),
            f"activation {self.activation.name} of integers; it is NONE or RELU",
        )

    def reference(
        self, arrays: Sequence[Array], inputs: Sequence[TensorType], outputs: Sequence[TensorType]
    ) -> list[Array]:
        named, types = self.by_name(arrays), self.by_name(inputs)
        filters, memory = types["weights_time"].shape
        state = named["state"].reshape(-1, filters, memory)
        if types["input"].dtype is DType.FLOAT32:
            products = Products(
                {n: a for n, a in named.items() if n != "state"},
                {n: t for n, t in types.items() if n != "state"},
                self.asymmetric,
            )
            rows = products.rows(named["input"], "weights_feature")
            newest = products.times(rows, "weights_feature").astype(np.float32)
            state = np.concatenate([state[:, :, 1:], newest[:, :, None]], -1)
            sums = self._over_time(state.astype(np.float64), products.real("weights_time"))
            y = self.activation(sums + named.get("bias", 0.0)).astype(np.float32)
            return [y, state.reshape(outputs[1].shape)]
        x = centered(named["input"], types["input"]).astype(np.int64)
        sums = x @ named["weights_feature"].T.astype(np.int64)
        newest = _rescaled(sums, types["input"], types["weights_feature"], types["state"])
        newest = newest.astype(state.dtype)
        state = np.concatenate([state[:, :, 1:], newest[:, :, None]], -1)
        recent = centered(state, types["state"]).astype(np.int64)
        total = self._over_time(recent, named["weights_time"].astype(np.int64))
        total = total + named.get("bias", 0)
        y = _rescaled(total, types["state"], types["weights_time"], outputs[0])
        return [y.astype(outputs[0].dtype.numpy), state.reshape(outputs[1].shape)]

    def _over_time(self, state: Array, weights: Array | None) -> Array:
        """Sums over time and rank of state[B, F, M] times weights[F, M]: [B, U]."""
        assert weights is not None
        sums = (state * weights).sum(-1)
        return np.asarray(sums.reshape(len(sums), -1, self.rank).sum(-1))

    def macs(self, inputs: Sequence[TensorType], outputs: Sequence[TensorType]) -> int:
        types = self.by_name(inputs)
        per_row = types["weights_feature"].size + types["weights_time"].size
        return types["input"].shape[0] * per_row


def _rescaled(sums: Array, x: TensorType, w: TensorType, out: TensorType) -> Array:
    """Sums of products of x and w in the scale of ``out``, clamped to its dtype."""
    assert x.quant is not None
    assert w.quant is not None
    _, zero = per_tensor(out, "output")
    assert out.quant is not None
    real = x.quant.scale[0] * w.quant.scale[0] / out.quant.scale[0]
    scaled = multiply_twice_rounded(sums, *multiplier(real)) + zero
    return np.asarray(np.clip(scaled, *out.dtype.range))
