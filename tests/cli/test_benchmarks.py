"""The benchmarks' command, its document, page and plot, on made-up timings and on real ones."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from benchmarks.networks import agreement, match, page, plot, summary
from benchmarks.networks.__main__ import app, inputs_of
from benchmarks.networks.peers import CONTESTANTS
from benchmarks.networks.worker import Opened, Worker
from small_networks import classifier as classifier_file
from typer.testing import CliRunner

from edgewise.dtype import DType, QParams
from edgewise.errors import InputError
from edgewise.graph import Graph, TensorType, Value
from networks import classifier


def entry(name: str, kind: str, threads: int, **medians: float) -> dict[str, Any]:
    """A network's results: milliseconds by contestant, dashes in whose names are underscores."""
    times = {key.replace("_", "-"): value for key, value in medians.items()}
    ours = times["edgewise"]
    return {
        "network": name,
        "kind": kind,
        "threads": threads,
        "timings": {
            key: {"name": key.title(), "path": "its path", "median_ms": value}
            for key, value in times.items()
        },
        "ratios": {
            key: {"value": value / ours, "low": 0.9 * value / ours, "high": 1.1 * value / ours}
            for key, value in times.items()
            if key != "edgewise"
        },
        "missing": {key: "has no such layer" for key in ("ncnn", "mnn") if key not in times},
    }


DOCUMENT: dict[str, Any] = {
    "schema": 1,
    "edgewise": "0.1.0",
    "date": "2026-11-21",
    "machine": {
        "cpu": "A processor",
        "cores": 2,
        "isa": "avx2",
        "caches": {"L1": "32K"},
        "system": "Linux 6.1",
        "python": "3.11.0",
        "llvm": "22.1.0",
    },
    "versions": {},
    "settings": {"rounds": 5, "seed": 0, "isa": None, "threads": [1, 2]},
    "results": [
        entry("one", "float", 1, edgewise=1.0, litert=2.0, openvino=4.0, mnn=0.5),
        entry("two", "float", 1, edgewise=2.0, litert=6.0, openvino_default=1.0),
        entry("one", "float", 2, edgewise=0.5, litert=1.5, mnn=1.0),
        entry("mobilenet_v2_1.0_224_int8", "quantized", 1, edgewise=4.0, litert=10.0, openvino=6),
    ],
}


def outcome(number: int, threads: int = 1) -> summary.Outcome:
    found = summary.outcome(summary.GOALS[number], DOCUMENT["results"], threads)
    assert found is not None
    return found


def test_summary_takes_the_fastest_peer_of_each_network() -> None:
    assert (outcome(0).value, outcome(0).is_met) == (2.5, True)
    assert (outcome(1).value, outcome(1).is_met) == (1.5, False)
    assert outcome(4).value == pytest.approx((2.0 * 3.0) ** 0.5)
    assert outcome(5).value == pytest.approx((0.5 * 3.0) ** 0.5)
    assert (outcome(-1).value, outcome(-1).worst) == (0.5, "one")
    assert summary.outcome(summary.GOALS[2], DOCUMENT["results"], 1) is None
    assert summary.outcome(summary.GOALS[6], DOCUMENT["results"], 1) is None


def test_bf16_is_compared_with_bf16() -> None:
    results = [
        entry("one", "float", 1, edgewise=9.0, edgewise_bf16=2.0, openvino_default=3.0, litert=1.0)
    ]
    found = summary.outcome(summary.GOALS[6], results, 1)
    assert found is not None
    assert found.value == 1.5
    assert summary.best_peer(results[0]) == "litert"


def test_slower_networks() -> None:
    assert summary.slower(DOCUMENT["results"], 1) == [("one", "mnn", 0.5)]
    assert summary.slower(DOCUMENT["results"], 2) == []


