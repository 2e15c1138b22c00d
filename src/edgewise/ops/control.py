"""Operators that run whole graphs: conditions, loops, what only a call can decide.

Their operands and results pass through unchanged, so 8-bit ones keep their sign. Variables that
a graph reads or changes are operands and results of the operator like all others.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, TypeAlias

import numpy as np

from ..dtype import DType
from ..errors import RunError
from ..graph import Array, Graph, TensorType
from .base import Op

MAX_ITERATIONS = 1_000_000
"""The turns after which a loop is taken for one that never ends, where nobody says otherwise."""

Call: TypeAlias = Callable[[Graph, Sequence[Array]], list[Array]]
"""Runs a graph: the arrays of its outputs for those of its inputs."""


class Control(Op):
    """Base of the operators that hold graphs."""

    either_sign: ClassVar[bool] = False

    @property
    def graphs(self) -> tuple[Graph, ...]:
        raise NotImplementedError

    def run(
        self, arrays: Sequence[Array], call: Call, max_iterations: int = MAX_ITERATIONS
    ) -> list[Array]:
        """The results, where ``call`` runs the graphs.

        Raises:
            RunError: a loop takes more than ``max_iterations`` turns.
        """
        raise NotImplementedError

    def reference(
        self, arrays: Sequence[Array], inputs: Sequence[TensorType], outputs: Sequence[TensorType]
    ) -> list[Array]:
        return self.run(arrays, evaluate, MAX_ITERATIONS)

    def macs(self, inputs: Sequence[TensorType], outputs: Sequence[TensorType]) -> int:
        """Those of every graph, once."""
        return sum(graph.macs for graph in self.graphs)

    def _check(self, graph: Graph, inputs: Sequence[TensorType], what: str) -> None:
        """Require that ``graph`` takes ``inputs``."""
        self._match([v.type for v in graph.inputs], inputs, f"{what} takes", "it is given")

    def _match(
        self, expected: Sequence[TensorType], found: Sequence[TensorType], what: str, other: str
    ) -> None:
        pairs = [[(t.shape, t.dtype) for t in types] for types in (expected, found)]
        if pairs[0] != pairs[1]:
            texts = [", ".join(map(str, types)) for types in (expected, found)]
            self.require(False, f"{what} ({texts[0]}); {other} ({texts[1]})")

    def _check_test(self, types: Sequence[TensorType], what: str) -> None:
        self.require(
            len(types) == 1 and types[0].dtype is DType.BOOL and types[0].size == 1,
            f"{what} is {', '.join(map(str, types))}; it must be one bool",
        )

    def __str__(self) -> str:
        return f"{self.name}[{', '.join(graph.name for graph in self.graphs)}]"


@dataclass(frozen=True, eq=False, repr=False)
class If(Control):
    """The results of one of two graphs, by the first operand; the others are the graph's."""

    then: Graph
    otherwise: Graph

    name: ClassVar[str] = "IF"

    @property
    def graphs(self) -> tuple[Graph, ...]:
        return self.then, self.otherwise

    def infer(self, inputs: Sequence[TensorType]) -> tuple[TensorType, ...]:
        self._check_test(inputs[:1], "its condition")
        outputs = [tuple(v.type for v in graph.outputs) for graph in self.graphs]
        for graph, what in zip(self.graphs, ("one branch", "the other"), strict=True):
            self._check(graph, inputs[1:], what)
        self._match(outputs[0], outputs[1], "one branch gives", "the other gives")
        return outputs[0]

    def run(
        self, arrays: Sequence[Array], call: Call, max_iterations: int = MAX_ITERATIONS
    ) -> list[Array]:
        return call(self.then if arrays[0].item() else self.otherwise, arrays[1:])


@dataclass(frozen=True, eq=False, repr=False)
class While(Control):
    """The operands after ``body`` replaced them for as long as ``test`` of them is true."""

    test: Graph
    body: Graph

    name: ClassVar[str] = "WHILE"

    @property
    def graphs(self) -> tuple[Graph, ...]:
        return self.test, self.body

    def infer(self, inputs: Sequence[TensorType]) -> tuple[TensorType, ...]:
        self._check(self.test, inputs, "its condition")
        self._check(self.body, inputs, "its body")
        self._check_test([v.type for v in self.test.outputs], "its condition")
        outputs = tuple(v.type for v in self.body.outputs)
        self._match(inputs, outputs, "its body takes", "it gives")
        return outputs

    def run(
        self, arrays: Sequence[Array], call: Call, max_iterations: int = MAX_ITERATIONS
    ) -> list[Array]:
        values = list(arrays)
        for _ in range(max_iterations):
            if not call(self.test, values)[0].item():
                return [np.array(array) for array in values]
            values = call(self.body, values)
        raise RunError(
            f"WHILE: its condition still holds after {max_iterations} turns; "
            "max_iterations of edgewise.compile allows more"
        )


@dataclass(frozen=True, eq=False, repr=False)
class Interpreted(Op):
    """Operators of a file whose shapes only a call can tell; their references run one by one.

    It is the last node of a graph, and nothing but the graph reads its outputs, in whose types an
    unknown dimension is -1.

    Attributes:
        results: types of the outputs.
        operators: names of what it runs, in order.
        evaluate: the outputs' arrays for those of the inputs, at most so many turns of a loop.
    """

    results: tuple[TensorType, ...]
    operators: tuple[str, ...]
    evaluate: Callable[[Sequence[Array], int], list[Array]]

    name: ClassVar[str] = "INTERPRETED"
    either_sign: ClassVar[bool] = False

    def infer(self, inputs: Sequence[TensorType]) -> tuple[TensorType, ...]:
        return self.results

    def reference(
        self, arrays: Sequence[Array], inputs: Sequence[TensorType], outputs: Sequence[TensorType]
    ) -> list[Array]:
        return self.evaluate(arrays, MAX_ITERATIONS)

    def __str__(self) -> str:
        return f"{self.name}[{', '.join(self.operators)}]"


def evaluate(graph: Graph, arrays: Sequence[Array]) -> list[Array]:
    """The outputs of a graph by the references of its nodes."""
    env = dict(zip(graph.inputs, arrays, strict=True))
    for node, results in graph.reference(env):
        env.update(zip(node.outputs, results, strict=True))
    return [v.data if v.data is not None else env[v] for v in graph.outputs]
