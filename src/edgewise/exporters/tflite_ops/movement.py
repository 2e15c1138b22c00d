"""What moves elements and computes nothing."""

from __future__ import annotations

from typing import Any

import numpy as np

from ... import ops
from ...graph import Node
from ..tflite_call import Row, Written, activation, ints, pairs, plain, scalar


def pad(op: ops.Pad, node: Node) -> Written:
    inputs = (*node.inputs, pairs(op.paddings))
    if op.value is None:
        return Written("PAD", inputs)
    t = node.inputs[0].type
    return Written("PADV2", (*inputs, scalar(op.value, t.dtype, t.quant)))


def mirror_pad(op: ops.MirrorPad, node: Node) -> Written:
    inputs = (*node.inputs, pairs(op.paddings))
    return Written(op.name, inputs, "MirrorPadOptions", {"Mode": int(op.symmetric)})


def concatenation(op: ops.Concatenation, node: Node) -> Written:
    fields = {"Axis": op.axis, "FusedActivationFunction": activation(op.activation)}
    return Written(op.name, node.inputs, "ConcatenationOptions", fields)


def reshape(op: ops.Reshape, node: Node) -> Written:
    """A scalar's shape is an option alone, [0]: a tensor of no elements has no bytes."""
    shape = op.shape or (0,)
    inputs = (*node.inputs, ints(*shape)) if op.shape else node.inputs
    return Written(op.name, inputs, "ReshapeOptions", {"NewShape": np.array(shape, np.int32)})


def squeeze(op: ops.Squeeze, node: Node) -> Written:
    axes = np.array(op.axes, np.int32)
    return Written(op.name, node.inputs, "SqueezeOptions", {"SqueezeDims": axes})


def transpose(op: ops.Transpose, node: Node) -> Written:
    return Written(op.name, (*node.inputs, ints(*op.perm)))


def strided_slice(op: ops.StridedSlice, node: Node) -> Written:
    """A bit of the end's mask says "as far as the axis goes", up or down.

    It is set for all of an axis, whatever its size; an end below 0 would count from the axis' end.
    """
    ends, end_mask, shrink_mask = [], 0, 0
    strides = [1 if i in op.shrink_axes else s for i, s in enumerate(op.strides)]
    shape = node.input_types[0].shape
    for i, (begin, size, stride) in enumerate(zip(op.begin, op.size, strides, strict=True)):
        end = begin + size * stride
        is_whole = (begin, size, stride) == (0, shape[i], 1) and i not in op.shrink_axes
        end_mask |= (end < 0 or is_whole) << i
        shrink_mask |= (i in op.shrink_axes) << i
        ends.append(0 if is_whole else max(end, 0))
    inputs = (*node.inputs, ints(*op.begin), ints(*ends), ints(*strides))
    fields = {"EndMask": end_mask, "ShrinkAxisMask": shrink_mask}
    return Written(op.name, inputs, "StridedSliceOptions", fields)


def split(op: ops.Split, node: Node) -> Written:
    """Its operands in the file are (axis, input)."""
    inputs = (scalar(op.axis), *node.inputs)
    return Written(op.name, inputs, "SplitOptions", {"NumSplits": op.count})


def split_v(op: ops.SplitV, node: Node) -> Written:
    inputs = (*node.inputs, ints(*op.sizes), scalar(op.axis))
    return Written(op.name, inputs, "SplitVOptions", {"NumSplits": len(op.sizes)})


def tile(op: ops.Tile, node: Node) -> Written:
    return Written(op.name, (*node.inputs, ints(*op.multiples)))


def broadcast_to(op: ops.BroadcastTo, node: Node) -> Written:
    return Written(op.name, (*node.inputs, ints(*op.shape)))


def reverse(op: ops.Reverse, node: Node) -> Written:
    return Written(op.name, (*node.inputs, ints(*op.axes)))


def reverse_sequence(op: ops.ReverseSequence, node: Node) -> Written:
    fields = {"SeqDim": op.seq_axis, "BatchDim": op.batch_axis}
    return Written(op.name, node.inputs, "ReverseSequenceOptions", fields)


def space_to_depth(op: ops.SpaceToDepth, node: Node) -> Written:
    return Written(op.name, node.inputs, "SpaceToDepthOptions", {"BlockSize": op.block})


def depth_to_space(op: ops.DepthToSpace, node: Node) -> Written:
    return Written(op.name, node.inputs, "DepthToSpaceOptions", {"BlockSize": op.block})


def space_to_batch_nd(op: ops.SpaceToBatchNd, node: Node) -> Written:
    return Written(op.name, (*node.inputs, ints(*op.block), pairs(op.paddings)))


def batch_to_space_nd(op: ops.BatchToSpaceNd, node: Node) -> Written:
    return Written(op.name, (*node.inputs, ints(*op.block), pairs(op.crops)))


def pack(op: ops.Pack, node: Node) -> Written:
    fields = {"ValuesCount": len(node.inputs), "Axis": op.axis}
    return Written(op.name, node.inputs, "PackOptions", fields)


def unpack(op: ops.Unpack, node: Node) -> Written:
    fields: dict[str, Any] = {"Num": len(node.outputs), "Axis": op.axis}
    return Written(op.name, node.inputs, "UnpackOptions", fields)


ROWS: dict[type[ops.Op], Row] = {
    ops.BatchToSpaceNd: batch_to_space_nd,
    ops.BroadcastTo: broadcast_to,
    ops.Concatenation: concatenation,
    ops.DepthToSpace: depth_to_space,
    ops.MatrixDiag: plain,
    ops.MatrixSetDiag: plain,
    ops.MirrorPad: mirror_pad,
    ops.Pack: pack,
    ops.Pad: pad,
    ops.Reshape: reshape,
    ops.Reverse: reverse,
    ops.ReverseSequence: reverse_sequence,
    ops.SpaceToBatchNd: space_to_batch_nd,
    ops.SpaceToDepth: space_to_depth,
    ops.Split: split,
    ops.SplitV: split_v,
    ops.Squeeze: squeeze,
    ops.StridedSlice: strided_slice,
    ops.Tile: tile,
    ops.Transpose: transpose,
    ops.Unpack: unpack,
}
