"""Operators that make tensors: shapes, constants, ranges."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ... import ops
from ...dtype import DType
from ...graph import Array, Value
from ..onnx_call import Call, Row
from ..onnx_model import array_of, dense_of

MAX_RANGE, MAX_LATE_RANGE = 2**22, 2**26
"""The most elements of a range or an identity matrix that is made while a file is read, and of a
range in a call."""


def shape(call: Call) -> Value:
    found = call.shape(0)[call.integer("start", 0) :]
    if "end" in call.attributes:
        found = call.shape(0)[call.integer("start", 0) : call.integer("end")]
    return call.b.constant(np.array(found, np.int64))


def size(call: Call) -> Value:
    return call.b.constant(np.array(math.prod(call.shape(0)), np.int64))


def constant(call: Call) -> Value:
    """The one attribute that is given."""
    external = call.reading.session.external
    forms: dict[str, Callable[[str], Array]] = {
        "value": lambda name: array_of(call.attributes.get(name, "TENSOR"), external),
        "sparse_value": lambda name: dense_of(
            call.attributes.get(name, "SPARSE_TENSOR"), external, call.what
        ),
        "value_float": lambda name: np.array(call.real(name), np.float32),
        "value_floats": lambda name: np.array(call.reals(name), np.float32),
        "value_int": lambda name: np.array(call.integer(name), np.int64),
        "value_ints": lambda name: np.array(call.ints(name), np.int64),
        "value_string": lambda name: _strings(call.attributes.get(name, "STRING")).reshape(()),
        "value_strings": lambda name: _strings(*call.attributes.get(name, "STRINGS")),
    }
    given = [name for name in forms if name in call.attributes]
    if len(given) != 1:
        raise call.error(f"attributes {given}; a constant has one of {', '.join(forms)}")
    value = call.b.constant(forms[given[0]](given[0]), call.outputs[0] or "constant")
    if given == ["value"]:
        call.reading.session.codes[value] = call.attributes.get("value", "TENSOR").data_type
    return value


def _strings(*texts: bytes) -> Array:
    found = np.empty(len(texts), object)
    found[:] = texts
    return found


def constant_of_shape(call: Call) -> Value:
    wanted = call.integers(0)
    if min(wanted, default=0) < 0:
        raise call.error(f"shape {list(wanted)}; no dimension is negative")
    value: Any = np.zeros((), np.float32)
    if "value" in call.attributes:
        tensor = call.attributes.get("value", "TENSOR")
        value = array_of(tensor, call.reading.session.external)
    if value.size != 1:
        raise call.error(f"attribute 'value' has {value.size} elements; it must have 1")
    return call.one(ops.Fill(wanted), call.b.constant(value.reshape(())))


def range_(call: Call) -> Value:
    """start + i * delta, up to and without limit, rounded once."""
    start, limit, delta = (call.scalar(i) for i in range(3))
    dtypes = {call.value(i).type.dtype for i in range(3)}
    if len(dtypes) != 1 or delta == 0:
        raise call.error(f"{', '.join(map(str, dtypes))} by {delta}; one dtype, and not by 0")
    steps = (limit - start) / delta if isinstance(delta, float) else -((start - limit) // delta)
    if not math.isfinite(steps):
        raise call.error(f"from {start} to {limit} by {delta}; it does not end")
    count = max(math.ceil(steps), 0)
    most = MAX_LATE_RANGE if call.b.eager else MAX_RANGE
    if count > most:
        raise call.unsupported(f"{count} elements; at most {most}")
    dtype = call.value(0).type.dtype
    wide = np.arange(count, dtype=np.float64 if dtype.is_float else np.int64)
    return call.b.constant((start + wide * delta).astype(dtype.numpy))


def eye_like(call: Call) -> Value:
    if call.rank(0) != 2:
        raise call.error(f"input of rank {call.rank(0)}; it must be 2")
    rows, columns = call.shape(0)
    if rows * columns > MAX_RANGE:
        raise call.unsupported(f"{rows}x{columns} elements; at most {MAX_RANGE}")
    dtype = call.value(0).type.dtype
    if "dtype" in call.attributes:
        dtype = call.dtype(call.integer("dtype"))
    if dtype is DType.STRING:
        raise call.error("strings; it gives numbers")
    k = max(min(call.integer("k", 0), columns), -rows)
    return call.b.constant(np.eye(rows, columns, k, dtype.numpy))


OPERATORS: dict[str, Row] = {
    "Constant": Row(constant, (0, 0)),
    "ConstantOfShape": Row(constant_of_shape),
    "EyeLike": Row(eye_like),
    "Range": Row(range_, (3, 3)),
    "Shape": Row(shape),
    "Size": Row(size),
}
