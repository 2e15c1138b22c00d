"""StableHLO's operators, DILATE and REDUCE_WINDOW: files against LiteRT, and rules."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from flatbuffers import flexbuffers
from moving_cases import given, plain
from test_tflite_operators import run
from tflite_files import Case, ints, real

from edgewise import ops
from edgewise.dtype import DType
from edgewise.errors import GraphError, ModelError, UnsupportedError
from edgewise.graph import TensorType, verify
from edgewise.importers import load
from edgewise.ops import Computation, Op
from edgewise.ops.stablehlo import threefry
from tflite_builder import Operator, Tensor, build, run_litert, single
from tflite_networks import join

F32, I32, I64, U64, U32 = DType.FLOAT32, DType.INT32, DType.INT64, DType.UINT64, DType.UINT32
BOOL, I8 = DType.BOOL, DType.INT8


def longs(*values: int) -> np.ndarray[Any, Any]:
    return np.array(values, np.int64)


def gather(
    x: Sequence[int],
    indices: Tensor,
    y: Sequence[int],
    offset: Sequence[int],
    collapsed: Sequence[int],
    start: Sequence[int],
    axis: int,
    sizes: Sequence[int],
) -> Case:
    fields = {
        "OffsetDims": longs(*offset),
        "CollapsedSliceDims": longs(*collapsed),
        "StartIndexMap": longs(*start),
        "IndexVectorDim": axis,
        "SliceSizes": longs(*sizes),
    }
    inputs = [Tensor(real(*x)), indices]
    return Case("STABLEHLO_GATHER", inputs, [real(*y)], "StablehloGatherOptions", fields, 0)


def computation(name: str, t: TensorType) -> bytes:
    """A subgraph of one operator of two scalars; of none, the second."""
    a, b, y = Tensor(t), Tensor(t), Tensor(t)
    if not name:
        return build([Operator("STABLEHLO_ADD", [a, b], [y])], [a, b], [b])
    return build([Operator(name, [a, b], [y])], [a, b], [y])


def with_computation(case: Case, name: str) -> bytes:
    """The file of a case, whose operator refers to subgraph 1."""
    scalar = TensorType((), case.inputs[0].type.dtype)  # type: ignore[union-attr]

    def edit(model: Any) -> None:
        if not name:
            model.subgraphs[1].operators = []

    return join(case.file(), computation(name, scalar), edit=edit)


def scatter(
    x: TensorType,
    indices: Tensor,
    updates: Sequence[int],
    window: Sequence[int],
    inserted: Sequence[int],
    start: Sequence[int],
    axis: int,
) -> Case:
    fields = {
        "UpdateWindowDims": longs(*window),
        "InsertedWindowDims": longs(*inserted),
        "ScatterDimsToOperandDims": longs(*start),
        "IndexVectorDim": axis,
        "UpdateComputationSubgraphIndex": 1,
    }
    inputs = [Tensor(x), indices, Tensor(TensorType(tuple(updates), x.dtype))]
    return Case("STABLEHLO_SCATTER", inputs, [x], "StablehloScatterOptions", fields, 0)


def window(dtype: DType, y: Sequence[int], **fields: Any) -> Case:
    x = plain(dtype, 2, 6, 5)
    init = given(dtype, 0 if dtype is not F32 else -1.5)
    options = {"WindowDimensions": longs(1, 2, 3), "BodySubgraphIndex": 1, **fields}
    return Case(
        "STABLEHLO_REDUCE_WINDOW",
        [Tensor(x), init],
        [plain(dtype, *y)],
        "StablehloReduceWindowOptions",
        options,
        1e-5,
    )


SCATTERED = {
    "rows": scatter(real(5, 3), ints([[4], [0], [4]]), (3, 3), (1,), (0,), (0,), 1),
    "elements": scatter(
        real(5, 3), given(I64, [[4, 0, 4, 2], [1, 1, 1, 2]]), (4,), (), (0, 1), (0, 1), 0
    ),
    "windows": scatter(real(5, 6), ints([[3, 1], [0, 5]]), (2, 2, 2), (1, 2), (), (0, 1), 1),
    "windows first": scatter(real(5, 6), ints([[1, 3], [2, 0]]), (2, 2, 2), (0, 1), (), (1, 0), 1),
    "numbers": scatter(plain(I32, 7), ints([[5], [5], [1]]), (3,), (), (0,), (0,), 1),
    "outside": scatter(plain(I32, 7), ints([[5], [7], [9]]), (3,), (), (0,), (0,), 1),
}
WINDOWS = {
    "plain": window(F32, (2, 5, 3)),
    "strides": window(F32, (2, 3, 1), WindowStrides=longs(1, 2, 3)),
    "dilations": window(F32, (2, 3, 1), WindowDilations=longs(1, 3, 2)),
    "base": window(F32, (2, 10, 7), BaseDilations=longs(1, 2, 2)),
    "padding": window(F32, (3, 7, 5), Padding=longs(0, 1, 2, 0, 1, 1)),
    "all": window(
        F32,
        (3, 4, 3),
        Padding=longs(0, 1, 2, 0, 1, 1),
        BaseDilations=longs(1, 2, 2),
        WindowStrides=longs(1, 3, 2),
        WindowDilations=longs(1, 2, 3),
    ),
    "integers": window(I32, (2, 5, 3)),
}
GATHERED = {
    "rows": gather((5, 3), ints([[4], [0], [9]]), (3, 3), (1,), (0,), (0,), 1, (1, 3)),
    "elements": gather((5, 3), given(I64, [[4, -1], [1, 2]]), (2,), (), (0, 1), (0, 1), 0, (1, 1)),
    "windows": gather((5, 6), ints([[3, 1], [4, 5]]), (2, 2, 3), (1, 2), (), (0, 1), 1, (2, 3)),
    "windows first": gather(
        (5, 6), ints([[[1, 3]], [[2, 0]]]), (2, 3, 2, 1), (0, 1), (), (1, 0), 2, (2, 3)
    ),
}
NAMES = ["ADD", "MULTIPLY", "MAXIMUM", "MINIMUM"]


def compare(content: bytes, case: Case, seed: int = 7) -> None:
    graph = load(content)
    verify(graph)
    rng = np.random.default_rng(seed)
    arrays = [case.data(rng, v.type) for v in graph.inputs]
    for mine, peer in zip(run(graph, arrays), run_litert(content, arrays), strict=True):
        np.testing.assert_allclose(mine, peer, rtol=1e-6, atol=1e-6, strict=True)


@pytest.mark.parametrize("computation", ["", *(f"STABLEHLO_{n}" for n in NAMES)])
@pytest.mark.parametrize("name", SCATTERED)
def test_scatter(name: str, computation: str) -> None:
    case = SCATTERED[name]
    compare(with_computation(case, computation), case)


@pytest.mark.parametrize("name", GATHERED)
def test_gather(name: str) -> None:
    case = GATHERED[name]
    compare(case.file(), case)


def test_index_vectors_of_one_number_need_no_axis() -> None:
    """LiteRT does not survive such indices."""
    x, indices = np.arange(12, dtype=np.float32).reshape(4, 3), np.array([3, 0], np.int32)
    types = [real(4, 3), plain(I32, 2)]
    op: Op = ops.GatherSlices((1,), (0,), (0,), 1, (1, 3))
    (y,) = op.reference([x, indices], types, op.infer(types))
    np.testing.assert_array_equal(y, x[[3, 0]])
    op = ops.ScatterSlices(Computation.ADD, (1,), (0,), (0,), 1)
    types.append(real(2, 3))
    (y,) = op.reference([x, indices, np.ones((2, 3), np.float32)], types, op.infer(types))
    np.testing.assert_array_equal(y - x, [[1] * 3, [0] * 3, [0] * 3, [1] * 3])


@pytest.mark.parametrize("computation", [f"STABLEHLO_{n}" for n in NAMES])
@pytest.mark.parametrize("name", WINDOWS)
def test_reduce_window(name: str, computation: str) -> None:
    case = WINDOWS[name]
    compare(with_computation(case, computation), case)


@pytest.mark.parametrize("code", range(1, 7))
def test_reduce_window_by_operands(code: int) -> None:
    dtype = BOOL if code > 4 else F32
    init = given(dtype, code == 5 if dtype is BOOL else 0.5)
    sizes = [given(I64, values) for values in ([2, 3], [1, 2], [2, 1])]
    x, y = plain(dtype, 6, 9), plain(dtype, 4, 4)
    case = Case(
        "REDUCE_WINDOW",
        [Tensor(x), init, *sizes],
        [y],
        "ReduceWindowOptions",
        {"ReduceFunction": code},
    )
    compare(case.file(), case)


@pytest.mark.parametrize("algorithm", [0, 1, 2])
@pytest.mark.parametrize("dtype", [U32, DType.INT32, U64, I64], ids=str)
@pytest.mark.parametrize("words", [2, 3])
def test_rng_bit_generator(
    algorithm: int, dtype: DType, words: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    if algorithm == 2 and words == 3:
        return
    state = plain(U64, words)
    content = single(
        "STABLEHLO_RNG_BIT_GENERATOR",
        [Tensor(state)],
        [state, plain(dtype, 3, 5)],
        "StablehloRngBitGeneratorOptions",
        Algorithm=algorithm,
    )
    arrays = [np.array([2**63 + 12345, 2**32 - 2, 77][:words], np.uint64)]
    graph = load(content)
    monkeypatch.setattr("edgewise.ops.stablehlo.BLOCKS", 2)
    for mine, peer in zip(run(graph, arrays), run_litert(content, arrays), strict=True):
        np.testing.assert_array_equal(mine, peer, strict=True)


def test_threefry_gives_random123_s_numbers() -> None:
    """The known answers for threefry2x32-20 that come with the paper's Random123."""
    assert threefry(0, 0, 1).tolist() == [[0x6B200159, 0x99BA4EFE]]
    assert threefry(2**64 - 1, 2**64 - 1, 1).tolist() == [[0x1CB996FC, 0xBB002BE7]]


