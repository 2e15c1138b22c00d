"""The bytes of a model, read when they are asked for, and what else says what they mean."""

from __future__ import annotations

import hashlib
import os
import threading
import weakref
from io import FileIO

from ..errors import InputError

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
        while part := os.pread(self._descriptor, _PART, sum(map(len, parts))):
            parts.append(part)
        return b"".join(parts)

    def _opened(self) -> FileIO:
        """The file from its start."""
        os.lseek(self._descriptor, 0, os.SEEK_SET)
        return FileIO(self._descriptor, closefd=False)
