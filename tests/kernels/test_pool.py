"""Pooling kernels give what the operators' references define, bit for bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from edgewise.kernels.image import block_width, block_widths
from edgewise.kernels.isa import AVX2, SSE41, Isa
from edgewise.kernels.pool import Pool, PoolOp
from edgewise.ops import AveragePool2D, MaxPool2D, Mean
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


@isas
@pytest.mark.parametrize("zeros", [(0, 0), (7, -3), (127, 127), (-128, 90)])
@pytest.mark.parametrize("scales", [(0.1, 0.1), (0.05, 0.0007), (0.3, 40.0), (1e10, 1e-5)])
def test_mean(isa: Isa, zeros: tuple[int, int], scales: tuple[float, float]) -> None:
    dtype = activation(isa)
    shift = 128 if isa.activation.kind == "u" else 0
    rng = np.random.default_rng(4)
    for i, shape in enumerate([(2, 3, 5, 1), (1, 7, 7, 37), (1, 17, 16, 19), (3, 1, 2, 65)]):
        x = pixels(rng, shape, dtype)
        xt = quantized(shape, dtype, scales[0], zeros[0] + shift)
        out = quantized((shape[0], 1, 1, shape[3]), dtype, scales[1], zeros[1] + shift)
        op = Mean((1, 2), keep_dims=True, raw_zero=shift * (i // 2))
        (expected,) = op.reference([x], [xt], [out])
        (scale, offset), count = op.affine([xt], [out]), shape[1] * shape[2]
        a, c = View.around(x, i % 2 == 0), View.empty(out.shape, dtype.numpy, i % 2 == 0)
        run(
            Pool(isa, "mean", block_widths(isa)[i % 2], wide=count > 256),
            shape[0],
            {
                **a.values("a"),
                **c.values("c"),
                "height": shape[1],
                "width": shape[2],
                "out_height": 1,
                "out_width": 1,
                "channels": shape[3],
                "filter_h": shape[1],
                "filter_w": shape[2],
                **dict.fromkeys(("stride_h", "stride_w"), 1),
                **dict.fromkeys(("top", "left"), 0),
                "lo": dtype.range[0],
                "hi": dtype.range[1],
                "zero_point": op.raw_zero,
                "scale": float(scale),
                "offset": float(offset),
            },
            [c.buffer],
        )
        c.check(expected)


def test_block_width() -> None:
    widths = {c: block_width(AVX2, c) for c in (1, 16, 21, 32, 40, 64, 96, 128, 1280)}
    assert widths == {1: 16, 16: 16, 21: 16, 32: 32, 40: 16, 64: 64, 96: 32, 128: 64, 1280: 64}
    assert block_width(SSE41, 1280) == 32
