"""Reads .tflite files (TensorFlow Lite, schema version 3).

The file is data from strangers: everything read from it is checked before use, and a file that
breaks a rule raises ModelError naming the object, the value and the rule. Nothing is allocated
in proportion to a shape: constants are views of the file's bytes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from ..dtype import DType
from ..errors import InputError, ModelError, RunError, UnsupportedError
from ..graph import Array, Graph, Node, Shapes, State, TensorType, Value
from ..ops import Interpreted
from . import tflite_schema as schema
from .content import Source
from .evaluate import constant
from .flatbuffer import UINT32, Table
from .tflite_metadata import FileMetadata
from .tflite_model import ModelFile, Operator
from .tflite_ops import builtin_row, custom_row
from .tflite_reading import Reading
from .tflite_session import Late, Session
from .tflite_variables import Key, Variables


class Signature(NamedTuple):
    """A subgraph with names for its inputs and outputs, by tensor."""

    name: str
    subgraph: int
    inputs: dict[int, str]
    outputs: dict[int, str]


def read_source(source: Source) -> Graph:
    """`read_tflite` of what a caller chose."""
    return read_tflite(source.data, source.name, source.signature, source.shapes)


def read_tflite(
    data: bytes, name: str = "", signature: str | None = None, shapes: Shapes | None = None
) -> Graph:
    """The network of a .tflite file; ``name`` is the graph's where the file gives none.

    ``signature`` names the one to read, instead of the first of subgraph 0; ``shapes`` are of
    inputs, by name, instead of the file's.

    The constants of the graph are read-only views of ``data``. Names of values are the file's,
    made unique; inputs and outputs have the names of the file's signature where it has one.

    Raises:
        ModelError: the file breaks a rule of its format.
        UnsupportedError: it uses what Edgewise does not have yet.
        InputError: there is no such signature or input, or the network cannot take the shapes.
    """
    file = ModelFile(data, builtin_row, custom_row)
    known = _signatures(file)
    if signature is None:
        chosen = next((s for s in known if s.subgraph == 0), Signature("", 0, {}, {}))
    else:
        named = [s for s in known if s.name == signature]
        if not named:
            names = ", ".join(repr(s.name) for s in known) or "none"
            raise InputError(f"no signature is named {signature!r}; the file has {names}")
        chosen = named[0]
    network = _Network(file, chosen, dict(shapes or {}))
    try:
        return network.graph(name, known)
    except RunError as error:
        raise ModelError(f"{error}") from error
    except ModelError as error:
        if not shapes:
            raise
        given = {k: list(v) for k, v in shapes.items()}
        raise InputError(f"the network cannot take inputs of shapes {given}: {error}") from error


def _signatures(file: ModelFile) -> list[Signature]:
    """What the file names, in order."""
    o = schema.SignatureDef
    found = []
    for table in file.root.tables(schema.Model.SIGNATURE_DEFS, "signature"):
        index = table.number(o.SUBGRAPH_INDEX, UINT32)
        subgraph = file.subgraph(index)
        names: set[str] = set()
        groups = [
            _names(table, field, known, index, names)
            for field, known in ((o.INPUTS, subgraph.inputs), (o.OUTPUTS, subgraph.outputs))
        ]
        found.append(Signature(table.string(o.SIGNATURE_KEY), index, *groups))
    return found


def _names(
    table: Table, field: int, known: Sequence[int], subgraph: int, taken: set[str]
) -> dict[int, str]:
    names: dict[int, str] = {}
    for entry in table.tables(field, f"{table.what}: entry"):
        index = entry.number(schema.TensorMap.TENSOR_INDEX, UINT32)
        label = entry.string(schema.TensorMap.NAME)
        if index not in known:
            raise ModelError(
                f"{entry.what}: {label!r} is tensor {index}; subgraph {subgraph} has {known}"
            )
        if label and label not in taken:
            names.setdefault(index, label)
            taken.add(label)
    return names


class _Network:
    """One subgraph as a graph, with states, and with what must wait until a call."""

    def __init__(self, file: ModelFile, chosen: Signature, shapes: dict[str, tuple[int, ...]]):
        self.file, self.chosen, self.shapes = file, chosen, shapes
        self.subgraph = file.subgraph(chosen.subgraph)
        self.states: dict[Key, Value] = {}

    def graph(self, name: str, signatures: Sequence[Signature]) -> Graph:
        subgraph, file = self.subgraph, self.file
        if not subgraph.outputs:
            raise ModelError(f"{subgraph.what}: it has no outputs; a network has at least one")
        labels = {**self.chosen.outputs, **self.chosen.inputs}
        for label in labels.values():
            file.names.reserve(label)
        inputs = [self._input(i, labels.get(i)) for i in subgraph.inputs]
        self.inputs = inputs
        for index in subgraph.outputs:
            declared = subgraph.declared(index)
            if index not in subgraph.inputs and index not in labels and declared.data is None:
                labels[index] = file.names.unique(declared.label, index)
        unknown = sorted(set(self.shapes) - {v.name for v in inputs})
        if unknown:
            raise InputError(
                f"no input is named {unknown[0]!r}; the inputs are {[v.name for v in inputs]}"
            )
        self.session = Session(file, flexible=bool(self.shapes) or subgraph.is_open)
        self.variables = Variables(self._enter)
        wanted = dict(labels)
        reading = Reading(self.session, subgraph, inputs, self.variables)
        reading.late, reading.names = Late(), labels
        reading.run()
        indices = dict.fromkeys(subgraph.outputs)
        outputs = {
            i: self._output(reading, i, wanted) for i in indices if i not in reading.late.tensors
        }
        outputs |= self._interpreted(reading, reading.late, labels)
        named = {
            s.name: {"inputs": [*s.inputs.values()], "outputs": [*s.outputs.values()]}
            for s in signatures
        }
        metadata = FileMetadata(file.data, file.root, named)
        opened = zip(inputs, subgraph.inputs, strict=True)
        return Graph(
            inputs=tuple(inputs),
            outputs=tuple(outputs[i] for i in subgraph.outputs),
            nodes=reading.nodes_as_stored(),
            name=subgraph.name or name or "main",
            metadata=metadata,
            states=tuple(self._state(key, value) for key, value in self.states.items()),
            open={v.name: o for v, i in opened if (o := subgraph.declared(i).open)},
        )

    def _input(self, index: int, label: str | None) -> Value:
        declared = self.subgraph.declared(index)
        if declared.type is None or declared.data is not None:
            kind = "a handle" if declared.type is None else "a constant"
            raise ModelError(
                f"{self.subgraph.what}: input {declared.label or f't{index}'!r} is {kind}; "
                "a tensor is defined once"
            )
        name = label or self.file.names.unique(declared.label, index)
        shape = tuple(self.shapes.get(name, declared.type.shape))
        if len(shape) != len(declared.type.shape) or min(shape, default=1) < 0:
            raise InputError(
                f"input {name!r}: shape {list(shape)} in place of {list(declared.type.shape)}; "
                "the rank stays, and no dimension is negative"
            )
        return Value(name, TensorType(shape, declared.type.dtype, declared.type.quant))

    def _output(self, reading: Reading, index: int, labels: Mapping[int, str]) -> Value:
        """What the graph returns for a tensor, under the tensor's name; strings keep their own."""
        value = reading.argument(index, "output")
        if isinstance(value, Key):
            raise ModelError(
                f"{self.subgraph.what}: an output is the handle of a variable or a table"
            )
        label = labels.get(index, value.name)
        if value.name == label or value in self.inputs or value.type.dtype is DType.STRING:
            return value
        return reading.retyped(value, value.type, label)

    def _enter(self, key: Key, what: str) -> Value:
        """A variable when the call starts: it is a state from now on."""
        initial = self.session.enter(key, what)
        label = key.name if key.kind == "variable" else initial.name
        self.states[key] = Value(self.file.names.unique(label, 0), initial.type)
        return self.states[key]

    def _state(self, key: Key, before: Value) -> State:
        after = self.variables.read(key, "a variable")
        initial = self.session.initial[key].data
        assert initial is not None
        if (before.type.shape, before.type.dtype) != (after.type.shape, after.type.dtype):
            raise UnsupportedError(
                f"{key.kind} {key.name!r} is {before.type} when a call starts, and {after.type} "
                "when it ends; a variable that changes its type is not supported"
            )
        return State(before, after, initial)

    def _interpreted(
        self, reading: Reading, late: Late, labels: Mapping[int, str]
    ) -> dict[int, Value]:
        """A last node for the operators that wait for a call: its outputs by tensor."""
        if not late.operators:
            return {}
        known = _known(reading, late)
        tensors = [i for i in dict.fromkeys(self.subgraph.outputs) if i in late.tensors]
        keys = [key for key in late.variables if key in self.states]
        region = _Region(self, reading, tuple(late.operators), known, late.variables)
        outputs = [self._late_output(i, labels.get(i)) for i in tensors]
        for key in keys:
            name = self.file.names.unique(self.states[key].name, 0)
            outputs.append(Value(name, self.states[key].type))
            self.variables.assign(key, outputs[-1])
        region.results = (tuple(tensors), tuple(keys))
        op = Interpreted(
            tuple(v.type for v in outputs),
            tuple(operator.row.name for operator in late.operators),
            region.evaluate,
        )
        reading.nodes.append(Node(op, tuple(region.inputs), tuple(outputs), "interpreted"))
        return dict(zip(tensors, outputs, strict=False))

    def _late_output(self, index: int, label: str | None) -> Value:
        declared = self.subgraph.declared(index)
        if declared.type is None:
            raise ModelError(f"{declared.what}: an output is the handle of a variable or a table")
        name = label or self.file.names.unique(declared.label, index)
        t = declared.type
        return Value(name, TensorType((-1,) * max(len(t.shape), 1), t.dtype, t.quant))


