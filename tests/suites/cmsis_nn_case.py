"""A CMSIS-NN case: its #defines and arrays, and what most families make of them.

A case is a .npz file: arrays by their C names, and ``__config__``, the #defines, whose names begin
with the case's. Its multipliers and shifts become scales: mult * 2**(shift - 31) is a float64 that
the fixed-point rule splits into the same two numbers again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edgewise import ops
from edgewise.dtype import DType, QParams
from edgewise.graph import Graph, Node, TensorType, Value

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
