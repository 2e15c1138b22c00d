"""A .tflite file (schema version 3) as plain data, and its bytes.

The bytes are made by the PyPI packages ``flatbuffers`` and ``tflite``, which are imported here
alone, when something is written.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from ..errors import UnsupportedError
from ..graph import Array, TensorType
from ..importers.tflite_tensors import PACKED_BITS, RESOURCE
from .tflite_call import TYPES

IDENTIFIER = b"TFL3"
VERSION = 3
ALIGNMENT = 16
PACKED = {bits: code for code, bits in PACKED_BITS.items()}
"""The schema's TensorType of integers of so many bits."""

MAX_BYTES = 2**31 - 2**20
"""The greatest file: offsets of a flatbuffer have 31 bits."""

FIXED = 4096
"""What the builder has at first for all but constants; it grows."""


class Tensor(NamedTuple):
    """A tensor; one with ``data`` is a constant, one without a type the handle of a variable."""

    name: str
    type: TensorType | None
    data: Array | None = None
    is_variable: bool = False
    open: tuple[int, ...] = ()


class Operator(NamedTuple):
    """An operator; tensors are their numbers in the subgraph, -1 where one is left out."""

    builtin: str
    version: int
    inputs: Sequence[int]
    outputs: Sequence[int]
    options: str = ""
    fields: Mapping[str, Any] = {}
    custom: bytes = b""
    intermediates: Sequence[int] = ()


@dataclass
class Subgraph:
    name: str
    tensors: list[Tensor] = field(default_factory=list)
    inputs: list[int] = field(default_factory=list)
    outputs: list[int] = field(default_factory=list)
    operators: list[Operator] = field(default_factory=list)


class Signature(NamedTuple):
    """Names for the inputs and outputs of subgraph 0: (name, tensor) each."""

    key: str
    inputs: Sequence[tuple[str, int]]
    outputs: Sequence[tuple[str, int]]


@dataclass
class File:
    """``metadata`` are entries of bytes by name."""

    subgraphs: list[Subgraph] = field(default_factory=list)
    signature: Signature | None = None
    description: str = ""
    metadata: dict[str, bytes] = field(default_factory=dict)


def to_bytes(file: File) -> bytes:
    """The flatbuffer; constants are 16-byte aligned, and equal ones are there once.

    Raises:
        UnsupportedError: it has more than ``MAX_BYTES``.
    """
    return _Serializer(file).run()


