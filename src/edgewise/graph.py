"""The graph: values, nodes, their verification and their text form.

All classes are frozen. A pass builds a new graph; it never changes one. A ``Value`` is compared
by identity: two values of the same name and type are different tensors.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from operator import index
from typing import TYPE_CHECKING, Any, NamedTuple, SupportsIndex, TypeAlias

import numpy as np
import numpy.typing as npt

from .dtype import DType, QParams
from .errors import GraphError, InputError, RunError

if TYPE_CHECKING:
    from .ops import Op

Array = npt.NDArray[Any]
Shapes: TypeAlias = "Mapping[str, tuple[int, ...]]"
"""Shapes of inputs by name."""

Reader: TypeAlias = "Callable[[Shapes], Graph]"
"""Reads a graph again, for other shapes."""


@dataclass(frozen=True)
class TensorType:
    """Shape (NHWC for images), element type and, for quantized tensors, the parameters."""

    shape: tuple[int, ...]
    dtype: DType
    quant: QParams | None = None

    @property
    def size(self) -> int:
        """Number of elements."""
        return int(np.prod(self.shape, dtype=np.int64))

    @property
    def nbytes(self) -> int:
        return self.size * self.dtype.itemsize

    def __str__(self) -> str:
        dims = "x".join(map(str, self.shape)) or "scalar"
        return f"{self.dtype}[{dims}]" + (f" {{{self.quant}}}" if self.quant else "")


@dataclass(frozen=True, eq=False)
class Value:
    """A tensor of the graph. ``data`` is set for constants, and is read-only."""

    name: str
    type: TensorType
    data: Array | None = None

    def __post_init__(self) -> None:
        if self.data is None:
            return
        if self.data.shape != self.type.shape or self.data.dtype != self.type.dtype.numpy:
            raise GraphError(
                f"value {self.name!r}: data is {self.data.dtype}{list(self.data.shape)}, "
                f"its type says {self.type}"
            )

    @classmethod
    def constant(cls, name: str, data: Array, quant: QParams | None = None) -> Value:
        """A constant of an array's shape and element type; the array becomes read-only.

        Raises:
            ValueError: its type is no `DType`.
        """
        data.setflags(write=False)
        return cls(name, TensorType(data.shape, DType.of(data), quant), data)

    @property
    def is_constant(self) -> bool:
        return self.data is not None


@dataclass(frozen=True, eq=False)
class Node:
    """One operator applied to values. ``origin`` is the source file's name for it."""

    op: Op
    inputs: tuple[Value, ...]
    outputs: tuple[Value, ...]
    origin: str = ""

    @property
    def input_types(self) -> tuple[TensorType, ...]:
        return tuple(v.type for v in self.inputs)

    @property
    def output_types(self) -> tuple[TensorType, ...]:
        return tuple(v.type for v in self.outputs)

    @property
    def macs(self) -> int:
        """Multiply-adds of one execution."""
        return self.op.macs(self.input_types, self.output_types)

    def reference(self, arrays: Sequence[Array]) -> list[Array]:
        """The operator's reference; overflow and NaN are results as others are.

        Raises:
            RunError: naming this node, where a value breaks the operator's rule.
        """
        try:
            with np.errstate(all="ignore"):
                return self.op.reference(arrays, self.input_types, self.output_types)
        except RunError as error:
            if not self.origin or repr(self.origin) in str(error):
                raise
            raise RunError(f"{error}; node {self.origin!r}") from error

    def __str__(self) -> str:
        outs = ", ".join(f"%{v.name}" for v in self.outputs)
        ins = ", ".join(f"{'@' if v.is_constant else '%'}{v.name}" for v in self.inputs)
        types = ", ".join(str(v.type) for v in self.outputs)
        return f"{outs} = {self.op}({ins}) : {types}"


@dataclass(frozen=True, eq=False)
class State:
    """A tensor that is kept between calls: a call reads what the call before it left.

    Attributes:
        before: its value when a call starts; defined as an input is.
        after: its value when the call ends, computed, constant, or ``before`` itself.
        initial: ``before`` of the first call, and of the first after a reset.
    """

    before: Value
    after: Value
    initial: Array

    def __post_init__(self) -> None:
        found = (self.initial.shape, self.initial.dtype)
        if found != (self.before.type.shape, self.before.type.dtype.numpy):
            raise GraphError(
                f"state {self.before.name!r}: its initial value is "
                f"{self.initial.dtype}{list(self.initial.shape)}, its type {self.before.type}"
            )


