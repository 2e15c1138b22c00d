"""Functions of one element: their tables against LiteRT, all 256 bytes over many parameters."""

from __future__ import annotations

import math
from dataclasses import replace
from statistics import NormalDist
from typing import Any

import numpy as np
import pytest
from op_cases import EIGHT_BIT, check, every_byte, q8, raised, raised_data, random_q8

from edgewise.dtype import DType
from edgewise.graph import TensorType
from edgewise.ops import (
    Abs,
    Ceil,
    Cos,
    Dequantize,
    Elu,
    Exp,
    Floor,
    Gelu,
    HardSwish,
    LeakyRelu,
    Log,
    Logistic,
    Neg,
    Quantize,
    Relu,
    Relu0To1,
    Relu6,
    ReluN1To1,
    Round,
    Rsqrt,
    Sign,
    Sin,
    Sqrt,
    Square,
    Tanh,
    Unary,
)
from edgewise.ops.unary import erfc
from tflite_builder import Tensor, run_litert, single

SHAPE = (1, 4, 8, 8)
FUNCTIONS = [Logistic(), Tanh(), Relu(), Relu6(), ReluN1To1(), Relu0To1(), HardSwish()]
FUNCTIONS += [LeakyRelu(float(np.float32(a))) for a in (0.3, 0.01, -0.1, 1e-4)]


def options(op: Unary) -> tuple[str, dict[str, Any]]:
    if isinstance(op, LeakyRelu):
        return "LeakyReluOptions", {"Alpha": op.alpha}
    return "", {}


@EIGHT_BIT
@pytest.mark.parametrize("op", FUNCTIONS, ids=str)
def test_tables(dtype: DType, op: Unary) -> None:
    rng = np.random.default_rng(0)
    table, fields = options(op)
    for i in range(25):
        x = random_q8(rng, dtype, SHAPE, 10 ** rng.uniform(-2.5, 0))
        assert x.quant is not None
        ratio = 10 ** rng.uniform(-0.9, 0.9)
        if i % 5 == 0 and not isinstance(op, HardSwish):
            ratio = 10 ** rng.uniform(-3, 3)
        out = random_q8(rng, dtype, SHAPE, x.quant.scale[0] * ratio)
        if i % 4 == 0:
            out = replace(out, quant=x.quant)
        if isinstance(op, Logistic):
            out = q8(dtype, SHAPE, 1 / 256, dtype.range[0])
        if isinstance(op, Tanh):
            out = q8(dtype, SHAPE, 1 / 128, dtype.range[0] + 128)
        check(op.name, op, [(x, every_byte(x))], out, table, **fields)


@EIGHT_BIT
def test_requantizing(dtype: DType) -> None:
    rng = np.random.default_rng(1)
    for i in range(30):
        x = random_q8(rng, dtype, SHAPE)
        assert x.quant is not None
        ratio = [1.0, 10 ** rng.uniform(-2, 2), 10 ** rng.uniform(-3, 3)][i % 3]
        out = random_q8(rng, dtype, SHAPE, x.quant.scale[0] * ratio)
        check("QUANTIZE", Quantize(dtype), [(x, every_byte(x))], out)


@EIGHT_BIT
def test_requantizing_to_the_other_dtype(dtype: DType) -> None:
    """Equal at equal scales; elsewhere LiteRT takes its built-in kernel, within one step."""
    rng = np.random.default_rng(1)
    to = DType.INT8 if dtype is DType.UINT8 else DType.UINT8
    for i in range(30):
        x = random_q8(rng, dtype, SHAPE)
        assert x.quant is not None
        ratio = 10 ** rng.uniform(-2, 2) if i % 2 else 1.0
        out = random_q8(rng, to, SHAPE, x.quant.scale[0] * ratio)
        data = every_byte(x)
        (found,) = Quantize(to).reference([data], [x], [out])
        (expected,) = run_litert(single("QUANTIZE", [Tensor(x)], [out]), [data])
        assert np.abs(found.astype(int) - expected).max() <= i % 2


