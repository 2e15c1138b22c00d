"""A network for inputs of fixed shapes, bound to memory: what a program runs.

Most networks are native code from end to end, called once. A node without a kernel runs by its
reference between two such calls; a condition or a loop runs the networks that it holds, compiled
like the whole; and operators whose shapes depend on values come last, interpreted.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, NamedTuple, NoReturn, cast

import numpy as np

from .aligned import aligned
from .codegen import cache, stored, tuned
from .codegen.jit import Library
from .codegen.module import SOURCES, Module, Place, target_for
from .dtype import DType
from .errors import InputError, RunError
from .graph import Array, Graph, LateGraph, Node, Value
from .kernels.isa import Isa

if TYPE_CHECKING:
    from .ops import Control, Interpreted
    from .plan import HostStep, Plan, View
    from .plan.choices import Tuning
    from .plan.model import Variant

Run = Callable[[int, "int | None", "int | None"], object]
"""One part of a network. It takes the address of the threads' pool and, where it is native code,
those of its function and its parameters."""

Part = tuple[Run, "int | None", "int | None"]
"""What runs a segment, with those of its arguments that stay the same."""


@dataclass(frozen=True)
class Options:
    """How a network is compiled; see ``edgewise.compile``.

    ``tuning`` is what to choose kernels by: if not given and ``tuned``, what was measured on this
    machine with as many ``threads``. ``keep_inputs``: a call leaves what the inputs hold.
    """

    requantization: str = "float"
    precision: str | None = None
    max_iterations: int = 1_000_000
    tuned: bool = True
    threads: int = 1
    tuning: Tuning | None = None
    keep_inputs: bool = False

    @property
    def tuning_digest(self) -> str:
        """Tells apart what kernels are chosen by; "" for the cost model alone."""
        if self.tuning is not None:
            return self.tuning.digest
        return tuned.digest(self.threads) if self.tuned else ""


class Fallback(NamedTuple):
    """An operator that runs without a kernel, and why."""

    node: Node
    reason: str


class Quick:
    """A call of one native part, with its arguments in memory, which ctypes then need not convert.

    Attributes:
        pool: what it was bound to last.
        run: the call.
    """

    def __init__(self, library: Library, parts: list[Part]) -> None:
        self._job = np.array([0, *parts[0][1:]], np.int64)
        call = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(library.address("ew_pool_call"))
        self.run = partial(call, self._job.ctypes.data)
        self.pool = 0

    def bind(self, pool: int) -> None:
        self._job[0] = self.pool = pool


class Execution:
    """A compiled graph with its memory; one call runs at a time.

    Attributes:
        graph: as loaded.
        module: the compiled code.
        types: of the inputs: number, shape and dtype.
        inputs, outputs: of the compiled part, where a run reads and writes them; later steps
            overwrite the inputs unless ``options.keep_inputs``.
        states: what the variables hold; a call that raises leaves them as they were.
        params: of the steps, with addresses.
        parts: what a call runs, in order: one for each segment of the module.
        quick: the same where it is one call.
        nested: by steps that are conditions or loops, the graphs that they hold.
        tail: the last node, where it is interpreted; ``interpret`` runs it.
    """

    def __init__(self, graph: Graph, isa: Isa, options: Options) -> None:
        self.graph, self.isa, self.options = graph, isa, options
        self._core, self.tail = _split(graph)
        self.types = [(i, v.type.shape, v.type.dtype.numpy) for i, v in enumerate(graph.inputs)]
        self.module = self._load()
        self._arena = aligned(self.module.arena_bytes)
        self.params = self.module.params.copy()
        self.params[self.module.arena_words] += self._arena.ctypes.data
        self.params[self.module.constant_words] += self.module.constants.ctypes.data
        self.nested: dict[int, tuple[Execution, ...]] = {}
        self.parts = self._bind()
        self.interpret = self._interpreter()
        sources = [
            self._array(place, value.type.dtype)
            for value, place in zip(self._core.sources, self.module.inputs, strict=True)
        ]
        self.inputs = sources[: len(self._core.inputs)]
        self.states = sources[len(self._core.inputs) :]
        self.outputs = [
            self._array(place, value.type.dtype) if isinstance(place, Place) else place
            for value, place in zip(self._core.outputs, self.module.outputs, strict=False)
        ]
        at = self.module.broken
        flag = np.zeros(1, np.uint8) if at is None else self._arena[at : at + 1]
        self._flag = ctypes.c_uint8.from_buffer(flag.data)
        self.quick = self.quick_for(self.parts)
        self.hold([state.initial for state in graph.states])

    @cached_property
    def plan(self) -> Plan:
        """Steps and memory; made when asked for where the code is in the cache.

        Kept with a program, it would keep the weights in the forms that passes gave them.
        """
        plan = plan_for(self._core, self.isa, self.options)
        return replace(plan, constants=self.module.constants)

    @cached_property
    def fallbacks(self) -> tuple[Fallback, ...]:
        """The nodes that run without a kernel, those of nested graphs included."""
        return tuple(self._fallbacks())

    def _fallbacks(self) -> Iterator[Fallback]:
        for segment in self.module.segments:
            if segment.first in self.nested:
                for inner in self.nested[segment.first]:
                    yield from inner.fallbacks
            elif segment.entry is None:
                step = cast("HostStep", self.plan.steps[segment.first])
                yield Fallback(self.plan.nodes[step.node], step.reason)
        if self.tail is not None:
            yield Fallback(self.tail, "its shapes depend on values")

    def hold(self, states: Sequence[Array]) -> None:
        """Give the variables these values."""
        if self.tail is not None:
            self.states = list(states)
            return
        for target, array in zip(self.states, states, strict=True):
            target[...] = array

    def call(self, pool: int, arrays: Sequence[Array]) -> Array | tuple[Array, ...]:
        """As `run`; the output itself where there is one."""
        if self.tail is not None:
            results = self._run_with_tail(pool, arrays)
            return results[0] if len(results) == 1 else tuple(results)
        for i, target in enumerate(self.inputs):
            target[...] = arrays[i]
        self.invoke(pool, arrays)
        if len(self.outputs) == 1:
            output: Array = self.outputs[0].copy()
            return output
        return tuple([output.copy() for output in self.outputs])

    def run(self, pool: int, arrays: Sequence[Array]) -> list[Array]:
        """The graph's outputs, in memory of their own, for arrays of its inputs.

        Raises:
            InputError: an element of a tensor of strings is something else.
            RunError: a loop does not end, or a value breaks an operator's rule.
        """
        outputs = self.call(pool, arrays)
        return list(outputs) if isinstance(outputs, tuple) else [outputs]

    def invoke(self, pool: int, given: Sequence[Array] | None = None) -> None:
        """Run the compiled part on what ``inputs`` hold, into ``outputs``.

        ``given`` is what they held, where they may be overwritten by now.

        Raises:
            RunError: as `run`.
        """
        quick = self.quick
        held: list[Array] = []
        if quick is not None:
            if pool != quick.pool:
                quick.bind(pool)
            quick.run()
            if not self._flag.value:
                return
        else:
            if self.module.broken is not None:
                held = [state.copy() for state in self.states]
            for run, entry, context in self.parts:
                run(pool, entry, context)
                if self._flag.value:
                    break
            else:
                return
        self._flag.value = 0
        if held:
            self.hold(held)
        self._explain(given or self.inputs)

    def _explain(self, arrays: Sequence[Array]) -> NoReturn:
        """Raise what the reference of the operator says whose rule a value broke."""
        env = dict(zip(self._core.sources, (*arrays, *self.states), strict=False))
        for _ in self._core.reference(env):
            pass
        raise RunError(f"graph {self.graph.name!r}: an index lies outside of its axis")

    def _run_with_tail(self, pool: int, arrays: Sequence[Array]) -> list[Array]:
        assert self.tail is not None
        assert self.interpret is not None
        for value, array in zip(self.graph.inputs, arrays, strict=True):
            _check_strings(value, array)
        env = dict(zip(self.graph.sources, (*arrays, *self.states), strict=True))
        given = [env[value] for value in self._core.inputs]
        for target, array in zip(self.inputs, given, strict=True):
            target[...] = array
        self.invoke(pool, given)
        for value, output in zip(self._core.outputs, self.outputs, strict=True):
            env[value] = output.copy()
        found = self.interpret([_known(env, value) for value in self.tail.inputs])
        env.update(zip(self.tail.outputs, found, strict=True))
        results = [_known(env, value).copy() for value in self.graph.results]
        count = len(self.graph.outputs)
        self.hold(results[count:])
        return results[:count]

    def _load(self) -> Module:
        """The compiled network: as it was kept, or else from the plan."""
        digest, target = self._core.digest, target_for(self.isa)
        o = self.options
        options = f"{o.requantization} {o.precision} {o.tuning_digest} {o.keep_inputs}"
        key = digest and cache.key("network", SOURCES, str(target), digest, options)
        module = stored.load(key) if key else None
        if module is None:
            from .codegen.build import build
            from .codegen.compiler import KernelCompiler

            with KernelCompiler(target) as compiler:
                plan = plan_for(self._core, self.isa, self.options, compiler.add)
                built = module = build(plan, self.isa, compiler)
            if key:
                module = stored.save(key, built)
                stored.save_outline(self._core)
            if module is built:
                self.plan = plan
        return module

    def _array(self, place: Place, dtype: DType) -> Array:
        array: Array = np.ndarray(
            place.shape, dtype.numpy, self._arena.data, place.offset, place.strides
        )
        return array

    def _interpreter(self) -> Callable[[Sequence[Array]], Sequence[Array]] | None:
        """What runs the last node, where it is interpreted."""
        if self.tail is None:
            return None
        op, limit = cast("Interpreted", self.tail.op), self.options.max_iterations
        return lambda inputs: op.evaluate(inputs, limit)

    def _bind(self) -> list[Part]:
        """What to call for each segment."""
        module = self.module
        call = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)(
            module.library.address("ew_pool_run")
        )
        context = self.params.ctypes.data
        return [
            (self._host(segment.first), None, None)
            if segment.entry is None
            else (call, module.library.address(segment.entry), context)
            for segment in module.segments
        ]

    def quick_for(self, parts: list[Part]) -> Quick | None:
        """The one native call that most networks are; None for others."""
        native = len(parts) == 1 and self.module.segments[0].entry is not None
        kept = bool(self.states) and self.module.broken is not None
        if self.tail is not None or kept or not native:
            return None
        return Quick(self.module.library, parts)

    def _host(self, index: int) -> Run:
        """Step ``index``, which has no kernel, between its operands in the arena."""
        from .codegen.build import place
        from .ops import Control

        step = cast("HostStep", self.plan.steps[index])
        node = self.plan.nodes[step.node]

        def bind(view: View) -> Array:
            return self._array(place(self.plan, view), view.type.dtype)

        inputs = [v if isinstance(v, np.ndarray) else bind(v) for v in step.inputs]
        outputs = [bind(v) for v in step.outputs]
        compute = _reference(node)
        if isinstance(node.op, Control):
            compute = self._control(index, node.op)

        def run(pool: int, *_: object) -> None:
            for target, result in zip(outputs, compute(pool, inputs), strict=True):
                target[...] = result

        return run

    def _control(self, index: int, op: Control) -> Callable[[int, Sequence[Array]], list[Array]]:
        """Step ``index``, a condition or a loop over graphs that are compiled too."""
        compiled = {graph: Execution(graph, self.isa, self.options) for graph in op.graphs}
        self.nested[index] = tuple(compiled.values())

        def compute(pool: int, inputs: Sequence[Array]) -> list[Array]:
            def call(graph: Graph, arrays: Sequence[Array]) -> list[Array]:
                return compiled[graph].run(pool, arrays)

            return op.run(inputs, call, self.options.max_iterations)

        return compute


def plan_for(
    graph: Graph,
    isa: Isa,
    options: Options | None = None,
    emitted: Callable[[Variant], None] | None = None,
) -> Plan:
    """The plan of a network as loaded, on any instruction set; of what is not interpreted.

    Without ``options``, by the cost model alone. ``emitted`` is told of kernels while it is made.
    """
    from . import passes
    from .ops import Rounding
    from .passes.requantization import requantize
    from .plan import make_plan
    from .plan.choices import UNTUNED

    graph, _ = _split(graph)
    if options is not None and options.requantization == "fixed_point":
        graph = requantize(graph, Rounding.FIXED_POINT)
    to_activation = passes.to_uint8 if isa.activation.kind == "u" else passes.to_int8
    lowered = passes.weights_to_int8(to_activation(passes.optimize(graph)))
    if options is None:
        return make_plan(lowered, isa, emitted=emitted)
    tuning = options.tuning
    if tuning is None:
        tuning = tuned.load(options.threads) if options.tuned else UNTUNED
    return make_plan(lowered, isa, options.precision, tuning, options.keep_inputs, emitted)


def _reference(node: Node) -> Callable[[int, Sequence[Array]], list[Array]]:
    def compute(pool: int, inputs: Sequence[Array]) -> list[Array]:
        with np.errstate(all="ignore"):
            return node.reference(inputs)

    return compute


def _split(graph: Graph) -> tuple[Graph, Node | None]:
    """The part of a graph that is compiled, and the last node where that is interpreted.

    What the last node needs is a result of the rest; strings stay out of it. A graph that was
    compiled before has no such node.
    """
    if isinstance(graph, LateGraph) and graph.digest is not None:
        return graph, None
    from .ops import Interpreted

    tail = graph.nodes[-1] if graph.nodes else None
    if tail is None or not isinstance(tail.op, Interpreted):
        return graph, None
    given = tuple(v for v in graph.sources if v.type.dtype is not DType.STRING)
    known = {*graph.sources, *tail.outputs}
    wanted = dict.fromkeys((*graph.results, *tail.inputs))
    outputs = tuple(v for v in wanted if not v.is_constant and v not in known)
    core = replace(graph, inputs=given, outputs=outputs, nodes=graph.nodes[:-1], states=())
    return core, tail


def _check_strings(value: Value, array: Array) -> None:
    if value.type.dtype is DType.STRING:
        other = next((e for e in array.flat if not isinstance(e, bytes)), b"")
        if not isinstance(other, bytes):
            raise InputError(
                f"input {value.name!r} holds a {type(other).__name__}; its strings are bytes"
            )


def _known(env: dict[Value, Array], value: Value) -> Array:
    return value.data if value.data is not None else env[value]
