"""Reductions on every instruction set, against numpy."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from edgewise.kernels.ir import Type, f32, i8, i32, i64, u8
from edgewise.kernels.isa import Isa
from edgewise.kernels.reduce import Columns, ReduceOp, Rows
from edgewise.ops import Mean

from .harness import Buffer, isas, run
from .images import activation, quantized

Array = npt.NDArray[Any]

FUNCTIONS: Mapping[ReduceOp, Any] = {
    "sum": np.sum,
    "mean": np.mean,
    "max": np.max,
    "min": np.min,
    "prod": np.prod,
}
TYPES = (f32, i32, i64, u8, i8)


def numbers(element: Type, shape: tuple[int, ...], seed: int) -> Array:
    rng = np.random.default_rng(seed)
    if element.kind == "f":
        return rng.normal(size=shape).astype(np.float32)
    dtype = np.dtype(f"{element.kind}{element.nbytes}")
    limits = np.iinfo(dtype)
    return rng.integers(limits.min, limits.max, shape, dtype, endpoint=True)


def reduced(v: Columns | Rows, x: Array, **constants: Any) -> Array:
    """``x`` [2, a, 3, b, n] with a and b reduced, and n with ``Rows``; 0x77 bytes separate runs.

    The result: [2, 3, n] or [2, 3].
    """
    gap = 5
    padded = np.full((*x.shape[:-1], x.shape[-1] + gap), 0, x.dtype)
    padded.view(np.uint8)[...] = 0x77
    padded[..., : x.shape[-1]] = x
    columns = isinstance(v, Columns)
    n = x.shape[-1] if columns else 1
    out = np.zeros((2, 3, n + gap), x.dtype)
    c, a = Buffer(out), Buffer(padded)
    s, t = padded.strides, out.strides
    loops = ([1, *x.shape[1::2]], [0, s[1], s[3]])
    if not columns:
        loops = ([x.shape[1], x.shape[3], x.shape[4]], [s[1], s[3], 0])
    values = {
        **{"a": a, "a_0": 0, "a_1": s[0], "a_2": s[2]},
        **{"c": c, "c_0": 0, "c_1": t[0], "c_2": t[1]},
        **{"d1": 2, "d2": 3, "n": n, "block": v.wide if columns else 1},
        **{f"r{i}": count for i, count in enumerate(loops[0])},
        **{f"a_r{i}": step for i, step in enumerate(loops[1])},
        **constants,
    }
    run(v, 6 * (math.ceil(n / v.wide) if columns else 1), values, [c])
    assert not c.array[..., n:].any()
    return c.array[..., :n] if columns else c.array[..., 0]


@isas
@pytest.mark.parametrize("form", [Columns, Rows])
@pytest.mark.parametrize("op", FUNCTIONS)
def test_plain(isa: Isa, op: ReduceOp, form: type[Columns] | type[Rows]) -> None:
    for element in TYPES:
        if op == "mean" and element != f32:
            continue
        v = form(isa, op, element)
        axes = (1, 3) if form is Columns else (1, 3, 4)
        for n in (1, 7, v.wide - 1, v.wide, 2 * v.wide + v.wide // 4 + 3):
            x = numbers(element, (2, 2, 3, 3, n), n)
            count = math.prod(x.shape[i] for i in axes)
            found = reduced(v, x, **({"scale": 1 / count} if op == "mean" else {}))
            if element == f32:
                expected = FUNCTIONS[op](x.astype(np.float64), axis=axes)
                np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6 * count)
            else:
                kwargs = {} if op in ("max", "min") else {"dtype": x.dtype}
                np.testing.assert_array_equal(found, FUNCTIONS[op](x, axis=axes, **kwargs))


@isas
@pytest.mark.parametrize("form", [Columns, Rows])
@pytest.mark.parametrize("op", ["max", "min"])
def test_infinite(isa: Isa, op: ReduceOp, form: type[Columns] | type[Rows]) -> None:
    """Infinities are numbers like others: what fills up vectors never wins."""
    x = np.full((2, 1, 3, 1, 5), -np.inf if op == "max" else np.inf, np.float32)
    found = reduced(form(isa, op), x)
    np.testing.assert_array_equal(found, np.full(found.shape, x.flat[0]))


@isas
@pytest.mark.parametrize("form", [Columns, Rows])
@pytest.mark.parametrize("op", ["max", "min"])
def test_extremes_pass_over_nan(isa: Isa, op: ReduceOp, form: type[Columns] | type[Rows]) -> None:
    axes = (1, 3) if form is Columns else (1, 3, 4)
    for n in (1, 7, 40):
        x = numbers(f32, (2, 3, 3, 4, n), n)
        x[np.random.default_rng(n).random(x.shape) < 0.5] = np.nan
        x[0, :, 0] = np.nan
        function, worst = (np.fmax, -np.inf) if op == "max" else (np.fmin, np.inf)
        expected = function.reduce(x, axes, initial=worst)
        np.testing.assert_array_equal(reduced(form(isa, op), x), expected)


@isas
@pytest.mark.parametrize("form", [Columns, Rows])
def test_quantized_mean(isa: Isa, form: type[Columns] | type[Rows]) -> None:
    dtype = activation(isa)
    v = form(isa, "mean", isa.activation)
    axes = (1, 3) if form is Columns else (1, 3, 4)
    for i, n in enumerate((1, 5, v.wide, v.wide + 9)):
        x = numbers(isa.activation, (2, 4, 3, 2, n), n)
        xt = quantized(x.shape, dtype, 0.05, 3)
        op = Mean(axes, raw_zero=128 * (i % 2) if dtype.range[0] == 0 else 0)
        out = quantized(op.infer([xt])[0].shape, dtype, 0.03, 11)
        (expected,) = op.reference([x], [xt], [out])
        scale, offset = op.affine([xt], [out])
        constants = {
            "scale": float(scale),
            "offset": float(offset),
            "zero": op.raw_zero,
            "count": op.count(xt),
            "zero_point": op.raw_zero,
            "lo": dtype.range[0],
            "hi": dtype.range[1],
        }
        np.testing.assert_array_equal(reduced(v, x, **constants), expected)


@isas
def test_accuracy(isa: Isa) -> None:
    """The mean of 60,000 numbers near 1 is right to a few millionths."""
    x = (1 + np.random.default_rng(0).random((2, 10, 3, 1000, 2))).astype(np.float32)
    exact = x.astype(np.float64).mean((1, 3, 4))
    found = reduced(Rows(isa, "mean"), x, scale=1 / 20000)
    np.testing.assert_allclose(found, exact, rtol=1e-5)