@dataclass(frozen=True, eq=False)
class Graph:
    """A network: nodes in topological order between its inputs and outputs.

    ``states`` are the variables, which outlive a call. A pass may change what computes them, as
    it may for ``outputs``; ``sources`` and ``results`` name both alike.

    ``metadata`` holds what a file says about itself: ``description``, ``labels`` (a list of
    class names, one an output class), ``input_normalization`` and the like. ``open`` holds the
    shapes, by name, of the inputs that take others too, with -1 for each free dimension.

    ``digest`` identifies the content of the file that the graph was read from, and the signature
    and the shapes chosen: graphs of one digest are equal. A graph made in any other way, by
    ``dataclasses.replace`` too, has none, and cannot be ``resized`` unless it is ``resized_by``.
    """

    inputs: tuple[Value, ...]
    outputs: tuple[Value, ...]
    nodes: tuple[Node, ...]
    name: str = "graph"
    metadata: Mapping[str, Any] = field(default_factory=dict)
    states: tuple[State, ...] = ()
    open: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    digest: str | None = field(default=None, init=False, repr=False)
    _again: Reader | None = field(default=None, init=False, repr=False)

    @property
    def sources(self) -> tuple[Value, ...]:
        """What is there before the first node: the inputs, then the states."""
        return (*self.inputs, *(state.before for state in self.states))

    @property
    def results(self) -> tuple[Value, ...]:
        """What the nodes are there for: the outputs, then what the states become."""
        return (*self.outputs, *(state.after for state in self.states))

    @property
    def constants(self) -> tuple[Value, ...]:
        """Every constant used, once each, in order of first use."""
        used = (v for node in self.nodes for v in node.inputs if v.is_constant)
        return tuple(dict.fromkeys(used))

    @property
    def macs(self) -> int:
        return sum(node.macs for node in self.nodes)

    def users(self) -> dict[Value, list[Node]]:
        """The nodes that read each value, in order."""
        users: dict[Value, list[Node]] = {}
        for node in self.nodes:
            for value in dict.fromkeys(node.inputs):
                users.setdefault(value, []).append(node)
        return users

    def producers(self) -> dict[Value, Node]:
        """The node that computes each value."""
        return {value: node for node in self.nodes for value in node.outputs}

    def with_nodes(self, nodes: Sequence[Node], outputs: Sequence[Value] | None = None) -> Graph:
        """This graph with other nodes, and other outputs where given."""
        outs = self.outputs if outputs is None else tuple(outputs)
        return replace(self, nodes=tuple(nodes), outputs=outs)

    def reference(self, inputs: Mapping[Value, Array]) -> Iterator[tuple[Node, list[Array]]]:
        """Run the numpy reference of every node in order, yielding each node's results."""
        env: dict[Value, Array] = dict(inputs)
        for node in self.nodes:
            arrays = [v.data if v.data is not None else env[v] for v in node.inputs]
            results = node.reference(arrays)
            env.update(zip(node.outputs, results, strict=True))
            yield node, results

    def read_from(self, digest: str, again: Reader | None = None) -> Graph:
        """This graph with the digest (see ``digest_of``) of the content that determines it.

        ``again`` reads it for other shapes of its inputs.
        """
        graph = replace(self)
        graph.__dict__.update(digest=digest, _again=again)
        return graph

    def resized_by(self, again: Reader) -> Graph:
        """This graph, which ``again`` makes for other shapes of its inputs."""
        graph = replace(self)
        graph.__dict__.update(_again=again)
        return graph

    @property
    def outline(self) -> Outline:
        """What may be known of it before it is read."""
        return Outline(self.inputs, self.outputs, self.states, self.open)

    @property
    def can_be_resized(self) -> bool:
        """Whether it is known how to read or make the graph for other shapes."""
        return self._again is not None

    def resized(self, shapes: Shapes) -> Graph:
        """This network for inputs of other shapes, by name; inputs that are not named keep theirs.

        Raises:
            InputError: the graph was made by passes or by hand, has no such input, or cannot take
                the shapes.
        """
        if self._again is None:
            raise InputError(f"graph {self.name!r}: only a graph as loaded can be resized")
        kept = {v.name: v.type.shape for v in self.inputs}
        return self._again({**kept, **shapes})

    def __str__(self) -> str:
        lines = [f"graph {self.name} {{"]
        lines += [f"  input %{v.name} : {v.type}" for v in self.inputs]
        lines += [f"  state %{s.before.name} : {s.before.type}" for s in self.states]
        lines += [f"  const @{v.name} : {v.type}" for v in self.constants]
        lines += [f"  {node}" for node in self.nodes]
        lines += [f"  state %{s.before.name} <- %{s.after.name}" for s in self.states]
        lines += ["  return " + ", ".join(f"%{v.name}" for v in self.outputs), "}"]
        return "\n".join(lines)


