"""Functions of one element and of two tensors."""

from __future__ import annotations

from collections.abc import Callable

from ... import ops
from ...graph import Value
from ...ops import Op
from ..onnx_call import Call, Row

UNARY: dict[str, Callable[[], Op]] = {
    "Abs": ops.Abs,
    "Exp": ops.Exp,
    "Relu": ops.Relu,
    "Sigmoid": ops.Logistic,
}
BINARY: dict[str, Callable[[], Op]] = {
    "Add": ops.Add,
    "Mul": ops.Mul,
    "Sub": ops.Sub,
}


def unary(op: Callable[[], Op]) -> Callable[[Call], Value]:
    return lambda call: call.one(op(), call.value(0))


def binary(op: Callable[[], Op]) -> Callable[[Call], Value]:
    return lambda call: call.one(op(), call.value(0), call.value(1))


OPERATORS: dict[str, Row] = {
    **{name: Row(unary(op)) for name, op in UNARY.items()},
    **{name: Row(binary(op), (2, 2)) for name, op in BINARY.items()},
}
