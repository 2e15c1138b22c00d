"""load() finds the format by content, then by suffix, and names what it cannot read."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from tflite_files import conv

from edgewise.errors import InputError, ModelError
from edgewise.importers import load


def test_content_decides(tmp_path: Path) -> None:
    path = tmp_path / "network.onnx"
    path.write_bytes(conv())
    for source in (path, str(path), conv(), bytearray(conv()), memoryview(conv())):
        assert str(load(source)).split("\n")[1:] == str(load(conv())).split("\n")[1:]
    assert load(path).name == "network"


def test_suffix_comes_second(tmp_path: Path) -> None:
    path = tmp_path / "network.TFLITE"
    path.write_bytes(b"not a network")
    with pytest.raises(ModelError, match=r"file identifier b'a ne'; a .tflite file has 'TFL3'"):
        load(path)


def test_unknown_format(tmp_path: Path) -> None:
    path = tmp_path / "network.dat"
    path.write_bytes(b"not a network")
    with pytest.raises(ModelError, match=r"network.dat: unknown format; Edgewise reads Tensor"):
        load(path)


@pytest.mark.parametrize("name", ["missing.tflite", ".", "nul\0byte"])
def test_no_such_file(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match=r"no such file|cannot be read|a folder"):
        load(f"{tmp_path}/{name}")


def test_a_device_is_no_model() -> None:
    with pytest.raises(InputError, match="null: not a regular file"):
        load("/dev/null")


def test_unreadable_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "network.tflite"
    path.write_bytes(conv())

    def refuse(*args: object, **kwargs: object) -> None:
        raise PermissionError("not yours")

    monkeypatch.setattr("edgewise.importers.content.os.open", refuse)
    with pytest.raises(InputError, match="cannot be read: not yours"):
        load(path)


def test_loading_imports_neither_the_schema_package_nor_zipfile(tmp_path: Path) -> None:
    path = tmp_path / "network.tflite"
    path.write_bytes(conv())
    code = (
        "import sys, edgewise; edgewise.load(sys.argv[1]); "
        "print(sorted({'tflite', 'flatbuffers', 'zipfile', 'llvmlite'} & set(sys.modules)))"
    )
    run = subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True
    )
    assert run.stdout.strip() == "[]"
