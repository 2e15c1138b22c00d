"""From a plan to a module: its kernels, the entry functions that call them, their parameters.

Kernels are compiled one by one and kept in the cache, so networks share them. The entry functions
of a plan (one for each run of steps between fallbacks) call its kernels in order. All of it is
linked into one shared object, kept in the cache too; with it, a program starts without LLVM.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ..kernels.isa import Isa
from ..plan.model import CONSTANTS, Address, HostStep, Plan, Step, View
from . import cache, jit
from .builtins import MEMORY_TEXT, NAMES
from .compiler import KernelCompiler
from .jit import Library
from .module import SOURCES, Module, Place, Segment, target_for, try_shared
from .objects import link_shared, undefined
from .pool_layout import SLOTS
from .target import Target


@dataclass(frozen=True, eq=False)
class Code:
    """What runs a plan besides its kernels; no processor's own.

    Attributes:
        entries: LLVM text of the segments' functions,
            ``void ew_run_i(ptr pool, ptr params)``.
        params, arena_words, constant_words: as in `Module`.
    """

    segments: tuple[Segment, ...]
    entries: str
    params: npt.NDArray[np.int64]
    arena_words: npt.NDArray[np.int64]
    constant_words: npt.NDArray[np.int64]


def generate(
    plan: Plan, segments: tuple[Segment, ...] | None = None, stamped: bool = False
) -> Code:
    """Write the entry functions of ``plan`` and lay out the parameters of its steps.

    There is one for each of ``segments``: if not given, as few as there can be. If ``stamped``,
    they call ``ew_stamp(ptr params, i64 number)`` before the first step and after each: number
    ``s + i`` before step s of segment i, and the next one after it.
    """
    segments = segments or _segments(plan)
    params, offsets, arena_words, constant_words = _params(plan)
    entries = _entries(plan, segments, offsets, stamped)
    return Code(segments, entries, params, arena_words, constant_words)


def build(plan: Plan, isa: Isa, compiler: KernelCompiler | None = None) -> Module:
    """Compile ``plan`` for this machine, or take its code from the cache."""
    target, code = target_for(isa), generate(plan)
    library, file, cached = linked(plan, code, target, compiler)
    outputs = (view for _, view in plan.outputs)
    return Module(
        library=library,
        file=file,
        segments=code.segments,
        params=code.params,
        arena_words=code.arena_words,
        constant_words=code.constant_words,
        constants=plan.constants,
        arena_bytes=plan.arena_bytes,
        inputs=tuple(place(plan, view) for _, view in plan.inputs),
        outputs=tuple(v if isinstance(v, np.ndarray) else place(plan, v) for v in outputs),
        broken=None if plan.broken is None else place(plan, plan.broken).offset,
        cached=cached,
    )


def place(plan: Plan, view: View) -> Place:
    """Where ``view`` lies in the arena of ``plan``."""
    offset = view.address.offset + plan.offsets[view.address.buffer]
    return Place(offset, view.shape, view.strides)


def linked(
    plan: Plan, code: Code, target: Target, compiler: KernelCompiler | None = None
) -> tuple[Library, Path | None, bool]:
    """The code of ``plan``, the file that it was mapped from, if it was, and whether that was in
    the cache."""
    key = cache.key("program", SOURCES, str(target), code.entries, *sorted(plan.kernels))
    file = cache.get(key, ".so")
    library = None if file is None else try_shared(file)
    if library is not None:
        return library, file, True
    parts = objects(plan, code, target, compiler)
    return (*_loaded(parts, target, key), False)


def _loaded(parts: Sequence[bytes], target: Target, key: str) -> tuple[Library, Path | None]:
    """These objects as a library, and the file that it was mapped from, if it was."""
    if target.is_linux:
        file = cache.put(key, ".so", link_shared(parts))
        library = None if file is None else try_shared(file)
        if library is not None:
            return library, file
    return jit.load_object(parts), None


def objects(
    plan: Plan, code: Code, target: Target, compiler: KernelCompiler | None = None
) -> list[bytes]:
    """Relocatable objects for any ``target``: kernels, entry functions, the pool's functions.

    They refer to nothing but each other. Kernels and the pool are taken from the cache and kept in
    it; ``compiler`` may have begun with them.
    """
    with compiler or KernelCompiler(target) as compiling:
        parts = compiling.objects(plan.kernels.values())
    parts.append(jit.compile_ir(code.entries, target, optimize=0))
    if NAMES & set(undefined(parts)):
        parts.append(jit.compile_ir(MEMORY_TEXT, target))
    return parts


def _segments(plan: Plan) -> tuple[Segment, ...]:
    """Runs of native steps, and the fallbacks between."""
    segments: list[Segment] = []
    first = 0
    ends = [i for i, step in enumerate(plan.steps) if isinstance(step, HostStep)]
    for end in (*ends, len(plan.steps)):
        if first < end:
            segments.append(Segment(f"ew_run_{len(segments)}", first, end))
        if end < len(plan.steps):
            segments.append(Segment(None, end, end + 1))
        first = end + 1
    return tuple(segments)


def _params(
    plan: Plan,
) -> tuple[npt.NDArray[np.int64], list[int], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
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
        np.array(arena, np.int64),
        np.array(constant, np.int64),
    )


def _entries(plan: Plan, segments: Sequence[Segment], offsets: Sequence[int], stamped: bool) -> str:
    """LLVM text of the entry functions and of the regions that threads divide."""
    lines = [
        "declare void @ew_pool_region(ptr, ptr, ptr, i32)",
        "declare void @ew_pool_for(ptr, i64, i32, ptr, ptr, i64, i64)",
        "declare void @ew_pool_barrier(ptr, i32)",
        *(f"declare void @{name}(ptr, i64, i64)" for name in plan.kernels),
    ]
    for number, segment in enumerate(segments):
        if segment.entry is None:
            continue
        stamp = segment.first + number if stamped else None
        calls = _stamp(stamp)
        native = [s for s in plan.steps[segment.first : segment.last] if isinstance(s, Step)]
        for divided, numbers in regions(native):
            steps = [native[i] for i in numbers]
            at = [offsets[segment.first + i] for i in numbers]
            first = None if stamp is None else stamp + numbers[0] + 1
            if not divided:
                calls += _direct(steps, at, first)
                continue
            body = f"{segment.entry}_{numbers[0]}"
            lines += _function("internal ", body, ", i64 %side", _divided(steps, at, first))
            arguments = f"ptr %pool, ptr @{body}, ptr %params, i32 {len(steps)}"
            calls.append(f"  call void @ew_pool_region({arguments})")
            calls += _stamp(first, len(steps) - 1)
        lines += _function("", segment.entry, "", calls)
    return "\n".join(lines) + "\n"


def regions(steps: Sequence[Step]) -> Iterator[tuple[bool, range]]:
    """Steps, by number, as runs that the caller's thread computes and runs to be divided.

    Steps that no barrier separates stay together, divided where one of them is.
    """
    start, end, before = 0, 0, False
    for i, step in enumerate(steps):
        if not step.barrier and i + 1 < len(steps):
            continue
        divided = any(s.units > s.chunk for s in steps[end : i + 1])
        if divided != before and end > start:
            yield from _limited(before, range(start, end))
            start = end
        before, end = divided, i + 1
    if end > start:
        yield from _limited(before, range(start, end))


def _limited(divided: bool, numbers: range) -> Iterator[tuple[bool, range]]:
    """The same in parts of at most `SLOTS` steps; a region waits for all its threads anyway."""
    for i in range(0, len(numbers), SLOTS):
        yield divided, numbers[i : i + SLOTS]


def _function(linkage: str, name: str, more: str, calls: Sequence[str]) -> list[str]:
    head = f"define {linkage}void @{name}(ptr %pool, ptr %params{more}) nounwind {{"
    return [head, *calls, "  ret void", "}"]


def _stamp(first: int | None, more: int = 0) -> list[str]:
    """Stamp number ``first + more``, if there are stamps."""
    return [] if first is None else [f"  call void @ew_stamp(ptr %params, i64 {first + more})"]


def _direct(steps: Sequence[Step], offsets: Sequence[int], stamp: int | None) -> list[str]:
    lines = []
    for i, (step, offset) in enumerate(zip(steps, offsets, strict=True)):
        lines += [
            f"  %p{offset} = getelementptr i8, ptr %params, i64 {offset}",
            f"  call void @{step.kernel.symbol}(ptr %p{offset}, i64 0, i64 {step.units})",
            *_stamp(stamp, i),
        ]
    return lines


def _divided(steps: Sequence[Step], offsets: Sequence[int], stamp: int | None) -> list[str]:
    lines: list[str] = []
    barriers = itertools.count()
    for i, (step, offset) in enumerate(zip(steps, offsets, strict=True)):
        lines += [
            f"  %p{i} = getelementptr i8, ptr %params, i64 {offset}",
            f"  call void @ew_pool_for(ptr %pool, i64 %side, i32 {i}, ptr @{step.kernel.symbol}, "
            f"ptr %p{i}, i64 {step.units}, i64 {step.chunk})",
        ]
        if i + 1 == len(steps):
            break
        if step.barrier:
            lines.append(f"  call void @ew_pool_barrier(ptr %pool, i32 {next(barriers)})")
        lines += _stamp(stamp, i)
    return lines
