"""Tables, DEQUANTIZE and QUANTIZE kernels against numpy and the operators' references."""

from __future__ import annotations

import numpy as np
import pytest

from edgewise.dtype import DType, QParams
from edgewise.graph import TensorType
from edgewise.kernels import views
from edgewise.kernels.isa import Isa
from edgewise.kernels.lookup import Dequantize, Lookup, LookupWide, Quantize, Rescale
from edgewise.ops import Dequantize as DequantizeOp
from edgewise.ops import Quantize as QuantizeOp
from edgewise.ops.tables import scale_ratio, shift_factor

from .harness import Array, Buffer, isas, run, view


def quantized(isa: Isa, shape: tuple[int, ...], scale: float, zero: int) -> TensorType:
    """``zero`` counts from the least value of the type."""
    dtype = DType.UINT8 if isa.activation.kind == "u" else DType.INT8
    return TensorType(shape, dtype, QParams.per_tensor(scale, zero + dtype.range[0]))


def check(
    variant: Lookup | LookupWide | Dequantize | Quantize | Rescale,
    x: Array,
    expected: Array,
    constants: dict[str, object],
    block: int = 1 << 30,
) -> None:
    """x and expected of rank 4 at most, whose runs lie apart."""
    *outer, n = (1,) * (4 - x.ndim) + x.shape
    fields: dict[str, object] = {"d1": outer[1], "d2": outer[2], "n": n, "block": block}
    buffers: list[Buffer] = []
    for name, array in (("x", x), ("y", np.zeros_like(expected))):
        buffer, strides = view(array.reshape(*outer, n), (*outer, n), gap=3)
        fields[name] = buffer
        fields |= {f"{name}_{i}": s for i, s in enumerate(strides)}
        buffers.append(buffer)
    y = buffers[1]
    left = y.array.copy()
    left[..., :n] = expected.reshape(*outer, n)
    run(variant, views.units(outer, n, block), fields | constants, [y])
    np.testing.assert_array_equal(y.array.view(np.uint8), left.view(np.uint8))


@isas
def test_every_byte_by_table(isa: Isa) -> None:
    table = np.random.default_rng(2).permutation(256).astype(np.uint8)
    x = np.arange(256, dtype=np.uint8)
    check(Lookup(isa), x, table[x], {"table": Buffer(table)})


