"""Times the networks of the data folder against other runtimes, as a table of Markdown.

    python benchmarks/networks.py --kind float --against litert --against openvino > float.md
    python benchmarks/networks.py --kind quantized > quantized.md

All take the same input in interleaved rounds of one process, as ``edgewise bench`` does. A network
is quantized where all its multiplications are of integers, else float, with weights of any type. A
peer that refuses a network has no figure there, and the geometric means are over the networks that
it takes.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import edgewise as ew
from edgewise.graph import Graph
from edgewise.tools import bench, peers

DATA = Path(os.environ.get("EDGEWISE_DATA", Path(__file__).parents[2] / "shared"))

NAMES = {"litert": "LiteRT", "openvino": "OpenVINO"}
BETTER = "the faster peer"

Ratios = dict[tuple[int, str], list[float]]
"""By number of threads and peer, how many times as fast Edgewise is on each network."""


def is_quantized(graph: Graph) -> bool:
    return all(not n.input_types[0].dtype.is_float for n in graph.nodes if n.macs)


def networks(folder: Path, kind: str) -> Iterator[tuple[Path, Graph]]:
    for path in sorted(folder.glob("*.tflite")):
        graph = ew.load(path)
        if is_quantized(graph) == (kind == "quantized"):
            yield path, graph


def takers(path: Path, graph: Graph, names: Sequence[str]) -> list[str]:
    """The peers that take a network."""
    found = []
    for name in names:
        try:
            peers.open_peer(name, path, graph)
        except ew.InputError as error:
            print(f"{path.stem}: {error}", file=sys.stderr)
        else:
            found.append(name)
    return found


def cells(
    result: dict[str, Any], taken: Sequence[str], names: Sequence[str], ratios: Ratios
) -> list[str]:
    """Edgewise's time, and each peer's time and ratio; the ratios join ``ratios``."""
    threads = result["threads"]
    ours, *others = result["timings"]
    row = [f"{ours['median_ms']:.3f}"]
    by_name = dict(zip(taken, zip(others, result["ratios"], strict=True), strict=True))
    for name in names:
        if name not in by_name:
            row += ["-", "-"]
            continue
        timing, ratio = by_name[name]
        ratios.setdefault((threads, name), []).append(ratio["value"])
        interval = f"{ratio['value']:.2f} ({ratio['low']:.2f} to {ratio['high']:.2f})"
        row += [f"{timing['median_ms']:.3f}", interval]
    if result["ratios"]:
        worst = min(ratio["value"] for ratio in result["ratios"])
        ratios.setdefault((threads, BETTER), []).append(worst)
    return row


def mean(values: Sequence[float]) -> float:
    """The geometric mean."""
    return math.exp(math.fsum(map(math.log, values)) / len(values))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=Path, default=DATA / "models")
    parser.add_argument("--kind", choices=("float", "quantized"), default="quantized")
    parser.add_argument("--against", action="append", choices=tuple(NAMES))
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=40)
    options = parser.parse_args()
    if not options.models.is_dir():
        sys.exit(f"there is no folder {options.models}; --models names one")
    names = options.against or ["litert"]
    heads = ["network"]
    columns = [f"{n} thread{'s' if n > 1 else ''}" for n in options.threads]
    for threads in columns:
        heads.append(f"Edgewise ms, {threads}")
        for name in names:
            heads += [f"{NAMES[name]} ms, {threads}", f"times as fast, {threads}"]
    print(f"| {' | '.join(heads)} |")
    print("|" + "---|" * len(heads))
    ratios: Ratios = {}
    for path, graph in networks(options.models, options.kind):
        taken = takers(path, graph, names)
        facts = bench.bench(graph, path, options.threads, taken, options.rounds)
        row = [path.stem]
        for result in facts["results"]:
            row += cells(result, taken, names, ratios)
        print(f"| {' | '.join(row)} |", flush=True)
    print("\nGeometric means of how many times as fast Edgewise is:\n")
    print(f"| against | networks | {' | '.join(columns)} |")
    print("|" + "---|" * (2 + len(options.threads)))
    for name in [*names, *([BETTER] if len(names) > 1 else [])]:
        found = [ratios.get((n, name), []) for n in options.threads]
        if all(found):
            values = " | ".join(f"{mean(values):.2f}" for values in found)
            print(f"| {NAMES.get(name, name)} | {len(found[0])} | {values} |")


if __name__ == "__main__":
    main()
