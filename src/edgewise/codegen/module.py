"""A plan as machine code: its kernels, the entry functions that call them, and their parameters.

Kernels are compiled one by one and kept in the cache, so networks share them. The entry functions
of a plan (one for each run of steps between fallbacks) call its kernels in order. All of it is
linked into one shared object, kept in the cache too; with it, a program starts without LLVM.
"""

from __future__ import annotations

import functools
import hashlib
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from .. import kernels
from ..errors import CompileError
from ..kernels.isa import ISAS, Isa
from ..plan.model import CONSTANTS, Address, HostStep, Plan, Step
from . import cache, jit
from .builtins import MEMORY_TEXT, NAMES
from .jit import Library
from .objects import link_shared, undefined
from .pool import SLOTS, pool_text
from .target import Target, host


@dataclass(frozen=True)
class Segment:
    """Consecutive steps in native code (``entry`` is their function's symbol) or one fallback."""

    entry: str | None
    first: int
    last: int


@dataclass(frozen=True, eq=False)
class Code:
    """What runs a plan besides its kernels; no processor's own.

    Attributes:
        entries: LLVM text of the segments' functions,
            ``void ew_run_i(ptr pool, ptr params, i32 thread, i32 threads)``.
        params: the parameters of all steps as int64 words, addresses still relative.
        arena_words, constant_words: which words are addresses, to be raised by the base of the
            arena or of the constants.
    """

    segments: tuple[Segment, ...]
    entries: str
    params: npt.NDArray[np.int64]
    arena_words: npt.NDArray[np.intp]
    constant_words: npt.NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class Module:
    """A plan's code in this process; ``cached`` says that nothing had to be compiled."""

    library: Library
    code: Code
    cached: bool


def choose_isa(target: Target, name: str | None = None) -> Isa:
    """The best instruction set that ``target`` runs, or the one named.

    Raises:
        CompileError: when the machine has none of them, or lacks the one named.
    """
    known = [isa for isa in ISAS if isa.arch == target.arch]
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


def generate(plan: Plan) -> Code:
    """Write the entry functions of ``plan`` and lay out the parameters of its steps."""
    segments = _segments(plan)
    params, offsets, arena_words, constant_words = _params(plan)
    entries = _entries(plan, segments, offsets)
    return Code(segments, entries, params, arena_words, constant_words)


def build(plan: Plan, isa: Isa) -> Module:
    """Compile ``plan`` for this machine, or take it from the cache."""
    target, code = target_for(isa), generate(plan)
    suffix = ".so" if target.is_linux else ".o"
    parts = (sources_digest(), str(target), code.entries, *sorted(plan.kernels))
    key = cache.key("program", *parts)
    found = cache.get(key, suffix)
    cached = found is not None
    library = _load(found) if found is not None else _compile(plan, code, target, key, suffix)
    return Module(library, code, cached)


def _load(path: Path) -> Library:
    if path.suffix == ".so":
        return jit.load_shared(path)
    return jit.load_object([path.read_bytes()])


def _compile(plan: Plan, code: Code, target: Target, key: str, suffix: str) -> Library:
    parts = objects(plan, code, target)
    stored = cache.put(key, suffix, link_shared(parts)) if suffix == ".so" else None
    return jit.load_shared(stored) if stored is not None else jit.load_object(parts)


def objects(plan: Plan, code: Code, target: Target) -> list[bytes]:
    """Relocatable objects for any ``target``: kernels, entry functions, the pool's functions.

    They refer to nothing but each other. Kernels are taken from the cache and kept in it.
    """
    names = {
        name: cache.key("kernel", sources_digest(), str(target), name) for name in plan.kernels
    }
    known = {name: cache.read(key, ".o") for name, key in names.items()}
    texts = {name: plan.kernels[name].build() for name, data in known.items() if data is None}
    texts |= {"entries": code.entries, "pool": pool_text(target)}
    order = sorted(texts, key=lambda name: len(texts[name]), reverse=True)
    built = dict(zip(order, jit.compile_many([texts[name] for name in order], target), strict=True))
    for name, key in names.items():
        if name in built:
            cache.put(key, ".o", built[name])
    parts = [data for data in known.values() if data is not None] + list(built.values())
    if NAMES & set(undefined(parts)):
        parts.append(jit.compile_ir(MEMORY_TEXT, target))
    return parts


@functools.cache
def sources_digest() -> str:
    """A digest of the code that generates code: cached objects of another version are not used."""
    digest = hashlib.blake2b(digest_size=16)
    folders = (Path(__file__).parent, Path(kernels.__file__).parent)
    for folder in folders:
        for name in sorted(os.listdir(folder)):
            if name.endswith(".py"):
                digest.update((folder / name).read_bytes())
    return digest.hexdigest()


def _segments(plan: Plan) -> tuple[Segment, ...]:
    segments: list[Segment] = []
    first = 0
    for i, step in enumerate(plan.steps):
        if isinstance(step, HostStep):
            if i > first:
                segments.append(Segment(f"ew_run_{len(segments)}", first, i))
            segments.append(Segment(None, i, i + 1))
            first = i + 1
    if len(plan.steps) > first:
        segments.append(Segment(f"ew_run_{len(segments)}", first, len(plan.steps)))
    return tuple(segments)


def _params(
    plan: Plan,
) -> tuple[npt.NDArray[np.int64], list[int], npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    words: list[int] = []
    offsets: list[int] = []
    arena: list[int] = []
    constant: list[int] = []
    for step in plan.steps:
        offsets.append(8 * len(words))
        if isinstance(step, HostStep):
            continue
        for name, ty in step.kernel.fields.items():
            x = step.params[name]
            if isinstance(x, Address):
                if x.buffer is CONSTANTS:
                    constant.append(len(words))
                    words.append(x.offset)
                else:
                    arena.append(len(words))
                    words.append(x.offset + plan.offsets[x.buffer])
            elif ty.kind == "f":
                words.append(int(np.float32(x).view(np.int32)))
            else:
                words.append(int(x))
    return (
        np.array(words, np.int64),
        offsets,
        np.array(arena, np.intp),
        np.array(constant, np.intp),
    )


def _entries(plan: Plan, segments: Sequence[Segment], offsets: Sequence[int]) -> str:
    """LLVM text of the entry functions: ``void ew_run_i(pool, params, thread, threads)``."""
    lines = [
        "declare void @ew_pool_for(ptr, i32, ptr, ptr, i64, i64)",
        "declare void @ew_pool_barrier(ptr)",
        *(f"declare void @{name}(ptr, i64, i64)" for name in plan.kernels),
    ]
    for segment in segments:
        if segment.entry is None:
            continue
        lines.append(
            f"define void @{segment.entry}(ptr %pool, ptr %params, i32 %thread, i32 %threads) "
            "nounwind {"
        )
        lines += _calls(plan.steps[segment.first : segment.last], offsets[segment.first :])
        lines += ["  ret void", "}"]
    return "\n".join(lines) + "\n"


def _calls(steps: Iterable[Step | HostStep], offsets: Sequence[int]) -> list[str]:
    lines = []
    for i, (step, offset) in enumerate(zip(steps, offsets, strict=False)):
        assert isinstance(step, Step)
        lines += [
            f"  %p{i} = getelementptr i8, ptr %params, i64 {offset}",
            f"  call void @ew_pool_for(ptr %pool, i32 {i % SLOTS}, ptr @{step.kernel.symbol}, "
            f"ptr %p{i}, i64 {step.units}, i64 {step.chunk})",
        ]
        if step.barrier:
            lines.append("  call void @ew_pool_barrier(ptr %pool)")
    return lines