@EIGHT_BIT
def test_quantizing_floats(dtype: DType) -> None:
    rng = np.random.default_rng(2)
    x = TensorType((1, 1000), DType.FLOAT32)
    for _ in range(20):
        out = random_q8(rng, dtype, (1, 1000))
        assert out.quant is not None
        data = (rng.uniform(-300, 300, x.shape) * out.quant.scale[0]).astype(np.float32)
        halves = rng.integers(-260, 260, 500) + 0.5
        data[0, :500] = halves.astype(np.float32) * np.float32(out.quant.scale[0])
        data[0, 500:504] = [np.inf, -np.inf, 3e38, -3e38]
        check("QUANTIZE", Quantize(dtype), [(x, data)], out)


@EIGHT_BIT
def test_dequantizing(dtype: DType) -> None:
    rng = np.random.default_rng(3)
    for _ in range(10):
        x = random_q8(rng, dtype, SHAPE)
        check("DEQUANTIZE", Dequantize(), [(x, every_byte(x))], TensorType(SHAPE, DType.FLOAT32))


@pytest.mark.parametrize("op", [*FUNCTIONS, Quantize()], ids=str)
def test_raising_the_zero_point_changes_nothing(op: Unary) -> None:
    rng = np.random.default_rng(4)
    for _ in range(10):
        x, out = (random_q8(rng, DType.INT8, SHAPE, 10 ** rng.uniform(-2, -1)) for _ in range(2))
        data = every_byte(x)
        (low,) = op.reference([data], [x], [out])
        (high,) = op.reference([raised_data(data)], [raised(x)], [raised(out)])
        np.testing.assert_array_equal(raised_data(low), high)


@pytest.mark.parametrize("scale", [1e-30, 1e-9, 1.0, 1e9, 1e30])
@pytest.mark.parametrize("op", [*FUNCTIONS, Quantize()], ids=str)
def test_extreme_scales_saturate(op: Unary, scale: float) -> None:
    """Tables of absurd parameters exist, and lie within a step of the real function."""
    x, out = q8(DType.INT8, SHAPE, scale, 0), q8(DType.INT8, SHAPE, 1.0, 5)
    with np.errstate(over="ignore"):
        real = op.real(np.arange(-128, 128) * float(np.float32(scale)))
    expected = np.clip(np.rint(np.clip(real, -999, 999)) + 5, -128, 127)
    table = op.table(x, out)[np.arange(-128, 128).astype(np.int8).view(np.uint8)]
    assert np.abs(table - expected).max() <= 1


@pytest.mark.parametrize("op", FUNCTIONS, ids=str)
def test_float(op: Unary) -> None:
    x = np.array([-1000, -7, -3, -0.5, 0, 0.5, 2, 5, 7, 1000], np.float32)
    real = x.astype(np.float64)
    expected = {
        "LOGISTIC": 0.5 * (1 + np.tanh(real / 2)),
        "TANH": np.tanh(real),
        "RELU": np.where(real > 0, real, 0),
        "RELU6": np.minimum(np.where(real > 0, real, 0), 6),
        "RELU_N1_TO_1": np.minimum(np.maximum(real, -1), 1),
        "RELU_0_TO_1": np.minimum(np.maximum(real, 0), 1),
        "HARD_SWISH": np.where(real > 3, real, np.where(real < -3, 0, real * (real + 3) / 6)),
        "LEAKY_RELU": real * np.where(real < 0, getattr(op, "alpha", 0), 1),
    }[op.name]
    types = [TensorType(x.shape, DType.FLOAT32)]
    (found,) = op.reference([x], types, op.infer(types))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-12)


INT8_FUNCTIONS = [Abs(), Elu(), Exp(), Gelu(), Log(), Rsqrt(), Sqrt()]
NOT_BELOW_0 = (Log, Rsqrt, Sqrt)


