"""Reductions other than the 8-bit MEAN, CUMSUM and ARG_MIN against LiteRT and numpy."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from op_cases import EIGHT_BIT, check, fill, q8, raised, raised_data, random_q8, vector

from edgewise.dtype import DType
from edgewise.graph import TensorType
from edgewise.ops import (
    ArgMax,
    ArgMin,
    Cumsum,
    Mean,
    Op,
    ReduceAll,
    ReduceAny,
    ReduceMax,
    ReduceMin,
    ReduceProd,
    Sum,
)

I16, I32, I64, F32, BOOL = DType.INT16, DType.INT32, DType.INT64, DType.FLOAT32, DType.BOOL
SHAPE = (3, 5, 6, 70)
AXES = pytest.mark.parametrize("axes", [(0,), (1, 2), (3,), (2, 3), (0, 2), (0, 1, 2, 3)], ids=str)


def plain(dtype: DType, *shape: int) -> TensorType:
    return TensorType(shape or SHAPE, dtype)


def near(rng: np.random.Generator, t: TensorType) -> Any:
    """Values within 40 of the zero point, so that few sums saturate."""
    assert t.quant is not None
    low, high = t.dtype.range
    zero = t.quant.zero_point[0]
    return rng.integers(max(low, zero - 40), min(high, zero + 40) + 1, t.shape).astype(
        t.dtype.numpy
    )


def check_reduction(op: Op, x: TensorType, data: Any, out: TensorType) -> None:
    axes = getattr(op, "axes", ())
    keep = getattr(op, "keep_dims", False)
    out = replace(out, shape=op.infer([x])[0].shape)
    extra = [vector(axes)]
    check(op.name, op, [(x, data)], out, "ReducerOptions", extra=extra, KeepDims=keep)


@AXES
@EIGHT_BIT
@pytest.mark.parametrize("seed", range(3))
def test_sum_of_8_bits(dtype: DType, axes: tuple[int, ...], seed: int) -> None:
    rng = np.random.default_rng(seed)
    x = random_q8(rng, dtype, SHAPE, 0.05 if seed == 0 else None)
    assert x.quant is not None
    ratio = 4 if seed == 0 else 10 ** rng.uniform(0, 1.5)
    out = random_q8(rng, dtype, SHAPE, x.quant.scale[0] * ratio)
    check_reduction(Sum(axes, seed == 1), x, near(rng, x), out)


def test_raising_raw_zero_with_the_data_changes_no_sum() -> None:
    rng = np.random.default_rng(0)
    x = q8(DType.INT8, SHAPE, 0.03, -20)
    out = q8(DType.INT8, (3, 70), 0.2, 5)
    data = near(rng, x)
    (low,) = Sum((1, 2)).reference([data], [x], [out])
    (high,) = Sum((1, 2), raw_zero=128).reference([raised_data(data)], [raised(x)], [raised(out)])
    np.testing.assert_array_equal(raised_data(low), high)


@AXES
@pytest.mark.parametrize("kind", [Sum, Mean])
@pytest.mark.parametrize("seed", range(3))
def test_sum_and_mean_of_16_bits(kind: type[Op], axes: tuple[int, ...], seed: int) -> None:
    rng = np.random.default_rng(seed)
    scale = [0.0003, 10 ** rng.uniform(-4, -2), 10 ** rng.uniform(-4, -2)][seed]
    count = float(np.prod([SHAPE[a] for a in axes]))
    growth = count**0.5 * 2 if kind is Sum else [1, 0.6, 3][seed]
    x, out = q8(I16, SHAPE, scale, 0), q8(I16, SHAPE, scale * growth, 0)
    check_reduction(kind(axes), x, fill(rng, x), out)  # type: ignore[call-arg]


@pytest.mark.parametrize("dtype", [DType.INT8, I16], ids=str)
@pytest.mark.parametrize("axes", [(1,), (0, 2), (1, 2)], ids=str)
def test_product_of_quantized_values(dtype: DType, axes: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    x = q8(dtype, (3, 4, 2, 9), 0.011, 0)
    count = np.prod([x.shape[a] for a in axes])
    out = q8(dtype, (1,), 0.02**count * 20, 0)
    check_reduction(ReduceProd(axes), x, near(rng, x), out)


@AXES
@pytest.mark.parametrize("kind", [ReduceMax, ReduceMin])
@pytest.mark.parametrize("dtype", [DType.UINT8, DType.INT8, I16, I32, I64, F32], ids=str)
def test_extremes(dtype: DType, kind: type[Op], axes: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    x = q8(dtype, SHAPE, 0.1, 0) if dtype.itemsize < 4 else plain(dtype)
    data = rng.integers(-99, 99, SHAPE) if dtype.numpy.kind != "u" else rng.integers(99, size=SHAPE)
    check_reduction(kind(axes), x, data.astype(dtype.numpy), x)  # type: ignore[call-arg]


def test_extremes_of_another_quantization_are_real_numbers() -> None:
    x, out = q8(DType.INT8, (2, 2), 0.5, 1), q8(DType.INT8, (2,), 0.25, 0)
    data = np.array([[3, 5], [-7, 9]], np.int8)
    (found,) = ReduceMax((1,)).reference([data], [x], [out])
    np.testing.assert_array_equal(found, np.array([8, 16], np.int8), strict=True)


@AXES
@pytest.mark.parametrize("kind", [ReduceAny, ReduceAll])
def test_any_and_all(kind: type[Op], axes: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    x = plain(BOOL, 2, 3, 2, 4)
    share = 0.1 if kind is ReduceAny else 0.9
    check_reduction(kind(axes), x, rng.random(x.shape) < share, x)  # type: ignore[call-arg]


@AXES
@pytest.mark.parametrize("kind", [Sum, Mean, ReduceProd])
@pytest.mark.parametrize("dtype", [I32, I64], ids=str)
def test_plain_integers(dtype: DType, kind: type[Op], axes: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    x = plain(dtype)
    data = rng.integers(-1000, 1000, SHAPE).astype(dtype.numpy)
    check_reduction(kind(axes), x, data, x)  # type: ignore[call-arg]


@AXES
def test_floats_are_summed_in_float64(axes: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(1, 0.1, SHAPE).astype(np.float32)
    types = [plain(F32)]
    total, product, mean = (
        op.reference([x], types, op.infer(types))[0]
        for op in (Sum(axes, True), ReduceProd(axes, True), Mean(axes, True))
    )
    wide = x.astype(np.longdouble)
    assert total.shape == tuple(1 if i in axes else d for i, d in enumerate(SHAPE))
    np.testing.assert_allclose(total, wide.sum(axis=axes, keepdims=True), rtol=1e-7)
    np.testing.assert_allclose(mean, wide.mean(axis=axes, keepdims=True), rtol=1e-7)
    logs = np.exp(np.log(wide).sum(axis=axes, keepdims=True))
    np.testing.assert_allclose(product, logs.astype(np.float32), rtol=1e-6)


def test_a_reduction_over_no_axes_changes_nothing() -> None:
    x = np.arange(6, dtype=np.int32).reshape(2, 3)
    types = [plain(I32, 2, 3)]
    for op in (Sum(), Mean(), ReduceMax(), ReduceProd(keep_dims=True)):
        (found,) = op.reference([x], types, op.infer(types))
        np.testing.assert_array_equal(found, x, strict=True)


@EIGHT_BIT
def test_a_mean_over_no_axes_changes_the_quantization_only(dtype: DType) -> None:
    x, out = q8(dtype, (2, 5), 0.1, 3), q8(dtype, (2, 5), 0.05, 7)
    data = near(np.random.default_rng(0), x)
    check("MEAN", Mean(), [(x, data)], out, "ReducerOptions", extra=[vector([])])


@pytest.mark.parametrize("dtype", [F32, I32, I64, DType.INT8], ids=str)
@pytest.mark.parametrize("op", [ReduceMax((1,)), ReduceMin((1,))], ids=str)
def test_extremes_of_no_values_are_those_of_the_dtype(op: Op, dtype: DType) -> None:
    x = q8(dtype, (2, 0, 3), 0.1, 3) if dtype is DType.INT8 else plain(dtype, 2, 0, 3)
    data, out = np.zeros(x.shape, dtype.numpy), replace(x, shape=(2, 3))
    check(op.name, op, [(x, data)], out, "ReducerOptions", extra=[vector([1])])


@pytest.mark.parametrize(
    "op", [ReduceMax((1,)), ReduceMin((1,)), ArgMax(1, I32), ArgMin(1, I32)], ids=str
)
def test_extremes_pass_over_nan(op: Op) -> None:
    x = np.array([[1, np.nan, 3], [np.nan, 2, np.nan], [np.nan, np.nan, np.nan]], np.float32)
    types = [plain(F32, 3, 3)]
    (found,) = op.reference([x], types, op.infer(types))
    expected = {
        "REDUCE_MAX": [3, 2, -np.inf],
        "REDUCE_MIN": [1, 2, np.inf],
        "ARG_MAX": [2, 1, 0],
        "ARG_MIN": [0, 1, 0],
    }
    np.testing.assert_array_equal(found, expected[op.name])


@pytest.mark.parametrize("dtype", [F32, I32, I64], ids=str)
@pytest.mark.parametrize("axis", range(3))
@pytest.mark.parametrize("exclusive", [False, True])
@pytest.mark.parametrize("reverse", [False, True])
def test_cumulative_sums(dtype: DType, axis: int, exclusive: bool, reverse: bool) -> None:
    rng = np.random.default_rng(0)
    x = plain(dtype, 2, 3, 5)
    data = rng.integers(-99, 99, x.shape).astype(dtype.numpy)
    op = Cumsum(axis, exclusive, reverse)
    fields = {"Exclusive": exclusive, "Reverse": reverse}
    extra = [(TensorType((), I32), np.array(axis, np.int32))]
    check("CUMSUM", op, [(x, data)], x, "CumsumOptions", extra=extra, **fields)


@pytest.mark.parametrize("kind", [ArgMax, ArgMin])
@pytest.mark.parametrize("dtype", [F32, I32, BOOL, DType.UINT8, DType.INT8], ids=str)
@pytest.mark.parametrize("axis", range(3))
def test_positions(dtype: DType, kind: type[Op], axis: int) -> None:
    """Few values, so that the first of several counts."""
    rng = np.random.default_rng(0)
    shape = (4, 5, 6)
    x = q8(dtype, shape, 0.1, 3) if dtype in (DType.UINT8, DType.INT8) else plain(dtype, *shape)
    data = rng.integers(3, size=shape).astype(dtype.numpy)
    op = kind(axis)  # type: ignore[call-arg]
    out = op.infer([x])[0]
    options = "ArgMaxOptions" if kind is ArgMax else "ArgMinOptions"
    extra = [(TensorType((), I32), np.array(axis, np.int32))]
    check(op.name, op, [(x, data)], out, options, extra=extra, OutputType=2)
