"""Softmax of int16: what the operator's reference defines, bit for bit."""

from __future__ import annotations

import numpy as np
import pytest

from edgewise.dtype import DType, QParams
from edgewise.graph import TensorType
from edgewise.kernels.isa import Isa
from edgewise.kernels.wsoftmax import WSoftmax
from edgewise.ops import Softmax
from edgewise.ops.fixed_point import multiplier

from .harness import Buffer, isas, run
from .images import View


@isas
@pytest.mark.parametrize("scale", [1e-6, 2.0**-12, 0.003, 0.3])
def test_rows(isa: Isa, scale: float) -> None:
    rng = np.random.default_rng(3)
    op = Softmax(1.25)
    for channels in (1, 2, 7, 33, 300):
        x = rng.integers(-(2**15), 2**15, (2, 1, 3, channels)).astype(np.int16)
        x[0, 0, 0] = x[0, 0, 0, 0]
        given = TensorType(x.shape, DType.INT16, QParams.per_tensor(scale, 0))
        result = TensorType(x.shape, DType.INT16, QParams.per_tensor(2.0**-15, 0))
        (expected,) = op.reference([x], [given], [result])
        a, c = View.around(x, False), View.empty(x.shape, np.int16, False)
        scaled, exponent = multiplier(op.places(given))
        exponential, inverse = op.samples()
        values = {
            **a.values("a"),
            **c.values("c"),
            "height": 1,
            "width": 3,
            "channels": channels,
            "exponential": Buffer(exponential),
            "inverse": Buffer(inverse),
            "x_multiplier": scaled,
            "x_left": max(exponent, 0),
            "x_right": max(-exponent, 0),
        }
        run(WSoftmax(isa), 2, values, [c.buffer])
        c.check(expected)
