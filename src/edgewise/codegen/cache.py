"""Machine code kept on disk, named by the content that it was made from.

The folder is $EDGEWISE_CACHE_DIR, or the user's cache folder. A file ends with a digest of what
precedes it (loaders of shared objects and of object files ignore bytes after the end), so a file
that was cut short or changed is never used. Writers put a whole file in place by renaming it; any
number of processes may share the folder. Beyond `LIMIT` bytes, the files unused for longest go:
each process looks when it puts its first file there, and then for every `LIMIT` / 16 bytes.

A cache that cannot be used costs time, never the program: the first problem of a process gives one
`CacheWarning`. Whoever can write to the folder can run code in this process, so a folder that
belongs to another user, or that every user can write to, is not used.
"""

from __future__ import annotations

import contextlib
import hashlib
import mmap
import os
import stat
import sys
import time
import warnings
from pathlib import Path

import numpy as np

LIMIT = 256 * 2**20
"""Bytes that the folder may hold."""

_DIGEST = 32
_BLOCK = 4096
_STALE = 3600.0
_warned = False
_room: dict[Path, int] = {}
"""By folder, the bytes that this process may put there before it looks it over again."""


class CacheWarning(UserWarning):
    """The cache of compiled code cannot be used; programs start slower."""


def folder() -> Path:
    """Where the cache lies; the folder may not exist yet."""
    chosen = os.environ.get("EDGEWISE_CACHE_DIR")
    if chosen:
        return Path(chosen)
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or "~/AppData/Local"
    elif sys.platform == "darwin":
        base = "~/Library/Caches"
    else:
        base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(os.path.expanduser(base), "edgewise")


def key(*parts: str | bytes) -> str:
    """A name for what is made from ``parts``; no two lists of parts share one."""
    digest = hashlib.blake2b(digest_size=20)
    for part in parts:
        data = part.encode("utf-8") if isinstance(part, str) else part
        digest.update(f"{type(part).__name__}{len(data)}:".encode())
        digest.update(data)
    return digest.hexdigest()


def path(key: str, suffix: str) -> Path:
    """The file of an entry, whether or not it exists."""
    return folder() / f"{key}{suffix}"


def get(key: str, suffix: str) -> Path | None:
    """The file of an intact entry, or None; an entry that is not intact is deleted."""
    file = path(key, suffix)
    return None if _read(file) is None else file


def read(key: str, suffix: str) -> bytes | None:
    """What `put` was given, or None where there is no intact entry."""
    data = view(key, suffix)
    return None if data is None else bytes(data)


def view(key: str, suffix: str) -> memoryview | None:
    """As `read`, but mapped and not copied; it starts at the start of a page."""
    return _read(path(key, suffix))


def put(key: str, suffix: str, data: bytes) -> Path | None:
    """Keep ``data`` and return its file; None, with the process's one warning, if that fails."""
    file = path(key, suffix)
    temporary = file.with_name(f".{file.name}.{os.getpid()}.{os.urandom(4).hex()}")
    try:
        check_private(file.parent)
        try:
            with open(temporary, "xb") as stream:
                stream.write(data)
                stream.write(_digest(data))
            os.replace(temporary, file)
        except BaseException:
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise
        left = _room.get(file.parent, 0) - len(data) - _DIGEST
        _room[file.parent] = _prune(file) if left < 0 else left
    except OSError as error:
        warn(error)
        return None
    return file


def _read(file: Path) -> memoryview | None:
    try:
        with open(file, "rb") as stream:
            content = _mapped(stream.fileno())
        check_private(file.parent)
    except FileNotFoundError:
        return None
    except OSError as error:
        warn(error)
        return None
    data, digest = content[:-_DIGEST], content[-_DIGEST:]
    intact = digest == _digest(data)
    with contextlib.suppress(OSError):
        if intact:
            os.utime(file)
        else:
            file.unlink()
    return data if intact else None


def _mapped(descriptor: int) -> memoryview:
    if os.fstat(descriptor).st_size == 0:
        return memoryview(b"")
    return memoryview(mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ))


def _digest(data: bytes | memoryview) -> bytes:
    """SHA-256 of the sums of blocks, and of what is left: damage shows, at the speed of memory."""
    blocks = np.frombuffer(data, np.uint64, len(data) // _BLOCK * _BLOCK // 8)
    sums = blocks.reshape(-1, _BLOCK // 8).sum(axis=1)
    return hashlib.sha256(sums.tobytes() + data[blocks.nbytes :]).digest()


def check_private(where: Path) -> None:
    """Create the folder where it is missing; OSError where another user could write to it."""
    where.mkdir(mode=0o700, parents=True, exist_ok=True)
    if os.name != "posix":
        return
    status = where.stat()
    if status.st_uid not in (os.geteuid(), 0) or status.st_mode & (stat.S_IWOTH | stat.S_IWGRP):
        raise PermissionError(f"{where}: other users can write to this folder")


def _prune(newest: Path) -> int:
    """Delete the entries unused for longest beyond `LIMIT`, and temporary files left behind.

    Gives what may be put there until then, at most a share of `LIMIT`, and leaves that much.
    """
    room = LIMIT // 16
    entries: list[tuple[float, int, str]] = []
    with os.scandir(newest.parent) as found:
        for entry in found:
            with contextlib.suppress(FileNotFoundError):
                status = entry.stat()
                if entry.name.endswith(".lock"):
                    continue
                if entry.name.startswith("."):
                    if status.st_mtime < time.time() - _STALE:
                        os.unlink(entry.path)
                else:
                    entries.append((status.st_mtime, status.st_size, entry.path))
    total = sum(size for _, size, _ in entries)
    if total <= LIMIT:
        return min(LIMIT - total, room)
    for _, size, name in sorted(entries):
        if total <= LIMIT - room:
            break
        if name != str(newest):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(name)
            total -= size
    return room


def warn(error: Exception) -> None:
    """Give the process's one warning."""
    global _warned
    if not _warned:
        _warned = True
        message = f"compiled code is not kept: {error} (EDGEWISE_CACHE_DIR chooses the folder)"
        warnings.warn(message, CacheWarning, stacklevel=3)
