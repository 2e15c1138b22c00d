"""ONNX's quantized operators, beside ONNX Runtime; element types of few bits."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper
from onnx_files import Array, compiled, graph, info, model, node, single
from onnx_quantized_files import real, whole, within

import edgewise as ew
from edgewise.errors import ModelError, UnsupportedError


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.int16, np.uint16], ids=str)
@pytest.mark.parametrize("zero", [0, 3])
def test_per_tensor(dtype: Any, zero: int) -> None:
    scale, point = np.float32(0.0375), dtype(zero)
    x = {"x": real(7, 9)}
    constants = {"s": scale, "z": point}
    within(single("QuantizeLinear", x, constants, [info("y", None, code(dtype))], opset=21), x, 1)
    q = {"x": whole(dtype, 7, 9)}
    within(single("DequantizeLinear", q, constants, opset=21), q)


def code(dtype: Any) -> int:
    return int(helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))


@pytest.mark.parametrize("axis", [0, -1])
@pytest.mark.parametrize("computed", [False, True])
def test_per_axis(axis: int, computed: bool) -> None:
    n = (4, 6)[axis]
    scales, zeros = np.linspace(0.01, 0.4, n).astype(np.float32), np.arange(n).astype(np.int8)
    constants = {} if computed else {"s": scales, "z": zeros}
    extra = {"s": scales, "z": zeros} if computed else {}
    x = {"x": real(4, 6), **extra}
    y = [info("y", None, TensorProto.INT8)]
    within(single("QuantizeLinear", x, constants, y, axis=axis), x, 1)
    q = {"x": whole(np.int8, 4, 6), **extra}
    within(single("DequantizeLinear", q, constants, axis=axis), q)


@pytest.mark.parametrize("computed", [False, True])
def test_blocks(computed: bool) -> None:
    """Three along the axis, of which the last is cut short."""
    scales, zeros = np.abs(real(2, 3, 3)) + 0.01, whole(np.int8, 2, 3, 3) // 4
    constants = {} if computed else {"s": scales, "z": zeros}
    feeds = {"x": whole(np.int8, 2, 7, 3), **({"s": scales, "z": zeros} if computed else {})}
    data = single("DequantizeLinear", feeds, constants, opset=21, axis=1, block_size=3)
    wide = [np.repeat(a, 3, 1)[:, :7] for a in (scales, zeros)]
    expected = (feeds["x"].astype(np.float32) - wide[1]) * wide[0]
    within(data, feeds, expected=[expected])


def test_int32_is_dequantized() -> None:
    feeds = {"x": whole(np.int32, 5) // 256}
    assert within(single("DequantizeLinear", feeds, {"s": np.float32(0.25)}), feeds)


def constant(code: int, dims: list[int], values: Any, raw: bool) -> TensorProto:
    made = helper.make_tensor("w", code, dims, values)
    if raw and made.int32_data:
        kept = np.array(made.int32_data, np.int64)
        made.raw_data = kept.astype(np.uint16 if code == 16 else np.uint8).tobytes()
        del made.int32_data[:]
    return made


NUMBERS: dict[int, list[float]] = {
    21: [0, 15, 7, 1, 9],
    22: [-8, 7, -1, 0, 3],
    25: [0, 3, 1, 2, 3],
    26: [-2, 1, -1, 0, 1],
    16: [1.0, -2.5, 3e38, 1e-30, 0.0],
    17: [448, -0.5, 0.001953125, 1.125, 0],
    18: [240, -0.5, 0.0009765625, 1.125, 0],
    19: [57344, -0.5, 1.25, 2.0**-16, 0],
    20: [57344, -0.5, 1.25, 2.0**-17, 0],
    23: [6, -0.5, 1.5, 3, 0],
}


@pytest.mark.parametrize("raw", [False, True])
@pytest.mark.parametrize("code", NUMBERS)
def test_constants_of_few_bits(code: int, raw: bool) -> None:
    held = constant(code, [5], NUMBERS[code], raw)
    made = graph([node("Cast", ["w"], ["v"], to=1), node("Add", ["x", "v"], ["y"])], [X5], ["y"])
    made.initializer.append(held)
    x = np.zeros(5, np.float32)
    (y,) = compiled(ew.load(model(made, 24)), {"x": x})
    np.testing.assert_array_equal(y, np.array(NUMBERS[code], ml(code)).astype(np.float32))


def ml(code: int) -> Any:
    return helper.tensor_dtype_to_np_dtype(code)


X5 = info("x", [5])


def test_constant_of_few_bits_that_is_cut_short() -> None:
    made = graph([node("Cast", ["w"], ["v"], to=1), node("Add", ["x", "v"], ["y"])], [X5], ["y"])
    made.initializer.append(TensorProto(name="w", data_type=22, dims=[5], raw_data=b"\x12\x34"))
    with pytest.raises(ModelError, match=r"tensor 'w': 2 bytes of data for 5 INT4"):
        ew.load(model(made, 21))


def test_quantized_to_four_bits() -> None:
    feeds = {"x": np.array([-9, -1.2, 0.26, 3.4, 30], np.float32)}
    data = single("QuantizeLinear", feeds, {"s": np.float32(0.5)}, [info("y", [5], 22)], 21)
    made = model_with(data, output_dtype=22)
    (y,) = compiled(ew.load(made), feeds)
    np.testing.assert_array_equal(y, [-8, -2, 1, 7, 7])


def model_with(data: bytes, **attributes: int) -> bytes:
    import onnx

    made = onnx.load_from_string(data)
    for name, value in attributes.items():
        made.graph.node[0].attribute.append(helper.make_attribute(name, value))
    return bytes(made.SerializeToString())


PRODUCTS: dict[str, tuple[tuple[int, ...], tuple[int, ...], dict[str, Any]]] = {
    "CONV_2D": ((1, 6, 7, 8), (4, 6, 3, 3), {"pads": [1, 0, 1, 2], "strides": [2, 1]}),
    "DEPTHWISE_CONV_2D": ((1, 4, 7, 8), (4, 1, 3, 3), {"group": 4}),
    "groups": ((1, 6, 7, 8), (4, 3, 3, 3), {"group": 2}),
    "line": ((2, 3, 9), (4, 3, 3), {"dilations": [2]}),
}


@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize("biased", [False, True])
@pytest.mark.parametrize("name", PRODUCTS)
def test_qlinear_conv(name: str, per_channel: bool, biased: bool) -> None:
    shape, w, attributes = PRODUCTS[name]
    feeds = {"x": whole(np.int8, *shape)}
    n = w[0] if per_channel else 1
    constants: dict[str, Any] = {
        "xs": np.float32(0.02),
        "xz": np.int8(5),
        "w": whole(np.int8, *w),
        "ws": np.linspace(0.01, 0.03, n).astype(np.float32),
        "wz": np.zeros(n, np.int8),
        "ys": np.float32(0.3),
        "yz": np.int8(-4),
    }
    if biased:
        constants["b"] = whole(np.int16, w[0]).astype(np.int32)
    y = [info("y", None, TensorProto.INT8)]
    found = within(single("QLinearConv", feeds, constants, y, **attributes), feeds, 1)
    assert {"DEQUANTIZE", "QUANTIZE"}.isdisjoint(found)
    assert (name if name.isupper() else "CONV_2D") in found


@pytest.mark.parametrize("bias", [np.zeros(3, np.float32), np.zeros(3, np.int32)], ids=str)
def test_rules_of_biases(bias: Array) -> None:
    scales = np.float32([0.1, 0.2, 0.3]) if bias.dtype == np.int32 else np.float32(0.1)
    constants = {
        "xs": scales,
        "xz": np.zeros(scales.shape, np.int8),
        "w": whole(np.int8, 3, 3, 1, 1),
        "ws": np.float32(0.1),
        "wz": np.int8(0),
        "ys": np.float32(1),
        "yz": np.int8(0),
        "b": bias,
    }
    with pytest.raises(ModelError, match=r"bias is \w+, input 0 has \d scales; int32, and 1"):
        ew.load(single("QLinearConv", {"x": whole(np.int8, 1, 3, 4, 4)}, constants))


def test_qlinear_conv_of_computed_scales() -> None:
    feeds = {
        "x": whole(np.uint8, 1, 2, 5, 5),
        "xs": np.float32(0.1),
        "xz": np.uint8(9),
        "w": whole(np.uint8, 3, 2, 2, 2),
        "ws": np.float32(0.01),
        "wz": np.uint8(120),
        "ys": np.float32(0.4),
        "yz": np.uint8(101),
        "b": whole(np.int16, 3).astype(np.int32),
    }
    feeds = {k: np.asarray(v) for k, v in feeds.items()}
    data = single("QLinearConv", feeds, {}, [info("y", None, TensorProto.UINT8)])
    within(data, feeds, 1)


@pytest.mark.parametrize("shapes", [((5, 7), (7, 3)), ((2, 5, 7), (2, 7, 3))], ids=str)
def test_qlinear_matmul(shapes: tuple[tuple[int, ...], tuple[int, ...]]) -> None:
    a, b = (whole(np.int8, *shape) for shape in shapes)
    constants = {"s": np.float32(0.1), "z": np.int8(3)}
    made = graph(
        [node("QLinearMatMul", ["a", "s", "z", "b", "s", "z", "s", "z"], ["y"])],
        [info("a", a.shape, np.int8), info("b", b.shape, np.int8)],
        [info("y", None, TensorProto.INT8)],
        constants,
    )
    assert within(model(made), {"a": a, "b": b}, 1)[-1] == "BATCH_MATMUL"


@pytest.mark.parametrize("depth", [5, 300, 5000])
def test_integer_products_are_exact(depth: int) -> None:
    """Also where float32 does not hold the sums."""
    feeds = {"a": whole(np.uint8, 2, depth), "b": whole(np.uint8, depth, 3)}
    feeds["a"][0], feeds["b"][:, 0] = 255, 255
    constants = {"za": np.uint8(0), "zb": np.uint8(7)}
    data = single("MatMulInteger", feeds, constants, [info("y", None, np.int32)])
    a, b = (v.astype(np.int64) for v in feeds.values())
    within(data, feeds, expected=[(a @ (b - 7)).astype(np.int32)])


def test_integer_products_of_too_many() -> None:
    feeds = {"a": whole(np.uint8, 1, 70000), "b": whole(np.uint8, 70000, 1)}
    with pytest.raises(UnsupportedError, match=r"sums of 70000 products; at most 65536"):
        ew.load(single("MatMulInteger", feeds, {}, [info("y", None, np.int32)]))


def test_integer_convolution() -> None:
    feeds = {"x": whole(np.uint8, 1, 40, 6, 6), "w": whole(np.uint8, 4, 40, 3, 3)}
    constants = {"xz": np.uint8(3), "wz": np.uint8(130)}
    y = [info("y", None, np.int32)]
    within(single("ConvInteger", feeds, constants, y, pads=[1, 1, 1, 1]), feeds)


def test_dynamic_quantization() -> None:
    feeds = {"x": real(4, 9)}
    outputs = [info("y", None, np.uint8), info("s", None), info("z", None, np.uint8)]
    within(single("DynamicQuantizeLinear", feeds, {}, outputs), feeds, 1)


WEIGHTED: dict[str, tuple[tuple[int, ...], tuple[int, ...], int, dict[str, Any], str]] = {
    "Conv": ((1, 4, 6, 6), (6, 2, 3, 3), 0, {"group": 2}, "CONV_2D"),
    "line": ((1, 4, 9), (6, 4, 3), 0, {}, "CONV_2D"),
    "volume": ((1, 4, 5, 6, 6), (6, 2, 3, 3, 3), 0, {"group": 2}, "CONV_3D"),
    "transposed": ((1, 4, 6, 6), (4, 3, 3, 3), 1, {"strides": [2, 2]}, "TRANSPOSE_CONV"),
    "stride 1": ((1, 4, 6, 6), (4, 3, 3, 3), 1, {}, "CONV_2D"),
    "dilated": (
        (1, 4, 6, 6),
        (4, 3, 3, 3),
        1,
        {"strides": [2, 2], "dilations": [2, 2]},
        "TRANSPOSE_CONV",
    ),
    "Gemm": ((3, 8), (5, 8), 0, {"transB": 1}, "FULLY_CONNECTED"),
    "MatMul": ((2, 3, 8), (8, 5), 1, {}, "FULLY_CONNECTED"),
    "Gather": ((9, 8), (), 0, {}, "GATHER"),
}
"""Shapes of x and of weights, the axis of their scales, attributes, what computes it."""


def pairs(name: str, quantizes: bool) -> tuple[bytes, dict[str, Array]]:
    """An operator of dequantized weights, and of a dequantized input if ``quantizes``."""
    shape, w, axis, attributes, _ = WEIGHTED[name]
    op = {"line": "Conv", "volume": "Conv", "Gather": "Relu"}.get(name, name)
    op = "ConvTranspose" if name in ("transposed", "stride 1", "dilated") else op
    x, nodes, constants = "x", [], {"xs": np.float32(0.05), "z": np.int8(-3)}
    if quantizes:
        nodes += [node("QuantizeLinear", ["x", "xs", "z"], ["xq"])]
        nodes += [node("DequantizeLinear", ["xq", "xs", "z"], ["xd"])]
        x = "xd"
    operands = [x]
    if w:
        constants |= {"w": whole(np.int8, *w), "ws": np.abs(real(w[axis])) / 40 + np.float32(0.01)}
        nodes.append(node("DequantizeLinear", ["w", "ws"], ["wd"], axis=axis))
        operands.append("wd")
    else:
        constants["i"] = np.array([[3, 1], [7, 3]])
        nodes.append(node("Gather", [x, "i"], ["g"]))
        operands = ["g"]
    nodes.append(node(op, operands, ["f"], **attributes))
    constants |= {"ys": np.float32(0.4), "yz": np.int8(3)}
    nodes.append(node("QuantizeLinear", ["f", "ys", "yz"], ["y"]))
    made = graph(nodes, [info("x", shape)], [info("y", None, TensorProto.INT8)], constants)
    return model(made), {"x": real(*shape)}


@pytest.mark.parametrize("name", WEIGHTED)
def test_pairs_around_operators(name: str) -> None:
    """Weights keep their scales through every move that their operator needs."""
    data, feeds = pairs(name, True)
    found = within(data, feeds, 1)
    assert WEIGHTED[name][-1] in found
    is_float = name in ("volume", "dilated")
    assert ("DEQUANTIZE" in found) == is_float


@pytest.mark.parametrize("name", WEIGHTED)
def test_weights_alone_are_quantized(name: str) -> None:
    """The product is one of floats; no DEQUANTIZE runs."""
    data, feeds = pairs(name, False)
    found = within(data, feeds, 1)
    assert WEIGHTED[name][-1] in found
    assert "DEQUANTIZE" not in found


def test_integers_of_a_quantized_tensor_are_plain_to_other_operators() -> None:
    """Equal compares raw values, and MaxPool keeps their scale for what follows."""
    feeds = {"x": real(1, 2, 4, 4)}
    nodes = [
        node("QuantizeLinear", ["x", "s", "z"], ["q"]),
        node("Cast", ["q"], ["n"], to=TensorProto.INT32),
        node("Add", ["n", "n"], ["y"]),
        node("MaxPool", ["q"], ["m"], kernel_shape=[2, 2]),
        node("DequantizeLinear", ["m", "s", "z"], ["w"]),
    ]
    made = graph(
        nodes,
        [info("x", [1, 2, 4, 4])],
        [info("y", None, np.int32), "w"],
        {"s": np.float32(0.03), "z": np.uint8(131)},
    )
    assert "MAX_POOL_2D" in within(model(made), feeds, 2)


RULES: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "shapes": (
        {"s": np.float32([1, 2]), "z": np.zeros(3, np.int8)},
        {},
        r"scale \[2\], zero point \[3\]; they have one shape",
    ),
    "count": ({"s": np.ones(5, np.float32), "z": np.zeros(5, np.int8)}, {"axis": 1}, "5 scales;"),
    "rank": (
        {"s": np.ones((2, 2), np.float32), "z": np.zeros((2, 2), np.int8)},
        {"axis": 1},
        "scales have as many dimensions as the tensor where there are blocks, else one",
    ),
    "blocks": (
        {"s": np.ones((4, 2), np.float32), "z": np.zeros((4, 2), np.int8)},
        {"axis": 1, "block_size": 2},
        r"blocks of 2 along axis 1 of \[4, 6\] take \[4, 3\]",
    ),
    "axis": ({"s": np.ones(6, np.float32), "z": np.zeros(6, np.int8)}, {"axis": 2}, "axis 2;"),
}


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("op", ["QuantizeLinear", "DequantizeLinear"])
def test_rules(op: str, rule: str) -> None:
    constants, attributes, message = RULES[rule]
    x = {"x": real(4, 6) if op[0] == "Q" else whole(np.int8, 4, 6)}
    y = [info("y", None, TensorProto.INT8 if op[0] == "Q" else TensorProto.FLOAT)]
    with pytest.raises(ModelError, match=message):
        ew.load(single(op, x, constants, y, 21, **attributes))


def test_rules_of_operands() -> None:
    with pytest.raises(ModelError, match="operand is float32; it must be uint8 or int8"):
        ew.load(single("MatMulInteger", {"a": real(2, 2), "b": real(2, 2)}))
    with pytest.raises(ModelError, match="scale or zero point is bool; they are numbers"):
        ew.load(single("QuantizeLinear", {"x": real(2)}, {"s": np.array(True)}))
    with pytest.raises(ModelError, match="bool is quantized; it must be floats or int32"):
        ew.load(single("QuantizeLinear", {"x": real(2) > 0}, {"s": np.float32(1)}))
    with pytest.raises(ModelError, match="bool is dequantized; it must be integers"):
        ew.load(single("DequantizeLinear", {"x": real(2) > 0}, {"s": np.float32(1)}))
    feeds = {"a": whole(np.int8, 2, 2), "b": whole(np.int8, 2, 2)}
    with pytest.raises(ModelError, match="zero point is float32; it must be uint8 or int8"):
        ew.load(single("MatMulInteger", feeds, {"z": np.float32(1)}))
    with pytest.raises(UnsupportedError, match="operands of fewer than 2 dimensions"):
        ew.load(single("MatMulInteger", {"a": whole(np.int8, 2), "b": feeds["b"]}))
    with pytest.raises(ModelError, match="to float64; it must be of 16 bits or fewer"):
        ew.load(
            model_with(
                single("QuantizeLinear", {"x": real(2)}, {"s": np.float32(1)}, opset=21),
                output_dtype=11,
            )
        )
