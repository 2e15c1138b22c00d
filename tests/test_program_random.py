"""Random quantized networks: programs at one to three threads equal the references."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import edgewise as ew
import test_program_emulated
from edgewise import ops
from edgewise.dtype import DType, QParams
from edgewise.graph import Graph, Value
from edgewise.kernels.isa import ISAS, Isa
from edgewise.ops import Activation
from edgewise.runtime import plan_for
from kernels.harness import isas
from networks import Builder, quantized, random_inputs, reference
from test_plan import check_accesses
from test_program import NATIVE

UNARY = (ops.Logistic(), ops.Tanh(), ops.HardSwish(), ops.LeakyRelu(0.2), ops.Relu6(), ops.Relu())


class RandomNetwork:
    """Grows a graph from images of any size, as hypothesis draws."""

    def __init__(self, data: st.DataObject) -> None:
        self.data = data
        self.builder = Builder(self.number(0, 99))
        self.dtype = self.choice((DType.UINT8, DType.INT8))
        shape = (self.number(1, 2), self.number(1, 9), self.number(1, 9), self.channels())
        self.images = [self.builder.input(quantized(shape, self.dtype))]

    def number(self, low: int, high: int) -> int:
        return self.data.draw(st.integers(low, high))

    def choice(self, values: Any) -> Any:
        return self.data.draw(st.sampled_from(list(values)))

    def channels(self) -> int:
        return self.choice((1, 2, 3, 8, 16, 17, 33, 64))

    def quant(self) -> QParams:
        """Of an output that an operator requantizes."""
        zero = self.choice((self.dtype.range[0], 7, self.dtype.range[1]))
        return QParams.per_tensor(self.choice((0.02, 0.1, 0.4)), zero)

    def activation(self) -> Activation:
        return self.choice((Activation.NONE, Activation.NONE, Activation.RELU, Activation.RELU6))

    def weights(self, shape: tuple[int, ...], axis: int) -> Value:
        if self.dtype is DType.UINT8:
            return self.builder.weights(shape, DType.UINT8, None, self.number(0, 255))
        return self.builder.weights(shape, DType.INT8, axis)

    def window(self, x: Value) -> tuple[tuple[int, int], tuple[int, int], tuple[int, ...]]:
        """(kernel, stride, padding) that fit x; the padding is less than the kernel."""
        kernel, padding = [], []
        for size in x.type.shape[1:3]:
            k = self.number(1, 3)
            before, after = (self.number(0, k - 1) for _ in range(2))
            kernel.append(min(k, size + before + after))
            padding += [min(before, kernel[-1] - 1), after]
        stride = self.choice(((1, 1), (1, 1), (2, 2), (2, 1)))
        return (kernel[0], kernel[1]), stride, tuple(padding)

    def step(self) -> None:
        x = self.choice(self.images[-3:])
        self.images.append(self.choice(STEPS)(self, x))

    def graph(self) -> Graph:
        extra = [v for v in self.images[1:-1] if self.number(0, 4) == 0]
        return self.builder.graph(self.images[-1], *extra)


def conv(r: RandomNetwork, x: Value) -> Value:
    kernel, stride, padding = r.window(x)
    n, depth = r.channels(), x.type.shape[3]
    op = ops.Conv2D(stride, padding=padding, activation=r.activation())
    inputs = [x, r.weights((n, *kernel, depth), 0), r.builder.bias(n)]
    return r.builder.node(op, inputs, r.quant())


def depthwise(r: RandomNetwork, x: Value) -> Value:
    kernel, stride, padding = r.window(x)
    n = x.type.shape[3] * r.choice((1, 1, 2))
    op = ops.DepthwiseConv2D(stride, padding=padding, activation=r.activation())
    inputs = [x, r.weights((1, *kernel, n), 3), r.builder.bias(n)]
    return r.builder.node(op, inputs, r.quant())


def transposed(r: RandomNetwork, x: Value) -> Value:
    _, h, w, depth = x.type.shape
    stride, n = r.number(1, 2), r.channels()
    kernel = r.number(stride, 3)
    size = ((h - 1) * stride + kernel, (w - 1) * stride + kernel)
    op = ops.TransposeConv((stride, stride), (0, 0, 0, 0), size)
    inputs = [x, r.weights((n, kernel, kernel, depth), 0), r.builder.bias(n)]
    return r.builder.node(op, inputs, r.quant())


def pooled(r: RandomNetwork, x: Value) -> Value:
    kernel, stride, padding = r.window(x)
    op = r.choice((ops.AveragePool2D, ops.MaxPool2D))(kernel, stride, padding)
    return r.builder.node(op, [x], x.type.quant)


def unary(r: RandomNetwork, x: Value) -> Value:
    return r.builder.node(r.choice(UNARY), [x], r.quant())


def binary(r: RandomNetwork, x: Value) -> Value:
    alike = [v for v in r.images if v.type.shape == x.type.shape]
    kind = r.choice(("image", "channels", "scalar", "constant"))
    if kind == "image":
        y = r.choice(alike)
    else:
        shape = {"channels": x.type.shape[3:], "scalar": (1,), "constant": x.type.shape}[kind]
        y = r.builder.weights(shape, r.dtype, None, 5, 0.03)
    op = r.choice((ops.Add, ops.Sub, ops.Mul))(r.activation())
    return r.builder.node(op, [x, y], r.quant())


def residual(r: RandomNetwork, x: Value) -> Value:
    n = x.type.shape[3]
    k = r.choice((1, 3))
    op = ops.Conv2D(padding=(k // 2,) * 4, activation=r.activation())
    y = r.builder.node(op, [x, r.weights((n, k, k, n), 0), r.builder.bias(n)], r.quant())
    pair = r.choice(([x, y], [y, x]))
    return r.builder.node(ops.Add(r.activation()), pair, r.quant())


def joined(r: RandomNetwork, x: Value) -> Value:
    axis = r.number(1, 3)
    rest = [n for i, n in enumerate(x.type.shape) if i != axis]
    fitting = [v for v in r.images if [n for i, n in enumerate(v.type.shape) if i != axis] == rest]
    parts = [x, *(r.choice(fitting) for _ in range(r.number(1, 2)))]
    return r.builder.node(ops.Concatenation(axis), parts, r.choice((x.type.quant, r.quant())))


def padded(r: RandomNetwork, x: Value) -> Value:
    sides = ((0, 0), *((r.number(0, 2), r.number(0, 2)) for _ in range(3)))
    return r.builder.node(ops.Pad(sides), [x], x.type.quant)


def resized(r: RandomNetwork, x: Value) -> Value:
    op = r.choice((ops.ResizeBilinear, ops.ResizeNearestNeighbor))
    size = (r.number(1, 9), r.number(1, 9))
    return r.builder.node(op(size, half_pixel_centers=r.choice((False, True))), [x], x.type.quant)


def moved(r: RandomNetwork, x: Value) -> Value:
    n, h, w, c = x.type.shape
    kind = r.choice(("transpose", "reshape", "slice", "split"))
    b, q = r.builder, x.type.quant
    if kind == "transpose":
        return b.node(ops.Transpose((0, *r.data.draw(st.permutations((1, 2, 3))))), [x], q)
    if kind == "reshape":
        flat = b.node(ops.Reshape((n, h * w, c)), [x], q)
        return b.node(
            ops.Reshape(r.choice(((n, w, h, c), (n, 1, h * w, c), (n, h, w, c)))), [flat], q
        )
    if kind == "slice":
        steps = [r.choice((1, 1, 2, -1)) for _ in range(4)]
        begin = tuple(
            0 if step > 0 else size - 1 for step, size in zip(steps, x.type.shape, strict=True)
        )
        size = tuple(-(-size // abs(step)) for step, size in zip(steps, x.type.shape, strict=True))
        return b.node(ops.StridedSlice(begin, size, tuple(steps)), [x], q)
    axis, count = r.choice(
        [(i, 2 if x.type.shape[i] % 2 == 0 else x.type.shape[i]) for i in (1, 2, 3)]
    )
    parts = b.node(ops.Split(axis, count), [x], *[q] * count)
    parts = parts if isinstance(parts, list) else [parts]
    return b.node(ops.Concatenation(axis), parts[::-1], q)


def gated(r: RandomNetwork, x: Value) -> Value:
    n = x.type.shape[3]
    mean = r.builder.node(ops.Mean((1, 2), True), [x], r.quant())
    scores = r.builder.node(ops.Conv2D(), [mean, r.weights((n, 1, 1, n), 0)], r.quant())
    gate = r.builder.node(ops.Logistic(), [scores], QParams.per_tensor(1 / 256, r.dtype.range[0]))
    return r.builder.node(ops.Mul(), [x, gate], r.quant())


def scored(r: RandomNetwork, x: Value) -> Value:
    scores = QParams.per_tensor(1 / 256, r.dtype.range[0])
    return r.builder.node(ops.Softmax(1.0), [x], scores)


STEPS: tuple[Callable[[RandomNetwork, Value], Value], ...] = (
    conv,
    depthwise,
    transposed,
    pooled,
    unary,
    binary,
    residual,
    joined,
    padded,
    resized,
    moved,
    gated,
    scored,
)


def random_network(data: st.DataObject) -> Graph:
    network = RandomNetwork(data)
    for _ in range(network.number(1, 9)):
        network.step()
        if network.images[-1].type.size > 20_000:
            break
    return network.graph()


def check(data: st.DataObject, isa: str) -> None:
    graph = random_network(data)
    samples = [random_inputs(graph, seed) for seed in range(2)]
    expected = [reference(graph, sample) for sample in samples]
    for kind in ISAS:
        check_accesses(plan_for(graph, kind))
    for threads in (1, 2, 3):
        program = ew.compile(graph, threads=threads, isa=isa)
        for sample, answers in zip(samples, expected, strict=True):
            found = program(*sample)
            found = found if isinstance(found, tuple) else (found,)
            for got, want in zip(found, answers, strict=True):
                np.testing.assert_array_equal(got, want, strict=True)
        program.close()


HEALTH = [HealthCheck.too_slow, HealthCheck.data_too_large]


@pytest.mark.parametrize("isa", NATIVE)
@given(data=st.data())
@settings(max_examples=60, deadline=None, suppress_health_check=HEALTH)
def test_random_networks(isa: str, data: st.DataObject) -> None:
    check(data, isa)


@isas
@given(data=st.data())
@settings(max_examples=15, deadline=None, suppress_health_check=HEALTH)
def test_random_networks_in_guarded_memory(isa: Isa, data: st.DataObject) -> None:
    graph = random_network(data)
    if not plan_for(graph, isa).fallbacks:
        test_program_emulated.check(graph, isa)


@pytest.mark.slow
@pytest.mark.parametrize("isa", NATIVE)
@given(data=st.data())
@settings(max_examples=1500, deadline=None, suppress_health_check=HEALTH)
def test_many_random_networks(isa: str, data: st.DataObject) -> None:
    check(data, isa)