def negated(t: TensorType, builtin: str = "NEG") -> bytes:
    x, y = Tensor(t), Tensor(t)
    return build([Operator(builtin, [x], [y])], [x], [y])


def test_composite_is_its_decomposition() -> None:
    t = real(2, 3)
    outer = single(
        "STABLEHLO_COMPOSITE",
        [Tensor(t)],
        [t],
        "StableHLOCompositeOptions",
        Name="odml.negate",
        CompositeAttributes=np.frombuffer(flexbuffers.Dumps({}), np.uint8),
        DecompositionSubgraphIndex=1,
    )
    content = join(outer, negated(t))
    assert load(content).nodes[0].op.name == "NEG"
    compare(content, Case("NEG", [Tensor(t)], [t]))


def cases(index: Tensor) -> bytes:
    """NEG or ABS by an index; its code is too new for the package that builds files."""
    t = real(2, 3)
    outer = single("STABLEHLO_COMPOSITE", [index, Tensor(t)], [t], "IfOptions")

    def edit(model: Any) -> None:
        code = next(c for c in model.operatorCodes if c.builtinCode == 206)
        code.builtinCode = schema.BuiltinOperator.STABLEHLO_CASE
        (operator,) = model.subgraphs[0].operators
        operator.builtinOptionsType, operator.builtinOptions = 0, None
        operator.builtinOptions2Type = schema.BuiltinOptions2.StablehloCaseOptions
        operator.builtinOptions2 = schema.StablehloCaseOptionsT()
        operator.builtinOptions2.branchSubgraphIndices = [1, 2]

    return join(outer, negated(t), negated(t, "ABS"), edit=edit)


