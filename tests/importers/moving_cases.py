"""Files of operators that move, select, scatter and count, for test_tflite_operators.py."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from tflite_files import F32, I8, I32, U8, Case, ints, quantized, real

from edgewise.dtype import DType
from edgewise.graph import TensorType
from tflite_builder import Tensor

I16, I64, F16 = DType.INT16, DType.INT64, DType.FLOAT16
BOOL, COMPLEX, STRING = DType.BOOL, DType.COMPLEX64, DType.STRING

REFLECT, SYMMETRIC = 0, 1
PAIRS = ints([[0, 0], [1, 2], [0, 1], [0, 0]])
CROPS = ints([[1, 0], [0, 2]])
MULTINOMIAL = 3


def plain(dtype: DType, *shape: int) -> TensorType:
    return TensorType(tuple(shape), dtype)


def given(dtype: DType, *values: Any) -> Tensor:
    """A constant."""
    data = np.array(values[0] if len(values) == 1 else values, dtype.numpy)
    return Tensor(TensorType(data.shape, dtype), data)


def moved(
    builtin: str,
    x: Sequence[int],
    y: Sequence[int],
    *operands: Tensor,
    dtype: DType | None = None,
    options: str = "",
    **fields: Any,
) -> Case:
    """x, int8 and quantized unless a dtype is given, and constants; every element is exact."""
    make = (lambda s: TensorType(tuple(s), dtype)) if dtype else quantized
    return Case(builtin, [Tensor(make(x)), *operands], [make(y)], options, fields, 0)


def gather(
    x: TensorType, indices: Tensor, y: Sequence[int], axis: int = 0, batch_dims: int = 0
) -> Case:
    fields = {"Axis": axis, "BatchDims": batch_dims}
    out = TensorType(tuple(y), x.dtype, x.quant)
    return Case("GATHER", [Tensor(x), indices], [out], "GatherOptions", fields, 0, 3)


def one_hot(axis: int, shape: Sequence[int], on: Tensor, off: Tensor) -> Case:
    out = TensorType(tuple(shape), on.type.dtype, on.type.quant)
    indices = Tensor(plain(I32, 2, 3))
    return Case(
        "ONE_HOT", [indices, ints(4), on, off], [out], "OneHotOptions", {"Axis": axis}, 0, 6
    )


def segments(builtin: str, ids: Sequence[int], dtype: DType = F32, rows: int | None = None) -> Case:
    """Rows [6, 2] combined by constant ids."""
    x = Tensor(plain(dtype, 6, 2))
    count = () if rows is None else (ints(rows),)
    out = plain(dtype, max(ids) + 1 if rows is None else rows, 2)
    return Case(builtin, [x, ints(ids), *count], [out], tolerance=0, below=1000)


def resized(
    builtin: str, dtype: DType, y: Sequence[int], tolerance: float = 0, **flags: bool
) -> Case:
    x = quantized((2, 5, 7, 3), dtype, zero=0) if dtype is I16 else plain(dtype, 2, 5, 7, 3)
    out = TensorType((2, *y, 3), dtype, x.quant)
    name = "ResizeBilinear" if builtin == "RESIZE_BILINEAR" else "ResizeNearestNeighbor"
    return Case(builtin, [Tensor(x), ints(y)], [out], f"{name}Options", flags, tolerance)


CASES: dict[str, Case] = {
    "pad float16": moved("PAD", (1, 3, 3, 2), (1, 6, 4, 2), PAIRS, dtype=F16),
    "pad int64 paddings": moved(
        "PAD", (2, 3), (3, 6), given(I64, [[0, 1], [1, 2]]), dtype=F32, options="PadOptions"
    ),
    "pad bool": moved("PAD", (2, 3), (3, 6), ints([[0, 1], [1, 2]]), dtype=BOOL),
    "pad int16": Case(
        "PAD",
        [Tensor(quantized((2, 3), I16, zero=0)), ints([[0, 1], [1, 2]])],
        [quantized((3, 6), I16, zero=0)],
        tolerance=0,
    ),
    "padv2 float": moved(
        "PADV2", (2, 3), (3, 6), ints([[0, 1], [1, 2]]), given(F32, 2.5), dtype=F32
    ),
    "padv2 int64": moved(
        "PADV2", (2, 3), (3, 6), ints([[0, 1], [1, 2]]), given(I64, -9), dtype=I64
    ),
    "mirror pad reflect": moved(
        "MIRROR_PAD", (1, 3, 3, 2), (1, 6, 4, 2), PAIRS, options="MirrorPadOptions", Mode=REFLECT
    ),
    "mirror pad symmetric": moved(
        "MIRROR_PAD",
        (1, 3, 3, 2),
        (1, 6, 4, 2),
        PAIRS,
        dtype=F32,
        options="MirrorPadOptions",
        Mode=SYMMETRIC,
    ),
    "concatenation int64": Case(
        "CONCATENATION",
        [Tensor(plain(I64, 2, 3)), Tensor(plain(I64, 2, 1))],
        [plain(I64, 2, 4)],
        "ConcatenationOptions",
        {"Axis": 1},
        0,
    ),
    "concatenation bool": Case(
        "CONCATENATION",
        [Tensor(plain(BOOL, 2, 3)), Tensor(plain(BOOL, 1, 3))],
        [plain(BOOL, 3, 3)],
        "ConcatenationOptions",
        tolerance=0,
    ),
    "expand dims": moved("EXPAND_DIMS", (2, 3), (2, 1, 3), ints([1])),
    "expand dims at the end": moved("EXPAND_DIMS", (2, 3), (2, 3, 1), ints(-1), dtype=F32),
    "slice": moved("SLICE", (3, 4, 5), (2, 4, 2), ints(1, 0, 2), ints(2, -1, 2)),
    "slice int64 begin": moved(
        "SLICE", (3, 4), (1, 3), given(I64, 2, 1), given(I64, -1, 3), dtype=BOOL
    ),
    "strided slice offset": moved(
        "STRIDED_SLICE",
        (3, 4),
        (2, 2),
        ints(1, 1),
        ints(2, 2),
        ints(1, 1),
        options="StridedSliceOptions",
        Offset=True,
    ),
    "strided slice int64": moved(
        "STRIDED_SLICE",
        (3, 7),
        (2, 3),
        ints(1, 1),
        ints(3, 7),
        ints(1, 2),
        dtype=I64,
        options="StridedSliceOptions",
    ),
    "split float": Case(
        "SPLIT",
        [ints(1), Tensor(real(2, 6))],
        [real(2, 3)] * 2,
        "SplitOptions",
        {"NumSplits": 2},
        0,
    ),
    "split v": Case(
        "SPLIT_V",
        [Tensor(quantized((2, 6))), ints(1, -1, 2), ints(1)],
        [quantized((2, n)) for n in (1, 3, 2)],
        "SplitVOptions",
        {"NumSplits": 3},
        0,
    ),
    "tile": moved("TILE", (2, 3), (4, 9), ints(2, 3)),
    "tile int64": moved("TILE", (2, 1, 3), (2, 4, 3), given(I64, 1, 4, 1), dtype=I64),
    "tile bool": moved("TILE", (2, 3), (4, 3), ints(2, 1), dtype=BOOL),
    "broadcast to": moved("BROADCAST_TO", (3, 1), (2, 3, 4), ints(2, 3, 4)),
    "broadcast to int64": moved("BROADCAST_TO", (1, 4), (3, 4), given(I64, 3, 4), dtype=I64),
    "broadcast args": Case(
        "BROADCAST_ARGS",
        [given(I32, 3, 1), given(I32, 2, 1, 4)],
        [plain(I32, 3)],
        tolerance=0,
    ),
    "reverse": moved("REVERSE_V2", (2, 3, 4), (2, 3, 4), ints([1])),
    "reverse axes": moved("REVERSE_V2", (2, 3, 4), (2, 3, 4), ints([-1, 1]), dtype=F32),
    "reverse sequence": Case(
        "REVERSE_SEQUENCE",
        [Tensor(real(3, 4, 2)), Tensor(plain(I32, 3))],
        [real(3, 4, 2)],
        "ReverseSequenceOptions",
        {"SeqDim": 1, "BatchDim": 0},
        0,
        5,
    ),
    "reverse sequence of later batches": Case(
        "REVERSE_SEQUENCE",
        [Tensor(plain(I32, 2, 3, 4)), given(I64, 1, 0, 3, 2)],
        [plain(I32, 2, 3, 4)],
        "ReverseSequenceOptions",
        {"SeqDim": 1, "BatchDim": 2},
        0,
    ),
    "space to depth": moved(
        "SPACE_TO_DEPTH", (2, 4, 6, 3), (2, 2, 3, 12), options="SpaceToDepthOptions", BlockSize=2
    ),
    "depth to space": moved(
        "DEPTH_TO_SPACE", (2, 2, 3, 12), (2, 4, 6, 3), options="DepthToSpaceOptions", BlockSize=2
    ),
    "depth to space float": moved(
        "DEPTH_TO_SPACE",
        (1, 2, 3, 18),
        (1, 6, 9, 2),
        dtype=F32,
        options="DepthToSpaceOptions",
        BlockSize=3,
    ),
    "space to batch": moved("SPACE_TO_BATCH_ND", (2, 3, 4, 3), (12, 2, 2, 3), ints(2, 3), CROPS),
    "space to batch of three axes": moved(
        "SPACE_TO_BATCH_ND", (2, 4, 3), (4, 3, 3), ints([2]), ints([[1, 1]]), dtype=F32
    ),
    "batch to space": moved("BATCH_TO_SPACE_ND", (12, 2, 2, 3), (2, 3, 4, 3), ints(2, 3), CROPS),
    "batch to space of three axes": moved(
        "BATCH_TO_SPACE_ND", (4, 3, 3), (2, 4, 3), ints([2]), ints([[1, 1]]), dtype=F32
    ),
    "matrix diag": moved("MATRIX_DIAG", (2, 3), (2, 3, 3), dtype=F32),
    "matrix set diag": Case(
        "MATRIX_SET_DIAG",
        [Tensor(plain(I32, 2, 3, 4)), Tensor(plain(I32, 2, 3))],
        [plain(I32, 2, 3, 4)],
        tolerance=0,
    ),
    "transpose bool": moved("TRANSPOSE", (2, 3), (3, 2), ints(1, 0), dtype=BOOL),
    "transpose int64": moved("TRANSPOSE", (2, 3, 4), (4, 2, 3), ints(2, 0, 1), dtype=I64),
    "pack int64": Case(
        "PACK",
        [Tensor(plain(I64, 2)), Tensor(plain(I64, 2))],
        [plain(I64, 2, 2)],
        "PackOptions",
        {"ValuesCount": 2, "Axis": 1},
        0,
    ),
    "unpack float": Case(
        "UNPACK",
        [Tensor(real(2, 3))],
        [real(3)] * 2,
        "UnpackOptions",
        {"Num": 2, "Axis": 0},
        0,
    ),
    "gather": gather(quantized((3, 4)), Tensor(plain(I32, 2, 2)), (2, 2, 4)),
    "gather axis": gather(real(2, 3, 4), Tensor(plain(I64, 5)), (2, 5, 4), axis=-2),
    "gather batches": gather(real(2, 4, 3), given(I32, [[0, 3], [1, 1]]), (2, 2, 3), 1, 1),
    "gather batches of axis": gather(
        plain(I64, 2, 2, 4, 3), given(I32, [[0, 3, 1], [1, 2, 2]]), (2, 2, 3, 3), 2, 1
    ),
    "gather bool": gather(plain(BOOL, 3, 2), Tensor(plain(I32, 4)), (4, 2)),
    "gather a scalar": gather(quantized((3, 4)), ints(1), (4,)),
    "gather strings": gather(plain(STRING, 3), given(I32, 2, 0), (2,)),
    "gather nd": Case(
        "GATHER_ND",
        [Tensor(quantized((3, 4, 2))), Tensor(plain(I32, 5, 2))],
        [quantized((5, 2))],
        tolerance=0,
        below=3,
    ),
    "gather nd elements": Case(
        "GATHER_ND",
        [Tensor(real(3, 4)), given(I64, [[[0, 3], [2, 1]]])],
        [real(1, 2)],
        tolerance=0,
    ),
    "embedding lookup": Case(
        "EMBEDDING_LOOKUP",
        [Tensor(plain(I32, 4)), given(F32, np.arange(12.0).reshape(3, 2, 2))],
        [real(4, 2, 2)],
        tolerance=0,
        below=3,
    ),
    "embedding lookup of int8": Case(
        "EMBEDDING_LOOKUP",
        [
            Tensor(plain(I32, 4)),
            Tensor(quantized((3, 5), I8, 0.7, 0), np.arange(-7, 8, dtype=np.int8).reshape(3, 5)),
        ],
        [real(4, 5)],
        tolerance=0,
        below=3,
    ),
    "one hot": one_hot(-1, (2, 3, 4), given(F32, 2.0), given(F32, -1.0)),
    "one hot first": one_hot(0, (4, 2, 3), given(I64, 5), given(I64, 7)),
    "one hot inside": one_hot(1, (2, 4, 3), given(BOOL, True), given(BOOL, False)),
    "top k": Case(
        "TOPK_V2",
        [Tensor(quantized((3, 300))), ints(20)],
        [quantized((3, 20)), plain(I32, 3, 20)],
        tolerance=0,
    ),
    "top k float": Case(
        "TOPK_V2",
        [Tensor(real(2, 2, 9)), ints(9)],
        [real(2, 2, 9), plain(I32, 2, 2, 9)],
        tolerance=0,
    ),
    "scatter nd": Case(
        "SCATTER_ND",
        [given(I32, [[1], [4], [1]]), Tensor(plain(I32, 3, 2)), ints(5, 2)],
        [plain(I32, 5, 2)],
        tolerance=0,
        below=100,
    ),
    "scatter nd elements": Case(
        "SCATTER_ND",
        [Tensor(plain(I32, 4, 2)), Tensor(real(4)), ints(3, 3)],
        [real(3, 3)],
        tolerance=1e-6,
        below=3,
    ),
    "dynamic update slice": Case(
        "DYNAMIC_UPDATE_SLICE",
        [Tensor(real(4, 5)), Tensor(real(2, 3)), Tensor(plain(I32, 2))],
        [real(4, 5)],
        tolerance=0,
        below=6,
    ),
    "dynamic update slice int64": Case(
        "DYNAMIC_UPDATE_SLICE",
        [Tensor(plain(I64, 4)), Tensor(plain(I64, 2)), given(I32, [-3])],
        [plain(I64, 4)],
        tolerance=0,
    ),
    "sparse to dense": Case(
        "SPARSE_TO_DENSE",
        [given(I32, [[0, 1], [2, 0]]), ints(3, 2), Tensor(real(2)), given(F32, 9.0)],
        [real(3, 2)],
        "SparseToDenseOptions",
        tolerance=0,
    ),
    "sparse to dense of a scalar": Case(
        "SPARSE_TO_DENSE",
        [given(I32, [1, 3]), ints([5]), Tensor(plain(I64)), given(I64, 9)],
        [plain(I64, 5)],
        "SparseToDenseOptions",
        tolerance=0,
    ),
    "segment sum": segments("SEGMENT_SUM", (0, 0, 1, 2, 2, 2)),
    "segment sum int": segments("SEGMENT_SUM", (0, 1, 1, 1, 2, 3), I32),
    "segment sum of many": Case(
        "SEGMENT_SUM",
        [Tensor(real(40, 2)), ints(sorted([*range(8)] * 5))],
        [real(8, 2)],
        tolerance=1e-5,
    ),
    "unsorted segment sum of pairs": Case(
        "UNSORTED_SEGMENT_SUM",
        [Tensor(plain(I32, 2, 3, 2)), ints([[1, 0, 1], [-1, 2, 2]]), ints(3)],
        [plain(I32, 3, 2)],
        tolerance=0,
        below=1000,
    ),
    "unsorted segment sum": segments("UNSORTED_SEGMENT_SUM", (3, 0, -1, 3, 1, 1), F32, 5),
    "unsorted segment prod": segments("UNSORTED_SEGMENT_PROD", (3, 0, -1, 3, 1, 1), I32, 4),
    "unsorted segment max": segments("UNSORTED_SEGMENT_MAX", (3, 0, -1, 3, 1, 1), F32, 5),
    "unsorted segment min": segments("UNSORTED_SEGMENT_MIN", (3, 0, -1, 3, 1, 1), I32, 5),
    "fill": Case("FILL", [ints(2, 3), Tensor(plain(I64))], [plain(I64, 2, 3)], tolerance=0),
    "fill bool": Case(
        "FILL", [given(I64, [4]), Tensor(plain(BOOL))], [plain(BOOL, 4)], tolerance=0
    ),
    "zeros like": Case("ZEROS_LIKE", [Tensor(real(2, 3))], [real(2, 3)], tolerance=0),
    "range": Case("RANGE", [ints(3), ints(-9), ints(-5)], [plain(I32, 3)], tolerance=0),
    "range float": Case(
        "RANGE",
        [given(F32, 0.5), given(F32, 3.0), given(F32, 0.1)],
        [real(25)],
        tolerance=0,
    ),
    "shape": Case(
        "SHAPE", [Tensor(real(2, 3))], [plain(I32, 2)], "ShapeOptions", {"OutType": 2}, 0
    ),
    "shape int64": Case(
        "SHAPE", [Tensor(plain(BOOL, 4))], [plain(I64, 1)], "ShapeOptions", {"OutType": 4}, 0
    ),
    "rank": Case("RANK", [Tensor(real(2, 3))], [plain(I32)], tolerance=0),
    "bucketize": Case(
        "BUCKETIZE",
        [Tensor(real(4, 5))],
        [plain(I32, 4, 5)],
        "BucketizeOptions",
        {"Boundaries": np.array([-2.5, -1, 0, 1], np.float32)},
        0,
    ),
    "bucketize int64": Case(
        "BUCKETIZE",
        [Tensor(plain(I64, 20))],
        [plain(I32, 20)],
        "BucketizeOptions",
        {"Boundaries": np.array([1, 3, 3, 5], np.float32)},
        0,
        7,
    ),
    "unique": Case(
        "UNIQUE",
        [given(I32, 5, 3, 5, 9, 3)],
        [plain(I32, 3), plain(I32, 5)],
        "UniqueOptions",
        {"IdxOutType": 2},
        0,
    ),
    "where": Case("WHERE", [given(BOOL, [[1, 0, 1], [0, 0, 1]])], [plain(I64, 3, 2)], tolerance=0),
    "non max suppression v4": Case(
        "NON_MAX_SUPPRESSION_V4",
        [Tensor(real(40, 4)), Tensor(real(40)), ints(9), given(F32, 0.3), given(F32, -1.0)],
        [plain(I32, 9), plain(I32)],
        tolerance=0,
    ),
    "non max suppression v5": Case(
        "NON_MAX_SUPPRESSION_V5",
        [
            Tensor(real(40, 4)),
            Tensor(real(40)),
            ints(30),
            given(F32, 0.7),
            given(F32, 0.5),
            given(F32, 0.5),
        ],
        [plain(I32, 30), real(30), plain(I32)],
        tolerance=1e-6,
    ),
    "embedding lookup sparse": Case(
        "EMBEDDING_LOOKUP_SPARSE",
        [
            Tensor(plain(I32, 4)),
            ints([[0, 0], [0, 2], [1, 0], [2, 1]]),
            ints(3, 3),
            given(F32, 1.5, -2.0, 3.0, 0.5),
            given(F32, np.arange(20.0).reshape(5, 2, 2)),
        ],
        [real(3, 2, 2)],
        "EmbeddingLookupSparseOptions",
        {"Combiner": 0},
        0,
        5,
    ),
    "embedding lookup sparse mean": Case(
        "EMBEDDING_LOOKUP_SPARSE",
        [
            Tensor(plain(I32, 4)),
            ints([[0, 0], [0, 2], [1, 0], [1, 1]]),
            ints(3, 3),
            given(F32, 1.5, 2.0, 3.0, 0.5),
            given(F32, np.arange(10.0).reshape(5, 2)),
        ],
        [real(3, 2)],
        "EmbeddingLookupSparseOptions",
        {"Combiner": 1},
        1e-6,
        5,
    ),
    "embedding lookup sparse sqrtn": Case(
        "EMBEDDING_LOOKUP_SPARSE",
        [
            Tensor(plain(I32, 4)),
            ints([[0, 0, 1], [0, 1, 2], [0, 1, 2], [1, 0, 1]]),
            ints(2, 2, 3),
            given(F32, 1.5, 2.0, 3.0, 0.5),
            given(F32, np.arange(10.0).reshape(5, 2)),
        ],
        [real(2, 2, 2)],
        "EmbeddingLookupSparseOptions",
        {"Combiner": 2},
        1e-6,
        5,
    ),
    "hashtable lookup": Case(
        "HASHTABLE_LOOKUP",
        [Tensor(plain(I32, 6)), ints(0, 2, 5, 9), given(F32, np.arange(1.0, 9).reshape(4, 2))],
        [real(6, 2), plain(U8, 6)],
        tolerance=0,
        below=10,
    ),
    "lsh projection": Case(
        "LSH_PROJECTION",
        [given(F32, [[0.1, 0.2, 0.3], [0.4, 0.5, 0.6]]), Tensor(plain(I32, 5, 2))],
        [plain(I32, 2)],
        "LSHProjectionOptions",
        {"Type": 1},
        0,
    ),
    "lsh projection dense": Case(
        "LSH_PROJECTION",
        [
            given(F32, np.linspace(-1, 1, 16).reshape(4, 4)),
            Tensor(real(6, 40)),
            given(F32, 1.0, 0.5, -2.0, 3.0, 0.1, 1.0),
        ],
        [plain(I32, 16)],
        "LSHProjectionOptions",
        {"Type": 2},
        0,
    ),
    "random uniform": Case(
        "RANDOM_UNIFORM",
        [ints(3, 5)],
        [real(3, 5)],
        "RandomOptions",
        {"Seed": 7, "Seed2": 2**40},
        0,
    ),
    "random standard normal": Case(
        "RANDOM_STANDARD_NORMAL",
        [ints(20, 5)],
        [real(20, 5)],
        "RandomOptions",
        {"Seed": -3, "Seed2": 9},
        1e-5,
    ),
    "multinomial": Case(
        "MULTINOMIAL",
        [Tensor(real(3, 7)), ints(25)],
        [plain(I64, 3, 25)],
        "RandomOptions",
        {"Seed": 123, "Seed2": 4},
        0,
    ),
    "rfft2d": Case(
        "RFFT2D",
        [Tensor(real(2, 3, 7)), ints(4, 8)],
        [plain(COMPLEX, 2, 4, 5)],
        tolerance=1e-5,
    ),
    "rfft2d cut": Case(
        "RFFT2D", [Tensor(real(9, 7)), ints(1, 4)], [plain(COMPLEX, 1, 3)], tolerance=1e-5
    ),
    "complex abs": Case(
        "COMPLEX_ABS", [Tensor(plain(COMPLEX, 2, 3))], [real(2, 3)], tolerance=1e-6
    ),
    "real": Case("REAL", [Tensor(plain(COMPLEX, 2, 3))], [real(2, 3)], tolerance=0),
    "imag": Case("IMAG", [Tensor(plain(COMPLEX, 2, 3))], [real(2, 3)], tolerance=0),
    "resize bilinear int16": resized("RESIZE_BILINEAR", I16, (9, 4)),
    "resize bilinear int16 half pixels": resized(
        "RESIZE_BILINEAR", I16, (9, 16), HalfPixelCenters=True
    ),
    "resize bilinear int16 corners": resized("RESIZE_BILINEAR", I16, (9, 4), AlignCorners=True),
    "resize bilinear float": resized("RESIZE_BILINEAR", F32, (9, 4), 1e-5),
    "resize bilinear float half pixels": resized(
        "RESIZE_BILINEAR", F32, (3, 17), 1e-5, HalfPixelCenters=True
    ),
    "resize bilinear float corners": resized(
        "RESIZE_BILINEAR", F32, (9, 4), 1e-5, AlignCorners=True
    ),
    "resize bilinear unquantized": resized("RESIZE_BILINEAR", U8, (9, 4), 1),
    "resize nearest float": resized("RESIZE_NEAREST_NEIGHBOR", F32, (9, 4)),
    "resize nearest int16": resized("RESIZE_NEAREST_NEIGHBOR", I16, (2, 16), AlignCorners=True),
    "resize nearest int32": resized("RESIZE_NEAREST_NEIGHBOR", I32, (9, 9), HalfPixelCenters=True),
    "resize nearest float16": resized("RESIZE_NEAREST_NEIGHBOR", F16, (9, 9)),
    "resize nearest bool": resized("RESIZE_NEAREST_NEIGHBOR", BOOL, (9, 9)),
    "resize nearest by both flags": resized(
        "RESIZE_NEAREST_NEIGHBOR", F32, (9, 15), AlignCorners=True, HalfPixelCenters=True
    ),
    "dilate": Case(
        "DILATE",
        [Tensor(real(2, 3)), ints(2, 3), given(F32, 7.0)],
        [real(3, 7)],
        "DilateOptions",
        tolerance=0,
    ),
    "stablehlo pad": Case(
        "STABLEHLO_PAD",
        [Tensor(plain(I32, 3, 4, 5)), given(I32, 7)],
        [plain(I32, 6, 2, 5)],
        "StablehloPadOptions",
        {
            "EdgePaddingLow": np.array([1, -1, 0], np.int64),
            "EdgePaddingHigh": np.array([0, -1, 0], np.int64),
            "InteriorPadding": np.array([1, 0, 0], np.int64),
        },
        0,
    ),
    "stablehlo shift left": Case(
        "STABLEHLO_SHIFT_LEFT",
        [Tensor(plain(I32, 3)), given(I32, 0, 5, 31)],
        [plain(I32, 3)],
        tolerance=0,
    ),
    **{
        f"stablehlo {name.lower()}": Case(
            f"STABLEHLO_{name}",
            [Tensor(plain(I32, 3, 4)), Tensor(plain(I32, 3, 4))],
            [plain(I32, 3, 4)],
            tolerance=0,
        )
        for name in ("ADD", "AND", "MAXIMUM", "MINIMUM", "MULTIPLY")
    },
    "stablehlo and bool": Case(
        "STABLEHLO_AND",
        [Tensor(plain(BOOL, 3, 4)), Tensor(plain(BOOL, 3, 4))],
        [plain(BOOL, 3, 4)],
        tolerance=0,
    ),
    "stablehlo maximum float": Case(
        "STABLEHLO_MAXIMUM", [Tensor(real(3, 4)), Tensor(real(3, 4))], [real(3, 4)], tolerance=0
    ),
    "reduce window": Case(
        "REDUCE_WINDOW",
        [
            Tensor(plain(I32, 6, 9)),
            given(I32, 3),
            given(I64, 2, 3),
            given(I64, 1, 2),
            given(I64, 2, 1),
        ],
        [plain(I32, 4, 4)],
        "ReduceWindowOptions",
        {"ReduceFunction": 4},
        0,
    ),
    "skip gram": Case(
        "SKIP_GRAM",
        [given(STRING, [b"the quick brown fox"])],
        [plain(STRING, 5)],
        "SkipGramOptions",
        {"NgramSize": 2, "MaxSkipSize": 1},
        0,
    ),
    "stablehlo gather": Case(
        "STABLEHLO_GATHER",
        [Tensor(real(5, 6)), Tensor(plain(I32, 2, 2))],
        [real(2, 2, 3)],
        "StablehloGatherOptions",
        {
            "OffsetDims": np.array([1, 2], np.int64),
            "StartIndexMap": np.array([0, 1], np.int64),
            "IndexVectorDim": 1,
            "SliceSizes": np.array([2, 3], np.int64),
        },
        0,
        6,
    ),
    "stablehlo rng bit generator": Case(
        "STABLEHLO_RNG_BIT_GENERATOR",
        [Tensor(plain(DType.UINT64, 2))],
        [plain(DType.UINT64, 2), plain(DType.UINT32, 3, 5)],
        "StablehloRngBitGeneratorOptions",
        tolerance=0,
    ),
}
