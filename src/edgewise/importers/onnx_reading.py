"""Reads the nodes of an ONNX graph into a builder; what only a call can shape waits for it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..dtype import DType
from ..errors import GraphError, ModelError, RunError, UnsupportedError
from ..graph import Array, Value
from .builder import Builder
from .limits import MAX_BODIES, MAX_DEPTH, MAX_OPERATORS, ComputedError
from .onnx_call import Argument, Call
from .onnx_model import Attributes, External, array_of, dense_of, opsets_of
from .onnx_ops import row_of

Scope = dict[str, Argument]
"""What names hold."""


@dataclass
class Session:
    """What the readings of one load share.

    Attributes:
        opsets: the version of each domain that the file imports.
        functions: the file's own functions, by domain, name and overload.
        external: reads the files that hold tensors' data.
        limit: the most turns of a loop that is evaluated.
        most: the most nodes that are read.
        codes: numbers of TensorProto.DataType of inputs and constants: types of few bits are held
            as others.
        main: the builder of the network's own graph, which holds the variables.
    """

    opsets: Mapping[str, int]
    functions: Mapping[tuple[str, str, str], Any]
    external: External
    limit: int = 2**12
    most: float = MAX_OPERATORS
    nodes: int = 0
    depth: int = 0
    bodies: int = 0
    codes: dict[Value, int] = field(default_factory=dict)
    main: Builder | None = None

    def count(self, what: str) -> None:
        """Count a node as read."""
        self.nodes += 1
        if self.nodes > self.most:
            raise UnsupportedError(f"{what}: loops and functions take more than {self.most} nodes")


class Reading:
    """One pass through the nodes of a graph or a function.

    Attributes:
        b: what nodes are added to.
        scope: the values of names; ``outer`` has those of the graph around this one.
        late: nodes that wait for a call; None where they raise `ComputedError`.
    """

    def __init__(
        self,
        session: Session,
        b: Builder,
        scope: Scope,
        outer: Reading | None = None,
        attributes: Mapping[str, Any] | None = None,
        opsets: Mapping[str, int] | None = None,
    ) -> None:
        self.session, self.b, self.scope, self.outer = session, b, scope, outer
        self.attributes = attributes or {}
        self.opsets = opsets or session.opsets
        self.late: list[Any] | None = None
        self.waiting: set[str] = set()

    def lookup(self, name: str) -> Argument:
        """The value of a name, here or in the graphs around.

        Raises:
            ModelError: nothing has that name yet.
        """
        reading: Reading | None = self
        while reading is not None:
            if name in reading.scope:
                return reading.scope[name]
            if name in reading.waiting:
                raise ComputedError(f"{self.b.what}: {name!r} is computed in a call")
            reading = reading.outer
        raise ModelError(f"{self.b.what}: input {name!r} is used before it is computed")

    def initializers(self, graph: Any) -> None:
        """Define the constants of a graph."""
        for tensor in graph.initializer:
            self.scope[tensor.name] = self.tensor(tensor)
        for sparse in graph.sparse_initializer:
            array = dense_of(sparse, self.session.external, f"graph {graph.name!r}")
            self.scope[sparse.values.name] = self.b.constant(array, sparse.values.name)

    def tensor(self, tensor: Any) -> Value:
        """The constant of a TensorProto."""
        value = self.b.constant(array_of(tensor, self.session.external), tensor.name or "constant")
        self.session.codes[value] = tensor.data_type
        return value

    def run(self, nodes: Iterable[Any]) -> None:
        """Read nodes, in order."""
        session, b = self.session, self.b
        if session.depth >= MAX_DEPTH:
            raise ModelError(f"{b.what}: graphs and functions nest more than {MAX_DEPTH} deep")
        session.depth += 1
        try:
            for i, node in enumerate(nodes):
                b.at("node", node.name or f"{node.op_type}_{i}", node.op_type)
                session.count(b.what)
                self._read_or_defer(node)
        finally:
            session.depth -= 1

    def _read_or_defer(self, node: Any) -> None:
        nodes = self.b.nodes
        mark = len(nodes)
        if self.late is not None and not self.waiting.isdisjoint(names_read(node)):
            self._defer(node)
            return
        try:
            self._read(node)
        except ComputedError:
            if self.late is None:
                raise
            del nodes[mark:]
            self._defer(node)

    def inline(self, graph: Any, arguments: Sequence[Argument]) -> list[Argument]:
        """The results of a graph of an attribute, read here for ``arguments``."""
        inner = self._enter(self.b, graph, arguments, self)
        at = self.b.what, self.b.origin
        inner.initializers(graph)
        inner.run(graph.node)
        self.b.what, self.b.origin = at
        return [inner.lookup(output.name) for output in graph.output]

    def body(
        self, graph: Any, b: Builder, arguments: Sequence[Argument], outer: dict[Value, Value]
    ) -> list[Value]:
        """The results of a graph of an attribute, read into a builder of its own.

        ``arguments`` are values there. ``outer`` gains the computed values that it reads of what
        is around it, each with the input of ``b`` that stands for it.
        """
        session = self.session
        session.bodies += 1
        if session.bodies > MAX_BODIES:
            raise UnsupportedError(
                f"{self.b.what}: conditions and loops hold more than {MAX_BODIES} graphs"
            )
        b.what, b.origin = self.b.what, self.b.origin
        inner = self._enter(b, graph, arguments, None)
        for name in dict.fromkeys(free_names(graph)):
            found = self.lookup(name)
            for value in tensors(found):
                if not value.is_constant and value not in outer:
                    outer[value] = b.input(value.name, value.type)
            inner.scope[name] = replaced(found, outer)
        inner.initializers(graph)
        inner.run(graph.node)
        return [inner.result(output.name) for output in graph.output]

    def _enter(
        self, b: Builder, graph: Any, arguments: Sequence[Argument], outer: Reading | None
    ) -> Reading:
        if len(graph.input) != len(arguments):
            raise ModelError(
                f"{self.b.what}: its graph {graph.name!r} takes {len(graph.input)} inputs; it is "
                f"given {len(arguments)}"
            )
        names = [i.name for i in graph.input]
        scope = dict(zip(names, arguments, strict=True))
        return Reading(self.session, b, scope, outer, self.attributes, self.opsets)

    def result(self, name: str) -> Value:
        """The value of an output."""
        value = self.lookup(name)
        if not isinstance(value, Value):
            kind = "an empty optional" if value is None else "a sequence"
            raise UnsupportedError(f"output {name!r} is {kind}; it must be a tensor")
        return value

    def _defer(self, node: Any) -> None:
        assert self.late is not None
        names = [name for name in node.output if name]
        for name in names:
            self._check_new(name)
        self.late.append(node)
        self.waiting.update(names)

    def _check_new(self, name: str) -> None:
        if name in self.scope or name in self.waiting:
            raise ModelError(
                f"{self.b.what}: output {name!r} is already defined; a name is used once"
            )

    def _read(self, node: Any) -> None:
        b, domain = self.b, node.domain if node.domain != "ai.onnx" else ""
        inputs = [self.lookup(name) if name else None for name in node.input]
        attributes = Attributes(node, b.what, self.attributes)
        mark = len(b.nodes)
        function = self.session.functions.get((domain, node.op_type, node.overload))
        if function is not None:
            results = self.call(function, inputs, attributes)
        else:
            if domain not in self.opsets:
                raise ModelError(f"{b.what}: the file imports no version of domain {domain!r}")
            opset = self.opsets[domain]
            row = row_of(domain, node.op_type)
            if row is None:
                where = f"domain {domain!r}, " if domain else ""
                raise UnsupportedError(
                    f"{b.what}: the operator is not supported ({where}opset {opset})"
                )
            least, most = row.inputs
            if not least <= len(inputs) <= most:
                raise ModelError(f"{b.what}: {len(inputs)} inputs; it takes {least} to {most}")
            if not row.quantized:
                inputs = [b.retype(v, None) if isinstance(v, Value) else v for v in inputs]
            call = Call(self, node.op_type, opset, inputs, list(node.output), attributes)
            try:
                found = row.read(call)
            except GraphError as error:
                raise ModelError(f"{b.what}: {error}") from error
            results = [found] if isinstance(found, Value) else list(found)
        self._define(node, results, mark)

    def _define(self, node: Any, results: Sequence[Argument], mark: int) -> None:
        """Make results the values of a node's outputs, under the file's names."""
        b = self.b
        pairs = [(n, v) for n, v in zip(node.output, results, strict=False) if n]
        given = sum(bool(n) for n in node.output[len(results) :])
        if given:
            raise ModelError(f"{b.what}: {len(node.output)} outputs; it has {len(results)}")
        names: dict[Value, str] = {}
        for name, value in pairs:
            self._check_new(name)
            if isinstance(value, Value):
                names.setdefault(value, name)
        renamed = b.rename(names, mark)
        for name, value in pairs:
            self.scope[name] = replaced(value, renamed)

    def call(
        self, function: Any, inputs: Sequence[Argument], attributes: Attributes
    ) -> list[Argument]:
        """The results of a function of the file, read in place of its node."""
        if len(inputs) > len(function.input):
            raise ModelError(
                f"{self.b.what}: {len(inputs)} inputs; its function takes {len(function.input)}"
            )
        given = [*inputs, *[None] * (len(function.input) - len(inputs))]
        messages = {a.name: a for a in function.attribute_proto} | dict(attributes.messages)
        opsets = opsets_of(function)
        scope: Scope = dict(zip(function.input, given, strict=True))
        inner = Reading(self.session, self.b, scope, None, messages, opsets)
        at = self.b.what, self.b.origin
        inner.run(function.node)
        self.b.what, self.b.origin = at
        return [inner.lookup(name) for name in function.output]


@dataclass
class Region:
    """Nodes that are read again in every call, when all that they need is known.

    Attributes:
        outputs: the types that the file declares, by name; a dimension may be -1. The shape is
            None where it declares none.
    """

    reading: Reading
    nodes: Sequence[Any]
    outputs: Mapping[str, tuple[tuple[int, ...] | None, DType]]
    known: Scope = field(default_factory=dict)
    inputs: list[Value] = field(default_factory=list)

    def __post_init__(self) -> None:
        computed = {name for node in self.nodes for name in node.output}
        for name in dict.fromkeys(n for node in self.nodes for n in names_read(node)):
            if name not in computed:
                self.known[name] = self.reading.lookup(name)
        values = (v for found in self.known.values() for v in tensors(found) if not v.is_constant)
        self.inputs = list(dict.fromkeys(values))

    def evaluate(self, arrays: Sequence[Array], limit: int) -> list[Array]:
        """The results for the inputs' arrays.

        Raises:
            RunError: a node cannot take what was computed, or a loop does not end.
        """
        b = Builder(eager=True)
        given = {
            v: b.constant(array, v.name, v.type.quant)
            for v, array in zip(self.inputs, arrays, strict=True)
        }
        outer = self.reading.session
        session = Session(outer.opsets, outer.functions, outer.external, limit, math.inf)
        scope = {name: replaced(value, given) for name, value in self.known.items()}
        reading = Reading(session, b, scope)
        try:
            reading.run(self.nodes)
            return [self._checked(name, reading.result(name)) for name in self.outputs]
        except ModelError as error:
            raise RunError(f"{error}") from error

    def _checked(self, name: str, value: Value) -> Array:
        """The elements of an output, which is what the file declares."""
        shape, dtype = self.outputs[name]
        if value.type.dtype is not dtype or (
            shape is not None and len(shape) != len(value.type.shape)
        ):
            declared = f"{dtype}{'' if shape is None else list(shape)}"
            raise RunError(f"output {name!r} is {value.type}; the file declares {declared}")
        assert value.data is not None
        return value.data


def tensors(argument: Argument) -> tuple[Value, ...]:
    """The tensors of an argument."""
    if argument is None:
        return ()
    return argument if isinstance(argument, tuple) else (argument,)


def replaced(argument: Argument, others: Mapping[Value, Value]) -> Argument:
    """An argument with others in place of its tensors."""
    if isinstance(argument, tuple):
        return tuple(others.get(v, v) for v in argument)
    return None if argument is None else others.get(argument, argument)


def names_read(node: Any) -> Iterator[str]:
    """The names that a node reads, those that its graphs read of what is around them too."""
    yield from (name for name in node.input if name)
    for attribute in node.attribute:
        for graph in (*([attribute.g] if attribute.HasField("g") else ()), *attribute.graphs):
            yield from free_names(graph)


def free_names(graph: Any) -> Iterator[str]:
    """The names that a graph reads and does not define."""
    own = {i.name for i in graph.input} | {t.name for t in graph.initializer}
    own |= {t.values.name for t in graph.sparse_initializer}
    for node in graph.node:
        yield from (name for name in names_read(node) if name not in own)
        own.update(node.output)
    yield from (o.name for o in graph.output if o.name not in own)
