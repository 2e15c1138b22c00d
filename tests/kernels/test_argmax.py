"""Arg-max kernels find the first of the greatest channels."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edgewise.kernels.argmax import ArgColumns, ArgMax, ArgRows
from edgewise.kernels.ir import Type, f32, i8, i16, i32, i64, u8
from edgewise.kernels.isa import Isa

from .harness import Buffer, isas, run
from .images import View, activation, pixels


def argmax(variant: ArgMax | ArgRows, x: np.ndarray[Any, Any], tight: bool) -> None:
    n, h, w, channels = x.shape
    a = View.around(x, tight)
    c = View.empty((n, h, w, 1), np.dtype(f"int{variant.result.bits}"), tight)
    sizes = {"height": h, "width": w, "channels": channels}
    run(variant, n * h, {**a.values("a"), **c.values("c"), **sizes}, [c.buffer])
    x = np.where(np.isnan(x), np.inf if variant.least else -np.inf, x)
    found = x.argmin(axis=3) if variant.least else x.argmax(axis=3)
    c.check(found[..., None].astype(c.buffer.array.dtype))


@isas
@pytest.mark.parametrize("result", [i32, i64], ids=str)
def test_channels(isa: Isa, result: Type) -> None:
    rng = np.random.default_rng(1)
    width = ArgMax(isa).vector
    for channels in {*range(1, 2 * width + 2, 3), 16, 31, 32, 33, 64, 255, 256, 257, 1001}:
        short = channels <= width
        x = pixels(rng, (2, 2, 3, channels), activation(isa))
        argmax(ArgMax(isa, result, short), x, tight=channels % 2 == 0)


@isas
@pytest.mark.parametrize("channels", [5, 16, 21, 40, 71])
def test_every_place_and_ties(isa: Isa, channels: int) -> None:
    """The greatest at each place, alone and again at the end; all equal; all the least."""
    low, high = activation(isa).range
    eye = np.eye(channels, dtype=bool)
    last = eye.copy()
    last[:, -1] = True
    rows = [np.where(m, peak, low) for m in (eye, last) for peak in (low + 1, high)]
    rows += [np.full((1, channels), v) for v in (low, 0, high)]
    x = np.concatenate(rows).astype(activation(isa).numpy)
    for least in (False, True):
        variant = ArgMax(isa, i32, channels <= ArgMax(isa).vector, least)
        argmax(variant, ~x[None, None] if least else x[None, None], tight=True)


def numbers(rng: np.random.Generator, element: Type, shape: tuple[int, ...]) -> Any:
    """Few different numbers, so that the best one is there several times."""
    x = rng.integers(-3, 4, shape)
    return x.astype(np.float32) / 2 if element == f32 else x.astype(f"i{element.nbytes}")


@isas
@pytest.mark.parametrize("element", [f32, i32, i16], ids=str)
@pytest.mark.parametrize("least", [False, True])
def test_rows(isa: Isa, element: Type, least: bool) -> None:
    rng = np.random.default_rng(2)
    variant = ArgRows(isa, element, i64 if least else i32, least)
    for channels in (1, 2, isa.lanes - 1, isa.lanes, isa.lanes + 1, 21, 70):
        x = numbers(rng, element, (2, 2, 9, channels))
        argmax(variant, x, tight=channels % 2 == 0)
        if element == f32:
            argmax(variant, np.full_like(x, np.inf if least else -np.inf), tight=True)
            argmax(variant, -x * np.float32(1e30), tight=True)
            argmax(variant, np.where(rng.random(x.shape) < 0.5, np.float32(np.nan), x), tight=True)


@isas
@pytest.mark.parametrize("element", [f32, i32, i8, u8], ids=str)
@pytest.mark.parametrize("least", [False, True])
def test_columns(isa: Isa, element: Type, least: bool) -> None:
    rng = np.random.default_rng(3)
    variant = ArgColumns(isa, element, i32 if least else i64, least)
    for n in (1, 3, isa.lanes, 2 * isa.lanes + 5):
        x = numbers(rng, element, (2, 3, 7, n))
        if element == u8:
            x = x.view(np.uint8)
        expected = x.argmin(2) if least else x.argmax(2)
        c = Buffer(np.zeros((2, 3, n), np.dtype(f"int{variant.result.bits}")))
        block, strides = 2 * isa.lanes, c.array.strides
        values = {
            **{"a": Buffer(x), "a_0": 0, "a_1": x.strides[0], "a_2": x.strides[1]},
            **{"c": c, "c_0": 0, "c_1": strides[0], "c_2": strides[1]},
            **{"d1": 2, "d2": 3, "n": n, "block": block, "r": 7, "a_r": x.strides[2]},
        }
        run(variant, 6 * -(-n // block), values, [c])
        np.testing.assert_array_equal(c.array, expected)
