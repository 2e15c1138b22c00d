"""What files say about themselves; and that a broken word of it keeps no network from loading."""

from __future__ import annotations

import zipfile
from typing import Any

import flatbuffers
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as litert_schema
from tflite_files import conv, edit, with_files

from edgewise.importers import load, tflite_metadata


def table(b: flatbuffers.Builder, fields: dict[int, tuple[str, Any]], count: int) -> int:
    """A table of offsets ("o") and bytes ("b")."""
    b.StartObject(count)
    for slot, (kind, value) in fields.items():
        if kind == "o":
            b.PrependUOffsetTRelativeSlot(slot, value, 0)
        else:
            b.PrependUint8Slot(slot, value, 0)
    return int(b.EndObject())


def vector(b: flatbuffers.Builder, *offsets: int) -> int:
    b.StartVector(4, len(offsets), 4)
    for offset in reversed(offsets):
        b.PrependUOffsetTRelative(offset)
    return int(b.EndVector())


def metadata(
    mean: list[float],
    std: list[float],
    label_file: str = "names.txt",
    kind: int = 2,
    process: int = 1,
) -> bytes:
    """A metadata flatbuffer: "A network", one normalised input, one output with labels."""
    b = flatbuffers.Builder(256)
    mean_vector = b.CreateNumpyVector(np.array(mean, np.float32))
    std_vector = b.CreateNumpyVector(np.array(std, np.float32))
    options = table(b, {0: ("o", mean_vector), 1: ("o", std_vector)}, 2)
    unit = table(b, {0: ("b", process), 1: ("o", options)}, 2)
    input_ = table(b, {4: ("o", vector(b, unit))}, 7)
    name = b.CreateString(label_file)
    file = table(b, {0: ("o", name), 2: ("b", kind)}, 5)
    output = table(b, {6: ("o", vector(b, file))}, 7)
    ins, outs = vector(b, input_), vector(b, output)
    subgraph = table(b, {2: ("o", ins), 3: ("o", outs)}, 9)
    text, subgraphs = b.CreateString("A network"), vector(b, subgraph)
    b.Finish(table(b, {1: ("o", text), 3: ("o", subgraphs)}, 8), file_identifier=b"M001")
    return bytes(b.Output())


def described(content: bytes, name: str = "TFLITE_METADATA") -> bytes:
    """A network with these bytes as its metadata buffer."""

    def change(model: Any) -> None:
        buffer, entry = litert_schema.BufferT(), litert_schema.MetadataT()
        buffer.data = np.frombuffer(content, np.uint8)
        entry.name, entry.buffer = name, len(model.buffers)
        model.buffers.append(buffer)
        model.metadata = [entry]
        model.description = "Converted."

    return edit(conv(), change)


FULL = metadata([127.5], [128.0])
TEXTS = {"other.txt": "x\ny\n", "names.txt": "cat\n dog \nowl\n"}


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_metadata(compression: int) -> None:
    graph = load(with_files(described(FULL), TEXTS, compression))
    assert dict(graph.metadata) == {
        "description": "A network",
        "labels": ["cat", "dog", "owl"],
        "input_normalization": {"mean": [127.5], "std": [128.0]},
    }
    assert len(graph.metadata) == 3
    assert repr(graph.metadata) == repr(dict(graph.metadata))


def test_a_file_s_own_description_and_only_text_file_will_do() -> None:
    graph = load(with_files(described(FULL, "OTHER"), {"labels.txt": "a\nb", "read.md": "no"}))
    assert dict(graph.metadata) == {"description": "Converted.", "labels": ["a", "b"]}


def test_two_text_files_without_metadata_are_no_labels() -> None:
    assert "labels" not in load(with_files(conv(), TEXTS)).metadata


def test_a_network_that_says_nothing() -> None:
    assert dict(load(conv()).metadata) == {}


BROKEN = {
    "not a flatbuffer": described(b"\xff" * 4 + b"M001" + b"\xff" * 64),
    "not metadata": described(b"\0" * 64),
    "too short": described(b""),
    "no such buffer": edit(described(FULL), lambda model: setattr(model.metadata[0], "buffer", 99)),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_metadata_is_absent(name: str) -> None:
    assert dict(load(BROKEN[name]).metadata) == {"description": "Converted."}


@pytest.mark.parametrize(
    ("mean", "std"),
    [
        ([1.0], [0.0]),
        ([1.0], [-1.0]),
        ([float("nan")], [1.0]),
        ([1.0], [float("inf")]),
        ([1.0, 2.0], [1.0]),
        ([], []),
        ([0.0] * 5, [1.0] * 5),
    ],
)
def test_senseless_normalization_is_absent(mean: list[float], std: list[float]) -> None:
    assert set(load(described(metadata(mean, std))).metadata) == {"description"}


def test_another_process_than_normalization_is_not_one() -> None:
    content = metadata([0.0], [1.0], process=2)
    assert set(load(described(content)).metadata) == {"description"}


def test_labels_of_another_type_or_a_missing_file_are_absent() -> None:
    for content in (metadata([0.0], [1.0], kind=1), metadata([0.0], [1.0], "missing.txt")):
        graph = load(with_files(described(content), TEXTS))
        assert set(graph.metadata) == {"description", "input_normalization"}


def damage(content: bytes, marker: bytes, offset: int, value: bytes) -> bytes:
    position = content.rindex(marker) + offset
    return content[:position] + value + content[position + len(value) :]


ONE = with_files(conv(), {"labels.txt": "a\nb\n" * 50}, zipfile.ZIP_DEFLATED)
ARCHIVES = {
    "directory size": damage(ONE, b"PK\x05\x06", 12, b"\xff\xff\xff\x7f"),
    "directory offset": damage(ONE, b"PK\x05\x06", 16, b"\xff\xff\xff\x7f"),
    "cut end": ONE[: ONE.rindex(b"PK\x05\x06") + 14],
    "entry": damage(ONE, b"PK\x01\x02", 0, b"XX"),
    "compression": damage(ONE, b"PK\x01\x02", 10, b"\x0e\0"),
    "encrypted": damage(ONE, b"PK\x01\x02", 8, b"\x01\0"),
    "local header": damage(ONE, b"PK\x03\x04", 0, b"XX"),
    "data": damage(ONE, b"PK\x03\x04", 40, b"\xff" * 4),
    "checksum": damage(ONE, b"PK\x01\x02", 16, b"\0\0\0\0"),
}


@pytest.mark.parametrize("name", ARCHIVES)
def test_broken_archives_have_no_labels(name: str) -> None:
    assert "labels" not in load(ARCHIVES[name]).metadata


def test_a_bomb_is_read_no_further_than_its_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tflite_metadata, "MAX_LABEL_BYTES", 1000)
    bomb = with_files(conv(), {"labels.txt": "a\n" * 10**6}, zipfile.ZIP_DEFLATED)
    assert len(load(bomb).metadata["labels"]) == 500
