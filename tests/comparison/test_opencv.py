"""OpenCV's dnn module as a peer: formats, layers by names, what it refuses."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("cv2")

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "importers"))

from caffe_files import draw, layer, prototxt, write

import edgewise as ew
from edgewise.errors import InputError
from edgewise.ops.control import evaluate
from edgewise.tools.compare import compare
from edgewise.tools.peers import OpenCV, OpenCVTensors, native_peer, open_peer
from tflite_builder import Operator, build
from tflite_networks import f32

RNG = np.random.default_rng(4)
TEXT = (
    layer("Convolution", "convolution_param { num_output: 4 kernel_size: 3 }", "x", "c", "conv")
    + layer("ReLU", "", "c", "c", "relu")
    + layer("Slice", "slice_param { slice_point: 1 }", "c", "a b", "slice")
    + layer("Concat", "", "b a", "joined", "join")
    + layer("Softmax", "", "joined", "prob", "prob")
)
WEIGHTS = {"conv": [draw(RNG, 4, 3, 3, 3), draw(RNG, 4)]}
X = draw(RNG, 1, 3, 8, 8)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write(tmp_path, prototxt(TEXT, {"x": X.shape}), WEIGHTS)


@pytest.mark.parametrize("suffix", [".prototxt", ".caffemodel"])
def test_outputs(path: Path, suffix: str) -> None:
    model = path.with_suffix(suffix)
    graph = ew.load(model)
    assert native_peer(model) == "opencv"
    peer = open_peer("opencv", model, graph, 2)
    assert peer.name.startswith("OpenCV 4.")
    assert peer.path == "dnn module, CPU backend"
    (ours,) = evaluate(graph, [X])
    (theirs,) = peer.run([X])
    np.testing.assert_allclose(ours, theirs, atol=1e-6)


def test_tensors(path: Path) -> None:
    """Layers are not joined; those of several outputs are left out."""
    tensors = OpenCVTensors(path).run([X])
    assert list(tensors) == ["c", "relu", "joined", "prob"]
    assert tensors["c"].min() < 0 <= tensors["relu"].min()


def test_compare(path: Path) -> None:
    facts = compare(ew.load(path), path, "opencv", [[X]])
    assert facts["within_tolerance"]
    assert {t["tensor"] for t in facts["tensors"]} >= {"c", "relu", "joined"}


def test_several_inputs(tmp_path: Path) -> None:
    text = prototxt(layer("Eltwise", "", "x y"), {"x": (1, 2, 3, 4), "y": (1, 2, 3, 4)})
    x, y = draw(RNG, 1, 2, 3, 4), draw(RNG, 1, 2, 3, 4)
    peer = OpenCV(write(tmp_path, text))
    np.testing.assert_array_equal(peer.run([x, y])[0], x + y)
    with pytest.raises(InputError, match="OpenCV: 1 inputs, the model has 2"):
        peer.run([x])


def test_tflite_images_are_transposed(tmp_path: Path) -> None:
    x, y = f32(1, 5, 6, 3, name="x"), f32(1, 5, 6, 3, name="y")
    path = tmp_path / "net.tflite"
    path.write_bytes(build([Operator("LOGISTIC", [x], [y])], [x], [y]))
    array = draw(RNG, 1, 5, 6, 3)
    expected = 1 / (1 + np.exp(-array))
    np.testing.assert_allclose(OpenCV(path).run([array])[0], expected, atol=1e-6)
    np.testing.assert_allclose(OpenCVTensors(path).run([array])["y"], expected, atol=1e-6)


def test_what_it_cannot_read(tmp_path: Path) -> None:
    x, y = f32(4, name="x"), f32(4, name="y")
    other = tmp_path / "net.tflite"
    other.write_bytes(build([Operator("ATAN2", [x, x], [y])], [x], [y]))
    with pytest.raises(InputError, match="--against opencv: cannot read the model: "):
        OpenCV(other)
    text = prototxt(layer("Bias"), {"x": (1, 3)})
    with pytest.raises(InputError, match=r"cannot read the model: .*Can't create layer"):
        OpenCV(write(tmp_path, text, {"Bias": [draw(RNG, 3)]}, "bias"))


def test_inputs_that_do_not_fit(tmp_path: Path) -> None:
    text = prototxt(layer("Concat", "", "x y"), {"x": (1, 2, 3), "y": (1, 2, 3)})
    peer = OpenCV(write(tmp_path, text))
    with pytest.raises(InputError, match="OpenCV cannot run the inputs: "):
        peer.run([draw(RNG, 1, 2, 3), draw(RNG, 1, 2, 4)])
    with pytest.raises(InputError, match="OpenCV refuses an input: "):
        peer.run([draw(RNG, 1, 2, 3), np.zeros((1, 2, 3), np.complex64)])


def test_outputs_without_a_layer(tmp_path: Path) -> None:
    path = write(tmp_path, prototxt(layer("Slice", tops="a b"), {"x": (1, 4)}))
    with pytest.raises(InputError, match="--against opencv: it has no layer for the output 'a'"):
        OpenCV(path)


def test_layers_of_one_name(tmp_path: Path) -> None:
    text = layer("ReLU", "", "x", "a", "same") + layer("TanH", "", "a", "b", "other")
    text += layer("AbsVal", "", "b", "c", "same") + layer("Sigmoid", "", "c", "d", "end")
    path = write(tmp_path, prototxt(text, {"x": (1, 3)}))
    assert list(OpenCVTensors(path).run([draw(RNG, 1, 3)])) == ["b", "d"]


def test_detections(tmp_path: Path) -> None:
    """Rows of zeros are left out, and the others are sorted."""
    priors = "prior_box_param { min_size: 30 clip: false variance: 0.1 }"
    params = (
        "num_classes: 3 share_location: true background_label_id: 0 keep_top_k: 9 "
        "code_type: CENTER_SIZE nms_param { nms_threshold: 0.4 } confidence_threshold: 0.3"
    )
    text = layer("PriorBox", priors, "cells picture", "priors")
    text += layer(
        "DetectionOutput", f"detection_output_param {{ {params} }}", "loc conf priors", "found"
    )
    shapes = {"loc": (1, 48), "conf": (1, 36), "cells": (1, 2, 3, 4), "picture": (1, 3, 90, 120)}
    path = write(tmp_path, prototxt(text, shapes))
    arrays = [draw(RNG, *shape) for shape in shapes.values()]
    (theirs,) = OpenCV(path).run(arrays)
    (ours,) = evaluate(ew.load(path), arrays)
    np.testing.assert_allclose(theirs, ours, rtol=1e-5, atol=1e-5)


def test_weights_of_another_name(path: Path) -> None:
    weights = path.with_suffix(".caffemodel").rename(path.with_name("other.caffemodel"))
    graph = ew.load(path, weights=weights)
    with pytest.raises(InputError, match=r"--against opencv: .*net\.caffemodel: no such file"):
        open_peer("opencv", path, graph)
    for model, other in ((path, weights), (weights, path)):
        facts = compare(graph, model, "opencv", [[X]], weights=other)
        assert facts["within_tolerance"]
        assert facts["tensors"]


def test_weights_beside_are_not_those_given(path: Path, tmp_path: Path) -> None:
    folder = tmp_path / "more"
    folder.mkdir()
    doubled = {"conv": [2 * blob for blob in WEIGHTS["conv"]]}
    other = write(folder, prototxt(TEXT, {"x": X.shape}), doubled).with_suffix(".caffemodel")
    graph = ew.load(path, weights=other)
    assert not compare(graph, path, "opencv", [[X]])["within_tolerance"]
    assert compare(graph, path, "opencv", [[X]], weights=other)["within_tolerance"]


def test_other_shapes_than_those_of_the_file(tmp_path: Path) -> None:
    text = "input: 'x'\n" + layer("ReLU", "", "x", "y")
    path, x = write(tmp_path, text), draw(RNG, 1, 2, 3, 4)
    graph = ew.load(path, shapes={"x": x.shape})
    assert compare(graph, path, "opencv", [[x]])["within_tolerance"]


def test_formats_that_it_does_not_read(tmp_path: Path) -> None:
    path = tmp_path / "net.param"
    path.write_text("7767517\n1 1\nInput x 0 1 x\n")
    with pytest.raises(InputError, match="--against opencv: it reads no ncnn files"):
        OpenCV(path)
