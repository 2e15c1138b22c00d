"""Counting the threads of this process that are not Python's."""

from __future__ import annotations

import os
import threading
import time

import pytest


def native_threads() -> int:
    if not os.path.isdir("/proc/self/task"):
        pytest.skip("this system does not list a process's threads")
    return len(os.listdir("/proc/self/task")) - threading.active_count()


def native_threads_before() -> int:
    """As many as there stay: threads of earlier tests may be about to end."""
    counts = [native_threads()]
    while len(counts) < 10 or len(set(counts[-10:])) > 1:
        time.sleep(0.001)
        counts.append(native_threads())
    return counts[-1]


def assert_native_threads(expected: int) -> None:
    """A thread that was joined may stand in the system's list for a moment."""
    end = time.monotonic() + 10
    while native_threads() != expected and time.monotonic() < end:
        time.sleep(0.001)
    assert native_threads() == expected