class _Serializer:
    def __init__(self, file: File) -> None:
        import flatbuffers
        import tflite

        self.file, self.schema = file, tflite
        tensors = [t for subgraph in file.subgraphs for t in subgraph.tensors]
        contents = [_content(t) for t in tensors]
        self.buffers = {b"": memoryview(b"")}
        self.keys = dict(zip(map(id, tensors), map(self._buffer, contents), strict=True))
        entries = [self._buffer(memoryview(data)) for data in file.metadata.values()]
        self.numbers = {key: i for i, key in enumerate(self.buffers)}
        self.metadata = dict(zip(file.metadata, entries, strict=True))
        size = sum(map(len, self.buffers.values()))
        if size > MAX_BYTES:
            raise UnsupportedError(
                f"constants of {size} bytes; a .tflite file has at most {MAX_BYTES}"
            )
        self.b = flatbuffers.Builder(size + FIXED)
        self.vectors: dict[tuple[str, bytes], int] = {}

    def _buffer(self, data: memoryview) -> bytes:
        """The key of a buffer with these bytes; buffer 0 is the empty one."""
        if not len(data):
            return b""
        key = hashlib.sha256(data).digest()
        self.buffers.setdefault(key, data)
        return key

    def run(self) -> bytes:
        file, b = self.file, self.b
        buffers = self.offsets([self._data(data) for data in self.buffers.values()])
        codes = {(o.builtin, o.version): 0 for s in file.subgraphs for o in s.operators}
        self.codes = {code: i for i, code in enumerate(codes)}
        code_vector = self.offsets([self._code(*code) for code in self.codes])
        subgraphs = self.offsets([self._subgraph(s) for s in file.subgraphs])
        description = self.text(file.description) if file.description else None
        signatures = metadata = None
        if file.signature is not None:
            signatures = self.offsets([self._signature(file.signature)])
        if file.metadata:
            metadata = self.offsets([self._entry(name, key) for name, key in self.metadata.items()])
        model = {
            "Version": VERSION,
            "OperatorCodes": code_vector,
            "Subgraphs": subgraphs,
            "Buffers": buffers,
            "Description": description,
            "SignatureDefs": signatures,
            "Metadata": metadata,
        }
        b.Finish(self.table("Model", model), file_identifier=IDENTIFIER)
        return bytes(b.Output())

    def table(self, name: str, fields: Mapping[str, Any]) -> int:
        """A table of the schema; fields that are None are left out."""
        getattr(self.schema, f"{name}Start")(self.b)
        for key, value in fields.items():
            if value is not None:
                getattr(self.schema, f"{name}Add{key}")(self.b, value)
        return int(getattr(self.schema, f"{name}End")(self.b))

    def offsets(self, offsets: Sequence[int]) -> int:
        self.b.StartVector(4, len(offsets), 4)
        for offset in reversed(offsets):
            self.b.PrependUOffsetTRelative(offset)
        return int(self.b.EndVector())

    def text(self, text: str) -> int:
        """A string; equal ones are there once. What UTF-8 cannot have is escaped."""
        return int(self.b.CreateSharedString(text, errors="backslashreplace"))

    def ints(self, values: Iterable[int]) -> int:
        return self.vector(np.array([*values], np.int32))

    def vector(self, values: Array) -> int:
        """A vector of numbers; equal ones are there once."""
        key = (values.dtype.str, values.tobytes())
        if key not in self.vectors:
            self.vectors[key] = int(self.b.CreateNumpyVector(values))
        return self.vectors[key]

    def _data(self, data: memoryview) -> int:
        vector = None
        if len(data):
            self.b.StartVector(1, len(data), ALIGNMENT)
            self.b.head -= len(data)
            self.b.Bytes[self.b.head : self.b.head + len(data)] = data
            vector = self.b.EndVector()
        return self.table("Buffer", {"Data": vector})

    def _code(self, builtin: str, version: int) -> int:
        builtins = self.schema.BuiltinOperator
        code = getattr(builtins, builtin, builtins.CUSTOM)
        custom = self.text(builtin) if code == builtins.CUSTOM else None
        fields = {
            "DeprecatedBuiltinCode": min(code, builtins.PLACEHOLDER_FOR_GREATER_OP_CODES),
            "CustomCode": custom,
            "Version": version,
            "BuiltinCode": code,
        }
        return self.table("OperatorCode", fields)

    def _subgraph(self, s: Subgraph) -> int:
        fields = {
            "Tensors": self.offsets([self._tensor(t) for t in s.tensors]),
            "Inputs": self.ints(s.inputs),
            "Outputs": self.ints(s.outputs),
            "Operators": self.offsets([self._operator(o) for o in s.operators]),
            "Name": self.text(s.name) if s.name else None,
        }
        return self.table("SubGraph", fields)

    def _tensor(self, t: Tensor) -> int:
        name, quant = self.text(t.name), None
        shape = self.ints(t.type.shape if t.type else ())
        if t.type is not None and t.type.quant is not None:
            q = t.type.quant
            parameters = {
                "Scale": self.vector(np.array(q.scale, np.float32)),
                "ZeroPoint": self.vector(np.array(q.zero_point, np.int64)),
                "QuantizedDimension": q.axis or 0,
            }
            quant = self.table("QuantizationParameters", parameters)
        fields = {
            "Shape": shape,
            "Type": _type(t),
            "Buffer": self.numbers[self.keys[id(t)]],
            "Name": name,
            "Quantization": quant,
            "IsVariable": t.is_variable or None,
            "ShapeSignature": self.ints(t.open) if t.open else None,
            "HasRank": True,
        }
        return self.table("Tensor", fields)

    def _operator(self, o: Operator) -> int:
        values = {name: self._field(value) for name, value in o.fields.items()}
        options = self.table(o.options, values) if o.options else None
        second = o.options and hasattr(self.schema.BuiltinOptions2, o.options)
        suffix = "2" if second else ""
        kinds = self.schema.BuiltinOptions2 if second else self.schema.BuiltinOptions
        fields = {
            "OpcodeIndex": self.codes[o.builtin, o.version],
            "Inputs": self.ints(o.inputs),
            "Outputs": self.ints(o.outputs),
            f"BuiltinOptions{suffix}Type": getattr(kinds, o.options) if o.options else None,
            f"BuiltinOptions{suffix}": options,
            "CustomOptions": self.b.CreateByteVector(o.custom) if o.custom else None,
            "Intermediates": self.ints(o.intermediates) if o.intermediates else None,
        }
        return self.table("Operator", fields)

    def _field(self, value: Any) -> Any:
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, np.ndarray):
            return int(self.b.CreateNumpyVector(value))
        return value

    def _signature(self, s: Signature) -> int:
        inputs, outputs = (
            self.offsets([self._name(*pair) for pair in pairs]) for pairs in (s.inputs, s.outputs)
        )
        key = self.text(s.key)
        fields = {"Inputs": inputs, "Outputs": outputs, "SignatureKey": key, "SubgraphIndex": 0}
        return self.table("SignatureDef", fields)

    def _name(self, name: str, tensor: int) -> int:
        fields = {"Name": self.text(name), "TensorIndex": tensor}
        return self.table("TensorMap", fields)

    def _entry(self, name: str, key: bytes) -> int:
        fields = {"Name": self.text(name), "Buffer": self.numbers[key]}
        return self.table("Metadata", fields)


