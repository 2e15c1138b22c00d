"""``edgewise convert``."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_cli import fails
from typer.testing import Result

import edgewise as ew
from edgewise.dtype import DType
from edgewise.errors import InputError
from edgewise.graph import Array, Graph, Node, TensorType, Value
from edgewise.ops import Add
from edgewise.tools import convert, peers

Edgewise = Callable[..., Result]
Facts = Callable[..., dict[str, Any]]


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out.tflite"


def test_writes_what_litert_runs_alike(facts: Facts, classifier: Path, out: Path) -> None:
    document = facts("convert", classifier, out)
    assert document["written"]
    assert document["format"] == "TensorFlow Lite"
    assert document["output_bytes"] == out.stat().st_size
    assert document["operators"] == {"CONV_2D": 1, "MEAN": 1, "FULLY_CONNECTED": 1, "SOFTMAX": 1}
    verified = document["verified"]
    assert verified["against"] == verified["runtime"]
    assert verified["runtime"].startswith("LiteRT ")
    assert (verified["inputs"], verified["share"], verified["within_tolerance"]) == (3, 0.0, True)
    assert [o["name"] for o in verified["outputs"]] == ["chances"]
    assert str(ew.load(out)) == str(ew.load(classifier))


def test_tells_what_it_did(edgewise: Edgewise, classifier: Path, out: Path) -> None:
    text = edgewise("convert", classifier, out).stdout
    assert f"{out} written: TensorFlow Lite" in text
    assert "1 CONV_2D, 1 MEAN" in text
    assert "results equal those of the model there, to the bit" in text
    text = edgewise("convert", classifier, out, "--no-verify").stdout
    assert "not verified" in text


def test_may_take_the_place_of_its_input(facts: Facts, classifier: Path) -> None:
    before = str(ew.load(classifier))
    facts("convert", classifier, classifier)
    assert str(ew.load(classifier)) == before
    assert [p.name for p in classifier.parent.iterdir()] == [classifier.name]


def test_other_shapes(facts: Facts, segmenter: Path, out: Path) -> None:
    facts("convert", segmenter, out, "--shape", "picture=1,7,5,3")
    assert ew.load(out).outputs[0].type.shape == (1, 7, 5, 4)


def test_results_that_differ(
    edgewise: Edgewise, classifier: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out.write_bytes(b"before")
    monkeypatch.setattr(convert, "share", lambda expected, found: 0.25)
    result = edgewise("convert", classifier, out)
    assert result.exit_code == 1
    assert "NOT written" in result.stdout
    assert "0.25 of an output's range, NOT within the tolerance of 0.05" in result.stdout
    assert out.read_bytes() == b"before"
    assert edgewise("convert", classifier, out, "--tolerance", 0.25).exit_code == 0
    assert out.read_bytes() != b"before"


def test_a_model_that_litert_refuses_is_compared_with_edgewise(
    facts: Facts, classifier: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise InputError("no")

    monkeypatch.setattr(peers, "open_peer", refuse)
    verified = facts("convert", classifier, out)["verified"]
    assert verified["against"] == "Edgewise"
    assert verified["tolerance"] == convert.INTEGER_TOLERANCE
    assert verified["share"] < verified["tolerance"]


def test_a_file_that_litert_refuses(
    edgewise: Edgewise, classifier: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise InputError("no such operator")

    monkeypatch.setattr(peers, "LiteRT", refuse)
    result = edgewise("convert", classifier, out)
    fails(result, "nothing was written", "no such operator", "--no-verify")
    assert not out.exists()
    assert edgewise("convert", classifier, out, "--no-verify").exit_code == 0


def test_operators_that_fail_in_litert(
    edgewise: Edgewise, tmp_path: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    x = Value("x", TensorType((2, 3), DType.FLOAT64))
    y = Value("y", x.type)
    model = tmp_path / "double.tflite"
    ew.save(Graph((x,), (y,), (Node(Add(), (x, x), (y,), "add"),)), model)
    fails(edgewise("convert", model, out), "LiteRT cannot run the model", "FLOAT64", "ADD")

    def refuse(*_: object) -> None:
        raise InputError("no")

    monkeypatch.setattr(peers, "open_peer", refuse)
    fails(edgewise("convert", model, out), "nothing was written", "FLOAT64", "--no-verify")
    assert not out.exists()
    assert edgewise("convert", model, out, "--no-verify").exit_code == 0


def test_without_litert(
    edgewise: Edgewise, classifier: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(convert.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setitem(sys.modules, "ai_edge_litert", None)
    monkeypatch.setitem(sys.modules, "ai_edge_litert.interpreter", None)
    assert "not verified" in edgewise("convert", classifier, out).stdout
    fails(edgewise("convert", classifier, out, "--verify"), "edgewise[litert]")


def test_what_is_given_wrong(edgewise: Edgewise, classifier: Path, tmp_path: Path) -> None:
    fails(edgewise("convert", classifier, tmp_path / "out.onnx"), "out.onnx", ".tflite")
    fails(edgewise("convert", classifier, tmp_path / "no/out.tflite"), "no/out.tflite", "written")
    fails(edgewise("convert", tmp_path / "none.tflite", tmp_path / "out.tflite"), "no such file")
    (tmp_path / "folder.tflite").mkdir()
    fails(edgewise("convert", classifier, tmp_path / "folder.tflite"), "folder.tflite")
    fails(edgewise("convert", classifier, tmp_path / "out.tflite", "--signature", "x"), "'x'")


@pytest.mark.parametrize(
    ("expected", "found", "share"),
    [
        ([0.0, 4.0], [0.0, 3.0], 0.25),
        ([2.0, 4.0], [2.5, 4.0], 0.125),
        ([0.0, 0.0], [0.0, 0.0], 0.0),
        ([0.0, 0.0], [0.0, 1e-9], np.inf),
        ([1.0, np.nan], [1.0, np.nan], 0.0),
        ([1.0, np.inf], [1.0, np.inf], 0.0),
        ([1.0, np.inf], [1.0, 5.0], np.inf),
        ([1.0], [1.0, 2.0], np.inf),
        ([3j, 1.0], [3j, 1.0 + 1j], 1 / 3),
        ([True], [True], 0.0),
        ([True], [False], np.inf),
    ],
)
def test_share(expected: Sequence[Any], found: Sequence[Any], share: float) -> None:
    arrays: list[Array] = [np.array(expected), np.array(found)]
    assert convert.share(*arrays) == pytest.approx(share)


def test_share_of_another_type() -> None:
    assert convert.share(np.ones(2, np.float32), np.ones(2, np.float64)) == np.inf
