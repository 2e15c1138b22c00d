"""PriorBox and DetectionOutput of SSD networks equal OpenCV's, or Caffe's rule written out."""

from __future__ import annotations

import contextlib
from pathlib import Path

import numpy as np
import pytest
from caffe_files import caffemodel, draw, layer, opencv, prototxt, read

import edgewise as ew
from edgewise.graph import Array
from edgewise.ops.control import evaluate

RNG = np.random.default_rng(7)


def detections(params: str, classes: int, shared: bool) -> tuple[str, dict[str, tuple[int, ...]]]:
    """Two priors a cell of a map of 3x4; DetectionOutput of random locations and scores."""
    priors = layer(
        "PriorBox",
        "prior_box_param { min_size: 30 max_size: 60 clip: false variance: 0.1 variance: 0.1 "
        "variance: 0.2 variance: 0.2 }",
        "cells picture",
        "priors",
    )
    end = layer(
        "DetectionOutput",
        f"detection_output_param {{ num_classes: {classes} share_location: {str(shared).lower()} "
        f"{params} }}",
        "loc conf priors",
    )
    each = 4 if shared else 4 * classes
    shapes = {
        "loc": (2, 24 * each),
        "conf": (2, 24 * classes),
        "cells": (1, 2, 3, 4),
        "picture": (1, 3, 90, 120),
    }
    return prototxt(priors + end, shapes), shapes


FEW = "confidence_threshold: 0.6 keep_top_k: 12"
NMS = "nms_param { nms_threshold: 0.4 }"
DETECTIONS = {
    "corner": ("code_type: CORNER", 3, True),
    "center": ("code_type: CENTER_SIZE", 3, True),
    "of each class": ("code_type: CENTER_SIZE background_label_id: 0", 3, False),
    "few": ("code_type: CENTER_SIZE nms_param { nms_threshold: 0.45 top_k: 5 }", 4, True),
    "no background": ("code_type: CENTER_SIZE background_label_id: -1", 2, False),
}


def assert_same_rows(ours: Array, theirs: Array, tolerance: float) -> None:
    """OpenCV does not sort its rows by class."""
    assert ours.shape == theirs.shape
    y, z = (a[0, 0][np.lexsort(a[0, 0, :, :3].T)] for a in (ours, theirs))
    np.testing.assert_allclose(y, z, rtol=tolerance, atol=1e-5)


@pytest.mark.parametrize("name", DETECTIONS)
def test_detections(name: str, tmp_path: Path) -> None:
    params, classes, shared = DETECTIONS[name]
    if "background" not in params:
        params += " background_label_id: 0"
    params += f" {FEW}" if "nms_param" in params else f" {FEW} {NMS}"
    text, shapes = detections(params, classes, shared)
    graph = read(tmp_path, text)
    arrays = [draw(RNG, *shape) for shape in shapes.values()]
    (found,) = evaluate(graph, arrays)
    (expected,) = opencv(text, caffemodel({}), dict(zip(shapes, arrays, strict=True)))
    expected = expected[:, :, expected[0, 0, :, 2] > 0]  # zeros follow what it found
    assert found.shape[2] > 4
    assert_same_rows(found, expected, 1e-5)


def overlap(a: Array, b: Array) -> float:
    """Intersection over union of two boxes."""
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    shared = max(width, 0) * max(height, 0)
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (a, b)]
    return float(shared / (sum(areas) - shared))


def test_adaptive_threshold(tmp_path: Path) -> None:
    """OpenCV has no eta: the rule is written out, for all boxes in descending order."""
    common = "code_type: CENTER_SIZE confidence_threshold: -9"
    everything, shapes = detections(f"{common} nms_param {{ nms_threshold: 9 }}", 2, True)
    adaptive, _ = detections(f"{common} nms_param {{ nms_threshold: 0.8 eta: 0.7 }}", 2, True)
    arrays = [draw(RNG, *shape) for shape in shapes.values()]
    (rows,), (found,) = (evaluate(read(tmp_path, text), arrays) for text in (everything, adaptive))
    kept: list[Array] = []
    for image in range(2):
        limit, chosen = 0.8, list[Array]()
        for row in rows[0, 0][rows[0, 0, :, 0] == image]:
            if all(overlap(row[3:], other[3:]) <= limit for other in chosen):
                chosen.append(row)
                limit *= 0.7 if limit > 0.5 else 1
        kept += chosen
    assert len(kept) < rows.shape[2]
    np.testing.assert_array_equal(found[0, 0], kept)


def test_variances_in_targets(tmp_path: Path) -> None:
    """OpenCV wants other priors then: locations times variances give the same boxes."""
    results = []
    for params in ("", " variance_encoded_in_target: true"):
        text, shapes = detections(f"code_type: CENTER_SIZE{params}", 2, True)
        arrays = [np.full(shape, 0.25, np.float32) for shape in shapes.values()]
        arrays[1] = draw(np.random.default_rng(1), *shapes["conf"])
        if params:
            arrays[0] *= np.tile(np.array([0.1, 0.1, 0.2, 0.2], np.float32), 24)
        results += evaluate(read(tmp_path, text), arrays)
    np.testing.assert_array_equal(*results)


