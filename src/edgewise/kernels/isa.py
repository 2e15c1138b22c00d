"""Instruction sets: one class each, over a few primitives that the kernels are written in.

Vectors of 8-bit elements become several vectors of int32 lanes and back (``unpack``, ``pack``).
An instruction set chooses the order of the columns in those vectors so that both are cheap;
``order`` tells it, and weights, biases and scales are packed in that order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from .dot import Dot, Mla, Mull, Pmaddwd, Sdot, Vnni, Words, WordsByElement
from .fixed_point import RULES
from .ir import Kernel, Type, Value, f32, i8, i16, i32, u8, u64
from .shuffles import joined, split, unpack_bytes, unpack_pairs


@dataclass(frozen=True)
class Clamp:
    """What turns int32 results relative to the zero point into stored 8-bit numbers.

    ``prefix`` + zero_point, lo and hi are int32 fields of the kernel; the result is
    clamp(q + zero_point, lo, hi).
    """

    k: Kernel
    prefix: str = ""

    FIELDS: ClassVar[dict[str, Type]] = {"zero_point": i32, "lo": i32, "hi": i32}

    @property
    def zero_point(self) -> Value:
        return self.k[self.prefix + "zero_point"]

    @property
    def lo(self) -> Value:
        return self.k[self.prefix + "lo"]

    @property
    def hi(self) -> Value:
        return self.k[self.prefix + "hi"]

    @property
    def real_hi(self) -> Value:
        """The greatest result less the zero point, as float32."""
        return (self.hi - self.zero_point).to(f32)

    def lanes(self, what: str, ty: Type) -> Value:
        """A vector of ``what`` (an attribute's name), computed once for the kernel."""

        def make() -> Value:
            value: Value = getattr(self, what)
            return (value if value.ty.kind == "f" else value.to(ty.scalar)).splat(ty.lanes)

        return self.k.once((self.prefix, what, ty), make)

    @property
    def relative_lo(self) -> Value:
        return self.lo - self.zero_point

    @property
    def relative_hi(self) -> Value:
        return self.hi - self.zero_point


@dataclass(frozen=True)
class FloatCosts:
    """What the float32 matrix product takes.

    Attributes:
        tiles: (mr, nv) of the variants that exist.
        per_cycle: multiply-adds of a vector that start in a cycle.
        step: floats of a row of A that are loaded at a time: 1 where one instruction loads a
            float into all lanes, else a vector of them.
        latency: cycles until a sum can be added to again.
        dots: (mr, columns) of the variants for few columns.
    """

    tiles: tuple[tuple[int, int], ...]
    per_cycle: float
    step: int = 1
    latency: int = 4
    dots: tuple[tuple[int, int], ...] = ((6, 1), (6, 2), (4, 3), (2, 4))


@dataclass(frozen=True)
class Costs:
    """Vector instructions a cycle and what the pieces of a GEMM take, in instructions.

    Attributes:
        tiles: (mr, nv) of the variants that exist.
        dot: of one dot product step of one vector.
        per_cycle: vector instructions that start in a cycle.
        depthwise: numbers of vectors of a channel block, the best first.
        floats: of the float32 matrix product.
    """

    tiles: tuple[tuple[int, int], ...]
    dot: float
    per_cycle: float
    depthwise: tuple[int, ...]
    floats: FloatCosts


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
        costs: tiles of those kernels, and what they take.
        bf16_dot: the intrinsic that adds two products of bfloat16 to each float32 lane.
    """

    name: str
    arch: str
    features: tuple[str, ...]
    bits: int
    activation: Type
    gemm: Dot
    depthwise: Dot
    costs: Costs
    bf16_dot: str | None = None

    @property
    def lanes(self) -> int:
        """int32 lanes of a vector."""
        return self.bits // 32

    @property
    def widens_half(self) -> bool:
        """Whether an instruction turns float16 into float32."""
        return self.arch == "aarch64" or "f16c" in self.features

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

    def pack(self, qs: Sequence[Value], clamp: Clamp, bounded: bool = False) -> Value:
        """int32 vectors in ``order`` to 8-bit elements; see ``Clamp``.

        ``bounded``: no element exceeds the greatest result.
        """
        raise NotImplementedError

    def pack_rows(
        self, rows: Sequence[Sequence[Value]], clamp: Clamp, bounded: bool = False
    ) -> list[Value]:
        """``pack`` of each row."""
        return [self.pack(qs, clamp, bounded) for qs in rows]

    def rounded(self, accs: Sequence[Value], scales: Sequence[Value], clamp: Clamp) -> list[Value]:
        """round(float32(acc) * scale) as int32, at most the greatest result less the zero point."""
        hi = clamp.lanes("real_hi", f32[self.lanes])
        reals = (acc.to(f32[self.lanes]) * s for acc, s in zip(accs, scales, strict=True))
        return [self.round(real.min(hi)) for real in reals]

    def fixed(
        self, rule: str, rows: Sequence[Sequence[Value]], factors: Value, clamp: Clamp
    ) -> list[list[Value]]:
        """Rows of sums in fixed point: as `rounded`, by one of `fixed_point.RULES`.

        The multipliers of all vectors of a row lie from ``factors`` on, then their exponents.
        """
        lanes, count = self.lanes, len(rows[0])
        multipliers, exponents = (
            [(factors + 4 * lanes * (count * i + j)).load(i32[lanes]) for j in range(count)]
            for i in range(2)
        )
        hi = clamp.lanes("relative_hi", i32[lanes])
        return [
            [RULES[rule](*each).min(hi) for each in zip(row, multipliers, exponents, strict=True)]
            for row in rows
        ]

    def quantize(self, accs: Sequence[Value], scales: Sequence[Value], clamp: Clamp) -> Value:
        """Requantize: 8-bit clamp(round(float32(acc) * scale) + zero_point, lo, hi)."""
        return self.pack(self.rounded(accs, scales, clamp), clamp, bounded=True)

    def fma(self, a: Value, b: Value, c: Value) -> Value:
        """a * b + c in float32: rounded once where there is an instruction, else twice."""
        if self.arch == "x86_64" and "fma" not in self.features:
            return a * b + c
        return a.k.intrinsic(f"llvm.fma.{a.ty.suffix}", a.ty, a, b, c)

    def multiply_high(self, a: Value, b: Value) -> Value:
        """(a * b + 2**14) >> 15 of a whole vector of int16; not both factors are -2**15."""
        raise NotImplementedError

    @property
    def words(self) -> Dot:
        """The dot product of int16 activations and int16 weights."""
        raise NotImplementedError

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

    MULTIPLY_HIGH: ClassVar[dict[int, str]] = {
        8: "llvm.x86.ssse3.pmul.hr.sw.128",
        16: "llvm.x86.avx2.pmul.hr.sw",
        32: "llvm.x86.avx512.pmul.hr.sw.512",
    }

    def round(self, v: Value) -> Value:
        return v.k.intrinsic(self.ROUND[self.lanes], i32[self.lanes], v)

    def multiply_high(self, a: Value, b: Value) -> Value:
        return a.k.intrinsic(self.MULTIPLY_HIGH[a.ty.lanes], a.ty, a, b)

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

    def pack(self, qs: Sequence[Value], clamp: Clamp, bounded: bool = False) -> Value:
        lanes = self.lanes
        if len(qs) == 1:
            wide = i32[lanes]
            q = qs[0] if bounded else qs[0].min(clamp.lanes("relative_hi", wide))
            q = (q + clamp.lanes("zero_point", wide)).max(clamp.lanes("lo", wide))
            return q.to(u8[lanes])
        halves = [self._half(a, b, clamp) for a, b in zip(qs[::2], qs[1::2], strict=True)]
        return self._clamped(self.pack16(halves), clamp, bounded)

    def pack_rows(
        self, rows: Sequence[Sequence[Value]], clamp: Clamp, bounded: bool = False
    ) -> list[Value]:
        """Rows of two vectors go through one packuswb in pairs."""
        out: list[Value] = []
        paired = len(rows) // 2 * 2 if len(rows[0]) == 2 else 0
        for i in range(0, paired, 2):
            a, b = (self._half(row[0], row[1], clamp) for row in rows[i : i + 2])
            n = 4 * self.lanes
            packed = a.k.intrinsic(self.PACK16[n], u8[n], a, b)
            both = self._clamped(packed, clamp, bounded).bitcast(u64[n // 8])
            order = [*range(0, n // 8, 2), *range(1, n // 8, 2)]
            both = both.shuffle(order).bitcast(u8[n]) if n > 16 else both.bitcast(u8[n])
            out += [both.part(0, n // 2), both.part(1, n // 2)]
        return out + [self.pack(qs, clamp, bounded) for qs in rows[paired:]]

    def _half(self, a: Value, b: Value, clamp: Clamp) -> Value:
        """Two int32 vectors as one of int16, plus the zero point, saturated."""
        narrow = i16[2 * self.lanes]
        q = a.k.intrinsic(self.PACK32[self.lanes], narrow, a, b)
        zero = clamp.lanes("zero_point", narrow)
        return a.k.intrinsic(f"llvm.sadd.sat.{narrow.suffix}", narrow, q, zero)

    def _clamped(self, v: Value, clamp: Clamp, bounded: bool) -> Value:
        v = v.max(clamp.lanes("lo", v.ty))
        return v if bounded else v.min(clamp.lanes("hi", v.ty))

    def pack16(self, halves: Sequence[Value]) -> Value:
        """int16 vectors, each in the order of two unpacked ones, to uint8 with saturation."""
        raise NotImplementedError

    @property
    def words(self) -> Dot:
        return Words(self.lanes)

    def load_table(self, address: Value) -> list[Value]:
        """Sixteen vectors that hold 16 bytes of the table in each 128 bits."""
        everywhere = [i % 16 for i in range(self.bits // 8)]
        return [(address + 16 * i).load(u8[16]).shuffle(everywhere) for i in range(16)]

    def lookup(self, table: Sequence[Value], indices: Value) -> Value:
        """A pshufb by the low four bits in each part of the table; high bits choose the part."""
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
        if len(halves) == 1:
            return k.intrinsic(self.PACK16[16], u8[16], halves[0], halves[0]).part(0, 8)
        pairs = zip(halves[::2], halves[1::2], strict=True)
        return joined([k.intrinsic(self.PACK16[16], u8[16], a, b) for a, b in pairs])


class Avx2(X86):
    def pack16(self, halves: Sequence[Value]) -> Value:
        k = halves[0].k
        parts = [k.intrinsic(self.PACK16[16], u8[16], q.part(0, 8), q.part(1, 8)) for q in halves]
        return joined(parts)


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
        pairs = zip(halves[::2], halves[1::2], strict=True)
        return joined([k.intrinsic(self.PACK16[64], u8[64], a, b) for a, b in pairs])


class Neon(Isa):
    def round(self, v: Value) -> Value:
        return v.k.intrinsic("llvm.aarch64.neon.fcvtns.v4i32.v4f32", i32[4], v)

    def multiply_high(self, a: Value, b: Value) -> Value:
        return a.k.intrinsic("llvm.aarch64.neon.sqrdmulh.v8i16", a.ty, a, b)

    def rounded(self, accs: Sequence[Value], scales: Sequence[Value], clamp: Clamp) -> list[Value]:
        """fcvtns saturates, so the bound can be an integer: one smin."""
        hi = clamp.lanes("relative_hi", i32[4])
        pairs = zip(accs, scales, strict=True)
        return [self.round(acc.to(f32[4]) * scale).min(hi) for acc, scale in pairs]

    def pack(self, qs: Sequence[Value], clamp: Clamp, bounded: bool = False) -> Value:
        k = qs[0].k
        if len(qs) == 1:
            zero, lo, hi = (clamp.lanes(what, i32[4]) for what in ("zero_point", "lo", "hi"))
            q = k.intrinsic("llvm.sadd.sat.v4i32", i32[4], qs[0], zero)
            return q.clamp(lo, hi).to(i8[4])
        zero = clamp.lanes("zero_point", i16[8])
        out: list[Value] = []
        for a, b in zip(qs[::2], qs[1::2], strict=True):
            a, b = (k.intrinsic("llvm.aarch64.neon.sqxtn.v4i16", i16[4], x) for x in (a, b))
            q = k.intrinsic("llvm.sadd.sat.v8i16", i16[8], a.concat(b), zero)
            out.append(k.intrinsic("llvm.aarch64.neon.sqxtn.v8i8", i8[8], q))
        v = joined(out)
        v = v.max(clamp.lanes("lo", v.ty))
        return v if bounded else v.min(clamp.lanes("hi", v.ty))

    @property
    def words(self) -> Dot:
        return WordsByElement(self.lanes)

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


_AVX2 = ("avx", "avx2", "fma", "f16c", "bmi", "bmi2", "popcnt", "sse4.1", "sse4.2", "ssse3", "sse3")

AVX512VNNI = Avx512(
    "avx512vnni",
    "x86_64",
    (*_AVX2, "avx512f", "avx512bw", "avx512vl", "avx512dq", "avx512vnni"),
    512,
    u8,
    Vnni(16),
    Vnni(16),
    Costs(
        ((12, 2), (6, 4), (12, 1), (1, 4)),
        1,
        1.5,
        (4, 1),
        FloatCosts(((8, 3), (12, 2), (5, 4), (2, 8), (1, 8)), 2),
    ),
)
AVX2 = Avx2(
    "avx2",
    "x86_64",
    _AVX2,
    256,
    u8,
    Pmaddwd(8),
    Pmaddwd(8),
    Costs(
        ((6, 2), (4, 2), (1, 4), (4, 1)),
        2,
        4,
        (2, 1),
        FloatCosts(((6, 2), (5, 2), (3, 3), (4, 2), (2, 4), (1, 8)), 2),
    ),
)
AVXVNNI = Avx2(
    "avxvnni",
    "x86_64",
    (*_AVX2, "avxvnni"),
    256,
    u8,
    Vnni(8),
    Pmaddwd(8),
    replace(AVX2.costs, tiles=((6, 2), (4, 2), (1, 4), (6, 1)), dot=1, per_cycle=2),
)
SSE41 = Sse41(
    "sse41",
    "x86_64",
    ("sse3", "ssse3", "sse4.1"),
    128,
    u8,
    Pmaddwd(4),
    Pmaddwd(4),
    Costs(
        ((4, 2), (1, 4)),
        2,
        4,
        (4, 2, 1),
        FloatCosts(((4, 2), (3, 3), (2, 4), (1, 8)), 1),
    ),
)
NEONDOT = Neon(
    "neondot",
    "aarch64",
    ("neon", "dotprod"),
    128,
    i8,
    Sdot(4),
    Mla(4),
    Costs(
        ((5, 4), (9, 2), (1, 8), (1, 4)),
        1,
        2,
        (4, 2),
        FloatCosts(((6, 3), (5, 4), (8, 2), (2, 8), (1, 8)), 2, 4),
    ),
)
NEON = Neon(
    "neon",
    "aarch64",
    ("neon",),
    128,
    i8,
    Mull(4),
    Mla(4),
    Costs(
        ((4, 4), (6, 2), (1, 8)),
        3,
        1,
        (4, 2),
        FloatCosts(((6, 3), (5, 4), (8, 2), (2, 8), (1, 8)), 1, 4),
    ),
)

ISAS: tuple[Isa, ...] = (AVX512VNNI, AVXVNNI, AVX2, SSE41, NEONDOT, NEON)
"""Every instruction set, the best of each architecture first."""

AVX512BF16 = replace(
    AVX512VNNI,
    name="avx512bf16",
    features=(*AVX512VNNI.features, "avx512bf16"),
    bf16_dot="llvm.x86.avx512bf16.dpbf16ps.512",
)
NEONBF16 = replace(
    NEONDOT,
    name="neonbf16",
    features=(*NEONDOT.features, "bf16"),
    bf16_dot="llvm.aarch64.neon.bfdot.v4f32.v8bf16",
)

BF16_ISAS: tuple[Isa, ...] = (AVX512BF16, NEONBF16)
"""Those of ISAS that have dot products of bfloat16 too: for programs that ask for them."""
