"""The steps of a plan, timed one by one in native code.

Each step is a function of its own, and a loop in native code reads the processor's counter of time
between them (rdtsc, cntvct_el0): Python's own time is in no measurement. The arena holds zeros:
times of kernels do not depend on values.
"""

from __future__ import annotations

import ctypes
import time
from dataclasses import replace
from types import TracebackType
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from ..aligned import aligned
from ..errors import CompileError
from ..kernels.isa import Isa
from ..plan.model import Plan, Step
from . import jit
from .build import generate, objects
from .module import Segment, target_for
from .threads import ThreadPool

if TYPE_CHECKING:
    from typing_extensions import Self

_COUNTERS = {
    "x86_64": (
        "call i64 @llvm.readcyclecounter()",
        "declare i64 @llvm.readcyclecounter()",
    ),
    "aarch64": (
        "call i64 @llvm.read_volatile_register.i64(metadata !0)",
        'declare i64 @llvm.read_volatile_register.i64(metadata)\n!0 = !{!"cntvct_el0"}',
    ),
}


def timed_text(arch: str, names: list[str]) -> str:
    """LLVM text of ``void ew_timed(ptr pool, ptr params, ptr ticks, i64 rounds)``.

    It calls the functions ``names``, of (pool, params), one after another, ``rounds`` times, and
    writes the counter before the first and after each: int64[rounds][len(names) + 1].
    """
    if arch not in _COUNTERS:
        raise CompileError(f"processor {arch}: how to read its counter of time is unknown")
    read, declaration = _COUNTERS[arch]
    lines = [
        declaration,
        "define void @ew_timed(ptr %pool, ptr %params, ptr %ticks, i64 %rounds) nounwind {",
        "start:",
        "  br label %loop",
        "loop:",
        "  %round = phi i64 [ 0, %start ], [ %next, %loop ]",
        f"  %words = mul i64 %round, {len(names) + 1}",
        "  %row = getelementptr i64, ptr %ticks, i64 %words",
        f"  %t = {read}",
        "  store i64 %t, ptr %row",
    ]
    for i, name in enumerate(names):
        lines += [
            f"  call void @{name}(ptr %pool, ptr %params)",
            f"  %t{i} = {read}",
            f"  %at{i} = getelementptr i64, ptr %row, i64 {i + 1}",
            f"  store i64 %t{i}, ptr %at{i}",
        ]
    lines += [
        "  %next = add i64 %round, 1",
        "  %more = icmp slt i64 %next, %rounds",
        "  br i1 %more, label %loop, label %done",
        "done:",
        "  ret void",
        "}",
    ]
    return "\n".join(lines) + "\n"


class StepTimer:
    """Times the native steps of a plan; fallbacks are left out, and read as zeros.

    To be closed, or used as a context: it may have threads.
    """

    def __init__(self, plan: Plan, isa: Isa, threads: int = 1) -> None:
        native = [step for step in plan.steps if isinstance(step, Step)]
        plan = replace(plan, steps=tuple(native))
        target = target_for(isa)
        segments = tuple(Segment(f"ew_run_{i}", i, i + 1) for i in range(len(native)))
        code = generate(plan, segments)
        timed = timed_text(target.arch, [str(segment.entry) for segment in segments])
        code = replace(code, entries=code.entries + timed)
        self._library = jit.load_object(objects(plan, code, target))
        self._pool = ThreadPool(self._library, threads)
        self._constants, self._arena = plan.constants, aligned(plan.arena_bytes)
        self._arena.fill(0)
        self._params = code.params.copy()
        self._params[code.arena_words] += self._arena.ctypes.data
        self._params[code.constant_words] += self._constants.ctypes.data
        pointer = ctypes.c_void_p
        kind = ctypes.CFUNCTYPE(None, pointer, pointer, pointer, ctypes.c_int64)
        self._run = kind(self._library.address("ew_timed"))
        self.steps = len(native)

    def run(self, rounds: int) -> npt.NDArray[np.float64]:
        """Seconds [rounds, steps] of each native step; each round does all steps once."""
        ticks = np.zeros((rounds, self.steps + 1), np.int64)
        with self._pool.lock:
            start = time.perf_counter()
            self._run(self._pool.address, self._params.ctypes.data, ticks.ctypes.data, rounds)
            seconds = time.perf_counter() - start
        total = int(ticks[-1, -1] - ticks[0, 0])
        return np.diff(ticks, axis=1) * (seconds / max(total, 1))

    def close(self) -> None:
        self._pool.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
