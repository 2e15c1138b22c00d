"""Comparisons, logic and selection."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from op_cases import EIGHT_BIT, check, fill, q8, raised, raised_data, random_q8

from edgewise.dtype import DType
from edgewise.graph import TensorType
from edgewise.ops import (
    Comparison,
    Equal,
    Greater,
    GreaterEqual,
    Less,
    LessEqual,
    LogicalAnd,
    LogicalNot,
    LogicalOr,
    NotEqual,
    Op,
    Select,
)

BOOL, F32, I32, I64 = DType.BOOL, DType.FLOAT32, DType.INT32, DType.INT64
SHAPE = (2, 16, 256)
COMPARISONS: dict[Op, Callable[[Any, Any], Any]] = {
    Equal(): operator.eq,
    NotEqual(): operator.ne,
    Less(): operator.lt,
    LessEqual(): operator.le,
    Greater(): operator.gt,
    GreaterEqual(): operator.ge,
}
EACH = pytest.mark.parametrize("op", COMPARISONS, ids=str)


def of(dtype: DType, *shape: int) -> TensorType:
    return TensorType(shape, dtype)


@EACH
@pytest.mark.parametrize("dtype", [F32, I32, I64], ids=str)
def test_plain_values(op: Op, dtype: DType) -> None:
    rng = np.random.default_rng(0)
    a, b = (rng.integers(-2, 3, s).astype(dtype.numpy) for s in ((4, 3, 5), (3, 1)))
    types = [of(dtype, *v.shape) for v in (a, b)]
    check(op.name, op, list(zip(types, (a, b), strict=True)), of(BOOL, 4, 3, 5))
    (found,) = op.reference([a, b], types, op.infer(types))
    np.testing.assert_array_equal(found, COMPARISONS[op](a, b), strict=True)


@EACH
@EIGHT_BIT
@pytest.mark.parametrize("seed", range(4))
def test_quantized_values(op: Op, dtype: DType, seed: int) -> None:
    """Scales below 1 / 256, where LiteRT takes close values for equal, are among them."""
    rng = np.random.default_rng(seed)
    a = random_q8(rng, dtype, SHAPE, 10 ** rng.uniform(-3.5, 0))
    assert a.quant is not None
    b = a if seed == 0 else random_q8(rng, dtype, SHAPE, a.quant.scale[0] * rng.uniform(0.5, 2))
    check(op.name, op, [(a, fill(rng, a)), (b, fill(rng, b))], of(BOOL, *SHAPE))


@EACH
def test_raising_the_zero_point_changes_nothing(op: Op) -> None:
    rng = np.random.default_rng(3)
    types = [random_q8(rng, DType.INT8, SHAPE, 0.02) for _ in range(2)]
    data = [fill(rng, t) for t in types]
    out = of(BOOL, *SHAPE)
    (low,) = op.reference(data, types, [out])
    (high,) = op.reference([raised_data(d) for d in data], [raised(t) for t in types], [out])
    np.testing.assert_array_equal(low, high)


@EACH
def test_16_bits_of_one_quantization_are_compared_raw(op: Op) -> None:
    t = q8(DType.INT16, (3,), 2.0**-15, 0)
    a, b = np.array([5, -3, 32767], np.int16), np.array([4, -3, -32768], np.int16)
    (found,) = op.reference([a, b], [t, t], [of(BOOL, 3)])
    np.testing.assert_array_equal(found, COMPARISONS[op](a, b))


def test_strings_and_complex_numbers_are_equal_or_not() -> None:
    words = np.array([b"a", b"bc", b""], object), np.array([b"a", b"b", b""], object)
    numbers = np.array([1j, 2, 3], np.complex64), np.array([1j, 2j, 3], np.complex64)
    for arrays in (words, numbers):
        types = [of(DType.of(arrays[0]), 3)] * 2
        (same,) = Equal().reference(list(arrays), types, Equal().infer(types))
        (other,) = NotEqual().reference(list(arrays), types, NotEqual().infer(types))
        np.testing.assert_array_equal(same, [True, False, True], strict=True)
        np.testing.assert_array_equal(other, [False, True, False], strict=True)


@pytest.mark.parametrize(("op", "expected"), [(LogicalAnd(), "&"), (LogicalOr(), "|")])
def test_logic(op: Op, expected: str) -> None:
    a, b = np.array([[False], [True]]), np.array([False, True])
    inputs = [(of(BOOL, *v.shape), v) for v in (a, b)]
    check(op.name, op, inputs, of(BOOL, 2, 2))
    (found,) = op.reference([a, b], [t for t, _ in inputs], [of(BOOL, 2, 2)])
    np.testing.assert_array_equal(found, a & b if expected == "&" else a | b)


def test_not() -> None:
    check("LOGICAL_NOT", LogicalNot(), [(of(BOOL, 2), np.array([False, True]))], of(BOOL, 2))


@pytest.mark.parametrize("dtype", [F32, I32, I64, BOOL, DType.INT8, DType.UINT8], ids=str)
@pytest.mark.parametrize(
    "shapes",
    [((4, 3, 5), (4, 3, 5), (4, 3, 5)), ((3, 1), (4, 3, 5), (5,)), ((), (4, 1, 1), (3, 5))],
    ids=str,
)
def test_select(dtype: DType, shapes: tuple[tuple[int, ...], ...]) -> None:
    rng = np.random.default_rng(0)
    condition = rng.integers(2, size=shapes[0]).astype(bool)
    types = [
        q8(dtype, s, 0.1, 3) if dtype.itemsize == 1 and dtype is not BOOL else of(dtype, *s)
        for s in ((4, 3, 5), *shapes[1:])
    ]
    data = [rng.integers(2, size=s).astype(dtype.numpy) for s in shapes[1:]]
    inputs = [(of(BOOL, *shapes[0]), condition), *zip(types[1:], data, strict=True)]
    check("SELECT_V2", Select(), inputs, types[0])


@pytest.mark.parametrize("shape", [(4,), (4, 3), (4, 2, 2, 3)], ids=str)
def test_select_of_rows(shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    a, b = (rng.integers(-99, 99, shape).astype(np.int32) for _ in range(2))
    condition = np.array([True, False, False, True])
    inputs = [(of(BOOL, 4), condition), (of(I32, *shape), a), (of(I32, *shape), b)]
    check("SELECT", Select(rows=True), inputs, of(I32, *shape))


def test_comparisons_are_one_family() -> None:
    assert all(isinstance(op, Comparison) for op in COMPARISONS)
    assert {op.name for op in COMPARISONS} == {
        "EQUAL",
        "NOT_EQUAL",
        "LESS",
        "LESS_EQUAL",
        "GREATER",
        "GREATER_EQUAL",
    }
