"""``edgewise inspect --memory``: the arena as a table, a picture, a plot and a certificate."""

from __future__ import annotations

import dataclasses
import io
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from typer.testing import Result

import edgewise as ew
from edgewise.cli import arena
from edgewise.plan import certificate
from edgewise.tools.memory import picture

Edgewise = Callable[..., Result]
Facts = Callable[..., dict[str, Any]]


def test_the_document_has_the_certificate(facts: Facts, classifier: Path) -> None:
    memory = facts("inspect", classifier, "--memory")["memory"]
    report = ew.compile(ew.load(classifier)).memory
    assert memory["problems"] == []
    assert memory["sound"] is True
    assert memory["excess"] == 0.0
    assert memory["arena_bytes"] == report.arena_bytes >= memory["peak_bytes"]
    assert memory["least_bytes"] == max(memory["live_bytes"]) == memory["peak_bytes"]
    assert memory["live_bytes"][memory["peak_step"]] == memory["least_bytes"]
    assert len(memory["live_bytes"]) == len(memory["steps"]) + 1
    assert memory["steps"][0].keys() == {"op", "origin", "kernel"}
    known = [dataclasses.asdict(buffer) for buffer in report.buffers]
    assert [{k: b[k] for k in b if k != "letter"} for b in memory["buffers"]] == known


def test_after_the_graph(edgewise: Edgewise, classifier: Path) -> None:
    shown = edgewise("inspect", classifier, "--graph", "--memory").stdout
    assert shown.index("CONV_2D") < shown.index("at the peak") < shown.index("proof ")


def test_only_where_it_is_asked_for(facts: Facts, classifier: Path) -> None:
    assert "memory" not in facts("inspect", classifier)


def test_the_table_names_the_peak(edgewise: Edgewise, facts: Facts, classifier: Path) -> None:
    shown = edgewise("inspect", classifier, "--memory").stdout
    memory = facts("inspect", classifier, "--memory")["memory"]
    for buffer in memory["buffers"]:
        assert f" {buffer['nbytes']} " in shown
    assert f"at step {memory['peak_step']}" in shown
    assert "the peak is the least there can be" in shown
    assert "no two buffers that live at a time share a byte" in shown
    assert shown.count("|") >= arena.LINES


@pytest.mark.parametrize("width", [40, 80, 200])
def test_on_narrow_terminals(facts: Facts, classifier: Path, width: int) -> None:
    document = facts("inspect", classifier, "--memory")
    text = io.StringIO()
    arena.show_memory(Console(file=text, width=width), document)
    assert all(len(line) <= width for line in text.getvalue().splitlines())


def test_faults_are_told_and_give_exit_code_1(
    edgewise: Edgewise, classifier: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sound = certificate.certify

    def faulty(plan: Any) -> certificate.ArenaReport:
        report = sound(plan)
        peak = report.least_bytes * 5 // 4
        return dataclasses.replace(report, peak_bytes=peak, problems=("[a] meets b",))

    monkeypatch.setattr(certificate, "certify", faulty)
    result = edgewise("inspect", classifier, "--memory")
    assert result.exit_code == 1
    assert "fault   [a] meets b" in result.stdout
    assert "25.0% above it" in result.stdout
    assert "proof" not in result.stdout


def test_a_picture_has_time_to_the_right_and_the_highest_bytes_first() -> None:
    memory = {
        "peak_bytes": 400,
        "live_bytes": [0] * 6,
        "buffers": [
            {"letter": "A", "offset": 0, "nbytes": 300, "first": 0, "last": 2},
            {"letter": "B", "offset": 300, "nbytes": 100, "first": 2, "last": 5},
        ],
    }
    assert picture(memory, 100, 4) == ["..BBBB", "AAA...", "AAA...", "AAA..."]
    assert picture(memory, 3, 2) == [".BB", "A.."]


@pytest.mark.parametrize("suffix", [".png", ".svg", ".pdf"])
def test_a_plot(edgewise: Edgewise, classifier: Path, tmp_path: Path, suffix: str) -> None:
    pytest.importorskip("matplotlib")
    file = tmp_path / f"arena{suffix}"
    result = edgewise("inspect", classifier, "--plot", file)
    assert f"{file} written" in result.stdout
    starts = {".png": b"\x89PNG", ".svg": b"<?xml", ".pdf": b"%PDF"}
    assert file.read_bytes().startswith(starts[suffix])


def fails(result: Result, *parts: str) -> None:
    assert result.exit_code == 2
    assert result.stdout == ""
    for part in ("error: ", *parts):
        assert part in result.stderr


def test_a_plot_of_no_known_format(edgewise: Edgewise, classifier: Path, tmp_path: Path) -> None:
    fails(edgewise("inspect", classifier, "--plot", tmp_path / "x.gif"), ".png", "x.gif")


def test_a_plot_into_no_folder(edgewise: Edgewise, classifier: Path, tmp_path: Path) -> None:
    fails(edgewise("inspect", classifier, "--plot", tmp_path / "x/y.png"), "no folder")


def test_a_plot_without_matplotlib(
    edgewise: Edgewise, classifier: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    fails(edgewise("inspect", classifier, "--plot", tmp_path / "x.png"), "edgewise[plot]")
