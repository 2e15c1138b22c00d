"""Programs with variables, loops that do not end, and operators without kernels."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import edgewise as ew
from edgewise import ops
from edgewise.dtype import DType, QParams
from edgewise.errors import CompileError, InputError, RunError
from edgewise.graph import Array, Graph, State, TensorType, Value
from networks import Backwards, Builder, classifier, quantized, random_inputs
from tflite_networks import (
    accumulator,
    counter_in_a_loop,
    endless,
    last_words,
    loop,
    nonzero,
    running_places,
)

ONE = np.ones(3, np.float32)
START = np.array([1, 2, 3], np.float32)


def lookup(name: str) -> Graph:
    """Rows of a table that the indices name, and how many calls there were."""
    b = Builder()
    indices, before = b.input(TensorType((2,), DType.INT32)), Value("calls", SCALAR)
    table = b.constant(np.arange(12, dtype=np.float32).reshape(4, 3))
    operands = {
        "GATHER": (ops.Gather(0), (table, indices)),
        "EMBEDDING_LOOKUP": (ops.EmbeddingLookup(), (indices, table)),
    }
    if name == "GATHER_ND":
        y = b.node(ops.GatherNd(), (table, b.node(ops.Reshape((2, 1)), [indices])))
    else:
        op, inputs = operands[name]
        y = b.node(op, inputs)
    after = b.node(ops.Add(), (before, b.constant(np.ones((1,), np.float32))))
    state = State(before, after, np.zeros((1,), np.float32))
    return replace(b.graph(y), states=(state,))


SCALAR = TensorType((1,), DType.FLOAT32)


@pytest.mark.parametrize("name", ["GATHER", "GATHER_ND", "EMBEDDING_LOOKUP"])
@pytest.mark.parametrize("bad", [4, -1, 2**31 - 1, -(2**31)])
def test_indices_outside_are_refused(name: str, bad: int) -> None:
    """By native code as by the reference: the error names operator, node and value."""
    graph = lookup(name)
    program = ew.compile(graph, strict=True)
    good = np.array([3, 0], np.int32)
    np.testing.assert_array_equal(program(good), [[9, 10, 11], [0, 1, 2]])
    with pytest.raises(RunError, match=rf"^{name}: .* {bad}; .*; node 'node\d'$"):
        program(np.array([0, bad], np.int32))
    np.testing.assert_array_equal(program.states["calls"], [1])
    np.testing.assert_array_equal(program(good), [[9, 10, 11], [0, 1, 2]])
    np.testing.assert_array_equal(program.states["calls"], [2])


def test_what_follows_an_index_outside_does_not_hide_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor does an index outside that another error followed come up in the next call."""
    b = Builder()
    indices = b.input(TensorType((2,), DType.INT32))
    table = b.constant(np.arange(12, dtype=np.float32).reshape(4, 3))
    rows = b.node(ops.Gather(0), (table, indices))
    y = b.node(Backwards(), [rows])
    program = ew.compile(b.graph(y))
    good, bad = (np.array([i], np.int32).repeat(2) for i in (3, 4))

    def fail(*_: object) -> list[Array]:
        raise RunError("a defect")

    with monkeypatch.context() as patch:
        patch.setattr(Backwards, "reference", fail)
        with pytest.raises(RunError, match=r"^GATHER: .* 4;"):
            program(bad)
    assert program(good).shape == (2, 3)


def test_an_index_outside_before_what_is_interpreted() -> None:
    """With variables, which the interpreted part changes."""
    graph = ew.load(running_places())
    program = ew.compile(graph)
    program(np.array([1], np.int32))
    held = program.states
    with pytest.raises(RunError, match=r"^GATHER: .* 4;"):
        program(np.array([4], np.int32))
    assert {name: v.tolist() for name, v in program.states.items()} == {
        name: v.tolist() for name, v in held.items()
    }
    program(np.array([1], np.int32))


def test_states_that_change_places() -> None:
    """Each becomes what the other was; a third becomes a constant, a fourth an input."""
    t = TensorType((3,), DType.FLOAT32)
    x, *befores = (Value(name, t) for name in "xabcd")
    five = Value("five", t, np.full(3, 5, np.float32))
    afters = (befores[1], befores[0], five, x)
    starts = (np.full(3, i, np.float32) for i in range(4))
    states = tuple(map(State, befores, afters, starts))
    b = Builder()
    y = b.node(ops.Add(), befores[:2])
    graph = Graph((x,), (y,), tuple(b.nodes), states=states)
    program = ew.compile(graph)
    for turn in range(4):
        np.testing.assert_array_equal(program(START + turn), np.ones(3))
        swapped = (turn + 1) % 2
        expected = {"a": [swapped] * 3, "b": [1 - swapped] * 3, "c": [5] * 3, "d": START + turn}
        for name, value in expected.items():
            np.testing.assert_array_equal(program.states[name], value)


