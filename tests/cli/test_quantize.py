"""``edgewise quantize``."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import small_networks
from PIL import Image
from test_cli import fails
from typer.testing import Result

import edgewise as ew
from edgewise import profiling, timing
from edgewise.cli import quantize as command
from edgewise.dtype import DType
from edgewise.errors import InputError
from edgewise.quantizer import layer_times
from edgewise.quantizer.measure import Measured
from edgewise.quantizer.observers import OBSERVERS
from edgewise.quantizer.precision import Precision
from edgewise.quantizer.search import Choice
from edgewise.tools import quantize

Edgewise = Callable[..., Result]
Facts = Callable[..., dict[str, Any]]

COLOURS = ("0", "1", "2")
"""Folders of pictures with most red, green, blue: classes, as `Dataset` finds them."""


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timing, "SAMPLE_SECONDS", 1e-4)
    monkeypatch.setattr(timing, "WARM_UP_SECONDS", 1e-3)
    monkeypatch.setattr(profiling, "SECONDS", 0.01)


@pytest.fixture
def colours(tmp_path: Path) -> Path:
    path = tmp_path / "colours.tflite"
    path.write_bytes(small_networks.colours())
    return path


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Folders of four pictures a class."""
    rng = np.random.default_rng(0)
    for channel, name in enumerate(COLOURS):
        folder = tmp_path / "pictures" / name
        folder.mkdir(parents=True)
        for i in range(4):
            pixels = rng.integers(0, 150, (12, 12, 3), np.uint8)
            pixels[..., channel] += 100
            Image.fromarray(pixels).save(folder / f"{i}.png")
    return tmp_path / "pictures"


@pytest.fixture
def out(tmp_path: Path) -> Path:
    folder = tmp_path / "out"
    folder.mkdir()
    return folder / "small.tflite"


