"""Loads and runs mutated ncnn networks under the limits of ``fuzz_worker``.

    python fuzz_ncnn_worker.py FIRST COUNT PARAM...

Each .param has its .bin beside it; either of the two is mutated.
"""

from __future__ import annotations

import functools
import random
import re
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from fuzz_worker import exercise, fuzz

from edgewise.errors import InputError
from edgewise.graph import Graph
from edgewise.importers import load
from edgewise.importers.ncnn_types import TYPES
from mutate import Source, mutant

NUMBERS = ("0", "1", "2", "3", "4", "5", "7", "9", "64", "255", "65536", "16777216", "2147483647")
NUMBERS += ("-1", "-2", "-233", "-234", "-2147483648", "0.5", "-1e30", "3.4e38", "nan", '"0w"')

LARGEST_INPUTS = 2**26
"""Networks whose inputs take more bytes than this are not run: the caller has to make those."""

Lines = list[list[str]]
Change = Callable[[random.Random, Lines, Lines], None]


def change_values(rng: random.Random, rows: Lines, other: Lines) -> None:
    """Parameters get other values."""
    places = [(row, i) for row in rows for i, word in enumerate(row) if "=" in word]
    for _ in range(rng.choice((1, 1, 2, 4)) if places else 0):
        row, i = rng.choice(places)
        key, _, value = row[i].partition("=")
        parts = value.split(",")
        parts[rng.randrange(len(parts))] = rng.choice(NUMBERS)
        row[i] = f"{key}={','.join(parts)}"


def add_values(rng: random.Random, rows: Lines, other: Lines) -> None:
    key = rng.choice((*range(32), -23300, -23303, -23309, -23310))
    value = rng.choice(NUMBERS) if key >= 0 else f"2,{rng.choice(NUMBERS)},{rng.choice(NUMBERS)}"
    rng.choice(rows).append(f"{key}={value}")


def remove_words(rng: random.Random, rows: Lines, other: Lines) -> None:
    row = rng.choice(rows)
    del row[rng.randrange(len(row))]


def change_types(rng: random.Random, rows: Lines, other: Lines) -> None:
    rng.choice(rows)[0] = rng.choice(TYPES)


def change_names(rng: random.Random, rows: Lines, other: Lines) -> None:
    row = rng.choice(rows)
    words = rng.choice(rng.choice((rows, other)))
    row[rng.randrange(len(row))] = rng.choice(words)


def move_layers(rng: random.Random, rows: Lines, other: Lines) -> None:
    i, j = rng.randrange(len(rows)), rng.randrange(len(rows))
    if rng.random() < 0.3:
        rows.insert(i, list(rng.choice(other)))
    else:
        rows[i], rows[j] = rows[j], rows[i]


CHANGES: Sequence[Change] = (
    change_values,
    change_values,
    change_values,
    add_values,
    remove_words,
    change_types,
    change_names,
    move_layers,
)


def layers_of(path: Path) -> Lines:
    return [row for line in path.read_text().split("\n")[2:] if (row := line.split())]


def changed(rng: random.Random, path: Path, other: Path) -> bytes:
    """A .param with layers changed."""
    rows, others = layers_of(path), layers_of(other)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        rows = [row for row in rows if row] or [["Input"]]
        rng.choice(CHANGES)(rng, rows, others)
    text = [b"7767517", b"%d 9" % len(rows), *(" ".join(row).encode() for row in rows)]
    return b"\n".join(text)


def mutated(files: Sequence[Path], seed: int) -> tuple[bytes, bytes]:
    """A .param and a .bin, one of which is broken."""
    rng = random.Random(seed)
    path, other = rng.choice(files), rng.choice(files)
    network, weights = path.read_bytes(), path.with_suffix(".bin").read_bytes()
    kind = rng.random()
    if kind < 0.75 and not {path.stem, other.stem} & {"binary"}:
        return changed(rng, path, other), weights
    if kind < 0.9 or not weights:
        return mutant([Source(network, ((0, len(network)),))], seed), weights
    return network, mutant([Source(weights, ((0, len(weights)),))], seed)


def read(path: Path, made: tuple[bytes, bytes]) -> Graph | None:
    """The network of a .param and a .bin, which is written to ``path``."""
    network, weights = made
    path.write_bytes(weights)
    try:
        return load(network, weights=path)
    except InputError as error:  # the shape is gone, or what is left shows another format
        if not re.search("states no shape of it|files have none", str(error)):
            raise
        return None


def exercise_small(graph: Graph) -> None:
    """Run a network, but for one that takes more than its inputs' share of the memory."""
    if sum(v.type.nbytes for v in graph.inputs) < LARGEST_INPUTS:
        exercise(graph)


def main(first: int, count: int, files: Sequence[Path]) -> None:
    for path in files:
        load(path)
    with tempfile.TemporaryDirectory() as folder:
        read_one = functools.partial(read, Path(folder) / "mutant.bin")
        fuzz(first, count, lambda seed: mutated(files, seed), read_one, exercise_small)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), [Path(file) for file in sys.argv[3:]])