@pytest.mark.parametrize(("chosen", "name"), [(0, "NEG"), (1, "ABS"), (2, "ABS"), (-1, "ABS")])
def test_case_of_a_constant(chosen: int, name: str) -> None:
    assert load(cases(ints(chosen))).nodes[0].op.name == name


def test_case_of_a_computed_index() -> None:
    content = cases(Tensor(plain(I32)))
    graph, x = load(content), np.linspace(-1, 1, 6, dtype=np.float32).reshape(2, 3)
    for chosen in (0, 1, 0):
        arrays = [np.array(chosen, np.int32), x]
        (mine,), (peer,) = run(graph, arrays), run_litert(content, arrays)
        np.testing.assert_array_equal(mine, peer)


RULES: dict[str, tuple[Callable[[], bytes], type[ModelError], str]] = {
    "computation": (
        lambda: with_computation(SCATTERED["rows"], "STABLEHLO_SHIFT_LEFT"),
        UnsupportedError,
        "computes .'STABLEHLO_SHIFT_LEFT'.; supported are",
    ),
    "function": (
        lambda: single(
            "REDUCE_WINDOW",
            [Tensor(real(4)), given(F32, 0.0), *[ints([1])] * 3],
            [real(4)],
            "ReduceWindowOptions",
        ),
        ModelError,
        "function 0",
    ),
    "algorithm": (
        lambda: single(
            "STABLEHLO_RNG_BIT_GENERATOR",
            [Tensor(plain(U64, 2))],
            [plain(U64, 2), plain(U32, 4)],
            "StablehloRngBitGeneratorOptions",
            Algorithm=3,
        ),
        ModelError,
        "algorithm 3",
    ),
    "random numbers": (
        lambda: single(
            "STABLEHLO_RNG_BIT_GENERATOR",
            [Tensor(plain(U64, 2))],
            [plain(U64, 2), plain(U32, 2**12, 2**13)],
            "StablehloRngBitGeneratorOptions",
        ),
        UnsupportedError,
        "at most 16777216 numbers",
    ),
    "numbers": (
        lambda: single(
            "STABLEHLO_PAD",
            [Tensor(real(4)), given(F32, 0.0)],
            [real(4)],
            "StablehloPadOptions",
            EdgePaddingLow=longs(1, 2),
        ),
        ModelError,
        "option 0 has 2 numbers, not 1",
    ),
    "huge numbers": (
        lambda: single(
            "STABLEHLO_PAD",
            [Tensor(real(4)), given(F32, 0.0)],
            [real(4)],
            "StablehloPadOptions",
            EdgePaddingLow=longs(2**40),
        ),
        ModelError,
        "numbers are below",
    ),
}


