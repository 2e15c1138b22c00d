"""Functions of two tensors beyond ADD, SUB and MUL of 8 bits: int16, plain integers, floats."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from op_cases import ACTIVATIONS, check, fill, q8, random_q8

from edgewise.dtype import DType
from edgewise.graph import TensorType
from edgewise.ops import (
    Activation,
    Add,
    AddN,
    Atan2,
    Binary,
    BitwiseXor,
    Div,
    FloorDiv,
    FloorMod,
    Maximum,
    Minimum,
    Mul,
    Op,
    Pow,
    PRelu,
    RightShift,
    SquaredDifference,
    Sub,
)

I16, I32, I64, F32 = DType.INT16, DType.INT32, DType.INT64, DType.FLOAT32
SHAPE = (2, 30, 40)


def q16(scale: float, shape: tuple[int, ...] = SHAPE) -> TensorType:
    return q8(I16, shape, scale, 0)


def plain(dtype: DType, *shape: int) -> TensorType:
    return TensorType(shape or SHAPE, dtype)


def small(rng: np.random.Generator, t: TensorType, low: int = -1000, high: int = 1000) -> Any:
    """Plain integers of a range, none of them 0."""
    values = rng.integers(low, high, t.shape)
    return np.where(values == 0, 1, values).astype(t.dtype.numpy)


def compute(op: Op, *arrays: Any) -> Any:
    types = [TensorType(a.shape, DType.of(a)) for a in arrays]
    (found,) = op.reference(list(arrays), types, op.infer(types))
    return found


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("kind", [Add, Sub])
def test_sums_of_16_bits(kind: type[Op], seed: int) -> None:
    """Scales are random: where they make exact ties, LiteRT's AVX2 code rounds once, not twice."""
    rng = np.random.default_rng(seed)
    a, b, out = (q16(10 ** rng.uniform(-4, -3)) for _ in range(3))
    op = kind(ACTIVATIONS[seed % 4], False)  # type: ignore[call-arg]
    inputs = [(a, fill(rng, a)), (b, fill(rng, b))]
    options = f"{op.name.title()}Options"
    check(op.name, op, inputs, out, options, FusedActivationFunction=seed % 4, PotScaleInt16=False)


@pytest.mark.parametrize("exponents", [(-12, -12, -12), (-14, -11, -11), (-11, -12, -11)])
@pytest.mark.parametrize("kind", [Add, Sub])
def test_sums_of_16_bits_whose_scales_are_powers_of_two(
    kind: type[Op], exponents: tuple[int, ...]
) -> None:
    rng = np.random.default_rng(0)
    a, b, out = (q16(2.0**e) for e in exponents)
    op = kind()
    check(op.name, op, [(a, fill(rng, a)), (b, fill(rng, b))], out, f"{op.name.title()}Options")


@pytest.mark.parametrize("seed", range(6))
def test_products_of_16_bits(seed: int) -> None:
    rng = np.random.default_rng(seed)
    a, b = (q16(10 ** rng.uniform(-4, -3)) for _ in range(2))
    assert a.quant is not None
    assert b.quant is not None
    out = q16(a.quant.scale[0] * b.quant.scale[0] * 10 ** rng.uniform(3, 5))
    op = Mul(ACTIVATIONS[seed % 4])
    inputs = [(a, fill(rng, a)), (b, fill(rng, b))]
    check("MUL", op, inputs, out, "MulOptions", FusedActivationFunction=seed % 4)


@pytest.mark.parametrize("scale", [2.0**40, 2.0**100])
def test_products_of_16_bits_of_enormous_scales_saturate(scale: float) -> None:
    a, data = q16(scale, (3,)), np.array([-7, 0, 1], np.int16)
    (found,) = Mul().reference([data, np.ones(3, np.int16)], [a, a], [q16(1.0, (3,))])
    np.testing.assert_array_equal(found, [-(2**15), 0, 2**15 - 1])


@pytest.mark.parametrize("broadcast", [False, True])
@pytest.mark.parametrize("seed", range(8))
def test_squared_differences(seed: int, broadcast: bool) -> None:
    rng = np.random.default_rng(seed)
    a = random_q8(rng, DType.INT8, SHAPE)
    assert a.quant is not None
    scale = a.quant.scale[0]
    b = random_q8(rng, DType.INT8, SHAPE[-1:] if broadcast else SHAPE, scale * 1.3)
    out = random_q8(rng, DType.INT8, SHAPE, scale**2 * 10 ** rng.uniform(1, 3))
    check("SQUARED_DIFFERENCE", SquaredDifference(), [(a, fill(rng, a)), (b, fill(rng, b))], out)


