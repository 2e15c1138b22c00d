"""SOFTMAX of 16 bits, LOG_SOFTMAX, L2_NORMALIZATION, LOCAL_RESPONSE_NORMALIZATION."""

from __future__ import annotations

import numpy as np
import pytest
from op_cases import EIGHT_BIT, check, fill, q8

from edgewise.dtype import DType
from edgewise.graph import TensorType
from edgewise.ops import L2Normalization, LocalResponseNormalization, LogSoftmax, Op, Softmax

I16, F32 = DType.INT16, DType.FLOAT32
LENGTHS = pytest.mark.parametrize("shape", [(3, 1), (4, 7), (2, 3, 100), (2, 1001)], ids=str)


@LENGTHS
@pytest.mark.parametrize("scale", [2e-5, 3e-4, 1.1e-3, 0.01])
@pytest.mark.parametrize("beta", [1.0, 0.5])
def test_softmax_of_16_bits(shape: tuple[int, ...], scale: float, beta: float) -> None:
    rng = np.random.default_rng(0)
    x, out = q8(I16, shape, scale, 0), q8(I16, shape, 2.0**-15, 0)
    check("SOFTMAX", Softmax(beta), [(x, fill(rng, x))], out, "SoftmaxOptions", Beta=beta)


def test_softmax_of_16_bits_at_every_sample_of_its_tables() -> None:
    """Rows of the greatest number and each other: all that exp and 1 / (1 + x) are asked for."""
    pairs = np.stack((np.full(2**16, 2**15 - 1), np.arange(-(2**15), 2**15)), 1).astype(np.int16)
    x, out = q8(I16, pairs.shape, 10 / 65535, 0), q8(I16, pairs.shape, 2.0**-15, 0)
    check("SOFTMAX", Softmax(), [(x, pairs)], out, "SoftmaxOptions", Beta=1.0)


@LENGTHS
@EIGHT_BIT
@pytest.mark.parametrize("scale", [0.01, 0.05, 0.5])
def test_log_softmax_of_8_bits(shape: tuple[int, ...], dtype: DType, scale: float) -> None:
    rng = np.random.default_rng(0)
    x, out = q8(dtype, shape, scale, 3), q8(dtype, shape, 16 / 256, dtype.range[1])
    check("LOG_SOFTMAX", LogSoftmax(), [(x, fill(rng, x))], out)


@LENGTHS
@EIGHT_BIT
@pytest.mark.parametrize("place", [0, 100, 255])
def test_l2_normalization_of_8_bits(shape: tuple[int, ...], dtype: DType, place: int) -> None:
    rng = np.random.default_rng(0)
    low = dtype.range[0]
    x, out = q8(dtype, shape, 0.05, low + place), q8(dtype, shape, 1 / 128, low + 128)
    check("L2_NORMALIZATION", L2Normalization(), [(x, fill(rng, x))], out, "L2NormOptions")


def floats(op: Op, x: np.ndarray) -> np.ndarray:
    types = [TensorType(x.shape, F32)]
    (found,) = op.reference([x], types, op.infer(types))
    assert found.dtype == np.float32
    return found


@LENGTHS
def test_floats(shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(0, 3, shape).astype(np.float32)
    wide = x.astype(np.float64)
    shares = np.exp(wide) / np.exp(wide).sum(-1, keepdims=True)
    np.testing.assert_allclose(floats(Softmax(), x), shares, rtol=1e-6)
    np.testing.assert_allclose(floats(LogSoftmax(), x), np.log(shares), rtol=1e-6, atol=1e-12)
    lengths = np.linalg.norm(wide, axis=-1, keepdims=True)
    np.testing.assert_allclose(floats(L2Normalization(), x), wide / lengths, rtol=1e-6)


def test_floats_that_overflow_or_vanish() -> None:
    x = np.array([[1e4, 0], [-1e4, -1e4]], np.float32)
    expected = np.array([[0, -1e4], [-np.log(2)] * 2], np.float32)
    np.testing.assert_array_equal(floats(LogSoftmax(), x), expected)
    np.testing.assert_array_equal(floats(L2Normalization(), 0 * x), 0 * x)


@pytest.mark.parametrize("radius", [0, 1, 2, 5, 2**31 - 1])
def test_local_response_normalization(radius: int) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(0, 2, (2, 3, 1, 9)).astype(np.float32)
    found = floats(LocalResponseNormalization(radius, 2.0, 0.25, 0.75), x)
    for c in range(9):
        window = x[..., max(c - radius, 0) : c + radius + 1].astype(np.float64)
        base = 2.0 + 0.25 * (window * window).sum(-1)
        np.testing.assert_allclose(found[..., c], x[..., c] / base**0.75, rtol=1e-6)


def test_infinities_stay_in_their_windows() -> None:
    x = np.array([np.inf, 1, 1, 1, 1], np.float32).reshape(1, 1, 1, 5)
    found = floats(LocalResponseNormalization(1, 1.0, 1.0, 1.0), x).ravel()
    np.testing.assert_allclose(found[1:], [0, 1 / 4, 1 / 4, 1 / 3], rtol=1e-6)
