"""What every operator is: attributes, shape inference and an exact numpy reference."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import ClassVar

from ..errors import GraphError
from ..graph import Array, TensorType


class Activation(enum.Enum):
    """A fused activation: a clamp of the real result to [low, high]."""

    NONE = (None, None)
    RELU = (0.0, None)
    RELU_N1_TO_1 = (-1.0, 1.0)
    RELU6 = (0.0, 6.0)
    RELU_0_TO_1 = (0.0, 1.0)


@dataclass(frozen=True, eq=False, repr=False)
class Op:
    """Base of all operators.

    A subclass is a frozen dataclass whose fields are its attributes; one that adds none needs no
    decorator, which takes half a millisecond of every start.
    """

    name: ClassVar[str] = ""
    either_sign: ClassVar[bool] = True
    """Whether uint8 operands may all become int8 at the same real values, or the other way."""

    deterministic: ClassVar[bool] = True
    """Whether equal operands give equal results."""

    def infer(self, inputs: Sequence[TensorType]) -> tuple[TensorType, ...]:
        """Types of the outputs: shape and dtype, and ``quant`` where the operator fixes it.

        A dimension that depends on values is -1. ``reference`` of such an operator does not read
        the shapes of ``outputs``; only importers, which evaluate it, meet one.

        Raises:
            GraphError: when the operator cannot take inputs of these types.
        """
        raise NotImplementedError

    def reference(
        self, arrays: Sequence[Array], inputs: Sequence[TensorType], outputs: Sequence[TensorType]
    ) -> list[Array]:
        """The exact result in numpy: for integers, bit for bit what every kernel gives."""
        raise NotImplementedError

    @property
    def state_operands(self) -> tuple[int, ...]:
        """Operands that are variables, by position: the last outputs are their new values."""
        return ()

    def check_values(self, arrays: Sequence[Array | None], inputs: Sequence[TensorType]) -> None:
        """Check indices among the inputs; None stands for one that is not known yet.

        ``reference`` calls it, and importers for constants.

        Raises:
            RunError: when one names what is not there.
        """

    def macs(self, inputs: Sequence[TensorType], outputs: Sequence[TensorType]) -> int:
        """Multiply-adds of one execution; 0 for operators that do not multiply and add."""
        return 0

    def require(self, condition: bool, rule: str) -> None:
        """Raise GraphError naming this operator and the broken rule, unless ``condition``."""
        if not condition:
            raise GraphError(f"{self.name}: {rule}")

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self.__dict__ == other.__dict__

    def __hash__(self) -> int:
        return hash((type(self), *self.__dict__.values()))

    def __repr__(self) -> str:
        return str(self)

    def __str__(self) -> str:
        parts = []
        for f in fields(self):
            value = getattr(self, f.name)
            if value != f.default:
                parts.append(f"{f.name}={value.name if isinstance(value, enum.Enum) else value}")
        return f"{self.name}" + (f"[{', '.join(parts)}]" if parts else "")
