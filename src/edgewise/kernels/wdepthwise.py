"""Depthwise convolution of int16 activations by 8-bit weights, with multiplier 1.

Channels are done in blocks of ``nv`` vectors; the last block starts early, so that it ends with
the last channel. The input carries its padding; taps are found through a table of offsets. Sums of
products must fit int32 (`words.GROUP_LIMIT`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .ir import Kernel, Type, Value, i16, i32, i64, index, ptr
from .isa import Clamp, Isa
from .shuffles import joined
from .words import HEAD_BYTES, pack_head, results


@dataclass(frozen=True)
class WDepthwise:
    """A variant. A work unit is an output row of one image.

    Attributes:
        rounding, wide: as in `WGemm`.
        partial: fewer channels than a block holds.
    """

    isa: Isa
    nv: int
    rounding: str = "once"
    wide: bool = True
    partial: bool = False

    @property
    def block(self) -> int:
        """Channels of a block."""
        return self.nv * self.isa.lanes

    @property
    def symbol(self) -> str:
        sums = "i64" if self.wide else "i32"
        op = "wdepthwise" + ("p" if self.partial else "")
        return f"{op}_{self.rounding}_i16i8i16_{sums}_{self.block}__{self.isa.name}"

    @property
    def fields(self) -> dict[str, Type]:
        return {
            **dict.fromkeys(("a", "w", "c", "taps"), ptr),
            **dict.fromkeys(("height", "width", "channels", "blocks", "block_bytes"), index),
            **dict.fromkeys(("a_x", "a_y", "a_image", "c_x", "c_y", "c_image"), index),
            "count": index,
            **Clamp.FIELDS,
        }

    def block_bytes(self, taps: int) -> int:
        return self.block * (HEAD_BYTES + 2 * taps)

    def starts(self, channels: int) -> list[int]:
        """The first channel of each block."""
        return [max(0, min(at, channels - self.block)) for at in range(0, channels, self.block)]

    def pack(
        self,
        weights: npt.NDArray[np.int16],
        bias: npt.NDArray[np.int64],
        multiplier: npt.NDArray[np.int32],
        exponent: npt.NDArray[np.int32],
    ) -> npt.NDArray[np.uint8]:
        """Weights int16[taps, C], and what belongs to each of the C channels, as blocks.

        A block: bias int64[block], multiplier and exponent int32[block], then int16[block] for
        each tap.
        """
        channels = weights.shape[1]
        starts = np.array(self.starts(channels))
        chosen = np.minimum(starts[:, None] + np.arange(self.block), channels - 1)
        head = pack_head(bias[chosen], multiplier[chosen], exponent[chosen])
        body = np.ascontiguousarray(weights[:, chosen].transpose(1, 0, 2))
        rest = body.reshape(len(starts), -1).view(np.uint8)
        return np.concatenate([head, rest], axis=1).ravel()

    def build(self) -> str:
        return _Builder(self).build()


class _Builder:
    def __init__(self, variant: WDepthwise) -> None:
        self.v = variant
        self.isa = variant.isa
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
                self.row(source + channel * 2, target + channel * 2, weights)
        return k.text()

    def row(self, source: Value, target: Value, head: Value) -> None:
        k, v, lanes = self.k, self.v, self.isa.lanes
        at, out = k.var(source), k.var(target)
        with k.loop(0, k["width"], once=True):
            sums = [k.var(k.const(0, i32[lanes])) for _ in range(v.nv)]
            with k.loop(0, k["count"], once=True) as tap:
                pixel = at.value + (k["taps"] + tap * 8).load(index, 8)
                weights = head + (tap * (2 * v.block) + HEAD_BYTES * v.block)
                for j, total in enumerate(sums):
                    a, w = ((p + 2 * lanes * j).load(i16[lanes]) for p in (pixel, weights))
                    total.value = total.value + a.to(i32[lanes]) * w.to(i32[lanes])
            totals = [total.value.to(i64[lanes]) for total in sums]
            (done,) = results(v.rounding, v.wide, [totals], head, self.clamp)
            if v.partial:
                out.value.store_partial(joined(done), k["channels"].min(v.block))
            else:
                out.value.store(joined(done))
            at.value = at.value + k["a_x"]
            out.value = out.value + k["c_x"]