def test_states_without_elements() -> None:
    t = TensorType((0, 3), DType.FLOAT32)
    x, before = Value("x", t), Value("v", t)
    b = Builder()
    y = b.node(ops.Add(), (x, before))
    empty = np.zeros((0, 3), np.float32)
    program = ew.compile(Graph((x,), (y,), tuple(b.nodes), states=(State(before, y, empty),)))
    assert program(empty).shape == (0, 3)


def test_states_without_nodes() -> None:
    t = TensorType((3,), DType.FLOAT32)
    x, before = Value("x", t), Value("v", t)
    graph = Graph((x,), (before,), (), states=(State(before, x, START),))
    program = ew.compile(graph, strict=True)
    np.testing.assert_array_equal(program(ONE), START)
    np.testing.assert_array_equal(program(ONE * 2), ONE)
    assert [step.nodes for step in program.profile(ONE, runs=1).steps] == [(), ()]


class TestStates:
    def test_survive_calls_belong_to_the_program_and_are_reset(self) -> None:
        graph = ew.load(accumulator())
        a, b = ew.compile(graph), ew.compile(graph, threads=2)
        for turn in range(1, 4):
            np.testing.assert_array_equal(a(ONE), START + turn)
        np.testing.assert_array_equal(b(ONE * 5), START + 5)
        np.testing.assert_array_equal(a.states["total"], START + 3)
        a.reset()
        np.testing.assert_array_equal(a.states["total"], START)
        np.testing.assert_array_equal(a(ONE), START + 1)
        np.testing.assert_array_equal(b.states["total"], START + 5)

    def test_are_copies(self) -> None:
        program = ew.compile(ew.load(accumulator()))
        program.states["total"][...] = 99
        first = program(ONE)
        first[...] = 99
        program.states["total"][...] = 99
        np.testing.assert_array_equal(program(ONE), START + 2)
        program.reset()
        program(ONE)
        program.reset()
        np.testing.assert_array_equal(program.states["total"], START)

    def test_names_in_bodies(self) -> None:
        program = ew.compile(ew.load(counter_in_a_loop()))
        program(np.array([3], np.int32))
        assert {name: v.tolist() for name, v in program.states.items()} == {"v": [6.0]}

    def test_a_call_that_raises_leaves_them(self, monkeypatch: pytest.MonkeyPatch) -> None:
        b = Builder()
        x, before = b.input(quantized((3,), DType.UINT8)), b.input(quantized((3,), DType.UINT8))
        after = b.node(Backwards(), [x], x.type.quant)
        y = b.node(Backwards(), [before], x.type.quant)
        whole = b.graph(y)
        state = State(before, after, np.zeros(3, np.uint8))
        graph = Graph((x,), (y,), whole.nodes, states=(state,))
        program = ew.compile(graph)
        data = np.array([1, 2, 3], np.uint8)
        np.testing.assert_array_equal(program(data), [0, 0, 0])
        held = program.states[before.name]
        np.testing.assert_array_equal(held, data[::-1])

        def fail(*_: object) -> list[Array]:
            raise ValueError("a defect")

        with monkeypatch.context() as patch:
            patch.setattr(Backwards, "reference", fail)
            with pytest.raises(ValueError, match="a defect"):
                program(data * 2)
        np.testing.assert_array_equal(program.states[before.name], held)
        np.testing.assert_array_equal(program(data), data)

    def test_profile_leaves_them(self) -> None:
        program = ew.compile(ew.load(accumulator()))
        assert program.profile(ONE, runs=3).runs == 3
        np.testing.assert_array_equal(program(ONE), START + 1)

    def test_two_that_change_places(self) -> None:
        """What a state becomes is what the other was: both are read before either is written."""
        b = Builder()
        x, p, q = (b.input(quantized((2,), DType.UINT8)) for _ in range(3))
        whole = b.graph(b.node(Backwards(), [x], x.type.quant))
        states = (
            State(p, q, np.array([1, 2], np.uint8)),
            State(q, p, np.array([3, 4], np.uint8)),
        )
        graph = Graph((x,), whole.outputs, whole.nodes, states=states)
        program = ew.compile(graph)
        for _ in range(3):
            before = program.states
            program(np.zeros(2, np.uint8))
            np.testing.assert_array_equal(program.states[p.name], before[q.name])
            np.testing.assert_array_equal(program.states[q.name], before[p.name])


