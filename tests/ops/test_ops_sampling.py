"""Operators of images and matrices that only other formats have: values and rules."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from edgewise import ops
from edgewise.dtype import DType
from edgewise.errors import GraphError, RunError
from edgewise.graph import Array, TensorType

F32, I64 = DType.FLOAT32, DType.INT64


def floats(*shape: int) -> TensorType:
    return TensorType(shape, F32)


def run(op: ops.Op, *arrays: Array) -> list[Array]:
    types = [TensorType(a.shape, DType.of(a)) for a in arrays]
    return op.reference(list(arrays), types, op.infer(types))


def image(*shape: int) -> Array:
    return np.arange(np.prod(shape), dtype=np.float32).reshape(shape)


def test_max_pool_tells_where() -> None:
    x = image(1, 2, 4, 4)
    y, at = run(ops.MaxPoolIndices((2, 2), (2, 2), (1, 1), (0, 0, 0, 0)), x)
    np.testing.assert_array_equal(x.ravel()[at], y)
    assert y[0, 0].tolist() == [[5, 7], [13, 15]]
    _, columns = run(ops.MaxPoolIndices((2, 2), (2, 2), (1, 1), (0, 0, 0, 0), True), x)
    assert columns[0, 0].tolist() == [[5, 13], [7, 15]]
    (back,) = run(ops.MaxUnpool((1, 2, 4, 4)), y, at)
    np.testing.assert_array_equal(back != 0, np.isin(x, y))


def test_the_first_of_equal_values_counts() -> None:
    x = np.zeros((1, 1, 3, 3), np.float32)
    _, at = run(ops.MaxPoolIndices((3, 3), (1, 1), (1, 1), (1, 1, 1, 1)), x)
    assert at[0, 0].tolist() == [[0, 0, 1], [0, 0, 1], [3, 3, 4]]


def test_places_outside() -> None:
    x, at = image(1, 1, 1, 2), np.array([[[[0, 9]]]])
    with pytest.raises(RunError, match="places 0 to 9; they are at least 0, and less than 4"):
        run(ops.MaxUnpool((1, 1, 2, 2)), x, at)


def test_a_grid_of_centres_is_the_image() -> None:
    x = image(1, 2, 3, 4)
    for align in (False, True):
        lines = [np.linspace(-1, 1, n) if align else (2 * np.arange(n) + 1) / n - 1 for n in (3, 4)]
        grid = np.stack(np.meshgrid(*lines, indexing="ij")[::-1], -1)[None].astype(np.float32)
        for mode, padding in itertools.product(
            ("nearest", "linear", "cubic"), ("zeros", "border", "reflection")
        ):
            (y,) = run(ops.GridSample(mode, padding, align), x, grid)
            np.testing.assert_allclose(y, x, atol=1e-5)


def test_far_places() -> None:
    x, far = image(1, 1, 2, 2) + 1, np.full((1, 1, 1, 2), 1e30, np.float32)
    assert run(ops.GridSample("linear", "zeros"), x, far)[0].item() == 0
    assert run(ops.GridSample("linear", "border"), x, far)[0].item() == 4
    assert np.isfinite(run(ops.GridSample("linear", "reflection"), x, far)[0]).all()


def test_a_region_of_one_value() -> None:
    x = np.full((1, 1, 8, 8), 3, np.float32)
    rois = np.array([[1, 1, 6, 6]], np.float32)
    for op in (ops.RoiAlign((2, 3)), ops.RoiAlign((2, 3), 3, greatest=False)):
        np.testing.assert_allclose(run(op, x, rois, np.zeros(1, np.int64))[0], 3)
    (y,) = run(ops.MaxRoiPool((2, 2)), x, np.array([[0, 20, 20, 30, 30]], np.float32))
    assert not y.any()


def test_regions_that_are_too_large() -> None:
    x, batch = np.zeros((1, 1, 2, 2), np.float32), np.zeros(1, np.int64)
    for end, rule in ((1e9, "it is too large"), (3000, "too many"), (np.inf, "not finite")):
        rois = np.array([[0, 0, end, end]], np.float32)
        with pytest.raises(RunError, match=rule):
            run(ops.RoiAlign((1, 1)), x, rois, batch)
    with pytest.raises(RunError, match="not finite"):
        run(ops.MaxRoiPool((1, 1)), x, np.full((1, 5), np.nan, np.float32))
    with pytest.raises(RunError, match="batch indices 3"):
        run(ops.MaxRoiPool((1, 1)), x, np.array([[3, 0, 0, 1, 1]], np.float32))


def test_no_offsets_make_a_convolution() -> None:
    rng = np.random.default_rng(1)
    x, w = (rng.standard_normal(s).astype(np.float32) for s in ((2, 4, 6, 5), (6, 2, 3, 2)))
    offsets, mask = np.zeros((2, 12, 4, 4), np.float32), np.ones((2, 6, 4, 4), np.float32)
    bias = rng.standard_normal(6).astype(np.float32)
    (y,) = run(ops.DeformConv(groups=2), x, w, offsets, bias, mask)
    nhwc = [np.ascontiguousarray(v.transpose(0, 2, 3, 1)) for v in (x, w)]
    (expected,) = run(ops.Conv2D(), *nhwc, bias)
    np.testing.assert_allclose(y, expected.transpose(0, 3, 1, 2), rtol=1e-5, atol=1e-5)


def test_transforms() -> None:
    x = np.random.default_rng(1).standard_normal((2, 6, 2))
    (y,) = run(ops.Dft(1, 6), x)
    np.testing.assert_allclose(run(ops.Dft(1, 6, inverse=True), y)[0], x, atol=1e-12)
    real = x[..., :1]
    (half,) = run(ops.Dft(1, 6, onesided=True), real)
    assert half.shape == (2, 4, 2)
    np.testing.assert_allclose(run(ops.Dft(1, 6, True, True), half)[0], real, atol=1e-12)


def test_products_and_sums() -> None:
    x = np.arange(1, 7, dtype=np.int32).reshape(2, 3)
    assert run(ops.Cumprod(1), x)[0].tolist() == [[1, 2, 6], [4, 20, 120]]
    assert run(ops.Cumprod(0, True, True), x)[0].tolist() == [[4, 5, 6], [1, 1, 1]]
    assert run(ops.Einsum(((0, 1), (0, 1)), (0,)), x, x)[0].tolist() == [14, 77]
    assert run(ops.Det(), np.eye(3, dtype=np.float32)[None] * 2)[0].tolist() == [8]


def gru(**changed: tuple[int, ...]) -> list[TensorType]:
    shapes = {
        "x": (4, 2, 3),
        "w": (3, 5, 3),
        "r": (3, 5, 5),
        "wb": (3, 5),
        "rb": (3, 5),
        "h": (2, 5),
    }
    return [floats(*(shapes | changed)[name]) for name in shapes]


POOL: dict[str, Any] = {"taps": (2, 2), "stride": (1, 1), "dilation": (1, 1)}
DEFORM = [
    floats(1, 4, 5, 5),
    floats(2, 4, 3, 3),
    floats(1, 18, 3, 3),
    floats(2),
    floats(1, 9, 3, 3),
]

RULES: list[tuple[ops.Op, list[TensorType], str]] = [
    (ops.Gru(), gru(w=(3, 5, 4)), r"w has shape \[3, 5, 4\]; it must be \[3, 5, 3\]"),
    (ops.Gru(), gru(x=(4, 2)), "input has rank 2; it must be 3"),
    (ops.Gru(), [*gru()[:5], TensorType((2, 5), DType.INT8)], "input 5 is int8"),
    (ops.MaxPoolIndices(**POOL, padding=(0,) * 4), [floats(1, 2, 3)], "there is one of each"),
    (ops.MaxPoolIndices(**POOL, padding=(2,) * 4), [floats(1, 2, 3, 3)], "it is smaller"),
    (ops.MaxUnpool((1, 1, 2, 2)), [floats(1, 1, 1, 1)] * 2, "places are int64"),
    (ops.GridSample("best"), [floats(1, 2, 3, 3), floats(1, 2, 2, 2)], "mode 'best'"),
    (ops.GridSample(), [floats(1, 2, 0, 3), floats(1, 2, 2, 2)], "has no pixels"),
    (ops.GridSample(), [floats(1, 2, 3, 3), floats(2, 2, 2, 2)], "a coordinate for each"),
    (
        ops.RoiAlign(sampling=-1),
        [floats(1, 2, 3, 3), floats(1, 4), TensorType((1,), I64)],
        "sampling -1; it cannot be negative",
    ),
    (
        ops.RoiAlign((0, 1)),
        [floats(1, 2, 3, 3), floats(1, 4), TensorType((1,), I64)],
        "it must be positive",
    ),
    (
        ops.RoiAlign(),
        [floats(1, 2, 3, 3), floats(1, 4), floats(1)],
        "there is one a region",
    ),
    (ops.MaxRoiPool(), [floats(1, 2, 3, 3), floats(1, 4)], "they must have 5 columns"),
    (ops.DeformConv(groups=3), DEFORM, "groups divide them"),
    (ops.DeformConv(), [*DEFORM[:2], floats(1, 9, 3, 3), *DEFORM[3:]], "offsets has shape"),
    (ops.DeformConv(), [TensorType((1, 4, 5, 5), I64), *DEFORM[1:]], "input 0 is int64"),
    (ops.Det(), [floats(2, 3)], "its last two dimensions are equal"),
    (ops.Einsum(((0,),), (0,)), [floats(2, 3)], "1 labels for an operand"),
    (ops.Einsum(((0, 0),), ()), [floats(2, 3)], "label 0 has sizes 2 and 3"),
    (ops.Einsum(((0,),), (1,)), [floats(2)], r"labels \[1\] of the output"),
    (ops.Dft(0, 4), [floats(4, 3)], "its last dimension is 1"),
    (ops.Dft(0, 0), [floats(4, 1)], "length 0; it must be positive"),
    (ops.Dft(0, 4), [floats(0, 1)], "has no samples"),
    (ops.Dft(1, 4), [floats(4, 1)], "axis 1"),
    (ops.Cumprod(2), [floats(4, 1)], "axis 2"),
]


@pytest.mark.parametrize(("op", "types", "rule"), RULES, ids=str)
def test_rules(op: ops.Op, types: list[TensorType], rule: str) -> None:
    with pytest.raises(GraphError, match=f"{op.name}: .*{rule}"):
        op.infer(types)
