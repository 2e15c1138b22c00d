"""What the readings of one load share, and what they leave for later."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..errors import ModelError, UnsupportedError
from ..graph import Node, Value
from .limits import MAX_OPERATORS
from .tflite_model import ModelFile, Operator
from .tflite_variables import Key

MAX_EVALUATED = 2**26
"""The most elements, read and written, of what initialisation evaluates; 16 multiply-adds count as
an element."""


@dataclass
class Session:
    """What the readings of one load share.

    Attributes:
        eager: every operator is evaluated.
        flexible: the shapes that the file declares for computed tensors may differ from what
            follows from the inputs.
        limit: the most turns of a loop that is evaluated.
        most: the most operators that are read or evaluated.
        work: the elements that may still be evaluated, beyond what is folded.
        stored: of a constant that DEQUANTIZE gave, that node; the graph has it where operators
            read the constant, so that a file keeps the type that it stores.
        initial: the values that initialisation gave to variables.
        tables: the contents of hash tables.
    """

    file: ModelFile
    eager: bool = False
    flexible: bool = False
    limit: int = 2**12
    most: float = MAX_OPERATORS
    work: float = MAX_EVALUATED
    stored: dict[Value, Node] = field(default_factory=dict)
    initial: dict[Key, Value] = field(default_factory=dict)
    tables: dict[Key, tuple[Value, Value]] = field(default_factory=dict)
    bytes: int = 0
    operators: int = 0
    folded: int = 0
    depth: int = 0
    bodies: int = 0

    def enter(self, key: Key, what: str) -> Value:
        """What initialisation left in a variable."""
        if key not in self.initial:
            raise ModelError(f"{what}: {key.kind} {key.name!r} is read before it is assigned")
        return self.initial[key]

    def count(self, what: str) -> None:
        """Count an operator, or a subgraph, as read."""
        self.operators += 1
        if self.operators > self.most:
            raise UnsupportedError(
                f"{what}: loops and calls of subgraphs take more than {self.most} operators"
            )

    def spend(self, elements: int, what: str) -> None:
        """Count elements as evaluated."""
        self.work -= elements
        if self.work < 0:
            raise UnsupportedError(
                f"{what}: what the file initialises takes more than {MAX_EVALUATED} elements"
            )


@dataclass
class Late:
    """Operators that wait until a call: they need values that only it knows."""

    operators: list[Operator] = field(default_factory=list)
    tensors: set[int] = field(default_factory=set)
    variables: dict[Key, Value | None] = field(default_factory=dict)
