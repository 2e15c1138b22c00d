"""Loads and runs mutated files under limits on memory and time, in a process of its own.

    python fuzz_worker.py FIRST COUNT FILE...

Before each file its seed goes to stdout, so that whoever started this process knows which file
ended it; then a line of counts. A file that takes over five seconds of processor time ends the
process by SIGPROF, and an exception that is not a ModelError by its traceback.
"""

from __future__ import annotations

import resource
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np

import edgewise
from edgewise.dtype import DType
from edgewise.errors import ModelError, RunError, UnsupportedError
from edgewise.graph import Array, Graph, TensorType, verify
from edgewise.importers import load
from mutate import Source, mutant

SECONDS = 5
MEMORY = 2**30

Made = TypeVar("Made")


def exercise(graph: Graph) -> None:
    """Print, compile and run a network that was loaded."""
    verify(graph)
    str(graph)
    dict(graph.metadata)
    try:
        program = edgewise.compile(graph, max_iterations=50)
    except UnsupportedError:
        return
    inputs = [_ones(v.type) for v in graph.inputs]
    try:
        results = program(*inputs)
        program(*inputs)
    except RunError:
        return
    finally:
        program.close()
    results = results if isinstance(results, tuple) else (results,)
    for result, value in zip(results, graph.outputs, strict=True):
        assert result.dtype == value.type.dtype.numpy
        assert -1 in value.type.shape or result.shape == value.type.shape


def _ones(t: TensorType) -> Array:
    """An input of a network."""
    if t.dtype is DType.STRING:
        return np.full(t.shape, b"one", object)
    return np.ones(t.shape, t.dtype.numpy)


def limit_memory() -> None:
    """Allow this process ``MEMORY`` bytes of address space beyond what it has."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
    except OSError:
        return
    limit = pages * resource.getpagesize() + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def fuzz(
    first: int,
    count: int,
    make: Callable[[int], Made],
    read: Callable[[Made], Graph | None],
    run: Callable[[Graph], None] = exercise,
) -> None:
    """Load and run mutants under the limits.

    ``make`` gives that of a seed, which ``read`` loads; None, like a ModelError, is a refusal.
    """
    limit_memory()
    loaded = 0
    for seed in range(first, first + count):
        print(seed, flush=True)
        made = make(seed)
        signal.setitimer(signal.ITIMER_PROF, SECONDS)
        try:
            graph = read(made)
        except ModelError:
            continue
        if graph is not None:
            run(graph)
            loaded += 1
    signal.setitimer(signal.ITIMER_PROF, 0)
    print(f"loaded {loaded}", flush=True)


def main(first: int, count: int, files: list[str]) -> None:
    sources = [Source.of(Path(f).read_bytes()) for f in files]
    for source in sources:
        exercise(load(source.data))
    fuzz(first, count, lambda seed: mutant(sources, seed), load)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:])