def _type(t: Tensor) -> int:
    """The schema's TensorType."""
    if t.type is None:
        return RESOURCE
    bits = _packed_bits(t)
    return PACKED[bits] if bits else TYPES[t.type.dtype]


def _packed_bits(t: Tensor) -> int | None:
    """Bits of each element of a constant that is packed; None of others."""
    if t.data is None or t.type is None or t.type.quant is None or t.data.dtype != np.int8:
        return None
    bits = t.type.quant.bits
    if bits not in PACKED or not t.data.size:
        return None
    greatest = (1 << bits - 1) - 1
    return bits if -greatest - 1 <= t.data.min() and t.data.max() <= greatest else None


def _content(t: Tensor) -> memoryview:
    """The bytes of a constant; of another tensor none."""
    if t.data is None:
        return memoryview(b"")
    if t.data.dtype == object:
        return memoryview(_strings(t.data))
    flat = np.ascontiguousarray(t.data).reshape(-1).view(np.uint8)
    bits = _packed_bits(t)
    return _packed(flat, bits).data if bits else flat.data


def _packed(flat: Array, bits: int) -> Array:
    """The lowest ``bits`` of each byte, together; the first element's lowest."""
    each = 8 // bits
    fields = np.zeros((-(-flat.size // each), each), np.uint8)
    fields.reshape(-1)[: flat.size] = flat & np.uint8((1 << bits) - 1)
    shifted = fields << np.arange(0, 8, bits, dtype=np.uint8)
    return np.asarray(np.bitwise_or.reduce(shifted, axis=1))


def _strings(data: Array) -> bytes:
    """Their number, where each begins and the last ends, their bytes."""
    texts = data.ravel().tolist()
    ends = 4 * (len(texts) + 2) + np.cumsum([0, *map(len, texts)])
    return np.array([len(texts), *ends], np.int32).tobytes() + b"".join(texts)
