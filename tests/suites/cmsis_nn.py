"""CMSIS-NN's golden cases as graphs: a function a family of cases.

A case is a .npz file: arrays by their C names, and ``__config__``, the #defines, whose names begin
with the case's. Its multipliers and shifts become scales: mult * 2**(shift - 31) is a float64 that
the fixed-point rule splits into the same two numbers again.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edgewise import ops
from edgewise.dtype import DType, QParams
from edgewise.graph import Graph, Node, State, TensorType, Value

Array = npt.NDArray[Any]
OLDER: Mapping[str, tuple[int, float, float]] = {
    "conv_1_x_n_1_int4": (0, -127, 127),
    "conv_1_x_n_2_int4": (128, -111, 127),
    "conv_1_x_n_4_int4": (0, -88, 127),
    "conv_1_x_n_5_int4": (0, -128, 127),
    "conv_2_int4": (0, -101, 127),
    "conv_2x2_dilation_5x5_input_int4": (0, -61, 107),
    "conv_2x2_dilation_int4": (0, -61, 107),
    "conv_2x3_dilation_int4": (0, -61, 107),
    "conv_3_int4": (128, -127, 127),
    "conv_3x2_dilation_int4": (0, -128, 127),
    "conv_5_int4": (128, -88, 127),
    "conv_out_activation_int4": (0, -61, 107),
    "kernel1x1_int4_2": (0, -126, 127),
    "kernel1x1_int4_3": (0, -126, 127),
    "kernel1x1_stride_x_y_int4": (0, -6, 127),
}
"""Cases whose file holds the arrays of one generation of a test and the #defines of the next: the
input's offset and the clamp that the arrays agree with. (One has another dilation, too.)"""

GATES = ("input", "forget", "cell", "output")


@dataclass(frozen=True, eq=False)
class Golden:
    """A case as a graph: what it is called with, call after call, and the last call's result."""

    graph: Graph
    calls: Sequence[Sequence[Array]]
    expected: Array


class Case:
    """A file's #defines and arrays, their names without the case's."""

    def __init__(self, path: Path) -> None:
        self.name = path.stem
        with np.load(path) as file:
            config = json.loads(str(file["__config__"]))
            self.arrays = {
                key.removeprefix(self.name + "_").removesuffix("_data"): file[key]
                for key in file.files
                if key != "__config__"
            }
        self.is_half = any(a.dtype == np.float16 for a in self.arrays.values())
        for key, array in self.arrays.items():
            if array.dtype == np.float16:
                self.arrays[key] = array.astype(np.float32)
        prefix = self.name.upper() + "_"
        self.config: dict[str, Any] = {k.removeprefix(prefix): v for k, v in config.items()}
        if self.name == "conv_2x3_dilation_int4":
            self.config |= {"DILATION_Y": 2, "PAD_Y": 2}

    @property
    def is_float(self) -> bool:
        return any(a.dtype.kind == "f" for a in self.arrays.values())

    def number(self, *names: str) -> int:
        """The first of these #defines that there is."""
        return int(next(self.config[name] for name in names if name in self.config))

    def get(self, name: str, default: int = 0) -> int:
        return int(self.config.get(name, default))

    def array(self, *names: str) -> Array:
        """The first of these arrays that there is."""
        return next(self.arrays[name] for name in names if name in self.arrays)

    def has(self, *names: str) -> bool:
        return any(name in self.arrays for name in names)

    def clamp(self) -> tuple[float, float]:
        """The #defines, which files of float16 lack: there it is the golden results' range."""
        if self.name in OLDER:
            return OLDER[self.name][1:]
        if self.is_half:
            golden = self.array("output_ref", "output")
            return float(golden.min()), float(golden.max())
        low = ("OUT_ACTIVATION_MIN", "ACTIVATION_MIN")
        high = ("OUT_ACTIVATION_MAX", "ACTIVATION_MAX")
        bounds = (
            next((self.config[n] for n in names if n in self.config), default)
            for names, default in ((low, -np.inf), (high, np.inf))
        )
        least, greatest = bounds
        return float(least), float(greatest)


