"""The typed values that kernels are written in, against numpy."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from edgewise.kernels.ir import (
    Kernel,
    Type,
    Value,
    bool_,
    f32,
    f64,
    i8,
    i16,
    i32,
    i64,
    index,
    ptr,
    u8,
    u16,
    u32,
    u64,
)
from edgewise.kernels.isa import Isa

from .harness import isas
from .probe import Array, dtype, evaluate, portable, samples

INTEGERS = (i8, u8, i16, u16, i32, u32, i64, u64)
FLOATS = (f32, f64)


def divided(a: Array, b: Array) -> Array:
    """C's division: toward zero."""
    pairs = zip(a.ravel().tolist(), b.ravel().tolist(), strict=True)
    return np.array([abs(x) // abs(y) * (1 if x * y >= 0 else -1) for x, y in pairs], a.dtype)


def binary(
    isa: Isa, ty: Type, ops: Sequence[Callable[[Any, Any], Any]], a: Array, b: Array
) -> list[Array]:
    """Each of ``ops`` on vectors, and on scalars for some of the lanes, which must agree."""
    lanes = max(2, 16 // ty.nbytes)
    vector, some = ty[lanes], range(0, lanes, max(1, lanes // 4))

    def emit(k: Kernel, x: Value, y: Value, *outputs: Value) -> None:
        for op, v, s in zip(ops, outputs[::2], outputs[1::2], strict=True):
            v.store(op(x.load(vector), y.load(vector)))
            for i, lane in enumerate(some):
                at = lane * ty.nbytes
                (s + i * ty.nbytes).store(op((x + at).load(ty), (y + at).load(ty)))

    parts = [((lanes,), a.dtype), ((len(some),), a.dtype)] * len(ops)
    results = evaluate(isa, emit, [a.reshape(-1, lanes), b.reshape(-1, lanes)], parts)
    for v, s in zip(results[::2], results[1::2], strict=True):
        assert_array_equal(v[:, list(some)], s)
    return [v.ravel() for v in results[::2]]


def wrapped(exact: Callable[[int, int], int]) -> Callable[[Array, Array], Array]:
    """``exact`` on Python's integers, wrapped to the type."""

    def apply(a: Array, b: Array) -> Array:
        pairs = zip(a.tolist(), b.tolist(), strict=True)
        mask = (1 << 8 * a.itemsize) - 1
        bits = np.array([exact(x, y) & mask for x, y in pairs], f"u{a.itemsize}")
        return bits.view(a.dtype)

    return apply


BINARY: dict[str, tuple[Callable[[Any, Any], Any], Callable[[Array, Array], Array]]] = {
    "add": (operator.add, wrapped(operator.add)),
    "sub": (operator.sub, wrapped(operator.sub)),
    "mul": (operator.mul, wrapped(operator.mul)),
    "and": (operator.and_, wrapped(operator.and_)),
    "or": (operator.or_, wrapped(operator.or_)),
    "xor": (operator.xor, wrapped(operator.xor)),
    "min": (lambda a, b: a.min(b), np.minimum),
    "max": (lambda a, b: a.max(b), np.maximum),
}


@portable
@pytest.mark.parametrize("ty", INTEGERS, ids=str)
def test_integer_operators(isa: Isa, ty: Type) -> None:
    a, b = samples(ty, 64, 1), samples(ty, 64, 2)
    results = binary(isa, ty, [op for op, _ in BINARY.values()], a, b)
    for actual, (name, (_, expected)) in zip(results, BINARY.items(), strict=True):
        assert_array_equal(actual, expected(a, b), name)


@portable
@pytest.mark.parametrize("ty", INTEGERS, ids=str)
def test_shifts(isa: Isa, ty: Type) -> None:
    a = samples(ty, 64, 3)
    b = np.resize(np.arange(ty.bits), 64).astype(a.dtype)
    left, right = binary(isa, ty, [operator.lshift, operator.rshift], a, b)
    assert_array_equal(left, wrapped(operator.lshift)(a, b))
    assert_array_equal(right, wrapped(operator.rshift)(a, b), "arithmetic for signed types")


@portable
@pytest.mark.parametrize("ty", INTEGERS, ids=str)
def test_division(isa: Isa, ty: Type) -> None:
    """Toward zero; the remainder has the sign of the dividend."""
    a, b = samples(ty, 64, 4), samples(ty, 64, 5)
    b[b == 0] = 3
    if ty.kind == "i":
        b[b == -1] = -2
    expected = divided(a, b)
    quotient, remainder = binary(isa, ty, [operator.floordiv, operator.mod], a, b)
    assert_array_equal(quotient, expected)
    assert_array_equal(remainder, a - expected * b)


@portable
@pytest.mark.parametrize("ty", FLOATS, ids=str)
def test_float_operators(isa: Isa, ty: Type) -> None:
    a, b = samples(ty, 256, 6), samples(ty, 256, 7)
    operators = (operator.add, operator.sub, operator.mul, operator.truediv)
    extremes = (lambda x, y: x.min(y), lambda x, y: x.max(y))
    with np.errstate(all="ignore"):
        results = [op(a, b) for op in operators] + [np.where(a < b, a, b), np.where(a > b, a, b)]
    for actual, expected in zip(
        binary(isa, ty, [*operators, *extremes], a, b), results, strict=True
    ):
        assert_array_equal(actual, expected)
        there = ~np.isnan(expected)
        assert_array_equal(np.signbit(actual[there]), np.signbit(expected[there]))


@isas
def test_products_are_rounded_before_they_are_added(isa: Isa) -> None:
    """No instruction set may fuse a multiplication and an addition."""
    rng = np.random.default_rng(8)
    x, y = rng.standard_normal((2, 8, isa.lanes)).astype(np.float32)
    z = -(x * y)
    z[::2] = rng.standard_normal(z[::2].shape)
    vector = f32[isa.lanes]

    def emit(k: Kernel, x: Value, y: Value, z: Value, out: Value) -> None:
        out.store(x.load(vector) * y.load(vector) + z.load(vector))

    (actual,) = evaluate(isa, emit, [x, y, z], [(x.shape[1:], np.float32)])
    assert_array_equal(actual, x * y + z)


RELATIONS = {
    "lt": operator.lt,
    "le": operator.le,
    "gt": operator.gt,
    "ge": operator.ge,
    "eq": operator.eq,
    "ne": operator.ne,
}


@portable
@pytest.mark.parametrize("ty", [*INTEGERS, *FLOATS], ids=str)
def test_comparisons(isa: Isa, ty: Type) -> None:
    a, b = samples(ty, 64, 9), samples(ty, 64, 10)
    b[::3] = a[::3]
    unsigned = Type("u", ty.bits)

    def compare(name: str) -> Callable[[Value, Value], Value]:
        def emit(x: Value, y: Value) -> Value:
            yes = x.k.const(1, unsigned[x.ty.lanes])
            return x.compare(name, y).select(yes, 0).bitcast(x.ty)

        return emit

    for actual, (name, relation) in zip(
        binary(isa, ty, [compare(name) for name in RELATIONS], a, b), RELATIONS.items(), strict=True
    ):
        assert_array_equal(actual.view(dtype(unsigned)), relation(a, b), name)
    ops = (operator.lt, operator.le, operator.gt, operator.ge)
    results = binary(isa, ty, [lambda x, y, op=op: op(x, y).select(x, y) for op in ops], a, b)
    for actual, op in zip(results, ops, strict=True):
        assert_array_equal(actual, np.where(op(a, b), a, b))


@portable
@pytest.mark.parametrize("ty", [*INTEGERS, *FLOATS], ids=str)
def test_literals(isa: Isa, ty: Type) -> None:
    """Operators take Python numbers on the right, and sums and products on the left."""
    a = samples(ty, 64, 11)
    cases: list[tuple[Callable[[Any], Any], Callable[[Any], Any]]] = [
        (lambda x: x + 7, lambda x: x + 7),
        (lambda x: 7 + x, lambda x: 7 + x),
        (lambda x: 3 * x, lambda x: 3 * x),
        (lambda x: x * 1, lambda x: x),
        (lambda x: x - 1, lambda x: x - 1),
        (lambda x: x.clamp(2, 90), lambda x: np.where(x > 2, np.where(x < 90, x, 90), 2)),
    ]
    if ty.kind == "f":
        cases += [(lambda x: x * 0.1 + 1e-9, lambda x: x * x.dtype.type(0.1) + x.dtype.type(1e-9))]
    else:
        cases += [
            (lambda x: x ^ 0, lambda x: x),
            (lambda x: x ^ 85, lambda x: x ^ 85),
            (lambda x: x & 15 | 32, lambda x: x & 15 | 32),
            (lambda x: x >> 3 << 2, lambda x: x >> 3 << 2),
            (lambda x: x // 7, lambda x: divided(x, np.full_like(x, 7))),
        ]
    with np.errstate(all="ignore"):
        results = binary(isa, ty, [lambda x, _, op=op: op(x) for op, _ in cases], a, a)
        for i, (actual, (_, expected)) in enumerate(zip(results, cases, strict=True)):
            assert_array_equal(actual, expected(a).astype(a.dtype), f"case {i}")


@portable
def test_constants(isa: Isa) -> None:
    numbers: list[tuple[int | float, Type]] = []
    for ty in INTEGERS:
        info = np.iinfo(dtype(ty))
        numbers += [(x, ty) for x in (info.min, info.max, 0, 1)]
    for ty in FLOATS:
        numbers += [(x, ty) for x in (0.1, -0.0, 1 / 3, 16777217.0, 1e-45, math.inf, -math.inf, 3)]
        numbers.append((math.nan, ty))
    numbers += [(1e300, f64), (5e-324, f64)]

    def emit(k: Kernel, x: Value, *outputs: Value) -> None:
        for (number, ty), out in zip(numbers, outputs, strict=True):
            out.store(k.const(number, ty))
            (out + ty.nbytes).store(k.const(number, ty[4]))
            (out + 5 * ty.nbytes).store(k.vector([number] * 3, ty))

    parts = [((8,), dtype(ty)) for _, ty in numbers]
    for (number, _), actual in zip(
        numbers, evaluate(isa, emit, [np.zeros(1, np.uint8)], parts), strict=True
    ):
        expected = np.full((1, 8), number).astype(actual.dtype)
        assert_array_equal(actual.view(np.uint8), expected.view(np.uint8), str(number))


@portable
def test_conversions(isa: Isa) -> None:
    types = (*INTEGERS, *FLOATS)
    for source in types:
        a = samples(source, 32, 12)
        if source.kind == "f":
            a = np.linspace(-127.9, 127.9, 32, dtype=a.dtype)

        def emit(k: Kernel, x: Value, *outputs: Value, source: Type = source) -> None:
            for ty, out in zip(types, outputs, strict=True):
                v = x.load(source[8])
                out.store((v.max(0) if (source.kind, ty.kind) == ("f", "u") else v).to(ty[8]))
                (out + 8 * ty.nbytes).store((x + 5 * source.nbytes).load(source).max(0).to(ty))

        results = evaluate(isa, emit, [a.reshape(-1, 8)], [((9,), dtype(t)) for t in types])
        for ty, actual in zip(types, results, strict=True):
            positive = np.maximum(a, 0).reshape(-1, 8)
            whole = positive if (source.kind, ty.kind) == ("f", "u") else a.reshape(-1, 8)
            assert_array_equal(actual[:, :8], whole.astype(dtype(ty)), f"{source} to {ty}")
            assert_array_equal(actual[:, 8], positive[:, 5].astype(dtype(ty)), f"{source} to {ty}")


@portable
def test_bool_becomes_numbers(isa: Isa) -> None:
    a, b = samples(i32, 64, 13).reshape(-1, 4), samples(i32, 64, 14).reshape(-1, 4)

    def emit(k: Kernel, x: Value, y: Value, ints: Value, floats: Value, scalar: Value) -> None:
        less = x.load(i32[4]) < y.load(i32[4])
        ints.store(less.to(u8[4]))
        floats.store((less ^ 1).to(f32[4]))
        scalar.store((x.load(i32) < y.load(i32)).to(i64))

    parts: list[tuple[tuple[int, ...], Any]] = [
        ((4,), np.uint8),
        ((4,), np.float32),
        ((), np.int64),
    ]
    ints, floats, scalar = evaluate(isa, emit, [a, b], parts)
    assert_array_equal(ints, a < b)
    assert_array_equal(floats, ~(a < b))
    assert_array_equal(scalar, (a < b)[:, 0])


@portable
def test_bitcast(isa: Isa) -> None:
    a = samples(u8, 64, 15).reshape(-1, 16)

    def emit(k: Kernel, x: Value, *outputs: Value) -> None:
        v = x.load(u8[16])
        for ty, out in zip((i8[16], u16[8], f32[4], f64[2], i64[2]), outputs, strict=True):
            cast = v.bitcast(ty)
            assert cast.ty == ty
            out.store(cast)

    for actual in evaluate(isa, emit, [a], [((16,), np.uint8)] * 5):
        assert_array_equal(actual, a)


@portable
def test_lanes(isa: Isa) -> None:
    a, b = samples(i16, 32, 16).reshape(-1, 8), samples(i16, 32, 17).reshape(-1, 8)
    picked = [7, 0, 15, 8, 3, 3]

    def emit(k: Kernel, x: Value, y: Value, *outputs: Value) -> None:
        v, w = x.load(i16[8]), y.load(i16[8])
        results = [
            v.shuffle(range(8)[::-1]),
            v.shuffle(picked, w),
            v.shuffle([5]),
            v.shuffle([11], w),
            v.concat(w),
            v.part(1, 4),
            v.part(6, 1),
            v.part(0, 8),
            v.lane(3),
            w.lane(3).lane(0),
            v.lane(2).splat(5),
            v.lane(2).splat(1),
            k.gather([v.lane(6), w.lane(1), k.const(-9, i16)]),
            k.vector([1, -2, 3], i16),
        ]
        for out, value in zip(outputs, results, strict=True):
            out.store(value)

    both = np.concatenate([a, b], axis=1)
    n = len(a)
    expected = [
        a[:, ::-1],
        both[:, picked],
        a[:, 5:6],
        b[:, 3:4],
        both,
        a[:, 4:],
        a[:, 6:7],
        a,
        a[:, 3:4],
        b[:, 3:4],
        np.repeat(a[:, 2:3], 5, axis=1),
        a[:, 2:3],
        np.stack([a[:, 6], b[:, 1], np.full(n, -9)], axis=1),
        np.tile([1, -2, 3], (n, 1)),
    ]
    parts = [((e.shape[1],), np.int16) for e in expected]
    for i, (x, y) in enumerate(zip(evaluate(isa, emit, [a, b], parts), expected, strict=True)):
        assert_array_equal(x, y, f"result {i}")


@portable
@pytest.mark.parametrize("ty", [i8, i32, f64], ids=str)
def test_store_partial(isa: Isa, ty: Type) -> None:
    """No count of lanes touches a byte more, at the start or in the middle of a buffer."""
    for lanes in (1, 2, 4, 8, 16, 32, 64):
        counts = np.arange(lanes + 1)
        data = samples(ty, lanes, 18) if ty.kind == "i" else np.linspace(1, 9, lanes)

        def emit(k: Kernel, n: Value, x: Value, out: Value, lanes: int = lanes) -> None:
            (out + 3).store_partial(x.load(ty[lanes]), n.load(index))

        rows = np.tile(data, (len(counts), 1))
        (actual,) = evaluate(isa, emit, [counts, rows], [((3 + rows[0].nbytes,), np.uint8)])
        expected = np.full_like(actual, 0xA5)
        for n in counts:
            expected[n, 3 : 3 + n * ty.nbytes] = data[:n].view(np.uint8)
        assert_array_equal(actual, expected)


@portable
def test_pointer_offsets(isa: Isa) -> None:
    a = np.arange(24, dtype=np.uint8).reshape(3, 8)

    def emit(k: Kernel, x: Value, out: Value) -> None:
        offset = k.var(2)
        addresses = [x + 0, x + 1, x + offset, x + k.const(3, index) + 1, x + offset.value * 3 + -1]
        for i, address in enumerate(addresses):
            (out + i).store(address.load(u8))

    (actual,) = evaluate(isa, emit, [a], [((5,), np.uint8)])
    assert_array_equal(actual, a[:, [0, 1, 2, 4, 5]])


@portable
def test_fields_of_every_type(isa: Isa) -> None:
    fields: dict[str, tuple[Type, int | float]] = {
        "a": (i32, -5),
        "b": (u8, 200),
        "c": (f32, 0.1),
        "d": (i64, -(2**62)),
        "e": (i16, -300),
    }

    def emit(k: Kernel, x: Value, out: Value) -> None:
        for i, (name, (ty, _)) in enumerate(fields.items()):
            assert k[name].ty == ty
            (out + 8 * i).store(k[name].to(f64))

    (actual,) = evaluate(isa, emit, [np.zeros(1, np.uint8)], [((5,), np.float64)], fields)
    assert_array_equal(actual[0], [-5, 200, np.float32(0.1), -(2.0**62), -300])


def test_types() -> None:
    assert str(i32[4]) == "i32x4"
    assert (u8[16].llvm, f32.llvm, ptr.llvm, bool_[2].llvm) == (
        "<16 x i8>",
        "float",
        "ptr",
        "<2 x i1>",
    )
    assert (u8[16].suffix, f32[4].suffix, i64.suffix) == ("v16i8", "v4f32", "i64")
    assert (i16[8].nbytes, f64.nbytes, ptr.nbytes) == (16, 8, 8)
    assert i16[8].scalar == i16


MISTAKES: dict[str, Callable[[Kernel], Any]] = {
    "signed and unsigned": lambda k: k["i"] + k["u"],
    "two widths": lambda k: k["i"] * k["long"],
    "int and float": lambda k: k["f"] - k["i"],
    "scalar and vector": lambda k: k["i"].splat(4) & k["i"],
    "lanes": lambda k: k["i"].splat(4) + k["i"].splat(8),
    "compare": lambda k: k["i"] < k["u"],
    "maximum": lambda k: k["f"].max(k["i"]),
    "choice": lambda k: (k["i"] < 0).select(k["i"], k["f"]),
    "pointer offset": lambda k: k["p"] + k["i"],
    "variable": lambda k: k["i"] + k.var(0),
    "loop limits": lambda k: k.loop(k["i"], k["long"]).__enter__(),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_operands_of_different_types_are_refused(mistake: str) -> None:
    k = Kernel("mistaken", {"i": i32, "u": u32, "long": i64, "f": f32, "p": ptr})
    with pytest.raises(TypeError, match="mistaken"):
        MISTAKES[mistake](k)


WRONG: dict[str, Callable[[Kernel], Any]] = {
    "division of floats by //": lambda k: k["f"] // 2.0,
    "division of integers by /": lambda k: k["i"] / 2,
    "difference of pointers": lambda k: k["p"] - k["p"],
    "fraction as an integer": lambda k: k["i"] + 2.5,
    "fraction as an offset": lambda k: k["p"] + 0.5,
    "integer out of range": lambda k: k.const(300, u8),
    "float out of range": lambda k: k.const(1e39, f32),
}


@pytest.mark.parametrize("mistake", WRONG)
def test_meaningless_operations_are_refused(mistake: str) -> None:
    k = Kernel("mistaken", {"i": i32, "f": f32, "p": ptr})
    with pytest.raises((TypeError, ValueError, OverflowError)):
        WRONG[mistake](k)
