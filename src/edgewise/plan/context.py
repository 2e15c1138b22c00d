"""What lowering an operator needs at hand, and emits into."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from ..dtype import DType
from ..graph import Node, TensorType, Value
from ..kernels.ir import Type, f32, i8, i16, i32, i64, u8, u16, u32, u64
from ..kernels.isa import Isa
from ..ops import Activation
from .choices import UNTUNED, Choice, Tuning, V, Way, cheapest, fastest
from .model import (
    Address,
    Buffer,
    Constants,
    HostStep,
    Params,
    Step,
    Variant,
    View,
    packed_strides,
)

CHUNK_SECONDS = 1.5e-6
"""The least work of a step that is worth handing to a thread (docs/threads.md)."""

MAX_CHUNKS = 16

ELEMENTS: Mapping[DType, Type] = {
    DType.BOOL: u8,
    DType.FLOAT32: f32,
    DType.INT8: i8,
    DType.INT16: i16,
    DType.INT32: i32,
    DType.INT64: i64,
    DType.UINT8: u8,
    DType.UINT16: u16,
    DType.UINT32: u32,
    DType.UINT64: u64,
}
"""The type as kernels know it of what they compute with."""


class NoKernelError(Exception):
    """This node has no kernel on this instruction set; its numpy reference runs instead."""


@dataclass
class Context:
    """State of lowering one graph, node by node.

    Attributes:
        views: the layout of every computed value.
        index: the node being lowered.
        precision: "bf16" where products of float32 may take bfloat16 operands.
        broken: the plan's byte of that name.
        tuning: what was measured of the variants to choose from.
        choices: those made so far.
        emitted: told of the kernel of every step.
    """

    isa: Isa
    views: Mapping[Value, View]
    constants: Constants = field(default_factory=Constants)
    steps: list[Step | HostStep] = field(default_factory=list)
    index: int = 0
    precision: str | None = None
    broken: View | None = None
    tuning: Tuning = UNTUNED
    choices: list[Choice] = field(default_factory=list)
    emitted: Callable[[Variant], None] | None = None

    @property
    def activation(self) -> DType:
        """The 8-bit type that this instruction set's kernels take."""
        return DType.UINT8 if self.isa.activation.kind == "u" else DType.INT8

    def view(self, value: Value) -> View:
        """Where a value lies; a constant is placed among the constants."""
        if value.data is not None:
            return replace(self.constant(value.data), type=value.type)
        return self.views[value]

    def constant(self, data: npt.NDArray[np.generic]) -> View:
        """An array, placed among the constants."""
        t = TensorType(data.shape, DType.of(data))
        return View(self.constants.add(data), t, packed_strides(t.shape, t.dtype.itemsize))

    def scratch(self, name: str, shape: tuple[int, ...], dtype: DType) -> View:
        """A packed tensor that lives within this node."""
        type_ = TensorType(shape, dtype)
        buffer = Buffer(name, type_.nbytes)
        return View(Address(buffer, 0), type_, packed_strides(shape, dtype.itemsize))

    def breaking(self) -> View:
        """``broken``, made where there is none yet."""
        if self.broken is None:
            self.broken = self.scratch("broken", (1,), DType.UINT8)
        return self.broken

    def choose(
        self,
        problem: str,
        candidates: Iterable[tuple[V, float]],
        others: Iterable[tuple[V, float]] = (),
    ) -> tuple[V, float]:
        """`choices.Choose`: by what was measured, else by the cost model."""
        usual = list(candidates)
        every = {v.symbol: (v, seconds) for v, seconds in (*usual, *others)}
        measured = self.tuning.measured.get(problem, {})
        found = fastest(measured, (v for v, _ in every.values()))
        best, seconds = found or cheapest(problem, usual)
        estimates = {symbol: estimate for symbol, (_, estimate) in every.items()}
        step, tuned = len(self.steps), found is not None
        whole = any(isinstance(v, Way) for v, _ in usual)
        self.choices.append(Choice(self.index, step, problem, estimates, best.symbol, tuned, whole))
        return best, seconds

    def emit(
        self,
        kernel: Variant,
        params: Mapping[str, int | float | Address],
        units: int,
        *,
        seconds: float,
        reads: tuple[View, ...],
        writes: tuple[View, ...],
        barrier: bool = True,
    ) -> None:
        """Add a step of ``units`` work units that takes about ``seconds`` on one thread."""
        missing = set(kernel.fields) - set(params)
        if missing:
            raise ValueError(f"{kernel.symbol}: no value for {sorted(missing)}")
        if self.emitted is not None:
            self.emitted(kernel)
        chunk = units * min(CHUNK_SECONDS / max(seconds, CHUNK_SECONDS), 1.0)
        self.steps.append(
            Step(
                self.index,
                kernel,
                {name: params[name] for name in kernel.fields},
                units,
                max(1, math.ceil(chunk)),
                reads,
                writes,
                barrier,
                seconds=seconds,
            )
        )

    def together(self, first: int) -> None:
        """The steps from number ``first`` on write disjoint bytes; one barrier ends them."""
        for i in range(first, len(self.steps) - 1):
            step = self.steps[i]
            if isinstance(step, Step):
                self.steps[i] = replace(step, barrier=False)

    def require(self, condition: bool) -> None:
        """Raise NoKernelError unless ``condition``."""
        if not condition:
            raise NoKernelError

    def activations(self, *types: TensorType) -> None:
        """Require 8-bit tensors of the type that the kernels take, quantized per tensor."""
        for t in types:
            self.require(t.dtype is self.activation and t.quant is not None)


def chunk_count(seconds: float) -> int:
    """Into how many chunks a step that takes ``seconds`` is worth dividing."""
    return max(1, min(int(seconds / CHUNK_SECONDS), MAX_CHUNKS))


def constant(value: Value) -> npt.NDArray[np.generic]:
    """The data of a constant operand. Raises NoKernelError for a computed one."""
    if value.data is None:
        raise NoKernelError
    return value.data


def node_seconds(node: Node, per_byte: float = 0.1e-9) -> float:
    """A rough time for nodes that move bytes rather than multiply."""
    moved = sum(t.nbytes for t in (*node.input_types, *node.output_types))
    return moved * per_byte


def real_bounds(activation: Activation) -> Params:
    """The fields ``lo`` and ``hi`` of kernels that clamp real numbers."""
    low, high = activation.value
    return {"lo": -math.inf if low is None else low, "hi": math.inf if high is None else high}
