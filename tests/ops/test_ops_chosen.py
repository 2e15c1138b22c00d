"""ONNX's ScatterND, Unique and NonMaxSuppression: references by definition, rules broken once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from edgewise.dtype import DType
from edgewise.errors import GraphError, RunError
from edgewise.graph import TensorType
from edgewise.ops import Computation, NonMaxSuppression, Op, ScatterRows, UniqueSlices

Array = npt.NDArray[Any]
F32, I64 = DType.FLOAT32, DType.INT64


def given(op: Op, *arrays: Array) -> list[Array]:
    types = [TensorType(a.shape, DType.of(a)) for a in arrays]
    results = op.reference(arrays, types, op.infer(types))
    for y, t in zip(results, op.infer(types), strict=True):
        assert y.dtype == t.dtype.numpy
        assert all(d in (-1, n) for d, n in zip(t.shape, y.shape, strict=True))
    return results


@pytest.mark.parametrize(
    ("computation", "expected"),
    [
        (Computation.UPDATE, [10, 4, 30]),
        (Computation.ADD, [10, 2 + 3 + 4, 30]),
        (Computation.MULTIPLY, [10, 2 * 3 * 4, 30]),
        (Computation.MAXIMUM, [10, 4, 30]),
        (Computation.MINIMUM, [10, 2, 30]),
    ],
)
def test_rows_are_combined_in_order(computation: Computation, expected: list[int]) -> None:
    x = np.array([[10], [2], [30]], np.float32)
    (y,) = given(ScatterRows(computation), x, np.array([1, 1]), np.float32([[3], [4]]))
    assert y[:, 0].tolist() == expected
    assert x[1, 0] == 2


@pytest.mark.parametrize("index", [-1, 3])
def test_rows_that_are_not_there(index: int) -> None:
    x = np.zeros((3, 1), np.float32)
    with pytest.raises(RunError, match=f"ScatterND: index {index}"):
        given(ScatterRows(), x, np.array([index]), x[:1])


def test_distinct_elements() -> None:
    x = np.array([[3, 1], [3, 2]], np.int32)
    y, first, inverse, counts = given(UniqueSlices(), x)
    assert [a.tolist() for a in (y, first, inverse, counts)] == [
        [1, 2, 3],
        [1, 3, 0],
        [2, 0, 2, 1],
        [1, 1, 2],
    ]
    y, first, inverse, counts = given(UniqueSlices(sorted=False), x)
    assert [a.tolist() for a in (y, first, inverse, counts)] == [
        [3, 1, 2],
        [0, 1, 3],
        [0, 1, 0, 2],
        [2, 1, 1],
    ]


def test_distinct_slices() -> None:
    x = np.array([[2, 1, 2], [5, 5, 5]], np.float32)
    y, first, inverse, counts = given(UniqueSlices(axis=1), x)
    assert y.tolist() == [[1, 2], [5, 5]]
    assert [a.tolist() for a in (first, inverse, counts)] == [[1, 0], [1, 0, 1], [1, 2]]


def test_boxes() -> None:
    """Corners in any order; of the second class only scores above 0.5."""
    boxes = np.float32([[[0, 0, 1, 1], [1, 1.05, 0, 0.05], [0, 5, 1, 6], [0, 5, 1, 6.4]]])
    scores = np.float32([[[0.9, 0.8, 0.7, 0.6], [0.1, 0.2, 0.6, 0.7]]])
    (y,) = given(NonMaxSuppression(2, 0.5, 0.5), boxes, scores)
    assert y.tolist() == [[0, 0, 0], [0, 0, 2], [0, 1, 3]]
    (y,) = given(NonMaxSuppression(9, 0.99), boxes, scores)
    assert y[:, 2].tolist() == [0, 1, 2, 3, 3, 2, 1, 0]
    assert given(NonMaxSuppression(), boxes, scores)[0].shape == (0, 3)


def test_boxes_by_their_centers() -> None:
    corners = np.float32([[[0, 0, 2, 4], [0, 1, 2, 5], [7, 7, 8, 8]]])
    center = np.float32([[[2, 1, 4, 2], [3, 1, 4, 2], [7.5, 7.5, 1, 1]]])
    scores = np.float32([[[0.5, 0.6, 0.7]]])
    (y,) = given(NonMaxSuppression(3, 0.5), corners, scores)
    (z,) = given(NonMaxSuppression(3, 0.5, centered=True), center, scores)
    assert y.tolist() == z.tolist() == [[0, 0, 2], [0, 0, 1]]


def f32(*shape: int) -> TensorType:
    return TensorType(shape, F32)


def i64(*shape: int) -> TensorType:
    return TensorType(shape, I64)


@pytest.mark.parametrize(
    ("op", "inputs", "rule"),
    [
        (ScatterRows(), [f32(3), i64(1)], "2 inputs; it takes 3"),
        (ScatterRows(), [f32(), i64(1), f32(1)], "axis 0"),
        (ScatterRows(), [f32(3), f32(1), f32(1)], "indices are float32"),
        (ScatterRows(), [f32(3), i64(1, 1), f32(1)], "indices has rank 2"),
        (ScatterRows(), [f32(3), i64(1), f32(2)], r"updates are float32\[2\]"),
        (ScatterRows(), [f32(3), i64(1), i64(1)], r"updates are int64\[1\]"),
        (
            ScatterRows(Computation.ADD),
            [TensorType((3,), DType.BOOL), i64(1), TensorType((1,), DType.BOOL)],
            "add of bool",
        ),
        (UniqueSlices(axis=2), [f32(3, 4)], "axis 2"),
        (NonMaxSuppression(), [f32(1, 2, 4), f32(1, 2)], "scores has rank 2"),
        (NonMaxSuppression(), [i64(1, 2, 4), f32(1, 1, 2)], "boxes are int64"),
        (NonMaxSuppression(), [f32(1, 2, 5), f32(1, 1, 2)], r"boxes \[1, 2, 5\]"),
        (NonMaxSuppression(), [f32(1, 2, 4), f32(1, 1, 3)], r"scores \[1, 1, 3\]"),
    ],
)
def test_broken_rules(op: Op, inputs: Sequence[TensorType], rule: str) -> None:
    with pytest.raises(GraphError, match=f"{op.name}: .*{rule}"):
        op.infer(inputs)
