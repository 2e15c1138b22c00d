"""How every operator of an exported program is read: rows by families, imported at first use.

A row is of an operator, "relu", or of one overload of it, "add.Tensor"; those outside of ATen have
their namespace before them. What has no row PyTorch decomposes, where it can.
"""

from __future__ import annotations

from ..families import rows
from ..torch_call import Reader

FAMILIES = (
    "arithmetic",
    "activations",
    "reductions",
    "normalization",
    "products",
    "images",
    "resizing",
    "recurrent",
    "movement",
    "indexing",
    "generate",
    "quantized",
)
"""The modules of this package; each has ``OPERATORS``, rows by name."""


def operators() -> dict[str, Reader]:
    """The rows, by operator."""
    return rows(__name__, FAMILIES, "OPERATORS")


def row_of(name: str) -> Reader | None:
    """How an operator is read, by its name with the overload; None where it is not."""
    rows = operators()
    return rows.get(name) or rows.get(name.rpartition(".")[0])


__all__ = ["FAMILIES", "operators", "row_of"]
