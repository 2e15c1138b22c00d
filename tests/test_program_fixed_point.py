"""Programs of products that are requantized in fixed point equal their references bit for bit."""

from __future__ import annotations

import numpy as np
import pytest

import edgewise as ew
from edgewise.dtype import DType
from edgewise.ops import Add, Rounding
from edgewise.passes.requantization import requantize
from networks import random_inputs, reference
from test_program import CASES, FALLBACKS, NATIVE

WORDS = ("conv", "depthwise", "connected", "residual")
OF_FLOATS = ("real", "f32", "hybrid", "dynamic")
EIGHT_BIT = [
    name
    for name in CASES
    if any(w in name for w in WORDS) and not any(w in name for w in OF_FLOATS)
]


@pytest.mark.parametrize("isa", NATIVE)
@pytest.mark.parametrize("rounding", [Rounding.FIXED_POINT, Rounding.FIXED_POINT_SINGLE])
@pytest.mark.parametrize("case", EIGHT_BIT)
def test_eight_bits(case: str, rounding: Rounding, isa: str) -> None:
    graph = requantize(CASES[case](DType.INT8), rounding)
    program = ew.compile(graph, isa=isa)
    products = [node for node in program.plan.fallbacks if not isinstance(node.op, Add)]
    assert bool(products) == (case in FALLBACKS)
    inputs = random_inputs(graph)
    np.testing.assert_array_equal(program(*inputs), reference(graph, inputs)[0])
    program.close()
