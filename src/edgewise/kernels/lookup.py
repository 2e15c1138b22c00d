"""Functions of one element: 8 bits to 8 bits by table, and 8 bits to float32 and back.

Operands ``x`` and ``y`` are views (see ``views``); a unit is one block of one run. ``Lookup`` may
work in place.
"""

from __future__ import annotations

from dataclasses import dataclass

from . import views
from .ir import Kernel, Type, Value, f32, i32, index, ptr, u8
from .isa import Clamp, Isa
from .shuffles import joined


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


__all__ = ["Dequantize", "Lookup", "Quantize"]
