"""Where the time of a call goes: step by step, inside the one native call.

The code that is timed is the program's own, with the processor's counter read between the steps
(`codegen.stamps`). Timed calls alternate with others, so that both see the same machine; what is
told is the mean of the faster half.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import numpy.typing as npt

from .graph import Array, Node
from .plan.model import HostStep, Step
from .plan.work import NO_WORK, Work, works

if TYPE_CHECKING:
    from typing_extensions import ParamSpec

    from .codegen.jit import Library
    from .codegen.module import Segment
    from .codegen.stamps import Counter
    from .execution import Execution, Part

    P = ParamSpec("P")
T = TypeVar("T")

SECONDS, FEWEST, MOST = 2.0, 5, 200
"""About how long the calls take together, and bounds of the number of timed ones."""


@dataclass(frozen=True)
class StepProfile:
    """One step of a program, or one operator without a kernel.

    Attributes:
        nodes: the operators that it computes, or a part of them; none for what serves several.
        kernel: its symbol; None for an operator that runs by its numpy reference.
        seconds: in one call of the program. Of a condition or a loop, what its graphs do not take.
        calls: how often it runs in one call of the program; in a loop, once a turn.
        work: multiply-adds and bytes of one time that it runs.
        graph: the condition's or loop's graph that it belongs to; "" for the program's own.
    """

    nodes: tuple[Node, ...]
    kernel: str | None
    seconds: float
    calls: float
    work: Work
    graph: str = ""


@dataclass(frozen=True)
class Profile:
    """Where the time of a call goes, in seconds.

    Attributes:
        steps: in order; those of a condition's or loop's graphs before the operator itself.
        outside: what no step takes: copies of inputs and outputs, and calling.
        seconds: of a timed call: the sum of the steps, and ``outside``.
        untimed: of a call without stamps, for comparison.
        runs: how many calls were timed.
    """

    steps: tuple[StepProfile, ...]
    outside: float
    seconds: float
    untimed: float
    runs: int


def profile(
    execution: Execution,
    pool: int,
    arrays: Sequence[Array],
    runs: int | None = None,
    progress: Callable[[], None] = lambda: None,
) -> Profile:
    """Time each step of a network on these inputs; its variables stay as they are.

    ``runs`` calls are timed: if not given, about `SECONDS` of all calls together. ``progress`` is
    called after each.

    Raises:
        CompileError: the processor's counter is unknown, or code could not be generated.
        RunError: as a call of the program does.
    """
    held = [state.copy() for state in execution.states]
    session = _Session()
    timer = _Timer(execution, session)

    def seconds() -> float:
        """Of a call; one just before it wakes the threads and fills the caches."""
        for _ in range(2):
            execution.hold(held)
            timer.begin_call()
            session.spent = 0.0
            start = time.perf_counter()
            execution.run(pool, arrays)
            taken = time.perf_counter() - start - session.spent
        return taken

    try:
        usual = seconds()
        counter = session.counter()
        runs = runs or runs_for(usual)
        timed, untimed = [], []
        for _ in range(runs):
            untimed.append(seconds())
            with timer.installed():
                timed.append(seconds())
            timer.end_call()
            progress()
        tick = counter.seconds_per_tick() if counter else 0.0
    finally:
        execution.hold(held)
    kept = _faster(timed)
    steps = tuple(timer.steps(kept, tick))
    total = float(np.mean(np.asarray(timed)[kept]))
    outside = total - sum(step.seconds for step in steps)
    rest = float(np.mean(np.asarray(untimed)[_faster(untimed)]))
    return Profile(steps, outside, total, rest, runs)


def runs_for(seconds: float) -> int:
    """How many calls to time where one takes so many seconds: there are four for each."""
    return max(FEWEST, min(MOST, round(SECONDS / 4 / max(seconds, 1e-9))))


def _faster(durations: Sequence[float]) -> npt.NDArray[np.int64]:
    """Which of them are in the lower half: those that nothing disturbed."""
    return np.asarray(np.argsort(durations)[: -(-len(durations) // 2)])


def _numbers(step: Step | HostStep) -> tuple[int, ...]:
    return step.nodes if isinstance(step, Step) else (step.node,)


@dataclass
class _Session:
    """What the timers of a network and of its nested graphs share.

    Attributes:
        spent: seconds that the timers themselves took in this call.
    """

    spent: float = 0.0
    libraries: list[Library] = field(default_factory=list)

    def counter(self) -> Counter | None:
        from .codegen.stamps import Counter

        return Counter(self.libraries[0]) if self.libraries else None


class _Timer:
    """Stands between an execution and its parts, and adds up what each step takes.

    Of a call: rows of ticks, of seconds (where no native code tells ticks) and of calls; a column a
    step, and the last for what is interpreted. A nested graph may run several times in a call, so
    that its stamps are added up after each.
    """

    def __init__(self, execution: Execution, session: _Session, graph: str | None = None) -> None:
        self._execution, self._session, self._graph = execution, session, graph
        self._plan = execution.plan
        segments, count = execution.module.segments, len(self._plan.steps)
        self._call = np.zeros((3, count + 1))
        self._calls: list[npt.NDArray[np.float64]] = []
        self._stamps = np.zeros(count + len(segments), np.int64)
        self._params = np.append(execution.params, self._stamps.ctypes.data)
        self._nested = {
            step: [_Timer(inner, session, inner.graph.name) for inner in executions]
            for step, executions in execution.nested.items()
        }
        if any(segment.entry is not None for segment in segments):
            from .codegen.stamps import build_stamped

            session.libraries.append(build_stamped(self._plan, segments, execution.isa))
        self._native = [
            (
                self._stamps[s.first + i : s.last + i + 1],
                self._call[0, s.first : s.last],
                self._call[2, s.first : s.last],
            )
            for i, s in enumerate(segments)
            if s.entry is not None
        ]
        pairs = zip(execution.parts, segments, strict=True)
        self._parts = [self._part(part, segment) for part, segment in pairs]
        self._quick = execution.quick_for(self._parts) if graph is None else None
        last, interpret = count, execution.interpret
        self._interpret = None if interpret is None else self._measured(last, interpret)

    @contextlib.contextmanager
    def installed(self) -> Iterator[None]:
        """Calls of the execution are timed."""
        execution = self._execution
        before = execution.parts, execution.quick, execution.interpret
        execution.parts, execution.quick, execution.interpret = (
            self._parts,
            self._quick,
            self._interpret,
        )
        try:
            with contextlib.ExitStack() as stack:
                for timer in self._inner():
                    stack.enter_context(timer.installed())
                yield
        finally:
            execution.parts, execution.quick, execution.interpret = before

    def begin_call(self) -> None:
        """Forget what was added up."""
        self._stamps.fill(0)
        self._call.fill(0)
        for timer in self._inner():
            timer.begin_call()

    def end_call(self) -> None:
        """What was added up is one of the calls to choose from."""
        self._collect()
        self._calls.append(self._call.copy())
        for timer in self._inner():
            timer.end_call()

    def _collect(self) -> None:
        """Add up the stamps that there are."""
        for stamps, ticks, calls in self._native:
            if stamps[0]:
                np.add(ticks, np.diff(stamps), out=ticks)
                np.add(calls, 1, out=calls)
                stamps.fill(0)

    def steps(self, kept: npt.NDArray[np.int64], tick: float) -> Iterator[StepProfile]:
        """The means over the calls ``kept``, where a tick is so many seconds."""
        ticks, seconds, calls = np.stack(self._calls)[kept].mean(axis=0)
        seconds = seconds + ticks * tick
        nodes = self._plan.nodes
        for i, (step, work) in enumerate(zip(self._plan.steps, works(self._plan), strict=True)):
            inner = [s for t in self._nested.get(i, ()) for s in t.steps(kept, tick)]
            yield from inner
            yield StepProfile(
                nodes=tuple(nodes[n] for n in _numbers(step) if n < len(nodes)),
                kernel=step.kernel.symbol if isinstance(step, Step) else None,
                seconds=float(seconds[i]) - sum(s.seconds for s in inner),
                calls=float(calls[i]),
                work=work,
                graph=self._graph or "",
            )
        if self._execution.tail is not None:
            tail, taken, turns = self._execution.tail, float(seconds[-1]), float(calls[-1])
            yield StepProfile((tail,), None, taken, turns, NO_WORK, self._graph or "")

    def _inner(self) -> Iterator[_Timer]:
        for timers in self._nested.values():
            yield from timers

    def _part(self, part: Part, segment: Segment) -> Part:
        """What to call instead of ``part``."""
        run, _, _ = part
        if segment.entry is None:
            return self._measured(segment.first, run), None, None
        session = self._session

        def measure(pool: int, entry: int | None, context: int | None) -> None:
            run(pool, entry, context)
            start = time.perf_counter()
            self._collect()
            session.spent += time.perf_counter() - start

        entry = session.libraries[-1].address(segment.entry)
        return run if self._graph is None else measure, entry, self._params.ctypes.data

    def _measured(self, step: int, compute: Callable[P, T]) -> Callable[P, T]:
        """``compute``, its seconds added to those of ``step``."""
        session, (_, seconds, calls) = self._session, self._call

        def measure(*args: P.args, **named: P.kwargs) -> T:
            spent, start = session.spent, time.perf_counter()
            result = compute(*args, **named)
            seconds[step] += time.perf_counter() - start - (session.spent - spent)
            calls[step] += 1
            return result

        return measure
