"""Run a compiled network: numpy in, numpy out."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from .codegen.module import choose_isa
from .codegen.policy import Threading, decide
from .codegen.target import host
from .codegen.threads import ThreadPool
from .errors import CompileError, EdgewiseError, InputError
from .execution import Execution, Fallback, Options, plan_for
from .graph import Array, Graph, Shapes, Value, checked_shapes
from .kernels.isa import Isa

if TYPE_CHECKING:
    from .plan import Plan
    from .plan.certificate import ArenaReport
    from .profiling import Profile

MAX_SHAPES = 8
"""For how many shapes of its inputs a program keeps code and memory; the least used go."""

REQUANTIZATIONS = ("float", "fixed_point")
PRECISIONS = (None, "bf16")

Key = tuple[tuple[int, ...], ...]


class Program:
    """A network compiled for this machine.

    Call it with the graph's inputs, in order or by name: arrays of their dtypes and shapes, which
    may differ where ``resize`` could be called for them. It returns the output, or a tuple of them
    in order. One call runs at a time; calls from several threads wait for each other.

    Variables of the network belong to the program: a call starts with what the one before it left,
    and one that raises leaves them as they were.

    Attributes:
        graph: the network as loaded, of the current shapes; its inputs and outputs are the
            program's.
        isa: the instruction set of the kernels.
        threading: how many threads run a network, where, and how long they wait awake.
    """

    def __init__(self, graph: Graph, isa: Isa, threading: Threading, options: Options) -> None:
        self.isa, self.threading, self._options = isa, threading, options
        self._execution = Execution(graph, isa, options)
        self._pool = ThreadPool(
            self._execution.module.library,
            threading.threads,
            threading.pinned,
            threading.idle_us * 1e-6,
        )
        self._known = OrderedDict({_key(graph): self._execution})
        self._names = {value.name: i for i, value in enumerate(graph.inputs)}

    @property
    def graph(self) -> Graph:
        return self._execution.graph

    @property
    def threads(self) -> int:
        """How many threads run a network, the caller's included."""
        return self.threading.threads

    @property
    def inputs(self) -> tuple[Value, ...]:
        return self.graph.inputs

    @property
    def outputs(self) -> tuple[Value, ...]:
        return self.graph.outputs

    @property
    def cached(self) -> bool:
        """Whether the machine code came from the cache."""
        return self._execution.module.cached

    @property
    def plan(self) -> Plan:
        """Steps and memory for the current shapes."""
        return self._execution.plan

    @property
    def memory(self) -> ArenaReport:
        """The arena over time, certified. The graphs of a condition or a loop have others."""
        from .plan.certificate import certify

        return certify(self.plan)

    @property
    def fallbacks(self) -> tuple[Fallback, ...]:
        """The operators that run without a kernel, and why."""
        return self._execution.fallbacks

    @property
    def states(self) -> dict[str, Array]:
        """Copies of what the variables hold, by name."""
        with self._pool.lock:
            pairs = zip(self.graph.states, self._execution.states, strict=True)
            return {state.before.name: array.copy() for state, array in pairs}

    def reset(self) -> None:
        """Give all variables their initial values."""
        with self._pool.lock:
            self._execution.hold([state.initial for state in self.graph.states])

    def __call__(self, *args: Array, **named: Array) -> Any:
        """Run the network once.

        Raises:
            InputError: an input is missing, unknown, given twice, or of another dtype, or of a
                shape that the network does not take.
            RunError: a loop does not end, or an operator cannot take what was computed.
        """
        execution, arrays, pool = self._execution, args, self._pool
        if named or len(args) != len(execution.types):
            arrays = self._arguments(args, named)
        for i, shape, dtype in execution.types:
            array = arrays[i]
            if array.__class__ is np.ndarray and array.shape == shape and array.dtype is dtype:
                continue
            execution = self._fitting(execution, arrays)
            break
        lock = pool.lock
        lock.acquire()
        try:
            if execution is not self._execution:
                self._enter(execution)
            if not pool.started:
                pool.start()
            return execution.call(pool.address, arrays)
        finally:
            lock.release()

    def input_views(self) -> tuple[Array, ...]:
        """The memory that `invoke` reads the inputs from, in order: arrays to be filled.

        `invoke` leaves what they hold. They are the program's until its shapes change (`resize`, a
        call with other shapes): ask for new ones then. No other thread may run the program
        between filling them and reading the outputs.

        The first use of views or of `invoke` plans the network anew, with inputs that no step
        overwrites; activations then take more memory by about the inputs' size. An input that is
        padded lies amid its padding: its array then has gaps between rows.

        Raises:
            InputError: inputs or outputs have no memory of their own: the network takes strings, or
                its shapes depend on values.
        """
        return tuple(self._kept().inputs)

    def output_views(self) -> tuple[Array, ...]:
        """The memory that runs leave the outputs in, in order, to be read until the next run.

        Read-only; otherwise as `input_views`.
        """
        views = tuple(array.view() for array in self._kept().outputs)
        for view in views:
            view.flags.writeable = False
        return views

    def invoke(self) -> None:
        """Run the network once on what `input_views` hold, without copies.

        Raises:
            InputError: as `input_views`.
            RunError: as a call.
        """
        execution, pool = self._execution, self._pool
        if not execution.options.keep_inputs:
            execution = self._kept()
        lock = pool.lock
        lock.acquire()
        try:
            if not pool.started:
                pool.start()
            execution.invoke(pool.address)
        finally:
            lock.release()

    def profile(
        self,
        *args: Array,
        runs: int | None = None,
        progress: Callable[[], None] = lambda: None,
        **named: Array,
    ) -> Profile:
        """Time each step of the network on these inputs, inside the one native call.

        Args:
            runs: how many calls to time, as many others between them; if not given, about two
                seconds of calls.
            progress: called after each.

        Variables stay as they are.

        Raises:
            InputError, RunError: as a call does; InputError for ``runs`` below 1 too.
            CompileError: the code with stamps could not be generated.
        """
        from .profiling import profile

        if runs is not None and runs < 1:
            raise InputError(f"runs={runs}; it must be 1 or more")
        arrays = self._arguments(args, named)
        execution = self._fitting(self._execution, arrays)
        with self._pool.lock:
            self._enter(execution)
            if not self._pool.started:
                self._pool.start()
            return profile(execution, self._pool.address, arrays, runs, progress)

    def resize(self, shapes: Shapes) -> None:
        """Take inputs of these shapes, by name, from now on; others keep theirs.

        A new set of shapes is compiled once, and kept while it is among the last `MAX_SHAPES`.
        Variables keep what they hold where their shape stays, and start anew elsewhere.

        Raises:
            InputError: no input has such a name, or the network cannot take the shapes.
        """
        unknown = sorted(set(shapes) - set(self._names))
        if unknown:
            raise InputError(
                f"no input is named {unknown[0]!r}; the inputs are {list(self._names)}"
            )
        chosen = checked_shapes(shapes)
        execution = self._for({v.name: chosen.get(v.name, v.type.shape) for v in self.inputs})
        with self._pool.lock:
            self._enter(execution)

    def close(self) -> None:
        """End the program's threads, after the calls under way; the next call starts new ones."""
        self._pool.stop()

    def _kept(self) -> Execution:
        """The network for the current shapes, such that no step overwrites an input."""
        with self._pool.lock:
            execution = self._execution
            if execution.tail is not None:
                raise InputError(
                    f"graph {self.graph.name!r}: its shapes depend on values, or it takes strings; "
                    "call it instead"
                )
            if not execution.options.keep_inputs:
                self._options = replace(self._options, keep_inputs=True)
                execution = Execution(self.graph, self.isa, self._options)
                self._known = OrderedDict({_key(self.graph): execution})
                self._enter(execution)
            return execution

    def _enter(self, execution: Execution) -> None:
        """Make ``execution`` the current one; variables of another shape start anew."""
        pairs = zip(self.graph.states, self._execution.states, strict=True)
        held = {(s.before.name, a.shape, a.dtype): a for s, a in pairs}
        execution.hold(
            [
                held.get((s.before.name, s.initial.shape, s.initial.dtype), s.initial)
                for s in execution.graph.states
            ]
        )
        self._execution = execution

    def _for(self, shapes: Shapes, batch: tuple[int, int] | None = None) -> Execution:
        """The network for inputs of these shapes, one each; its outputs follow the batch."""
        key = tuple(shapes.values())
        with self._pool.lock:
            if key not in self._known:
                graph = self.graph.resized(shapes)
                if batch is not None:
                    _check_batch(self.graph, graph, *batch)
                self._known[key] = Execution(graph, self.isa, self._options)
                while len(self._known) > MAX_SHAPES:
                    self._known.popitem(last=False)
            self._known.move_to_end(key)
            return self._known[key]

    def _fitting(self, current: Execution, arrays: Sequence[Array]) -> Execution:
        """The network for arrays of other shapes than the current ones.

        They may differ in dimensions that the file leaves open, or in the first one of all inputs
        alike, a batch, where the outputs follow it.
        """
        graph = current.graph
        for value, array in zip(graph.inputs, arrays, strict=True):
            fits = isinstance(array, np.ndarray) and array.dtype == value.type.dtype.numpy
            if not fits or array.ndim != len(value.type.shape):
                raise InputError(_mismatch(value, array))
        pairs = zip(graph.inputs, arrays, strict=True)
        wrong = next((_mismatch(v, a) for v, a in pairs if a.shape != v.type.shape), None)
        if wrong is None:
            return current
        shapes = {v.name: a.shape for v, a in zip(graph.inputs, arrays, strict=True)}
        opened = all(_fits(graph.open.get(v.name, ()), v, shapes[v.name]) for v in graph.inputs)
        batch = None if opened else _batch(graph, shapes)
        if not graph.can_be_resized or (not opened and batch is None):
            raise InputError(wrong)
        try:
            return self._for(shapes, batch)
        except EdgewiseError as error:
            raise InputError(f"{wrong}; {error}") from error

    def _arguments(self, args: Sequence[Array], named: Mapping[str, Array]) -> tuple[Array, ...]:
        names = list(self._names)
        if len(args) > len(names):
            raise InputError(f"{len(args)} inputs given; the network takes {len(names)}: {names}")
        found: dict[str, Array] = dict(zip(names, args, strict=False))
        for name, array in named.items():
            if name not in self._names:
                raise InputError(f"no input is named {name!r}; the inputs are {names}")
            if name in found:
                raise InputError(f"input {name!r} is given twice")
            found[name] = array
        missing = [name for name in names if name not in found]
        if missing:
            raise InputError(f"input {missing[0]!r} is missing; the inputs are {names}")
        return tuple(found[name] for name in names)


