"""Micro-benchmarks as kernels: how fast a processor multiplies and adds, and how fast it reads.

They are measured for the rooflines of ``edgewise profile`` (docs/profiling.md). `arithmetic` tells
which of them bounds a kernel.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .depthwise import Depthwise
from .dot import Dot
from .dots import Dots
from .gemm import Gemm
from .gemm_bf16 import PairGemm
from .gru import Gru
from .ir import Kernel, Type, Value, bf16, f32, i8, i16, i32, index, ptr, u8
from .isa import Isa
from .lstm import Lstm
from .qbytes import PAIRS, WORDS, QBytes
from .qdepthwise import QDepthwise
from .qgemm import QGemm
from .qwinograd import QWinograd
from .tiled import TiledConv
from .wdepthwise import WDepthwise
from .wgemm import WGemm

COLUMNS, STEPS = 2, 4
"""Vectors of B that a step of `Peak` loads, and steps of a unit."""

BUFFER = 4096
"""Bytes of B that `Peak` reads again and again."""

VECTORS = 8
"""Vectors that a unit of `Reading` reads."""


@dataclass(frozen=True)
class Arithmetic:
    """A way to multiply and add.

    Attributes:
        name: of the instruction or the class of ``kernels.dot``.
        sums, a, b: types of the operands.
        macs: multiply-adds of one.
        apply: (isa, sums, a, b) to the new sums.
    """

    name: str
    sums: Type
    a: Type
    b: Type
    macs: int
    apply: Callable[[Value, Value, Value], Value]

    @classmethod
    def of_dot(cls, dot: Dot) -> Arithmetic:
        operand = dot.element[dot.kr * dot.lanes]
        name = type(dot).__name__.lower()
        return cls(name, i32[dot.lanes], operand, dot.taps, dot.kr * dot.lanes, dot.mac)

    @classmethod
    def of_floats(cls, isa: Isa) -> Arithmetic:
        vector = f32[isa.lanes]
        return cls("fma", vector, vector, vector, isa.lanes, lambda c, a, b: isa.fma(a, b, c))

    @classmethod
    def of_bytes(cls, isa: Isa) -> Arithmetic:
        """Two of x86's pmaddubsw, added in int16, as in ``qbytes``."""
        lanes, n = isa.lanes, isa.bits // 8

        def apply(c: Value, a: Value, b: Value) -> Value:
            first, second = (
                c.k.intrinsic(PAIRS[lanes], i16[2 * lanes], a.part(i, n), b.part(i, n))
                for i in range(2)
            )
            ones = c.k.const(1, i16[2 * lanes])
            return c + c.k.intrinsic(WORDS[lanes], i32[lanes], first + second, ones)

        return cls("pmaddubsw", i32[lanes], u8[2 * n], i8[2 * n], 2 * n, apply)

    @classmethod
    def of_bfloats(cls, isa: Isa) -> Arithmetic:
        vector, pairs, name = f32[isa.lanes], bf16[2 * isa.lanes], isa.bf16_dot
        assert name is not None

        def apply(c: Value, a: Value, b: Value) -> Value:
            return c.k.intrinsic(name, vector, c, a, b)

        return cls("bf16", vector, pairs, pairs, 2 * isa.lanes, apply)


_ARITHMETIC: dict[type, Callable[[Any], Arithmetic]] = {
    QBytes: lambda v: Arithmetic.of_bytes(v.isa),
    PairGemm: lambda v: Arithmetic.of_bfloats(v.isa),
    **dict.fromkeys((QGemm, WGemm), lambda v: Arithmetic.of_dot(v.dot)),
    QDepthwise: lambda v: Arithmetic.of_dot(v.isa.depthwise),
    **dict.fromkeys((WDepthwise, QWinograd), lambda v: Arithmetic.of_dot(v.isa.words)),
    **dict.fromkeys(
        (Gemm, Dots, Depthwise, TiledConv, Gru, Lstm), lambda v: Arithmetic.of_floats(v.isa)
    ),
}
"""What kernels, by class, multiply with; the first that fits."""


def arithmetic(kernel: object) -> Arithmetic | None:
    """What a kernel multiplies with; None where products are not what it is about."""
    found = (make for kind, make in _ARITHMETIC.items() if isinstance(kernel, kind))
    make = next(found, None)
    return None if make is None else make(kernel)


@dataclass(frozen=True)
class Peak:
    """Products of registers and the nearest cache, added to as many sums as registers hold.

    A unit does ``macs`` multiply-adds. ``a`` points to vectors, ``b`` to `BUFFER` bytes.
    """

    isa: Isa
    arithmetic: Arithmetic

    @property
    def rows(self) -> int:
        """Vectors of A that stay in registers: there are 16 or 32."""
        return 6 if self.isa.arch == "aarch64" or self.isa.bits == 512 else 4

    @property
    def macs(self) -> int:
        return STEPS * self.rows * COLUMNS * self.arithmetic.macs

    @property
    def symbol(self) -> str:
        return f"peak_{self.arithmetic.name}__{self.isa.name}"

    @property
    def fields(self) -> dict[str, Type]:
        return {"a": ptr, "b": ptr, "c": ptr}

    def build(self) -> str:
        how, k = self.arithmetic, Kernel(self.symbol, self.fields)
        a = [(k["a"] + how.a.nbytes * i).load(how.a) for i in range(self.rows)]
        sums = [[k.var(0, how.sums) for _ in range(COLUMNS)] for _ in a]
        unit = STEPS * COLUMNS * how.b.nbytes
        with k.loop(k.begin, k.end) as i:
            at = k["b"] + (i & (BUFFER // unit - 1)) * unit
            for _ in range(STEPS):
                for j in range(COLUMNS):
                    b = at.load(how.b)
                    at = at + how.b.nbytes
                    for row, totals in zip(a, sums, strict=True):
                        totals[j].value = how.apply(totals[j].value, row, b)
        for n, total in enumerate(x for totals in sums for x in totals):
            (k["c"] + how.sums.nbytes * n).store(total.value)
        return k.text()


@dataclass(frozen=True)
class Reading:
    """Reads the memory from ``a`` on, ``mask`` + 1 units of it again and again."""

    isa: Isa

    @property
    def nbytes(self) -> int:
        """Of a unit."""
        return VECTORS * self.isa.bits // 8

    @property
    def symbol(self) -> str:
        return f"reading__{self.isa.name}"

    @property
    def fields(self) -> dict[str, Type]:
        return {"a": ptr, "c": ptr, "mask": index}

    def build(self) -> str:
        k, vector = Kernel(self.symbol, self.fields), i32[self.isa.lanes]
        sums = [k.var(0, vector) for _ in range(VECTORS)]
        with k.loop(k.begin, k.end) as i:
            at = k["a"] + (i & k["mask"]) * self.nbytes
            for j, total in enumerate(sums):
                total.value = total.value | (at + vector.nbytes * j).load(vector)
        for j, total in enumerate(sums):
            (k["c"] + vector.nbytes * j).store(total.value)
        return k.text()
