"""Operators between element types."""

from __future__ import annotations

from ... import ops
from ...dtype import DType
from ...graph import Value
from ..onnx_call import Call, Row
from ..onnx_narrow import FLOATS, INTEGERS


def cast(call: Call) -> Value:
    return cast_to(call, call.value(0), call.integer("to"), call.flag("saturate", True))


def cast_like(call: Call) -> Value:
    return cast_to(call, call.value(0), call.code(1), call.flag("saturate", True))


def cast_to(call: Call, x: Value, code: int, saturate: bool = True) -> Value:
    """x as an element type by its number; to integers of few bits the lowest bits stay."""
    if code in FLOATS:
        return call.one(FLOATS[code].cast(saturate), as_dtype(call, x, DType.FLOAT32))
    dtype = call.dtype(code)
    if code not in INTEGERS:
        return as_dtype(call, x, dtype)
    kind, wide = INTEGERS[code], as_dtype(call, x, DType.INT32)
    least, _ = kind.range
    wide = call.one(ops.Sub(), wide, call.number(least, wide))
    wide = call.one(ops.FloorMod(), wide, call.number(2**kind.bits, wide))
    return as_dtype(call, call.one(ops.Add(), wide, call.number(least, wide)), dtype)


def as_dtype(call: Call, x: Value, dtype: DType) -> Value:
    """x as another element type."""
    return x if x.type.dtype is dtype else call.one(ops.Cast(dtype), x)


def bit_cast(call: Call) -> Value:
    x, dtype = call.value(0), call.dtype(call.integer("to"))
    if dtype.itemsize != x.type.dtype.itemsize:
        raise call.error(f"{x.type.dtype} as {dtype}; both take as many bytes")
    if DType.BOOL in (x.type.dtype, dtype):
        return as_dtype(call, as_dtype(call, x, DType.UINT8), dtype)
    return x if x.type.dtype is dtype else call.one(ops.Bitcast(dtype), x)


OPERATORS: dict[str, Row] = {
    "BitCast": Row(bit_cast),
    "Cast": Row(cast),
    "CastLike": Row(cast_like, (2, 2)),
}