class Outline(NamedTuple):
    """What running a compiled graph takes besides its code; the fields are those of ``Graph``."""

    inputs: tuple[Value, ...]
    outputs: tuple[Value, ...]
    states: tuple[State, ...]
    open: Mapping[str, tuple[int, ...]]


_LATE = threading.RLock()
"""Held while a file is read, so that no two threads read it, each with values of its own."""


class LateGraph(Graph):
    """The graph of a file that was read before: what is no part of its outline is read when it is
    asked for, and then refers to the values of the outline.
    """

    _read: Callable[[], Graph]

    @classmethod
    def of(
        cls, outline: Outline, digest: str, read: Callable[[], Graph], again: Reader
    ) -> LateGraph:
        """The graph with this outline that ``read`` gives; the rest is as in `Graph.read_from`."""
        graph = cls.__new__(cls)
        graph.__dict__.update(outline._asdict(), digest=digest, _read=read, _again=again)
        return graph

    @property
    def _whole(self) -> Graph:
        with _LATE:
            if "_found" not in self.__dict__:
                self.__dict__["_found"] = self._read()
            found: Graph = self.__dict__["_found"]
        return found

    @cached_property
    def name(self) -> str:
        return self._whole.name

    @cached_property
    def metadata(self) -> Mapping[str, Any]:
        return self._whole.metadata

    @cached_property
    def nodes(self) -> tuple[Node, ...]:
        whole = self._whole
        ends = zip((*whole.sources, *whole.results), (*self.sources, *self.results), strict=True)
        known = dict(ends)

        def same(values: tuple[Value, ...]) -> tuple[Value, ...]:
            return tuple(known.get(value, value) for value in values)

        return tuple(
            replace(node, inputs=same(node.inputs), outputs=same(node.outputs))
            for node in whole.nodes
        )


def digest_of(*content: str | bytes) -> str:
    """A name for what ``content`` alone determines; no two lists of parts share one."""
    digest = hashlib.sha256()
    for part in content:
        data = part.encode() if isinstance(part, str) else part
        digest.update(len(data).to_bytes(8, "little"))
        digest.update(data)
    return digest.hexdigest()


def checked_shapes(shapes: Mapping[str, Iterable[SupportsIndex]]) -> dict[str, tuple[int, ...]]:
    """Shapes of a caller, by name, as tuples of whole numbers.

    Raises:
        InputError: one is something else.
    """
    found: dict[str, tuple[int, ...]] = {}
    for name, shape in shapes.items():
        try:
            found[name] = tuple(map(index, shape))
        except TypeError:
            raise InputError(
                f"input {name!r}: shape {shape!r}; it must be whole numbers, one a dimension"
            ) from None
    return found


def verify(graph: Graph, known: Container[Node] = ()) -> None:
    """Check the graph's invariants.

    Every value is defined once and before its use; constants are not computed; every node's
    declared output types agree in shape and dtype with its operator's inference; names of
    computed values are unique. Nodes in ``known`` are spared the inference: they were verified
    before, in another graph.

    Raises:
        GraphError: naming the node or value and the invariant it breaks.
    """
    defined: set[Value] = set()
    names: set[str] = set()

    def define(value: Value, where: str) -> None:
        if value.is_constant or value in defined:
            raise GraphError(f"{where}: {value.name!r} is already defined")
        if value.name in names:
            raise GraphError(f"{where}: two values are named {value.name!r}")
        names.add(value.name)
        defined.add(value)

    for value in graph.sources:
        define(value, "graph inputs and states")
    for node in graph.nodes:
        where = f"node {node.op.name} {node.origin!r}"
        for value in node.inputs:
            if not value.is_constant and value not in defined:
                raise GraphError(f"{where}: input {value.name!r} is used before its definition")
        inferred = node.output_types if node in known else node.op.infer(node.input_types)
        if len(inferred) != len(node.outputs):
            raise GraphError(f"{where}: {len(node.outputs)} outputs, {len(inferred)} inferred")
        for value, expected in zip(node.outputs, inferred, strict=True):
            found = value.type
            if (found.shape, found.dtype) != (expected.shape, expected.dtype):
                raise GraphError(
                    f"{where}: output {value.name!r} is {found.dtype}{list(found.shape)}, "
                    f"inferred {expected.dtype}{list(expected.shape)}"
                )
            define(value, where)
    for value in graph.results:
        if not value.is_constant and value not in defined:
            raise GraphError(f"graph output {value.name!r} is never defined")
    for state in graph.states:
        before, after = state.before.type, state.after.type
        if (before.shape, before.dtype) != (after.shape, after.dtype):
            raise GraphError(
                f"state {state.before.name!r} is {before}, and becomes {after}; it keeps its type"
            )
