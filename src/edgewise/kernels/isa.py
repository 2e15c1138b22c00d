"""Instruction sets: one class each, over a few primitives that the kernels are written in.

Vectors of 8-bit elements become several vectors of int32 lanes and back (``unpack``, ``pack``).
An instruction set chooses the order of the columns in those vectors so that both are cheap;
``order`` tells it, and weights, biases and scales are packed in that order.

A ``Dot`` is one way to sum products into int32 lanes. GEMM and depthwise convolution may use
different ones on the same instruction set.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from .ir import Kernel, Type, Value, f32, i8, i16, i32, u8, u16


@dataclass(frozen=True)
class Clamp:
    """What turns int32 results relative to the zero point into stored 8-bit numbers.

    ``zero_point``, ``lo``, ``hi`` are int32 scalars; the result is
    clamp(q + zero_point, lo, hi).
    """

    zero_point: Value
    lo: Value
    hi: Value

    @classmethod
    def of(cls, k: Kernel) -> Clamp:
        return cls(k["zero_point"], k["lo"], k["hi"])

    FIELDS: ClassVar[dict[str, Type]] = {"zero_point": i32, "lo": i32, "hi": i32}

    @property
    def real_hi(self) -> Value:
        return (self.hi - self.zero_point).to(f32)


class Dot:
    """Sums of products in int32 lanes, ``kr`` products a lane and step.

    ``ku`` consecutive steps are loaded at once from a row of A; ``element`` is what A's row holds.
    """

    kr: ClassVar[int]
    ku: ClassVar[int] = 1
    element: ClassVar[Type]

    def __init__(self, lanes: int) -> None:
        self.lanes = lanes

    def load_a(self, address: Value) -> list[Value]:
        """Operands of ``ku`` steps, each the same ``kr`` elements of A in every lane."""
        raw = address.load(i32).splat(self.lanes)
        return [raw.bitcast(self.element[self.kr * self.lanes])]

    def load_b(self, address: Value, nv: int) -> list[Value]:
        """``nv`` operands of one step: int8 weights, ``kr`` for each column."""
        raise NotImplementedError

    def mac(self, acc: Value, a: Value, b: Value) -> Value:
        raise NotImplementedError

    @property
    def taps(self) -> Type:
        """One operand of depthwise weights: signed, as wide as A's elements."""
        return Type("i", self.element.bits, self.kr * self.lanes)

    def interleave(self, rows: Sequence[Value | None]) -> list[Value]:
        """Operands from ``kr`` vectors of 8-bit activations (None: zeros), column by column.

        The columns of the operands are in the order of ``Isa.order``.
        """
        raise NotImplementedError


