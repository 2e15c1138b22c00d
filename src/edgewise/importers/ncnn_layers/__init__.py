"""How every layer of ncnn is read: one row a layer, by families; imported when one is met."""

from __future__ import annotations

from ..families import rows
from ..ncnn_call import Row

FAMILIES = (
    "products",
    "activations",
    "arithmetic",
    "images",
    "movement",
    "normalization",
    "reductions",
    "matrices",
    "einsum",
    "recurrent",
    "quantized",
    "detection",
    "sampling",
)
"""The modules of this package; each has ``LAYERS``, rows by type."""


def layers() -> dict[str, Row]:
    """The rows, by type; Input is no row."""
    return rows(__name__, FAMILIES, "LAYERS")


def row_of(type: str) -> Row | None:
    """How a layer is read; None where it is not."""
    return layers().get(type)


__all__ = ["FAMILIES", "layers", "row_of"]
