"""Memory of a process that runs one network: Edgewise, started cold and warm, beside LiteRT.

    python benchmarks/memory.py mobilenet.tflite ... > memory.md

Each figure comes from a fresh process on Linux: what /proc/self/smaps_rollup says after one run,
less what it said after the imports and before the model was opened. "Private" memory is of this
process alone and cannot be dropped (Anonymous); "resident" has pages of files too (Rss), which
processes share and the system may drop. A cold start has an empty cache, so it loads the compiler;
a warm one finds the network compiled.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np


def resident() -> dict[str, int]:
    """Bytes of this process by the kernel's names."""
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()[1:]
    pairs = (line.split()[:2] for line in lines)
    return {name.rstrip(":"): 1024 * int(kib) for name, kib in pairs}


def edgewise_runner() -> Callable[[str], object]:
    import edgewise as ew

    def run(model: str) -> object:
        program = ew.compile(ew.load(model))
        types = [value.type for value in program.inputs]
        program(*(np.zeros(t.shape, t.dtype.numpy) for t in types))
        return program

    return run


def litert_runner() -> Callable[[str], object]:
    from ai_edge_litert.interpreter import Interpreter

    def run(model: str) -> object:
        interpreter = Interpreter(model_path=model, num_threads=1)
        interpreter.allocate_tensors()
        for detail in interpreter.get_input_details():
            interpreter.set_tensor(detail["index"], np.zeros(detail["shape"], detail["dtype"]))
        interpreter.invoke()
        return interpreter

    return run


RUNNERS = {"edgewise": edgewise_runner, "litert": litert_runner}


def measure(engine: str, model: str) -> dict[str, int]:
    """In this process: private and resident bytes that opening and running ``model`` added."""
    run = RUNNERS[engine]()
    before = resident()
    kept = run(model)
    after = resident()
    del kept
    return {
        "private": after["Anonymous"] - before["Anonymous"],
        "resident": after["Rss"] - before["Rss"],
    }


def measured_apart(engine: str, model: str, cache: str) -> dict[str, int]:
    """`measure` in a fresh process."""
    command = [sys.executable, __file__, "--engine", engine, model]
    environment = {**os.environ, "EDGEWISE_CACHE_DIR": cache}
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    found: dict[str, int] = json.loads(result.stdout)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="+")
    parser.add_argument("--engine", choices=RUNNERS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.engine:
        print(json.dumps(measure(options.engine, options.models[0])))
        return
    print("| network | file | Edgewise cold | warm | LiteRT |\n|---|--:|--:|--:|--:|")
    for model in options.models:
        with tempfile.TemporaryDirectory() as cache:
            starts = [("edgewise", cache), ("edgewise", cache), ("litert", cache)]
            found = [measured_apart(engine, model, where) for engine, where in starts]
        cells = [f"{f['private'] / 1e6:.1f} ({f['resident'] / 1e6:.1f})" for f in found]
        size = Path(model).stat().st_size / 1e6
        print(f"| {Path(model).stem} | {size:.2f} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
