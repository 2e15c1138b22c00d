"""Run a compiled network: numpy in, numpy out."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from .codegen import cache, stored
from .codegen.module import SOURCES, Module, Place, aligned, choose_isa, target_for
from .codegen.target import host
from .codegen.threads import ThreadPool
from .dtype import DType
from .errors import InputError
from .graph import Array, Graph, Value
from .kernels.isa import Isa

if TYPE_CHECKING:
    from .plan import HostStep, Plan, View


class Program:
    """A network compiled for this machine.

    Call it with the graph's inputs, in order or by name: arrays of exactly their shapes and
    dtypes. It returns the output, or a tuple of them in order. One call runs at a time; calls
    from several threads wait for each other.

    Attributes:
        graph: the network as loaded; its inputs and outputs are the program's.
        isa: the instruction set of the kernels.
        threads: how many run a network, the caller's included.
        cached: whether the machine code came from the cache.
    """

    def __init__(self, graph: Graph, isa: Isa, threads: int = 1) -> None:
        self.graph, self.isa, self.threads = graph, isa, threads
        module = self._module()
        self.cached = module.cached
        self._pool = ThreadPool(module.library, threads)
        self._arena = aligned(module.arena_bytes)
        self._constants = module.constants
        self._params = module.params.copy()
        self._params[module.arena_words] += self._arena.ctypes.data
        self._params[module.constant_words] += self._constants.ctypes.data
        self._segments = self._bind(module)
        self._inputs = [
            self._array(place, value.type.dtype)
            for value, place in zip(graph.sources, module.inputs, strict=True)
        ]
        self._types = [(array.shape, array.dtype) for array in self._inputs]
        self._outputs = [
            self._array(place, value.type.dtype) if isinstance(place, Place) else place
            for value, place in zip(graph.results, module.outputs, strict=True)
        ]
        self._names = {value.name: i for i, value in enumerate(graph.inputs)}

    @property
    def inputs(self) -> tuple[Value, ...]:
        return self.graph.inputs

    @property
    def outputs(self) -> tuple[Value, ...]:
        return self.graph.outputs

    @cached_property
    def plan(self) -> Plan:
        """Steps and memory; made when asked for where the program was taken from the cache."""
        return plan_for(self.graph, self.isa)

    def __call__(self, *args: Array, **named: Array) -> Any:
        """Run the network once.

        Raises:
            InputError: an input is missing, unknown, given twice, or of another shape or dtype.
        """
        arrays = self._arguments(args, named) if named or len(args) != len(self._inputs) else args
        for i, array in enumerate(arrays):
            if not isinstance(array, np.ndarray) or (array.shape, array.dtype) != self._types[i]:
                raise InputError(_mismatch(self.graph.inputs[i], array))
        with self._pool.lock:
            for i, array in enumerate(arrays):
                self._inputs[i][...] = array
            pool = self._pool.address
            for run, entry, context in self._segments:
                run(pool, entry, context)
            results = [source.copy() for source in self._outputs]
        return results[0] if len(results) == 1 else tuple(results)

    def close(self) -> None:
        """End the program's threads, after the calls under way; the next call starts new ones."""
        self._pool.stop()

    def _arguments(self, args: tuple[Array, ...], named: dict[str, Array]) -> list[Array]:
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
        return [found[name] for name in names]

    def _module(self) -> Module:
        """The compiled network: as it was kept, or else from the plan."""
        digest, target = self.graph.digest, target_for(self.isa)
        key = digest and cache.key("network", SOURCES, str(target), digest)
        module = stored.load(key) if key else None
        if module is None:
            from .codegen.build import build

            module = build(self.plan, self.isa)
            if key:
                stored.save(key, module)
        return module

    def _array(self, place: Place, dtype: DType) -> Array:
        array: Array = np.ndarray(
            place.shape, dtype.numpy, self._arena.data, place.offset, place.strides
        )
        return array

    def _bind(self, module: Module) -> list[tuple[Callable[..., None], int | None, int]]:
        """What to call for each segment, with (pool, entry, context)."""
        call = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)(
            module.library.address("ew_pool_run")
        )
        context = self._params.ctypes.data
        bound: list[tuple[Callable[..., None], int | None, int]] = []
        for segment in module.segments:
            if segment.entry is None:
                bound.append((self._fallback(segment.first), None, 0))
            else:
                bound.append((call, module.library.address(segment.entry), context))
        return bound

    def _fallback(self, index: int) -> Callable[..., None]:
        """Step ``index``, an operator without a kernel, as a function of its numpy reference."""
        from .codegen.build import place

        step = cast("HostStep", self.plan.steps[index])
        node = self.plan.nodes[step.node]

        def bind(view: View) -> Array:
            return self._array(place(self.plan, view), view.type.dtype)

        inputs = [v if isinstance(v, np.ndarray) else bind(v) for v in step.inputs]
        outputs = [bind(v) for v in step.outputs]

        def run(*_: object) -> None:
            results = node.op.reference(inputs, node.input_types, node.output_types)
            for target, result in zip(outputs, results, strict=True):
                target[...] = result

        return run


def _mismatch(value: Value, array: object) -> str:
    expected = value.type
    if not isinstance(array, np.ndarray):
        return f"input {value.name!r} is a {type(array).__name__}; it must be an array"
    return (
        f"input {value.name!r} is {array.dtype}{list(array.shape)}; "
        f"it must be {expected.dtype}{list(expected.shape)}"
    )


def compile_graph(graph: Graph, *, threads: int = 1, isa: str | None = None) -> Program:
    """See ``edgewise.compile``."""
    return Program(graph, choose_isa(host(), isa), threads)


def plan_for(graph: Graph, isa: Isa) -> Plan:
    """The plan of a network as loaded, on any instruction set."""
    from . import passes
    from .plan import make_plan

    to_activation = passes.to_uint8 if isa.activation.kind == "u" else passes.to_int8
    lowered = passes.weights_to_int8(to_activation(passes.optimize(graph)))
    return make_plan(lowered, isa)