def real(mult: int, shift: int) -> float:
    """The multiplier of a 31-bit number and a shift to the left."""
    return float(mult) * 2.0 ** (int(shift) - 31)


def value(name: str, data: Array | None, t: TensorType) -> Value:
    return Value(name, t, None if data is None else data.reshape(t.shape))


def quantized(shape: Sequence[int], dtype: DType, scale: float = 1.0, zero: int = 0) -> TensorType:
    """A type of these parameters; floats have none."""
    if dtype.is_float:
        return TensorType(tuple(shape), dtype)
    return TensorType(tuple(shape), dtype, QParams.per_tensor(scale, zero))


def plain(shape: Sequence[int], dtype: DType) -> TensorType:
    return TensorType(tuple(shape), dtype)


def finished(
    case: Case, op: ops.Op, inputs: Sequence[Value], out: TensorType, expected: Array
) -> Golden:
    """One operator, and after it the clamp of the case."""
    given = [v for v in inputs if not v.is_constant]
    y = Value("y", out)
    nodes = [Node(op, tuple(inputs), (y,))]
    least, greatest = case.clamp()
    low, high = out.dtype.range if out.dtype.is_integer else (-np.inf, np.inf)
    for bound, limit, kind in ((least, low, ops.Maximum), (greatest, high, ops.Minimum)):
        if (bound > limit) if kind is ops.Maximum else (bound < limit):
            edge = np.full((), bound, out.dtype.numpy)
            clamped = Value(f"{y.name}'", out)
            constant = Value(kind.name, TensorType((), out.dtype, out.quant), edge)
            nodes.append(Node(kind(), (y, constant), (clamped,)))
            y = clamped
    arrays = [case.arrays[v.name].reshape(v.type.shape) for v in given]
    graph = Graph(tuple(given), (y,), tuple(nodes), case.name)
    return Golden(graph, [arrays], expected.reshape(out.shape))


def unpacked_int4(data: Array, count: int) -> Array:
    """``count`` values of 4 bits, two a byte, the low half first; bytes where there are as many."""
    if data.size == count:
        return data
    halves = np.stack([data << 4, data & np.int8(-16)], -1).ravel()[:count]
    return np.asarray(halves >> 4, np.int8)


def product_operands(
    case: Case,
    x_name: str,
    x_shape: Sequence[int],
    w_shape: Sequence[int],
    axis: int,
    channels: int,
) -> tuple[list[Value], TensorType, Array]:
    """(x, w, bias) of a convolution or FULLY_CONNECTED, its output's type, the golden results."""
    w_data = case.array("weights", "input_weights")
    biases = ("biases", "bias", "input_bias")
    mults, shifts = ("output_mult", "output_multiplier"), ("output_shift",)
    expected = case.array("output_ref", "output")
    dtype = DType.of(case.array(x_name))
    if dtype.is_float:
        x = value(x_name, None, plain(x_shape, dtype))
        operands = [x, value("w", w_data, plain(w_shape, dtype))]
        if case.has(*biases) and not case.get("USE_NULL_BIAS"):
            operands.append(value("bias", case.array(*biases), plain((channels,), dtype)))
        return operands, plain((), dtype), expected
    if "OUTPUT_MULTIPLIER" in case.config:
        scales = [real(case.number("OUTPUT_MULTIPLIER"), case.number("OUTPUT_SHIFT"))] * channels
    else:
        pairs = zip(case.array(*mults), case.array(*shifts), strict=True)
        scales = [real(m, s) for m, s in pairs]
    zeros = (-case.get("FILTER_OFFSET"),) * channels
    zero = -OLDER[case.name][0] if case.name in OLDER else -case.get("INPUT_OFFSET")
    x = value(x_name, None, quantized(x_shape, dtype, 1.0, zero))
    w_data = unpacked_int4(w_data, int(np.prod(w_shape)))
    w_type = TensorType(tuple(w_shape), DType.INT8, QParams(tuple(scales), zeros, axis))
    operands = [x, value("w", w_data, w_type)]
    if case.has(*biases):
        bias = case.array(*biases)
        operands.append(value("bias", bias, plain((channels,), DType.of(bias))))
    elif dtype is DType.INT16 and "xint32" not in case.name:
        empty = np.zeros(channels, np.int64)
        operands.append(value("bias", empty, plain((channels,), DType.INT64)))
    out = quantized((), dtype, 1.0, case.get("OUTPUT_OFFSET"))
    return operands, out, expected


