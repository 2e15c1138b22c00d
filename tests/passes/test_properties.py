"""Passes keep every bit: random quantized graphs before and after."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from small_graphs import SAME, Net, Q, check

from edgewise.dtype import DType, QParams
from edgewise.graph import Graph, Value
from edgewise.ops import (
    Abs,
    Activation,
    Add,
    ArgMax,
    Atan2,
    AveragePool2D,
    Concatenation,
    Conv2D,
    DepthwiseConv2D,
    Div,
    Elu,
    Equal,
    Exp,
    FullyConnected,
    Gelu,
    GreaterEqual,
    HardSwish,
    L2Normalization,
    LeakyRelu,
    Less,
    Logistic,
    LogSoftmax,
    Maximum,
    MaxPool2D,
    Mean,
    Minimum,
    Mul,
    Neg,
    Pad,
    PRelu,
    Quantize,
    ReduceMax,
    ReduceMin,
    Relu,
    Relu0To1,
    Relu6,
    ReluN1To1,
    Reshape,
    ResizeBilinear,
    ResizeNearestNeighbor,
    Rsqrt,
    Select,
    Softmax,
    Split,
    Sqrt,
    SquaredDifference,
    Squeeze,
    StridedSlice,
    Sub,
    Sum,
    Transpose,
    TransposeConv,
)
from edgewise.passes import optimize, to_int8, to_uint8, weights_to_int8

Draw = Callable[..., object]
CHANNELS = 4
IMAGE = (1, 6, 6, CHANNELS)


class RandomNet:
    """Grows a graph of images [1, 6, 6, 4] step by step, as hypothesis draws."""

    def __init__(self, data: st.DataObject) -> None:
        self.data = data
        self.net = Net(self.draw(st.integers(0, 999)))
        dtype = self.draw(st.sampled_from((DType.INT8, DType.UINT8)))
        self.images = [self.net.input(*IMAGE, dtype=dtype)]
        self.ends: list[Value] = []

    def draw(self, strategy: st.SearchStrategy[object]):  # type: ignore[no-untyped-def]
        return self.data.draw(strategy)

    def image(self, dtype: DType | None = None) -> Value:
        fitting = [v for v in self.images if dtype in (None, v.type.dtype)]
        return self.draw(st.sampled_from(fitting))

    def quant(self, like: Value) -> QParams | None:
        """Mostly the parameters of ``like``, so that fusions and removals may happen."""
        other = Q(self.draw(st.sampled_from((0.03, 0.05, 0.11))), self.draw(st.integers(0, 127)))
        return other if self.draw(st.integers(0, 3)) == 0 else like.type.quant

    def operand(self, like: Value) -> Value:
        if self.draw(st.booleans()):
            return self.image(like.type.dtype)
        return self.net.constant(*like.type.shape, dtype=like.type.dtype, quant=self.quant(like))

    def weights(self, *shape: int) -> Value:
        dtype = self.draw(st.sampled_from((DType.INT8, DType.UINT8)))
        zero = self.draw(st.integers(*dtype.range))
        return self.net.constant(*shape, dtype=dtype, quant=Q(0.01, zero))

    def activation(self) -> Activation:
        return self.draw(st.sampled_from((Activation.NONE, Activation.NONE, *Activation)))

    def step(self) -> None:
        x, net = self.image(), self.net
        quant = self.quant(x)
        kind = self.draw(st.sampled_from(sorted(STEPS)))
        y = STEPS[kind](self, x, quant)
        if y.type.shape == IMAGE:
            self.images.append(y)
        else:
            self.ends.append(y)
        if self.draw(st.booleans()) and y.type.shape == IMAGE:
            relu = self.draw(st.sampled_from((Relu(), Relu6(), ReluN1To1(), HardSwish())))
            self.images.append(net(relu, y, quant=self.quant(y)))

    def graph(self) -> Graph:
        pool = list(dict.fromkeys((*self.images[1:], *self.ends)))
        count = self.draw(st.integers(1, 2))
        return self.net.graph(*dict.fromkeys((pool[-1], *pool[:: max(1, len(pool) // count)])))


Step = Callable[[RandomNet, Value, "QParams | None"], Value]


def same(shape: int) -> tuple[int, int, int, int]:
    return (shape // 2, shape // 2, shape // 2, shape // 2)


def conv(r: RandomNet, x: Value, quant: QParams | None) -> Value:
    taps = r.draw(st.sampled_from((1, 3)))
    bias = r.net.constant(CHANNELS, dtype=DType.INT32, quant=None)
    op = Conv2D(padding=same(taps), activation=r.activation())
    return r.net(op, x, r.weights(CHANNELS, taps, taps, CHANNELS), bias, quant=quant)


def padded(r: RandomNet, x: Value, quant: QParams | None) -> Value:
    value = r.draw(st.sampled_from((None, SAME.zero_point[0], 9)))
    image = r.net(Pad(((0, 0), (1, 1), (2, 0), (0, 0)), value), x, quant=x.type.quant)
    kind = r.draw(st.sampled_from(("conv", "depthwise", "pool")))
    if kind == "conv":
        return r.net(Conv2D(), image, r.weights(CHANNELS, 3, 3, CHANNELS), quant=quant)
    if kind == "depthwise":
        return r.net(DepthwiseConv2D(), image, r.weights(1, 3, 3, CHANNELS), quant=quant)
    return r.net(MaxPool2D((3, 3)), image, quant=image.type.quant)


def transposed_conv(r: RandomNet, x: Value, quant: QParams | None) -> Value:
    op = TransposeConv((1, 1), (1, 1, 1, 1), (6, 6), r.activation())
    return r.net(op, x, r.weights(CHANNELS, 3, 3, CHANNELS), quant=quant)


def residual(r: RandomNet, x: Value, quant: QParams | None) -> Value:
    a = conv(r, x, x.type.quant)
    pair = [a, r.operand(a)]
    return r.net(Add(r.activation()), *(pair if r.draw(st.booleans()) else pair[::-1]), quant=quant)


def binary(r: RandomNet, x: Value, quant: QParams | None) -> Value:
    op = r.draw(st.sampled_from((Add, Sub, Mul, Div)))(r.activation())
    return r.net(op, x, r.operand(x), quant=quant)


def compared(r: RandomNet, x: Value, quant: QParams | None) -> Value:
    """One of x and another value, chosen by a comparison of both."""
    other = r.operand(x)
    choice = r.net(r.draw(st.sampled_from((Equal, Less, GreaterEqual)))(), x, other)
    other = r.net(Quantize(x.type.dtype), other, quant=x.type.quant)
    return r.net(Select(), choice, x, other, quant=x.type.quant)


def arithmetic(r: RandomNet, x: Value, quant: QParams | None) -> Value:
    op = r.draw(st.sampled_from((Maximum(), Minimum(), SquaredDifference(), PRelu(), Atan2())))
    return r.net(op, x, r.operand(x), quant=quant)


def function(r: RandomNet, x: Value, quant: QParams | None) -> Value:
    functions = (Abs(), Elu(), Exp(), Gelu(), LeakyRelu(0.3), Neg(), Relu0To1(), Rsqrt(), Sqrt())
    return r.net(r.draw(st.sampled_from(functions)), x, quant=quant)


def reduced(r: RandomNet, x: Value, quant: QParams | None) -> Value:
    """A reduction, added to x."""
    op = r.draw(st.sampled_from((Mean, ReduceMax, ReduceMin, Sum)))((1, 2), True)
    return r.net(Add(), x, r.net(op, x, quant=quant), quant=quant)


def normalized(r: RandomNet, x: Value, quant: QParams | None) -> Value:
    return r.net(r.draw(st.sampled_from((L2Normalization(), LogSoftmax()))), x, quant=Q(1 / 128, 0))


def pooled(r: RandomNet, x: Value, quant: QParams | None) -> Value:
    taps = r.draw(st.sampled_from((1, 3)))
    op = r.draw(st.sampled_from((AveragePool2D, MaxPool2D)))
    return r.net(op((taps, taps), (1, 1), same(taps), r.activation()), x, quant=x.type.quant)


def halved(r: RandomNet, x: Value, quant: QParams | None) -> Value:
    op = r.draw(st.sampled_from((AveragePool2D, MaxPool2D)))
    small = r.net(op((2, 2), (2, 2), (0,) * 4), x, quant=x.type.quant)
    resize = r.draw(st.sampled_from((ResizeBilinear, ResizeNearestNeighbor)))
    kwargs = {r.draw(st.sampled_from(("align_corners", "half_pixel_centers"))): True}
    return r.net(resize((6, 6), **kwargs), small, quant=x.type.quant)


def there_and_back(r: RandomNet, x: Value, quant: QParams | None) -> Value:
    kind = r.draw(st.sampled_from(("reshape", "transpose", "split", "slice")))
    q = x.type.quant
    if kind == "reshape":
        flat = r.net(Squeeze((0,)), r.net(Reshape((1, 36, CHANNELS)), x, quant=q), quant=q)
        return r.net(Reshape((1, 6, 6, -1)), flat, quant=q)
    if kind == "transpose":
        perm = r.draw(st.permutations((1, 2, 3)))
        back = r.draw(st.permutations((1, 2, 3)))
        turned = r.net(Transpose((0, *perm)), x, quant=q)
        return r.net(Transpose((0, *back)), turned, quant=q)
    if kind == "split":
        count = r.draw(st.sampled_from((1, 2)))
        parts = r.net.all(Split(3, count), x, quant=q)
        return r.net(Concatenation(3, r.activation()), *parts, quant=q)
    step = r.draw(st.sampled_from((1, -1)))
    op = StridedSlice((0, 0 if step > 0 else 5, 0, 0), IMAGE, (1, step, 1, 1))
    return r.net(op, x, quant=q)


def requantized(r: RandomNet, x: Value, quant: QParams | None) -> Value:
    dtype = r.draw(st.sampled_from((DType.INT8, DType.UINT8)))
    if r.draw(st.booleans()) and quant is not None:
        zero = quant.zero_point[0] + (128 if dtype is DType.UINT8 else -128)
        quant = Q(quant.scale[0], min(max(zero, dtype.range[0]), dtype.range[1]))
    y = r.net(Quantize(dtype), x, quant=quant)
    return r.net(Quantize(x.type.dtype), y, quant=x.type.quant)


def head(r: RandomNet, x: Value, quant: QParams | None) -> Value:
    small = r.net(Mean((1, 2)), x, quant=quant)
    small = r.net(Reshape((1, 1, CHANNELS)), small, quant=small.type.quant)
    scores = r.net(FullyConnected(r.activation()), small, r.weights(5, CHANNELS), quant=quant)
    last = r.draw(st.sampled_from((Softmax(), ArgMax(1), Logistic())))
    return r.net(last, scores, quant=Q(1 / 256, 0))


STEPS: dict[str, Step] = {
    f.__name__: f
    for f in (
        conv,
        padded,
        transposed_conv,
        residual,
        arithmetic,
        binary,
        compared,
        function,
        normalized,
        reduced,
        pooled,
        halved,
        there_and_back,
        requantized,
        head,
    )
}


def for_x86(graph: Graph) -> Graph:
    return weights_to_int8(to_uint8(optimize(graph)))


def for_arm(graph: Graph) -> Graph:
    return weights_to_int8(to_int8(optimize(graph)))


def signs_first(graph: Graph) -> Graph:
    return optimize(to_int8(to_uint8(graph)))


@pytest.mark.parametrize("apply", [for_x86, for_arm, signs_first])
@given(data=st.data())
@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
def test_random_graphs_keep_every_bit(apply: Callable[[Graph], Graph], data: st.DataObject) -> None:
    random = RandomNet(data)
    for _ in range(data.draw(st.integers(1, 8))):
        random.step()
    check(apply, random.graph(), seed=1)
