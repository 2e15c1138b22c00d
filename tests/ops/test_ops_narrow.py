"""NARROW_FLOAT, beside the ml_dtypes package's types."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest

from edgewise.dtype import DType
from edgewise.errors import GraphError
from edgewise.graph import TensorType
from edgewise.importers.onnx_narrow import FLOATS
from edgewise.ops import NarrowFloat

TYPES = {
    16: ml_dtypes.bfloat16,
    17: ml_dtypes.float8_e4m3fn,
    18: ml_dtypes.float8_e4m3fnuz,
    19: ml_dtypes.float8_e5m2,
    20: ml_dtypes.float8_e5m2fnuz,
    23: ml_dtypes.float4_e2m1fn,
}


def run(op: NarrowFloat, x: np.ndarray) -> np.ndarray:
    t = TensorType(x.shape, DType.FLOAT32)
    (y,) = op.reference([x], [t], [t])
    return y


def samples(code: int) -> np.ndarray:
    """Every value of a type of 8 bits or fewer, what lies between two, and numbers of any size."""
    rng = np.random.default_rng(code)
    every = np.nan_to_num(FLOATS[code].values(), posinf=0, neginf=0) if code != 16 else np.zeros(1)
    every = np.sort(every.astype(np.float32))
    middles = (every[1:] + every[:-1]) / 2
    wild = rng.normal(0, 1, 2000) * 10.0 ** rng.uniform(-9, 9, 2000)
    return np.concatenate([every, middles, wild, [0.0, -0.0]]).astype(np.float32)


@pytest.mark.parametrize("code", TYPES)
def test_numbers_are_rounded_as_the_type_rounds_them(code: int) -> None:
    x = samples(code)
    greatest = float(ml_dtypes.finfo(TYPES[code]).max)
    inside = x[np.abs(x) <= greatest]
    expected = inside.astype(TYPES[code]).astype(np.float32)
    np.testing.assert_array_equal(run(FLOATS[code].cast(), inside), expected)


@pytest.mark.parametrize("code", TYPES)
def test_values_are_those_of_every_pattern_of_bits(code: int) -> None:
    bits = FLOATS[code].bits
    patterns = np.arange(2**bits, dtype=np.uint16 if bits > 8 else np.uint8)
    expected = patterns.view(TYPES[code]).astype(np.float32)
    np.testing.assert_array_equal(FLOATS[code].values(), expected)


def test_what_is_too_great() -> None:
    x = np.array([1e6, -1e6, np.inf, -np.inf, np.nan, 460.0, 470.0], np.float32)
    np.testing.assert_array_equal(
        run(FLOATS[17].cast(True), x), np.array([448, -448, 448, -448, np.nan, 448, 448], "f4")
    )
    np.testing.assert_array_equal(
        run(FLOATS[17].cast(False), x), np.array([np.nan] * 5 + [448, np.nan], "f4")
    )
    np.testing.assert_array_equal(
        run(FLOATS[19].cast(False), x[:5]), np.array([np.inf, -np.inf, np.inf, -np.inf, np.nan])
    )
    np.testing.assert_array_equal(run(FLOATS[23].cast(), x[3:5]), np.array([-6, 0], "f4"))


def test_it_takes_float32() -> None:
    with pytest.raises(GraphError, match="NARROW_FLOAT: input is int8; it must be float32"):
        NarrowFloat().infer([TensorType((2,), DType.INT8)])
