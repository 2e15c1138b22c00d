"""Loads and runs mutated Caffe networks under the limits of ``fuzz_worker``.

    python fuzz_caffe_worker.py FIRST COUNT PROTOTXT...

Each .prototxt has its .caffemodel beside it; either of the two is mutated.
"""

from __future__ import annotations

import random
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from fuzz_worker import exercise, fuzz

from edgewise.errors import InputError
from edgewise.graph import Graph
from edgewise.importers import load
from edgewise.importers.caffe_schema import messages
from mutate import WEIGHTS, Source, mutant

NUMBER = re.compile(rb"-?\d+(\.\d+)?")
WORD = re.compile(rb"\w+|\S")
SMALL = (b"0", b"1", b"2", b"3", b"4", b"5", b"7", b"8", b"9", b"16", b"100", b"255")
LARGE = (b"65536", b"16777216", b"2147483647", b"4294967295", b"99999999999")
OTHER = (b"-1", b"-2", b"0.5", b"1e30", b"-inf", b"nan")

Change = Callable[[random.Random, bytes, bytes], bytes]


def change_numbers(rng: random.Random, text: bytes, other: bytes) -> bytes:
    for _ in range(rng.choice((1, 1, 2, 4))):
        found = rng.choice([*NUMBER.finditer(text)] or [None])
        if found is not None:
            number = rng.choice(rng.choice((SMALL, SMALL, SMALL, LARGE, OTHER)))
            text = text[: found.start()] + number + text[found.end() :]
    return text


def change_words(rng: random.Random, text: bytes, other: bytes) -> bytes:
    """A word becomes another one of this file or of another."""
    places = [*WORD.finditer(text)]
    found = rng.choice(places)
    word = rng.choice([*WORD.finditer(rng.choice((text, other)))]).group()
    return text[: found.start()] + word + text[found.end() :]


def remove_words(rng: random.Random, text: bytes, other: bytes) -> bytes:
    places = [*WORD.finditer(text)]
    first = rng.randrange(len(places))
    last = min(first + rng.choice((0, 0, 1, 4, 16)), len(places) - 1)
    return text[: places[first].start()] + text[places[last].end() :]


def move_layers(rng: random.Random, text: bytes, other: bytes) -> bytes:
    """Layers are left out, repeated, exchanged, or taken from another file."""
    head, *layers = re.split(rb"(?=\blayers? *\{)", text)
    _, *others = re.split(rb"(?=\blayers? *\{)", other)
    if not layers:
        return text
    i, j = rng.randrange(len(layers)), rng.randrange(len(layers))
    kind = rng.randrange(4)
    if kind == 0:
        del layers[i]
    elif kind == 1:
        layers.insert(i, layers[j])
    elif kind == 2:
        layers[i], layers[j] = layers[j], layers[i]
    elif others:
        layers.insert(i, rng.choice(others))
    return head + b"".join(layers)


def break_bytes(rng: random.Random, text: bytes, other: bytes) -> bytes:
    sources = [Source(data, ((0, len(data)),)) for data in (text, other)]
    return mutant(sources[:1], rng.randrange(2**30))


CHANGES: Sequence[Change] = (
    *[change_numbers] * 6,
    change_words,
    remove_words,
    move_layers,
    break_bytes,
)


def structure(data: bytes) -> tuple[tuple[int, int], ...]:
    """What is not elements of blobs in a .caffemodel: those follow tag 5 and their length."""
    ranges, position = [], 0
    for found in re.finditer(rb"\x2a[\x80-\xff]{0,4}[\x00-\x7f]", data):
        if found.start() < position:
            continue
        length = sum((b & 127) << (7 * i) for i, b in enumerate(found.group()[1:]))
        if WEIGHTS < length <= len(data) - found.end() and length % 4 == 0:
            ranges.append((position, found.end()))
            position = found.end() + length
    return (*ranges, (position, len(data)))


def change_messages(rng: random.Random, data: bytes) -> bytes:
    """Weights whose layers or blobs have other names, sizes or numbers."""
    net = messages()["NetParameter"].FromString(data)
    for _ in range(rng.choice((1, 1, 2))):
        message = rng.choice([*net.layer] or [net.layer.add()])
        blob = rng.choice([*message.blobs] or [message.blobs.add()])
        kind = rng.randrange(6)
        if kind == 0:
            message.name = rng.choice([*net.layer]).name
        elif kind == 1:
            blob.shape.dim.append(rng.choice((0, 1, 2, -1, 2**31, 2**62)))
        elif kind == 2 and blob.shape.dim:
            blob.shape.dim[rng.randrange(len(blob.shape.dim))] = rng.choice((0, 1, 3, -1, 2**40))
        elif kind == 3:
            blob.data.append(bytes(rng.choice((1, 4, 400))))
        elif kind == 4:
            message.blobs.add().CopyFrom(blob)
        else:
            del message.blobs[rng.randrange(len(message.blobs))]
    return bytes(net.SerializeToString())


def mutated(files: Sequence[Path], seed: int) -> tuple[bytes, Path]:
    """One of a network's files, broken, and the path of the other."""
    rng = random.Random(seed)
    path, other = rng.choice(files), rng.choice(files)
    if rng.random() < 0.6:
        text = path.read_bytes()
        for _ in range(rng.choice((1, 1, 1, 2, 3))):
            text = rng.choice(CHANGES)(rng, text, other.read_bytes()) or b" "
        return text, path.with_suffix(".caffemodel")
    data = path.with_suffix(".caffemodel").read_bytes()
    while len(data) < WEIGHTS:  # it holds no blobs
        path = rng.choice(files)
        data = path.with_suffix(".caffemodel").read_bytes()
    if rng.random() < 0.5:
        return change_messages(rng, data), path
    return mutant([Source(data, structure(data))], seed), path


def read(made: tuple[bytes, Path]) -> Graph | None:
    """The network of a broken file and its sound companion; None where both are of one kind."""
    data, other = made
    try:
        return load(data, weights=other)
    except InputError as error:
        if "both files are" not in str(error):
            raise
        return None


def main(first: int, count: int, files: Sequence[Path]) -> None:
    for path in files:
        exercise(load(path))
    fuzz(first, count, lambda seed: mutated(files, seed), read)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), list(map(Path, sys.argv[3:])))
