"""Conditions, loops, optional values, sequences."""

from __future__ import annotations

from ..onnx_call import Row

OPERATORS: dict[str, Row] = {}
