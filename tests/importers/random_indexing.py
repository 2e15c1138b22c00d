"""Random files of one operator that selects, scatters, counts or sorts."""

from __future__ import annotations

import numpy as np
from random_draw import BOOL, F32, I8, I16, I32, I64, U8, Draw, Trial, gen

from edgewise.dtype import DType
from edgewise.graph import TensorType
from tflite_builder import TYPES


@gen("GATHER")
def gather(d: Draw, name: str) -> Trial:
    shape = d.shape(1, 4)
    axis = d.int(0, len(shape) - 1)
    batch = d.int(0, axis) if d.chance(0.4) else 0
    ishape = (*shape[:batch], *(d.dim() for _ in range(d.int(0, 2))))
    if shape[axis] == 0:
        ishape = (*shape[:batch], 0)
    k = d.one((I32, I64, I16))
    t = d.type(shape, d.one((F32, I8, U8, I16, I32, I64, BOOL)))
    it = TensorType(ishape, k)
    idx = d.rng.integers(0, max(shape[axis], 1), ishape)
    given_axis = axis - len(shape) if d.chance(0.3) else axis
    given_batch = batch - len(ishape) if batch and d.chance(0.3) else batch
    return d.trial(
        name,
        [d.operand(t), d.operand(it, idx)],
        [t],
        "GatherOptions",
        Axis=given_axis,
        BatchDims=given_batch,
    )


@gen("GATHER_ND")
def gather_nd(d: Draw, name: str) -> Trial:
    shape = tuple(max(n, 1) for n in d.shape(1, 4))
    depth = d.int(1, len(shape))
    outer = tuple(d.int(1, 5) for _ in range(d.int(0, 3)))
    idx = np.stack([d.rng.integers(0, shape[i], outer) for i in range(depth)], -1)
    k = d.one((I32, I64, I16))
    t = d.type(shape, d.one((F32, I8, U8, I16, I32, I64, BOOL)))
    return d.trial(name, [d.operand(t), d.operand(TensorType(idx.shape, k), idx)], [t], "")


@gen("EMBEDDING_LOOKUP")
def embedding(d: Draw, name: str) -> Trial:
    shape = tuple(max(n, 1) for n in d.shape(2, 4))
    n = d.int(1, 7)
    idx = d.rng.integers(0, shape[0], n)
    dtype = d.one((F32, I8, U8))
    t = d.type(shape, dtype)
    out = t
    if dtype is I8 and d.chance(0.6):
        t = TensorType(shape, dtype, d.quant(dtype, True))
        out = TensorType((), F32)
    return d.trial(name, [d.input(TensorType((n,), I32), idx), d.operand(t, None, 0.8)], [out], "")


@gen("ONE_HOT")
def one_hot(d: Draw, name: str) -> Trial:
    shape = d.shape(0, 3)
    dtype = d.one((F32, I8, U8, I16, I32, I64, BOOL))
    depth = d.int(1, 9)
    k = d.one((I32, I64))
    x = TensorType(shape, k)
    on, off = TensorType((), dtype), TensorType((), dtype)
    return d.trial(
        name,
        [
            d.input(x, d.rng.integers(-2, depth + 2, shape)),
            d.index(depth),
            d.operand(on, None, 0.7),
            d.operand(off, None, 0.7),
        ],
        [TensorType((), dtype)],
        "OneHotOptions",
        Axis=d.int(-1, len(shape)),
    )


@gen("TOPK_V2")
def topk(d: Draw, name: str) -> Trial:
    t = d.type(d.shape(1, 4), d.one((F32, I8, U8, I16, I32, I64)))
    k = d.int(0 if t.shape[-1] == 0 else 1, t.shape[-1])
    return d.trial(
        name,
        [d.input(t), d.index(d.one((k, [k])))],
        [t, TensorType((), d.one((I32, I32, I16)))],
        "",
    )


@gen("SCATTER_ND")
def scatter_nd(d: Draw, name: str) -> Trial:
    shape = tuple(max(n, 1) for n in d.shape(1, 4))
    depth = d.int(1, len(shape))
    n = d.int(1, 6)
    outer = d.one(((n,), (2, n)))
    idx = np.stack([d.rng.integers(0, shape[i], outer) for i in range(depth)], -1)
    dtype = d.one((F32, I8, U8, I32, I64, BOOL))
    t = TensorType((*outer, *shape[depth:]), dtype)
    return d.trial(
        name,
        [d.operand(TensorType(idx.shape, I32), idx), d.input(t), d.index(shape)],
        [TensorType(shape, dtype)],
        "",
    )


@gen("SPARSE_TO_DENSE")
def sparse_to_dense(d: Draw, name: str) -> Trial:
    rank = d.int(1, 4)
    shape = tuple(d.int(1, 7) for _ in range(rank))
    n = d.int(1, 6)
    flat = np.sort(d.rng.permutation(int(np.prod(shape)))[:n])
    idx = np.stack(np.unravel_index(flat, shape), -1)
    n = len(flat)
    if rank == 1 and d.chance(0.5):
        idx = idx[:, 0]
    k = d.one((I32, I64))
    dtype = d.one((F32, I8, U8, I32, I64))
    v = TensorType(() if d.chance(0.2) else (n,), dtype)
    return d.trial(
        name,
        [
            d.operand(TensorType(idx.shape, k), idx),
            d.index(shape, k),
            d.input(v),
            d.operand(TensorType((), dtype), None, 0.8),
        ],
        [TensorType((), dtype)],
        "SparseToDenseOptions",
    )


