"""From nothing to the first result, in fresh processes that take turns.

    python benchmarks/startup.py MODEL [--rounds N] [--threads N] [--cold N] [--markdown]

Each round starts one process of LiteRT and one of Edgewise whose cache knows the network; then come
starts with an empty cache. Times are in milliseconds: the import, the file read, the program made
ready, its first call, the sum of these without the import, and the whole process.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from statistics import median

from rich.console import Console
from rich.table import Table

EDGEWISE = """\
import edgewise as ew, numpy as np
clock()
graph = ew.load(model)
clock()
program = ew.compile(graph, threads=threads)
clock()
program(*(np.zeros(v.type.shape, v.type.dtype.numpy) for v in program.inputs))
clock()
"""

LITERT = """\
import numpy as np
from ai_edge_litert.interpreter import Interpreter
clock()
program = Interpreter(model, num_threads=threads)
clock()
program.allocate_tensors()
clock()
for d in program.get_input_details():
    program.set_tensor(d["index"], np.zeros(d["shape"], d["dtype"]))
program.invoke()
results = [program.get_tensor(d["index"]) for d in program.get_output_details()]
clock()
"""

FRAME = """\
import json, sys, time
times = [time.perf_counter()]
clock = lambda: times.append(time.perf_counter())
model, threads = sys.argv[1], int(sys.argv[2])
{}
print(json.dumps(times))
"""

COLUMNS = ("import", "read", "prepare", "first call", "sum", "process")


def start(code: str, model: str, threads: int, cache: str) -> list[float]:
    """Milliseconds of a fresh process, by `COLUMNS`."""
    environment = {**os.environ, "EDGEWISE_CACHE_DIR": cache}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    command = [sys.executable, "-c", FRAME.format(code), model, str(threads)]
    begin = time.perf_counter()
    run = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    whole = time.perf_counter() - begin
    at = json.loads(run.stdout)
    parts = [b - a for a, b in itertools.pairwise(at)]
    return [1e3 * seconds for seconds in (*parts, sum(parts[1:]), whole)]


def measure(model: str, rounds: int, threads: int, cold: int) -> dict[str, list[list[float]]]:
    """Every start's times, by what was started."""
    found: dict[str, list[list[float]]] = {}
    with tempfile.TemporaryDirectory() as warm:
        start(EDGEWISE, model, threads, warm)
        for _ in range(rounds):
            for name, code in (("LiteRT", LITERT), ("Edgewise, warm", EDGEWISE)):
                found.setdefault(name, []).append(start(code, model, threads, warm))
    for _ in range(cold):
        with tempfile.TemporaryDirectory() as empty:
            times = start(EDGEWISE, model, threads, empty)
        found.setdefault("Edgewise, cold", []).append(times)
    return found


def rows(found: Mapping[str, Sequence[Sequence[float]]]) -> list[list[str]]:
    """Least and median of each column."""
    return [
        [name, *(f"{min(c):.1f} ({median(c):.1f})" for c in zip(*starts, strict=True))]
        for name, starts in found.items()
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("--rounds", type=int, default=10, help="starts of each")
    parser.add_argument("--threads", type=int, default=1, help="that run the network")
    parser.add_argument("--cold", type=int, default=3, help="starts with an empty cache")
    parser.add_argument("--markdown", action="store_true", help="as docs/startup.md has it")
    given = parser.parse_args()
    body = rows(measure(given.model, given.rounds, given.threads, given.cold))
    head = ["ms, least (median)", *COLUMNS]
    if given.markdown:
        for row in (head, ["---"] * len(head), *body):
            print(f"| {' | '.join(row)} |")
        return
    table = Table(*head)
    for row in body:
        table.add_row(*row)
    Console().print(table)


if __name__ == "__main__":
    main()
