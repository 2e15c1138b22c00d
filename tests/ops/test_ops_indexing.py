"""Operators that move, select, scatter and sort: sweeps against LiteRT and numpy, and rules."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from edgewise import ops
from edgewise.dtype import DType, QParams
from edgewise.errors import GraphError, RunError
from edgewise.graph import Array, TensorType
from edgewise.ops import Op
from edgewise.ops.fingerprint import fingerprint64
from edgewise.ops.random import philox
from tflite_builder import Tensor, run_litert, single

F32, F16, I8, U8, I16 = DType.FLOAT32, DType.FLOAT16, DType.INT8, DType.UINT8, DType.INT16
I32, I64, BOOL, STRING = DType.INT32, DType.INT64, DType.BOOL, DType.STRING
SEEDS = pytest.mark.parametrize("seed", range(12))


def of(dtype: DType, *shape: int) -> TensorType:
    return TensorType(tuple(shape), dtype)


def fill(rng: np.random.Generator, t: TensorType, below: int = 1000) -> Array:
    if t.dtype.is_float:
        return rng.normal(0, 1, t.shape).astype(t.dtype.numpy)
    return rng.integers(0, 2 if t.dtype is BOOL else min(below, 100), t.shape).astype(t.dtype.numpy)


def check(
    op: Op,
    arrays: Sequence[Array],
    builtin: str,
    options: str = "",
    *,
    constants: Sequence[Array] = (),
    order: Sequence[int] | None = None,
    **fields: Any,
) -> list[Array]:
    """Require the reference to equal LiteRT; ``constants`` come after ``arrays`` in the file.

    ``order`` says where each input of the file stands among both.
    """
    types = [TensorType(a.shape, DType(a.dtype.name)) for a in arrays]
    outputs = op.infer(types)
    results = op.reference(arrays, types, outputs)
    tensors = [Tensor(t) for t in types]
    tensors += [Tensor(TensorType(a.shape, DType(a.dtype.name)), a) for a in constants]
    inputs = tensors if order is None else [tensors[i] for i in order]
    model = single(builtin, inputs, outputs, options, **fields)
    given = [i for i in (order or range(len(arrays))) if i < len(arrays)]
    expected = run_litert(model, [arrays[i] for i in given])
    for mine, peer in zip(results, expected, strict=True):
        np.testing.assert_array_equal(mine, peer, strict=True)
    return results


def ints(*values: Any) -> Array:
    return np.array(values[0] if len(values) == 1 else values, np.int32)


@SEEDS
def test_gather(seed: int) -> None:
    rng = np.random.default_rng(seed)
    shape = rng.integers(1, 5, rng.integers(1, 5))
    axis = int(rng.integers(len(shape)))
    batch = int(rng.integers(axis + 1))
    tail = rng.integers(1, 4, rng.integers(0, 3))
    x = fill(rng, of([F32, I8, I32, I64, BOOL][seed % 5], *shape))
    dtype = [np.int32, np.int64][seed % 2]
    indices = rng.integers(0, shape[axis], (*shape[:batch], *tail)).astype(dtype)
    check(
        ops.Gather(axis, batch), [x, indices], "GATHER", "GatherOptions", Axis=axis, BatchDims=batch
    )


@SEEDS
def test_gather_nd(seed: int) -> None:
    rng = np.random.default_rng(seed)
    shape = rng.integers(1, 5, rng.integers(1, 5))
    k = int(rng.integers(1, len(shape) + 1))
    head = rng.integers(1, 4, rng.integers(1, 3))
    x = fill(rng, of([F32, I8, I32, I64, BOOL][seed % 5], *shape))
    indices = np.stack([rng.integers(0, n, head) for n in shape[:k]], axis=-1).astype(np.int32)
    check(ops.GatherNd(), [x, indices], "GATHER_ND")


def test_gather_of_no_indices() -> None:
    x, types = np.ones((3, 4), np.float32), [of(F32, 3, 4), of(I32, 0)]
    (y,) = ops.Gather(1).reference([x, np.zeros(0, np.int32)], types, [])
    assert y.shape == (3, 0)


@SEEDS
def test_scatter_nd(seed: int) -> None:
    rng = np.random.default_rng(seed)
    shape = rng.integers(1, 4, rng.integers(1, 4))
    k = int(rng.integers(1, len(shape) + 1))
    count = int(rng.integers(1, 9))
    indices = np.stack([rng.integers(0, n, count) for n in shape[:k]], axis=-1).astype(np.int32)
    updates = fill(rng, of([I32, I64, U8][seed % 3], count, *shape[k:]))
    op = ops.ScatterNd(tuple(map(int, shape)))
    check(op, [indices, updates], "SCATTER_ND", constants=[shape.astype(np.int32)])


@SEEDS
def test_one_hot(seed: int) -> None:
    rng = np.random.default_rng(seed)
    shape = rng.integers(1, 4, rng.integers(0, 4))
    axis = int(rng.integers(len(shape) + 1))
    dtype = [F32, I32, I64, I8, U8, BOOL][seed % 6]
    indices = rng.integers(-2, 6, shape).astype([np.int32, np.int64][seed % 2])
    on, off = (np.asarray(fill(rng, of(dtype))) for _ in range(2))
    check(
        ops.OneHot(axis, 4),
        [indices, on, off],
        "ONE_HOT",
        "OneHotOptions",
        constants=[ints(4)],
        order=(0, 3, 1, 2),
        Axis=axis,
    )


@SEEDS
def test_top_k(seed: int) -> None:
    rng = np.random.default_rng(seed)
    dtype = [F32, U8, I8, I32, I64, I16][seed % 6]
    x = fill(rng, of(dtype, *rng.integers(1, 4, rng.integers(0, 3)), 30), below=12)
    k = int(rng.integers(1, 31))
    op = ops.TopK(k)
    if dtype is F32:
        x = x.round(1)
    check(op, [x], "TOPK_V2", constants=[np.array(k, np.int32)])


@SEEDS
def test_reversals(seed: int) -> None:
    rng = np.random.default_rng(seed)
    shape = rng.integers(1, 5, rng.integers(2, 5))
    x = fill(rng, of([F32, I32, I64][seed % 3], *shape))
    axis, other = (int(i) for i in rng.permutation(len(shape))[:2])
    check(ops.Reverse((axis,)), [x], "REVERSE_V2", constants=[ints([axis])])
    lengths = rng.integers(0, shape[axis] + 1, shape[other]).astype(np.int32)
    options = {"SeqDim": axis, "BatchDim": other}
    op = ops.ReverseSequence(axis, other)
    check(op, [x, lengths], "REVERSE_SEQUENCE", "ReverseSequenceOptions", **options)


@SEEDS
def test_space_and_batch(seed: int) -> None:
    rng = np.random.default_rng(seed)
    block, pads = rng.integers(1, 4, 2), rng.integers(0, 3, (2, 2))
    size = block * rng.integers(1, 4, 2) - pads.sum(axis=1)
    while size.min() < 1:
        size = size + block
    x = fill(rng, of([F32, I32, I64][seed % 3], 2, *size, 3))
    blocks, pairs = tuple(map(int, block)), tuple((int(a), int(b)) for a, b in pads)
    constants = [block.astype(np.int32), pads.astype(np.int32)]
    (y,) = check(ops.SpaceToBatchNd(blocks, pairs), [x], "SPACE_TO_BATCH_ND", constants=constants)
    (back,) = check(
        ops.BatchToSpaceNd(blocks, pairs), [y], "BATCH_TO_SPACE_ND", constants=constants
    )
    np.testing.assert_array_equal(back, x)


def test_space_to_batch_pads_with_the_zero_point() -> None:
    t = TensorType((1, 1, 1), I8, QParams.per_tensor(0.5, 7))
    op = ops.SpaceToBatchNd((2,), ((1, 0),))
    (y,) = op.reference([np.array([[[3]]], np.int8)], [t], op.infer([t]))
    assert y.ravel().tolist() == [7, 3]


@SEEDS
@pytest.mark.parametrize("symmetric", [False, True])
def test_mirror_pad(seed: int, symmetric: bool) -> None:
    rng = np.random.default_rng(seed)
    shape = rng.integers(1, 6, rng.integers(1, 5))
    most = shape + symmetric
    pairs = [(int(rng.integers(n)), int(rng.integers(n))) for n in most]
    x = fill(rng, of([F32, I32, I64, I8][seed % 4], *shape))
    op = ops.MirrorPad(tuple(pairs), symmetric)
    mode = int(symmetric)
    check(op, [x], "MIRROR_PAD", "MirrorPadOptions", constants=[ints(pairs)], Mode=mode)


@SEEDS
def test_tiles(seed: int) -> None:
    rng = np.random.default_rng(seed)
    shape = rng.integers(1, 4, rng.integers(1, 5))
    x = fill(rng, of([F32, I32, I64, BOOL, U8][seed % 5], *shape))
    times = rng.integers(1, 4, len(shape))
    check(ops.Tile(tuple(map(int, times))), [x], "TILE", constants=[times.astype(np.int32)])
    ones = np.where(rng.integers(2, size=len(shape)), 1, shape)
    whole = (*rng.integers(1, 3, rng.integers(0, 3)), *shape)
    op = ops.BroadcastTo(tuple(map(int, whole)))
    x = fill(rng, of([F32, I32, I64][seed % 3], *ones))
    check(op, [x], "BROADCAST_TO", constants=[np.array(whole, np.int32)])


@SEEDS
def test_resize_bilinear_of_int16(seed: int) -> None:
    rng = np.random.default_rng(seed)
    h, w, oh, ow = (int(n) for n in rng.integers(1, 12, 4))
    x = rng.integers(-(2**15), 2**15, (1, h, w, 3)).astype(np.int16)
    for flags in ({}, {"AlignCorners": True}, {"HalfPixelCenters": True}):
        op = ops.ResizeBilinear((oh, ow), "AlignCorners" in flags, "HalfPixelCenters" in flags)
        name = "ResizeBilinearOptions"
        check(op, [x], "RESIZE_BILINEAR", name, constants=[ints(oh, ow)], **flags)


@SEEDS
def test_segments(seed: int) -> None:
    rng = np.random.default_rng(seed)
    count, rows = int(rng.integers(1, 20)), int(rng.integers(1, 6))
    x = fill(rng, of([F32, I32][seed % 2], count, 3))
    ids = rng.integers(-1, rows, count).astype(np.int32)
    for name, op in (
        ("MAX", ops.UnsortedSegmentMax),
        ("MIN", ops.UnsortedSegmentMin),
        ("SUM", ops.UnsortedSegmentSum),
        ("PROD", ops.UnsortedSegmentProd),
    ):
        check(op(rows), [x, ids], f"UNSORTED_SEGMENT_{name}", constants=[np.array(rows, np.int32)])
    ids = np.cumsum(rng.integers(0, 2, count)).astype(np.int32)
    ids -= ids[0]
    check(ops.SegmentSum(int(ids[-1]) + 1), [x, ids], "SEGMENT_SUM")


def test_segments_may_be_empty() -> None:
    x, ids = np.ones((2, 1), np.int32), np.array([1, 3], np.int32)
    (y,) = ops.SegmentSum(5).reference([x, ids], [of(I32, 2, 1), of(I32, 2)], [])
    assert y.ravel().tolist() == [0, 1, 0, 1, 0]


@SEEDS
@pytest.mark.parametrize("sigma", [0.0, 0.4])
def test_non_max_suppression(seed: int, sigma: float) -> None:
    rng = np.random.default_rng(seed)
    corners = rng.uniform(0, 4, (60, 2)).astype(np.float32)
    sizes = rng.uniform(-1, 2, (60, 2)).astype(np.float32)
    boxes = np.concatenate([corners, corners + sizes], axis=1)
    scores = rng.uniform(0, 1, 60).astype(np.float32)
    iou, least = np.array(0.3, np.float32), np.array(rng.choice([0, 0.5]), np.float32)
    most = int(rng.integers(1, 61))
    check(
        ops.NonMaxSuppressionV4(most),
        [boxes, scores, iou, least],
        "NON_MAX_SUPPRESSION_V4",
        constants=[np.array(most, np.int32)],
        order=(0, 1, 4, 2, 3),
    )
    op = ops.NonMaxSuppressionV5(most)
    arrays = [boxes, scores, iou, least, np.array(sigma, np.float32)]
    types = [TensorType(a.shape, F32) for a in arrays]
    results = op.reference(arrays, types, op.infer(types))
    inputs = [Tensor(t) for t in types]
    inputs.insert(2, Tensor(of(I32), np.array(most, np.int32)))
    expected = run_litert(single("NON_MAX_SUPPRESSION_V5", inputs, op.infer(types)), arrays)
    np.testing.assert_array_equal(results[0], expected[0])
    np.testing.assert_allclose(results[1], expected[1], rtol=1e-6)
    np.testing.assert_array_equal(results[2], expected[2])


@pytest.mark.parametrize(
    "length", [0, 1, 3, 4, 7, 8, 15, 16, 17, 32, 33, 63, 64, 65, 127, 128, 200]
)
def test_lsh_projection_hashes_as_litert(length: int) -> None:
    """A bit a hash: all that the operator shows of the hashes; 4 bytes are the seed's."""
    rng = np.random.default_rng(length)
    seeds = rng.normal(0, 1, (4, 32)).astype(np.float32)
    x = rng.integers(0, 256, (1, length)).astype(np.uint8)
    if length:
        check(ops.LshProjection(True), [seeds, x], "LSH_PROJECTION", "LSHProjectionOptions", Type=2)
    assert len({fingerprint64(s.tobytes() + x.tobytes()) for s in seeds.ravel()}) == 128


