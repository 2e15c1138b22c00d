"""What moves elements and computes nothing."""

from __future__ import annotations

from ... import ops
from ...errors import ModelError
from .. import tflite_schema as schema
from ..flatbuffer import INT8
from ..strided_slice import strided_slice
from ..tflite_call import MANY, Built, Call, Row, plain


def pad(call: Call) -> Built:
    return ops.Pad(_paddings(call)), call.operands(0)


def padv2(call: Call) -> Built:
    value = call.scalar(2)
    return ops.Pad(_paddings(call), value), call.operands(0)


def _paddings(call: Call) -> tuple[tuple[int, int], ...]:
    flat = call.constant(1, count=2 * len(call.shape(0)))
    return tuple(zip(flat[::2], flat[1::2], strict=True))


def mirror_pad(call: Call) -> Built:
    mode = call.options.number(schema.MirrorPadOptions.MODE, INT8)
    if mode not in (0, 1):
        raise ModelError(f"{call.what}: mode {mode}; it is 0 (REFLECT) or 1 (SYMMETRIC)")
    return ops.MirrorPad(_paddings(call), mode == 1), call.operands(0)


def concatenation(call: Call) -> Built:
    o = schema.ConcatenationOptions
    axis = call.axis(call.int32(o.AXIS), len(call.shape(0)))
    op = ops.Concatenation(axis, call.activation(o.FUSED_ACTIVATION_FUNCTION))
    return op, call.operands(*range(len(call.inputs)))


def reshape(call: Call) -> Built:
    """The shape is the second operand or, in old files, an option; [0] there means a scalar."""
    if len(call.inputs) > 1:
        return ops.Reshape(call.constant(1)), call.operands(0)
    shape = call.options.numbers(schema.ReshapeOptions.NEW_SHAPE, "i")
    return ops.Reshape(() if shape == (0,) else shape), call.operands(0)


def squeeze(call: Call) -> Built:
    axes = call.options.numbers(schema.SqueezeOptions.SQUEEZE_DIMS, "i")
    return ops.Squeeze(call.axes(axes, len(call.shape(0)))), call.operands(0)


def expand_dims(call: Call) -> Built:
    (axis,) = call.constant(1, count=1)
    shape = list(call.shape(0))
    shape.insert(call.axis(axis, len(shape) + 1), 1)
    return ops.Reshape(tuple(shape)), call.operands(0)


def transpose(call: Call) -> Built:
    rank = len(call.shape(0))
    perm = tuple(call.axis(a, rank) for a in call.constant(1, count=rank))
    return ops.Transpose(perm), call.operands(0)


def split(call: Call) -> Built:
    """Its operands are (axis, input)."""
    (axis,) = call.constant(0, count=1)
    count = call.int32(schema.SplitOptions.NUM_SPLITS)
    call.expect_outputs(count)
    return ops.Split(call.axis(axis, len(call.shape(1))), count), call.operands(1)


def split_v(call: Call) -> Built:
    """Its operands are (input, sizes, axis); one size may be -1: what is left."""
    count = call.int32(schema.SplitVOptions.NUM_SPLITS)
    call.expect_outputs(count)
    sizes = list(call.constant(1, count=count))
    (given,) = call.constant(2, count=1)
    axis = call.axis(given, len(call.shape(0)))
    if sizes.count(-1) == 1:
        sizes[sizes.index(-1)] = call.shape(0)[axis] - sum(sizes) - 1
    return ops.SplitV(axis, tuple(sizes)), call.operands(0)


def slice_(call: Call) -> Built:
    """Its operands are (input, begin, size); a size of -1 is all that is left."""
    shape = call.shape(0)
    begin = call.constant(1, count=len(shape))
    sizes = tuple(
        d - b if n == -1 else n
        for d, b, n in zip(shape, begin, call.constant(2, count=len(shape)), strict=True)
    )
    return ops.StridedSlice(begin, sizes, (1,) * len(shape)), call.operands(0)


def tile(call: Call) -> Built:
    return ops.Tile(call.constant(1, count=len(call.shape(0)))), call.operands(0)


def broadcast_to(call: Call) -> Built:
    return ops.BroadcastTo(call.constant(1)), call.operands(0)


def reverse(call: Call) -> Built:
    return ops.Reverse(call.axes(call.constant(1), len(call.shape(0)))), call.operands(0)


def reverse_sequence(call: Call) -> Built:
    o = schema.ReverseSequenceOptions
    rank = len(call.shape(0))
    op = ops.ReverseSequence(
        call.axis(call.int32(o.SEQ_DIM), rank), call.axis(call.int32(o.BATCH_DIM), rank)
    )
    return op, call.operands(0, 1)


