"""Broken variants of model files: what bit rot, bugs and malice make of them.

``mutant(files, seed)`` is the same for the same arguments on every machine. Weights make up most
of a file and hardly any mutation of them breaks a rule, so nine of ten mutations strike the rest.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import tflite

WEIGHTS = 64
"""Buffers of more bytes than this count as weights."""

WORDS = (0, 1, 2, 3, 7, 127, 128, 255, 256, 4096, 65535, 65536, 2**24, 2**30, 2**31 - 1)
"""Planted as int32, also negated, beside values near the file's size."""

HALVES = (0, 1, 2, 3, 4, 5, 6, 8, 12, 40, 0x7FFF, 0x8000, 0xFFFE, 0xFFFF)
"""Planted as uint16: the widths of vtables and the offsets of fields."""


@dataclass(frozen=True)
class Source:
    """A model file and the ranges of bytes that hold its structure, not its weights."""

    data: bytes
    structure: tuple[tuple[int, int], ...]

    @classmethod
    def of(cls, data: bytes) -> Source:
        """Find the structure of a valid .tflite file."""
        model = tflite.Model.GetRootAs(data)
        weights = []
        for i in range(model.BuffersLength()):
            table = model.Buffers(i)._tab
            field = table.Offset(4)
            if field and table.VectorLen(field) > WEIGHTS:
                start = table.Vector(field)
                weights.append((start, start + table.VectorLen(field)))
        ranges, position = [], 0
        for start, stop in [*sorted(weights), (len(data), len(data))]:
            if start > position:
                ranges.append((position, start))
            position = max(position, stop)
        return cls(data, tuple(ranges))

    def place(self, rng: random.Random, align: int = 1) -> int:
        """A position in the structure, or with one chance in ten anywhere."""
        start, stop = 0, len(self.data)
        if self.structure and rng.random() < 0.9:
            sizes = [b - a for a, b in self.structure]
            start, stop = rng.choices(self.structure, sizes)[0]
        return rng.randrange(start, stop) // align * align


Mutation = Callable[[random.Random, Source, Source], bytes]


def flip_bits(rng: random.Random, source: Source, _: Source) -> bytes:
    data = bytearray(source.data)
    for _i in range(rng.choice((1, 1, 1, 2, 4, 16))):
        data[source.place(rng)] ^= 1 << rng.randrange(8)
    return bytes(data)


def overwrite_run(rng: random.Random, source: Source, _: Source) -> bytes:
    data = bytearray(source.data)
    start, count = source.place(rng), rng.randint(1, 32)
    fill = rng.choice((b"\0" * count, b"\xff" * count, rng.randbytes(count)))
    data[start : start + count] = fill[: len(data) - start]
    return bytes(data)


def truncate(rng: random.Random, source: Source, _: Source) -> bytes:
    return source.data[: source.place(rng)]


def splice(rng: random.Random, source: Source, other: Source) -> bytes:
    """A range of another file over a range of this one: in place, or shifting what follows."""
    count = rng.choice((4, 16, 64, 256, 4096))
    start, there = source.place(rng, 4), other.place(rng, 4)
    piece = other.data[there : there + count]
    skipped = len(piece) if rng.random() < 0.7 else rng.randrange(0, 2 * count, 4)
    return source.data[:start] + piece + source.data[start + skipped :]


def remove_run(rng: random.Random, source: Source, _: Source) -> bytes:
    start = source.place(rng)
    return source.data[:start] + source.data[start + rng.choice((1, 2, 4, 16, 256)) :]


def plant_words(rng: random.Random, source: Source, _: Source) -> bytes:
    data = bytearray(source.data)
    sizes = (len(data) - 4, len(data), len(data) // 4, 2**31 - len(data))
    for _i in range(rng.choice((1, 1, 2, 4))):
        word = rng.choice((*WORDS, *sizes)) * rng.choice((1, 1, 1, -1))
        _put(data, "<I", source.place(rng, 4), word & 0xFFFFFFFF)
    return bytes(data)


def plant_halves(rng: random.Random, source: Source, _: Source) -> bytes:
    data = bytearray(source.data)
    for _i in range(rng.choice((1, 1, 2, 4))):
        _put(data, "<H", source.place(rng, 2), rng.choice(HALVES))
    return bytes(data)


def nudge_words(rng: random.Random, source: Source, _: Source) -> bytes:
    """Add or multiply a little: counts, indices and offsets that are almost right."""
    data = bytearray(source.data)
    position = min(source.place(rng, 4), max(len(data) - 4, 0))
    word = int.from_bytes(data[position : position + 4], "little")
    word = rng.choice((word + 1, word - 1, word + 4, word - 4, 2 * word, word // 2, -word))
    _put(data, "<I", position, word & 0xFFFFFFFF)
    return bytes(data)


def swap_words(rng: random.Random, source: Source, _: Source) -> bytes:
    data = bytearray(source.data)
    a, b = (min(source.place(rng, 4), len(data) - 4) for _i in range(2))
    data[a : a + 4], data[b : b + 4] = data[b : b + 4], data[a : a + 4]
    return bytes(data)


MUTATIONS: Mapping[Mutation, int] = {
    flip_bits: 3,
    overwrite_run: 2,
    truncate: 1,
    splice: 3,
    remove_run: 1,
    plant_words: 4,
    plant_halves: 2,
    nudge_words: 3,
    swap_words: 1,
}
"""Each mutation and its weight."""


def mutant(sources: list[Source], seed: int) -> bytes:
    """A file broken by one mutation, or now and then by two or three."""
    rng = random.Random(seed)
    source = rng.choice(sources)
    for _ in range(rng.choice((1, 1, 1, 1, 2, 3))):
        mutate = rng.choices(list(MUTATIONS), list(MUTATIONS.values()))[0]
        data = mutate(rng, source, rng.choice(sources))
        if len(data) < 16:
            return data
        limit = len(data)
        source = Source(data, tuple((a, min(b, limit)) for a, b in source.structure if a < limit))
    return source.data


def _put(data: bytearray, code: str, position: int, number: int) -> None:
    """Pack ``number``, as far as it lies within ``data``."""
    packed = struct.pack(code, number)[: len(data) - position]
    data[position : position + len(packed)] = packed
