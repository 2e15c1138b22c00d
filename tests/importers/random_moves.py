"""Operators that move elements, by which random networks grow."""

from __future__ import annotations

import numpy as np
from random_draw import BOOL
from random_net import real


def padop(n):
    d = n.d
    x = n.pick(real)
    if x is None or not x.type.shape:
        return
    s = x.type.shape
    pads = [[d.int(0, 2), d.int(0, 2)] if d.chance(0.5) else [0, 0] for _ in s]
    if len(s) == 4 and d.chance(0.7):
        pads[0] = pads[3] = [0, 0]
    shape = [a + sum(p) for a, p in zip(s, pads, strict=False)]
    if np.prod(shape) > 6000:
        return
    if (
        len(s) == 4
        and d.chance(0.2)
        and all(p[0] < a and p[1] < a for a, p in zip(s, pads, strict=False))
    ):
        n.add("MIRROR_PAD", [x, n.ints(pads)], [n.same(x, shape)], "MirrorPadOptions", True, Mode=0)
        return
    if d.chance(0.2):
        n.add(
            "PADV2",
            [x, n.ints(pads), n.const(n.same(x, ()))],
            [n.same(x, shape)],
            "PadV2Options",
            True,
        )
        return
    n.add("PAD", [x, n.ints(pads)], [n.same(x, shape)], "PadOptions", True)


def concat(n):
    d = n.d
    x = n.pick(lambda t: len(t.type.shape) > 0)
    if x is None:
        return
    s = x.type.shape
    axis = d.int(0, len(s) - 1)
    ok = [
        t
        for t in n.live
        if t.type.dtype is x.type.dtype
        and t.type.quant == x.type.quant
        and len(t.type.shape) == len(s)
        and all(a == b or i == axis for i, (a, b) in enumerate(zip(s, t.type.shape, strict=False)))
    ]
    parts = [d.one(ok) for _ in range(d.int(1, 3))]
    parts.insert(d.int(0, len(parts)), x)
    if d.chance(0.15):
        parts.append(n.const(n.same(x)))
    shape = list(s)
    shape[axis] = sum(p.type.shape[axis] for p in parts)
    if np.prod(shape) > 6000:
        return
    n.add(
        "CONCATENATION",
        parts,
        [n.same(x, shape)],
        "ConcatenationOptions",
        True,
        Axis=axis if d.chance(0.5) else axis - len(s),
    )


