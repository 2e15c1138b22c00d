"""Writes small .tflite files and runs them in LiteRT, the peer that integer operators follow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import flatbuffers
import numpy as np
import numpy.typing as npt
import tflite

from edgewise.dtype import DType
from edgewise.graph import TensorType

Array = npt.NDArray[Any]

TYPES = {
    DType.FLOAT32: tflite.TensorType.FLOAT32,
    DType.FLOAT16: tflite.TensorType.FLOAT16,
    DType.UINT8: tflite.TensorType.UINT8,
    DType.INT8: tflite.TensorType.INT8,
    DType.INT16: tflite.TensorType.INT16,
    DType.INT32: tflite.TensorType.INT32,
    DType.INT64: tflite.TensorType.INT64,
    DType.BOOL: tflite.TensorType.BOOL,
    DType.FLOAT64: tflite.TensorType.FLOAT64,
    DType.UINT16: tflite.TensorType.UINT16,
    DType.UINT32: tflite.TensorType.UINT32,
    DType.UINT64: tflite.TensorType.UINT64,
    DType.COMPLEX64: tflite.TensorType.COMPLEX64,
    DType.STRING: tflite.TensorType.STRING,
}


VERSIONS = {"BROADCAST_TO": 2}
"""Of operators whose first version is not one that LiteRT runs."""


@dataclass(frozen=True, eq=False)
class Tensor:
    """A tensor of the file; ``data`` makes it a constant; a variable is kept between calls."""

    type: TensorType
    data: Array | None = None
    name: str = ""
    is_variable: bool = False


@dataclass(frozen=True)
class Operator:
    """One operator: its BuiltinOperator name, its options table and that table's fields.

    A field's value is a scalar, a string, an array or, for a vector of int32, a list. An input may
    be None: absent. A name that is no BuiltinOperator is a custom operator's, whose options are
    ``custom_options``.
    """

    builtin: str
    inputs: Sequence[Tensor | None]
    outputs: Sequence[Tensor]
    options: str = ""
    fields: Mapping[str, Any] = field(default_factory=dict)
    custom_options: bytes = b""
    intermediates: Sequence[Tensor] = ()


def build(
    operators: Sequence[Operator], inputs: Sequence[Tensor], outputs: Sequence[Tensor]
) -> bytes:
    """A .tflite file with one subgraph of these operators."""
    b = flatbuffers.Builder(1024)
    tensors: list[Tensor] = []
    groups = [(*op.inputs, *op.outputs, *op.intermediates) for op in operators]
    for t in (t for group in (*groups, inputs, outputs) for t in group):
        if t is not None and t not in tensors:
            tensors.append(t)
    index = {id(t): i for i, t in enumerate(tensors)}
    buffers = [_buffer(b, None)] + [_buffer(b, t.data) for t in tensors if t.data is not None]
    number = iter(range(1, len(buffers)))
    tensor_offsets = [
        _tensor(b, t, f"t{i}", 0 if t.data is None else next(number)) for i, t in enumerate(tensors)
    ]
    names = list(dict.fromkeys(op.builtin for op in operators))
    code_offsets = [_operator_code(b, n) for n in names]
    op_offsets = [_operator(b, op, names.index(op.builtin), index) for op in operators]

    ins, outs = (_ints(b, [index[id(t)] for t in group]) for group in (inputs, outputs))
    tensor_vector, op_vector = _offsets(b, tensor_offsets), _offsets(b, op_offsets)
    tflite.SubGraphStart(b)
    tflite.SubGraphAddTensors(b, tensor_vector)
    tflite.SubGraphAddInputs(b, ins)
    tflite.SubGraphAddOutputs(b, outs)
    tflite.SubGraphAddOperators(b, op_vector)
    subgraph = tflite.SubGraphEnd(b)

    codes, subgraphs, buffer_vector = (
        _offsets(b, group) for group in (code_offsets, [subgraph], buffers)
    )
    tflite.ModelStart(b)
    tflite.ModelAddVersion(b, 3)
    tflite.ModelAddOperatorCodes(b, codes)
    tflite.ModelAddSubgraphs(b, subgraphs)
    tflite.ModelAddBuffers(b, buffer_vector)
    b.Finish(tflite.ModelEnd(b), file_identifier=b"TFL3")
    return bytes(b.Output())


def single(
    builtin: str,
    inputs: Sequence[Tensor | None],
    outputs: Sequence[TensorType],
    options: str = "",
    *,
    custom_options: bytes = b"",
    intermediates: Sequence[TensorType] = (),
    **fields: Any,
) -> bytes:
    """A file of one operator, whose inputs without data are the file's inputs, or its variables."""
    outs, between = [Tensor(t) for t in outputs], [Tensor(t) for t in intermediates]
    op = Operator(builtin, inputs, outs, options, fields, custom_options, between)
    given = [t for t in inputs if t is not None and t.data is None and not t.is_variable]
    return build([op], given, outs)


def run_litert(model: bytes, arrays: Sequence[Array], *, delegate: bool = True) -> list[Array]:
    """The outputs of LiteRT: its default CPU path, or its built-in kernels without ``delegate``."""
    return run_litert_calls(model, [arrays], delegate=delegate)[0]


