"""Convolutions and matrix products."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ... import ops
from ...dtype import DType
from ...graph import Value
from .. import channels_first
from ..onnx_call import Argument, Call, Reader, Results, Row
from .einsum import einsum
from .windows import Windows, resolved, windows


def in_float32(read: Reader) -> Reader:
    """The reader of an operator whose halves are computed as float32, rounded at the end."""

    def wide(call: Call) -> Results:
        if not call.inputs or call.value(0).type.dtype is not DType.FLOAT16:
            return read(call)
        call.inputs = [_cast(call, v, DType.FLOAT16, DType.FLOAT32) for v in call.inputs]
        found = read(call)
        results = [found] if isinstance(found, Value) else found
        return [_cast(call, v, DType.FLOAT32, DType.FLOAT16) for v in results]

    return wide


def _cast(call: Call, v: Argument, dtype: DType, to: DType) -> Argument:
    """A tensor of one dtype as another; what is of another stays."""
    if not isinstance(v, Value) or v.type.dtype is not dtype:
        return v
    return call.one(ops.Cast(to), v)


def conv(call: Call) -> Value:
    x, w = call.value(0), call.value(1)
    call.only(DType.FLOAT32)
    shape = windows(call, w.type.shape[2:])
    return channels_first.conv(
        call.b,
        x,
        w,
        call.optional(2),
        stride=shape.stride,
        dilation=shape.dilation,
        pads=resolved(call, shape),
        groups=call.integer("group", 1),
    )


def conv_transpose(call: Call) -> Value:
    x, w = call.value(0), call.value(1)
    call.only(DType.FLOAT32)
    shape = windows(call, w.type.shape[2:])
    before, size = _transposed_size(call, shape)
    dims = len(size)
    return channels_first.conv_transpose(
        call.b,
        x,
        w,
        call.optional(2),
        stride=shape.stride,
        dilation=shape.dilation,
        pads=(*before, *[0] * dims),
        output_size=size,
        groups=call.integer("group", 1),
    )


def _transposed_size(call: Call, w: Windows) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The pads before each dimension, and the size of the result."""
    size = call.shape(0)[2:]
    dims = len(size)
    extra = call.ints("output_padding", (0,) * dims)
    wanted = call.ints("output_shape", ())[-dims:]
    if len(extra) != dims or min(extra) < 0 or max(extra) >= 2**31:
        raise call.error(f"output_padding {list(extra)}; there is one of 0 or more a dimension")
    whole = [
        s * (n - 1) + o + e for n, s, o, e in zip(size, w.stride, extra, w.extent, strict=True)
    ]
    if not wanted and w.auto.startswith("SAME"):
        wanted = tuple(n * s for n, s in zip(size, w.stride, strict=True))
    if not wanted:
        after = [n - p - q for n, p, q in zip(whole, w.pads[:dims], w.pads[dims:], strict=True)]
        if min(after) < 0:
            raise call.error(f"pads {list(w.pads)} leave no output of {whole}")
        return w.pads[:dims], tuple(after)
    if len(wanted) != dims or min(wanted) < 0:
        raise call.error(f"output_shape {list(wanted)}; there is one of 0 or more a dimension")
    before = []
    for n, o in zip(whole, wanted, strict=True):
        total = max(n - o, 0)
        before.append(total // 2 if w.auto == "SAME_UPPER" else total - total // 2)
    return tuple(before), wanted


def matmul(call: Call) -> Value:
    """FULLY_CONNECTED where the right side is a constant matrix, else BATCH_MATMUL."""
    call.only(DType.FLOAT32)
    x, y, b = call.value(0), call.value(1), call.b
    rows, columns = x.type.shape, y.type.shape
    if not rows or not columns:
        raise call.error(f"shapes {list(rows)} and {list(columns)}; scalars have no products")
    if len(rows) == 1:
        x = b.reshape(x, (1, *rows))
    if len(columns) == 1:
        y = b.reshape(y, (*columns, 1))
    z = product(call, x, y)
    shape = z.type.shape
    kept = (*shape[:-2], *shape[-2:-1] * (len(rows) > 1), *shape[-1:] * (len(columns) > 1))
    return b.reshape(z, kept)


def product(call: Call, x: Value, y: Value, bias: Value | None = None) -> Value:
    """x[..., M, K] times y[..., K, N], plus bias[N]."""
    shape, b = y.type.shape, call.b
    is_matrix = math.prod(shape[:-2]) == 1 and len(shape) <= len(x.type.shape)
    if is_matrix and (y.is_constant or b.quantized(y) is not None):
        if x.type.shape[-1] != shape[-2]:
            raise call.error(
                f"inputs {list(x.type.shape)} and {list(shape)}; columns of the first are rows of "
                "the second"
            )
        weights = b.transpose(b.reshape(y, shape[-2:]), (1, 0))
        extra = [] if bias is None else [bias]
        return call.one(ops.FullyConnected(keep_num_dims=True), x, weights, *extra)
    z = call.one(ops.BatchMatMul(), x, y)
    return z if bias is None else call.one(ops.Add(), z, bias)


def gemm(call: Call) -> Value:
    """alpha * a * b + beta * c"""
    call.only(DType.FLOAT32)
    b, c = call.b, call.optional(2)
    x, y = (
        b.transpose(v, (1, 0)) if call.flag(name) else v
        for v, name in zip(_matrices(call), ("transA", "transB"), strict=True)
    )
    alpha, beta = call.real("alpha", 1.0), call.real("beta", 1.0)
    if alpha != 1.0:
        y = _times(call, y, alpha)
    if c is None or beta == 0.0:
        return product(call, x, y)
    if beta != 1.0:
        c = _times(call, c, beta)
    columns = y.type.shape[1]
    if c.type.size == columns and c.type.shape[-1:] == (columns,):
        return product(call, x, y, b.reshape(c, (columns,)))
    return call.one(ops.Add(), product(call, x, y), c)


def _matrices(call: Call) -> Sequence[Value]:
    for i in (0, 1):
        if call.rank(i) != 2:
            raise call.error(f"input {i} has rank {call.rank(i)}; it must be 2")
    return call.value(0), call.value(1)


def _times(call: Call, x: Value, factor: float) -> Value:
    """x * factor; of a constant, at once."""
    if x.data is None:
        return call.one(ops.Mul(), x, call.number(factor, x))
    return call.b.constant((x.data.astype(np.float64) * factor).astype(x.data.dtype), x.name)


def det(call: Call) -> Value:
    return call.one(ops.Det(), call.value(0))


OPERATORS: dict[str, Row] = {
    "Conv": Row(in_float32(conv), (2, 3)),
    "ConvTranspose": Row(in_float32(conv_transpose), (2, 3)),
    "Det": Row(det),
    "Einsum": Row(in_float32(einsum), (1, 52)),
    "Gemm": Row(in_float32(gemm), (2, 3)),
    "MatMul": Row(in_float32(matmul), (2, 2)),
}
