"""Layers of windows and sizes of images: pools, local normalisation, interpolation."""

from __future__ import annotations

from typing import Any

from ... import ops
from ...graph import Value
from ..caffe_call import LayerCall, Row
from ..channels_first import average_pool, channels_first, channels_last, max_pool
from .arithmetic import linear

STOCHASTIC = 2


def pair(call: LayerCall, name: str, default: int | None = None) -> tuple[int, int]:
    """A size along height and width: ``name_h`` and ``name_w``, or ``name`` for both."""
    short = name.removesuffix("_size")
    p: Any = call.p
    h, w = f"{short}_h", f"{short}_w"
    if p.HasField(h) or p.HasField(w):
        return getattr(p, h), getattr(p, w)
    if default is not None and not p.HasField(name):
        return default, default
    return getattr(p, name), getattr(p, name)


def pooling(call: LayerCall) -> Value:
    """Windows as Caffe places them: the last begins inside of the bottom or its first padding."""
    p, (_, _, height, width) = call.p, call.image()
    size = (height, width)
    if p.pool == STOCHASTIC:
        raise call.unsupported("pool STOCHASTIC; supported are MAX and AVE")
    if p.global_pooling:
        taps, stride, pad = size, (1, 1), (0, 0)
    else:
        taps, stride, pad = pair(call, "kernel_size"), pair(call, "stride", 1), pair(call, "pad", 0)
    if min(*taps, *stride) < 1 or pad[0] >= taps[0] or pad[1] >= taps[1]:
        raise call.error(
            f"kernel {list(taps)}, stride {list(stride)}, pad {list(pad)}; the first are at least "
            "1, and pad is less than the kernel"
        )
    is_floor = p.round_mode == 1 or not p.ceil_mode
    after = []
    for n, k, s, before in zip(size, taps, stride, pad, strict=True):
        room = n + 2 * before - k
        if room < 0:
            raise call.error(f"kernel {k} of {n} elements padded by {before}; it fits in them")
        count = room // s + 1 if is_floor else -(-room // s) + 1
        if any(pad) and (count - 1) * s >= n + before:
            count -= 1
        if (count - 1) * s >= n + before:
            raise call.unsupported(f"stride {s} of kernel {k}: the last window holds no element")
        after.append(max((count - 1) * s + k - n - before, 0))
    pads = (*pad, *after)
    if p.pool == 0:
        return max_pool(call.b, call.x, taps, stride, pads)
    return average_pool(call.b, call.x, taps, stride, pads, count_pads=(*pad, *pad))


def lrn(call: LayerCall) -> Value:
    """x / (k + alpha / n * sum(x ** 2)) ** beta, over n channels or an n x n window."""
    p, n = call.p, call.p.local_size
    call.image()
    if n % 2 == 0:
        raise call.error(f"local_size {n}; it must be odd")
    if p.norm_region == 0:
        op = ops.LocalResponseNormalization(n // 2, p.k, p.alpha / n, p.beta)
        return channels_first(call.b, call.one(op, channels_last(call.b, call.x)))
    pads = (n // 2,) * 4
    squares = call.one(ops.Square(), call.x)
    mean = average_pool(call.b, squares, (n, n), (1, 1), pads, count_pads=pads)
    factor = call.one(ops.Pow(), linear(call, mean, p.alpha, 1), call.number(-p.beta))
    return call.one(ops.Mul(), call.x, factor)


def interp(call: LayerCall) -> Value:
    """Bilinear interpolation whose corners are aligned (DeepLab), after negative pads cut edges."""
    p, (_, _, height, width) = call.p, call.image()
    if p.pad_beg > 0 or p.pad_end > 0:
        raise call.error(f"pad_beg {p.pad_beg}, pad_end {p.pad_end}; they are 0 or negative")
    inner = [n + p.pad_beg + p.pad_end for n in (height, width)]
    if min(inner) < 1 or min(p.shrink_factor, p.zoom_factor) < 1:
        raise call.error(
            f"{inner} elements, shrink_factor {p.shrink_factor}, zoom_factor {p.zoom_factor}; each "
            "is at least 1"
        )
    small = [(n - 1) // p.shrink_factor + 1 for n in inner]
    size = [n + (n - 1) * (p.zoom_factor - 1) for n in small]
    is_scaled = p.HasField("shrink_factor") != p.HasField("zoom_factor")
    if p.HasField("height") and p.HasField("width") and not is_scaled:
        size = [p.height, p.width]
    if len(call.bottoms) == 2:
        size = list(call.bottoms[1].type.shape[2:])
    if len(size) != 2 or min(size) < 1:
        raise call.error(f"output of {size}; it is a height and a width of at least 1")
    x = channels_last(call.b, call.x)
    if p.pad_beg or p.pad_end:
        begins = (0, -p.pad_beg, -p.pad_beg, 0)
        sizes = (x.type.shape[0], *inner, x.type.shape[3])
        x = call.one(ops.StridedSlice(begins, sizes, (1,) * 4), x)
    resize = ops.ResizeBilinear((size[0], size[1]), align_corners=True)
    return channels_first(call.b, call.one(resize, x))


def upsample(call: LayerCall) -> Value:
    """Each pixel ``scale`` times along height and width."""
    (_, _, height, width), scale = call.image(), call.p.scale
    if scale < 1:
        raise call.error(f"scale {scale}; at least 1")
    resize = ops.ResizeNearestNeighbor((height * scale, width * scale))
    return channels_first(call.b, call.one(resize, channels_last(call.b, call.x)))


LAYERS: dict[str, Row] = {
    "Interp": Row(interp, "interp_param", (1, 2)),
    "LRN": Row(lrn, "lrn_param"),
    "Pooling": Row(pooling, "pooling_param"),
    "Upsample": Row(upsample, "upsample_param"),
}
