"""The integer rules alone: fixed-point multiplication, requantization, dynamic quantization."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from op_cases import q8

from edgewise.dtype import DType, QParams
from edgewise.errors import GraphError
from edgewise.graph import Node, TensorType, Value
from edgewise.ops import (
    Activation,
    Add,
    Cast,
    Mul,
    Op,
    PRelu,
    Real,
    Rounding,
    Softmax,
    Square,
    Sub,
    Tile,
    Transpose,
    Unpack,
    fixed_point_requantization,
)
from edgewise.ops.fixed_point import (
    multiplier,
    multiply_once_rounded,
    multiply_ties_up,
    multiply_twice_rounded,
    multiply_wide,
    round_half_away,
)
from edgewise.ops.hybrid import quantize_asymmetric, quantize_rows, quantize_symmetric

Array = npt.NDArray[Any]
REALS = (2.0**-20, 0.000123, 0.3, 0.5, 0.75, 0.999999, 1.0, 1.5, 7.3)


def up(x: Fraction) -> int:
    """To nearest, halves up."""
    return math.floor(x + Fraction(1, 2))


def away(x: Fraction) -> int:
    """To nearest, halves away from 0."""
    return up(x) if x >= 0 else -up(-x)


def twice(x: int, scaled: int, exponent: int, last: Callable[[Fraction], int] = away) -> int:
    high = up(Fraction(x * 2 ** max(exponent, 0) * scaled, 2**31))
    return last(Fraction(high, 2 ** max(-exponent, 0)))


def once(x: int, scaled: int, exponent: int) -> int:
    return up(x * scaled * Fraction(2) ** (exponent - 31))


def wide(x: int, scaled: int, exponent: int) -> int:
    reduced = (scaled + 2**15) >> 16 if scaled < 0x7FFF0000 else 0x7FFF
    return up(x * reduced * Fraction(2) ** (exponent - 15))


RULES = {
    "twice": (multiply_twice_rounded, twice),
    "ties up": (multiply_ties_up, lambda x, s, e: twice(x, s, e, up)),
    "once": (multiply_once_rounded, once),
    "wide": (multiply_wide, wide),
}


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("real", REALS)
def test_multiplication(name: str, real: float) -> None:
    function, rule = RULES[name]
    rng = np.random.default_rng(1)
    x = np.concatenate([rng.integers(-(2**27), 2**27, 300), np.arange(-300, 301)])
    scaled, exponent = multiplier(real)
    expected = [rule(int(v), scaled, exponent) for v in x]
    assert function(x, scaled, exponent).tolist() == expected


def test_rules_differ_at_halves() -> None:
    x, scaled, exponent = np.array([-3, -1, 1, 3]), *multiplier(2.0**-1 * 0.5)
    results = {
        name: function(x, scaled, exponent).tolist() for name, (function, _) in RULES.items()
    }
    assert results["twice"] == [-1, 0, 1, 1]
    assert results["once"] == [-1, 0, 0, 1]
    assert len({tuple(r) for r in results.values()}) > 1


def test_sums_of_a_channel_have_its_multiplier() -> None:
    x = q8(DType.INT8, (1, 2), 0.5, 0)
    w = TensorType((3, 2), DType.INT8, QParams((0.5, 0.25, 2.0), (0,) * 3, 0))
    out = q8(DType.INT8, (1, 3), 0.5, -10)
    rule = fixed_point_requantization(x, w, out, Activation.RELU)
    assert rule.apply(np.array([[10, 10, 10], [-10, 1000, -10]])).tolist() == [
        [-5, -7, 10],
        [-10, 127, -10],
    ]


def test_multipliers_of_2_to_the_31_are_refused() -> None:
    x, w = (q8(DType.INT8, (1, 1), 2.0**20, 0) for _ in range(2))
    with pytest.raises(GraphError, match=r"it must be less than 2\*\*31"):
        fixed_point_requantization(x, w, q8(DType.INT8, (1, 1), 2.0**-10, 0))
    bare = TensorType((1, 1), DType.INT8)
    with pytest.raises(GraphError, match="they must have one scale"):
        fixed_point_requantization(x, bare, x)


def test_round_half_away() -> None:
    x = np.array([-2.5, -0.5, -0.4, 0.5, 1.5, 2.5], np.float32)
    assert round_half_away(x).tolist() == [-3, -1, 0, 1, 2, 3]


QUANTIZERS = {
    "rows": lambda x: quantize_rows(x, (-1,)),
    "symmetric": quantize_symmetric,
    "asymmetric": quantize_asymmetric,
}


@pytest.mark.parametrize("name", QUANTIZERS)
def test_dynamic_quantization_holds_rows_within_half_a_step(name: str) -> None:
    rng = np.random.default_rng(0)
    x = (rng.normal(0, 1, (50, 40)) * rng.uniform(0.001, 100, (50, 1))).astype(np.float32)
    x += rng.uniform(-50, 50, (50, 1)).astype(np.float32)
    given = QUANTIZERS[name](x)
    error = np.abs(given.centered * given.scale.astype(np.float64) - x)
    assert (error <= given.scale * 0.5001 + 1e-6 * np.abs(x)).all()
    assert given.scale.dtype == np.float32
    assert np.abs(given.centered).max() <= 255


@pytest.mark.parametrize("name", QUANTIZERS)
@pytest.mark.parametrize("row", [[0.0, 0.0], [1.0, 2.0], [-3.0, -1.0], [-1e-30, 1e-30], [5.0, 5.0]])
def test_dynamic_quantization_of_odd_rows(name: str, row: list[float]) -> None:
    given = QUANTIZERS[name](np.array([row], np.float32))
    real = given.centered * given.scale.astype(np.float64)
    np.testing.assert_allclose(real[0], row, rtol=0, atol=max(map(abs, row)) / 127)


def test_groups_of_dynamic_quantization() -> None:
    x = np.zeros((2, 3, 3, 2), np.float32)
    x[0], x[1, 2] = 1.0, 100.0
    assert quantize_rows(x, (1, 2, 3)).scale.shape == (2, 1, 1, 1)
    assert quantize_rows(x, (3,)).scale.shape == (2, 3, 3, 1)


def test_softmax_in_fixed_point() -> None:
    """LiteRT's Softmax is float's; this rule is held to the real numbers, within a step."""
    x, y = q8(DType.INT8, (40, 12), 0.05, 3), q8(DType.INT8, (40, 12), 1 / 256, -128)
    data = np.random.default_rng(0).integers(-128, 128, x.shape).astype(np.int8)
    data[0], data[1, 1:] = -128, -128
    (found,) = Softmax(2.0, Rounding.FIXED_POINT).reference([data], [x], [y])
    e = np.exp(2.0 * 0.05 * (data.astype(np.float64) - data.max(-1, keepdims=True)))
    expected = np.clip(e / e.sum(-1, keepdims=True) * 256 - 128, -128, 127)
    assert np.abs(found - expected).max() < 1
    assert found.dtype == np.int8


@pytest.mark.parametrize("op", [Add, Sub, Mul])
def test_elementwise_operators_in_fixed_point(op: type[Add | Sub | Mul]) -> None:
    a, b = q8(DType.INT8, (256, 1), 0.013, -7), q8(DType.INT8, (1, 256), 0.05, 40)
    out = q8(DType.INT8, (256, 256), 0.04, 9)
    x = np.arange(-128, 128).astype(np.int8)
    arrays, types = [x[:, None], x[None]], [a, b]
    (found,) = op(rounding=Rounding.FIXED_POINT).reference(arrays, types, [out])
    (float_rule,) = op().reference(arrays, types, [out])
    reals = [
        (v.astype(np.float64) - t.quant.zero_point[0]) * t.quant.scale[0]
        for v, t in zip(arrays, types, strict=True)
        if t.quant
    ]
    real = {Add: np.add, Sub: np.subtract, Mul: np.multiply}[op](*reals) / 0.04 + 9
    assert np.abs(found - np.clip(real, -128, 127)).max() <= 0.52
    assert (found != float_rule).mean() < 0.02


SCALAR = q8(DType.INT8, (), 0.1, 3)


@pytest.mark.parametrize(
    ("op", "inputs"),
    [
        (Mul(), [SCALAR] * 2),
        (PRelu(), [SCALAR] * 2),
        (Transpose(()), [SCALAR]),
        (Unpack(0), [q8(DType.INT8, (1,), 0.1, 3)]),
        (Tile(()), [SCALAR]),
        (Real(), [TensorType((), DType.COMPLEX64)]),
        (Cast(DType.FLOAT32), [TensorType((), DType.COMPLEX64)]),
    ],
    ids=str,
)
def test_scalars_stay_scalars(op: Op, inputs: list[TensorType]) -> None:
    (out,) = (
        TensorType(t.shape, t.dtype, inputs[0].quant if t.dtype is DType.INT8 else None)
        for t in op.infer(inputs)
    )
    (y,) = op.reference([np.zeros(t.shape, t.dtype.numpy) for t in inputs], inputs, [out])
    assert (y.shape, y.dtype) == ((), out.dtype.numpy)


def test_overflow_is_a_result_like_others() -> None:
    """Nodes give it without a warning, which would be an error here."""
    t = TensorType((2,), DType.FLOAT32)
    node = Node(Square(), (Value("x", t),), (Value("y", t),))
    (y,) = node.reference([np.array([1e30, 2], np.float32)])
    np.testing.assert_array_equal(y, [np.inf, 4])
