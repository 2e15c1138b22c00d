"""A compiled network: machine code, parameters, constants, and where its tensors lie."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import CompileError
from ..kernels.isa import BF16_ISAS, ISAS, Isa
from ..version import __version__
from . import cache, jit
from .jit import Library
from .target import Target, host


@dataclass(frozen=True)
class Segment:
    """Consecutive steps in native code (``entry`` is their function's symbol) or one fallback."""

    entry: str | None
    first: int
    last: int


@dataclass(frozen=True)
class Place:
    """Where a tensor lies in the arena; ``offset`` and ``strides`` are in bytes."""

    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Module:
    """A network for one instruction set: all that running it takes, save its fallbacks.

    Attributes:
        file: the file in the cache that ``library`` was mapped from, if it was.
        params: the parameters of all steps as int64 words, addresses still relative.
        arena_words, constant_words: which words are addresses, to be raised by the base of the
            arena or of the constants.
        constants: packed weights and tables, read-only.
        inputs, outputs: the network's, in order; a constant output has its array.
        broken: where the byte ``plan.Plan.broken`` lies in the arena, if there is one.
        cached: whether no code had to be generated.
    """

    library: Library
    file: Path | None
    segments: tuple[Segment, ...]
    params: npt.NDArray[np.int64]
    arena_words: npt.NDArray[np.int64]
    constant_words: npt.NDArray[np.int64]
    constants: npt.NDArray[np.uint8]
    arena_bytes: int
    inputs: tuple[Place, ...]
    outputs: tuple[Place | npt.NDArray[Any], ...]
    broken: int | None
    cached: bool


def choose_isa(target: Target, name: str | None = None, precision: str | None = None) -> Isa:
    """The best instruction set that ``target`` runs, or the one named.

    Those with dot products of bfloat16 are among them where ``precision`` is "bf16".

    Raises:
        CompileError: when the machine has none of them, or lacks the one named.
    """
    every = (*BF16_ISAS, *ISAS) if precision == "bf16" else ISAS
    known = [isa for isa in every if isa.arch == target.arch]
    usable = [isa for isa in known if set(isa.features) <= set(target.features)]
    if name is None:
        if not usable:
            raise CompileError(
                f"target {target}: no instruction set of it is supported; there are "
                + ", ".join(isa.name for isa in ISAS)
            )
        return usable[0]
    for isa in usable:
        if isa.name == name:
            return isa
    raise CompileError(
        f"isa={name!r}: this machine runs " + (", ".join(isa.name for isa in usable) or "none")
    )


def target_for(isa: Isa, base: Target | None = None) -> Target:
    """What kernels of ``isa`` are compiled for: nothing but its own features."""
    triple = (base or host()).triple
    return Target(triple, "x86-64" if isa.arch == "x86_64" else "generic", isa.features)


def try_shared(file: Path) -> Library | None:
    """Map a shared object of the cache; None, with its one warning, where the loader refuses it.

    A folder without permission to execute (noexec) does that, and another process may have deleted
    the file since it was found.
    """
    try:
        return jit.load_shared(file)
    except CompileError as error:
        cache.warn(error)
        return None


def _stamp_of_sources() -> str:
    package = os.path.dirname(os.path.dirname(__file__))
    stamps = [f"{__version__} {package}"]
    for name in (
        ".",
        "importers",
        "importers/tflite_ops",
        "ops",
        "passes",
        "plan",
        "kernels",
        "codegen",
    ):
        with os.scandir(os.path.join(package, name)) as entries:
            for entry in entries:
                if entry.name.endswith(".py"):
                    status = entry.stat()
                    stamps.append(f"{name}/{entry.name} {status.st_size} {status.st_mtime_ns}")
    return "\n".join(sorted(stamps))


SOURCES = _stamp_of_sources()
"""Version and place of this package, and names, sizes and times of its files, as Python's own cache
of bytecode takes them: what another version kept is not used. Taken on import, for the sources may
change while this process runs."""