class Vnni(Dot):
    """x86 vpdpbusd: four uint8 by int8 products a lane."""

    kr, element = 4, u8

    def load_b(self, address: Value, nv: int) -> list[Value]:
        step = 4 * self.lanes
        return [(address + step * j).load(i8[step]) for j in range(nv)]

    def mac(self, acc: Value, a: Value, b: Value) -> Value:
        bits = 32 * self.lanes
        return acc.k.intrinsic(f"llvm.x86.avx512.vpdpbusd.{bits}", acc.ty, acc, a, b)

    def interleave(self, rows: Sequence[Value | None]) -> list[Value]:
        n = next(r for r in rows if r is not None).ty.lanes
        if n == 4 * self.lanes:
            return unpack_bytes(rows)
        out = None
        for i, row in enumerate(rows):
            if row is not None:
                wide = row.to(u8).to(Type("u", 32)[n]) << 8 * i if i else row.to(Type("u", 32)[n])
                out = wide if out is None else out | wide
        assert out is not None
        return [
            out.part(j, self.lanes).bitcast(u8[4 * self.lanes]) for j in range(n // self.lanes)
        ]


class Pmaddwd(Dot):
    """x86 pmaddwd: two int16 products a lane; exact, unlike pmaddubsw, which saturates."""

    kr, element = 2, i16

    def load_b(self, address: Value, nv: int) -> list[Value]:
        step = 2 * self.lanes
        return [(address + step * j).load(i8[step]).to(i16[step]) for j in range(nv)]

    def mac(self, acc: Value, a: Value, b: Value) -> Value:
        name = "llvm.x86.avx2.pmadd.wd" if self.lanes == 8 else "llvm.x86.sse2.pmadd.wd"
        return acc + acc.k.intrinsic(name, acc.ty, a, b)

    def interleave(self, rows: Sequence[Value | None]) -> list[Value]:
        present = next(r for r in rows if r is not None)
        n, k = present.ty.lanes, present.k
        zero = k.const(0, i16[n])
        a, b = (zero if r is None else r.to(i16[n]) for r in rows)
        if n == self.lanes:
            return [a.shuffle([i // 2 + n * (i % 2) for i in range(2 * n)], b)]
        return [x for part in split(a, 2 * self.lanes, b) for x in unpack_pairs(*part)]


class Mla(Dot):
    """aarch64 smlal: one int16 product a lane, A by element."""

    kr, ku, element = 1, 8, i16

    def load_a(self, address: Value) -> list[Value]:
        row = address.load(i16[8])
        return [row.shuffle([i] * 4) for i in range(8)]

    def load_b(self, address: Value, nv: int) -> list[Value]:
        wide = [(address + 8 * j).load(i8[8]).to(i16[8]) for j in range(nv // 2)]
        return [w.part(half, 4) for w in wide for half in range(2)]

    def mac(self, acc: Value, a: Value, b: Value) -> Value:
        return acc + a.to(acc.ty) * b.to(acc.ty)

    def interleave(self, rows: Sequence[Value | None]) -> list[Value]:
        (row,) = rows
        assert row is not None
        wide = row.to(i16[row.ty.lanes])
        return [wide.part(j, 4) for j in range(row.ty.lanes // 4)]


class Sdot(Dot):
    """aarch64 sdot: four int8 products a lane, A by element."""

    kr, ku, element = 4, 4, i8

    def load_a(self, address: Value) -> list[Value]:
        row = address.load(i32[4])
        return [row.shuffle([i] * 4).bitcast(i8[16]) for i in range(4)]

    def load_b(self, address: Value, nv: int) -> list[Value]:
        return [(address + 16 * j).load(i8[16]) for j in range(nv)]

    def mac(self, acc: Value, a: Value, b: Value) -> Value:
        return acc.k.intrinsic("llvm.aarch64.neon.sdot.v4i32.v16i8", acc.ty, acc, b, a)


@dataclass(frozen=True)
class Isa:
    """An instruction set.

    Attributes:
        name: as in kernel names.
        arch: x86_64 or aarch64.
        features: LLVM features it needs, and is compiled with.
        bits: width of a vector.
        activation: the 8-bit type that activations are stored in: what its dot product takes.
        gemm, depthwise: the dot products that those kernels use.
    """

    name: str
    arch: str
    features: tuple[str, ...]
    bits: int
    activation: Type
    gemm: Dot
    depthwise: Dot

    @property
    def lanes(self) -> int:
        """int32 lanes of a vector."""
        return self.bits // 32

    def order(self, nv: int) -> list[int]:
        """The column that each lane of ``nv`` unpacked vectors holds."""
        return list(range(nv * self.lanes))

    def unpack(self, v: Value) -> list[Value]:
        """8-bit elements as vectors of int32 lanes, in ``order``."""
        n = v.ty.lanes // self.lanes
        return [v.part(j, self.lanes).to(i32[self.lanes]) for j in range(n)]

    def round(self, v: Value) -> Value:
        """float32 to int32, ties to even."""
        raise NotImplementedError

    def pack(self, qs: Sequence[Value], clamp: Clamp) -> Value:
        """int32 vectors in ``order`` to 8-bit elements; see ``Clamp``."""
        raise NotImplementedError

    def quantize(self, accs: Sequence[Value], scales: Sequence[Value], clamp: Clamp) -> Value:
        """Requantize: 8-bit clamp(round(float32(acc) * scale) + zero_point, lo, hi)."""
        hi = clamp.real_hi.splat(self.lanes)
        reals = (acc.to(f32[self.lanes]) * s for acc, s in zip(accs, scales, strict=True))
        return self.pack([self.round(real.min(hi)) for real in reals], clamp)

    def load_table(self, address: Value) -> list[Value]:
        """256 bytes in the form that ``lookup`` takes; call it outside of loops."""
        raise NotImplementedError

    def lookup(self, table: Sequence[Value], indices: Value) -> Value:
        """The table's byte at each byte of a whole vector."""
        raise NotImplementedError

    def __str__(self) -> str:
        return self.name


class X86(Isa):
    """What SSE4.1, AVX2 and AVX-512 share: packs that work within 128-bit lanes."""

    ROUND: ClassVar[dict[int, str]] = {4: "llvm.x86.sse2.cvtps2dq", 8: "llvm.x86.avx.cvt.ps2dq.256"}
    PACK32: ClassVar[dict[int, str]] = {
        4: "llvm.x86.sse2.packssdw.128",
        8: "llvm.x86.avx2.packssdw",
        16: "llvm.x86.avx512.packssdw.512",
    }
    PACK16: ClassVar[dict[int, str]] = {
        16: "llvm.x86.sse2.packuswb.128",
        32: "llvm.x86.avx2.packuswb",
        64: "llvm.x86.avx512.packuswb.512",
    }

    SHUFFLE: ClassVar[dict[int, str]] = {
        16: "llvm.x86.ssse3.pshuf.b.128",
        32: "llvm.x86.avx2.pshuf.b",
        64: "llvm.x86.avx512.pshuf.b.512",
    }

    def round(self, v: Value) -> Value:
        return v.k.intrinsic(self.ROUND[self.lanes], i32[self.lanes], v)

    def order(self, nv: int) -> list[int]:
        if nv == 1:
            return list(range(self.lanes))
        blocks = self.lanes // 4
        group = self._group(nv)
        return [
            base * self.lanes + 4 * (group * block + j) + e
            for base in range(0, nv, group)
            for j in range(group)
            for block in range(blocks)
            for e in range(4)
        ]

    def _group(self, nv: int) -> int:
        """Vectors that are packed together: within it, columns interleave by 128-bit lanes."""
        return 2

    def unpack(self, v: Value) -> list[Value]:
        n, k = v.ty.lanes, v.k
        if n == self.lanes:
            return [v.to(i32[n])]
        wide = v.to(i16[n])
        zero = k.const(0, i16[2 * self.lanes])
        return [
            half.bitcast(i32[self.lanes])
            for (part,) in split(wide, 2 * self.lanes)
            for half in unpack_pairs(part, zero)
        ]

    def pack(self, qs: Sequence[Value], clamp: Clamp) -> Value:
        k, lanes = qs[0].k, self.lanes
        lo, hi = clamp.lo.to(u8), clamp.hi.to(u8)
        if len(qs) == 1:
            q = (qs[0].min((clamp.hi - clamp.zero_point).splat(lanes)) + clamp.zero_point.splat(lanes))
            return q.max(clamp.lo.splat(lanes)).to(u8[lanes])
        zero = clamp.zero_point.to(i16).splat(2 * lanes)
        halves = []
        for a, b in zip(qs[::2], qs[1::2], strict=True):
            q = k.intrinsic(self.PACK32[lanes], i16[2 * lanes], a, b)
            halves.append(k.intrinsic(f"llvm.sadd.sat.v{2 * lanes}i16", q.ty, q, zero))
        out = self.pack16(halves)
        return out.max(lo.splat(out.ty.lanes)).min(hi.splat(out.ty.lanes))

    def pack16(self, halves: Sequence[Value]) -> Value:
        """int16 vectors, each in the order of two unpacked ones, to uint8 with saturation."""
        raise NotImplementedError

    def load_table(self, address: Value) -> list[Value]:
        """Sixteen vectors that hold 16 bytes of the table in each 128 bits."""
        everywhere = [i % 16 for i in range(self.bits // 8)]
        return [(address + 16 * i).load(u8[16]).shuffle(everywhere) for i in range(16)]

    def lookup(self, table: Sequence[Value], indices: Value) -> Value:
        """A pshufb by the low four bits in each part of the table, and a choice by the high bits."""
        low = indices.bitcast(u8[indices.ty.lanes]) & 15
        if len(table) == 1:
            return low.k.intrinsic(self.SHUFFLE[low.ty.lanes], low.ty, table[0], low)
        half = len(table) // 2
        upper, lower = (self.lookup(part, indices) for part in (table[half:], table[:half]))
        high = indices << 5 - len(table).bit_length()
        return high.to(i8[low.ty.lanes]).compare("lt", 0).select(upper, lower)


class Sse41(X86):
    def pack16(self, halves: Sequence[Value]) -> Value:
        k = halves[0].k
        out = None
        for a, b in zip(halves[::2], halves[1::2], strict=False):
            q = k.intrinsic(self.PACK16[16], u8[16], a, b)
            out = q if out is None else out.concat(q)
        if len(halves) % 2:
            last = k.intrinsic(self.PACK16[16], u8[16], halves[-1], halves[-1]).part(0, 8)
            assert out is None
            out = last
        assert out is not None
        return out


class Avx2(X86):
    def pack16(self, halves: Sequence[Value]) -> Value:
        k = halves[0].k
        out = None
        for q in halves:
            low, high = q.part(0, 8), q.part(1, 8)
            packed = k.intrinsic(self.PACK16[16], u8[16], low, high)
            out = packed if out is None else out.concat(packed)
        assert out is not None
        return out


class Avx512(X86):
    def round(self, v: Value) -> Value:
        k = v.k
        name = "llvm.x86.avx512.mask.cvtps2dq.512"
        every, current = Value(k, "-1", Type("i", 16)), k.const(4, i32)
        return k.intrinsic(name, i32[16], v, k.const(0, i32[16]), every, current)

    def _group(self, nv: int) -> int:
        return 4 if nv % 4 == 0 else 2

    def unpack(self, v: Value) -> list[Value]:
        if v.ty.lanes != 64:
            return super().unpack(v)
        zeros: list[Value | None] = [v, None, None, None]
        if v.ty.kind == "u":
            return [x.bitcast(i32[16]) for x in unpack_bytes(zeros)]
        return [(x.bitcast(i32[16]) << 24) >> 24 for x in unpack_bytes(zeros)]

    def pack16(self, halves: Sequence[Value]) -> Value:
        k = halves[0].k
        if len(halves) == 1:
            return halves[0].clamp(0, 255).to(u8[32])
        out = None
        for a, b in zip(halves[::2], halves[1::2], strict=True):
            q = k.intrinsic(self.PACK16[64], u8[64], a, b)
            out = q if out is None else out.concat(q)
        assert out is not None
        return out


class Neon(Isa):
    def round(self, v: Value) -> Value:
        return v.k.intrinsic("llvm.aarch64.neon.fcvtns.v4i32.v4f32", i32[4], v)

    def pack(self, qs: Sequence[Value], clamp: Clamp) -> Value:
        k = qs[0].k
        if len(qs) == 1:
            zero, lo, hi = (x.splat(4) for x in (clamp.zero_point, clamp.lo, clamp.hi))
            q = k.intrinsic("llvm.sadd.sat.v4i32", i32[4], qs[0], zero)
            return q.clamp(lo, hi).to(i8[4])
        zero = clamp.zero_point.to(i16).splat(8)
        out: list[Value] = []
        for a, b in zip(qs[::2], qs[1::2], strict=True):
            a, b = (k.intrinsic("llvm.aarch64.neon.sqxtn.v4i16", i16[4], x) for x in (a, b))
            q = k.intrinsic("llvm.sadd.sat.v8i16", i16[8], a.concat(b), zero)
            out.append(k.intrinsic("llvm.aarch64.neon.sqxtn.v8i8", i8[8], q))
        while len(out) > 1:
            out = [a.concat(b) for a, b in zip(out[::2], out[1::2], strict=True)]
        lanes = out[0].ty.lanes
        return out[0].clamp(clamp.lo.to(i8).splat(lanes), clamp.hi.to(i8).splat(lanes))

    def load_table(self, address: Value) -> list[Value]:
        return [(address + 16 * i).load(u8[16]) for i in range(16)]

    def lookup(self, table: Sequence[Value], indices: Value) -> Value:
        """tbl in the first quarter of the table, then tbx, which keeps lanes out of its range."""
        at = indices.bitcast(u8[16])
        k, out = at.k, at.k.intrinsic("llvm.aarch64.neon.tbl4.v16i8", u8[16], *table[:4], at)
        for i in range(1, 4):
            name, part = "llvm.aarch64.neon.tbx4.v16i8", table[4 * i : 4 * i + 4]
            out = k.intrinsic(name, u8[16], out, *part, at - 64 * i)
        return out


def split(a: Value, lanes: int, *others: Value) -> list[tuple[Value, ...]]:
    """Each value cut into parts of ``lanes`` lanes; parts of the same place together."""
    return [
        tuple(v.part(j, lanes) for v in (a, *others)) for j in range(a.ty.lanes // lanes)
    ]


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


_AVX2 = ("avx", "avx2", "fma", "f16c", "bmi", "bmi2", "popcnt", "sse4.1", "sse4.2", "ssse3", "sse3")

AVX512VNNI = Avx512(
    "avx512vnni",
    "x86_64",
    (*_AVX2, "avx512f", "avx512bw", "avx512vl", "avx512dq", "avx512vnni"),
    512,
    u8,
    Vnni(16),
    Vnni(16),
)
AVX2 = Avx2("avx2", "x86_64", _AVX2, 256, u8, Pmaddwd(8), Pmaddwd(8))
SSE41 = Sse41("sse41", "x86_64", ("sse3", "ssse3", "sse4.1"), 128, u8, Pmaddwd(4), Pmaddwd(4))
NEONDOT = Neon("neondot", "aarch64", ("neon", "dotprod"), 128, i8, Sdot(4), Mla(4))
NEON = Neon("neon", "aarch64", ("neon",), 128, i8, Mla(4), Mla(4))

ISAS: tuple[Isa, ...] = (AVX512VNNI, AVX2, SSE41, NEONDOT, NEON)
"""Every instruction set, the best of each architecture first."""
