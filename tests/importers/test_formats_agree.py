"""One face detector in several formats gives the same boxes and scores."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import edgewise as ew
from edgewise.graph import Array, Graph

HEIGHT, WIDTH = 240, 320
MOST = {"tflite": 5e-4}
"""The greatest difference, as a share of an output's range: 1e-4, but the .tflite file has other
numbers. LiteRT's results with it differ from ONNX Runtime's with the .onnx file by 2.5e-4.
"""


@pytest.fixture(scope="module")
def detector(data: Path) -> dict[str, Graph]:
    """The detector by suffix; channels come last in all."""
    stem = data / "models/rfb320_float"
    shapes = {"input": (1, HEIGHT, WIDTH, 3)}
    first = {
        suffix: ew.load(f"{stem}.{suffix}", shapes=shapes, channels_last=True)
        for suffix in ("onnx", "prototxt", "caffemodel", "param", "bin")
    }
    return {**first, "tflite": ew.load(f"{stem}.tflite")}


def picture(path: Path) -> Array:
    """A photograph as the detector takes it, [1, 240, 320, 3]."""
    with Image.open(path) as opened:
        pixels = np.asarray(opened.convert("RGB").resize((WIDTH, HEIGHT)), np.float32)
    return ((pixels - np.float32(127)) / np.float32(128))[None]


def outputs(graph: Graph, x: Array) -> dict[int, Array]:
    """The outputs by the size of their rows: boxes have 4 numbers, scores 2."""
    return {array.shape[-1]: array for array in ew.compile(graph)(x)}


@pytest.mark.data
@pytest.mark.parametrize("photo", ["portrait.jpg", "group.jpg", "face.jpg"])
def test_every_format_gives_the_same(data: Path, detector: dict[str, Graph], photo: str) -> None:
    x = picture(data / "data/images" / photo)
    expected = outputs(detector["onnx"], x)
    assert sorted(expected) == [2, 4]
    assert float(expected[2][..., 1].max()) > 0.9, "a face"
    for suffix, graph in detector.items():
        for size, found in outputs(graph, x).items():
            most = MOST.get(suffix, 1e-4) * float(np.ptp(expected[size]))
            np.testing.assert_allclose(found, expected[size], rtol=0, atol=most, err_msg=suffix)


@pytest.mark.data
def test_the_formats_become_the_same_operators(detector: dict[str, Graph]) -> None:
    counts = {
        suffix: sum(node.op.name.endswith("CONV_2D") for node in ew.optimize(graph).nodes)
        for suffix, graph in detector.items()
    }
    assert set(counts.values()) == {counts["onnx"]}


@pytest.mark.data
def test_no_transpose_remains(detector: dict[str, Graph]) -> None:
    for suffix, graph in detector.items():
        ops = [node.op.name for node in ew.optimize(graph).nodes]
        assert "TRANSPOSE" not in ops, suffix
