"""What an operator of any format is to the function that reads it."""

from __future__ import annotations

from ..errors import ModelError, UnsupportedError
from ..graph import Value
from ..ops import Op
from .builder import Builder


class FileOperator:
    """Base of the calls of each format: errors that name the operator, nodes that it becomes.

    Attributes:
        b: what nodes are added to.
    """

    b: Builder

    @property
    def what(self) -> str:
        """Names the operator in errors."""
        return self.b.what

    def error(self, text: str) -> ModelError:
        return ModelError(f"{self.what}: {text}")

    def unsupported(self, text: str) -> UnsupportedError:
        return UnsupportedError(f"{self.what}: {text}")

    def one(self, op: Op, *operands: Value) -> Value:
        """The result of an operator that has one."""
        return self.b.one(op, operands)
