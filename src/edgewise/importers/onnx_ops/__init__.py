"""How every ONNX operator is read: one row an operator, by families; imported when one is met."""

from __future__ import annotations

from ..families import rows
from ..onnx_call import Row

FAMILIES = (
    "arithmetic",
    "reductions",
    "normalization",
    "products",
    "images",
    "recurrent",
    "vision",
    "signal",
    "movement",
    "indexing",
    "shapes",
    "conversions",
    "control",
    "sequences",
    "quantized",
    "attention",
    "generate",
    "loss",
)
"""The modules of this package; each has ``OPERATORS``, rows by name."""

MICROSOFT = "com.microsoft"
"""The domain of ONNX Runtime's own operators."""


def operators() -> dict[str, Row]:
    """The rows of the standard domain, by operator."""
    return rows(__name__, FAMILIES, "OPERATORS")


def row_of(domain: str, op_type: str) -> Row | None:
    """How an operator is read; None where it is not."""
    if domain == MICROSOFT:
        known: dict[str, Row] = rows(__name__, ("contrib",), "OPERATORS")
        return known.get(op_type)
    return None if domain else operators().get(op_type)


__all__ = ["FAMILIES", "operators", "row_of"]
