"""Readers of model files. ``load`` chooses one by content first, then by suffix."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import NamedTuple

from ..errors import InputError, ModelError
from ..graph import Graph
from .tflite import read_tflite


class Format(NamedTuple):
    """A file format: how its content and its files' names show it, and its reader."""

    name: str
    matches: Callable[[bytes], bool]
    suffixes: tuple[str, ...]
    read: Callable[[bytes, str], Graph]


FORMATS = (Format("TensorFlow Lite", lambda data: data[4:8] == b"TFL3", (".tflite",), read_tflite),)


def load(source: str | os.PathLike[str] | bytes) -> Graph:
    """Read a model file, or the bytes of one.

    Raises:
        InputError: there is no such file, or it cannot be read.
        ModelError: its format is unknown, or the file breaks a rule of it.
        UnsupportedError: the model uses something Edgewise does not have yet.

    Errors of a file begin with its path.
    """
    if isinstance(source, (bytes, bytearray, memoryview)):
        return _read(bytes(source), "", "")
    path = os.fspath(source)
    try:
        if os.path.isdir(path):
            raise InputError(f"{path}: a folder; a model is one file")
        if not os.path.isfile(path):
            raise InputError(f"{path}: no such file")
        with open(path, "rb") as file:
            data = file.read()
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: it cannot be read: {error}") from error
    stem, suffix = os.path.splitext(os.path.basename(path))
    try:
        return _read(data, stem, suffix.lower())
    except ModelError as error:
        raise type(error)(f"{path}: {error}") from error


def _read(data: bytes, name: str, suffix: str) -> Graph:
    format = _format(data, suffix)
    return format.read(data, name).read_from(format.name, data)


def _format(data: bytes, suffix: str) -> Format:
    for format in FORMATS:
        if format.matches(data):
            return format
    for format in FORMATS:
        if suffix in format.suffixes:
            return format
    known = ", ".join(f"{f.name} ({', '.join(f.suffixes)})" for f in FORMATS)
    raise ModelError(f"unknown format; Edgewise reads {known}")


__all__ = ["FORMATS", "Format", "load"]
