"""Graphs as .tflite files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from ..errors import UnsupportedError
from ..graph import Array, Graph, Node, State, TensorType, Value
from ..importers.evaluate import zeros
from ..importers.tflite_metadata import FileMetadata
from ..ops import Control
from .tflite_call import Body, Written
from .tflite_file import File, Operator, Signature, Subgraph, Tensor
from .tflite_metadata import entries
from .tflite_ops import write_operator
from .tflite_versions import Signed, version

SIGNATURE = "serving_default"
"""The name of a network that its own file gives none."""


def to_file(graph: Graph) -> File:
    """The file of a graph whose operators are TensorFlow Lite's; see ``legalize``.

    Variables that one operator keeps are its own; others are READ_VARIABLE when a call starts and
    ASSIGN_VARIABLE when it ends, and CALL_ONCE gives them their first values.

    Raises:
        UnsupportedError: listing every operator that TensorFlow Lite lacks, or a file cannot have.
    """
    kept = kept_states(graph)
    file = _Writer(graph, kept, _written(graph, kept)).file
    file.description = str(graph.metadata.get("description", ""))
    file.metadata = entries(graph)
    return file


def kept_states(graph: Graph) -> dict[State, list[Value]]:
    """The states that are operators' own variables, with the values that each takes in a call."""
    return {state: versions for state in graph.states if (versions := _versions(graph, state))}


def _written(graph: Graph, kept: dict[State, list[Value]]) -> dict[Node, Written]:
    """What each node is in the file, those of graphs that nodes hold too."""
    known = {value for versions in kept.values() for value in versions}
    written: dict[Node, Written] = {}
    problems: dict[tuple[str, str], list[Node]] = {}
    for node in _all_nodes(graph):
        try:
            written[node] = write_operator(node)
            if any(node.inputs[i] not in known for i in node.op.state_operands):
                raise UnsupportedError(
                    "its state must be a variable of its own, 0 before the first call"
                )
        except UnsupportedError as error:
            problems.setdefault((node.op.name, str(error)), []).append(node)
    if problems:
        raise UnsupportedError(f"{_described(problems)}")
    return written


def _described(problems: dict[tuple[str, str], list[Node]]) -> str:
    count = sum(map(len, problems.values()))
    kinds = []
    for (name, reason), nodes in problems.items():
        more = f" and {len(nodes) - 1} more" if len(nodes) > 1 else ""
        kinds.append(f"{name} {nodes[0].origin or nodes[0].outputs[0].name!r}{more}: {reason}")
    return f"{count} of the graph's nodes cannot be in a .tflite file: {'; '.join(kinds)}"


def _all_nodes(graph: Graph) -> Iterator[Node]:
    for node in graph.nodes:
        yield node
        if isinstance(node.op, Control):
            for inner in node.op.graphs:
                yield from _all_nodes(inner)


def _versions(graph: Graph, state: State) -> list[Value]:
    """The values that a state takes in a call, where it is operators' own; else nothing.

    Each is read by one operator alone, as its variable, whose output is the next.
    """
    zero = zeros("", state.before.type).data
    if zero is None or not np.array_equal(state.initial, zero):
        return []
    users, found = graph.users(), [state.before]
    while found[-1] is not state.after:
        value, readers = found[-1], users.get(found[-1], [])
        if len(readers) != 1 or value in graph.outputs:
            return []
        (node,) = readers
        places = node.op.state_operands
        if node.inputs.count(value) != 1 or node.inputs.index(value) not in places:
            return []
        after = len(node.outputs) - len(places) + places.index(node.inputs.index(value))
        found.append(node.outputs[after])
    is_read = state.after in users or state.after in graph.outputs
    return [] if is_read or len(found) == 1 else found


