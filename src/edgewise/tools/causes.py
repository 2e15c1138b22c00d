"""Why two computations of one tensor differ: the likely cause, by what the difference looks like.

Each test looks for one pattern, in the order of `TESTS`; the first that holds names the cause.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ..graph import Array

ROUNDING_STEPS = 2.0
"""The most quantization steps that roundings of integers differ by."""

HALF_PRECISION = 2.0**-7
"""The most that arithmetic of 16-bit floats differs, as a share of the greatest magnitude."""

LEAST_SHIFTED = 8
"""The least size of an axis along which a shift is looked for."""

MOST_PERMUTED = 6
"""The highest rank whose permutations are tried."""

SAME = 1e-3
"""What is left of a difference once its cause is taken back, as a share of the tensor's range."""

Mask = npt.NDArray[np.bool_]


class Cause(NamedTuple):
    """What is likely wrong, and what shows it."""

    name: str
    evidence: str


def likely_cause(ours: Array, theirs: Array, steps: float) -> Cause:
    """The likely cause of a difference.

    Args:
        ours, theirs: two computations of one tensor.
        steps: by how many quantization steps they differ at most (`differences.Difference`).

    Returns:
        The cause, one of: shape, layout, overflow, rounding, order, padding, range, scale; or
        unknown.
    """
    if ours.shape != theirs.shape or ours.dtype != theirs.dtype:
        return _shapes(ours, theirs)
    if ours.dtype.kind not in "fiu":
        return Cause("unknown", f"the elements are {ours.dtype}")
    if ours.dtype.kind == "f":
        found = _infinite(ours, theirs)
        if found is not None:
            return found
        ours, theirs = (np.where(np.isfinite(a), a, 0) for a in (ours, theirs))
    differs = _differs(ours, theirs)
    for test in TESTS:
        cause = test(ours, theirs, differs, steps)
        if cause is not None:
            return cause
    share = np.count_nonzero(differs) / max(differs.size, 1)
    return Cause("unknown", f"{share:.1%} of the elements differ, in no known pattern")


def _shapes(ours: Array, theirs: Array) -> Cause:
    if ours.dtype != theirs.dtype:
        return Cause("shape", f"element types are {ours.dtype} and {theirs.dtype}")
    shapes = f"{list(ours.shape)} and {list(theirs.shape)}"
    if sorted(ours.shape) == sorted(theirs.shape):
        return Cause("layout", f"the shapes {shapes} are permutations of one another")
    return Cause("shape", f"the shapes are {shapes}")


def _infinite(ours: Array, theirs: Array) -> Cause | None:
    wild = np.isfinite(ours) != np.isfinite(theirs)
    wild |= np.isinf(ours) & np.isinf(theirs) & (ours != theirs)
    if not wild.any():
        return None
    sides = (("ours", ours), ("theirs", theirs))
    names = " and ".join(name for name, a in sides if not np.isfinite(a[wild]).all())
    count = np.count_nonzero(wild)
    return Cause("overflow", f"{count} elements are infinite or not a number, {names}")


def _overflow(ours: Array, theirs: Array, differs: Mask, steps: float) -> Cause | None:
    if ours.dtype.kind == "f":
        return None
    distance = np.abs(ours[differs].astype(np.float64) - theirs[differs].astype(np.float64))
    for bits in (32, 16, 8):
        most, near = 2.0**bits, distance % 2.0**bits
        wrapped = (distance >= most / 2) & (np.minimum(near, most - near) <= 2 * ROUNDING_STEPS)
        fits = 4 * ours.dtype.itemsize <= bits <= 8 * ours.dtype.itemsize
        if fits and distance.size and wrapped.all():
            return Cause("overflow", f"the elements that differ do so by 2**{bits}: sums wrapped")
    return None


def _rounding(ours: Array, theirs: Array, differs: Mask, steps: float) -> Cause | None:
    if ours.dtype.kind in "iu":
        if steps <= ROUNDING_STEPS:
            return Cause("rounding", f"no element differs by more than {steps:g} steps")
        return None
    if _close(ours, theirs):
        return Cause("rounding", f"no element differs by more than {SAME:g} of the range")
    greatest = float(np.abs(theirs).max(initial=0.0))
    worst = float(np.abs(_wide(ours) - _wide(theirs)).max(initial=0.0))
    if worst <= HALF_PRECISION * greatest and np.count_nonzero(ours != theirs) > ours.size / 4:
        return Cause(
            "rounding",
            f"differences are spread, and at most {worst / greatest:.1g} of the greatest value: "
            "arithmetic of fewer bits",
        )
    return None


