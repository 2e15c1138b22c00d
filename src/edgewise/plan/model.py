"""What a plan is made of: buffers of the arena, views into them, steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from ..aligned import ALIGN, aligned
from ..graph import Node, TensorType, Value
from ..kernels.ir import Type
from ..kernels.views import SLACK
from ..ops import Control
from .choices import Choice

Params: TypeAlias = "dict[str, int | float | Address]"
"""Values of a kernel's fields."""


class Variant(Protocol):
    """A kernel: see ``edgewise.kernels``."""

    @property
    def symbol(self) -> str: ...

    @property
    def fields(self) -> Mapping[str, Type]: ...

    def build(self) -> str: ...


@dataclass(frozen=True, eq=False)
class Buffer:
    """A piece of the arena."""

    name: str
    nbytes: int


CONSTANTS = Buffer("constants", 0)


@dataclass(frozen=True)
class Address:
    """A place in a buffer of the arena, or in the constants."""

    buffer: Buffer
    offset: int

    def __add__(self, nbytes: int) -> Address:
        return Address(self.buffer, self.offset + nbytes)


@dataclass(frozen=True)
class View:
    """Where a tensor lies: the address of its first element and the strides in bytes."""

    address: Address
    type: TensorType
    strides: tuple[int, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        return self.type.shape

    @property
    def contiguous(self) -> bool:
        return self.strides == packed_strides(self.shape, self.type.dtype.itemsize)

    @property
    def extent(self) -> tuple[int, int]:
        """Offsets in the buffer of the lowest byte and just past the highest one."""
        first = last = self.address.offset
        if 0 in self.shape:
            return first, last
        for n, stride in zip(self.shape, self.strides, strict=True):
            if stride < 0:
                first += (n - 1) * stride
            else:
                last += (n - 1) * stride
        return first, last + self.type.dtype.itemsize


def packed_strides(shape: Sequence[int], itemsize: int) -> tuple[int, ...]:
    """Strides in bytes of a C-contiguous tensor."""
    strides = [itemsize]
    for n in reversed(shape[1:]):
        strides.append(strides[-1] * n)
    return tuple(reversed(strides)) if shape else ()


@dataclass(frozen=True, eq=False)
class Step:
    """One kernel on one range of work units.

    Attributes:
        params: the kernel's fields.
        chunk: the least units that a thread takes at a time.
        seconds: how long it is expected to take on one thread.
        reads, writes: what it reads, padding included, and what it writes.
        barrier: whether the next step must wait for all units of this one.
        parts: the steps that ``kernel`` runs over bands of rows (see ``plan.bands``).
    """

    node: int
    kernel: Variant
    params: Mapping[str, int | float | Address]
    units: int
    chunk: int
    reads: tuple[View, ...]
    writes: tuple[View, ...]
    barrier: bool = True
    parts: tuple[Step, ...] = ()
    seconds: float = 0.0

    @property
    def views(self) -> tuple[View, ...]:
        return (*self.reads, *self.writes)

    @property
    def nodes(self) -> tuple[int, ...]:
        """All nodes that it computes, ``node`` being the last."""
        return tuple(part.node for part in self.parts) or (self.node,)


@dataclass(frozen=True, eq=False)
class HostStep:
    """An operator without a kernel: its numpy reference runs it; IF and WHILE, their graphs."""

    node: int
    inputs: tuple[View | npt.NDArray[np.generic], ...]
    outputs: tuple[View, ...]
    reason: str = "it has no kernel"

    @property
    def views(self) -> tuple[View, ...]:
        """The operands that are no constants."""
        return (*(v for v in self.inputs if isinstance(v, View)), *self.outputs)


@dataclass(frozen=True, eq=False)
class Plan:
    """How a graph runs.

    Attributes:
        nodes: the graph's nodes, to which ``Step.node`` refers.
        offsets: where each buffer lies in the arena.
        arena_bytes: size of the arena, the peak of memory for activations and scratch.
        constants: packed weights and tables, one array of bytes.
        broken: the byte that a kernel sets to 1 where a value breaks its operator's rule, which
            the node's reference then tells; None where no value can.
        inputs, outputs: the graph's sources and results (states last), with the views that
            arrays are copied to and from; a constant output has its array.
        views: where each computed value lies.
        choices: the kernel variants that were chosen, in order of their steps.
        kept: what a call leaves to the next, or finds as the caller left it: states, ``broken``.
    """

    nodes: tuple[Node, ...]
    steps: tuple[Step | HostStep, ...]
    offsets: Mapping[Buffer, int]
    arena_bytes: int
    constants: npt.NDArray[np.uint8]
    inputs: tuple[tuple[Value, View], ...]
    outputs: tuple[tuple[Value, View | npt.NDArray[np.generic]], ...]
    lifetimes: Mapping[Buffer, tuple[int, int]] = field(default_factory=dict)
    broken: View | None = None
    views: Mapping[Value, View] = field(default_factory=dict)
    choices: Sequence[Choice] = ()
    kept: tuple[View, ...] = ()

    @property
    def constant_bytes(self) -> int:
        return self.constants.nbytes

    @property
    def kernels(self) -> dict[str, Variant]:
        """Every kernel used, by symbol, in order of first use."""
        steps = (s for s in self.steps if isinstance(s, Step))
        return {s.kernel.symbol: s.kernel for step in steps for s in (*step.parts, step)}

    @property
    def fallbacks(self) -> tuple[Node, ...]:
        """The nodes that run through their numpy reference."""
        nodes = (self.nodes[s.node] for s in self.steps if isinstance(s, HostStep))
        return tuple(node for node in nodes if not isinstance(node.op, Control))


@dataclass
class Constants:
    """Packed arrays, laid out one after another."""

    arrays: list[npt.NDArray[np.uint8]] = field(default_factory=list)
    size: int = 0
    _known: dict[bytes | tuple[int, int], Address] = field(default_factory=dict)

    def add(self, array: npt.NDArray[np.generic]) -> Address:
        """Place ``array``'s bytes at an aligned address.

        Small equal arrays are kept once, and so is what lies in the same memory.
        """
        data = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
        key = data.tobytes() if data.nbytes <= 4096 else (data.ctypes.data, data.nbytes)
        if key in self._known:
            return self._known[key]
        address = Address(CONSTANTS, self.size)
        self.arrays.append(data)
        self.size = align(self.size + data.nbytes)
        self._known[key] = address
        return address

    def join(self) -> npt.NDArray[np.uint8]:
        """All of them as kernels take them, read-only; each array is let go once it is copied."""
        out = aligned(self.size + SLACK)
        at = 0
        self._known.clear()
        self.arrays.reverse()
        while self.arrays:
            data = self.arrays.pop()
            out[at : at + data.nbytes] = data
            at = align(at + data.nbytes)
        out.flags.writeable = False
        return out


def align(nbytes: int) -> int:
    return -(-nbytes // ALIGN) * ALIGN
