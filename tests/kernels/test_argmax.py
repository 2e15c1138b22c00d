"""Arg-max kernels find the first of the greatest channels."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edgewise.kernels.argmax import ArgMax
from edgewise.kernels.ir import Type, i32, i64
from edgewise.kernels.isa import Isa

from .harness import isas, run
from .images import View, activation, pixels


def argmax(variant: ArgMax, x: np.ndarray[Any, Any], tight: bool) -> None:
    n, h, w, channels = x.shape
    a = View.around(x, tight)
    c = View.empty((n, h, w, 1), np.dtype(f"int{variant.result.bits}"), tight)
    sizes = {"height": h, "width": w, "channels": channels}
    run(variant, n * h, {**a.values("a"), **c.values("c"), **sizes}, [c.buffer])
    c.check(x.argmax(axis=3)[..., None].astype(c.buffer.array.dtype))


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
    argmax(ArgMax(isa, i32, channels <= ArgMax(isa).vector), x[None, None], tight=True)
