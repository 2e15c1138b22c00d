"""Rules of single operators: a file that breaks one is refused by name."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from tflite_files import (
    I8,
    conv,
    edit,
    ints,
    quantized,
    real,
    weights,
    with_signature,
)

from edgewise.dtype import DType
from edgewise.errors import ModelError, UnsupportedError
from edgewise.graph import TensorType
from edgewise.importers import load
from edgewise.importers.limits import MAX_ACTIVATION_BYTES
from tflite_builder import Operator, Tensor, build, single


def file(
    builtin: str, inputs: list[Any], shape: tuple[int, ...], *opts: Any, **fields: Any
) -> bytes:
    return single(builtin, inputs, [quantized(shape)], *opts, **fields)


def x(*shape: int) -> Tensor:
    return Tensor(quantized(shape))


def slices(begin: Any, end: Any, strides: Any, **masks: int) -> bytes:
    operands = [x(3, 4), ints(begin), ints(end), ints(strides)]
    return file("STRIDED_SLICE", operands, (3, 4), "StridedSliceOptions", **masks)


def huge_activations() -> bytes:
    t = [Tensor(quantized((2**30,))) for _ in range(6)]
    chain = [Operator("RELU", [a], [b]) for a, b in pairwise(t)]
    assert sum(v.type.nbytes for v in t) > MAX_ACTIVATION_BYTES
    return build(chain, [t[0]], [t[-1]])


def float16() -> bytes:
    content = single("DEQUANTIZE", [x(2)], [real(2)], "DequantizeOptions")
    return edit(content, lambda model: setattr(model.subgraphs[0].tensors[0], "type", 1))


def bools(value: int) -> bytes:
    t = TensorType((2,), DType.BOOL)
    constant = Tensor(t, np.array([0, value], np.uint8).view(np.bool_))
    return single(
        "CONCATENATION",
        [Tensor(t), constant],
        [TensorType((4,), DType.BOOL)],
        "ConcatenationOptions",
    )


FILES: dict[str, tuple[Callable[[], bytes], type[ModelError], str]] = {
    "empty": (
        lambda: b"",
        ModelError,
        "unknown format; Edgewise reads TensorFlow Lite",
    ),
    "short": (lambda: b"\0\0\0\0TFL3", ModelError, "model: table at byte 0|vtable"),
    "activations": (huge_activations, ModelError, f"add up to .*at most {MAX_ACTIVATION_BYTES}"),
    "bool": (lambda: bools(2), ModelError, "has bytes above 1; a bool is 0 or 1"),
    "float axes": (
        lambda: file(
            "MEAN", [x(2, 3), Tensor(real(1), np.ones(1, np.float32))], (2,), "ReducerOptions"
        ),
        ModelError,
        "input 1 is float32; it must be an int",
    ),
    "too many axes": (
        lambda: file("MEAN", [x(2, 3), ints([0] * 17)], (2,), "ReducerOptions"),
        ModelError,
        "17 elements; it must have at most 16",
    ),
    "number of sizes": (
        lambda: file(
            "RESIZE_BILINEAR", [x(1, 2, 2, 1), ints(1, 2, 3)], (1, 1, 2, 1), "ResizeBilinearOptions"
        ),
        ModelError,
        "input 1 has 3 elements; it must have 2",
    ),
    "axis": (
        lambda: file("CONCATENATION", [x(2, 3)], (2, 3), "ConcatenationOptions", Axis=2),
        ModelError,
        "axis 2; it must be at least -2, below 2",
    ),
    "pad value": (
        lambda: file(
            "PADV2", [x(2), ints([[0, 1]]), Tensor(quantized((2,)), np.ones(2, np.int8))], (3,)
        ),
        ModelError,
        "input 2 has 2 elements; it must have 1",
    ),
    "weights format": (
        lambda: file(
            "FULLY_CONNECTED",
            [x(2, 4), weights((5, 4))],
            (2, 5),
            "FullyConnectedOptions",
            WeightsFormat=1,
        ),
        UnsupportedError,
        "weights format 1",
    ),
    "type of arg max": (
        lambda: file("ARG_MAX", [x(2, 3), ints([0])], (3,), "ArgMaxOptions", OutputType=5),
        ModelError,
        "its output is object; it must be int32 or int64",
    ),
    "activation of a normalisation": (
        lambda: file(
            "L2_NORMALIZATION", [x(2, 3)], (2, 3), "L2NormOptions", FusedActivationFunction=1
        ),
        UnsupportedError,
        "fused activation RELU; it has none",
    ),
    "splits": (
        lambda: file("SPLIT", [ints([0]), x(4)], (2,), "SplitOptions", NumSplits=2**31 - 1),
        ModelError,
        "1 outputs; it must have 2147483647",
    ),
    "unpacks": (
        lambda: file("UNPACK", [x(2**30)], (), "UnpackOptions", Num=1),
        ModelError,
        "1 outputs; it must have 1073741824",
    ),
    "packs": (
        lambda: file("PACK", [x(4)], (1, 4), "PackOptions", ValuesCount=2),
        ModelError,
        "1 inputs; its options say 2",
    ),
    "window 0": (
        lambda: file(
            "MAX_POOL_2D", [x(1, 2, 2, 1)], (1, 2, 2, 1), "Pool2DOptions", StrideW=1, StrideH=1
        ),
        ModelError,
        r"window \(0, 0\), stride \(1, 1\); both are at least 1",
    ),
    "two ellipses": (
        lambda: slices([0, 0], [0, 0], [1, 1], EllipsisMask=3),
        ModelError,
        "ellipsis_mask 3; one ellipsis at most",
    ),
    "slices": (
        lambda: slices([0] * 3, [1] * 3, [1] * 3),
        ModelError,
        "3 axes sliced; the input has 2",
    ),
    "slice lengths": (
        lambda: slices([0, 0], [1], [1, 1]),
        ModelError,
        "input 2 has 1 elements; it must have 2",
    ),
    "slice stride": (
        lambda: slices([0, 0], [1, 1], [1, 0]),
        ModelError,
        "stride 0; it must not be 0",
    ),
    "element": (
        lambda: slices([3, 0], [4, 1], [1, 1], ShrinkAxisMask=1),
        ModelError,
        "element 3 of an axis of 3",
    ),
    "signature": (
        lambda: edit(
            with_signature(conv()),
            lambda m: setattr(m.signatureDefs[0].inputs[0], "tensorIndex", 1),
        ),
        ModelError,
        r"signature 0: entry 0: 'picture' is tensor 1; subgraph 0 has \(0,\)",
    ),
}


@pytest.mark.parametrize("name", FILES)
def test_broken_file(name: str) -> None:
    make, kind, message = FILES[name]
    with pytest.raises(ModelError, match=message) as caught:
        load(make())
    assert type(caught.value) is kind


def quantization_rules() -> dict[str, bytes]:
    """Files whose shapes fit, and whose output has no scale for the rule of its operator."""
    plain, out = x(2, 4), TensorType((2, 4), I8)
    sixteen = quantized((2, 4), DType.INT16, 0.01, 0)
    image, pooled = x(1, 2, 2, 1), TensorType((1, 2, 2, 1), I8)
    wide_image = Tensor(quantized((1, 2, 2, 1), DType.INT16, 0.01, 0))
    wide_out = TensorType((2, 4), DType.INT16)
    stride = {"StrideW": 1, "StrideH": 1, "FilterWidth": 1, "FilterHeight": 1}
    return {
        "ADD": single("ADD", [plain, x(2, 4)], [out], "AddOptions"),
        "MUL": single("MUL", [plain, x(2, 4)], [out], "MulOptions"),
        "MEAN": single("MEAN", [x(2, 4, 1), ints([2])], [out], "ReducerOptions"),
        "SOFTMAX": single("SOFTMAX", [plain], [out], "SoftmaxOptions", Beta=1.0),
        "LOGISTIC": single("LOGISTIC", [plain], [out]),
        "SUM": single("SUM", [x(2, 4, 1), ints([2])], [out], "ReducerOptions"),
        "REDUCE_MAX": single("REDUCE_MAX", [x(2, 4, 1), ints([2])], [out], "ReducerOptions"),
        "DIV": single("DIV", [plain, x(2, 4)], [out], "DivOptions"),
        "MAXIMUM": single("MAXIMUM", [plain, x(2, 4)], [out]),
        "PRELU": single("PRELU", [plain, x(4)], [out]),
        "LOG_SOFTMAX": single("LOG_SOFTMAX", [plain], [out]),
        "TANH": single("TANH", [Tensor(sixteen)], [TensorType((2, 4), DType.INT16)]),
        "QUANTIZE": single("QUANTIZE", [Tensor(real(2, 4))], [out]),
        "QUANTIZE to int32": single(
            "QUANTIZE", [Tensor(sixteen)], [TensorType((2, 4), DType.INT32)]
        ),
        "MAX_POOL_2D": single(
            "MAX_POOL_2D", [image], [pooled], "Pool2DOptions", FusedActivationFunction=1, **stride
        ),
        "AVERAGE_POOL_2D of int16": single(
            "AVERAGE_POOL_2D",
            [wide_image],
            [TensorType((1, 2, 2, 1), DType.INT16)],
            "Pool2DOptions",
            **stride,
        ),
        "BATCH_MATMUL": single(
            "BATCH_MATMUL", [plain, x(4, 4)], [out], "BatchMatMulOptions", AdjX=False
        ),
        "FULLY_CONNECTED of int16": single(
            "FULLY_CONNECTED",
            [Tensor(sixteen), weights((4, 4))],
            [wide_out],
            "FullyConnectedOptions",
        ),
        "CONCATENATION": single(
            "CONCATENATION", [plain], [out], "ConcatenationOptions", FusedActivationFunction=1
        ),
    }


@pytest.mark.parametrize("name", quantization_rules())
def test_output_without_scale(name: str) -> None:
    with pytest.raises(ModelError, match=rf"operator 0 {name.split()[0]}: .*quantized"):
        load(quantization_rules()[name])
