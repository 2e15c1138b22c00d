"""TensorFlow Lite Metadata: what a graph says about itself, as importers read it.

The class names of the first output are a text file in a zip archive behind the flatbuffer; the
normalisation of the first input stands in a flatbuffer of its own, which names that file.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..graph import Graph
from ..importers.tflite_metadata import (
    BUFFER_NAME,
    IDENTIFIER,
    AssociatedFile,
    ModelMetadata,
    NormalizationOptions,
    ProcessUnit,
    SubGraphMetadata,
    TensorMetadata,
)

LABEL_FILE = "labels.txt"
LABEL_TYPE = 2
"""The schema's TENSOR_AXIS_LABELS."""

TIME = (1980, 1, 1, 0, 0, 0)
"""Of the file in the archive: equal graphs give equal files."""


def entries(graph: Graph) -> dict[str, bytes]:
    """The entries of the model's metadata, by name; none where there is nothing to say."""
    found = graph.metadata
    if not found.get("labels") and not found.get("input_normalization"):
        return {}
    return {BUFFER_NAME: _Builder().run(graph, found)}


def with_labels(content: bytes, graph: Graph) -> bytes:
    """A file with the graph's class names behind it, where it has some."""
    labels: Sequence[str] = graph.metadata.get("labels", ())
    if not labels:
        return content
    buffer = io.BytesIO(content)
    with zipfile.ZipFile(buffer, "a") as archive:
        text = "".join(f"{n}\n" for n in labels).encode("utf-8", "backslashreplace")
        archive.writestr(zipfile.ZipInfo(LABEL_FILE, TIME), text)
    return buffer.getvalue()


class _Builder:
    """Tables of the metadata's schema, whose fields go by number."""

    def __init__(self) -> None:
        import flatbuffers

        self.b = flatbuffers.Builder(1024)

    def run(self, graph: Graph, found: Mapping[str, Any]) -> bytes:
        inputs = [self._input(found if i == 0 else {}) for i in range(len(graph.inputs))]
        outputs = [self._output(found if i == 0 else {}) for i in range(len(graph.outputs))]
        o = SubGraphMetadata
        lists = {o.INPUT_TENSOR_METADATA: inputs, o.OUTPUT_TENSOR_METADATA: outputs}
        subgraph = self.table({slot: self.offsets(tables) for slot, tables in lists.items()})
        fields = {ModelMetadata.SUBGRAPH_METADATA: self.offsets([subgraph])}
        if found.get("description"):
            fields[ModelMetadata.DESCRIPTION] = self.b.CreateString(
                str(found["description"]), errors="backslashreplace"
            )
        self.b.Finish(self.table(fields), file_identifier=IDENTIFIER)
        return bytes(self.b.Output())

    def _input(self, found: Mapping[str, Any]) -> int:
        normalization = found.get("input_normalization")
        if normalization is None:
            return self.table({})
        o = NormalizationOptions
        numbers = {o.MEAN: normalization["mean"], o.STD: normalization["std"]}
        options = self.table(
            {k: self.b.CreateNumpyVector(np.array(v, np.float32)) for k, v in numbers.items()}
        )
        kind = {ProcessUnit.OPTIONS_TYPE: ProcessUnit.NORMALIZATION}
        unit = self.table({ProcessUnit.OPTIONS: options}, kind)
        return self.table({TensorMetadata.PROCESS_UNITS: self.offsets([unit])})

    def _output(self, found: Mapping[str, Any]) -> int:
        if not found.get("labels"):
            return self.table({})
        name = self.b.CreateString(LABEL_FILE)
        file = self.table({AssociatedFile.NAME: name}, {AssociatedFile.TYPE: LABEL_TYPE})
        return self.table({TensorMetadata.ASSOCIATED_FILES: self.offsets([file])})

    def table(self, offsets: Mapping[int, int], numbers: Mapping[int, int] | None = None) -> int:
        """A table of offsets and of numbers of a byte."""
        numbers = numbers or {}
        self.b.StartObject(max((*offsets, *numbers), default=-1) + 1)
        for slot, offset in offsets.items():
            self.b.PrependUOffsetTRelativeSlot(slot, offset, 0)
        for slot, number in numbers.items():
            self.b.PrependUint8Slot(slot, number, 0)
        return int(self.b.EndObject())

    def offsets(self, offsets: Sequence[int]) -> int:
        self.b.StartVector(4, len(offsets), 4)
        for offset in reversed(offsets):
            self.b.PrependUOffsetTRelative(offset)
        return int(self.b.EndVector())