@pytest.mark.parametrize("name", RULES)
def test_broken_files(name: str) -> None:
    make, error, rule = RULES[name]
    with pytest.raises(error, match=rule):
        load(make())


X, I2 = real(3, 4), plain(I32, 2)
STATE = plain(U64, 2)
BROKEN: list[tuple[Op, list[TensorType], str]] = [
    (ops.ShiftLeft(), [X, X], "input 0"),
    (ops.Dilate((0,), (0,), (0,)), [X, real()], "paddings for"),
    (ops.Dilate((0, 0), (0, 0), (0, -1)), [X, real()], "interior"),
    (ops.Dilate((0, 0), (0, 0), (0, 0)), [X, plain(I32)], "value is"),
    (
        ops.ReduceWindow(Computation.ADD, (1,), (1,), (1,), (1, 1), (0, 0), (0, 0)),
        [X, real()],
        "each has 2 numbers",
    ),
    (
        ops.ReduceWindow(Computation.AND, (1, 1), (1, 1), (1, 1), (1, 1), (0, 0), (0, 0)),
        [X, real()],
        "and of float32",
    ),
    (ops.GatherSlices((), (0, 1), (0,), 1, (1, 1)), [X, real(2, 1)], "indices are float32"),
    (ops.GatherSlices((), (0, 1), (0,), 2, (1, 1)), [X, I2], "index_vector_dim 2"),
    (ops.GatherSlices((), (0, 1), (0, 1), 1, (1, 1)), [X, I2], "indices of 1 numbers"),
    (ops.GatherSlices((), (0, 1), (0,), 1, (1, 5)), [X, I2], "they fit"),
    (ops.GatherSlices((), (0, 1), (0,), 1, (1, 2)), [X, I2], "those are 1"),
    (ops.GatherSlices((1, 0), (), (0,), 1, (1, 2)), [X, I2], "they are 2, ascending"),
    (ops.ScatterSlices(), [X, I2, I2], "updates are int32"),
    (
        ops.ScatterSlices(Computation.ADD, (), (0,), (0,), 1),
        [X, I2, real(2)],
        r"updates of \[2\] with windows along \[\]",
    ),
    (ops.RngBitGenerator(), [I2], "state is"),
    (ops.RngBitGenerator(dtype=F32), [STATE], "gives float32"),
]


@pytest.mark.parametrize(("op", "types", "rule"), BROKEN, ids=lambda v: getattr(v, "name", ""))
def test_infer_names_the_operator_and_the_rule(op: Op, types: list[TensorType], rule: str) -> None:
    with pytest.raises(GraphError, match=f"^{op.name}: .*{rule}"):
        op.infer(types)


def test_shifts_beyond_the_bits_give_nothing() -> None:
    t = plain(I8, 4)
    arrays = [np.array([1, 1, -1, 3], np.int8), np.array([7, 8, -1, 1], np.int8)]
    (y,) = ops.ShiftLeft().reference(arrays, [t, t], [t])
    assert y.tolist() == [-128, 0, 0, 6]
