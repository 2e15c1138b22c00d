"""Runs without copies: inputs filled in place, outputs read in place; options of threads."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

import numpy as np
import pytest

import edgewise as ew
from edgewise import ops
from edgewise.codegen.policy import POLICIES
from edgewise.dtype import DType, QParams
from edgewise.errors import InputError
from edgewise.graph import Array, Graph, State
from edgewise.runtime import Program
from networks import Builder, classifier, quantized, random_inputs, reference
from test_runtime import assert_equal, sum_and_difference
from test_runtime_shapes import plain

Q = QParams.per_tensor(0.05, 121)
SMALL = (2, 3, 4)


def counter() -> Graph:
    """An input x : uint8[2,3,4] is added to a state, which is the output."""
    b = Builder()
    x, total = (b.input(quantized(SMALL, DType.UINT8, 0.05, 0)) for _ in range(2))
    after = b.node(ops.Add(), [x, total], QParams.per_tensor(0.05, 0))
    graph = b.graph(after)
    state = State(total, after, np.zeros(SMALL, np.uint8))
    return Graph(graph.inputs[:1], graph.outputs, graph.nodes, graph.name, graph.metadata, (state,))


@pytest.fixture
def program() -> Iterator[Program]:
    with contextlib.closing(ew.compile(classifier(DType.INT8))) as program:
        yield program


def fill(program: Program, arrays: list[Array]) -> None:
    for view, array in zip(program.input_views(), arrays, strict=True):
        view[...] = array


def test_invoke_runs_on_what_the_inputs_hold(program: Program) -> None:
    inputs, outputs = program.input_views(), program.output_views()
    for seed in range(3):
        arrays = random_inputs(program.graph, seed)
        fill(program, arrays)
        for _ in range(2):
            program.invoke()
            assert_equal(outputs, reference(program.graph, arrays))
        assert_equal(inputs, arrays)


def test_views_are_the_same_memory_each_time(program: Program) -> None:
    for ask in (program.input_views, program.output_views):
        for first, second in zip(ask(), ask(), strict=True):
            assert first.ctypes.data == second.ctypes.data


def test_outputs_are_read_only(program: Program) -> None:
    output = program.output_views()[0]
    with pytest.raises(ValueError, match="read-only"):
        output[...] = 0


def test_calls_and_invocations_take_turns(program: Program) -> None:
    first, second = (random_inputs(program.graph, seed) for seed in (1, 2))
    expected = reference(program.graph, first)
    before = program(*first)
    fill(program, first)
    program.invoke()
    assert_equal(program.output_views(), expected)
    assert_equal(program(*second), reference(program.graph, second))
    assert_equal(before, expected)
    assert_equal(program.input_views(), second)


def test_only_views_cost_memory() -> None:
    with contextlib.closing(ew.compile(classifier(DType.INT8))) as program:
        usual = program.plan.arena_bytes
        program(*random_inputs(program.graph))
        assert program.plan.arena_bytes == usual
        (view,) = program.input_views()
        padded = -(-view.strides[0] // 64) * 64
        assert usual <= program.plan.arena_bytes <= usual + padded


def test_an_operator_does_not_write_over_an_input() -> None:
    """Both results would take the place of an input if it were not kept."""
    with contextlib.closing(ew.compile(sum_and_difference())) as program:
        arrays = random_inputs(program.graph)
        fill(program, arrays)
        program.invoke()
        assert_equal(program.input_views(), arrays)
        assert_equal(program.output_views(), reference(program.graph, arrays))


def test_variables_go_on() -> None:
    with contextlib.closing(ew.compile(counter())) as program:
        x = np.full(SMALL, 3, np.uint8)
        assert_equal(program(x), x)
        fill(program, [x])
        for turn in (2, 3):
            program.invoke()
            assert_equal(program.output_views(), x * np.uint8(turn))
        assert_equal(program(x), x * np.uint8(4))


def test_other_shapes_have_other_views() -> None:
    with contextlib.closing(ew.compile(ew.load(plain((1, 4))))) as program:
        assert [view.shape for view in program.input_views()] == [(1, 4)]
        program.resize({program.inputs[0].name: (3, 4)})
        arrays = random_inputs(program.graph)
        fill(program, arrays)
        program.invoke()
        results = [view.copy() for view in program.output_views()]
        assert_equal(results, program(*arrays))
        np.testing.assert_allclose(results[0], np.tanh(arrays[0]), rtol=1e-6, atol=1e-7)


def test_an_index_outside_is_told() -> None:
    b = Builder()
    table = np.arange(20, dtype=np.float32).reshape(5, 4)
    index = b.input(ew.graph.TensorType((3,), DType.INT32))
    graph = b.graph(b.node(ops.Gather(0), [b.constant(table), index]))
    with contextlib.closing(ew.compile(graph)) as program:
        fill(program, [np.array([4, 0, 2], np.int32)])
        program.invoke()
        assert_equal(program.output_views(), [table[[4, 0, 2]]])
        fill(program, [np.array([4, 7, 2], np.int32)])
        for _ in range(2):
            with pytest.raises(ew.RunError, match="7"):
                program.invoke()
        fill(program, [np.array([1, 1, 1], np.int32)])
        program.invoke()
        assert_equal(program.output_views(), [table[[1, 1, 1]]])


@pytest.mark.parametrize("power", POLICIES)
@pytest.mark.parametrize("affinity", ["all", "big", "little", None])
def test_settings_do_not_change_results(power: str, affinity: str | None) -> None:
    graph = classifier(DType.UINT8)
    arrays = random_inputs(graph)
    setting = {"power": power, "affinity": affinity}
    with contextlib.closing(ew.compile(graph, threads=3, **setting)) as program:
        assert program.threading.power == power
        assert_equal(program(*arrays), reference(graph, arrays))


def test_settings_in_force() -> None:
    own = os.sched_getaffinity(0)
    cpu = min(own)
    graph = classifier(DType.UINT8)
    setting = {"affinity": str(cpu), "power": "powersave"}
    with contextlib.closing(ew.compile(graph, threads="auto", **setting)) as program:
        found = program.threading
        assert (found.threads, found.cpus, found.idle_us) == (1, (cpu,), 0.0)
        assert program.threads == 1
    with contextlib.closing(ew.compile(graph, threads=2, **setting)) as program:
        program(*random_inputs(graph))
        assert program._pool.worker_cpus == [{cpu}]
        assert os.sched_getaffinity(0) == own


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"affinity": "1023"}, "this process may not run on CPU 1023"),
        ({"affinity": "quick"}, "affinity='quick'; it is all, big, little, or numbers of CPUs"),
        ({"power": "full"}, "power='full'; it is one of performance, balanced, powersave"),
        ({"threads": "all"}, "threads='all'; it is a number or 'auto'"),
    ],
)
def test_wrong_settings(setting: dict[str, str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        ew.compile(classifier(DType.UINT8), **setting)
