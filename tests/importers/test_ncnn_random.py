"""Convolutions, pools and broadcasting of random sizes, against ncnn."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from ncnn_files import flagged, one_layer, outputs_of, relative_difference, run_ncnn

from edgewise.importers import load

pytest.importorskip("ncnn")

SIZES = st.integers(1, 4)
SIDES = st.integers(1, 11)
PADS = st.integers(0, 3)


def check(kind: str, shapes: list[tuple[int, ...]], parameters: dict[int, Any], *data: Any) -> None:
    """Compare one layer; ``data`` are its weights."""
    rng = np.random.default_rng(sum(map(sum, shapes)))
    arrays = [rng.uniform(-2, 2, s).astype(np.float32) for s in shapes]
    with tempfile.TemporaryDirectory() as folder:
        net = one_layer(kind, shapes, parameters, b"".join(map(flagged, data)))
        path = net.save(Path(folder))
        (found,) = outputs_of(load(path), arrays).values()
        (expected,) = run_ncnn(path, arrays, ["out0"])
    assert found.shape == (1, *expected.shape)
    assert relative_difference(found[0], expected) < 1e-4


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_convolutions(data: st.DataObject) -> None:
    groups, depth, per = data.draw(st.integers(1, 3)), data.draw(SIZES), data.draw(SIZES)
    kernel, dilation, stride = (
        [data.draw(s) for _ in range(2)] for s in (SIZES, st.integers(1, 2), st.integers(1, 3))
    )
    pads = [data.draw(PADS) for _ in range(4)]
    height, width = data.draw(SIDES), data.draw(SIDES)
    assume(height + pads[1] + pads[3] > (kernel[1] - 1) * dilation[1])
    assume(width + pads[0] + pads[2] > (kernel[0] - 1) * dilation[0])
    extents = [(k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True)]
    fills = all(e >= s for e, s in zip(extents, stride, strict=True))
    if fills and data.draw(st.booleans()):  # ncnn writes out of bounds where a SAME pad is negative
        pads = [data.draw(st.sampled_from((-233, -234)))] * 4
    shape = (groups * per, depth, kernel[1], kernel[0])
    weights = np.random.default_rng(0).uniform(-1, 1, shape).astype(np.float32)
    parameters = {
        **dict(zip((1, 11, 2, 12, 3, 13), (*kernel, *dilation, *stride), strict=True)),
        **dict(zip((4, 14, 15, 16), pads, strict=True)),
        0: groups * per,
        6: weights.size,
        7: groups,
    }
    kind = "Convolution" if groups == 1 else "ConvolutionDepthWise"
    check(kind, [(groups * depth, height, width)], parameters, weights)


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_deconvolutions(data: st.DataObject) -> None:
    channels, outputs = data.draw(SIZES), data.draw(SIZES)
    kernel, dilation, stride = (
        [data.draw(s) for _ in range(2)] for s in (SIZES, st.integers(1, 2), st.integers(1, 3))
    )
    size = data.draw(SIDES), data.draw(SIDES)
    extra = [data.draw(st.integers(0, 2)) for _ in range(2)]
    pads = [data.draw(st.integers(0, 2)) for _ in range(4)]
    for i in range(2):
        whole = (size[1 - i] - 1) * stride[i] + (kernel[i] - 1) * dilation[i] + 1
        assume(whole > pads[i] + pads[2 + i])
    shape = (outputs, channels, kernel[1], kernel[0])
    weights = np.random.default_rng(0).uniform(-1, 1, shape).astype(np.float32)
    parameters = {
        **dict(zip((1, 11, 2, 12, 3, 13), (*kernel, *dilation, *stride), strict=True)),
        **dict(zip((4, 14, 15, 16, 18, 19), (*pads, *extra), strict=True)),
        0: outputs,
        6: weights.size,
    }
    check("Deconvolution", [(channels, *size)], parameters, weights)


@given(st.data())
@settings(max_examples=80, deadline=None)
def test_pools(data: st.DataObject) -> None:
    kernel = [data.draw(st.integers(1, 4)) for _ in range(2)]
    stride = [data.draw(st.integers(1, k)) for k in kernel]
    pads = [data.draw(st.integers(0, kernel[i % 2] - 1)) for i in range(4)]
    height, width = data.draw(SIDES), data.draw(SIDES)
    assume(height + pads[1] + pads[3] >= kernel[1] and width + pads[0] + pads[2] >= kernel[0])
    assume(height >= stride[1] and width >= stride[0])
    mode = data.draw(st.integers(0, 3))
    parameters = {
        **dict(zip((1, 11, 2, 12), (*kernel, *stride), strict=True)),
        **dict(zip((3, 13, 14, 15), pads if mode < 2 else [0] * 4, strict=True)),
        0: data.draw(st.integers(0, 1)),
        5: mode,
        6: data.draw(st.integers(0, 1)),
    }
    for i, n in enumerate((width, height)):  # a mean of no elements is refused
        after = pads[2 + i] + -(n + pads[i] + pads[2 + i] - kernel[i]) % stride[i]
        assume(mode != 0 or parameters[0] == 0 or parameters[6] or after < kernel[i])
    check("Pooling", [(data.draw(SIZES), height, width)], parameters)


@given(st.data())
@settings(max_examples=80, deadline=None)
def test_broadcasting(data: st.DataObject) -> None:
    """A blob and one whose dimensions are some of its first ones, or 1."""
    shape = tuple(data.draw(st.integers(2, 5)) for _ in range(data.draw(st.integers(1, 4))))
    rank = data.draw(st.integers(1, len(shape)))
    other = shape[:rank]
    if rank == len(shape):
        other = tuple(data.draw(st.sampled_from((1, n))) for n in shape)
    pair = [shape, other] if data.draw(st.booleans()) else [other, shape]
    check("BinaryOp", pair, {0: data.draw(st.sampled_from((0, 1, 2, 7)))})


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_reductions(data: st.DataObject) -> None:
    shape = tuple(data.draw(st.integers(1, 5)) for _ in range(data.draw(st.integers(1, 4))))
    axes = data.draw(st.sets(st.integers(-len(shape), len(shape) - 1), min_size=1))
    parameters = {
        0: data.draw(st.sampled_from((0, 1, 2, 3, 4, 5, 7, 8, 10))),
        1: 0,
        2: data.draw(st.sampled_from((1.0, 0.5))),
        3: sorted({a % len(shape) for a in axes}),
        4: data.draw(st.integers(0, 1)),
        5: 1,
    }
    check("Reduction", [shape], parameters)
