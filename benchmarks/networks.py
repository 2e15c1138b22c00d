"""Times every quantized network of the data folder against LiteRT, as a table of Markdown.

    python benchmarks/networks.py > table.md

Both runtimes take the same input in interleaved rounds of one process, as ``edgewise bench`` does.
Networks that Edgewise cannot read yet, and floating-point ones, are left out.
"""

from __future__ import annotations

import argparse
import contextlib
import math
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import edgewise as ew
from edgewise import runs
from edgewise.dtype import DType
from edgewise.graph import Graph

DATA = Path(os.environ.get("EDGEWISE_DATA", Path(__file__).parents[2] / "shared"))


def quantized_networks(folder: Path) -> Iterator[tuple[Path, Graph]]:
    """The networks whose multiplications are all of 8-bit numbers."""
    for path in sorted(folder.glob("*.tflite")):
        with contextlib.suppress(ew.UnsupportedError):
            graph = ew.load(path)
            if all(n.input_types[0].dtype is not DType.FLOAT32 for n in graph.nodes if n.macs):
                yield path, graph


def row(name: str, facts: dict[str, Any]) -> str:
    cells = [name]
    for result in facts["results"]:
        ours, theirs = (timing["median_ms"] for timing in result["timings"])
        ratio = result["ratio"]
        interval = f"{ratio['value']:.2f} ({ratio['low']:.2f} to {ratio['high']:.2f})"
        cells += [f"{ours:.3f}", f"{theirs:.3f}", interval]
    return f"| {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=Path, default=DATA / "models")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=40)
    options = parser.parse_args()
    if not options.models.is_dir():
        sys.exit(f"there is no folder {options.models}; --models names one")
    heads = [
        f"{title}, {n} thread{'s' if n > 1 else ''}"
        for n in options.threads
        for title in ("Edgewise ms", "LiteRT ms", "times as fast")
    ]
    print(f"| network | {' | '.join(heads)} |")
    print("|---|" + "---|" * len(heads))
    ratios: list[list[float]] = []
    for path, graph in quantized_networks(options.models):
        facts = runs.bench(graph, path, options.threads, "litert", options.rounds)
        ratios.append([result["ratio"]["value"] for result in facts["results"]])
        print(row(path.stem, facts), flush=True)
    means = [math.prod(column) ** (1 / len(column)) for column in zip(*ratios, strict=True)]
    cells = " | ".join(f" | | {mean:.2f}" for mean in means)
    print(f"| geometric mean | {cells} |")


if __name__ == "__main__":
    main()
