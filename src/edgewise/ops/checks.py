"""Checks that the operators share. Each raises GraphError naming the operator and the rule."""

from __future__ import annotations

import enum
import math
from collections.abc import Sequence

import numpy as np

from ..dtype import DType, QParams
from ..graph import Array, TensorType
from .base import Op
from .requant import per_tensor

MAX_ELEMENTS = 2**31 - 1
MAX_OUTPUTS = 4096
EIGHT_BIT = (DType.UINT8, DType.INT8)


def check_inputs(op: Op, inputs: Sequence[TensorType], least: int, most: int | None = None) -> None:
    """Require ``least`` to ``most`` inputs, ``least`` where that is None, of sane shapes."""
    most = least if most is None else most
    wanted = str(least) if least == most else f"{least} to {most}"
    op.require(least <= len(inputs) <= most, f"{len(inputs)} inputs; it takes {wanted}")
    for i, t in enumerate(inputs):
        check_shape(op, t.shape, f"input {i}")


def check_shape(op: Op, shape: Sequence[int], what: str) -> None:
    """Require dimensions that are not negative and at most MAX_ELEMENTS elements.

    Of a tensor without elements the dimensions that are not 0 count: numpy refuses what it could
    not address.
    """
    if min(shape, default=0) < 0:
        op.require(False, f"{what} has shape {list(shape)}; no dimension is negative")
    count = math.prod(max(int(d), 1) for d in shape)
    if count > MAX_ELEMENTS:
        op.require(False, f"{what} has {count} elements; a tensor has at most {MAX_ELEMENTS}")


def check_rank(op: Op, t: TensorType, rank: int, what: str) -> None:
    op.require(len(t.shape) == rank, f"{what} has rank {len(t.shape)}; it must be {rank}")


def check_axis(op: Op, axis: int, rank: int) -> None:
    op.require(0 <= axis < rank, f"axis {axis}; it must lie between 0 and the rank {rank}")


def check_axes(op: Op, axes: Sequence[int], rank: int) -> None:
    for axis in axes:
        check_axis(op, axis, rank)
    op.require(len(set(axes)) == len(axes), f"axes {list(axes)}; an axis is named once")


def result(op: Op, shape: Sequence[int], dtype: DType, quant: QParams | None = None) -> TensorType:
    """The type of an output, after checking its shape."""
    check_shape(op, shape, "its output")
    return TensorType(tuple(int(d) for d in shape), dtype, quant)


def moved(op: Op, t: TensorType, shape: Sequence[int]) -> TensorType:
    """The type of an output that holds elements of ``t`` unchanged."""
    quant = t.quant if t.quant is not None and t.quant.axis is None else None
    return result(op, shape, t.dtype, quant)


def window_extent(
    op: Op, size: int, taps: int, stride: int, dilation: int, before: int, after: int
) -> int:
    """How many windows of ``taps`` fit along one padded dimension."""
    op.require(taps >= 1, f"its window has {taps} taps along one dimension; it needs 1 or more")
    op.require(stride >= 1, f"stride {stride}; it must be 1 or more")
    op.require(dilation >= 1, f"dilation {dilation}; it must be 1 or more")
    op.require(
        before >= 0 and after >= 0, f"padding ({before}, {after}); padding cannot be negative"
    )
    room = size + before + after - ((taps - 1) * dilation + 1)
    op.require(
        room >= 0,
        f"{taps} taps with dilation {dilation} do not fit {size} elements padded by "
        f"({before}, {after})",
    )
    return room // stride + 1


def windows(
    x: Array,
    taps: tuple[int, int],
    stride: tuple[int, int],
    dilation: tuple[int, int] = (1, 1),
) -> Array:
    """View padded x[N, H, W, C] as its windows [N, OH, OW, C, KH, KW]."""
    extent = tuple((k - 1) * d + 1 for k, d in zip(taps, dilation, strict=True))
    view = np.lib.stride_tricks.sliding_window_view(x, extent, axis=(1, 2))
    return view[:, :: stride[0], :: stride[1], :, :: dilation[0], :: dilation[1]]


def pad_image(x: Array, padding: tuple[int, int, int, int], value: float = 0) -> Array:
    """Pad x[N, H, W, C] by (top, bottom, left, right)."""
    top, bottom, left, right = padding
    pads = ((0, 0), (top, bottom), (left, right), (0, 0))
    return np.pad(x, pads, constant_values=value)


class Kind(enum.Enum):
    """What the elements of tensors are to an operator that computes; the value is for errors."""

    FLOAT = "float"
    QUANTIZED = "quantized per tensor (uint8, int8 or int16)"
    INTEGER = "integers without quantization"
    BOOL = "bool"
    COMPLEX = "complex"
    STRING = "strings"


ARITHMETIC = (Kind.FLOAT, Kind.QUANTIZED, Kind.INTEGER)
QUANTIZED_DTYPES = (*EIGHT_BIT, DType.INT16)


def kind_of(t: TensorType) -> Kind:
    """The kind of a tensor's elements; integers with a scale are QUANTIZED."""
    if t.dtype.is_float:
        return Kind.FLOAT
    if t.dtype.is_integer:
        is_quantized = t.quant is not None and t.dtype in QUANTIZED_DTYPES
        return Kind.QUANTIZED if is_quantized else Kind.INTEGER
    if t.dtype is DType.BOOL:
        return Kind.BOOL
    return Kind.STRING if t.dtype is DType.STRING else Kind.COMPLEX


def common_kind(op: Op, inputs: Sequence[TensorType], allowed: Sequence[Kind]) -> Kind:
    """The kind of inputs that have one dtype and one kind.

    Raises:
        GraphError: when they differ, the kind is not allowed, or a quantization is not per tensor.
    """
    first = inputs[0]
    kind = kind_of(first)
    wanted = ", or ".join(k.value for k in allowed)
    for i, t in enumerate(inputs):
        if t.dtype is not first.dtype:
            op.require(False, f"inputs are {first.dtype} and {t.dtype}; they must be equal")
        if kind_of(t) is not kind or kind not in allowed:
            op.require(False, f"input {i} is {t}; inputs are all {wanted}")
        if kind is Kind.QUANTIZED:
            per_tensor(t, f"{op.name}: input {i}")
    return kind


def broadcast_shape(op: Op, inputs: Sequence[TensorType]) -> tuple[int, ...]:
    """The shape to which the shapes of all inputs broadcast."""
    rank = max(len(t.shape) for t in inputs)
    shape = [1] * rank
    for t in inputs:
        for i, n in enumerate(t.shape, rank - len(t.shape)):
            if n != shape[i] and n != 1:
                shapes = " and ".join(str(list(t.shape)) for t in inputs)
                op.require(shape[i] == 1, f"shapes {shapes}; they must broadcast")
                shape[i] = n
    return tuple(shape)


def check_quantized_result(
    op: Op, inputs: Sequence[TensorType], outputs: Sequence[TensorType]
) -> None:
    """Require results of 8 or 16 bits of quantized operands to be quantized per tensor."""
    if inputs and kind_of(inputs[0]) is Kind.QUANTIZED:
        for t in outputs:
            if t.dtype in QUANTIZED_DTYPES:
                per_tensor(t, f"{op.name}: output")
