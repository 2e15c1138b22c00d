"""Random files of one operator that moves elements."""

from __future__ import annotations

import numpy as np
from random_draw import BOOL, F32, I8, I16, I32, I64, U8, Draw, Trial, gen

from edgewise.graph import TensorType

ANY = (F32, I32, I64, I8, U8, I16, BOOL)


@gen("PAD", "PADV2", "MIRROR_PAD")
def pad(d: Draw, name: str) -> Trial:
    dtype = d.one(
        (F32, I32, I64, I8, U8, I16, BOOL) if name != "MIRROR_PAD" else (F32, I32, I64, I8, U8, I16)
    )
    t = d.type(d.shape(1, 5), dtype)
    mode = d.int(0, 1)
    pads = [[d.one((0, 0, 1, 2, 5)), d.one((0, 0, 1, 3))] for _ in t.shape]
    if name == "MIRROR_PAD":
        pads = [
            [min(p, max(n - 1 + mode, 0)) for p in q] for q, n in zip(pads, t.shape, strict=False)
        ]
    kind = d.one((I32, I64))
    inputs = [d.input(t), d.index(np.array(pads).reshape(-1, 2), kind)]
    if name == "PADV2":
        v = TensorType(d.one(((), (1,))), dtype, t.quant)
        inputs.append(d.operand(v, None, 0.8))
    options, fields = {
        "MIRROR_PAD": ("MirrorPadOptions", {"Mode": mode}),
        "PAD": ("PadOptions", {}),
        "PADV2": ("PadV2Options", {}),
    }[name]
    return d.trial(name, inputs, [t], options, **fields)


@gen("CONCATENATION")
def concat(d: Draw, name: str) -> Trial:
    dtype = d.one(ANY)
    shape = d.shape(1, 5)
    axis = d.int(0, len(shape) - 1)
    out = d.type((), dtype)
    inputs = []
    for i in range(d.int(1, 5)):
        s = list(shape)
        s[axis] = d.dim() if d.chance(0.6) else s[axis]
        q = out.quant
        if dtype is U8 and d.chance(0.4):
            q = d.quant(dtype)
        inputs.append(d.operand(TensorType(tuple(s), dtype, q), None, 0.15 if i else 0))
    return d.trial(
        name,
        inputs,
        [out],
        "ConcatenationOptions",
        Axis=axis - len(shape) if d.chance(0.4) else axis,
    )


@gen("RESHAPE")
def reshape(d: Draw, name: str) -> Trial:
    t = d.type(d.shape(0, 5), d.one(ANY))
    n = t.size
    shape = []
    for _ in range(d.int(0, 4)):
        divisors = [k for k in range(1, n + 1) if n % k == 0] or [0]
        k = d.one(divisors)
        shape.append(k)
        n = n // k if k else 0
    shape.append(n)
    if d.chance(0.4) and t.size:
        shape[d.int(0, len(shape) - 1)] = -1
    if t.size == 1 and d.chance(0.3):
        shape = []
    x = d.input(t)
    kind = d.int(0, 2)
    if kind == 0 and shape:
        return d.trial(name, [x], [t], "ReshapeOptions", NewShape=shape)
    return d.trial(
        name,
        [x, d.index(np.array(shape, np.int32))],
        [t],
        *(("ReshapeOptions",) if kind == 1 else ()),
    )


@gen("SQUEEZE")
def squeeze(d: Draw, name: str) -> Trial:
    shape = tuple(1 if d.chance(0.4) else n for n in d.shape(1, 5))
    t = d.type(shape, d.one(ANY))
    ones = [i for i, n in enumerate(shape) if n == 1]
    axes = [i - len(shape) if d.chance(0.4) else i for i in ones if d.chance(0.6)]
    return d.trial(name, [d.input(t)], [t], "SqueezeOptions", SqueezeDims=axes)


@gen("EXPAND_DIMS")
def expand(d: Draw, name: str) -> Trial:
    t = d.type(d.shape(0, 4), d.one(ANY))
    axis = d.int(-len(t.shape) - 1, len(t.shape))
    return d.trial(name, [d.input(t), d.index(d.one((axis, [axis])), d.one((I32, I64)))], [t], "")


@gen("TRANSPOSE")
def transpose(d: Draw, name: str) -> Trial:
    t = d.type(d.shape(1, 6), d.one(ANY))
    perm = d.rng.permutation(len(t.shape))
    perm = [int(p) - len(perm) if d.chance(0.1) else int(p) for p in perm]
    return d.trial(name, [d.input(t), d.index(np.array(perm, np.int32))], [t], "TransposeOptions")


