"""Windows of convolutions and pools: their sizes, strides and pads as ONNX states them."""

from __future__ import annotations

from dataclasses import dataclass

from ..channels_first import same_padding
from ..onnx_call import Call

LIMIT = 2**31


@dataclass(frozen=True)
class Windows:
    """Of each spatial dimension: taps, strides, dilations; pads before each, then after each."""

    taps: tuple[int, ...]
    stride: tuple[int, ...]
    dilation: tuple[int, ...]
    pads: tuple[int, ...]
    auto: str

    @property
    def extent(self) -> tuple[int, ...]:
        """How far a window reaches along each dimension."""
        return tuple((k - 1) * d + 1 for k, d in zip(self.taps, self.dilation, strict=True))


def windows(call: Call, taps: tuple[int, ...] | None = None) -> Windows:
    """The windows of a node; ``taps`` are those of its weights, if it has some.

    ``pads`` are 0 where ``auto`` is not NOTSET, but see `resolved`.
    """
    dims = call.rank(0) - 2
    if dims < 1:
        raise call.error(f"input 0 has rank {dims + 2}; it must be 3 or more")
    given = call.ints("kernel_shape", taps)
    if taps is not None and given != taps:
        raise call.error(f"kernel_shape {list(given)}, weights of {list(taps)}; they are equal")
    stride = call.ints("strides", (1,) * dims)
    dilation = call.ints("dilations", (1,) * dims)
    pads = call.ints("pads", (0,) * (2 * dims))
    for name, sizes in (("kernel_shape", given), ("strides", stride), ("dilations", dilation)):
        if len(sizes) != dims or min(sizes) < 1 or max(sizes) >= LIMIT:
            raise call.error(f"{name} {list(sizes)}; there is one of 1 or more a dimension")
    if len(pads) != 2 * dims or min(pads) < 0 or max(pads) >= LIMIT:
        raise call.error(f"pads {list(pads)}; there are two of 0 or more a dimension")
    auto = call.text("auto_pad", "NOTSET")
    if auto not in ("NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID"):
        raise call.error(f"auto_pad is {auto!r}; it is NOTSET, SAME_UPPER, SAME_LOWER or VALID")
    return Windows(given, stride, dilation, pads if auto == "NOTSET" else (0,) * 2 * dims, auto)


def resolved(call: Call, w: Windows) -> tuple[int, ...]:
    """The pads of windows over input 0, those of auto_pad too."""
    if not w.auto.startswith("SAME"):
        return w.pads
    size, lower = call.shape(0)[2:], w.auto == "SAME_LOWER"
    return tuple(same_padding(size, w.taps, w.stride, w.dilation, lower))


def rounded_up(size: tuple[int, ...], w: Windows, pads: tuple[int, ...]) -> tuple[int, ...]:
    """``pads`` with more after each dimension, so that windows that begin in it all count.

    This is ceil_mode; a window that would begin in the padding at the end is left out.
    """
    dims, after = len(size), []
    for i, (n, s, e) in enumerate(zip(size, w.stride, w.extent, strict=True)):
        before, end = pads[i], pads[dims + i]
        count = -(-max(n + before + end - e, 0) // s) + 1
        if (count - 1) * s >= n + before:
            count -= 1
        after.append(max((count - 1) * s + e - n - before, end))
    return (*pads[:dims], *after)
