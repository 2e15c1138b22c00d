"""Operators that move elements."""

from __future__ import annotations

from ...graph import Value
from ..onnx_call import Call, Row


def transpose(call: Call) -> Value:
    rank = call.rank(0)
    perm = call.axes(call.ints("perm", range(rank)[::-1]), rank)
    return call.b.transpose(call.value(0), perm)


OPERATORS: dict[str, Row] = {
    "Transpose": Row(transpose),
}
