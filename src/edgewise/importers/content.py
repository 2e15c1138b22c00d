"""The bytes of a model, read when they are asked for, and what else says what they mean."""

from __future__ import annotations

import hashlib
import os
import threading
import weakref
from collections.abc import Mapping
from dataclasses import dataclass, field
from io import FileIO

from ..errors import InputError, ModelError
from ..graph import Shapes

REGISTERED: list[bytes] = []
"""A number drawn for every custom operator of a user: what a file means depends on them."""

HEAD = 64
_BLOCK, _PART = 2**16, 2**30


class Content:
    """What a file holds, or the bytes given.

    A file is kept open until it is read, so it stays readable where another one takes its name.

    Attributes:
        head: its first bytes, at most `HEAD`.
        digest: its SHA-256.

    Raises OSError or ValueError where a file cannot be read.
    """

    def __init__(self, source: str | bytes) -> None:
        self._data: bytes | None = None
        self._reading = threading.Lock()
        if isinstance(source, bytes):
            self._data, self.head = source, source[:HEAD]
            self.digest = hashlib.sha256(source).digest()
            return
        self._descriptor = os.open(source, os.O_RDONLY | getattr(os, "O_BINARY", 0))
        self._close = weakref.finalize(self, os.close, self._descriptor)
        digest, block = hashlib.sha256(), memoryview(bytearray(_BLOCK))
        with self._opened() as file:
            self.head = file.read(HEAD)
            digest.update(self.head)
            while count := file.readinto(block):
                digest.update(block[:count])
        self.digest = digest.digest()

    def read(self) -> bytes:
        """All of it.

        Raises:
            InputError: the file was changed since.
        """
        with self._reading:
            if self._data is None:
                data = self._whole()
                if hashlib.sha256(data).digest() != self.digest:
                    raise InputError("the file was changed after it was loaded; load it again")
                self._data = data
                self._close()
            return self._data

    def _whole(self) -> bytes:
        if not hasattr(os, "pread"):
            with self._opened() as file:
                return file.read()
        parts: list[bytes] = []  # not by the file's position, which forked processes share
        size = os.fstat(self._descriptor).st_size + 1
        while part := os.pread(self._descriptor, min(size, _PART), sum(map(len, parts))):
            parts.append(part)
        return b"".join(parts)

    def _opened(self) -> FileIO:
        """The file from its start."""
        os.lseek(self._descriptor, 0, os.SEEK_SET)
        return FileIO(self._descriptor, closefd=False)


@dataclass(frozen=True)
class Source:
    """What a format's reader is given.

    Attributes:
        data: the bytes of the model's file.
        name: that file's name without its suffix; "" for bytes.
        path: its path; "" for bytes.
        signature: which of the file's networks.
        shapes: of inputs, by name, instead of the file's.
        dims: sizes of symbolic dimensions, by name.
        weights: the path of the file of weights, where it is not beside the model under its name.
        channels_last: whether inputs and outputs that are images have their channels last.
        read: the SHA-256 of every other file that was read, by path.
    """

    data: bytes
    name: str = ""
    path: str = ""
    signature: str | None = None
    shapes: Shapes = field(default_factory=dict)
    dims: Mapping[str, int] = field(default_factory=dict)
    weights: str | None = None
    channels_last: bool = False
    read: dict[str, bytes] = field(default_factory=dict)

    def inside(self, location: str) -> bytes:
        """The bytes of a file that the model names, by its path from the model's folder.

        Raises:
            ModelError: it is absolute, leaves the folder (by a link, too), or cannot be read.
        """
        if not self.path:
            raise ModelError(f"it refers to the file {location!r}; load it by its path, not bytes")
        root = os.path.realpath(os.path.dirname(self.path) or ".")
        rule = f"external data {location!r}; it must be a file in the model's folder"
        try:
            found = os.path.realpath(os.path.join(root, location))
            outside = os.path.isabs(location) or os.path.commonpath([root, found]) != root
        except ValueError as error:
            raise ModelError(f"{rule}: {error}") from error
        if outside or not os.path.isfile(found):
            raise ModelError(rule)
        return self._other(found)

    def companion(self, *suffixes: str, ending: str = "") -> bytes:
        """The bytes of the file of weights (or of the network, where ``path`` is that of weights):
        ``weights`` if given, else the one named as the model is, with one of ``suffixes`` in place
        of ``ending``, or of its last suffix.

        Raises:
            InputError: there is none.
        """
        has_ending = ending and self.path.lower().endswith(ending)
        stem = self.path[: -len(ending)] if has_ending else os.path.splitext(self.path)[0]
        paths = [self.weights] if self.weights else [stem + s for s in suffixes if self.path]
        for path in paths:
            if os.path.isfile(path):
                return self._other(path)
        looked = ", ".join(map(repr, paths)) or "bytes alone"
        raise InputError(
            f"the format keeps network and weights in two files; looked for the other one in "
            f"{looked}: give its path as weights"
        )

    def _other(self, path: str) -> bytes:
        try:
            with open(path, "rb") as file:
                data = file.read()
        except OSError as error:
            raise InputError(f"{path}: it cannot be read: {error}") from error
        self.read[path] = hashlib.sha256(data).digest()
        return data
