"""Modules kept on disk: a network that was compiled before starts without passes and planning.

A file holds the constants, the parameters, and where inputs and outputs lie; the machine code is a
shared object of its own. The constants are mapped, not copied, so processes that run the same
network share them.
"""

from __future__ import annotations

import json
import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..graph import Graph, Outline
from . import cache
from .module import SOURCES, Module, Place, Segment, try_shared

SUFFIX = ".network"
MAX_BYTES = cache.LIMIT // 4
"""Of the constants; those of a larger network would push all others out of the cache."""


def save(key: str, module: Module) -> Module:
    """Keep ``module`` under ``key``, unless it needs more than native code, or returns strings.

    Gives it as it was kept: its constants are those of the file, shared like those of every other
    process; or as it is where that failed.
    """
    native = all(segment.entry is not None for segment in module.segments)
    known = [place for place in module.outputs if not isinstance(place, Place)]
    size = module.constants.nbytes + sum(array.nbytes for array in known)
    if not native or module.file is None or size > MAX_BYTES:
        return module
    if any(array.dtype.hasobject for array in known):
        return module
    words = (module.params, module.arena_words, module.constant_words)
    header = {
        "code": module.file.name,
        "segments": [(s.entry, s.first, s.last) for s in module.segments],
        "words": [array.size for array in words],
        "constants": module.constants.nbytes,
        "arena": module.arena_bytes,
        "broken": module.broken,
        "inputs": [(p.offset, p.shape, p.strides) for p in module.inputs],
        "outputs": [
            (p.offset, p.shape, p.strides) if isinstance(p, Place) else (p.dtype.name, p.shape)
            for p in module.outputs
        ],
    }
    text = json.dumps(header).encode()
    arrays = [array.tobytes() for array in (*words, *known)]
    parts: list[bytes | memoryview] = [
        module.constants.data,
        *arrays,
        text,
        len(text).to_bytes(8, "little"),
    ]
    cache.put(key, SUFFIX, b"".join(parts))
    kept = load(key)
    return module if kept is None else replace(kept, cached=module.cached)


def load(key: str) -> Module | None:
    """The module kept under ``key``; None where it or its code is not there, and intact."""
    data = cache.view(key, SUFFIX)
    if data is None:
        return None
    end = len(data) - 8
    header = json.loads(bytes(data[end - int.from_bytes(data[end:], "little") : end]))
    code = Path(header["code"])
    file = cache.get(code.stem, code.suffix)
    library = None if file is None else try_shared(file)
    if library is None:
        return None
    size = header["constants"]
    words = np.frombuffer(data, np.int64, sum(header["words"]), size)
    params, arena_words, constant_words = np.split(words, np.cumsum(header["words"])[:-1])
    end = size + words.nbytes
    outputs: list[Place | npt.NDArray[Any]] = []
    for row in header["outputs"]:
        if len(row) == 3:
            outputs += _places([row])
            continue
        known = np.ndarray(row[1], row[0], data, end)
        outputs.append(known)
        end += known.nbytes
    return Module(
        library=library,
        file=file,
        segments=tuple(Segment(*s) for s in header["segments"]),
        params=params,
        arena_words=arena_words,
        constant_words=constant_words,
        constants=np.frombuffer(data, np.uint8, size),
        arena_bytes=header["arena"],
        inputs=_places(header["inputs"]),
        outputs=tuple(outputs),
        broken=header["broken"],
        cached=True,
    )


def save_outline(graph: Graph) -> None:
    """Keep the outline of ``graph``, which was compiled whole."""
    assert graph.digest is not None
    cache.put(_outline_key(graph.digest), ".outline", pickle.dumps(graph.outline))


def outline(digest: str) -> Outline | None:
    """The outline of the graph of this digest, where it is kept."""
    data = cache.view(_outline_key(digest), ".outline")
    if data is None:
        return None
    found: Outline = pickle.loads(data)
    held = [value.data for value in (*found.inputs, *found.outputs)]
    for array in (*held, *(state.initial for state in found.states)):
        if array is not None:
            array.setflags(write=False)
    return found


def _outline_key(digest: str) -> str:
    return cache.key("outline", SOURCES, np.__version__, digest)


def _places(rows: list[tuple[int, list[int], list[int]]]) -> tuple[Place, ...]:
    return tuple(Place(offset, tuple(shape), tuple(strides)) for offset, shape, strides in rows)
