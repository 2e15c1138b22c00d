"""Operators of .tflite files: one function and one row each, a module a family.

A function takes a ``Call`` and gives the operator and its operands. Operands that only state
shapes, axes or paddings must be constants, and become attributes.

Families that few networks have, and custom operators, are imported when a file has one of them:
every start would pay for them otherwise.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from ..tflite_call import Row
from . import arithmetic, control, images, movement, products

if TYPE_CHECKING:
    from .custom import CUSTOM, register

    OPERATORS: dict[int, Row]
    """Every operator that is read, by its builtin code. A new one is one row, and its function."""

COMMON: dict[int, Row] = {
    **arithmetic.OPERATORS,
    **control.OPERATORS,
    **images.OPERATORS,
    **movement.OPERATORS,
    **products.OPERATORS,
}


@functools.cache
def all_operators() -> dict[int, Row]:
    from . import indexing, random, recurrent, spectral, stablehlo, text

    return {
        **COMMON,
        **indexing.OPERATORS,
        **random.OPERATORS,
        **recurrent.OPERATORS,
        **spectral.OPERATORS,
        **stablehlo.OPERATORS,
        **text.OPERATORS,
    }


def builtin_row(code: int) -> Row | None:
    """How the operator of a builtin code is read; None where it is not."""
    return COMMON.get(code) or all_operators().get(code)


def custom_row(code: str) -> Row | None:
    """How a custom operator is read; None where it is not."""
    from .custom import CUSTOM

    return CUSTOM.get(code)


def __getattr__(name: str) -> Any:
    if name == "OPERATORS":
        return all_operators()
    if name in ("CUSTOM", "register"):
        from . import custom

        return getattr(custom, name)
    raise AttributeError(name)


__all__ = ["CUSTOM", "OPERATORS", "Row", "builtin_row", "custom_row", "register"]
