"""Options of the commands that say how a model is loaded."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from PIL import Image
from typer.testing import Result

Edgewise = Callable[..., Result]


@pytest.fixture
def detector(tmp_path: Path) -> Path:
    """A picture with its channels first, of any height, times its own Sigmoid."""
    nodes = [
        helper.make_node("Sigmoid", ["picture"], ["gate"], name="gating"),
        helper.make_node("Mul", ["picture", "gate"], ["scores"], name="scaling"),
    ]
    picture = helper.make_tensor_value_info("picture", TensorProto.FLOAT, (1, 3, "height", 6))
    scores = helper.make_tensor_value_info("scores", TensorProto.FLOAT, None)
    graph = helper.make_graph(nodes, "detector", [picture], [scores])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    path = tmp_path / "detector.onnx"
    onnx.save(model, path)
    return path


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "photo.png"
    noise = np.random.default_rng(0).integers(0, 256, (9, 9, 3), np.uint8)
    Image.fromarray(noise).save(path)
    return path


def test_dim_and_channels_last(edgewise: Edgewise, detector: Path, photo: Path) -> None:
    first, last = detector.with_name("first.npy"), detector.with_name("last.npy")
    for path, words in ((first, ()), (last, ("--channels-last",))):
        words = ("--dim", "height=4", "--output", path, *words)
        assert edgewise("run", detector, photo, *words).exit_code == 0
    assert np.load(first).shape == (1, 3, 4, 6)
    np.testing.assert_array_equal(np.load(first).transpose(0, 2, 3, 1), np.load(last))


@pytest.mark.parametrize("command", ["compare", "bisect"])
def test_the_format_chooses_the_peer(edgewise: Edgewise, detector: Path, command: str) -> None:
    result = edgewise(command, detector, "--dim", "height=4", "--json")
    assert result.exit_code == 0
    assert json.loads(result.stdout)["against"].startswith("ONNX Runtime")


def test_inspect_shows_dims(edgewise: Edgewise, detector: Path) -> None:
    assert "sizes   height = 1; --dim chooses" in edgewise("inspect", detector).stdout
    document = edgewise("inspect", detector, "--dim", "height=4", "--json").stdout
    assert json.loads(document)["dims"] == {"height": 4}


@pytest.mark.parametrize("operator", ["Relu", "No\nSuch"])
def test_names_do_not_steer_the_terminal(edgewise: Edgewise, tmp_path: Path, operator: str) -> None:
    node = helper.make_node(operator, ["x"], ["y\n\x1b[31m"], name="a\nb\x1b[2J")
    x, y = (helper.make_tensor_value_info(n, TensorProto.FLOAT, (2,)) for n in ("x", "y\n\x1b[31m"))
    graph = helper.make_graph([node], "odd", [x], [y])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    path = tmp_path / "odd.onnx"
    onnx.save(model, path)
    result = edgewise("inspect", path)
    if operator == "Relu":
        assert (result.exit_code, "y\\n\\x1b[31m" in result.stdout) == (0, True)
    else:
        assert (result.exit_code, len(result.stderr.splitlines())) == (2, 1)
    assert "\x1b" not in result.stdout + result.stderr


@pytest.mark.parametrize("words", ["height", "=3", "height=x", "height=-1", "height=" + "9" * 5000])
def test_a_dim_that_is_none(edgewise: Edgewise, detector: Path, words: str) -> None:
    result = edgewise("inspect", detector, "--dim", words)
    assert result.exit_code == 2
    assert f"--dim {words}: a dimension's name, =, and a whole number" in result.stderr


@pytest.mark.parametrize("words", ["picture", "picture=", "picture=1,0", "picture=1," + "9" * 5000])
def test_a_shape_that_is_none(edgewise: Edgewise, detector: Path, words: str) -> None:
    result = edgewise("inspect", detector, "--shape", words)
    assert result.exit_code == 2
    assert f"--shape {words}: an input's name, =, and whole numbers with commas" in result.stderr


def test_threads_that_are_none(edgewise: Edgewise, detector: Path) -> None:
    result = edgewise("inspect", detector, "--threads", "9" * 5000)
    assert (result.exit_code, "a whole number from 1 to 64" in result.stderr) == (2, True)


@pytest.mark.parametrize("command", ["compare", "bisect"])
def test_inputs_for_a_model_that_takes_none(
    edgewise: Edgewise, tmp_path: Path, photo: Path, command: str
) -> None:
    node = helper.make_node("Constant", [], ["y"], value_floats=[1.0, 2.0])
    result = helper.make_tensor_value_info("y", TensorProto.FLOAT, (2,))
    graph = helper.make_graph([node], "constant", [], [result])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    path = tmp_path / "constant.onnx"
    onnx.save(model, path)
    given = edgewise(command, path, "--inputs", photo)
    assert (given.exit_code, "the model takes no inputs" in given.stderr) == (2, True)


def test_weights_of_one_file(edgewise: Edgewise, detector: Path, photo: Path) -> None:
    result = edgewise("inspect", detector, "--weights", photo)
    assert result.exit_code == 2
    assert "weights: ONNX files do not take it" in result.stderr


def test_a_network_that_comes_with_edgewise(
    edgewise: Edgewise, classifier: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``cifar10`` names it, unless there is such a file."""
    monkeypatch.chdir(tmp_path)
    shown = edgewise("inspect", "cifar10").stdout
    assert "int8[1x32x32x3]" in shown
    classifier.rename(tmp_path / "cifar10")
    shown = edgewise("inspect", "cifar10").stdout
    assert shown
    assert "int8[1x32x32x3]" not in shown
