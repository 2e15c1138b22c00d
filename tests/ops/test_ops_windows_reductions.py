"""Pools, MEAN, SOFTMAX, ARG_MAX and resizing against LiteRT."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from op_cases import ACTIVATIONS, EIGHT_BIT, check, fill, q8, raised, raised_data, random_q8, vector
from op_cases import same_padding as same

from edgewise.dtype import DType
from edgewise.graph import TensorType
from edgewise.ops import (
    ArgMax,
    AveragePool2D,
    MaxPool2D,
    Mean,
    ResizeBilinear,
    ResizeNearestNeighbor,
    Softmax,
)


@EIGHT_BIT
@pytest.mark.parametrize("kind", [AveragePool2D, MaxPool2D])
@pytest.mark.parametrize("seed", range(16))
def test_pools(dtype: DType, kind: type[AveragePool2D | MaxPool2D], seed: int) -> None:
    rng = np.random.default_rng(seed)
    h, w, channels = (int(v) for v in rng.integers(1, 14, 3))
    kh, kw = (h, w) if seed % 3 == 0 else (int(rng.integers(1, h + 1)), int(rng.integers(1, w + 1)))
    stride, index = int(rng.integers(1, 4)), int(rng.integers(4))
    padding = (0, 0, 0, 0)
    if is_same := bool(seed % 2):
        padding = (*same(h, kh, stride), *same(w, kw, stride))
    op = kind((kh, kw), (stride, stride), padding, ACTIVATIONS[index])
    x = random_q8(rng, dtype, (int(rng.integers(1, 3)), h, w, channels))
    check(
        kind.name,
        op,
        [(x, fill(rng, x))],
        replace(x, shape=op.infer([x])[0].shape),
        "Pool2DOptions",
        StrideW=stride,
        StrideH=stride,
        FilterWidth=kw,
        FilterHeight=kh,
        Padding=0 if is_same else 1,
        FusedActivationFunction=index,
    )


@EIGHT_BIT
@pytest.mark.parametrize("keep", [True, False])
@pytest.mark.parametrize(
    "axes", [(1, 2), (1,), (3,), (2, 3), (1, 2, 3), (0, 1, 2, 3), (0, 2)], ids=str
)
@pytest.mark.parametrize("seed", range(4))
def test_mean(dtype: DType, keep: bool, axes: tuple[int, ...], seed: int) -> None:
    rng = np.random.default_rng(seed)
    x = random_q8(rng, dtype, tuple(int(v) for v in rng.integers(1, 13, 4)))
    op = Mean(axes, keep)
    assert x.quant is not None
    scale = x.quant.scale[0] * 10 ** rng.uniform(-1, 0.5)
    out = random_q8(rng, dtype, op.infer([x])[0].shape, scale)
    if seed % 2:
        out = replace(out, quant=x.quant)
    inputs = [(x, fill(rng, x))]
    check("MEAN", op, inputs, out, "ReducerOptions", extra=[vector(axes)], KeepDims=keep)


@EIGHT_BIT
@pytest.mark.parametrize("size", [(5, 6), (4, 7), (3, 4), (8, 8)], ids=str)
@pytest.mark.parametrize("ratio", [1, 2])
@pytest.mark.parametrize("fraction", [0, 0.1, 0.5, 0.84, 1])
def test_mean_of_ties(dtype: DType, size: tuple[int, int], ratio: int, fraction: float) -> None:
    """Sums that lie halfway between two results, for every result and several zero points."""
    low, high = dtype.range
    count, zero = size[0] * size[1], low + round(fraction * 255)
    data = np.repeat(np.arange(low, high)[None], count, axis=0)
    data[: count // 2] += 1
    shape = (1, *size, 255)
    x, out = q8(dtype, shape, 0.0171149, zero), q8(dtype, (1, 1, 1, 255), 0.0171149 * ratio, zero)
    inputs = [(x, data.reshape(shape).astype(dtype.numpy))]
    op = Mean((1, 2), True)
    check("MEAN", op, inputs, out, "ReducerOptions", extra=[vector((1, 2))], KeepDims=True)


def test_raising_raw_zero_with_the_data_changes_no_mean() -> None:
    rng = np.random.default_rng(0)
    x = q8(DType.INT8, (1, 4, 7, 64), 0.03, -20)
    data = fill(rng, x)
    for op, out in (
        (Mean((1, 2), True), replace(x, shape=(1, 1, 1, 64))),
        (AveragePool2D((2, 2), (1, 1)), replace(x, shape=(1, 3, 6, 64))),
    ):
        (low,) = op.reference([data], [x], [out])
        high_op = replace(op, raw_zero=128)
        (high,) = high_op.reference([raised_data(data)], [raised(x)], [raised(out)])
        np.testing.assert_array_equal(raised_data(low), high)


@EIGHT_BIT
@pytest.mark.parametrize("seed", range(12))
def test_softmax(dtype: DType, seed: int) -> None:
    rng = np.random.default_rng(seed)
    length = [2, 3, 4, 10, 21, 100, 257, 1001][seed % 8]
    x = random_q8(rng, dtype, (4, length), 10 ** rng.uniform(-2.5, -0.1))
    out = q8(dtype, (4, length), 1 / 256, dtype.range[0])
    beta = float(np.float32([1.0, 0.7, 2.0][seed % 3]))
    data = rng.integers(*dtype.range, size=x.shape).astype(dtype.numpy)
    check("SOFTMAX", Softmax(beta), [(x, data)], out, "SoftmaxOptions", Beta=beta)


def test_softmax_does_not_depend_on_the_zero_point() -> None:
    rng = np.random.default_rng(0)
    x, out = q8(DType.INT8, (5, 40), 0.1, 3), q8(DType.INT8, (5, 40), 1 / 256, -128)
    data = fill(rng, x)
    (low,) = Softmax().reference([data], [x], [out])
    (high,) = Softmax().reference([raised_data(data)], [raised(x)], [raised(out)])
    np.testing.assert_array_equal(raised_data(low), high)


@EIGHT_BIT
@pytest.mark.parametrize("axis", [0, 2, 3])
@pytest.mark.parametrize("kind", [DType.INT32, DType.INT64], ids=str)
def test_arg_max(dtype: DType, axis: int, kind: DType) -> None:
    rng = np.random.default_rng(axis)
    x = random_q8(rng, dtype, (3, 1, 17, 21))
    op = ArgMax(axis, kind)
    data = rng.integers(*dtype.range, size=x.shape).astype(dtype.numpy) // 16
    code = 2 if kind is DType.INT32 else 4
    inputs, out = [(x, data)], TensorType(op.infer([x])[0].shape, kind)
    check("ARG_MAX", op, inputs, out, "ArgMaxOptions", extra=[vector([axis])], OutputType=code)


@EIGHT_BIT
@pytest.mark.parametrize("kind", [ResizeBilinear, ResizeNearestNeighbor])
@pytest.mark.parametrize("mode", [(False, False), (True, False), (False, True)], ids=str)
@pytest.mark.parametrize("seed", range(8))
def test_resize(
    dtype: DType,
    kind: type[ResizeBilinear | ResizeNearestNeighbor],
    mode: tuple[bool, bool],
    seed: int,
) -> None:
    rng = np.random.default_rng(seed)
    h, w, channels = (int(v) for v in rng.integers(1, 20, 3))
    size = tuple(int(v) for v in rng.integers(1, 40, 2)) if seed % 2 else (2 * h, 3 * w)
    if seed == 4:
        (h, w), size = (33, 33), (257, 257)
    x = random_q8(rng, dtype, (1, h, w, channels))
    op = kind((size[0], size[1]), *mode)
    name = "ResizeBilinear" if kind is ResizeBilinear else "ResizeNearestNeighbor"
    check(
        kind.name,
        op,
        [(x, fill(rng, x))],
        replace(x, shape=(1, *size, channels)),
        f"{name}Options",
        extra=[vector(size)],
        AlignCorners=mode[0],
        HalfPixelCenters=mode[1],
    )


def test_float() -> None:
    x = np.arange(24, dtype=np.float32).reshape(1, 3, 4, 2)
    types = [TensorType(x.shape, DType.FLOAT32)]

    def run(op: AveragePool2D | MaxPool2D | Mean | Softmax | ResizeBilinear) -> np.ndarray:
        (out,) = op.infer(types)
        (y,) = op.reference([x], types, [out])
        assert (y.shape, y.dtype) == (out.shape, np.float32)
        return y

    np.testing.assert_array_equal(run(Mean((1, 2)))[0], x.mean(axis=(1, 2))[0])
    pooled = run(AveragePool2D((3, 4), (1, 1)))
    np.testing.assert_array_equal(pooled.ravel(), x.mean(axis=(1, 2)).ravel())
    assert run(MaxPool2D((2, 2), (2, 2), (0, 1, 0, 0))).ravel().tolist() == [
        *(10, 11, 14, 15),
        *(18, 19, 22, 23),
    ]
    e = np.exp(x.astype(np.float64) - 24)
    np.testing.assert_allclose(run(Softmax()), e / e.sum(axis=-1, keepdims=True), rtol=1e-6)
    np.testing.assert_array_equal(run(ResizeBilinear((6, 8)))[0, ::2, ::2], x[0])
    assert run(ResizeBilinear((6, 8)))[0, 1, 1, 0] == (0 + 2 + 8 + 10) / 4
