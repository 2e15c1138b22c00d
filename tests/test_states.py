"""Variables in plans: when what they become is copied over what they were."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import edgewise as ew
from edgewise import ops
from edgewise.dtype import DType
from edgewise.graph import Graph, State, TensorType, Value
from edgewise.kernels.isa import ISAS
from edgewise.plan import HostStep, Plan, Step, make_plan
from edgewise.plan.certificate import certify
from edgewise.plan.model import align
from edgewise.plan.states import states_first
from networks import Builder

AVX2 = next(isa for isa in ISAS if isa.name == "avx2")
ROWS, WIDE = 16, 64
STATE = TensorType((ROWS, WIDE), DType.FLOAT32)
ROW = TensorType((1, WIDE), DType.FLOAT32)


def stream(layers: int, slow: bool = False) -> Graph:
    """Each layer sums the last rows that it was given, and passes a row on to the next.

    The nodes that compute what the states become come last, as converters write them; ``slow``
    puts an operator without a kernel in front.
    """
    b = Builder()
    x = b.input(ROW)
    states, windows = [Value(f"s{i}", STATE) for i in range(layers)], []
    y = b.node(ops.Atan2(), [x, x]) if slow else x
    for state in states:
        windows.append(b.node(ops.Concatenation(0), [state, b.node(ops.Logistic(), [y])]))
        y = b.node(ops.Sum((0,), True), [windows[-1]])
    taken = ops.StridedSlice((1, 0), (ROWS, WIDE), (1, 1))
    after = [b.node(ops.Neg(), [b.node(taken, [window])]) for window in windows]
    zero = np.zeros(STATE.shape, np.float32)
    pairs = zip(states, after, strict=True)
    return replace(b.graph(y), states=tuple(State(s, a, zero) for s, a in pairs))


def kept_at(p: Plan, graph: Graph) -> list[int]:
    """The step that writes each state."""
    buffers = [p.views[state.before].address.buffer for state in graph.states]
    return [
        max(
            i
            for i, step in enumerate(p.steps)
            for v in (step.writes if isinstance(step, Step) else step.outputs)
            if v.address.buffer is buffer
        )
        for buffer in buffers
    ]


def test_nodes_that_only_give_states_go_to_the_last_reader_of_what_they_write_over() -> None:
    graph = stream(2)
    names = [node.op.name for node in states_first(graph).nodes]
    layer = ["LOGISTIC", "CONCATENATION", "SUM", "STRIDED_SLICE", "NEG"]
    assert [node.op.name for node in graph.nodes] == layer[:3] * 2 + layer[3:] * 2
    assert names == layer * 2


def test_without_states_the_order_is_the_graphs() -> None:
    graph = replace(stream(2), states=())
    assert states_first(graph).nodes == graph.nodes


def test_states_are_kept_as_early_as_can_be() -> None:
    graph = stream(4)
    p = make_plan(graph, AVX2)
    report = certify(p)
    assert report.problems == ()
    first, *_, last = kept_at(p, graph)
    assert first < len(p.steps) // 2 < last
    every_state, window = 4 * STATE.nbytes, STATE.nbytes + ROW.nbytes
    assert report.least_bytes <= every_state + 2 * align(window) + 4 * align(ROW.nbytes)


def test_states_are_kept_last_where_an_operator_may_raise() -> None:
    graph = stream(3, slow=True)
    p = make_plan(graph, AVX2)
    assert any(isinstance(step, HostStep) for step in p.steps)
    assert min(kept_at(p, graph)) >= len(p.steps) - 3
    assert certify(p).sound


def test_an_output_that_is_a_state_shows_what_it_was() -> None:
    graph = stream(2)
    shown = replace(graph, outputs=(*graph.outputs, graph.states[0].before))
    p = make_plan(shown, AVX2)
    assert min(kept_at(p, shown)) >= len(p.steps) - 2
    assert certify(p).sound


@pytest.mark.parametrize("slow", [False, True])
@pytest.mark.parametrize("shown", [False, True])
@pytest.mark.parametrize("threads", [1, 2])
def test_calls_follow_the_reference(slow: bool, shown: bool, threads: int) -> None:
    graph = stream(3, slow)
    if shown:
        graph = replace(graph, outputs=(*graph.outputs, graph.states[1].before))
    program = ew.compile(graph, threads=threads)
    rng = np.random.default_rng(0)
    held = [state.initial for state in graph.states]
    for _ in range(5):
        x = rng.standard_normal(ROW.shape).astype(np.float32)
        env = dict(zip(graph.sources, (x, *held), strict=True))
        for node, results in graph.reference(env.copy()):
            env.update(zip(node.outputs, results, strict=True))
        found = program(x)
        for value, got in zip(graph.outputs, found if shown else (found,), strict=True):
            np.testing.assert_allclose(got, env[value], rtol=1e-4, atol=1e-4)
        held = [env[state.after] for state in graph.states]
        for state, expected in zip(graph.states, held, strict=True):
            got = program.states[state.before.name]
            np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-4)
    program.close()
