"""Convolutions and FULLY_CONNECTED against LiteRT and against sums written out."""

from __future__ import annotations

import numpy as np
import pytest
from op_cases import ACTIVATIONS, EIGHT_BIT, check, fill, q8, raised, raised_data, random_q8
from op_cases import same_padding as same

from edgewise.dtype import DType, QParams
from edgewise.graph import TensorType
from edgewise.ops import (
    Activation,
    Conv2D,
    DepthwiseConv2D,
    FullyConnected,
    Op,
    TransposeConv,
    accumulator_bound,
    requantization,
)
from tflite_builder import Tensor, run_litert, single

WEIGHTS = pytest.mark.parametrize(
    ("dtype", "per_channel"),
    [(DType.UINT8, False), (DType.INT8, False), (DType.INT8, True)],
    ids=["uint8", "int8", "int8-per-channel"],
)


class Draw:
    """Random operands of one product-sum operator."""

    def __init__(self, seed: int, dtype: DType, per_channel: bool) -> None:
        self.rng = np.random.default_rng(seed)
        self.dtype, self.per_channel = dtype, per_channel

    def one_to(self, high: int) -> int:
        return int(self.rng.integers(1, high + 1))

    def weights(self, shape: tuple[int, ...], axis: int) -> tuple[TensorType, np.ndarray]:
        channels = shape[axis]
        if self.per_channel:
            scales = np.float32(10 ** self.rng.uniform(-3, -1, channels)).tolist()
            t = TensorType(shape, self.dtype, QParams(tuple(scales), (0,) * channels, axis))
        else:
            zero = 0 if self.dtype is DType.INT8 else int(self.rng.integers(256))
            t = q8(self.dtype, shape, 10 ** self.rng.uniform(-3, -1), zero)
        data = fill(self.rng, t)
        return t, np.maximum(data, -127) if self.dtype is DType.INT8 else data

    def bias(self, x: TensorType, w: TensorType, axis: int) -> tuple[TensorType, np.ndarray]:
        assert x.quant is not None
        assert w.quant is not None
        scales = [float(np.float32(x.quant.scale[0] * s)) for s in w.quant.scale]
        quant = QParams(tuple(scales), (0,) * len(scales), 0 if len(scales) > 1 else None)
        n = w.shape[axis]
        data = self.rng.integers(-20000, 20000, n).astype(np.int32)
        return TensorType((n,), DType.INT32, quant), data

    def output(self, op: Op, x: TensorType, w: TensorType, terms: int) -> TensorType:
        """An output whose scale is about that of the sums, from 10 times less to 10 times more."""
        assert x.quant is not None
        assert w.quant is not None
        spread = x.quant.scale[0] * float(np.median(w.quant.scale)) * terms**0.5 * 100
        scale = spread * 10 ** self.rng.uniform(-1, 1)
        return random_q8(self.rng, self.dtype, op.infer([x, w])[0].shape, scale)


@WEIGHTS
@pytest.mark.parametrize("depthwise", [False, True], ids=["conv", "depthwise"])
@pytest.mark.parametrize("seed", range(30))
def test_convolution(dtype: DType, per_channel: bool, depthwise: bool, seed: int) -> None:
    draw = Draw(seed, dtype, per_channel)
    kh, kw = draw.one_to(4), draw.one_to(4)
    stride, dilation = [(1, 1), (2, 1), (3, 1), (1, 2), (1, 3)][seed % 5]
    h = draw.one_to(8) + (kh - 1) * dilation
    w = draw.one_to(8) + (kw - 1) * dilation
    channels, multiplier = draw.one_to(20), draw.one_to(3)
    padding = (0, 0, 0, 0)
    if is_same := bool(seed % 2):
        padding = (*same(h, kh, stride, dilation), *same(w, kw, stride, dilation))
    if depthwise:
        axis, shape, terms = 3, (1, kh, kw, channels * multiplier), kh * kw
    else:
        axis, shape, terms = 0, (draw.one_to(20), kh, kw, channels), kh * kw * channels
    index = int(draw.rng.integers(4))
    kind = DepthwiseConv2D if depthwise else Conv2D
    op = kind((stride, stride), (dilation, dilation), padding, ACTIVATIONS[index])
    x = random_q8(draw.rng, dtype, (draw.one_to(2), h, w, channels))
    weights, data = draw.weights(shape, axis)
    bias, bias_data = draw.bias(x, weights, axis)
    out = draw.output(op, x, weights, terms)
    fields = {
        "StrideW": stride,
        "StrideH": stride,
        "DilationWFactor": dilation,
        "DilationHFactor": dilation,
        "Padding": 0 if is_same else 1,
        "FusedActivationFunction": index,
    }
    if depthwise:
        fields["DepthMultiplier"] = multiplier
    name = "DepthwiseConv2D" if depthwise else "Conv2D"
    check(
        "DEPTHWISE_CONV_2D" if depthwise else "CONV_2D",
        op,
        [(x, fill(draw.rng, x)), (weights, data), (bias, bias_data)],
        out,
        f"{name}Options",
        constants=(1, 2),
        **fields,
    )


