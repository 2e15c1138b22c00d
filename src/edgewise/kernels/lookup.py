"""Functions of one element: 8 bits to 8 bits by table, and 8 bits to float32 and back.

Operands ``x`` and ``y`` are views (see ``views``); a unit is one block of one run. ``Lookup`` may
work in place.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from . import views
from .ir import Kernel, Type, Value, f32, i16, i32, index, ptr, u8, u16
from .isa import Clamp, Isa
from .shuffles import joined, split


@dataclass(frozen=True)
class Lookup:
    """y = table[x]: 256 bytes indexed by raw bytes, whatever 8-bit types they stand for."""

    isa: Isa

    @property
    def symbol(self) -> str:
        return f"lookup_x8x8_x{self.isa.bits // 8}__{self.isa.name}"

    @property
    def fields(self) -> dict[str, Type]:
        return {**views.fields("x", "y"), "table": ptr}

    def build(self) -> str:
        k = Kernel(self.symbol, self.fields)
        width = self.isa.bits // 8
        table = self.isa.load_table(k["table"])
        with views.blocks(k, {"x": 1, "y": 1}) as unit:
            x, y = unit.at["x"], unit.at["y"]
            whole = unit.count & -width
            with k.loop(0, whole, width) as i:
                (y + i).store(self.isa.lookup(table, (x + i).load(u8[width])))
            with k.loop(whole, unit.count) as i:
                entry = (x + i).load(u8).to(index)
                (y + i).store((k["table"] + entry).load(u8))
        return k.text()


@dataclass(frozen=True)
class LookupWide:
    """y = table[x] of 16-bit x, or table[256 a + b] of 8-bit a and b: 65,536 entries.

    A ``narrow`` x has 8 bits.

    Attributes:
        fixed: of x, or of a and of b, whether one element stands for its whole run.
        nbytes: of an entry.
    """

    isa: Isa
    fixed: tuple[bool, ...]
    nbytes: int = 1
    narrow: bool = False

    UNROLL: ClassVar[int] = 8

    @property
    def operands(self) -> str:
        return "x" if len(self.fixed) == 1 else "ab"

    @property
    def index(self) -> Type:
        return u16 if len(self.fixed) == 1 and not self.narrow else u8

    @property
    def symbol(self) -> str:
        pairs = zip(self.operands, self.fixed, strict=True)
        operands = "".join(f"{name}{'s' if fixed else ''}" for name, fixed in pairs)
        bits = 8 if self.index == u8 else 16
        return f"lookup_wide_{operands}{bits}_x{8 * self.nbytes}__{self.isa.name}"

    @property
    def fields(self) -> dict[str, Type]:
        return {**views.fields(*self.operands, "y"), "table": ptr}

    def build(self) -> str:
        k, ty = Kernel(self.symbol, self.fields), self.index
        strides = [0 if fixed else ty.nbytes for fixed in self.fixed]
        pairs = dict(zip(self.operands, strides, strict=True))
        with views.blocks(k, {**pairs, "y": self.nbytes}) as unit:

            def move(i: Value) -> None:
                entry = k.const(0, index)
                for name, stride in pairs.items():
                    raw = (unit.at[name] + i * stride).load(ty).to(index)
                    entry = (entry << 8) + raw if name == "b" else raw
                data = (k["table"] + entry * self.nbytes).load(Type("u", 8 * self.nbytes))
                (unit.at["y"] + i * self.nbytes).store(data)

            whole = unit.count & -self.UNROLL
            with k.loop(0, whole, self.UNROLL) as first:
                for j in range(self.UNROLL):
                    move(first + j)
            with k.loop(whole, unit.count) as i:
                move(i)
        return k.text()


@dataclass(frozen=True)
class Rescale:
    """y = ((x - zero) * factor + 128 >> 8) + zero_point, saturated, of ``isa.activation``.

    The product is that of (x - zero) * 128 and ``factor``, which must fit int16: its rounded upper
    bits are what instruction sets give of a product of 16 bits.
    """

    isa: Isa

    @property
    def symbol(self) -> str:
        act = self.isa.activation
        return f"rescale_{act}{act}_x{self.isa.bits // 8}__{self.isa.name}"

    @property
    def fields(self) -> dict[str, Type]:
        return {**views.fields("x", "y"), **dict.fromkeys(("zero", "factor", "zero_point"), i32)}

    def build(self) -> str:
        k, width = Kernel(self.symbol, self.fields), self.isa.bits // 8
        act, half = self.isa.activation[width], i16[width // 2]
        low, high = (-128, 127) if act.kind == "i" else (0, 255)
        zero, factor, zero_point = (
            k[name].to(i16).splat(half.lanes) for name in ("zero", "factor", "zero_point")
        )

        def result(address: Value) -> Value:
            parts = []
            for (part,) in split(address.load(act).to(i16[width]), half.lanes):
                steps = self.isa.multiply_high((part - zero) << 7, factor)
                parts.append(k.intrinsic(f"llvm.sadd.sat.{half.suffix}", half, steps, zero_point))
            return joined(parts).clamp(low, high).to(act)

        with views.blocks(k, {"x": 1, "y": 1}) as unit:
            x, y = unit.at["x"], unit.at["y"]
            whole = unit.count & -width
            with k.loop(0, whole, width) as i:
                (y + i).store(result(x + i))
            rest = unit.count - whole
            with k.when(rest.compare("ne", 0)):
                (y + whole).store_partial(result(x + whole), rest)
        return k.text()


@dataclass(frozen=True)
class Dequantize:
    """y = float32(x - zero) * scale, from ``isa.activation``."""

    isa: Isa

    @property
    def symbol(self) -> str:
        return f"dequantize_{self.isa.activation}f32_x{self.isa.bits // 8}__{self.isa.name}"

    @property
    def fields(self) -> dict[str, Type]:
        return {**views.fields("x", "y"), "zero": i32, "scale": f32}

    def build(self) -> str:
        k = Kernel(self.symbol, self.fields)
        act, lanes = self.isa.activation, self.isa.lanes

        def real(q: Value) -> Value:
            n = q.ty.lanes
            return (q.to(i32[n]) - k["zero"].splat(n)).to(f32[n]) * k["scale"].splat(n)

        with views.blocks(k, {"x": 1, "y": 4}) as unit:
            x, y = unit.at["x"], unit.at["y"]
            whole = unit.count & -lanes
            with k.loop(0, whole, lanes) as i:
                (y + i * 4).store(real((x + i).load(act[lanes])))
            with k.loop(whole, unit.count) as i:
                (y + i * 4).store(real((x + i).load(act)))
        return k.text()


@dataclass(frozen=True)
class Quantize:
    """y = clamp(round(x * (1 / scale)) + zero_point, lo, hi), from float32 to ``isa.activation``.

    Division and product are single float32 operations; halves round to even; NaN gives ``lo``.
    """

    isa: Isa

    @property
    def symbol(self) -> str:
        return f"quantize_f32{self.isa.activation}_x{self.isa.bits // 8}__{self.isa.name}"

    @property
    def fields(self) -> dict[str, Type]:
        return {**views.fields("x", "y"), "scale": f32, **Clamp.FIELDS}

    def build(self) -> str:
        k = Kernel(self.symbol, self.fields)
        lanes, width = self.isa.lanes, self.isa.bits // 8
        inverse = k.const(1.0, f32) / k["scale"]
        with views.blocks(k, {"x": 4, "y": 1}) as unit:
            x, y = unit.at["x"], unit.at["y"]
            whole = unit.count & -width
            with k.loop(0, whole, width) as i:
                (y + i).store(self.quantize(x + i * 4, inverse, width // lanes))
            with k.loop(whole, unit.count, lanes) as i:
                q = self.quantize(x + i * 4, inverse, 1)
                (y + i).store_partial(q, (unit.count - i).min(lanes))
        return k.text()

    def quantize(self, x: Value, inverse: Value, nv: int) -> Value:
        """The 8-bit results of ``nv`` vectors at the address ``x``."""
        isa, clamp = self.isa, Clamp(x.k)
        scale = inverse.splat(isa.lanes)
        lo, hi = (clamp.lanes(what, f32[isa.lanes]) for what in ("relative_lo", "real_hi"))
        order = isa.order(nv)
        rounded = []
        for j in range(nv):
            columns = order[j * isa.lanes : (j + 1) * isa.lanes : 4]
            real = joined([(x + 4 * column).load(f32[4]) for column in columns]) * scale
            rounded.append(isa.round(real.max(lo).min(hi)))
        return isa.pack(rounded, clamp)


__all__ = ["Dequantize", "Lookup", "LookupWide", "Quantize", "Rescale"]
