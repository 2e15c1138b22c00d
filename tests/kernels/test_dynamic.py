"""Dynamic quantization and the products that follow it, on every instruction set, to the bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edgewise.kernels.dynamic import QuantizeGroups
from edgewise.kernels.isa import ISAS, Isa
from edgewise.kernels.qgemm import QGemm
from edgewise.kernels.views import SLACK
from edgewise.ops.hybrid import QUANTIZERS, RowQuantization

from .harness import Buffer, isas, run
from .images import View, activation
from .layers import CONVOLUTIONS, Array, Layer, matrix, pixels_of
from .qproducts import bytes_of

LENGTHS = [1, 2, 7, 8, 15, 16, 17, 33, 70]


def samples(groups: int, rows: int, n: int) -> list[Array]:
    rng = np.random.default_rng(n)
    shape = (groups, rows, n)
    x = rng.normal(size=shape) * 10.0 ** rng.integers(-4, 4, (groups, 1, 1))
    found = [x, np.abs(x) + 1, -np.abs(x), x * 0, rng.integers(-255, 256, shape) / 2]
    return [a.astype(np.float32) for a in found]


def check_groups(isa: Isa, x: Array, rule: RowQuantization = RowQuantization.QD8) -> None:
    groups, rows, n = x.shape
    padded = np.full((groups, rows + 1, n + 3), np.nan, np.float32)
    padded[:, :rows, :n] = x
    c = Buffer(np.full(groups * rows * n, 0x5B, activation(isa).numpy))
    d = Buffer(np.zeros((groups, 2), np.int32))
    values: dict[str, Any] = {
        **{"a": Buffer(padded), "a_row": padded.strides[1], "a_group": padded.strides[0]},
        **{"c": c, "d": d, "rows": rows, "n": n},
    }
    run(QuantizeGroups(isa, rule.value), groups, values, [c, d])
    expected = QUANTIZERS[rule](x, (1, 2))
    zero = d.array[:, 0]
    centered = c.array.astype(np.int32).reshape(x.shape) - zero[:, None, None]
    np.testing.assert_array_equal(centered, expected.centered)
    scale = d.array[:, 1].copy().view(np.float32)
    np.testing.assert_array_equal(scale, expected.scale.reshape(-1))


@isas
@pytest.mark.parametrize("n", LENGTHS)
def test_groups(isa: Isa, n: int) -> None:
    """One and several groups of one and several rows; constant groups, one sign, halves."""
    for groups, rows in ((1, 1), (3, 2)):
        for x in samples(groups, rows, n):
            check_groups(isa, x)


@isas
@pytest.mark.parametrize("rule", [RowQuantization.SYMMETRIC, RowQuantization.ASYMMETRIC])
def test_rows_of_recurrent_layers(isa: Isa, rule: RowQuantization) -> None:
    for n in LENGTHS:
        for x in samples(3, 1, n):
            check_groups(isa, x, rule)


@isas
def test_extreme_groups(isa: Isa) -> None:
    tiny, huge = np.finfo(np.float32).tiny, np.float32(1e38)
    rows = [[0.0, tiny], [-tiny, tiny], [huge, -huge], [huge, 0], [1e-44, 0], [-0.0, 0.0]]
    check_groups(isa, np.array(rows, np.float32)[:, None, :])


def check_product(v: QGemm, layer: Layer, by_pixel: bool, tight: bool, seed: int) -> None:
    """Every byte of the result: int32 sums, then single float32 operations in order."""
    rng, dtype = np.random.default_rng(seed), activation(v.isa).numpy
    x = bytes_of(rng, layer.input_shape, dtype, "mixed")
    k = layer.kc * layer.runs
    w = np.maximum(bytes_of(rng, (layer.n, k), np.int8, "mixed"), -127).astype(np.int8)
    scale = rng.uniform(0.001, 0.1, layer.n).astype(np.float32)
    bias = rng.normal(size=layer.n).astype(np.float32)
    pixels, images = int(np.prod(layer.size)), layer.size[0]
    groups = pixels if by_pixel else images
    low, high = activation(v.isa).range
    zeros = rng.choice([low, low + 5, 0, high], groups).astype(np.int32)
    scales = rng.uniform(0.001, 3, groups).astype(np.float32)
    each = np.repeat(np.arange(groups), pixels // groups)

    acc = layer.windows(x).astype(np.int64) @ w.T.astype(np.int64)
    acc -= zeros[each][:, None] * w.sum(axis=1, dtype=np.int64)
    expected = acc.astype(np.float32) * scales[each][:, None] * scale + bias
    other = rng.normal(size=expected.shape).astype(np.float32)
    if v.stages:
        assert v.stages == ("relu", "add")
        expected = np.maximum(expected, np.float32(0)) + other

    a, c = View.around(x, tight), View.empty((*layer.size, layer.n), np.float32, tight)
    kstep, steps = v.layout(layer.kc, layer.runs)
    runs = layer.run_offsets(a)
    weights = w.reshape(layer.n, layer.runs, layer.kc)
    packed = v.pack(weights, w.sum(axis=1, dtype=np.int32), scale, bias)
    panels = -(-layer.n // v.nr)
    values: dict[str, Any] = {
        **pixels_of(layer, a, "a", layer.stride),
        **pixels_of(layer, c, "c"),
        "d": Buffer(np.stack([zeros, scales.view(np.int32)], axis=1)),
        "d_x": 8 if by_pixel else 0,
        "d_wrap": 0,
        "d_image": 0 if by_pixel else 8,
        "w": Buffer(packed[: len(packed) - SLACK]),
        "runs": Buffer(runs),
        "pixels": pixels,
        "width": layer.size[2],
        "height": layer.size[1],
        "tiles": -(-pixels // v.mr),
        "n": layer.n,
        "run_count": layer.runs,
        "kc": layer.kc,
        "kstep": kstep,
        "steps": steps,
        "panel_bytes": v.panel_bytes(layer.kc, layer.runs),
        "panels": panels,
        "block_panels": panels,
    }
    if v.stages:
        added = View.around(other.reshape(c.shape), tight)
        values |= pixels_of(layer, added, "s1_r")
    run(v, values["tiles"], values, [c.buffer])
    c.check(expected.reshape(c.shape))


def variants() -> list[Any]:
    found = [
        QGemm(isa, mr, nv, gather, real=True, stages=stages)
        for isa in ISAS
        for mr, nv in isa.costs.tiles
        for gather in ((True,) if isa.gemm.element.bits == 16 else (False, True))
        for stages in ((), ("relu", "add"))
    ]
    return [pytest.param(v, id=v.symbol, marks=pytest.mark.isa) for v in found]


@pytest.mark.parametrize("v", variants())
def test_products(v: QGemm) -> None:
    for i, n in enumerate([1, v.isa.lanes, v.nr - 1, v.nr, v.nr + v.isa.lanes + 1]):
        layer = matrix(1 + (i * v.mr) % (2 * v.mr), n, [3, 16, 33, 64, 5][i])
        check_product(v, layer, True, i % 2 == 0, i)
    for i, layer in enumerate(CONVOLUTIONS):
        if v.gather:
            check_product(v, layer, i % 3 == 0, layer.joined or i % 2 == 0, i)
