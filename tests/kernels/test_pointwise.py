"""Programs of elementwise functions against the operators' references."""

from __future__ import annotations

import numpy as np
import pytest

from edgewise import ops
from edgewise.dtype import DType
from edgewise.graph import TensorType
from edgewise.kernels import views
from edgewise.kernels.ir import Type, bool_, f32, i32, i64
from edgewise.kernels.isa import Isa
from edgewise.kernels.pointwise import FUNCTIONS, Pointwise, Run, Stage, stored
from edgewise.ops.fixed_point import multiply_twice_rounded
from edgewise.plan.program import FUNCTIONS as NAMES
from edgewise.plan.program import element
from emulate import machine_for

from .harness import Array, Buffer, isas, run, target, view

FLOATS, BOOL = (DType.FLOAT32,), (DType.BOOL,)
INTEGERS = tuple(DType(f"{sign}int{bits}") for sign in ("", "u") for bits in (8, 16, 32, 64))
NUMBERS = (*FLOATS, *INTEGERS)
SIGNED = tuple(d for d in INTEGERS if d.value.startswith("int"))
EDGES = (0.0, -0.0, 1.0, -1.0, 0.5, 3.0, -7.5, 1e-40, 3e38, -3e38, np.inf, -np.inf, np.nan)

BINARY: dict[type[ops.Op], tuple[DType, ...]] = {
    ops.Add: NUMBERS,
    ops.BitwiseAnd: (*INTEGERS, *BOOL),
    ops.BitwiseXor: (*INTEGERS, *BOOL),
    ops.Div: NUMBERS,
    ops.Equal: (*NUMBERS, *BOOL),
    ops.FloorDiv: NUMBERS,
    ops.FloorMod: NUMBERS,
    ops.Greater: NUMBERS,
    ops.GreaterEqual: NUMBERS,
    ops.Less: (*NUMBERS, *BOOL),
    ops.LessEqual: NUMBERS,
    ops.LogicalAnd: BOOL,
    ops.LogicalOr: BOOL,
    ops.Maximum: NUMBERS,
    ops.Minimum: NUMBERS,
    ops.Mul: NUMBERS,
    ops.NotEqual: (*NUMBERS, *BOOL),
    ops.PRelu: FLOATS,
    ops.Pow: NUMBERS,
    ops.RightShift: INTEGERS,
    ops.ShiftLeft: INTEGERS,
    ops.SquaredDifference: NUMBERS,
    ops.Sub: NUMBERS,
}
UNARY: dict[type[ops.Op], tuple[DType, ...]] = {
    ops.Abs: (*FLOATS, *SIGNED),
    ops.Acos: FLOATS,
    ops.Acosh: FLOATS,
    ops.Asin: FLOATS,
    ops.Asinh: FLOATS,
    ops.Atan: FLOATS,
    ops.Atanh: FLOATS,
    ops.Ceil: FLOATS,
    ops.Cos: FLOATS,
    ops.Cosh: FLOATS,
    ops.Elu: FLOATS,
    ops.Erf: FLOATS,
    ops.Exp: FLOATS,
    ops.Floor: FLOATS,
    ops.HardSwish: FLOATS,
    ops.Log: FLOATS,
    ops.LogicalNot: BOOL,
    ops.Logistic: FLOATS,
    ops.Mish: FLOATS,
    ops.Neg: (*FLOATS, *SIGNED),
    ops.Relu: FLOATS,
    ops.Relu0To1: FLOATS,
    ops.Relu6: FLOATS,
    ops.ReluN1To1: FLOATS,
    ops.Round: FLOATS,
    ops.Rsqrt: FLOATS,
    ops.Sign: (*FLOATS, *SIGNED),
    ops.Sin: FLOATS,
    ops.Sinh: FLOATS,
    ops.Softplus: FLOATS,
    ops.Sqrt: FLOATS,
    ops.Square: (*FLOATS, *INTEGERS),
    ops.Tan: FLOATS,
    ops.Tanh: FLOATS,
}
ULPS = 3
"""Between functions of float32 and their float64 references."""