@pytest.mark.parametrize("seed", range(6))
def test_grouped_convolution(seed: int) -> None:
    draw = Draw(seed, DType.INT8, True)
    groups, depth, per_group = draw.one_to(3) + 1, draw.one_to(4), draw.one_to(4)
    x = random_q8(draw.rng, DType.INT8, (1, 5, 6, groups * depth))
    weights, data = draw.weights((groups * per_group, 3, 2, depth), 0)
    bias, bias_data = draw.bias(x, weights, 0)
    op = Conv2D()
    inputs = [(x, fill(draw.rng, x)), (weights, data), (bias, bias_data)]
    out = draw.output(op, x, weights, 6 * depth)
    fields = {"StrideW": 1, "StrideH": 1, "Padding": 1}
    check("CONV_2D", op, inputs, out, "Conv2DOptions", constants=(1, 2), **fields)


@WEIGHTS
@pytest.mark.parametrize("seed", range(20))
def test_fully_connected(dtype: DType, per_channel: bool, seed: int) -> None:
    draw = Draw(seed, dtype, per_channel)
    depth, channels = draw.one_to(300), draw.one_to(20)
    index = int(draw.rng.integers(4))
    op = FullyConnected(ACTIVATIONS[index])
    x = random_q8(draw.rng, dtype, (draw.one_to(4), depth))
    weights, data = draw.weights((channels, depth), 0)
    bias, bias_data = draw.bias(x, weights, 0)
    check(
        "FULLY_CONNECTED",
        op,
        [(x, fill(draw.rng, x)), (weights, data), (bias, bias_data)],
        draw.output(op, x, weights, depth),
        "FullyConnectedOptions",
        constants=(1, 2),
        FusedActivationFunction=index,
    )


@WEIGHTS
@pytest.mark.parametrize("seed", range(12))
def test_transpose_conv(dtype: DType, per_channel: bool, seed: int) -> None:
    draw = Draw(seed, dtype, per_channel)
    kh, kw, stride = draw.one_to(4), draw.one_to(4), draw.one_to(3)
    h, w, depth, channels = (draw.one_to(6) for _ in range(4))
    if is_same := bool(seed % 2):
        size = (h * stride, w * stride)
        padding = (*same(size[0], kh, stride), *same(size[1], kw, stride))
    else:
        size = ((h - 1) * stride + kh, (w - 1) * stride + kw)
        padding = (0, 0, 0, 0)
    op = TransposeConv((stride, stride), padding, size)
    x = random_q8(draw.rng, dtype, (1, h, w, depth))
    weights, data = draw.weights((channels, kh, kw, depth), 0)
    x_data = fill(draw.rng, x)
    out = draw.output(op, x, weights, kh * kw * depth)
    shape = TensorType((4,), DType.INT32)
    model = single(
        "TRANSPOSE_CONV",
        [Tensor(shape, np.array(out.shape, np.int32)), Tensor(weights, data), Tensor(x)],
        [out],
        "TransposeConvOptions",
        StrideW=stride,
        StrideH=stride,
        Padding=0 if is_same else 1,
    )
    (found,) = op.reference([x_data, data], [x, weights], [out])
    (expected,) = run_litert(model, [x_data])
    assert found.shape == expected.shape
    built_in_kernel = is_same and min(kh, kw) < stride
    difference = np.abs(found.astype(int) - expected).max()
    assert difference <= (1 if built_in_kernel else 0), (str(op), str(out))


