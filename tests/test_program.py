"""Programs equal their references bit for bit: every operator, on every native ISA."""

from __future__ import annotations

from collections.abc import Callable

import pytest

import edgewise as ew
from cases_images import IMAGES
from cases_products import PRODUCTS
from cases_wide import WIDE
from edgewise import ops
from edgewise.codegen.target import host
from edgewise.dtype import DType, QParams
from edgewise.graph import Graph, TensorType
from edgewise.kernels.isa import ISAS
from edgewise.ops.base import Activation
from networks import Builder, assert_matches, quantized, random_inputs, reference

NATIVE = [i.name for i in ISAS if i.arch == host().arch and set(i.features) <= set(host().features)]
U8, I8 = DType.UINT8, DType.INT8


def q(scale: float, zero_point: int) -> QParams:
    return QParams.per_tensor(scale, zero_point)


def middle(dtype: DType) -> int:
    return 128 if dtype is U8 else 0


def conv(
    dtype: DType, shape=(1, 9, 7, 5), out=11, kernel=(3, 3), weights=I8, zero=0, axis=0, **attrs
):
    b = Builder()
    x = b.input(quantized(shape, dtype))
    groups = attrs.pop("groups", 1)
    w = b.weights((out, *kernel, shape[3] // groups), weights, axis, zero)
    y = b.node(ops.Conv2D(**attrs), [x, w, b.bias(out)], q(0.3, middle(dtype) + 3))
    return b.graph(y)


def depthwise(
    dtype, shape=(1, 9, 8, 37), multiplier=1, kernel=(3, 3), weights=I8, zero=0, axis=3, **attrs
):
    b = Builder()
    x = b.input(quantized(shape, dtype))
    n = shape[3] * multiplier
    w = b.weights((1, *kernel, n), weights, axis, zero)
    y = b.node(ops.DepthwiseConv2D(**attrs), [x, w, b.bias(n)], q(0.1, middle(dtype) - 3))
    return b.graph(y)


def dense(dtype, shape=(3, 40), out=19, weights=I8, zero=0, axis=0, **attrs):
    b = Builder()
    x = b.input(quantized(shape, dtype))
    w = b.weights((out, shape[-1]), weights, axis, zero)
    return b.graph(b.node(ops.FullyConnected(**attrs), [x, w, b.bias(out)], q(0.2, middle(dtype))))


def unary(op, shape=(1, 5, 7, 9), scale=0.02, **out):
    def make(dtype):
        b = Builder()
        x = b.input(quantized(shape, dtype))
        return b.graph(
            b.node(op, [x], q(out.get("scale", scale), middle(dtype) + out.get("zero", 0)))
        )

    return make


def same(op, shape=(1, 5, 7, 9)):
    """An operator whose output is quantized as its input."""

    def make(dtype):
        b = Builder()
        t = quantized(shape, dtype)
        outs = b.node(op, [b.input(t)], *[t.quant] * 8)
        return b.graph(*(outs if isinstance(outs, list) else [outs]))

    return make


def binary(op, first=(1, 5, 7, 9), second=(1, 5, 7, 9), constant=False):
    def make(dtype):
        b = Builder()
        x = b.input(quantized(first, dtype, 0.03))
        if constant:
            y = b.weights(second, dtype, None, middle(dtype) + 4, 0.05)
        else:
            y = b.input(quantized(second, dtype, 0.05, middle(dtype) + 9))
        return b.graph(b.node(op, [x, y], q(0.06, middle(dtype) - 11)))

    return make


def concatenation(axis, requantized=False):
    def make(dtype):
        b = Builder()
        shape = [[1, 4, 5, 6], [1, 4, 5, 6], [1, 4, 5, 6]]
        for i, s in enumerate(shape):
            s[axis] += i
        t = [quantized(s, dtype) for s in shape]
        if requantized:
            t[1] = quantized(shape[1], dtype, 0.04)
        xs = [b.input(x) for x in t]
        xs[0] = b.node(ops.Logistic(), [xs[0]], t[0].quant)
        return b.graph(b.node(ops.Concatenation(axis), xs, t[0].quant))

    return make


def narrow(dtype):
    """Tensors of one channel, side by side in the joined one: copied, requantized, computed."""
    b = Builder()
    t = quantized((1, 4, 5, 1), dtype)
    x, y = b.input(t), b.input(quantized(t.shape, dtype, 0.04))
    parts = [x, y, b.node(ops.Logistic(), [x], t.quant), b.node(ops.Add(), [x, y], t.quant)]
    parts.append(b.node(ops.Mul(), [x, b.weights((1,), dtype, None, 3)], t.quant))
    return b.graph(b.node(ops.Concatenation(3), parts, t.quant))


def residual(dtype):
    """Two convolutions, the second with a residual ADD that fuses into it."""
    b = Builder()
    x = b.input(quantized((1, 6, 7, 24), dtype))
    w1, w2 = b.weights((24, 1, 1, 24), I8, 0), b.weights((24, 3, 3, 24), I8, 0)
    h = b.node(ops.Conv2D(), [x, w1, b.bias(24)], q(0.11, middle(dtype) + 5))
    y = b.node(ops.Conv2D(padding=(1, 1, 1, 1)), [h, w2, b.bias(24)], q(0.31, middle(dtype)))
    z = b.node(ops.Add(Activation.RELU), [h, y], q(0.25, middle(dtype) - 60))
    return b.graph(z)


def grouped_residual(dtype):
    """A residual ADD after a convolution in groups."""
    b = Builder()
    x = b.input(quantized((1, 6, 7, 24), dtype))
    w = b.weights((24, 3, 3, 8), I8, 0)
    y = b.node(ops.Conv2D(padding=(1, 1, 1, 1)), [x, w, b.bias(24)], q(0.31, middle(dtype)))
    return b.graph(b.node(ops.Add(), [y, x], q(0.25, middle(dtype) - 60)))


def part_and_whole(dtype):
    """A joined tensor plus one of its parts, broadcast: the sum cannot overwrite the part."""
    b = Builder()
    parts = [b.input(quantized((1, n, 4, 4), dtype)) for n in (1, 4)]
    parts = [b.node(ops.Logistic(), [x], q(1 / 256, middle(dtype))) for x in parts]
    whole = b.node(ops.Concatenation(1), parts, parts[0].type.quant)
    return b.graph(b.node(ops.Add(), [parts[0], whole], q(0.01, middle(dtype))))


def stack_of_inputs(dtype):
    b = Builder()
    t = quantized((2, 5, 3), dtype)
    xs = [b.input(t) for _ in range(3)]
    return b.graph(b.node(ops.Pack(1), xs, t.quant))


def transposed(stride, kernel, padding=(0, 0, 0, 0), size=None):
    def make(dtype):
        b = Builder()
        h, w = 4, 5
        out = size or (
            (h - 1) * stride[0] + kernel[0] - padding[0] - padding[1],
            (w - 1) * stride[1] + kernel[1] - padding[2] - padding[3],
        )
        x = b.input(quantized((1, h, w, 6), dtype))
        weights = b.weights((7, *kernel, 6), I8, 0)
        op = ops.TransposeConv(stride, padding, out)
        return b.graph(b.node(op, [x, weights, b.bias(7)], q(0.2, middle(dtype))))

    return make


def floats(dtype):
    """QUANTIZE from float32 and DEQUANTIZE back."""
    b = Builder()
    x = b.input(TensorType((2, 3, 70), DType.FLOAT32))
    y = b.node(ops.Quantize(dtype), [x], q(0.02, middle(dtype) + 3))
    return b.graph(b.node(ops.Dequantize(), [y]), y)


MEAN_SHAPE = (2, 5, 6, 19)
CASES: dict[str, Callable[[DType], Graph]] = {
    "conv 1x1": lambda t: conv(t, kernel=(1, 1), out=40),
    "conv 1x1 s2": lambda t: conv(t, kernel=(1, 1), stride=(2, 2)),
    "conv 3x3 same": lambda t: conv(t, padding=(1, 1, 1, 1)),
    "conv 3x3 s2 pad": lambda t: conv(t, padding=(0, 1, 0, 1), stride=(2, 2), shape=(2, 8, 10, 3)),
    "conv dilated": lambda t: conv(t, padding=(2, 2, 4, 4), dilation=(2, 4), shape=(1, 9, 9, 16)),
    "conv grouped": lambda t: conv(t, shape=(1, 6, 6, 12), out=18, groups=3, padding=(1, 1, 1, 1)),
    "conv asymmetric": lambda t: conv(t, weights=U8, zero=77, axis=None, padding=(1, 1, 0, 0)),
    "conv 1x1 asymmetric": lambda t: conv(
        t, kernel=(1, 1), weights=U8, zero=200, axis=None, out=33
    ),
    "conv few channels": lambda t: conv(
        t, shape=(2, 9, 17, 5), out=3, kernel=(4, 5), padding=(1, 2, 2, 2)
    ),
    "conv few channels s2": lambda t: conv(
        t, shape=(1, 9, 23, 8), out=2, kernel=(3, 5), stride=(1, 2), weights=U8, zero=99, axis=None
    ),
    "conv relu6": lambda t: conv(t, activation=Activation.RELU6),
    "conv wide": lambda t: conv(t, shape=(1, 3, 3, 300), out=70, kernel=(1, 1)),
    "conv one pixel": lambda t: conv(t, shape=(1, 1, 1, 64), out=257, kernel=(1, 1)),
    "residual": residual,
    "residual of groups": grouped_residual,
    "part and whole": part_and_whole,
    "groups, too many": lambda t: conv(t, (1, 3, 3, 1040), 1040, (1, 1), groups=1040),
    "transpose conv, many phases": transposed((40, 40), (2, 2)),
    "depthwise 3x3": lambda t: depthwise(t, padding=(1, 1, 1, 1)),
    "depthwise 3x3 s2": lambda t: depthwise(t, padding=(0, 1, 0, 1), stride=(2, 2)),
    "depthwise narrow": lambda t: depthwise(t, shape=(2, 5, 5, 3), padding=(1, 1, 1, 1)),
    "depthwise 5x4 dilated": lambda t: depthwise(
        t, kernel=(5, 4), dilation=(1, 2), shape=(1, 12, 12, 16)
    ),
    "depthwise x3": lambda t: depthwise(t, multiplier=3, padding=(1, 1, 1, 1), shape=(1, 5, 6, 7)),
    "depthwise 1 to 8": lambda t: depthwise(t, multiplier=8, shape=(1, 12, 9, 1), kernel=(5, 4)),
    "depthwise asymmetric": lambda t: depthwise(
        t, weights=U8, zero=13, axis=None, padding=(1, 1, 1, 1)
    ),
    "fully connected": dense,
    "fully connected row": lambda t: dense(t, shape=(1, 1, 1, 640), out=128),
    "fully connected asymmetric": lambda t: dense(t, weights=U8, zero=140, axis=None),
    "transpose conv 2x2 s2": transposed((2, 2), (2, 2)),
    "transpose conv 3x3 s2": transposed((2, 2), (3, 3), (0, 1, 0, 1)),
    "transpose conv 5x4 s3": transposed((3, 2), (5, 4), (2, 1, 1, 1)),
    "transpose conv sparse": transposed((3, 3), (2, 1)),
    "add": binary(ops.Add()),
    "add relu": binary(ops.Add(Activation.RELU)),
    "add channels": binary(ops.Add(), second=(9,)),
    "add scalar": binary(ops.Add(), second=(1,), constant=True),
    "add scalar first": binary(ops.Add(), first=(1, 1, 1, 1)),
    "add broadcast both": binary(ops.Add(), first=(1, 5, 1, 9), second=(1, 1, 7, 9)),
    "add channels of batches": binary(ops.Add(), (3, 20, 21, 3), (3, 1, 1, 3)),
    "mul channels": binary(ops.Mul(), (2, 20, 21, 5), (5,), constant=True),
    "sub": binary(ops.Sub()),
    "sub constant": binary(ops.Sub(), second=(1, 5, 7, 9), constant=True),
    "mul": binary(ops.Mul()),
    "mul gate": binary(ops.Mul(), second=(1, 1, 1, 9)),
    "mul rows": binary(ops.Mul(), second=(7, 1), constant=True),
    "prelu": binary(ops.PRelu(), (2, 20, 21, 5), (1, 1, 5), constant=True),
    "prelu elements": binary(ops.PRelu(), second=(5, 7, 9), constant=True),
    "squared difference": binary(ops.SquaredDifference(), first=(1, 5, 1, 9)),
    "squared difference scalar": binary(ops.SquaredDifference(), first=(5, 1, 1)),
    "average pool": same(ops.AveragePool2D((2, 2), (2, 2)), (1, 6, 8, 19)),
    "average pool same": same(ops.AveragePool2D((3, 3), (1, 1), (1, 1, 1, 1)), (1, 6, 8, 19)),
    "average pool global": same(ops.AveragePool2D((8, 8), (8, 8)), (1, 8, 8, 64)),
    "max pool": same(ops.MaxPool2D((3, 2), (2, 2), (1, 0, 0, 1)), (1, 7, 7, 35)),
    "mean": unary(ops.Mean((1, 2), True), MEAN_SHAPE, 0.04, zero=5),
    "mean rows": unary(ops.Mean((1,), False), MEAN_SHAPE, 0.04),
    "mean channels": unary(ops.Mean((3,), False), MEAN_SHAPE, 0.04),
    "pad": same(ops.Pad(((0, 0), (1, 2), (3, 0), (0, 0)))),
    "pad all": same(ops.Pad(((1, 0), (1, 2), (3, 0), (2, 5)))),
    "concatenation channels": concatenation(3),
    "concatenation rows": concatenation(1),
    "concatenation requantized": concatenation(3, True),
    "concatenation narrow": narrow,
    "reshape": same(ops.Reshape((5, 63))),
    "squeeze": same(ops.Squeeze((0,))),
    "softmax": unary(ops.Softmax(1.0), (2, 3, 40), scale=1 / 256, zero=-128),
    "softmax of two": unary(ops.Softmax(0.7), (1, 16, 21, 2), scale=1 / 256, zero=-128),
    "softmax of nine": unary(ops.Softmax(), (1, 16, 21, 9), scale=1 / 256, zero=-128),
    "softmax narrow": unary(ops.Softmax(), (9, 3), scale=1 / 256, zero=-128),
    "logistic": unary(ops.Logistic(), scale=1 / 256, zero=-128),
    "tanh": unary(ops.Tanh(), scale=1 / 128),
    "relu": same(ops.Relu()),
    "relu6": unary(ops.Relu6()),
    "leaky relu": unary(ops.LeakyRelu(0.1)),
    "hard swish": unary(ops.HardSwish()),
    "resize bilinear": same(ops.ResizeBilinear((11, 5))),
    "resize bilinear centers": same(ops.ResizeBilinear((4, 17), half_pixel_centers=True)),
    "resize nearest": same(ops.ResizeNearestNeighbor((11, 5))),
    "arg max": lambda t: _arg_max(t, 3),
    "arg max rows": lambda t: _arg_max(t, 1),
    "requantize": unary(ops.Quantize(U8), scale=0.07),
    "floats": floats,
    "transpose": same(ops.Transpose((0, 3, 1, 2)), (1, 17, 18, 40)),
    "transpose small": same(ops.Transpose((2, 0, 1)), (3, 4, 5)),
    "strided slice": same(ops.StridedSlice((0, 4, 0, 1), (1, 2, 3, 4), (1, -2, 3, 2), (0,))),
    "split": same(ops.Split(3, 3)),
    "split rows": same(ops.Split(2, 7)),
    "pack": stack_of_inputs,
    "unpack": same(ops.Unpack(1)),
    **IMAGES,
    **PRODUCTS,
    **WIDE,
}


def _arg_max(dtype, axis):
    b = Builder()
    x = b.input(quantized((1, 5, 7, 21), dtype))
    return b.graph(b.node(ops.ArgMax(axis, DType.INT64), [x]))


FALLBACKS = {"groups, too many", "transpose conv, many phases", "transpose conv 3d, wide gaps"}
"""Cases without a kernel: the numpy reference runs them."""


@pytest.mark.parametrize("isa", NATIVE)
@pytest.mark.parametrize("dtype", [U8, I8], ids=str)
@pytest.mark.parametrize("case", CASES)
def test_operator(case: str, dtype: DType, isa: str) -> None:
    if case == "requantize" and dtype is I8:
        graph = unary(ops.Quantize(I8), scale=0.07)(dtype)
    else:
        graph = CASES[case](dtype)
    program = ew.compile(graph, isa=isa)
    assert bool(program.plan.fallbacks) == (case in FALLBACKS)
    for seed in range(2):
        inputs = random_inputs(graph, seed)
        results = program(*inputs)
        found = results if isinstance(results, tuple) else (results,)
        for got, expected in zip(found, reference(graph, inputs), strict=True):
            assert_matches(got, expected)
    program.close()
