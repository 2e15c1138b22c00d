"""CMSIS-NN's products, pools and a network of them as graphs."""

from __future__ import annotations

import numpy as np
from cmsis_nn_case import (
    Case,
    Golden,
    after,
    finished,
    images,
    product_operands,
    quantized,
    real,
    value,
)

from edgewise import ops
from edgewise.dtype import DType
from edgewise.graph import Graph, Node, TensorType, Value


def conv(case: Case) -> Golden:
    (h, w), (kh, kw), stride, (oh, ow), (top, left), dilation = images(case)
    channels, out_channels = case.number("IN_CH"), case.number("OUT_CH")
    batch = case.array("input").size // (h * w * channels)
    padding = (
        top,
        after(h, oh, kh, stride[0], dilation[0], top),
        left,
        after(w, ow, kw, stride[1], dilation[1], left),
    )
    op: ops.Op
    if "CH_MULT" in case.config:
        shape, axis = (1, kh, kw, out_channels), 3
        op = ops.DepthwiseConv2D(stride, dilation, padding)
    else:
        shape, axis = (out_channels, kh, kw, case.get("FILTER_CH", channels)), 0
        op = ops.Conv2D(stride, dilation, padding)
    operands, out, expected = product_operands(
        case, "input", (batch, h, w, channels), shape, axis, out_channels
    )
    out = TensorType((batch, oh, ow, out_channels), out.dtype, out.quant)
    return finished(case, op, operands, out, expected)


def transpose_conv(case: Case) -> Golden:
    (h, w), (kh, kw), stride, (oh, ow), (top, left), _ = images(case)
    channels, out_channels = case.number("IN_CH"), case.number("OUT_CH")
    batch = case.array("input").size // (h * w * channels)
    padding = (
        top,
        after(oh, h, kh, stride[0], 1, top),
        left,
        after(ow, w, kw, stride[1], 1, left),
    )
    operands, out, expected = product_operands(
        case, "input", (batch, h, w, channels), (out_channels, kh, kw, channels), 0, out_channels
    )
    op = ops.TransposeConv(stride, padding, (oh, ow))
    out = TensorType((batch, oh, ow, out_channels), out.dtype, out.quant)
    return finished(case, op, operands, out, expected)


def fully_connected(case: Case) -> Golden:
    out_channels = case.number("OUT_CH")
    sizes = (case.get("INPUT_H", 1), case.get("INPUT_W", 1), case.number("IN_CH"))
    depth = case.get("ACCUMULATION_DEPTH") or int(np.prod(sizes))
    batch = case.array("input").size // depth
    operands, out, expected = product_operands(
        case, "input", (batch, depth), (out_channels, depth), 0, out_channels
    )
    out = TensorType((batch, out_channels), out.dtype, out.quant)
    return finished(case, ops.FullyConnected(), operands, out, expected)


def batch_matmul(case: Case) -> Golden:
    adj_x, adj_y = bool(case.number("ADJ_X")), bool(case.number("ADJ_Y"))
    is_float = case.is_float

    def side(name: str, kind: str = "input", turned: bool = False) -> Value:
        sizes = (
            ("BATCH", "HEIGHT", "COLS", "ROWS") if turned else ("BATCH", "HEIGHT", "ROWS", "COLS")
        )
        shape = tuple(case.number(f"{name.upper()}_{size}") for size in sizes)
        data = case.array(f"{name}_{kind}_tensor")
        zero = -case.get(f"{name.upper()}_OFFSET")
        return value(f"{name}_{kind}_tensor", None, quantized(shape, DType.of(data), 1.0, zero))

    shape = tuple(case.number(f"OUTPUT_{size}") for size in ("BATCH", "HEIGHT", "ROWS", "COLS"))
    x = side("lhs", "transposed" if is_float and adj_x else "input")
    y = side("rhs", turned=is_float and adj_y)
    scale = 1.0
    if not case.is_float:
        scale = 1 / real(case.number("OUTPUT_MULTIPLIER"), case.number("OUTPUT_SHIFT"))
    out = quantized(shape, x.type.dtype, scale, case.get("OUTPUT_OFFSET"))
    op = ops.BatchMatMul(adj_x, adj_y and not is_float)
    return finished(case, op, [x, y], out, case.array("output"))


