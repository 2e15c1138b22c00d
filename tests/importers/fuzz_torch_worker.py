"""Loads and runs mutated .pt2 files as fuzz_worker.py does those of TensorFlow Lite.

python fuzz_torch_worker.py FIRST COUNT FILE...
"""

from __future__ import annotations

import io
import json
import logging
import random
import sys
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch.export
from fuzz_worker import exercise, fuzz

from edgewise.importers import load

VALUES: Sequence[Any] = (
    *(None, 0, -1, 1, 2, 3, 7, 2**31, 2**40, 2**70, True, 1.5, "x", "relu", [], {}),
    *({"as_int": 3}, {"as_tensor": {"name": "x"}}, {"as_none": True}),
    *(f"torch.ops.aten.{name}" for name in ("add.Tensor", "relu.default", "view.default")),
)
Place = tuple[Any, ...]


def places(value: Any, before: Place = ()) -> Iterator[Place]:
    """Where something is inside of what JSON holds."""
    if isinstance(value, (dict, list)):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            if key != "metadata":
                yield (*before, key)
                yield from places(item, (*before, key))


def at(value: Any, place: Place) -> Any:
    for key in place:
        value = value[key]
    return value


def change_record(rng: random.Random, text: bytes) -> bytes:
    """A part of what JSON holds is left out, put in place of another, or something else."""
    content = json.loads(text)
    for _ in range(rng.choice((1, 1, 2))):
        found = [*places(content)]
        if not found:
            break
        place = rng.choice(found)
        holder, kind = at(content, place[:-1]), rng.randrange(4)
        if kind == 0:
            del holder[place[-1]]
        elif kind == 1:
            holder[place[-1]] = json.loads(json.dumps(at(content, rng.choice(found))))
        else:
            holder[place[-1]] = rng.choice(VALUES)
    return json.dumps(content).encode()


def change_bytes(rng: random.Random, data: bytes) -> bytes:
    found = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 4))):
        place, kind = rng.randrange(len(found)), rng.randrange(4)
        if kind == 0:
            del found[place : place + rng.randrange(1, 50)]
        elif kind == 1:
            found[place:place] = rng.randbytes(rng.randrange(1, 9))
        else:
            found[place] = rng.randrange(256)
    return bytes(found)


def mutant(files: Sequence[bytes], seed: int) -> bytes:
    """One of the files, broken."""
    rng = random.Random(seed)
    data = rng.choice(files)
    if rng.random() < 0.3:
        return change_bytes(rng, data)
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as source, zipfile.ZipFile(buffer, "w") as target:
        records = {i.filename: source.read(i) for i in source.infolist()}
        program, *others = sorted(
            (n for n in records if n.endswith(".json")), key=lambda n: "/models/" not in n
        )
        name = program if rng.random() < 0.85 else rng.choice(others)
        records[name] = change_record(rng, records[name])
        for other, content in records.items():
            target.writestr(other, content)
    return buffer.getvalue()


def main(first: int, count: int, files: Sequence[str]) -> None:
    logging.getLogger("torch").setLevel(logging.CRITICAL)
    sources = [Path(f).read_bytes() for f in files]
    for source in sources:
        exercise(load(source))
    fuzz(first, count, lambda seed: mutant(sources, seed), load)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:])
