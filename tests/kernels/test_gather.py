"""Gathers and their reverse, in guarded memory, against numpy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edgewise.kernels import views
from edgewise.kernels.gather import Gather
from edgewise.kernels.ir import Type
from edgewise.kernels.isa import Isa

from .harness import Array, Buffer, isas, run


def gather(isa: Isa, x: Array, indices: Array, bits: int, block: int = 1 << 30) -> None:
    """x[batch, b, axis, n], indices[batch, c], of which some lie outside."""
    batches, b, size, n = x.shape
    c = indices.shape[1]
    whole = np.zeros((batches, b, c, n + 3), np.uint8)
    y, i = Buffer(whole.copy()), Buffer(indices.astype(f"i{bits // 8}"))
    values: dict[str, Any] = {"x": Buffer(x), "y": y, "indices": i}
    values |= dict(zip(("x_a", "x_b", "step_0"), x.strides, strict=False))
    values |= dict(zip(("y_a", "y_b", "y_c"), whole.strides, strict=False))
    values |= dict(zip(("i_a", "i_c"), i.array.strides, strict=True))
    values |= {"i_axis": 0, "size_0": size, "b": b, "c": c, "n": n, "block": block}
    units = views.units((batches, b, c), n, block)
    run(Gather(isa, Type("i", bits)), units, values, [y])
    checked, broken = Buffer(np.zeros_like(whole)), Buffer(np.zeros(3, np.uint8))
    values |= {"y": checked, "broken": broken.at(1)}
    run(Gather(isa, Type("i", bits), checked=True), units, values, [checked, broken])
    is_broken = bool(((indices < 0) | (indices >= size)).any())
    assert broken.array.tolist() == [0, is_broken, 0]
    np.testing.assert_array_equal(checked.array, y.array)
    chosen = np.clip(indices, 0, size - 1)[:, None, :, None]
    whole[..., :n] = np.take_along_axis(x, chosen, axis=2)
    np.testing.assert_array_equal(y.array, whole)


@isas
@pytest.mark.parametrize("bits", [16, 32, 64])
@pytest.mark.parametrize("n", [1, 4, 31, 64, 133])
def test_gather(isa: Isa, bits: int, n: int) -> None:
    rng = np.random.default_rng(n)
    x = rng.integers(0, 256, (2, 3, 7, n)).astype(np.uint8)
    indices = rng.integers(0, 7, (2, 5))
    indices[0, 2], indices[1, 4] = -3, 30000
    for block in (1 << 30, 1, 40):
        gather(isa, x, indices, bits, block)
    gather(isa, x, rng.integers(0, 7, (2, 5)), bits)


@isas
@pytest.mark.parametrize("n", [1, 3, 16, 31, 64, 133])
def test_rows_of_known_size(isa: Isa, n: int) -> None:
    rng = np.random.default_rng(n)
    x = rng.integers(0, 256, (7, n)).astype(np.uint8)
    for indices in (rng.integers(0, 7, 9), np.array([0, 7, -1, 6, 2**31 - 1, -(2**31)])):
        c = len(indices)
        whole = np.zeros((c, n + 3), np.uint8)
        i = Buffer(indices.astype(np.int32))
        for checked in (False, True):
            y, broken = Buffer(whole.copy()), Buffer(np.zeros(3, np.uint8))
            values: dict[str, Any] = {"x": Buffer(x), "y": y, "indices": i}
            values |= {"step_0": n, "size_0": 7, "y_c": n + 3, "i_c": 4}
            values |= dict.fromkeys(("x_a", "x_b", "i_a", "i_axis", "y_a", "y_b"), 0)
            values |= {"b": 1, "c": c, "n": n, "block": n}
            values |= {"broken": broken.at(1)} if checked else {}
            outputs = [y, broken] if checked else [y]
            run(Gather(isa, Type("i", 32), checked=checked, row=n), c, values, outputs)
            np.testing.assert_array_equal(y.array[:, :n], x[np.clip(indices, 0, 6)])
            assert not y.array[:, n:].any()
            is_broken = bool(((indices < 0) | (indices >= 7)).any())
            assert broken.array.tolist() == [0, checked and is_broken, 0]


@isas
@pytest.mark.parametrize("reverse", [False, True])
def test_several_axes(isa: Isa, reverse: bool) -> None:
    """One row that three coordinates name, read or, in reverse, written."""
    rng = np.random.default_rng(1)
    x = rng.integers(0, 256, (3, 4, 5, 20)).astype(np.uint8)
    indices = np.array([[2, 0, 3], [-1, 9, 1]], np.int64)
    y = rng.integers(0, 256, (2, 20)).astype(np.uint8)
    buffers = {"x": Buffer(x.copy()), "y": Buffer(y.copy())}
    values: dict[str, Any] = {**buffers, "indices": Buffer(indices), "i_axis": 8, "i_c": 24}
    for j in range(3):
        values |= {f"size_{j}": x.shape[j], f"step_{j}": x.strides[j]}
    values |= dict.fromkeys(("x_a", "x_b", "i_a", "y_a", "y_b"), 0)
    values |= {"y_c": 20, "b": 1, "c": 2, "n": 20, "block": 20}
    result = buffers["x" if reverse else "y"]
    run(Gather(isa, Type("i", 64), 3, reverse), 2, values, [result])
    places = ([2, 0], [0, 3], [3, 1])
    if reverse:
        x[places] = y
    np.testing.assert_array_equal(result.array, x if reverse else x[places])