def pool(case: Case) -> Golden:
    (h, w), (kh, kw), stride, (oh, ow), (top, left), _ = images(case)
    channels = case.number("INPUT_C")
    data = case.array("input_tensor")
    batch = data.size // (h * w * channels)
    padding = (
        top,
        after(h, oh, kh, stride[0], 1, top),
        left,
        after(w, ow, kw, stride[1], 1, left),
    )
    kind = ops.MaxPool2D if case.name.startswith("max") else ops.AveragePool2D
    x = value("input_tensor", None, quantized((batch, h, w, channels), DType.of(data)))
    out = quantized((batch, oh, ow, channels), x.type.dtype)
    op = kind((kh, kw), stride, padding)
    return finished(case, op, [x], out, case.array("output", "output_ref"))


LAYERS = (
    "conv_2d_1",
    *(f"{'conv_2d' if i % 2 else 'depthwise_conv_2d'}_{i}" for i in range(2, 12)),
    "average_pool_2d_12",
    "fully_connected_14",
)


def ds_cnn(case: Case) -> Golden:
    """A whole network: each layer's #defines and arrays carry its number. SOFTMAX comes last."""
    value_of: Value | None = None
    inputs: list[Value] = []
    nodes: list[Node] = []
    for layer in LAYERS:
        part = Case.__new__(Case)
        kind, number = layer.rsplit("_", 1)
        part.name, part.is_half = kind, False
        prefix, arrays = f"{layer.upper()}_", f"layer_{number}_{kind}_"
        part.config = {
            k.removeprefix(prefix): v for k, v in case.config.items() if k.startswith(prefix)
        }
        part.arrays = {
            k.removeprefix(arrays): v for k, v in case.arrays.items() if k.startswith(arrays)
        }
        config = part.config
        if kind == "depthwise_conv_2d":
            config["CH_MULT"] = 1
        if kind == "fully_connected":
            config["OUT_CH"], config["ACCUMULATION_DEPTH"] = config["IN_CH"], config["OUT_CH"]
            config["OUTPUT_W"] = 1
        if kind == "average_pool_2d":
            config.update(INPUT_C=config["IN_CH"], PADDING_H=0, PADDING_W=0)
        size = config["INPUT_H"] * config["INPUT_W"] * config["IN_CH"]
        if kind == "fully_connected":
            size = config["ACCUMULATION_DEPTH"]
        stand_in = np.zeros(size, np.int8) if value_of else case.array("input")
        out = np.zeros(config["OUTPUT_H"] * config["OUTPUT_W"] * config["OUT_CH"], np.int8)
        part.arrays |= {"input": stand_in, "input_tensor": stand_in, "output_ref": out}
        one = {"average_pool_2d": pool, "fully_connected": fully_connected}.get(kind, conv)(part)
        (node,) = one.graph.nodes
        if value_of is None:
            inputs = [one.graph.inputs[0]]
            value_of = inputs[0]
        x = value_of
        declared = node.inputs[0].type
        if x.type.shape != declared.shape:
            flat = Value(f"{layer}:flat", TensorType(declared.shape, x.type.dtype, x.type.quant))
            nodes.append(Node(ops.Reshape(declared.shape), (x,), (flat,)))
            x = flat
        y = Value(layer, node.outputs[0].type)
        if kind == "average_pool_2d":
            y = Value(layer, TensorType(y.type.shape, y.type.dtype, x.type.quant))
        nodes.append(Node(node.op, (x, *node.inputs[1:]), (y,)))
        value_of = y
    assert value_of is not None
    out_type = quantized((1, 12), DType.INT8, 1 / 256, -128)
    scale = real(case.config["SOFTMAX_15_MULT"], case.config["SOFTMAX_15_SHIFT"]) * 2.0**-26
    logits = value_of.type
    beta = scale / (logits.quant.scale[0] if logits.quant else 1.0)
    y = Value("softmax", out_type)
    nodes.append(Node(ops.Softmax(beta), (value_of,), (y,)))
    graph = Graph(tuple(inputs), (y,), tuple(nodes), case.name)
    data = case.array("input").reshape(inputs[0].type.shape)
    return Golden(graph, [[data]], case.array("output_ref").reshape(1, 12))
