"""What an operator is in a .tflite file, as the functions that write operators tell it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from ..dtype import DType, QParams
from ..errors import UnsupportedError
from ..graph import Node, TensorType, Value
from ..importers import tflite_call
from ..ops import Activation

SAME, VALID = 0, 1
"""The schema's Padding."""

TYPES = {dtype: code for code, dtype in tflite_call.DTYPES.items()}
"""The schema's TensorType by element type."""

ACTIVATIONS = {activation: code for code, activation in tflite_call.ACTIVATIONS.items()}
"""The schema's ActivationFunctionType; it lacks RELU_0_TO_1."""


class Written(NamedTuple):
    """An operator as the file has it.

    Attributes:
        builtin: the name of its BuiltinOperator, or a custom operator's code.
        inputs: in the file's order; None is left out.
        options: the name of its options table, whose fields are ``fields``: numbers, texts,
            vectors as arrays, and graphs and ``Body``s in place of the numbers of subgraphs.
        custom: the bytes of a custom operator's options.
        intermediates: types of the tensors that only carry quantization.
        outputs: how many of the node's outputs the file has.
    """

    builtin: str
    inputs: Sequence[Value | None]
    options: str = ""
    fields: Mapping[str, Any] = {}
    custom: bytes = b""
    intermediates: Sequence[TensorType] = ()
    outputs: int | None = None


class Body(NamedTuple):
    """A subgraph of one operator of two elements, or of none, which gives the second element."""

    builtin: str
    dtype: DType


Row: TypeAlias = Callable[[Any, Node], Written]
"""Tells what a node of an operator is in a file. UnsupportedError: it cannot be there."""


def plain(op: Any, node: Node) -> Written:
    """An operator without constant operands and options that matter."""
    return Written(op.name, node.inputs)


def ints(*numbers: int, dtype: DType = DType.INT32) -> Value:
    """A constant vector."""
    return constant(np.array(numbers, dtype.numpy))


def scalar(number: float, dtype: DType = DType.INT32, quant: QParams | None = None) -> Value:
    """A constant of one element and rank 0."""
    return constant(np.array(number, dtype.numpy), quant)


def pairs(values: Sequence[Sequence[int]]) -> Value:
    """A constant matrix of two columns."""
    return constant(np.array(values, np.int32).reshape(len(values), 2))


def constant(data: Any, quant: QParams | None = None) -> Value:
    """A constant without a name; equal ones are one tensor of the file."""
    return Value.constant("", data, quant)


def activation(given: Activation) -> int:
    """The number of a fused activation."""
    if given not in ACTIVATIONS:
        raise UnsupportedError(f"fused activation {given.name}")
    return ACTIVATIONS[given]


def same_padding(
    size: Sequence[int], taps: Sequence[int], stride: Sequence[int]
) -> tuple[tuple[int, int], ...]:
    """(before, after) along each dimension for windows of ``taps`` pixels, dilation included."""
    totals = (
        max((-(-n // s) - 1) * s + k - n, 0) for n, k, s in zip(size, taps, stride, strict=True)
    )
    return tuple((total // 2, total - total // 2) for total in totals)


def padding(
    pads: Sequence[tuple[int, int]], size: Sequence[int], taps: Sequence[int], stride: Sequence[int]
) -> int | None:
    """SAME or VALID where these are the pads that it gives, else None."""
    if not any(map(any, pads)):
        return VALID
    return SAME if tuple(pads) == same_padding(size, taps, stride) else None


def by_sides(pads: Sequence[int]) -> tuple[tuple[int, int], ...]:
    """(top, bottom, left, right) as (before, after) of each dimension."""
    return (pads[0], pads[1]), (pads[2], pads[3])


def required_padding(
    pads: Sequence[tuple[int, int]], size: Sequence[int], taps: Sequence[int], stride: Sequence[int]
) -> int:
    """SAME or VALID.

    Raises:
        UnsupportedError: the pads are neither.
    """
    code = padding(pads, size, taps, stride)
    if code is None:
        raise UnsupportedError(f"padding {list(pads)}, which is neither SAME nor VALID")
    return code