@pytest.mark.parametrize("op", INT8_FUNCTIONS, ids=str)
def test_tables_of_int8(op: Unary) -> None:
    """Functions that LiteRT has for int8, and for none but GELU for uint8."""
    rng = np.random.default_rng(0)
    for i in range(20):
        x = random_q8(rng, DType.INT8, SHAPE, 10 ** rng.uniform(-2.5, -0.5))
        if isinstance(op, NOT_BELOW_0):
            assert x.quant is not None
            x = q8(DType.INT8, SHAPE, x.quant.scale[0], -128)
        if i % 4 == 0 and not isinstance(op, Gelu):
            x = q8(DType.INT8, SHAPE, 0.05, -128 if isinstance(op, NOT_BELOW_0) else 7)
        out = random_q8(rng, DType.INT8, SHAPE, 0.04 if i % 4 == 0 else 10 ** rng.uniform(-2, 0))
        table, fields = ("GeluOptions", {}) if isinstance(op, Gelu) else ("", {})
        check(op.name, op, [(x, every_byte(x))], out, table, **fields)


INT16_FUNCTIONS = [Abs(), Exp(), Gelu(), Log(), Rsqrt(), Sqrt(), Relu(), Relu6(), LeakyRelu(0.25)]


@pytest.mark.parametrize("op", INT16_FUNCTIONS, ids=str)
@pytest.mark.parametrize("seed", range(4))
def test_tables_of_16_bits(op: Unary, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, out = (q8(DType.INT16, (2**15,), 10 ** rng.uniform(-4, -3), 0) for _ in range(2))
    first = 0 if isinstance(op, NOT_BELOW_0) else -(2**15)
    data = np.arange(first, 2**15, 1 if first == 0 else 2).astype(np.int16)
    table = "GeluOptions" if isinstance(op, Gelu) else options(op)[0]
    check(op.name, op, [(x, data)], out, table, **options(op)[1])


@pytest.mark.parametrize("op", [Logistic(), Tanh()], ids=str)
@pytest.mark.parametrize("scale", [2.0**-13, 2.0**-12, 2.0**-11, 2.0**-10, 3e-5, 4e-4, 7e-3])
def test_sigmoids_of_16_bits(op: Unary, scale: float) -> None:
    x, out = q8(DType.INT16, (2**16,), scale, 0), q8(DType.INT16, (2**16,), 2.0**-15, 0)
    check(op.name, op, [(x, np.arange(-(2**15), 2**15).astype(np.int16))], out)


def test_a_table_of_16_bits_of_any_function_follows_it() -> None:
    """Without a rule of LiteRT's, samples are interpolated."""
    x, out = q8(DType.INT16, (2**16,), 1e-4, 0), q8(DType.INT16, (2**16,), 2.0**-15, 0)
    values = np.arange(-(2**15), 2**15)
    for op, real in ((Sin(), np.sin), (Cos(), np.cos), (Elu(), np.expm1)):
        (found,) = op.reference([values.astype(np.int16)], [x], [out])
        expected = np.clip(real(values * np.float32(1e-4)) * 2**15, -(2**15), 2**15 - 1)
        below = slice(0, 2**15)
        assert np.abs(found[below] - expected[below]).max() < 4


FLOATS = {
    "ABS": (Abs(), np.fabs),
    "NEG": (Neg(), lambda x: 0 - x),
    "EXP": (Exp(), lambda x: np.power(np.e, x)),
    "LOG": (Log(), lambda x: np.log2(x) / np.log2(np.e)),
    "SQRT": (Sqrt(), lambda x: np.power(x, 0.5)),
    "RSQRT": (Rsqrt(), lambda x: np.power(x, -0.5)),
    "SQUARE": (Square(), lambda x: x * x),
    "SIN": (Sin(), lambda x: np.exp(1j * x).imag),
    "COS": (Cos(), lambda x: np.exp(1j * x).real),
    "FLOOR": (Floor(), lambda x: x - np.mod(x, 1)),
    "CEIL": (Ceil(), lambda x: x + np.mod(-x, 1)),
    "ROUND": (Round(), lambda x: np.array([round(v) for v in x.tolist()])),
    "SIGN": (Sign(), lambda x: (x > 0) * 1.0 - (x < 0)),
    "ELU": (Elu(), lambda x: np.where(x > 0, x, np.exp(np.minimum(x, 0)) - 1)),
    "GELU": (Gelu(), lambda x: x * _phi(x)),
}


def _phi(x: Any) -> Any:
    return np.array([NormalDist().cdf(v) for v in x.tolist()])


@pytest.mark.parametrize("name", FLOATS)
@pytest.mark.parametrize("dtype", [DType.FLOAT16, DType.FLOAT32, DType.FLOAT64], ids=str)
def test_functions_of_floats(name: str, dtype: DType) -> None:
    op, real = FLOATS[name]
    x = np.array([-4.5, -3.5, -2.5, -1, -0.25, 0, 0.25, 0.5, 1.5, 2.5, 7.75]).astype(dtype.numpy)
    if isinstance(op, NOT_BELOW_0):
        x = x[6:]
    types = [TensorType(x.shape, dtype)]
    (found,) = op.reference([x], types, op.infer(types))
    assert op.name == name
    assert found.dtype == dtype.numpy
    expected = real(x.astype(np.float64))
    tolerance = 2.0 ** -(10 if dtype is DType.FLOAT16 else 23)
    np.testing.assert_allclose(found, expected, rtol=tolerance, atol=1e-7)


def test_erfc() -> None:
    x = np.concatenate((np.linspace(-7, 27, 4001), [-1e300, -0.0, 1e-300, 1e300, np.inf]))
    expected = [math.erfc(v) for v in x]
    np.testing.assert_allclose(erfc(x), expected, rtol=1e-12, atol=1e-300)


def test_gelu_of_infinities() -> None:
    x, t = np.array([-np.inf, np.inf], np.float32), TensorType((2,), DType.FLOAT32)
    for op in (Gelu(), Gelu(approximate=True)):
        np.testing.assert_array_equal(op.reference([x], [t], [t])[0], [0, np.inf])


def test_gelu_by_tanh_is_close_to_gelu() -> None:
    x = np.linspace(-6, 6, 1001)
    assert 1e-5 < np.abs(Gelu().real(x) - Gelu(approximate=True).real(x)).max() < 1e-3


def test_functions_of_plain_integers() -> None:
    x = np.array([-(2**31), -3, 0, 7], np.int32)
    types = [TensorType(x.shape, DType.INT32)]
    for op, expected in (
        (Abs(), [-(2**31), 3, 0, 7]),
        (Neg(), [-(2**31), 3, 0, -7]),
        (Sign(), [-1, -1, 0, 1]),
        (Square(), [0, 9, 0, 49]),
    ):
        (found,) = op.reference([x], types, op.infer(types))
        np.testing.assert_array_equal(found, np.array(expected, np.int32), strict=True)


def test_what_is_not_defined() -> None:
    """Floats as IEEE says; quantized, log(0) is the least value and 1 / sqrt(0) the greatest."""
    x = np.array([-1, 0], np.float32)
    types = [TensorType((2,), DType.FLOAT32)]
    (log,) = Log().reference([x], types, types)
    (root,) = Rsqrt().reference([x], types, types)
    np.testing.assert_array_equal(log, [np.nan, -np.inf])
    np.testing.assert_array_equal(root, [np.nan, np.inf])
    t = q8(DType.INT8, (1,), 2.0**-6, 0)
    (log,) = Log().reference([np.zeros(1, np.int8)], [t], [t])
    (root,) = Rsqrt().reference([np.zeros(1, np.int8)], [t], [t])
    assert (log[0], root[0]) == (-128, 127)