def _layout(ours: Array, theirs: Array, differs: Mask, steps: float) -> Cause | None:
    if not 2 <= ours.ndim <= MOST_PERMUTED or sum(d > 1 for d in ours.shape) < 2:
        return None
    if not _close(np.sort(ours, axis=None), np.sort(theirs, axis=None)):  # of any order
        return None
    for perm in itertools.permutations(range(ours.ndim)):
        moved = [axis for axis in perm if ours.shape[axis] > 1]
        if moved != sorted(moved) and _close(ours.transpose(perm).reshape(theirs.shape), theirs):
            return Cause("layout", f"they hold the same elements, with the axes in order {perm}")
    return None


def _order(ours: Array, theirs: Array, differs: Mask, steps: float) -> Cause | None:
    for axis, size in enumerate(ours.shape):
        if size > 1 and _close(np.flip(ours, axis), theirs):
            return Cause("order", f"they hold the same elements, reversed along axis {axis}")
    return None


def _padding(ours: Array, theirs: Array, differs: Mask, steps: float) -> Cause | None:
    border = next(_borders(differs), None)
    if border is not None:
        axis, width = border
        return Cause("padding", f"only elements within {width} of the ends of axis {axis} differ")
    for axis, size in enumerate(ours.shape):
        lines, others = np.moveaxis(ours, axis, 0), np.moveaxis(theirs, axis, 0)
        moved = _close(lines[1:], others[:-1]) or _close(lines[:-1], others[1:])
        if size >= LEAST_SHIFTED and moved:
            return Cause("padding", f"they are the same but for a shift by one along axis {axis}")
    return None


def _borders(differs: Mask) -> Iterator[tuple[int, int]]:
    """The axes, longest first, along which only elements near the ends differ; how near."""
    for axis in sorted(range(differs.ndim), key=lambda a: -int(differs.shape[a])):
        size = differs.shape[axis]
        others = tuple(i for i in range(differs.ndim) if i != axis)
        found = np.flatnonzero(differs.any(axis=others))
        if size < 5 or not found.size:
            continue
        border = int(max(min(i, size - 1 - i) for i in found)) + 1
        if 4 * border <= size:
            yield axis, border


def _range(ours: Array, theirs: Array, differs: Mask, steps: float) -> Cause | None:
    for name, clamped, other in (("theirs", theirs, ours), ("ours", ours, theirs)):
        low, high = clamped.min(), clamped.max()
        outside = (other < low) | (other > high)
        if outside.any() and _close(np.clip(other, low, high), clamped):
            return Cause(
                "range",
                f"{name} stays in [{low:g}, {high:g}]; {np.count_nonzero(outside)} elements of the "
                "other lie outside",
            )
    return None


def _scale(ours: Array, theirs: Array, differs: Mask, steps: float) -> Cause | None:
    x, y = _wide(ours).ravel(), _wide(theirs).ravel()
    if x.size < 4 or float(np.ptp(x)) == 0.0:
        return None
    factor, offset = np.polyfit(x, y, 1)
    if factor == 0.0 or not _close(factor * x + offset, y):
        return None
    return Cause("scale", f"theirs is {factor:.6g} * ours + {offset:.6g}")


TESTS: tuple[Callable[[Array, Array, Mask, float], Cause | None], ...] = (
    _overflow,
    _rounding,
    _layout,
    _order,
    _range,
    _padding,
    _scale,
)


def _wide(array: Array) -> Array:
    return array.astype(np.float64)


def _differs(ours: Array, theirs: Array) -> Mask:
    """Where they differ by more than what is left of a cause that is taken back."""
    return np.asarray(np.abs(_wide(ours) - _wide(theirs)) > _least(theirs))


def _least(theirs: Array) -> float:
    if theirs.dtype.kind in "iu" or not theirs.size:
        return 0.0
    return SAME * float(np.ptp(_wide(theirs)))


def _close(ours: Array, theirs: Array) -> bool:
    """Whether they are the same but for rounding."""
    if ours.size == 0:
        return False
    least = 1.0 if theirs.dtype.kind in "iu" else _least(theirs)
    return bool((np.abs(_wide(ours) - _wide(theirs)) <= least).all())