class _Writer:
    """A file, subgraph by subgraph; the graph's own is the first."""

    def __init__(
        self, graph: Graph, kept: dict[State, list[Value]], written: dict[Node, Written]
    ) -> None:
        self.file, self.written = File(), written
        self._bodies: dict[Body, int] = {}
        main = self.file.subgraphs
        main.append(Subgraph(graph.name))
        tensors = _Tensors(main[0])
        for versions in kept.values():
            tensors.share(versions)
        others = [s for s in graph.states if s not in kept]
        main[0].inputs = [
            tensors.define(v, Tensor(v.name, v.type, open=graph.open.get(v.name, ())))
            for v in graph.inputs
        ]
        handles = self._read_variables(others, tensors)
        self._operators(graph, tensors)
        for state, handle in zip(others, handles, strict=True):
            if state.after is not state.before:
                tensors.add("ASSIGN_VARIABLE", [handle, tensors.number(state.after)], [])
        main[0].outputs = [tensors.number(v) for v in graph.outputs]
        self.file.signature = _signature(graph, main[0])

    def _read_variables(self, states: Sequence[State], tensors: _Tensors) -> list[int]:
        """Handles of variables, which are read; they have values since the first call."""
        if not states:
            return []
        first = Subgraph("initialize")
        self.file.subgraphs.append(first)
        fields = {"InitSubgraphIndex": len(self.file.subgraphs) - 1}
        tensors.add("CALL_ONCE", [], [], "CallOnceOptions", fields)
        inner, handles = _Tensors(first), []
        for state in states:
            name, type = state.before.name, state.before.type
            initial = inner.new(Tensor(f"{name}/initial", type, state.initial))
            inner.add("ASSIGN_VARIABLE", [inner.handle(name), initial], [])
            handles.append(tensors.handle(name))
            value = tensors.define(state.before, Tensor(f"{name}/value", type))
            tensors.add("READ_VARIABLE", handles[-1:], [value])
        return handles

    def _operators(self, graph: Graph, tensors: _Tensors) -> None:
        for node in graph.nodes:
            given = self.written[node]
            fields = {name: self._number(value) for name, value in given.fields.items()}
            inputs = [-1 if v is None else tensors.number(v) for v in given.inputs]
            between = [tensors.new(Tensor("", t)) for t in given.intermediates]
            outputs = [tensors.number(v) for v in node.outputs[: given.outputs]]
            types = [v.type for v in given.inputs if v is not None]
            signed = Signed(types, node.output_types, given.fields)
            tensors.subgraph.operators.append(
                Operator(
                    given.builtin,
                    version(given.builtin, signed),
                    inputs,
                    outputs,
                    given.options,
                    fields,
                    given.custom,
                    between,
                )
            )

    def _number(self, value: Any) -> Any:
        """A field's value; of a graph or a body, the number of its subgraph."""
        if isinstance(value, Graph):
            return self._inner(value)
        if isinstance(value, Body):
            if value not in self._bodies:
                self._bodies[value] = self._body(value)
            return self._bodies[value]
        return value

    def _inner(self, graph: Graph) -> int:
        number = len(self.file.subgraphs)
        self.file.subgraphs.append(Subgraph(graph.name))
        tensors = _Tensors(self.file.subgraphs[number])
        tensors.subgraph.inputs = [tensors.number(v) for v in graph.inputs]
        self._operators(graph, tensors)
        tensors.subgraph.outputs = [tensors.number(v) for v in graph.outputs]
        return number

    def _body(self, body: Body) -> int:
        subgraph = Subgraph(body.builtin.lower() or "update")
        self.file.subgraphs.append(subgraph)
        tensors, type = _Tensors(subgraph), TensorType((), body.dtype)
        subgraph.inputs = [tensors.new(Tensor(name, type)) for name in ("old", "new")]
        subgraph.outputs = subgraph.inputs[1:]
        if body.builtin:
            subgraph.outputs = [tensors.new(Tensor("result", type))]
            tensors.add(body.builtin, subgraph.inputs, subgraph.outputs)
        return len(self.file.subgraphs) - 1


class _Tensors:
    """The tensors of a subgraph by value."""

    def __init__(self, subgraph: Subgraph) -> None:
        self.subgraph = subgraph
        self._numbers: dict[Value, int] = {}
        self._constants: dict[tuple[TensorType, int | bytes], int] = {}
        self._first: dict[Value, Value] = {}

    def share(self, versions: Sequence[Value]) -> None:
        """Make the values of a variable one tensor."""
        self._first.update(dict.fromkeys(versions, versions[0]))

    def define(self, value: Value, tensor: Tensor) -> int:
        """Add a tensor, which is that of ``value``."""
        self._numbers[value] = self.new(tensor)
        return self._numbers[value]

    def number(self, value: Value) -> int:
        """The number of a value's tensor."""
        if value.data is not None:
            return self._constant(value, value.data)
        is_variable = value in self._first
        value = self._first.get(value, value)
        if value not in self._numbers:
            self.define(value, Tensor(value.name, value.type, None, is_variable))
        return self._numbers[value]

    def _constant(self, value: Value, data: Array) -> int:
        """A constant: one for each array and type; of those without a name, for equal ones."""
        key = (value.type, id(data) if value.name else data.tobytes())
        if key not in self._constants:
            name = value.name or f"constant_{len(self.subgraph.tensors)}"
            self._constants[key] = self.new(Tensor(name, value.type, data))
        return self._constants[key]

    def new(self, tensor: Tensor) -> int:
        self.subgraph.tensors.append(tensor)
        return len(self.subgraph.tensors) - 1

    def handle(self, name: str) -> int:
        """The handle of a variable."""
        handle = self.new(Tensor(f"{name}/handle", None))
        self.add("VAR_HANDLE", [], [handle], "VarHandleOptions", {"SharedName": name})
        return handle

    def add(
        self,
        builtin: str,
        inputs: Sequence[int],
        outputs: Sequence[int],
        options: str = "",
        fields: Any = None,
    ) -> None:
        """Add an operator of version 1."""
        self.subgraph.operators.append(Operator(builtin, 1, inputs, outputs, options, fields or {}))


def _signature(graph: Graph, main: Subgraph) -> Signature | None:
    """The names of inputs and outputs; a .tflite file without any stays without."""
    ins = {v.name: i for v, i in zip(graph.inputs, main.inputs, strict=True)}
    outs = {v.name: i for v, i in zip(graph.outputs, main.outputs, strict=True)}
    for key, names in graph.metadata.get("signatures", {}).items():
        given = {*names["inputs"]} <= ins.keys(), {*names["outputs"]} <= outs.keys()
        if all(given):
            ins = {name: ins[name] for name in (*names["inputs"], *ins)}
            outs = {name: outs[name] for name in (*names["outputs"], *outs)}
            return Signature(key, [*ins.items()], [*outs.items()])
    if isinstance(graph.metadata, FileMetadata):
        return None
    return Signature(SIGNATURE, [*ins.items()], [*outs.items()])