def run_litert_calls(
    model: bytes, calls: Sequence[Sequence[Array]], *, delegate: bool = True
) -> list[list[Array]]:
    """The outputs of LiteRT at each of several calls, between which variables are kept."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    kind = OpResolverType.AUTO if delegate else OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    interpreter = Interpreter(
        model_content=model, num_threads=1, experimental_op_resolver_type=kind
    )
    interpreter.allocate_tensors()
    results = []
    for arrays in calls:
        for detail, array in zip(interpreter.get_input_details(), arrays, strict=True):
            interpreter.set_tensor(detail["index"], array)
        interpreter.invoke()
        results.append(
            [interpreter.get_tensor(d["index"]) for d in interpreter.get_output_details()]
        )
    return results


def _ints(b: flatbuffers.Builder, values: Sequence[int]) -> int:
    return int(b.CreateNumpyVector(np.asarray(values, np.int32)))


def _offsets(b: flatbuffers.Builder, offsets: Sequence[int]) -> int:
    b.StartVector(4, len(offsets), 4)
    for offset in reversed(offsets):
        b.PrependUOffsetTRelative(offset)
    return int(b.EndVector())


def strings(data: Array) -> bytes:
    """Strings as a buffer holds them: their number, where each starts and the last ends, bytes."""
    texts = list(data.ravel())
    start = 4 * (len(texts) + 2)
    offsets = [start + sum(map(len, texts[:i])) for i in range(len(texts) + 1)]
    return np.array([len(texts), *offsets], np.int32).tobytes() + b"".join(texts)


def _buffer(b: flatbuffers.Builder, data: Array | None) -> int:
    vector = None
    if data is not None:
        raw = strings(data) if data.dtype == object else data.tobytes()
        b.StartVector(1, len(raw), 16)
        b.head -= len(raw)
        b.Bytes[b.head : b.head + len(raw)] = raw
        vector = b.EndVector()
    tflite.BufferStart(b)
    if vector is not None:
        tflite.BufferAddData(b, vector)
    return int(tflite.BufferEnd(b))


def _tensor(b: flatbuffers.Builder, t: Tensor, name: str, buffer: int) -> int:
    shape, label, quant = _ints(b, t.type.shape), b.CreateString(t.name or name), None
    if t.type.quant is not None:
        q = t.type.quant
        scales = b.CreateNumpyVector(np.asarray(q.scale, np.float32))
        zeros = b.CreateNumpyVector(np.asarray(q.zero_point, np.int64))
        tflite.QuantizationParametersStart(b)
        tflite.QuantizationParametersAddScale(b, scales)
        tflite.QuantizationParametersAddZeroPoint(b, zeros)
        tflite.QuantizationParametersAddQuantizedDimension(b, q.axis or 0)
        quant = tflite.QuantizationParametersEnd(b)
    tflite.TensorStart(b)
    tflite.TensorAddShape(b, shape)
    tflite.TensorAddType(b, TYPES[t.type.dtype])
    tflite.TensorAddBuffer(b, buffer)
    tflite.TensorAddName(b, label)
    if t.is_variable:
        tflite.TensorAddIsVariable(b, True)
    if quant is not None:
        tflite.TensorAddQuantization(b, quant)
    return int(tflite.TensorEnd(b))


def _operator_code(b: flatbuffers.Builder, name: str) -> int:
    code = getattr(tflite.BuiltinOperator, name, tflite.BuiltinOperator.CUSTOM)
    custom = b.CreateString(name) if code == tflite.BuiltinOperator.CUSTOM else None
    tflite.OperatorCodeStart(b)
    if custom is not None:
        tflite.OperatorCodeAddCustomCode(b, custom)
    tflite.OperatorCodeAddDeprecatedBuiltinCode(b, min(code, 127))
    tflite.OperatorCodeAddBuiltinCode(b, code)
    tflite.OperatorCodeAddVersion(b, VERSIONS.get(name, 1))
    return int(tflite.OperatorCodeEnd(b))


def _field(b: flatbuffers.Builder, value: Any) -> Any:
    if isinstance(value, str):
        return b.CreateString(value)
    if isinstance(value, np.ndarray):
        return int(b.CreateNumpyVector(value))
    return _ints(b, value) if isinstance(value, list) else value


def _operator(b: flatbuffers.Builder, op: Operator, code: int, index: Mapping[int, int]) -> int:
    ins = _ints(b, [-1 if t is None else index[id(t)] for t in op.inputs])
    outs = _ints(b, [index[id(t)] for t in op.outputs])
    options = None
    if op.options:
        values = {k: _field(b, v) for k, v in op.fields.items()}
        getattr(tflite, f"{op.options}Start")(b)
        for name, value in values.items():
            getattr(tflite, f"{op.options}Add{name}")(b, value)
        options = getattr(tflite, f"{op.options}End")(b)
    custom = b.CreateByteVector(op.custom_options) if op.custom_options else None
    between = _ints(b, [index[id(t)] for t in op.intermediates]) if op.intermediates else None
    tflite.OperatorStart(b)
    if custom is not None:
        tflite.OperatorAddCustomOptions(b, custom)
    tflite.OperatorAddOpcodeIndex(b, code)
    if between is not None:
        tflite.OperatorAddIntermediates(b, between)
    tflite.OperatorAddInputs(b, ins)
    tflite.OperatorAddOutputs(b, outs)
    if options is not None and hasattr(tflite.BuiltinOptions2, op.options):
        tflite.OperatorAddBuiltinOptions2Type(b, getattr(tflite.BuiltinOptions2, op.options))
        tflite.OperatorAddBuiltinOptions2(b, options)
    elif options is not None:
        tflite.OperatorAddBuiltinOptionsType(b, getattr(tflite.BuiltinOptions, op.options))
        tflite.OperatorAddBuiltinOptions(b, options)
    return int(tflite.OperatorEnd(b))
