"""The steps of a plan, timed apart from any program: for choosing kernels by measurement.

The arena holds zeros: times of kernels do not depend on values.
"""

from __future__ import annotations

import ctypes
from dataclasses import replace
from types import TracebackType
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from ..aligned import aligned
from ..kernels.isa import Isa
from ..plan.model import Plan, Step
from . import jit
from .build import objects
from .module import Segment, target_for
from .stamps import Counter, stamped
from .threads import ThreadPool

if TYPE_CHECKING:
    from typing_extensions import Self


class StepTimer:
    """Times the native steps of a plan; fallbacks are left out, and read as zeros.

    To be closed, or used as a context: it may have threads.
    """

    def __init__(self, plan: Plan, isa: Isa, threads: int = 1) -> None:
        native = [step for step in plan.steps if isinstance(step, Step)]
        plan = replace(plan, steps=tuple(native))
        self.steps, target = len(native), target_for(isa)
        code = stamped(plan, (Segment("ew_run_0", 0, self.steps),), target)
        self._library = jit.load_object(objects(plan, code, target))
        self._counter = Counter(self._library)
        self._pool = ThreadPool(self._library, threads)
        self._constants, self._arena = plan.constants, aligned(plan.arena_bytes)
        self._arena.fill(0)
        self._params = np.append(code.params, 0)
        self._params[code.arena_words] += self._arena.ctypes.data
        self._params[code.constant_words] += self._constants.ctypes.data
        kind = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)
        self._run = kind(self._library.address("ew_pool_run"))
        self._entry = self._library.address("ew_run_0")

    def run(self, rounds: int) -> npt.NDArray[np.float64]:
        """Seconds [rounds, steps] of each native step; each round does all steps once."""
        stamps = np.zeros((rounds, self.steps + 1), np.int64)
        with self._pool.lock:
            for row in stamps:
                self._params[-1] = row.ctypes.data
                self._run(self._pool.address, self._entry, self._params.ctypes.data)
        return np.diff(stamps, axis=1) * self._counter.seconds_per_tick()

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