def _key(graph: Graph) -> Key:
    return tuple(value.type.shape for value in graph.inputs)


def _fits(open: tuple[int, ...], value: Value, shape: tuple[int, ...]) -> bool:
    """Whether ``shape`` differs from the current one only in open dimensions."""
    same = zip(value.type.shape, shape, open or value.type.shape, strict=True)
    return all(a == b or o == -1 for a, b, o in same)


def _batch(graph: Graph, shapes: Mapping[str, tuple[int, ...]]) -> tuple[int, int] | None:
    """The batch of all inputs now, and in ``shapes``; None where other dimensions differ."""
    pairs = [(v.type.shape, shapes[v.name]) for v in graph.inputs]
    if any(not old or old[1:] != new[1:] for old, new in pairs):
        return None
    batches = {(old[0], new[0]) for old, new in pairs}
    return batches.pop() if len(batches) == 1 else None


def _check_batch(before: Graph, after: Graph, old: int, new: int) -> None:
    """Check that the outputs have the batch of the inputs; a RESHAPE may have mixed it up."""
    for a, b in zip(before.outputs, after.outputs, strict=True):
        if a.type.shape[:1] != (old,) or b.type.shape != (new, *a.type.shape[1:]):
            raise InputError(
                f"output {a.name!r} is {list(a.type.shape)}, and {list(b.type.shape)} for a batch "
                f"of {new}; Program.resize takes it nevertheless"
            )


