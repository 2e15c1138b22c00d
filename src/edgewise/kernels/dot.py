"""Dot products: ways to sum products of small integers into int32 lanes.

GEMM and depthwise convolution may use different ones on the same instruction set.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from .ir import Type, Value, i8, i16, i32, u8, u32
from .shuffles import split, unpack_bytes, unpack_pairs


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

    def arrange(self, weights: npt.NDArray[np.int8]) -> npt.NDArray[np.int8]:
        """int8[..., nr, kr], the weights of a step, in the order that ``load_b`` wants."""
        return weights

    def fits(self, weights: npt.NDArray[np.int8]) -> bool:
        """Whether sums are exact with any A and the weights int8[..., kr], a lane's of a step."""
        return True

    @property
    def general(self) -> Dot:
        """The dot product, of the same layout, that all weights fit."""
        return self

    @property
    def taps(self) -> Type:
        """One operand of depthwise weights: signed, as wide as A's elements."""
        return Type("i", self.element.bits, self.kr * self.lanes)

    def load_taps(self, address: Value, nv: int) -> list[Value]:
        """``nv`` operands of depthwise weights."""
        return [(address + self.taps.nbytes * j).load(self.taps) for j in range(nv)]

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
                wide = row.bitcast(u8[n]).to(u32[n]) << 8 * i
                out = wide if out is None else out | wide
        assert out is not None
        return [out.part(j, self.lanes).bitcast(u8[4 * self.lanes]) for j in range(n // self.lanes)]


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
    """aarch64 smlal: one int16 product a lane. For depthwise convolution; see docs/arm.md."""

    kr, element = 1, i16

    def load_taps(self, address: Value, nv: int) -> list[Value]:
        """Two operands a load, so that the second multiplies by smlal2."""
        pairs = [(address + 16 * j).load(i16[8]) for j in range(nv // 2)]
        return [pair.part(half, 4) for pair in pairs for half in range(2)]

    def mac(self, acc: Value, a: Value, b: Value) -> Value:
        return acc + a.to(acc.ty) * b.to(acc.ty)

    def interleave(self, rows: Sequence[Value | None]) -> list[Value]:
        (row,) = rows
        assert row is not None
        wide = row.to(i16[row.ty.lanes])
        return [wide.part(j, 4) for j in range(row.ty.lanes // 4)]


class Mull(Dot):
    """aarch64 smull: four int8 products a lane, added to int32 in pairs by sadalp.

    An operand holds products 0 and 1 of four lanes, then products 2 and 3.

    Args:
        joined: smlal2 adds the second pair to the first in int16, one sadalp for both. The sum of
            two products fits int16 unless all four factors are -128.
    """

    kr, element = 4, i8

    def __init__(self, lanes: int, joined: bool = True) -> None:
        super().__init__(lanes)
        self.joined = joined

    def load_a(self, address: Value) -> list[Value]:
        pairs = address.load(i32).splat(2).bitcast(i16[4])
        return [pairs.shuffle([0] * 4 + [1] * 4).bitcast(i8[16])]

    def load_b(self, address: Value, nv: int) -> list[Value]:
        return [(address + 16 * j).load(i8[16]) for j in range(nv)]

    def mac(self, acc: Value, a: Value, b: Value) -> Value:
        k = acc.k
        name = "llvm.aarch64.neon.smull.v8i16"
        low, high = (k.intrinsic(name, i16[8], a.part(h, 8), b.part(h, 8)) for h in range(2))
        for products in [low + high] if self.joined else [low, high]:
            name = "llvm.aarch64.neon.saddlp.v4i32.v8i16"
            acc = acc + k.intrinsic(name, acc.ty, products)
        return acc

    def arrange(self, weights: npt.NDArray[np.int8]) -> npt.NDArray[np.int8]:
        pairs = np.swapaxes(weights.reshape(-1, self.lanes, 2, 2), 1, 2)
        out: npt.NDArray[np.int8] = pairs.reshape(weights.shape)
        return out

    def fits(self, weights: npt.NDArray[np.int8]) -> bool:
        lowest = weights == -128
        return not self.joined or not (lowest[..., :2] & lowest[..., 2:]).any()

    @property
    def general(self) -> Dot:
        return Mull(self.lanes, joined=False)


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


class Words(Pmaddwd):
    """x86 pmaddwd of int16 activations and int16 weights."""

    INTRINSICS: ClassVar[dict[int, str]] = {
        4: "llvm.x86.sse2.pmadd.wd",
        8: "llvm.x86.avx2.pmadd.wd",
        16: "llvm.x86.avx512.pmaddw.d.512",
    }

    def load_b(self, address: Value, nv: int) -> list[Value]:
        return self.load_taps(address, nv)

    def mac(self, acc: Value, a: Value, b: Value) -> Value:
        return acc + acc.k.intrinsic(self.INTRINSICS[self.lanes], acc.ty, a, b)


class WordsByElement(Mla):
    """aarch64 smlal of int16 activations, by element, and int16 weights."""

    ku = 4

    def load_a(self, address: Value) -> list[Value]:
        row = address.load(i16[4])
        return [row.shuffle([i] * 4) for i in range(4)]

    def load_b(self, address: Value, nv: int) -> list[Value]:
        return self.load_taps(address, nv)
