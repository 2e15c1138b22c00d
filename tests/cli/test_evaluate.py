"""``edgewise evaluate``: figures, intervals, models and engines side by side."""

from __future__ import annotations

import csv
import math
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import small_networks
from PIL import Image
from typer.testing import Result

import edgewise as ew
from edgewise.cli.tables import number
from edgewise.data import Samples
from edgewise.dtype import DType, QParams
from edgewise.errors import InputError
from edgewise.graph import TensorType, Value
from edgewise.tools.evaluate import reference_places
from tflite_builder import Operator, Tensor, build
from tflite_networks import accumulator

Edgewise = Callable[..., Result]
Facts = Callable[..., dict[str, Any]]

COUNT = 12


def fails(result: Result, *parts: str) -> None:
    assert result.exit_code == 2
    assert result.stdout == ""
    (line,) = [x for x in result.stderr.splitlines() if not x.startswith("INFO: ")]
    for part in parts:
        assert part in line


@pytest.fixture
def photographs(tmp_path: Path, classifier: Path) -> Path:
    """Pictures with labels: the network's own answers, but for every third."""
    folder = tmp_path / "photographs"
    folder.mkdir()
    rng = np.random.default_rng(11)
    for i in range(COUNT):
        levels = rng.integers(0, 256, (4, 4, 3)).astype(np.uint8)
        Image.fromarray(levels).resize((40, 30), Image.Resampling.NEAREST).save(
            folder / f"{i:02}.png"
        )
    graph = ew.load(classifier)
    program = ew.compile(graph)
    best = [int(program(*x).argmax()) for x in Samples.of(folder, graph)]
    rows = [f"{i:02}.png,{(b + (i % 3 == 0)) % 5},x" for i, b in enumerate(best)]
    (folder / "labels.csv").write_text("\n".join(["file,class_index,name", *rows]))
    return folder


@pytest.fixture
def other(tmp_path: Path) -> Path:
    """A network of the classifier's inputs and outputs that knows nothing."""
    path = tmp_path / "other.tflite"
    path.write_bytes(small_networks.classifier(size=32))
    return path


def averager(dtype: DType, quant: QParams | None = None, name: str = "picture") -> bytes:
    """picture [1,8,8,3] -> the mean of its pixels [1,3]."""
    picture = Tensor(TensorType((1, 8, 8, 3), dtype, quant), name=name)
    mean = Tensor(TensorType((1, 3), dtype, quant), name="mean")
    axes = Tensor(TensorType((2,), DType.INT32), np.array([1, 2], np.int32), "axes")
    fields = {"KeepDims": False}
    step = Operator("MEAN", (picture, axes), (mean,), "ReducerOptions", fields)
    return build([step], [picture], [mean])


def test_one_network(facts: Facts, classifier: Path, photographs: Path) -> None:
    found = facts("evaluate", classifier, photographs)
    assert found["command"] == "evaluate"
    assert (found["samples"], found["target"], found["reference"]) == (COUNT, "class", None)
    assert [m["name"] for m in found["metrics"]] == ["top1"]
    (result,) = found["results"]
    figure = result["figures"]["top1"]
    assert figure["value"] == pytest.approx(100 * 8 / 12)
    assert figure["low"] == pytest.approx(39.06, abs=0.01)
    assert figure["high"] == pytest.approx(86.19, abs=0.01)
    assert result["label_offset"] == 0
    assert result["file_bytes"] == classifier.stat().st_size
    assert 0 < result["quartiles_ms"][0] <= result["median_ms"] <= result["quartiles_ms"][1]
    assert "differences" not in result


