"""Programs that tell the time after every step, without leaving native code.

The entry functions are those of the program itself, with a stamp between the steps: who comes
there first stores the processor's counter of time. Of threads that come at once, one does.
"""

from __future__ import annotations

import ctypes
import time
from collections.abc import Sequence
from dataclasses import replace

from ..errors import CompileError
from ..kernels.isa import Isa
from ..plan.model import Plan
from .build import Code, generate, linked
from .jit import Library
from .module import Segment, target_for
from .target import Target

COUNTERS = {
    "x86_64": ("declare i64 @llvm.readcyclecounter()", "call i64 @llvm.readcyclecounter()"),
    "aarch64": (
        'declare i64 @llvm.read_volatile_register.i64(metadata)\n!0 = !{!"cntvct_el0"}',
        "call i64 @llvm.read_volatile_register.i64(metadata !0)",
    ),
}
"""How processors read a counter that runs at a constant rate (rdtsc, cntvct_el0)."""

_TEXT = """\
DECLARATION
define i64 @ew_ticks() nounwind {
  %now = READ
  ret i64 %now
}
define internal void @ew_stamp(ptr %params, i64 %number) nounwind noinline {
start:
  %word = getelementptr i64, ptr %params, i64 WORDS
  %stamps = load ptr, ptr %word
  %at = getelementptr i64, ptr %stamps, i64 %number
  %old = load atomic i64, ptr %at monotonic, align 8
  %first = icmp eq i64 %old, 0
  br i1 %first, label %take, label %done
take:
  %now = READ
  store atomic i64 %now, ptr %at monotonic, align 8
  br label %done
done:
  ret void
}
"""


def stamp_text(arch: str, words: int) -> str:
    """LLVM text of ``i64 ew_ticks()``, which reads the counter, and of ``ew_stamp``.

    ``ew_stamp(ptr params, i64 number)`` stores it in an int64 that was 0: of those at the address
    in the word after the ``words`` parameters, the one of that number.

    Raises:
        CompileError: no counter of this processor is known.
    """
    if arch not in COUNTERS:
        raise CompileError(f"processor {arch}: no counter of time is known for it")
    declaration, read = COUNTERS[arch]
    text = _TEXT.replace("DECLARATION", declaration).replace("READ", read)
    return text.replace("WORDS", str(words))


def stamped(plan: Plan, segments: Sequence[Segment], target: Target) -> Code:
    """The code of ``plan`` with stamps; see `build.generate`.

    Its functions have the names of the program's, and their parameters one more word.
    """
    code = generate(plan, tuple(segments), stamped=True)
    return replace(code, entries=code.entries + stamp_text(target.arch, code.params.size))


def build_stamped(plan: Plan, segments: Sequence[Segment], isa: Isa) -> Library:
    """The same as machine code, from the cache where it is there."""
    target = target_for(isa)
    library, _, _ = linked(plan, stamped(plan, segments, target), target)
    return library


class Counter:
    """The processor's counter, calibrated by the monotonic clock while something else runs."""

    def __init__(self, library: Library) -> None:
        self._read = ctypes.CFUNCTYPE(ctypes.c_int64)(library.address("ew_ticks"))
        self._start = self._now()

    def seconds_per_tick(self, at_least: float = 0.02) -> float:
        """Found over the time since this was made, which is ``at_least`` so many seconds."""
        time.sleep(max(0.0, self._start[1] + at_least - time.perf_counter()))
        ticks, seconds = self._now()
        return (seconds - self._start[1]) / (ticks - self._start[0])

    def _now(self) -> tuple[int, float]:
        return self._read(), time.perf_counter()
