"""Programs of products that are requantized in fixed point equal their references bit for bit."""

from __future__ import annotations

import numpy as np
import pytest

import edgewise as ew
from cases_wide import WIDE
from edgewise.dtype import DType, QParams
from edgewise.graph import TensorType
from edgewise.kernels.words import GROUP_LIMIT
from edgewise.ops import Activation, Add, Mul, Op, Quantize, Rounding, Sub
from edgewise.passes.requantization import requantize
from edgewise.plan.wide_products import grouped
from networks import Builder, random_inputs, reference
from test_program import CASES, FALLBACKS, NATIVE

WORDS = ("conv", "depthwise", "connected", "residual")
OTHERS = ("real", "f32", "hybrid", "dynamic", "int16", "int8", "3d")
EIGHT_BIT = [
    name for name in CASES if any(w in name for w in WORDS) and not any(w in name for w in OTHERS)
]


@pytest.mark.parametrize("isa", NATIVE)
@pytest.mark.parametrize("rounding", [Rounding.FIXED_POINT, Rounding.FIXED_POINT_SINGLE])
@pytest.mark.parametrize("case", EIGHT_BIT)
def test_eight_bits(case: str, rounding: Rounding, isa: str) -> None:
    graph = requantize(CASES[case](DType.INT8), rounding)
    program = ew.compile(graph, isa=isa)
    assert bool(program.plan.fallbacks) == (case in FALLBACKS)
    inputs = random_inputs(graph)
    np.testing.assert_array_equal(program(*inputs), reference(graph, inputs)[0])
    program.close()


@pytest.mark.parametrize("isa", NATIVE)
@pytest.mark.parametrize("rounding", Rounding)
@pytest.mark.parametrize("case", WIDE)
def test_other_products(case: str, rounding: Rounding, isa: str) -> None:
    graph = requantize(WIDE[case](DType.INT8), rounding)
    program = ew.compile(graph, isa=isa)
    assert not program.plan.fallbacks
    given = random_inputs(graph)
    lowest = [np.full_like(x, np.iinfo(x.dtype).min) for x in given]
    greatest = [np.full_like(x, np.iinfo(x.dtype).max) for x in given]
    for inputs in (given, lowest, greatest, [given[0], *lowest[1:]]):
        np.testing.assert_array_equal(program(*inputs), reference(graph, inputs)[0])
    program.close()


@pytest.mark.parametrize(("kc", "magnitude"), [(3, 127), (300, 255), (516, 127), (1700, 255)])
def test_groups_of_runs(kc: int, magnitude: int) -> None:
    """Whatever the weights: the same products, in groups that int32 holds."""
    rng = np.random.default_rng(kc)
    weights = rng.integers(-magnitude, magnitude + 1, (2, 5, kc)).astype(np.int16)
    weights[0, 2] = magnitude
    offsets = np.arange(5) * 10_000
    cut, runs, group = grouped(weights, offsets, 2)
    sums = np.abs(cut.astype(np.int64)).sum(axis=2)
    for first in range(0, len(runs), group):
        assert sums[:, first : first + group].sum(axis=1).max() <= GROUP_LIMIT
    whole = np.zeros((2, 5, kc), np.int64)
    for i, offset in enumerate(runs):
        run, start = divmod(offset, 10_000)
        piece = whole[:, run, start // 2 : start // 2 + cut.shape[2]]
        assert piece.shape[1] == cut.shape[2], "within the run"
        piece += cut[:, i]
    np.testing.assert_array_equal(whole, weights)


SCALES = ((0.0213, 0.0371, 0.0549), (0.5, 0.003, 0.7), (1.7, 1.9, 0.11), (3e-5, 2e-5, 0.09))


@pytest.mark.parametrize("isa", NATIVE)
@pytest.mark.parametrize("dtype", [DType.UINT8, DType.INT8, DType.INT16], ids=str)
@pytest.mark.parametrize("op", [Add(), Add(Activation.RELU6), Sub(), Mul()], ids=str)
def test_arithmetic(op: Op, dtype: DType, isa: str) -> None:
    """Scales that are no powers of two; one operand broadcasts."""
    zeros = (0, 0, 0) if dtype is DType.INT16 else (3, 120, 77)
    for a, c, out in SCALES:
        b = Builder()
        x = b.input(TensorType((2, 5, 40), dtype, QParams.per_tensor(a, zeros[0])))
        y = b.input(TensorType((5, 1), dtype, QParams.per_tensor(c, zeros[1])))
        made = b.graph(b.node(op, [x, y], QParams.per_tensor(out, zeros[2])))
        graph = requantize(made, Rounding.FIXED_POINT)
        program = ew.compile(graph, isa=isa)
        assert not program.plan.fallbacks
        inputs = random_inputs(graph)
        np.testing.assert_array_equal(program(*inputs), reference(graph, inputs)[0])
        program.close()


@pytest.mark.parametrize("isa", NATIVE)
@pytest.mark.parametrize(
    ("source", "target", "scale"),
    [
        (DType.INT32, DType.INT16, 2.0**-19),
        (DType.INT32, DType.INT8, 1.3e-9),
        (DType.INT16, DType.INT32, 77.0),
        (DType.INT8, DType.INT32, 1e30),
    ],
)
def test_quantize_from_and_to_int32(source: DType, target: DType, scale: float, isa: str) -> None:
    b = Builder()
    x = b.input(TensorType((3, 41), source, QParams.per_tensor(scale, 0)))
    graph = b.graph(b.node(Quantize(target), [x], QParams.per_tensor(0.011, 0)))
    program = ew.compile(graph, isa=isa)
    assert not program.plan.fallbacks
    for seed in range(3):
        inputs = [a >> (7 * seed) for a in random_inputs(graph, seed)]
        np.testing.assert_array_equal(program(*inputs), reference(graph, inputs)[0])
    program.close()
