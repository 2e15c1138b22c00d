"""Loops, conditions, variables and tables of files: imported, run, and as LiteRT runs them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

import edgewise as ew
from edgewise.graph import Array, Graph, verify
from tflite_builder import run_litert_calls
from tflite_networks import (
    accumulator,
    branch,
    counter_in_a_loop,
    lookup,
    loop,
    loop_until_a_variable_is_large,
    nonzero,
    quantized_loop,
)


def x34(seed: int) -> Array:
    return np.random.default_rng(seed).normal(size=(3, 4)).astype(np.float32)


def x23(seed: int) -> Array:
    return np.random.default_rng(seed).normal(size=(2, 3)).astype(np.float32)


def ints(*values: int) -> Array:
    return np.array(values, np.int32)


CASES: dict[str, tuple[Callable[[], bytes], list[list[Array]], list[str]]] = {
    "loop of five turns": (lambda: loop(5), [[x23(0)], [x23(1)]], []),
    "loop of no turn": (lambda: loop(0), [[x23(0)]], []),
    "loop of computed turns": (
        lambda: loop(None),
        [[ints(0), x23(0), ints(4)], [ints(2), x23(1), ints(3)], [ints(5), x23(2), ints(5)]],
        ["WHILE"],
    ),
    "long loop": (lambda: loop(5000, by=2), [[x23(0) * 0]], ["WHILE"]),
    "condition": (
        branch,
        [[np.array(v, np.float32)] for v in ([1, -2, 0.5, 3], [-1, 2, 0, 0.25])],
        ["IF"],
    ),
    "condition that holds": (lambda: branch(True), [[np.ones(4, np.float32)]], []),
    "condition that does not": (lambda: branch(False), [[np.ones(4, np.float32)]], []),
    "variable": (accumulator, [[np.full(3, v, np.float32)] for v in (1, 2, -4)], []),
    "variables in bodies": (counter_in_a_loop, [[ints(n)] for n in (1, 5, 0, 3)], ["WHILE", "IF"]),
    "loop over a variable": (
        loop_until_a_variable_is_large,
        [[np.float32([v])] for v in (4, 1, 3)],
        ["WHILE"],
    ),
    "quantized loop": (
        quantized_loop,
        [[ints(0), ints(n), np.arange(-4, 4, dtype=np.int8)[None] * 9] for n in (3, 0)],
        ["WHILE"],
    ),
    "shapes that depend on values": (nonzero, [[x34(s)] for s in range(3)], ["INTERPRETED"]),
    "table": (lookup, [[np.array([5, 4, 3, 8], np.int64)]], ["INTERPRETED"]),
}
SPECIAL = ("WHILE", "IF", "INTERPRETED")


def outputs(found: Any) -> Sequence[Array]:
    return found if isinstance(found, tuple) else (found,)


@pytest.mark.parametrize("name", CASES)
def test_as_litert(name: str) -> None:
    """The variables are kept from call to call on both sides."""
    make, calls, special = CASES[name]
    content = make()
    graph = ew.load(content)
    verify(graph)
    assert [n.op.name for n in graph.nodes if n.op.name in SPECIAL] == special
    assert "WHILE" not in special or "WHILE[" in str(graph)
    program = ew.compile(graph)
    for arrays, expected in zip(calls, run_litert_calls(content, calls), strict=True):
        for a, b in zip(outputs(program(*arrays)), expected, strict=True):
            assert (a.shape, a.dtype) == (b.shape, b.dtype)
            if a.dtype.kind == "f":
                np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
            else:
                np.testing.assert_array_equal(a, b)


def reference(graph: Graph, arrays: Sequence[Array]) -> list[Array]:
    env = dict(zip(graph.inputs, arrays, strict=True))
    env.update({state.before: state.initial for state in graph.states})
    for node, results in graph.reference(env):
        env.update(zip(node.outputs, results, strict=True))
    return [v.data if v.data is not None else env[v] for v in graph.outputs]


@pytest.mark.parametrize("name", CASES)
def test_program_equals_reference(name: str) -> None:
    make, calls, _ = CASES[name]
    graph = ew.load(make())
    found = outputs(ew.compile(graph)(*calls[0]))
    for a, b in zip(found, reference(graph, calls[0]), strict=True):
        if a.dtype.kind == "f":
            np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-6)
        else:
            np.testing.assert_array_equal(a, b)


def test_bodies_are_compiled() -> None:
    """Neither a loop nor its body runs by references where the body's operators have kernels."""
    program = ew.compile(ew.load(quantized_loop()))
    assert program.fallbacks == ()
    ew.compile(ew.load(quantized_loop()), strict=True)


def test_outputs_have_the_names_of_the_file() -> None:
    """Also where they are what a variable, a loop's turn or a table holds."""
    assert ew.load(counter_in_a_loop()).outputs[0].name == "y"
    for graph in (ew.load(loop(3)), ew.load(branch(True)), ew.load(lookup())):
        verify(graph)
        assert len({v.name for v in graph.outputs}) == len(graph.outputs)
    assert ew.load(branch(True)).outputs[0].name == "y"
    assert ew.load(lookup()).outputs[0].name == "y"
