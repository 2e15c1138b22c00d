"""Tensors of .tflite files: their types, and the values of constants.

Constants of plain element types are views of the file's bytes. Types that numpy lacks become ones
that it has: int4 and int2 int8 (`QParams.bits` tells so), bfloat16 float32; sparse tensors become
dense.
"""

from __future__ import annotations

import itertools
import math
import struct
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from ..dtype import DType
from ..errors import ModelError, UnsupportedError
from ..graph import Array, TensorType
from . import tflite_schema as schema
from .flatbuffer import INT8, UINT32, UINT64, Table, Tables
from .limits import MAX_RANK
from .tflite_call import DTYPES
from .tflite_quant import read_quantization
from .tflite_sparse import dense_positions

MAX_TENSOR_BYTES = 2**31 - 1
RESOURCE = 13
"""The schema's number for handles of variables and tables."""

BFLOAT16 = 18
PACKED_BITS = {17: 4, 19: 2}
"""Bits of the element types that are packed into bytes, lowest first."""


class Declared(NamedTuple):
    """What the file says about a tensor.

    ``type`` is None for a handle. ``open`` tells dimensions that the file leaves to the caller,
    -1 each, and is empty where there are none.
    """

    table: Table
    what: str
    label: str
    type: TensorType | None
    data: Array | None
    variable: bool
    open: tuple[int, ...]


def declare(table: Table, index: int, buffers: Tables) -> Declared:
    """Read and check a tensor.

    Raises:
        ModelError: it breaks a rule.
        UnsupportedError: its type, or how its values are stored, is not supported.
    """
    o = schema.Tensor
    label = table.string(o.NAME)
    what = f"tensor {index} {label[:80]!r}"
    code = table.number(o.TYPE, INT8)
    if code == RESOURCE:
        return Declared(table, what, label, None, None, False, ())
    shape = _shape(table, what)
    dtype = _dtype(code, what)
    if math.prod(shape) * dtype.itemsize > MAX_TENSOR_BYTES:
        raise ModelError(
            f"{what}: {dtype}{list(shape)}; a tensor has at most {MAX_TENSOR_BYTES} bytes"
        )
    if table.number(o.EXTERNAL_BUFFER, UINT32):
        raise UnsupportedError(f"{what}: data in another file is not supported")
    type = TensorType(shape, dtype, read_quantization(table, shape, dtype, what))
    buffer = table.number(o.BUFFER, UINT32)
    data = _constant(buffers[buffer], table, type, code, what) if buffer else None
    if code in PACKED_BITS and data is not None and type.quant is not None:
        type = replace(type, quant=replace(type.quant, bits=PACKED_BITS[code]))
    if data is None and dtype is DType.INT32:
        type = replace(type, quant=read_quantization(table, shape, dtype, what, computed=True))
    variable = table.flag(o.IS_VARIABLE)
    if variable and data is not None:
        raise UnsupportedError(f"{what}: a variable with a value of its own is not supported")
    signature = table.numbers(o.SHAPE_SIGNATURE, "i")
    open = signature if -1 in signature and len(signature) == len(shape) else ()
    return Declared(table, what, label, type, data, variable, open)


def _shape(table: Table, what: str) -> tuple[int, ...]:
    shape = table.numbers(schema.Tensor.SHAPE, "i")
    if len(shape) > MAX_RANK:
        raise ModelError(f"{what}: rank {len(shape)}; at most {MAX_RANK}")
    if shape and min(shape) < 0:
        raise ModelError(f"{what}: shape {list(shape)}; no dimension is negative")
    return shape


def _dtype(code: int, what: str) -> DType:
    if code in PACKED_BITS:
        return DType.INT8
    dtype = DType.FLOAT32 if code == BFLOAT16 else DTYPES.get(code)
    if dtype is None:
        raise UnsupportedError(
            f"{what}: element type {schema.name_of('TensorType', code)} is not supported"
        )
    return dtype


def _constant(buffer: Table, tensor: Table, type: TensorType, code: int, what: str) -> Array | None:
    """The values of a buffer, read-only; None where it is empty: the tensor is computed."""
    o = schema.Buffer
    start, size = buffer.vector(o.DATA, 1)
    offset = buffer.number(o.OFFSET, UINT64)
    if offset > 1:
        start, size = offset, buffer.number(o.SIZE, UINT64)
        if start + size > len(buffer.data):
            raise ModelError(
                f"{buffer.what}: {size} bytes at byte {start} of a file of {len(buffer.data)}"
            )
    sparsity = tensor.table(schema.Tensor.SPARSITY, f"{what}: sparsity")
    if size == 0 and sparsity is None:
        return None
    if type.dtype is DType.STRING:
        array = _strings(buffer.data[start : start + size], math.prod(type.shape), what)
    else:
        positions = None
        if sparsity is not None:
            positions = dense_positions(sparsity, type.shape, what)
        count = math.prod(type.shape) if positions is None else positions.size
        array = _numbers(buffer, start, size, count, code, type, what)
        if positions is not None:
            dense = np.zeros(math.prod(type.shape), array.dtype)
            dense[positions] = array
            array = dense
    array = array.reshape(type.shape)
    array.flags.writeable = False
    return array


def _numbers(
    buffer: Table, start: int, size: int, count: int, code: int, type: TensorType, what: str
) -> Array:
    """``count`` elements of the element type ``code``, as those of ``type``."""
    bits = 16 if code == BFLOAT16 else PACKED_BITS.get(code, 8 * type.dtype.itemsize)
    if size != -(-count * bits // 8):
        raise ModelError(
            f"{what}: {buffer.what} has {size} bytes; {type.dtype}{list(type.shape)} "
            f"needs {-(-count * bits // 8)}"
        )
    if code in PACKED_BITS:
        packed = np.frombuffer(buffer.data, np.uint8, size, start)
        parts = [packed << np.uint8(8 - bits - shift) for shift in range(0, 8, bits)]
        fields = np.stack(parts, axis=1).reshape(-1)[:count]
        integers: Array = fields.view(np.int8) >> np.int8(8 - bits)
        return integers
    if code == BFLOAT16:
        halves = np.frombuffer(buffer.data, "<u2", count, start)
        return (halves.astype(np.uint32) << 16).view(np.float32)
    if type.dtype is DType.BOOL and np.frombuffer(buffer.data, np.uint8, count, start).max() > 1:
        raise ModelError(f"{what}: {buffer.what} has bytes above 1; a bool is 0 or 1")
    array = np.frombuffer(buffer.data, type.dtype.numpy, count, start)
    return array if array.flags.aligned else array.copy()


def _strings(data: bytes, count: int, what: str) -> Array:
    """A tensor of strings: their number, where each begins and the last ends, their bytes."""
    header = 4 * (count + 2)
    if len(data) < header or struct.unpack_from("<i", data)[0] != count:
        raise ModelError(f"{what}: its buffer of {len(data)} bytes does not hold {count} strings")
    ends = struct.unpack_from(f"<{count + 1}i", data, 4)
    if list(ends) != sorted(ends) or ends[0] < header or ends[-1] > len(data):
        raise ModelError(f"{what}: its strings do not lie in order within {len(data)} bytes")
    array = np.empty(count, object)
    array[:] = [data[a:b] for a, b in itertools.pairwise(ends)]
    return array