def test_models_may_be_those_of_edgewise(
    edgewise: Edgewise, classifier: Path, photographs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edgewise.models.path", lambda name: classifier)
    shown = edgewise("evaluate", "cifar10", photographs, "--reference", "cifar10").stdout
    assert "classifier.tflite" in shown
    assert "infinite dB" in shown


def test_networks_side_by_side(
    facts: Facts, edgewise: Edgewise, classifier: Path, other: Path, photographs: Path
) -> None:
    words = ("evaluate", classifier, other, photographs, "--metric", "top1,class-accuracy")
    first, second = facts(*words)["results"]
    change = second["differences"]["top1"]
    values = [r["figures"]["top1"]["value"] for r in (first, second)]
    assert change["value"] == pytest.approx(values[1] - values[0])
    assert change["low"] <= change["value"] <= change["high"]
    assert 0 < change["p_value"] <= 1
    assert second["differences"]["class-accuracy"]["p_value"] is None
    shown = edgewise(*words).stdout
    for part in (
        "classifier.tflite",
        "other.tflite",
        "66.67 %",
        "39.06 to 86.19",
        change["verdict"],
    ):
        assert part in shown


def test_the_same_twice(facts: Facts, classifier: Path, other: Path, photographs: Path) -> None:
    def figures() -> list[Any]:
        words = ("--metric", "class-accuracy,top5", "--metric", "top1")
        results = facts("evaluate", classifier, other, photographs, *words)["results"]
        return [(r["figures"], r.get("differences")) for r in results]

    assert figures() == figures()


def test_against_a_reference(facts: Facts, convolver: Path, photographs: Path) -> None:
    words = ("--metric", "sqnr,mse,cosine", "--limit", 4)
    found = facts("evaluate", convolver, photographs, "--reference", convolver, *words)
    assert (found["samples"], found["reference"]) == (4, str(convolver))
    figures = found["results"][0]["figures"]
    assert figures["sqnr"] == {"value": None, "low": None, "high": None}
    assert figures["mse"] == {"value": 0, "low": 0, "high": 0}
    assert figures["cosine"]["value"] == pytest.approx(1)


def test_without_labels(
    facts: Facts, edgewise: Edgewise, classifier: Path, photographs: Path
) -> None:
    (photographs / "labels.csv").unlink()
    found = facts("evaluate", classifier, photographs, "--reference", classifier)
    assert (found["target"], [m["name"] for m in found["metrics"]]) == (None, ["sqnr"])
    shown = edgewise("evaluate", classifier, photographs, "--reference", classifier).stdout
    assert "infinite dB" in shown
    fails(edgewise("evaluate", classifier, photographs), "no labels were found; --reference MODEL")


def test_outputs_as_labels(
    facts: Facts, edgewise: Edgewise, convolver: Path, tmp_path: Path
) -> None:
    x = np.random.default_rng(4).random((5, 6, 6, 3)).astype(np.float32)
    program = ew.compile(ew.load(convolver))
    labels = np.stack([program(each[None])[0] for each in x]) + np.float32(0.5)
    np.savez(tmp_path / "x.npz", x=x, labels=labels)
    words = ("evaluate", convolver, tmp_path / "x.npz")
    found = facts(*words)
    assert (found["target"], found["reference"]) == ("outputs", None)
    assert found["results"][0]["figures"]["mse"]["value"] == pytest.approx(0.25)
    fails(edgewise(*words, "--reference", convolver), "has outputs to compare with itself")


def test_maps_of_classes(facts: Facts, segmenter: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    x = rng.integers(0, 256, (5, 12, 12, 3)).astype(np.uint8)
    program = ew.compile(ew.load(segmenter))
    labels = np.stack([program(each[None])[0].argmax(-1) for each in x]).astype(np.uint8)
    labels[:, 0] = 255
    np.savez(tmp_path / "x.npz", picture=x, labels=labels)
    found = facts("evaluate", segmenter, tmp_path / "x.npz", "--metric", "miou,pixel-accuracy")
    for figure in found["results"][0]["figures"].values():
        assert figure == {"value": 100, "low": 100, "high": 100}


def test_ranges_of_pixels_that_differ_are_told(
    facts: Facts, edgewise: Edgewise, tmp_path: Path, photographs: Path
) -> None:
    real, quantized = tmp_path / "real.tflite", tmp_path / "quantized.tflite"
    real.write_bytes(averager(DType.FLOAT32))
    quantized.write_bytes(averager(DType.UINT8, QParams.per_tensor(1 / 255, 0)))
    words = ("evaluate", quantized, photographs, "--reference", real, "--metric", "sqnr")
    found = facts(*words)
    ranges = {str(real): [-1, 1], str(quantized): [0, 1]}
    assert found["pixels"] == {name: pytest.approx(each) for name, each in ranges.items()}
    assert found["results"][0]["figures"]["sqnr"]["value"] < 10
    note = "black and white become -1,1 for real.tflite; 0,1 for quantized.tflite; --pixels"
    assert note in edgewise(*words).stdout
    words = (*words, "--pixels", "0,1")
    assert facts(*words)["results"][0]["figures"]["sqnr"]["value"] > 30
    assert "black and white" not in edgewise(*words).stdout


def test_shapes_are_for_all_models_or_for_one(
    facts: Facts, edgewise: Edgewise, tmp_path: Path, photographs: Path
) -> None:
    first, second = tmp_path / "first.tflite", tmp_path / "second.tflite"
    first.write_bytes(averager(DType.FLOAT32))
    second.write_bytes(averager(DType.FLOAT32, name="image"))
    words = ("evaluate", first, photographs, "--reference", second, "--metric", "mse")

    def error(*shapes: object) -> float:
        options = [word for shape in shapes for word in ("--shape", shape)]
        found: float = facts(*words, *options)["results"][0]["figures"]["mse"]["value"]
        return found

    assert error() == 0
    assert error("first.tflite:picture=1,4,4,3") > 0
    both = ("first.tflite:picture=1,4,4,3", f"{second}:image=1,4,4,3")
    assert error(*both) == 0
    assert error(*both[:1], f"{tmp_path}/./second.tflite:image=1,4,4,3") == 0
    result = edgewise(*words, "--shape", "picture=1,4,4,3")
    fails(result, "second.tflite: no input is named 'picture'", "['image']", "and a colon")
    result = edgewise(*words, "--shape", "second.tflite:picture=1,4,4,3")
    fails(result, "no input is named 'picture'")
    result = edgewise(*words[:3], "--metric", "top1", "--shape", "image=1,4,4,3")
    fails(result, "first.tflite: no input is named 'image'")
    assert "colon" not in result.stderr


def test_folders_that_are_not_all_classes_are_told(
    facts: Facts, edgewise: Edgewise, classifier: Path, tmp_path: Path, photographs: Path
) -> None:
    for index, name in enumerate(("warm", "hot")):
        folder = tmp_path / "folders" / name
        folder.mkdir(parents=True)
        (photographs / f"0{index}.png").rename(folder / "x.png")
    words = ("evaluate", classifier, tmp_path / "folders")
    (note,) = facts(*words)["notes"]
    assert note.startswith("2 folders are numbered in order, and a network has 5 classes; --labels")
    assert "note 2 folders" in edgewise(*words).stdout
    names = tmp_path / "names.txt"
    names.write_text("\n".join(small_networks.LABELS))
    table = tmp_path / "samples.csv"
    assert facts(*words, "--labels", names, "--save", table)["notes"] == []
    rows = csv.DictReader(table.read_text().splitlines())
    assert {Path(row["sample"]).parent.name: row["label"] for row in rows} == {
        "hot": "2",
        "warm": "1",
    }


def test_formats_meet_by_name_place_or_size() -> None:
    def outputs(**sizes: int) -> list[Value]:
        return [Value(n, TensorType((1, s), DType.FLOAT32)) for n, s in sizes.items()]

    reference = outputs(a=4, b=2)
    assert reference_places(outputs(b=4, a=2), reference) == [1, 0]
    assert reference_places(outputs(x=4, y=2), reference) == [0, 1]
    assert reference_places(outputs(x=2, y=4), reference) == [1, 0]
    assert reference_places(outputs(x=3, y=4), reference) == [0, 1]
    assert reference_places(outputs(x=2, y=4), outputs(a=3, b=3)) == [0, 1]
    with pytest.raises(InputError, match="it has 2 outputs, a model 1"):
        reference_places(outputs(a=4), reference)


def test_variables_start_anew(facts: Facts, edgewise: Edgewise, tmp_path: Path) -> None:
    model = tmp_path / "sums.tflite"
    model.write_bytes(accumulator())
    (x,) = ew.load(model).inputs
    np.save(tmp_path / "x.npy", np.arange(1, 13, dtype=np.float32).reshape(-1, *x.type.shape))
    words = (model, tmp_path / "x.npy", "--reference", model, "--metric", "mse")
    (result,) = facts("evaluate", *words)["results"]
    assert result["figures"]["mse"]["value"] == 0
    fails(edgewise("evaluate", *words, "--engine", "litert"), "--engine litert", "has variables")


def test_engines_side_by_side(facts: Facts, classifier: Path, photographs: Path) -> None:
    pytest.importorskip("ai_edge_litert")
    words = ("--engine", "edgewise,native")
    ours, theirs = facts("evaluate", classifier, photographs, *words)["results"]
    assert (ours["engine"], theirs["engine"].split()[0]) == ("Edgewise", "LiteRT")
    assert theirs["figures"] == ours["figures"]
    change = theirs["differences"]["top1"]
    assert (change["value"], change["p_value"], change["verdict"]) == (0, 1, "even")


def test_each_sample_is_told(
    facts: Facts, edgewise: Edgewise, classifier: Path, other: Path, photographs: Path
) -> None:
    table = photographs / "samples.csv"
    words = (classifier, other, photographs, "--metric", "top1,top5", "--save", table)
    found = facts("evaluate", *words)
    assert found["saved"] == str(table)
    rows = list(csv.DictReader(table.read_text().splitlines()))
    assert [row["model"] for row in rows] == [str(classifier)] * COUNT + [str(other)] * COUNT
    labels = csv.DictReader((photographs / "labels.csv").read_text().splitlines())
    expected = [(str(photographs / row["file"]), row["class_index"]) for row in labels]
    assert [(row["sample"], row["label"]) for row in rows] == expected * 2
    assert all((row["class"] == row["label"]) == (row["top1"] == "1.0") for row in rows)
    right = sum(float(row["top1"]) for row in rows[:COUNT])
    assert right / COUNT * 100 == pytest.approx(found["results"][0]["figures"]["top1"]["value"])
    assert f"{table} written" in edgewise("evaluate", *words).stdout


def test_labels_may_be_moved(
    facts: Facts, edgewise: Edgewise, classifier: Path, photographs: Path
) -> None:
    table = photographs / "labels.csv"
    rows = [row.split(",") for row in table.read_text().splitlines()]
    moved = [[file, str(int(label) + 3), name] for file, label, name in rows[1:]]
    table.write_text("\n".join(",".join(row) for row in [rows[0], *moved]))
    fails(edgewise("evaluate", classifier, photographs), "the network has 5 classes")
    words = ("evaluate", classifier, photographs, "--label-offset=-3")
    (result,) = facts(*words)["results"]
    assert result["label_offset"] == -3
    assert result["figures"]["top1"]["value"] == pytest.approx(100 * 8 / 12)
    assert "labels moved by -3 for classifier.tflite" in edgewise(*words).stdout


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["--metric", "f1"], ["metric 'f1': unknown; known are top1"]),
        (["--metric", "miou"], ["metric miou needs a map", "has a class of each sample"]),
        (["--metric", "sqnr"], ["--metric sqnr: it needs --reference MODEL"]),
        (["--engine", "abacus"], ["--engine abacus: unknown; known are edgewise, native, litert"]),
        (["--engine", "onnxruntime"], ["--engine onnxruntime: ", "classifier.tflite"]),
        (["--output", "x"], ["output 'x': unknown; the network has chances"]),
        (["--reference", "absent.tflite", "--metric", "mse"], ["absent.tflite"]),
        (["--fit", "x"], ["--fit x"]),
        (["--pixels", "1"], ["--pixels 1"]),
        (["--threads", "0"], ["--threads 0"]),
        (["--save", "x.txt"], ["--save x.txt: the name must end in .csv"]),
        (["--save", "absent/x.csv"], ["absent/x.csv: cannot be written: there is no such folder"]),
        (["--labels", "absent.txt"], ["absent.txt: no such file"]),
    ],
)
def test_what_does_not_fit(
    edgewise: Edgewise, classifier: Path, photographs: Path, words: list[str], parts: list[str]
) -> None:
    if "onnxruntime" in words:
        pytest.importorskip("onnxruntime")
    fails(edgewise("evaluate", classifier, photographs, *words), *parts)


