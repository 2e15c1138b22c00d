"""Quantized matrix product and convolution: 8-bit in, 8-bit out, sums in registers.

A row of A is an output pixel's window: ``runs`` pieces of ``kc`` consecutive bytes, each at an
offset from the pixel's address (one run for a matrix product, one a kernel row for an ordinary
convolution, one a tap for a dilated or grouped one). An input must carry its padding: no load is
tested. The kernel does tiles of ``mr`` pixels by ``nr`` columns, all of K in one go.

Where the dot product takes A as stored and there is one run, A is read in place (``qgemm``);
otherwise the rows of a tile are first gathered, and widened where the dot product wants int16,
into a scratch on the stack that stays in the first-level cache (``qconv``).

Weights with a zero point cost one sum of A a row: sum a*(w - z) = sum a*w - z * sum a.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import numpy.typing as npt

from .dot import Dot
from .ir import Kernel, Type, Value, f32, i32, index, ptr, u32
from .isa import Clamp, Isa
from .views import SLACK

MAX_SCRATCH = 1 << 18
"""Bytes of stack a tile's gathered rows may take."""


@dataclass(frozen=True)
class QGemm:
    """A variant: tile shape, and what it does besides.

    Attributes:
        gather: rows of A are gathered into a scratch first (``qconv``).
        weight_zero_point: weights are asymmetric.
        add: a residual is added to the result (TFLite's ADD in XNNPACK's fixed point).
        general: the dot product is ``Dot.general``; see ``suited``.
    """

    isa: Isa
    mr: int
    nv: int
    gather: bool = False
    weight_zero_point: bool = False
    add: bool = False
    general: bool = False

    @property
    def dot(self) -> Dot:
        return self.isa.gemm.general if self.general else self.isa.gemm

    @property
    def nr(self) -> int:
        return self.nv * self.isa.lanes

    @property
    def symbol(self) -> str:
        act = str(self.isa.activation)
        op = ("qconv" if self.gather else "qgemm") + ("_add" if self.add else "")
        weights = "u8" if self.weight_zero_point else "i8"
        kr = f"{self.dot.kr}{'g' if self.general else ''}"
        return f"{op}_{act}{weights}{act}_{self.mr}x{self.nr}c{kr}__{self.isa.name}"

    @property
    def fields(self) -> dict[str, Type]:
        fields = {
            **dict.fromkeys(("a", "w", "c", "runs"), ptr),
            **dict.fromkeys(("pixels", "width", "height"), index),
            **dict.fromkeys(("a_x", "a_wrap", "a_image", "c_x", "c_wrap", "c_image"), index),
            **dict.fromkeys(("n", "run_count", "kc", "kstep", "steps"), index),
            **dict.fromkeys(("panel_bytes", "panels", "blocks", "block_panels"), index),
            **Clamp.FIELDS,
        }
        if self.weight_zero_point:
            fields |= {"w_zero": i32, "ones": ptr}
        if self.add:
            fields |= {"r": ptr, **dict.fromkeys(("r_x", "r_wrap", "r_image"), index)}
            fields |= dict.fromkeys(
                ("c_mult", "r_mult", "add_bias", "shift", "add_zero_point", "add_lo", "add_hi"), i32
            )
        return fields

    def layout(self, kc: int, runs: int) -> tuple[int, int]:
        """(kstep, steps): elements of K a run takes when padded, and dot steps in all."""
        dot = self.dot
        kstep = -(-kc // dot.kr) * dot.kr
        return kstep, -(-(runs * kstep // dot.kr) // dot.ku) * dot.ku

    def scratch_bytes(self, kc: int, runs: int) -> int:
        """Stack that gathering takes; 0 when A is read in place."""
        _, steps = self.layout(kc, runs)
        dot = self.dot
        return self.mr * (steps * dot.kr * dot.element.nbytes + SLACK) if self.gather else 0

    def panel_bytes(self, kc: int, runs: int) -> int:
        return self.nr * (8 + self.layout(kc, runs)[1] * self.dot.kr)

    def suited(self, weights: npt.NDArray[np.int8]) -> QGemm:
        """This variant, or its general form where the weights int8[n, runs, kc] need that."""
        padded = self._padded(weights)
        fits = self.dot.fits(padded.reshape(len(padded), -1, self.dot.kr))
        return self if fits else replace(self, general=True)

    def _padded(self, weights: npt.NDArray[np.int8]) -> npt.NDArray[np.int8]:
        """The weights with zeros up to whole panels and whole dot steps: int8[columns, K]."""
        n, runs, kc = weights.shape
        kstep, steps = self.layout(kc, runs)
        padded = np.zeros((-(-n // self.nr) * self.nr, steps * self.dot.kr), np.int8)
        padded[:n, : runs * kstep].reshape(n, runs, kstep)[:, :, :kc] = weights
        return padded

    def pack(
        self,
        weights: npt.NDArray[np.int8],
        bias: npt.NDArray[np.int32],
        scale: npt.NDArray[np.float32],
    ) -> npt.NDArray[np.uint8]:
        """Weights int8[n, runs, kc], bias int32[n] and scale float32[n] as panels.

        A panel: bias int32[nr], scale float32[nr], then int8[nr][kr] for each dot step, as
        ``Dot.arrange`` puts them; columns in ``Isa.order``, K padded with zeros.
        """
        n, runs, kc = weights.shape
        dot, nr = self.dot, self.nr
        panels = -(-n // nr)
        order = np.array(self.isa.order(self.nv))
        w = self._padded(weights).reshape(panels, nr, -1, dot.kr)[:, order].transpose(0, 2, 1, 3)
        w = dot.arrange(w)
        head = np.zeros((2, panels * nr), np.int32)
        head[0, :n] = bias
        head[1, :n] = scale.astype(np.float32).view(np.int32)
        head = head.reshape(2, panels, nr)[:, :, order].transpose(1, 0, 2)
        size = self.panel_bytes(kc, runs)
        out = np.zeros(panels * size + SLACK, np.uint8)
        body = out[: panels * size].reshape(panels, size)
        body[:, : 8 * nr] = np.ascontiguousarray(head).view(np.uint8).reshape(panels, 8 * nr)
        body[:, 8 * nr :] = w.reshape(panels, -1).view(np.uint8)
        return out

    def ones(self, kc: int, runs: int) -> npt.NDArray[np.uint8]:
        """The dot operand that sums a row of A: 1 for each element, 0 for padding."""
        kstep, steps = self.layout(kc, runs)
        dot = self.dot
        dtype = np.int8 if dot.element.bits == 8 else np.int16
        out = np.zeros(steps * dot.kr + SLACK, dtype)
        out[: runs * kstep].reshape(runs, kstep)[:, :kc] = 1
        return out.view(np.uint8)

    def build(self) -> str:
        return _Builder(self).build()


class _Builder:
    def __init__(self, variant: QGemm) -> None:
        self.v = variant
        self.isa, self.dot = variant.isa, variant.dot
        self.k = Kernel(variant.symbol, variant.fields)
        self.clamp = Clamp(self.k)

    def build(self) -> str:
        k, v = self.k, self.v
        if v.gather:
            pitch = k["steps"] * (self.dot.kr * self.dot.element.nbytes) + SLACK
            scratch = k.alloca(pitch * v.mr)
        with k.loop(k.begin, k.end) as unit:
            tile, block = divide(unit, k["blocks"])
            rows = self.rows(tile * v.mr)
            if v.gather:
                rows["k"] = [scratch + pitch * i for i in range(v.mr)]
                self.gather(rows["a"], rows["k"])
            else:
                rows["k"] = rows["a"]
            start = [self.row_correction(row) for row in rows["k"]]
            first = block * k["block_panels"]
            last = (first + k["block_panels"]).min(k["panels"])
            with k.loop(first, last, once=True) as panel:
                self.panel(panel, rows, start)
        return k.text()

    def rows(self, pixel: Value) -> dict[str, list[Value]]:
        """Addresses of the tile's pixels in each operand; past the last, that one again."""
        k = self.k
        y, x = divide(pixel, k["width"])
        image, y = divide(y, k["height"])
        names = ["a", "c"] + (["r"] if self.v.add else [])
        addresses: dict[str, list[Value]] = {}
        at: dict[str, Value] = {}
        for name in names:
            step, wrap, plane = k[f"{name}_x"], k[f"{name}_wrap"], k[f"{name}_image"]
            row = step * k["width"] + wrap
            at[name] = k[name] + (image * (row * k["height"] + plane) + y * row + x * step)
            addresses[name] = [at[name]]
        for i in range(1, self.v.mr):
            more = (pixel + i).compare("lt", k["pixels"])
            end_x = (x + 1).compare("eq", k["width"])
            end_y = (y + 1).compare("eq", k["height"])
            for name in names:
                step = k[f"{name}_x"] + end_x.select(
                    k[f"{name}_wrap"] + end_y.select(k[f"{name}_image"], 0), 0
                )
                at[name] = at[name] + more.select(step, 0)
                addresses[name].append(at[name])
            y = end_x.select(end_y.select(k.const(0, index), y + 1), y)
            x = end_x.select(k.const(0, index), x + 1)
        return addresses

    def gather(self, sources: list[Value], targets: list[Value]) -> None:
        k, element = self.k, self.dot.element
        chunk = 16
        at = k.var(0)
        with k.loop(0, k["run_count"], once=True) as run:
            offset = (k["runs"] + run * 8).load(index, 8)
            with k.loop(0, k["kc"], chunk, once=True) as p:
                for source, target in zip(sources, targets, strict=True):
                    raw = (source + offset + p).load(self.isa.activation[chunk])
                    (target + (at.value + p) * element.nbytes).store(raw.to(element[chunk]))
            at.value = at.value + k["kstep"]

    def row_correction(self, row: Value) -> Value | None:
        """-w_zero times the sum of a row of A."""
        if not self.v.weight_zero_point:
            return None
        k, dot, lanes = self.k, self.dot, self.isa.lanes
        total = k.var(k.const(0, i32[lanes]))
        with k.loop(0, k["steps"] * dot.kr, lanes * dot.kr, once=True) as p:
            at = p * dot.element.nbytes
            a = (row + at).load(dot.element[lanes * dot.kr])
            ones = (k["ones"] + at).load(dot.element[lanes * dot.kr])
            signed = Type("i", dot.element.bits, ones.ty.lanes)
            total.value = dot.mac(total.value, a, ones.bitcast(signed))
        name = f"llvm.vector.reduce.add.v{lanes}i32"
        summed = k.intrinsic(name, i32, total.value)
        return (k.const(0, i32) - k["w_zero"]) * summed

    def panel(self, panel: Value, rows: dict[str, list[Value]], start: list[Value | None]) -> None:
        k, v, dot, lanes, nr = self.k, self.v, self.dot, self.isa.lanes, self.v.nr
        w = k["w"] + panel * k["panel_bytes"]
        bias = [(w + 4 * lanes * j).load(i32[lanes]) for j in range(v.nv)]
        acc = [[k.var(b if s is None else b + s.splat(lanes)) for b in bias] for s in start]
        body = w + 8 * nr
        with k.loop(0, k["steps"], dot.ku, once=True) as step:
            a = [dot.load_a(row + step * (dot.kr * dot.element.nbytes)) for row in rows["k"]]
            for u in range(dot.ku):
                b = dot.load_b(body + step * (nr * dot.kr) + u * nr * dot.kr, v.nv)
                for i in range(v.mr):
                    for j in range(v.nv):
                        acc[i][j].value = dot.mac(acc[i][j].value, a[i][u], b[j])
        scales = [(w + 4 * (nr + lanes * j)).load(f32[lanes]) for j in range(v.nv)]
        column = panel * nr
        out = self.epilogue([[x.value for x in row] for row in acc], scales, rows, column)
        left = k["n"] - column
        with k.when(left.compare("ge", nr)) as full:
            for row, q in zip(rows["c"], out, strict=True):
                (row + column).store(q)
        with k.when(full ^ 1):
            for row, q in zip(rows["c"], out, strict=True):
                (row + column).store_partial(q, left)

    def epilogue(
        self,
        accs: list[list[Value]],
        scales: list[Value],
        rows: dict[str, list[Value]],
        column: Value,
    ) -> list[Value]:
        """The 8-bit results of each row."""
        k, isa, clamp = self.k, self.isa, self.clamp
        rounded = [isa.rounded(acc, scales, clamp) for acc in accs]
        if not self.v.add:
            return isa.pack_rows(rounded, clamp, bounded=True)
        wide = i32[isa.lanes]
        c_mult, r_mult, bias, shift = (
            k.once(name, partial(k[name].splat, isa.lanes))
            for name in ("c_mult", "r_mult", "add_bias", "shift")
        )
        sums = []
        for qs, row in zip(rounded, rows["r"], strict=True):
            residual = isa.unpack((row + column).load(isa.activation[self.v.nr]))
            floored = (q.max(clamp.lanes("relative_lo", wide)) for q in qs)
            sums.append(
                [
                    (q * c_mult + r * r_mult + bias) >> shift
                    for q, r in zip(floored, residual, strict=True)
                ]
            )
        return isa.pack_rows(sums, Clamp(k, "add_"))


def divide(a: Value, b: Value) -> tuple[Value, Value]:
    """Quotient and remainder of index values below 2**32, by the faster 32-bit division."""
    narrow, divisor = a.to(u32), b.to(u32)
    return (narrow // divisor).to(index), (narrow % divisor).to(index)
