"""Attention, as the functions that the standard defines it by."""

from __future__ import annotations

from ..onnx_call import Row
from .expansion import expanded

OPERATORS: dict[str, Row] = {
    "Attention": Row(expanded, (3, 7)),
    "CausalConvWithState": Row(expanded, (2, 4)),
    "LinearAttention": Row(expanded, (3, 6)),
    "RotaryEmbedding": Row(expanded, (3, 4)),
}
