"""Small networks made of one or a few operators, for tests of passes, plans and programs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from edgewise import ops
from edgewise.dtype import DType, QParams
from edgewise.graph import Graph, Node, TensorType, Value
from edgewise.ops import Activation, Op

Array = npt.NDArray[Any]


def quantized(
    shape: Sequence[int], dtype: DType, scale: float = 0.05, zero_point: int | None = None
) -> TensorType:
    """A per-tensor quantized type; the zero point is near the middle of the dtype's range."""
    if zero_point is None:
        zero_point = 121 if dtype is DType.UINT8 else -7
    return TensorType(tuple(shape), dtype, QParams.per_tensor(scale, zero_point))


class Backwards(Op):
    """All elements in the opposite order: an operator that never has a kernel."""

    name: ClassVar[str] = "BACKWARDS"

    def infer(self, inputs: Sequence[TensorType]) -> tuple[TensorType, ...]:
        return tuple(inputs)

    def reference(
        self, arrays: Sequence[Array], inputs: Sequence[TensorType], outputs: Sequence[TensorType]
    ) -> list[Array]:
        return [np.flip(arrays[0])]


class Builder:
    """Adds nodes to a graph, one at a time; every value gets a name of its own."""

    def __init__(self, seed: int = 0) -> None:
        self.rng = np.random.default_rng(seed)
        self.inputs: list[Value] = []
        self.nodes: list[Node] = []
        self._count = 0

    def _name(self, prefix: str) -> str:
        self._count += 1
        return f"{prefix}{self._count}"

    def input(self, t: TensorType) -> Value:
        value = Value(self._name("x"), t)
        self.inputs.append(value)
        return value

    def constant(self, data: Array, quant: QParams | None = None) -> Value:
        t = TensorType(data.shape, DType.of(data), quant)
        return Value(self._name("c"), t, data)

    def weights(
        self,
        shape: Sequence[int],
        dtype: DType = DType.INT8,
        axis: int | None = None,
        zero_point: int = 0,
        scale: float = 0.01,
    ) -> Value:
        """Random weights, quantized per tensor or, with an ``axis``, per channel."""
        low, high = dtype.range
        if dtype is DType.INT8:
            low += 1
        data = self.rng.integers(low, high + 1, tuple(shape)).astype(dtype.numpy)
        quant = QParams.per_tensor(scale, zero_point)
        if axis is not None:
            n = shape[axis]
            scales = tuple(float(s) for s in self.rng.uniform(scale / 2, scale * 2, n))
            quant = QParams(scales, (zero_point,) * n, axis)
        return self.constant(data, quant)

    def bias(self, n: int) -> Value:
        return self.constant(self.rng.integers(-5000, 5000, n).astype(np.int32))

    def node(self, op: Op, inputs: Sequence[Value], *quants: QParams | None) -> Any:
        """Apply ``op``; ``quants`` of the outputs where inference leaves them open."""
        types = op.infer([v.type for v in inputs])
        outputs = []
        for i, t in enumerate(types):
            quant = quants[i] if i < len(quants) else t.quant
            outputs.append(Value(self._name("v"), TensorType(t.shape, t.dtype, quant)))
        self.nodes.append(Node(op, tuple(inputs), tuple(outputs), f"node{len(self.nodes)}"))
        return outputs[0] if len(outputs) == 1 else outputs

    def graph(self, *outputs: Value) -> Graph:
        return Graph(tuple(self.inputs), outputs, tuple(self.nodes), "test")


def classifier(dtype: DType, seed: int = 0) -> Graph:
    """A small network of many parts: a residual block, a branch that is joined, a head."""

    def q(scale: float) -> QParams:
        return QParams.per_tensor(scale, 118 if dtype is DType.UINT8 else -10)

    b = Builder(seed)
    x = b.input(quantized((1, 13, 11, 3), dtype))
    same = {"padding": (1, 1, 1, 1), "activation": Activation.RELU6}
    stem = ops.Conv2D((2, 2), **same)
    y = b.node(stem, [x, b.weights((16, 3, 3, 3), axis=0), b.bias(16)], q(0.05))
    wide = b.node(ops.Conv2D(), [y, b.weights((40, 1, 1, 16), axis=0), b.bias(40)], q(0.1))
    deep = ops.DepthwiseConv2D(**same)
    z = b.node(deep, [wide, b.weights((1, 3, 3, 40), axis=3), b.bias(40)], q(0.06))
    z = b.node(ops.Conv2D(), [z, b.weights((16, 1, 1, 40), axis=0), b.bias(16)], q(0.09))
    z = b.node(ops.Add(), [y, z], q(0.1))
    pooled = b.node(ops.MaxPool2D((3, 3), (1, 1), (1, 1, 1, 1)), [z], z.type.quant)
    gate = b.node(ops.Logistic(), [z], QParams.per_tensor(1 / 256, dtype.range[0]))
    gated = b.node(ops.Mul(), [pooled, gate], z.type.quant)
    both = b.node(ops.Concatenation(3), [z, gated], z.type.quant)
    small = b.node(ops.AveragePool2D((2, 2), (2, 2)), [both], both.type.quant)
    large = b.node(ops.ResizeBilinear((7, 6)), [small], small.type.quant)
    mean = b.node(ops.Mean((1, 2), False), [large], q(0.05))
    scores = b.node(ops.FullyConnected(), [mean, b.weights((10, 32), axis=0), b.bias(10)], q(0.2))
    top = b.node(ops.Softmax(1.0), [scores], QParams.per_tensor(1 / 256, dtype.range[0]))
    return b.graph(top, both)


def random_inputs(graph: Graph, seed: int = 0) -> list[Array]:
    """One array an input: integers over the whole range, floats of a normal distribution."""
    rng = np.random.default_rng(seed)
    arrays = []
    for value in graph.inputs:
        t = value.type
        if t.dtype.numpy.kind in "fc":
            data: Array = rng.normal(size=t.shape).astype(t.dtype.numpy)
            if t.dtype.numpy.kind == "c":
                data += 1j * rng.normal(size=t.shape)
        else:
            low, high = (0, 1) if t.dtype is DType.BOOL else t.dtype.range
            data = rng.integers(low, high, t.shape, endpoint=True).astype(t.dtype.numpy)
        arrays.append(data)
    return arrays


def reference(graph: Graph, arrays: Sequence[Array]) -> list[Array]:
    """The outputs by the operators' numpy references."""
    env = dict(zip(graph.inputs, arrays, strict=True))
    for node, results in graph.reference(env):
        env.update(zip(node.outputs, results, strict=True))
    return [v.data if v.data is not None else env[v] for v in graph.outputs]


def assert_matches(found: Array, expected: Array) -> None:
    """Integers are equal; floats differ by 1e-5 of themselves or of the greatest at most."""
    assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
    if found.dtype.kind != "f":
        np.testing.assert_array_equal(found, expected)
        return
    finite = np.abs(expected[np.isfinite(expected)])
    greatest = float(finite.max()) if finite.size else 0.0
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5 * greatest)