def after(size: int, out: int, taps: int, stride: int, dilation: int, before: int) -> int:
    """The padding after a dimension."""
    return max((out - 1) * stride + (taps - 1) * dilation + 1 - size - before, 0)


def images(case: Case) -> tuple[Any, ...]:
    height, width = case.number("INPUT_H"), case.number("INPUT_W")
    kh, kw = case.number("FILTER_Y", "FILTER_H"), case.number("FILTER_X", "FILTER_W")
    stride = (case.number("STRIDE_Y", "STRIDE_H"), case.number("STRIDE_X", "STRIDE_W"))
    out = (case.number("OUTPUT_H"), case.number("OUTPUT_W"))
    top, left = (
        case.number("PAD_Y", "PADDING_H", "PAD_H"),
        case.number("PAD_X", "PADDING_W", "PAD_W"),
    )
    dilation = (
        case.get("DILATION_Y", case.get("DILATION_H", 1)),
        case.get("DILATION_X", case.get("DILATION_W", 1)),
    )
    return (height, width), (kh, kw), stride, out, (top, left), dilation


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


def elementwise(case: Case) -> Golden:
    """ADD and MUL of two vectors."""
    size, dtype = case.number("DST_SIZE"), DType.of(case.array("input1"))
    is_add = case.name.startswith("add")
    scale, reals = 1.0, [1.0, 1.0]
    inputs = []
    if is_add and not dtype.is_float:
        # An input's multiplier is its scale / twice the greatest, the output's that twice the
        # greatest / 2**left_shift / its own.
        reals = [
            real(case.number(f"INPUT{i}_MULT"), case.number(f"INPUT{i}_SHIFT")) for i in (1, 2)
        ]
        output = real(case.number("OUTPUT_MULT"), case.number("OUTPUT_SHIFT"))
        scale = 1 / (output * 2.0 ** case.number("LEFT_SHIFT"))
    elif not dtype.is_float:
        scale = 1 / real(case.number("OUTPUT_MULT"), case.number("OUTPUT_SHIFT"))
    for i, s in enumerate(reals, 1):
        zero = -case.number(f"INPUT{i}_OFFSET")
        inputs.append(value(f"input{i}", None, quantized((size,), dtype, s, zero)))
    out = quantized((size,), dtype, scale, case.number("OUTPUT_OFFSET"))
    op: ops.Op = ops.Add(pot_scale_int16=False) if is_add else ops.Mul()
    return finished(case, op, inputs, out, case.array("output_ref"))


def extremum(case: Case) -> Golden:
    inputs = []
    for i in (1, 2):
        sizes = ("BATCH", "HEIGHT", "WIDTH", "CHANNEL")
        shape = tuple(case.number(f"{size}_{i}") for size in sizes)
        dtype = DType.of(case.array(f"input_tensor_{i}"))
        inputs.append(value(f"input_tensor_{i}", None, quantized(shape, dtype)))
    sizes = ("BATCH", "HEIGHT", "WIDTH", "CHANNEL")
    out = quantized(tuple(case.number(f"OUTPUT_{size}") for size in sizes), inputs[0].type.dtype)
    op = ops.Maximum() if case.name.startswith("max") else ops.Minimum()
    return finished(case, op, inputs, out, case.array("output", "output_ref"))


