"""Counting the threads of this process that are not Python's."""

from __future__ import annotations

import contextlib
import os
import threading
from pathlib import Path

import pytest

ENDING = 0x4
"""PF_EXITING of proc(5)'s flags: pthread_join returns while the system still lists the thread."""


def native_threads() -> int:
    """Those that run; of ones that end, none."""
    if not os.path.isdir("/proc/self/task"):
        pytest.skip("this system does not list a process's threads")
    flags = []
    for task in Path("/proc/self/task").iterdir():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            fields = (task / "stat").read_text().rpartition(")")[2].split()
            flags.append(int(fields[6]))
    return sum(not flag & ENDING for flag in flags) - threading.active_count()
