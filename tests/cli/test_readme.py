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
    for name in ("result.png", "scores.npy"):
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


def test_demo_without_data() -> None:
    make = shutil.which("make")
    if make is None:
        pytest.skip("make is not installed")
    words = [make, "-C", str(ROOT), "demo", "MODEL=absent.tflite"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "there is no absent.tflite" in done.stdout
    assert "make demo MODEL=network.tflite IMAGE=photo.jpg" in done.stdout
