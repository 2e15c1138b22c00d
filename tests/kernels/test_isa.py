"""Every primitive of every instruction set and dot product, against numpy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from edgewise.kernels.ir import Kernel, Type, Value, f32, i32, u8
from edgewise.kernels.isa import ISAS, Clamp, Dot, Isa

from .harness import isas
from .probe import Array, dtype, evaluate

INT32 = np.iinfo(np.int32)


def extremes(rng: np.random.Generator, shape: tuple[int, ...], ty: Type) -> Array:
    """Random numbers of the type, half of them its least or greatest."""
    info = np.iinfo(dtype(ty))
    x = rng.integers(info.min, info.max, shape, dtype(ty), endpoint=True)
    edges = rng.choice(np.array([info.min, info.max], dtype(ty)), shape)
    return np.where(rng.random(shape) < 0.5, edges, x)


def widths(isa: Isa) -> list[int]:
    """Numbers of vectors that the tiles and blocks of this instruction set have."""
    costs = isa.costs
    return sorted({nv for _, nv in costs.tiles} | set(costs.depthwise))


def limits(isa: Isa) -> tuple[int, int]:
    info = np.iinfo(dtype(isa.activation))
    return int(info.min), int(info.max)


def dots() -> list[Any]:
    """Every dot product, with its instruction set."""
    found = {}
    for isa in ISAS:
        for what, dot in (
            ("gemm", isa.gemm),
            ("gemm-general", isa.gemm.general),
            ("words", isa.words),
            ("depthwise", isa.depthwise),
        ):
            if what == "gemm" or dot is not isa.gemm:
                found[f"{isa.name}-{what}"] = (isa, dot)
    return [pytest.param(*pair, id=name, marks=pytest.mark.isa) for name, pair in found.items()]


def weights_type(isa: Isa, dot: Dot) -> Type:
    """What the second operand of ``mac`` holds."""
    return Type("i", dot.element.bits, dot.kr * dot.lanes)


@pytest.mark.parametrize(("isa", "dot"), dots())
def test_mac_adds_products(isa: Isa, dot: Dot) -> None:
    """Extreme factors, and sums that wrap."""
    rng = np.random.default_rng(1)
    n, kr, lanes = 32, dot.kr, dot.lanes
    assert dot.taps == weights_type(isa, dot)
    a = extremes(rng, (n, lanes, kr), isa.activation).astype(dtype(dot.element))
    b = extremes(rng, (n, lanes, kr), Type("i", 8)).astype(dtype(dot.taps))
    if dot.taps.bits == 16:
        b[n // 2 :] = extremes(rng, (n // 2, lanes, kr), u8).astype(np.int16)
        b[-8:] *= -1
    b[~suits(dot, b)] = 3
    acc = extremes(rng, (n, lanes), i32)

    def emit(k: Kernel, c: Value, x: Value, y: Value, out: Value) -> None:
        operands = x.load(dot.element[lanes * kr]), y.load(dot.taps)
        out.store(dot.mac(c.load(i32[lanes]), *operands))

    inputs = [acc, arranged(dot, a), arranged(dot, b)]
    (actual,) = evaluate(isa, emit, inputs, [((lanes,), np.int32)])
    products = a.astype(np.int64) * b.astype(np.int64)
    assert_array_equal(actual, (acc + products.sum(axis=2)).astype(np.int32))


def suits(dot: Dot, b: Array) -> Array:
    """Per entry: whether ``mac`` promises exact sums with these weights."""
    return np.array([dot.fits(entry.astype(np.int8)) for entry in b])


def arranged(dot: Dot, x: Array) -> Array:
    """[n, lanes, kr] as an operand of ``mac`` holds it."""
    return np.ascontiguousarray(dot.arrange(x) if dot.element.bits == 8 else x)


@pytest.mark.parametrize(("isa", "dot"), [p for p in dots() if "gemm" in str(p.id)])
def test_steps_of_a_product(isa: Isa, dot: Dot) -> None:
    """load_a, load_b and mac: ``ku`` steps of one row of A times packed columns."""
    rng = np.random.default_rng(2)
    depth, n = dot.kr * dot.ku, 6
    for nv in sorted({nv for _, nv in isa.costs.tiles}):
        nr = nv * isa.lanes
        a = extremes(rng, (n, depth), isa.activation).astype(dtype(dot.element))
        w = extremes(rng, (n, dot.ku, nr, dot.kr), Type("i", 8)).astype(np.int8)
        w[~suits(dot, w)] = -127
        packed = np.ascontiguousarray(dot.arrange(w))

        def emit(k: Kernel, x: Value, y: Value, out: Value, nv: int = nv, nr: int = nr) -> None:
            accs = [k.const(5, i32[isa.lanes])] * nv
            for u, operand in enumerate(dot.load_a(x)):
                columns = dot.load_b(y + u * nr * dot.kr, nv)
                accs = [dot.mac(s, operand, b) for s, b in zip(accs, columns, strict=True)]
            for j, s in enumerate(accs):
                (out + 4 * isa.lanes * j).store(s)

        (actual,) = evaluate(isa, emit, [a, packed], [((nr,), np.int32)])
        rows = w.transpose(0, 2, 1, 3).reshape(n, nr, depth).astype(int)
        assert_array_equal(actual, 5 + np.einsum("nk,njk->nj", a.astype(int), rows))


@isas
def test_load_taps(isa: Isa) -> None:
    dot = isa.depthwise
    for nv in isa.costs.depthwise:
        x = extremes(np.random.default_rng(9), (2, nv, dot.taps.lanes), dot.taps.scalar)

        def emit(k: Kernel, at: Value, out: Value, nv: int = nv) -> None:
            operands = dot.load_taps(at, nv)
            assert [v.ty for v in operands] == [dot.taps] * nv
            for j, operand in enumerate(operands):
                (out + j * dot.taps.nbytes).store(operand)

        (actual,) = evaluate(isa, emit, [x], [(x.shape[1:], x.dtype)])
        assert_array_equal(actual, x)


@isas
def test_interleaved_rows(isa: Isa) -> None:
    """Operands of ``mac`` from rows of activations, each of them present or not."""
    rng, dot = np.random.default_rng(3), isa.depthwise
    present = {(True,) * dot.kr, (True,) + (False,) * (dot.kr - 1), (True,) * 3 + (False,)}
    for nv in isa.costs.depthwise:
        block, order = nv * isa.lanes, isa.order(nv)
        x = extremes(rng, (3, dot.kr, block), isa.activation)
        for chosen in sorted(p for p in present if len(p) == dot.kr):

            def emit(k: Kernel, at: Value, out: Value, block: int = block, p: Any = chosen) -> None:
                rows = [
                    (at + block * i).load(isa.activation[block]) if there else None
                    for i, there in enumerate(p)
                ]
                operands = dot.interleave(rows)
                assert len(operands) == block // isa.lanes
                for j, operand in enumerate(operands):
                    assert (operand.ty.bits, operand.ty.lanes) == (dot.taps.bits, dot.taps.lanes)
                    (out + j * dot.taps.nbytes).store(operand)

            part = ((block, dot.kr), dtype(dot.element))
            (actual,) = evaluate(isa, emit, [x], [part])
            expected = np.where(np.array(chosen)[:, None], x, 0)[:, :, order].swapaxes(1, 2)
            assert_array_equal(actual, expected, f"{nv} vectors, rows {chosen}")


@isas
def test_order_is_a_permutation(isa: Isa) -> None:
    for nv in (1, 2, 4, 8):
        assert sorted(isa.order(nv)) == list(range(nv * isa.lanes))


@isas
def test_unpack_puts_columns_in_order(isa: Isa) -> None:
    low, high = limits(isa)
    for nv in widths(isa):
        n = nv * isa.lanes
        x = np.resize(np.arange(low, high + 1), (8, n)).astype(dtype(isa.activation))

        def emit(k: Kernel, at: Value, out: Value, n: int = n) -> None:
            for j, v in enumerate(isa.unpack(at.load(isa.activation[n]))):
                assert v.ty == i32[isa.lanes]
                (out + 4 * isa.lanes * j).store(v)

        (actual,) = evaluate(isa, emit, [x], [((n,), np.int32)])
        assert_array_equal(actual, x[:, isa.order(nv)], f"{nv} vectors")


CLAMPS = ["all", "tight", "low", "high", "one"]


def clamps(isa: Isa, which: str) -> tuple[int, int, int]:
    """A zero point and bounds."""
    low, high = limits(isa)
    return {
        "all": (low + 128, low, high),
        "tight": (low + 100, low + 90, low + 120),
        "low": (low, low, high),
        "high": (high, low, high),
        "one": (high, low + 3, low + 3),
    }[which]


def clamp_fields(zero: int, lo: int, hi: int) -> dict[str, tuple[Type, int | float]]:
    return {"zero_point": (i32, zero), "lo": (i32, lo), "hi": (i32, hi)}


def quotients(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """int32 of every magnitude."""
    x = rng.integers(INT32.min, INT32.max, shape) >> rng.integers(0, 32, shape)
    edges = [INT32.min, INT32.max, 0, -1, 127, 128, 255, 256, -128, -129, 32767, 32768]
    edges += [-32768, -32769, 65535, 65536, -65536, 32640, -32640]
    return np.where(rng.random(shape) < 0.5, rng.choice(edges, shape), x).astype(np.int32)


@isas
@pytest.mark.parametrize("bounds", CLAMPS)
def test_pack_saturates(isa: Isa, bounds: str) -> None:
    rng = np.random.default_rng(4)
    zero, lo, hi = clamps(isa, bounds)
    for nv in widths(isa):
        n = nv * isa.lanes
        x = quotients(rng, (24, n))
        x[-4:] = rng.integers(lo - zero - 2, hi - zero + 3, (4, n))
        small = np.minimum(x, hi - zero)

        def emit(k: Kernel, q: Value, b: Value, out: Value, bounded: Value, n: int = n) -> None:
            steps = range(0, 4 * n, 4 * isa.lanes)
            clamp = Clamp(k)
            packed = isa.pack([(q + at).load(i32[isa.lanes]) for at in steps], clamp)
            assert packed.ty == isa.activation[n]
            out.store(packed)
            bounded.store(isa.pack([(b + at).load(i32[isa.lanes]) for at in steps], clamp, True))

        part = ((n,), dtype(isa.activation))
        results = evaluate(isa, emit, [x, small], [part, part], clamp_fields(zero, lo, hi))
        expected = np.zeros_like(results[0])
        expected[:, isa.order(nv)] = np.clip(x.astype(int) + zero, lo, hi)
        for actual in results:
            assert_array_equal(actual, expected, f"{nv} vectors")


@isas
@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 12])
def test_pack_rows_is_pack_of_each(isa: Isa, count: int) -> None:
    rng = np.random.default_rng(5)
    fields = clamp_fields(*clamps(isa, "tight"))
    zero, lo, hi = clamps(isa, "tight")
    for nv in widths(isa):
        n = nv * isa.lanes
        x = quotients(rng, (4, count, n))

        def emit(k: Kernel, q: Value, out: Value, n: int = n, nv: int = nv) -> None:
            vector = 4 * isa.lanes
            rows = [
                [(q + (i * nv + j) * vector).load(i32[isa.lanes]) for j in range(nv)]
                for i in range(count)
            ]
            packed = isa.pack_rows(rows, Clamp(k))
            assert len(packed) == count
            for i, v in enumerate(packed):
                (out + i * n).store(v)

        (actual,) = evaluate(isa, emit, [x], [((count, n), dtype(isa.activation))], fields)
        assert_array_equal(actual[:, :, isa.order(nv)], np.clip(x.astype(int) + zero, lo, hi))


@isas
def test_unpacked_bytes_pack_to_themselves(isa: Isa) -> None:
    low, high = limits(isa)
    for nv in widths(isa):
        n = nv * isa.lanes
        x = np.resize(np.arange(low, high + 1), (9, n)).astype(dtype(isa.activation))

        def emit(k: Kernel, at: Value, out: Value, n: int = n) -> None:
            out.store(isa.pack(isa.unpack(at.load(isa.activation[n])), Clamp(k)))

        (actual,) = evaluate(isa, emit, [x], [((n,), x.dtype)], clamp_fields(0, low, high))
        assert_array_equal(actual, x)


@isas
def test_round_is_to_the_nearest_even(isa: Isa) -> None:
    rng = np.random.default_rng(6)
    halves = np.arange(-70, 70) + 0.5
    near = np.concatenate([np.nextafter(np.float32(halves), np.float32(s)) for s in (-99, 99)])
    large = [8388607.5, 8388609.0, -8388607.5, 4194304.5, 2147483520.0, -2147483648.0, -0.0, -3e9]
    scattered = rng.standard_normal(100) * 10.0 ** rng.integers(-3, 9, 100)
    x = np.concatenate([halves, near, large, [-1e30, -np.inf, 1e-40], scattered])
    x = np.resize(x, (-(-len(x) // isa.lanes), isa.lanes)).astype(np.float32)

    def emit(k: Kernel, at: Value, out: Value) -> None:
        out.store(isa.round(at.load(f32[isa.lanes])))

    (actual,) = evaluate(isa, emit, [x], [((isa.lanes,), np.int32)])
    expected = np.rint(x.astype(np.float64)).clip(INT32.min, INT32.max)
    assert_array_equal(actual, expected)


def requantized(acc: Array, scale: Array, zero: int, lo: int, hi: int) -> Array:
    """By exact arithmetic between two float32 roundings."""
    real = (acc.astype(np.float32) * scale).astype(np.float64)
    return np.clip(np.rint(np.clip(real, -1e6, 1e6)) + zero, lo, hi).astype(int)


SCALES = {
    "half": [0.5],
    "tiny": [1e-40, 2.0**-126, 1e-30],
    "huge": [2.0**63, 1e12, 2.0**31],
    "usual": [0.0003, 0.0123, 2.0**-20, 0.9999999, 1.5],
}


@isas
@pytest.mark.parametrize("bounds", CLAMPS)
@pytest.mark.parametrize("scales", SCALES)
def test_quantize(isa: Isa, bounds: str, scales: str) -> None:
    """Ties, extreme sums and scales; every zero point stays exact."""
    rng = np.random.default_rng(7)
    zero, lo, hi = clamps(isa, bounds)
    for nv in widths(isa):
        n = nv * isa.lanes
        acc = quotients(rng, (12, n))
        scale = rng.choice(np.array(SCALES[scales], np.float32), (12, n))

        def emit(k: Kernel, x: Value, s: Value, out: Value, n: int = n) -> None:
            steps = range(0, 4 * n, 4 * isa.lanes)
            accs = [(x + at).load(i32[isa.lanes]) for at in steps]
            reals = [(s + at).load(f32[isa.lanes]) for at in steps]
            out.store(isa.quantize(accs, reals, Clamp(k)))

        part = ((n,), dtype(isa.activation))
        (actual,) = evaluate(isa, emit, [acc, scale], [part], clamp_fields(zero, lo, hi))
        expected = requantized(acc, scale, zero, lo, hi)
        assert_array_equal(actual[:, isa.order(nv)], expected, f"{nv} vectors")


@isas
def test_second_clamp_has_its_own_fields(isa: Isa) -> None:
    fields = clamp_fields(*clamps(isa, "all"))
    low, _ = limits(isa)
    mine = {"add_zero_point": low + 7, "add_lo": low + 1, "add_hi": low + 9}
    nv = widths(isa)[-1]
    n = nv * isa.lanes
    x = np.resize(np.arange(-12, 13), (3, n)).astype(np.int32)

    def emit(k: Kernel, q: Value, first: Value, second: Value) -> None:
        qs = [(q + at).load(i32[isa.lanes]) for at in range(0, 4 * n, 4 * isa.lanes)]
        first.store(isa.pack(qs, Clamp(k)))
        second.store(isa.pack(qs, Clamp(k, "add_")))

    part = ((n,), dtype(isa.activation))
    numbers = fields | {name: (i32, x) for name, x in mine.items()}
    first, second = evaluate(isa, emit, [x], [part, part], numbers)
    assert_array_equal(first[:, isa.order(nv)], x + low + 128)
    assert_array_equal(second[:, isa.order(nv)], np.clip(x + low + 7, low + 1, low + 9))


@isas
def test_lookup(isa: Isa) -> None:
    rng = np.random.default_rng(8)
    n = isa.bits // 8
    table = rng.permutation(256).astype(np.uint8)
    indices = np.stack([np.resize(rng.permutation(256), n) for _ in range(16)])
    indices = np.concatenate([np.arange(256).reshape(-1, n), indices]).astype(np.uint8)
    units = len(indices)

    def emit(k: Kernel, t: Value, x: Value, out: Value) -> None:
        out.store(isa.lookup(isa.load_table(t), x.load(isa.activation[n])))

    (actual,) = evaluate(isa, emit, [np.tile(table, (units, 1)), indices], [((n,), np.uint8)])
    assert_array_equal(actual, table[indices])
