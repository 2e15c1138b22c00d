"""`edgewise.save`: files that are there whole or not at all; what they hold besides operators."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from small_graphs import Net
from tflite_files import everything, with_signature

import edgewise as ew
from edgewise import exporters
from edgewise.dtype import DType
from edgewise.errors import InputError, UnsupportedError
from edgewise.exporters import files, tflite_file
from edgewise.graph import Graph, Node, TensorType, Value
from edgewise.ops import Add, Interpreted, Relu
from tflite_builder import run_litert


def small() -> Graph:
    net = Net()
    x = net.input(2, 3, dtype=DType.FLOAT32, quant=None)
    return net.graph(net(Add(), x, net.constant(2, 3, dtype=DType.FLOAT32, quant=None), quant=None))


def late() -> Graph:
    """A graph that no file can have."""
    x, y = Value("x", TensorType((3,), DType.FLOAT32)), Value("y", TensorType((3,), DType.FLOAT32))
    op = Interpreted((y.type,), ("UNIQUE",), lambda arrays, limit: list(arrays))
    return Graph((x,), (y,), (Node(op, (x,), (y,), "interpreted"),))


def test_what_was_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / "net.tflite"
    ew.save(ew.load(everything()), path)
    ew.save(ew.load(path), str(path))
    assert str(ew.load(path)) == str(ew.load(everything()))
    assert path.stat().st_mode & 0o777 == 0o666 & ~_umask()
    assert os.listdir(tmp_path) == ["net.tflite"]


def test_names_that_are_no_utf8_are_escaped() -> None:
    """Each by itself, so that names that differ stay different."""
    graph = small()
    (node,), (x,) = graph.nodes, graph.inputs
    x, y = replace(x, name="x\udcff"), replace(node.outputs[0], name="x\udcfe 名")
    nodes = (Node(node.op, (x, *node.inputs[1:]), (y,), "\ud800"),)
    graph = replace(graph, name="\udc80", inputs=(x,), outputs=(y,), nodes=nodes)
    content = exporters.to_tflite(graph)
    read = ew.load(content)
    assert [v.name for v in (*read.inputs, *read.outputs)] == ["x\\udcff", "x\\udcfe 名"]
    given = np.ones((2, 3), np.float32)
    np.testing.assert_array_equal(run_litert(content, [given])[0], ew.compile(read)(given))


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_permissions_of_a_replaced_file_stay(tmp_path: Path) -> None:
    path = tmp_path / "net.tflite"
    path.write_bytes(b"")
    path.chmod(0o640)
    ew.save(small(), path)
    assert path.stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize("name", ["net.onnx", "net", "tflite"])
def test_other_names(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match=rf"{name}: graphs are written to .tflite files"):
        ew.save(small(), tmp_path / name)


def test_places_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "folder.tflite").mkdir()
    with pytest.raises(InputError, match=r"folder.tflite: cannot be written: it is a folder"):
        ew.save(small(), tmp_path / "folder.tflite")
    with pytest.raises(InputError, match=r"no/net.tflite: cannot be written: No such file"):
        ew.save(small(), tmp_path / "no/net.tflite")
    assert os.listdir(tmp_path) == ["folder.tflite"]


@pytest.fixture
def before(tmp_path: Path) -> Iterator[Path]:
    """A file that a failed write must leave as it is, alone in its folder."""
    path = tmp_path / "net.tflite"
    path.write_bytes(b"before")
    yield path
    assert path.read_bytes() == b"before"
    assert os.listdir(tmp_path) == ["net.tflite"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError, UnsupportedError])
def test_an_interrupted_write_changes_nothing(before: Path, error: type[BaseException]) -> None:
    def write() -> None:
        with files.written_whole(str(before)) as file:
            file.write(b"half")
            raise error

    with pytest.raises(error):
        write()


def test_a_full_disk(before: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(InputError, match=r"net.tflite: cannot be written: No space left"):
        ew.save(small(), before)


def test_what_cannot_be_written(before: Path) -> None:
    with pytest.raises(UnsupportedError, match="only a call tells the shapes of UNIQUE"):
        ew.save(late(), before)


def test_too_large(before: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tflite_file, "MAX_BYTES", 23)
    with pytest.raises(
        UnsupportedError, match=r"constants of 24 bytes; a .tflite file has at most"
    ):
        ew.save(small(), before)


def test_equal_constants_are_stored_once_and_aligned() -> None:
    net = Net()
    x = net.input(2, 300, dtype=DType.FLOAT32, quant=None)
    data = np.arange(600, dtype=np.float32).reshape(2, 300)
    for _ in range(3):
        w = net.constant(2, 300, dtype=DType.FLOAT32, quant=None, data=data.copy())
        x = net(Add(), x, w, quant=None)
    content = exporters.to_tflite(net.graph(x))
    assert content.count(data.tobytes()) == 1
    assert content.index(data.tobytes()) % 16 == 0
    assert len(content) < 2 * data.nbytes


def test_signatures() -> None:
    """A file's own, none where it has none, and a name for graphs of other formats."""
    named = ew.load(with_signature(everything()))
    again = ew.load(exporters.to_tflite(named))
    assert again.metadata["signatures"] == named.metadata["signatures"]
    assert "signatures" not in ew.load(exporters.to_tflite(ew.load(everything()))).metadata
    made = small()
    (found,) = ew.load(exporters.to_tflite(made)).metadata["signatures"].items()
    assert found == (
        "serving_default",
        {"inputs": ["x"], "outputs": [made.outputs[0].name]},
    )


def test_graphs_of_other_formats_are_simplified() -> None:
    net = Net()
    x = net.input(2, 3, dtype=DType.FLOAT32, quant=None)
    w = net.constant(2, 3, dtype=DType.FLOAT32, quant=None)
    graph = net.graph(net(Relu(), net(Add(), x, w, quant=None), quant=None))
    assert [str(n.op) for n in exporters.prepare(graph).nodes] == ["ADD[activation=RELU]"]
    read = ew.load(exporters.to_tflite(graph))
    assert [n.op.name for n in exporters.prepare(read).nodes] == ["ADD", "RELU"]


@pytest.mark.parametrize("parts", [{}, {"labels"}, {"input_normalization"}, {"description"}])
def test_metadata(parts: set[str]) -> None:
    whole = {
        "description": "Tells cats from dogs.",
        "labels": ["cat", "dog", "naïve owl"],
        "input_normalization": {"mean": [127.5], "std": [128.0]},
    }
    metadata = {key: value for key, value in whole.items() if key not in parts}
    graph = replace(small(), metadata=metadata)
    content = exporters.to_tflite(graph)
    read = ew.load(content)
    found = {key: value for key, value in read.metadata.items() if key != "signatures"}
    assert found == metadata
    assert exporters.to_tflite(read) == exporters.to_tflite(ew.load(exporters.to_tflite(read)))
    x = np.ones((2, 3), np.float32)
    assert run_litert(content, [x])[0].shape == (2, 3)


def test_strings() -> None:
    texts = np.array([b"one", b"", b"three"], object)
    text = Value("text", TensorType((3,), DType.STRING), texts)
    x = Value("x", TensorType((1,), DType.FLOAT32))
    y = Value("y", x.type)
    graph = Graph((x,), (y, text), (Node(Relu(), (x,), (y,), "relu"),))
    found = ew.load(exporters.to_tflite(graph)).outputs[1].data
    assert found is not None
    assert found.tolist() == texts.tolist()


def test_the_packages_of_the_format_are_imported_when_something_is_written() -> None:
    code = "import sys, edgewise.exporters; print({'flatbuffers', 'tflite'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
