"""DetectionOutput: its rules, and small cases whose results are known.

tests/importers/test_caffe_detections.py compares it with OpenCV.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

from edgewise.dtype import DType
from edgewise.errors import GraphError
from edgewise.graph import Array, TensorType
from edgewise.ops import DetectionOutput
from edgewise.ops.ssd import CENTER_SIZE, CORNER, CORNER_SIZE

PRIORS = np.array([[[0, 0, 4, 2, 10, 10, 14, 12], [1, 1, 1, 1, 2, 2, 2, 2]]], np.float32)


def types(
    loc: tuple[int, ...] = (1, 8),
    conf: tuple[int, ...] = (1, 4),
    priors: tuple[int, ...] = (1, 2, 8),
    dtype: DType = DType.FLOAT32,
) -> list[TensorType]:
    return [*(TensorType(shape, DType.FLOAT32) for shape in (loc, conf)), TensorType(priors, dtype)]


RULES: list[tuple[dict[str, Any], list[TensorType], str]] = [
    ({}, types()[:2], "2 inputs"),
    ({}, types(dtype=DType.INT32), "priors are int32; they are float32"),
    ({}, types(priors=(2, 2, 8)), "priors [2, 2, 8]; they are [1, 2, 4 * priors]"),
    ({}, types(loc=(8,)), "locations [8], confidences [1, 4] for 2 priors and 2 classes"),
    ({}, types(loc=(2, 8)), "an image has 8 and 4"),
    ({"share_location": False}, types(), "an image has 16 and 4"),
    ({"code_type": 4}, types(), "classes 2, code_type 4; at least 1, and 1 to 3"),
    ({"nms_threshold": -1.0}, types(), "nms_threshold -1.0, eta 1.0; at least 0"),
    ({"eta": 0.0}, types(), "nms_threshold 0.3, eta 0.0; at least 0, and above 0 to 1"),
]


@pytest.mark.parametrize(("attributes", "inputs", "rule"), RULES)
def test_rules(attributes: dict[str, Any], inputs: list[TensorType], rule: str) -> None:
    with pytest.raises(GraphError, match=f"DetectionOutput: .*{re.escape(rule)}"):
        DetectionOutput(**{"classes": 2, **attributes}).infer(inputs)


def run(loc: Array, conf: Array, **attributes: Any) -> Array:
    op = DetectionOutput(**{"classes": 2, **attributes})
    arrays = [np.float32(loc), np.float32(conf), PRIORS]
    inputs = [TensorType(a.shape, DType.FLOAT32) for a in arrays]
    (y,) = op.reference(arrays, inputs, op.infer(inputs))
    assert y.dtype == np.float32
    return y[0, 0]


CODES: dict[int, list[list[float]]] = {
    CORNER: [[1, 0, 5, 3], [11, 10, 14, 16]],
    CORNER_SIZE: [[4, 0, 8, 4], [14, 10, 14, 20]],
}


@pytest.mark.parametrize("code_type", [CORNER, CORNER_SIZE])
def test_codes_of_corners(code_type: int) -> None:
    loc = [[1, 0, 1, 1, 0.5, 0, 0, 2]]
    found = run(np.array(loc), np.array([[0, 0.9, 0, 0.8]]), code_type=code_type)
    np.testing.assert_allclose(found[:, 3:], CODES[code_type], rtol=1e-6)


def test_codes_of_centers() -> None:
    """The center moves by parts of the prior's size; sizes grow by e to the power of the code."""
    loc = [[0.5, 0.5, 0, 1, 0, 0, np.log(2) / 2, 0]]
    found = run(np.array(loc), np.array([[0, 0.9, 0, 0.8]]), code_type=CENTER_SIZE)
    expected = [[2, 2 - np.e, 6, 2 + np.e], [8, 10, 16, 12]]
    np.testing.assert_allclose(found[:, 3:], expected, rtol=1e-6)


def test_order_is_by_class_then_by_confidence() -> None:
    conf = [[0.1, 0.2, 0.7, 0.3, 0.6, 0.5]]
    found = run(np.zeros((1, 8)), np.array(conf), classes=3, background=0)
    np.testing.assert_allclose(found[:, 1:3], [[1, 0.6], [1, 0.2], [2, 0.7], [2, 0.5]])
    best = run(np.zeros((1, 8)), np.array(conf), classes=3, background=0, keep_top_k=3)
    np.testing.assert_allclose(best[:, 1:3], [[1, 0.6], [2, 0.7], [2, 0.5]])
    first = run(np.zeros((1, 8)), np.array(conf), classes=3, background=0, top_k=1)
    np.testing.assert_allclose(first[:, 1:3], [[1, 0.6], [2, 0.7]])
    assert len(run(np.zeros((1, 8)), np.array(conf), classes=3, keep_top_k=0)) == 1


def test_boxes_that_touch_or_are_inverted_do_not_overlap() -> None:
    loc = np.array([[0, 0, 0, 0, -3, -4, -3, -5]])
    found = run(loc, np.array([[0, 0.9, 0, 0.8]]), nms_threshold=0.0, variance_encoded=False)
    np.testing.assert_array_equal(found[:, 3:], [[0, 0, 4, 2], [4, 2, 8, 2]])


def test_confidences_must_be_above_the_threshold() -> None:
    found = run(np.zeros((1, 8)), np.array([[0, 0.5, 0, 0.75]]), confidence_threshold=0.5)
    np.testing.assert_array_equal(found[:, 2], [0.75])
    none = run(np.zeros((2, 8)), np.zeros((2, 4)), confidence_threshold=0.5)
    np.testing.assert_array_equal(none, [[0, *[-1] * 6], [1, *[-1] * 6]])


def test_numbers_that_are_none_are_left_out() -> None:
    loc = np.array([[np.nan, 0, 0, 0, 0, 0, 0, np.inf]])
    found = run(loc, np.array([[0, np.nan, 0, 0.75]]), code_type=CENTER_SIZE)
    np.testing.assert_array_equal(found[:, 2], [0.75])
