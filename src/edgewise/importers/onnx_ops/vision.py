"""Regions and grids of images, deformed convolutions, columns back to images."""

from __future__ import annotations

import math

import numpy as np

from ... import ops
from ...dtype import DType
from ...graph import Value
from .. import channels_first
from ..onnx_call import Call, Row
from .products import in_float32, product
from .windows import resolved, windows

MODES = {"bilinear": "linear", "bicubic": "cubic"}
"""Names that GridSample's modes had before opset 20."""


def grid_sample(call: Call) -> Value:
    mode = call.text("mode", "linear")
    padding = call.text("padding_mode", "zeros")
    op = ops.GridSample(MODES.get(mode, mode), padding, call.flag("align_corners"))
    return call.one(op, call.value(0), call.value(1))


def affine_grid(call: Call) -> Value:
    """Coordinates [N, *size, dimensions] of a grid that theta[N, dimensions, dimensions + 1] moves.

    They are a matrix product with the grid that is not moved.
    """
    call.only(DType.FLOAT32)
    theta, size = call.value(0), call.integers(1)
    if len(size) not in (4, 5) or min(size) < 1:
        raise call.error(f"size {list(size)}; it has 4 or 5 dimensions of 1 or more")
    count, image = size[0], size[2:]
    dims = len(image)
    call.b.afford(4 * math.prod(image))
    if theta.type.shape != (count, dims, dims + 1):
        raise call.error(
            f"theta has shape {list(theta.type.shape)}; it must be {[count, dims, dims + 1]}"
        )
    lines = []
    for n in image:
        places = np.arange(n, dtype=np.float64)
        if call.flag("align_corners"):
            lines.append(places * 2 / max(n - 1, 1) - 1)
        else:
            lines.append((2 * places + 1) / n - 1)
    axes = np.meshgrid(*lines, indexing="ij")
    rows = np.stack([*(a.ravel() for a in axes[::-1]), np.ones(math.prod(image))])
    moved = product(call, theta, call.b.constant(rows.astype(np.float32)))
    return call.b.reshape(call.b.transpose(moved, (0, 2, 1)), (count, *image, dims))


def roi_align(call: Call) -> Value:
    half = "half_pixel" if call.opset >= 16 else "output_half_pixel"
    kind, mode = call.text("coordinate_transformation_mode", half), call.text("mode", "avg")
    if kind not in ("half_pixel", "output_half_pixel") or mode not in ("avg", "max"):
        raise call.error(
            f"coordinate_transformation_mode {kind!r}, mode {mode!r}; they are half_pixel or "
            "output_half_pixel, and avg or max"
        )
    op = ops.RoiAlign(
        (call.integer("output_height", 1), call.integer("output_width", 1)),
        call.integer("sampling_ratio", 0),
        call.real("spatial_scale", 1.0),
        kind == "half_pixel",
        mode == "max",
    )
    return call.one(op, *call.values())


def max_roi_pool(call: Call) -> Value:
    size = call.ints("pooled_shape")
    if len(size) != 2:
        raise call.error(f"pooled_shape {list(size)}; it has a height and a width")
    op = ops.MaxRoiPool((size[0], size[1]), call.real("spatial_scale", 1.0))
    return call.one(op, *call.values())


def deform_conv(call: Call) -> Value:
    call.only(DType.FLOAT32)
    x, w, offsets = (call.value(i) for i in range(3))
    shape = windows(call, w.type.shape[2:])
    if len(shape.taps) != 2:
        raise call.unsupported(f"input of rank {call.rank(0)}; supported are images, of rank 4")
    (sh, sw), (dh, dw) = shape.stride, shape.dilation
    top, left, bottom, right = resolved(call, shape)
    parts = call.integer("offset_group", 1)
    op = ops.DeformConv(
        (sh, sw), (dh, dw), (top, left, bottom, right), call.integer("group", 1), parts
    )
    bias, mask = call.optional(3), call.optional(4)
    if bias is None:
        bias = call.b.constant(np.zeros(w.type.shape[0], np.float32))
    if mask is None:
        n, moves, *size = (*offsets.type.shape, 0, 0)
        ones = call.b.constant(np.ones((), np.float32))
        mask = call.one(ops.BroadcastTo((n, moves // 2, *size[:2])), ones)
    return call.one(op, x, w, offsets, bias, mask)


def col2im(call: Call) -> Value:
    """A transposed convolution, in which each tap is a channel of its own."""
    call.only(DType.FLOAT32)
    x, image, taps = call.value(0), call.integers(1), call.integers(2)
    dims, count = len(image), math.prod(taps)
    stride, dilation = call.ints("strides", (1,) * dims), call.ints("dilations", (1,) * dims)
    pads = call.ints("pads", (0,) * (2 * dims))
    lists = (taps, stride, dilation)
    if any(len(v) != dims or min(v, default=0) < 1 for v in lists) or len(pads) != 2 * dims:
        raise call.error(
            f"image {list(image)}, block {list(taps)}, strides {list(stride)}, dilations "
            f"{list(dilation)}, pads {list(pads)}; one of 1 or more a dimension, and two pads"
        )
    if call.rank(0) != 3 or count > 2**16 or x.type.shape[1] % count or min(pads) < 0:
        raise call.error(
            f"input {list(x.type.shape)}, block {list(taps)}, pads {list(pads)}; the input has "
            "rank 3 and the block's elements divide its channels, and no pad is negative"
        )
    blocks = [
        (n + pads[i] + pads[dims + i] - (k - 1) * d - 1) // s + 1
        for i, (n, k, s, d) in enumerate(zip(image, taps, stride, dilation, strict=True))
    ]
    batch, channels, length = x.type.shape
    if math.prod(blocks) != length or min(blocks) < 1:
        raise call.error(f"input {list(x.type.shape)}; {blocks} blocks fit the image")
    call.b.afford(count * (count + channels))
    w = np.tile(np.eye(count, dtype=np.float32), (channels // count, 1))
    return channels_first.conv_transpose(
        call.b,
        call.b.reshape(x, (batch, channels, *blocks)),
        call.b.constant(w.reshape(channels, 1, *taps)),
        stride=stride,
        dilation=dilation,
        pads=pads,
        output_size=image,
        groups=channels // count,
    )


OPERATORS: dict[str, Row] = {
    "AffineGrid": Row(in_float32(affine_grid), (2, 2)),
    "Col2Im": Row(in_float32(col2im), (3, 3)),
    "DeformConv": Row(in_float32(deform_conv), (3, 5)),
    "GridSample": Row(grid_sample, (2, 2)),
    "MaxRoiPool": Row(max_roi_pool, (2, 2)),
    "RoiAlign": Row(roi_align, (3, 3)),
}
