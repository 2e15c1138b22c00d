"""Constants of 4 and 2 bits: packed in files, read again alike, and computed with by LiteRT."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tflite

from edgewise import compile, exporters
from edgewise.dtype import DType, QParams
from edgewise.graph import Array, Graph, Node, TensorType, Value, verify
from edgewise.importers import load
from edgewise.ops import Conv2D, DepthwiseConv2D, Dequantize, FullyConnected, Op
from tflite_builder import run_litert

PRODUCTS: dict[str, tuple[Op, tuple[int, ...], tuple[int, ...], int]] = {
    "fully connected": (FullyConnected(), (3, 33), (7, 33), 0),
    "conv": (Conv2D(), (1, 5, 5, 6), (4, 3, 3, 6), 0),
    "depthwise": (DepthwiseConv2D(), (1, 5, 5, 5), (1, 3, 3, 5), 3),
}


def packed(
    shape: tuple[int, ...], axis: int | None, bits: int | None = 4, beyond: int = 0
) -> Value:
    """A constant of int8 that states its bits; with ``beyond``, one value is too great by that."""
    rng = np.random.default_rng(5)
    half = 1 << (bits or 4) - 1
    data = rng.integers(-half, half, shape).astype(np.int8)
    data.flat[:2] = -half, half - 1 + beyond
    data.setflags(write=False)
    count = 1 if axis is None else shape[axis]
    scales = rng.uniform(0.01, 0.1, count).astype(np.float32).tolist()
    quant = QParams(tuple(scales), (0,) * count, axis, bits)
    return Value("w", TensorType(shape, DType.INT8, quant), data)


def weight_only(op: Op, x_shape: tuple[int, ...], w: Value) -> Graph:
    """An operator of floats, whose weights are dequantized."""
    x = Value("x", TensorType(x_shape, DType.FLOAT32))
    real = Value("real", TensorType(w.type.shape, DType.FLOAT32))
    (out,) = op.infer([x.type, real.type])
    zeros = np.zeros(out.shape[-1], np.float32)
    zeros.setflags(write=False)
    bias = Value("bias", TensorType(zeros.shape, DType.FLOAT32), zeros)
    y = Value("y", out)
    graph = Graph((x,), (y,), (Node(Dequantize(), (w,), (real,)), Node(op, (x, real, bias), (y,))))
    verify(graph)
    return graph


def hybrid(op: Op, x_shape: tuple[int, ...], w: Value) -> Graph:
    x = Value("x", TensorType(x_shape, DType.FLOAT32))
    (out,) = op.infer([x.type, w.type])
    y = Value("y", out)
    return Graph((x,), (y,), (Node(op, (x, w), (y,)),))


def stored(content: bytes, name: str = "w") -> tuple[int, Array]:
    """The schema's type of a tensor, and the bytes of its buffer."""
    model: Any = tflite.Model.GetRootAsModel(content, 0)
    graph = model.Subgraphs(0)
    tensors = [graph.Tensors(i) for i in range(graph.TensorsLength())]
    (tensor,) = [t for t in tensors if t.Name() == name.encode()]
    return tensor.Type(), model.Buffers(tensor.Buffer()).DataAsNumpy()


def constant(graph: Graph, name: str = "w") -> Value:
    (found,) = {v for n in graph.nodes for v in n.inputs if v.name == name}
    return found


def litert_and_own(content: bytes, shape: tuple[int, ...]) -> tuple[Array, Array]:
    x = np.random.default_rng(1).normal(size=shape).astype(np.float32)
    (expected,) = run_litert(content, [x])
    return np.asarray(compile(load(content))(x)), expected


@pytest.mark.parametrize(("bits", "code"), [(4, 17), (2, 19)])
@pytest.mark.parametrize("name", PRODUCTS)
@pytest.mark.parametrize("per_channel", [True, False])
def test_weights_only(name: str, bits: int, code: int, per_channel: bool) -> None:
    op, x_shape, w_shape, axis = PRODUCTS[name]
    w = packed(w_shape, axis if per_channel else None, bits)
    content = exporters.to_tflite(weight_only(op, x_shape, w))
    found, raw = stored(content)
    assert (found, len(raw)) == (code, -(-w.type.size * bits // 8))
    again = constant(load(content))
    assert again.type == w.type
    np.testing.assert_array_equal(again.data, w.data)
    assert exporters.to_tflite(load(content)) == content
    own, expected = litert_and_own(content, x_shape)
    np.testing.assert_allclose(own, expected, 1e-5, 1e-5)


@pytest.mark.parametrize("columns", [32, 33])
@pytest.mark.parametrize("axis", [0, None])
def test_hybrid_matrix_product(columns: int, axis: int | None) -> None:
    w = packed((6, columns), axis)
    content = exporters.to_tflite(hybrid(FullyConnected(), (3, columns), w))
    assert stored(content)[0] == 17
    own, expected = litert_and_own(content, (3, columns))
    np.testing.assert_allclose(own, expected, 1e-6, 1e-6)


@pytest.mark.parametrize("bits", [None, 4])
def test_values_of_more_bits_are_not_packed(bits: int | None) -> None:
    w = packed((6, 8), 0, bits, beyond=1)
    content = exporters.to_tflite(hybrid(FullyConnected(), (3, 8), w))
    code, raw = stored(content)
    assert (code, len(raw)) == (9, 48)
    np.testing.assert_array_equal(constant(load(content)).data, w.data)


def test_types_say_so() -> None:
    assert str(packed((2, 3), 0).type) == "int8[2x3] {per-channel axis 0, 4 bits}"
    assert str(packed((2, 3), None, 2).type).endswith("* (q - 0), 2 bits}")
