"""Observers against direct computation on all numbers at once."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from edgewise.errors import InputError
from edgewise.graph import Array
from edgewise.quantizer.histogram import SIDE, Histogram
from edgewise.quantizer.observers import (
    OBSERVERS,
    Observer,
    gauss_limit,
    laplace_limit,
    maker,
    squared_error,
)
from edgewise.quantizer.precision import Range

property_test = settings(deadline=None, max_examples=40)

UNORDERED = tuple(kind for kind in OBSERVERS if kind != "moving_average")
"""Observers that see numbers, not samples."""

NUMBERS = hnp.arrays(
    np.float32,
    st.integers(1, 60),
    elements=st.floats(-(2.0**30), 2.0**30, width=32, allow_subnormal=False),
)


def seen(kind: str, arrays: Sequence[Array], **options: Any) -> Observer:
    found = maker(kind, options)("x")
    for array in arrays:
        found.update(array)
    return found


def distributions() -> dict[str, Array]:
    rng = np.random.default_rng(5)
    count = 50_000
    normal = rng.normal(size=count)
    found = {
        "gauss": normal,
        "laplace": rng.laplace(size=count),
        "shifted": normal * 0.3 + 2.0,
        "relu": np.maximum(normal, 0.0),
        "relu6": np.clip(3.0 * normal + 2.0, 0.0, 6.0),
        "negative": np.minimum(normal, 0.0),
        "outlier": np.append(normal[1:], 40.0),
        "skewed": np.exp(normal) - 1.0,
        "few": np.array([-1.0, 0.25, 3.0]),
    }
    return {name: array.astype(np.float32) for name, array in found.items()}


DISTRIBUTIONS = distributions()


def error(array: Array, chosen: Range, bits: int = 8) -> float:
    """The mean squared error of quantization to a range, computed number by number."""
    levels = 2**bits - 1
    scale = (chosen.high - chosen.low) / levels
    least = round(chosen.low / scale)
    wide = array.astype(np.float64)
    integers = np.clip(np.rint(wide / scale), least, least + levels)
    return float(np.mean((integers * scale - wide) ** 2))


# Histograms


@property_test
@given(NUMBERS)
def test_bins_are_those_of_all_numbers(array: Array) -> None:
    found = Histogram()
    for x in array:
        found.add(x[None], float(x), float(x))
    greatest = float(np.abs(array).max())
    assert greatest <= SIDE * found.width
    assert greatest > SIDE / 2 * found.width or found.width == 2.0**-120
    bins = np.ceil(array.astype(np.float64) / found.width).astype(np.int64)
    assert np.array_equal(found.counts, np.bincount(bins + SIDE, minlength=2 * SIDE + 1))
    left, right, counts = found.bins()
    assert counts.sum() == array.size
    assert left[0] == array.min()
    assert right[-1] == array.max()


@property_test
@given(NUMBERS, st.integers(0, 60), st.randoms())
def test_bins_do_not_depend_on_order_or_splits(array: Array, split: int, random: Any) -> None:
    whole = Histogram()
    whole.add(array, float(array.min()), float(array.max()))
    shuffled = array.copy()
    random.shuffle(shuffled)
    parts = Histogram()
    for part in np.split(shuffled, [min(split, array.size)]):
        if part.size:
            parts.add(part, float(part.min()), float(part.max()))
    assert whole.exponent == parts.exponent
    assert np.array_equal(whole.counts, parts.counts)


@pytest.mark.parametrize("value", [1.0, -1.0, 3e38, -3e38, 1e-30, 1e-42, 4096.0, -4096.0, 0.0])
def test_a_histogram_of_one_number(value: float) -> None:
    number = float(np.float32(value))
    found = Histogram()
    found.add(np.full((3, 5), value, np.float32), number, number)
    left, right, counts = found.bins()
    assert (left.tolist(), right.tolist(), counts.tolist()) == ([number], [number], [15])


def test_zeros_are_alone_in_their_bin() -> None:
    found = Histogram()
    found.add(np.array([0.0, 1e-6, 0.0, 5.0], np.float32), 0.0, 5.0)
    assert found.counts[SIDE] == 2


@property_test
@given(NUMBERS, st.floats(0.0, 1.0))
def test_quantiles_lie_within_a_bin(array: Array, share: float) -> None:
    found = Histogram()
    found.add(array, float(array.min()), float(array.max()))
    below = np.quantile(array, share, method="lower")
    above = np.quantile(array, share, method="higher")
    slack = found.width + np.spacing(np.abs(array).max())
    order = np.sort(array)
    position = share * array.size
    around = order[[max(math.ceil(position) - 1, 0), min(int(position), array.size - 1)]]
    low, high = min(below, around.min()), max(above, around.max())
    assert low - slack <= found.quantile(share) <= high + slack


# All observers


@pytest.mark.parametrize("kind", OBSERVERS)
@property_test
@given(arrays=st.lists(NUMBERS, min_size=1, max_size=4), bits=st.sampled_from([4, 8, 16]))
def test_a_range_holds_zero_and_lies_within_the_extremes(
    kind: str, arrays: list[Array], bits: int
) -> None:
    found = seen(kind, arrays).range(bits)
    everything = np.concatenate(arrays)
    slack = np.spacing(np.abs(everything).max())
    assert min(float(everything.min()), 0.0) - slack <= found.low <= 0.0
    assert 0.0 <= found.high <= max(float(everything.max()), 0.0) + slack


@pytest.mark.parametrize("kind", UNORDERED)
@property_test
@given(array=NUMBERS, split=st.integers(0, 60), random=st.randoms())
def test_order_and_splits_do_not_matter(kind: str, array: Array, split: int, random: Any) -> None:
    shuffled = array.copy()
    random.shuffle(shuffled)
    parts = np.split(shuffled, [min(split, array.size)])
    assert seen(kind, [array]).range() == seen(kind, parts).range()


@pytest.mark.parametrize("kind", OBSERVERS)
@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_equal_samples_give_equal_ranges(kind: str, name: str) -> None:
    array = DISTRIBUTIONS[name]
    assert seen(kind, [array, array]).range() == seen(kind, [array, array]).range()


@pytest.mark.parametrize("kind", OBSERVERS)
@pytest.mark.parametrize("value", [2.5, -2.5, 0.0, 1e-42, -1e-42, 3.4e38, -3.4e38])
def test_a_constant_is_an_end_of_its_range(kind: str, value: float) -> None:
    number = float(np.float32(value))
    found = seen(kind, [np.full((2, 3, 4), value, np.float32)] * 2).range()
    assert found.low == pytest.approx(min(number, 0.0), rel=1e-6)
    assert found.high == pytest.approx(max(number, 0.0), rel=1e-6)


@pytest.mark.parametrize("kind", OBSERVERS)
def test_numbers_must_be_numbers(kind: str) -> None:
    found = maker(kind)("conv1")
    found.update(np.ones(4, np.float32))
    array = np.array([1.0, np.nan, np.inf, np.nan], np.float32)
    with pytest.raises(InputError, match="sample 1: activation 'conv1': 2 of 4 numbers are NaN"):
        found.update(array)
    with pytest.raises(InputError, match=r"cat\.png: activation 'conv1'"):
        found.update(array, "cat.png")


@pytest.mark.parametrize("kind", OBSERVERS)
def test_infinities_make_the_range_infinite(kind: str) -> None:
    arrays = [np.ones(4, np.float32), np.array([-np.inf, 2.0, -3.0], np.float32)]
    for order in (arrays, arrays[::-1]):
        assert seen(kind, order).range() == seen(kind, order).extremes == (-np.inf, 2.0)


@pytest.mark.parametrize("kind", OBSERVERS)
def test_a_range_needs_numbers(kind: str) -> None:
    with pytest.raises(InputError, match="activation 'x': no numbers in 0 samples"):
        maker(kind)("x").range()
    found = seen(kind, [np.zeros((0, 3), np.float32)])
    with pytest.raises(InputError, match="no numbers in 1 samples"):
        found.range()


@pytest.mark.parametrize("kind", OBSERVERS)
def test_float16_and_gaps_between_rows(kind: str) -> None:
    array = DISTRIBUTIONS["gauss"].reshape(100, 500)
    half = array.astype(np.float16)
    assert seen(kind, [half]).range() == seen(kind, [half.astype(np.float32)]).range()
    rows = array[::2, 10:-3]
    assert seen(kind, [rows]).range() == seen(kind, [rows.copy()]).range()


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        ("best", {}, "observer 'best'; it is one of minmax, moving_average"),
        (3, {}, "observer 3; it is one of"),
        (["mse"], {}, r"observer \['mse'\]; it is one of"),
        ("moving_average", {"averaging_constant": True}, "averaging_constant is True"),
        ("minmax", {"percentile": 99.0}, "'minmax': unknown option 'percentile'; it has no"),
        ("percentile", {"share": 1.0}, "unknown option 'share'; its options are percentile"),
        ("percentile", {"name": "y"}, "unknown option 'name'"),
        ("percentile", {"percentile": 100.5}, "percentile is 100.5; it must be above 50 and at"),
        ("percentile", {"percentile": 50}, "percentile is 50; it must be above 50"),
        ("percentile", {"percentile": "99"}, "percentile is '99'"),
        ("percentile", {"percentile": math.nan}, "percentile is nan"),
        ("moving_average", {"averaging_constant": 0.0}, "averaging_constant is 0.0; it must be"),
    ],
)
def test_bad_options(kind: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        maker(kind, options)


# Each observer


@property_test
@given(st.lists(NUMBERS, min_size=1, max_size=5))
def test_minmax(arrays: list[Array]) -> None:
    everything = np.concatenate(arrays)
    expected = min(float(everything.min()), 0.0), max(float(everything.max()), 0.0)
    assert seen("minmax", arrays).range() == expected


@property_test
@given(st.lists(NUMBERS, min_size=1, max_size=5), st.floats(0.01, 1.0))
def test_moving_average(arrays: list[Array], share: float) -> None:
    low, high = float(arrays[0].min()), float(arrays[0].max())
    for array in arrays[1:]:
        low = (1 - share) * low + share * float(array.min())
        high = (1 - share) * high + share * float(array.max())
    found = seen("moving_average", arrays, averaging_constant=share).range()
    assert found == pytest.approx((min(low, 0.0), max(high, 0.0)), rel=1e-9, abs=1e-6)


@pytest.mark.parametrize("percentile", [90.0, 99.0, 99.9, 100])
@pytest.mark.parametrize("name", sorted(set(DISTRIBUTIONS) - {"few"}))
def test_percentile(name: str, percentile: float) -> None:
    array = DISTRIBUTIONS[name]
    found = seen("percentile", [array], percentile=percentile)
    both = array.min() < 0 < array.max()
    outside = (100 - percentile) / (2 if both else 1)
    low, high = np.percentile(array, [outside, 100 - outside])
    width = 2.0 ** math.ceil(math.log2(np.abs(array).max())) / SIDE
    slack = width + (0.02 if percentile < 99.9 else 0.4)
    assert found.range() == pytest.approx((min(low, 0.0), max(high, 0.0)), abs=slack)
    inside = np.mean((array >= found.range().low - width) & (array <= found.range().high + width))
    assert inside >= percentile / 100 - 1e-3


@pytest.mark.parametrize("bits", [2, 4, 8, 16])
@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_the_expected_error_is_the_error(name: str, bits: int) -> None:
    array = DISTRIBUTIONS[name]
    found = Histogram()
    found.add(array, float(array.min()), float(array.max()))
    low, high = min(float(array.min()), 0.0), max(float(array.max()), 0.0)
    for shrink in (1.0, 0.6, 0.2):
        wanted = Range(low * shrink, high * shrink)
        lows, highs = np.array([wanted.low]), np.array([wanted.high])
        (expected,) = squared_error(found.bins(), lows, highs, bits)
        slack = found.width**2 if name != "few" else 4 * found.width
        assert expected == pytest.approx(error(array, wanted, bits), rel=0.03, abs=slack)


@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("name", sorted(set(DISTRIBUTIONS) - {"few"}))
def test_mse_is_near_the_best_of_all_ranges(name: str, bits: int) -> None:
    array = DISTRIBUTIONS[name]
    found = seen("mse", [array]).range(bits)
    low, high = min(float(array.min()), 0.0), max(float(array.max()), 0.0)
    shares = np.linspace(0.05, 1.0, 20)
    grid = [Range(low * a, high * b) for a in shares for b in shares if high * b - low * a]
    best = min(error(array, each, bits) for each in grid)
    assert error(array, found, bits) <= 1.03 * best


@pytest.mark.parametrize(
    ("kind", "options"),
    [("mse", {}), ("aciq", {}), ("entropy", {}), ("percentile", {"percentile": 99.9})],
)
@pytest.mark.parametrize("name", ["gauss", "laplace", "relu", "outlier"])
def test_clipping_beats_the_extremes_at_4_bits(
    name: str, kind: str, options: dict[str, float]
) -> None:
    array = DISTRIBUTIONS[name]
    found = seen(kind, [array], **options)
    assert error(array, found.range(4), 4) < error(array, found.extremes, 4)


def test_entropy_is_symmetric_for_two_signs() -> None:
    array = DISTRIBUTIONS["laplace"]
    found = seen("entropy", [array]).range()
    assert found.low == -found.high
    assert found.high < np.abs(array).max()


def test_entropy_does_not_count_zeros() -> None:
    positive = np.abs(DISTRIBUTIONS["laplace"])
    with_zeros = np.concatenate([positive, np.zeros(10 * positive.size, np.float32)])
    assert seen("entropy", [positive]).range() == seen("entropy", [with_zeros]).range()


def test_entropy_with_more_levels_than_bins_takes_the_extremes() -> None:
    array = DISTRIBUTIONS["gauss"]
    extremes = seen("minmax", [array]).range()
    assert seen("entropy", [array]).range(16) == extremes


@pytest.mark.parametrize(
    ("bits", "laplace", "gauss"), [(2, 2.83, 1.71), (3, 3.89, 2.15), (4, 5.03, 2.55)]
)
def test_limits_are_those_of_the_paper(bits: int, laplace: float, gauss: float) -> None:
    assert laplace_limit(bits) == pytest.approx(laplace, abs=0.01)
    assert gauss_limit(bits) == pytest.approx(gauss, abs=0.02)


@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("scale", [0.01, 1.0, 300.0])
def test_aciq_tells_the_distributions_apart(bits: int, scale: float) -> None:
    normal, laplace = DISTRIBUTIONS["gauss"], DISTRIBUTIONS["laplace"]
    for array, limit in ((normal, gauss_limit(bits)), (laplace, laplace_limit(bits))):
        ends = max(-limit, float(array.min())), min(limit, float(array.max()))
        found = seen("aciq", [array * np.float32(scale)]).range(bits)
        assert found == pytest.approx((ends[0] * scale, ends[1] * scale), rel=0.02)
        half = np.maximum(array, 0.0) * np.float32(scale)
        one_sided = (gauss_limit if array is normal else laplace_limit)(bits + 1) * scale
        expected = min(one_sided, float(half.max()))
        assert seen("aciq", [half]).range(bits) == pytest.approx((0, expected), rel=0.02)
        negative = seen("aciq", [-half]).range(bits)
        assert negative == pytest.approx((-expected, 0), rel=0.02)
