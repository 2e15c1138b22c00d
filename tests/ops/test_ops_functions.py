"""Functions of one element that .tflite files have not: exact values, edges, tables."""

from __future__ import annotations

import math

import numpy as np
import pytest

from edgewise import ops
from edgewise.dtype import DType, QParams
from edgewise.graph import Array, TensorType

NAMES = ("Acos", "Acosh", "Asin", "Asinh", "Atan", "Atanh", "Cosh", "Erf", "Sinh", "Tan")


def apply(op: ops.Op, x: Array) -> Array:
    t = TensorType(x.shape, DType.of(x))
    (y,) = op.reference([x], [t], op.infer([t]))
    return y


@pytest.mark.parametrize("name", NAMES)
def test_as_the_library_of_mathematics(name: str) -> None:
    low, high = {"Acosh": (1, 5), "Acos": (-1, 1), "Asin": (-1, 1)}.get(name, (-0.9, 0.9))
    x = np.linspace(low, high, 41)
    expected = [getattr(math, name.lower())(v) for v in x]
    np.testing.assert_allclose(apply(getattr(ops, name)(), x), expected, rtol=1e-14, atol=1e-15)


def test_softplus_and_mish() -> None:
    x = np.array([-800, -100, -1, 0, 1, 30, 800], np.float64)
    softplus = apply(ops.Softplus(), x)
    np.testing.assert_allclose(softplus[2:5], np.log1p(np.exp(x[2:5])), rtol=1e-14)
    assert softplus.tolist()[-2:] == [30 + math.log1p(math.exp(-30)), 800]
    mish = apply(ops.Mish(), x)
    np.testing.assert_allclose(mish[2:], x[2:] * np.tanh(softplus[2:]), rtol=1e-13)
    assert apply(ops.Mish(), np.array([-np.inf, np.inf])).tolist() == [-0.0, np.inf]


def test_on_quantized_tensors_they_are_tables() -> None:
    t = TensorType((256,), DType.INT8, QParams.per_tensor(1 / 64, 0))
    out = TensorType((256,), DType.INT8, QParams.per_tensor(1 / 128, 3))
    x = np.arange(-128, 128).astype(np.int8)
    (y,) = ops.Erf().reference([x], [t], [out])
    expected = [math.erf(v / 64) * 128 + 3 for v in range(-128, 128)]
    assert np.abs(y - np.clip(np.rint(expected), -128, 127)).max() <= 1
