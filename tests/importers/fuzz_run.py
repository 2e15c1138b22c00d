"""Starts a worker on mutated files, and reads what it tells of them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path


def count_loaded(worker: Path, first: int, count: int, sources: Sequence[str | Path]) -> int:
    """How many of ``count`` mutants, from the seed ``first`` on, load; none ends the worker."""
    run = subprocess.run(
        [sys.executable, str(worker), str(first), str(count), *map(str, sources)],
        capture_output=True,
        text=True,
        timeout=600,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    lines = run.stdout.split("\n")
    last = lines[-2] if len(lines) > 1 else "none"
    assert run.returncode == 0, f"seed {last}: exit {run.returncode}\n{run.stderr[-3000:]}"
    return int(last.removeprefix("loaded "))