def slices(n):
    d = n.d
    x = n.pick(lambda t: len(t.type.shape) > 0)
    if x is None:
        return
    s = x.type.shape
    axis = d.int(0, len(s) - 1)
    k = [v for v in (2, 3, 4) if s[axis] % v == 0]
    if k and d.chance(0.5):
        k = d.one(k)
        shape = list(s)
        shape[axis] //= k
        n.add("SPLIT", [n.ints(axis), x], [n.same(x, shape)] * k, "SplitOptions", True, NumSplits=k)
        return
    begin = [d.int(0, v - 1) if d.chance(0.4) else 0 for v in s]
    size = [d.int(1, v - b) if d.chance(0.4) else v - b for v, b in zip(s, begin, strict=False)]
    if d.chance(0.5):
        n.add("SLICE", [x, n.ints(begin), n.ints(size)], [n.same(x, size)], "", True)
        return
    st = [d.one((1, 1, 2, -1)) for _ in s]
    b, e = [], []
    for at, count, step, dim in zip(begin, size, st, s, strict=True):
        b.append(at if step > 0 else at + count - 1)
        e.append(at + count if step > 0 else at - 1 if at else -dim - 1)
    shape = [-(-z // abs(q)) for z, q in zip(size, st, strict=False)]
    n.add(
        "STRIDED_SLICE",
        [x, n.ints(b), n.ints(e), n.ints(st)],
        [n.same(x, shape)],
        "StridedSliceOptions",
        True,
    )


def slices_concat(n):
    d = n.d
    x = n.pick(lambda t: len(t.type.shape) > 0 and max(t.type.shape) > 2)
    if x is None:
        return
    s = x.type.shape
    axis = int(np.argmax(s))
    k = d.int(1, s[axis] - 1)
    parts = []
    for b, z in ((0, k), (k, s[axis] - k)):
        begin = [0] * len(s)
        begin[axis] = b
        size = list(s)
        size[axis] = z
        parts.append(n.add("SLICE", [x, n.ints(begin), n.ints(size)], [n.same(x, size)], "", True))
    if d.chance(0.6):
        parts = parts[::-1]
    n.add("CONCATENATION", parts, [n.same(x)], "ConcatenationOptions", True, Axis=axis)


def moves(n):
    d = n.d
    x = n.pick(lambda t: t.type.size > 0)
    if x is None:
        return
    s = x.type.shape
    kind = d.one(
        (
            "reshape",
            "transpose",
            "transpose",
            "reverse",
            "tile",
            "s2d",
            "d2s",
            "squeeze",
            "expand",
            "gather",
        )
    )
    if kind == "reshape":
        m = x.type.size
        shape = []
        for _ in range(d.int(0, 3)):
            k = d.one([v for v in range(1, m + 1) if m % v == 0])
            shape.append(k)
            m //= k
        shape.append(m)
        n.add("RESHAPE", [x, n.ints(shape)], [n.same(x, shape)], "ReshapeOptions", True)
    elif kind == "transpose" and len(s) > 1:
        p = d.rng.permutation(len(s)).tolist()
        n.add("TRANSPOSE", [x, n.ints(p)], [n.same(x, [s[i] for i in p])], "TransposeOptions", True)
        if d.chance(0.3):
            y = n.live[-1]
            if real(y):
                y = n.add("LEAKY_RELU", [y], [n.requant(y)], "LeakyReluOptions", Alpha=0.3)
            back = np.argsort(p).tolist()
            n.add("TRANSPOSE", [y, n.ints(back)], [n.same(y, s)], "TransposeOptions", True)
    elif kind == "reverse" and s:
        n.add("REVERSE_V2", [x, n.ints([d.int(0, len(s) - 1)])], [n.same(x)], "", True)
    elif kind == "tile" and s and x.type.size < 1000:
        m = [d.one((1, 1, 2)) for _ in s]
        n.add(
            "TILE",
            [x, n.ints(m)],
            [n.same(x, [a * b for a, b in zip(s, m, strict=False)])],
            "",
            True,
        )
    elif (
        kind == "s2d"
        and len(s) == 4
        and s[1] % 2 == 0
        and s[2] % 2 == 0
        and x.type.dtype is not BOOL
    ):
        n.add(
            "SPACE_TO_DEPTH",
            [x],
            [n.same(x, (s[0], s[1] // 2, s[2] // 2, s[3] * 4))],
            "SpaceToDepthOptions",
            True,
            BlockSize=2,
        )
    elif kind == "d2s" and len(s) == 4 and s[3] % 4 == 0 and x.type.dtype is not BOOL:
        n.add(
            "DEPTH_TO_SPACE",
            [x],
            [n.same(x, (s[0], s[1] * 2, s[2] * 2, s[3] // 4))],
            "DepthToSpaceOptions",
            True,
            BlockSize=2,
        )
    elif kind == "squeeze" and 1 in s:
        n.add(
            "SQUEEZE",
            [x],
            [n.same(x, [v for v in s if v != 1])],
            "SqueezeOptions",
            True,
            SqueezeDims=[],
        )
    elif kind == "expand" and len(s) < 5:
        a = d.int(0, len(s))
        n.add("EXPAND_DIMS", [x, n.ints([a])], [n.same(x, (*s[:a], 1, *s[a:]))], "", True)
    elif kind == "gather" and s:
        a = d.int(0, len(s) - 1)
        idx = d.rng.integers(0, s[a], d.int(1, 5))
        n.add(
            "GATHER",
            [x, n.ints(idx)],
            [n.same(x, (*s[:a], len(idx), *s[a + 1 :]))],
            "GatherOptions",
            True,
            Axis=a,
        )
