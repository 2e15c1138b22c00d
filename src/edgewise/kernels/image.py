"""What the kernels over images share: views, blocks of channels, and int32 to 8 bits.

A view of an image operand ``a`` is its address and three strides in bytes, ``a_image``, ``a_row``
and ``a_x`` (one pixel); the channels of a pixel lie side by side. A view may be the inner part of
a padded buffer, or a slice of the channels of a wider one.

Channels are done in blocks of ``width``. The last block is moved back to end at the last channel,
so it overlaps the one before; where there are fewer channels than ``width``, a block is stored in
part. Either way nothing is written past the pixel. Up to ``width`` bytes, at most 64, are read.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from .ir import Kernel, Type, Value, f32, i32, index, ptr, u8
from .isa import Clamp, Isa
from .math import at_least, at_most
from .shuffles import joined, split


def view(name: str) -> dict[str, Type]:
    """The params fields of the view of operand ``name``."""
    return {name: ptr, f"{name}_image": index, f"{name}_row": index, f"{name}_x": index}


def row_address(k: Kernel, name: str, image: Value, y: Value) -> Value:
    return k[name] + (image * k[f"{name}_image"] + y * k[f"{name}_row"])


@contextmanager
def pixels(k: Kernel) -> Iterator[tuple[Value, Value]]:
    """A loop over the pixels of the units, rows of ``width`` pixels: their addresses in a and c."""
    with k.loop(k.begin, k.end) as unit:
        image, y = unit // k["height"], unit % k["height"]
        source, target = row_address(k, "a", image, y), row_address(k, "c", image, y)
        with k.loop(0, k["width"], once=True) as x:
            yield source + x * k["a_x"], target + x * k["c_x"]


def block_widths(isa: Isa) -> tuple[int, ...]:
    """The bytes of a block that pay on ``isa``: up to two vectors."""
    return tuple(w for w in (16, 32, 64) if w == 16 or w <= isa.bits // 4)


def block_width(isa: Isa, channels: int, element: Type = u8) -> int:
    """The elements of the blocks that do the fewest channels twice, the widest of equals."""
    widths = [w // element.nbytes for w in block_widths(isa)]
    widths = [w for w in widths if w == widths[0] or w <= channels]
    return min(widths, key=lambda w: (-(-channels // w) * w, -w))


@contextmanager
def blocks(k: Kernel, channels: Value, width: int) -> Iterator[tuple[Value, Value]]:
    """For each block: its first channel, and how many of its ``width`` channels to store."""
    last, count = (channels + -width).max(0), channels.min(width)
    with k.loop(0, channels, width, once=True) as channel:
        yield channel.min(last), count


def round_lanes(isa: Isa, v: Value) -> Value:
    """float32 to int32 lanes, ties to even, of a multiple of ``isa.lanes`` lanes."""
    return joined([isa.round(part) for (part,) in split(v, isa.lanes)])


def to_activation(isa: Isa, real: Value, clamp: Clamp) -> Value:
    """float32 lanes relative to the zero point to 8 bits, as ``Requant`` defines."""
    n = real.ty.lanes
    wide = i32[n]
    q = round_lanes(isa, real.min(clamp.lanes("real_hi", f32[n])))
    q = q.max(clamp.lanes("relative_lo", wide)) + clamp.lanes("zero_point", wide)
    return q.to(isa.activation[n])


def field_lanes(k: Kernel, name: str, lanes: int) -> Value:
    """A vector of the field ``name``, made once for the kernel."""
    return k.once((name, lanes), lambda: k[name].splat(lanes))


def clamp_real(isa: Isa, real: Value) -> Value:
    """Floats within the fields ``lo`` and ``hi``; NaN stays."""
    lo, hi = (field_lanes(real.k, name, real.ty.lanes) for name in ("lo", "hi"))
    return at_most(isa, at_least(isa, real, lo), hi)
