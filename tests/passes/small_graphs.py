"""Small graphs for the tests of passes: a builder, an interpreter, a text without constants."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from edgewise.dtype import DType, QParams
from edgewise.graph import Array, Graph, Node, TensorType, Value, verify
from edgewise.ops import Conv2D, Op

Q = QParams.per_tensor
SAME = QParams.per_tensor(0.05, 3)
WEIGHTS = Q(0.02, 0)
TYPES = (DType.UINT8, DType.INT8, DType.INT16, DType.BOOL)
BORDER = ((0, 0), (1, 1), (1, 1), (0, 0))


class Net:
    """Builds a graph node by node; random constants come from ``seed``."""

    def __init__(self, seed: int = 0) -> None:
        self.rng = np.random.default_rng(seed)
        self.inputs: list[Value] = []
        self.nodes: list[Node] = []
        self.count = 0

    def name(self, name: str) -> str:
        self.count += 1
        return name or f"v{self.count}"

    def input(
        self,
        *shape: int,
        dtype: DType = DType.INT8,
        quant: QParams | None = SAME,
        name: str = "x",
    ) -> Value:
        self.inputs.append(Value(name, TensorType(shape, dtype, quant)))
        return self.inputs[-1]

    def random(self, t: TensorType) -> Array:
        if t.dtype.is_float:
            return self.rng.normal(0, 3, t.shape).astype(t.dtype.numpy)
        if t.dtype is DType.BOOL:
            return self.rng.integers(0, 2, t.shape).astype(np.bool_)
        low, high = (-500, 500) if t.dtype is DType.INT32 else t.dtype.range
        return self.rng.integers(low, high + 1, t.shape).astype(t.dtype.numpy)

    def constant(
        self,
        *shape: int,
        dtype: DType = DType.INT8,
        quant: QParams | None = SAME,
        data: Array | None = None,
    ) -> Value:
        t = TensorType(shape, dtype, quant)
        return Value(self.name("w"), t, self.random(t) if data is None else data)

    def all(
        self,
        op: Op,
        *inputs: Value,
        quant: QParams | None = SAME,
        name: str = "",
        origin: str = "",
    ) -> tuple[Value, ...]:
        types = op.infer([v.type for v in inputs])
        outputs = tuple(
            Value(
                self.name(name),
                TensorType(t.shape, t.dtype, quant if t.dtype in TYPES else None),
            )
            for t in types
        )
        self.nodes.append(Node(op, inputs, outputs, origin or op.name.lower()))
        return outputs

    def __call__(
        self,
        op: Op,
        *inputs: Value,
        quant: QParams | None = SAME,
        name: str = "",
        origin: str = "",
    ) -> Value:
        (output,) = self.all(op, *inputs, quant=quant, name=name, origin=origin)
        return output

    def graph(self, *outputs: Value) -> Graph:
        graph = Graph(tuple(self.inputs), outputs, tuple(self.nodes))
        verify(graph)
        return graph


def evaluate(graph: Graph, inputs: dict[Value, Array]) -> list[Array]:
    """The graph's outputs by the numpy references."""
    env = dict(inputs)
    for node, results in graph.reference(inputs):
        env.update(zip(node.outputs, results, strict=True))
    return [v.data if v.data is not None else env[v] for v in graph.outputs]


def check(
    apply: Callable[[Graph], Graph],
    graph: Graph,
    seed: int = 0,
    samples: int = 1,
    tolerance: float = 0.0,
) -> Graph:
    """Apply a pass; require that it keeps the given graph, the interface and every result.

    ``tolerance`` is by how much of the greatest a result may differ.
    """
    before = str(graph)
    result = apply(graph)
    assert str(graph) == before
    verify(result)
    assert result.inputs == graph.inputs
    assert result.outputs == graph.outputs
    net = Net(seed)
    for _ in range(samples):
        arrays = {v: net.random(v.type) for v in graph.inputs}
        for old, new in zip(evaluate(graph, arrays), evaluate(result, arrays), strict=True):
            assert old.dtype == new.dtype
            if tolerance:
                np.testing.assert_allclose(new, old, tolerance, tolerance * np.abs(old).max())
            else:
                np.testing.assert_array_equal(old, new)
    return result


def lines(graph: Graph) -> list[str]:
    """The nodes as text, without types: ``%y = RELU(%x)``."""
    return [str(node).split(" : ")[0] for node in graph.nodes]


def assert_unchanged(apply: Callable[[Graph], Graph], graph: Graph) -> None:
    assert apply(graph) is graph


def conv(net: Net, x: Value, channels: int = 4, taps: int = 1, **kwargs: str) -> Value:
    w = net.constant(channels, taps, taps, x.type.shape[3], quant=WEIGHTS)
    bias = net.constant(channels, dtype=DType.INT32, quant=None)
    return net(Conv2D(), x, w, bias, **kwargs)