@gen("SPLIT", "SPLIT_V")
def split(d: Draw, name: str) -> Trial:
    shape = list(d.shape(1, 5))
    axis = d.int(0, len(shape) - 1)
    given = axis - len(shape) if d.chance(0.4) else axis
    dtype = d.one((F32, I8, U8, I16, I32) if name == "SPLIT" else (F32, I8, U8, I16, I32, I64))
    k = d.int(1, 5)
    if name == "SPLIT":
        shape[axis] = k * d.int(1, 5)
        t = d.type(shape, dtype)
        return d.trial(
            name,
            [d.index(d.one((given, [given]))), d.input(t)],
            [t] * k,
            "SplitOptions",
            NumSplits=k,
        )
    sizes = [d.int(0 if d.chance(0.1) else 1, 5) for _ in range(k)]
    shape[axis] = sum(sizes)
    if d.chance(0.4):
        sizes[d.int(0, k - 1)] = -1
    t = d.type(shape, dtype)
    return d.trial(
        name,
        [d.input(t), d.index(sizes, d.one((I32, I64))), d.index(d.one((given, [given])))],
        [t] * k,
        "SplitVOptions",
        NumSplits=k,
    )


@gen("SLICE")
def slice_(d: Draw, name: str) -> Trial:
    t = d.type(d.shape(1, 5), d.one(ANY))
    begin, size = [], []
    for n in t.shape:
        b = d.int(0, max(n - 1, 0))
        begin.append(b)
        size.append(
            -1 if d.chance(0.3) else d.int(0 if d.chance(0.05) or n == 0 else 1, n - b) if n else 0
        )
    k = d.one((I32, I64))
    shape = [n - b if s == -1 else s for n, b, s in zip(t.shape, begin, size, strict=False)]
    return d.trial(
        name,
        [d.input(t), d.index(begin, k), d.index(size, k)],
        [TensorType(tuple(shape), t.dtype, t.quant)],
        "",
    )


@gen("STRIDED_SLICE")
def strided(d: Draw, name: str) -> Trial:
    t = d.type(d.shape(1, 5), d.one(ANY))
    rank = len(t.shape)
    count = d.int(1, rank)
    new_axis = ellipsis = 0
    if d.chance(0.3):
        count = min(count + 1, 5)
        new_axis = 1 << d.int(0, count - 1)
    if d.chance(0.3):
        ellipsis = (1 << d.int(0, count - 1)) & ~new_axis
    begin, end, strides = [], [], []
    shrink = 0
    for i in range(count):
        n = t.shape[i] if i < rank else 1
        s = d.one((1, 1, 1, 2, 3, -1, -2))
        b, e = d.int(-n - 1, n + 1), d.int(-n - 1, n + 1)
        if d.chance(0.6):
            lo, hi = sorted((d.int(0, n), d.int(0, n)))
            b, e = (lo, max(hi, lo + 1)) if s > 0 else (max(hi - 1, 0), lo - 1 if lo else -n - 1)
        if d.chance(0.2):
            shrink |= 1 << i
            s, b = 1, d.int(-n, max(n - 1, 0))
        begin.append(b)
        end.append(e)
        strides.append(s)
    masks = [d.int(0, (1 << count) - 1) if d.chance(0.5) else 0 for _ in range(2)]
    return d.trial(
        name,
        [d.input(t), d.index(begin), d.index(end), d.index(strides)],
        [t],
        "StridedSliceOptions",
        BeginMask=masks[0],
        EndMask=masks[1],
        ShrinkAxisMask=shrink,
        NewAxisMask=new_axis,
        EllipsisMask=ellipsis,
        Offset=d.chance(0.05),
    )


@gen("TILE")
def tile(d: Draw, name: str) -> Trial:
    t = d.type(d.shape(0, 4), d.one(ANY))
    m = [d.one((1, 1, 2, 3, 0 if d.chance(0.1) else 2)) for _ in t.shape]
    return d.trial(name, [d.input(t), d.index(np.array(m, np.int32), d.one((I32, I64)))], [t], "")


@gen("BROADCAST_TO")
def broadcast_to(d: Draw, name: str) -> Trial:
    full = d.shape(0, 5)
    s = [1 if d.chance(0.5) else n for n in full][d.int(0, len(full)) :]
    t = d.type(s, d.one(ANY))
    return d.trial(
        name, [d.input(t), d.index(np.array(full, np.int32), d.one((I32, I64)))], [t], ""
    )


