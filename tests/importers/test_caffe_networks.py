"""Real Caffe networks: OpenCV's dnn module agrees, tensor by tensor, and so do other formats."""

from __future__ import annotations

import contextlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import edgewise as ew
from edgewise.graph import Array, Graph
from edgewise.importers import load
from edgewise.ops.control import evaluate
from edgewise.tools.peers import OpenCV, OpenCVTensors

pytestmark = pytest.mark.data
NETWORKS = ("mtcnn_det1_float", "mtcnn_det2_float", "mtcnn_det3_float", "rfb320_float")
TOLERANCE = 1e-4
"""Of a tensor's range."""


def assert_near(ours: Array, theirs: Array) -> None:
    assert ours.shape == theirs.shape
    assert np.abs(ours - theirs).max() <= TOLERANCE * (theirs.max() - theirs.min())


def run(graph: Graph, x: Array) -> dict[str, Array]:
    with contextlib.closing(ew.compile(graph)) as program:
        results = program(x)
    arrays = results if isinstance(results, tuple) else (results,)
    return {v.name: array for v, array in zip(graph.outputs, arrays, strict=True)}


@pytest.mark.parametrize("name", NETWORKS)
def test_outputs_equal_opencv(name: str, data: Path) -> None:
    pytest.importorskip("cv2")
    path = data / "models" / f"{name}.prototxt"
    graph = load(path)
    x = np.random.default_rng(0).standard_normal(graph.inputs[0].type.shape, dtype=np.float32)
    for ours, theirs in zip(run(graph, x).values(), OpenCV(path).run([x]), strict=True):
        assert_near(ours, theirs)


@pytest.mark.parametrize("name", NETWORKS)
def test_tensors_equal_opencv(name: str, data: Path) -> None:
    pytest.importorskip("cv2")
    path = data / "models" / f"{name}.caffemodel"
    graph = load(path)
    x = np.random.default_rng(1).standard_normal(graph.inputs[0].type.shape, dtype=np.float32)
    ours = {graph.inputs[0]: x}
    for node, results in graph.reference(ours):
        ours.update(zip(node.outputs, results, strict=True))
    named = {v.name: array for v, array in ours.items()}
    found = OpenCVTensors(path).run([x])
    layers = {node.origin for node in graph.nodes}
    assert len(found) == len(layers)
    for tensor, array in found.items():
        assert_near(named[tensor], array)


def test_one_detector_in_three_formats(data: Path) -> None:
    """All take (pixel - 127) / 128, RGB; none decodes its boxes. The .tflite one is NHWC."""
    with Image.open(data / "data" / "images" / "faces.jpg") as image:
        pixels = np.asarray(image.convert("RGB").resize((320, 240)), np.float32)
    last = ((pixels - 127) / 128)[None]
    first = np.ascontiguousarray(last.transpose(0, 3, 1, 2))
    stem = str(data / "models" / "rfb320_float")
    caffe = run(load(f"{stem}.caffemodel"), first)
    onnx, tflite = run(load(f"{stem}.onnx"), first), run(load(f"{stem}.tflite"), last)
    assert caffe["scores"][0, :, 1].max() > 0.9
    for key, other in (("boxes", "Identity"), ("scores", "Identity_1")):
        assert_near(caffe[key], onnx[key])
        assert_near(caffe[key], tflite[other])


def test_one_detector_equals_onnx_runtime(data: Path) -> None:
    runtime = pytest.importorskip("onnxruntime")
    path = data / "models" / "rfb320_float.prototxt"
    graph = load(path)
    x = np.random.default_rng(2).standard_normal(graph.inputs[0].type.shape, dtype=np.float32)
    options = runtime.SessionOptions()
    options.log_severity_level = 3
    session = runtime.InferenceSession(str(path.with_suffix(".onnx")), options)
    names = [v.name for v in graph.outputs]
    for ours, theirs in zip(evaluate(graph, [x]), session.run(names, {"input": x}), strict=True):
        assert_near(ours, theirs)


def test_a_snapshot_of_training_without_its_prototxt(data: Path) -> None:
    """It has HDF5 data, labels and losses, and says no shape."""
    path = data / "models" / "mtcnn_det2_float.prototxt"
    weights = path.with_suffix(".caffemodel").read_bytes()
    graph = load(weights, shapes={"data24": (1, 3, 24, 24)})
    x = np.random.default_rng(3).standard_normal((1, 3, 24, 24), dtype=np.float32)
    whole = dict(zip((v.name for v in load(path).outputs), evaluate(load(path), [x]), strict=True))
    found = dict(zip((v.name for v in graph.outputs), evaluate(graph, [x]), strict=True))
    np.testing.assert_array_equal(found["conv5-2"], whole["conv5-2"])
