"""Rearrangements of vectors that several instruction sets share."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from .ir import Value, u8, u16


def joined(parts: Sequence[Value]) -> Value:
    """A power of two of vectors as one."""
    while len(parts) > 1:
        parts = [a.concat(b) for a, b in zip(parts[::2], parts[1::2], strict=True)]
    return parts[0]


def split(a: Value, lanes: int, *others: Value) -> list[tuple[Value, ...]]:
    """Each value cut into parts of ``lanes`` lanes; parts of the same place together."""
    return [tuple(v.part(j, lanes) for v in (a, *others)) for j in range(a.ty.lanes // lanes)]


def unpack_pairs(a: Value, b: Value) -> tuple[Value, Value]:
    """punpcklwd and punpckhwd: pairs (a, b) of the low and the high half of each 128 bits."""
    n, per = a.ty.lanes, 128 // a.ty.bits
    halves = []
    for start in (0, per // 2):
        lanes = []
        for base in range(0, n, per):
            for e in range(per // 2):
                lanes += [base + start + e, n + base + start + e]
        halves.append(a.shuffle(lanes, b))
    return halves[0], halves[1]


def unpack_bytes(rows: Sequence[Value | None]) -> list[Value]:
    """Four vectors of bytes (None: zeros), interleaved byte by byte within 128-bit lanes."""
    present = next(r for r in rows if r is not None)
    n, k = present.ty.lanes, present.k
    zero = k.const(0, u8[n])
    r0, r1, r2, r3 = (zero if r is None else r.bitcast(u8[n]) for r in rows)
    out = []
    for low, high in zip(unpack_pairs(r0, r1), unpack_pairs(r2, r3), strict=True):
        pairs = unpack_pairs(low.bitcast(u16[n // 2]), high.bitcast(u16[n // 2]))
        out += [x.bitcast(u8[n]) for x in pairs]
    return out


def halved(v: Value, combine: Callable[[Value, Value], Value], lanes: int = 1) -> Value:
    """The lanes of a vector combined, half with half, until ``lanes`` are left."""
    while v.ty.lanes > lanes:
        half = v.ty.lanes // 2
        v = combine(v.part(0, half), v.part(1, half))
    return v


def picked(sources: Sequence[Value], places: Sequence[tuple[int, int]]) -> Value:
    """A vector whose lanes are lanes of vectors of one type, each given as (which, lane)."""
    used = sorted({which for which, _ in places})
    lanes = sources[0].ty.lanes
    out, where = sources[used[0]], [lane if which == used[0] else 0 for which, lane in places]
    for which in used[1:]:
        where = [lanes + p[1] if p[0] == which else w for p, w in zip(places, where, strict=True)]
        out = out.shuffle(where, sources[which])
        where = list(range(len(places)))
    return out if where == list(range(lanes)) else out.shuffle(where)
