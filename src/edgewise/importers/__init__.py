"""Readers of model files. ``load`` chooses one by content first, then by suffix."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import NamedTuple, SupportsIndex, TypeAlias

from ..errors import InputError, ModelError
from ..graph import Graph, LateGraph, Outline, Shapes, checked_shapes, digest_of
from .content import HEAD, REGISTERED, Content, Source


class Format(NamedTuple):
    """A file format: how its content and its files' names show it, and its reader.

    ``options`` are those of `load` that it knows, besides shapes.
    """

    name: str
    matches: Callable[[bytes], bool]
    suffixes: tuple[str, ...]
    module: str
    reader: str
    options: tuple[str, ...] = ()

    def read(self, source: Source) -> Graph:
        """The graph of a file; the reader is imported when one is read.

        Raises:
            InputError: an option is given that the format does not know.
        """
        for option in ("signature", "dims", "weights", "channels_last"):
            if getattr(source, option) and option not in self.options:
                raise InputError(f"{option}: {self.name} files do not take it")
        reader = getattr(importlib.import_module(f"{__name__}.{self.module}"), self.reader)
        if not source.channels_last:
            graph: Graph = reader(source)
            return graph
        from .interface import channels_first_shapes, channels_last

        return channels_last(reader(replace(source, shapes=channels_first_shapes(source.shapes))))


def _is_onnx(head: bytes) -> bool:
    """Whether a ModelProto starts: its ir_version, then another of its fields."""
    return head[:1] == b"\x08" and head[1:2] < b"\x20" and head[2:3] in _MODEL_FIELDS


_MODEL_FIELDS = (b"\x12", b"\x1a", b"\x22", b"\x28", b"\x32", b"\x3a", b"\x42")
"""The tags of producer_name, producer_version, domain, model_version, doc_string, graph and
opset_import."""


def _is_torch(head: bytes) -> bool:
    """Whether a zip archive starts, or a file of torch.save as it was before those."""
    return head[:4] == b"PK\x03\x04" or head[:14] == b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19"


def _is_caffe(head: bytes) -> bool:
    from .caffe_model import is_network

    return is_network(head)


def _is_ncnn(head: bytes) -> bool:
    from .ncnn_file import is_network

    return is_network(head)


FORMATS = (
    Format(
        "TensorFlow Lite",
        lambda head: head[4:8] == b"TFL3",
        (".tflite",),
        "tflite",
        "read_source",
        ("signature",),
    ),
    Format(
        "ONNX",
        _is_onnx,
        (".onnx",),
        "onnx",
        "read_onnx",
        ("dims", "channels_last"),
    ),
    Format(
        "PyTorch",
        _is_torch,
        (".pt2", ".pt", ".pth"),
        "torch",
        "read_torch",
        ("dims", "channels_last"),
    ),
    Format(
        "Caffe",
        _is_caffe,
        (".prototxt", ".caffemodel"),
        "caffe",
        "read_caffe",
        ("weights", "channels_last"),
    ),
    Format(
        "ncnn",
        _is_ncnn,
        (".param", ".bin"),
        "ncnn",
        "read_ncnn",
        ("weights", "channels_last"),
    ),
)
"""A reader is imported when a file is read that was not compiled before."""

Known: TypeAlias = "Callable[[str], Outline | None]"
"""Gives the outline of a graph by its digest, where the file is known to be sound."""


def load(
    source: str | os.PathLike[str] | bytes,
    signature: str | None = None,
    shapes: Shapes | None = None,
    dims: Mapping[str, int] | None = None,
    weights: str | os.PathLike[str] | None = None,
    channels_last: bool = False,
    known: Known | None = None,
) -> Graph:
    """Read a model file, or the bytes of one.

    Args:
        signature: which of the networks that the file names, instead of its first.
        shapes: shapes of inputs, by name, instead of the file's.
        dims: sizes of symbolic dimensions, by name.
        weights: the file of weights, where a format has two files and they differ in name.
        channels_last: inputs and outputs that are images, [N, C, ...] in the file, are [N, ..., C];
            shapes of inputs are such ones, too.
        known: outlines of graphs that were read before; theirs are read when they are asked for.

    Raises:
        InputError: there is no such file, or it cannot be read; it has no such signature or
            input, or cannot take the shapes.
        ModelError: its format is unknown, or the file breaks a rule of it.
        UnsupportedError: the model uses something Edgewise does not have yet.

    Errors of a file begin with its path.
    """
    chosen = Source(
        b"",
        signature=signature,
        shapes=checked_shapes(shapes or {}),
        dims=checked_dims(dims or {}),
        weights=None if weights is None else os.fspath(weights),
        channels_last=channels_last,
    )
    if isinstance(source, (bytes, bytearray, memoryview)):
        return _read(Content(bytes(source)), chosen, known)
    path = os.fspath(source)
    chosen = replace(chosen, path=path)
    try:
        if os.path.isdir(path):
            raise InputError(f"{path}: a folder; a model is one file")
        if not os.path.isfile(path):
            why = "not a regular file" if os.path.exists(path) else "no such file"
            raise InputError(f"{path}: {why}")
        content = Content(path)
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: it cannot be read: {error}") from error
    with _errors_of(path):
        return _read(content, chosen, known)


@contextmanager
def _errors_of(path: str) -> Iterator[None]:
    """Let errors of a file, if it is one, begin with its path."""
    try:
        yield
    except (ModelError, InputError) as error:
        raise type(error)(f"{path}: {error}" if path else str(error)) from error


def checked_dims(dims: Mapping[str, SupportsIndex]) -> dict[str, int]:
    """Sizes of dimensions as whole numbers from 0 on."""
    sizes = {}
    for name, size in dims.items():
        sizes[name] = checked_shapes({name: (size,)})[name][0]
        if sizes[name] < 0:
            raise InputError(f"dimension {name!r}: {sizes[name]}; it cannot be negative")
    return sizes


def _read(content: Content, chosen: Source, known: Known | None) -> Graph:
    path = chosen.path
    name, suffix = os.path.splitext(os.path.basename(path))
    format = _format(content.head, suffix.lower())
    shapes, dims = sorted(chosen.shapes.items()), sorted(chosen.dims.items())
    which = repr((chosen.signature, shapes, dims, chosen.weights, chosen.channels_last))

    def digest_with(files: Mapping[str, bytes]) -> str:
        return digest_of(format.name, content.digest, which, *files.values(), *REGISTERED)

    def read() -> tuple[Graph, str]:
        source = replace(chosen, data=content.read(), name=name, read={})
        graph = format.read(source)
        return graph, digest_with(source.read)

    def read_late() -> Graph:
        with _errors_of(path):
            return read()[0]

    def again(shapes: Shapes) -> Graph:
        return _read(content, replace(chosen, shapes=checked_shapes(shapes)), known)

    digest = digest_with({})
    outline = None if known is None else known(digest)
    if outline is not None:
        return LateGraph.of(outline, digest, read_late, again)
    graph, digest = read()
    return graph.read_from(digest, again)


def format_of(path: str | os.PathLike[str]) -> Format:
    """The format of a file, by its content, then by its suffix.

    Raises:
        InputError: it cannot be read.
        ModelError: its format is unknown.
    """
    try:
        with open(path, "rb") as file:
            head = file.read(HEAD)
    except OSError as error:
        raise InputError(f"{path}: it cannot be read: {error}") from error
    with _errors_of(os.fspath(path)):
        return _format(head, os.path.splitext(path)[1].lower())


def _format(head: bytes, suffix: str) -> Format:
    for format in FORMATS:
        if format.matches(head):
            return format
    for format in FORMATS:
        if suffix in format.suffixes:
            return format
    known = ", ".join(f"{f.name} ({', '.join(f.suffixes)})" for f in FORMATS)
    raise ModelError(f"unknown format; Edgewise reads {known}")


__all__ = ["FORMATS", "Format", "format_of", "load"]