def test_fingerprint_of_known_bytes() -> None:
    """Of no bytes it is a constant; longer ones are held to LiteRT's above."""
    assert fingerprint64(b"") % 2**64 == 0x9AE16A3B2F90404F
    assert len({fingerprint64(bytes(n)) for n in range(300)}) == 300


def test_philox_gives_random123_s_numbers() -> None:
    """The known answers for philox4x32-10 that come with the paper's Random123."""
    for key, counter, answer in (
        (0, 0, (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
        (2**64 - 1, 2**64 - 1, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    ):
        assert philox(key, counter, counter, 1).ravel().tolist() == list(answer)


def drawn(op: Op, *inputs: Array) -> list[Array]:
    types = [TensorType(a.shape, DType(a.dtype.name)) for a in inputs]
    return op.reference(list(inputs), types, op.infer(types))


def test_a_generator_goes_on_where_it_ended() -> None:
    start = np.zeros(1, np.int64)
    first, counter = drawn(ops.RandomUniform((1, 2), 0, (8,)), start)
    second, _ = drawn(ops.RandomUniform((1, 2), 0, (8,)), counter)
    both, _ = drawn(ops.RandomUniform((1, 2), 0, (16,)), start)
    np.testing.assert_array_equal(np.concatenate([first, second]), both)


def test_without_seeds_every_node_draws_other_numbers() -> None:
    start = np.zeros(1, np.int64)
    one, _ = drawn(ops.RandomUniform((0, 0), 1, (8,)), start)
    other, _ = drawn(ops.RandomUniform((0, 0), 2, (8,)), start)
    assert not np.array_equal(one, other)
    np.testing.assert_array_equal(drawn(ops.RandomUniform((0, 0), 1, (8,)), start)[0], one)


def test_random_numbers_have_their_distributions() -> None:
    start = np.zeros(1, np.int64)
    y, _ = drawn(ops.RandomUniform((3, 4), 0, (100000,)), start)
    assert 0 <= y.min() < y.max() < 1
    assert abs(y.mean() - 0.5) < 0.005
    y, _ = drawn(ops.RandomStandardNormal((3, 4), 0, (100001,)), start)
    assert abs(y.mean()) < 0.02
    assert abs(y.std() - 1) < 0.02
    logits = np.log(
        np.array([[1, 2, 0, 5]], np.float32),
        where=[True, True, False, True],
        out=np.full((1, 4), -np.inf, np.float32),
    )
    y, counter = drawn(ops.Multinomial((3, 4), 0, 80000, I32), logits, start)
    np.testing.assert_allclose(np.bincount(y[0]) / 80000, [0.125, 0.25, 0, 0.625], atol=0.01)
    assert counter[0] == 80000 * 512


@pytest.mark.parametrize(
    ("text", "size", "skips", "every", "expected"),
    [
        (b"a b c", 2, 0, False, [b"a b", b"b c"]),
        (b"a b c d", 2, 1, False, [b"a b", b"a c", b"b c", b"b d", b"c d"]),
        (b"the  quick\tfox", 3, 2, False, [b"the quick fox"]),
        (b"a b", 2, 0, True, [b"a b", b"a", b"b"]),
        (b"a", 2, 0, True, []),
    ],
)
def test_skip_gram(text: bytes, size: int, skips: int, every: bool, expected: list[bytes]) -> None:
    t = of(STRING, 1)
    x = np.array([text], object)
    (y,) = ops.SkipGram(size, skips, every).reference([x], [t], [])
    assert y.tolist() == expected
    fields = {"NgramSize": size, "MaxSkipSize": skips, "IncludeAllNgrams": every}
    model = single(
        "SKIP_GRAM", [Tensor(t)], [of(STRING, max(len(expected), 1))], "SkipGramOptions", **fields
    )
    if expected:
        assert run_litert(model, [x])[0].tolist() == expected


def test_outputs_whose_size_depends_on_values() -> None:
    x = np.array([[0, 2], [3, 0]], np.float32)
    (places,) = ops.Where().reference([x], [of(F32, 2, 2)], [])
    assert places.tolist() == [[0, 1], [1, 0]]
    assert ops.Where().infer([of(F32, 2, 2)]) == (of(I64, -1, 2),)
    values, index = ops.Unique(I64).reference([np.array([5, 1, 5, 0])], [of(I64, 4)], [])
    assert (values.tolist(), index.tolist()) == ([5, 1, 0], [0, 1, 0, 2])
    assert ops.Unique().infer([of(F32, 4)]) == (of(F32, -1), of(I32, 4))
    bounds = [np.array(v, np.float32) for v in (0, 1, 0.1)]
    (steps,) = ops.Range().reference(bounds, [of(F32)] * 3, [])
    assert len(steps) == 10
    assert ops.Range().infer([of(I32)] * 3) == (of(I32, -1),)
    (nothing,) = ops.Range().reference([ints(3), ints(3), ints(1)], [of(I32)] * 3, [])
    assert nothing.shape == (0,)


RUNS: list[tuple[Op, list[TensorType], list[Any], str]] = [
    (ops.Gather(), [of(F32, 3), of(I32, 2)], [[1, 2, 3], [0, 3]], "index 3; .* below 3"),
    (ops.Gather(), [of(F32, 3), of(I32, 2)], [[1, 2, 3], [0, -1]], "index -1"),
    (ops.GatherNd(), [of(F32, 2, 2), of(I32, 1, 2)], [np.ones((2, 2)), [[0, 2]]], "axis 1 2"),
    (ops.EmbeddingLookup(), [of(I32, 1), of(F32, 2, 1)], [[2], [[1], [2]]], "id 2"),
    (ops.ScatterNd((2,)), [of(I32, 1, 1), of(F32, 1)], [[[2]], [1]], "index of axis 0 2"),
    (ops.SparseToDense((2,)), [of(I32), of(F32), of(F32)], [-1, 1, 0], "index of axis 0 -1"),
    (ops.SegmentSum(3), [of(F32, 2), of(I32, 2)], [[1, 2], [2, 1]], "they ascend"),
    (ops.UnsortedSegmentSum(2), [of(F32, 1), of(I32, 1)], [[1], [2]], "id 2"),
    (ops.ReverseSequence(1, 0), [of(F32, 1, 2), of(I32, 1)], [[[1, 2]], [3]], "length 3"),
    (ops.Range(), [of(I32)] * 3, [0, 5, 0], "delta leads to the limit"),
    (ops.Range(), [of(I32)] * 3, [0, 5, -1], "from 0 to 5 by -1"),
    (ops.Range(), [of(F32)] * 3, [0, 1e30, 1], "elements; at most"),
    (ops.BroadcastArgs(), [of(I32, 1), of(I32, 2)], [[2], [1, 3]], "shapes .* are 1 or equal"),
    (
        ops.EmbeddingLookupSparse((2, 1)),
        [of(I32, 1), of(I32, 1, 2), of(F32, 1), of(F32, 2, 1)],
        [[0], [[2, 0]], [1], [[1], [2]]],
        "index of axis 0 2",
    ),
]


@pytest.mark.parametrize(
    ("op", "types", "values", "rule"), RUNS, ids=lambda v: getattr(v, "name", "")
)
def test_what_is_not_there_is_refused(
    op: Op, types: list[TensorType], values: list[Any], rule: str
) -> None:
    arrays = [np.array(v, t.dtype.numpy) for v, t in zip(values, types, strict=True)]
    op.check_values([None] * len(arrays), types)
    op.infer(types)
    with pytest.raises(RunError, match=f"^{op.name}: .*{rule}"):
        op.reference(arrays, types, [])


TABLE = TensorType((3, 4), I8, QParams.per_tensor(0.5, 0))
BOXES = [of(F32, 5, 4), of(F32, 5), of(F32), of(F32)]
COUNTER = of(I64, 1)

BROKEN: list[tuple[Op, list[TensorType], str]] = [
    (ops.MirrorPad(((0, 0),)), [of(F32, 2, 2)], "paddings for 1 axes, input of rank 2"),
    (ops.MirrorPad(((2, 0),)), [of(F32, 2)], r"padding \(2, 0\) along axis 0; each is 0 to 1"),
    (ops.MirrorPad(((3, 0),), True), [of(F32, 2)], "each is 0 to 2"),
    (ops.Tile((1,)), [of(F32, 2, 2)], "multiples for 1 axes"),
    (ops.Tile((-1,)), [of(F32, 2)], "no dimension is negative"),
    (ops.BroadcastTo((3, 4)), [of(F32, 2, 4)], r"shape \[2, 4\] into \[3, 4\]"),
    (ops.BroadcastTo((4,)), [of(F32, 2, 4)], r"into \[4\]"),
    (ops.Reverse((2,)), [of(F32, 2, 4)], "axis 2"),
    (ops.ReverseSequence(1, 1), [of(F32, 2, 4), of(I32, 4)], "an axis is named once"),
    (ops.ReverseSequence(1, 0), [of(F32, 2, 4), of(F32, 2)], "lengths are float32"),
    (ops.ReverseSequence(1, 0), [of(F32, 2, 4), of(I32, 4)], r"it must be \[2\], batch_axis"),
    (ops.SpaceToDepth(2), [of(F32, 1, 3, 2, 1)], "image of 3x2 in blocks of 2"),
    (ops.SpaceToDepth(0), [of(F32, 1, 3, 2, 1)], "block 0; it must be at least 1"),
    (ops.DepthToSpace(2), [of(F32, 1, 3, 2, 5)], "5 channels in blocks of 2x2"),
    (ops.DepthToSpace(0), [of(F32, 1, 3, 2, 5)], "block 0; it must be at least 1"),
    (ops.SpaceToBatchNd(), [of(F32, 1)], "block has no axes"),
    (ops.SpaceToBatchNd((2,), ((0, 0),)), [of(F32, 4)], "input of rank 1; it has more"),
    (ops.SpaceToBatchNd((2,)), [of(F32, 1, 4)], "paddings for 0 axes"),
    (ops.SpaceToBatchNd((0,), ((0, 0),)), [of(F32, 1, 4)], "each size is at least 1"),
    (ops.SpaceToBatchNd((2,), ((0, -2),)), [of(F32, 1, 4)], "it cannot be negative"),
    (ops.SpaceToBatchNd((2,), ((0, 1),)), [of(F32, 1, 4)], "axis 1 of 5 elements, padded"),
    (ops.BatchToSpaceNd((2,), ((0, 0),)), [of(F32, 3, 4)], "3 images in blocks of 2"),
    (ops.BatchToSpaceNd((2,), ((5, 4),)), [of(F32, 2, 4)], r"crops \(5, 4\) of axis 1; it has 8"),
    (ops.MatrixDiag(), [of(F32)], "axis 0"),
    (ops.MatrixSetDiag(), [of(F32, 3), of(F32, 3)], "input 0 has rank 1"),
    (ops.MatrixSetDiag(), [of(F32, 3, 2), of(F32, 3)], r"it must be float32\[2\]"),
    (ops.Gather(1), [of(F32, 3), of(I32, 1)], "axis 1"),
    (ops.Gather(), [of(F32, 3), of(F32, 1)], "indices are float32"),
    (ops.Gather(1, 2), [of(F32, 3, 3), of(I32, 3, 3)], "batch_dims 2"),
    (ops.Gather(1, 1), [of(F32, 3, 3), of(I32, 2)], r"batches \[3\] and \[2\]"),
    (ops.GatherNd(), [of(F32, 3), of(I32, 1, 2)], "indices of 2 axes, input of rank 1"),
    (ops.EmbeddingLookup(), [of(I32, 1, 1), of(F32, 2, 2)], "ids has rank 2"),
    (ops.EmbeddingLookup(), [of(I32, 1), of(F32, 2)], "table of rank 1"),
    (ops.EmbeddingLookupFloat(), [of(I32, 1), of(F32, 2, 2)], "table of float32"),
    (ops.EmbeddingLookupFloat(), [of(I32, 1), of(I8, 2, 2)], "it has one scale"),
    (ops.OneHot(2, 3), [of(I32, 2), of(F32), of(F32)], "axis 2"),
    (ops.OneHot(0, 3), [of(I32, 2), of(F32, 2), of(F32)], "on has 2 elements"),
    (ops.OneHot(0, 3), [of(I32, 2), of(F32), of(I32)], "on is float32, off int32"),
    (ops.ScatterNd((2,)), [of(I32, 1, 2), of(F32, 1)], "indices of 2 axes, output of rank 1"),
    (ops.ScatterNd((2, 3)), [of(I32, 1, 1), of(F32, 1)], r"it must be \[1, 3\]"),
    (ops.DynamicUpdateSlice(), [of(F32, 2), of(I32, 2), of(I32, 1)], "update is int32"),
    (ops.DynamicUpdateSlice(), [of(F32, 2), of(F32, 3), of(I32, 1)], r"update of \[3\] does not"),
    (ops.DynamicUpdateSlice(), [of(F32, 2), of(F32, 1), of(I32, 2)], "it must be .1., the input"),
    (ops.SparseToDense((2,)), [of(I32, 1, 1, 1), of(F32), of(F32)], "indices of rank 3"),
    (ops.SparseToDense((2,)), [of(I32, 3, 2), of(F32), of(F32)], "indices of 2 axes"),
    (ops.SparseToDense((2,)), [of(I32, 3), of(F32, 2), of(F32)], r"it must be \[\] or \[3\]"),
    (ops.SparseToDense((2,)), [of(I32, 3), of(F32), of(F32, 2)], "default has 2 elements"),
    (ops.SparseToDense((2,)), [of(I32, 3), of(F32), of(I32)], "default int32; must be equal"),
    (ops.SegmentSum(2), [of(F32, 3), of(I32, 2)], "theirs starts"),
    (ops.SegmentSum(2), [of(F32, 3, 2), of(I32, 3, 2)], "ids have rank 2; it must be 1"),
    (ops.UnsortedSegmentSum(2), [of(F32, 3, 2), of(I32, 2)], "theirs starts"),
    (ops.UnsortedSegmentSum(2), [of(F32, 3, 2), of(I32)], "theirs starts"),
    (ops.SegmentSum(2), [of(BOOL, 3), of(I32, 3)], "input is bool; it must be a number"),
    (ops.Fill((2,)), [of(F32, 2)], "the value has 2 elements"),
    (ops.Range(), [of(F32, 2), of(F32), of(F32)], "input 0 has 2 elements"),
    (ops.Range(), [of(F32), of(I32), of(F32)], "input 1 is int32"),
    (ops.Shape(F32), [of(F32, 2)], "gives float32"),
    (ops.BroadcastArgs(), [of(I32), of(I32, 1)], "input 0 has rank 0"),
    (ops.BroadcastArgs(), [of(F32, 1), of(I32, 1)], "input 0 is float32"),
    (ops.BroadcastArgs(), [of(I64, 1), of(I32, 1)], "inputs are int64 and int32"),
    (ops.TopK(4), [of(F32, 3)], "k 4; it is 0 to 3"),
    (ops.Unique(), [of(F32, 3, 3)], "input has rank 2"),
    (ops.Bucketize((1.0,)), [of(I8, 3)], "input is int8"),
    (ops.Bucketize((2.0, 1.0)), [of(F32, 3)], "they ascend"),
    (ops.NonMaxSuppressionV4(1), [of(I8, 5, 4), *BOXES[1:]], "input 0 is int8"),
    (ops.NonMaxSuppressionV4(1), [of(F32, 5, 3), *BOXES[1:]], r"it must be \[N, 4\]"),
    (ops.NonMaxSuppressionV4(1), [BOXES[0], of(F32, 4), *BOXES[2:]], "scores have shape"),
    (ops.NonMaxSuppressionV5(1), [*BOXES, of(F32, 2)], "input 4 has 2 elements"),
    (ops.NonMaxSuppressionV4(-1), BOXES, "no dimension is negative"),
    (ops.Rfft2d((3, 4)), [of(F32, 4, 4)], "length 3; it must be a power of 2"),
    (ops.Rfft2d((4, 4)), [of(F32, 4)], "input of rank 1"),
    (ops.Rfft2d((4, 4)), [of(I32, 4, 4)], "input is int32"),
    (ops.Real(), [of(F32, 4)], "it must be complex64"),
    (ops.AudioSpectrogram(4, 1), [of(I16, 9, 1)], "input is int16"),
    (ops.Mfcc(), [of(F32, 1, 1, 1), of(I32)], "1 bins"),
    (ops.Mfcc(), [of(F32, 1, 1, 5), of(F32)], "rate is float32"),
    (ops.Mfcc(filters=5), [of(F32, 1, 1, 5), of(I32)], "13 coefficients of 5 filters"),
    (ops.Mfcc(low=5, high=5), [of(F32, 1, 1, 5), of(I32)], "frequencies from 5 to 5"),
    (ops.RandomUniform((1, 1), 0, (2,)), [of(I32, 1)], "counter is int32"),
    (ops.Multinomial((1, 1), 0, 2), [of(F32, 3), COUNTER], "logits has rank 1"),
    (ops.Multinomial((1, 1), 0, 2), [of(I32, 3, 2), COUNTER], "logits are int32"),
    (ops.Multinomial((1, 1), 0, 2, F32), [of(F32, 3, 2), COUNTER], "gives float32"),
    (ops.HashtableLookup(), [of(F32, 1), of(I32, 1), of(F32, 1)], "lookups are float32"),
    (ops.HashtableLookup(), [of(I32, 1), of(I32, 1), of(F32, 2)], "1 keys, values of shape"),
    (ops.LshProjection(), [of(I32, 1, 1), of(F32, 1)], "seeds are int32"),
    (ops.LshProjection(), [of(F32, 1, 33), of(F32, 1)], "33 bits a hash"),
    (ops.LshProjection(), [of(F32, 1, 3), of(STRING, 1)], "rows of numbers"),
    (ops.LshProjection(), [of(F32, 1, 3), of(F32, 1), of(F32, 2)], "weights are"),
    (ops.SkipGram(1), [of(STRING, 2)], "it is one string"),
    (ops.SkipGram(0), [of(STRING, 1)], "0 words"),
    (
        ops.EmbeddingLookupSparse((1, 1)),
        [of(I32, 1), of(I32, 1, 2), of(I32, 1), of(F32, 2, 2)],
        "weights: int32",
    ),
    (
        ops.EmbeddingLookupSparse((1, 1)),
        [of(I32, 1), of(I32, 2, 2), of(F32, 1), of(F32, 2, 2)],
        "1 ids, 2 indices",
    ),
    (
        ops.EmbeddingLookupSparse((1,)),
        [of(I32, 1), of(I32, 1, 2), of(F32, 1), of(F32, 2, 2)],
        "indices of 2 axes, table of rank 2",
    ),
    (ops.MaxPoolingWithArgmax2D(), [TensorType((1, 2, 2, 1), I8, TABLE.quant)], "it must be float"),
    (ops.MaxUnpooling2D(), [of(F32, 1, 1, 1, 1), of(F32, 1, 1, 1, 2)], "float32 of one shape"),
    (ops.MaxUnpooling2D((0, 1)), [of(F32, 1, 1, 1, 1)] * 2, "each is at least 1"),
    (ops.SplitV(0, (1, 2)), [of(F32, 4)], "they must sum to 4"),
    (ops.SplitV(0, (5, -1)), [of(F32, 4)], "no dimension is negative"),
    (ops.SplitV(0, ()), [of(F32, 0)], "0 parts"),
    (ops.ResizeBilinear((2, 2)), [of(I32, 1, 2, 2, 1)], "input is int32"),
]


@pytest.mark.parametrize(("op", "types", "rule"), BROKEN, ids=lambda v: getattr(v, "name", ""))
def test_infer_names_the_operator_and_the_rule(op: Op, types: list[TensorType], rule: str) -> None:
    with pytest.raises(GraphError, match=f"^{op.name}: .*{rule}"):
        op.infer(types)
