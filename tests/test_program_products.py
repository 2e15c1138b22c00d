"""Programs of float32 products: what their plans choose, and bfloat16 weights."""

from __future__ import annotations

import numpy as np
import pytest

import edgewise as ew
from cases_products import PRODUCTS, conv, dense, transposed
from edgewise.dtype import DType
from edgewise.execution import Options
from edgewise.kernels.dots import Dots
from edgewise.kernels.gemm import Gemm
from edgewise.kernels.isa import BF16_ISAS, ISAS
from edgewise.kernels.storage import BFLOAT16, FLOAT32
from edgewise.plan import Step
from edgewise.runtime import plan_for
from networks import random_inputs, reference

BY_NAME = {isa.name: isa for isa in (*BF16_ISAS, *ISAS)}


def kernels(program: ew.Program, kind: type) -> list[object]:
    steps = [s for s in program.plan.steps if isinstance(s, Step)]
    return [s.kernel for s in steps if isinstance(s.kernel, kind)]


def test_bfloat16_weights_for_one_row() -> None:
    """Rounded weights: within 2**-8 of the sum of magnitudes, and not the float32 result."""
    graph = dense((1, 300), 130)(DType.UINT8)
    (x,) = random_inputs(graph)
    exact, narrow = ew.compile(graph), ew.compile(graph, precision="bf16")
    (expected,) = reference(graph, [x])
    weights = graph.nodes[0].inputs[1].data
    assert weights is not None
    bound = 2.0**-8 * (np.abs(x) @ np.abs(weights.T))
    error = np.abs(narrow(x) - expected)
    assert (error <= bound).all()
    assert error.max() > 1e-4 > np.abs(exact(x) - expected).max()
    assert narrow.plan.constant_bytes < 0.6 * exact.plan.constant_bytes
    for program in (exact, narrow):
        (kernel,) = kernels(program, Gemm)
        assert isinstance(kernel, Gemm)
        assert (kernel.storage is BFLOAT16) == (program is narrow)


@pytest.mark.parametrize("isa", ["avx512vnni", "avx2", "sse41", "neon"])
def test_several_rows_keep_float32_weights(isa: str) -> None:
    """Where the instruction set has no dot products of bfloat16."""
    graph = dense((40, 30), 50)(DType.UINT8)
    plan = plan_for(graph, BY_NAME[isa], Options(precision="bf16"))
    (kernel,) = (step.kernel for step in plan.steps if isinstance(step, Step))
    assert isinstance(kernel, Gemm)
    assert kernel.storage is FLOAT32


def test_one_column_takes_dot_products() -> None:
    graph = conv((1, 9, 9, 16), out=1, stride=(2, 2))(DType.UINT8)
    program = ew.compile(graph)
    assert len(kernels(program, Dots)) == 1
    (x,) = random_inputs(graph)
    np.testing.assert_allclose(program(x), reference(graph, [x])[0], 1e-5, 1e-5)


@pytest.mark.parametrize(("kernel", "products"), [((2, 2), 2), ((3, 3), 4), ((2, 3), 4)])
def test_phases_side_by_side_are_one_product(kernel: tuple[int, int], products: int) -> None:
    program = ew.compile(transposed((2, 2), kernel)(DType.UINT8))
    assert len(kernels(program, Gemm)) == products


def test_tails_leave_no_step_of_their_own() -> None:
    program = ew.compile(PRODUCTS["real conv tails"](DType.UINT8))
    assert len(kernels(program, Gemm)) == 1
    assert len([s for s in program.plan.steps if isinstance(s, Step)]) == 1
