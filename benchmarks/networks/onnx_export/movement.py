"""What moves elements, as ONNX: on raw numbers, which keep their quantization."""

from __future__ import annotations

import numpy as np

from edgewise.graph import Node, Value
from edgewise.ops import (
    Activation,
    Concatenation,
    Gather,
    MirrorPad,
    Pack,
    Pad,
    ResizeBilinear,
    ResizeNearestNeighbor,
    Split,
    StridedSlice,
    Transpose,
    Unpack,
)

from .builder import Builder, UnsupportedError, arranged, axis_of
from .products import clamped, reshaped

BACKWARDS_TO_START = -(2**31)


def reshape(b: Builder, node: Node) -> None:
    x, (out,) = node.inputs[0], node.outputs
    b.define_raw(out, reshaped(b, b.raw(x), x.type.shape, out.type.shape))


def transpose(b: Builder, node: Node) -> None:
    assert isinstance(node.op, Transpose)
    b.define_raw(node.outputs[0], b.emit("Transpose", (b.raw(node.inputs[0]),), perm=node.op.perm))


def concatenation(b: Builder, node: Node) -> None:
    op, (out,) = node.op, node.outputs
    assert isinstance(op, Concatenation)
    first = len(out.type.shape) == 4 and b.prefers_first(node.inputs)
    axis = axis_of(op.axis, first)
    is_moved = all(v.type.quant == out.type.quant for v in node.inputs)
    if is_moved and op.activation is Activation.NONE:
        names = [b.raw(v, first) for v in node.inputs]
        b.define_raw(out, b.emit("Concat", names, axis=axis), first)
        return
    y = b.emit("Concat", [b.real(v, first) for v in node.inputs], axis=axis)
    b.define(out, clamped(b, y, op.activation, out.type), first)


def pad(b: Builder, node: Node) -> None:
    op, x, (out,) = node.op, node.inputs[0], node.outputs
    assert isinstance(op, Pad)
    first = b.is_first(x)
    value = op.value
    if value is None:
        value = 0 if x.type.quant is None else x.type.quant.zero_point[0]
    names = (b.raw(x, first), _pads(b, op.paddings, first), b.constant(_scalar(x, value)))
    b.define_raw(out, b.emit("Pad", names, mode="constant"), first)


def mirror_pad(b: Builder, node: Node) -> None:
    op, x, (out,) = node.op, node.inputs[0], node.outputs
    assert isinstance(op, MirrorPad)
    if op.symmetric:
        raise UnsupportedError("MIRROR_PAD, symmetric")
    first = b.is_first(x)
    names = (b.raw(x, first), _pads(b, op.paddings, first))
    b.define_raw(out, b.emit("Pad", names, mode="reflect"), first)


def strided_slice(b: Builder, node: Node) -> None:
    op, x, (out,) = node.op, node.inputs[0], node.outputs
    assert isinstance(op, StridedSlice)
    first = b.is_first(x) and not op.shrink_axes
    ends = [
        end if (end := begin + size * stride) >= 0 else BACKWARDS_TO_START
        for begin, size, stride in zip(op.begin, op.size, op.strides, strict=True)
    ]
    rank = len(x.type.shape)
    bounds = (op.begin, ends, range(rank), op.strides)
    starts, stops, _, steps = ([*arranged(list(items), first)] for items in bounds)
    tensors = [b.constant(items, np.int64) for items in (starts, stops, range(rank), steps)]
    y = b.emit("Slice", (b.raw(x, first), *tensors))
    if op.shrink_axes:
        y = b.emit("Squeeze", (y, b.constant(op.shrink_axes, np.int64)))
    b.define_raw(out, y, first)


def split(b: Builder, node: Node) -> None:
    op, x = node.op, node.inputs[0]
    assert isinstance(op, Split)
    first = b.is_first(x)
    axis = axis_of(op.axis, first)
    names = b.emit_many("Split", (b.raw(x, first),), op.count, axis=axis)
    for value, name in zip(node.outputs, names, strict=True):
        b.define_raw(value, name, first)


def pack(b: Builder, node: Node) -> None:
    assert isinstance(node.op, Pack)
    axis = b.constant([node.op.axis], np.int64)
    names = [b.emit("Unsqueeze", (b.raw(v), axis)) for v in node.inputs]
    b.define_raw(node.outputs[0], b.emit("Concat", names, axis=node.op.axis))


def unpack(b: Builder, node: Node) -> None:
    assert isinstance(node.op, Unpack)
    axis = b.constant([node.op.axis], np.int64)
    x = b.raw(node.inputs[0])
    parts = b.emit_many("Split", (x,), len(node.outputs), axis=node.op.axis)
    for value, part in zip(node.outputs, parts, strict=True):
        b.define_raw(value, b.emit("Squeeze", (part, axis)))


def gather(b: Builder, node: Node) -> None:
    assert isinstance(node.op, Gather)
    if node.op.batch_dims:
        raise UnsupportedError("GATHER with batch dimensions")
    names = [b.raw(v) for v in node.inputs]
    b.define_raw(node.outputs[0], b.emit("Gather", names, axis=node.op.axis))


def gather_nd(b: Builder, node: Node) -> None:
    x, indices = node.inputs
    wide = b.emit("Cast", (b.raw(indices),), to=7)
    b.define_raw(node.outputs[0], b.emit("GatherND", (b.raw(x), wide)))


def resize(b: Builder, node: Node) -> None:
    op, x, (out,) = node.op, node.inputs[0], node.outputs
    assert isinstance(op, ResizeBilinear | ResizeNearestNeighbor)
    mode = "asymmetric"
    if op.align_corners:
        mode = "align_corners"
    elif op.half_pixel_centers:
        mode = "half_pixel"
    is_linear = isinstance(op, ResizeBilinear)
    if not is_linear and mode == "half_pixel":
        mode = "tf_half_pixel_for_nn"
    shape = arranged(out.type.shape, True)
    y = b.emit(
        "Resize",
        (b.raw(x, True), "", "", b.constant(shape, np.int64)),
        mode="linear" if is_linear else "nearest",
        coordinate_transformation_mode=mode,
        nearest_mode="round_prefer_ceil" if op.align_corners else "floor",
    )
    b.define_raw(out, y, True)


def _pads(b: Builder, paddings: tuple[tuple[int, int], ...], first: bool) -> str:
    pairs = arranged(paddings, first)
    return b.constant([p[0] for p in pairs] + [p[1] for p in pairs], np.int64)


def _scalar(x: Value, value: float) -> np.ndarray:
    return np.array(value, x.type.dtype.numpy)
