"""Graphs to files: .tflite."""

from __future__ import annotations

import os

from ..errors import InputError
from ..graph import Graph
from ..importers.tflite_metadata import FileMetadata
from ..passes import PIPELINE as ALL
from ..passes import fuse_elementwise, fuse_epilogue, optimize, unroll_recurrent
from .expand import expand
from .files import written_whole
from .legalize import add_biases
from .open_shapes import legal_with_open_shapes
from .requantize import requantize_for_litert, signed_for_litert
from .tflite import kept_states, to_file
from .tflite_file import to_bytes
from .tflite_metadata import with_labels

NOT_WRITTEN = (unroll_recurrent, fuse_epilogue, fuse_elementwise)
"""Passes whose results no file can have."""


def expand_operators(graph: Graph) -> Graph:
    """As `expand`, where layers whose states are variables of their own stay."""
    known = {value for versions in kept_states(graph).values() for value in versions}
    return expand(graph, lambda node: all(node.inputs[i] in known for i in node.op.state_operands))


PIPELINE = (
    expand_operators,
    *(step for step in ALL if step not in NOT_WRITTEN),
    signed_for_litert,
    add_biases,
    requantize_for_litert,
)
"""The passes that graphs of other formats run through before they are written."""

TFLITE = {"operators": "TensorFlow Lite"}
"""What the metadata of a graph say that is written as it is."""

SUFFIX = ".tflite"


def save(graph: Graph, path: str | os.PathLike[str]) -> None:
    """Write a graph to a .tflite file; see `edgewise.save`."""
    name = checked(path)
    write(to_tflite(prepare(graph)), name)


def checked(path: str | os.PathLike[str]) -> str:
    """A path to write to.

    Raises:
        InputError: it is none of a .tflite file.
    """
    name = os.fspath(path)
    if not name.lower().endswith(SUFFIX):
        raise InputError(f"{name}: graphs are written to {SUFFIX} files; the name must end so")
    return name


def prepare(graph: Graph) -> Graph:
    """The graph in operators that a .tflite file can have.

    One that was read from a .tflite file has them already, and keeps them; so does one whose
    metadata say so (``TFLITE``).
    """
    return legal_with_open_shapes(graph, _simplify)


def _simplify(graph: Graph) -> Graph:
    metadata = graph.metadata
    is_ready = isinstance(metadata, FileMetadata) or TFLITE.items() <= metadata.items()
    return graph if is_ready else optimize(graph, PIPELINE)


def to_tflite(graph: Graph) -> bytes:
    """The bytes of a .tflite file.

    Raises:
        UnsupportedError: listing every operator that such a file cannot have.
    """
    return with_labels(to_bytes(to_file(graph)), graph)


def write(content: bytes, path: str) -> None:
    """Put a file where ``path`` says, whole or not at all.

    Raises:
        InputError: it cannot be written.
    """
    with written_whole(path) as file:
        file.write(content)


__all__ = ["PIPELINE", "TFLITE", "checked", "prepare", "save", "to_tflite", "write"]
