"""The 8-bit multiply of aarch64 without sdot, at the edge where the sum of two products wraps."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from edgewise.kernels.isa import NEON
from edgewise.kernels.qgemm import QGemm

from .harness import Buffer, run

PIXELS, COLUMNS = 7, 21


def product(variant, a, w, w_zero=0):
    """int8[pixels, n] by the kernel and by numpy, from int8 a[pixels, runs, kc], w[n, runs, kc]."""
    (pixels, runs, kc), n = a.shape, len(w)
    bias = np.arange(n, dtype=np.int32) * 100 - 1000
    scale = np.full(n, 2.0**-9, np.float32)
    _, steps = variant.layout(kc, runs)
    panels = -(-n // variant.nr)
    c = Buffer(np.full((pixels, n + 3), 0x55, np.int8))
    row = runs * kc
    values = {
        "a": Buffer(a),
        "w": Buffer(variant.pack(w, bias, scale)),
        "c": c,
        "runs": Buffer(np.arange(runs, dtype=np.int64) * kc),
        **{"pixels": pixels, "width": pixels, "height": 1, "n": n},
        **{"a_x": row, "a_wrap": 0, "a_image": 0, "c_x": n + 3, "c_wrap": 0, "c_image": 0},
        **{"run_count": runs, "kc": kc, "kstep": variant.layout(kc, runs)[0], "steps": steps},
        **{"panel_bytes": variant.panel_bytes(kc, runs), "panels": panels},
        **{
            "tiles": -(-pixels // variant.mr),
            "block_panels": 1,
            "zero_point": 3,
            "lo": -128,
            "hi": 127,
        },
    }
    if variant.weight_zero_point:
        values |= {"w_zero": w_zero, "ones": Buffer(variant.ones(kc, runs))}
    run(variant, -(-pixels // variant.mr) * panels, values, [c])
    sums = bias + a.reshape(pixels, row).astype(int) @ (w.reshape(n, row).astype(int) - w_zero).T
    expected = np.clip(np.rint(sums.astype(np.float32) * scale) + 3, -128, 127)
    return c.array[:, :n], expected.astype(np.int8)


def arrays(runs, kc, low=-128):
    rng = np.random.default_rng(kc)
    a = rng.choice(np.array([-128, -128, -127, 0, 5, 127], np.int8), (PIXELS, runs, kc))
    return a, rng.choice(np.array([low, low, -3, 127], np.int8), (COLUMNS, runs, kc))


@pytest.mark.isa
@pytest.mark.parametrize("tile", NEON.costs.tiles, ids="{0[0]}x{0[1]}".format)
@pytest.mark.parametrize("low", [-127, -128])
def test_exact_with_the_lowest_weights(tile, low):
    for runs, kc in [(1, 1), (1, 4), (1, 27), (3, 6)]:
        a, w = arrays(runs, kc, low)
        w[0], a[0] = low, -128
        variant = QGemm(NEON, *tile, gather=runs > 1).suited(w)
        assert variant.general == (low == -128 and kc > 2)
        actual, expected = product(variant, a, w)
        assert_array_equal(actual, expected)


@pytest.mark.isa
@pytest.mark.parametrize("low", [-127, -128])
def test_row_sums(low):
    a, w = arrays(1, 37, low)
    variant = QGemm(NEON, 4, 4, weight_zero_point=True).suited(w)
    actual, expected = product(variant, a, w, w_zero=-9)
    assert_array_equal(actual, expected)


def test_only_products_summed_in_int16_need_the_general_form():
    """In int16 meet k and k + 2 of four."""
    variant = QGemm(NEON, 4, 4)
    for pair, wraps in [((0, 2), True), ((5, 7), True), ((0, 1), False), ((2, 4), False)]:
        w = np.full((COLUMNS, 1, 9), 127, np.int8)
        w[20, 0, list(pair)] = -128
        assert variant.suited(w).general == wraps, pair
