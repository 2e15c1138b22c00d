"""Rows made neighbours, and elements picked, against numpy's views."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edgewise.kernels import copy, views
from edgewise.kernels.interleave import STEPS, WAYS, Interleave, Pick, lanes_of
from edgewise.kernels.isa import Isa

from .harness import Array, Buffer, isas, run
from .test_copy import SIZES, fields, random


def lengths(isa: Isa, nbytes: int) -> list[int]:
    lanes = lanes_of(isa, nbytes)
    return [1, lanes - 1, lanes, lanes + 1, 2 * lanes + 3, 5 * lanes]


@isas
@pytest.mark.parametrize("nbytes", SIZES)
@pytest.mark.parametrize("ways", WAYS)
def test_interleave(isa: Isa, nbytes: int, ways: int) -> None:
    for n in lengths(isa, nbytes):
        for block in (1 << 30, 7, 2 * lanes_of(isa, nbytes)):
            src = random((2, ways + 1, 3, n + 2), nbytes)
            part = src[:, 1:, :, 1 : n + 1].swapaxes(1, 2)
            dst = np.zeros((2, 3, n + 1, ways), src.dtype)
            target = dst[:, :, :n]
            result = Buffer(dst)
            offset = part.__array_interface__["data"][0] - src.__array_interface__["data"][0]
            values: dict[str, Any] = {"src": Buffer(src).at(offset), "dst": result}
            for name, x in (("src", part), ("dst", target)):
                values |= {f"{name}_{i}": s for i, s in enumerate((0, *x.strides[:2]))}
            values |= {"d1": 2, "d2": 3, "n": n, "block": block, "src_way": part.strides[2]}
            run(Interleave(isa, nbytes, ways), views.units((2, 3), n, block), values, [result])
            target[...] = part.swapaxes(2, 3)
            np.testing.assert_array_equal(result.array, dst)


@isas
@pytest.mark.parametrize("nbytes", SIZES)
@pytest.mark.parametrize("step", STEPS)
def test_pick(isa: Isa, nbytes: int, step: int) -> None:
    for n in lengths(isa, nbytes):
        for first in range(step):
            src = random((2, 3, n * step), nbytes)
            dst = np.zeros((2, 3, n + 2), src.dtype)
            check(isa, step, (src, src[..., first::step]), (dst, dst[..., 1:-1]))


def check(isa: Isa, step: int, src: tuple[Array, Array], dst: tuple[Array, Array]) -> None:
    _, x = fields("src", *src, copy.OUTER)
    result, y = fields("dst", *dst, copy.OUTER)
    d3, d4, n = src[1].shape
    sizes = {"d1": 1, "d2": 1, "d3": d3, "d4": d4}
    for block in (1 << 30, 7):
        values = {**x, **y, **sizes, "n": n, "block": block}
        units = views.units((d3, d4), n, block)
        run(Pick(isa, src[1].itemsize, step), units, values, [result])
        dst[1][...] = src[1]
        np.testing.assert_array_equal(result.array, dst[0])