def space_to_depth(call: Call) -> Built:
    return ops.SpaceToDepth(call.int32(schema.SpaceToDepthOptions.BLOCK_SIZE)), call.operands(0)


def depth_to_space(call: Call) -> Built:
    return ops.DepthToSpace(call.int32(schema.DepthToSpaceOptions.BLOCK_SIZE)), call.operands(0)


def space_to_batch_nd(call: Call) -> Built:
    return ops.SpaceToBatchNd(*_blocks(call)), call.operands(0)


def batch_to_space_nd(call: Call) -> Built:
    return ops.BatchToSpaceNd(*_blocks(call)), call.operands(0)


def _blocks(call: Call) -> tuple[tuple[int, ...], tuple[tuple[int, int], ...]]:
    """The block and, for each of its axes, how much is padded or cropped (before, after)."""
    block = call.constant(1)
    flat = call.constant(2, count=2 * len(block))
    return block, tuple(zip(flat[::2], flat[1::2], strict=True))


def pack(call: Call) -> Built:
    o = schema.PackOptions
    count = call.int32(o.VALUES_COUNT)
    if count != len(call.inputs):
        raise ModelError(f"{call.what}: {len(call.inputs)} inputs; its options say {count}")
    axis = call.axis(call.int32(o.AXIS), len(call.shape(0)) + 1)
    return ops.Pack(axis), call.operands(*range(count))


def unpack(call: Call) -> Built:
    o = schema.UnpackOptions
    shape = call.shape(0)
    axis = call.axis(call.int32(o.AXIS), len(shape))
    call.expect_outputs(shape[axis])
    call.expect_outputs(call.int32(o.NUM))
    return ops.Unpack(axis), call.operands(0)


def matrix_set_diag(call: Call) -> Built:
    return ops.MatrixSetDiag(), call.operands(0, 1)


_B = schema.BuiltinOperator

OPERATORS: dict[int, Row] = {
    _B.BATCH_TO_SPACE_ND: Row("BATCH_TO_SPACE_ND", batch_to_space_nd, (3, 3)),
    _B.BROADCAST_TO: Row("BROADCAST_TO", broadcast_to, (2, 2)),
    _B.CONCATENATION: Row(
        "CONCATENATION", concatenation, (1, MANY), schema.ConcatenationOptions.TAG
    ),
    _B.DEPTH_TO_SPACE: Row(
        "DEPTH_TO_SPACE", depth_to_space, (1, 1), schema.DepthToSpaceOptions.TAG
    ),
    _B.EXPAND_DIMS: Row("EXPAND_DIMS", expand_dims, (2, 2)),
    _B.MATRIX_DIAG: Row("MATRIX_DIAG", plain(ops.MatrixDiag)),
    _B.MATRIX_SET_DIAG: Row("MATRIX_SET_DIAG", matrix_set_diag, (2, 2)),
    _B.MIRROR_PAD: Row("MIRROR_PAD", mirror_pad, (2, 2), schema.MirrorPadOptions.TAG),
    _B.PACK: Row("PACK", pack, (1, MANY), schema.PackOptions.TAG),
    _B.PAD: Row("PAD", pad, (2, 2)),
    _B.PADV2: Row("PADV2", padv2, (3, 3)),
    _B.RESHAPE: Row("RESHAPE", reshape, (1, 2), schema.ReshapeOptions.TAG),
    _B.REVERSE_SEQUENCE: Row(
        "REVERSE_SEQUENCE", reverse_sequence, (2, 2), schema.ReverseSequenceOptions.TAG
    ),
    _B.REVERSE_V2: Row("REVERSE_V2", reverse, (2, 2)),
    _B.SLICE: Row("SLICE", slice_, (3, 3)),
    _B.SPACE_TO_BATCH_ND: Row("SPACE_TO_BATCH_ND", space_to_batch_nd, (3, 3)),
    _B.SPACE_TO_DEPTH: Row(
        "SPACE_TO_DEPTH", space_to_depth, (1, 1), schema.SpaceToDepthOptions.TAG
    ),
    _B.SPLIT: Row("SPLIT", split, (2, 2), schema.SplitOptions.TAG),
    _B.SPLIT_V: Row("SPLIT_V", split_v, (3, 3), schema.SplitVOptions.TAG),
    _B.SQUEEZE: Row("SQUEEZE", squeeze, (1, 1), schema.SqueezeOptions.TAG),
    _B.STRIDED_SLICE: Row("STRIDED_SLICE", strided_slice, (4, 4), schema.StridedSliceOptions.TAG),
    _B.TILE: Row("TILE", tile, (2, 2)),
    _B.TRANSPOSE: Row("TRANSPOSE", transpose, (2, 2)),
    _B.UNPACK: Row("UNPACK", unpack, (1, 1), schema.UnpackOptions.TAG),
}
