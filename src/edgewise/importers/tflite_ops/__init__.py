"""Operators of .tflite files: one function and one row each, a module a family.

A function takes a ``Call`` and gives the operator and its operands. Operands that only state
shapes, axes or paddings must be constants, and become attributes.
"""

from __future__ import annotations

from ..tflite_call import Row
from . import (
    arithmetic,
    control,
    images,
    indexing,
    movement,
    products,
    random,
    recurrent,
    spectral,
    stablehlo,
    text,
)
from .custom import CUSTOM, REGISTERED, register

OPERATORS: dict[int, Row] = {
    **arithmetic.OPERATORS,
    **control.OPERATORS,
    **images.OPERATORS,
    **indexing.OPERATORS,
    **movement.OPERATORS,
    **products.OPERATORS,
    **recurrent.OPERATORS,
    **random.OPERATORS,
    **spectral.OPERATORS,
    **stablehlo.OPERATORS,
    **text.OPERATORS,
}
"""Every operator that is read, by its builtin code. A new one is one row, and its function."""

__all__ = ["CUSTOM", "OPERATORS", "REGISTERED", "Row", "register"]
