"""STRIDED_SLICE of .tflite files: its five masks, turned into one index range an axis."""

from __future__ import annotations

from ..errors import ModelError
from ..ops import Reshape, StridedSlice
from . import tflite_schema as schema
from .tflite_call import Built, Call

_O = schema.StridedSliceOptions


def strided_slice(call: Call) -> Built:
    """x[spec], where bit i of a mask tells what entry i of begin, end and strides means.

    The ellipsis stands for all axes that no other entry names; a new axis is an axis of size 1,
    made by a RESHAPE that follows; an entry to shrink takes one element and drops the axis; an
    entry of begin_mask or end_mask starts or ends where the axis does. Where ``offset`` is set,
    end counts from begin.
    """
    shape = call.shape(0)
    begin, count = call.constant(1), len(call.constant(1))
    end, strides = call.constant(2, count), call.constant(3, count)
    ellipsis, new, shrink = (
        call.int32(mask) for mask in (_O.ELLIPSIS_MASK, _O.NEW_AXIS_MASK, _O.SHRINK_AXIS_MASK)
    )
    new &= ~ellipsis & ((1 << count) - 1)
    dots = [i for i in range(count) if ellipsis >> i & 1]
    if len(dots) > 1:
        raise ModelError(f"{call.what}: ellipsis_mask {ellipsis}; one ellipsis at most")
    named = sum(not (ellipsis | new) >> i & 1 for i in range(count))
    if named > len(shape):
        raise ModelError(f"{call.what}: {named} axes sliced; the input has {len(shape)}")

    ranges: list[tuple[int, int, int]] = []
    shrunk: list[int] = []
    result: list[int] = []

    def whole_axes(number: int) -> None:
        for _ in range(number):
            result.append(shape[len(ranges)])
            ranges.append((0, shape[len(ranges)], 1))

    for i in range(count):
        axis = len(ranges)
        if ellipsis >> i & 1:
            whole_axes(len(shape) - named)
        elif new >> i & 1:
            result.append(1)
        elif shrink >> i & 1:
            at = 0 if call.int32(_O.BEGIN_MASK) >> i & 1 else begin[i]
            ranges.append((_element(call, at, shape[axis]), 1, 1))
            shrunk.append(axis)
        else:
            stop = begin[i] + end[i] if call.options.flag(_O.OFFSET) else end[i]
            first = None if call.int32(_O.BEGIN_MASK) >> i & 1 else begin[i]
            last = None if call.int32(_O.END_MASK) >> i & 1 else stop
            ranges.append(_range(call, first, last, strides[i], shape[axis]))
            result.append(ranges[-1][1])
    whole_axes(len(shape) - len(ranges))

    starts, sizes, steps = zip(*ranges, strict=True) if ranges else ((), (), ())
    op = StridedSlice(starts, sizes, steps, tuple(shrunk))
    return ((op, Reshape(tuple(result))) if new else op), call.operands(0)


def _element(call: Call, index: int, size: int) -> int:
    if not -size <= index < size:
        raise ModelError(f"{call.what}: element {index} of an axis of {size}")
    return index % size


def _range(
    call: Call, first: int | None, last: int | None, stride: int, size: int
) -> tuple[int, int, int]:
    """Start, number of elements and step; Python's rules for slices are the operator's."""
    if stride == 0:
        raise ModelError(f"{call.what}: stride 0; it must not be 0")
    taken = range(size)[first:last:stride]
    return taken.start, len(taken), stride
