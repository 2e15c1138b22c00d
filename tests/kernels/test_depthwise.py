"""Float32 depthwise convolutions on every instruction set, against numpy in float64."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from edgewise.kernels.depthwise import MAX_COLUMNS, MAX_PIXELS, Depthwise
from edgewise.kernels.isa import AVX2, AVX512VNNI, Isa
from edgewise.kernels.storage import FLOAT16, FLOAT32, Storage
from edgewise.plan import select

from .harness import Buffer, isas, run
from .images import View

Pair = tuple[int, int]


def check(
    isa: Isa,
    size: tuple[int, int, int],
    channels: int,
    window: Pair = (3, 3),
    stride: Pair = (1, 1),
    dilation: Pair = (1, 1),
    stages: tuple[str, ...] = (),
    per_unit: int = 1,
    variant: Depthwise | None = None,
    storage: Storage | None = None,
) -> npt.NDArray[np.float32]:
    """Run one layer, give its output, whose size is ``size`` (images, height, width).

    With ``storage``, the weights are numbers that float16 holds.
    """
    (n, height, width), (kh, kw), (sh, sw), (dh, dw) = size, window, stride, dilation
    rng = np.random.default_rng(channels * kh + kw)
    reach = [(height - 1) * sh + (kh - 1) * dh + 1, (width - 1) * sw + (kw - 1) * dw + 1]
    x = rng.normal(size=(n, *reach, channels)).astype(np.float32)
    w = rng.normal(size=(kh, kw, channels)).astype(np.float32)
    bias = rng.normal(size=channels).astype(np.float32)
    v = variant or select.depthwise(isa, channels, width, kw, sw, dw, stages)
    if storage is not None:
        w, v = w.astype(np.float16).astype(np.float32), replace(v, storage=storage)
    tight = channels % 2 == 0
    a, c = View.around(x, tight), View.empty((n, height, width, channels), np.float32, tight)
    source = a.values("a")
    row, pixel = source["a_row"], source["a_x"]
    residual = rng.normal(size=c.inside.shape).astype(np.float32)
    slope = rng.normal(size=channels).astype(np.float32)
    fields: dict[str, Any] = {}
    for i, stage in enumerate(stages):
        if stage == "clamp":
            fields |= {f"s{i}_lo": -1.0, f"s{i}_hi": 1.5}
        elif stage == "prelu":
            fields[f"s{i}_slope"] = Buffer(slope)
        else:
            fields |= View.around(residual, not tight).values(f"s{i}_r")
    offsets = [y * dh * row + z * dw * pixel for y in range(kh) for z in range(0, kw, v.columns)]
    blocks = len(v.starts(channels))
    run(
        v,
        n * height * -(-blocks // per_unit),
        {
            **source,
            **c.values("c"),
            "a_row": sh * row,
            "a_x": pixel if v.columns > 1 else sw * pixel,
            "w": Buffer(v.pack(w, bias)),
            "taps": Buffer(np.array(offsets, np.int64)),
            "height": height,
            "width": width,
            "channels": channels,
            "blocks": blocks,
            "parts": -(-blocks // per_unit),
            "per_unit": per_unit,
            "runs": len(offsets),
            **fields,
        },
        [c.buffer],
    )
    c.check(c.inside)
    expected = np.zeros(c.inside.shape) + bias
    for y in range(kh):
        for z in range(kw):
            part = x[:, y * dh :, z * dw :][:, : (height - 1) * sh + 1 : sh]
            expected += part[:, :, : (width - 1) * sw + 1 : sw].astype(np.float64) * w[y, z]
    for stage in stages:
        if stage == "clamp":
            expected = np.clip(expected, -1.0, 1.5)
        else:
            prelu = np.where(expected < 0, expected * slope, expected)
            expected = prelu if stage == "prelu" else expected + residual
    np.testing.assert_allclose(c.inside, expected, atol=1e-5 * kh * kw, rtol=1e-5)
    return c.inside


@isas
def test_float16_weights(isa: Isa) -> None:
    """The results of float32 weights of the same numbers, to the last bit."""
    if not isa.widens_half:
        return
    for channels in (1, 3, isa.lanes, 2 * isa.lanes + 5):
        for window, stride in (((3, 3), (1, 1)), ((5, 5), (2, 2)), ((1, 7), (1, 1))):
            exact, half = (
                check(isa, (1, 2, 9), channels, window, stride, per_unit=2, storage=storage)
                for storage in (FLOAT32, FLOAT16)
            )
            np.testing.assert_array_equal(exact, half)


@isas
@pytest.mark.parametrize("stride", [(1, 1), (2, 2), (1, 2), (3, 1)])
@pytest.mark.parametrize("window", [(3, 3), (5, 5), (1, 7), (4, 2), (1, 1)])
def test_windows(isa: Isa, window: Pair, stride: Pair) -> None:
    check(isa, (2, 2, 9), 21, window, stride)
    check(isa, (1, 3, 1), 8, window, stride, per_unit=2)


@isas
def test_channels(isa: Isa) -> None:
    for channels in [*range(1, 19), 31, 32, 33, 70]:
        check(isa, (1, 1, 3), channels, stages=("clamp",), per_unit=1 + channels // 20)


@isas
@pytest.mark.parametrize("dilation", [(2, 2), (1, 3), (4, 1)])
def test_dilation(isa: Isa, dilation: Pair) -> None:
    check(isa, (1, 2, 11), 24, (3, 3), (1, 1), dilation)
    check(isa, (1, 2, 5), 3, (2, 5), (2, 2), dilation)


@isas
@pytest.mark.parametrize("stages", [("add",), ("prelu",), ("clamp", "add", "prelu")])
def test_stages(isa: Isa, stages: tuple[str, ...]) -> None:
    for channels in (1, 5, 16, 27):
        check(isa, (2, 2, 9), channels, stages=stages, per_unit=2)


@isas
def test_every_tile(isa: Isa) -> None:
    for pixels in range(1, MAX_PIXELS + 1):
        for columns in range(1, MAX_COLUMNS + 1):
            variant = Depthwise(isa, pixels, isa.lanes, columns, stride=1)
            check(isa, (1, 1, pixels + 1), isa.lanes + 1, (2, columns), variant=variant)


@isas
def test_not_a_number(isa: Isa) -> None:
    """NaN stays through the clamp."""
    v = Depthwise(isa, 1, isa.lanes, stages=("clamp",))
    x = np.full((1, 1, 1, isa.lanes), np.nan, np.float32)
    a, c = View.around(x, True), View.empty(x.shape, np.float32, True)
    one = np.ones((1, 1, isa.lanes), np.float32)
    sizes: dict[str, Any] = dict.fromkeys(
        ("height", "width", "blocks", "parts", "per_unit", "runs"), 1
    )
    values = {**a.values("a"), **c.values("c"), **sizes, "channels": isa.lanes}
    tables = {"w": Buffer(v.pack(one, one[0, 0])), "taps": Buffer(np.zeros(1, np.int64))}
    run(v, 1, {**values, **tables, "s0_lo": 0.0, "s0_hi": 6.0}, [c.buffer])
    assert np.isnan(c.inside).all()


def test_choice() -> None:
    """Tiles divide the row; runs are whole rows of the window; blocks fit the channels."""
    assert select.depthwise(AVX2, 64, 14, 3, 1, 1) == Depthwise(AVX2, 7, 8, 3, 1)
    assert select.depthwise(AVX2, 64, 112, 3, 2, 1) == Depthwise(AVX2, 8, 8, 3, 2)
    assert select.depthwise(AVX2, 64, 33, 3, 1, 2).columns == 1
    assert select.depthwise(AVX512VNNI, 8, 7, 5, 1, 1) == Depthwise(AVX512VNNI, 7, 8, 5, 1)
    assert select.depthwise(AVX512VNNI, 3, 7, 7, 2, 1) == Depthwise(AVX512VNNI, 7, 4, partial=True)