class TestEndlessLoop:
    def test_limit(self) -> None:
        program = ew.compile(ew.load(endless()), max_iterations=50)
        with pytest.raises(RunError, match=r"WHILE: its condition still holds after 50 turns"):
            program(np.zeros(1, np.float32))
        np.testing.assert_array_equal(program(np.full(1, 1e31, np.float32)), np.float32([1e31]))

    def test_limit_that_is_enough(self) -> None:
        graph = ew.load(loop(None))
        arguments = [np.zeros(1, np.int32), np.zeros((2, 3), np.float32), np.array([4], np.int32)]
        ew.compile(graph, max_iterations=5)(*arguments)
        with pytest.raises(RunError, match="after 4 turns"):
            ew.compile(graph, max_iterations=4)(*arguments)

    def test_reference_has_the_default(self, monkeypatch: pytest.MonkeyPatch) -> None:
        graph = ew.load(endless())
        (node,) = graph.nodes
        monkeypatch.setattr("edgewise.ops.control.MAX_ITERATIONS", 7)
        with pytest.raises(RunError, match="after 7 turns"):
            node.op.reference([np.zeros(1, np.float32)], node.input_types, node.output_types)

    @pytest.mark.skipif(os.name != "posix", reason="signals of posix")
    def test_control_c(self) -> None:
        """In a process of its own: what signals meet here depends on all that other tests load."""
        run = subprocess.run(
            [sys.executable, "-c", CONTROL_C],
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert (run.returncode, run.stderr) == (0, "")
        assert run.stdout == "interrupted\n1e+31\n"

    @pytest.mark.parametrize("turns", [0, -3])
    def test_limit_out_of_range(self, turns: int) -> None:
        with pytest.raises(InputError, match=f"max_iterations={turns}"):
            ew.compile(ew.load(endless()), max_iterations=turns)


CONTROL_C = """
import signal, threading, time
import numpy as np
import edgewise as ew
from tflite_networks import endless

program = ew.compile(ew.load(endless()), max_iterations=10**7)
signal.signal(signal.SIGINT, signal.default_int_handler)  # background jobs ignore it
main = threading.main_thread().ident
start = time.monotonic()
threading.Timer(0.3, signal.pthread_kill, (main, signal.SIGINT)).start()
try:
    program(np.zeros(1, np.float32))
except KeyboardInterrupt:
    print("interrupted")
assert time.monotonic() - start < 20
print(*program(np.full(1, 1e31, np.float32)))
"""


class TestFallbacks:
    def test_are_listed_with_reasons(self) -> None:
        b = Builder()
        x = b.input(quantized((2, 3), DType.UINT8))
        program = ew.compile(b.graph(b.node(Backwards(), [x], x.type.quant)))
        ((node, reason),) = program.fallbacks
        assert (node.op.name, reason) == ("BACKWARDS", "it has no kernel")

    def test_of_bodies_and_of_what_is_interpreted(self) -> None:
        (found,) = ew.compile(ew.load(nonzero())).fallbacks
        assert found.node.op.name == "INTERPRETED"
        assert found.reason == "its shapes depend on values"

    def test_strict(self) -> None:
        assert ew.compile(classifier(DType.UINT8), strict=True).fallbacks == ()
        b = Builder()
        x = b.input(quantized((2, 3), DType.UINT8))
        graph = b.graph(b.node(Backwards(), [x], x.type.quant))
        with pytest.raises(CompileError, match="BACKWARDS 'node0': it has no kernel"):
            ew.compile(graph, strict=True)
        with pytest.raises(CompileError, match="INTERPRETED"):
            ew.compile(ew.load(nonzero()), strict=True)

    def test_profile_names_them(self) -> None:
        b = Builder()
        q = QParams.per_tensor(0.05, 121)
        x = b.input(quantized((1, 64, 64, 3), DType.UINT8))
        y = b.node(Backwards(), [b.node(ops.Tanh(), [x], q)], q)
        graph = b.graph(b.node(ops.Tanh(), [y], q))
        found = ew.compile(graph).profile(*random_inputs(graph), runs=5)
        names = [node.op.name for step in found.steps for node in step.nodes]
        assert names == ["TANH", "BACKWARDS", "TANH"]
        assert [step.kernel is None for step in found.steps] == [False, True, False]
        assert all(0 < step.seconds < 10 and step.calls == 1 for step in found.steps)
        last = ew.compile(ew.load(nonzero())).profile(np.zeros((3, 4), np.float32), runs=1)
        (node,) = last.steps[-1].nodes
        assert str(node.op) == "INTERPRETED[WHERE, SHAPE]"


def test_options_out_of_range() -> None:
    graph = classifier(DType.UINT8)
    with pytest.raises(InputError, match="requantization='exact'; it is one of float, fixed_point"):
        ew.compile(graph, requantization="exact")
    with pytest.raises(InputError, match="precision='f8'"):
        ew.compile(graph, precision="f8")


def test_fixed_point_is_another_program() -> None:
    """Both run; what is kept on disk is told apart."""
    graph = classifier(DType.INT8)
    inputs = random_inputs(graph)
    a = ew.compile(graph)(*inputs)
    b = ew.compile(graph, requantization="fixed_point")(*inputs)
    assert max(np.abs(x.astype(int) - y).max() for x, y in zip(a, b, strict=True)) <= 3


def test_variables_of_strings() -> None:
    """A call returns what the call before it was given; what is no string is refused."""
    program = ew.compile(ew.load(last_words()))
    first, second = (np.array(words, object) for words in ([b"a", b"b"], [b"c", b""]))
    assert program(first).tolist() == [b"x", b"y"]
    assert program(second).tolist() == first.tolist()
    for wrong in ("c", 3, None):
        with pytest.raises(InputError, match=r"input 'words' holds a \w+; its strings are bytes"):
            program(np.array([b"a", wrong], object))
    assert program(first).tolist() == second.tolist()