def samples(dtype: DType, shape: tuple[int, ...], seed: int) -> Array:
    """Random numbers, a third of them edges of the range or small."""
    rng = np.random.default_rng(seed)
    if dtype is DType.BOOL:
        return rng.integers(0, 2, shape).astype(bool)
    if dtype.is_float:
        x = rng.normal(0, 4, shape)
        edges: Array = np.array(EDGES)
    else:
        info = np.iinfo(dtype.numpy)
        x = rng.integers(info.min, info.max, shape, dtype.numpy, endpoint=True)
        edges = np.array([info.min, info.max, 0, 1, 2, 3, 7, info.max], dtype.numpy)
    return np.where(rng.random(shape) < 0.4, rng.choice(edges, shape), x).astype(dtype.numpy)


def close(actual: Array, expected: Array, exact: bool) -> None:
    assert actual.dtype == expected.dtype
    if exact or actual.dtype.kind != "f":
        np.testing.assert_array_equal(actual, expected)
        return
    finite = np.isfinite(expected)
    np.testing.assert_array_equal(actual[~finite], expected[~finite])
    error = np.abs(actual[finite].astype(float) - expected[finite])
    assert (error <= ULPS * np.spacing(np.abs(expected[finite]))).all()


def evaluate(
    isa: Isa,
    stages: tuple[Stage, ...],
    arrays: list[Array],
    types: list[Type],
    block: int = 1 << 30,
    outer_dimensions: int = views.OUTER,
    in_place: int | None = None,
) -> Array:
    """The program's result; the arrays broadcast, their runs lie apart."""
    shape = np.broadcast_shapes(*(x.shape for x in arrays))
    *outer, n = (1,) * (outer_dimensions + 1 - len(shape)) + shape
    runs = [Run.FIXED if x.shape[-1] == 1 != n else Run.DENSE for x in arrays]
    variant = Pointwise(isa, tuple(types), stages, (*runs, Run.DENSE), outer_dimensions)
    fields: dict[str, object] = {f"d{i}": outer[i] for i in range(1, outer_dimensions)}
    result = variant.types["y"]
    dtype = np.dtype(bool if result == bool_ else f"{result.kind}{stored(result).nbytes}")
    buffers: list[Buffer] = []
    for i, x in enumerate([*arrays, np.zeros(shape, dtype)]):
        name = f"x{i}" if i < len(arrays) else "y"
        whole = x.reshape((1,) * (len(outer) + 1 - x.ndim) + x.shape)
        gap = views.SLACK if i == in_place else 3
        if name == "y" and in_place is not None:
            buffer, strides = buffers[in_place], np.zeros((*outer, 1), bool).strides[:-1]
            strides = tuple(fields[f"x{in_place}_{j}"] for j in range(outer_dimensions))
        else:
            buffer, strides = view(whole, (*outer, n), gap)
        buffers.append(buffer)
        fields[name] = buffer
        fields |= {f"{name}_{j}": s for j, s in enumerate(strides)}
    before = buffers[-1].array.copy()
    units = views.units(outer, n, block)
    run(variant, units, {**fields, "n": n, "block": block}, [buffers[-1]])
    after = buffers[-1].array
    np.testing.assert_array_equal(after[..., n:].view(np.uint8), before[..., n:].view(np.uint8))
    return after.view(dtype)[..., :n].reshape(shape)


def check(
    isa: Isa, op: ops.Op, arrays: list[Array], function: str | None = None, exact: bool = False
) -> None:
    types = [TensorType(x.shape, DType.of(x)) for x in arrays]
    (out,) = op.infer(types)
    with np.errstate(over="ignore"):
        (expected,) = op.reference(arrays, types, [out])
    stage = Stage(function or NAMES[type(op)], tuple(range(len(arrays))), element(out.dtype))
    elements = [element(t.dtype) for t in types]
    close(evaluate(isa, (stage,), arrays, elements), expected, exact)


@isas
@pytest.mark.parametrize("op", BINARY, ids=lambda op: op.name)
def test_binary(isa: Isa, op: type[ops.Op]) -> None:
    for dtype in BINARY[op]:
        a, b = (samples(dtype, (2, 3, 41), seed) for seed in (1, 2))
        if op is ops.Pow and dtype is not DType.FLOAT32:
            b = np.clip(b, -7 if dtype in SIGNED else 0, 70).astype(b.dtype)
        check(isa, op(), [a, b], exact=op is not ops.Pow)


