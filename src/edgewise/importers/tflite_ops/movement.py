"""What moves elements and computes nothing."""

from __future__ import annotations

from ... import ops
from ...errors import ModelError
from .. import tflite_schema as schema
from ..strided_slice import strided_slice
from ..tflite_call import MANY, Built, Call, Row


def pad(call: Call) -> Built:
    return ops.Pad(_paddings(call)), call.operands(0)


def padv2(call: Call) -> Built:
    value = call.scalar(2)
    return ops.Pad(_paddings(call), value), call.operands(0)


def _paddings(call: Call) -> tuple[tuple[int, int], ...]:
    flat = call.constant(1, count=2 * len(call.shape(0)))
    return tuple(zip(flat[::2], flat[1::2], strict=True))


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


_B = schema.BuiltinOperator

OPERATORS: dict[int, Row] = {
    _B.CONCATENATION: Row(
        "CONCATENATION", concatenation, (1, MANY), schema.ConcatenationOptions.TAG
    ),
    _B.PACK: Row("PACK", pack, (1, MANY), schema.PackOptions.TAG),
    _B.PAD: Row("PAD", pad, (2, 2)),
    _B.PADV2: Row("PADV2", padv2, (3, 3)),
    _B.RESHAPE: Row("RESHAPE", reshape, (1, 2), schema.ReshapeOptions.TAG),
    _B.SPLIT: Row("SPLIT", split, (2, 2), schema.SplitOptions.TAG),
    _B.SQUEEZE: Row("SQUEEZE", squeeze, (1, 1), schema.SqueezeOptions.TAG),
    _B.STRIDED_SLICE: Row("STRIDED_SLICE", strided_slice, (4, 4), schema.StridedSliceOptions.TAG),
    _B.TRANSPOSE: Row("TRANSPOSE", transpose, (2, 2)),
    _B.UNPACK: Row("UNPACK", unpack, (1, 1), schema.UnpackOptions.TAG),
}