def _mismatch(value: Value, array: object) -> str:
    expected = value.type
    if not isinstance(array, np.ndarray):
        return f"input {value.name!r} is a {type(array).__name__}; it must be an array"
    return (
        f"input {value.name!r} is {array.dtype}{list(array.shape)}; "
        f"it must be {expected.dtype}{list(expected.shape)}"
    )


def compile_graph(
    graph: Graph,
    *,
    threads: int | Literal["auto"] = 1,
    affinity: str | None = None,
    power: str = "balanced",
    isa: str | None = None,
    strict: bool = False,
    requantization: str = "float",
    precision: str | None = None,
    max_iterations: int = 1_000_000,
    tuned: bool = True,
) -> Program:
    """See ``edgewise.compile``."""
    if requantization not in REQUANTIZATIONS:
        raise InputError(
            f"requantization={requantization!r}; it is one of {', '.join(REQUANTIZATIONS)}"
        )
    if precision not in PRECISIONS:
        raise InputError(f"precision={precision!r}; it is None or 'bf16'")
    if max_iterations < 1:
        raise InputError(f"max_iterations={max_iterations}; it must be 1 or more")
    threading = decide(threads, affinity, power)
    options = Options(requantization, precision, max_iterations, tuned, threading.threads)
    program = Program(graph, choose_isa(host(), isa, precision), threading, options)
    if strict and program.fallbacks:
        lines = [f"{f.node.op.name} {f.node.origin!r}: {f.reason}" for f in program.fallbacks]
        program.close()
        raise CompileError("strict=True, and these have no kernel: " + "; ".join(lines))
    return program


__all__ = ["Fallback", "Program", "compile_graph", "plan_for"]
