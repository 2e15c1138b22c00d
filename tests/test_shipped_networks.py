"""The networks that come with Edgewise: what the card beside them says is so."""

from __future__ import annotations

import io
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import edgewise as ew
from edgewise import models
from edgewise.graph import Array

CARD = Path(models.__file__).with_name("README.md").read_text(encoding="utf-8")
LIMIT = 2**20
"""Bytes of a shipped network at most."""

PICTURES = 1000


def stated(row: str) -> str:
    """What the card's table says in ``row``."""
    found = re.search(rf"^\| {re.escape(row)} \| (.+?) \|$", CARD, re.MULTILINE)
    assert found is not None, row
    return found[1]


@pytest.fixture(scope="module")
def pictures(data: Path) -> tuple[Array, Array]:
    """Test pictures at even distances, as the network takes them, and their classes."""
    with np.load(data / "data/cifar10_jpeg.npz") as arrays:
        jpeg, offsets, labels = (arrays[f"test_{name}"] for name in ("jpeg", "offsets", "labels"))
    chosen = np.linspace(0, len(labels) - 1, PICTURES).astype(int)
    files = [io.BytesIO(jpeg[offsets[i] : offsets[i + 1]].tobytes()) for i in chosen]
    pixels = np.stack([np.asarray(Image.open(file).convert("RGB")) for file in files])
    return (pixels.astype(np.int16) - 128).astype(np.int8)[:, None], labels[chosen]


@pytest.mark.parametrize("name", models.NAMES)
def test_size(name: str) -> None:
    size = models.path(name).stat().st_size
    assert size <= LIMIT
    assert stated("size") == f"{size:,} bytes"


def test_no_such_network() -> None:
    with pytest.raises(ew.InputError, match=r"network 'mnist': Edgewise comes with cifar10"):
        models.path("mnist")


def test_cifar10_tells_labels_and_normalization() -> None:
    graph = ew.load(models.path("cifar10"))
    names = "airplane automobile bird cat deer dog frog horse ship truck"
    assert graph.metadata["labels"] == names.split()
    assert graph.metadata["input_normalization"] == {"mean": [128.0], "std": [128.0]}
    (picture,), (scores,) = graph.inputs, graph.outputs
    assert str(picture.type) == "int8[1x32x32x3] {0.0078125 * (q - 0)}"
    assert str(scores.type) == "int8[1x10] {0.00390625 * (q - -128)}"
    assert ew.compile(graph, strict=True).fallbacks == ()


@pytest.mark.data
def test_cifar10_is_as_accurate_as_stated(pictures: tuple[Array, Array]) -> None:
    """Within three standard errors of the share that the card states."""
    inputs, labels = pictures
    program = ew.compile(ew.load(models.path("cifar10")))
    right = np.mean([program(x).argmax() for x in inputs] == labels)
    share = float(stated("accuracy, int8").split()[0]) / 100
    assert abs(right - share) < 3 * np.sqrt(share * (1 - share) / PICTURES)


@pytest.mark.data
def test_cifar10_gives_what_litert_gives(pictures: tuple[Array, Array]) -> None:
    pytest.importorskip("ai_edge_litert")
    from edgewise.tools.peers import LiteRT

    program, peer = ew.compile(ew.load(models.path("cifar10"))), LiteRT(models.path("cifar10"))
    for x in pictures[0][::10]:
        np.testing.assert_array_equal(program(x), peer.run([x])[0])


def test_the_wheel_holds_them() -> None:
    wheel = pytest.importorskip("hatchling.builders.wheel")
    root = Path(__file__).resolve().parents[1]
    files = wheel.WheelBuilder(str(root)).recurse_included_files()
    held = {file.distribution_path for file in files}
    assert {f"edgewise/models/{name}.tflite" for name in models.NAMES} <= held
    assert "edgewise/models/README.md" in held
