"""Run a compiled network: numpy in, numpy out."""

from __future__ import annotations

import ctypes
import threading
from typing import Any

import numpy as np
import numpy.typing as npt

from . import passes
from .codegen.module import Module, build, choose_isa
from .codegen.target import host
from .codegen.threads import ThreadPool
from .errors import InputError
from .graph import Array, Graph, Value
from .kernels.isa import Isa
from .plan import HostStep, Plan, View, make_plan
from .plan.model import ALIGN


class Program:
    """A network compiled for this machine.

    Call it with the graph's inputs, in order or by name: arrays of exactly their shapes and
    dtypes. It returns the output, or a tuple of them in order. One call runs at a time; calls
    from several threads wait for each other.

    Attributes:
        graph: the network as loaded; its inputs and outputs are the program's.
        plan: steps and memory.
        isa: the instruction set of the kernels.
        threads: how many run a network, the caller's included.
        cached: whether the machine code came from the cache.
    """

    def __init__(self, graph: Graph, plan: Plan, isa: Isa, threads: int = 1) -> None:
        self.graph, self.plan, self.isa, self.threads = graph, plan, isa, threads
        module = build(plan, isa)
        self.cached, code = module.cached, module.code
        self._pool = ThreadPool(module.library, threads)
        self._lock = threading.Lock()
        self._arena = aligned(plan.arena_bytes)
        self._constants = aligned(plan.constants.nbytes)
        self._constants[:] = plan.constants
        self._params = code.params.copy()
        self._params[code.arena_words] += self._arena.ctypes.data
        self._params[code.constant_words] += self._constants.ctypes.data
        self._segments = self._bind(module)
        self._inputs = [(value, self._array(view)) for value, view in plan.inputs]
        self._outputs = [
            view if isinstance(view, np.ndarray) else self._array(view) for _, view in plan.outputs
        ]
        self._names = {value.name: i for i, value in enumerate(graph.inputs)}

    @property
    def inputs(self) -> tuple[Value, ...]:
        return self.graph.inputs

    @property
    def outputs(self) -> tuple[Value, ...]:
        return self.graph.outputs

    def __call__(self, *args: Array, **named: Array) -> Any:
        """Run the network once.

        Raises:
            InputError: an input is missing, unknown, given twice, or of another shape or dtype.
        """
        arrays = self._arguments(args, named) if named or len(args) != len(self._inputs) else args
        for (value, _), array in zip(self._inputs, arrays, strict=True):
            check_input(value, array)
        with self._lock:
            for (_, target), array in zip(self._inputs, arrays, strict=True):
                target[...] = array
            self._run()
            results = [source.copy() for source in self._outputs]
        return results[0] if len(results) == 1 else tuple(results)

    def close(self) -> None:
        """End the program's threads; the next call starts them again."""
        self._pool.stop()

    def _run(self) -> None:
        pool = self._pool.address
        for run, entry, context in self._segments:
            if entry is None:
                run()
            else:
                run(pool, entry, context)

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

    def _array(self, view: View) -> Array:
        """A view of the arena as a numpy array."""
        start = view.address.offset + self.plan.offsets[view.address.buffer]
        dtype = view.type.dtype.numpy
        array: Array = np.ndarray(view.shape, dtype, self._arena.data, start, view.strides)
        return array

    def _bind(self, module: Module) -> list[tuple[Any, int | None, int]]:
        call = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)(
            module.library.address("ew_pool_run")
        )
        bound: list[tuple[Any, int | None, int]] = []
        context = self._params.ctypes.data
        for segment in module.code.segments:
            if segment.entry is None:
                step = self.plan.steps[segment.first]
                assert isinstance(step, HostStep)
                bound.append((self._host_step(step), None, 0))
            else:
                bound.append((call, module.library.address(segment.entry), context))
        return bound

    def _host_step(self, step: HostStep) -> Any:
        node = self.plan.nodes[step.node]
        inputs = [v if isinstance(v, np.ndarray) else self._array(v) for v in step.inputs]
        outputs = [self._array(v) for v in step.outputs]

        def run() -> None:
            results = node.op.reference(inputs, node.input_types, node.output_types)
            for target, result in zip(outputs, results, strict=True):
                target[...] = result

        return run


def check_input(value: Value, array: Array) -> None:
    """Raise InputError unless ``array`` has the shape and dtype of ``value``."""
    expected = value.type
    if not isinstance(array, np.ndarray):
        raise InputError(f"input {value.name!r} is a {type(array).__name__}; it must be an array")
    if array.shape != expected.shape or array.dtype != expected.dtype.numpy:
        raise InputError(
            f"input {value.name!r} is {array.dtype}{list(array.shape)}; "
            f"it must be {expected.dtype}{list(expected.shape)}"
        )


def aligned(nbytes: int) -> npt.NDArray[np.uint8]:
    """Zeroed bytes at an address that ``ALIGN`` divides."""
    raw = np.zeros(nbytes + ALIGN, np.uint8)
    start = -raw.ctypes.data % ALIGN
    return raw[start : start + nbytes]


def compile_graph(graph: Graph, *, threads: int = 1, isa: str | None = None) -> Program:
    """See ``edgewise.compile``."""
    chosen = choose_isa(host(), isa)
    return Program(graph, plan_for(graph, chosen), chosen, threads)


def plan_for(graph: Graph, isa: Isa) -> Plan:
    """The plan of a network as loaded, on any instruction set."""
    lowered = passes.optimize(graph)
    to_activation = passes.to_uint8 if isa.activation.kind == "u" else passes.to_int8
    return make_plan(to_activation(lowered), isa)
