"""Random operands of quantized operators, and results beside ONNX Runtime's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from onnx_files import Array, compiled, runtime

import edgewise as ew
from edgewise.graph import Graph
from edgewise.passes import optimize

RNG = np.random.default_rng(3)


def real(*shape: int) -> Array:
    return np.asarray(RNG.normal(0, 1, shape), np.float32)


def whole(dtype: Any, *shape: int) -> Array:
    low, high = np.iinfo(dtype).min, np.iinfo(dtype).max
    return RNG.integers(low, high + 1, shape).astype(dtype)


def within(
    data: bytes, feeds: Mapping[str, Array], steps: int = 0, expected: Any = None
) -> list[str]:
    """Results lie within some steps of ONNX Runtime's; the operators that compute them."""
    g = ew.load(data)
    wanted = runtime(data, feeds) if expected is None else expected
    for y, w in zip(compiled(g, feeds), wanted, strict=True):
        assert (y.dtype, y.shape) == (w.dtype, w.shape)
        if y.dtype.kind == "f":
            np.testing.assert_allclose(y, w, rtol=1e-6, atol=1e-6)
        else:
            assert np.abs(y.astype(np.int64) - w.astype(np.int64)).max() <= steps
    return names(optimize(g))


def names(g: Graph) -> list[str]:
    return [n.op.name for n in g.nodes]
