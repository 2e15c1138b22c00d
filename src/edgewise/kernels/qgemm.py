"""Quantized matrix product and convolution: 8-bit in, 8-bit or float32 out, sums in registers.

A row of A is an output pixel's window: ``runs`` pieces of ``kc`` consecutive bytes, each at an
offset from the pixel's address (one run for a matrix product, one a kernel row for an ordinary
convolution, one a tap for a dilated or grouped one). An input must carry its padding: no load is
tested. The kernel does tiles of ``mr`` pixels by ``nr`` columns, all of K in one go.

Where the dot product takes A as stored and there is one run, A is read in place (``qgemm``);
otherwise the rows of a tile are first gathered, and widened where the dot product wants int16,
into a scratch on the stack that stays in the first-level cache (``qconv``).

Weights with a zero point cost one sum of A a row: sum a*(w - z) = sum a*w - z * sum a.

A ``real`` product has a zero point and a scale for each row of A, which ``dynamic`` finds, at the
pixel of an operand ``d``: sum (a - z)*w = sum a*w - z * sum w. Its result is float32.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import numpy.typing as npt

from .dot import Dot
from .ir import Kernel, Type, Value, Var, f32, i32, index, ptr
from .isa import Clamp, Isa
from .pixels import FIELDS, pixel_fields, tiles
from .stages import FLOAT, Place, placed, stage_fields, stage_operands, store_all, store_part
from .views import SLACK

ADDITION: dict[str, Type] = dict.fromkeys(
    ("c_mult", "r_mult", "add_bias", "shift", "add_zero_point", "add_lo", "add_hi"), i32
)
"""Fields of a residual's addition, besides where it lies."""

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
        real: the result is float32.
        stages: what follows a real product; see ``stages``.
        rounding: one of `fixed_point.RULES`, by which sums are requantized; "" for XNNPACK's.
    """

    isa: Isa
    mr: int
    nv: int
    gather: bool = False
    weight_zero_point: bool = False
    add: bool = False
    general: bool = False
    real: bool = False
    stages: tuple[str, ...] = ()
    rounding: str = ""

    @property
    def dot(self) -> Dot:
        return self.isa.gemm.general if self.general else self.isa.gemm

    @property
    def nr(self) -> int:
        return self.nv * self.isa.lanes

    @property
    def kind(self) -> tuple[str, str]:
        """What it is called, and how many products a lane sums in a step."""
        name = "qconv" if self.gather else "qgemm"
        return name, f"{self.dot.kr}{'g' if self.general else ''}"

    @property
    def symbol(self) -> str:
        act = str(self.isa.activation)
        op, kr = self.kind
        op += "_add" if self.add else ""
        weights = "u8" if self.weight_zero_point else "i8"
        op = "_".join((op, *([self.rounding] if self.rounding else []), *self.stages))
        out = "f32" if self.real else act
        return f"{op}_{act}{weights}{out}_{self.mr}x{self.nr}c{kr}__{self.isa.name}"

    @property
    def fields(self) -> dict[str, Type]:
        fields = {
            **dict.fromkeys(("w", "runs"), ptr),
            **FIELDS,
            **pixel_fields("a"),
            **pixel_fields("c"),
            **dict.fromkeys(("n", "run_count", "kc", "kstep", "steps"), index),
            **dict.fromkeys(("panel_bytes", "panels", "block_panels"), index),
        }
        if self.real:
            fields |= pixel_fields("d") | stage_fields(self.stages, pixel_fields)
        else:
            fields |= Clamp.FIELDS
        if self.weight_zero_point:
            fields |= {"w_zero": i32, "ones": ptr}
        if self.add:
            fields |= pixel_fields("r") | ADDITION
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
        return self.nr * (self.head_bytes + self.layout(kc, runs)[1] * self.dot.kr)

    @property
    def head_bytes(self) -> int:
        """Of a panel, for each column."""
        return 12 if self.real or self.rounding else 8

    @property
    def operands(self) -> list[str]:
        """Those that have a pixel for each output pixel."""
        more = ["r"] if self.add else []
        return ["a", "c", *more, *(["d"] if self.real else []), *stage_operands(self.stages)]

    @property
    def order(self) -> npt.NDArray[np.int64]:
        """The column that each lane of a panel holds."""
        return np.array(range(self.nr) if self.real else self.isa.order(self.nv))

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
        *factors: npt.NDArray[np.float32] | npt.NDArray[np.int32],
    ) -> npt.NDArray[np.uint8]:
        """Weights int8[n, runs, kc], bias int32[n] and ``factors`` [n] as panels.

        A panel: bias int32[nr], the factors, then int8[nr][kr] for each dot step, as
        ``Dot.arrange`` puts them; columns in ``order``, K padded with zeros. The factors are the
        scale float32[n], with ``rounding`` its multiplier and exponent, int32[n] each. Of a real
        product, ``bias`` is by what zero points are multiplied, and the bias follows the scales.
        """
        n, runs, kc = weights.shape
        dot, nr = self.dot, self.nr
        panels = -(-n // nr)
        order = self.order
        w = self._padded(weights).reshape(panels, nr, -1, dot.kr)[:, order].transpose(0, 2, 1, 3)
        w = dot.arrange(w)
        head = np.zeros((1 + len(factors), panels * nr), np.int32)
        head[0, :n] = bias
        head[1:, :n] = np.array(factors).view(np.int32)
        head = head.reshape(-1, panels, nr)[:, :, order].transpose(1, 0, 2)
        size = self.panel_bytes(kc, runs)
        out = np.zeros(panels * size + SLACK, np.uint8)
        body = out[: panels * size].reshape(panels, size)
        split = self.head_bytes * nr
        body[:, :split] = np.ascontiguousarray(head).view(np.uint8).reshape(panels, split)
        body[:, split:] = w.reshape(panels, -1).view(np.uint8)
        return out

    def packed(
        self,
        weights: npt.NDArray[np.int8],
        runs: npt.NDArray[np.int64],
        bias: npt.NDArray[np.int32],
        *factors: npt.NDArray[np.float32] | npt.NDArray[np.int32],
    ) -> npt.NDArray[np.uint8]:
        """`pack`, for runs at these offsets in bytes."""
        return self.pack(weights, bias, *factors)

    def ones(self, kc: int, runs: int) -> npt.NDArray[np.uint8]:
        """The dot operand that sums a row of A: 1 for each element, 0 for padding."""
        kstep, steps = self.layout(kc, runs)
        dot = self.dot
        dtype = np.int8 if dot.element.bits == 8 else np.int16
        out = np.zeros(steps * dot.kr + SLACK, dtype)
        out[: runs * kstep].reshape(runs, kstep)[:, :kc] = 1
        return out.view(np.uint8)

    def build(self) -> str:
        return QGemmBuilder(self).build()


class QGemmBuilder:
    """Emits a variant; `qbytes` has another way to sum the products of a panel."""

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
        with tiles(k, v.operands, v.mr) as (block, rows):
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

    def address(self, panel: Value) -> Value:
        return self.k["w"] + panel * self.k["panel_bytes"]

    def multiply(self, acc: list[list[Var]], panel: Value, body: Value, rows: list[Value]) -> None:
        """Add the products of ``rows`` with the panel whose weights lie from ``body`` on."""
        k, v, dot, nr = self.k, self.v, self.dot, self.v.nr
        with k.loop(0, k["steps"], dot.ku, once=True) as step:
            a = [dot.load_a(row + step * (dot.kr * dot.element.nbytes)) for row in rows]
            for u in range(dot.ku):
                b = dot.load_b(body + step * (nr * dot.kr) + u * nr * dot.kr, v.nv)
                for i in range(v.mr):
                    for j in range(v.nv):
                        acc[i][j].value = dot.mac(acc[i][j].value, a[i][u], b[j])

    def panel(self, panel: Value, rows: dict[str, list[Value]], start: list[Value | None]) -> None:
        k, v, lanes, nr = self.k, self.v, self.isa.lanes, self.v.nr
        w = self.address(panel)
        bias = [(w + 4 * lanes * j).load(i32[lanes]) for j in range(v.nv)]
        if v.real:
            zeros = [(k.const(0, i32) - d.load(i32)).splat(lanes) for d in rows["d"]]
            first = [[b * zero for b in bias] for zero in zeros]
        else:
            first = [[b if s is None else b + s.splat(lanes) for b in bias] for s in start]
        acc = [[k.var(x) for x in row] for row in first]
        self.multiply(acc, panel, w + v.head_bytes * nr, rows["k"])
        column, sums = panel * nr, [[x.value for x in row] for row in acc]
        if v.real:
            self.store_real(sums, w, rows, column)
            return
        if v.rounding:
            sums = self.isa.fixed(v.rounding, sums, w + 4 * nr, self.clamp)
        else:
            scales = [(w + 4 * (nr + lanes * j)).load(f32[lanes]) for j in range(v.nv)]
            sums = [self.isa.rounded(row, scales, self.clamp) for row in sums]
        out = self.epilogue(sums, rows, column)
        left = k["n"] - column
        with k.when(left.compare("ge", nr)) as full:
            for row, q in zip(rows["c"], out, strict=True):
                (row + column).store(q)
        with k.when(full ^ 1):
            for row, q in zip(rows["c"], out, strict=True):
                (row + column).store_partial(q, left)

    def store_real(
        self, accs: list[list[Value]], w: Value, rows: dict[str, list[Value]], column: Value
    ) -> None:
        """Scale, bias and stages; nothing of columns that do not exist is read or written."""
        k, v, lanes = self.k, self.v, self.isa.lanes
        scales = [(d + 4).load(f32).splat(lanes) for d in rows["d"]]
        left = k["n"] - column

        def finish(j: int) -> tuple[list[Value], list[Value]]:
            """The j-th vector of each row: its addresses and values."""
            head, at, out = w + 4 * (v.nr + lanes * j), [], []
            factor, bias = (p.load(f32[lanes]) for p in (head, head + 4 * v.nr))
            for i, row in enumerate(accs):
                here = {name: addresses[i] for name, addresses in rows.items()}
                place = Place(k, here, (column + lanes * j) * FLOAT, self.isa)
                x = row[j].to(f32[lanes]) * scales[i] * factor + bias
                for prefix, stage in placed(v.stages):
                    x = stage.apply(x, place, prefix)
                at.append(here["c"] + place.column)
                out.append(x)
            return at, out

        with k.when(left.compare("ge", v.nr)) as full:
            for j in range(v.nv):
                at, values = finish(j)
                store_all([at], [values])
        with k.when(full ^ 1):
            for j in range(v.nv):
                with k.when(left.compare("gt", j * lanes)):
                    store_part(*finish(j), left - j * lanes)

    def epilogue(
        self,
        rounded: list[list[Value]],
        rows: dict[str, list[Value]],
        column: Value,
    ) -> list[Value]:
        """The 8-bit results of each row."""
        residuals = [row + column for row in rows["r"]] if self.v.add else None
        return results(self.isa, self.clamp, rounded, residuals)


def results(
    isa: Isa, clamp: Clamp, rounded: list[list[Value]], residuals: list[Value] | None
) -> list[Value]:
    """The 8-bit results of rows of ``Isa.rounded``; what lies at ``residuals`` is added."""
    if residuals is None:
        return isa.pack_rows(rounded, clamp, bounded=True)
    k, wide = clamp.k, i32[isa.lanes]
    c_mult, r_mult, bias, shift = (
        k.once(name, partial(k[name].splat, isa.lanes))
        for name in ("c_mult", "r_mult", "add_bias", "shift")
    )
    sums = []
    for qs, address in zip(rounded, residuals, strict=True):
        residual = isa.unpack(address.load(isa.activation[len(qs) * isa.lanes]))
        floored = (q.max(clamp.lanes("relative_lo", wide)) for q in qs)
        pairs = zip(floored, residual, strict=True)
        sums.append([(q * c_mult + r * r_mult + bias) >> shift for q, r in pairs])
    return isa.pack_rows(sums, Clamp(k, "add_"))
