"""What the product-sum operators share: checks of their operands, exact sums, requantization.

The kinds of a product, by the dtypes of x and w:
    float32, float32: bias float32; the sum in float64, rounded once
    8-bit, 8-bit: bias int32; int32 sums
    int16, 8-bit: bias int64 or int32; int64 or int32 sums, always requantized in fixed point
    float32, 8-bit: "hybrid"; bias float32; x is quantized as the product runs (`hybrid`)
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from ..dtype import DType
from ..graph import Array, TensorType
from .base import Activation, Op
from .checks import EIGHT_BIT
from .fixed_point import (
    multiply_once_rounded,
    multiply_ties_up,
    multiply_twice_rounded,
    multiply_wide,
)
from .hybrid import QUANTIZERS, RowQuantization, is_hybrid
from .requant import (
    INT32_MAX,
    FixedPointRequant,
    Multiply,
    Requant,
    Rounding,
    accumulator_bound,
    centered,
    check_zero_points,
    clamp_float,
    fixed_point_requantization,
    float32s,
    per_tensor,
    requantization,
    wrap_int32,
)


class ProductKind(enum.Enum):
    """What a product multiplies."""

    FLOAT = "float"
    INT8 = "int8"
    INT16 = "int16"
    HYBRID = "hybrid"


BIASES = {
    ProductKind.FLOAT: (DType.FLOAT32,),
    ProductKind.INT8: (DType.INT32,),
    ProductKind.INT16: (DType.INT64, DType.INT32),
    ProductKind.HYBRID: (DType.FLOAT32,),
}


MULTIPLICATIONS: Mapping[Rounding, Multiply] = {
    Rounding.FLOAT: multiply_ties_up,
    Rounding.FIXED_POINT: multiply_twice_rounded,
    Rounding.FIXED_POINT_SINGLE: multiply_once_rounded,
}


def product_kind(x: TensorType, w: TensorType) -> ProductKind:
    """The kind of a product of checked operands."""
    if x.dtype is DType.FLOAT32:
        return ProductKind.HYBRID if is_hybrid(x, w) else ProductKind.FLOAT
    return ProductKind.INT16 if x.dtype is DType.INT16 else ProductKind.INT8


class Product(Op):
    """Base of the operators that sum products of x and w, and add a bias.

    All have the attributes ``activation``, and ``rounding``: how integer sums are requantized.
    Sums of int16 are int64 where the bias is, and without one if ``wide_sums``.
    """

    activation: Activation
    rounding: Rounding
    rows: RowQuantization = RowQuantization.QD8

    wide_sums: ClassVar[bool] = False
    rounds_scales: ClassVar[bool] = False

    def check(self, inputs: Sequence[TensorType], channels: int, axis: int, terms: int) -> None:
        """Check the types of (x, w) or (x, w, bias), where a sum has ``terms`` products.

        ``axis`` is the dimension of w that holds its output ``channels``.

        Raises:
            GraphError: when types do not fit each other, or a sum can leave int32.
        """
        x, w = inputs[:2]
        if len(inputs) == 3:
            bias = inputs[2].shape
            self.require(
                bias == (channels,), f"bias has shape {list(bias)}; it must be [{channels}]"
            )
        if x.dtype is DType.FLOAT32:
            self.require(
                w.dtype is DType.FLOAT32 or is_hybrid(x, w),
                f"input is float32 and weights {w}; they are float32, or quantized uint8 or int8",
            )
        else:
            self.require(
                x.dtype in (*EIGHT_BIT, DType.INT16),
                f"input is {x.dtype}; it must be float32, uint8, int8 or int16",
            )
            per_tensor(x, f"{self.name}: input")
            names = "uint8 or int8" if x.dtype in EIGHT_BIT else "uint8, int8 or int16"
            self.require(
                w.dtype in (*EIGHT_BIT, x.dtype), f"weights are {w.dtype}; they must be {names}"
            )
        kind = product_kind(x, w)
        if len(inputs) == 3:
            found, wanted = inputs[2].dtype, BIASES[kind]
            self.require(
                found in wanted,
                f"input is {x.dtype}, weights {w.dtype} and bias {found}; "
                f"bias must be {' or '.join(map(str, wanted))}",
            )
        if kind is ProductKind.FLOAT:
            return
        self._check_weights(w, channels, axis)
        if kind is ProductKind.INT16:
            return
        signed = TensorType(x.shape, DType.INT8) if kind is ProductKind.HYBRID else x
        bound = accumulator_bound(signed, w, terms) * (2 if kind is ProductKind.HYBRID else 1)
        self.require(
            bound <= INT32_MAX,
            f"sums of {terms} products can reach {bound}; an int32 sum holds at most {INT32_MAX}",
        )

    def _check_weights(self, w: TensorType, channels: int, axis: int) -> None:
        q = w.quant
        per_channel = q is not None and len(q.scale) == channels and q.axis == axis
        if q is None or not (len(q.scale) == 1 or per_channel):
            self.require(
                False,
                f"weights are {w}; they must have one scale, or one each of the {channels} "
                f"output channels along axis {axis}",
            )
        check_zero_points(w, f"{self.name}: weights")

    def operands(
        self,
        arrays: Sequence[Array],
        inputs: Sequence[TensorType],
        group: tuple[int, ...] = (-1,),
    ) -> Operands:
        """What is multiplied. ``group`` are the axes of x that share a scale where it is hybrid."""
        kind = product_kind(*inputs[:2])
        x, w, bias = arrays[0], arrays[1], arrays[2] if len(arrays) == 3 else None
        if kind is ProductKind.FLOAT:
            return Operands(kind, x, w, bias)
        w = centered(w, inputs[1])
        if kind is ProductKind.HYBRID:
            dynamic = QUANTIZERS[self.rows](x, group)
            return Operands(kind, dynamic.centered, w, bias, dynamic.scale)
        return Operands(kind, centered(x, inputs[0]), w, bias)

    def finish(
        self,
        acc: Array,
        given: Operands,
        inputs: Sequence[TensorType],
        outputs: Sequence[TensorType],
    ) -> Array:
        """Bias, requantization and activation of exact sums [..., channels].

        A sum that a bias drives out of int32 wraps, as it does in every kernel.
        """
        w, out = inputs[1], outputs[0]
        bias = given.bias
        if given.kind is ProductKind.FLOAT:
            return clamp_float(acc if bias is None else acc + bias, self.activation)
        if given.scale is not None:
            assert w.quant is not None
            real = acc.astype(np.float32) * given.scale
            real = real * float32s(w.quant.scale, "weights")
            return clamp_float(real if bias is None else real + bias, self.activation)
        total = acc.astype(np.int64) if bias is None else acc.astype(np.int64) + bias
        sums = total if self.has_wide_sums(inputs) else wrap_int32(total)
        return self.requantization(inputs, out).apply(sums).astype(out.dtype.numpy)

    def has_wide_sums(self, inputs: Sequence[TensorType]) -> bool:
        """Whether sums of integers are int64."""
        if product_kind(*inputs[:2]) is not ProductKind.INT16:
            return False
        return self.wide_sums if len(inputs) < 3 else inputs[2].dtype is DType.INT64

    def requantization(
        self, inputs: Sequence[TensorType], out: TensorType
    ) -> Requant | FixedPointRequant:
        """From sums of integers to ``out``.

        Raises:
            GraphError: when a tensor is not quantized as it must be, or a scale is too great.
        """
        x, w = inputs[:2]
        if product_kind(x, w) is ProductKind.INT8 and self.rounding is Rounding.FLOAT:
            return requantization(x, w, out, self.activation)
        multiply = self.multiplication(self.has_wide_sums(inputs))
        return fixed_point_requantization(
            x, w, out, self.activation, multiply, rounds_scales=self.rounds_scales
        )

    def multiplication(self, is_wide: bool) -> Multiply:
        """How sums, int64 where ``is_wide`` and else int32, are multiplied in fixed point.

        FLOAT means LiteRT here, whose kernels of int16 round int32 sums as the library ruy does.
        """
        if is_wide:
            return multiply_wide
        return MULTIPLICATIONS[self.rounding]


@dataclass(frozen=True, eq=False)
class Operands:
    """Arrays of a product: quantized ones less their zero points, as int32.

    ``scale`` is that of a hybrid product's x, and broadcasts against it.
    """

    kind: ProductKind
    x: Array
    w: Array
    bias: Array | None = None
    scale: npt.NDArray[np.float32] | None = None

    def transposed(self) -> Operands:
        """With the last two dimensions of x exchanged."""
        scale = None if self.scale is None else self.scale.swapaxes(-1, -2)
        return replace(self, x=self.x.swapaxes(-1, -2), scale=scale)


def matmul(a: Array, b: Array) -> Array:
    """a @ b in float64: exact for integers, whose sums lie far below 2**53."""
    return np.asarray(a.astype(np.float64) @ b.astype(np.float64))
