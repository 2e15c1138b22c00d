"""What this machine can do at most: multiply-adds and bytes a second, measured once and kept."""

from __future__ import annotations

import ctypes
import json
import platform
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from ..aligned import aligned
from ..kernels.isa import Isa
from ..kernels.peak import BUFFER, Arithmetic, Peak, Reading
from . import cache, jit
from .module import target_for
from .target import processor

REPEATS = 30
SECONDS = 0.002
"""The fastest of so many samples of about this time."""

CACHES = {"L1": 32 << 10, "L2": 256 << 10}
"""Bytes of caches, where the system does not tell."""

FARTHEST = 128 << 20
"""Bytes read to measure the memory behind all caches."""

SHARED = 3
"""The first level of cache that processor cores share."""

_SUFFIX = ".roofline"


@dataclass(frozen=True)
class Memory:
    """A level of memory: what the threads can keep in it (None: anything), and read of it."""

    name: str
    capacity: int | None
    bytes_per_second: float


@dataclass(frozen=True)
class Roofline:
    """What ``threads`` threads reach together.

    Attributes:
        peaks: multiply-adds a second, by `kernels.peak.Arithmetic.name`.
        memory: the nearest first.
    """

    threads: int
    peaks: dict[str, float]
    memory: tuple[Memory, ...]

    def level(self, nbytes: int) -> Memory:
        """The nearest memory that holds so many bytes."""
        return next(m for m in self.memory if m.capacity is None or nbytes <= m.capacity)


def measured(
    isa: Isa,
    kinds: Iterable[Arithmetic],
    threads: int = 1,
    renew: bool = False,
) -> Roofline:
    """The limits of this machine: as they were kept, or measured in some 0.1 s each.

    ``renew``: measure, and keep that instead.

    Raises:
        CompileError: as compiling a kernel does.
    """
    distinct = {kind.name: kind for kind in kinds}
    peaks = {}
    for name, kind in sorted(distinct.items()):
        peak = Peak(isa, kind)
        measure = partial(_peak, peak, threads)
        peaks[name] = _kept(peak.build(), isa, threads, name, measure, renew)
    reading, memory = Reading(isa), []
    for name, size in (*cache_sizes().items(), ("memory", None)):
        measure = partial(_bandwidth, reading, threads, size)
        rate = _kept(reading.build(), isa, threads, f"{name} {size}", measure, renew)
        private = size is not None and int(name[1:]) < SHARED
        capacity = size * threads if size is not None and private else size
        memory.append(Memory(name, capacity, rate))
    return Roofline(threads, peaks, tuple(memory))


def cache_sizes() -> dict[str, int]:
    """Bytes of the data caches of the first processor core: L1, L2, ..."""
    found = {}
    for folder in sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*")):
        try:
            level, kind, size = (
                (folder / name).read_text().strip() for name in ("level", "type", "size")
            )
        except OSError:
            continue
        if kind != "Instruction" and size.endswith("K"):
            found[f"L{level}"] = int(size[:-1]) << 10
    return found or CACHES


def _kept(
    text: str, isa: Isa, threads: int, what: str, measure: Callable[[], float], renew: bool
) -> float:
    """A figure of this machine, from the cache where it is there."""
    machine = f"{processor()} {target_for(isa)} {platform.node()}"
    key = cache.key("roofline", machine, str(threads), what, text)
    known = None if renew else cache.read(key, _SUFFIX)
    if known is not None:
        return float(json.loads(known))
    rate = measure()
    cache.put(key, _SUFFIX, json.dumps(rate).encode())
    return rate


def _peak(peak: Peak, threads: int) -> float:
    run = _function(peak)
    data = [aligned(3 * BUFFER) for _ in range(threads)]
    calls = [
        _bound(run, np.array([d.ctypes.data + BUFFER * i for i in range(3)], np.int64))
        for d in data
    ]
    return peak.macs * _rate(calls)


def _bandwidth(reading: Reading, threads: int, size: int | None) -> float:
    """Of a level of ``size`` bytes: half of it is read, or what no cache holds."""
    run = _function(reading)
    nbytes = FARTHEST // threads if size is None else min(size // 2, FARTHEST // 4)
    units = 1 << (nbytes // reading.nbytes).bit_length() - 1
    data = [aligned(units * reading.nbytes + BUFFER) for _ in range(threads)]
    for d in data:
        d.fill(1)
    calls = [
        _bound(
            run,
            np.array([d.ctypes.data, d.ctypes.data + units * reading.nbytes, units - 1], np.int64),
        )
        for d in data
    ]
    return reading.nbytes * _rate(calls, at_least=units if size is None else 1)


def _rate(calls: Sequence[Callable[[int], None]], at_least: int = 1) -> float:
    """Units a second that the calls do together, each in a thread of its own."""
    units = max(at_least, 1024)
    while (seconds := _together(calls, units)) < SECONDS:
        units *= 2 if seconds <= 0 else max(2, min(64, round(SECONDS / seconds)))
    fastest = min([seconds, *(_together(calls, units) for _ in range(REPEATS))])
    return len(calls) * units / fastest


def _together(calls: Sequence[Callable[[int], None]], units: int) -> float:
    """Seconds from the first thread's start to the last one's end."""
    start = threading.Barrier(len(calls))

    def timed(call: Callable[[int], None]) -> tuple[float, float]:
        start.wait()
        begin = time.perf_counter()
        call(units)
        return begin, time.perf_counter()

    if len(calls) == 1:
        spans = [timed(calls[0])]
    else:
        with ThreadPoolExecutor(len(calls)) as pool:
            spans = list(pool.map(timed, calls))
    return max(end for _, end in spans) - min(begin for begin, _ in spans)


def _bound(
    run: Callable[[int, int, int], None], params: np.ndarray[tuple[int], np.dtype[np.int64]]
) -> Callable[[int], None]:
    return lambda units: run(params.ctypes.data, 0, units)


def _function(kernel: Peak | Reading) -> Callable[[int, int, int], None]:
    library = jit.load_object([jit.compile_ir(kernel.build(), target_for(kernel.isa))])
    kind = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)
    call = kind(library.address(kernel.symbol))
    call.library = library  # type: ignore[attr-defined]  # the code lives as long as the function
    return call