@isas
@pytest.mark.parametrize("op", UNARY, ids=lambda op: op.name)
def test_unary(isa: Isa, op: type[ops.Op]) -> None:
    for dtype in UNARY[op]:
        check(isa, op(), [samples(dtype, (3, 67), 3)])


@isas
@pytest.mark.parametrize("approximate", [False, True])
def test_gelu(isa: Isa, approximate: bool) -> None:
    x = np.linspace(-2, 5, 99, dtype=np.float32)
    name = "gelutanh" if approximate else "gelu"
    t = TensorType((99,), DType.FLOAT32)
    (expected,) = ops.Gelu(approximate).reference([x], [t], [t])
    y = evaluate(isa, (Stage(name, (0,), f32),), [x], [f32])
    np.testing.assert_allclose(y, expected, rtol=2e-6)


CASTS = (DType.BOOL, DType.FLOAT16, DType.FLOAT32, DType.FLOAT64, *INTEGERS)


@isas
@pytest.mark.parametrize("source", CASTS, ids=lambda d: d.value)
def test_cast(isa: Isa, source: DType) -> None:
    with np.errstate(over="ignore"):
        x = samples(source, (2, 83), 4)
    for dtype in CASTS:
        if {source, dtype} == {DType.FLOAT16, DType.FLOAT64}:
            continue
        if dtype is DType.FLOAT16 and machine_for(target(isa)) == "bochs" and source in INTEGERS:
            continue  # Bochs 2.7 rounds halves up in vcvtps2ph
        check(isa, ops.Cast(dtype), [x], exact=True)


@isas
def test_every_half(isa: Isa) -> None:
    halves = np.arange(1 << 16, dtype=np.uint16).view(np.float16).reshape(256, 256)
    check(isa, ops.Cast(DType.FLOAT32), [halves], exact=True)
    between = halves.astype(np.float32)[:, :64]
    with np.errstate(over="ignore", invalid="ignore"):
        between = np.concatenate(
            [between * np.float32(s) for s in (1, 1.0002, 0.99976, 1.00049)], axis=1
        )
    check(isa, ops.Cast(DType.FLOAT16), [between], exact=True)


@isas
def test_remainders_of_great_quotients(isa: Isa) -> None:
    a = np.array([3e38, 1e20, -1e30, 16777216.0, 5e9, 123456.7], np.float32)[:, None]
    b = np.array([1e-45, 3.0, 7e-30, -0.1, 1e-3, 33333.0, np.inf, 2.5e-38], np.float32)
    check(isa, ops.FloorMod(), [*map(np.ascontiguousarray, np.broadcast_arrays(a, b))], exact=True)


@isas
@pytest.mark.parametrize("n", range(1, 71))
def test_every_run_length(isa: Isa, n: int) -> None:
    for dtype in (DType.FLOAT32, DType.UINT8):
        check(isa, ops.Maximum(), [samples(dtype, (2, n), n), samples(dtype, (2, n), n + 1)])
    check(isa, ops.Greater(), [samples(DType.FLOAT32, (2, n), n), samples(DType.FLOAT32, (n,), 0)])


SHAPES = [((2, 3, 4, 37), (1, 37)), ((3, 1, 37), (2, 3, 4, 37)), ((2, 3, 4, 70), (2, 1, 1, 1))]
SHAPES += [((1,), (2, 3, 4, 70)), ((2, 1, 5, 1), (1, 3, 1, 9))]


@isas
@pytest.mark.parametrize("shapes", SHAPES)
def test_broadcast(isa: Isa, shapes: tuple[tuple[int, ...], ...]) -> None:
    for dtype in (DType.FLOAT32, DType.INT64):
        check(isa, ops.Sub(), [samples(dtype, s, i) for i, s in enumerate(shapes)])
    condition = samples(DType.BOOL, shapes[0], 9)
    values = [samples(DType.INT32, shapes[1], 7), samples(DType.INT32, (1,), 8)]
    check(isa, ops.Select(), [condition, *values])