def test_corner_size(tmp_path: Path) -> None:
    text, shapes = detections("code_type: CORNER_SIZE nms_param { nms_threshold: 9 }", 2, True)
    graph = read(tmp_path, text)
    loc, conf, *rest = (draw(RNG, *shape) for shape in shapes.values())
    (found,) = evaluate(graph, [loc, conf, *rest])
    assert found.shape == (1, 1, 48, 7)
    priors = read(tmp_path, text[: text.index('layer { name: "DetectionOutput"')])
    boxes, variances = evaluate(priors, [loc, conf, *rest])[0].reshape(2, 24, 4).astype(float)
    size = np.tile(boxes[:, 2:] - boxes[:, :2], 2)
    for image in range(2):
        score = conf[image].reshape(24, 2)[:, 1]
        order = np.argsort(-score, kind="stable")
        expected = boxes + variances * loc[image].reshape(24, 4) * size
        rows = found[0, 0][found[0, 0, :, 0] == image]
        np.testing.assert_array_equal(rows[:, 1], 1)
        np.testing.assert_array_equal(rows[:, 2], score[order])
        np.testing.assert_allclose(rows[:, 3:], expected[order], rtol=1e-5, atol=1e-6)


def test_no_detections(tmp_path: Path) -> None:
    text, shapes = detections("confidence_threshold: inf", 2, True)
    graph = read(tmp_path, text)
    (found,) = evaluate(graph, [draw(RNG, *shape) for shape in shapes.values()])
    np.testing.assert_array_equal(found, [[[[0, *[-1] * 6], [1, *[-1] * 6]]]])


def head(name: str, bottom: str, size: int) -> str:
    """Locations, confidences of 3 classes, and 3 priors a cell, of a map."""

    def branch(kind: str, outputs: int) -> str:
        params = f"num_output: {outputs} kernel_size: 3 pad: 1"
        top = f"{name}_{kind}"
        return (
            layer("Convolution", f"convolution_param {{ {params} }}", bottom, top, top)
            + layer(
                "Permute", "permute_param { order: 0 order: 2 order: 3 order: 1 }", top, f"{top}_p"
            )
            + layer("Flatten", "", f"{top}_p", f"{top}_f")
        )

    priors = (
        f"prior_box_param {{ min_size: {size} max_size: {2 * size} aspect_ratio: 2 flip: false "
        "clip: false variance: 0.1 variance: 0.1 variance: 0.2 variance: 0.2 }"
    )
    top = f"{name}_priors"
    return (
        branch("loc", 12) + branch("conf", 9) + layer("PriorBox", priors, f"{bottom} x", top, top)
    )


def test_whole_detector(tmp_path: Path) -> None:
    """Two maps, as in SSD; the program and the references equal OpenCV."""
    down = "convolution_param { num_output: 8 kernel_size: 3 pad: 1 stride: 2 }"
    text = (
        layer("Convolution", down, "x", "a", "first")
        + layer("ReLU", "", "a", "a", "relu")
        + layer("Convolution", down, "a", "b", "second")
        + head("one", "a", 10)
        + head("two", "b", 20)
        + layer("Concat", "", "one_loc_f two_loc_f", "loc", "loc")
        + layer("Concat", "", "one_conf_f two_conf_f", "scores", "scores")
        + layer("Reshape", "reshape_param { shape { dim: 0 dim: -1 dim: 3 } }", "scores", "r", "r")
        + layer("Softmax", "softmax_param { axis: 2 }", "r", "s", "s")
        + layer("Flatten", "", "s", "conf", "conf")
        + layer("Concat", "concat_param { axis: 2 }", "one_priors two_priors", "priors", "priors")
        + layer(
            "DetectionOutput",
            "detection_output_param { num_classes: 3 share_location: true background_label_id: 0 "
            "nms_param { nms_threshold: 0.45 top_k: 40 } code_type: CENTER_SIZE keep_top_k: 20 "
            "confidence_threshold: 0.3 }",
            "loc conf priors",
        )
    )
    shapes = {"first": (8, 3, 3, 3), "second": (8, 8, 3, 3)}
    for name in ("one", "two"):
        shapes |= {f"{name}_loc": (12, 8, 3, 3), f"{name}_conf": (9, 8, 3, 3)}
    weights = {n: [draw(RNG, *shape) / 12, draw(RNG, shape[0]) / 4] for n, shape in shapes.items()}
    text = prototxt(text, {"x": (1, 3, 40, 48)})
    graph = read(tmp_path, text, weights)
    x = draw(RNG, 1, 3, 40, 48)
    (expected,) = opencv(text, caffemodel(weights), {"x": x})
    assert expected.shape == (1, 1, 20, 7)
    with contextlib.closing(ew.compile(graph)) as program:
        for found in (evaluate(graph, [x])[0], program(x)):
            assert_same_rows(found, expected, 1e-4)


def test_program(tmp_path: Path) -> None:
    """Priors are constants of the program; how many rows there are it learns in each call."""
    text, shapes = detections(f"code_type: CENTER_SIZE {FEW}", 3, True)
    graph = read(tmp_path, text)
    assert graph.outputs[0].type.shape == (1, 1, -1, 7)
    arrays = [draw(RNG, *shape) for shape in shapes.values()]
    with contextlib.closing(ew.compile(graph)) as program:
        for confidences in (arrays[1], -np.abs(arrays[1])):
            arrays[1] = confidences
            np.testing.assert_array_equal(program(*arrays), evaluate(graph, arrays)[0])
        assert program(*arrays).shape == (1, 1, 2, 7)
