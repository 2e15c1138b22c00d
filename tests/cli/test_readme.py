"""What the README tells a reader to type works."""

from __future__ import annotations

import contextlib
import io
import re
import shlex
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

from edgewise import timing

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


COMMANDS = [line for block in blocks("sh") for line in block.splitlines()]


@pytest.fixture
def desk(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the files that the README names, as the working folder."""
    shutil.copy(data / "models/mobilenet_v2_1.0_224_int8.tflite", tmp_path / "mobilenet.tflite")
    shutil.copy(data / "models/rfb320_float.onnx", tmp_path / "faces.onnx")
    shutil.copy(data / "data/images/parrot.jpg", tmp_path / "parrot.jpg")
    (tmp_path / "photos").symlink_to(data / "data/imagenet500")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(timing, "SAMPLE_SECONDS", 0.002)
    monkeypatch.setattr(timing, "WARM_UP_SECONDS", 0.01)
    return tmp_path


def test_the_tour_has_every_command() -> None:
    named = {shlex.split(c)[1] for c in COMMANDS if c.startswith("edgewise ")}
    assert named == {
        *("doctor", "run", "inspect", "bench", "compare", "bisect"),
        *("profile", "tune", "convert", "evaluate", "quantize"),
    }


@pytest.mark.data
@pytest.mark.parametrize("command", [c for c in COMMANDS if c.startswith("edgewise ")])
def test_commands(edgewise: Callable[..., Result], desk: Path, command: str) -> None:
    for word, package in (("litert", "ai_edge_litert"), ("onnxruntime", "onnxruntime")):
        if word in command:
            pytest.importorskip(package)
    result = edgewise(*shlex.split(command)[1:])
    assert result.exit_code == 0, result.stdout + result.stderr
    assert result.stdout
    for name in ("result.png", "scores.npy", "faces-int8.tflite", "report.html"):
        if name in command:
            assert (desk / name).stat().st_size > 1000
    if command == "edgewise run mobilenet.tflite parrot.jpg":
        assert "macaw" in result.stdout


@pytest.mark.data
@pytest.mark.usefixtures("desk")
def test_python() -> None:
    for block in blocks("python"):
        shown = io.StringIO()
        with contextlib.redirect_stdout(shown):
            exec(compile(block, "README.md", "exec"), {})
        assert shown.getvalue().startswith("(1, 1001) ")


def test_make_targets_exist() -> None:
    targets = [shlex.split(c)[1] for c in COMMANDS if c.startswith("make ")]
    assert targets == ["demo", "test"]
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in (*targets, *re.findall(r"`make ([a-z-]+)[^`]*`", README)):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def demo(*variables: str) -> list[str]:
    """The commands of `make demo`, as if nothing were there yet."""
    make = shutil.which("make")
    if make is None:
        pytest.skip("make is not installed")
    words = [make, "-C", str(ROOT), "--no-print-directory", "-B", "-n", "demo", *variables]
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout.splitlines()


def test_the_demo_sees_a_cat(
    edgewise: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("skimage")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "demo-out").mkdir()
    picture, run = (shlex.split(c) for c in demo() if re.search("skimage|/edgewise run", c))
    exec(picture[-1], {})
    result = edgewise(*run[1:])
    assert result.exit_code == 0, result.stdout + result.stderr
    best = next(line for line in result.stdout.splitlines() if "%" in line)
    assert " cat " in best
    assert (tmp_path / "demo-out/result.png").stat().st_size > 1000


def test_the_demo_takes_other_files() -> None:
    commands = demo("MODEL=network.tflite", "IMAGE=my photo.jpg", "LABELS=labels.txt")
    run = next(shlex.split(c) for c in commands if "/edgewise run" in c)
    files = ["network.tflite", "my photo.jpg", "--labels", "labels.txt"]
    assert run[1:] == ["run", *files, "--save", "demo-out/result.png"]
