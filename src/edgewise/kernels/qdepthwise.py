"""Quantized depthwise convolution with multiplier 1: 8-bit in, 8-bit out.

Channels are done in blocks of ``nv`` vectors; the last block starts early, so that it ends with
the last channel. The input carries its padding. A dot product sums ``kr`` taps a lane, so the
vectors of ``kr`` taps are interleaved.

Windows of 3 rows by 3 columns with stride 1 or 2 slide (``stride``): a column of three rows is
interleaved once and added to each of the outputs that it belongs to. Other windows gather their
taps through a table of offsets.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .ir import Kernel, Type, Value, Var, f32, i16, i32, index, ptr
from .isa import Clamp, Isa


@dataclass(frozen=True)
class QDepthwise:
    """A variant. A work unit is an output row of one image.

    Attributes:
        stride: 1 or 2 for the sliding 3x3 form, None for windows of any shape.
        parts: weights less their zero point are sums of so many of the dot product's weights: 2,
            or 3 with a weight of 255, where they do not fit 8 bits.
        partial: fewer channels than a block holds.
        rounding: as in `QGemm`.
    """

    isa: Isa
    nv: int
    stride: int | None = None
    parts: int = 1
    partial: bool = False
    rounding: str = ""

    @property
    def block(self) -> int:
        """Channels of a block."""
        return self.nv * self.isa.lanes

    @property
    def pixels(self) -> int:
        """Outputs that the general form computes at once: their sums take half the registers."""
        few = self.isa.arch == "x86_64" and self.isa.bits < 512
        return min(4, (8 if few else 16) // self.nv)

    @property
    def symbol(self) -> str:
        act = str(self.isa.activation)
        window = f"3x3s{self.stride}" if self.stride else "any"
        tail = ("p" if self.partial else "") + (f"w{self.parts}" if self.parts > 1 else "")
        tail += f"_{self.rounding}" if self.rounding else ""
        kr = self.isa.depthwise.kr
        return f"qdepthwise{tail}_{act}i8{act}_{window}_{self.block}c{kr}__{self.isa.name}"

    @property
    def fields(self) -> dict[str, Type]:
        fields = {
            **dict.fromkeys(("a", "w", "c"), ptr),
            **dict.fromkeys(("height", "width", "channels", "blocks", "block_bytes"), index),
            **dict.fromkeys(("a_x", "a_y", "a_row", "a_image", "c_x", "c_y", "c_image"), index),
            **Clamp.FIELDS,
        }
        if not self.stride:
            fields |= {"taps": ptr, "groups": index}
        return fields

    def groups(self, rows: int, columns: int) -> list[list[tuple[int, int] | None]]:
        """The taps (row, column) of each dot step; None where a step has fewer."""
        kr = self.isa.depthwise.kr
        if self.stride and kr == 2:
            pairs: list[list[tuple[int, int] | None]] = [[(0, x), (1, x)] for x in range(3)]
            if self.stride == 1:
                return [*pairs, [(2, 0), (2, 1)], [None, (2, 2)]]
            return [*pairs, [(2, 1), (2, 2)], [None, (2, 0)]]
        if self.stride:
            sequences = [[(y, x) for y in range(rows)] for x in range(columns)]
        else:
            sequences = [[(y, x) for y in range(rows) for x in range(columns)]]
        steps: list[list[tuple[int, int] | None]] = []
        for taps in sequences:
            for start in range(0, len(taps), kr):
                part: list[tuple[int, int] | None] = list(taps[start : start + kr])
                steps.append(part + [None] * (kr - len(part)))
        return steps

    def block_bytes(self, rows: int, columns: int) -> int:
        steps = len(self.groups(rows, columns)) * self.parts
        return self.block * self.head_bytes + steps * self.nv * self.isa.depthwise.taps.nbytes

    @property
    def head_bytes(self) -> int:
        """Of a block, for each channel."""
        return 12 if self.rounding else 8

    def starts(self, channels: int) -> list[int]:
        """The first channel of each block."""
        return [max(0, min(at, channels - self.block)) for at in range(0, channels, self.block)]

    def pack(
        self,
        weights: npt.NDArray[np.int32],
        bias: npt.NDArray[np.int32],
        *factors: npt.NDArray[np.float32] | npt.NDArray[np.int32],
    ) -> npt.NDArray[np.uint8]:
        """Weights less their zero points int32[rows, columns, C], bias int32[C], ``factors`` [C].

        A block: bias int32[block], the factors (see `QGemm.pack`), then the weights of each dot
        step and part; channels in ``Isa.order``. Raises ValueError where ``parts`` are too few.
        """
        rows, columns, channels = weights.shape
        dot, order = self.isa.depthwise, np.array(self.isa.order(self.nv))
        steps = self.groups(rows, columns)
        starts = self.starts(channels)
        chosen = np.minimum(np.array(starts)[:, None] + order, channels - 1)
        dtype = np.dtype(f"i{dot.taps.bits // 8}")
        limits, rest, parts = np.iinfo(dtype), weights, []
        for _ in range(self.parts):
            parts.append(np.clip(rest, limits.min, limits.max))
            rest = rest - parts[-1]
        if rest.any():
            raise ValueError(f"{self.symbol}: weights are no sums of {self.parts} parts")
        taps = np.zeros((len(starts), len(steps), self.parts, self.block, dot.kr), dtype)
        for s, step in enumerate(steps):
            for i, tap in enumerate(step):
                for p, part in enumerate(parts):
                    if tap is not None:
                        taps[:, s, p, :, i] = part[tap][chosen]
        head = np.stack([bias[chosen], *(f[chosen].view(np.int32) for f in factors)], axis=1)
        head = np.ascontiguousarray(head.astype(np.int32))
        return np.concatenate(
            [a.reshape(len(starts), -1).view(np.uint8) for a in (head, taps)], axis=1
        ).ravel()

    def offsets(
        self, rows: int, columns: int, row_bytes: int, column_bytes: int
    ) -> npt.NDArray[np.int64]:
        """The table of tap offsets of the general form."""
        taps = [tap or (0, 0) for step in self.groups(rows, columns) for tap in step]
        return np.array([y * row_bytes + x * column_bytes for y, x in taps], np.int64)

    def build(self) -> str:
        return _Builder(self).build()


class _Builder:
    def __init__(self, variant: QDepthwise) -> None:
        self.v = variant
        self.isa, self.dot = variant.isa, variant.isa.depthwise
        self.k = Kernel(variant.symbol, variant.fields)
        self.clamp = Clamp(self.k)

    def build(self) -> str:
        k, v = self.k, self.v
        with k.loop(k.begin, k.end) as unit:
            image, y = unit // k["height"], unit % k["height"]
            source = k["a"] + (image * k["a_image"] + y * k["a_y"])
            target = k["c"] + (image * k["c_image"] + y * k["c_y"])
            with k.loop(0, k["blocks"], once=True) as block:
                channel = block * v.block
                if not v.partial:
                    channel = channel.min(k["channels"] - v.block)
                weights = k["w"] + block * k["block_bytes"]
                row = self.general
                if v.stride:
                    row = self.sliding_pairs if self.dot.kr == 2 else self.sliding
                row(source + channel, target + channel, weights)
        return k.text()

    def bias(self, weights: Value) -> list[Value]:
        lanes = self.isa.lanes
        return [(weights + 4 * lanes * j).load(i32[lanes]) for j in range(self.v.nv)]

    def accumulate(
        self, acc: list[Value], columns: list[list[Value]], weights: Value
    ) -> list[Value]:
        """Add the dot steps ``columns`` with the weights that lie from ``weights`` on."""
        taps, at = self.dot.taps, 0
        for operands in columns:
            for _ in range(self.v.parts):
                b = self.dot.load_taps(weights + at * taps.nbytes, len(operands))
                acc = [self.dot.mac(*each) for each in zip(acc, operands, b, strict=True)]
                at += len(operands)
        return acc

    def finish(self, acc: list[Value], weights: Value, target: Value) -> None:
        lanes, v, factors = self.isa.lanes, self.v, weights + 4 * self.v.block
        if v.rounding:
            (rounded,) = self.isa.fixed(v.rounding, [acc], factors, self.clamp)
        else:
            scales = [(factors + 4 * lanes * j).load(f32[lanes]) for j in range(v.nv)]
            rounded = self.isa.rounded(acc, scales, self.clamp)
        q = self.isa.pack(rounded, self.clamp, bounded=True)
        if v.partial:
            target.store_partial(q, self.k["channels"].min(v.block))
        else:
            target.store(q)

    def column(self, address: Value) -> list[list[Value]]:
        """Three rows at ``address`` as operands of the dot steps of one column."""
        kr, block = self.dot.kr, self.isa.activation[self.v.block]
        rows: list[Value | None] = [(address + self.k["a_row"] * y).load(block) for y in range(3)]
        rows += [None] * (-3 % kr)
        return [self.dot.interleave(rows[i : i + kr]) for i in range(0, len(rows), kr)]

    def sliding(self, source: Value, target: Value, weights: Value) -> None:
        k, v, taps = self.k, self.v, self.dot.taps
        body = weights + v.head_bytes * v.block
        per_column = -(-3 // self.dot.kr) * v.parts * v.nv * taps.nbytes
        step = [body + x * per_column for x in range(3)]
        first = self.column(source)
        a = self.accumulate(self.bias(weights), first, step[0])
        if v.stride == 1:
            second = self.column(source + k["a_x"])
            a = self.accumulate(a, second, step[1])
            b = [k.var(s) for s in self.accumulate(self.bias(weights), second, step[0])]
            sums = [k.var(s) for s in a]
            at, out = k.var(source + k["a_x"] * 2), k.var(target)
            with k.loop(0, k["width"], once=True):
                column = self.column(at.value)
                done = self.accumulate(values(sums), column, step[2])
                assign(sums, self.accumulate(values(b), column, step[1]))
                assign(b, self.accumulate(self.bias(weights), column, step[0]))
                self.finish(done, weights, out.value)
                at.value = at.value + k["a_x"]
                out.value = out.value + k["c_x"]
            return
        sums = [k.var(s) for s in a]
        at, out = k.var(source + k["a_x"]), k.var(target)
        with k.loop(0, k["width"], once=True):
            done = self.accumulate(values(sums), self.column(at.value), step[1])
            column = self.column(at.value + k["a_x"])
            done = self.accumulate(done, column, step[2])
            assign(sums, self.accumulate(self.bias(weights), column, step[0]))
            self.finish(done, weights, out.value)
            at.value = at.value + k["a_x"] * 2
            out.value = out.value + k["c_x"]

    def sliding_pairs(self, source: Value, target: Value, weights: Value) -> None:
        """Where a step has two taps: the first two rows of a column, and the third of two columns.

        A pair of neighbours in the third row serves two outputs: with two of the three weights
        there the one, with the other weight (and 0) the other.
        """
        k, v, block = self.k, self.v, self.isa.activation[self.v.block]
        stride = v.stride or 1
        body = weights + v.head_bytes * v.block
        size = v.parts * v.nv * self.dot.taps.nbytes
        one, two, three, both, single = (body + i * size for i in range(5))

        def column(address: Value) -> tuple[list[Value], Value]:
            """The first two rows as an operand, and the third."""
            rows = [(address + k["a_row"] * y).load(block) for y in range(3)]
            return self.dot.interleave(rows[:2]), rows[2].to(i16[v.block])

        def add(acc: list[Value], operand: list[Value], weights: Value) -> list[Value]:
            return self.accumulate(acc, [operand], weights)

        pair, third = column(source)
        a, low = add(self.bias(weights), pair, one), k.var(third)
        b: list[Var] = []
        if stride == 1:
            pair, third = column(source + k["a_x"])
            a = add(add(a, pair, two), self.dot.interleave([low.value, third]), both)
            b = [k.var(s) for s in add(self.bias(weights), pair, one)]
            low.value = third
        else:
            a = add(a, self.dot.interleave([third, third]), single)
        sums = [k.var(s) for s in a]
        at, out = k.var(source + k["a_x"] * (2 if stride == 1 else 1)), k.var(target)
        with k.loop(0, k["width"], once=True):
            done = values(sums)
            if stride == 2:
                pair, low.value = column(at.value)
                done = add(done, pair, two)
            pair, third = column(at.value + k["a_x"] * (stride - 1))
            neighbours = self.dot.interleave([low.value, third])
            low.value = third
            done = add(done, pair, three)
            if stride == 1:
                done = add(done, neighbours, single)
                assign(sums, add(add(values(b), pair, two), neighbours, both))
                assign(b, add(self.bias(weights), pair, one))
            else:
                done = add(done, neighbours, both)
                assign(sums, add(add(self.bias(weights), pair, one), neighbours, single))
            self.finish(done, weights, out.value)
            at.value = at.value + k["a_x"] * stride
            out.value = out.value + k["c_x"]

    def general(self, source: Value, target: Value, weights: Value) -> None:
        k, pixels = self.k, self.v.pixels
        at, out = k.var(source), k.var(target)
        whole = k["width"] & -pixels
        for count, start, stop in ((pixels, 0, whole), (1, whole, k["width"])):
            with k.loop(start, stop, count):
                self.gathered(at, out, weights, count)

    def gathered(self, at: Var, out: Var, weights: Value, count: int) -> None:
        """``count`` outputs, whose taps lie as the table says; a step's weights serve them all."""
        k, v, dot = self.k, self.v, self.dot
        block, step_bytes = self.isa.activation[v.block], v.parts * v.nv * dot.taps.nbytes
        pixels = [[k.var(s) for s in self.bias(weights)] for _ in range(count)]
        with k.loop(0, k["groups"], once=True) as group:
            table = k["taps"] + group * (dot.kr * 8)
            offsets = [(table + 8 * i).load(index, 8) for i in range(dot.kr)]
            here = weights + v.head_bytes * v.block + group * step_bytes
            for i, sums in enumerate(pixels):
                pixel = at.value + k["a_x"] * i
                operands = dot.interleave([(pixel + offset).load(block) for offset in offsets])
                assign(sums, self.accumulate(values(sums), [operands], here))
        for sums in pixels:
            self.finish(values(sums), weights, out.value)
            at.value = at.value + k["a_x"]
            out.value = out.value + k["c_x"]


def values(variables: list[Var]) -> list[Value]:
    return [v.value for v in variables]


def assign(variables: list[Var], new: list[Value]) -> None:
    for variable, value in zip(variables, new, strict=True):
        variable.value = value
