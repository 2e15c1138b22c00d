"""Readers of model files. ``load`` chooses one by content first, then by suffix."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple, TypeAlias

from ..errors import InputError, ModelError
from ..graph import Graph, LateGraph, Outline, Shapes, checked_shapes, digest_of
from .content import REGISTERED, Content


class Format(NamedTuple):
    """A file format: how its content and its files' names show it, and its reader.

    ``read`` takes the bytes, a name, a signature or None, and shapes of inputs or None.
    """

    name: str
    matches: Callable[[bytes], bool]
    suffixes: tuple[str, ...]
    read: Callable[[bytes, str, str | None, Shapes | None], Graph]


def _tflite(data: bytes, name: str, signature: str | None, shapes: Shapes | None) -> Graph:
    from .tflite import read_tflite

    return read_tflite(data, name, signature, shapes)


FORMATS = (Format("TensorFlow Lite", lambda data: data[4:8] == b"TFL3", (".tflite",), _tflite),)
"""A reader is imported when a file is read that was not compiled before."""

Known: TypeAlias = "Callable[[str], Outline | None]"
"""Gives the outline of a graph by its digest, where the file is known to be sound."""


def load(
    source: str | os.PathLike[str] | bytes,
    signature: str | None = None,
    shapes: Shapes | None = None,
    known: Known | None = None,
) -> Graph:
    """Read a model file, or the bytes of one.

    Args:
        signature: which of the networks that the file names, instead of its first.
        shapes: shapes of inputs, by name, instead of the file's.
        known: outlines of graphs that were read before; theirs are read when they are asked for.

    Raises:
        InputError: there is no such file, or it cannot be read; it has no such signature or
            input, or cannot take the shapes.
        ModelError: its format is unknown, or the file breaks a rule of it.
        UnsupportedError: the model uses something Edgewise does not have yet.

    Errors of a file begin with its path.
    """
    if isinstance(source, (bytes, bytearray, memoryview)):
        return _read(Content(bytes(source)), "", signature, shapes, known)
    path = os.fspath(source)
    try:
        if os.path.isdir(path):
            raise InputError(f"{path}: a folder; a model is one file")
        if not os.path.isfile(path):
            raise InputError(f"{path}: no such file")
        content = Content(path)
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: it cannot be read: {error}") from error
    with _errors_of(path):
        return _read(content, path, signature, shapes, known)


@contextmanager
def _errors_of(path: str) -> Iterator[None]:
    """Let errors of a file, if it is one, begin with its path."""
    try:
        yield
    except (ModelError, InputError) as error:
        raise type(error)(f"{path}: {error}" if path else str(error)) from error


def _read(
    content: Content,
    path: str,
    signature: str | None,
    shapes: Shapes | None,
    known: Known | None,
) -> Graph:
    name, suffix = os.path.splitext(os.path.basename(path))
    format = _format(content.head, suffix.lower())
    chosen = checked_shapes(shapes or {})
    which = repr((signature, sorted(chosen.items())))
    digest = digest_of(format.name, content.digest, which, *REGISTERED)

    def read() -> Graph:
        return format.read(content.read(), name, signature, chosen)

    def read_late() -> Graph:
        with _errors_of(path):
            return read()

    def again(shapes: Shapes) -> Graph:
        return _read(content, path, signature, shapes, known)

    outline = None if known is None else known(digest)
    if outline is not None:
        return LateGraph.of(outline, digest, read_late, again)
    return read().read_from(digest, again)


def _format(head: bytes, suffix: str) -> Format:
    for format in FORMATS:
        if format.matches(head):
            return format
    for format in FORMATS:
        if suffix in format.suffixes:
            return format
    known = ", ".join(f"{f.name} ({', '.join(f.suffixes)})" for f in FORMATS)
    raise ModelError(f"unknown format; Edgewise reads {known}")


__all__ = ["FORMATS", "Format", "load"]