def pad(case: Case) -> Golden:
    shape = tuple(case.number(f"INPUT_{d}") for d in "NHWC")
    pads = tuple((case.number(f"PRE_PAD_{d}"), case.number(f"POST_PAD_{d}")) for d in "NHWC")
    dtype = DType.of(case.array("input_tensor"))
    x = value("input_tensor", None, quantized(shape, dtype))
    out = quantized(tuple(n + sum(p) for n, p in zip(shape, pads, strict=True)), dtype)
    fill = case.config.get("PAD_VALUE", case.array("output", "output_ref").flat[0])
    op = ops.Pad(pads, float(fill) if dtype.is_float else int(fill))
    return finished(case, op, [x], out, case.array("output", "output_ref"))


def softmax(case: Case) -> Golden:
    """Its multiplier is beta * scale in units of 10 / 65535."""
    shape = (case.number("NUM_ROWS"), case.number("ROW_SIZE"))
    dtype, multiplier = DType.of(case.array("input")), 1.0
    if not dtype.is_float:
        multiplier = real(case.number("INPUT_MULT"), case.number("INPUT_LEFT_SHIFT"))
    x = value("input", None, quantized(shape, dtype, multiplier * 10 / 65535))
    return finished(
        case, ops.Softmax(), [x], quantized(shape, dtype, 2.0**-15), case.array("output_ref")
    )


def svdf(case: Case) -> Golden:
    """The state is kept between calls; the golden output is the last call's."""
    rank, filters = case.number("RANK"), case.number("FEATURE_BATCHES")
    memory, depth = case.number("TIME_BATCHES"), case.number("INPUT_SIZE")
    batch, units = case.number("INPUT_BATCHES"), filters // rank
    first = second = 1.0
    if not case.is_float:
        first = real(case.number("MULTIPLIER_IN"), case.number("SHIFT_1"))
        second = real(case.number("MULTIPLIER_OUT"), case.number("SHIFT_2"))
    wide, narrow = DType.of(case.array("weights_time")), DType.of(case.array("input_sequence"))
    bias = case.array("biases", "bias")
    x_type = quantized((batch, depth), narrow, 1.0, case.get("INPUT_OFFSET"))
    state_type = quantized((batch, memory * filters), wide, 1 / first)
    out = quantized((batch, units), narrow, 1 / (second * first), case.get("OUTPUT_OFFSET"))
    x, before = Value("x", x_type), Value("before", state_type)
    y, after_ = Value("y", out), Value("after", state_type)
    feature = quantized((filters, depth), narrow)
    inputs = (
        x,
        value("wf", case.array("weights_feature"), feature),
        value("wt", case.array("weights_time"), quantized((filters, memory), wide)),
        value("bias", bias, plain((units,), DType.of(bias))),
        before,
    )
    activation = ops.Nonlinearity.NONE if case.is_float else ops.Nonlinearity.RELU
    node = Node(ops.Svdf((True,) * 5, rank, activation), inputs, (y, after_))
    states = (
        State(before, after_, case.array("state", "initial_state").reshape(state_type.shape)),
    )
    graph = Graph((x,), (y,), (node,), case.name, states=states)
    sequence = case.array("input_sequence").reshape(-1, batch, depth)
    return Golden(graph, [[step] for step in sequence], case.array("output_ref").reshape(out.shape))