@EIGHT_BIT
@pytest.mark.parametrize("weights", [DType.UINT8, DType.INT8], ids=str)
def test_mixed_dtypes_and_zero_points_against_a_loop(dtype: DType, weights: DType) -> None:
    rng = np.random.default_rng(0)
    x = random_q8(rng, dtype, (1, 4, 5, 2), 0.5)
    quant = QParams((0.01, 0.02, 0.03), (3, 100, weights.range[1]), 0)
    w = TensorType((3, 2, 3, 2), weights, quant)
    out = q8(DType.INT8, (1, 2, 3, 3), 3.0, -7)
    op = Conv2D((2, 2), (1, 1), (0, 1, 1, 1), Activation.NONE)
    x_data, w_data = fill(rng, x), fill(rng, w)
    bias = rng.integers(-1000, 1000, 3).astype(np.int32)
    types = [x, w, TensorType((3,), DType.INT32)]
    (found,) = op.reference([x_data, w_data, bias], types, [out])
    assert x.quant is not None
    acc = np.zeros(out.shape, np.int64)
    for _, y, z, o in np.ndindex(out.shape):
        acc[0, y, z, o] = bias[o]
        for i, j, c in np.ndindex(2, 3, 2):
            row, col = 2 * y + i, 2 * z + j - 1
            if 0 <= row < 4 and 0 <= col < 5:
                a = int(x_data[0, row, col, c]) - x.quant.zero_point[0]
                acc[0, y, z, o] += a * (int(w_data[o, i, j, c]) - quant.zero_point[o])
    real = acc * (np.array(quant.scale) * x.quant.scale[0])
    expected = np.clip(np.rint(real / 3.0) - 7, -128, 127)
    np.testing.assert_array_equal(found, expected)


def test_raising_the_zero_point_changes_no_product() -> None:
    rng = np.random.default_rng(3)
    x = random_q8(rng, DType.INT8, (1, 5, 5, 3))
    w = q8(DType.INT8, (4, 3, 3, 3), 0.01, 0)
    out = random_q8(rng, DType.INT8, (1, 3, 3, 4), 0.3)
    data, weights = fill(rng, x), fill(rng, w)
    (low,) = Conv2D().reference([data, weights], [x, w], [out])
    (high,) = Conv2D().reference([raised_data(data), weights], [raised(x), w], [raised(out)])
    np.testing.assert_array_equal(raised_data(low), high)


def test_a_bias_that_leaves_int32_wraps() -> None:
    x, w = q8(DType.INT8, (1, 1), 1.0, 0), q8(DType.INT8, (1, 1), 1.0, 0)
    arrays = [np.array([[1]], np.int8), np.array([[1]], np.int8), np.array([2**31 - 1], np.int32)]
    types = [x, w, TensorType((1,), DType.INT32)]
    (found,) = FullyConnected().reference(arrays, types, [q8(DType.INT8, (1, 1), 1.0, 0)])
    assert found[0, 0] == -128


def test_accumulator_bound_is_reached() -> None:
    x, w = q8(DType.UINT8, (1, 7), 1.0, 255), q8(DType.UINT8, (1, 7), 1.0, 0)
    assert accumulator_bound(x, w, 7) == 7 * 255 * 255
    acc = (0 - 255) * 255 * 7
    assert abs(acc) == accumulator_bound(x, w, 7)


def test_requantization_rounds_halves_to_even_and_clamps() -> None:
    x, w = q8(DType.INT8, (1, 1), 0.5, 0), q8(DType.INT8, (1, 1), 1.0, 0)
    rule = requantization(x, w, q8(DType.INT8, (1, 1), 1.0, 3), Activation.RELU)
    acc = np.array([[1], [3], [5], [-1], [1000]], np.int32)
    assert rule.apply(acc).ravel().tolist() == [3, 5, 5, 3, 127]
    assert (rule.lo, rule.hi) == (3, 127)


