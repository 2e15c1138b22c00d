"""Products of matrices that are blobs, attention, embeddings, and columns of images."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ... import ops
from ...dtype import DType
from ...graph import Array, Value
from ..channels_first import conv, conv_transpose, part
from ..ncnn_call import Call, Row
from .activations import affine
from .products import Window

LARGEST_COLUMNS = 2**24
"""The most weights of a convolution that takes an image apart."""


def _mat_mul(call: Call) -> Value:
    ranks = call.rank(0), call.rank(1)
    rank = max(*ranks, 2)
    a, b = call.value(0), call.value(1)
    (ad, bd), transposed = (call.dims(0), call.dims(1)), call.flag(0)
    if ranks[1] == 1:
        bd = (1, *bd) if transposed else (*bd, 1)
    if ranks[0] == 1:
        ad = (1, *ad)
    a, b = (call.shaped(v, (*[1] * (rank - len(d)), *d)) for v, d in ((a, ad), (b, bd)))
    y = call.one(ops.BatchMatMul(adj_y=transposed), a, b)
    made = list(y.type.shape[1:])
    if ranks == (1, 1):
        return call.shaped(y, (1,))
    if ranks[0] == 1:
        del made[-2]
    elif ranks[1] == 1:
        del made[-1]
    return call.shaped(y, made)


def _gemm(call: Call) -> Value:
    call.refuse(18, "weights of a few bits")
    blobs = call.values()
    m, n, k = (call.integer(key) for key in (7, 8, 9))
    transposed = call.flag(2), call.flag(3)
    operands = []
    shapes = ((k, m) if transposed[0] else (m, k)), ((n, k) if transposed[1] else (k, n))
    for i, shape in enumerate(shapes):
        if call.flag(4 + i):
            operands.append(call.b.constant(call.weights(*shape)[None], "weights"))
        elif not blobs:
            raise call.error(f"{len(call.blobs)} inputs; it needs another one")
        else:
            operands.append(_matrix(call, blobs.pop(0)))
    y = call.one(ops.BatchMatMul(adj_x=transposed[0], adj_y=transposed[1]), *operands)
    c = _third(call, blobs, *y.type.shape[1:])
    if c is not None:
        y = call.one(ops.Add(), y, affine(call, c, call.real(1, 1.0), 0))
    y = affine(call, y, call.real(0, 1.0), 0)
    if call.flag(14):
        y = call.b.transpose(y, (0, 2, 1))
    rows, columns = y.type.shape[1:]
    return call.shaped(y, (rows, 1, columns)) if call.flag(11) else y


def _matrix(call: Call, x: Value) -> Value:
    """A blob of rows; rows may be channels."""
    dims = x.type.shape[1:]
    if len(dims) == 3 and dims[1] == 1:
        return call.shaped(x, (dims[0], dims[2]))
    if len(dims) != 2:
        raise call.error(f"a matrix of shape {list(dims)}; it must have 2 dimensions")
    return x


def _third(call: Call, blobs: Sequence[Value], m: int, n: int) -> Value | None:
    """What is added, as one element, a column, a row or a matrix; None for nothing."""
    if call.flag(6):
        kind = call.integer(10)
        if kind == -1:
            return None
        shapes = ((1, 1), (m, 1), (m, 1), (m, n), (1, n))
        if not 0 <= kind < len(shapes):
            raise call.error(f"constant_broadcast_type_C {kind}; it is -1 to 4")
        return call.b.constant(call.weights(*shapes[kind])[None], "addend")
    if not blobs:
        return None
    c = blobs[0]
    dims = c.type.shape[1:]
    if len(dims) == 1 and dims[0] == m and m != n:
        return call.shaped(c, (m, 1))
    return call.shaped(c, (1, *dims)) if len(dims) == 1 else c


def _attention(call: Call) -> Value:
    call.refuse(7, "a cache of keys and values")
    call.refuse(18, "weights of a few bits")
    width, heads, size = call.integer(0), call.integer(1, 1), call.integer(2)
    if width < 1 or heads < 1 or width % heads or size < 1 or size % width:
        raise call.error(f"{size} weights of embed_dim {width} in {heads} heads")
    depths = size // width, call.integer(3, width), call.integer(4, width)
    blobs = call.values()
    mask = blobs.pop() if call.flag(5) else None
    if not 1 <= len(blobs) <= 3:
        raise call.error(f"{len(blobs)} inputs besides a mask; 1 to 3")
    given = (blobs[0], blobs[min(1, len(blobs) - 1)], blobs[-1])
    if any(len(v.type.shape) != 3 for v in given):
        raise call.error("inputs that are no sequences of rows")

    def linear(x: Value, outputs: int, inputs: int) -> Value:
        w = call.b.constant(call.weights(outputs, inputs), "weights")
        bias = call.b.constant(call.floats(outputs), "bias")
        return call.one(ops.FullyConnected(keep_num_dims=True), x, w, bias)

    q, k, v = (linear(x, width, depth) for x, depth in zip(given, depths, strict=True))
    q = affine(call, q, call.real(6, 1 / math.sqrt(width // heads)), 0)
    q, k, v = (_by_heads(call, x, heads) for x in (q, k, v))
    y = _attended(call, q, k, v, mask)
    joined = call.b.transpose(y, (0, 2, 1, 3))
    return linear(call.shaped(joined, (joined.type.shape[1], width)), depths[0], width)


def _by_heads(call: Call, x: Value, heads: int) -> Value:
    """[N, T, heads * D] as [N, heads, T, D]."""
    _, steps, width = x.type.shape
    return call.b.transpose(call.shaped(x, (steps, heads, width // heads)), (0, 2, 1, 3))


def _attended(call: Call, q: Value, k: Value, v: Value, mask: Value | None) -> Value:
    """softmax(q k' + mask) v"""
    scores = call.one(ops.BatchMatMul(adj_y=True), q, k)
    if mask is not None:
        rank = len(mask.type.shape) - 1
        mask = call.shaped(mask, (*[1] * (3 - rank), *mask.type.shape[1:]))
        scores = call.one(ops.Add(), scores, mask)
    return call.one(ops.BatchMatMul(), call.one(ops.Softmax(), scores), v)


def _scaled_attention(call: Call) -> Value:
    """SDPA of q[heads, T, D], k and v[groups, S, ...]; heads of a group share its keys."""
    call.refuse(7, "a cache of keys and values")
    call.refuse(18, "weights of a few bits")
    for i in range(3):
        call.rank(i, 3)
    heads, groups = call.dims(0)[0], call.dims(1)[0]
    if heads % groups or call.dims(2)[0] != groups:
        raise call.error(f"{heads} heads in {groups} groups, which divide them")
    q, k, v = (call.value(i) for i in range(3))
    k, v = (_repeated(call, x, heads // groups) for x in (k, v))
    scale = call.real(6) or 1 / math.sqrt(call.dims(0)[2])
    mask = call.value(3) if call.flag(5) else None
    return _attended(call, affine(call, q, scale, 0), k, v, mask)


def _repeated(call: Call, x: Value, times: int) -> Value:
    """Each channel so many times in a row."""
    if times == 1:
        return x
    groups, steps, width = x.type.shape[1:]
    wide = call.shaped(x, (groups, 1, steps, width))
    return call.shaped(
        call.one(ops.Tile((1, 1, times, 1, 1)), wide), (groups * times, steps, width)
    )


def _embed(call: Call) -> Value:
    """Rows of a table, by whole numbers; those outside of it name its first or last row."""
    call.refuse(18, "weights of a few bits")
    width, count, size = call.integer(0), call.integer(1), call.integer(3)
    if size != width * count:
        raise call.error(f"{size} weights of {count} rows of {width}")
    table = call.b.constant(call.weights(count, width), "table")
    bias = call.b.constant(call.floats(width), "bias") if call.flag(2) else None
    words = call.shaped(call.value(), (math.prod(call.dims()),))
    if words.type.dtype is not DType.INT32:
        words = call.one(ops.Cast(DType.INT32), words)
    for op, bound in ((ops.Maximum, 0), (ops.Minimum, count - 1)):
        words = call.one(op(), words, call.b.constant(np.array(bound, np.int32)))
    y = call.one(ops.Gather(0), table, words)
    return y if bias is None else call.one(ops.Add(), y, bias)


def _glu(call: Call) -> Value:
    axis = call.axis(call.integer(0), call.rank())
    size = call.raw().type.shape[axis]
    if size % 2:
        raise call.error(f"axis of {size} elements; it has two halves")
    x = call.value()
    a, b = (part(call.b, x, axis, i * (size // 2), size // 2) for i in range(2))
    return call.one(ops.Mul(), a, call.one(ops.Logistic(), b))


def _taps(call: Call, channels: int, window: Window) -> Array:
    """For each channel and tap weights that are 1 at the tap: [channels * taps, 1, KH, KW]."""
    taps = math.prod(window.taps)
    if channels * taps * taps > LARGEST_COLUMNS:
        raise call.unsupported(f"windows {window.taps} of {channels} channels")
    each = np.eye(taps, dtype=np.float32).reshape(taps, 1, *window.taps)
    return np.tile(each, (channels, 1, 1, 1))


def _unfold(call: Call) -> Value:
    """The windows of an image as columns."""
    call.rank(0, 3)
    window, (channels, *size) = Window(call, 2), call.dims()
    pads = window.pads(call, size)
    x = call.value()
    if call.real(18) and any(pads):
        x = call.one(
            ops.Pad(((0, 0), (0, 0), (pads[0], pads[2]), (pads[1], pads[3])), call.real(18)), x
        )
        pads = [0] * 4
    y = conv(
        call.b,
        x,
        call.b.constant(_taps(call, channels, window), "taps"),
        stride=window.stride,
        dilation=window.dilation,
        pads=pads,
        groups=channels,
    )
    made = y.type.shape
    return call.shaped(y, (made[1], made[2] * made[3]))


def _fold(call: Call) -> Value:
    """Columns added up where they lie in an image."""
    call.rank(0, 2)
    window, (rows, columns) = Window(call, 2), call.dims()
    wide = call.integer(20)
    target = [call.integer(21, wide), wide]
    taps = math.prod(window.taps)
    if min(target) < 1 or rows % taps or min((*window.before, *window.after)) < 0:
        raise call.error(f"{rows} rows of {taps} taps, image {target}, pads {window.before}")
    counts = [
        (n + p + q - (k - 1) * d - 1) // s + 1
        for n, p, q, k, d, s in zip(
            target,
            window.before,
            window.after,
            window.taps,
            window.dilation,
            window.stride,
            strict=True,
        )
    ]
    channels = rows // taps
    if math.prod(counts) != columns or min(counts) < 1:
        raise call.error(f"{columns} columns; the image {target} has {counts} windows")
    return conv_transpose(
        call.b,
        call.shaped(call.value(), (rows, *counts)),
        call.b.constant(_taps(call, channels, window), "taps"),
        stride=window.stride,
        dilation=window.dilation,
        pads=[*window.before, 0, 0],
        output_size=target,
        groups=channels,
    )


LAYERS: dict[str, Row] = {
    "Embed": Row(_embed),
    "Fold": Row(_fold),
    "GLU": Row(_glu),
    "Gemm": Row(_gemm, (0, 3)),
    "MatMul": Row(_mat_mul, (2, 2)),
    "MultiHeadAttention": Row(_attention, (1, 4)),
    "SDPA": Row(_scaled_attention, (3, 4)),
    "Unfold": Row(_unfold),
}
