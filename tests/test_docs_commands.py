"""What the pages tell a reader to type exists; what can be run in a test is run.

The README's commands are run by ``tests/cli/test_readme.py``.
"""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer.main

from edgewise.cli import app

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted((*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")))
STARTS = ("edgewise ", "python ", "pytest ", "make ")


def commands() -> list[str]:
    """Every command on a page: between backquotes, or a line of a block."""
    found: dict[str, None] = {}
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        prose = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
        quoted = [" ".join(words.split()) for words in re.findall(r"`([^`]+)`", prose)]
        lines = [line.strip() for line in text.splitlines()]
        found.update(dict.fromkeys(c for c in (*quoted, *lines) if c.startswith(STARTS)))
    return [c for c in found if not c.endswith((".", ":", ",", "`"))]


def of(program: str) -> list[str]:
    return [c for c in commands() if c.startswith(program)]


def options(command: Any) -> set[str]:
    return {name for p in command.params for name in (*p.opts, *p.secondary_opts)} | {"--help"}


EDGEWISE: Any = typer.main.get_command(app)


def test_commands_are_found() -> None:
    for start, count in zip(STARTS, (10, 5, 5, 5), strict=True):
        assert len(of(start)) >= count, start


@pytest.mark.parametrize("command", of("edgewise "))
def test_options_exist(command: str) -> None:
    _, *words = shlex.split(command)
    known = options(EDGEWISE) | {"--install-completion"}
    if not words[0].startswith("--"):
        known = options(EDGEWISE.commands[words[0]])
    assert {word for word in words if word.startswith("--")} <= known


@pytest.mark.parametrize("page", ["command-line.md", "json.md", "networks.md"])
def test_options_that_pages_name_exist(page: str) -> None:
    known = set().union(*map(options, EDGEWISE.commands.values())) | {"--install-completion"}
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    assert set(re.findall(r"(?<=`)--[a-z-]+", text)) <= known


@pytest.mark.parametrize("name", sorted(EDGEWISE.commands))
def test_pages_name_every_option(name: str) -> None:
    text = "".join(p.read_text(encoding="utf-8") for p in (ROOT / "docs").glob("*.md"))
    text += (ROOT / "README.md").read_text(encoding="utf-8")
    for option in options(EDGEWISE.commands[name]) - {"--help"}:
        assert re.search(rf"{option}\b", text), option


@pytest.mark.parametrize("command", of("make "))
def test_make_targets_exist(command: str) -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert re.search(rf"^{shlex.split(command)[1]}:", makefile, re.MULTILINE)


@pytest.mark.parametrize("command", of("pytest "))
def test_tests_exist(command: str) -> None:
    paths = [word for word in shlex.split(command) if word.startswith("tests/")]
    assert paths
    assert all((ROOT / path).exists() for path in paths)


@pytest.mark.parametrize("script", sorted({c.split()[1] for c in of("python benchmarks/")}))
def test_benchmarks_take_the_options_that_pages_give(script: str) -> None:
    done = subprocess.run(
        [sys.executable, script, "--help"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    for command in of(f"python {script}"):
        for word in shlex.split(command)[2:]:
            assert not word.startswith("--") or word in done.stdout


def test_the_benchmark_of_networks_takes_the_options_that_its_page_gives() -> None:
    command = [sys.executable, "-m", "benchmarks.networks", "--help"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    text = (ROOT / "docs" / "benchmarks.md").read_text(encoding="utf-8")
    section = text.partition("## How they are compared")[0].partition("| option |")[2]
    named = set(re.findall(r"(?<=`)--[a-z]+", section))
    assert len(named) > 5
    assert all(option in done.stdout for option in named)


def test_every_benchmark_is_on_a_page() -> None:
    scripts = {path.relative_to(ROOT).as_posix() for path in ROOT.glob("benchmarks/*.py")}
    assert {c.split()[1] for c in of("python benchmarks/")} == scripts


@pytest.mark.data
def test_start_up_is_measured(data: Path) -> None:
    model = str(data / "models/anomaly_int8.tflite")
    words = ["benchmarks/startup.py", model, "--rounds", "1", "--cold", "1", "--markdown"]
    done = subprocess.run(
        [sys.executable, *words], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    rows = [line.split(" | ")[0].strip("| ") for line in done.stdout.splitlines()[2:]]
    assert rows == ["LiteRT", "Edgewise, warm", "Edgewise, cold"]