def lstm(case: Case) -> Golden:
    """Gates have 12 bits of fraction, so a multiplier of m is a weights' scale of m * 2**-12."""
    batch, time = case.number("BATCH_SIZE"), case.number("TIME_STEPS")
    depth, cells = case.number("INPUT_SIZE"), case.number("HIDDEN_SIZE")
    x_data = case.array("input_tensor", "input")
    dtype = DType.of(x_data)
    if dtype.is_float:
        return float_lstm(case)
    hidden = 2.0**-30 / real(case.number("OUTPUT_MULTIPLIER"), case.number("OUTPUT_SHIFT"))
    zero = case.number("OUTPUT_ZERO_POINT")
    major = case.config["TIME_MAJOR"] == "true"
    leading = (time, batch) if major else (batch, time)
    y_type = quantized((*leading, cells), dtype, hidden, zero)
    x = Value("x", quantized((*leading, depth), dtype, 1.0, -case.number("INPUT_ZERO_POINT")))
    named: dict[str, Value] = {"input": x}
    for gate in GATES:
        for source, kind, n, unit in (
            ("input", "input", depth, 1.0),
            ("hidden", "recurrent", cells, hidden),
        ):
            key = f"{gate.upper()}_GATE_{source.upper()}"
            scale = real(case.number(f"{key}_MULTIPLIER"), case.number(f"{key}_SHIFT"))
            t = quantized((cells, n), DType.INT8, scale * 2.0**-12 / unit)
            name = f"{kind}_to_{gate}_weights"
            named[name] = value(name, case.array(f"{gate}_gate_{source}_weights"), t)
        bias = case.array(f"{gate}_gate_bias")
        named[f"{gate}_gate_bias"] = value(f"{gate}_bias", bias, plain((cells,), DType.of(bias)))
    into = real(case.number("INPUT_TO_CELL_MULTIPLIER"), case.number("INPUT_TO_CELL_SHIFT"))
    cell_type = quantized((batch, cells), DType.INT16, 2.0**-30 / into)
    output_type = quantized((batch, cells), dtype, hidden, zero)
    named["output_state"] = Value("h", output_type)
    named["cell_state"] = Value("c", cell_type)
    names = ops.UnidirectionalSequenceLstm.names
    op = ops.UnidirectionalSequenceLstm(
        tuple(name in named for name in names),
        time_major=major,
        intermediates=(None,) * 4 + (QParams.per_tensor(hidden, zero),),
    )
    outputs = (Value("y", y_type), Value("h'", output_type), Value("c'", cell_type))
    node = Node(op, tuple(named[name] for name in names if name in named), outputs)
    states = (
        State(named["output_state"], outputs[1], np.full(output_type.shape, zero, dtype.numpy)),
        State(named["cell_state"], outputs[2], np.zeros(cell_type.shape, np.int16)),
    )
    graph = Graph((x,), outputs[:1], (node,), case.name, states=states)
    return Golden(
        graph, [[x_data.reshape(x.type.shape)]], case.array("output").reshape(y_type.shape)
    )


def float_lstm(case: Case) -> Golden:
    batch, time = case.number("BATCH_SIZE"), case.number("TIME_STEPS")
    depth, cells = case.number("INPUT_SIZE"), case.number("HIDDEN_SIZE")
    major = bool(case.number("TIME_MAJOR"))
    leading = (time, batch) if major else (batch, time)
    x = Value("x", plain((*leading, depth), DType.FLOAT32))
    named: dict[str, Value] = {"input": x}
    for gate in GATES:
        for source, kind, n in (("input", "input", depth), ("hidden", "recurrent", cells)):
            name = f"{kind}_to_{gate}_weights"
            data = case.array(f"{gate}_{source}_weights")
            named[name] = value(name, data, plain((cells, n), DType.FLOAT32))
        bias = case.array(f"{gate}_bias")
        named[f"{gate}_gate_bias"] = value(f"{gate}_b", bias, plain((cells,), DType.FLOAT32))
    state_type = plain((batch, cells), DType.FLOAT32)
    for name in ("output_state", "cell_state"):
        named[name] = value(name, np.zeros((batch, cells), np.float32), state_type)
    names = ops.UnidirectionalSequenceLstm.names
    op = ops.UnidirectionalSequenceLstm(tuple(n in named for n in names), time_major=major)
    y = Value("y", plain((*leading, cells), DType.FLOAT32))
    outputs = (y, Value("h'", state_type), Value("c'", state_type))
    node = Node(op, tuple(named[name] for name in names if name in named), outputs)
    graph = Graph((x,), (y,), (node,), case.name)
    data = case.array("input").reshape(x.type.shape)
    return Golden(graph, [[data]], case.array("output_ref").reshape(y.type.shape))


