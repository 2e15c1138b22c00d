"""Convolutions whose plan takes a transform of tiles, against their references."""

from __future__ import annotations

import numpy as np
import pytest

import edgewise as ew
from edgewise.dtype import DType
from edgewise.graph import Graph, Node, TensorType, Value
from edgewise.kernels.fft import FftConv
from edgewise.kernels.isa import ISAS
from edgewise.kernels.tiled import TiledConv
from edgewise.kernels.winograd import Winograd
from edgewise.ops import Activation, Add, Conv2D
from edgewise.plan import Step
from edgewise.runtime import plan_for


def convolution(
    shape: tuple[int, int, int, int], n: int, taps: tuple[int, int], residual: bool = False
) -> Graph:
    """SAME convolution with RELU6, and the ADD of a residual where asked for."""
    rng = np.random.default_rng(0)
    kh, kw = taps
    x = Value("x", TensorType(shape, DType.FLOAT32))
    operands = [x]
    for name, size in (("w", (n, kh, kw, shape[3])), ("bias", (n,))):
        data = rng.standard_normal(size).astype(np.float32)
        operands.append(Value(name, TensorType(size, DType.FLOAT32), data))
    padding = ((kh - 1) // 2, kh // 2, (kw - 1) // 2, kw // 2)
    op = Conv2D(padding=padding, activation=Activation.RELU6)
    y = Value("y", op.infer([v.type for v in operands])[0])
    nodes, inputs, out = [Node(op, tuple(operands), (y,))], [x], y
    if residual:
        r, out = Value("r", y.type), Value("sum", y.type)
        nodes.append(Node(Add(), (y, r), (out,)))
        inputs.append(r)
    return Graph(tuple(inputs), (out,), tuple(nodes))


def kernels(graph: Graph) -> list[type[object]]:
    steps = plan_for(graph, ISAS[1]).steps
    return [type(s.kernel) for s in steps if isinstance(s, Step)]


CASES = (
    ((1, 24, 24, 32), 32, (3, 3), Winograd, 4e-5),
    ((2, 15, 17, 16), 24, (3, 3), Winograd, 4e-5),
    ((1, 40, 40, 8), 8, (9, 9), FftConv, 2e-6),
    ((1, 20, 70, 8), 8, (3, 39), FftConv, 2e-6),
)


@pytest.mark.parametrize("residual", [False, True], ids=["plain", "residual"])
@pytest.mark.parametrize(("shape", "n", "taps", "kernel", "tolerance"), CASES)
@pytest.mark.parametrize("threads", [1, 2])
def test_convolution(
    shape: tuple[int, int, int, int],
    n: int,
    taps: tuple[int, int],
    kernel: type[TiledConv],
    tolerance: float,
    residual: bool,
    threads: int,
) -> None:
    graph = convolution(shape, n, taps, residual)
    assert kernel in kernels(graph)
    rng = np.random.default_rng(1)
    inputs = [rng.standard_normal(v.type.shape).astype(np.float32) for v in graph.inputs]
    (expected,) = list(graph.reference(dict(zip(graph.inputs, inputs, strict=True))))[-1][1]
    found = ew.compile(graph, threads=threads)(*inputs)
    reach = abs(expected).max() * shape[3] ** 0.5
    assert abs(found - expected).max() <= tolerance * reach


def test_small_convolutions_are_direct() -> None:
    assert not set(kernels(convolution((1, 3, 3, 2), 1, (3, 3)))) & {Winograd, FftConv}
