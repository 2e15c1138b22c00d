"""How operators are written to .tflite files: one function and one row each, a module a family."""

from __future__ import annotations

from ...errors import UnsupportedError
from ...graph import Node
from ...ops import Interpreted, Op, Rounding
from ..tflite_call import Row, Written
from . import (
    arithmetic,
    control,
    custom,
    images,
    indexing,
    movement,
    products,
    recurrent,
    stablehlo,
)

ROWS: dict[type[Op], Row] = {
    **arithmetic.ROWS,
    **control.ROWS,
    **custom.ROWS,
    **images.ROWS,
    **indexing.ROWS,
    **movement.ROWS,
    **products.ROWS,
    **recurrent.ROWS,
    **stablehlo.ROWS,
}
"""Every operator that a file may have. A new one is one row, and its function."""


def write_operator(node: Node) -> Written:
    """What a node is in a file.

    Raises:
        UnsupportedError: TensorFlow Lite has no such operator, or not with these attributes.
    """
    op = node.op
    row = ROWS.get(type(op))
    if isinstance(op, Interpreted):
        raise UnsupportedError(f"only a call tells the shapes of {', '.join(op.operators)}")
    if row is None:
        raise UnsupportedError("TensorFlow Lite has no such operator")
    if getattr(op, "rounding", Rounding.FLOAT) is not Rounding.FLOAT:
        raise UnsupportedError("its rounding is not LiteRT's")
    if getattr(op, "raw_zero", 0):
        raise UnsupportedError("its 8-bit type was changed for a processor")
    return row(op, node)


__all__ = ["ROWS", "Row", "Written", "write_operator"]
