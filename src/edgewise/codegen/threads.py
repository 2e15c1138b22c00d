"""The threads of programs: native pools and the workers they share (see `pool`)."""

from __future__ import annotations

import ctypes
import functools
import os
import sys
import threading
import time
import weakref
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import CompileError, InputError
from . import pool_layout as layout
from .jit import Library
from .pool_layout import MAX_THREADS, POOL_ALIGN

BARRIER_SECONDS = 10e-6
"""How long a thread that waits for others spins before it yields its core each time."""

IDLE_SECONDS = 50e-6
"""How long a worker without work spins before it sleeps, unless told otherwise."""

_PATIENCE = 5.0
"""Seconds that the end of the process waits for a run to end."""

Memory = npt.NDArray[np.uint8]
Setting = tuple["tuple[int, ...] | None", float]
"""What programs must agree on to share workers: the CPUs that these may run on (None: those of the
process) and the seconds that they spin."""


class ThreadPool:
    """The threads of one program, started through the functions that ``library`` holds.

    Programs of the same ``cpus`` and ``idle`` share workers: there are as many as the largest pool
    asks for, and more, up to the cores, where several might run at once. They end with the last
    pool that uses them (by `stop`, or forgotten), or with the process. A child made by os.fork has
    none of its parent's threads: where `started` is false, `start` before a run.

    Raises InputError for a thread count outside 1..`MAX_THREADS`, CompileError where the system
    has no threads for us, or refuses ``cpus``.

    Attributes:
        threads: how many run a program, the caller's included.
        address: of the native pool.
        started: whether the threads are there: not after `stop`, nor in a child made by os.fork.
        lock: to be held during a run; `stop` and the end of the process wait for it. In a child
            made by os.fork it is free.
    """

    def __init__(
        self,
        library: Library,
        threads: int = 1,
        cpus: tuple[int, ...] | None = None,
        idle: float = IDLE_SECONDS,
    ) -> None:
        if not 1 <= threads <= MAX_THREADS:
            raise InputError(f"threads={threads}; a pool has 1..{MAX_THREADS} threads")
        self.threads = threads
        self.lock = threading.Lock()
        self._library, self._setting = library, (cpus, idle)
        self.started = False
        self._memory, self.address = _aligned(layout.POOL_BYTES)
        self.start()
        _pools.add(self)

    @property
    def worker_cpus(self) -> list[set[int]]:
        """The CPUs that each worker of this setting may run on, as the system tells it."""
        crew = _crews.get(self._setting)
        return [] if crew is None or not self.started else crew.cpus()

    def stop(self) -> None:
        """Let the workers go, after the run under way; nothing the second time."""
        with self.lock:
            started, self.started = self.started, False
            if started and self._finalizer.detach() and self.threads > 1:
                _leave(self._setting, self.threads)

    def start(self) -> None:
        """Start the threads, or what is missing of those that are shared.

        Raises:
            CompileError: the system has no threads for us.
        """
        self._memory.fill(0)
        ctypes.c_int32.from_address(self.address + layout.THREADS).value = self.threads
        ctypes.c_void_p.from_address(self.address + layout.BUSY).value = _busy[1]
        if self.threads > 1:
            from .cpus import cores

            crew = _enter(self._setting, self._library, self.threads)
            ctypes.c_void_p.from_address(self.address + layout.CREW).value = crew.address
            for offset, number in (
                (layout.CORES, cores().count),
                (layout.SPINS, _spins(self._library, BARRIER_SECONDS)),
            ):
                ctypes.c_int32.from_address(self.address + offset).value = number
        self.started = True
        self._finalizer = weakref.finalize(
            self, _end, self.lock, self._setting, self.threads, self._memory, os.getpid()
        )