def test_files_that_do_not_fit(
    edgewise: Edgewise, classifier: Path, convolver: Path, adder: Path, photographs: Path
) -> None:
    fails(edgewise("evaluate", "absent.tflite", photographs), "absent.tflite")
    fails(edgewise("evaluate", classifier, "absent"), "absent: no such file or folder")
    fails(edgewise("evaluate", adder, photographs), "one input; a .npz holds those", "left, right")
    fails(edgewise("evaluate", convolver, photographs), "is no list of class scores")
    words = ("--reference", convolver, "--metric", "mse")
    fails(edgewise("evaluate", classifier, photographs, *words), "those of the reference are")
    words = ("--weights", "x.bin")
    fails(edgewise("evaluate", classifier, classifier, photographs, *words), "--weights")
    (photographs / "03.png").write_bytes(b"no picture")
    fails(edgewise("evaluate", classifier, photographs), "03.png: not a picture")


@pytest.mark.data
def test_known_networks(facts: Facts, data: Path) -> None:
    """Forty photographs; of all 500 these have 87.6, 86.4 and 56.2 %."""
    names = ("v2_1.0_224_quant", "v2_1.0_224_int8", "v1_0.25_224_float")
    models = [data / f"models/mobilenet_{name}.tflite" for name in names]
    photographs = data / "data/imagenet500"
    words = ("--limit", 40, "--metric", "top1", "--threads", "auto")
    results = facts("evaluate", *models, photographs, *words)["results"]
    assert [r["label_offset"] for r in results] == [1, 1, 1]
    for result, known in zip(results, (87.6, 86.4, 56.2), strict=True):
        figure = result["figures"]["top1"]
        assert figure["low"] < known < figure["high"]
    assert results[1]["differences"]["top1"]["verdict"] == "even"
    assert results[2]["differences"]["top1"]["verdict"] == "worse"


