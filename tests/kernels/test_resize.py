"""Resizing kernels give what the operators' references define, bit for bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edgewise.dtype import DType
from edgewise.graph import TensorType
from edgewise.kernels.image import block_widths
from edgewise.kernels.isa import Isa
from edgewise.kernels.resize import Bilinear, Nearest
from edgewise.ops import ResizeBilinear, ResizeNearestNeighbor

from .harness import Buffer, isas, run
from .images import View, activation, pixels, quantized

SIZES = [((1, 1), (3, 4)), ((4, 3), (1, 1)), ((5, 4), (9, 7)), ((3, 5), (3, 5)), ((9, 7), (4, 3))]
MODES = [(False, False), (True, False), (False, True)]


def resize(
    variant: Bilinear | Nearest,
    x: np.ndarray[Any, Any],
    op: ResizeBilinear | ResizeNearestNeighbor,
    tight: bool,
) -> None:
    real = x.dtype == np.float32
    xt = TensorType(x.shape, DType.FLOAT32) if real else quantized(x.shape, activation(variant.isa))
    (out,) = op.infer([xt])
    (expected,) = op.reference([x], [xt], [out])
    axes = [(x.shape[i], out.shape[i]) for i in (1, 2)]
    if isinstance(op, ResizeBilinear):
        assert isinstance(variant, Bilinear)
        ys, xs = (variant.taps(*op.taps(*axis)) for axis in axes)
    else:
        ys, xs = (op.indices(*axis) for axis in axes)
    a, c = View.around(x, tight), View.empty(out.shape, x.dtype, tight)
    sizes = {"out_height": out.shape[1], "out_width": out.shape[2], "channels": x.shape[3]}
    tables = {"xs": Buffer(xs), "ys": Buffer(ys)}
    run(
        variant,
        out.shape[0] * out.shape[1],
        {**a.values("a"), **c.values("c"), **sizes, **tables},
        [c.buffer],
    )
    if real:
        np.testing.assert_allclose(c.inside, expected, rtol=1e-5, atol=1e-6)
        expected = c.inside.copy()
    c.check(expected)


@isas
@pytest.mark.parametrize("kind", [ResizeBilinear, ResizeNearestNeighbor])
@pytest.mark.parametrize("mode", MODES)
def test_sizes(isa: Isa, kind: type[Any], mode: tuple[bool, bool]) -> None:
    rng = np.random.default_rng(1)
    variant = (Bilinear if kind is ResizeBilinear else Nearest)(isa)
    for i, (before, after) in enumerate(SIZES):
        for channels in (1, 3, 21):
            x = pixels(rng, (2, *before, channels), activation(isa))
            resize(variant, x, kind(after, *mode), tight=i % 2 == 0)


@isas
@pytest.mark.parametrize("kind", [ResizeBilinear, ResizeNearestNeighbor])
def test_channels(isa: Isa, kind: type[Any]) -> None:
    rng = np.random.default_rng(2)
    for width in block_widths(isa):
        variant = (Bilinear if kind is ResizeBilinear else Nearest)(isa, width)
        for channels in {*range(1, 18), *range(width - 1, 2 * width + 2, 5), 2 * width}:
            x = pixels(rng, (1, 2, 3, channels), activation(isa))
            resize(variant, x, kind((3, 5)), tight=channels % 2 == 0)


@isas
@pytest.mark.parametrize("mode", MODES)
def test_real(isa: Isa, mode: tuple[bool, bool]) -> None:
    rng = np.random.default_rng(3)
    for i, (before, after) in enumerate(SIZES):
        for width in (4, 8, 16):
            x = rng.normal(size=(2, *before, (1, 2, 5, 21)[i % 4])).astype(np.float32)
            variant = Bilinear(isa, width, real=True)
            resize(variant, x, ResizeBilinear(after, *mode), tight=i % 2 == 0)


@isas
def test_extremes(isa: Isa) -> None:
    low, high = activation(isa).range
    for corner in ((low, high), (high, low), (low, low), (high, high)):
        x = np.array([corner, corner[::-1]], activation(isa).numpy)
        resize(Bilinear(isa), x.reshape(1, 2, 2, 1), ResizeBilinear((7, 9), True), tight=True)
