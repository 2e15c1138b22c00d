"""An ONNX file as its readers share it: attributes, tensors, external data; all checked.

The protobuf messages are read by the `onnx` package.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ..dtype import DType
from ..errors import MissingExtraError, ModelError, UnsupportedError
from ..graph import Array
from .limits import MAX_RANK
from .onnx_narrow import NARROW, unpacked

DTYPES = {
    1: DType.FLOAT32,
    2: DType.UINT8,
    3: DType.INT8,
    4: DType.UINT16,
    5: DType.INT16,
    6: DType.INT32,
    7: DType.INT64,
    8: DType.STRING,
    9: DType.BOOL,
    10: DType.FLOAT16,
    11: DType.FLOAT64,
    12: DType.UINT32,
    13: DType.UINT64,
    14: DType.COMPLEX64,
    15: DType.COMPLEX128,
    **NARROW,
}
"""Element types by their number in TensorProto.DataType; types of fewer bits by what holds them."""

EXTERNAL = 1
"""TensorProto.DataLocation of data in another file."""

BFLOAT16 = 16
"""TensorProto.DataType of float32 cut to 16 bits."""

MAX_DENSE = 2**24
"""The most elements of a sparse tensor, of which the file need not hold all."""

External = Callable[[str], bytes]
"""The bytes of a file beside the model, by the path that the model gives."""


def onnx_module() -> Any:
    """The `onnx` package.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        import onnx
    except ImportError:
        raise MissingExtraError("reading ONNX files", "onnx") from None
    return onnx


def parse(data: bytes) -> Any:
    """The ModelProto of a file's bytes.

    Raises:
        ModelError: they are none.
    """
    onnx = onnx_module()
    from google.protobuf.message import DecodeError

    model = onnx.ModelProto()
    try:
        model.ParseFromString(data)
    except (DecodeError, RuntimeError, ValueError) as error:
        raise ModelError(f"it is no ONNX file: {error}") from error
    if not model.HasField("graph"):
        raise ModelError("it is no ONNX file: it holds no graph")
    return model


def opsets_of(message: Any) -> dict[str, int]:
    """The versions of domains that a ModelProto or a FunctionProto imports."""
    return {("" if o.domain == "ai.onnx" else o.domain): o.version for o in message.opset_import}


class Attributes:
    """The attributes of a node, by name; those that refer to a function's are resolved.

    Raises:
        ModelError: when one has another type than its operator demands.
    """

    def __init__(self, node: Any, what: str, given: Mapping[str, Any] | None = None) -> None:
        self._what = what
        self._found: dict[str, Any] = {}
        for attribute in node.attribute:
            if attribute.ref_attr_name:
                resolved = (given or {}).get(attribute.ref_attr_name)
                if resolved is not None:
                    self._found[attribute.name] = resolved
            else:
                self._found[attribute.name] = attribute

    def __contains__(self, name: str) -> bool:
        return name in self._found

    @property
    def messages(self) -> Mapping[str, Any]:
        """The AttributeProtos."""
        return self._found

    def get(self, name: str, kind: str, default: Any = None) -> Any:
        """The value of an attribute of one of AttributeProto's types; ``default`` if it is absent.

        Raises:
            ModelError: it is absent and has no default, or is of another type.
        """
        found = self._found.get(name)
        if found is None:
            if default is None:
                raise ModelError(f"{self._what}: attribute {name!r} is missing; it is required")
            return default
        from onnx import AttributeProto

        if found.type != AttributeProto.AttributeType.Value(kind):
            names = AttributeProto.AttributeType.keys()
            known = AttributeProto.AttributeType.values()
            other = dict(zip(known, names, strict=True)).get(found.type, found.type)
            raise ModelError(f"{self._what}: attribute {name!r} is {other}; it must be {kind}")
        fields = {
            "INT": "i",
            "FLOAT": "f",
            "STRING": "s",
            "TENSOR": "t",
            "GRAPH": "g",
            "SPARSE_TENSOR": "sparse_tensor",
        }
        return getattr(found, fields.get(kind, kind.lower()))


def tensor_type(code: int, what: str) -> DType:
    if code not in DTYPES:
        raise UnsupportedError(f"{what}: element type {type_name(code)} is not supported")
    return DTYPES[code]


def type_name(code: int) -> str:
    """The name of a number of TensorProto.DataType."""
    from onnx import TensorProto

    known = TensorProto.DataType
    return str(known.Name(code)) if code in known.values() else str(code)


def array_of(tensor: Any, external: External) -> Array:
    """The elements of a TensorProto.

    Raises:
        ModelError: its data does not fit its shape.
        UnsupportedError: its element type is unknown here.
    """
    what = f"tensor {tensor.name!r}"
    shape = tuple(tensor.dims)
    if len(shape) > MAX_RANK or min(shape, default=0) < 0:
        raise ModelError(
            f"{what}: shape {list(shape)}; at most {MAX_RANK} dimensions, none negative"
        )
    if tensor.HasField("segment"):
        raise UnsupportedError(f"{what}: data in segments")
    dtype = tensor_type(tensor.data_type, what)
    count = math.prod(shape)
    if tensor.data_type in NARROW:
        return _narrow(tensor, external, shape, what)
    if dtype is DType.STRING:
        found: Array = np.array(list(tensor.string_data), object)
    elif tensor.data_location == EXTERNAL:
        found = _raw(_external(tensor, external, what), dtype, what)
    elif tensor.HasField("raw_data"):
        found = _raw(tensor.raw_data, dtype, what)
    else:
        found = _numbers(tensor, dtype)
    if found.size != count:
        raise ModelError(
            f"{what}: {found.size} elements of data for shape {list(shape)}, which has {count}"
        )
    found = found.reshape(shape)
    found.setflags(write=False)
    return found


