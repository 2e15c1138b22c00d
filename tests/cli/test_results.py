"""What outputs mean: classes, maps, labels, and the pictures drawn of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgewise.data.arrays import dequantize
from edgewise.dtype import DType, QParams
from edgewise.errors import InputError
from edgewise.graph import TensorType
from edgewise.tools.drawing import annotate, class_color, overlay
from edgewise.tools.results import (
    Classes,
    ClassMap,
    Numbers,
    Scored,
    fit_labels,
    interpret,
    read_labels,
)


def test_dequantize_per_tensor_and_per_channel() -> None:
    array = np.array([[0, 10], [20, 30]], np.uint8)
    whole = TensorType((2, 2), DType.UINT8, QParams.per_tensor(0.5, 10))
    np.testing.assert_array_equal(dequantize(array, whole), [[-5, 0], [5, 10]])
    channels = TensorType((2, 2), DType.UINT8, QParams((1.0, 2.0), (0, 10), axis=1))
    np.testing.assert_array_equal(dequantize(array, channels), [[0, 0], [20, 40]])


def test_top_classes_with_probabilities() -> None:
    type = TensorType((1, 4), DType.UINT8, QParams.per_tensor(1 / 256, 0))
    array = np.array([[16, 128, 16, 96]], np.uint8)
    result = interpret(array, type, {1: "one", 3: "three"}, 3)
    assert result == Classes(
        (Scored(1, "one", 0.5), Scored(3, "three", 0.375), Scored(0, "", 0.0625)), True
    )


def test_scores_that_are_no_probabilities() -> None:
    result = interpret(np.array([[-1.0, 4.0]]), TensorType((1, 2), DType.FLOAT64), {}, 5)
    assert isinstance(result, Classes)
    assert not result.probabilities


@pytest.mark.parametrize("of_scores", [True, False])
def test_class_maps(of_scores: bool) -> None:
    classes = np.zeros((1, 4, 5), np.int64)
    classes[0, 1:3, :] = 2
    array = np.eye(4, dtype=np.float32)[classes] if of_scores else classes
    type = TensorType(array.shape, DType.of(array))
    result = interpret(array, type, {2: "bird"}, 5)
    assert isinstance(result, ClassMap)
    np.testing.assert_array_equal(result.classes, classes[0])
    assert result.areas == (Scored(0, "", 0.5), Scored(2, "bird", 0.5))


def test_other_outputs_are_numbers() -> None:
    array = np.arange(12, dtype=np.float32).reshape(1, 2, 2, 3)
    assert interpret(array, TensorType(array.shape, DType.FLOAT32), {}, 5) == Numbers(0, 5.5, 11)
    empty = np.zeros((1, 0), np.float32)
    assert interpret(empty, TensorType((1, 0), DType.FLOAT32), {}, 5) == Numbers(0, 0, 0)


def test_label_files(tmp_path: Path) -> None:
    plain, numbered, table = (tmp_path / n for n in ("plain.txt", "numbered.txt", "labels.csv"))
    plain.write_text("background\ntench, Tinca tinca\n\nray\n", encoding="utf-8")
    assert read_labels(plain) == {0: "background", 1: "tench, Tinca tinca", 3: "ray"}
    numbered.write_text("0  cat\n17 small dog\n")
    assert read_labels(numbered) == {0: "cat", 17: "small dog"}
    table.write_text("file,class_index,name\na.jpg,4,great_white\nb.jpg,2,ray\n")
    assert read_labels(table) == {4: "great white", 2: "ray"}


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", b"index,label\n1,x\n", "class_index and name"),
        ("b.csv", b"class_index,name\nx,y\n", "line 2"),
        ("c.csv", b"class_index,name\n5\n", "line 2"),
        ("d.txt", b"\xff\xfe\xfa", "cannot be read"),
    ],
)
def test_bad_label_files(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=message):
        read_labels(tmp_path / name)


def test_absent_label_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        read_labels(tmp_path / "absent.txt")


def test_a_background_class_moves_imagenet_labels() -> None:
    labels = {0: "tench", 998: "ear"}
    assert fit_labels(labels, 1001) == {0: "background", 1: "tench", 999: "ear"}
    assert fit_labels(labels, 1000) == labels
    complete = {0: "background", 1: "tench"}
    assert fit_labels(complete, 1001) == complete
    assert fit_labels({1000: "x"}, 1001) == {1000: "x"}


def test_overlay_leaves_the_background_clear() -> None:
    classes = np.array([[0, 3]], np.int64)
    picture = np.asarray(overlay(Image.new("RGB", (20, 10), "white"), classes))
    assert picture[:, :10].min() == 255
    assert (picture[:, 10:] == picture[0, 10]).all()
    assert picture[0, 10].min() < 200


def test_neighbouring_classes_have_distinct_colors() -> None:
    colors = np.array([class_color(c) for c in range(21)], float)
    distance = np.abs(colors[1:] - colors[:-1]).sum(axis=1)
    assert distance.min() > 60


@pytest.mark.parametrize(
    "result",
    [
        Classes((Scored(1, "cat", 0.9), Scored(2, "\u732b", 0.1)), True),
        Classes((Scored(1, "cat", -4.0), Scored(2, "", -7.0)), False),
        ClassMap(np.array([[0, 1]]), (Scored(0, "", 0.5), Scored(1, "cat", 0.5))),
        Numbers(0.0, 1.0, 2.0),
    ],
)
def test_annotated_pictures(result: Classes | ClassMap | Numbers) -> None:
    picture = annotate(Image.new("RGB", (100, 50), "white"), result, "a caption")
    assert picture.width == 640
    rows = 0 if isinstance(result, Numbers) else 2
    assert picture.height == 320 + 32 + 34 * (rows + 1)
    if isinstance(result, Classes) and result.probabilities:
        panel = np.asarray(picture)[320:]
        assert (panel == (64, 132, 214)).all(axis=2).sum() > 1000


def test_a_tall_photograph_stays_within_the_panel() -> None:
    picture = annotate(Image.new("RGB", (100, 400), "white"), Numbers(0.0, 1.0, 2.0), "tall")
    assert picture.size == (640, 480 + 32 + 34)
    row = np.asarray(picture)[100, :, 0]
    assert (row == 255).sum() == 120
    assert row[0] < 50
    assert row[320] == 255
