"""Softmax kernels give what the operator's reference defines, bit for bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edgewise.kernels.isa import Isa
from edgewise.kernels.softmax import Softmax
from edgewise.ops import Softmax as SoftmaxOp

from .harness import Buffer, isas, run
from .images import View, activation, pixels, quantized


def softmax(
    isa: Isa,
    x: np.ndarray[Any, Any],
    tight: bool,
    scale: float = 0.1,
    beta: float = 1.0,
    out: tuple[float, int] = (1 / 256, 0),
    few: bool = False,
) -> None:
    dtype = activation(isa)
    shift = 0 if isa.activation.kind == "u" else -128
    xt = quantized(x.shape, dtype, scale)
    yt = quantized(x.shape, dtype, out[0], out[1] + shift)
    op = SoftmaxOp(beta)
    (expected,) = op.reference([x], [xt], [yt])
    n, h, w, channels = x.shape
    a, c = View.around(x, tight), View.empty(x.shape, dtype.numpy, tight)
    low, high = dtype.range
    run(
        Softmax(isa, channels if few else 0),
        n * h,
        {
            **a.values("a"),
            **c.values("c"),
            "height": h,
            "width": w,
            "channels": channels,
            "table": Buffer(op.table(xt)),
            "factor": float(op.factor(yt)),
            "zero_point": out[1] + shift,
            "lo": low,
            "hi": high,
        },
        [c.buffer],
    )
    c.check(expected)


@isas
def test_channels(isa: Isa) -> None:
    rng = np.random.default_rng(1)
    for channels in (*range(1, 36), 63, 64, 65, 1001):
        x = pixels(rng, (2, 1, 3, channels), activation(isa))
        softmax(isa, x, tight=channels % 2 == 0)


@isas
@pytest.mark.parametrize("channels", [2, 3, 5, 8])
def test_few_channels(isa: Isa, channels: int) -> None:
    rng = np.random.default_rng(3)
    for width in range(1, 2 * isa.lanes + 2):
        x = pixels(rng, (2, 2, width, channels), activation(isa))
        softmax(isa, x, tight=True, few=True)
    for scale, out in ((0.03, (0.01, 100)), (0.5, (1e-6, 255)), (20.0, (1e-6, 0))):
        x = pixels(rng, (1, 3, 37, channels), activation(isa))
        softmax(isa, x, tight=True, scale=scale, beta=1.5, out=out, few=True)


@isas
@pytest.mark.parametrize("scale", [1e-4, 0.03, 0.5, 20.0])
@pytest.mark.parametrize("out", [(1 / 256, 0), (0.01, 100), (1e-6, 255), (1e-6, 0), (3.0, 9)])
def test_quantization(isa: Isa, scale: float, out: tuple[float, int]) -> None:
    x = pixels(np.random.default_rng(2), (1, 3, 1, 21), activation(isa))
    softmax(isa, x, tight=True, scale=scale, beta=1.5, out=out)


@isas
def test_equal_channels(isa: Isa) -> None:
    for value in activation(isa).range:
        x = np.full((1, 2, 2, 7000), value, activation(isa).numpy)
        softmax(isa, x, tight=True, out=(1e-5, 0))
