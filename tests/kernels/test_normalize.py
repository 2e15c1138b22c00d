"""Normalisations of float32 channels give what the operators' references define."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edgewise.dtype import DType
from edgewise.graph import TensorType
from edgewise.kernels.isa import Isa
from edgewise.kernels.normalize import LocalResponse, Normalize
from edgewise.ops import L2Normalization, LocalResponseNormalization, LogSoftmax, Op, Softmax
from edgewise.plan.reductions import NORMALIZATIONS

from .harness import isas, run
from .images import View

OPS = [Softmax(1.0), Softmax(0.3), LogSoftmax(), L2Normalization()]


def check(
    variant: Normalize | LocalResponse, op: Op, x: np.ndarray[Any, Any], tight: bool, **more: float
) -> None:
    t = TensorType(x.shape, DType.FLOAT32)
    (expected,) = op.reference([x], [t], [t])
    n, h, w, channels = x.shape
    a, c = View.around(x, tight), View.empty(x.shape, np.float32, tight)
    sizes = {"height": h, "width": w, "channels": channels}
    run(variant, n * h, {**a.values("a"), **c.values("c"), **sizes, **more}, [c.buffer])
    np.testing.assert_allclose(c.inside, expected, rtol=2e-6, atol=1e-6)
    c.check(c.inside.copy())


@isas
@pytest.mark.parametrize("op", OPS, ids=str)
def test_channels(isa: Isa, op: Op) -> None:
    rng = np.random.default_rng(1)
    variant = Normalize(isa, NORMALIZATIONS[type(op)])
    for channels in (*range(1, 2 * isa.lanes + 2), 257):
        x = (rng.normal(size=(2, 1, 3, channels)) * 4).astype(np.float32)
        beta = {"beta": op.beta} if isinstance(op, Softmax) else {}
        check(variant, op, x, channels % 2 == 0, **beta)


@isas
@pytest.mark.parametrize("op", OPS, ids=str)
@pytest.mark.parametrize("channels", [2, 3, 4])
def test_few_channels(isa: Isa, op: Op, channels: int) -> None:
    rng = np.random.default_rng(3)
    variant = Normalize(isa, NORMALIZATIONS[type(op)], few=channels)
    for width in (1, isa.lanes - 1, isa.lanes, 2 * isa.lanes + 3):
        x = (rng.normal(size=(2, 2, width, channels)) * 4).astype(np.float32)
        beta = {"beta": op.beta} if isinstance(op, Softmax) else {}
        check(variant, op, x, True, **beta)


@isas
@pytest.mark.parametrize("op", OPS, ids=str)
def test_extremes(isa: Isa, op: Op) -> None:
    """Large numbers and small ones, equal ones, zeros."""
    variant = Normalize(isa, NORMALIZATIONS[type(op)])
    rows = [
        [1e4, -1e4, 0, 3],
        [-1e4, -1e4, -1e4, -9999],
        [0, 0, 0, 0],
        [80, 81, -80, 8],
        [1e-7] * 4,
    ]
    x = np.array(rows, np.float32).reshape(1, 1, len(rows), 4)
    beta = {"beta": op.beta} if isinstance(op, Softmax) else {}
    check(variant, op, x, True, **beta)


@isas
@pytest.mark.parametrize("radius", [0, 1, 2, 5])
def test_local_response(isa: Isa, radius: int) -> None:
    rng = np.random.default_rng(2)
    for channels in (radius or 1, isa.lanes, isa.lanes + 1, 3 * isa.lanes - 1, 64):
        x = rng.normal(size=(2, 2, 3, channels)).astype(np.float32)
        op = LocalResponseNormalization(min(radius, channels), 1.5, 0.4, 0.75)
        constants = {"bias": op.bias, "alpha": op.alpha, "beta": op.beta}
        check(LocalResponse(isa), op, x, channels % 2 == 0, radius=op.radius, **constants)
