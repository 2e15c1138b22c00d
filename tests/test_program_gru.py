"""GRU as a kernel, on every instruction set, against its reference."""

from __future__ import annotations

import numpy as np
import pytest

from edgewise import ops
from edgewise.dtype import DType
from edgewise.graph import Graph, TensorType, Value
from edgewise.kernels.isa import AVX2, Isa
from edgewise.runtime import plan_for
from kernels.harness import isas
from networks import Builder
from test_program_emulated import check

LAYERS = ((3, 1, 5, 20), (4, 2, 7, 3), (2, 2, 16, 16), (1, 1, 1, 1), (33, 1, 8, 4), (1, 5, 8, 8))
"""Steps, batch, depth, cells."""


def layer(sizes: tuple[int, int, int, int], linear_before_reset: bool = True) -> Graph:
    """A layer whose state is an input and an output of the graph."""
    steps, batch, depth, cells = sizes
    b = Builder(3)

    def weights(*shape: int) -> Value:
        return b.constant(b.rng.normal(size=shape).astype(np.float32))

    x = b.input(TensorType((steps, batch, depth), DType.FLOAT32))
    state = b.input(TensorType((batch, cells), DType.FLOAT32))
    shapes = ((3, cells, depth), (3, cells, cells), (3, cells), (3, cells))
    operands = [x, *(weights(*shape) for shape in shapes), state]
    return b.graph(*b.node(ops.Gru(linear_before_reset), operands))


@isas
@pytest.mark.parametrize("sizes", LAYERS, ids=str)
def test_layer(sizes: tuple[int, int, int, int], isa: Isa) -> None:
    check(layer(sizes), isa)


def test_a_reset_before_the_product_runs_by_reference() -> None:
    plan = plan_for(layer(LAYERS[0], linear_before_reset=False), AVX2)
    assert [n.op.name for n in plan.fallbacks] == ["GRU"]
