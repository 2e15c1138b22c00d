"""Programs of one operator that works on elements or moves them, of every type it takes."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest

import edgewise as ew
from edgewise import ops
from edgewise.dtype import DType, QParams
from edgewise.graph import Graph, TensorType
from edgewise.kernels.isa import AVX2, ISAS
from edgewise.kernels.lookup import Lookup, Rescale
from edgewise.ops.base import Activation, Op
from edgewise.plan import Step
from networks import Array, Builder, assert_matches, quantized, random_inputs, reference
from test_plan import check_accesses, plan_for
from test_program import NATIVE

U8, I8, I16, I32, I64 = DType.UINT8, DType.INT8, DType.INT16, DType.INT32, DType.INT64
F16, F32, BOOL, C64 = DType.FLOAT16, DType.FLOAT32, DType.BOOL, DType.COMPLEX64
Shapes = Sequence[tuple[int, ...]]
Make = Callable[[], Graph]
SHAPE = (2, 5, 7, 9)
TABLE = np.arange(18).reshape(6, 3)


def plain(op: Op, *shapes: tuple[int, ...], dtype: DType = F32) -> Make:
    """An operator of inputs of one dtype."""

    def make() -> Graph:
        b = Builder()
        outputs = b.node(op, [b.input(TensorType(s, dtype)) for s in shapes])
        return b.graph(*(outputs if isinstance(outputs, list) else [outputs]))

    return make


def mixed(op: Op, *operands: TensorType | Array, quant: QParams | None = None) -> Make:
    """An operator of inputs, given by type, and of constants."""

    def make() -> Graph:
        b = Builder()
        values = [b.input(x) if isinstance(x, TensorType) else b.constant(x) for x in operands]
        return b.graph(b.node(op, values, quant))

    return make


def eight_bits(op: Op, dtype: DType, *shapes: tuple[int, ...], constant: bool = False) -> Make:
    """An operator of quantized inputs, the last of them a constant where that is asked for."""

    def make() -> Graph:
        b = Builder()
        xs = [b.input(quantized(s, dtype, 0.03 + 0.01 * i, 3 + i)) for i, s in enumerate(shapes)]
        if constant:
            b.inputs.pop()
            xs[-1] = b.weights(shapes[-1], dtype, None, 5, 0.04)
        return b.graph(b.node(op, xs, QParams.per_tensor(0.05, 1)))

    return make


def squares(
    first: tuple[int, ...],
    second: tuple[int, ...],
    scales: tuple[float, float] = (0.05, 0.02),
    constant: bool = False,
    out: float = 0.2,
) -> Make:
    """SQUARED_DIFFERENCE of int8."""

    def make() -> Graph:
        b = Builder()
        xs = [b.input(quantized(first, I8, scales[0], 7))]
        if constant:
            xs.append(b.weights(second, I8, None, -5, scales[1]))
        else:
            xs.append(b.input(quantized(second, I8, scales[1], -5)))
        return b.graph(b.node(ops.SquaredDifference(), xs, QParams.per_tensor(out, -100)))

    return make


def steep(dtype: DType, scales: tuple[float, float, float]) -> Make:
    """PRELU of channels, of operands and a result of these scales."""

    def make() -> Graph:
        b = Builder()
        x = b.input(quantized(SHAPE, dtype, scales[0]))
        slopes = b.weights((9,), dtype, None, 3, scales[1])
        return b.graph(b.node(ops.PRelu(), [x, slopes], QParams.per_tensor(scales[2], 5)))

    return make


def chain() -> Graph:
    """Several float operators, in place and broadcast, of parts of a joined tensor."""
    b = Builder()
    x, y = b.input(TensorType(SHAPE, F32)), b.input(TensorType((7, 1), F32))
    total = b.node(ops.Add(Activation.RELU6), [x, y])
    scaled = b.node(ops.LeakyRelu(0.5), [b.node(ops.Mul(), [y, total])])
    scaled = b.node(ops.Sub(), [b.constant(np.float32(np.arange(9) / 9)), scaled])
    both = b.node(ops.Concatenation(3), [b.node(ops.Tanh(), [scaled]), b.node(ops.Neg(), [x])])
    return b.graph(b.node(ops.Maximum(), [both, b.node(ops.Logistic(), [both])]))


def apart() -> Graph:
    """Operators of one channel each, which lies apart in a joined tensor."""
    b = Builder()
    x = b.input(TensorType((1, 5, 7, 1), F32))
    parts = [b.node(op(), [x]) for op in (ops.Logistic, ops.Neg, ops.Square)]
    whole = b.node(ops.Concatenation(3), parts)
    return b.graph(whole, b.node(ops.Sub(), [parts[0], parts[2]]))


def dilated() -> Graph:
    """A convolution between blocks taken apart and joined again, and one that stays so."""
    b = Builder()
    x = b.input(TensorType((1, 12, 20, 5), F32))
    outputs = []
    for stride, crops in (((1, 1), ((0, 0), (0, 0))), ((2, 2), ((1, 0), (2, 1)))):
        y = b.node(ops.SpaceToBatchNd((4, 5), ((0, 0), (0, 0))), [x])
        w = b.constant(b.rng.normal(size=(7, 3, 3, 5)).astype(np.float32))
        bias = b.constant(np.zeros(7, np.float32))
        y = b.node(ops.Conv2D(stride, padding=(1, 1, 1, 1)), [y, w, bias])
        outputs.append(b.node(ops.BatchToSpaceNd((4, 5), crops), [y]))
    return b.graph(*outputs)


def top(t: TensorType, k: int) -> Make:
    def make() -> Graph:
        b = Builder()
        return b.graph(*b.node(ops.TopK(k), [b.input(t)], t.quant))

    return make


def top_of_parts() -> Graph:
    """Rows of a tensor whose elements lie apart, and of one column of a joined tensor."""
    b = Builder()
    x = b.node(ops.Neg(), [b.input(TensorType((6, 10, 4), F32))])
    parts = b.node(ops.Split(1, 2), [x])
    turned = b.node(ops.Transpose((2, 0, 1)), [x])
    return b.graph(*b.node(ops.TopK(3), [parts[1]]), *b.node(ops.TopK(4), [turned]))


def reversed_sequences(shape: Sequence[int], seq: int, batch: int, lengths: Array | None) -> Make:
    """``lengths`` None: those that a program computes, 0 to all of the axis."""

    def make() -> Graph:
        b = Builder()
        x = b.input(TensorType(tuple(shape), F32))
        if lengths is None:
            n = TensorType((shape[batch],), I32)
            bound = b.constant(np.array(shape[seq], np.int32))
            chosen = b.node(ops.FloorMod(), [b.input(n), bound])
        else:
            chosen = b.constant(lengths)
        return b.graph(b.node(ops.ReverseSequence(seq, batch), [x, chosen]))

    return make


def slices() -> Graph:
    """Parts of a computed tensor, which later operators must not write over too early."""
    b = Builder()
    x = b.node(ops.Tanh(), [b.input(TensorType((4, 1, 6, 5), F32))])
    first, second = b.node(ops.SplitV(0, (1, 3)), [x])
    rows = b.node(ops.Unpack(0), [second])
    chosen = b.node(ops.Gather(0), [x, b.constant(np.array(2, np.int32))])
    cut = b.node(ops.StridedSlice((1, 0, 2, 0), (1, 1, 3, 5), (1, 1, 1, 1), (0,)), [x])
    negated = b.node(ops.Neg(), [first])
    total = b.node(ops.Sub(), [b.node(ops.Exp(), [rows[0]]), chosen])
    return b.graph(negated, total, b.node(ops.Abs(), [cut]), b.node(ops.Add(), rows[1:]))


def surrounded() -> Graph:
    """Computed tensors within padded ones, and read by others too."""
    b = Builder()
    x = b.node(ops.Tanh(), [b.input(TensorType((1, 5, 6, 3), F32))])
    mirrored = b.node(ops.MirrorPad(((0, 0), (2, 1), (0, 3), (0, 0))), [x])
    y = b.node(ops.Neg(), [x])
    padded = b.node(ops.Pad(((0, 0), (0, 2), (1, 0), (0, 1)), 4), [y])
    again = b.node(ops.MirrorPad(((0, 0), (1, 0), (0, 0), (1, 1)), True), [padded])
    return b.graph(mirrored, again, b.node(ops.Mul(), [x, y]))


def halves(target: DType) -> Make:
    return mixed(ops.Cast(target), TensorType(SHAPE, F16))


def powers_of_two(op: Op) -> Make:
    """int16 values whose scales are powers of two, which has a rule of its own."""

    def make() -> Graph:
        b = Builder()
        a, c = (quantized(SHAPE, I16, scale, 0) for scale in (2.0**-9, 2.0**-12))
        return b.graph(b.node(op, [b.input(a), b.input(c)], QParams.per_tensor(2.0**-8, 0)))

    return make


def requantized(source: DType, target: DType, scale: float) -> Make:
    t = quantized(SHAPE, source, 0.02, 0 if source is I16 else 3)
    return mixed(ops.Quantize(target), t, quant=QParams.per_tensor(scale, 0))


def per_channel() -> Graph:
    b = Builder()
    scales = tuple(float(np.float32(0.01 * (i + 1))) for i in range(9))
    t = TensorType(SHAPE, I8, QParams(scales, (0,) * 9, 3))
    return b.graph(b.node(ops.Dequantize(), [b.input(t)]))


UNARY = (ops.Abs, ops.Ceil, ops.Cos, ops.Elu, ops.Exp, ops.Floor, ops.HardSwish, ops.Log)
UNARY += (ops.Logistic, ops.Neg, ops.Relu, ops.Relu0To1, ops.Relu6, ops.ReluN1To1, ops.Round)
UNARY += (ops.Rsqrt, ops.Sign, ops.Sin, ops.Sqrt, ops.Square, ops.Tanh)
BINARY = (ops.Add, ops.Div, ops.FloorDiv, ops.FloorMod, ops.Maximum, ops.Minimum, ops.Mul, ops.Pow)
BINARY += (ops.PRelu, ops.SquaredDifference, ops.Sub)
COMPARE = (ops.Equal, ops.Greater, ops.GreaterEqual, ops.Less, ops.LessEqual, ops.NotEqual)
INT16 = (ops.Add, ops.Mul, ops.SquaredDifference, ops.Sub)
BYTES = (U8, I8)
MOVED = (U8, I16, F32, I64, DType.COMPLEX128)

INDICES = np.array([4, 0, 0, 2], np.int32)
THREE = TensorType((2, 60, 3), I32)

MOVES: dict[str, tuple[Op, tuple[int, ...]]] = {
    "batch to space": (ops.BatchToSpaceNd((2, 3), ((0, 0), (0, 0))), (12, 3, 4, 5)),
    "batch to space cropped": (ops.BatchToSpaceNd((2, 3), ((1, 2), (4, 0))), (12, 3, 4, 5)),
    "batch to space rows": (ops.BatchToSpaceNd((4,), ((3, 1),)), (8, 5, 6)),
    "broadcast": (ops.BroadcastTo((3, 2, 5, 7)), (2, 1, 7)),
    "broadcast pixels": (ops.BroadcastTo((4, 6)), (4, 1)),
    "depth to space": (ops.DepthToSpace(2), (2, 3, 4, 20)),
    "matrix diagonals": (ops.MatrixDiag(), (3, 5)),
    "mirror": (ops.MirrorPad(((0, 0), (2, 4), (3, 0), (0, 0))), SHAPE),
    "mirror all": (ops.MirrorPad(((1, 1), (0, 4), (6, 6), (0, 3))), SHAPE),
    "mirror symmetric": (ops.MirrorPad(((2, 1), (5, 0), (0, 7), (9, 9)), True), SHAPE),
    "pad": (ops.Pad(((0, 1), (2, 0), (3, 3), (0, 5))), SHAPE),
    "reverse": (ops.Reverse((1,)), SHAPE),
    "reverse last": (ops.Reverse((0, 3)), SHAPE),
    "space to batch": (ops.SpaceToBatchNd((2, 3), ((0, 0), (0, 0))), (2, 6, 9, 5)),
    "space to batch padded": (ops.SpaceToBatchNd((2, 3), ((3, 2), (1, 4))), (2, 5, 7, 5)),
    "space to depth": (ops.SpaceToDepth(3), (2, 6, 9, 4)),
    "split": (ops.SplitV(2, (1, 4, 2)), SHAPE),
    "tile": (ops.Tile((2, 1, 3, 2)), (2, 3, 1, 5)),
    "tile elements": (ops.Tile((1, 6)), (4, 1)),
    "transpose pairs": (ops.Transpose((1, 0, 2)), (33, 18, 2)),
    "transpose triples": (ops.Transpose((1, 0, 2)), (33, 18, 3)),
    "pad columns": (ops.Pad(((0, 0), (0, 2), (1, 0))), (7, 8, 3)),
    "transpose": (ops.Transpose((0, 3, 1, 2)), SHAPE),
    "zeros": (ops.ZerosLike(), SHAPE),
}

CASES: dict[str, Make] = {
    **{f"{op.name} {t.value}": plain(op(), SHAPE) for op in UNARY for t in (F32,)},
    **{f"{op.name} {t}": eight_bits(op(), t, SHAPE) for op in UNARY for t in BYTES},
    **{f"{op.name} int16": eight_bits(op(), I16, SHAPE) for op in (ops.Tanh, ops.Logistic)},
    **{f"{op.name} float": plain(op(), SHAPE, SHAPE) for op in BINARY if op is not ops.Pow},
    **{f"{op.name} int": plain(op(), SHAPE, SHAPE, dtype=I32) for op in COMPARE},
    **{f"{op.name} pairs {t}": eight_bits(op(), t, SHAPE, (9,)) for op in BINARY for t in BYTES},
    **{f"{op.name} table": eight_bits(op(), U8, SHAPE, (1,), constant=True) for op in BINARY},
    **{f"{op.name} pairs": eight_bits(op(), U8, SHAPE, (2, 1, 7, 1)) for op in COMPARE},
    **{f"{name} {t.value}": plain(*case, dtype=t) for name, case in MOVES.items() for t in MOVED},
    **{f"{op.name} int16": eight_bits(op(), I16, SHAPE, (7, 1)) for op in INT16},
    "add powers of two": powers_of_two(ops.Add(Activation.RELU)),
    "sub powers of two": powers_of_two(ops.Sub()),
    "add int16 relu": eight_bits(ops.Add(Activation.RELU6), I16, SHAPE, SHAPE),
    "add relu": plain(ops.Add(Activation.RELU), SHAPE, (1,)),
    "add n": plain(ops.AddN(), *[SHAPE] * 5),
    "atan2": plain(ops.Atan2(), SHAPE, SHAPE),
    "bitcast": mixed(ops.Bitcast(U8), TensorType(SHAPE, F32)),
    "chain": chain,
    "dequantize int16": mixed(ops.Dequantize(), quantized(SHAPE, I16, 0.1, 0)),
    "dequantize half": mixed(ops.Dequantize(), TensorType(SHAPE, F16)),
    "dequantize per channel": per_channel,
    "dilated": dilated,
    "complex abs": mixed(ops.ComplexAbs(), TensorType(SHAPE, C64)),
    "complex add": plain(ops.Add(), SHAPE, (7, 1), dtype=C64),
    "complex imag": plain(ops.Imag(), SHAPE, dtype=C64),
    "complex neg": plain(ops.Neg(), SHAPE, dtype=C64),
    "complex real": plain(ops.Real(), SHAPE, dtype=DType.COMPLEX128),
    "complex sub": plain(ops.Sub(), SHAPE, SHAPE, dtype=DType.COMPLEX128),
    "div constant": mixed(ops.Div(Activation.RELU_N1_TO_1), TensorType(SHAPE, F32), np.float32(3)),
    "embedding": mixed(ops.EmbeddingLookup(), INDICES, TensorType((6, 5, 7), F32)),
    "fake quant": mixed(ops.FakeQuant(-1.0, 2.0, 8, True), TensorType(SHAPE, F32)),
    "fill": mixed(ops.Fill((3, 70)), TensorType((), F32)),
    "gather rows": mixed(ops.Gather(0), TensorType((9, 33), F32), INDICES),
    "gather columns": mixed(ops.Gather(2), TensorType(SHAPE, U8), INDICES),
    "gather slice": mixed(ops.Gather(1), TensorType(SHAPE, F32), np.array([4, 2, 0])),
    "gather scalar": mixed(ops.Gather(1), TensorType(SHAPE, F32), np.array(3)),
    "gather elements": mixed(ops.Gather(3), TensorType(SHAPE, I64), INDICES[None]),
    "gather batches": mixed(ops.Gather(2, 1), TensorType(SHAPE, F32), np.int64([[4, 0], [1, 1]])),
    "gather nd": mixed(ops.GatherNd(), TensorType(SHAPE, F32), np.int32([[1, 4], [0, 0], [1, 2]])),
    "gather nd elements": mixed(
        ops.GatherNd(), TensorType((3, 4), U8), np.int64([[[2, 3]], [[0, 1]]])
    ),
    "gelu": plain(ops.Gelu(), SHAPE),
    "gelu tanh": plain(ops.Gelu(True), SHAPE),
    "gelu bytes": eight_bits(ops.Gelu(), U8, SHAPE),
    "leaky relu": plain(ops.LeakyRelu(0.3), SHAPE),
    "logical": plain(ops.LogicalOr(), SHAPE, (9,), dtype=BOOL),
    "maximum of bytes": plain(ops.Maximum(), SHAPE, SHAPE, dtype=U8),
    "matrix set diagonals": plain(ops.MatrixSetDiag(), (2, 4, 6), (2, 4)),
    "narrow constant": mixed(ops.Mul(), TensorType((2, 60, 3), F32), np.float32([1, 2, 3])),
    "narrow of batches": plain(ops.Add(), (3, 40, 50, 5), (3, 1, 1, 5)),
    "narrow and constant": mixed(ops.Add(), np.ones((2, 1, 3), np.int32), THREE),
    "apart": apart,
    "narrow": plain(ops.Sub(), (40, 50, 3), (3,)),
    "one hot": mixed(
        ops.OneHot(1, 5), np.int32([[0, 4, 2], [7, -1, 3]]), TensorType((), F32), np.float32(0)
    ),
    "one hot of inputs": mixed(
        ops.OneHot(2, 200), TensorType((3, 4), I32), np.float32(2), np.float32(-1)
    ),
    "add rows": eight_bits(ops.Add(), U8, SHAPE, (7, 1)),
    **{f"prelu {t}": eight_bits(ops.PRelu(), t, SHAPE, (9,), constant=True) for t in BYTES},
    "prelu rows": eight_bits(ops.PRelu(), I8, SHAPE, (7, 1), constant=True),
    "prelu narrow": eight_bits(ops.PRelu(), U8, (2, 20, 21, 3), (1, 1, 3), constant=True),
    "prelu beyond float32": steep(I8, (1e30, 1e-3, 1e-30)),
    "prelu slopes beyond float32": steep(U8, (1e30, 1e30, 1e29)),
    "leaky relu beyond float32": mixed(
        ops.LeakyRelu(-0.5), quantized(SHAPE, I16, 1e30, 0), quant=QParams.per_tensor(1e-30, 0)
    ),
    "prelu of nothing": steep(U8, (1e-30, 1e-30, 1e20)),
    "square rows": eight_bits(ops.SquaredDifference(), U8, (7, 1), SHAPE),
    "square mean": squares((2, 20, 21, 3), (2, 1, 1, 3)),
    "square mean first": squares((2, 1, 1, 3), (2, 20, 21, 3), (0.03, 0.05)),
    "square of one scale": squares(SHAPE, (5, 7, 1), (0.03, 0.03)),
    "square constant": squares(SHAPE, (1, 9), constant=True),
    "square saturated": squares(SHAPE, (1, 9), out=1e-6),
    "square far out": squares(SHAPE, (1, 9), out=1e-7),
    "pow": mixed(ops.Pow(), TensorType(SHAPE, F32), np.float32(2.0)),
    "quantize int16": mixed(
        ops.Quantize(I16), TensorType(SHAPE, F32), quant=QParams.per_tensor(1e-4, 0)
    ),
    "requantize 8 to 16": requantized(I8, I16, 0.0003),
    "requantize 16 to 8": requantized(I16, I8, 3.0),
    "requantize 16": requantized(I16, I16, 0.03),
    "right shift": mixed(ops.RightShift(), TensorType(SHAPE, I32), np.int32(5)),
    "top k": top(TensorType((2, 3, 41), F32), 5),
    "top k of bytes": top(quantized((3, 70), I8), 9),
    "top k of integers": top(TensorType((50,), I32), 50),
    "top k of parts": top_of_parts,
    "reverse sequences": reversed_sequences((4, 9, 5), 1, 0, None),
    "reverse sequences in time": reversed_sequences((9, 4, 3), 0, 1, np.array([9, 0, 4, 1])),
    "reverse sequences of columns": reversed_sequences((3, 2, 8), 2, 0, None),
    "reverse sequences between": reversed_sequences((2, 3, 7, 2), 2, 1, np.int32([3, 7, 6])),
    "select": mixed(
        ops.Select(), TensorType((5, 1, 9), BOOL), TensorType(SHAPE, F32), np.float32(1)
    ),
    "select rows": mixed(ops.Select(True), TensorType((2,), BOOL), *[TensorType(SHAPE, U8)] * 2),
    "slices": slices,
    "surrounded": surrounded,
    "six dimensions": plain(ops.Add(), (2, 1, 3, 1, 2, 5), (1, 4, 1, 2, 1, 5)),
    "update slice": mixed(
        ops.DynamicUpdateSlice(),
        TensorType(SHAPE, F32),
        TensorType((1, 2, 7, 9), F32),
        np.int32([1, 9, 0, 0]),
    ),
    "update slice elements": mixed(
        ops.DynamicUpdateSlice(), TensorType((5, 6), U8), TensorType((3, 2), U8), np.int64([-4, 3])
    ),
    "planes side by side": plain(ops.Transpose((0, 2, 3, 1)), (2, 3, 5, 33)),
    "two planes side by side": plain(ops.Transpose((1, 2, 0)), (2, 4, 25), dtype=I16),
    "planes apart": plain(ops.Transpose((0, 3, 1, 2)), (2, 5, 33, 3), dtype=U8),
    "every second channel": plain(
        ops.StridedSlice((0, 0, 1), (3, 4, 20), (1, 1, 2)), (3, 4, 40), dtype=F32
    ),
    "every fourth byte": plain(ops.StridedSlice((0, 3), (3, 24), (1, 4)), (3, 99), dtype=I8),
    "a factor for each pair": mixed(
        ops.Mul(), TensorType((8, 50, 2), F32), np.float32([range(50)]).T
    ),
    "factors by columns": mixed(
        ops.Mul(), TensorType((400, 6, 3), F32), np.asfortranarray(np.float32(TABLE))
    ),
    "factors for each pair by columns": mixed(
        ops.Mul(), TensorType((40, 6, 3, 2), F32), np.asfortranarray(np.float32(TABLE)[..., None])
    ),
    "a term for each pair, computed": plain(ops.Sub(), (8, 50, 2), (50, 1)),
    "pairs and a term for each": plain(ops.Sub(), (50, 1), (8, 50, 2)),
    "a term for each pair of many": plain(ops.Add(), (5, 8, 50, 2), (5, 1, 50, 1)),
    "a term for each and one for all": plain(ops.Select(), (8, 50, 2), (50, 1), (2,), dtype=BOOL),
}
FALLBACKS = {"atan2"}


@pytest.mark.parametrize("case", CASES)
def test_steps_touch_what_is_theirs(case: str) -> None:
    for isa in ISAS:
        check_accesses(plan_for(ew.optimize(CASES[case]()), isa))


@pytest.mark.parametrize("isa", NATIVE)
@pytest.mark.parametrize("case", CASES)
def test_operator(case: str, isa: str) -> None:
    graph = CASES[case]()
    program = ew.compile(graph, isa=isa)
    assert bool(program.plan.fallbacks) == (case in FALLBACKS)
    for seed in range(2):
        inputs = random_inputs(graph, seed)
        results = program(*inputs)
        found = results if isinstance(results, tuple) else (results,)
        with np.errstate(all="ignore"):
            expected = reference(graph, inputs)
        for got, wanted in zip(found, expected, strict=True):
            assert_matches(got, wanted)
    program.close()


def test_slices_and_what_is_surrounded_are_not_copied() -> None:
    plan = plan_for(ew.optimize(slices()), AVX2)
    assert [s.kernel.symbol for s in plan.steps if "copy" in s.kernel.symbol] == []
    plan = plan_for(ew.optimize(surrounded()), AVX2)
    inner = (1, 5, 6, 3)
    assert [s for s in plan.steps if "copy" in s.kernel.symbol and s.reads[0].shape == inner] == []


@pytest.mark.parametrize("bad", [6, -1, 2**31 - 1, -(2**31)])
def test_lengths_outside_are_refused(bad: int) -> None:
    """By native code as by the reference."""
    b = Builder()
    x, lengths = b.input(TensorType((2, 5, 3), F32)), b.input(TensorType((2,), I32))
    graph = b.graph(b.node(ops.ReverseSequence(), [x, lengths]))
    program = ew.compile(graph, strict=True)
    data = np.arange(30, dtype=np.float32).reshape(2, 5, 3)
    for refused in ([0, bad], [bad, 5]):
        with pytest.raises(ew.RunError, match=rf"^REVERSE_SEQUENCE: .* {bad};"):
            program(data, np.array(refused, np.int32))
    good = np.array([5, 0], np.int32)
    np.testing.assert_array_equal(program(data, good), reference(graph, [data, good])[0])
    program.close()


@pytest.mark.parametrize(
    ("scale", "kernel"),
    [(0.07, Rescale), (0.05 / 127, Rescale), (0.05 / 128, Lookup), (14.0, Lookup)],
)
def test_requantization_by_arithmetic_where_a_factor_fits(scale: float, kernel: type) -> None:
    b = Builder()
    x = b.input(quantized((3, 41), DType.UINT8, 0.05))
    graph = b.graph(b.node(ops.Quantize(DType.UINT8), [x], QParams.per_tensor(scale, 77)))
    steps = plan_for(graph, AVX2).steps
    assert [type(s.kernel) for s in steps if isinstance(s, Step)] == [kernel]
    data = (np.arange(123, dtype=np.uint8) * 2).reshape(3, 41)
    np.testing.assert_array_equal(ew.compile(graph)(data), reference(graph, [data])[0])