def _narrow(tensor: Any, external: External, shape: tuple[int, ...], what: str) -> Array:
    """The elements of a type of few bits; int32_data holds what raw data has in a byte or two."""
    code, count = tensor.data_type, math.prod(shape)
    if tensor.data_location == EXTERNAL:
        data = _external(tensor, external, what)
    elif tensor.HasField("raw_data"):
        data = tensor.raw_data
    else:
        stored = np.uint16 if code == BFLOAT16 else np.uint8
        data = np.array(tensor.int32_data, np.int64).astype(stored).tobytes()
    found = unpacked(data, code, count)
    if found is None:
        raise ModelError(f"{what}: {len(data)} bytes of data for {count} {type_name(code)}")
    found = found.reshape(shape)
    found.setflags(write=False)
    return found


def dense_of(sparse: Any, external: External, what: str) -> Array:
    """The elements of a SparseTensorProto, zeros among them.

    Raises:
        ModelError: indices do not fit its shape.
        UnsupportedError: it has more than `MAX_DENSE` elements.
    """
    what = f"{what}: sparse tensor {sparse.values.name!r}"
    shape = tuple(sparse.dims)
    if not 1 <= len(shape) <= MAX_RANK or min(shape) < 1:
        raise ModelError(f"{what}: shape {list(shape)}; 1 to {MAX_RANK} dimensions of at least 1")
    if math.prod(shape) > MAX_DENSE:
        raise UnsupportedError(f"{what}: {math.prod(shape)} elements; at most {MAX_DENSE}")
    values, indices = array_of(sparse.values, external), array_of(sparse.indices, external)
    count = len(values) if values.ndim == 1 else -1
    if indices.dtype != np.int64 or indices.shape not in ((count,), (count, len(shape))):
        raise ModelError(
            f"{what}: values {list(values.shape)}, indices {indices.dtype}{list(indices.shape)}; "
            f"[N], and int64 [N] or [N, {len(shape)}]"
        )
    columns = indices.T if indices.ndim == 2 else indices[None]
    sizes = shape if indices.ndim == 2 else (math.prod(shape),)
    for column, size in zip(columns, sizes, strict=True):
        if column.size and not 0 <= column.min() <= column.max() < size:
            raise ModelError(f"{what}: indices {column.min()} to {column.max()}; below {size}")
    dense = np.zeros(sizes, values.dtype)
    dense[tuple(columns)] = values
    dense = dense.reshape(shape)
    dense.setflags(write=False)
    return dense


def _raw(data: bytes, dtype: DType, what: str) -> Array:
    if len(data) % dtype.itemsize:
        raise ModelError(f"{what}: {len(data)} bytes of {dtype}; they hold no whole elements")
    if dtype is DType.BOOL:
        return np.asarray(np.frombuffer(data, np.uint8) != 0)
    return np.frombuffer(data, dtype.numpy.newbyteorder("<")).astype(dtype.numpy, copy=False)


def _numbers(tensor: Any, dtype: DType) -> Array:
    """Elements that are not raw, by the field that holds their type; a complex one is a pair."""
    if dtype is DType.FLOAT32:
        return np.array(tensor.float_data, np.float32)
    if dtype is DType.FLOAT64:
        return np.array(tensor.double_data, np.float64)
    if dtype in (DType.COMPLEX64, DType.COMPLEX128):
        parts = tensor.float_data if dtype is DType.COMPLEX64 else tensor.double_data
        found = np.array(parts).reshape(-1, 2) if len(parts) % 2 == 0 else np.zeros((0, 2))
        return (found[:, 0] + 1j * found[:, 1]).astype(dtype.numpy)
    if dtype is DType.INT64:
        return np.array(tensor.int64_data, np.int64)
    if dtype in (DType.UINT32, DType.UINT64):
        return np.array(tensor.uint64_data, np.uint64).astype(dtype.numpy)
    if dtype is DType.FLOAT16:
        return np.array(tensor.int32_data, np.int64).astype(np.uint16).view(np.float16)
    return np.array(tensor.int32_data, np.int64).astype(dtype.numpy)


def _external(tensor: Any, external: External, what: str) -> bytes:
    """The part of another file that a tensor's entries name."""
    entries = {entry.key: entry.value for entry in tensor.external_data}
    if "location" not in entries:
        raise ModelError(f"{what}: its external data has no location")
    data = external(entries["location"])
    bounds = []
    for key, default in (("offset", 0), ("length", None)):
        text = entries.get(key, "")
        if text and not (text.isascii() and text.isdigit() and len(text) < 20):
            raise ModelError(f"{what}: external {key} {text!r}; it must be a whole number")
        bounds.append(int(text) if text else default)
    offset = bounds[0] or 0
    length = len(data) - offset if bounds[1] is None else bounds[1]
    if offset > len(data) or length > len(data) - offset:
        raise ModelError(
            f"{what}: external data of {length} bytes at {offset}; {entries['location']!r} has "
            f"{len(data)}"
        )
    return data[offset : offset + length]
