"""Functions of one element: their tables against LiteRT, all 256 bytes over many parameters."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from op_cases import EIGHT_BIT, check, every_byte, q8, raised, raised_data, random_q8

from edgewise.dtype import DType
from edgewise.graph import TensorType
from edgewise.ops import (
    Dequantize,
    HardSwish,
    LeakyRelu,
    Logistic,
    Quantize,
    Relu,
    Relu6,
    ReluN1To1,
    Tanh,
    Unary,
)
from tflite_builder import Tensor, run_litert, single

SHAPE = (1, 4, 8, 8)
FUNCTIONS = [Logistic(), Tanh(), Relu(), Relu6(), ReluN1To1(), HardSwish()]
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
        "HARD_SWISH": np.where(real > 3, real, np.where(real < -3, 0, real * (real + 3) / 6)),
        "LEAKY_RELU": real * np.where(real < 0, getattr(op, "alpha", 0), 1),
    }[op.name]
    types = [TensorType(x.shape, DType.FLOAT32)]
    (found,) = op.reference([x], types, op.infer(types))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-12)