@isas
def test_table_of_every_run_length(isa: Isa) -> None:
    rng = np.random.default_rng(3)
    table = rng.integers(0, 256, 256).astype(np.uint8)
    for n in range(1, 2 * isa.bits // 8 + 2):
        x = rng.integers(0, 256, (2, n)).astype(np.uint8)
        check(Lookup(isa), x, table[x], {"table": Buffer(table)})


@isas
@pytest.mark.parametrize("block", [1, 7, 64, 100])
def test_table_in_blocks(isa: Isa, block: int) -> None:
    rng = np.random.default_rng(4)
    table = rng.integers(0, 256, 256).astype(np.uint8)
    x = rng.integers(0, 256, (2, 2, 2, 143)).astype(np.uint8)
    check(Lookup(isa), x, table[x], {"table": Buffer(table)}, block)


@isas
@pytest.mark.parametrize("ratio", [2.0**-8, 0.3, 0.998, 1.0, 1.7, 100.0, 127.99])
@pytest.mark.parametrize(("zero", "out_zero"), [(0, 255), (255, 0), (128, 120), (37, 255)])
def test_every_byte_rescaled(isa: Isa, ratio: float, zero: int, out_zero: int) -> None:
    """QUANTIZE from 8 bits to 8 bits, by arithmetic."""
    x, y = quantized(isa, (256,), 0.5 * ratio, zero), quantized(isa, (256,), 0.5, out_zero)
    assert x.quant is not None
    assert y.quant is not None
    low, high = x.dtype.range
    every = np.arange(low, high + 1).astype(x.dtype.numpy)
    (expected,) = QuantizeOp(y.dtype).reference([every], [x], [y])
    zeros = {"zero": x.quant.zero_point[0], "zero_point": y.quant.zero_point[0]}
    constants = {**zeros, "factor": shift_factor(scale_ratio(QuantizeOp(y.dtype), x, y)[1])}
    for n in (1, isa.bits // 8 - 1, isa.bits // 8 + 3, 256):
        check(Rescale(isa), every[256 - n :], expected[256 - n :], constants)


@isas
def test_table_in_place(isa: Isa) -> None:
    rng = np.random.default_rng(5)
    table = rng.integers(0, 256, 256).astype(np.uint8)
    buffer = Buffer(rng.integers(0, 256, 300 + views.SLACK).astype(np.uint8))
    expected = buffer.array.copy()
    expected[:300] = table[expected[:300]]
    strides = {f"{name}_{i}": 0 for name in "xy" for i in range(3)}
    sizes = {"d1": 1, "d2": 1, "n": 300, "block": 128}
    values = {"x": buffer, "y": buffer, "table": Buffer(table), **strides, **sizes}
    run(Lookup(isa), 3, values, [buffer])
    np.testing.assert_array_equal(buffer.array, expected)


@isas
@pytest.mark.parametrize("narrow", [False, True])
@pytest.mark.parametrize("entry", [np.uint8, np.uint16])
def test_wide_table(isa: Isa, narrow: bool, entry: type[np.generic]) -> None:
    rng = np.random.default_rng(8)
    index = np.uint8 if narrow else np.uint16
    table = rng.integers(0, 60000, np.iinfo(index).max + 1).astype(entry)
    for n in (1, 7, 8, 21):
        x = rng.integers(0, table.size, (2, 3, n)).astype(index)
        x.ravel()[:2] = 0, table.size - 1
        variant = LookupWide(isa, (False,), table.itemsize, narrow)
        check(variant, x, table[x], {"table": Buffer(table)}, block=10)


@isas
@pytest.mark.parametrize("fixed", [(False, False), (False, True), (True, False)])
def test_table_of_pairs(isa: Isa, fixed: tuple[bool, bool]) -> None:
    rng = np.random.default_rng(9)
    table = rng.integers(0, 256, 65536).astype(np.uint8)
    a, b = (rng.integers(0, 256, (2, 3, 1 if f else 37)).astype(np.uint8) for f in fixed)
    expected = table[a.astype(int) * 256 + b]
    y = Buffer(np.zeros((2, 3, 40), np.uint8))
    values: dict[str, object] = {"d1": 2, "d2": 3, "n": 37, "block": 20, "y": y}
    for name, array in (("a", a), ("b", b)):
        values |= {name: Buffer(array), f"{name}_0": 0}
        values |= {f"{name}_{i + 1}": s for i, s in enumerate(array.strides[:2])}
    values |= {"y_0": 0, "y_1": 120, "y_2": 40, "table": Buffer(table)}
    run(LookupWide(isa, fixed), views.units((2, 3), 37, 20), values, [y])
    np.testing.assert_array_equal(y.array[..., :37], expected)
    assert not y.array[..., 37:].any()


@isas
@pytest.mark.parametrize(("scale", "zero"), [(0.1, 0), (1 / 255, 255), (2e-38, 77), (1e36, 128)])
def test_dequantize(isa: Isa, scale: float, zero: int) -> None:
    for shape in ((256,), (3, 1), (2, 7), (2, 33), (2, 2, 65)):
        t = quantized(isa, shape, scale, zero)
        x = np.resize(np.arange(256, dtype=np.uint8), shape).view(t.dtype.numpy)
        (expected,) = DequantizeOp().reference([x], [t], [TensorType(shape, DType.FLOAT32)])
        assert t.quant is not None
        constants = {"zero": t.quant.zero_point[0], "scale": t.quant.scale[0]}
        check(Dequantize(isa), x, expected, constants, block=48)


def quantize(isa: Isa, x: Array, scale: float, zero: int, block: int = 1 << 30) -> None:
    t, out = TensorType(x.shape, DType.FLOAT32), quantized(isa, x.shape, scale, zero)
    (expected,) = QuantizeOp(out.dtype).reference([x], [t], [out])
    assert out.quant is not None
    low, high = out.dtype.range
    constants = {"zero_point": out.quant.zero_point[0], "scale": scale, "lo": low, "hi": high}
    check(Quantize(isa), x, expected, constants, block)


@isas
def test_quantize_every_run_length(isa: Isa) -> None:
    rng = np.random.default_rng(6)
    for n in range(1, 2 * isa.bits // 8 + 2):
        quantize(isa, rng.normal(0, 3, (2, n)).astype(np.float32), 0.05, 99)


@isas
@pytest.mark.parametrize("zero", [0, 1, 128, 255])
def test_quantize_of_extreme_values(isa: Isa, zero: int) -> None:
    halves = np.arange(-600, 600, dtype=np.float32) / 2
    huge = np.array([3e38, 1e10, 2**31, 2**31 - 128, 1e-45, 0.0, np.inf], np.float32)
    x = np.concatenate([halves, huge, -huge, np.nextafter(halves, np.float32(np.inf))])
    for scale in (1.0, 0.1, 2e-38, 1e30):
        quantize(isa, x, float(np.float32(scale)), zero, block=100)


@isas
def test_quantize_gives_the_least_for_nan(isa: Isa) -> None:
    x = np.array([np.nan, 1.0, -np.nan] * 30, np.float32)
    quantize(isa, x, 1.0, 128)
    quantize(isa, x[:2], 1.0, 255)
