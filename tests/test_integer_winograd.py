"""8-bit 3x3 convolutions whose plan takes Winograd's filtering, against their references."""

from __future__ import annotations

import numpy as np
import pytest

import edgewise as ew
from edgewise import ops
from edgewise.dtype import DType, QParams
from edgewise.graph import Graph
from edgewise.kernels.isa import AVX2, AVX512VNNI, SSE41, Isa
from edgewise.kernels.qwinograd import QWinograd
from edgewise.ops import Activation
from edgewise.plan import Step
from edgewise.runtime import plan_for
from networks import Builder, quantized, random_inputs, reference

SAME = (1, 1, 1, 1)


def convolution(
    shape: tuple[int, int, int, int] = (2, 13, 16, 24),
    n: int = 32,
    dtype: DType = DType.UINT8,
    zero: int = 0,
    greatest: int = 60,
    **attributes: object,
) -> Graph:
    """Weights are at most ``greatest``, and the first output's all are."""
    b = Builder()
    x = b.input(quantized(shape, dtype))
    taps = b.weights((n, 3, 3, shape[3]), axis=None if zero else 0, zero_point=zero)
    data = np.clip(taps.data, -greatest, greatest)
    data[0] = greatest
    taps = b.constant(data, taps.type.quant)
    op = ops.Conv2D(**{"padding": SAME, **attributes})  # type: ignore[arg-type]
    return b.graph(b.node(op, [x, taps, b.bias(n)], QParams.per_tensor(0.3, dtype.range[0] + 99)))


def residual(dtype: DType) -> Graph:
    """The second of two convolutions adds the first one's result."""
    b = Builder()
    x = b.input(quantized((1, 15, 9, 16), dtype))
    middle = dtype.range[0] + 128
    weights = [b.weights((16, 3, 3, 16), axis=0) for _ in range(2)]
    op, out = ops.Conv2D(padding=SAME), QParams.per_tensor(0.2, middle + 3)
    h = b.node(op, [x, weights[0], b.bias(16)], out)
    y = b.node(op, [h, weights[1], b.bias(16)], QParams.per_tensor(0.4, middle))
    total = b.node(ops.Add(Activation.RELU), [h, y], QParams.per_tensor(0.3, middle - 50))
    return b.graph(total)


def chosen(graph: Graph, isa: Isa) -> list[QWinograd]:
    steps = [s for s in plan_for(graph, isa).steps if isinstance(s, Step)]
    return [s.kernel for s in steps if isinstance(s.kernel, QWinograd)]


@pytest.mark.parametrize("isa", [AVX2, SSE41], ids=str)
@pytest.mark.parametrize("dtype", [DType.UINT8, DType.INT8], ids=str)
@pytest.mark.parametrize("threads", [1, 2])
def test_convolutions(dtype: DType, isa: Isa, threads: int) -> None:
    for graph, count in ((convolution(dtype=dtype), 1), (residual(dtype), 2)):
        assert len(chosen(graph, isa)) == count
        inputs = random_inputs(graph)
        found = ew.compile(graph, isa=isa.name, threads=threads)(*inputs)
        np.testing.assert_array_equal(found, reference(graph, inputs)[0])


@pytest.mark.parametrize(("greatest", "m"), [(60, 4), (120, 2)])
def test_tiles_of_two_where_multiples_would_not_fit(greatest: int, m: int) -> None:
    graph = convolution((1, 13, 15, 24), greatest=greatest)
    assert [v.m for v in chosen(graph, AVX2)] == [m]
    inputs = random_inputs(graph)
    found = ew.compile(graph, isa="avx2")(*inputs)
    np.testing.assert_array_equal(found, reference(graph, inputs)[0])


@pytest.mark.parametrize(
    "graph",
    [
        convolution(stride=(2, 2)),
        convolution(dilation=(2, 2)),
        convolution(zero=3),
        convolution((1, 5, 5, 1900), 8, greatest=127),
        convolution((1, 1, 2, 16)),
    ],
    ids=["stride", "dilation", "weights with a zero point", "sums beyond 32 bits", "one tile"],
)
def test_others_are_products(graph: Graph) -> None:
    assert not chosen(graph, AVX2)


def test_not_where_bytes_are_multiplied_or_points_are_fixed() -> None:
    graph = convolution()
    assert not chosen(graph, AVX512VNNI)
    program = ew.compile(graph, isa="avx2", requantization="fixed_point")
    assert not any("qwinograd" in name for name in program.plan.kernels)