@gen("REVERSE_V2")
def reverse(d: Draw, name: str) -> Trial:
    t = d.type(d.shape(1, 5), d.one(ANY))
    rank = len(t.shape)
    k = d.int(1, rank)
    start = d.int(0, rank - k)
    axes = list(range(start, start + k))
    if d.chance(0.3):
        axes = d.rng.permutation(rank)[:k].tolist()
    axes = [a - rank if d.chance(0.3) else a for a in axes]
    return d.trial(name, [d.input(t), d.index(axes)], [t], "")


@gen("REVERSE_SEQUENCE")
def reverse_sequence(d: Draw, name: str) -> Trial:
    d.zero = False
    t = d.type(d.shape(2, 5), d.one((F32, I32, I64, I16, U8)))
    seq, batch = d.rng.permutation(len(t.shape))[:2].tolist()
    lengths = d.rng.integers(0 if t.shape[seq] == 0 else 1, t.shape[seq] + 1, t.shape[batch])
    k = d.one((I32, I64))
    return d.trial(
        name,
        [d.input(t), d.operand(TensorType((t.shape[batch],), k), lengths)],
        [t],
        "ReverseSequenceOptions",
        SeqDim=seq,
        BatchDim=batch,
    )


@gen("SPACE_TO_DEPTH", "DEPTH_TO_SPACE")
def depth(d: Draw, name: str) -> Trial:
    b = d.int(1, 4)
    n, h, w, c = d.int(1, 3), d.int(1, 5), d.int(1, 5), d.one((1, 2, 3, 4, 5, 16))
    shape = (n, h * b, w * b, c) if name == "SPACE_TO_DEPTH" else (n, h, w, c * b * b)
    t = d.type(shape, d.one((F32, I8, U8, I32, I64)))
    return d.trial(
        name,
        [d.input(t)],
        [t],
        "SpaceToDepthOptions" if name[0] == "S" else "DepthToSpaceOptions",
        BlockSize=b,
    )


@gen("SPACE_TO_BATCH_ND", "BATCH_TO_SPACE_ND")
def space_to_batch(d: Draw, name: str) -> Trial:
    rank = d.int(3, 4)
    m = rank - 2
    block = [d.int(1, 3) for _ in range(m)]
    c = d.one((1, 2, 3, 8, 17))
    sizes = [d.int(1, 5) for _ in range(m)]
    if name[0] == "S":
        pads, space = [], []
        for b, n in zip(block, sizes, strict=False):
            before = d.int(0, 2)
            total = n * b
            x = d.int(1, total)
            before = d.int(0, total - x)
            pads.append([before, total - x - before])
            space.append(x)
        shape = (d.int(1, 3), *space, c)
    else:
        pads = [
            [d.int(0, (n * b - 1) // 2), d.int(0, (n * b - 1) // 2)]
            for n, b in zip(sizes, block, strict=False)
        ]
        shape = (d.int(1, 3) * int(np.prod(block)), *sizes, c)
    t = d.type(shape, d.one((F32, I8, U8, I32, I64, I16)))
    return d.trial(name, [d.input(t), d.index(block), d.index(pads)], [t], "")


@gen("PACK")
def pack(d: Draw, name: str) -> Trial:
    t = d.type(d.shape(0, 4), d.one((F32, I8, U8, I16, I32, I64)))
    k = d.int(1, 5)
    axis = d.int(-len(t.shape) - 1, len(t.shape))
    return d.trial(
        name,
        [d.operand(t, None, 0.1 if i else 0) for i in range(k)],
        [t],
        "PackOptions",
        ValuesCount=k,
        Axis=axis,
    )


@gen("UNPACK")
def unpack(d: Draw, name: str) -> Trial:
    shape = list(d.shape(1, 5))
    axis = d.int(0, len(shape) - 1)
    shape[axis] = k = d.int(1, 5)
    t = d.type(shape, d.one((F32, I8, U8, I16, I32, BOOL)))
    return d.trial(
        name,
        [d.input(t)],
        [t] * k,
        "UnpackOptions",
        Num=k,
        Axis=axis - len(shape) if d.chance(0.4) else axis,
    )


@gen("MATRIX_DIAG", "MATRIX_SET_DIAG")
def matrix(d: Draw, name: str) -> Trial:
    dtype = d.one((F32, I8, U8, I16, I32, I64))
    if name == "MATRIX_DIAG":
        t = d.type(d.shape(1, 4), dtype)
        return d.trial(name, [d.input(t)], [t], "")
    t = d.type(d.shape(2, 4), dtype)
    v = TensorType((*t.shape[:-2], min(t.shape[-2:])), dtype, t.quant)
    return d.trial(name, [d.input(t), d.operand(v)], [t], "")
