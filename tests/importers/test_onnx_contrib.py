"""ONNX Runtime's own operators, beside it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper
from onnx_files import compiled, graph, info, model, node, runtime
from onnx_quantized_files import real, whole, within

import edgewise as ew
from edgewise.errors import UnsupportedError

MICROSOFT = helper.make_opsetid("com.microsoft", 1)


def contributed(op: str, operands: int, shape: tuple[int, ...], **attributes: Any) -> list[str]:
    """An operator of quantized operands beside ONNX Runtime's; what computes it."""
    feeds = {f"x{i}": whole(np.uint8, *shape) for i in range(operands)}
    constants: dict[str, Any] = {"ys": np.float32(0.021), "yz": np.uint8(7)}
    inputs: list[str] = []
    for i in range(operands):
        constants |= {f"s{i}": np.float32(0.02 + 0.01 * i), f"z{i}": np.uint8(100 + i)}
        inputs += [f"x{i}", f"s{i}", f"z{i}"]
    result = ["ys", "yz"]
    inputs = [*result, *inputs] if op == "QLinearConcat" else [*inputs, *result]
    made = graph(
        [node(op, inputs, ["y"], domain="com.microsoft", **attributes)],
        [info(k, v.shape, np.uint8) for k, v in feeds.items()],
        [info("y", None, TensorProto.UINT8)],
        constants,
    )
    return within(model(made, imports=[MICROSOFT]), feeds, 1)


@pytest.mark.parametrize(
    ("op", "operands", "attributes", "found"),
    [
        ("QLinearAdd", 2, {}, "ADD"),
        ("QLinearMul", 2, {}, "MUL"),
        ("QLinearConcat", 3, {"axis": 1}, "CONCATENATION"),
        ("QLinearSigmoid", 1, {}, "LOGISTIC"),
        ("QLinearLeakyRelu", 1, {"alpha": 0.1}, "LEAKY_RELU"),
        ("QLinearGlobalAveragePool", 1, {}, "MEAN"),
        ("QLinearAveragePool", 1, {"kernel_shape": [2, 2]}, "DEPTHWISE_CONV_2D"),
    ],
)
def test_operators_of_onnx_runtime(
    op: str, operands: int, attributes: dict[str, Any], found: str
) -> None:
    operators = contributed(op, operands, (1, 4, 6, 6), **attributes)
    assert found in operators
    assert {"DEQUANTIZE", "QUANTIZE"}.isdisjoint(operators)


def test_channels_last_of_onnx_runtime() -> None:
    with pytest.raises(UnsupportedError, match="channels_last"):
        contributed("QLinearGlobalAveragePool", 1, (1, 4, 4, 6), channels_last=1)


def test_qgemm() -> None:
    feeds = {"a": whole(np.int8, 5, 8)}
    constants = {
        "as": np.float32(0.02),
        "az": np.int8(4),
        "b": whole(np.int8, 3, 8),
        "bs": np.float32([0.01, 0.02, 0.03]),
        "bz": np.zeros(3, np.int8),
        "c": whole(np.int16, 3).astype(np.int32),
        "ys": np.float32(0.1),
        "yz": np.int8(2),
    }
    inputs = ["a", *constants]
    made = graph(
        [node("QGemm", inputs, ["y"], domain="com.microsoft", transB=1)],
        [info("a", [5, 8], np.int8)],
        [info("y", None, TensorProto.INT8)],
        constants,
    )
    assert within(model(made, imports=[MICROSOFT]), feeds, 1)[-1] == "FULLY_CONNECTED"


FUSED: dict[str, tuple[dict[str, tuple[int, ...]], dict[str, Any]]] = {
    "BiasGelu": ({"x": (3, 8), "b": (8,)}, {}),
    "FastGelu": ({"x": (3, 8), "b": (8,)}, {}),
    "Gelu": ({"x": (3, 8)}, {}),
    "QuickGelu": ({"x": (3, 8)}, {}),
    "FusedMatMul": ({"a": (5, 3), "b": (4, 5)}, {"transA": 1, "transB": 1, "alpha": 0.5}),
    "SkipLayerNormalization": (
        {"x": (1, 3, 8), "s": (1, 3, 8), "g": (8,), "b": (8,), "c": (8,)},
        {"epsilon": 1e-3},
    ),
}


@pytest.mark.parametrize("op", FUSED)
def test_fused_operators_of_onnx_runtime(op: str) -> None:
    shapes, attributes = FUSED[op]
    feeds = {k: real(*shape) for k, shape in shapes.items()}
    made = graph(
        [node(op, list(feeds), ["y"], domain="com.microsoft", **attributes)],
        [info(k, v.shape) for k, v in feeds.items()],
        ["y"],
    )
    data = model(made, imports=[MICROSOFT])
    (y,), (expected,) = compiled(ew.load(data), feeds), runtime(data, feeds)
    np.testing.assert_allclose(y, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "attributes",
    [
        {"activation": "Relu"},
        {"activation": "LeakyRelu", "activation_params": [0.2]},
        {"activation": "Clip", "activation_params": [-0.1, 0.3]},
        {"activation": "Tanh"},
    ],
    ids=str,
)
def test_fused_convolution_of_onnx_runtime(attributes: dict[str, Any]) -> None:
    feeds = {"x": real(1, 3, 6, 6), "w": real(4, 3, 3, 3), "b": real(4)}
    made = graph(
        [node("FusedConv", list(feeds), ["y"], domain="com.microsoft", **attributes)],
        [info(k, v.shape) for k, v in feeds.items()],
        ["y"],
    )
    data = model(made, imports=[MICROSOFT])
    (y,), (expected,) = compiled(ew.load(data), feeds), runtime(data, feeds)
    np.testing.assert_allclose(y, expected, rtol=1e-4, atol=1e-5)
