"""Small float networks, and what every sample of theirs would say of their ranges."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from edgewise.dtype import DType
from edgewise.graph import Array, Graph, TensorType, Value
from edgewise.ops import Activation, Add, Conv2D, DepthwiseConv2D, FullyConnected, Mean, Op, Softmax
from edgewise.quantizer import Range, Recipe, State
from edgewise.quantizer.state import float_network
from networks import random_inputs
from passes.small_graphs import Net


class RealNet(Net):
    """A net of floats, whose weights are as large as trained ones are."""

    def real(self, *shape: int, name: str = "x") -> Value:
        return self.input(*shape, dtype=DType.FLOAT32, quant=None, name=name)

    def weights(self, *shape: int, scale: float = 0.0) -> Value:
        size = scale or (2.0 / max(1, int(np.prod(shape[1:])))) ** 0.5
        data = self.rng.normal(0, size, shape).astype(np.float32)
        return Value(self.name("w"), TensorType(shape, DType.FLOAT32), data)

    def bias(self, channels: int) -> Value:
        return self.weights(channels, scale=0.1)

    def add(self, op: Op, *inputs: Value, name: str = "") -> Value:
        return self(op, *inputs, quant=None, name=name)


def classifier(seed: int = 0, features: int = 8) -> Graph:
    """Convolutions, a residual, the mean, scores of four classes."""
    net = RealNet(seed)
    relu = Activation.RELU6
    x = net.real(1, 8, 8, 3)
    n = features
    a = net.add(Conv2D(activation=relu), x, net.weights(n, 1, 1, 3), net.bias(n), name="a")
    b = DepthwiseConv2D(padding=(1, 1, 1, 1), activation=relu)
    b = net.add(b, a, net.weights(1, 3, 3, n, scale=0.3), net.bias(n), name="b")
    c = net.add(Conv2D(), b, net.weights(n, 1, 1, n), net.bias(n), name="c")
    d = net.add(Add(), a, c, name="d")
    e = net.add(Mean((1, 2), False), d, name="e")
    f = net.add(FullyConnected(), e, net.weights(4, n), net.bias(4), name="f")
    return net.graph(net.add(Softmax(1.0), f, name="scores"))


def values(graph: Graph, arrays: Sequence[Array]) -> dict[str, Array]:
    """Every value of a network by name, by the references."""
    given = dict(zip(graph.inputs, arrays, strict=True))
    found = {v.name: array for v, array in given.items()}
    for node, results in graph.reference(given):
        found.update(zip((v.name for v in node.outputs), results, strict=True))
    return found


def ranges_of(graph: Graph, samples: Sequence[Sequence[Array]]) -> dict[str, Range]:
    """The least and greatest of every float value over samples."""
    found: dict[str, Range] = {}
    for arrays in samples:
        for name, array in values(graph, arrays).items():
            if array.dtype == np.float32 and array.size:
                one = Range(min(0.0, float(array.min())), max(0.0, float(array.max())))
                found[name] = found[name].union(one) if name in found else one
    return found


def state_of(graph: Graph, recipe: str | Mapping[str, object] = "int8", count: int = 4) -> State:
    """A network's state after calibration with random inputs."""
    real = float_network(graph)
    samples = [random_inputs(real, seed) for seed in range(count)]
    return replace(Recipe.of(recipe).start(real), ranges=ranges_of(real, samples))


def sqnr(found: Array, expected: Array) -> float:
    """The ratio of signal to quantization noise in dB."""
    noise = float(np.square(found.astype(np.float64) - expected).sum())
    signal = float(np.square(expected.astype(np.float64)).sum())
    return 10 * np.log10(signal / noise) if noise and signal else np.inf
