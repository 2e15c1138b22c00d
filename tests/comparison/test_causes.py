"""The likely cause of a difference: each pattern, and what is none."""

from __future__ import annotations

import numpy as np
import pytest

from edgewise.graph import Array
from edgewise.tools.causes import likely_cause

RNG = np.random.default_rng(0)
IMAGE = RNG.normal(size=(1, 12, 14, 6)).astype(np.float32)
BYTES = RNG.integers(-100, 100, (1, 12, 14, 6)).astype(np.int8)


def cause(ours: Array, theirs: Array) -> str:
    steps = (
        float(np.abs(ours.astype(np.float64) - theirs).max()) if ours.shape == theirs.shape else 0
    )
    return likely_cause(ours, theirs, steps if ours.dtype.kind in "iu" else 1e4 * steps).name


@pytest.mark.parametrize("image", [IMAGE, BYTES])
@pytest.mark.parametrize("perm", [(0, 2, 1, 3), (0, 3, 1, 2), (0, 2, 3, 1)])
def test_layout(image: Array, perm: tuple[int, ...]) -> None:
    moved = image.transpose(perm)
    assert cause(image, moved) == "layout"
    assert cause(image, np.ascontiguousarray(moved).reshape(image.shape)) == "layout"


def test_shape() -> None:
    assert cause(IMAGE, IMAGE[:, 1:]) == "shape"
    assert likely_cause(IMAGE, BYTES, np.inf).name == "shape"


@pytest.mark.parametrize("image", [IMAGE, BYTES])
@pytest.mark.parametrize("axis", [1, 2])
def test_padding_at_a_border(image: Array, axis: int) -> None:
    other = image.copy()
    edge = [slice(None)] * 4
    edge[axis] = slice(0, 1)
    other[tuple(edge)] = -other[tuple(edge)] // 2 + 3
    found = likely_cause(image, other, 100.0)
    assert found.name == "padding"
    assert f"axis {axis}" in found.evidence


@pytest.mark.parametrize("shift", [1, -1])
def test_padding_by_a_shift(shift: int) -> None:
    assert cause(IMAGE, np.roll(IMAGE, shift, axis=2)) == "padding"


def test_order() -> None:
    assert cause(IMAGE, IMAGE[..., ::-1]) == "order"


def test_rounding_of_integers() -> None:
    other = BYTES.copy()
    other[0, 3] += 1
    assert cause(BYTES, other) == "rounding"


def test_rounding_of_floats() -> None:
    half = IMAGE.astype(np.float16).astype(np.float32)
    assert cause(IMAGE, half) == "rounding"
    bf16 = (IMAGE.view(np.uint32) & np.uint32(0xFFFF0000)).view(np.float32)
    assert cause(IMAGE, bf16) == "rounding"


def test_overflow_of_floats() -> None:
    other = IMAGE.copy()
    other[0, 1, 2, 3] = np.inf
    found = likely_cause(IMAGE, other, np.inf)
    assert (found.name, "theirs" in found.evidence) == ("overflow", True)
    found = likely_cause(other, IMAGE, np.inf)
    assert (found.name, "ours" in found.evidence) == ("overflow", True)


def test_overflow_to_the_other_infinity() -> None:
    other = IMAGE.copy()
    other[0, 1, 2, 3] = np.inf
    found = likely_cause(other, np.where(other == np.inf, -np.inf, other), np.inf)
    assert (found.name, "ours and theirs" in found.evidence) == ("overflow", True)


@pytest.mark.parametrize("special", [np.nan, np.inf])
def test_what_is_no_number_on_both_sides_is_left_out(special: float) -> None:
    noise = RNG.normal(size=IMAGE.shape).astype(np.float32)
    ours, scaled, other = IMAGE.copy(), IMAGE * np.float32(2), noise
    for array in (ours, scaled, other):
        array[0, 1, 2, 3] = special
    assert likely_cause(ours, scaled, 1e4).name == "scale"
    assert likely_cause(ours, other, 1e4).name == "unknown"


def test_overflow_of_integers() -> None:
    sums = RNG.integers(-(2**20), 2**20, 64).astype(np.int32)
    wrapped = sums.astype(np.int64)
    wrapped[::3] += 2**16
    assert cause(sums, wrapped.astype(np.int32)) == "overflow"
    wrapped[::3] += 2**15
    assert cause(sums, wrapped.astype(np.int32)) != "overflow"


def test_range() -> None:
    assert cause(IMAGE, np.clip(IMAGE, 0, 0.6)) == "range"
    assert cause(np.clip(IMAGE, 0, None), IMAGE) == "range"
    assert cause(BYTES, np.clip(BYTES, -60, 60)) == "range"


def test_scale() -> None:
    assert cause(IMAGE, IMAGE * 1.5 + 0.25) == "scale"
    found = likely_cause(IMAGE, IMAGE * np.float32(2), 1e4)
    assert "2 * ours" in found.evidence


def test_no_pattern() -> None:
    other = RNG.normal(size=IMAGE.shape).astype(np.float32)
    assert cause(IMAGE, other) == "unknown"
    flags = IMAGE > 0
    assert likely_cause(flags, ~flags, 1.0).name == "unknown"


def test_a_constant_tensor() -> None:
    zeros = np.zeros((2, 3), np.float32)
    other = zeros.copy()
    other[0, 0] = 1
    assert cause(zeros, other) in ("unknown", "range")
