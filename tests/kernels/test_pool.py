"""Pooling kernels give what the operators' references define, bit for bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from edgewise.dtype import DType, QParams
from edgewise.graph import TensorType
from edgewise.kernels.image import block_width, block_widths
from edgewise.kernels.ir import Type, f32, i16
from edgewise.kernels.isa import AVX2, SSE41, Isa
from edgewise.kernels.pool import Pool, PoolOp
from edgewise.ops import AveragePool2D, MaxPool2D
from edgewise.ops.base import Activation
from edgewise.ops.requant import activation_range

from .harness import isas, run
from .images import View, activation, pixels, quantized


def pool(
    variant: Pool,
    x: np.ndarray[Any, Any],
    op: AveragePool2D | MaxPool2D,
    tight: bool,
    zero_point: int = 3,
) -> None:
    """Run one pooling operator and compare it with its reference."""
    xt = quantized(x.shape, activation(variant.isa), 0.05, zero_point)
    (out,) = op.infer([xt])
    (expected,) = op.reference([x], [xt], [out])
    lo, hi = activation_range(out, op.activation)
    a, c = View.around(x, tight), View.empty(out.shape, out.dtype.numpy, tight)
    run(
        variant,
        out.shape[0] * out.shape[1],
        {
            **a.values("a"),
            **c.values("c"),
            "height": x.shape[1],
            "width": x.shape[2],
            "out_height": out.shape[1],
            "out_width": out.shape[2],
            "channels": x.shape[3],
            "filter_h": op.filter[0],
            "filter_w": op.filter[1],
            "stride_h": op.stride[0],
            "stride_w": op.stride[1],
            "top": op.padding[0],
            "left": op.padding[2],
            "lo": lo,
            "hi": hi,
            **({"zero_point": op.raw_zero} if isinstance(op, AveragePool2D) else {}),
        },
        [c.buffer],
    )
    c.check(expected)


WINDOWS = [
    ((1, 1), (1, 1), (0, 0, 0, 0), Activation.NONE),
    ((2, 2), (2, 2), (0, 0, 0, 0), Activation.RELU),
    ((3, 3), (1, 1), (1, 1, 1, 1), Activation.RELU6),
    ((3, 2), (2, 3), (2, 1, 0, 1), Activation.NONE),
    ((5, 7), (3, 1), (4, 3, 6, 2), Activation.RELU_N1_TO_1),
]


@isas
@pytest.mark.parametrize("op", ["average", "max"])
def test_windows(isa: Isa, op: PoolOp) -> None:
    rng = np.random.default_rng(1)
    kind = AveragePool2D if op == "average" else MaxPool2D
    for i, (taps, stride, padding, act) in enumerate(WINDOWS):
        for channels in (1, 3, 16, 21):
            x = pixels(rng, (2, 7, 8, channels), activation(isa))
            variant = Pool(isa, op, wide=op == "average" and i % 2 == 1)
            pool(variant, x, kind(taps, stride, padding, act), tight=i % 2 == 0)


@isas
@pytest.mark.parametrize("op", ["average", "max"])
def test_channels(isa: Isa, op: PoolOp) -> None:
    rng = np.random.default_rng(2)
    kind = AveragePool2D if op == "average" else MaxPool2D
    for width in block_widths(isa):
        for channels in {*range(1, 18), *range(width - 1, 2 * width + 2, 5), 2 * width}:
            x = pixels(rng, (1, 3, 3, channels), activation(isa))
            pool(Pool(isa, op, width), x, kind((2, 2), padding=(1, 0, 0, 0)), channels % 2 == 0)


@isas
@pytest.mark.parametrize(
    "shape", [(1, 16, 16, 20), (1, 17, 16, 5), (1, 2, 300, 3), (1, 65, 65, 17)]
)
@pytest.mark.parametrize("value", ["low", "high", "random"])
def test_large_average(isa: Isa, shape: tuple[int, ...], value: str) -> None:
    dtype = activation(isa)
    low, high = dtype.range
    x = pixels(np.random.default_rng(3), shape, dtype)
    if value != "random":
        x[:] = low if value == "low" else high
    wide = shape[1] * shape[2] > 256
    pool(Pool(isa, "average", wide=wide), x, AveragePool2D(shape[1:3]), tight=True)


def columns(sums: npt.NDArray[np.int64], n: int, isa: Isa) -> npt.NDArray[Any]:
    """An image of one row of ``n`` pixels whose channels have these sums."""
    each, more = np.divmod(sums, n)
    x = each[None, :] + (np.arange(n)[:, None] < more[None, :])
    return x.astype(activation(isa).numpy).reshape(1, 1, n, len(sums))


@isas
@pytest.mark.parametrize("n", [*range(2, 10), 41, 61])
def test_average_near_boundaries(isa: Isa, n: int) -> None:
    """Sums on both sides of rounding boundaries; float32(1/41) * 41 is below 1."""
    low, high = activation(isa).range
    near = [
        np.arange(low * n, low * n + 64),
        np.arange(-64, 64),
        np.arange(high * n - 63, high * n),
    ]
    sums = np.concatenate([*near, np.arange(low + 1, high) * n - n // 2])
    x = columns(sums[(sums >= low * n) & (sums <= high * n)], n, isa)
    for raw_zero in (0, 128, -77):
        pool(Pool(isa, "average"), x, AveragePool2D((1, n), raw_zero=raw_zero), tight=True)


@isas
def test_average_of_many_pixels(isa: Isa) -> None:
    """One below a rounding boundary: a float32 product with the reciprocal reaches it."""
    n = 150_000
    x = columns(np.array([112, 115]) * n - n // 2 - 1, n, isa)
    pool(Pool(isa, "average", wide=True), x, AveragePool2D((1, n)), tight=True)


def real_pool(variant: Pool, x: np.ndarray[Any, Any], op: Any, tight: bool) -> None:
    """Run a pooling operator of float32 or plain int16 and compare it with its reference."""
    real = variant.element == f32
    xt = TensorType(x.shape, DType.of(x), None if real else QParams((0.1,), (0,)))
    (shape,) = (t.shape for t in op.infer([TensorType(x.shape, DType.FLOAT32)]))
    out = TensorType(shape, xt.dtype, xt.quant)
    l2 = variant.op == "l2"
    (expected,) = op.reference([x * x if l2 else x], [xt], [out])
    expected = np.sqrt(expected) if l2 else expected
    if real:
        low, high = op.activation.value
        bounds = (-np.inf if low is None else low, np.inf if high is None else high)
    else:
        bounds = activation_range(out, op.activation)
    a, c = View.around(x, tight), View.empty(out.shape, x.dtype, tight)
    sizes = {"height": x.shape[1], "width": x.shape[2], "channels": x.shape[3]}
    values = {
        **a.values("a"),
        **c.values("c"),
        **sizes,
        "out_height": out.shape[1],
        "out_width": out.shape[2],
        "filter_h": op.filter[0],
        "filter_w": op.filter[1],
        "stride_h": op.stride[0],
        "stride_w": op.stride[1],
        "top": op.padding[0],
        "left": op.padding[2],
        "lo": bounds[0],
        "hi": bounds[1],
        **({} if real or variant.op == "max" else {"zero_point": 0}),
    }
    run(variant, out.shape[0] * out.shape[1], values, [c.buffer])
    if real:
        np.testing.assert_allclose(c.inside, expected, rtol=1e-5, atol=1e-6)
        expected = c.inside.copy()
    c.check(expected)


@isas
@pytest.mark.parametrize("op", ["average", "max"])
@pytest.mark.parametrize("element", [f32, i16], ids=str)
def test_wider_elements(isa: Isa, op: PoolOp, element: Type) -> None:
    rng = np.random.default_rng(5)
    kind = AveragePool2D if op == "average" else MaxPool2D
    for i, (taps, stride, padding, act) in enumerate(WINDOWS):
        for j, channels in enumerate((1, 3, 4, 8, 21, 37)):
            x = rng.normal(size=(2, 7, 8, channels)) * 3
            if element == i16:
                x = np.clip(x * 2**14, -(2**15), 2**15 - 1)
            x = x.astype(np.float32 if element == f32 else np.int16)
            bytes_ = block_widths(isa)[j % len(block_widths(isa))]
            variant = Pool(isa, op, bytes_ // element.nbytes, element=element)
            real_pool(variant, x, kind(taps, stride, padding, act), tight=i % 2 == 0)


@isas
def test_the_greatest_passes_over_nan(isa: Isa) -> None:
    rng = np.random.default_rng(7)
    x = rng.normal(size=(2, 7, 8, 21)).astype(np.float32)
    x[rng.random(x.shape) < 0.6] = np.nan
    for act in (Activation.NONE, Activation.RELU6):
        op = MaxPool2D((2, 3), (1, 2), (1, 0, 0, 1), act)
        real_pool(Pool(isa, "max", isa.lanes, element=f32), x, op, tight=True)


@isas
def test_root_mean_square(isa: Isa) -> None:
    x = np.random.default_rng(6).normal(size=(1, 5, 6, 9)).astype(np.float32)
    variant = Pool(isa, "l2", isa.lanes, element=f32)
    real_pool(variant, x, AveragePool2D((2, 3), (1, 1), (1, 0, 0, 1)), tight=True)


def test_block_width() -> None:
    widths = {c: block_width(AVX2, c) for c in (1, 16, 21, 32, 40, 64, 96, 128, 1280)}
    assert widths == {1: 16, 16: 16, 21: 16, 32: 32, 40: 16, 64: 64, 96: 32, 128: 64, 1280: 64}
    assert block_width(SSE41, 1280) == 32
    assert [block_width(AVX2, c, f32) for c in (1, 8, 24, 32)] == [4, 8, 8, 16]
