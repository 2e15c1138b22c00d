"""Loads and runs mutated ONNX files as fuzz_worker.py does those of TensorFlow Lite.

python fuzz_onnx_worker.py FIRST COUNT FILE...
"""

from __future__ import annotations

import signal
import sys
import warnings
from pathlib import Path

from fuzz_worker import SECONDS, exercise, limit_memory
from onnx_mutants import mutant

from edgewise.errors import ModelError
from edgewise.importers import load


def main(first: int, count: int, files: list[str]) -> None:
    warnings.simplefilter("error")
    sources = [Path(f).read_bytes() for f in files]
    for source in sources:
        exercise(load(source))
    limit_memory()
    loaded = 0
    for seed in range(first, first + count):
        print(seed, flush=True)
        data = mutant(sources, seed)
        signal.setitimer(signal.ITIMER_PROF, SECONDS)
        try:
            graph = load(data)
        except ModelError:
            continue
        exercise(graph)
        loaded += 1
    signal.setitimer(signal.ITIMER_PROF, 0)
    print(f"loaded {loaded}", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:])
