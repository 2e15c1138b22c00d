"""ADD, SUB, MUL against LiteRT over all pairs of bytes."""

from __future__ import annotations

import numpy as np
import pytest
from op_cases import ACTIVATIONS, EIGHT_BIT, check, fill, q8, raised, raised_data, random_q8

from edgewise.dtype import DType
from edgewise.errors import GraphError
from edgewise.graph import TensorType
from edgewise.ops import Activation, Add, Mul, Op, Sub

KINDS = pytest.mark.parametrize(
    ("kind", "builtin"), [(Add, "ADD"), (Sub, "SUB"), (Mul, "MUL")], ids=["add", "sub", "mul"]
)


def output(
    rng: np.random.Generator, kind: type[Op], a: TensorType, b: TensorType, shape: tuple[int, ...]
) -> TensorType:
    assert a.quant is not None
    assert b.quant is not None
    sa, sb = a.quant.scale[0], b.quant.scale[0]
    scale = sa * sb * 100 if kind is Mul else max(sa, sb)
    return random_q8(rng, a.dtype, shape, scale * 10 ** rng.uniform(-0.7, 1))


@KINDS
@EIGHT_BIT
@pytest.mark.parametrize("seed", range(12))
def test_all_pairs_of_bytes(kind: type[Op], builtin: str, dtype: DType, seed: int) -> None:
    rng = np.random.default_rng(seed)
    shape = (1, 16, 16, 256)
    index = int(rng.integers(4))
    a = random_q8(rng, dtype, shape)
    assert a.quant is not None
    b = random_q8(rng, dtype, shape, a.quant.scale[0] * 10 ** rng.uniform(-2, 2))
    grid = np.arange(2**16, dtype=np.uint16).reshape(shape)
    data = [(grid >> 8).astype(np.uint8), grid.astype(np.uint8)]
    check(
        builtin,
        kind(ACTIVATIONS[index]),  # type: ignore[call-arg]
        [(a, data[0].view(dtype.numpy)), (b, data[1].view(dtype.numpy))],
        output(rng, kind, a, b, shape),
        f"{builtin.capitalize()}Options",
        FusedActivationFunction=index,
    )


@KINDS
@EIGHT_BIT
@pytest.mark.parametrize("constant", [(), (1,)], ids=["computed", "constant"])
@pytest.mark.parametrize("seed", range(4))
def test_broadcasting(
    kind: type[Op], builtin: str, dtype: DType, constant: tuple[int, ...], seed: int
) -> None:
    rng = np.random.default_rng(seed)
    shapes = [
        ((2, 3, 4, 5), (1, 1, 1, 5)),
        ((2, 3, 4, 5), (5,)),
        ((2, 3, 4, 1), (2, 1, 4, 5)),
        ((2, 3, 4, 5), (1,)),
    ]
    a, b = (random_q8(rng, dtype, s) for s in shapes[seed])
    shape = np.broadcast_shapes(*shapes[seed])
    out = output(rng, kind, a, b, shape)
    inputs = [(a, fill(rng, a)), (b, fill(rng, b))]
    check(builtin, kind(), inputs, out, f"{builtin.capitalize()}Options", constants=constant)


@KINDS
def test_raising_the_zero_point_changes_nothing(kind: type[Op], builtin: str) -> None:
    rng = np.random.default_rng(7)
    types = [random_q8(rng, DType.INT8, (1, 64, 64, 4)) for _ in range(2)]
    out = output(rng, kind, types[0], types[1], (1, 64, 64, 4))
    data = [fill(rng, t) for t in types]
    (low,) = kind().reference(data, types, [out])
    high_types = [raised(t) for t in types]
    (high,) = kind().reference([raised_data(d) for d in data], high_types, [raised(out)])
    np.testing.assert_array_equal(raised_data(low), high)


@KINDS
def test_float(kind: type[Op], builtin: str) -> None:
    a = np.array([[-3.0, 1.5], [2.0, 8.0]], np.float32)
    b = np.array([2.0, -1.0], np.float32)
    types = [TensorType(v.shape, DType.FLOAT32) for v in (a, b)]
    op = kind(Activation.RELU6)  # type: ignore[call-arg]
    (found,) = op.reference([a, b], types, op.infer(types))
    whole = {"ADD": a + b, "SUB": a - b, "MUL": a * b}[builtin]
    np.testing.assert_array_equal(found, np.clip(whole, 0, 6), strict=True)


@pytest.mark.parametrize("ratio", [2.0**-60, 2.0**-12, 1.0, 2.0**12, 2.0**18])
def test_sum_of_extreme_scales_stays_in_int32(ratio: float) -> None:
    rng = np.random.default_rng(0)
    a = q8(DType.UINT8, (1, 256, 256), 1.0, 255)
    b = q8(DType.UINT8, (1, 256, 256), 0.3, 0)
    out = q8(DType.UINT8, (1, 256, 256), 1 / ratio, 17)
    data = [fill(rng, a), fill(rng, b)]
    rule = Add().fixed_point([a, b], [out])
    extremes = [
        rule.bias + x * rule.a_multiplier + y * rule.b_multiplier
        for x in (0, 255)
        for y in (0, 255)
    ]
    assert all(-(2**31) <= v < 2**31 for v in [*extremes, rule.bias])
    (found,) = Add().reference(data, [a, b], [out])
    real = (data[0].astype(float) - 255 + data[1] * np.float64(np.float32(0.3))) * ratio
    expected = np.clip(np.rint(real) + 17, 0, 255)
    steps = 1 if ratio < 2**13 else 2.0**-13 * ratio
    assert np.abs(found - expected).max() <= steps


def test_sum_rejects_a_ratio_beyond_int32() -> None:
    a = q8(DType.UINT8, (1,), 2.0**19, 0)
    with pytest.raises(GraphError, match=r"ADD.*below 2\*\*19"):
        Add().fixed_point([a, a], [q8(DType.UINT8, (1,), 1.0, 0)])


def test_product_rejects_an_enormous_scale() -> None:
    a = q8(DType.UINT8, (1,), 2.0**40, 0)
    with pytest.raises(GraphError, match=r"MUL.*below 2\*\*64"):
        Mul().requant([a, a], [q8(DType.UINT8, (1,), 1.0, 0)])


def test_macs() -> None:
    t = TensorType((2, 3), DType.FLOAT32)
    assert Mul().macs([t, t], [t]) == 6
    assert Add().macs([t, t], [t]) == 0