@gen(
    "SEGMENT_SUM",
    "UNSORTED_SEGMENT_SUM",
    "UNSORTED_SEGMENT_PROD",
    "UNSORTED_SEGMENT_MAX",
    "UNSORTED_SEGMENT_MIN",
)
def segment(d: Draw, name: str) -> Trial:
    if "SUM" in name or "PROD" in name:
        d.finite()
    shape = tuple(max(n, 1) for n in d.shape(1, 4))
    t = d.type(shape, d.one((F32, I32)))
    if name == "SEGMENT_SUM":
        steps = d.rng.integers(0, 2, shape[0])
        steps[0] = 0
        return d.trial(name, [d.input(t), d.index(np.cumsum(steps))], [t], "", scaled=True)
    rows = d.int(1, 6)
    count = d.int(1, len(shape)) if d.chance(0.4) else 1
    ids = d.rng.integers(0, rows, shape[:count])
    return d.trial(
        name,
        [
            d.input(t),
            d.operand(TensorType(ids.shape, I32), ids, 0.5),
            d.index(d.one((rows, [rows]))),
        ],
        [t],
        "",
        scaled=True,
    )


@gen("FILL")
def fill(d: Draw, name: str) -> Trial:
    t = d.type((), d.one((F32, I8, I16, I32, I64, BOOL)))
    k = d.one((I32, I64))
    return d.trial(name, [d.index(np.array(d.shape(0, 5), k.numpy), k), d.input(t)], [t], "")


@gen("SHAPE", "RANK")
def shape_op(d: Draw, name: str) -> Trial:
    t = d.type(d.shape(0, 5), d.one((F32, I32, I64, I8, U8, I16, BOOL)))
    out = d.one((I32, I64)) if name == "SHAPE" else I32
    return d.trial(
        name,
        [d.input(t)],
        [TensorType((), out)],
        "ShapeOptions" if name == "SHAPE" else "",
        **({"OutType": TYPES[out]} if name == "SHAPE" else {}),
    )


@gen("RANGE")
def range_(d: Draw, name: str) -> Trial:
    dtype = d.one((F32, I32, I64))
    a, b, s = d.int(-20, 20), d.int(-20, 20), d.one((1, 2, 3, 7))
    if b < a:
        s = -s
    f = 1.5 if dtype is F32 else 1
    ins = [d.operand(TensorType((), dtype), np.array(v * f), 0.8) for v in (a, b, s)]
    return d.trial(name, ins, [TensorType((), dtype)], "")


@gen("UNIQUE")
def unique(d: Draw, name: str) -> Trial:
    dtype = d.one((F32, I8, U8, I16, I32, I64))
    t = TensorType((d.int(1, 30),), dtype)
    out = d.one((I32, I64))
    data = d.rng.integers(0, 9, t.shape)
    return d.trial(
        name,
        [d.input(t, data)],
        [TensorType((), dtype), TensorType((), out)],
        "UniqueOptions",
        IdxOutType=TYPES[out],
    )


@gen("WHERE")
def where(d: Draw, name: str) -> Trial:
    dtype = d.one((BOOL, BOOL, F32, I32, I64, I8, U8))
    t = TensorType(d.shape(0 if d.chance(0.1) else 1, 4), dtype)
    return d.trial(name, [d.input(t, d.rng.integers(0, 2, t.shape))], [TensorType((), I64)], "")


@gen("BUCKETIZE")
def bucketize(d: Draw, name: str) -> Trial:
    t = TensorType(d.shape(0, 4), d.one((F32, I32, I64, DType.FLOAT64)))
    bounds = np.sort(d.rng.normal(0, 3, d.int(1, 6))).astype(np.float32)
    return d.trial(name, [d.input(t)], [TensorType((), I32)], "BucketizeOptions", Boundaries=bounds)


@gen("DYNAMIC_UPDATE_SLICE")
def update(d: Draw, name: str) -> Trial:
    shape = d.shape(1, 4)
    t = d.type(shape, d.one((F32, I8, I16, I32, I64, BOOL)))
    sub = tuple(d.int(1 if n else 0, n) for n in shape)
    k = d.one((I32, I64))
    start = [d.int(-3, n + 1) for n in shape]
    return d.trial(
        name,
        [
            d.operand(t),
            d.input(TensorType(sub, t.dtype, t.quant)),
            d.operand(TensorType((len(shape),), k), start, 0.4),
        ],
        [t],
        "",
    )


@gen("BROADCAST_ARGS")
def broadcast_args(d: Draw, name: str) -> Trial:
    a, b = d.broadcast(0, 4)
    k = d.one((I32, I64))
    return d.trial(
        name,
        [d.index(np.array(a, k.numpy), k), d.index(np.array(b, k.numpy), k)],
        [TensorType((), k)],
        "",
    )
