"""Operators that select, scatter, sort and count."""

from __future__ import annotations

from ..onnx_call import Row

OPERATORS: dict[str, Row] = {}
