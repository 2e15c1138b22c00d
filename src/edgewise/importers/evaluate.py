"""Evaluates operators of constants while a file is read."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ..dtype import DType
from ..errors import ModelError, RunError
from ..graph import Array, TensorType, Value
from ..ops import Control, Op

MAX_FOLDED = 4096
MAX_FOLDED_TOTAL = 2**21
MAX_FOLDED_INPUT = 2**16
MAX_FOLDED_MACS = 2**20
"""The most elements of what is evaluated while a file is read: the results of one operator, those
of all, the operands of one, and its multiply-adds."""

BY_TYPE = ("SHAPE", "RANK")
"""Operators whose results depend on the types of their inputs only."""

BROKEN = (ArithmeticError, LookupError, MemoryError, RunError, TypeError, ValueError)
"""What a reference raises for values that its operator cannot take."""


def worth(
    op: Op, types: Sequence[TensorType], outputs: Sequence[TensorType], left: int
) -> int | None:
    """The elements of an operator's results if it is to be evaluated; None where it is not.

    ``left`` is how many elements may still be evaluated.
    """
    size = sum(math.prod(t.shape) for t in outputs)
    if (
        isinstance(op, Control)
        or op.state_operands
        or size > MAX_FOLDED
        or size > left
        or sum(math.prod(t.shape) for t in types) > MAX_FOLDED_INPUT
        or op.macs(types, outputs) > MAX_FOLDED_MACS
    ):
        return None
    return size


def zeros(name: str, type: TensorType) -> Value:
    """A tensor of zeros, raw ones; of int8 the zero point, as LiteRT resets variables."""
    zero = type.quant.zero_point[0] if type.quant and type.dtype is DType.INT8 else 0
    data = np.full(type.shape, zero, type.dtype.numpy)
    data.setflags(write=False)
    return Value(name, type, data)


def evaluate(
    op: Op, operands: Sequence[Value], outputs: Sequence[TensorType], what: str
) -> list[Array]:
    """The results of an operator; an operand without data stands for its type."""
    arrays = [
        np.broadcast_to(np.zeros((), v.type.dtype.numpy), v.type.shape)
        if v.data is None
        else v.data
        for v in operands
    ]
    try:
        with np.errstate(all="ignore"):
            return op.reference(arrays, [v.type for v in operands], outputs)
    except BROKEN as error:
        raise ModelError(f"{what}: {error}") from error


def constant(name: str, type: TensorType, array: Array) -> Value:
    """A value that was evaluated, of the shape that it turned out to have."""
    data = np.asarray(array)
    if data.flags.writeable:
        data = data.view()
        data.setflags(write=False)
    return Value(name, TensorType(data.shape, type.dtype, type.quant), data)
