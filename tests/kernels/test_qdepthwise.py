"""Depthwise convolutions on every instruction set, against numpy's sums of windows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from edgewise.dtype import DType, QParams
from edgewise.kernels.isa import AVX512VNNI, ISAS, Isa
from edgewise.kernels.qdepthwise import QDepthwise
from edgewise.ops import DepthwiseConv2D
from edgewise.plan.select import qdepthwise
from edgewise.runtime import plan_for
from networks import Builder, quantized

from .harness import Buffer, run
from .images import View, activation
from .qproducts import MULTIPLICATIONS, Array, Rule, bytes_of, factors, rules, scales, wrapped

Pair = tuple[int, int]


@dataclass(frozen=True)
class Layer:
    """Images [N, height, width, channels] of outputs, and the windows they come from."""

    channels: int
    size: tuple[int, int, int] = (1, 2, 3)
    window: Pair = (3, 3)
    stride: Pair = (1, 1)
    dilation: Pair = (1, 1)

    @property
    def input_shape(self) -> tuple[int, ...]:
        """The pixels that the windows reach, and no more."""
        (n, *out), steps = self.size, zip(self.window, self.stride, self.dilation, strict=True)
        reach = [
            (o - 1) * stride + (taps - 1) * apart + 1
            for o, (taps, stride, apart) in zip(out, steps, strict=True)
        ]
        return (n, *reach, self.channels)

    def tap(self, x: Array, y: int, z: int) -> Array:
        """The pixels of ``x`` that tap (y, z) of every output meets."""
        (_, height, width), (sh, sw), (dh, dw) = self.size, self.stride, self.dilation
        return x[:, y * dh :, z * dw :][
            :, : (height - 1) * sh + 1 : sh, : (width - 1) * sw + 1 : sw
        ]


def sums_of(layer: Layer, x: Array, w: Array) -> Array:
    """int64 sums of products, without a bias."""
    total = np.zeros((*layer.size, layer.channels), np.int64)
    for y in range(layer.window[0]):
        for z in range(layer.window[1]):
            total += layer.tap(x, y, z).astype(np.int64) * w[y, z]
    return total


def check(
    v: QDepthwise, layer: Layer, rule: Rule, x: Array, w: Array, bias: Array, tight: bool = True
) -> None:
    """Run the layer and compare every byte of its output and of what lies around it.

    Args:
        x: 8-bit activations of ``layer.input_shape``.
        w: int32 weights less their zero point, [rows, columns, channels].
        tight: images without anything around them, that end where memory does; else they lie in
            wider ones, as some of the channels of their pixels.
    """
    acc = wrapped(sums_of(layer, x, w) + bias)
    scale = scales(np.random.default_rng(9), acc, rule)
    a, c = View.around(x, tight), View.empty(acc.shape, activation(v.isa).numpy, tight)
    source, target = a.values("a"), c.values("c")
    (rows, columns), (sh, sw), (dh, dw) = layer.window, layer.stride, layer.dilation
    row, pixel = source["a_row"], source["a_x"]
    values: dict[str, Any] = {
        "a": source["a"],
        "w": Buffer(v.pack(w, bias, *factors(scale, v.rounding))),
        "c": target["c"],
        "height": layer.size[1],
        "width": layer.size[2],
        "channels": layer.channels,
        "blocks": len(v.starts(layer.channels)),
        "block_bytes": v.block_bytes(rows, columns),
        "a_x": pixel if v.stride else sw * pixel,
        "a_y": sh * row,
        "a_row": row,
        "a_image": source["a_image"],
        "c_x": target["c_x"],
        "c_y": target["c_row"],
        "c_image": target["c_image"],
        "zero_point": rule.zero_point,
        "lo": rule.lo,
        "hi": rule.hi,
    }
    if not v.stride:
        values["taps"] = Buffer(v.offsets(rows, columns, dh * row, dw * pixel))
        values["groups"] = len(v.groups(rows, columns))
    run(v, layer.size[0] * layer.size[1], values, [c.buffer])
    c.check(rule.apply(acc, scale, v.rounding).astype(activation(v.isa).numpy))


def case(
    v: QDepthwise, layer: Layer, rule: Rule, seed: int, fill: str = "mixed", tight: bool = True
) -> None:
    """``check`` with operands of ``bytes_of``; ``fill``: of both, or of x and of w as "x*w"."""
    rng = np.random.default_rng(seed)
    fills = fill.split("*")
    x = bytes_of(rng, layer.input_shape, activation(v.isa).numpy, fills[0])
    w = bytes_of(rng, (*layer.window, layer.channels), np.int8, fills[-1]).astype(np.int32)
    if v.parts > 1:
        w = np.minimum(2 * w + (w > 0), LARGEST[v.parts])
    elif v.isa.depthwise.element.bits > 8 and seed % 2:
        w = w - int(rng.integers(-128, 128))
    bias = rng.integers(-(2**10), 2**10, layer.channels, np.int32)
    check(v, layer, rule, x, w.astype(np.int32), bias, tight)


LARGEST = {2: 254, 3: 255}
"""The greatest weight that is a sum of so many int8; the least is -256 or less."""


def parts(isa: Isa) -> tuple[int, ...]:
    return (1, 2, 3) if isa.depthwise.element.bits == 8 else (1,)


def variants(strides: tuple[int | None, ...]) -> list[Any]:
    """Whatever the plan may choose for whole blocks of channels."""
    found = [
        QDepthwise(isa, nv, stride, p)
        for isa in ISAS
        for nv in isa.costs.depthwise
        for stride in strides
        for p in parts(isa)
    ]
    return [pytest.param(v, id=v.symbol, marks=pytest.mark.isa) for v in found]


def partial() -> list[Any]:
    """The variants for fewer channels than a block has."""
    found = [
        QDepthwise(isa, isa.costs.depthwise[-1], None, p, partial=True)
        for isa in ISAS
        for p in parts(isa)
    ]
    return [pytest.param(v, id=v.symbol, marks=pytest.mark.isa) for v in found]


def channels(v: QDepthwise) -> list[int]:
    """Around multiples of the block, beginning with one block."""
    return [v.block, v.block + 1, 2 * v.block - 1, 2 * v.block, 3 * v.block + 5]


@pytest.mark.parametrize("v", variants((1, 2)))
def test_sliding(v: QDepthwise) -> None:
    assert v.stride is not None
    sizes = [(1, 1, 1), (1, 3, 2), (2, 2, 3), (3, 1, 8), (1, 4, 5)]
    for i, (c, size) in enumerate(zip(channels(v), sizes, strict=True)):
        layer = Layer(c, size, stride=(v.stride, v.stride))
        for tight in (True, False):
            case(v, layer, rules(v.isa)[i % len(rules(v.isa))], i, tight=tight)


WINDOWS = [
    ((1, 1), (1, 1), (1, 1)),
    ((1, 2), (1, 2), (1, 1)),
    ((3, 1), (2, 1), (1, 1)),
    ((2, 3), (1, 1), (2, 1)),
    ((5, 5), (1, 1), (1, 1)),
    ((3, 3), (1, 2), (1, 1)),
    ((3, 3), (1, 1), (2, 3)),
    ((4, 7), (3, 2), (1, 2)),
]


@pytest.mark.parametrize("v", variants((None,)))
def test_windows(v: QDepthwise) -> None:
    sizes = [(1, 1, 1), (1, 2, 3), (2, 3, 5), (3, 1, 9)]
    for i, (window, stride, dilation) in enumerate(WINDOWS):
        layer = Layer(channels(v)[i % 5], sizes[i % 4], window, stride, dilation)
        case(v, layer, rules(v.isa)[i % len(rules(v.isa))], i, tight=i % 2 == 0)


@pytest.mark.parametrize("v", partial())
def test_fewer_channels_than_a_block(v: QDepthwise) -> None:
    for c in range(1, v.block):
        window, stride, dilation = WINDOWS[c % len(WINDOWS)]
        rule = rules(v.isa)[c % len(rules(v.isa))]
        case(v, Layer(c, (2, 2, 3), window, stride, dilation), rule, c, tight=c % 3 != 0)


@pytest.mark.parametrize("v", [*variants((1, 2, None)), *partial()])
@pytest.mark.parametrize("fill", ["low", "high", "high*low"])
def test_extreme_operands(v: QDepthwise, fill: str) -> None:
    stride = v.stride or 1
    layer = Layer(v.block - 1 if v.partial else v.block + 3, stride=(stride, stride))
    case(v, layer, rules(v.isa)[0], 3, fill)


@pytest.mark.parametrize("v", [*variants((1, 2, None)), *partial()])
def test_every_weight_less_its_zero_point(v: QDepthwise) -> None:
    """-255 to 255 where the dot product or the parts hold them."""
    top = 255 if v.isa.depthwise.element.bits > 8 else {1: 127, **LARGEST}[v.parts]
    bottom = -128 if (v.isa.depthwise.element.bits, v.parts) == (8, 1) else -255
    every = np.arange(bottom, top + 1)
    c = v.block - 1 if v.partial else v.block
    needed = -(-len(every) // (9 * c))
    stride = v.stride or 1
    layer = Layer(c, (1, 1, 2), stride=(stride, stride))
    rng = np.random.default_rng(5)
    x = bytes_of(rng, layer.input_shape, activation(v.isa).numpy, "mixed")
    for part in range(needed):
        w = np.resize(np.roll(every, -part * 9 * c), (3, 3, c)).astype(np.int32)
        check(v, layer, rules(v.isa)[0], x, w, np.zeros(c, np.int32))


@pytest.mark.parametrize("v", [*variants((1, 2, None)), *partial()])
def test_rules(v: QDepthwise) -> None:
    """Extreme zero points, clamps and scales; a bias that makes sums wrap."""
    stride, c = v.stride or 1, v.block - 1 if v.partial else v.block
    layer = Layer(c, (1, 1, 2), stride=(stride, stride))
    rng = np.random.default_rng(6)
    x = bytes_of(rng, layer.input_shape, activation(v.isa).numpy, "random")
    w = bytes_of(rng, (3, 3, c), np.int8, "random").astype(np.int32)
    bias = rng.choice(np.array([2**31 - 1, -(2**31), 2**31 - 20000, 0, 77], np.int32), c)
    for rule in rules(v.isa):
        check(v, layer, rule, x, w, bias)


def fixed_point() -> list[Any]:
    """Each form by each rule of fixed point."""
    found = []
    for isa in ISAS:
        widths = isa.costs.depthwise
        for i, rounding in enumerate(MULTIPLICATIONS):
            nv = widths[i % len(widths)]
            found += [QDepthwise(isa, nv, s, rounding=rounding) for s in ((1, 2, None)[i], None)]
            found.append(QDepthwise(isa, widths[-1], None, partial=True, rounding=rounding))
    return [pytest.param(v, id=v.symbol, marks=pytest.mark.isa) for v in dict.fromkeys(found)]


@pytest.mark.parametrize("v", fixed_point())
def test_rules_of_fixed_point(v: QDepthwise) -> None:
    test_rules(v)


def test_weights_that_the_parts_cannot_hold_are_refused() -> None:
    head = np.zeros(64, np.int32), np.ones(64, np.float32)
    for p, weight in [(1, 128), (1, -129), (2, 255), (2, -257), (3, 382)]:
        w = np.full((3, 3, 64), weight, np.int32)
        with pytest.raises(ValueError, match="parts"):
            QDepthwise(AVX512VNNI, 4, 1, p).pack(w, *head)


@pytest.mark.parametrize("isa", ISAS, ids=str)
def test_choice(isa: Isa) -> None:
    """A variant's block never exceeds the channels, unless it is partial."""
    for c in range(1, 300):
        for window, stride, dilated in [
            ((3, 3), (1, 1), False),
            ((3, 3), (2, 2), False),
            ((3, 3), (1, 2), False),
            ((3, 3), (1, 1), True),
            ((5, 5), (1, 1), False),
        ]:
            v = qdepthwise(isa, c, window, stride, dilated, 1)
            assert v.partial == (c < v.block)
            slides = window == (3, 3) and stride[0] == stride[1] and not dilated
            assert v.stride == (stride[0] if slides and not v.partial else None)
            ends = [start + v.block for start in v.starts(c)]
            assert max(ends) == max(c, v.block)


