"""A heavy operator and what runs in its epilogue, as one operator."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, TypeVar

from ..graph import Array, TensorType
from .base import Op
from .unary import Unary

T = TypeVar("T")


@dataclass(frozen=True)
class Stage:
    """One step of an epilogue.

    Attributes:
        op: the operator of this step; it has one output.
        type: the type of the value that it receives from the step before.
        operand: where that value stands among the operator's inputs.
    """

    op: Op
    type: TensorType
    operand: int = 0

    @property
    def others(self) -> int:
        """How many more inputs the operator reads: none for one-input operators, else one."""
        return 0 if isinstance(self.op, Unary) else 1

    def operands(self, previous: T, others: Sequence[T]) -> list[T]:
        """All inputs of the operator in its own order."""
        return [*others[: self.operand], previous, *others[self.operand :]]

    def __str__(self) -> str:
        return f"{self.op}@{self.operand}" if self.others else str(self.op)


@dataclass(frozen=True, eq=False, repr=False)
class Fused(Op):
    """``head``, then each stage of ``tail`` on the result of the step before.

    The inputs are those of the head, then the other inputs of each stage, in order. The result
    is exactly that of the operators one after another: every stage rounds and clamps to its
    declared type as if it ran alone. ``passes/fuse_epilogue.py`` lists the pairs that exist.
    """

    head: Op
    tail: tuple[Stage, ...]

    name: ClassVar[str] = "FUSED"

    @property
    def others(self) -> int:
        """How many of the inputs belong to the tail; they come last."""
        return sum(stage.others for stage in self.tail)

    def head_inputs(self, inputs: Sequence[T]) -> list[T]:
        """Those of ``inputs`` (values, types or arrays) that the head reads."""
        return list(inputs[: len(inputs) - self.others])

    def tail_inputs(self, inputs: Sequence[T]) -> list[list[T]]:
        """Those of ``inputs`` that each stage reads beside the value it receives."""
        start, parts = len(inputs) - self.others, []
        for stage in self.tail:
            parts.append(list(inputs[start : start + stage.others]))
            start += stage.others
        return parts

    def infer(self, inputs: Sequence[TensorType]) -> tuple[TensorType, ...]:
        self.require(bool(self.tail), "the tail is empty; without one the head stands alone")
        self.require(
            len(inputs) > self.others, f"{len(inputs)} inputs, {self.others} of them for the tail"
        )
        types = self.head.infer(self.head_inputs(inputs))
        for stage, others in zip(self.tail, self.tail_inputs(inputs), strict=True):
            (found,) = types
            self.require(
                (found.shape, found.dtype) == (stage.type.shape, stage.type.dtype),
                f"{stage.op.name} expects {stage.type} from the step before, which gives {found}",
            )
            types = stage.op.infer(stage.operands(stage.type, others))
        return types

    def reference(
        self, arrays: Sequence[Array], inputs: Sequence[TensorType], outputs: Sequence[TensorType]
    ) -> list[Array]:
        types = [stage.type for stage in self.tail]
        results = self.head.reference(self.head_inputs(arrays), self.head_inputs(inputs), types[:1])
        steps = zip(
            self.tail,
            self.tail_inputs(arrays),
            self.tail_inputs(inputs),
            [*types[1:], outputs[0]],
            strict=True,
        )
        for stage, other_arrays, other_types, result_type in steps:
            results = stage.op.reference(
                stage.operands(results[0], other_arrays),
                stage.operands(stage.type, other_types),
                [result_type],
            )
        return results

    def macs(self, inputs: Sequence[TensorType], outputs: Sequence[TensorType]) -> int:
        total = self.head.macs(self.head_inputs(inputs), [self.tail[0].type])
        for stage, others, result in zip(
            self.tail,
            self.tail_inputs(inputs),
            [*(stage.type for stage in self.tail[1:]), outputs[0]],
            strict=True,
        ):
            total += stage.op.macs(stage.operands(stage.type, others), [result])
        return total

    def __str__(self) -> str:
        return " + ".join(map(str, (self.head, *self.tail)))
