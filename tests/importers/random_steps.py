"""Operators that compute, by which random networks grow."""

from __future__ import annotations

import numpy as np
from random_draw import BOOL, F32, I8, I32, U8
from random_moves import concat, moves, padop, slices, slices_concat
from random_net import ACTS, is4, out_size, real
from random_products import bias_for, weights

from edgewise.dtype import QParams
from edgewise.graph import TensorType
from tflite_builder import Tensor


def conv(n):
    d = n.d
    x = n.pick(lambda t: is4(t))
    if x is None:
        return
    b, h, w, c = x.type.shape
    kh, kw = d.one([(1, 1), (3, 3), (1, 1), (2, 3), (5, 5)])
    s = d.one(((1, 1), (1, 1), (2, 2), (1, 2)))
    same = d.chance(0.6) or h < kh or w < kw
    dw = d.chance(0.4)
    q = x.type.quant
    oc = c * d.one((1, 1, 2)) if dw else d.one((1, 3, 4, 8, 16, 17, 32))
    if oc > 64:
        return
    hybrid = q is None and d.chance(0.15) and not dw
    wd = F32 if q is None and not hybrid else (U8 if n.q is U8 and q else I8)
    wt = weights(
        d,
        (1, kh, kw, oc) if dw else (oc, kh, kw, c),
        wd,
        (3 if dw else 0) if wd is I8 and d.chance(0.6) else None,
    )
    if wd is F32:
        wt = Tensor(wt.type, wt.data / np.float32(np.sqrt(kh * kw * (1 if dw else c))))
    bs = bias_for(d, x.type, wt, oc, x.type.dtype)
    oh, ow = out_size(h, kh, s[0], same), out_size(w, kw, s[1], same)
    if q:
        out = TensorType(
            (b, oh, ow, oc),
            x.type.dtype,
            QParams.per_tensor(
                float(
                    np.float32(
                        q.scale[0]
                        * np.mean(wt.type.quant.scale)
                        * 40
                        * np.sqrt(kh * kw * (1 if dw else c))
                    )
                ),
                n.quant().zero_point[0],
            ),
        )
    else:
        out = TensorType((b, oh, ow, oc), F32)
    n.add(
        "DEPTHWISE_CONV_2D" if dw else "CONV_2D",
        [x, wt, bs],
        [out],
        "DepthwiseConv2DOptions" if dw else "Conv2DOptions",
        StrideH=s[0],
        StrideW=s[1],
        Padding=0 if same else 1,
        FusedActivationFunction=d.one(ACTS),
        **({"DepthMultiplier": oc // c} if dw else {}),
    )


def tconv(n):
    d = n.d
    x = n.pick(lambda t: is4(t) and t.type.dtype is not U8)
    if x is None:
        return
    b, h, w, c = x.type.shape
    k = d.one((2, 3))
    oc = d.one((2, 5))
    if h * w > 80:
        return
    q = x.type.quant
    wt = weights(d, (oc, k, k, c), F32 if q is None else I8, None)
    shape = (b, h * 2, w * 2, oc)
    out = n.requant(x, shape)
    n.add(
        "TRANSPOSE_CONV",
        [n.ints(shape), wt, x],
        [out],
        "TransposeConvOptions",
        StrideH=2,
        StrideW=2,
        Padding=0,
    )


def dense(n):
    d = n.d
    x = n.pick(lambda t: real(t) and len(t.type.shape) >= 2 and t.type.shape[-1] <= 256)
    if x is None:
        return
    k = x.type.shape[-1]
    oc = d.one((1, 4, 10, 16, 17))
    q = x.type.quant
    wt = weights(
        d,
        (oc, k),
        F32 if q is None and d.chance(0.8) else (U8 if q and n.q is U8 else I8),
        0 if q and n.q is I8 and d.chance(0.5) else None,
    )
    bs = bias_for(d, x.type, wt, oc, x.type.dtype)
    rows = int(np.prod(x.type.shape[:-1]))
    keep = d.chance(0.5)
    out = n.requant(x, (*x.type.shape[:-1], oc) if keep else (rows, oc))
    n.add(
        "FULLY_CONNECTED",
        [x, wt, bs],
        [out],
        "FullyConnectedOptions",
        KeepNumDims=keep,
        FusedActivationFunction=d.one(ACTS),
    )


def binary(n):
    d = n.d
    x = n.pick(real)
    if x is None:
        return
    name = d.one(("ADD", "ADD", "MUL", "SUB", "MAXIMUM", "MINIMUM"))
    s = x.type.shape
    cands = [
        t
        for t in n.live
        if t.type.dtype is x.type.dtype
        and len(t.type.shape) == len(s)
        and all(a == b or 1 in (a, b) for a, b in zip(s, t.type.shape, strict=False))
    ]
    y = d.one(cands)
    if d.chance(0.35):
        t = n.same(x, d.one((s[-1:], (), s, s[1:])))
        y = n.const(t)
    out = tuple(int(v) for v in np.broadcast_shapes(s, y.type.shape))
    if np.prod(out) > 6000:
        return
    t = n.requant(x, out)
    if name in ("MAXIMUM", "MINIMUM") and x.type.quant:
        if y.type.quant != x.type.quant:
            return
        t = n.same(x, out)
    opts = {"ADD": "AddOptions", "MUL": "MulOptions", "SUB": "SubOptions"}.get(name, "")
    pair = [x, y] if d.chance(0.6) else [y, x]
    if x.data is not None and y.data is not None:
        return
    if opts and t.quant and overflows_in_litert(name, x.type.quant, y.type.quant, t.quant):
        return
    n.add(name, pair, [t], opts, **({"FusedActivationFunction": d.one(ACTS)} if opts else {}))


def overflows_in_litert(name: str, x: QParams, y: QParams, out: QParams) -> bool:
    """Whether it takes its built-in kernel: the rows of ADD and MUL in docs/numbers.md."""
    a, b = x.scale[0], y.scale[0]
    return (a * b if name == "MUL" else max(a, b)) >= 2**8 * out.scale[0]


def unary(n):
    d = n.d
    x = n.pick(real)
    if x is None:
        return
    q = x.type.quant
    low, high = n.q.range
    name = d.one(
        (
            "RELU",
            "RELU6",
            "RELU",
            "HARD_SWISH",
            "LOGISTIC",
            "TANH",
            "LEAKY_RELU",
            "PRELU",
            "ELU",
            "GELU",
            "ABS",
            "NEG",
            "SQUARE",
            "RELU_N1_TO_1",
        )
    )
    if name == "PRELU":
        s = x.type.shape
        a = Tensor(
            TensorType(
                d.one((s[-1:], (1,) * (len(s) - 2) + s[-1:])) if s else (),
                x.type.dtype,
                n.quant() if q else None,
            )
        )
        a = n.const(a.type)
        n.add(name, [x, a], [n.requant(x)])
        return
    if q and name in ("ABS", "NEG", "SQUARE"):
        return
    if x.type.dtype is U8 and name in ("ELU",):
        return
    t = n.requant(x)
    if q and name == "LOGISTIC":
        t = TensorType(t.shape, t.dtype, QParams.per_tensor(1 / 256, low))
    if q and name == "TANH":
        t = TensorType(t.shape, t.dtype, QParams.per_tensor(1 / 128, (low + high + 1) // 2))
    o, f = {
        "LEAKY_RELU": ("LeakyReluOptions", {"Alpha": 0.2}),
        "GELU": ("GeluOptions", {"Approximate": d.chance(0.5)}),
    }.get(name, ("", {}))
    n.add(name, [x], [t], o, **f)


def pad_conv(n):
    d = n.d
    x = n.pick(is4)
    if x is None:
        return
    b, h, w, c = x.type.shape
    pads = [[0, 0], [d.int(0, 1), d.int(0, 2)], [d.int(0, 1), d.int(0, 2)], [0, 0]]
    n.add(
        "PAD",
        [x, n.ints(pads)],
        [n.same(x, (b, h + sum(pads[1]), w + sum(pads[2]), c))],
        "PadOptions",
        True,
    )
    conv(n)


def pools(n):
    d = n.d
    x = n.pick(is4)
    if x is None:
        return
    b, h, w, c = x.type.shape
    k = d.one((2, 3))
    s = d.int(1, 2)
    same = d.chance(0.6) or min(h, w) < k
    n.add(
        d.one(("MAX_POOL_2D", "AVERAGE_POOL_2D")),
        [x],
        [n.same(x, (b, out_size(h, k, s, same), out_size(w, k, s, same), c))],
        "Pool2DOptions",
        FilterHeight=k,
        FilterWidth=k,
        StrideH=s,
        StrideW=s,
        Padding=0 if same else 1,
        FusedActivationFunction=d.one(ACTS),
    )


def resize(n):
    d = n.d
    x = n.pick(lambda t: is4(t) and t.type.dtype is F32)
    if x is None:
        return
    b, h, w, c = x.type.shape
    size = d.one(((h * 2, w * 2), (7, 5)))
    if b * size[0] * size[1] * c > 6000:
        return
    k = d.one(("RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR"))
    n.add(
        k,
        [x, n.ints(size)],
        [n.same(x, (b, *size, c))],
        "ResizeBilinearOptions" if k[7] == "B" else "ResizeNearestNeighborOptions",
        k[7] != "B",
        HalfPixelCenters=d.chance(0.5),
    )


def reduce(n):
    d = n.d
    x = n.pick(lambda t: real(t) and len(t.type.shape) > 0)
    if x is None:
        return
    s = x.type.shape
    axes = sorted(d.rng.permutation(len(s))[: d.int(1, len(s))].tolist())
    if len(s) == 4 and d.chance(0.5):
        axes = [1, 2]
    keep = d.chance(0.6)
    name = d.one(("MEAN", "MEAN", "SUM", "REDUCE_MAX"))
    shape = [1 if i in axes else v for i, v in enumerate(s) if keep or i not in axes]
    n.add(
        name,
        [x, n.ints(axes)],
        [n.same(x, shape) if name == "REDUCE_MAX" else n.requant(x, shape)],
        "ReducerOptions",
        name == "REDUCE_MAX",
        KeepDims=keep,
    )


def softmax(n):
    x = n.pick(lambda t: real(t) and len(t.type.shape) > 0)
    if x is None:
        return
    t = n.same(x)
    if t.quant:
        t = TensorType(t.shape, t.dtype, QParams.per_tensor(1 / 256, n.q.range[0]))
    n.add("SOFTMAX", [x], [t], "SoftmaxOptions", Beta=1.0)


def convert(n):
    x = n.pick(real)
    if x is None:
        return
    if x.type.quant:
        n.add("DEQUANTIZE", [x], [TensorType(x.type.shape, F32)], "DequantizeOptions", True)
    elif n.exact[x]:
        n.add("QUANTIZE", [x], [TensorType(x.type.shape, n.q, n.quant())], "QuantizeOptions")


def compare(n):
    d = n.d
    x = n.pick(lambda t: t.type.dtype is F32 and n.exact[t])
    if x is None:
        return
    m = n.add("GREATER", [x, n.const(TensorType((), F32))], [TensorType(x.type.shape, BOOL)])
    ys = [t for t in n.live if t.type.dtype is F32 and t.type.shape == x.type.shape]
    n.add("SELECT_V2", [m, d.one(ys), d.one(ys)], [n.same(x)], "", True)


def matmul(n):
    d = n.d
    x = n.pick(lambda t: t.type.dtype is F32 and len(t.type.shape) in (3, 4))
    if x is None:
        return
    s = x.type.shape
    ys = [
        t
        for t in n.live
        if t.type.dtype is F32
        and t.type.shape[:-2] == s[:-2]
        and len(t.type.shape) == len(s)
        and (t.type.shape[-1] == s[-1])
    ]
    y = d.one(ys)
    if s[-2] * y.type.shape[-2] * int(np.prod(s[:-2])) > 5000:
        return
    n.add(
        "BATCH_MATMUL",
        [x, y],
        [n.same(x, (*s[:-1], y.type.shape[-2]))],
        "BatchMatMulOptions",
        AdjY=True,
    )


def mapped(n):
    d = n.d
    x = n.pick(lambda t: t.type.dtype is F32 and n.exact[t])
    if x is None:
        return
    y = n.add("CAST", [x], [TensorType(x.type.shape, I32)])
    z = n.add(d.one(("ADD", "MUL", "SUB")), [y, n.ints(d.int(-3, 9))], [y.type])
    if d.chance(0.5):
        n.add("CAST", [z], [TensorType(x.type.shape, F32)], "", True)


STEPS = (
    conv,
    conv,
    conv,
    pad_conv,
    tconv,
    dense,
    binary,
    binary,
    binary,
    unary,
    unary,
    unary,
    padop,
    concat,
    concat,
    slices,
    slices,
    slices_concat,
    moves,
    moves,
    moves,
    pools,
    resize,
    reduce,
    softmax,
    convert,
    convert,
    compare,
    matmul,
    mapped,
)
