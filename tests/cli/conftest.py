"""Fixtures of the command line's tests: model files, a picture, and ``edgewise`` to call."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import small_networks
from PIL import Image
from typer.testing import CliRunner, Result

from edgewise.cli import app

Edgewise = Callable[..., Result]


@pytest.fixture
def edgewise() -> Edgewise:
    """Runs a command line, each word an argument, and returns exit code, stdout and stderr."""

    def call(*words: object) -> Result:
        result = CliRunner().invoke(app, [str(w) for w in words])
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return call


@pytest.fixture
def facts(edgewise: Edgewise) -> Callable[..., dict[str, Any]]:
    """Runs a command line with --json and returns the document; the exit code must be 0."""

    def call(*words: object) -> dict[str, Any]:
        result = edgewise(*words, "--json")
        assert result.exit_code == 0, result.stderr
        document: dict[str, Any] = json.loads(result.stdout)
        return document

    return call


@pytest.fixture
def classifier(tmp_path: Path) -> Path:
    path = tmp_path / "classifier.tflite"
    path.write_bytes(small_networks.classifier())
    return path


@pytest.fixture
def segmenter(tmp_path: Path) -> Path:
    path = tmp_path / "segmenter.tflite"
    path.write_bytes(small_networks.segmenter())
    return path


@pytest.fixture
def convolver(tmp_path: Path) -> Path:
    path = tmp_path / "convolver.tflite"
    path.write_bytes(small_networks.convolver())
    return path


@pytest.fixture
def adder(tmp_path: Path) -> Path:
    path = tmp_path / "adder.tflite"
    path.write_bytes(small_networks.adder())
    return path


@pytest.fixture
def photograph(tmp_path: Path) -> Path:
    """A picture of a gradient, 60 x 40."""
    y, x = np.mgrid[0:40, 0:60]
    pixels = np.stack([x * 4, y * 6, 255 - x * 4], axis=-1).astype(np.uint8)
    path = tmp_path / "photograph.png"
    Image.fromarray(pixels).save(path)
    return path
