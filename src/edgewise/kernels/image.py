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

from .ir import Kernel, Type, Value, index, ptr
from .isa import Clamp, Isa


def view(name: str) -> dict[str, Type]:
    """The params fields of the view of operand ``name``."""
    return {name: ptr, f"{name}_image": index, f"{name}_row": index, f"{name}_x": index}


def row_address(k: Kernel, name: str, image: Value, y: Value) -> Value:
    return k[name] + (image * k[f"{name}_image"] + y * k[f"{name}_row"])


def block_widths(isa: Isa) -> tuple[int, ...]:
    """The widths of a block that pay on ``isa``: up to two vectors of bytes."""
    return tuple(w for w in (16, 32, 64) if w == 16 or w <= isa.bits // 4)


def block_width(isa: Isa, channels: int) -> int:
    """The width whose blocks do the fewest channels twice, the widest of equals."""
    widths = [w for w in block_widths(isa) if w == 16 or w <= channels]
    return min(widths, key=lambda w: (-(-channels // w) * w, -w))


@contextmanager
def blocks(k: Kernel, channels: Value, width: int) -> Iterator[tuple[Value, Value]]:
    """For each block: its first channel, and how many of its ``width`` channels to store."""
    last, count = (channels + -width).max(0), channels.min(width)
    with k.loop(0, channels, width, once=True) as channel:
        yield channel.min(last), count


def round_lanes(isa: Isa, v: Value) -> Value:
    """float32 to int32 lanes, ties to even, of a multiple of ``isa.lanes`` lanes."""
    parts = [isa.round(v.part(i, isa.lanes)) for i in range(v.ty.lanes // isa.lanes)]
    while len(parts) > 1:
        parts = [a.concat(b) for a, b in zip(parts[::2], parts[1::2], strict=True)]
    return parts[0]


def to_activation(isa: Isa, real: Value, clamp: Clamp) -> Value:
    """float32 lanes relative to the zero point to 8 bits, as ``Requant`` defines."""
    n = real.ty.lanes
    lo, zero = clamp.lo - clamp.zero_point, clamp.zero_point
    q = round_lanes(isa, real.min(clamp.real_hi.splat(n))).max(lo.splat(n))
    return (q + zero.splat(n)).to(isa.activation[n])
