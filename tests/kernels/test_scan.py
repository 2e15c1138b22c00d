"""Cumulative sums equal numpy's on every instruction set."""

from __future__ import annotations

import numpy as np
import pytest

from edgewise.kernels.ir import Type, f32, i32, i64
from edgewise.kernels.isa import Isa
from edgewise.kernels.scan import Cumsum

from .harness import Buffer, isas, run


@isas
@pytest.mark.parametrize("element", [f32, i32, i64], ids=str)
@pytest.mark.parametrize("exclusive", [False, True])
@pytest.mark.parametrize("reverse", [False, True])
def test_axes(isa: Isa, element: Type, exclusive: bool, reverse: bool) -> None:
    """Whole numbers, so that float sums are exact."""
    rng = np.random.default_rng(1)
    for n in (1, 3, 8, 41):
        v = Cumsum(isa, element, exclusive, single=n == 1)
        dtype = np.dtype(np.float32 if element == f32 else f"i{element.nbytes}")
        x = rng.integers(-1000, 1000, (2, 3, 7, n)).astype(dtype)
        total = (x[:, :, ::-1] if reverse else x).cumsum(2, dtype=dtype)
        total = total[:, :, ::-1] if reverse else total
        a, c = Buffer(x), Buffer(np.zeros((2, 3, 7, n + 2), dtype))
        s, t = x.strides, c.array.strides
        at, sign = (6, -1) if reverse else (0, 1)
        values = {
            **{"a": a.at(at * s[2]), "a_0": 0, "a_1": s[0], "a_2": s[1], "a_r": sign * s[2]},
            **{"c": c.at(at * t[2]), "c_0": 0, "c_1": t[0], "c_2": t[1], "c_r": sign * t[2]},
            **{"d1": 2, "d2": 3, "n": n, "block": 16, "r": 7},
        }
        run(v, 6 * -(-n // 16), values, [c])
        np.testing.assert_array_equal(c.array[..., :n], total - x if exclusive else total)
        assert not c.array[..., n:].any()
