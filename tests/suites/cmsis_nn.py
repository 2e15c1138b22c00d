"""CMSIS-NN's golden cases as graphs: a function a family of cases, and `golden`, which picks it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from cmsis_nn_case import (
    Case,
    Golden,
    finished,
    plain,
    quantized,
    real,
    value,
)
from cmsis_nn_products import (
    batch_matmul,
    conv,
    ds_cnn,
    fully_connected,
    pool,
    transpose_conv,
)

from edgewise import ops
from edgewise.dtype import DType, QParams
from edgewise.graph import Graph, Node, State, Value

GATES = ("input", "forget", "cell", "output")


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