def _known(reading: Reading, late: Late) -> dict[int, Value]:
    """The operands of the waiting operators that are known before them, by tensor."""
    indices = (i for operator in late.operators for i in operator.inputs)
    return {
        i: reading.value(i)
        for i in dict.fromkeys(indices)
        if i != -1 and i not in late.tensors and i not in reading.handles
        if not reading.subgraph.declared(i).variable
    }


class _Region:
    """Operators that are read again in every call, when all that they need is known."""

    def __init__(
        self,
        network: _Network,
        reading: Reading,
        operators: tuple[Operator, ...],
        known: Mapping[int, Value],
        variables: Mapping[Key, Value | None],
    ) -> None:
        self.file, self.subgraph = network.file, network.subgraph
        self.initial, self.tables = network.session.initial, network.session.tables
        self.handles = dict(reading.handles)
        self.operators, self.known = operators, dict(known)
        self.variables = {key: value for key, value in variables.items() if value is not None}
        self.results: tuple[tuple[int, ...], tuple[Key, ...]] = ((), ())
        values = (*self.known.values(), *self.variables.values())
        self.inputs = [v for v in dict.fromkeys(values) if not v.is_constant]

    def evaluate(self, arrays: Sequence[Array], limit: int) -> list[Array]:
        """The results for the inputs' arrays.

        Raises:
            RunError: an operator cannot take what was computed, or a loop does not end.
        """
        given = dict(zip(self.inputs, arrays, strict=True))

        def hold(value: Value) -> Value:
            return value if value.is_constant else constant(value.name, value.type, given[value])

        session = Session(
            self.file, eager=True, flexible=True, limit=limit, most=math.inf, work=math.inf
        )
        session.initial, session.tables = dict(self.initial), self.tables
        variables = Variables(session.enter)
        variables.current = {key: hold(value) for key, value in self.variables.items()}
        reading = Reading(session, self.subgraph, None, variables)
        reading.values = {i: hold(value) for i, value in self.known.items()}
        reading.handles = dict(self.handles)
        tensors, keys = self.results
        try:
            reading.run(self.operators)
            results = [reading.value(i) for i in tensors]
            results += [variables.read(key, "a variable") for key in keys]
        except ModelError as error:
            raise RunError(f"{error}") from error
        return [v.data for v in results if v.data is not None]
