"""Networks of other formats of the data folder, written: LiteRT gives what Edgewise gives."""

from __future__ import annotations

from pathlib import Path

import pytest

from data_folder import data_folder
from edgewise.tools.convert import convert
from edgewise.tools.facts import Loading

pytestmark = [pytest.mark.data, pytest.mark.slow]

FOLDER = data_folder()
SUFFIXES = (".onnx", ".caffemodel", ".param")
MODELS = sorted(p for s in SUFFIXES for p in (FOLDER / "models").glob(f"*{s}")) if FOLDER else []

SHAPES = {
    "fastestdet_float.param": {"input.1": (1, 3, 352, 352)},
    "rfb320_float.param": {"input": (1, 3, 240, 320)},
}
"""Of files that state none."""

TOLERANCES = {"basic_pitch_float.onnx": 1e-3}
"""It divides by the range of logarithms of its input's spectrum: noise makes that small, and
LiteRT's results for its .tflite file differ from Edgewise's as much."""


@pytest.mark.parametrize("path", MODELS, ids=lambda path: path.name)
def test_litert_gives_what_edgewise_gives(path: Path, tmp_path: Path) -> None:
    output = tmp_path / "network.tflite"
    loading = Loading(shapes=SHAPES.get(path.name, {}))
    facts = convert(path, output, loading=loading, count=1, verify=True)
    assert facts["verified"]["share"] <= TOLERANCES.get(path.name, 1e-4)
    assert output.stat().st_size == facts["output_bytes"]


def test_there_are_networks() -> None:
    assert len(MODELS) >= 15
