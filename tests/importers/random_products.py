"""Random files of one convolution, product, pool or resize."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from random_draw import F32, I8, I16, I32, I64, U8, Draw, Trial, gen

from edgewise.dtype import DType, QParams
from edgewise.graph import TensorType
from tflite_builder import Tensor


def window(d: Draw) -> tuple[int, int]:
    return d.one(((1, 1), (2, 2), (3, 3), (1, 3), (3, 2), (5, 5), (2, 1)))


def image(d: Draw) -> tuple[int, ...]:
    if d.chance(0.03):
        return (0, 3, 3, 2)
    return (
        d.one((1, 1, 1, 2, 3)),
        d.int(1, 11),
        d.int(1, 11),
        d.one((1, 2, 3, 4, 5, 8, 13, 16, 24, 33)),
    )


def padding(
    d: Draw, size: Sequence[int], taps: Sequence[int], dilation: Sequence[int] = (1, 1, 1)
) -> int:
    """SAME (0), or VALID (1) where the window fits."""
    fits = all((k - 1) * step < n for n, k, step in zip(size, taps, dilation, strict=False))
    return d.int(0, 1) if fits else 0


@gen("AVERAGE_POOL_2D", "MAX_POOL_2D", "L2_POOL_2D")
def pool(d: Draw, name: str) -> Trial:
    if name != "MAX_POOL_2D":
        d.finite()
    dtype = d.one((F32, I8, U8, I16) if name[0] != "L" else (F32,))
    t = d.type(image(d), dtype)
    k, s = window(d), (d.int(1, 3), d.int(1, 3))
    if d.chance(0.15):
        k = (max(t.shape[1], 1), max(t.shape[2], 1))
    return d.trial(
        name,
        [d.input(t)],
        [t],
        "Pool2DOptions",
        FilterHeight=k[0],
        FilterWidth=k[1],
        StrideH=s[0],
        StrideW=s[1],
        Padding=padding(d, t.shape[1:3], k),
        FusedActivationFunction=d.one((0, 0, 1, 2, 3)),
        scaled=True,
    )


@gen("RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR")
def resize(d: Draw, name: str) -> Trial:
    dtype = d.one((F32, I8, U8, I16) if name == "RESIZE_BILINEAR" else (F32, I8, U8, I16, I32))
    t = d.type(image(d), dtype)
    size = [d.int(1, 23), d.int(1, 23)]
    mode = d.int(0, 2)
    d.special = d.special[np.abs(d.special) != 3.4e38]
    opt = "ResizeBilinearOptions" if name == "RESIZE_BILINEAR" else "ResizeNearestNeighborOptions"
    return d.trial(
        name,
        [d.input(t), d.index(size)],
        [t],
        opt,
        AlignCorners=mode == 1,
        HalfPixelCenters=mode == 2,
        scaled=True,
        step=3 if name == "RESIZE_BILINEAR" else 0,
    )


def weights(d: Draw, shape: Sequence[int], dtype: DType, axis: int | None) -> Tensor:
    if dtype is F32:
        t = TensorType(tuple(shape), F32)
        return Tensor(t, (d.rng.normal(0, 1, shape)).astype(np.float32))
    low, high = dtype.range
    zero = 0 if dtype is I8 else d.int(0, 255)
    n = 1 if axis is None else shape[axis]
    scales = tuple(d.scale() for _ in range(n))
    q = QParams(scales, (zero,) * n, axis if n > 1 else None)
    data = d.rng.integers(low + (dtype is I8), high, tuple(shape), dtype.numpy, endpoint=True)
    return Tensor(TensorType(tuple(shape), dtype, q), data)


def bias_for(d: Draw, x: TensorType, w: Tensor, n: int, dtype: DType) -> Tensor:
    if dtype is F32:
        return Tensor(TensorType((n,), F32), d.rng.normal(0, 2, n).astype(np.float32))
    b = I64 if dtype is I16 else I32
    scales = tuple(float(np.float32(x.quant.scale[0]) * np.float32(s)) for s in w.type.quant.scale)
    data = d.rng.integers(-3000, 3000, n).astype(b.numpy)
    return Tensor(
        TensorType((n,), b, QParams(scales, (0,) * len(scales), 0 if len(scales) > 1 else None)),
        data,
    )


def product_out(d: Draw, x: TensorType, w: Tensor, k: int, shape: Sequence[int]) -> TensorType:
    if x.quant is None:
        return TensorType(tuple(shape), F32)
    s = float(
        np.float32(
            x.quant.scale[0]
            * np.mean(w.type.quant.scale)
            * 40
            * np.sqrt(max(k, 1))
            * d.one((0.3, 1, 3))
            * (0.01 if x.dtype is I16 else 1)
            * (100 if x.dtype is I16 else 1)
        )
    )
    low, high = x.dtype.range
    return TensorType(
        tuple(shape), x.dtype, QParams.per_tensor(s, 0 if x.dtype is I16 else d.int(low, high))
    )


def kinds(d: Draw) -> tuple[DType, DType, bool]:
    """(activations, weights, per channel)"""
    x, w = d.one(((F32, F32), (F32, F32), (I8, I8), (U8, U8), (I16, I8), (F32, I8), (I8, I8)))
    return x, w, w is I8 and d.chance(0.6)


@gen("CONV_2D", "DEPTHWISE_CONV_2D")
def conv(d: Draw, name: str) -> Trial:
    d.finite()
    xd, wd, per = kinds(d)
    depthwise = name[0] == "D"
    shape = image(d)
    kh, kw = window(d)
    dil = (1, 1) if d.chance(0.6) else (d.int(1, 3), d.int(1, 3))
    stride = (d.int(1, 3), d.int(1, 3)) if d.chance(0.6) else (1, 1)
    c = shape[3]
    if depthwise:
        m = d.one((1, 1, 2, 3))
        n = c * m
        wshape, axis = (1, kh, kw, n), 3
        fields = {"DepthMultiplier": m}
    else:
        n = d.one((1, 2, 3, 4, 8, 16, 17))
        group = 1
        if d.chance(0.15):
            group = d.one([g for g in (2, 3, 4) if c % g == 0] or [1])
            n = group * d.int(1, 5)
        wshape, axis = (n, kh, kw, c // group), 0
        fields = {}
    x = TensorType(shape, xd, None if xd is F32 else d.quant(xd))
    per |= depthwise and wd is not xd and xd is F32
    w = weights(d, wshape, wd, axis if per else None)
    inputs: list[Tensor | None] = [d.input(x), w]
    has_bias = depthwise or d.chance(0.85)
    inputs.append(bias_for(d, x, w, n, xd) if has_bias else None)
    if not has_bias and d.chance(0.5):
        inputs.pop()
    out = product_out(d, x, w, kh * kw * (1 if depthwise else wshape[3]), ())
    return d.trial(
        name,
        inputs,
        [out],
        "DepthwiseConv2DOptions" if depthwise else "Conv2DOptions",
        StrideH=stride[0],
        StrideW=stride[1],
        DilationHFactor=dil[0],
        DilationWFactor=dil[1],
        Padding=padding(d, shape[1:3], (kh, kw), dil),
        FusedActivationFunction=d.one((0, 0, 1, 2, 3)),
        scaled=True,
        **fields,
    )


@gen("TRANSPOSE_CONV")
def tconv(d: Draw, name: str) -> Trial:
    d.finite()
    xd, wd = d.one(((F32, F32), (F32, F32), (I8, I8), (U8, U8), (I16, I8)))
    per = wd is I8 and d.chance(0.6)
    shape = image(d)
    k, s = window(d), (d.int(1, 3), d.int(1, 3))
    n = d.one((1, 2, 3, 4, 8, 17))
    same = d.int(0, 1)
    size = []
    for h, kk, ss in zip(shape[1:3], k, s, strict=False):
        if same == 0:
            size.append(max(h * ss - d.int(0, ss - 1), 1))
        else:
            size.append((h - 1) * ss + kk + d.int(0, ss - 1))
    x = TensorType(shape, xd, None if xd is F32 else d.quant(xd))
    w = weights(d, (n, *k, shape[3]), wd, 0 if per else None)
    inputs = [d.index([shape[0], *size, n]), w, d.input(x)]
    if d.chance(0.6):
        inputs.append(bias_for(d, x, w, n, xd))
    out = product_out(d, x, w, shape[3], ())
    builtin = inputs[0].data is None or any(a < b for a, b in zip(k, s, strict=True))
    return d.trial(
        name,
        inputs,
        [out],
        "TransposeConvOptions",
        StrideH=s[0],
        StrideW=s[1],
        Padding=same,
        FusedActivationFunction=d.one((0, 0, 1, 3)),
        scaled=True,
        step=int(builtin),
    )


@gen("FULLY_CONNECTED")
def dense(d: Draw, name: str) -> Trial:
    d.finite()
    xd, wd, per = kinds(d)
    lead = tuple(max(n, 1) for n in d.shape(0, 3))
    k, n = d.one((1, 2, 3, 4, 7, 8, 16, 33, 64)), d.one((1, 2, 3, 4, 8, 17, 40))
    keep = d.chance(0.4)
    x = TensorType((*lead, k), xd, None if xd is F32 else d.quant(xd))
    w = weights(d, (n, k), wd, 0 if per else None)
    if d.chance(0.1) and xd is F32 and wd is F32:
        inputs = [d.input(x), d.input(w.type, w.data)]
    else:
        inputs = [d.input(x), w]
    if d.chance(0.7):
        inputs.append(bias_for(d, x, w, n, xd))
    elif d.chance(0.5):
        inputs.append(None)
    out = product_out(d, x, w, k, ())
    return d.trial(
        name,
        inputs,
        [out],
        "FullyConnectedOptions",
        KeepNumDims=keep,
        FusedActivationFunction=d.one((0, 0, 1, 2, 3)),
        AsymmetricQuantizeInputs=d.chance(0.5),
        scaled=True,
    )


@gen("BATCH_MATMUL")
def batch_matmul(d: Draw, name: str) -> Trial:
    d.finite()
    d.zero = False
    xd, wd = d.one(((F32, F32), (F32, F32), (I8, I8), (I16, I16), (F32, I8)))
    a, b = d.broadcast(0, 3)
    a, b = tuple(min(n, 5) for n in a), tuple(min(n, 5) for n in b)
    m, k, n = d.one((1, 2, 3, 7, 16)), d.one((1, 2, 3, 8, 17)), d.one((1, 2, 4, 9, 33))
    ax, ay = d.chance(0.4), d.chance(0.4)
    x = TensorType((*a, k, m) if ax else (*a, m, k), xd, None if xd is F32 else d.quant(xd))
    w = TensorType((*b, n, k) if ay else (*b, k, n), wd, None if wd is F32 else d.quant(wd, True))
    first = d.operand(x, None, 0.1)
    second = d.operand(w, None, 1.0 if wd is not xd else 0.4 if first.data is None else 0)
    out = TensorType((), xd)
    if x.quant:
        out = product_out(d, x, Tensor(w), k, ())
    return d.trial(
        name,
        [first, second],
        [out],
        "BatchMatMulOptions",
        AdjX=ax,
        AdjY=ay,
        AsymmetricQuantizeInputs=d.chance(0.5),
        scaled=True,
        step=1 if x.dtype is I8 else 0,
    )


@gen("CONV_3D", "CONV_3D_TRANSPOSE")
def conv3d(d: Draw, name: str) -> Trial:
    d.finite()
    shape = (d.int(1, 2), d.int(1, 5), d.int(1, 6), d.int(1, 6), d.int(1, 4))
    k = (d.int(1, 3), d.int(1, 3), d.int(1, 3))
    s = (d.int(1, 2), d.int(1, 2), d.int(1, 2))
    dil = (
        (1, 1, 1) if name != "CONV_3D" or d.chance(0.6) else (d.int(1, 2), d.int(1, 2), d.int(1, 2))
    )
    n = d.int(1, 4)
    x = TensorType(shape, F32)
    same = padding(d, shape[1:4], k, dil) if name == "CONV_3D" else d.int(0, 1)
    if name == "CONV_3D":
        w = weights(d, (*k, shape[4], n), F32, None)
        inputs = [d.input(x), w]
    else:
        w = weights(d, (*k, n, shape[4]), F32, None)
        size = [
            h * ss - d.int(0, ss - 1) if same == 0 else (h - 1) * ss + kk + d.int(0, ss - 1)
            for h, kk, ss in zip(shape[1:4], k, s, strict=False)
        ]
        inputs = [d.index([shape[0], *(max(v, 1) for v in size), n]), w, d.input(x)]
    if d.chance(0.6):
        inputs.append(bias_for(d, x, w, n, F32))
    return d.trial(
        name,
        inputs,
        [TensorType((), F32)],
        "Conv3DOptions",
        StrideD=s[0],
        StrideH=s[1],
        StrideW=s[2],
        DilationDFactor=dil[0],
        DilationHFactor=dil[1],
        DilationWFactor=dil[2],
        Padding=same,
        FusedActivationFunction=d.one((0, 0, 1, 3)),
        scaled=True,
    )
