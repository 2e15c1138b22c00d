"""Loops, branches and variables of kernels, against Python's own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from edgewise.codegen.jit import compile_ir
from edgewise.errors import CompileError
from edgewise.kernels.ir import Kernel, Value, i32, index, ptr
from edgewise.kernels.isa import SSE41, Isa

from .harness import target
from .probe import Array, evaluate, portable, samples


def numbers(isa: Isa, emit: Callable[..., list[Value]], *columns: Any) -> Array:
    """int64 results of ``emit(k, values of the columns...)``, a row for each entry."""
    inputs = [np.array(c, np.int64) for c in columns]
    count: list[int] = []

    def store(k: Kernel, *addresses: Value) -> None:
        loaded = [p.load(index) for p in addresses[:-1]]
        results = emit(k, *loaded)
        count.append(len(results))
        for i, value in enumerate(results):
            (addresses[-1] + 8 * i).store(value)

    room = 8
    (actual,) = evaluate(isa, store, inputs, [((room,), np.int64)])
    return actual[:, : count[0]]


@portable
def test_loop_runs_over_a_range(isa: Isa) -> None:
    ranges = [(0, 0), (0, 1), (5, 5), (5, 2), (-3, 4), (0, 17), (1, 17), (2, 17)]
    for step in (1, 2, 5):

        def emit(k: Kernel, start: Value, stop: Value, step: int = step) -> list[Value]:
            count, total, last = k.var(0), k.var(100), k.var(-1)
            with k.loop(start, stop, step) as i:
                count.value = count.value + 1
                total.value = total.value + i * i
                last.value = i
            return [count.value, total.value, last.value]

        expected = []
        for start, stop in ranges:
            turns = range(start, stop, step)
            expected.append(
                [len(turns), 100 + sum(i * i for i in turns), turns[-1] if turns else -1]
            )
        assert_array_equal(numbers(isa, emit, *zip(*ranges, strict=True)), expected)


@portable
def test_loop_once_tests_at_its_end(isa: Isa) -> None:
    def emit(k: Kernel, stop: Value) -> list[Value]:
        count, kept = k.var(0), k.var(7)
        with k.loop(0, stop, once=True):
            count.value = count.value + 1
        return [count.value, kept.value]

    actual = numbers(isa, emit, [-5, 0, 1, 2, 9])
    assert_array_equal(actual, [[1, 7], [1, 7], [1, 7], [2, 7], [9, 7]])


@portable
def test_loop_limits_may_be_variables(isa: Isa) -> None:
    """The range is that of the start: rebinding the variable inside does not change it."""

    def emit(k: Kernel, n: Value) -> list[Value]:
        start, stop, count = k.var(2), k.var(n), k.var(0)
        with k.loop(start, stop) as i:
            start.value = start.value + 100
            stop.value = stop.value - i
            count.value = count.value + 1
        with k.loop(0, 3):
            count.value = count.value + 1000
        return [start.value, stop.value, count.value]

    actual = numbers(isa, emit, [0, 2, 3, 7])
    expected = []
    for n in (0, 2, 3, 7):
        turns = range(2, n)
        expected.append([2 + 100 * len(turns), n - sum(turns), len(turns) + 3000])
    assert_array_equal(actual, expected)


@portable
@pytest.mark.parametrize("once", [False, True])
def test_variables_exchange_values(isa: Isa, once: bool) -> None:
    """All phis of a loop take the values of the turn before."""

    def emit(k: Kernel, n: Value) -> list[Value]:
        a, b, c, unchanged = k.var(1), k.var(2), k.var(3), k.var(n)
        with k.loop(0, n, once=once):
            a.value, b.value, c.value = b.value, c.value, a.value + unchanged.value
        return [a.value, b.value, c.value, unchanged.value]

    counts = [1, 2, 3, 10] if once else [0, 1, 2, 3, 10]
    expected = []
    for n in counts:
        a, b, c = 1, 2, 3
        for _ in range(n):
            a, b, c = b, c, a + n
        expected.append([a, b, c, n])
    assert_array_equal(numbers(isa, emit, counts), expected)


@portable
@pytest.mark.parametrize("once", [False, True])
def test_variable_takes_one_that_does_not_change(isa: Isa, once: bool) -> None:
    """The phi of the unchanged one vanishes, also where another variable ends up with it."""

    def emit(k: Kernel, n: Value) -> list[Value]:
        x, y, z = k.var(5), k.var(n), k.var(0)
        with k.loop(0, n, once=once):
            with k.loop(0, 2, once=once):
                z.value = x.value
                x.value = y.value
            z.value = z.value + y.value
        return [x.value, y.value, z.value]

    assert_array_equal(numbers(isa, emit, [1, 4]), [[1, 1, 2], [4, 4, 8]])


@portable
def test_nested_loops(isa: Isa) -> None:
    def emit(k: Kernel, n: Value, m: Value) -> list[Value]:
        total, turns, most = k.var(0), k.var(0), k.var(-1)
        with k.loop(0, n) as i:
            row = k.var(0)
            with k.loop(i, m) as j:
                row.value = row.value + i * 10 + j
                with k.loop(0, 3, 2, once=True):
                    turns.value = turns.value + 1
            total.value = total.value + row.value
            with k.when(row.value > most.value):
                most.value = row.value
        return [total.value, turns.value, most.value]

    sizes = [(0, 3), (3, 0), (1, 1), (4, 6), (6, 4)]
    expected = []
    for n, m in sizes:
        rows = [sum(10 * i + j for j in range(i, m)) for i in range(n)]
        turns = sum(2 * len(range(i, m)) for i in range(n))
        expected.append([sum(rows), turns, max([-1, *rows])])
    assert_array_equal(numbers(isa, emit, *zip(*sizes, strict=True)), expected)


@portable
def test_when(isa: Isa) -> None:
    def emit(k: Kernel, n: Value) -> list[Value]:
        a, b, c, inner = k.var(0), k.var(n), k.var(10), k.var(0)
        with k.when(n > 3) as large:
            a.value = a.value + n
            b.value, c.value = c.value, b.value
            with k.when(n.compare("eq", 6)):
                inner.value = k.const(66, index)
            with k.loop(0, n):
                a.value = a.value + 1
        with k.when(large ^ 1):
            inner.value = inner.value - 1
        return [a.value, b.value, c.value, inner.value]

    expected = [[0, 2, 10, -1], [0, 3, 10, -1], [8, 10, 4, 0], [12, 10, 6, 66]]
    assert_array_equal(numbers(isa, emit, [2, 3, 4, 6]), expected)


@portable
def test_variables_of_vectors(isa: Isa) -> None:
    a = samples(i32, 64, 19).reshape(4, 16)

    def emit(k: Kernel, x: Value, out: Value) -> None:
        total, most = k.var(k.const(0, i32[4])), k.var(x.load(i32[4]))
        with k.loop(0, 64, 16) as at:
            v = (x + at).load(i32[4])
            total.value, most.value = total.value + v, most.value.max(v)
        out.store(total.value.concat(most.value))

    (actual,) = evaluate(isa, emit, [a], [((8,), np.int32)])
    rows = a.reshape(4, 4, 4)
    assert_array_equal(actual[:, :4], rows.sum(axis=1, dtype=np.int32))
    assert_array_equal(actual[:, 4:], rows.max(axis=1))


@portable
def test_stack_memory(isa: Isa) -> None:
    """As large as a number of the run says; aligned to 64 bytes."""
    a = samples(i32, 300, 20).reshape(3, 100)

    def emit(k: Kernel, x: Value, out: Value) -> None:
        with k.loop(0, 400, 4) as at:
            (scratch[0] + 396 + at * -1).store((x + at).load(i32), align=4)
        with k.loop(0, 400, 16) as at:
            (out + at).store((scratch[0] + at).load(i32[4]))

    scratch: list[Value] = []

    def whole(k: Kernel, x: Value, out: Value) -> None:
        scratch[:] = [k.alloca(k["size"])]
        assert scratch[0].ty == ptr
        emit(k, x, out)
        scratch[0].store(k.const(7, i32[16]), align=64)

    (actual,) = evaluate(isa, whole, [a], [((100,), np.int32)], {"size": (index, 400)})
    assert_array_equal(actual, a[:, ::-1])


@portable
def test_once_is_computed_before_the_loops(isa: Isa) -> None:
    def emit(k: Kernel, x: Value, out: Value) -> None:
        for i in range(2):
            with k.loop(0, 3) as j:
                twice = k.once("twice", lambda: k["n"] * 2)
                both = k.once(("both", i), lambda i=i: k.once("twice", lambda: k["n"]) + i)
                (out + j * 8 + 24 * i).store(both + twice)
        assert k.text().index(twice.name) < k.text().index("br ")

    (actual,) = evaluate(
        isa, emit, [np.zeros(2, np.uint8)], [((6,), np.int64)], {"n": (index, -21)}
    )
    assert_array_equal(actual, [[-84, -84, -84, -83, -83, -83]] * 2)


def test_values_stay_in_their_block() -> None:
    """A value of a branch that is used behind it does not compile."""
    k = Kernel("escape", {"n": index, "out": ptr})
    with k.when(k["n"] > 0):
        inside = k["n"] + 1
    k["out"].store(inside)
    with pytest.raises(CompileError, match="dominate"):
        compile_ir(k.text(), target(SSE41))
