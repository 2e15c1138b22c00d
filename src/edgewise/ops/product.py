"""What the product-sum operators share: checks of their operands, exact sums, requantization."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..dtype import DType
from ..graph import Array, TensorType
from .base import Activation, Op
from .checks import EIGHT_BIT, all_quantized
from .requant import (
    INT32_MAX,
    accumulator_bound,
    centered,
    check_zero_points,
    clamp_float,
    requantization,
    wrap_int32,
)


def check_product(
    op: Op, inputs: Sequence[TensorType], channels: int, axis: int, terms: int
) -> None:
    """Check the types of (x, w) or (x, w, bias), where a sum has ``terms`` products.

    ``axis`` is the dimension of w that holds its output ``channels``.

    Raises:
        GraphError: when types do not fit each other, or a sum can leave int32.
    """
    x, w = inputs[:2]
    if len(inputs) == 3:
        bias = inputs[2]
        op.require(
            bias.shape == (channels,), f"bias has shape {list(bias.shape)}; it must be [{channels}]"
        )
    if not all_quantized(op, inputs[:1]):
        for what, t in zip(("weights", "bias"), inputs[1:], strict=False):
            op.require(
                t.dtype is DType.FLOAT32, f"input is float32 and {what} {t.dtype}; both are float32"
            )
        return
    op.require(w.dtype in EIGHT_BIT, f"weights are {w.dtype}; they must be uint8 or int8")
    if len(inputs) == 3:
        op.require(inputs[2].dtype is DType.INT32, f"bias is {inputs[2].dtype}; it must be int32")
    q = w.quant
    per_channel = q is not None and len(q.scale) == channels and q.axis == axis
    if q is None or not (len(q.scale) == 1 or per_channel):
        op.require(
            False,
            f"weights are {w}; they must have one scale, or one each of the {channels} "
            f"output channels along axis {axis}",
        )
    check_zero_points(w, f"{op.name}: weights")
    bound = accumulator_bound(x, w, terms)
    op.require(
        bound <= INT32_MAX,
        f"sums of {terms} products can reach {bound}; an int32 sum holds at most {INT32_MAX}",
    )


def operands(
    arrays: Sequence[Array], inputs: Sequence[TensorType]
) -> tuple[Array, Array, Array | None]:
    """x, w and bias (or None): less their zero points where quantized, else as they are."""
    bias = arrays[2] if len(arrays) == 3 else None
    if inputs[0].dtype is DType.FLOAT32:
        return arrays[0], arrays[1], bias
    return centered(arrays[0], inputs[0]), centered(arrays[1], inputs[1]), bias


def matmul(a: Array, b: Array) -> Array:
    """a @ b in float64: exact for integers, whose sums lie far below 2**53."""
    return a.astype(np.float64) @ b.astype(np.float64)


def finish_product(
    acc: Array,
    bias: Array | None,
    inputs: Sequence[TensorType],
    outputs: Sequence[TensorType],
    activation: Activation,
) -> Array:
    """Bias, requantization and activation of exact sums [..., channels].

    A sum that a bias drives out of int32 wraps, as it does in every kernel.
    """
    if inputs[0].dtype is DType.FLOAT32:
        return clamp_float(acc if bias is None else acc + bias, activation)
    total = acc.astype(np.int64) if bias is None else acc.astype(np.int64) + bias
    rule = requantization(inputs[0], inputs[1], outputs[0], activation)
    return rule.apply(wrap_int32(total)).astype(outputs[0].dtype.numpy)
