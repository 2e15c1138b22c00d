"""Matrix products of computed integers on every instruction set, against numpy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edgewise.kernels.ir import Type, i8, i16, u8
from edgewise.kernels.isa import ISAS
from edgewise.kernels.matmul import VECTORS, IntegerMatMul

from .harness import Buffer, run
from .qproducts import Array, Rule, bytes_of, factors, scales, wrapped
from .wproducts import WideRule, wide_rules


def numpy_type(ty: Type) -> np.dtype[Any]:
    return np.dtype(f"{ty.kind}{ty.bits // 8}")


def variants() -> list[Any]:
    found = []
    for isa in ISAS:
        act = isa.activation
        found += [IntegerMatMul(isa, i8, i8, i8), IntegerMatMul(isa, act, i8, act, 32)]
        found += [IntegerMatMul(isa, u8, u8, u8, 32, r) for r in ("twice", "ties_up", "once")]
        found.append(IntegerMatMul(isa, i16, i16, i16, 0, "once", wide=True))
        found.append(IntegerMatMul(isa, i16, i8, i16, 64, "once", wide=True))
        found.append(IntegerMatMul(isa, i16, i8, i16, 32, "ties_up"))
    return [pytest.param(v, id=v.symbol, marks=pytest.mark.isa) for v in dict.fromkeys(found)]


def padded(x: Array, width: int) -> Buffer:
    """Room to read whole tiles of columns."""
    return Buffer(np.pad(x, (0, -len(x) % width)))


def check(
    v: IntegerMatMul,
    sizes: tuple[int, int, int],
    rule: Rule | WideRule,
    seed: int = 0,
    fill: str = "mixed",
    *,
    adjoint: bool = False,
) -> None:
    """Products of a batch [3, 2], where x misses the first dimension and y the second.

    ``adjoint``: x lies there as [K, M].
    """
    m, n, k = sizes
    rng = np.random.default_rng(seed)
    x = bytes_of(rng, (2, m, k), numpy_type(v.x), fill.split("*")[0])
    y = bytes_of(rng, (3, 1, k, n), numpy_type(v.y), fill.split("*")[-1])
    zeros = [int(rng.choice(a.ravel())) if a.itemsize == 1 else 0 for a in (x, y)]
    acc = (x.astype(np.int64) - zeros[0]) @ (y.astype(np.int64) - zeros[1])
    bias = rng.integers(-(2**12), 2**12, n)
    if v.bias:
        acc = acc + bias
    given: tuple[Array, ...]
    if isinstance(rule, WideRule):
        given = tuple(rule.factors(rng, acc, v.rounding, v.wide))
        expected = rule.apply(acc if v.wide else wrapped(acc), np.stack(given), v.rounding)
    else:
        scale = scales(rng, wrapped(acc), rule)
        given = factors(scale, v.rounding)
        expected = rule.apply(wrapped(acc), scale, v.rounding)
    stored = np.ascontiguousarray(x.swapaxes(1, 2)) if adjoint else x
    row, step = stored.strides[:0:-1] if adjoint else stored.strides[1:]
    c = Buffer(np.full((3, 2, m, n), 0x11, numpy_type(v.out)))
    tiles, width = -(-m // v.mr), VECTORS * v.isa.lanes
    names = ("multiplier", "exponent") if v.rounding else ("scale",)
    dtype = np.int32 if v.rounding else np.float32
    values: dict[str, Any] = {
        **{name: padded(f.astype(dtype), width) for name, f in zip(names, given, strict=True)},
        "x": Buffer(stored),
        "x_0": 0,
        "x_1": stored.strides[0],
        "x_row": row,
        "x_step": step,
        "y": Buffer(y),
        "y_0": y.strides[0],
        "y_1": 0,
        "y_row": y.strides[2],
        "c": c,
        "c_0": c.array.strides[0],
        "c_1": c.array.strides[1],
        "c_row": c.array.strides[2],
        "d1": 2,
        "tiles": tiles,
        "m": m,
        "n": n,
        "k": k,
        "x_zero": zeros[0],
        "y_zero": zeros[1],
        "zero_point": rule.zero_point,
        "lo": rule.lo,
        "hi": rule.hi,
    }
    if v.bias:
        values["bias"] = padded(bias.astype(f"i{v.bias // 8}"), width)
    run(v, 6 * tiles, values, [c])
    np.testing.assert_array_equal(c.array, expected.astype(c.array.dtype))


def rules_of(v: IntegerMatMul) -> list[Rule] | list[WideRule]:
    if v.out.bits == 16:
        return wide_rules()
    low = -128 if v.out.kind == "i" else 0
    return [
        Rule(low + 128, low, low + 255),
        Rule(low, low, low + 255),
        Rule(low + 255, low, low + 255),
        Rule(low + 100, low + 100, low + 160),
        Rule(low + 128, low, low + 255, 0.5),
        Rule(low + 64, low, low + 255, 2.0**63),
        Rule(low + 65, low + 1, low + 254, 1e-30),
    ]


@pytest.mark.parametrize("v", variants())
def test_sizes(v: IntegerMatMul) -> None:
    width = VECTORS * v.isa.lanes
    columns = [1, width - 1, width, width + 1, 3, 2 * width + 5, 2]
    for i, n in enumerate(columns):
        sizes = (1 + i % (2 * v.mr + 1), n, [1, 2, 7, 33, 64][i % 5])
        check(v, sizes, rules_of(v)[0], i, adjoint=i % 2 == 1)


@pytest.mark.parametrize("v", variants())
def test_rules(v: IntegerMatMul) -> None:
    for i, rule in enumerate(rules_of(v)):
        check(v, (v.mr, VECTORS * v.isa.lanes, 9), rule, i)


@pytest.mark.parametrize("v", variants())
@pytest.mark.parametrize("fill", ["low", "high", "low*high", "high*low"])
def test_extremes(v: IntegerMatMul, fill: str) -> None:
    check(v, (v.mr + 1, 5, 600), rules_of(v)[0], 1, fill)


def test_symbols_differ() -> None:
    found = [p.values[0].symbol for p in variants()]
    assert len(set(found)) == len(found)