@pytest.mark.parametrize("dtype", [DType.UINT8, DType.INT8], ids=str)
@pytest.mark.parametrize("seed", range(8))
def test_slopes(dtype: DType, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x = random_q8(rng, dtype, (2, 5, 6, 7))
    assert x.quant is not None
    alpha = random_q8(rng, dtype, (1, 1, 7) if seed % 2 else (5, 6, 7), 10 ** rng.uniform(-3, -1))
    out = random_q8(rng, dtype, x.shape, x.quant.scale[0] * 10 ** rng.uniform(-0.3, 1))
    inputs = [(x, fill(rng, x)), (alpha, fill(rng, alpha))]
    check("PRELU", PRelu(), inputs, out, constants=(1,))


@pytest.mark.parametrize("dtype", [DType.UINT8, DType.INT8], ids=str)
@pytest.mark.parametrize("seed", range(4))
def test_quotients_of_8_bits(dtype: DType, seed: int) -> None:
    """Quotients of less than a step are left out: there LiteRT shifts by more than 31 bits."""
    rng = np.random.default_rng(seed)
    low, high = dtype.range
    a, b = q8(dtype, SHAPE, 0.05, low), q8(dtype, SHAPE, 0.04, low)
    out = q8(dtype, SHAPE, [0.06, 0.02, 0.11, 0.04][seed], low + 9)
    x = rng.integers(low + 128, high + 1, SHAPE).astype(dtype.numpy)
    y = rng.integers(low + 4, high + 1, SHAPE)
    y = np.where(y == 0, 1, y).astype(dtype.numpy)
    check("DIV", Div(), [(a, x), (b, y)], out, "DivOptions")


@pytest.mark.parametrize("kind", [Maximum, Minimum])
@pytest.mark.parametrize("dtype", [DType.UINT8, DType.INT8, I16, I32, I64], ids=str)
def test_extremes_are_raw_values(dtype: DType, kind: type[Binary]) -> None:
    rng = np.random.default_rng(0)
    q = dtype not in (I32, I64)
    a, b, out = (
        q8(dtype, s, 0.05, 0) if q else plain(dtype, *s) for s in (SHAPE, SHAPE[-1:], SHAPE)
    )
    check(kind.name, kind(), [(a, fill(rng, a)), (b, fill(rng, b))], out)


def test_extremes_of_other_quantizations_are_real_numbers() -> None:
    a, b, out = (q8(DType.INT8, (3,), s, z) for s, z in ((0.5, 1), (0.25, 0), (0.125, -2)))
    x, y = np.array([3, -5, 9], np.int8), np.array([8, -9, 1], np.int8)
    (found,) = Maximum().reference([x, y], [a, b], [out])
    real = np.maximum((x - 1.0) * 0.5, y * 0.25)
    np.testing.assert_array_equal(found, (real / 0.125 - 2).astype(np.int8), strict=True)


@pytest.mark.parametrize("index", range(4))
@pytest.mark.parametrize(
    ("kind", "dtype"),
    [(Add, I32), (Add, I64), (Sub, I32), (Sub, I64), (Mul, I32), (Mul, I64), (Div, I32)],
)
def test_plain_integers_with_an_activation(kind: type[Op], index: int, dtype: DType) -> None:
    rng = np.random.default_rng(index)
    a, b = plain(dtype), plain(dtype, *SHAPE[-1:])
    op = kind(ACTIVATIONS[index])  # type: ignore[call-arg]
    inputs = [(a, small(rng, a, -9, 20)), (b, small(rng, b, -9, 20))]
    check(op.name, op, inputs, a, f"{op.name.title()}Options", FusedActivationFunction=index)


@pytest.mark.parametrize(
    ("op", "dtype"),
    [
        (FloorDiv(), I32),
        (FloorMod(), I32),
        (FloorMod(), I64),
        (BitwiseXor(), I32),
        (RightShift(), I32),
        (RightShift(), I16),
    ],
    ids=str,
)
def test_functions_of_plain_integers(op: Op, dtype: DType) -> None:
    rng = np.random.default_rng(0)
    a, b = plain(dtype), plain(dtype, *SHAPE[-1:])
    second = small(rng, b, 0, 16) if isinstance(op, RightShift) else small(rng, b)
    check(op.name, op, [(a, small(rng, a, -30000, 30000)), (b, second)], a)


def test_powers_of_plain_integers() -> None:
    rng = np.random.default_rng(0)
    a, b = plain(I32), plain(I32)
    inputs = [(a, rng.integers(-9, 10, SHAPE, np.int32)), (b, rng.integers(0, 9, SHAPE, np.int32))]
    check("POW", Pow(), inputs, a)
    base, exponent = np.array([2, 1, -1, -1, 0, 5]), np.array([-1, -3, -3, -2, -2, 40])
    found = compute(Pow(), base, exponent)
    np.testing.assert_array_equal(found, [0, 1, -1, 1, 0, 5**40 % 2**64 - 2**64])


def test_plain_integers_wrap_and_division_by_0_gives_0() -> None:
    least, ones = np.array([-(2**31), 7], np.int32), np.array([-1, 0], np.int32)
    np.testing.assert_array_equal(compute(Sub(), least, -ones), [2**31 - 1, 7])
    np.testing.assert_array_equal(compute(Mul(), least, ones), [-(2**31), 0])
    for op in (Div(), FloorDiv(), FloorMod()):
        np.testing.assert_array_equal(compute(op, least, ones)[1], 0)
    assert compute(FloorMod(), least, ones)[0] == 0
    np.testing.assert_array_equal(compute(Div(), np.array([-7, 7]), np.array([2, -2])), [-3, -3])


FLOATS: list[tuple[Op, Callable[[Any, Any], Any]]] = [
    (Div(), lambda a, b: a / b),
    (Div(Activation.RELU6), lambda a, b: np.clip(a / b, np.float32(0), np.float32(6))),
    (FloorDiv(), lambda a, b: np.floor(a / b)),
    (FloorMod(), lambda a, b: np.mod(a, b)),
    (Maximum(), np.maximum),
    (Minimum(), np.minimum),
    (SquaredDifference(), lambda a, b: (a - b) * (a - b)),
    (Atan2(), lambda a, b: np.angle(b + 1j * a.astype(np.float64)).astype(np.float32)),
    (PRelu(), lambda a, b: np.maximum(a, 0) + b * np.minimum(a, 0)),
]


@pytest.mark.parametrize(("op", "expected"), FLOATS, ids=[str(op) for op, _ in FLOATS])
def test_floats(op: Op, expected: Callable[[Any, Any], Any]) -> None:
    rng = np.random.default_rng(0)
    a, b = (rng.normal(0, 3, s).astype(np.float32) for s in (SHAPE, SHAPE[-1:]))
    found = compute(op, a, b)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected(a, b), rtol=3e-7)