def test_page() -> None:
    text = page.section(DOCUMENT, "plot.svg")
    assert "A processor, 2 cores; kernels avx2; caches L1 32K; Linux 6.1" in text
    assert "| mobilenet_v2_1.0_224_int8 | LiteRT | 2.50 (2.00) | - |" in text
    assert "A peer is faster with 1 thread on 1: one (MNN, 0.50)." in text
    assert "| one | 1.000 | 2.000 | 4.000 | - | 0.500 | MNN | 0.50 (0.45 to 0.55) |" in text
    assert "| two | 2.000 | 6.000 | - | 1.000 | - | LiteRT | 3.00 (2.70 to 3.30) |" in text
    assert (
        "| mean (networks) |  | 2.45x (2) | 4.00x (1) | 0.50x (1) | 0.50x (1) |  | 1.22 |" in text
    )
    assert "| ncnn | has no such layer | all |" in text
    assert "| MNN | has no such layer | mobilenet_v2_1.0_224_int8, two |" in text
    assert "![How many times as fast Edgewise is as the fastest peer](plot.svg)" in text


def test_page_stars_results_that_differ() -> None:
    found = entry("one", "float", 1, edgewise=1.0, openvino=2.0)
    found["timings"]["openvino"]["disagrees"] = "gives another result"
    text = page.section({**DOCUMENT, "results": [found]}, None)
    assert "| one | 1.000 | 2.000* | OpenVINO f32 | 2.00 (1.80 to 2.20) |" in text
    assert "| OpenVINO f32 | * gives another result | one |" in text


def test_a_peer_is_timed_with_other_results_where_it_reads_the_file() -> None:
    class Wrong:
        def open(self, model: Path, threads: int, options: dict[str, Any]) -> Opened:
            return Opened("It 1", "its path")

        def run(self, arrays: list[Any]) -> list[Any]:
            return [np.array([0, 1], np.float32)]

        def close(self) -> None:
            pass

    graph, ours = value((2,), DType.FLOAT32), [np.array([1, 0], np.float32)]
    worker = cast(Worker, Wrong())
    _, _, found = match._opened("litert", worker, Path(), graph, 1, ours, ours, None)
    assert found == {"disagrees": "gives another result: largest difference 1 of its range"}
    with pytest.raises(InputError, match="gives another result"):
        match._opened("mnn", worker, Path(), graph, 1, ours, ours, None)


def test_page_keeps_what_stands_around_the_results(tmp_path: Path) -> None:
    path = tmp_path / "page.md"
    path.write_text(f"before\n\n{page.BEGIN}\nold\n{page.END}\n\nafter\n")
    page.write_page(path, DOCUMENT, None)
    page.write_page(path, DOCUMENT, None)
    text = path.read_text()
    assert text.startswith(f"before\n\n{page.BEGIN}\n\nTaken on 2026-11-21")
    assert text.endswith(f"\n{page.END}\n\nafter\n")
    assert "old" not in text
    path.write_text("no marks\n")
    with pytest.raises(InputError, match="has no lines <!-- results"):
        page.write_page(path, DOCUMENT, None)
    assert path.read_text() == "no marks\n"


