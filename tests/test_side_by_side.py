"""Which convolutions compute neighbouring pixels as columns of one product."""

from __future__ import annotations

import numpy as np
import pytest

import edgewise as ew
from edgewise import ops
from edgewise.dtype import DType, QParams
from edgewise.graph import Graph, TensorType
from edgewise.kernels.isa import AVX2
from edgewise.plan import Step
from edgewise.plan.side_by_side import Group, groups_of
from edgewise.runtime import plan_for
from networks import Builder, assert_matches, quantized, random_inputs, reference
from test_program import NATIVE


def columns(depth: int, n: int, taps: int, **attributes: int) -> list[int]:
    """How many columns each product of a convolution has."""
    b = Builder()
    x = b.input(quantized((1, 24, 26, depth), DType.UINT8))
    weights = [b.weights((n, taps, taps, depth), axis=0), b.bias(n)]
    op = ops.Conv2D(**attributes)  # type: ignore[arg-type]
    y = b.node(op, [x, *weights], QParams.per_tensor(0.1, 128))
    return products(b.graph(y))


def products(graph: Graph) -> list[int]:
    """The columns of each product."""
    steps = [s for s in plan_for(graph, AVX2).steps if isinstance(s, Step)]
    return [int(s.params["n"]) for s in steps if "kc" in s.params]  # type: ignore[call-overload]


def test_few_channels_fill_columns() -> None:
    """18 pixels a row: five together three times, then three."""
    assert columns(8, 3, 9) == [15, 9]


@pytest.mark.parametrize(
    ("n", "attributes"), [(16, {}), (33, {}), (3, {"dilation": (1, 2)}), (3, {"dilation": (2, 1)})]
)
def test_channels_that_fill_columns_and_dilated_windows_are_plain(
    n: int, attributes: dict[str, int]
) -> None:
    assert columns(8, n, 3, **attributes) == [n]


def real(
    width: int, depth: int, n: int, taps: tuple[int, int], activation: ops.Activation, stride: int
) -> Graph:
    """A float32 convolution."""
    b = Builder()
    x = b.input(TensorType((2, 24, width, depth), DType.FLOAT32))
    rng = np.random.default_rng(5)
    shapes = ((n, *taps, depth), (n,))
    weights = [b.constant(rng.normal(size=shape).astype(np.float32)) for shape in shapes]
    op = ops.Conv2D((1, stride), padding=(1, 1, 1, 1), activation=activation)
    return b.graph(b.node(op, [x, *weights]))


NONE, RELU, RELU6 = ops.Activation.NONE, ops.Activation.RELU, ops.Activation.RELU6


@pytest.mark.parametrize(
    ("width", "depth", "n", "taps", "activation", "stride"),
    [
        (96, 2, 2, (3, 3), NONE, 1),
        (97, 2, 2, (3, 3), RELU, 1),
        (99, 3, 2, (3, 3), RELU6, 1),
        (301, 1, 1, (1, 64), RELU, 2),
    ],
)
def test_few_real_channels(
    width: int,
    depth: int,
    n: int,
    taps: tuple[int, int],
    activation: ops.Activation,
    stride: int,
) -> None:
    graph = real(width, depth, n, taps, activation, stride)
    assert products(graph)[0] > n
    for isa in NATIVE:
        program = ew.compile(graph, isa=isa)
        inputs = random_inputs(graph, 3)
        assert_matches(program(*inputs), reference(graph, inputs)[0])
        program.close()


def test_real_channels_that_fill_a_vector_are_plain() -> None:
    assert products(real(96, 4, 8, (3, 3), NONE, 2)) == [8]


def test_groups_cover_a_row() -> None:
    assert groups_of(18, 5) == [Group(0, 3, 5), Group(15, 1, 3)]
    assert groups_of(10, 5) == [Group(0, 2, 5)]
    assert groups_of(3, 5) == [Group(0, 1, 3)]