@pytest.mark.parametrize(
    ("zero_point", "weights", "expected"),
    [
        (128, (0, 255), 1),
        (127, (0, 254), 1),
        (127, (0, 255), 2),
        (255, (0, 3), 2),
        (0, (9, 254), 2),
        (0, (9, 255), 3),
    ],
)
def test_parts_that_the_plan_chooses(
    zero_point: int, weights: tuple[int, int], expected: int
) -> None:
    b = Builder()
    x = b.input(quantized((1, 4, 4, 64), DType.UINT8))
    data = np.full((1, 3, 3, 64), weights[0], np.uint8)
    data[0, 2, 2, 63] = weights[1]
    w = b.constant(data, QParams.per_tensor(0.1, zero_point))
    y = b.node(DepthwiseConv2D(), [x, w], QParams.per_tensor(0.5, 128))
    kernels = [getattr(step, "kernel", None) for step in plan_for(b.graph(y), AVX512VNNI).steps]
    (chosen,) = (v for v in kernels if isinstance(v, QDepthwise))
    assert chosen.parts == expected


def test_symbols_differ() -> None:
    found = [p.values[0].symbol for p in (*variants((1, 2, None)), *partial(), *fixed_point())]
    assert len(set(found)) == len(found)


@pytest.mark.slow
@pytest.mark.parametrize("v", [*variants((1, 2, None)), *partial()])
def test_many_layers(v: QDepthwise) -> None:
    rng = np.random.default_rng(7)
    for seed in range(60):
        c = int(rng.integers(1, v.block) if v.partial else rng.integers(v.block, 4 * v.block))
        n, h, w = (int(x) for x in rng.integers(1, 6, 3))
        window, stride, dilation = WINDOWS[rng.integers(len(WINDOWS))]
        if v.stride:
            window, stride, dilation = (3, 3), (v.stride, v.stride), (1, 1)
        rule = rules(v.isa)[rng.integers(len(rules(v.isa)))]
        layer = Layer(c, (n, h, w), window, stride, dilation)
        case(v, layer, rule, seed, str(rng.choice(["mixed", "random"])), seed % 2 == 0)


def test_reference_of_sums() -> None:
    """The windows of this file are those of the operator's reference."""
    x = np.arange(5 * 7 * 2).reshape(1, 5, 7, 2)
    layer = Layer(2, (1, 2, 3), (2, 3), (3, 2), (1, 1))
    assert layer.input_shape == (1, 5, 7, 2)
    assert_array_equal(layer.tap(x, 1, 2)[0, :, :, 0], x[0, [1, 4]][:, [2, 4, 6], 0])
