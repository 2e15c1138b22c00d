"""Operators that hold graphs, and the one that holds a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from edgewise import ops
from edgewise.dtype import DType
from edgewise.errors import GraphError
from edgewise.graph import Array, Graph, TensorType
from networks import Builder

F, B, I64, S = DType.FLOAT32, DType.BOOL, DType.INT64, DType.STRING
Types = Sequence[TensorType]


def t(dtype: DType, *shape: int) -> TensorType:
    return TensorType(shape, dtype)


def unary(op: ops.Op, shape: tuple[int, ...] = (3,)) -> Graph:
    b = Builder()
    return b.graph(b.node(op, [b.input(t(F, *shape))]))


def below(limit: float, shape: tuple[int, ...] = (1,)) -> Graph:
    """x < limit"""
    b = Builder()
    x = b.input(t(F, *shape))
    return b.graph(b.node(ops.Less(), [x, b.constant(np.full(1, limit, np.float32))]))


def plus_one() -> Graph:
    b = Builder()
    x = b.input(t(F, 1))
    return b.graph(b.node(ops.Add(), [x, b.constant(np.ones(1, np.float32))]))


def nothing(*types: TensorType) -> Graph:
    b = Builder()
    return b.graph(*(b.input(x) for x in types))


class TestIf:
    @pytest.mark.parametrize("condition", [True, False])
    @pytest.mark.parametrize("shape", [(), (1,), (1, 1)])
    def test_chooses(self, condition: bool, shape: tuple[int, ...]) -> None:
        op = ops.If(unary(ops.Tanh()), unary(ops.Abs()))
        x = np.array([-1, 2, 0.5], np.float32)
        types = [t(B, *shape), t(F, 3)]
        assert op.infer(types) == (t(F, 3),)
        (y,) = op.reference([np.full(shape, condition), x], types, [t(F, 3)])
        np.testing.assert_allclose(y, np.tanh(x) if condition else np.abs(x), rtol=1e-6)


class TestWhile:
    @pytest.mark.parametrize(("start", "end"), [(0, 5), (4.5, 5.5), (7, 7)])
    def test_turns(self, start: float, end: float) -> None:
        op = ops.While(below(5), plus_one())
        types = [t(F, 1)]
        assert op.infer(types) == (t(F, 1),)
        x = np.array([start], np.float32)
        (y,) = op.reference([x], types, types)
        np.testing.assert_array_equal(y, np.float32([end]))
        assert not np.shares_memory(x, y)

    def test_names(self) -> None:
        assert str(ops.While(below(5), plus_one())) == "WHILE[test, test]"
        assert ops.While(below(5), plus_one()).macs([], []) == 0


ERRORS: list[tuple[ops.Op, Types, str]] = [
    (
        ops.If(unary(ops.Tanh()), unary(ops.Tanh())),
        [t(B, 2), t(F, 3)],
        r"IF: its condition is bool\[2\]; it must be one bool",
    ),
    (ops.If(unary(ops.Tanh()), unary(ops.Tanh())), [t(F, 1), t(F, 3)], "its condition is float32"),
    (ops.If(unary(ops.Tanh()), unary(ops.Tanh())), [], "its condition is ; it must be one bool"),
    (
        ops.If(unary(ops.Tanh()), unary(ops.Tanh())),
        [t(B), t(F, 4)],
        r"one branch takes \(float32\[3\]\); it is given \(float32\[4\]\)",
    ),
    (
        ops.If(unary(ops.Tanh()), unary(ops.Tanh(), (4,))),
        [t(B), t(F, 3)],
        r"the other takes \(float32\[4\]\)",
    ),
    (
        ops.If(unary(ops.Tanh(), (1,)), below(3)),
        [t(B), t(F, 1)],
        r"one branch gives \(float32\[1\]\); the other gives \(bool\[1\]\)",
    ),
    (ops.While(below(5), plus_one()), [t(F, 2)], r"WHILE: its condition takes \(float32\[1\]\)"),
    (ops.While(below(5), plus_one()), [t(F, 1), t(F, 1)], "its condition takes"),
    (ops.While(below(5), unary(ops.Tanh())), [t(F, 1)], r"its body takes \(float32\[3\]\)"),
    (ops.While(plus_one(), plus_one()), [t(F, 1)], "its condition is float32"),
    (ops.While(below(5, (2,)), unary(ops.Tanh(), (2,))), [t(F, 2)], r"condition is bool\[2\]"),
    (
        ops.While(below(5), below(5)),
        [t(F, 1)],
        r"its body takes \(float32\[1\]\); it gives \(bool\[1\]\)",
    ),
    (ops.HashtableFind(), [t(I64, 3), t(S, 3), t(I64, 2)], "3 inputs; it takes 4"),
    (ops.HashtableFind(), [t(I64, 3), t(S, 2), t(I64, 2), t(S)], "3 keys, 2 values"),
    (ops.HashtableFind(), [t(I64, 3), t(S, 3), t(S, 2), t(S)], "a table of int64 to object"),
    (ops.HashtableFind(), [t(I64, 3), t(S, 3), t(I64, 2), t(S, 2)], "a table of int64 to object"),
]


@pytest.mark.parametrize(("op", "types", "message"), ERRORS)
def test_infer_names_the_operator_and_the_rule(op: ops.Op, types: Types, message: str) -> None:
    with pytest.raises(GraphError, match=message):
        op.infer(types)


class TestHashtableFind:
    @pytest.mark.parametrize("shape", [(), (4,), (2, 2), (0,)])
    def test_numbers_to_words(self, shape: tuple[int, ...]) -> None:
        """Of equal keys the first counts, as in LiteRT."""
        keys = np.array([3, 5, 3], np.int64)
        words = np.array([b"three", b"five", b"again"], object)
        queries = np.resize(np.array([5, 3, 4, 5], np.int64), shape)
        types = [t(I64, 3), t(S, 3), t(I64, *shape), t(S)]
        assert ops.HashtableFind().infer(types) == (t(S, *shape),)
        arrays: list[Any] = [keys, words, queries, np.array(b"none", object)]
        (found,) = ops.HashtableFind().reference(arrays, types, ())
        wanted = {5: b"five", 3: b"three", 4: b"none"}
        assert found.shape == shape
        assert found.ravel().tolist() == [wanted[q] for q in queries.ravel().tolist()]

    def test_words_to_numbers(self) -> None:
        words, queries = (np.array(v, object) for v in ([b"a", b"b"], [b"b", b"c"]))
        types = [t(S, 2), t(I64, 2), t(S, 2), t(I64)]
        arrays: list[Any] = [words, np.array([1, 2]), queries, np.array(-1)]
        (found,) = ops.HashtableFind().reference(arrays, types, ())
        np.testing.assert_array_equal(found, np.array([2, -1], np.int64))


def test_operators_print_short() -> None:
    types = (t(I64, -1, 2),)

    def evaluate(arrays: Sequence[Array], limit: int) -> list[Array]:
        return [*arrays]

    op = ops.Interpreted(types, ("WHERE", "SHAPE"), evaluate)
    assert str(op) == "INTERPRETED[WHERE, SHAPE]"
    assert op.infer([]) == types
    assert op.reference([np.ones(3)], [], types)[0].shape == (3,)