def test_powers_of_floats() -> None:
    rng = np.random.default_rng(0)
    a, b = (rng.uniform(0, 3, SHAPE).astype(np.float32) for _ in range(2))
    expected = np.exp2(b * np.log2(a.astype(np.float64)))
    np.testing.assert_allclose(compute(Pow(), a, b), expected, rtol=1e-6)
    special = compute(Pow(), np.array([-2, 0, -1.5]), np.array([3, -1, 0.5]))
    np.testing.assert_array_equal(special, [-8, np.inf, np.nan])


@pytest.mark.parametrize("dtype", [np.float16, np.float64])
def test_other_floats_keep_their_type(dtype: Any) -> None:
    a, b = np.array([1.5, -2, 9], dtype), np.array([0.5, 4, 2], dtype)
    for op in (Add(), Mul(Activation.RELU), Div(), Pow(), Maximum(), PRelu()):
        assert compute(op, a, b).dtype == dtype
    np.testing.assert_array_equal(compute(Div(), a, b), np.array([3, -0.5, 4.5], dtype))


@pytest.mark.parametrize("count", [1, 2, 5])
@pytest.mark.parametrize("dtype", [F32, I32], ids=str)
def test_sum_of_many(dtype: DType, count: int) -> None:
    rng = np.random.default_rng(0)
    arrays = [rng.integers(-99, 99, (3, 4)).astype(dtype.numpy) for _ in range(count)]
    before = arrays[0].copy()
    np.testing.assert_array_equal(compute(AddN(), *arrays), sum(arrays), strict=True)
    np.testing.assert_array_equal(arrays[0], before)
