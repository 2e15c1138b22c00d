"""The greatest elements of rows on every instruction set, against the operator's reference."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edgewise.dtype import DType
from edgewise.graph import TensorType
from edgewise.kernels.ir import Type, f32, i8, i16, i32, i64, u8
from edgewise.kernels.isa import ISAS
from edgewise.kernels.topk import TopK
from edgewise.ops import TopK as Operator

from .harness import Array, Buffer, run

VARIANTS = [
    pytest.param(v, id=v.symbol, marks=pytest.mark.isa)
    for isa in ISAS
    for v in [TopK(isa, ty) for ty in (f32, i8, u8, i16, i32)] + [TopK(isa, f32, i64)]
]


def numpy_type(ty: Type) -> np.dtype[Any]:
    return np.dtype(f"{ty.kind}{ty.bits // 8}")


def check(v: TopK, x: Array, k: int) -> None:
    """Rows of x, which lie apart."""
    dtype, result = x.dtype, numpy_type(v.result)
    rows, n = x.shape
    source = Buffer(np.pad(x, ((0, 0), (0, 3))))
    y = Buffer(np.full((rows, k), 9, dtype))
    at = Buffer(np.full((rows, k), 9, result))
    values = {"x": source, "y": y, "at": at, "n": n, "k": k}
    steps = {"x_row": source.array.strides[0], "y_row": y.array.strides[0]}
    run(v, rows, {**values, **steps, "at_row": at.array.strides[0]}, [y, at])
    op = Operator(k, DType.of(at.array))
    types = [TensorType(x.shape, DType.of(x))]
    expected = op.reference([x], types, op.infer(types))
    np.testing.assert_array_equal(at.array, expected[1])
    np.testing.assert_array_equal(y.array, expected[0])


@pytest.mark.parametrize("v", VARIANTS)
def test_rows(v: TopK) -> None:
    """Lengths around a vector; equal elements, extremes, numbers that do not compare."""
    rng = np.random.default_rng(0)
    dtype, lanes = numpy_type(v.element), v.isa.lanes
    for n in (1, 2, lanes - 1, lanes, lanes + 1, 3 * lanes + 2, 150):
        few = rng.integers(0, 5, (3, n)).astype(dtype)
        if v.element == f32:
            some = rng.normal(size=(3, n)).astype(np.float32)
            special = np.array([np.nan, -np.nan, np.inf, -np.inf, 0.0, -0.0, 1e-45, -1e-45])
            strange = np.where(rng.random((3, n)) < 0.5, rng.choice(special, (3, n)), some)
        else:
            info = np.iinfo(dtype)
            some = rng.integers(info.min, info.max, (3, n), endpoint=True)
            strange = rng.choice([info.min, info.max, 0], (3, n))
        for x in (few, some, strange):
            for k in sorted({1, min(2, n), min(n, 9)}):
                check(v, x.astype(dtype), k)


@pytest.mark.parametrize("v", VARIANTS)
def test_all_of_a_row(v: TopK) -> None:
    check(v, np.random.default_rng(1).integers(0, 20, (2, 40)).astype(numpy_type(v.element)), 40)


def test_symbols_differ() -> None:
    found = [p.values[0].symbol for p in VARIANTS]
    assert len(set(found)) == len(found)