def concatenation(case: Case) -> Golden:
    leading = tuple(case.number(f"INPUT_{d}") for d in "NHW")
    inputs = [
        value(
            f"{side}_input",
            None,
            plain((*leading, case.number(f"{side.upper()}_C")), DType.FLOAT32),
        )
        for side in ("lhs", "rhs")
    ]
    out = plain((*leading, case.number("OUTPUT_C")), DType.FLOAT32)
    return finished(case, ops.Concatenation(3), inputs, out, case.array("output_ref"))


def batch_norm(case: Case) -> Golden:
    """MUL by a scale a channel, ADD of a bias."""
    t = plain(tuple(case.number(f"INPUT_{d}") for d in "NHWC"), DType.FLOAT32)
    x, scaled, y = Value("input", t), Value("scaled", t), Value("y", t)
    channels = plain((t.shape[3],), DType.FLOAT32)
    scale = value("scale", case.array("scale"), channels)
    bias = value("bias", case.array("bias"), channels)
    nodes = (Node(ops.Mul(), (x, scale), (scaled,)), Node(ops.Add(), (scaled, bias), (y,)))
    graph = Graph((x,), (y,), nodes, case.name)
    return Golden(
        graph, [[case.array("input").reshape(t.shape)]], case.array("output_ref").reshape(t.shape)
    )


def transpose(case: Case) -> Golden:
    """Which permutation it is, and of what shape, its test's C code says, not its data."""
    data, golden = case.array("input_tensor"), case.array("output", "output_ref")
    if case.is_float:
        rank = case.number("NUM_DIMS")
        shape = tuple(case.number(f"INPUT_{d}") for d in "NHWC")[:rank]
        order = tuple(case.number(f"PERM_{i}") for i in range(rank))
    else:
        shape, order = TRANSPOSES[case.name.removeprefix("transpose_")]
    x = value("input_tensor", None, quantized(shape, DType.of(data)))
    out = quantized(tuple(shape[i] for i in order), DType.of(data))
    return finished(case, ops.Transpose(order), [x], out, golden)


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


TRANSPOSES: Mapping[str, tuple[tuple[int, ...], tuple[int, ...]]] = {
    "nchw": ((4, 27, 1, 19), (0, 3, 1, 2)),
    "nhcw": ((1, 1, 128, 128), (0, 1, 3, 2)),
    "nwhc": ((1, 19, 3, 64), (0, 2, 1, 3)),
    "wchn": ((4, 3, 9, 7), (2, 3, 1, 0)),
}

FAMILIES: Sequence[tuple[str, Callable[[Case], Golden]]] = (
    ("add", elementwise),
    ("mul", elementwise),
    ("maximum", extremum),
    ("minimum", extremum),
    ("maxpool", pool),
    ("avgpool", pool),
    ("batch_matmul", batch_matmul),
    ("bn_basic", batch_norm),
    ("concat", concatenation),
    ("fully_connected", fully_connected),
    ("fc_per_ch", fully_connected),
    ("lstm", lstm),
    ("svdf", svdf),
    ("softmax", softmax),
    ("pad", pad),
    ("transpose_conv", transpose_conv),
    ("reverse_transpose_conv", transpose_conv),
    ("transpose", transpose),
    ("conv", conv),
    ("depthwise", conv),
    ("ds_cnn", ds_cnn),
    ("dw", conv),
    ("grouped_conv", conv),
    ("int16xint8", conv),
    ("kernel1x1", conv),
    ("requantize_s64", conv),
)


def golden(case: Case) -> Golden | None:
    """A case as a graph; None where no family has its name."""
    make = next((make for prefix, make in FAMILIES if case.name.startswith(prefix)), None)
    return None if make is None else make(case)


def read_cases(data: Path) -> Iterator[Case]:
    for path in sorted((data / "suites" / "cmsis_nn_golden").glob("*.npz")):
        yield Case(path)
