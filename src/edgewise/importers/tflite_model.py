"""A .tflite file as its readers share it: tables parsed once, names, limits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

from ..errors import ModelError, UnsupportedError
from ..graph import Value
from . import tflite_schema as schema
from .flatbuffer import INT8, INT32, UINT8, UINT32, UINT64, Flatbuffer, Table, no_fields
from .limits import MAX_RANK
from .names import Names
from .tflite_call import Row, type_name
from .tflite_tensors import Declared, declare


@dataclass(frozen=True)
class Operator:
    """One operator of a subgraph."""

    index: int
    what: str
    row: Row
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: Table
    custom_options: bytes
    intermediates: tuple[int, ...]


class ModelFile:
    """The bytes of a file, its root table, and the rows of operators by builtin or custom code.

    Raises:
        ModelError: it is no .tflite file.
    """

    def __init__(
        self,
        data: bytes,
        builtin: Callable[[int], Row | None],
        custom: Callable[[str], Row | None],
    ) -> None:
        self._builtin, self._custom = builtin, custom
        if data[4:8] != schema.IDENTIFIER:
            raise ModelError(f"file identifier {data[4:8]!r}; a .tflite file has 'TFL3'")
        self.data = data
        self.root = Flatbuffer(data).root("model")
        version = self.root.number(schema.Model.VERSION, UINT32)
        if version != schema.VERSION:
            raise ModelError(f"model: schema version {version}; it must be {schema.VERSION}")
        self.buffers = self.root.tables(schema.Model.BUFFERS, "buffer")
        self.codes = self.root.tables(schema.Model.OPERATOR_CODES, "operator code")
        self.names = Names()
        self._tables = self.root.tables(schema.Model.SUBGRAPHS, "subgraph")
        self._subgraphs: dict[int, Subgraph] = {}
        self._rows: dict[int, Row | None] = {}

    def subgraph(self, index: int) -> Subgraph:
        if index not in self._subgraphs:
            self._subgraphs[index] = Subgraph(self, index, self._tables[index])
        return self._subgraphs[index]

    def row(self, index: int) -> Row | None:
        """How the operators of an operator code are read; None where they are not."""
        if index not in self._rows:
            code = self.codes[index]
            builtin = _builtin(code)
            if builtin == schema.BuiltinOperator.CUSTOM:
                row = self._custom(code.string(schema.OperatorCode.CUSTOM_CODE))
            else:
                row = self._builtin(builtin)
            self._rows[index] = row
        return self._rows[index]


class Subgraph:
    """A subgraph's tables; tensors and operators are read when they are asked for.

    ``tables`` holds the tensor's table of every constant used so far.
    """

    def __init__(self, file: ModelFile, index: int, table: Table) -> None:
        o = schema.SubGraph
        self.file, self.index, self.what = file, index, f"subgraph {index}"
        self.name = table.string(o.NAME)
        self.tensors = table.tables(o.TENSORS, "tensor")
        self.inputs: tuple[int, ...] = table.numbers(o.INPUTS, "i")
        self.outputs: tuple[int, ...] = table.numbers(o.OUTPUTS, "i")
        self._operators = table.tables(o.OPERATORS, "operator")
        self._declared: dict[int, Declared] = {}
        self._constants: dict[int, Value] = {}
        self.tables: dict[Value, Table] = {}

    def declared(self, index: int) -> Declared:
        found = self._declared.get(index)
        if found is None:
            found = declare(self.tensors[index], index, self.file.buffers)
            self._declared[index] = found
        return found

    def constant(self, index: int) -> Value | None:
        """The value of a constant tensor, the same at every use; None for other tensors."""
        found = self._constants.get(index)
        if found is None:
            declared = self.declared(index)
            if declared.data is None or declared.type is None:
                return None
            name = self.file.names.unique(declared.label, index)
            found = Value(name, declared.type, declared.data)
            self._constants[index] = found
            self.tables[found] = declared.table
        return found

    @cached_property
    def operators(self) -> tuple[Operator, ...]:
        return tuple(self._operator(i, table) for i, table in enumerate(self._operators))

    @cached_property
    def is_open(self) -> bool:
        """Whether the file leaves a dimension of an input to the caller."""
        return any(self.declared(i).open for i in self.inputs)

    def _operator(self, index: int, table: Table) -> Operator:
        o = schema.Operator
        inputs, outputs = table.numbers(o.INPUTS, "i"), table.numbers(o.OUTPUTS, "i")
        code = table.number(o.OPCODE_INDEX, UINT32)
        row = self.file.row(code)
        if row is None:
            raise UnsupportedError(
                f"{table.what}: {_operator_name(self.file.codes[code])} is not supported: "
                f"{self.describe(inputs)} -> {self.describe(outputs)}; "
                "docs/operators.md lists the operators that are"
            )
        what = f"operator {index} {row.name}"
        least, most = row.inputs
        if not least <= len(inputs) <= most:
            raise ModelError(f"{what}: {len(inputs)} inputs; it takes {least} to {most}")
        return Operator(
            index,
            what,
            row,
            inputs,
            outputs,
            _options(table, row, what),
            self._custom_options(table),
            table.numbers(o.INTERMEDIATES, "i"),
        )

    def _custom_options(self, table: Table) -> bytes:
        o = schema.Operator
        start, size = table.vector(o.CUSTOM_OPTIONS, 1)
        offset = table.number(o.LARGE_CUSTOM_OPTIONS_OFFSET, UINT64)
        if offset > 1:
            start, size = offset, table.number(o.LARGE_CUSTOM_OPTIONS_SIZE, UINT64)
            if start + size > len(self.file.data):
                raise ModelError(
                    f"{table.what}: options of {size} bytes at byte {start} of a file of "
                    f"{len(self.file.data)}"
                )
        return self.file.data[start : start + size]

    def describe(self, indices: Sequence[int]) -> str:
        """Types of tensors, for an error."""
        parts = []
        for index in indices[:8]:
            if index == -1:
                parts.append("none")
                continue
            table = self.tensors[index]
            shape = ",".join(map(str, table.numbers(schema.Tensor.SHAPE, "i")[:MAX_RANK]))
            parts.append(f"{type_name(table.number(schema.Tensor.TYPE, INT8))}[{shape}]")
        return f"({', '.join(parts)}{', ...' if len(indices) > 8 else ''})"


def _builtin(code: Table) -> int:
    """The builtin code: files of old and of new writers hold it in one or the other field."""
    o = schema.OperatorCode
    return int(
        max(code.number(o.BUILTIN_CODE, INT32), code.number(o.DEPRECATED_BUILTIN_CODE, INT8))
    )


def _operator_name(code: Table) -> str:
    o = schema.OperatorCode
    builtin = _builtin(code)
    if builtin == schema.BuiltinOperator.CUSTOM:
        return f"custom operator {code.string(o.CUSTOM_CODE)!r}"
    return (
        f"{schema.name_of('BuiltinOperator', builtin)} version {code.number(o.VERSION, INT32, 1)}"
    )


def _options(table: Table, row: Row, what: str) -> Table:
    """The operator's options; where it has none, a table without fields: all are default."""
    o = schema.Operator
    kind, field = o.BUILTIN_OPTIONS_TYPE, o.BUILTIN_OPTIONS
    if row.second:
        kind, field = o.BUILTIN_OPTIONS_2_TYPE, o.BUILTIN_OPTIONS_2
    options = table.table(field, f"{what}: options")
    tag = table.number(kind, UINT8)
    if options is None or row.options is None:
        return no_fields(f"{what}: options")
    if tag != row.options:
        raise ModelError(f"{what}: options of type {tag}; it must be {row.options}")
    return options
