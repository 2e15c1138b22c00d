"""Elementwise operators in one pass over memory."""

from __future__ import annotations

from typing import ClassVar

from .fused import Fused


class Chain(Fused):
    """Functions of one or two elements, one after another; all their results have one shape.

    ``passes/fuse_elementwise.py`` says which.
    """

    name: ClassVar[str] = "CHAIN"
