"""Images read at places that blobs give."""

from __future__ import annotations

import numpy as np

from ... import ops
from ...graph import Value
from ..ncnn_call import Call, Row
from .activations import fused
from .products import Window, check_size

MODES = {1: "linear", 2: "nearest", 3: "cubic"}
PADDINGS = {1: "zeros", 2: "border", 3: "reflection"}


def _grid_sample(call: Call) -> Value:
    """The grid's coordinates lie along its last dimension, or its first (parameter 3)."""
    rank, mode, padding = call.rank(0, 3, 4), call.integer(0, 1), call.integer(1, 1)
    call.rank(1, rank)
    if mode not in MODES or padding not in PADDINGS:
        raise call.error(f"sample_type {mode}, padding_mode {padding}; both are 1 to 3")
    if (MODES[mode], PADDINGS[padding]) == ("cubic", "border"):
        raise call.unsupported("bicubic sampling with the border repeated")
    grid = call.value(1)
    if call.flag(3):
        grid = call.b.transpose(grid, (0, *range(2, rank + 1), 1))
    op = ops.GridSample(MODES[mode], PADDINGS[padding], call.flag(2))
    return call.one(op, call.value(0), grid)


def _deformable(call: Call) -> Value:
    """Inputs are the image, offsets, and what each tap is multiplied by."""
    call.rank(0, 3)
    window, (channels, *size) = Window(call, 2), call.dims()
    outputs = call.integer(0)
    shape = (outputs, channels, *window.taps)
    check_size(call, call.integer(6), shape)
    w = call.b.constant(call.weights(*shape), "weights")
    bias = call.floats(outputs) if call.flag(5) else np.zeros(outputs, np.float32)
    offsets = call.value(1)
    if len(call.blobs) == 3:
        mask = call.value(2)
    else:
        n, moves, *made = (*offsets.type.shape, 0, 0)
        mask = call.one(ops.BroadcastTo((n, moves // 2, *made[:2])), call.number(1))
    top, left, bottom, right = window.pads(call, size)
    (sh, sw), (dh, dw) = window.stride, window.dilation
    op = ops.DeformConv((sh, sw), (dh, dw), (top, left, bottom, right))
    y = call.one(op, call.value(0), w, offsets, call.b.constant(bias, "bias"), mask)
    return fused(call, y)


LAYERS: dict[str, Row] = {
    "DeformableConv2D": Row(_deformable, (2, 3)),
    "GridSample": Row(_grid_sample, (2, 2)),
}
