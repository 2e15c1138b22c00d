"""Attention."""

from __future__ import annotations

from ..onnx_call import Row

OPERATORS: dict[str, Row] = {}