@pytest.mark.parametrize(
    ("op", "shapes"),
    [
        (
            Conv2D((2, 1), (1, 1), (1, 0, 1, 1), Activation.RELU6),
            [(1, 5, 6, 4), (6, 3, 2, 2), (6,)],
        ),
        (DepthwiseConv2D((1, 2), (2, 1)), [(1, 6, 6, 3), (1, 2, 3, 6), (6,)]),
        (FullyConnected(keep_num_dims=True), [(2, 3, 7), (4, 7), (4,)]),
        (FullyConnected(), [(2, 3, 7), (4, 21), (4,)]),
    ],
    ids=str,
)
def test_float_results_are_those_of_the_quantized_grid(
    op: Op, shapes: list[tuple[int, ...]]
) -> None:
    """With whole-number data and scales of 1 the float and the integer results agree."""
    rng = np.random.default_rng(1)
    arrays = [rng.integers(-2, 3, s) for s in shapes]
    reals = [TensorType(s, DType.FLOAT32) for s in shapes]
    ints = [q8(DType.INT8, s, 1.0, 0) for s in shapes[:2]] + [TensorType(shapes[2], DType.INT32)]
    shape = op.infer(reals)[0].shape
    assert op.infer(ints)[0].shape == shape
    floats = [a.astype(np.float32) for a in arrays]
    raw = [a.astype(t.dtype.numpy) for a, t in zip(arrays, ints, strict=True)]
    (real,) = op.reference(floats, reals, [TensorType(shape, DType.FLOAT32)])
    (whole,) = op.reference(raw, ints, [q8(DType.INT8, shape, 1.0, 0)])
    assert real.dtype == np.float32
    np.testing.assert_array_equal(real, whole)


def test_transpose_conv_is_the_transpose_of_the_convolution() -> None:
    """<conv(a), b> equals <a, transposed(b)> for float32."""
    rng = np.random.default_rng(2)
    padding, stride = (1, 0, 1, 1), (2, 3)
    a = rng.integers(-4, 5, (1, 8, 9, 2)).astype(np.float32)
    w = rng.integers(-4, 5, (3, 3, 2, 2)).astype(np.float32)
    conv = Conv2D(stride, (1, 1), padding)
    types = [TensorType(v.shape, DType.FLOAT32) for v in (a, w)]
    (y_type,) = conv.infer(types)
    (y,) = conv.reference([a, w], types, [y_type])
    b = rng.integers(-4, 5, y.shape).astype(np.float32)
    back = TransposeConv(stride, padding, (8, 9))
    turned = np.ascontiguousarray(w.transpose(3, 1, 2, 0))
    b_types = [y_type, TensorType(turned.shape, DType.FLOAT32)]
    assert back.infer(b_types)[0].shape == a.shape
    (x,) = back.reference([b, turned], b_types, [types[0]])
    assert np.vdot(y, b) == np.vdot(a, x)


def test_macs() -> None:
    x, w = TensorType((1, 4, 4, 6), DType.FLOAT32), TensorType((8, 3, 3, 3), DType.FLOAT32)
    op = Conv2D()
    assert op.macs([x, w], op.infer([x, w])) == 2 * 2 * 8 * 3 * 3 * 3
    d = TensorType((1, 3, 3, 12), DType.FLOAT32)
    depthwise = DepthwiseConv2D()
    assert depthwise.macs([x, d], depthwise.infer([x, d])) == 2 * 2 * 12 * 9
    f = TensorType((5, 96), DType.FLOAT32)
    dense = FullyConnected()
    assert dense.macs([x, f], dense.infer([x, f])) == 5 * 96
    t = TensorType((2, 3, 3, 6), DType.FLOAT32)
    back = TransposeConv(output_size=(6, 6))
    assert back.macs([x, t], back.infer([x, t])) == 16 * 6 * 9 * 2


@pytest.mark.parametrize(("batch", "channels"), [(0, 2), (1, 0)])
def test_convolutions_of_nothing_give_nothing(batch: int, channels: int) -> None:
    x = TensorType((batch, 6, 6, 3), DType.FLOAT32)
    for op, window in (
        (Conv2D(), (channels, 3, 3, 3)),
        (TransposeConv(output_size=(8, 8)), (channels, 3, 3, 3)),
    ):
        types = [x, TensorType(window, DType.FLOAT32)]
        (out,) = op.infer(types)
        (y,) = op.reference([np.zeros(t.shape, np.float32) for t in types], types, [out])
        assert y.shape == out.shape
        assert y.size == 0
