"""Convolutions, matrix products, attention."""

from __future__ import annotations

import math

import numpy as np

from ... import ops
from ...dtype import DType
from ...graph import Value
from .. import channels_first
from ..torch_call import Call, Reader
from .arithmetic import times


def convolution(call: Call) -> Value:
    """One of any kind; an input without a batch is a batch of one."""
    x, w = call.value("input"), call.value("weight")
    rank = len(w.type.shape) - 2
    stride, dilation = (call.spread(n, rank, (1,) * rank) for n in ("stride", "dilation"))
    padding = call.spread("padding", rank, (0,) * rank)
    groups, bias = call.integer("groups", 1), call.optional("bias")
    bias = None if bias is None else call.b.known(bias)
    pads = (*padding, *padding)
    if not call.flag("transposed"):
        return channels_first.conv(
            call.b, x, w, bias, stride=stride, dilation=dilation, pads=pads, groups=groups
        )
    extra = call.spread("output_padding", rank, (0,) * rank)
    sizes = zip(x.type.shape[2:], w.type.shape[2:], stride, dilation, padding, extra, strict=True)
    size = [(n - 1) * s - 2 * p + d * (k - 1) + e + 1 for n, k, s, d, p, e in sizes]
    return channels_first.conv_transpose(
        call.b,
        x,
        w,
        bias,
        stride=stride,
        dilation=dilation,
        pads=pads,
        output_size=size,
        groups=groups,
    )


def linear(call: Call) -> Value:
    """x w^T + bias"""
    x, w, bias = call.value("input"), call.value("weight"), call.optional("bias")
    if not x.type.shape or len(w.type.shape) != 2:
        raise call.unsupported(f"of a {x.type} by a {w.type}")
    return dense(call, x, w, bias)


def dense(call: Call, x: Value, w: Value, bias: Value | None) -> Value:
    """x[..., K] w[O, K]^T + bias[O]"""
    extra = [] if bias is None else [call.b.known(bias)]
    if x.type.dtype is DType.FLOAT32:
        return call.one(ops.FullyConnected(keep_num_dims=True), x, w, *extra)
    y = product(call, x, call.b.transpose(w, (1, 0)))
    return y if bias is None else call.one(ops.Add(), y, bias)


def product(call: Call, a: Value, b: Value) -> Value:
    """A matrix product as numpy's matmul; of integers as a sum of products."""
    ranks = len(a.type.shape), len(b.type.shape)
    if not min(ranks):
        raise call.error(f"operands of rank {ranks[0]} and {ranks[1]}; both are 1 or more")
    left = call.b.reshape(a, (1, *a.type.shape)) if ranks[0] == 1 else a
    right = call.b.reshape(b, (*b.type.shape, 1)) if ranks[1] == 1 else b
    if a.type.dtype is not DType.FLOAT32:
        raise call.unsupported(f"a product of {a.type.dtype}; supported is float32")
    if b.is_constant and len(right.type.shape) == 2:
        y = dense(call, left, call.b.transpose(right, (1, 0)), None)
    else:
        y = call.one(ops.BatchMatMul(), left, right)
    shape = list(y.type.shape)
    if ranks[1] == 1:
        shape.pop()
    if ranks[0] == 1:
        shape.pop(-2 if ranks[1] > 1 else -1)
    return call.b.reshape(y, shape)


def matmul(second: str) -> Reader:
    return lambda call: product(call, call.value(), call.value(second))


def addmm(first: str, second: str) -> Reader:
    """beta * self + alpha * (first @ second)"""

    def read(call: Call) -> Value:
        bias, a, b = call.value(), call.value(first), call.value(second)
        alpha, beta = call.number("alpha", 1), call.number("beta", 1)
        columns = len(b.type.shape) == 2 and bias.type.shape == b.type.shape[1:]
        if alpha == beta == 1 and columns and b.is_constant:
            return dense(call, a, call.b.transpose(b, (1, 0)), bias)
        y = product(call, a, b)
        y = y if alpha == 1 else times(call, y, alpha)
        bias = bias if beta == 1 else times(call, bias, beta)
        return call.one(ops.Add(), y, bias)

    return read


def attention(call: Call) -> Value:
    """softmax(scale * query key^T + mask) value; rows of which nothing is seen are 0."""
    q, k, v = (call.value(name) for name in ("query", "key", "value"))
    if call.number("dropout_p", 0.0):
        raise call.unsupported("dropout_p is not 0: the module was exported in training mode")
    if q.type.dtype is not DType.FLOAT32:
        raise call.unsupported(f"attention of {q.type.dtype}; supported is float32")
    if call.flag("enable_gqa"):
        heads = q.type.shape[-3]
        k, v = repeated(call, k, heads), repeated(call, v, heads)
    scale = float(call.number("scale", 1 / math.sqrt(max(q.type.shape[-1], 1))))
    scores = call.one(ops.BatchMatMul(adj_y=True), times(call, q, scale), k)
    mask = call.optional("attn_mask")
    if call.flag("is_causal"):
        rows, columns = scores.type.shape[-2:]
        call.check_size((rows, columns))
        mask = call.b.constant(np.tril(np.ones((rows, columns), bool)))
    if mask is None:
        return call.one(ops.BatchMatMul(), call.one(ops.Softmax(), scores), v)
    if mask.type.dtype is not DType.BOOL:
        shares = call.one(ops.Softmax(), call.one(ops.Add(), scores, mask))
        if mask.data is None or not np.isfinite(mask.data).any(-1).all():
            most = call.one(ops.ReduceMax((len(mask.type.shape) - 1,), True), mask)
            seen = call.one(ops.Greater(), most, call.scalar(-math.inf, mask.type.dtype))
            shares = call.one(ops.Select(), seen, shares, call.scalar(0.0, DType.FLOAT32))
        return call.one(ops.BatchMatMul(), shares, v)
    least = call.scalar(float(np.finfo(np.float32).min), DType.FLOAT32)
    shares = call.one(ops.Softmax(), call.one(ops.Select(), mask, scores, least))
    if mask.data is None or not mask.data.any(-1).all():
        shares = call.one(ops.Select(), mask, shares, call.scalar(0.0, DType.FLOAT32))
    return call.one(ops.BatchMatMul(), shares, v)


def repeated(call: Call, x: Value, heads: int) -> Value:
    """Heads of x [..., H, L, E], each as often in a row as gives ``heads``."""
    *batch, count, rows, depth = x.type.shape
    if not count or heads % count:
        raise call.error(f"{heads} heads of queries, {count} of keys; these divide those")
    times_ = heads // count
    wide = call.b.reshape(x, (*batch, count, 1, rows, depth))
    wide = call.one(ops.BroadcastTo((*batch, count, times_, rows, depth)), wide)
    return call.b.reshape(wide, (*batch, heads, rows, depth))


OPERATORS: dict[str, Reader] = {
    "addmm": addmm("mat1", "mat2"),
    "addmv": addmm("mat", "vec"),
    "baddbmm": addmm("batch1", "batch2"),
    "bmm": matmul("mat2"),
    "convolution": convolution,
    "dot": matmul("tensor"),
    "linear": linear,
    "matmul": matmul("other"),
    "mm": matmul("mat2"),
    "mv": matmul("vec"),
    "scaled_dot_product_attention": attention,
}
