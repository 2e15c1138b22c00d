"""What remains to transpose in real NCHW networks."""

from __future__ import annotations

from itertools import takewhile
from pathlib import Path

import pytest
from nchw import moved
from small_graphs import check

import edgewise as ew
from edgewise.graph import Graph, Shapes
from edgewise.passes import PIPELINE, choose_layout, minimize_transposes, optimize

pytestmark = pytest.mark.data

ONE_INPUT = (
    "mtcnn_det1_float.prototxt",
    "mtcnn_det2_float.prototxt",
    "mtcnn_det3_float.prototxt",
    "pfld_float.onnx",
    "rfb320_float.onnx",
    "rfb320_float.prototxt",
    "yunet_n_float.onnx",
)
NONE = ("basic_pitch_float.onnx", "basic_pitch_float.tflite", "mnist_cnn_float.onnx")


def before(path: Path, shapes: Shapes | None = None) -> Graph:
    """A network as the pass meets it."""
    graph = ew.load(path, shapes=shapes)
    for step in takewhile(lambda step: step is not minimize_transposes, PIPELINE):
        graph = step(graph)
    return graph


@pytest.mark.parametrize("name", ONE_INPUT)
def test_the_picture_alone_is_turned(data: Path, name: str) -> None:
    graph = before(data / "models" / name)
    report = choose_layout(graph)[1]
    assert report.proven
    assert [t.written for t in report.remaining] == [f"input {graph.inputs[0].name!r}"]
    assert report.nbytes == graph.inputs[0].type.nbytes


@pytest.mark.parametrize("name", NONE)
def test_nothing_is_turned(data: Path, name: str) -> None:
    assert choose_layout(before(data / "models" / name))[1].remaining == ()


def test_outputs_are_turned_where_the_file_wants_it(data: Path) -> None:
    report = choose_layout(before(data / "models" / "fastestdet_float.onnx"))[1]
    assert report.proven
    assert [t.read for t in report.remaining] == [
        "CONV_2D 'Conv_0'",
        "output '758'",
        "output '758'",
    ]


def test_halves_of_shuffled_channels_are_slices(data: Path) -> None:
    path = data / "models" / "fastestdet_float.param"
    report = choose_layout(before(path, {"input.1": (1, 3, 352, 352)}))[1]
    assert report.proven
    assert len(report.remaining) == 3
    assert report.absorbed > report.nbytes


@pytest.mark.parametrize(
    ("name", "most"),
    [("gtcrn_stream_float.onnx", 120_000), ("sinet_segmentation_float.onnx", 2_100_000)],
)
def test_what_the_file_itself_shuffles_stays(data: Path, name: str, most: int) -> None:
    report = choose_layout(before(data / "models" / name))[1]
    assert report.proven
    assert report.nbytes < most < report.before


@pytest.mark.parametrize("name", ["mnist_cnn_float.onnx", "mtcnn_det1_float.prototxt"])
def test_networks_give_the_same_answers(data: Path, name: str) -> None:
    graph = check(optimize, ew.load(data / "models" / name), tolerance=1e-4)
    assert moved(graph) <= graph.inputs[0].type.nbytes
