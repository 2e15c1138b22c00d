"""Every command and every error of the command line, on small networks."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import small_networks
from PIL import Image
from rich.console import Console
from typer.testing import Result

import edgewise as ew
from edgewise import __version__, timing
from edgewise.cli import inspect
from edgewise.codegen import cache
from edgewise.codegen.cpus import cores
from edgewise.data import images

Edgewise = Callable[..., Result]
Facts = Callable[..., dict[str, Any]]


def fails(result: Result, *parts: str) -> None:
    """Exit code 2, nothing on stdout, and one line on stderr that holds ``parts``."""
    assert result.exit_code == 2, result.stdout
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    assert line.startswith("error: ")
    for part in parts:
        assert part in line


def test_version(edgewise: Edgewise) -> None:
    assert edgewise("--version").stdout == f"edgewise {__version__}\n"


def test_help_has_examples(edgewise: Edgewise) -> None:
    assert "edgewise run mobilenet.tflite cat.jpg" in edgewise("--help").stdout
    commands = ("run", "inspect", "bench", "compare", "profile", "tune", "doctor", "convert")
    for command in (*commands, "evaluate"):
        result = edgewise(command, "--help")
        assert result.exit_code == 0
        assert f"  edgewise {command}" in result.stdout
        assert "--json" in result.stdout


def test_help_needs_no_compiler() -> None:
    heavy = "{'llvmlite', 'PIL', 'rich', 'flatbuffers', 'tflite'}"
    code = f"import edgewise.cli, sys; print({heavy} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() in ("set()", "{'rich'}")


def test_completion_is_offered(edgewise: Edgewise) -> None:
    assert "--install-completion" in edgewise("--help").stdout


def test_run_on_a_picture(facts: Facts, classifier: Path, photograph: Path) -> None:
    document = facts("run", classifier, photograph, "--top", 3)
    assert (document["schema"], document["command"]) == (2, "run")
    (run,) = document["runs"]
    assert run["inputs"] == [str(photograph)]
    assert run["latency_ms"] > 0
    (output,) = run["outputs"]
    assert output["kind"] == "probabilities"
    assert output["shape"] == [1, 5]
    scores = [c["score"] for c in output["top"]]
    assert scores == sorted(scores, reverse=True)
    assert len(scores) == 3
    assert {c["label"] for c in output["top"]} <= set(small_networks.LABELS)


def test_run_computes_the_reference(facts: Facts, classifier: Path, photograph: Path) -> None:
    saved = photograph.with_name("scores.npy")
    facts("run", classifier, photograph, "--output", saved)
    graph = ew.load(classifier)
    picture = images.load_input(photograph, graph.inputs[0].type, images.CONVENTIONS[0])
    *_, (_, (expected,)) = graph.reference({graph.inputs[0]: picture})
    np.testing.assert_array_equal(np.load(saved), expected)


def test_run_shows_a_table(edgewise: Edgewise, classifier: Path, photograph: Path) -> None:
    result = edgewise("run", classifier, photograph)
    assert result.exit_code == 0
    assert "probability" in result.stdout
    assert "%" in result.stdout
    assert " ms on " in result.stdout
    assert all(label in result.stdout for label in small_networks.LABELS)


def test_run_on_several_pictures(facts: Facts, classifier: Path, photograph: Path) -> None:
    second = photograph.with_name("second.png")
    Image.new("RGB", (50, 70), "red").save(second)
    saved, pictures = photograph.with_name("scores.npz"), photograph.with_name("pictures")
    words = ("run", classifier, photograph, second, "--output", saved, "--save", pictures)
    document = facts(*words, "--threads", 2)
    assert document["threads"] == 2
    assert [r["inputs"] for r in document["runs"]] == [[str(photograph)], [str(second)]]
    assert {p.name for p in pictures.iterdir()} == {"photograph.png", "second.png"}
    with np.load(saved) as archive:
        assert archive["chances"].shape == (2, 1, 5)


def test_run_saves_a_picture(facts: Facts, classifier: Path, photograph: Path) -> None:
    saved = photograph.with_name("deep") / "result.png"
    document = facts("run", classifier, photograph, "--save", saved)
    assert document["runs"][0]["saved"] == str(saved)
    with Image.open(saved) as picture:
        assert picture.width == 640
        assert picture.height > 427


def test_run_overlays_a_class_map(facts: Facts, segmenter: Path, photograph: Path) -> None:
    saved = photograph.with_name("classes.png")
    document = facts("run", segmenter, photograph, "--save", saved)
    (output,) = document["runs"][0]["outputs"]
    assert output["kind"] == "class_map"
    assert sum(c["score"] for c in output["top"]) == pytest.approx(1.0)
    with Image.open(photograph) as before, Image.open(saved) as after:
        enlarged = np.asarray(before.resize((640, 427)), float)
        difference = np.abs(enlarged - np.asarray(after, float)[:427]).mean(axis=(0, 2))
    assert difference.max() > 10


def test_a_cropped_class_map_lies_on_the_crop(
    facts: Facts, segmenter: Path, photograph: Path
) -> None:
    saved = photograph.with_name("classes.png")
    facts("run", segmenter, photograph, "--save", saved, "--fit", "crop")
    with Image.open(saved) as picture:
        shown = np.asarray(picture)
    assert (shown[200, :80] == shown[200, 0]).all()
    assert not (shown[200, 80:560] == shown[200, 0]).all()


def test_run_with_a_label_file(facts: Facts, classifier: Path, photograph: Path) -> None:
    names = photograph.with_name("names.csv")
    names.write_text("class_index,name\n" + "".join(f"{i},name_{i}\n" for i in range(5)))
    document = facts("run", classifier, photograph, "--labels", names)
    for c in document["runs"][0]["outputs"][0]["top"]:
        assert c["label"] == f"name {c['index']}"


def test_run_on_arrays(facts: Facts, adder: Path, tmp_path: Path) -> None:
    left, right = (np.arange(6, dtype=np.int8).reshape(1, 6) * k for k in (1, 2))
    np.save(tmp_path / "left.npy", left)
    np.save(tmp_path / "right.npy", right)
    np.savez(tmp_path / "both.npz", left=left, right=right)
    one = facts("run", adder, tmp_path / "left.npy", tmp_path / "right.npy")
    both = facts("run", adder, tmp_path / "both.npz")
    assert one["runs"][0]["outputs"] == both["runs"][0]["outputs"]
    assert both["runs"][0]["outputs"][0]["top"][0]["index"] == 5


def test_run_pixel_options(facts: Facts, classifier: Path, photograph: Path) -> None:
    saved = photograph.with_name("scores.npy")
    results = []
    for options in ([], ["--fit", "stretch"], ["--pixels", "0,1"], ["--pixels", "imagenet"]):
        facts("run", classifier, photograph, "--output", saved, *options)
        results.append(np.load(saved))
    assert not np.array_equal(results[0], results[1])
    assert not np.array_equal(results[0], results[2])
    assert not np.array_equal(results[0], results[3])


def test_inspect(facts: Facts, classifier: Path) -> None:
    document = facts("inspect", classifier, "--graph")
    assert (document["schema"], document["command"]) == (2, "inspect")
    assert document["operators_in_file"] == 4
    assert document["labels"] == 5
    assert document["macs"] == 2 * 2 * 8 * 8 * 8 * 3 + 5 * 8
    assert document["weight_bytes"] >= 8 * 8 * 8 * 3 + 5 * 8
    assert document["arena_bytes"] >= 16 * 16 * 3
    assert document["constant_bytes"] > 8 * 8 * 8 * 3
    assert document["fallbacks"] == []
    assert not any(o["fallback"] for o in document["operators"])
    assert (document["states"], document["open"], document["signatures"]) == ([], {}, [])
    assert document["inputs"][0]["shape"] == [1, 16, 16, 3]
    assert document["operators"][-1]["outputs"][0]["name"] == "chances"
    used = [k for o in document["operators"] for k in o["kernels"]]
    assert set(used) == set(document["kernels"])
    assert "CONV_2D" in document["graph"]["imported"]
    assert "chances" in document["graph"]["optimized"]


def test_inspect_shows_a_table(edgewise: Edgewise, classifier: Path) -> None:
    shown = edgewise("inspect", classifier).stdout
    for part in ("CONV_2D", "MMAC", "arena", "KiB", "input   picture", "output  chances"):
        assert part in shown


def test_inspect_prints_the_graph_before_and_after(edgewise: Edgewise, classifier: Path) -> None:
    shown = edgewise("inspect", classifier, "--graph").stdout
    assert shown.count("return %chances") == 2


def test_doctor(facts: Facts, edgewise: Edgewise) -> None:
    document = facts("doctor")
    assert (document["schema"], document["command"]) == (2, "doctor")
    assert {c["name"] for c in document["checks"]} >= {"cpu", "instruction set", "cache", "llvm"}
    shown = edgewise("doctor").stdout
    assert "ok" in shown
    assert "instruction set" in shown


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timing, "SAMPLE_SECONDS", 1e-4)
    monkeypatch.setattr(timing, "WARM_UP_SECONDS", 1e-3)


@pytest.mark.usefixtures("quick")
def test_bench(facts: Facts, edgewise: Edgewise, classifier: Path) -> None:
    document = facts("bench", classifier, "--threads", "1,2", "--rounds", 5)
    assert (document["schema"], document["command"], document["rounds"]) == (2, "bench", 5)
    assert [r["threads"] for r in document["results"]] == [1, 2]
    for result in document["results"]:
        (ours,) = result["timings"]
        assert len(ours["samples_ms"]) == 5
        low, high = ours["quartiles_ms"]
        assert 0 < low <= ours["median_ms"] <= high
    assert document["cores"] >= 1
    shown = edgewise("bench", classifier, "--rounds", 3).stdout
    assert "median ms" in shown
    assert "note" not in shown


@pytest.mark.usefixtures("quick")
def test_bench_tells_of_more_threads_than_cores(edgewise: Edgewise, classifier: Path) -> None:
    able = cores().count
    shown = edgewise("bench", classifier, "--rounds", 3, "--threads", f"1,{able + 1}").stdout
    assert shown.count("note") == 1
    assert f"note {able + 1} threads share CPUs" in shown
    assert f"more than {able} make calls slower" in " ".join(shown.split())


@pytest.mark.usefixtures("quick")
def test_bench_against_peers(facts: Facts, edgewise: Edgewise, convolver: Path) -> None:
    for package in ("ai_edge_litert", "openvino"):
        pytest.importorskip(package)
    words = ("bench", convolver, "--against", "litert", "--against", "openvino", "--rounds", 5)
    (result,) = facts(*words)["results"]
    ours, *others = result["timings"]
    assert ours["name"] == "Edgewise"
    assert [t["name"].split()[0] for t in others] == ["LiteRT", "OpenVINO"]
    for ratio, theirs in zip(result["ratios"], others, strict=True):
        assert ratio["against"] == theirs["name"]
        assert ratio["value"] == pytest.approx(theirs["median_ms"] / ours["median_ms"])
        assert ratio["low"] <= ratio["high"]
        assert ratio["verdict"] in ("faster", "slower", "even")
    shown = edgewise(*words).stdout
    assert shown.count("95 % interval") == 2


class TestErrors:
    """Each is one line on stderr and exit code 2."""

    @pytest.mark.parametrize("command", ["run", "inspect", "bench", "compare"])
    def test_absent_model(self, edgewise: Edgewise, photograph: Path, command: str) -> None:
        inputs = [photograph] if command == "run" else []
        fails(edgewise(command, "absent.tflite", *inputs), "absent.tflite")

    def test_a_folder_as_model(self, edgewise: Edgewise, tmp_path: Path) -> None:
        fails(edgewise("inspect", tmp_path), f"{tmp_path}: a folder")

    @pytest.mark.parametrize("content", [b"", b"not a model at all", bytes(2000)])
    def test_not_a_model(self, edgewise: Edgewise, tmp_path: Path, content: bytes) -> None:
        (tmp_path / "x.tflite").write_bytes(content)
        fails(edgewise("inspect", tmp_path / "x.tflite"), "x.tflite")

    def test_unknown_operator(self, edgewise: Edgewise, tmp_path: Path) -> None:
        (tmp_path / "x.tflite").write_bytes(small_networks.with_unknown_operator())
        fails(edgewise("inspect", tmp_path / "x.tflite"), "x.tflite: ", "CONCAT_EMBEDDINGS")

    def test_absent_input(self, edgewise: Edgewise, classifier: Path) -> None:
        fails(edgewise("run", classifier, "absent.jpg"), "absent.jpg: no such file")
        fails(edgewise("run", classifier, "absent.npy"), "absent.npy: no such file")

    def test_unknown_kind_of_input(self, edgewise: Edgewise, classifier: Path) -> None:
        fails(edgewise("run", classifier, classifier), "an input is .npy, .npz or a picture")

    def test_wrong_shape_and_dtype(
        self, edgewise: Edgewise, classifier: Path, tmp_path: Path
    ) -> None:
        np.save(tmp_path / "x.npy", np.zeros((1, 5, 5, 3), np.uint8))
        fails(
            edgewise("run", classifier, tmp_path / "x.npy"), "x.npy: ", "picture", "[1, 16, 16, 3]"
        )
        np.save(tmp_path / "x.npy", np.zeros((1, 16, 16, 3), np.float32))
        fails(edgewise("run", classifier, tmp_path / "x.npy"), "x.npy: ", "picture", "uint8")

    def test_broken_arrays(self, edgewise: Edgewise, classifier: Path, tmp_path: Path) -> None:
        (tmp_path / "x.npy").write_bytes(b"no array")
        fails(edgewise("run", classifier, tmp_path / "x.npy"), "not an array")
        np.save(tmp_path / "o.npy", np.array([{}], object), allow_pickle=True)
        fails(edgewise("run", classifier, tmp_path / "o.npy"), "not an array")
        fails(edgewise("run", classifier, tmp_path), f"{tmp_path}: a folder")
        (tmp_path / "d.npy").mkdir()
        result = edgewise("run", classifier, tmp_path / "d.npy")
        fails(result, "d.npy: cannot be read: Is a directory")
        np.savez(tmp_path / "x.npz", other=np.zeros(3))
        fails(edgewise("run", classifier, tmp_path / "x.npz"), "no array named 'picture'")

    def test_a_picture_for_a_vector(
        self, edgewise: Edgewise, adder: Path, photograph: Path
    ) -> None:
        fails(edgewise("run", adder, photograph, photograph), "not a picture", ".npy")

    def test_wrong_number_of_inputs(self, edgewise: Edgewise, adder: Path) -> None:
        fails(edgewise("run", adder, "a.npy"), "1 input file;", "left, right")

    @pytest.mark.parametrize("threads", ["0", "-1", "x", "1.5", "65", ""])
    @pytest.mark.parametrize("command", ["inspect", "bench", "compare"])
    def test_threads(
        self, edgewise: Edgewise, classifier: Path, command: str, threads: str
    ) -> None:
        fails(edgewise(command, classifier, f"--threads={threads}"), "--threads", "from 1 to 64")

    def test_threads_of_run_and_lists(
        self, edgewise: Edgewise, classifier: Path, photograph: Path
    ) -> None:
        fails(edgewise("run", classifier, photograph, "--threads", "1,2"), "--threads 1,2")
        fails(edgewise("bench", classifier, "--threads", "1,,2"), "--threads :")

    def test_unknown_instruction_set(self, edgewise: Edgewise, classifier: Path) -> None:
        fails(edgewise("inspect", classifier, "--isa", "mmx"), "mmx")

    def test_too_few_rounds(self, edgewise: Edgewise, classifier: Path) -> None:
        fails(edgewise("bench", classifier, "--rounds", 2), "--rounds 2")

    @pytest.mark.parametrize("command", ["bench", "compare"])
    def test_unknown_peer(self, edgewise: Edgewise, classifier: Path, command: str) -> None:
        fails(edgewise(command, classifier, "--against", "abacus"), "abacus", "litert")

    @pytest.mark.parametrize("command", ["bench", "compare"])
    def test_absent_peer(
        self,
        edgewise: Edgewise,
        classifier: Path,
        command: str,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        for module in ("interpreter", "schema_py_generated"):
            monkeypatch.setitem(sys.modules, f"ai_edge_litert.{module}", None)
        result = edgewise(command, classifier, "--against", "litert")
        fails(result, "comparing against LiteRT", "pip install 'edgewise[litert]'")

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            (["--fit", "squeeze"], "--fit squeeze: unknown; known are crop, stretch"),
            (["--pixels", "1"], "two numbers"),
            (["--pixels", "a,b"], "two numbers"),
            (["--pixels", "0,1,2"], "two numbers with a comma between, or imagenet"),
            (["--pixels", "1,0"], "the first must be lower"),
            (["--pixels", "nan,1"], "--pixels nan,1: the first must be lower"),
            (["--pixels", "0,inf"], "--pixels 0,inf: the first must be lower, and both finite"),
            (["--labels", os.devnull], "holds no labels"),
            (["--output", "x.txt"], "must end in .npz or .npy"),
            (["--save", "x.txt"], "must end as a picture's"),
            (["--labels", "absent.txt"], "absent.txt: no such file"),
        ],
    )
    def test_options_of_run(
        self,
        edgewise: Edgewise,
        classifier: Path,
        photograph: Path,
        options: list[str],
        message: str,
    ) -> None:
        fails(edgewise("run", classifier, photograph, *options), message)

    def test_a_folder_for_several_pictures(
        self, edgewise: Edgewise, classifier: Path, photograph: Path
    ) -> None:
        result = edgewise("run", classifier, photograph, photograph, "--save", "x.png")
        fails(result, "for 2 inputs, give a folder")

    def test_no_picture_to_draw_on(self, edgewise: Edgewise, adder: Path) -> None:
        fails(edgewise("run", adder, "a.npy", "b.npy", "--save", "x.png"), "no picture to draw on")

    def test_unwritable_destinations(
        self, edgewise: Edgewise, classifier: Path, photograph: Path, tmp_path: Path
    ) -> None:
        result = edgewise("run", classifier, photograph, "--output", classifier / "x.npy")
        fails(result, "cannot be written")
        (tmp_path / "x.npy").mkdir()
        result = edgewise("run", classifier, photograph, "--output", tmp_path / "x.npy")
        fails(result, "x.npy: cannot be written: it is a folder")
        result = edgewise("run", classifier, photograph, "--save", classifier / "x.png")
        fails(result, "cannot be written")

    def test_inputs_and_random(
        self, edgewise: Edgewise, classifier: Path, photograph: Path
    ) -> None:
        result = edgewise("compare", classifier, "--inputs", photograph, "--random", 2)
        fails(result, "give one of them")

    def test_usage(self, edgewise: Edgewise) -> None:
        for words in (["run"], ["fly"], ["bench", "x.tflite", "--seed", "x"]):
            result = edgewise(*words)
            assert result.exit_code == 2
            assert result.stdout == ""
            assert "Error" in result.stderr


def test_warnings_are_one_line(
    edgewise: Edgewise, classifier: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = ew.load

    def load(source: Path, *options: object, **named: object) -> object:
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            warnings.warn("something is odd", UserWarning, stacklevel=1)
        return real(source, *options, **named)

    monkeypatch.setattr(ew, "load", load)
    result = edgewise("inspect", classifier)
    assert result.exit_code == 0
    assert result.stderr == "warning: something is odd\n"


def test_an_unusable_cache_is_a_warning(
    edgewise: Edgewise,
    classifier: Path,
    photograph: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("EDGEWISE_CACHE_DIR", str(classifier / "cache"))
    monkeypatch.setattr(cache, "_warned", False)
    with warnings.catch_warnings():
        warnings.simplefilter("default", cache.CacheWarning)
        result = edgewise("run", classifier, photograph)
    assert result.exit_code == 0
    (line,) = result.stderr.splitlines()
    assert line.startswith("warning: compiled code is not kept: ")


def test_the_installed_command(classifier: Path, photograph: Path) -> None:
    command = Path(sys.executable).with_name("edgewise")
    if not command.exists():
        pytest.skip(f"{command} is not installed")
    words = [str(command), "run", str(classifier), str(photograph), "--json"]
    done = subprocess.run(words, capture_output=True, text=True, env=dict(os.environ), check=True)
    assert json.loads(done.stdout)["command"] == "run"
    assert done.stderr == ""


def test_pictures_of_one_name_are_all_kept(
    facts: Facts, classifier: Path, photograph: Path, tmp_path: Path
) -> None:
    document = facts("run", classifier, *[photograph] * 3, "--save", tmp_path / "all")
    names = ["photograph.png", "photograph-2.png", "photograph-3.png"]
    assert [r["saved"] for r in document["runs"]] == [str(tmp_path / "all" / n) for n in names]
    assert {p.name for p in (tmp_path / "all").iterdir()} == set(names)


def test_a_name_with_brackets_is_shown(
    edgewise: Edgewise, classifier: Path, photograph: Path, tmp_path: Path
) -> None:
    shown = edgewise("run", classifier, photograph, "--save", tmp_path / "[red].png").stdout
    assert "[red].png written" in "".join(shown.splitlines())


@pytest.mark.parametrize("width", [72, 100, 140, 200])
def test_inspect_on_narrow_terminals(facts: Facts, classifier: Path, width: int) -> None:
    document = facts("inspect", classifier)
    text = io.StringIO()
    inspect.show(Console(file=text, width=width), document)
    lines = text.getvalue().splitlines()
    rows = [line for line in lines if line.startswith("│")]
    kernels = [len(o["kernels"]) or 1 for o in document["operators"]]
    shown = any("kernels" in line for line in lines if line.startswith("┃"))
    assert len(rows) == (sum(kernels) if shown else len(kernels))
    assert shown or "columns left out: origin, kernels" in text.getvalue()


def test_inspect_brackets_what_runs_as_one_step(facts: Facts, classifier: Path) -> None:
    document = facts("inspect", classifier)
    assert [o["together"] for o in document["operators"][:3]] == [[0], [1], [2]]
    for operator in document["operators"][:3]:
        operator["together"] = [0, 1, 2]
    text = io.StringIO()
    inspect.show(Console(file=text, width=72), document)
    names = [o["op"] for o in document["operators"][:3]]
    assert all(f"{b} {op} " in text.getvalue() for b, op in zip("┌│└", names, strict=True))
    assert "these run as one step" in text.getvalue()


def test_inspect_in_short_words(facts: Facts, classifier: Path) -> None:
    document = facts("inspect", classifier)
    document["macs"] = document["operators"][0]["macs"] = 256
    document["operators_in_file"] = 1
    document["operators"][0]["outputs"] *= 3
    text = io.StringIO()
    inspect.show(Console(file=text, width=200), document)
    for part in (": 1 operator in the file", "<0.001 million", "│ 3 x uint8[1x2x2x8]"):
        assert part in text.getvalue()


def _installed(*words: object, **options: Any) -> subprocess.CompletedProcess[str]:
    command = Path(sys.executable).with_name("edgewise")
    if not command.exists():
        pytest.skip(f"{command} is not installed")
    return subprocess.run(
        [str(command), *map(str, words)], stderr=subprocess.PIPE, text=True, check=False, **options
    )


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
@pytest.mark.parametrize("options", [[], ["--json"]])
def test_a_full_disk_behind_stdout(options: list[str]) -> None:
    with open("/dev/full", "w", encoding="utf-8") as full:
        done = _installed("doctor", *options, stdout=full)
    assert done.returncode == 2
    assert done.stderr == "error: No space left on device\n"


def test_names_that_the_terminal_cannot_write(
    classifier: Path, photograph: Path, tmp_path: Path
) -> None:
    picture = tmp_path / "παπαγάλος.png"
    picture.write_bytes(photograph.read_bytes())
    environment = dict(os.environ) | {"PYTHONIOENCODING": "ascii"}
    done = _installed("run", classifier, picture, env=environment, stdout=subprocess.PIPE)
    assert (done.returncode, done.stderr) == (0, "")
    assert "\\u03c0" in done.stdout


@pytest.mark.skipif(os.name != "posix", reason="closes a descriptor in the child")
def test_a_closed_stdout() -> None:
    done = _installed("doctor", preexec_fn=lambda: os.close(1))
    assert (done.returncode, done.stderr) == (0, "")
