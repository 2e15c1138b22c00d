"""Depthwise convolutions of int16 by 8-bit weights on every instruction set, against numpy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edgewise.kernels.isa import ISAS
from edgewise.kernels.wdepthwise import WDepthwise
from edgewise.kernels.words import GROUP_LIMIT

from .harness import Buffer, run
from .images import View
from .qproducts import bytes_of, wrapped
from .test_qdepthwise import WINDOWS, Layer, sums_of
from .wproducts import WideRule, wide_rules


def check(
    v: WDepthwise, layer: Layer, rule: WideRule, seed: int, fill: str = "mixed", tight: bool = True
) -> None:
    """Run the layer and compare every byte of its output and of what lies around it."""
    rng = np.random.default_rng(seed)
    x_fill, w_fill = (fill.split("*") * 2)[:2]
    x = bytes_of(rng, layer.input_shape, np.int16, x_fill)
    w = bytes_of(rng, (*layer.window, layer.channels), np.int8, w_fill).astype(np.int16)
    if w_fill == "mixed" and seed % 2:
        w = (w - int(rng.integers(-128, 128))).astype(np.int16)
    bias = rule.biases(rng, layer.channels, v.wide)
    acc = sums_of(layer, x, w) + bias
    factors = rule.factors(rng, acc, v.rounding, v.wide)
    expected = rule.apply(acc if v.wide else wrapped(acc), factors, v.rounding)
    assert np.abs(w).sum(axis=(0, 1)).max() <= GROUP_LIMIT
    a, c = View.around(x, tight), View.empty(acc.shape, np.int16, tight)
    source, target = a.values("a"), c.values("c")
    (rows, columns), (sh, sw), (dh, dw) = layer.window, layer.stride, layer.dilation
    row, pixel = source["a_row"], source["a_x"]
    taps = [y * dh * row + z * dw * pixel for y in range(rows) for z in range(columns)]
    flat = w.reshape(-1, layer.channels)
    values: dict[str, Any] = {
        "a": source["a"],
        "w": Buffer(v.pack(flat, bias, *(f.astype(np.int32) for f in factors))),
        "c": target["c"],
        "taps": Buffer(np.array(taps, np.int64)),
        "count": len(taps),
        "height": layer.size[1],
        "width": layer.size[2],
        "channels": layer.channels,
        "blocks": len(v.starts(layer.channels)),
        "block_bytes": v.block_bytes(len(taps)),
        "a_x": sw * pixel,
        "a_y": sh * row,
        "a_image": source["a_image"],
        "c_x": target["c_x"],
        "c_y": target["c_row"],
        "c_image": target["c_image"],
        "zero_point": rule.zero_point,
        "lo": rule.lo,
        "hi": rule.hi,
    }
    run(v, layer.size[0] * layer.size[1], values, [c.buffer])
    c.check(expected.astype(np.int16))


def variants() -> list[Any]:
    found = []
    for isa in ISAS:
        widths = isa.costs.depthwise
        found += [WDepthwise(isa, nv) for nv in widths]
        found.append(WDepthwise(isa, widths[-1], partial=True))
        for i, rounding in enumerate(("twice", "ties_up", "once")):
            found.append(WDepthwise(isa, widths[i % len(widths)], rounding, wide=False))
    return [pytest.param(v, id=v.symbol, marks=pytest.mark.isa) for v in found]


def channels(v: WDepthwise) -> list[int]:
    if v.partial:
        return list(range(1, v.block))
    return [v.block, v.block + 1, 2 * v.block - 1, 2 * v.block, 3 * v.block + 5]


@pytest.mark.parametrize("v", variants())
def test_windows(v: WDepthwise) -> None:
    sizes = [(1, 1, 1), (1, 2, 3), (2, 3, 1), (3, 1, 2)]
    for i in range(max(len(WINDOWS), len(channels(v)))):
        window, stride, dilation = WINDOWS[i % len(WINDOWS)]
        c = channels(v)[i % len(channels(v))]
        layer = Layer(c, sizes[i % 4], window, stride, dilation)
        check(v, layer, wide_rules()[i % 2], i, tight=i % 2 == 0)


@pytest.mark.parametrize("v", variants())
def test_rules(v: WDepthwise) -> None:
    """Extreme zero points, clamps, scales and biases."""
    for i, rule in enumerate(wide_rules()):
        check(v, Layer(channels(v)[-1], (1, 1, 2)), rule, i, "random")


@pytest.mark.parametrize("v", variants())
@pytest.mark.parametrize("fill", ["low", "high", "low*high", "high*low"])
def test_extremes_that_int32_just_holds(v: WDepthwise, fill: str) -> None:
    check(v, Layer(channels(v)[-1], (1, 1, 2), (7, 73)), wide_rules()[0], 3, fill)


def test_symbols_differ() -> None:
    found = [p.values[0].symbol for p in variants()]
    assert len(set(found)) == len(found)
