"""``edgewise profile``."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from rich.console import Console
from typer.testing import Result

import tflite_networks as networks
from edgewise.cli import profile
from edgewise.codegen import roofline

Edgewise = Callable[..., Result]
Facts = Callable[..., dict[str, Any]]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(roofline, "SECONDS", 1e-5)
    monkeypatch.setattr(roofline, "FARTHEST", 1 << 20)


def test_facts_of_each_step(facts: Facts, classifier: Path) -> None:
    document = facts("profile", classifier, "--runs", 4)
    assert (document["schema"], document["command"]) == (2, "profile")
    assert (document["model"], document["threads"], document["runs"]) == (str(classifier), 1, 4)
    steps = document["steps"]
    assert [s["index"] for s in steps] == list(range(len(steps)))
    assert sum(s["ms"] for s in steps) == pytest.approx(document["steps_ms"])
    assert document["timed_ms"] == pytest.approx(document["steps_ms"] + document["outside_ms"])
    assert document["untimed_ms"] > 0
    assert document["macs"] == sum(s["macs"] * s["calls"] for s in steps) > 0
    limits = {p["arithmetic"]: p["gmacs"] for p in document["peaks"]}
    limits |= {m["name"]: m["gb_per_s"] for m in document["memory"]}
    assert all(value > 0 for value in limits.values())
    for step in steps:
        assert step["kernel"]
        assert step["bytes"] >= step["weight_bytes"] >= 0
        assert step["bound"] in limits or set(step["bound"].split("+")) <= set(limits)
        assert step["of_roof"] == pytest.approx(step["roof_ms"] / step["ms"])
        assert step["gmacs"] == pytest.approx(step["macs"] / step["ms"] / 1e6)
    roofs = sum(s["roof_ms"] for s in steps)
    assert document["of_roof"] == pytest.approx(roofs / document["steps_ms"])
    assert {"CONV_2D", "SOFTMAX"} <= {s["op"] for s in steps}


def test_on_a_picture_with_threads(facts: Facts, classifier: Path, photograph: Path) -> None:
    document = facts("profile", classifier, photograph, "--threads", 2, "--runs", 2, "--renew")
    assert document["threads"] == 2
    assert document["memory"][-1]["capacity_bytes"] is None


def test_table(edgewise: Edgewise, classifier: Path) -> None:
    out = edgewise("profile", classifier, "--runs", 2).stdout
    assert "CONV_2D" in out
    assert "GMAC/s" in out
    assert "outside of them" in out


def test_slowest_first(facts: Facts, classifier: Path) -> None:
    document = facts("profile", classifier, "--runs", 3)
    text = io.StringIO()
    profile.show(Console(file=text, width=200), document, top=2)
    slow = sorted(document["steps"], key=lambda s: -s["ms"])
    lines = [line for line in text.getvalue().splitlines() if line.startswith("│")]
    assert [int(line.split("│")[1]) for line in lines] == [s["index"] for s in slow[:2]]
    assert f"other   {len(slow) - 2} step" in text.getvalue()


def test_transforms_and_references_are_marked(facts: Facts, classifier: Path) -> None:
    document = facts("profile", classifier, "--runs", 2)
    first, second, *_ = document["steps"]
    first["direct"], first["macs"], first["graph"] = False, 1_000_000, "body"
    second |= {"kernel": None, "of_roof": None, "bound": None}
    text = io.StringIO()
    profile.show(Console(file=text, width=250), document)
    assert "1.000*" in text.getvalue()
    assert "* of the direct product" in text.getvalue()
    assert " in body" in text.getvalue()
    assert "numpy reference" in text.getvalue()


def test_a_loop(facts: Facts, tmp_path: Path) -> None:
    path, inputs = tmp_path / "loop.tflite", tmp_path / "x.npz"
    path.write_bytes(networks.loop(None))
    x = np.zeros((2, 3), np.float32)
    np.savez(inputs, i=np.zeros(1, np.int32), x=x, n=np.array([3], np.int32))
    steps = facts("profile", path, inputs, "--runs", 2)["steps"]
    assert {s["calls"] for s in steps if s["graph"]} == {3.0, 4.0}
    assert steps[-1]["op"] == "WHILE" or any(s["op"] == "WHILE" for s in steps)


@pytest.mark.parametrize("suffix", [".png", ".svg", ".pdf"])
def test_plot(facts: Facts, classifier: Path, tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"roofline{suffix}"
    assert facts("profile", classifier, "--runs", 2, "--plot", path)["plot"] == str(path)
    if suffix == ".png":
        with Image.open(path) as picture:
            assert picture.size == (1350, 900)
    assert path.stat().st_size > 1000


def test_plot_of_nothing_that_multiplies(edgewise: Edgewise, adder: Path, tmp_path: Path) -> None:
    path = tmp_path / "roofline.png"
    done = edgewise("profile", adder, "--runs", 2, "--plot", path)
    assert (done.exit_code, path.exists()) == (0, True)
    assert f"{path} written" in "".join(done.stdout.splitlines())


class TestErrors:
    def fails(self, result: Result, *parts: str) -> None:
        assert (result.exit_code, result.stdout) == (2, "")
        (line,) = result.stderr.splitlines()
        assert all(part in line for part in parts)

    def test_plot_of_no_format(self, edgewise: Edgewise, classifier: Path) -> None:
        result = edgewise("profile", classifier, "--plot", "x.bmp")
        self.fails(result, "--plot x.bmp", ".png, .svg, .pdf")

    def test_plot_in_no_folder(self, edgewise: Edgewise, classifier: Path, tmp_path: Path) -> None:
        result = edgewise("profile", classifier, "--plot", tmp_path / "none" / "x.png")
        self.fails(result, "there is no folder")

    def test_no_matplotlib(
        self, edgewise: Edgewise, classifier: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
        result = edgewise("profile", classifier, "--plot", "x.png")
        self.fails(result, "pip install 'edgewise[plot]'")

    def test_inputs_of_two_calls(
        self, edgewise: Edgewise, classifier: Path, photograph: Path
    ) -> None:
        result = edgewise("profile", classifier, photograph, photograph)
        self.fails(result, "2 input files are 2 calls")