def test_one_colour_is_data_too(facts: Facts, classifier: Path, tmp_path: Path) -> None:
    Image.new("RGB", (9, 9), "red").save(tmp_path / "x.png")
    found = facts("evaluate", classifier, tmp_path / "x.png", "--reference", classifier)
    assert found["samples"] == 1


def test_names_that_are_no_text_are_saved(
    facts: Facts, classifier: Path, photographs: Path, tmp_path: Path
) -> None:
    folder, table = tmp_path / "é", tmp_path / "x.csv"
    (folder / "2").mkdir(parents=True)
    name = os.fsencode(folder / "2") + b"/\xff.png"
    os.rename(photographs / "00.png", name)
    facts("evaluate", classifier, folder, "--save", table)
    assert name in table.read_bytes()


def test_an_error_names_the_sample_and_the_model(
    edgewise: Edgewise, convolver: Path, photographs: Path
) -> None:
    result = edgewise("evaluate", convolver, photographs)
    fails(result, f"{photographs / '00.png'}, convolver.tflite: output of shape")


def test_models_of_one_name_are_told_apart(
    edgewise: Edgewise,
    classifier: Path,
    photographs: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in "ab":
        Path(name).mkdir()
        shutil.copy(classifier, Path(name) / "x.tflite")
    words = ("a/x.tflite", "b/x.tflite", photographs)
    shown = edgewise("evaluate", *words, "--metric", "top5").stdout
    assert all(f"{name}/x.tflite" in shown for name in "ab")


def test_what_has_no_figure_is_told(
    facts: Facts, edgewise: Edgewise, segmenter: Path, tmp_path: Path
) -> None:
    x = np.random.default_rng(3).integers(0, 256, (2, 12, 12, 3)).astype(np.uint8)
    np.savez(tmp_path / "x.npz", picture=x, labels=np.full((2, 3, 3), 255))
    words = ("evaluate", segmenter, tmp_path / "x.npz")
    found = facts(*words)
    assert found["results"][0]["figures"]["miou"] == {"value": None, "low": None, "high": None}
    assert found["notes"] == ["miou: none; it takes pixels with labels"]
    shown = edgewise(*words).stdout
    assert "- %" in shown
    assert "- to -" not in shown


def test_outputs_with_nan_are_told(facts: Facts, edgewise: Edgewise, tmp_path: Path) -> None:
    x, y = (Tensor(TensorType((1, 3), DType.FLOAT32), name=name) for name in "xy")
    model = tmp_path / "log.tflite"
    model.write_bytes(build([Operator("LOG", (x,), (y,))], [x], [y]))
    given = np.array([[1, 2, 3], [1, -1, 2]], np.float32)
    np.savez(tmp_path / "x.npz", x=given, labels=np.abs(given))
    words = ("evaluate", model, tmp_path / "x.npz", "--metric", "sqnr")
    found = facts(*words)
    assert found["notes"] == ["log.tflite in Edgewise: outputs have NaN for 1 of 2 samples"]
    assert found["results"][0]["figures"]["sqnr"]["value"] is None
    assert "- dB" in edgewise(*words).stdout


def test_numbers_in_tables() -> None:
    found = [number(each) for each in (None, math.inf, -math.inf, math.nan, 12.0)]
    assert found == ["infinite", "infinite", "-infinite", "-", "12"]
    assert number(1.0, "+.2f") == "+1.00"