class _Crew:
    """Workers of one setting, in native code of the library that started the first of them."""

    def __init__(self, setting: Setting, library: Library) -> None:
        self._library = library
        self._affinity, idle = setting
        self._memory, self.address = _aligned(layout.CREW_BYTES)
        self._workers = 0
        self.users: list[int] = []
        spins = ctypes.c_int32.from_address(self.address + layout.IDLE_SPINS)
        spins.value = _spins(library, idle)

    def grow(self) -> None:
        """Start workers for the users that there are now."""
        from .cpus import cores

        wanted = sum(threads - 1 for threads in self.users)
        wanted = max(max(self.users) - 1, min(wanted, cores().count - 1))
        call = ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_void_p, ctypes.c_int32, ctypes.c_void_p)
        start = call(self._library.address("ew_pool_start"))
        first, self._workers = (
            self._workers,
            start(self.address, max(wanted, self._workers), _system_functions()),
        )
        if self._workers < max(self.users) - 1:
            raise CompileError(
                f"threads={max(self.users)}, but only {self._workers + 1} could be started; "
                "this system or its limits allow no more"
            )
        for worker in range(first, self._workers):
            self._pin(worker)

    def stop(self) -> None:
        """End the workers and wait for them; no run may be under way."""
        self._workers = 0
        ctypes.CFUNCTYPE(None, ctypes.c_void_p)(self._library.address("ew_pool_stop"))(self.address)

    def cpus(self) -> list[set[int]]:
        found = []
        for worker in range(self._workers):
            mask = ctypes.create_string_buffer(_MASK_BYTES)
            ctypes.CDLL(None).pthread_getaffinity_np(self._handle(worker), _MASK_BYTES, mask)
            bits = int.from_bytes(mask.raw, "little")
            found.append({cpu for cpu in range(bits.bit_length()) if bits >> cpu & 1})
        return found

    def _pin(self, worker: int) -> None:
        if self._affinity is None:
            return
        bits = sum(1 << cpu for cpu in self._affinity)
        mask = bits.to_bytes(_MASK_BYTES, "little")
        error = ctypes.CDLL(None).pthread_setaffinity_np(self._handle(worker), _MASK_BYTES, mask)
        if error:
            raise CompileError(
                f"affinity={list(self._affinity)}: the system refuses it: {os.strerror(error)}"
            )

    def _handle(self, worker: int) -> ctypes.c_void_p:
        offset = layout.WORKERS + layout.WORKER_BYTES * worker + layout.HANDLE
        return ctypes.c_void_p.from_address(self.address + offset)


_MASK_BYTES = 128
_pools: weakref.WeakSet[ThreadPool] = weakref.WeakSet()
_crews: dict[Setting, _Crew] = {}
_crews_lock = threading.RLock()


def _enter(setting: Setting, library: Library, threads: int) -> _Crew:
    """The crew of a setting, with workers for one more user of ``threads`` threads."""
    with _crews_lock:
        crew = _crews.get(setting) or _Crew(setting, library)
        crew.users.append(threads)
        _crews[setting] = crew
        try:
            crew.grow()
        except BaseException:
            _leave(setting, threads)
            raise
        return crew


def _leave(setting: Setting, threads: int) -> None:
    """One user of the crew fewer; the last one ends it."""
    with _crews_lock:
        crew = _crews[setting]
        crew.users.remove(threads)
        if not crew.users and _crews.pop(setting, None) is crew:
            crew.stop()


def _renew() -> None:
    """After os.fork, in the child: the threads are not here, nor those that may hold the locks."""
    global _crews_lock, _busy
    _crews_lock = threading.RLock()
    _crews.clear()
    _busy = _aligned(POOL_ALIGN)
    for each in list(_pools):
        each.lock = threading.Lock()
        each.started = False


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew)


def _end(
    lock: threading.Lock, setting: Setting, threads: int, memory: Memory, process: int
) -> None:
    """Leave the crew of a pool that nobody uses, or at exit, where a daemon thread still may.

    A run that comes later still, from such a thread, finds ``memory`` zero: it is the caller's own.
    A forked child has no threads to wait for.
    """
    if process == os.getpid() and threads > 1 and lock.acquire(timeout=_PATIENCE):
        try:
            memory.fill(0)
            _leave(setting, threads)
        finally:
            lock.release()


_pause_seconds: list[float] = []
"""How long one pause of a waiting thread takes, once it was measured."""


def _spins(library: Library, seconds: float) -> int:
    """How many pauses last ``seconds``."""
    if not _pause_seconds:
        pause = ctypes.CFUNCTYPE(None, ctypes.c_int64)(library.address("ew_pool_pause"))
        times = []
        for _ in range(5):
            start = time.perf_counter()
            pause(1000)
            times.append(time.perf_counter() - start)
        _pause_seconds.append(max(min(times) / 1000, 1e-9))
    return min(round(seconds / _pause_seconds[0]), 2**31 - 1)


def _aligned(nbytes: int) -> tuple[Memory, int]:
    """Zeros and their address, which `POOL_ALIGN` divides."""
    memory = np.zeros(nbytes + POOL_ALIGN, np.uint8)
    return memory, -(-memory.ctypes.data // POOL_ALIGN) * POOL_ALIGN


_busy = _aligned(POOL_ALIGN)
"""The word that counts the threads of all runs under way."""


@functools.cache
def _system_functions() -> Any:
    """The table {pthread_create, pthread_join, syscall}; None where the system has no futex."""
    if sys.platform != "linux":
        return None
    process = ctypes.CDLL(None)
    names = ("pthread_create", "pthread_join", "syscall")
    return (ctypes.c_void_p * 3)(*(ctypes.cast(process[n], ctypes.c_void_p).value for n in names))
