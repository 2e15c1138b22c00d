"""The threads of a program: a native pool (see `pool`) that belongs to a Python object."""

from __future__ import annotations

import ctypes
import functools
import os
import sys
import threading
import weakref
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import CompileError, InputError
from .jit import Library
from .pool import MAX_THREADS, POOL_ALIGN, POOL_BYTES

_PATIENCE = 5.0
"""Seconds that the end of the process waits for a run to end."""


class ThreadPool:
    """The threads of one program, started through the functions that ``library`` holds.

    Raises InputError for a thread count outside 1..`MAX_THREADS`, CompileError where the system
    has no threads for us. Threads end with `stop`, with the pool, or with the process. A child made
    by os.fork has none of its parent's threads: the first use of `address` there starts new ones,
    so read `address` before each run and do not keep it.

    Attributes:
        lock: to be held during a run; `stop` and the end of the process wait for it. In a child
            made by os.fork it is free.
    """

    def __init__(self, library: Library, threads: int = 1) -> None:
        if not 1 <= threads <= MAX_THREADS:
            raise InputError(f"threads={threads}; a pool has 1..{MAX_THREADS} threads")
        self.threads = threads
        self._library = library
        self.lock = threading.Lock()
        self._start()
        _pools.add(self)

    @property
    def address(self) -> int:
        """Of the native ``pool``; starts the threads again after `stop` and after os.fork."""
        if not self._process:
            self._start()
        return self._address

    def stop(self) -> None:
        """End the threads, after the run under way, and wait for them; nothing the second time."""
        with self.lock:
            self._process = 0
            self._stop()

    def _start(self) -> None:
        self._buffer = np.zeros(POOL_BYTES + POOL_ALIGN, np.uint8)
        self._address = -(-self._buffer.ctypes.data // POOL_ALIGN) * POOL_ALIGN
        self._process = os.getpid()
        call = ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_void_p, ctypes.c_int32, ctypes.c_void_p)
        start = call(self._library.address("ew_pool_start"))
        functions = _system_functions() if self.threads > 1 else None
        started = start(self._address, self.threads - 1, functions)
        self._finalizer = weakref.finalize(
            self, _end, self.lock, self._library, self._buffer, self._address, self._process
        )
        if started != self.threads:
            self._stop()
            raise CompileError(
                f"threads={self.threads}, but only {started} could be started; "
                "this system or its limits allow no more"
            )

    def _stop(self) -> None:
        if self._finalizer.detach():
            _stop(self._library, self._address)


_pools: weakref.WeakSet[ThreadPool] = weakref.WeakSet()


def _renew() -> None:
    """After os.fork, in the child: the threads are not here, nor those that may hold the locks."""
    for pool in list(_pools):
        pool.lock = threading.Lock()
        pool._process = 0


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew)


def _end(
    lock: threading.Lock,
    library: Library,
    buffer: npt.NDArray[np.uint8],
    address: int,
    process: int,
) -> None:
    """End the threads of a pool that nobody uses, or at exit, where a daemon thread still may.

    ``buffer`` is held until the threads are gone; a forked child has no threads to wait for.
    """
    if process == os.getpid() and lock.acquire(timeout=_PATIENCE):
        try:
            _stop(library, address)
        finally:
            lock.release()


def _stop(library: Library, address: int) -> None:
    ctypes.CFUNCTYPE(None, ctypes.c_void_p)(library.address("ew_pool_stop"))(address)


@functools.cache
def _system_functions() -> Any:
    """The table {pthread_create, pthread_join, syscall}; None where the system has no futex."""
    if sys.platform != "linux":
        return None
    process = ctypes.CDLL(None)
    names = ("pthread_create", "pthread_join", "syscall")
    return (ctypes.c_void_p * 3)(*(ctypes.cast(process[n], ctypes.c_void_p).value for n in names))
