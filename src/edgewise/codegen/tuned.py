"""What was measured of kernels on this machine, kept in the cache from one process to the next.

One file for a version of Edgewise, a set of features and a number of threads: JSON, by machine, by
problem, seconds of candidates by symbol (``plan.choices``). A file that another machine wrote has
nothing for this one. Writers take turns, so none loses what another adds; a reader sees a whole
file. What cannot be read is ignored, with one warning a process.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import json
import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from . import cache
from .module import SOURCES
from .target import host, processor

if TYPE_CHECKING:
    from ..plan.choices import Tuning

FORMAT = 1

Measured = Mapping[str, Mapping[str, float]]
"""Seconds of candidates by symbol, for each problem."""

_warned = False


@functools.cache
def machine() -> str:
    """What tells apart machines that run the same code: the processor's name and its caches."""
    sizes = []
    with contextlib.suppress(OSError):
        for index in itertools.count():
            with open(f"/sys/devices/system/cpu/cpu0/cache/index{index}/size") as stream:
                sizes.append(stream.read().strip())
    return ", ".join((processor(), *sizes))


def load(threads: int = 1, *, others: bool = True) -> Tuning:
    """What programs of so many threads go by: measured with as many, else (``others``) with one."""
    from ..plan.choices import UNTUNED, Tuning

    data = _data((threads, 1) if others else (threads,))
    measured = {} if data is None else _machines(data).get(machine(), {})
    return Tuning(measured, _digest(data)) if measured else UNTUNED


def digest(threads: int = 1) -> str:
    """That of `load`; "" where nothing was measured. It takes little time."""
    return _digest(_data((threads, 1)))


def save(measured: Measured, threads: int = 1) -> bool:
    """Add measurements, instead of older ones of the same problems; False where that fails."""
    try:
        cache.check_private(cache.folder())
        with _alone():
            data = cache.read(_key(), _suffix(threads))
            machines = {} if data is None else _machines(data)
            here = machines.setdefault(machine(), {})
            here.update((problem, dict(seconds)) for problem, seconds in measured.items())
            text = json.dumps({"format": FORMAT, "machines": machines}, sort_keys=True)
            return cache.put(_key(), _suffix(threads), text.encode()) is not None
    except OSError as error:
        cache.warn(error)
        return False


def reset() -> int:
    """Forget everything, of all versions and numbers of threads; gives the number of files."""
    files = list(cache.folder().glob("*" + _suffix("*")))
    for file in files:
        file.unlink(missing_ok=True)
    return len(files)


def known() -> dict[int, int]:
    """For each number of threads, how many problems were measured on this machine."""
    found = {}
    for file in sorted(cache.folder().glob(_key() + _suffix("*"))):
        threads = int(file.name.split(".")[1])
        data = cache.read(_key(), _suffix(threads))
        found[threads] = 0 if data is None else len(_machines(data).get(machine(), {}))
    return found


def _key() -> str:
    return cache.key("tuning", SOURCES, str(host()))


def _suffix(threads: int | str) -> str:
    return f".{threads}.tuning"


def _data(threads: Sequence[int]) -> bytes | None:
    """The contents of the first file that there is, for these numbers of threads."""
    for count in dict.fromkeys(threads):
        file = cache.path(_key(), _suffix(count))
        if file.exists():
            data = cache.read(_key(), _suffix(count))
            if data is None:
                _warn(f"{file} was damaged")
            else:
                return data
    return None


def _digest(data: bytes | None) -> str:
    return "" if data is None else cache.key(data, machine())


def _machines(data: bytes) -> dict[str, dict[str, dict[str, float]]]:
    """The measurements of all machines; none, with a warning, where the file is not as it should.

    Another machine's are as they are: only this one's are checked.
    """
    try:
        content = json.loads(data)
        if content["format"] != FORMAT:
            raise ValueError(f"it has format {content['format']}, not {FORMAT}")
        machines: dict[str, dict[str, dict[str, float]]] = dict(content["machines"])
        for problem, seconds in machines.get(machine(), {}).items():
            if not all(_is_time(value) for value in seconds.values()):
                raise ValueError(f"the times of {problem!r} are no times")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        _warn(f"{cache.folder()}: a file of measurements cannot be read: {error}")
        return {}
    return machines


def _is_time(value: Any) -> bool:
    return isinstance(value, float | int) and math.isfinite(value) and value > 0


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """Wait for other writers; where the system has no such lock, the last one wins."""
    try:
        import fcntl
    except ImportError:
        yield
        return
    with open(cache.folder() / ".tuning.lock", "ab") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def _warn(reason: str) -> None:
    global _warned
    if not _warned:
        _warned = True
        message = f"{reason}; kernels are chosen without it (edgewise tune MODEL measures anew)"
        warnings.warn(message, cache.CacheWarning, stacklevel=3)