def test_plot(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    path = tmp_path / "images" / "plot.svg"
    plot.write_plot(path, DOCUMENT)
    text = path.read_text()
    assert text.count("<!-- mobilenet_v2_1.0_224_int8 -->") == 1
    assert "<!-- float, 1 thread: mean 1.22 -->" in text
    assert "<!-- quantized, 1 thread: mean 1.50 -->" in text


def test_render_writes_page_and_plot_of_a_document(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    (tmp_path / "benchmarks.json").write_text(json.dumps(DOCUMENT))
    result = invoke("--render", "--docs", str(tmp_path))
    assert result.exit_code == 0, result.output
    assert "| mobilenet_v2_1.0_224_int8 | LiteRT | 2.50 (2.00) | - |" in result.stdout
    assert (
        page.section(DOCUMENT, "images/benchmarks.svg") in (tmp_path / "benchmarks.md").read_text()
    )
    assert (tmp_path / "images" / "benchmarks.svg").exists()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--threads", "0"], "--threads 0: whole numbers above 0"),
        (["--threads", "1,x"], "--threads 1,x: whole numbers above 0"),
        (["--rounds", "2"], "--rounds 2: at least 3 are needed"),
        (["--against", "caffe"], "--against caffe: unknown; known are edgewise-bf16, litert"),
        (["--kind", "fast"], "--kind fast: unknown; known are quantized, float"),
        (["--models", "nowhere"], "there is no folder nowhere; --models names one"),
        (["--only", "nothing"], "has no such network"),
        (["--render"], "benchmarks.json"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_mistakes_are_told_in_a_line(words: list[str], told: str, tmp_path: Path) -> None:
    folder = tmp_path / "models"
    folder.mkdir()
    result = invoke("--models", str(folder), "--docs", str(tmp_path / "docs"), *words)
    assert result.exit_code == 2
    assert told in result.stderr
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1


def test_other_schema(tmp_path: Path) -> None:
    (tmp_path / "benchmarks.json").write_text('{"schema": 0}')
    result = invoke("--render", "--docs", str(tmp_path))
    assert (result.exit_code, "schema 0, this reads 1" in result.stderr) == (2, True)


def test_a_network_is_timed_and_kept(tmp_path: Path) -> None:
    """From the command to the documents, and what --resume keeps and refuses."""
    pytest.importorskip("ai_edge_litert")
    pytest.importorskip("matplotlib")
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "small.tflite").write_bytes(classifier_file())
    words = ["--models", str(tmp_path / "models"), "--docs", str(tmp_path), "--against", "litert"]
    words += ["--against", "edgewise-bf16", "--threads", "1"]
    result = invoke(*words, "--rounds", "3")
    assert result.exit_code == 0, result.output
    document = json.loads((tmp_path / "benchmarks.json").read_text())
    (found,) = document["results"]
    assert (found["network"], found["kind"], found["threads"]) == ("small", "quantized", 1)
    assert set(found["timings"]) == {"edgewise", "litert"}
    assert set(found["missing"]) == {"edgewise-bf16"}
    assert found["timings"]["litert"]["difference"] == 0
    timings = found["timings"]["edgewise"]
    assert 0 < timings["fastest_ms"] <= timings["quartiles_ms"][0] <= timings["median_ms"]
    ratio = found["ratios"]["litert"]
    assert ratio["low"] <= ratio["value"] <= ratio["high"]
    again = invoke(*words, "--rounds", "3", "--resume")
    assert again.exit_code == 0, again.output
    assert json.loads((tmp_path / "benchmarks.json").read_text()) == document
    other = invoke(*words, "--rounds", "4", "--resume")
    assert (other.exit_code, "has other settings" in other.stderr) == (2, True)


@pytest.fixture
def worker() -> Iterator[Worker]:
    made = Worker("edgewise")
    yield made
    made.stop()


def test_a_process_answers_and_is_replaced_when_it_crashes(worker: Worker, tmp_path: Path) -> None:
    model = tmp_path / "small.tflite"
    model.write_bytes(classifier_file())
    opened = worker.open(model, 1, {})
    assert opened.name.startswith("Edgewise ")
    worker.run([np.zeros((1, 16, 16, 3), np.uint8)])
    assert worker.sample(3) > 0
    assert worker.cpu_seconds() > 0
    with pytest.raises(InputError, match=r"nothing\.tflite"):
        worker.open(tmp_path / "nothing.tflite", 1, {})
    with pytest.raises(InputError, match="TypeError"):
        worker.ask("sample")
    os.kill(worker.pid, signal.SIGKILL)
    with pytest.raises(InputError, match=r"crashes \(exit code -9\)"):
        worker.calibrate()
    assert worker.open(model, 1, {}) == opened


def value(shape: tuple[int, ...], dtype: DType, scale: float | None = None) -> Graph:
    """A graph that gives its input."""
    quant = None if scale is None else QParams.per_tensor(scale, 0)
    x = Value("x", TensorType(shape, dtype, quant))
    return Graph((x,), (x,), ())


def test_agreement_of_floats() -> None:
    graph = value((3,), DType.FLOAT32)
    ours = [np.array([0, 1, 2], np.float32)]
    share = agreement.check(graph, ours, [ours[0] + np.float32(1e-3)])
    assert share == pytest.approx(5e-4, rel=1e-3)
    with pytest.raises(InputError, match=r"largest difference 0.005\d* of its range"):
        agreement.check(graph, ours, [ours[0] + np.float32(0.01)])
    share = agreement.check(graph, ours, [ours[0] + np.float32(0.01)], approximate=True)
    assert share == pytest.approx(0.01 / np.std([0, 1, 2]), rel=1e-3)
    with pytest.raises(InputError, match=r"rms difference 1\.\d+ of its spread"):
        agreement.check(graph, ours, [ours[0] + np.float32(1)], approximate=True)
    with pytest.raises(InputError, match="not all of it is finite"):
        agreement.check(graph, ours, [ours[0] * np.float32(np.nan)])
    with pytest.raises(InputError, match=r"gives output x of shape \(2,\), not \(3,\)"):
        agreement.check(graph, ours, [ours[0][:2]])


def test_agreement_of_indices_and_quantized_values() -> None:
    labels = value((10,), DType.INT64)
    ours = [np.arange(10)]
    share = agreement.check(labels, ours, [np.where(ours[0] == 3, 0, ours[0])])
    assert share == pytest.approx(0.1)
    with pytest.raises(InputError, match="80% of the elements are equal"):
        agreement.check(labels, ours, [np.minimum(ours[0], 7)])
    steps = value((10,), DType.UINT8, 0.5)
    near = [np.arange(10, dtype=np.uint8)]
    agreement.check(steps, near, [near[0] + np.uint8(3)])
    with pytest.raises(InputError, match=r"difference 0\.44 of its range"):
        agreement.check(steps, near, [near[0] + np.uint8(4)])
    assert agreement.has_eight_bit_products(classifier(DType.INT8))
    assert not agreement.has_eight_bit_products(steps)


def test_who_disturbs_is_noticed() -> None:
    class Fake:
        def __init__(self) -> None:
            self.used = 0.0

        def cpu_seconds(self) -> float:
            self.used += 0.001
            return self.used

        def sample(self, calls: int) -> float:
            return 1.0

    watch = match.Watch({"a": Fake(), "b": Fake()})
    assert watch.idle_share("b") == 0
    assert watch.sample("a", 1) == 1.0
    assert watch.idle_share("b") > 0
    assert watch.idle_share("a") == 0


def test_a_sample_waits_until_spinning_threads_sleep() -> None:
    class Spinning:
        def __init__(self, seconds: float) -> None:
            self._end = time.perf_counter() + seconds

        def cpu_seconds(self) -> float:
            return min(time.perf_counter(), self._end)

    start = time.perf_counter()
    match.Watch({"a": Spinning(0.05)}).rest()
    assert time.perf_counter() - start >= 0.05
    start = time.perf_counter()
    match.Watch({"a": Spinning(1e9)}).rest()
    assert time.perf_counter() - start >= match.PATIENCE_SECONDS


def test_inputs_are_a_picture_where_the_network_takes_one(tmp_path: Path) -> None:
    from PIL import Image

    picture = tmp_path / "white.png"
    Image.new("RGB", (20, 20), "white").save(picture)
    graph = value((1, 16, 16, 3), DType.UINT8, 0.5)
    (given,) = inputs_of(graph, picture, 0)
    assert given.shape == (1, 16, 16, 3)
    assert (given == given.flat[0]).all()
    (drawn,) = inputs_of(graph, tmp_path / "none.png", 0)
    assert drawn.std() > 0
    (numbers,) = inputs_of(value((4, 3), DType.FLOAT32), picture, 0)
    assert numbers.std() > 0


def test_every_contestant_has_a_colour_or_is_no_peer_of_full_precision() -> None:
    assert set(summary.F32) < set(CONTESTANTS)
    assert {"edgewise", "edgewise-bf16", "openvino-default"} == set(CONTESTANTS) - set(summary.F32)


def invoke(*words: str) -> Any:
    return CliRunner().invoke(app, list(words))
