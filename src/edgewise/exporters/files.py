"""Files that are there whole or not at all."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from typing import BinaryIO

from ..errors import InputError


@contextlib.contextmanager
def written_whole(path: str) -> Iterator[BinaryIO]:
    """A file that takes the place of ``path`` when the block ends; if it fails, nothing changes.

    Raises:
        InputError: the file cannot be written, naming the path and the system's reason.
    """
    folder, name = os.path.split(path)
    temporary = ""
    try:
        if os.path.isdir(path):
            raise IsADirectoryError(0, "it is a folder")
        handle, temporary = tempfile.mkstemp(".part", f".{name}-", folder or ".")
        with os.fdopen(handle, "wb") as file:
            yield file
        os.chmod(temporary, _mode(path))
        os.replace(temporary, path)
        temporary = ""
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror or error}") from error
    finally:
        if temporary:
            os.unlink(temporary)


def _mode(path: str) -> int:
    """The permissions of a file that is replaced, else those of a new one."""
    try:
        return os.stat(path).st_mode & 0o777
    except OSError:
        mask = os.umask(0)
        os.umask(mask)
        return 0o666 & ~mask
