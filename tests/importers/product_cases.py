"""Files of products, pools and recurrent operators, for test_tflite_operators.py."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import tflite
from tflite_files import I8, I32, Case, ints, quantized, real, weights

from edgewise import ops
from edgewise.dtype import DType
from edgewise.graph import TensorType
from edgewise.ops.lstm import LAYER, STATES
from tflite_builder import Tensor

I16, I64 = DType.INT16, DType.INT64
SAME, VALID = 0, 1
ONES = {"StrideH": 1, "StrideW": 1}
TWOS = {"StrideH": 2, "StrideW": 2}
TANH = 4


def floats(*shape: int, seed: int = 0) -> Tensor:
    data = np.random.default_rng(seed).normal(0, 0.5, shape).astype(np.float32)
    return Tensor(real(*shape), data)


def sums(n: int, dtype: DType, reach: int = 3000) -> Tensor:
    """A bias of integers."""
    data = np.random.default_rng(n).integers(-reach, reach, n).astype(dtype.numpy)
    return Tensor(TensorType((n,), dtype), data)


def wide(shape: Sequence[int], scale: float = 0.0004) -> TensorType:
    return quantized(shape, I16, scale, 0)


def conv(
    x: TensorType, w: Tensor, bias: Tensor | None, y: TensorType, tolerance: float, **fields: Any
) -> Case:
    return Case("CONV_2D", [Tensor(x), w, bias], [y], "Conv2DOptions", fields, tolerance)


def depthwise(
    x: TensorType, w: Tensor, bias: Tensor | None, y: TensorType, tolerance: float, **fields: Any
) -> Case:
    fields = {"DepthMultiplier": w.type.shape[3] // x.shape[3], **fields}
    options = "DepthwiseConv2DOptions"
    return Case("DEPTHWISE_CONV_2D", [Tensor(x), w, bias], [y], options, fields, tolerance)


def dense(
    x: TensorType, w: Tensor, bias: Tensor | None, y: TensorType, tolerance: float, **fields: Any
) -> Case:
    options = "FullyConnectedOptions"
    return Case("FULLY_CONNECTED", [Tensor(x), w, bias], [y], options, fields, tolerance)


def transpose_conv(
    x: TensorType, w: Tensor, bias: Tensor | None, y: TensorType, tolerance: float, **fields: Any
) -> Case:
    operands = [ints(*y.shape), w, Tensor(x), bias]
    inputs = operands if bias else operands[:3]
    return Case("TRANSPOSE_CONV", inputs, [y], "TransposeConvOptions", fields, tolerance)


def batch_matmul(
    x: TensorType, y: TensorType | Tensor, out: TensorType, tolerance: float, **fields: bool
) -> Case:
    operands = [Tensor(x), y if isinstance(y, Tensor) else Tensor(y)]
    return Case("BATCH_MATMUL", operands, [out], "BatchMatMulOptions", fields, tolerance)


def volume(builtin: str, inputs: Sequence[Tensor], y: Sequence[int], **fields: int) -> Case:
    fields = {"StrideD": 1, "StrideH": 1, "StrideW": 1, **fields}
    return Case(builtin, inputs, [real(*y)], "Conv3DOptions", fields, 1e-5)


def pool(builtin: str, x: TensorType, y: TensorType, tolerance: float, **fields: int) -> Case:
    fields = {"FilterHeight": 3, "FilterWidth": 2, **TWOS, **fields}
    return Case(builtin, [Tensor(x)], [y], "Pool2DOptions", fields, tolerance)


def variable(*shape: int) -> Tensor:
    return Tensor(real(*shape), is_variable=True)


def lstm(builtin: str, options: str, x: TensorType, y: Sequence[TensorType], **fields: Any) -> Case:
    """An LSTM of 4 inputs and 5 cells, or two, one a direction."""
    cells, depth = 5, 4
    ways = ("fw_", "bw_") if builtin.startswith("BI") else ("",)
    names = (ops.BidirectionalSequenceLstm if len(ways) == 2 else ops.Lstm).names
    named = {"input": Tensor(x)}
    for way in ways:
        for i, name in enumerate(LAYER):
            if name.startswith("input_to"):
                named[way + name] = floats(cells, depth, seed=i)
            elif name.startswith("recurrent"):
                named[way + name] = floats(cells, cells, seed=i)
            elif name.endswith("gate_bias"):
                named[way + name] = floats(cells, seed=i)
        named |= {way + name: variable(2, cells) for name in STATES}
    fields = {"FusedActivationFunction": TANH, **fields}
    inputs = [named.get(name) for name in names]
    return Case(builtin, inputs, y, options, fields, 1e-6)


def rnn_layer(units: int = 5, depth: int = 4) -> list[Tensor]:
    layer = [floats(units, depth), floats(units, units, seed=1), floats(units, seed=2)]
    return [*layer, variable(2, units)]


IMAGE, HALF = real(2, 6, 5, 8), real(2, 3, 3, 6)
W = weights((6, 3, 3, 8), axis=0)
POINT = weights((6, 1, 1, 8), axis=0)
ROWS = real(3, 8)
EIGHT = weights((6, 8))
X16 = wide((1, 6, 5, 8))
VOLUME = real(1, 4, 5, 6, 2)
SEQUENCE = real(2, 3, 4)

CASES = {
    "dense float": dense(ROWS, floats(6, 8), floats(6), real(3, 6), 1e-5),
    "dense computed weights": Case(
        "FULLY_CONNECTED",
        [Tensor(ROWS), Tensor(real(6, 8))],
        [real(3, 6)],
        "FullyConnectedOptions",
        {},
        1e-4,
    ),
    "dense of computed integers": Case(
        "FULLY_CONNECTED",
        [Tensor(quantized((3, 8))), Tensor(quantized((6, 8), I8, 0.01, 0)), None],
        [quantized((3, 6), I8, 0.2)],
        "FullyConnectedOptions",
    ),
    "dense hybrid": dense(ROWS, EIGHT, floats(6), real(3, 6), 2e-6),
    "dense hybrid relu": dense(
        real(2, 3, 8), EIGHT, None, real(2, 3, 6), 2e-6, KeepNumDims=True, FusedActivationFunction=1
    ),
    "dense hybrid per channel": dense(
        ROWS, weights((6, 8), axis=0), floats(6), real(3, 6), 2e-6, AsymmetricQuantizeInputs=True
    ),
    "dense per channel": dense(
        quantized((3, 8)), weights((6, 8), axis=0), sums(6, I32), quantized((3, 6), I8, 0.2, 5), 0
    ),
    "dense int16": dense(wide((3, 8)), EIGHT, sums(6, I64), wide((3, 6), 0.001), 0),
    "dense int16 of int32 sums": dense(
        wide((40, 8)),
        weights((6, 8), axis=0),
        sums(6, I32),
        wide((40, 6), 0.001),
        0,
        QuantizedBiasType=tflite.TensorType.INT32,
    ),
    "dense int16 without bias": dense(wide((3, 8)), EIGHT, None, wide((3, 6), 0.001), 0),
    "conv float": conv(IMAGE, floats(6, 3, 3, 8), floats(6), HALF, 2e-5, **TWOS),
    "conv float groups": conv(IMAGE, floats(6, 3, 3, 4), floats(6), HALF, 2e-5, **TWOS),
    "conv hybrid": conv(IMAGE, W, floats(6), HALF, 1e-5, **TWOS),
    "conv hybrid per tensor": conv(
        IMAGE, weights((6, 3, 3, 8)), floats(6), real(2, 4, 3, 6), 1e-5, Padding=VALID, **ONES
    ),
    "conv hybrid groups": conv(IMAGE, weights((6, 3, 3, 4), axis=0), floats(6), HALF, 1e-5, **TWOS),
    "conv hybrid dilated": conv(
        IMAGE, W, floats(6), real(2, 6, 5, 6), 1e-5, DilationHFactor=2, DilationWFactor=2, **ONES
    ),
    "conv hybrid of pixels": conv(IMAGE, POINT, floats(6), real(2, 6, 5, 6), 1e-5, **ONES),
    "conv hybrid of every other pixel": conv(IMAGE, POINT, floats(6), HALF, 1e-5, **TWOS),
    "conv int16": conv(X16, W, sums(6, I64), wide((1, 3, 3, 6), 0.002), 0, **TWOS),
    "conv int16 of int32 sums": conv(
        X16,
        W,
        sums(6, I32),
        wide((1, 3, 3, 6), 0.002),
        0,
        QuantizedBiasType=tflite.TensorType.INT32,
        **TWOS,
    ),
    "conv int16 relu6": conv(
        X16, POINT, sums(6, I64), wide((1, 6, 5, 6), 0.001), 0, FusedActivationFunction=3, **ONES
    ),
    "depthwise float": depthwise(
        IMAGE, floats(1, 3, 3, 16), floats(16), real(2, 3, 3, 16), 1e-5, **TWOS
    ),
    "depthwise hybrid": depthwise(
        IMAGE, weights((1, 3, 3, 16), axis=3), floats(16), real(2, 3, 3, 16), 1e-5, **TWOS
    ),
    "depthwise int16": depthwise(
        X16, weights((1, 3, 3, 8), axis=3), sums(8, I64), wide((1, 3, 3, 8), 0.001), 0, **TWOS
    ),
    "transpose conv float": transpose_conv(
        real(1, 4, 3, 2), floats(5, 3, 3, 2), floats(5), real(1, 8, 6, 5), 1e-5, **TWOS
    ),
    "transpose conv int16": transpose_conv(
        wide((1, 4, 3, 2)),
        weights((5, 3, 3, 2), axis=0),
        sums(5, I64),
        wide((1, 8, 6, 5), 0.001),
        0,
        **TWOS,
    ),
    "transpose conv int16 without bias": transpose_conv(
        wide((1, 4, 3, 2)),
        weights((5, 3, 3, 2), axis=0),
        None,
        wide((1, 8, 6, 5), 0.0001),
        0,
        **TWOS,
    ),
    "batch matmul": batch_matmul(real(2, 3, 4, 8), real(3, 8, 5), real(2, 3, 4, 5), 1e-4),
    "batch matmul adjoint": batch_matmul(
        real(2, 8, 4), real(2, 5, 8), real(2, 4, 5), 1e-4, AdjX=True, AdjY=True
    ),
    "batch matmul int8": batch_matmul(
        quantized((2, 4, 8)),
        quantized((2, 8, 5), I8, 0.02, -7),
        quantized((2, 4, 5), I8, 0.1, 2),
        1,
    ),
    "batch matmul int16": batch_matmul(wide((2, 4, 8)), wide((2, 8, 5)), wide((2, 4, 5), 0.002), 0),
    "batch matmul hybrid": batch_matmul(
        real(2, 4, 8), weights((2, 5, 8), axis=1), real(2, 4, 5), 1e-5, AdjY=True
    ),
    "batch matmul hybrid adjoint": batch_matmul(
        real(2, 8, 4), weights((2, 8, 5)), real(2, 4, 5), 1e-5, AdjX=True
    ),
    "conv 3d": volume(
        "CONV_3D",
        [Tensor(VOLUME), floats(2, 3, 3, 2, 5), floats(5)],
        (1, 2, 3, 3, 5),
        StrideD=2,
        StrideH=2,
        StrideW=2,
    ),
    "conv 3d dilated": volume(
        "CONV_3D",
        [Tensor(VOLUME), floats(2, 3, 3, 2, 5)],
        (1, 2, 1, 2, 5),
        Padding=VALID,
        DilationDFactor=2,
        DilationHFactor=2,
        DilationWFactor=2,
    ),
    "conv 3d transpose": volume(
        "CONV_3D_TRANSPOSE",
        [ints(1, 8, 5, 12, 3), floats(2, 3, 3, 3, 2), Tensor(VOLUME), floats(3)],
        (1, 8, 5, 12, 3),
        StrideD=2,
        StrideW=2,
    ),
    "l2 pool": pool("L2_POOL_2D", real(1, 9, 7, 4), real(1, 5, 4, 4), 1e-5),
    "average pool float": pool("AVERAGE_POOL_2D", real(1, 9, 7, 4), real(1, 5, 4, 4), 1e-5),
    "average pool int16": pool("AVERAGE_POOL_2D", wide((1, 9, 7, 4)), wide((1, 5, 4, 4)), 0),
    "max pool int16": pool("MAX_POOL_2D", wide((1, 9, 7, 4)), wide((1, 4, 3, 4)), 0, Padding=VALID),
    "lstm": lstm("LSTM", "LSTMOptions", real(2, 4), [real(2, 5)]),
    "sequence lstm": lstm(
        "UNIDIRECTIONAL_SEQUENCE_LSTM",
        "UnidirectionalSequenceLSTMOptions",
        SEQUENCE,
        [real(2, 3, 5)],
    ),
    "bidirectional lstm": lstm(
        "BIDIRECTIONAL_SEQUENCE_LSTM",
        "BidirectionalSequenceLSTMOptions",
        SEQUENCE,
        [real(2, 3, 5)] * 2,
        TimeMajor=False,
    ),
    "rnn": Case(
        "RNN",
        [Tensor(real(2, 4)), *rnn_layer()],
        [real(2, 5)],
        "RNNOptions",
        {"FusedActivationFunction": TANH},
        1e-6,
    ),
    "sequence rnn": Case(
        "UNIDIRECTIONAL_SEQUENCE_RNN",
        [Tensor(SEQUENCE), *rnn_layer()],
        [real(2, 3, 5)],
        "SequenceRNNOptions",
        {"FusedActivationFunction": TANH},
        1e-6,
    ),
    "bidirectional rnn": Case(
        "BIDIRECTIONAL_SEQUENCE_RNN",
        [Tensor(SEQUENCE), *rnn_layer(), *rnn_layer(), None, None, None],
        [real(2, 3, 5)] * 2,
        "BidirectionalSequenceRNNOptions",
        {"FusedActivationFunction": TANH},
        1e-6,
    ),
    "svdf": Case(
        "SVDF",
        [Tensor(real(2, 4)), floats(10, 4), floats(10, 3), floats(5), variable(2, 30)],
        [real(2, 5)],
        "SVDFOptions",
        {"Rank": 2},
        1e-5,
    ),
}
