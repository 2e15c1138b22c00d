"""Loads and runs mutated ONNX files as fuzz_worker.py does those of TensorFlow Lite.

python fuzz_onnx_worker.py FIRST COUNT FILE...
"""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

from fuzz_worker import exercise, fuzz
from onnx_mutants import mutant

from edgewise.importers import load


def main(first: int, count: int, files: list[str]) -> None:
    warnings.simplefilter("error")
    sources = [Path(f).read_bytes() for f in files]
    for source in sources:
        exercise(load(source))
    fuzz(first, count, lambda seed: mutant(sources, seed), load)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:])
