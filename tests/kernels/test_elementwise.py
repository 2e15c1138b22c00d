"""ADD, SUB, MUL, PRELU and SQUARED_DIFFERENCE kernels against the operators' references."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np
import pytest

from edgewise.dtype import DType, QParams
from edgewise.graph import TensorType
from edgewise.kernels import views
from edgewise.kernels.elementwise import Binary, QAdd, QMul, QPRelu, QSquaredDifference
from edgewise.kernels.isa import Isa
from edgewise.ops import Add, Mul, PRelu, SquaredDifference, Sub
from edgewise.ops.base import Activation
from edgewise.ops.binary import Aligned
from edgewise.ops.fixed_point import multiplier
from edgewise.plan.slopes import slopes_of

from .harness import Array, isas, run, view

ACTIVATED = {"ADD": Add, "SUB": Sub, "MUL": Mul}
OPS = {**ACTIVATED, "PRELU": PRelu, "SQUARED_DIFFERENCE": SquaredDifference}


def tensor(isa: Isa, shape: tuple[int, ...], scale: float, zero: int) -> TensorType:
    """``zero`` counts from the least value of the type."""
    dtype = DType(isa.activation.kind.replace("i", "int").replace("u", "uint") + "8")
    return TensorType(shape, dtype, QParams.per_tensor(scale, zero + dtype.range[0]))


def check(
    isa: Isa,
    op: Add | Sub | Mul | PRelu | SquaredDifference,
    shapes: tuple[tuple[int, ...], tuple[int, ...]],
    scales: tuple[float, float, float] = (0.03, 0.02, 0.05),
    zeros: tuple[int, int, int] = (120, 131, 125),
    block: int = 1 << 30,
    in_place: bool = False,
    seed: int = 0,
) -> None:
    """Operands of rank 4 at most, whose runs (the last axis) lie apart."""
    rng = np.random.default_rng(seed)
    types = [tensor(isa, s, c, z) for s, c, z in zip(shapes, scales, zeros, strict=False)]
    low, high = types[0].dtype.range
    arrays = [rng.integers(low, high + 1, s).astype(types[0].dtype.numpy) for s in shapes]
    for array in arrays:
        array.ravel()[: array.size // 3] = rng.choice([low, high], array.size // 3)
    (inferred,) = op.infer(types)
    out = tensor(isa, inferred.shape, scales[2], zeros[2])
    (expected,) = op.reference(arrays, types, [out])
    *outer, n = (1,) * (4 - len(out.shape)) + out.shape
    scalar = shapes[1][-1:] != out.shape[-1:]
    fields: dict[str, object] = {"d1": outer[1], "d2": outer[2], "n": n, "block": block}
    buffers = []
    second = arrays[1]
    if isinstance(op, PRelu):
        slopes = slopes_of(op, types[0], types[1], out, second)
        assert slopes is not None
        second = slopes.below
    elif isinstance(op, SquaredDifference):
        aligned = Aligned.of(op, types, 7)
        assert aligned.ratios[0] == 0.5
        second = (aligned.apply(arrays)[1] + 64 * aligned.zeros[0]).astype(np.int32)
    for name, array in (("a", arrays[0]), ("b", second), ("c", np.zeros_like(expected))):
        if name == "c" and in_place:
            buffer, strides = buffers[0]
        else:
            buffer, strides = view(array, (*outer, n), gap=views.SLACK if in_place else 3)
            buffers.append((buffer, strides))
        fields[name] = buffer
        fields |= {f"{name}_{i}": s for i, s in enumerate(strides)}
    variant: Binary
    if isinstance(op, PRelu):
        variant = QPRelu(isa, scalar)
        names = ("above", "up", "away", "down", "shift")
        fields |= {name: getattr(slopes, name) for name in names}
        fields |= {"a_zero": types[0].quant.zero_point[0], "zero_point": out.quant.zero_point[0]}
        fields |= {"lo": low, "hi": high}
    elif isinstance(op, SquaredDifference):
        variant = QSquaredDifference(isa, scalar)
        factor, exponent = multiplier(aligned.unit**2 / scales[2])
        fields |= {"factor": factor, "shift": 31 - exponent, "lo": low, "hi": high}
        fields |= {"rounding": 2**30 + (2 ** (30 - exponent) if exponent else 0)}
        fields |= {"zero_point": out.quant.zero_point[0]}
    elif isinstance(op, Mul):
        variant = QMul(isa, scalar)
        rule = op.requant(types, [out])
        fields |= {"scale": float(rule.scale[0]), "zero_point": rule.zero_point}
        fields |= {"lo": rule.lo, "hi": rule.hi}
        fields |= {f"{x}_zero": t.quant.zero_point[0] for x, t in zip("ab", types, strict=True)}
    else:
        variant = QAdd(isa, scalar)
        fields |= asdict(op.fixed_point(types, [out]))
    result = buffers[0 if in_place else 2][0]
    left: Array = result.array.copy()
    left[..., :n] = expected.reshape(*outer, n)
    run(variant, views.units(outer, n, block), fields, [result])
    np.testing.assert_array_equal(result.array, left)


@isas
@pytest.mark.parametrize("name", OPS)
def test_every_run_length(isa: Isa, name: str) -> None:
    for n in range(1, 2 * isa.bits // 8 + 2):
        check(isa, OPS[name](), ((2, n), (2, n)), seed=n)


@isas
@pytest.mark.parametrize("name", ACTIVATED)
@pytest.mark.parametrize("activation", [Activation.RELU, Activation.RELU6])
def test_zero_points_and_scales(isa: Isa, name: str, activation: Activation) -> None:
    rng = np.random.default_rng(1)
    for seed, zeros in enumerate([(0, 0, 0), (255, 255, 255), (0, 255, 128), (255, 0, 1)]):
        scales = tuple(float(s) for s in np.float32(10 ** rng.uniform(-3, 1, 3)))
        shape = (3, 97)
        check(isa, ACTIVATED[name](activation), (shape, shape), scales, zeros, seed=seed)


@isas
@pytest.mark.parametrize("name", ACTIVATED)
def test_results_far_out_of_range(isa: Isa, name: str) -> None:
    for scales in (
        (100.0, 1.0, 0.001),
        (1e-6, 1e-6, 10.0),
        (1.0, 1e-9, 1e-5),
        (500.0, 500.0, 1e-3),
    ):
        check(isa, ACTIVATED[name](), ((130,), (130,)), scales)


@isas
@pytest.mark.parametrize("name", OPS)
@pytest.mark.parametrize("b", [(2, 3, 4, 37), (1, 1, 1, 37), (2, 1, 4, 37), (3, 1, 37), (37,)])
def test_broadcast_of_outer_dimensions(isa: Isa, name: str, b: tuple[int, ...]) -> None:
    check(isa, OPS[name](), ((2, 3, 4, 37), b))


@isas
@pytest.mark.parametrize("name", OPS)
@pytest.mark.parametrize("b", [(2, 3, 4, 1), (1,), (2, 1, 1, 1)])
def test_broadcast_along_the_run(isa: Isa, name: str, b: tuple[int, ...]) -> None:
    check(isa, OPS[name](), ((2, 3, 4, 70), b))


@isas
@pytest.mark.parametrize("name", OPS)
@pytest.mark.parametrize("block", [1, 5, 64, 100, 250])
def test_blocks(isa: Isa, name: str, block: int) -> None:
    check(isa, OPS[name](), ((2, 250), (2, 250)), block=block)


@isas
@pytest.mark.parametrize("name", OPS)
def test_in_place(isa: Isa, name: str) -> None:
    check(isa, OPS[name](), ((2, 2, 99), (2, 2, 99)), block=70, in_place=True)


@isas
def test_slopes(isa: Isa) -> None:
    """Ratios whose products are rounded twice, zero points at both ends, halves."""
    rng = np.random.default_rng(2)
    for seed, zeros in enumerate([(0, 0, 0), (255, 255, 255), (0, 255, 128), (255, 0, 1)]):
        x, alpha, out = (float(s) for s in np.float32(10 ** rng.uniform(-2, 0, 3)))
        check(isa, PRelu(), ((3, 97), (97,)), (x, alpha, out), zeros, seed=seed)
        check(isa, PRelu(), ((3, 97), (97,)), (2.0**-4, 2.0**-seed, 2.0**-6), zeros, seed=seed)


@isas
def test_slopes_far_out_of_range(isa: Isa) -> None:
    for scales in ((100.0, 1e-3, 0.001), (1e-6, 1e-6, 10.0), (1.0, 1e-9, 1e-3)):
        check(isa, PRelu(), ((130,), (130,)), scales)


@isas
def test_squares(isa: Isa) -> None:
    """Zero points at both ends, equal scales and far apart ones, halves, results far out."""
    for seed, zeros in enumerate([(0, 0, 0), (255, 255, 255), (0, 255, 128), (255, 0, 1)]):
        for scales in ((0.03, 0.02, 0.07), (1.0, 0.25, 512.0), (0.5, 0.5, 9.0), (0.1, 1e-9, 1e-5)):
            check(isa, SquaredDifference(), ((3, 97), (97,)), scales, zeros, seed=seed)
