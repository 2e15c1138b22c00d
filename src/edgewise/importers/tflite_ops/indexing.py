"""What selects, scatters, counts and sorts by index, and what makes tensors out of sizes."""

from __future__ import annotations

from collections.abc import Callable

from ... import ops
from ...errors import ModelError, RunError
from ...graph import Value
from .. import tflite_schema as schema
from ..flatbuffer import INT8
from ..tflite_call import Built, Call, Row, plain


def checked(call: Call, op: ops.Op, operands: list[Value]) -> Built:
    """The operator, once the values of its constant operands are what it can take."""
    op.infer([v.type for v in operands])
    try:
        op.check_values([v.data for v in operands], [v.type for v in operands])
    except RunError as error:
        raise ModelError(f"{call.what}: {error}") from error
    return op, operands


def indexed(op: Callable[[], ops.Op], *operands: int) -> Callable[[Call], Built]:
    """The reader of an operator that has no options, at these positions of its operands."""
    return lambda call: checked(call, op(), call.operands(*operands))


def gather(call: Call) -> Built:
    o = schema.GatherOptions
    rank = len(call.shape(0))
    batch_dims = call.int32(o.BATCH_DIMS)
    if batch_dims < 0:
        batch_dims += len(call.shape(1))
    op = ops.Gather(call.axis(call.int32(o.AXIS), rank), batch_dims)
    return checked(call, op, call.operands(0, 1))


def embedding_lookup(call: Call) -> Built:
    is_float = call.outputs[0].type.dtype.is_float and not call.value(1).type.dtype.is_float
    op = ops.EmbeddingLookupFloat() if is_float else ops.EmbeddingLookup()
    return checked(call, op, call.operands(0, 1))


def one_hot(call: Call) -> Built:
    """Its operands are (indices, depth, on, off)."""
    (depth,) = call.constant(1, count=1)
    axis = call.axis(call.int32(schema.OneHotOptions.AXIS), len(call.shape(0)) + 1)
    return ops.OneHot(axis, depth), call.operands(0, 2, 3)


def top_k(call: Call) -> Built:
    call.expect_outputs(2)
    (k,) = call.constant(1, count=1)
    return ops.TopK(k, call.outputs[1].type.dtype), call.operands(0)


def scatter_nd(call: Call) -> Built:
    """Its operands are (indices, updates, shape)."""
    return checked(call, ops.ScatterNd(call.constant(2)), call.operands(0, 1))


def sparse_to_dense(call: Call) -> Built:
    """Its operands are (indices, shape, values, default)."""
    return checked(call, ops.SparseToDense(call.constant(1)), call.operands(0, 2, 3))


def segment_sum(call: Call) -> Built:
    (count,) = call.shape(1, rank=1)
    ids = call.constant(1, count=count)
    return checked(call, ops.SegmentSum(max(ids, default=-1) + 1), call.operands(0, 1))


def unsorted_segment(op: Callable[[int], ops.Op]) -> Callable[[Call], Built]:
    def read(call: Call) -> Built:
        (rows,) = call.constant(2, count=1)
        return checked(call, op(rows), call.operands(0, 1))

    return read


def fill(call: Call) -> Built:
    """Its operands are (shape, value)."""
    return ops.Fill(call.constant(0)), call.operands(1)


def shape(call: Call) -> Built:
    dtype = call.dtype(call.options.number(schema.ShapeOptions.OUT_TYPE, INT8))
    return ops.Shape(dtype), call.operands(0)


def unique(call: Call) -> Built:
    code = call.options.number(schema.UniqueOptions.IDX_OUT_TYPE, INT8, INT32_CODE)
    return ops.Unique(call.dtype(code)), call.operands(0)


INT32_CODE = 2
"""The number of int32 in the schema's TensorType."""


def bucketize(call: Call) -> Built:
    boundaries = call.options.numbers(schema.BucketizeOptions.BOUNDARIES, "f")
    return ops.Bucketize(boundaries), call.operands(0)


def non_max_suppression(op: Callable[[int], ops.Op], *others: int) -> Callable[[Call], Built]:
    """The third operand, the most boxes, is a constant."""

    def read(call: Call) -> Built:
        (most,) = call.constant(2, count=1)
        return op(most), call.operands(0, 1, *others)

    return read


def _segments(name: str, op: Callable[[int], ops.Op]) -> Row:
    return Row(name, unsorted_segment(op), (3, 3))


_B = schema.BuiltinOperator

OPERATORS: dict[int, Row] = {
    _B.BROADCAST_ARGS: Row("BROADCAST_ARGS", indexed(ops.BroadcastArgs, 0, 1), (2, 2)),
    _B.BUCKETIZE: Row("BUCKETIZE", bucketize, (1, 1), schema.BucketizeOptions.TAG),
    _B.DYNAMIC_UPDATE_SLICE: Row(
        "DYNAMIC_UPDATE_SLICE", indexed(ops.DynamicUpdateSlice, 0, 1, 2), (3, 3)
    ),
    _B.EMBEDDING_LOOKUP: Row("EMBEDDING_LOOKUP", embedding_lookup, (2, 2)),
    _B.FILL: Row("FILL", fill, (2, 2)),
    _B.GATHER: Row("GATHER", gather, (2, 2), schema.GatherOptions.TAG),
    _B.GATHER_ND: Row("GATHER_ND", indexed(ops.GatherNd, 0, 1), (2, 2)),
    _B.NON_MAX_SUPPRESSION_V4: Row(
        "NON_MAX_SUPPRESSION_V4", non_max_suppression(ops.NonMaxSuppressionV4, 3, 4), (5, 5)
    ),
    _B.NON_MAX_SUPPRESSION_V5: Row(
        "NON_MAX_SUPPRESSION_V5", non_max_suppression(ops.NonMaxSuppressionV5, 3, 4, 5), (6, 6)
    ),
    _B.ONE_HOT: Row("ONE_HOT", one_hot, (4, 4), schema.OneHotOptions.TAG),
    _B.RANGE: Row("RANGE", indexed(ops.Range, 0, 1, 2), (3, 3)),
    _B.RANK: Row("RANK", plain(ops.Rank)),
    _B.SCATTER_ND: Row("SCATTER_ND", scatter_nd, (3, 3)),
    _B.SEGMENT_SUM: Row("SEGMENT_SUM", segment_sum, (2, 2)),
    _B.SHAPE: Row("SHAPE", shape, (1, 1), schema.ShapeOptions.TAG),
    _B.SPARSE_TO_DENSE: Row("SPARSE_TO_DENSE", sparse_to_dense, (4, 4)),
    _B.TOPK_V2: Row("TOPK_V2", top_k, (2, 2)),
    _B.UNIQUE: Row("UNIQUE", unique, (1, 1), schema.UniqueOptions.TAG),
    _B.UNSORTED_SEGMENT_MAX: _segments("UNSORTED_SEGMENT_MAX", ops.UnsortedSegmentMax),
    _B.UNSORTED_SEGMENT_MIN: _segments("UNSORTED_SEGMENT_MIN", ops.UnsortedSegmentMin),
    _B.UNSORTED_SEGMENT_PROD: _segments("UNSORTED_SEGMENT_PROD", ops.UnsortedSegmentProd),
    _B.UNSORTED_SEGMENT_SUM: _segments("UNSORTED_SEGMENT_SUM", ops.UnsortedSegmentSum),
    _B.WHERE: Row("WHERE", plain(ops.Where)),
    _B.ZEROS_LIKE: Row("ZEROS_LIKE", plain(ops.ZerosLike)),
}
