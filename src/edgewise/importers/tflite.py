"""Reads .tflite files (TensorFlow Lite, schema version 3).

The file is data from strangers: everything read from it is checked before use, and a file that
breaks a rule raises ModelError naming the object, the value and the rule. Nothing is allocated
in proportion to a shape: constants are views of the file's bytes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ..dtype import DType
from ..errors import GraphError, ModelError, UnsupportedError
from ..graph import Array, Graph, Node, TensorType, Value
from ..ops import Conv2D, DepthwiseConv2D, FullyConnected, Op, TransposeConv
from . import tflite_schema as schema
from .flatbuffer import INT8, INT32, UINT8, UINT32, UINT64, Flatbuffer, Table, no_fields
from .tflite_call import DTYPES, Call, type_name
from .tflite_metadata import FileMetadata
from .tflite_ops import OPERATORS, Row
from .tflite_quant import check_arithmetic, check_bias, read_quantization

MAX_RANK = 8
MAX_TENSOR_BYTES = 2**31 - 1
MAX_ACTIVATION_BYTES = 2**32
"""The greatest sum of the sizes of all computed tensors."""

PRODUCTS = (Conv2D, DepthwiseConv2D, TransposeConv, FullyConnected)
COMPUTED = (DType.FLOAT32, DType.UINT8, DType.INT8)
"""What operators that compute take today."""


def read_tflite(data: bytes, name: str = "") -> Graph:
    """The network of a .tflite file; ``name`` is the graph's where the file gives none.

    The constants of the graph are read-only views of ``data``. Names of values are the file's,
    made unique; inputs and outputs have the names of the file's signature where it has one.

    Raises:
        ModelError: the file breaks a rule of its format.
        UnsupportedError: it uses what Edgewise does not have yet.
    """
    return _Reader(data).graph(name)


class _Reader:
    def __init__(self, data: bytes) -> None:
        if data[4:8] != schema.IDENTIFIER:
            raise ModelError(f"file identifier {data[4:8]!r}; a .tflite file has 'TFL3'")
        self.data = data
        self.model = Flatbuffer(data).root("model")
        version = self.model.number(schema.Model.VERSION, UINT32)
        if version != schema.VERSION:
            raise ModelError(f"model: schema version {version}; it must be {schema.VERSION}")
        subgraphs = self.model.tables(schema.Model.SUBGRAPHS, "subgraph")
        self.subgraph = subgraphs[0]
        self.buffers = self.model.tables(schema.Model.BUFFERS, "buffer")
        self.tensors = self.subgraph.tables(schema.SubGraph.TENSORS, "tensor")
        self.codes = self.model.tables(schema.Model.OPERATOR_CODES, "operator code")
        self.rows: dict[int, Row | None] = {}
        self.values: dict[int, Value] = {}
        self.indices: dict[Value, int] = {}
        self.names: set[str] = set()
        self.defined: set[Value] = set()
        self.activation_bytes = 0

    def graph(self, name: str) -> Graph:
        inputs = self.subgraph.numbers(schema.SubGraph.INPUTS, "i")
        outputs = self.subgraph.numbers(schema.SubGraph.OUTPUTS, "i")
        if not outputs:
            raise ModelError("subgraph 0: it has no outputs; a network has at least one")
        chosen = self._signature(inputs, outputs)
        self.names.update(chosen.values())
        for index in (*inputs, *outputs):
            self._value(index, chosen.get(index))
        for index in inputs:
            self._define(self._value(index), "subgraph 0: input")
        operators = self.subgraph.tables(schema.SubGraph.OPERATORS, "operator")
        nodes = [node for i, table in enumerate(operators) for node in self._nodes(i, table)]
        for index in outputs:
            self._check_defined(self._value(index), "subgraph 0: output")
        return Graph(
            inputs=tuple(self._value(i) for i in inputs),
            outputs=tuple(self._value(i) for i in outputs),
            nodes=tuple(nodes),
            name=self.subgraph.string(schema.SubGraph.NAME) or name or "main",
            metadata=FileMetadata(self.data, self.model),
        )

    def _signature(self, inputs: Sequence[int], outputs: Sequence[int]) -> dict[int, str]:
        """Names of inputs and outputs by tensor, from the first signature of subgraph 0."""
        o = schema.SignatureDef
        names: dict[int, str] = {}
        for signature in self.model.tables(schema.Model.SIGNATURE_DEFS, "signature"):
            if signature.number(o.SUBGRAPH_INDEX, UINT32) != 0:
                continue
            for field, known in ((o.INPUTS, inputs), (o.OUTPUTS, outputs)):
                for entry in signature.tables(field, f"{signature.what}: entry"):
                    index = entry.number(schema.TensorMap.TENSOR_INDEX, UINT32)
                    label = entry.string(schema.TensorMap.NAME)
                    if index not in known:
                        raise ModelError(
                            f"{entry.what}: {label!r} is tensor {index}; subgraph 0 has {known}"
                        )
                    if label and label not in names.values():
                        names.setdefault(index, label)
            break
        return names

    def _value(self, index: int, name: str | None = None) -> Value:
        """The value of a tensor, made at its first use, with ``name`` or the file's."""
        value = self.values.get(index)
        if value is not None:
            return value
        table = self.tensors[index]
        label = table.string(schema.Tensor.NAME)
        what = f"tensor {index} {label[:80]!r}"
        o = schema.Tensor
        shape = self._shape(table, what)
        dtype = self._dtype(table, what)
        if math.prod(shape) * dtype.itemsize > MAX_TENSOR_BYTES:
            raise ModelError(
                f"{what}: {dtype}{list(shape)}; a tensor has at most {MAX_TENSOR_BYTES} bytes"
            )
        if table.flag(o.IS_VARIABLE):
            raise UnsupportedError(f"{what}: a variable, kept between calls; not supported")
        if table.has(o.SPARSITY):
            raise UnsupportedError(f"{what}: sparse storage is not supported")
        if table.number(o.EXTERNAL_BUFFER, UINT32):
            raise UnsupportedError(f"{what}: data in another file is not supported")
        type = TensorType(shape, dtype, read_quantization(table, shape, dtype, what))
        buffer = table.number(o.BUFFER, UINT32)
        data = self._constant(buffer, type, what) if buffer else None
        value = Value(name or self._unique(label, index), type, data)
        self.values[index] = value
        self.indices[value] = index
        return value

    def _shape(self, table: Table, what: str) -> tuple[int, ...]:
        shape = table.numbers(schema.Tensor.SHAPE, "i")
        if len(shape) > MAX_RANK:
            raise ModelError(f"{what}: rank {len(shape)}; at most {MAX_RANK}")
        if shape and min(shape) < 1:
            raise ModelError(f"{what}: shape {list(shape)}; every dimension is at least 1")
        return shape

    def _dtype(self, table: Table, what: str) -> DType:
        code = table.number(schema.Tensor.TYPE, INT8)
        dtype = DTYPES.get(code)
        if dtype is None:
            raise UnsupportedError(
                f"{what}: element type {schema.name_of('TensorType', code)} is not supported"
            )
        return dtype

    def _constant(self, buffer: int, type: TensorType, what: str) -> Array | None:
        """A read-only view of a buffer; None where it is empty: the tensor is computed."""
        o = schema.Buffer
        table = self.buffers[buffer]
        start, size = table.vector(o.DATA, 1)
        offset = table.number(o.OFFSET, UINT64)
        if offset > 1:
            start, size = offset, table.number(o.SIZE, UINT64)
            if start + size > len(self.data):
                raise ModelError(
                    f"{table.what}: {size} bytes at byte {start} of a file of {len(self.data)}"
                )
        if size == 0:
            return None
        count = math.prod(type.shape)
        if size != count * type.dtype.itemsize:
            raise ModelError(
                f"{what}: {table.what} has {size} bytes; {type.dtype}{list(type.shape)} "
                f"needs {count * type.dtype.itemsize}"
            )
        if type.dtype is DType.BOOL and np.frombuffer(self.data, np.uint8, count, start).max() > 1:
            raise ModelError(f"{what}: {table.what} has bytes above 1; a bool is 0 or 1")
        array = np.frombuffer(self.data, type.dtype.numpy, count, start).reshape(type.shape)
        if not array.flags.aligned:
            array = array.copy()
            array.flags.writeable = False
        return array

    def _unique(self, label: str, index: int) -> str:
        name = label or f"tensor_{index}"
        if name in self.names:
            name = f"{name}_{index}"
        while name in self.names:
            name += "_"
        self.names.add(name)
        return name

    def _define(self, value: Value, what: str) -> None:
        if value.is_constant or value in self.defined:
            kind = "a constant" if value.is_constant else "already computed or an input"
            raise ModelError(f"{what} {value.name!r} is {kind}; a tensor is defined once")
        self.activation_bytes += math.prod(value.type.shape) * value.type.dtype.itemsize
        if self.activation_bytes > MAX_ACTIVATION_BYTES:
            raise ModelError(
                f"{what} {value.name!r}: computed tensors add up to {self.activation_bytes} "
                f"bytes; at most {MAX_ACTIVATION_BYTES}"
            )
        self.defined.add(value)

    def _check_defined(self, value: Value, what: str) -> None:
        if not value.is_constant and value not in self.defined:
            raise ModelError(f"{what} {value.name!r} is used before it is computed")

    def _nodes(self, index: int, table: Table) -> list[Node]:
        """The nodes of one operator: one, or several in a row."""
        o = schema.Operator
        ins, outs = table.numbers(o.INPUTS, "i"), table.numbers(o.OUTPUTS, "i")
        row = self._row(table, ins, outs)
        what = f"operator {index} {row.name}"
        least, most = row.inputs
        if not least <= len(ins) <= most:
            raise ModelError(f"{what}: {len(ins)} inputs; it takes {least} to {most}")
        if not outs:
            raise ModelError(f"{what}: it has no outputs")
        call = Call(
            what,
            self._options(table, row, what),
            [None if i == -1 else self._value(i) for i in ins],
            [self._value(i) for i in outs],
        )
        for value in call.inputs:
            if value is not None:
                self._check_defined(value, f"{what}: input")
        try:
            return self._build(call, row)
        except GraphError as error:
            types = [v.type.dtype for v in (*call.inputs[:2], *call.outputs) if v is not None]
            if all(t in COMPUTED for t in types):
                raise ModelError(f"{what}: {error}") from error
            raise UnsupportedError(
                f"{what}: {error}; its tensors are {self._describe(ins)} -> {self._describe(outs)}"
            ) from error

    def _build(self, call: Call, row: Row) -> list[Node]:
        built, operands = row.read(call)
        chain: tuple[Op, ...] = built if isinstance(built, tuple) else (built,)
        nodes = []
        for op in chain[:-1]:
            (type,) = op.infer([v.type for v in operands])
            name = self._unique(f"{call.outputs[0].name}/{op.name.lower()}", len(self.values))
            result = Value(name, type)
            nodes.append(Node(op, tuple(operands), (result,), call.outputs[0].name))
            operands = [result]
        op = chain[-1]
        types = [v.type for v in operands]
        if isinstance(op, PRODUCTS):
            _check_weights(operands, call.what)
        inferred = op.infer(types)
        call.expect_outputs(len(inferred))
        for value, expected in zip(call.outputs, inferred, strict=True):
            found = value.type
            if found.shape != expected.shape or found.dtype is not expected.dtype:
                raise ModelError(
                    f"{call.what}: output {value.name!r} is declared "
                    f"{found.dtype}{list(found.shape)}; "
                    f"it gives {expected.dtype}{list(expected.shape)}"
                )
            self._define(value, f"{call.what}: output")
        check_arithmetic(op, types, [v.type for v in call.outputs], call.what)
        if isinstance(op, PRODUCTS) and len(operands) == 3:
            x, w, bias = types
            tensor = self.tensors[self.indices[operands[2]]]
            check_bias(tensor, x, w, call.outputs[0].type, bias.shape[0], call.what)
        nodes.append(Node(op, tuple(operands), tuple(call.outputs), call.outputs[0].name))
        return nodes

    def _options(self, table: Table, row: Row, what: str) -> Table:
        """The operator's options; where it has none, a table without fields: all are default."""
        o = schema.Operator
        options = table.table(o.BUILTIN_OPTIONS, f"{what}: options")
        tag = table.number(o.BUILTIN_OPTIONS_TYPE, UINT8)
        if options is None or row.options is None:
            return no_fields(f"{what}: options")
        if tag != row.options:
            raise ModelError(f"{what}: options of type {tag}; it must be {row.options}")
        return options

    def _row(self, table: Table, ins: Sequence[int], outs: Sequence[int]) -> Row:
        """The importer's row for an operator.

        Raises:
            UnsupportedError: when it has none.
        """
        index = table.number(schema.Operator.OPCODE_INDEX, UINT32)
        if index not in self.rows:
            self.rows[index] = OPERATORS.get(_builtin(self.codes[index]))
        row = self.rows[index]
        if row is None:
            code = self.codes[index]
            raise UnsupportedError(
                f"{table.what}: {_operator_name(code)} is not supported: "
                f"{self._describe(ins)} -> {self._describe(outs)}; "
                "docs/operators.md lists the operators that are"
            )
        return row

    def _describe(self, indices: Sequence[int]) -> str:
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


def _check_weights(operands: Sequence[Value], what: str) -> None:
    """Check that a product's operands are of a kind that is supported.

    Raises:
        UnsupportedError: for float inputs with integer weights, and for quantized weights or
            biases that are not constants.
    """
    x, *others = operands
    if x.type.dtype.is_float:
        if others[0].type.dtype.is_integer:
            raise UnsupportedError(
                f"{what}: {x.type.dtype} input with {others[0].type.dtype} weights (dynamic-range "
                "quantization) is not supported"
            )
        return
    for value in others:
        if not value.is_constant:
            raise UnsupportedError(
                f"{what}: {value.name!r} is computed; quantized weights and biases must be "
                "constants"
            )