@pytest.fixture
def made_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Layers take 100 us in float32 and 40 in other precisions."""

    def layer_seconds(self: Measured, choice: Choice) -> Mapping[str, float]:
        return {n: 1e-4 if p is Precision.FLOAT32 else 4e-5 for n, p in choice.items()}

    def seconds(self: Measured, *choices: Choice) -> list[float]:
        return [sum(layer_seconds(self, choice).values()) for choice in choices]

    monkeypatch.setattr(Measured, "layer_seconds", layer_seconds)
    monkeypatch.setattr(Measured, "seconds", seconds)


def test_writes_integers_that_litert_runs_alike(
    facts: Facts, colours: Path, pictures: Path, out: Path
) -> None:
    found = facts("quantize", colours, "-o", out, "--data", pictures)
    assert found["command"] == "quantize"
    assert found["written"]
    assert found["precision"] == found["recipe"]["precision"] == "int8"
    assert found["samples"] == 12
    assert found["model_bytes"] == colours.stat().st_size
    assert found["output_bytes"] == out.stat().st_size
    layers = found["diagnosis"]["layers"]
    assert {layer["precision"] for layer in layers} == {"int8"}
    operators = ["INPUT", "CONV_2D", "MEAN", "FULLY_CONNECTED", "SOFTMAX"]
    assert [layer["op"] for layer in layers] == operators
    (output,) = found["outputs"]
    assert (output["name"], output["shape"], output["dtype"]) == ("chances", [1, 3], "float32")
    assert output["sqnr_db"] > 25
    assert found["time"]["float_ms"] > 0 < found["time"]["quantized_ms"]
    assert found["verified"]["share"] == 0
    assert found["verified"]["litert"]["within_tolerance"]
    assert (found["metric"], found["search"], found["report"]) == (None, None, None)
    graph = ew.load(out)
    assert {node.outputs[0].type.dtype for node in graph.nodes[:-1]} == {DType.INT8}


def test_tells_what_it_did(edgewise: Edgewise, colours: Path, pictures: Path, out: Path) -> None:
    text = edgewise("quantize", colours, "-o", out, "--data", pictures).stdout
    assert f"{out} written: TensorFlow Lite -> int8, " in text
    assert "1 CONV_2D, 1 MEAN, 1 FULLY_CONNECTED, 1 SOFTMAX" in text
    assert "output chances float32[1x3]: SQNR " in text
    assert "on 12 samples" in text
    assert "layers with most noise of their own" in text
    assert "times as fast (95 % interval" in text
    assert "verified: the file gives the network's outputs, equal to the bit" in text
    assert "verified in LiteRT " in text
    text = edgewise("quantize", colours, "-o", out, "--data", pictures, "--no-verify").stdout
    assert "not verified in LiteRT" in text


@pytest.mark.parametrize("mode", [p.value for p in Precision if p is not Precision.FLOAT32])
def test_modes(facts: Facts, colours: Path, pictures: Path, out: Path, mode: str) -> None:
    words = ("--mode", mode, "--data", pictures, "--no-verify")
    found = facts("quantize", colours, "-o", out, *words)
    assert found["precision"] == mode
    assert found["outputs"][0]["sqnr_db"] is None or found["outputs"][0]["sqnr_db"] > 15
    assert ew.load(out).outputs[0].type.shape == (1, 3)


def test_modes_without_data(edgewise: Edgewise, colours: Path, out: Path) -> None:
    result = edgewise("quantize", colours, "-o", out, "--mode", "float16", "--no-verify")
    assert result.exit_code == 0
    assert "on random inputs" in result.stdout


def test_integer_inputs_and_outputs(facts: Facts, colours: Path, pictures: Path, out: Path) -> None:
    words = ("--data", pictures, "--inputs", "uint8", "--outputs", "int8")
    found = facts("quantize", colours, "-o", out, *words)
    assert found["inputs"][0]["dtype"] == "uint8"
    assert found["outputs"][0]["dtype"] == "int8"
    assert found["outputs"][0]["sqnr_db"] > 25
    graph = ew.load(out)
    assert graph.inputs[0].type.dtype is DType.UINT8
    assert found["verified"]["litert"]["within_tolerance"]


def test_recipes_and_observers(
    facts: Facts, edgewise: Edgewise, colours: Path, pictures: Path, out: Path
) -> None:
    recipe = out.with_name("recipe.json")
    recipe.write_text(
        json.dumps({"layers": [{"ops": ["SOFTMAX"], "precision": "float32"}], "outputs": "float32"})
    )
    words = ("quantize", colours, "-o", out, "--data", pictures, "--no-verify")
    found = facts(*words, "--recipe", recipe, "--observer", "minmax")
    precisions = {layer["op"]: layer["precision"] for layer in found["diagnosis"]["layers"]}
    assert precisions["SOFTMAX"] == "float32"
    assert precisions["CONV_2D"] == "int8"
    assert {"step": "calibrate", "observer": "minmax"} in found["recipe"]["steps"]
    fails(edgewise(*words, "--recipe", recipe, "--mode", "int8"), "--mode int8", "one of the two")
    fails(edgewise(*words, "--mode", "int7"), "--mode int7: unknown; known are", "int16x8")
    fails(edgewise(*words, "--observer", "best"), "--observer best: unknown; known are minmax")
    fails(edgewise(*words, "--mode", "float16", "--observer", "mse"), "no step that calibrates")
    fails(edgewise(*words, "--inputs", "int4"), "--inputs int4", "uint8")
    fails(edgewise(*words, "--recipe", out), "small.tflite", "recipe")


def test_a_metric_on_labelled_data(
    facts: Facts, edgewise: Edgewise, colours: Path, pictures: Path, out: Path
) -> None:
    words = ("quantize", colours, "-o", out, "--data", pictures, "--no-verify")
    metric = facts(*words, "--metric", "top1")["metric"]
    assert metric["samples"] == 12
    assert metric["float"]["value"] == metric["quantized"]["value"] == 100
    assert metric["difference"]["value"] == 0
    assert metric["difference"]["low"] < 0 < metric["difference"]["high"]
    text = edgewise(*words, "--dataset", pictures, "--limit", 6).stdout
    assert f"top1 on {pictures}, 6 samples: 100 % float32, 100 % int8: +0" in text
    assert facts(*words, "--metric", "agreement")["metric"]["quantized"]["value"] == 100
    fails(edgewise(*words, "--metric", "top9"), "top9", "top1")
    fails(edgewise(*words, "--metric", "miou"), "miou", "a map of classes")
    fails(edgewise(*words, "--dataset", pictures / "0"), "no labels were found", "agreement")
    fails(edgewise(*words[:4], "--metric", "top1"), "--dataset or --data says on what")


@pytest.mark.usefixtures("made_up")
def test_a_drop_that_is_kept(facts: Facts, colours: Path, pictures: Path, out: Path) -> None:
    words = ("--data", pictures, "--max-drop", "1e-6", "--no-verify")
    found = facts("quantize", colours, "-o", out, *words)
    search = found["search"]
    assert search["met"]
    assert search["max_drop"] == 1e-6
    assert search["max_latency_ms"] is None
    assert search["drop"] <= 1e-6
    assert search["float_score"] == 100
    assert search["float_ms"] == pytest.approx(0.4)
    assert {layer["name"] for layer in search["layers"]} == {
        *("features", "mean", "scores", "chances")
    }
    for layer in search["layers"]:
        assert layer["ms"]["int8"] == pytest.approx(0.04)
        assert layer["noise"] > 0
    by_name = {layer["name"]: layer["precision"] for layer in found["diagnosis"]["layers"][1:]}
    restored = {layer["name"]: layer["precision"] for layer in search["layers"]}
    assert by_name == restored
    assert set(restored.values()) & {"int16x8", "float32"}
    assert search["trials"][0] == {"what": "float32", "score": 100, "ms": pytest.approx(0.4)}


@pytest.mark.usefixtures("made_up")
def test_a_drop_of_a_metric(edgewise: Edgewise, colours: Path, pictures: Path, out: Path) -> None:
    words = ("--data", pictures, "--metric", "top1", "--max-drop", "0", "--no-verify")
    result = edgewise("quantize", colours, "-o", out, *words)
    assert result.exit_code == 0
    assert "budget kept: 0 points lost of 0; 2 networks tried" in result.stdout
    words = ("--data", pictures, "--metric", "sqnr", "--max-drop", "1", "--no-verify")
    fails(
        edgewise("quantize", colours, "-o", out, *words), "--metric sqnr", "own is inf", "agreement"
    )


@pytest.mark.usefixtures("made_up")
def test_a_time_that_cannot_be_kept(
    edgewise: Edgewise, colours: Path, pictures: Path, out: Path
) -> None:
    words = ("--data", pictures, "--max-latency", "100us", "--no-verify")
    result = edgewise("quantize", colours, "-o", out, *words)
    assert result.exit_code == 1
    assert "budget NOT kept, this is the closest that was found: 0.16 ms of 0.1 ms" in result.stdout
    assert out.exists()
    found = json.loads(edgewise("quantize", colours, "-o", out, *words, "--json").stdout)
    assert not found["search"]["met"]


@pytest.mark.usefixtures("made_up")
def test_a_time_that_float32_keeps(
    edgewise: Edgewise, colours: Path, pictures: Path, out: Path
) -> None:
    words = ("--data", pictures, "--max-latency", "1s", "--no-verify")
    result = edgewise("quantize", colours, "-o", out, *words)
    assert result.exit_code == 0
    assert "note no layer is quantized" in result.stdout
    assert "float32 keeps the time, and nothing is more accurate" in result.stdout


@pytest.mark.parametrize(
    ("text", "seconds"), [("5ms", 5e-3), ("300 us", 3e-4), ("0.25s", 0.25), ("1e1ms", 1e-2)]
)
def test_times(text: str, seconds: float) -> None:
    assert command.parse_time(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["5", "ms", "5min", "", "fast s"])
def test_times_that_are_none(text: str) -> None:
    with pytest.raises(InputError, match="a number with its unit, us, ms, s"):
        command.parse_time(text)


def test_budgets_out_of_range(edgewise: Edgewise, colours: Path, pictures: Path, out: Path) -> None:
    words = ("quantize", colours, "-o", out, "--data", pictures)
    fails(edgewise(*words, "--max-drop", "-1"), "max_drop=-1")
    fails(edgewise(*words, "--max-latency", "0ms"), "max_latency=0")
    fails(edgewise(*words, "--small"), "--small", "--max-drop")
    words = ("quantize", colours, "-o", out, "--mode", "dynamic_range", "--max-drop", 1)
    fails(edgewise(*words), "calibration data is needed")


def test_a_network_that_is_slower_is_told(
    edgewise: Edgewise, colours: Path, pictures: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slow(*_: object) -> list[timing.Timing]:
        return [timing.Timing("a", (1e-3,) * 5, 1), timing.Timing("b", (2e-3,) * 5, 1)]

    monkeypatch.setattr(layer_times, "measure", slow)
    text = edgewise("quantize", colours, "-o", out, "--data", pictures, "--no-verify").stdout
    assert "1.000 ms float32, 2.000 ms int8" in text
    assert "int8 is slower than float32 on this machine, as measured; --max-drop keeps" in text


def test_a_report(facts: Facts, colours: Path, pictures: Path, out: Path) -> None:
    report = out.with_name("report.html")
    words = ("--data", pictures, "--no-verify", "--report", report)
    assert facts("quantize", colours, "-o", out, *words)["report"] == str(report)
    assert "features" in report.read_text(encoding="utf-8")


def test_results_that_differ_in_litert(
    edgewise: Edgewise, colours: Path, pictures: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = quantize.in_litert

    def differ(*words: Any) -> dict[str, Any]:
        return usual(*words) | {"share": 0.7, "within_tolerance": False}

    monkeypatch.setattr(quantize, "in_litert", differ)
    result = edgewise("quantize", colours, "-o", out, "--data", pictures)
    assert result.exit_code == 1
    assert "NOT written" in result.stdout
    assert "differ by at most 0.7 of their range, NOT within the tolerance" in result.stdout
    assert not out.exists()


def array(tmp_path: Path, values: Any) -> Path:
    path = tmp_path / "data.npy"
    np.save(path, values)
    return path


def picture(folder: Path, content: bytes | None = None) -> Path:
    folder.mkdir()
    if content is None:
        Image.new("RGB", (12, 12), "grey").save(folder / "a.png")
    else:
        (folder / "a.png").write_bytes(content)
    return folder


@pytest.mark.parametrize(
    ("make", "parts"),
    [
        (lambda p: p / "absent", ("absent", "no such file")),
        (lambda p: (p / "empty").mkdir() or p / "empty", ("empty",)),
        (lambda p: picture(p / "broken", b"not a picture"), ("a.png", "not a picture")),
        (lambda p: picture(p / "plain"), ("constant",)),
        (
            lambda p: array(p, np.zeros((4, 8, 8, 5), np.float32)),
            ("8, 8, 5", "8, 8, 3"),
        ),
        (lambda p: array(p, np.full((2, 8, 8, 3), np.nan, np.float32)), ("data.npy", "NaN")),
        (lambda p: array(p, np.full((2, 8, 8, 3), np.inf, np.float32)), ("data.npy", "inf")),
        (lambda p: array(p, np.ones((2, 8, 8, 3), np.float32)), ("constant",)),
        (lambda p: array(p, np.array(["a", "b"])), ("data.npy",)),
    ],
)
def test_calibration_data_that_is_no_good(
    edgewise: Edgewise,
    colours: Path,
    tmp_path: Path,
    out: Path,
    make: Callable[[Path], Path],
    parts: tuple[str, ...],
) -> None:
    fails(edgewise("quantize", colours, "-o", out, "--data", make(tmp_path)), *parts)
    assert list(out.parent.iterdir()) == []


def test_what_is_given_wrong(
    edgewise: Edgewise, colours: Path, classifier: Path, pictures: Path, out: Path
) -> None:
    data = ("--data", pictures)
    fails(edgewise("quantize", colours, "-o", out), "int8: calibration data is needed")
    fails(edgewise("quantize", classifier, "-o", out, *data), "quantized already")
    fails(edgewise("quantize", colours, "-o", out.with_suffix(".onnx"), *data), ".onnx", ".tflite")
    fails(edgewise("quantize", colours, "-o", "no/out.tflite", *data), "there is no folder no")
    words = ("quantize", colours, "-o", out, *data)
    fails(edgewise(*words, "--report", out.parent), "it is a folder")
    fails(edgewise(*words, "--fit", "bend"), "--fit bend")
    fails(edgewise(*words, "--pixels", "1,0"), "--pixels 1,0")
    fails(edgewise(*words, "--threads", "none"), "--threads none")
    fails(edgewise("quantize", out, "-o", out, *data), "no such file")
    assert list(out.parent.iterdir()) == []


def test_nothing_takes_the_place_of_a_network(
    edgewise: Edgewise, colours: Path, pictures: Path, out: Path
) -> None:
    content = colours.read_bytes()
    same = colours.parent / "pictures" / ".." / colours.name
    fails(edgewise("quantize", colours, "-o", same, "--data", pictures), "the float network is")
    words = ("quantize", colours, "-o", out, "--data", pictures, "--report")
    fails(edgewise(*words, out), f"{out}: cannot be written: the quantized network is there")
    fails(edgewise(*words, colours), "the float network is there")
    assert colours.read_bytes() == content
    assert list(out.parent.iterdir()) == []


def test_help_names_every_observer(edgewise: Edgewise) -> None:
    """So does that of modes."""
    text = " ".join(edgewise("quantize", "--help").stdout.split())
    for name in (*OBSERVERS, *(p.value for p in Precision if p is not Precision.FLOAT32)):
        assert name in text, name


def test_progress_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    with command._progress() as told:
        told("calibrate", 1, 2)
        told("searching: [layers]", 3, 0)


@pytest.mark.skipif(os.name != "posix", reason="signals")
@pytest.mark.parametrize("before", [None, b"before"])
def test_an_interrupted_run_leaves_no_file(
    colours: Path, tmp_path: Path, out: Path, before: bytes | None
) -> None:
    """It is stopped while the file is being written; what was there before stays."""
    if before is not None:
        out.write_bytes(before)
    code = (
        "import contextlib, signal, time\n"
        "from edgewise import exporters\n"
        "from edgewise.cli import app\n"
        "class Slow:\n"
        "    def __init__(self, file): self.file = file\n"
        "    def write(self, content):\n"
        "        self.file.write(content[:100]); self.file.flush()\n"
        "        print('writing', flush=True); time.sleep(60)\n"
        "usual = exporters.written_whole\n"
        "@contextlib.contextmanager\n"
        "def slow(path):\n"
        "    with usual(path) as file: yield Slow(file)\n"
        "exporters.written_whole = slow\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)  # background jobs ignore it\n"
        "app()\n"
    )
    values = np.random.default_rng(0).normal(size=(8, 8, 8, 3)).astype(np.float32)
    data = array(tmp_path, values)
    words = ["quantize", str(colours), "-o", str(out), "--data", str(data), "--no-verify"]
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", code, *words], stdout=pipe, stderr=pipe) as child:
        try:
            assert child.stdout is not None
            assert child.stdout.readline() == b"writing\n"
            assert len(list(out.parent.iterdir())) == (1 if before is None else 2)
            child.send_signal(signal.SIGINT)
            child.communicate(timeout=30)
        finally:
            child.kill()
    assert child.returncode == 130
    assert [p.name for p in out.parent.iterdir()] == ([] if before is None else [out.name])
    assert before is None or out.read_bytes() == before


@pytest.mark.data
def test_a_real_network(
    facts: Facts, data: Path, out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Calibrated and scored on photographs, not the same ones."""
    photographs = data / "data/imagenet500"
    labels = (photographs / "labels.csv").read_text().splitlines()
    (tmp_path / "tested").mkdir()
    for row in labels[1:31]:
        file = next(word for word in row.split(",") if word.endswith((".jpg", ".jpeg", ".png")))
        (tmp_path / "tested" / file).symlink_to(photographs / file)
    (tmp_path / "tested/labels.csv").write_text("\n".join(labels[:31]))
    (tmp_path / "calibration").mkdir()
    for path in sorted(photographs.glob("*.jp*g"))[-8:]:
        (tmp_path / "calibration" / path.name).symlink_to(path)
    words = ("--data", tmp_path / "calibration", "--dataset", tmp_path / "tested")
    model = data / "models/mobilenet_v1_0.25_224_float.tflite"
    found = facts("quantize", model, "-o", out, *words, "--metric", "top1")
    assert found["output_bytes"] < 0.33 * model.stat().st_size
    assert found["metric"]["samples"] == 30
    assert found["metric"]["quantized"]["value"] > found["metric"]["float"]["value"] - 15
    assert found["verified"]["share"] == 0
    assert found["verified"]["litert"]["within_tolerance"]
    assert {layer["precision"] for layer in found["diagnosis"]["layers"]} == {"int8"}
