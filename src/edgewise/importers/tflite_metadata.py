"""What a .tflite file says about itself: description, class names, input normalisation.

TensorFlow Lite Metadata is a second flatbuffer (identifier M001) in a buffer of the first; the
files that it names are members of a zip archive appended to the model. None of it is needed to run
the network: it is read when first asked for, and what cannot be read is absent.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from typing import Any

from ..errors import ModelError
from . import tflite_schema as schema
from .flatbuffer import UINT8, UINT32, Flatbuffer, Table

IDENTIFIER = b"M001"
BUFFER_NAME = "TFLITE_METADATA"
MAX_DIRECTORY = 2**20
MAX_LABEL_BYTES = 2**22
"""The greatest archive directory and label file that are read, in bytes."""


class ModelMetadata:
    DESCRIPTION = 1
    SUBGRAPH_METADATA = 3


class SubGraphMetadata:
    INPUT_TENSOR_METADATA = 2
    OUTPUT_TENSOR_METADATA = 3


class TensorMetadata:
    PROCESS_UNITS = 4
    ASSOCIATED_FILES = 6


class ProcessUnit:
    OPTIONS_TYPE = 0
    OPTIONS = 1
    NORMALIZATION = 1


class NormalizationOptions:
    MEAN = 0
    STD = 1


class AssociatedFile:
    NAME = 0
    TYPE = 2
    LABEL_TYPES = (2, 3)


class FileMetadata(Mapping[str, Any]):
    """A file's metadata, read at the first look.

    ``description``: what the file says it is. ``labels``: class names, in the order of the output.
    ``input_normalization``: {"mean": [...], "std": [...]} of the first input that states one: it
    takes (pixel - mean) / std. ``signatures``: {name: {"inputs": [names], "outputs": [names]}} of
    the networks that the file names.
    """

    def __init__(self, data: bytes, model: Table, signatures: Mapping[str, Any]) -> None:
        self._data = data
        self._model = model
        self._signatures = signatures

    def __getitem__(self, key: str) -> Any:
        return self._items[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def __repr__(self) -> str:
        return repr(self._items)

    @cached_property
    def _items(self) -> dict[str, Any]:
        root = _attempt(self._root)
        items = {
            "description": root and _attempt(lambda: root.string(ModelMetadata.DESCRIPTION)),
            "labels": _attempt(lambda: self._labels(root)),
            "signatures": self._signatures,
            "input_normalization": root and _attempt(lambda: _normalization(root)),
        }
        if not items["description"]:
            items["description"] = _attempt(lambda: self._model.string(schema.Model.DESCRIPTION))
        return {key: value for key, value in items.items() if value}

    def _root(self) -> Table | None:
        """The metadata's own root table, None where the file has none."""
        buffers = self._model.tables(schema.Model.BUFFERS, "buffer")
        for entry in self._model.tables(schema.Model.METADATA, "metadata"):
            if entry.string(schema.Metadata.NAME) != BUFFER_NAME:
                continue
            buffer = buffers[entry.number(schema.Metadata.BUFFER, UINT32)]
            start, size = buffer.vector(schema.Buffer.DATA, 1)
            content = self._data[start : start + size]
            if content[4:8] == IDENTIFIER:
                return Flatbuffer(content).root("metadata")
        return None

    def _labels(self, root: Table | None) -> list[str]:
        """The lines of the label file that the first output names, or of the only .txt file."""
        names = _attempt(lambda: _label_files(root)) if root else None
        texts = _text_files(self._data, names or [])
        if not names and len(texts) != 1:
            return []
        lines = next(iter(texts.values()), "").splitlines()
        return [line.strip() for line in lines]


def _attempt(read: Callable[[], Any]) -> Any:
    """What ``read`` gives, or None where the metadata is broken."""
    try:
        return read()
    except ModelError:
        return None


def _tensors(root: Table, field: int) -> Iterator[Table]:
    """The metadata of the inputs or outputs of subgraph 0."""
    subgraphs = root.tables(ModelMetadata.SUBGRAPH_METADATA, "subgraph metadata")
    if len(subgraphs):
        yield from subgraphs[0].tables(field, "tensor metadata")


def _label_files(root: Table) -> list[str]:
    """Names of the label files of the outputs, in order."""
    names = []
    for tensor in _tensors(root, SubGraphMetadata.OUTPUT_TENSOR_METADATA):
        for file in tensor.tables(TensorMetadata.ASSOCIATED_FILES, "associated file"):
            if file.number(AssociatedFile.TYPE, UINT8) in AssociatedFile.LABEL_TYPES:
                names.append(file.string(AssociatedFile.NAME))
    return names


def _normalization(root: Table) -> dict[str, list[float]] | None:
    for tensor in _tensors(root, SubGraphMetadata.INPUT_TENSOR_METADATA):
        for unit in tensor.tables(TensorMetadata.PROCESS_UNITS, "process unit"):
            kind = unit.number(ProcessUnit.OPTIONS_TYPE, UINT8)
            options = unit.table(ProcessUnit.OPTIONS, "normalization")
            if kind != ProcessUnit.NORMALIZATION or options is None:
                continue
            mean = list(options.numbers(NormalizationOptions.MEAN, "f"))
            std = list(options.numbers(NormalizationOptions.STD, "f"))
            fits = 0 < len(mean) == len(std) <= 4
            if fits and all(map(math.isfinite, mean)) and all(0 < s < math.inf for s in std):
                return {"mean": mean, "std": std}
    return None


def _text_files(data: bytes, names: list[str]) -> dict[str, str]:
    """The .txt members of the archive appended to ``data``: those of ``names``, or all if none.

    Empty where there is no archive, or a broken one. At most the first two are read.
    """
    import io
    import struct
    import zipfile
    import zlib

    end = data.rfind(b"PK\x05\x06", max(0, len(data) - 65557))
    if end < 0 or end + 16 > len(data) or UINT32.unpack_from(data, end + 12)[0] > MAX_DIRECTORY:
        return {}
    broken = (
        zipfile.BadZipFile,
        zlib.error,
        struct.error,
        ArithmeticError,
        EOFError,
        LookupError,
        NotImplementedError,
        OSError,
        RuntimeError,
        ValueError,
    )
    texts: dict[str, str] = {}
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = {m.filename: m for m in archive.infolist() if m.filename.endswith(".txt")}
            for name in [n for n in names if n in members] or ([] if names else list(members)):
                if members[name].compress_type in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                    with archive.open(members[name]) as file:
                        texts[name] = file.read(MAX_LABEL_BYTES).decode("utf-8", "replace")
                if len(texts) == 2:
                    break
    except broken:
        return {}
    return texts
