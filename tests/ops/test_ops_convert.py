"""CAST, BITCAST, FAKE_QUANT, and conversions between quantizations of 16 bits."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from op_cases import check, fill, q8

from edgewise.dtype import DType, QParams
from edgewise.graph import TensorType
from edgewise.ops import Bitcast, Cast, Dequantize, FakeQuant, Quantize
from tflite_builder import TYPES

F16, F32, F64, C64, C128 = (
    DType.FLOAT16,
    DType.FLOAT32,
    DType.FLOAT64,
    DType.COMPLEX64,
    DType.COMPLEX128,
)
I8, U8, I16, I32, I64, BOOL = (
    DType.INT8,
    DType.UINT8,
    DType.INT16,
    DType.INT32,
    DType.INT64,
    DType.BOOL,
)
NUMBERS = [d for d in DType if d is not DType.STRING]


def plain(dtype: DType, *shape: int) -> TensorType:
    return TensorType(shape, dtype)


def numbers(rng: np.random.Generator, t: TensorType) -> Any:
    """Numbers that every type but the 8-bit ones can hold."""
    if t.dtype is BOOL:
        return rng.integers(2, size=t.shape).astype(bool)
    low = 0 if t.dtype.numpy.kind == "u" else -100
    values = rng.uniform(low, 100, t.shape)
    if t.dtype in (C64, C128):
        values = values + 1j * rng.uniform(-9, 9, t.shape)
    return values.astype(t.dtype.numpy)


PAIRS = [
    (a, b)
    for a in (F32, F64, I8, U8, I16, I32, I64, DType.UINT16, DType.UINT32, BOOL)
    for b in (F32, F64, I8, U8, I16, I32, I64, DType.UINT16, DType.UINT32, BOOL)
    if (a, b) not in {(F64, DType.UINT32), (DType.UINT32, F64)}
]


@pytest.mark.parametrize(("source", "target"), [*PAIRS, (C64, F32), (F32, C64), (F16, F32)])
def test_casts(source: DType, target: DType) -> None:
    x, out = plain(source, 3, 5), plain(target, 3, 5)
    fields = {"InDataType": TYPES[source], "OutDataType": TYPES[target]}
    data = numbers(np.random.default_rng(0), x)
    check("CAST", Cast(target), [(x, data)], out, "CastOptions", **fields)


@pytest.mark.parametrize("target", [I8, U8, I16, I32, I64], ids=str)
def test_casts_of_special_floats(target: DType) -> None:
    values = [np.inf, -np.inf, np.nan, 3e9, -3e9, 1e20, 255.9, -0.9, 256, -129, 65536.5, 2.0**31]
    data = np.array(values, np.float32)
    x, out = plain(F32, len(data)), plain(target, len(data))
    fields = {"InDataType": TYPES[F32], "OutDataType": TYPES[target]}
    check("CAST", Cast(target), [(x, data)], out, "CastOptions", **fields)


@pytest.mark.parametrize("source", NUMBERS, ids=str)
@pytest.mark.parametrize("target", NUMBERS, ids=str)
def test_every_pair_of_types_keeps_small_numbers(source: DType, target: DType) -> None:
    x = np.array([0, 1, 7, 100]).astype(source.numpy)
    types = [TensorType((4,), source)]
    op = Cast(target)
    (found,) = op.reference([x], types, op.infer(types))
    kept = [0, 1, 1, 1] if BOOL in (source, target) else [0, 1, 7, 100]
    np.testing.assert_array_equal(found, np.array(kept).astype(target.numpy), strict=True)


@pytest.mark.parametrize(
    ("source", "shape", "target", "result"),
    [
        (F32, (3, 4), I32, (3, 4)),
        (I32, (3, 4), I16, (3, 4, 2)),
        (I16, (3, 2), F32, (3,)),
        (U8, (5, 4), I32, (5,)),
        (I64, (2,), U8, (2, 8)),
    ],
)
def test_bitcast(
    source: DType, shape: tuple[int, ...], target: DType, result: tuple[int, ...]
) -> None:
    x, out = plain(source, *shape), plain(target, *result)
    data = np.random.default_rng(0).uniform(0, 100, shape).astype(source.numpy)
    check("BITCAST", Bitcast(target), [(x, data)], out, "BitcastOptions")


@pytest.mark.parametrize(("source", "target"), [(I16, I16), (I16, I8), (I8, I16)], ids=str)
@pytest.mark.parametrize("seed", range(6))
def test_requantizing_16_bits(source: DType, target: DType, seed: int) -> None:
    rng = np.random.default_rng(seed)
    scales = {I16: 10 ** rng.uniform(-4, -2), I8: 10 ** rng.uniform(-2, 0)}
    x, out = (
        q8(d, (3000,), scales[d] * (1.7 if i else 1), 0 if d is I16 else -9)
        for i, d in enumerate((source, target))
    )
    check("QUANTIZE", Quantize(target), [(x, fill(rng, x))], out)


@pytest.mark.parametrize(("source", "target"), [(I16, I32), (I32, I16), (I32, I8)], ids=str)
@pytest.mark.parametrize("seed", range(4))
def test_requantizing_32_bits(source: DType, target: DType, seed: int) -> None:
    rng = np.random.default_rng(seed)
    scales = {I32: 10 ** rng.uniform(-6, -4), I16: 10 ** rng.uniform(-3, -2), I8: 0.3}
    x, out = (q8(d, (3000,), scales[d], 0) for d in (source, target))
    data = rng.integers(-30000, 30000, 3000).astype(source.numpy)
    check("QUANTIZE", Quantize(target), [(x, data)], out)


def test_quantizing_floats_to_16_bits_and_back() -> None:
    rng = np.random.default_rng(0)
    x, q = plain(F32, 2000), q8(I16, (2000,), 0.003, 0)
    data = rng.uniform(-120, 120, 2000).astype(np.float32)
    data[:1000] = (rng.integers(-2000, 2000, 1000) + 0.5) * np.float32(0.003)
    check("QUANTIZE", Quantize(I16), [(x, data)], q)
    check("DEQUANTIZE", Dequantize(), [(q, fill(rng, q))], x)


def test_dequantizing_channels() -> None:
    scales, zeros = (0.5, 0.25, 2.0), (0, -3, 7)
    t = TensorType((2, 3, 2), I8, QParams(scales, zeros, 1))
    x = np.random.default_rng(0).integers(-128, 128, t.shape).astype(np.int8)
    (found,) = Dequantize().reference([x], [t], Dequantize().infer([t]))
    for c in range(3):
        np.testing.assert_array_equal(
            found[:, c], (x[:, c].astype(np.float32) - zeros[c]) * scales[c]
        )
    assert found.dtype == np.float32


def test_dequantizing_float16_keeps_numbers() -> None:
    x = plain(F16, 5)
    data = np.array([0.1, -2, 65504, np.inf, 6e-8], np.float16)
    check("DEQUANTIZE", Dequantize(), [(x, data)], plain(F32, 5))
    half = Dequantize(F16)
    q = q8(I8, (2,), 0.5, 1)
    (found,) = half.reference([np.array([4, -5], np.int8)], [q], half.infer([q]))
    np.testing.assert_array_equal(found, np.array([1.5, -3], np.float16), strict=True)


@pytest.mark.parametrize("bits", [8, 4, 16])
@pytest.mark.parametrize("bounds", [(-6.0, 6.0), (0.0, 6.0), (-1.0, 3.3), (-2.5, 0.3)])
def test_fake_quant(bits: int, bounds: tuple[float, float]) -> None:
    rng = np.random.default_rng(0)
    x = plain(F32, 1000)
    least, greatest = (float(np.float32(b)) for b in bounds)
    fields = {"Min": least, "Max": greatest, "NumBits": bits}
    data = rng.uniform(-8, 8, 1000).astype(np.float32)
    op = FakeQuant(least, greatest, bits)
    check("FAKE_QUANT", op, [(x, data)], x, "FakeQuantOptions", **fields)


def test_fake_quant_of_a_narrow_range_has_one_step_less() -> None:
    x = np.linspace(-3, 3, 1001).astype(np.float32)
    types = [plain(F32, 1001)]
    for narrow, steps in ((False, 16), (True, 15)):
        op = FakeQuant(-1.0, 1.0, 4, narrow)
        (found,) = op.reference([x], types, op.infer(types))
        assert len(np.unique(found)) == steps
        assert 0 in found