@isas
@pytest.mark.parametrize("block", [1, 5, 64, 100])
def test_blocks_and_six_dimensions(isa: Isa, block: int) -> None:
    a, b = samples(DType.FLOAT32, (2, 1, 2, 3, 2, 50), 1), samples(DType.FLOAT32, (3, 1, 50), 2)
    y = evaluate(isa, (Stage("sub", (0, 1), f32),), [a, b], [f32, f32], block, 5)
    with np.errstate(invalid="ignore", over="ignore"):
        np.testing.assert_array_equal(y, a - b)


@isas
def test_a_program_of_stages_in_place(isa: Isa) -> None:
    rng = np.random.default_rng(5)
    x, scale = rng.normal(size=(2, 99)).astype(np.float32), np.array([1.5], np.float32)
    stages = (
        Stage("mul", (0, 1), f32),
        Stage("add", (~0, 2), f32),
        Stage("relu6", (~1,), f32),
        Stage("gt", (~2, ~0), bool_),
        Stage("select", (~3, ~2, 0), f32),
    )
    y = evaluate(isa, stages, [x, scale, x[:1]], [f32] * 3, 40, in_place=0)
    product = x * scale
    clamped = np.clip(product + x[:1], 0, 6)
    np.testing.assert_array_equal(y, np.where(clamped > product, clamped, x))
    whole = (Stage("cast", (0,), i32), Stage("mul", (~0, ~0), i32))
    y = evaluate(isa, whole, [x], [f32], in_place=0)
    np.testing.assert_array_equal(y, x.astype(np.int32) ** 2)


@isas
def test_fixed_point(isa: Isa) -> None:
    rng = np.random.default_rng(7)
    x = rng.integers(-(2**31), 2**31, (12, 33))
    x[:, :6] = [0, 1, -1, 2**31 - 1, -(2**31), 1 << 20]
    factor = rng.integers(1 << 30, 1 << 31, (12, 1))
    left = np.array([0, 0, 0, 0, 0, 0, 0, 1, 3, 8, 30, 31])[:, None]
    right = np.array([0, 1, 2, 7, 15, 30, 31, 0, 0, 0, 0, 0])[:, None]
    factor[1] *= -1
    expected = multiply_twice_rounded(x, factor, left - right)
    stage = Stage("fixedpoint", (0, 1, 2, 3), i64)
    np.testing.assert_array_equal(
        evaluate(isa, (stage,), [x, factor, left, right], [i64] * 4), expected
    )


@isas
def test_elements_that_lie_apart(isa: Isa) -> None:
    """Each combination of operands: every third element, backwards, one for all."""
    rng = np.random.default_rng(6)
    x, z = rng.normal(size=(2, 3, 40)).astype(np.float32), np.full((3, 80), 9, bool)
    stages = (Stage("add", (0, 1), f32), Stage("gt", (~0, 2), bool_))
    a, b, c = x[0, :, ::3], x[1, :, 13::-1], x[0, :, 5:6]
    buffers = {"x0": Buffer(x).at(0), "x1": Buffer(x).at(4 * 133), "x2": Buffer(x).at(20)}
    y = Buffer(z)
    values: dict[str, object] = {**buffers, "y": y, "n": 14, "block": 9, "d1": 1, "d2": 3}
    steps = {"x0": 12, "x1": -4, "x2": 0, "y": 5}
    values |= {f"{name}_step": s for name, s in steps.items() if name != "x2"}
    for name in steps:
        values |= {f"{name}_0": 0, f"{name}_1": 0, f"{name}_2": 80 if name == "y" else 160}
    runs = (Run.APART, Run.APART, Run.FIXED, Run.APART)
    run(Pointwise(isa, (f32,) * 3, stages, runs), views.units((1, 3), 14, 9), values, [y])
    z[:, :70:5] = a + b > c
    np.testing.assert_array_equal(y.array, z)


def test_every_function_is_an_operator() -> None:
    more = {"atleast", "atmost", "bfloat16", "fixedpoint", "gelutanh"}
    assert set(NAMES.values()) | more == set(FUNCTIONS)
    assert set(BINARY) | set(UNARY) <= set(NAMES)
